//! Backups of a store that is damaged: what can be read is in them, what cannot is listed, and the exit code says so.

use std::collections::BTreeSet;
use std::path::Path;

use crate::damage::{damage, message};
use crate::harness::Server;
use crate::old_mail::{Seen, everything};

const LETTERS: usize = 60;

fn filled() -> Server {
    let server = Server::start(&["anna", "ben"]);
    let mut anna = server.login("anna");
    for name in ["Work", "Home"] {
        anna.ok(&format!("CREATE {name}"));
    }
    for n in 0..LETTERS {
        let mailbox = ["INBOX", "Work", "Home"][n % 3];
        anna.append(mailbox, "\\Seen", &message(n, 900));
    }
    drop(anna);
    server
}

fn backup(server: &Server, name: &str) -> (bool, String) {
    server.command(&["backup", server.folder().join(name).to_str().unwrap(), "--same-disk"], "")
}

/// Where an index holds anything, by the block of 4096 bytes.
fn written(index: &[u8]) -> Vec<usize> {
    let blocks = index.chunks(4096).enumerate();
    blocks.filter(|(_, block)| block.iter().any(|byte| *byte != 0)).map(|(number, _)| number).collect()
}

fn zeroed(index: &[u8], block: usize) -> Vec<u8> {
    let mut damaged = index.to_vec();
    damaged[block * 4096..][..4096].fill(0);
    damaged
}

/// What a restore of a backup brings, on a server of its own.
fn restored(server: &mut Server, name: &str) -> Vec<Seen> {
    let stick = server.folder().join(name);
    let data = server.data();
    let aside = server.folder().join("aside");
    std::fs::rename(&data, &aside).unwrap();
    let (done, output) = server.command(&["restore", stick.to_str().unwrap()], "");
    assert!(done, "{output}");
    let (done, output) = server.command(&["check"], "");
    assert!(done && output.contains("all is well"), "{output}");
    // It is of no store that was here before.
    server.restart();
    let found = everything(server, "anna");
    assert_eq!(server.stop(), Some(0));
    std::fs::remove_dir_all(&data).unwrap();
    std::fs::rename(&aside, &data).unwrap();
    found
}

fn files(folder: &Path) -> BTreeSet<(String, Vec<u8>)> {
    let entries = std::fs::read_dir(folder).unwrap().map(Result::unwrap);
    let files = entries.filter(|entry| entry.file_type().unwrap().is_file());
    let named =
        files.map(|file| (file.file_name().into_string().unwrap(), std::fs::read(file.path()).unwrap()));
    named.filter(|(name, _)| name != "postern.lock").collect()
}

/// Whichever block of the index is lost: there is a backup, it says what it is made of, and the store is as it was.
#[test]
fn a_damaged_index_is_backed_up() {
    let mut server = filled();
    let before = everything(&server, "anna");
    assert_eq!(before.len(), LETTERS);
    assert_eq!(server.stop(), Some(0));
    let path = server.data().join("index.redb");
    let whole = std::fs::read(&path).unwrap();
    // An unreadable catalogue is as none.
    std::fs::write(server.data().join("catalogue.a"), b"postern catalogue, and no more").unwrap();
    let (mut damaged, mut complete, mut most) = (0, 0, 0);
    let blocks = written(&whole);
    for (n, block) in blocks.iter().enumerate() {
        // The header and the first ones, and a sample.
        if n > 2 && n % 5 != 0 {
            continue;
        }
        std::fs::write(&path, zeroed(&whole, *block)).unwrap();
        let as_it_was = (files(&server.data()), files(&server.data().join("mail")));
        let name = format!("stick-{block}");
        let (done, output) = backup(&server, &name);
        assert!(output.contains("generation 000001-"), "block {block}: {output}");
        assert_eq!(done, !output.contains("damaged: the index"), "block {block}: {output}");
        if !done {
            damaged += 1;
            let now = (files(&server.data()), files(&server.data().join("mail")));
            assert!(as_it_was == now, "block {block}: something was written");
            assert!(output.contains("postern check --repair"), "{output}");
            if output.contains("nothing that it says of mail is lost") {
                assert!(output.contains("60 contents"), "block {block}: {output}");
                complete += 1;
            }
        }
        if block == &0 {
            assert!(!done, "the header");
            assert_eq!(restored(&mut server, &name), before);
            most += 1;
        }
    }
    assert!(
        damaged > blocks.len() / 10 && complete > 0 && most == 1,
        "{damaged} {complete} of {}",
        blocks.len()
    );
}

/// The generations before are kept: they may hold more.
#[test]
fn a_backup_of_a_damaged_index_drops_no_generation() {
    let mut server = filled();
    assert!(backup(&server, "stick").0);
    assert_eq!(server.stop(), Some(0));
    let path = server.data().join("index.redb");
    let whole = std::fs::read(&path).unwrap();
    std::fs::write(&path, zeroed(&whole, 0)).unwrap();
    for _ in 0..2 {
        let (done, output) = backup(&server, "stick");
        assert!(!done && output.contains(" 0 of them new"), "{output}");
    }
    let stick = server.folder().join("stick");
    let list = |server: &Server| server.command(&["restore", stick.to_str().unwrap(), "--list"], "").1;
    assert_eq!(list(&server).lines().count(), 3, "{}", list(&server));
    std::fs::write(&path, &whole).unwrap();
    let (done, output) = backup(&server, "stick");
    assert!(done, "{output}");
    assert_eq!(list(&server).lines().count(), 1, "of one day the newest stays: {}", list(&server));
}

/// While the server runs and without it: what lies in a damaged place is named, all else is in the backup.
#[test]
fn what_cannot_be_read_of_a_volume_is_listed() {
    let mut server = filled();
    let before = everything(&server, "anna");
    assert_eq!(server.stop(), Some(0));
    damage(&server);
    server.restart();
    let (done, running) = backup(&server, "stick");
    let skipped = |output: &str| -> Vec<String> {
        output.lines().filter(|line| line.starts_with("skipped: anna, ")).map(str::to_owned).collect()
    };
    let lost = skipped(&running).len();
    assert!(!done && (1..LETTERS).contains(&lost), "{running}");
    assert!(running.contains(&format!("{lost} messages could not be read")), "{running}");
    assert_eq!(server.stop(), Some(0));
    let (done, stopped) = backup(&server, "stick");
    assert!(!done && skipped(&stopped) == skipped(&running), "{stopped}");
    // A restore says what is missing; what it has is right.
    let stick = server.folder().join("stick");
    std::fs::rename(server.data(), server.folder().join("aside")).unwrap();
    let (done, output) = server.command(&["restore", stick.to_str().unwrap()], "");
    assert!(!done && output.lines().filter(|line| line.starts_with("missing: ")).count() == lost, "{output}");
    server.restart();
    let mut anna = server.login("anna");
    let mut whole = 0;
    for mailbox in ["INBOX", "Work", "Home"] {
        anna.ok(&format!("SELECT {mailbox}"));
        for n in 1..=LETTERS / 3 {
            let (lines, status) = anna.command(&format!("FETCH {n} BODY.PEEK[]"));
            if status.starts_with("OK") {
                whole += 1;
                let is_known = |seen: &Seen| lines.iter().any(|line| line.contains(&seen.body));
                assert!(before.iter().any(is_known), "{lines:?}");
            }
        }
    }
    assert_eq!(whole + lost, LETTERS);
}

/// A generation of the backup itself: a new one is made, the damaged one is named, and nothing goes that it may need.
#[test]
fn a_damaged_generation_is_named() {
    let server = filled();
    assert!(backup(&server, "stick").0);
    let generations = server.folder().join("stick/generations");
    let first = std::fs::read_dir(&generations).unwrap().next().unwrap().unwrap().path();
    // Of a month before, so that it is one of those that stay.
    let old = generations.join("000001-1700000000.manifest");
    std::fs::rename(&first, &old).unwrap();
    let mut bytes = std::fs::read(&old).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 0xff;
    std::fs::write(&old, &bytes).unwrap();
    let (done, output) = backup(&server, "stick");
    assert!(!done && output.contains("000001-1700000000.manifest is damaged"), "{output}");
    assert!(output.contains("generation 000002-") && output.contains(" 0 of them new"), "{output}");
    std::fs::remove_file(&old).unwrap();
    let (done, output) = backup(&server, "stick");
    assert!(done, "{output}");
}
