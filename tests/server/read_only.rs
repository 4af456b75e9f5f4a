//! A data folder on a disk that takes no writes: a mount that is really `ro`.

use std::process::Command;

use super::harness::Server;
use super::old_mail::everything;

/// Runs what follows where the folder `data` is mounted for reading only, and nobody else sees it so.
const READ_ONLY: [&str; 6] = [
    "unshare",
    "--mount",
    "--propagation=private",
    "sh",
    "-c",
    r#"mount --bind data data && mount -o remount,bind,ro data && exec "$0" "$@""#,
];

fn may_mount(folder: &std::path::Path) -> bool {
    let tried = Command::new(READ_ONLY[0])
        .args(&READ_ONLY[1..5])
        .arg("mount --bind data data && mount -o remount,bind,ro data && ! touch data/x 2>/dev/null")
        .current_dir(folder)
        .status();
    tried.is_ok_and(|status| status.success())
}

/// Killed in the middle of its work, so that the journal holds mail that the files do not have; then the disk takes
/// no writes any more.
#[test]
fn mail_is_read_where_nothing_can_be_written() {
    let mut server = Server::start(&["anna"]);
    let mut client = server.login("anna");
    for n in 0..20 {
        client.append("INBOX", "\\Seen", format!("Subject: {n}\r\n\r\nbody {n}\r\n").as_bytes());
    }
    let before = everything(&server, "anna");
    assert_eq!(before.len(), 20);
    server.kill();
    if !may_mount(server.folder()) {
        println!("skipped: nothing can be mounted here");
        return;
    }
    let data = server.data();
    let files = || -> Vec<_> {
        let mut found: Vec<_> =
            walk(&data).into_iter().map(|path| (std::fs::read(&path).unwrap(), path)).collect();
        found.sort();
        found
    };
    let as_it_was = files();
    server.restart_under(&READ_ONLY);
    let view = |seen: super::old_mail::Seen| (seen.mailbox, seen.subject, seen.flags, seen.body);
    let now: Vec<_> = everything(&server, "anna").into_iter().map(view).collect();
    let before: Vec<_> = before.into_iter().map(view).collect();
    assert_eq!(now, before);
    let mut client = server.login("anna");
    client.ok("SELECT INBOX");
    let (_, refused) = client.command("UID STORE 1:* +FLAGS (\\Deleted)");
    assert!(refused.contains("NO [UNAVAILABLE]") && refused.contains("can only be read"), "{refused}");
    client.ok("UID FETCH 1:* (FLAGS BODY.PEEK[])");
    let stopped = server.stop();
    assert_eq!(stopped, Some(0), "{}", server.log());
    // The commands work on the store itself.
    let output = Command::new(READ_ONLY[0])
        .args(&READ_ONLY[1..])
        .arg(super::harness::binary())
        .args(["export", "--account", "anna", "--data", "data", "out"])
        .current_dir(server.folder())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(walk(&server.folder().join("out/cur")).len(), 20);
    // Nor does a backup need to write there.
    let output = Command::new(READ_ONLY[0])
        .args(&READ_ONLY[1..])
        .arg(super::harness::binary())
        .args(["backup", "stick", "--same-disk", "--data", "data"])
        .current_dir(server.folder())
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && told.contains("20 contents"), "{output:?}");
    assert!(files() == as_it_was, "something was written");
    server.restart();
    server.login("anna").append("INBOX", "", b"Subject: on\r\n\r\nit goes\r\n");
}

fn walk(folder: &std::path::Path) -> Vec<std::path::PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap().map(Result::unwrap) {
        match entry.file_type().unwrap() {
            kind if kind.is_dir() => found.extend(walk(&entry.path())),
            kind if kind.is_file() => found.push(entry.path()),
            _ => {}
        }
    }
    found
}
