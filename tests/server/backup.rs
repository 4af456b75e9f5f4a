//! Backups made and restored by the real binary.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::command_line::run;
use crate::harness::{Client, Server, binary};
use crate::old_mail::{Seen, everything};

const PASSPHRASE: &str = "four words of chance";

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

fn put(client: &mut Client, mailbox: &str, flags: &str, day: usize, message: &str) -> String {
    let length = message.len();
    let date = format!("{day:2}-Jan-2020 10:00:00 +0000");
    client.send(format!("a APPEND {mailbox} ({flags}) \"{date}\" {{{length}+}}\r\n").as_bytes());
    client.send(message.as_bytes());
    client.send(b"\r\n");
    let (_, status) = client.finish("a");
    assert!(status.starts_with("OK"), "{status}");
    status
}

/// Mailboxes with roles, flags, keywords, dates, a message of several parts of a pack.
fn fill(server: &Server, count: usize) {
    let mut client = server.login("anna");
    for name in ["Work", "Work/2024", "&ZeVnLIqe-"] {
        client.ok(&format!("CREATE {name}"));
    }
    client.ok("DELETE Junk");
    client.ok("CREATE Spam (USE (\\Junk))");
    client.ok("SUBSCRIBE Work");
    put(&mut client, "INBOX", "\\Seen $Label1", 1, "Subject: one\r\n\r\nFrom here\r\nlone\rcr\r\r\n.\r\n");
    put(&mut client, "Sent", "\\Seen \\Answered \\Flagged", 2, "Subject: sent\r\n\r\nx\r\n");
    put(&mut client, "Work/2024", "\\Deleted $Forwarded Later", 3, "Subject: deep\r\n\r\nno end");
    put(&mut client, "&ZeVnLIqe-", "\\Draft", 4, "Subject: kana\r\n\r\nx\r\n");
    let mut long = "Subject: long\r\n\r\n".to_owned();
    for n in 0..150_000_u64 {
        long.push_str(&format!("{:x} {:x}\r\n", n.wrapping_mul(0x9e37_79b9_7f4a_7c15), n * n));
    }
    put(&mut client, "Work", "", 5, &long);
    for n in 0..count {
        let body = format!("Subject: {n}\r\n\r\n{}{n}\r\n", "yz".repeat(n * 37 % 4000));
        put(&mut client, if n % 2 == 0 { "INBOX" } else { "Work" }, "", n % 28 + 1, &body);
    }
}

/// What there is beside messages.
fn lists(server: &Server) -> Vec<String> {
    let mut client = server.login("anna");
    let mut all = client.ok(
        "LIST \"\" \"*\" RETURN (SUBSCRIBED SPECIAL-USE STATUS (MESSAGES UNSEEN SIZE DELETED MAILBOXID))",
    );
    all.sort();
    all
}

fn wipe(server: &Server) {
    std::fs::remove_dir_all(server.data()).unwrap();
}

fn select(client: &mut Client, command: &str) -> (u64, u64, Vec<String>) {
    let untagged = client.ok(command);
    let number = |name: &str| -> u64 {
        let line = untagged.iter().find(|line| line.contains(name)).unwrap_or_else(|| panic!("{untagged:?}"));
        let at = line.find(name).unwrap() + name.len();
        line[at..]
            .chars()
            .skip_while(|c| *c == ' ')
            .take_while(char::is_ascii_digit)
            .collect::<String>()
            .parse()
            .unwrap()
    };
    (number("UIDVALIDITY"), number("HIGHESTMODSEQ"), untagged)
}

fn uids(client: &mut Client) -> BTreeSet<u64> {
    let lines = client.ok("UID FETCH 1:* (FLAGS)");
    let uid = |line: &String| -> Option<u64> {
        line[line.find("UID ")? + 4..]
            .chars()
            .take_while(char::is_ascii_digit)
            .collect::<String>()
            .parse()
            .ok()
    };
    lines.iter().filter_map(uid).collect()
}

/// From a Pi's death to mail on the phone: a client that had seen more than the backup holds syncs anew, and no UID
/// is given twice under one UIDVALIDITY.
#[test]
fn the_sd_card_dies() {
    let mut server = Server::start(&["anna", "ben"]);
    fill(&server, 60);
    let added = run(
        server.folder(),
        &["device", "add", "phone", "--account", "anna", "--json", "--data", "data"],
        "",
    );
    let added: serde_json::Value = serde_json::from_str(&added.out).unwrap();
    let phone = added["password"].as_str().unwrap().to_owned();
    let authority = server.command(&["cert", "ca"], "").1;
    let stick = server.folder().join("stick");
    let order = ["backup", text(&stick), "--same-disk", "--encrypt", "--passphrase-stdin"];
    let (done, output) = server.command(&order, PASSPHRASE);
    assert!(done && output.contains("generation 000001-"), "{output}");
    let (before, listed) = (everything(&server, "anna"), lists(&server));
    assert_eq!(before.len(), 65);
    // Mail that comes after the backup, and a client that sees it.
    let mut client = server.login("anna");
    for n in 0..5 {
        put(&mut client, "INBOX", "", 6, &format!("Subject: later {n}\r\n\r\nlost\r\n"));
    }
    client.ok("ENABLE QRESYNC");
    let (validity, modseq, _) = select(&mut client, "SELECT INBOX");
    let mut given: BTreeMap<u64, BTreeSet<u64>> = BTreeMap::new();
    given.insert(validity, uids(&mut client));
    server.kill();
    wipe(&server);
    // The server that a package starts on a fresh machine: its empty store gives way.
    server.restart();
    server.stop();
    let (done, output) =
        server.command(&["restore", text(&stick), "--passphrase-stdin"], "another passphrase");
    assert!(!done && output.contains("passphrase is wrong"), "{output}");
    let (done, output) = server.command(&["restore", text(&stick), "--passphrase-stdin"], PASSPHRASE);
    assert!(done && output.contains("65 messages of 2 accounts are back"), "{output}");
    server.restart();
    assert_eq!(everything(&server, "anna"), before);
    assert_eq!(lists(&server), listed);
    assert_eq!(server.command(&["cert", "ca"], "").1, authority, "devices trust it still");
    let mut client = server.connect();
    client.ok(&format!("LOGIN anna \"{phone}\""));
    client.ok("ENABLE QRESYNC");
    let (now, later, untagged) =
        select(&mut client, &format!("SELECT INBOX (QRESYNC ({validity} {modseq} 1:100))"));
    assert!(now > validity && later > modseq, "{now} {validity} {later} {modseq}");
    assert!(
        !untagged.iter().any(|line| line.contains("VANISHED") || line.contains(" FETCH ")),
        "{untagged:?}"
    );
    given.insert(now, uids(&mut client));
    let status = put(&mut client, "INBOX", "", 7, "Subject: new\r\n\r\nnew\r\n");
    assert!(status.contains(&format!("APPENDUID {now} ")), "{status}");
    // And the restored store is backed up as any: nothing but what is new is copied, without the passphrase.
    let (done, output) = server.command(&["backup", text(&stick)], "");
    assert!(done && output.contains(" 1 of them new"), "{output}");
    let (done, output) =
        server.command(&["restore", text(&stick), "--verify", "--passphrase-stdin"], PASSPHRASE);
    assert!(done && output.contains("whole"), "{output}");
}

#[test]
fn a_backup_is_made_while_clients_write() {
    let mut server = Server::start(&["anna"]);
    fill(&server, 200);
    let stick = server.folder().join("stick");
    let (stop, acknowledged) = (AtomicBool::new(false), AtomicU64::new(0));
    let at_least = std::thread::scope(|scope| {
        let (server, stop, acknowledged) = (&server, &stop, &acknowledged);
        scope.spawn(move || {
            let mut client = server.login("anna");
            let mut n = 0;
            while !stop.load(Ordering::Relaxed) {
                put(
                    &mut client,
                    "Archive",
                    "",
                    1,
                    &format!("Subject: busy {n}\r\n\r\n{}\r\n", "b".repeat(n % 900)),
                );
                n += 1;
                acknowledged.store(n as u64, Ordering::Relaxed);
            }
        });
        while acknowledged.load(Ordering::Relaxed) < 5 {
            std::thread::sleep(Duration::from_millis(5));
        }
        let at_least = acknowledged.load(Ordering::Relaxed);
        let (done, output) = server.command(&["backup", text(&stick), "--same-disk"], "");
        stop.store(true, Ordering::Relaxed);
        assert!(done, "{output}");
        at_least
    });
    let before = everything(&server, "anna");
    server.kill();
    wipe(&server);
    let (done, output) = server.command(&["restore", text(&stick)], "");
    assert!(done, "{output}");
    server.restart();
    let after = everything(&server, "anna");
    let busy = |all: &[Seen]| all.iter().filter(|seen| seen.subject.starts_with("busy")).count() as u64;
    assert!(busy(&after) >= at_least, "{} of {at_least}", busy(&after));
    assert!(after.iter().all(|seen| before.contains(seen)), "nothing that was not there");
    assert_eq!(after.len() as u64 - busy(&after), before.len() as u64 - busy(&before));
}

/// Runs a command and kills it after so long. Whether it was done by then.
fn killed(folder: &Path, arguments: &[String], after: Duration) -> bool {
    let mut child = Command::new(binary())
        .args(arguments)
        .args(["--data", "data"])
        .current_dir(folder)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    std::thread::sleep(after);
    let _ = child.kill();
    !child.wait().unwrap().success()
}

/// Kills a command at eight points of the time that it takes, however long that is here and now: one that was done
/// before it was to be killed is undone, and counts for nothing.
fn cut_off(server: &Server, command: impl Fn() -> Vec<String>, undo: impl Fn(), after_each: impl Fn()) {
    let begun = Instant::now();
    let run = || server.command(&command().iter().map(String::as_str).collect::<Vec<_>>(), "");
    let (done, output) = run();
    assert!(done, "{output}");
    let took = begun.elapsed();
    undo();
    let (mut cut, mut tried) = (0, 0);
    while cut < 8 {
        tried += 1;
        assert!(tried < 400, "{cut} of {tried} were killed before they were done");
        if killed(server.folder(), &command(), took * (tried * 5 % 16 + 1) / 18) {
            cut += 1;
            after_each();
        } else {
            undo();
        }
    }
}

#[test]
fn backup_and_restore_may_be_killed() {
    let mut server = Server::start(&["anna"]);
    fill(&server, 150);
    let before = everything(&server, "anna");
    server.stop();
    // A backup that was done is not undone by taking it away, for the store knows of it: the next one has its own stick.
    let number = std::cell::Cell::new(0);
    let stick = || server.folder().join(format!("stick{}", number.get()));
    let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<String>>();
    let backup = || words(&["backup", text(&stick()), "--same-disk"]);
    cut_off(&server, backup, || number.set(number.get() + 1), || {});
    let (done, output) = server.command(&["backup", text(&stick()), "--same-disk"], "");
    assert!(done, "{output}");
    let anew = || {
        wipe(&server);
        std::fs::create_dir(server.data()).unwrap();
    };
    anew();
    let stick = stick();
    cut_off(
        &server,
        || words(&["restore", text(&stick)]),
        anew,
        || {
            if server.data().join("postern.restoring").exists() {
                let (done, output) = server.command(&["account", "list"], "");
                assert!(!done && output.contains("postern restore"), "{output}");
            }
        },
    );
    let (done, output) = server.command(&["restore", text(&stick)], "");
    assert!(done || output.contains("exists already"), "{output}");
    server.restart();
    assert_eq!(everything(&server, "anna"), before);
}

#[test]
fn what_was_deleted_is_brought_back_and_nothing_twice() {
    let mut server = Server::start(&["anna", "ben"]);
    fill(&server, 40);
    let before = everything(&server, "anna");
    let stick = server.folder().join("stick");
    assert!(server.command(&["backup", text(&stick), "--same-disk"], "").0);
    let mut client = server.login("anna");
    client.ok("SELECT Work");
    client.ok("STORE 1:10 +FLAGS.SILENT (\\Deleted)");
    client.ok("EXPUNGE");
    client.ok("UNSELECT");
    client.ok("DELETE &ZeVnLIqe-");
    put(&mut client, "INBOX", "", 9, "Subject: since\r\n\r\nstays\r\n");
    let bring = |server: &Server, arguments: &[&str]| {
        let all = [&["restore", text(&stick), "--account", "anna"], arguments].concat();
        server.command(&all, "")
    };
    let (done, output) = bring(&server, &["--mailbox", "Nowhere"]);
    assert!(!done && output.contains("no such mailbox"), "{output}");
    let (done, output) = bring(&server, &["--mailbox", "Work"]);
    assert!(done && output.starts_with("10 messages added"), "{output}");
    // Without a server as well.
    server.stop();
    let (done, output) = bring(&server, &[]);
    assert!(done && output.starts_with("1 message added"), "{output}");
    server.restart();
    let (done, output) = bring(&server, &[]);
    assert!(done && output.starts_with("0 messages added, 45 there"), "{output}");
    let sorted = |mut all: Vec<Seen>| {
        all.retain(|seen| seen.subject != "since");
        all.sort();
        all
    };
    let after = everything(&server, "anna");
    assert_eq!(after.len(), before.len() + 1, "what came since stays");
    assert_eq!(sorted(after), sorted(before));
    let (done, output) = server.command(&["restore", text(&stick), "--account", "carl"], "");
    assert!(!done && output.contains("account"), "{output}");
    assert!(everything(&server, "ben").is_empty());
    assert!(!server.data().join("restore.view").exists());
}

#[test]
fn nothing_is_written_where_it_would_be_lost() {
    let server = Server::start(&["anna"]);
    let stick = server.folder().join("stick");
    let (done, output) = server.command(&["backup", text(&stick)], "");
    assert!(!done && output.contains("would be lost with it"), "{output}");
    assert!(!stick.exists());
    assert!(server.command(&["backup", text(&stick), "--same-disk", "--daily", "3"], "").0);
    // The stick is not mounted: its folder is empty.
    let away: PathBuf = server.folder().join("away");
    std::fs::rename(&stick, &away).unwrap();
    std::fs::create_dir(&stick).unwrap();
    let (done, output) = server.command(&["backup"], "");
    assert!(!done && output.contains("mounted"), "{output}");
    assert_eq!(std::fs::read_dir(&stick).unwrap().count(), 0);
    let (_, status) = server.command(&["status"], "");
    assert!(status.contains("PROBLEM: the backup did not work"), "{status}");
    std::fs::remove_dir(&stick).unwrap();
    std::fs::rename(&away, &stick).unwrap();
    let (done, output) = server.command(&["backup"], "");
    assert!(done, "{output}");
    let (_, status) = server.command(&["status"], "");
    assert!(!status.contains("PROBLEM"), "{status}");
    let (done, output) = server.command(&["restore", text(&stick)], "");
    assert!(!done && output.contains("stop the server"), "{output}");
    let photos = server.scratch("photos");
    std::fs::write(photos.join("holiday.jpg"), b"x").unwrap();
    let (done, output) = server.command(&["backup", text(&photos), "--same-disk"], "");
    assert!(!done && output.contains("not empty"), "{output}");
}
