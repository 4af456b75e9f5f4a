//! The SD card dies, with 100,000 messages: how long a backup takes, a check, an index made anew, a restore.

use std::os::unix::fs::FileExt;
use std::time::Instant;

use super::harness::Server;
use super::wire;

/// Runs a command that must succeed; gives what it said, and prints how long it took.
fn timed(server: &Server, what: &str, arguments: &[&str]) -> String {
    let started = Instant::now();
    let (done, text) = server.command(arguments, "");
    println!("figure {what}: {:.1} s", started.elapsed().as_secs_f64());
    assert!(done, "{what}: {text}");
    text
}

/// Backs up, damages, repairs, loses all, restores.
pub fn dies(server: &mut Server) {
    let stick = server.folder().join("stick");
    let stick = stick.to_str().unwrap();
    timed(server, "first backup of 102,000 messages", &["backup", stick, "--same-disk"]);
    let mut wire = wire(server);
    for n in 0..10 {
        let message = format!("Subject: new {n}\r\n\r\nnew\r\n");
        wire.send(format!("n APPEND INBOX {{{}+}}\r\n{message}\r\n", message.len()).as_bytes());
        wire.until("n");
    }
    let second = timed(server, "second backup, ten messages later", &["backup", stick]);
    assert!(second.contains(" 10 of them new"), "{second}");
    timed(server, "check of all, while it serves", &["check"]);
    let before = counts(server);
    assert!(before.contains("MESSAGES 100010"), "{before}");

    server.stop();
    let index = std::fs::OpenOptions::new().write(true).open(server.data().join("index.redb")).unwrap();
    index.write_all_at(&[0; 4096], 0).unwrap();
    drop(index);
    timed(server, "an index made anew, from its catalogue and a backup", &["check", "--repair", stick]);
    timed(server, "check of all, stopped", &["check"]);
    server.restart();
    assert_eq!(counts(server), before, "after the index was made anew");

    server.kill();
    std::fs::remove_dir_all(server.data()).unwrap();
    let started = Instant::now();
    timed(server, "restore onto a fresh machine", &["restore", stick]);
    server.restart();
    assert_eq!(counts(server), before, "after the restore");
    let mut wire = super::wire(server);
    wire.ok("SELECT INBOX");
    let told = String::from_utf8(wire.ok("FETCH 100010 (BODY[])")).unwrap();
    assert!(told.contains("Subject: new 9"), "{told}");
    println!("figure from a new card to the first mail over IMAP: {:.1} s", started.elapsed().as_secs_f64());
}

fn counts(server: &Server) -> String {
    let mut wire = wire(server);
    ["INBOX", "Archive"]
        .map(|name| String::from_utf8(wire.ok(&format!("STATUS {name} (MESSAGES UNSEEN DELETED)"))).unwrap())
        .map(|told| told.lines().next().unwrap_or_default().to_owned())
        .join(" ")
}
