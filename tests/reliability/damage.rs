//! Each kind of file of a data folder, flipped, zeroed, cut, deleted or put back from an older copy, at 200 places:
//! the store opens or says what to do; what it serves is right, byte for byte; no UID is given twice; and a repair with
//! a backup brings all back, after which `check` finds nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::ops::ControlFlow;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::Instant;

use postern::model::{AccountId, DateTime, FlagSet, MailboxName};
use postern::store::messages::{self, NewMessage};
use postern::store::{Error, Options, Snapshot, Store, accounts, mailboxes};

use super::chance::Chance;
use super::harness::Server;

const PLACES: usize = 200;
const KINDS: [&str; 5] = ["flipped", "zeroed", "cut", "deleted", "older"];

/// Message by message: its mailbox's UIDVALIDITY and its UID, by subject.
pub type Known = BTreeMap<(u32, u32), String>;

/// What all is compared with.
pub struct Truth {
    /// Whole messages by their subject.
    pub bodies: BTreeMap<String, Vec<u8>>,
    pub given: Known,
}

fn message(n: usize, chance: &Chance) -> String {
    let mut text = format!("From: a@example.org\r\nSubject: n{n:04}\r\n\r\n");
    let length = [200, 3_000, 40_000, 300_000][(n % 40) / 13];
    while text.len() < length {
        text.push_str(&format!("{:08x} is by chance, the rest is not\r\n", chance.below(1 << 30)));
    }
    text
}

/// A store that was served, stopped in order or killed; an older copy of it; and a backup of it.
pub fn filled(chance: &Chance) -> (Server, PathBuf, PathBuf, Truth) {
    let mut server = Server::start(&["anna"]);
    let (older, base) = (server.folder().join("older"), server.folder().join("base"));
    let mut bodies = BTreeMap::new();
    let mut client = server.login("anna");
    for n in 0..240 {
        if n == 120 {
            server.stop();
            copy(&server.data(), &older);
            server.restart();
            client = server.login("anna");
        }
        let text = message(n, chance);
        let mailbox = ["INBOX", "Archive", "Sent"][n % 3];
        client.append(mailbox, ["", "\\Seen", "\\Flagged $Work"][n % 3], text.as_bytes());
        bodies.insert(format!("n{n:04}"), text.into_bytes());
    }
    let stick = server.folder().join("stick");
    let (done, text) = server.command(&["backup", stick.to_str().unwrap(), "--same-disk"], "");
    assert!(done, "{text}");
    server.kill();
    copy(&server.data(), &base);
    let store = Store::open(Options::new(server.data())).unwrap();
    let (given, wrong) = read(&store.snapshot().unwrap(), &bodies).unwrap();
    assert_eq!((given.len(), wrong), (240, 0));
    store.close().unwrap();
    (server, older, base, Truth { bodies, given })
}

pub fn copy(from: &Path, to: &Path) {
    let _ = fs::remove_dir_all(to);
    fs::create_dir_all(to).unwrap();
    for (path, name) in files(from) {
        let target = to.join(&name);
        fs::create_dir_all(target.parent().unwrap()).unwrap();
        fs::copy(path, target).unwrap();
    }
}

/// All regular files below a folder, with their names from there, in order.
fn files(folder: &Path) -> Vec<(PathBuf, String)> {
    let (mut found, mut todo) = (Vec::new(), vec![folder.to_owned()]);
    while let Some(next) = todo.pop() {
        for entry in fs::read_dir(next).unwrap() {
            let entry = entry.unwrap();
            let kind = entry.file_type().unwrap();
            if kind.is_dir() {
                todo.push(entry.path());
            } else if kind.is_file() {
                let name = entry.path().strip_prefix(folder).unwrap().to_str().unwrap().to_owned();
                found.push((entry.path(), name));
            }
        }
    }
    found.sort();
    found
}

/// What every mailbox lists, and how many messages could not be read. Panics at wrong bytes.
pub fn read(rows: &Snapshot, bodies: &BTreeMap<String, Vec<u8>>) -> Result<(Known, usize), Error> {
    let (mut known, mut unread) = (Known::new(), 0);
    let Some(account) = accounts::by_name(rows, "anna")?.map(|account| account.id) else {
        return Ok((known, unread));
    };
    for mailbox in mailboxes::list(rows, account)? {
        let mut listed = Vec::new();
        messages::scan(rows, mailbox.id, 1..=u32::MAX, &mut |record| {
            listed.push(*record);
            Ok(ControlFlow::Continue(()))
        })?;
        for record in listed {
            let mut bytes = Vec::new();
            if rows.read(record.email, 0..record.size, &mut bytes).is_err() {
                unread += 1;
                continue;
            }
            let text = String::from_utf8_lossy(&bytes);
            let subject = text.split("Subject: ").nth(1).and_then(|rest| rest.split('\r').next());
            let subject = subject.expect("a message without its subject was served").to_owned();
            if let Some(body) = bodies.get(&subject) {
                assert!(*body == bytes, "wrong bytes of {subject}");
            }
            known.insert((mailbox.uid_validity.get(), record.uid.get()), subject);
        }
    }
    Ok((known, unread))
}

/// Damages a file; what was done, in words.
pub fn damage(folder: &Path, older: &Path, n: usize, chance: &Chance) -> Option<String> {
    let all = files(folder);
    let (path, name) = all[(n / KINDS.len()) % all.len()].clone();
    let kind = KINDS[n % KINDS.len()];
    let bytes = fs::read(&path).unwrap();
    let at = if bytes.is_empty() { 0 } else { chance.below(bytes.len()) };
    // In place: a server may have it open and write beside it.
    let file = fs::OpenOptions::new().write(true).open(&path).unwrap();
    match kind {
        _ if bytes.is_empty() && kind != "deleted" => return None,
        "flipped" => file.write_all_at(&[bytes[at] ^ 1 << chance.below(8)], at as u64).unwrap(),
        "zeroed" => {
            let from = at / 4096 * 4096;
            let length = bytes.len().min(from + 4096) - from;
            file.write_all_at(&vec![0; length], from as u64).unwrap();
        }
        "cut" => file.set_len(at as u64).unwrap(),
        "deleted" => fs::remove_file(&path).unwrap(),
        _ => drop(fs::copy(older.join(&name), &path).ok()?),
    }
    Some(format!("{name} {kind} at {at}"))
}

/// Files one more message; the UID must be new.
pub fn file_one(store: &Store, truth: &Truth) -> Result<(), Error> {
    let mut incoming = store.incoming(1 << 20);
    incoming.write(b"Subject: later\r\n\r\nx\r\n")?;
    let prepared = incoming.finish()?;
    let given = truth.given.clone();
    store.write(move |tx| {
        let Some(account) = accounts::by_name(tx, "anna")? else { return Ok(()) };
        let account: AccountId = account.id;
        let Some(inbox) = mailboxes::by_name(tx, account, &MailboxName::inbox())? else { return Ok(()) };
        let internal_date = DateTime::utc(tx.now());
        let email = prepared.file(tx, account, &MailboxName::inbox())?;
        let new = NewMessage { email, size: prepared.size(), internal_date, flags: FlagSet::default() };
        let done = messages::append(tx, account, inbox.id, &[new])?;
        let uid = done.uids.first().unwrap();
        let before = given.get(&(done.uid_validity.get(), uid));
        assert_eq!(before, None, "UID {uid} was given before");
        Ok(())
    })
}

/// The messages that no mailbox lists after a repair; all that are listed can be read.
pub fn missing(server: &Server, truth: &Truth, what: &str, told: &str) -> Vec<String> {
    let store = Store::open(Options::new(server.data())).unwrap_or_else(|error| panic!("{what}: {error}"));
    let (given, unread) = read(&store.snapshot().unwrap(), &truth.bodies).unwrap();
    assert_eq!(unread, 0, "{what}: {told}");
    store.close().unwrap();
    let there: BTreeSet<&String> = given.values().collect();
    truth.bodies.keys().filter(|subject| !there.contains(subject)).cloned().collect()
}

/// Repairs with the backup on the stick, after which `check` finds nothing; gives what the repair told.
pub fn repair(server: &Server, stick: &Path, what: &str) -> String {
    let (_, repaired) = server.command(&["check", "--repair", stick.to_str().unwrap()], "");
    let (well, text) = server.command(&["check"], "");
    assert!(well, "{what}: {text}\nafter the repair: {repaired}");
    repaired
}

/// Adds those of the backup's messages that are not there; gives what is missing then.
pub fn missing_after_merge(server: &mut Server, truth: &Truth, stick: &Path, what: &str) -> Vec<String> {
    server.restart();
    let (done, text) = server.command(&["restore", stick.to_str().unwrap(), "--account", "anna"], "");
    assert!(done, "{what}: {text}");
    server.stop();
    missing(server, truth, what, &text)
}

#[test]
fn two_hundred_places_are_damaged() {
    let (chance, begun) = (Chance::new(), Instant::now());
    let (mut server, older, base, truth) = filled(&chance);
    let stick = server.folder().join("stick");
    let (mut damaged, mut opened, mut refused, mut unread, mut merged) = (0, 0, 0, 0, 0);
    for n in 0.. {
        if damaged == PLACES {
            break;
        }
        assert!(n < PLACES * 3, "only {damaged} places could be damaged");
        copy(&base, &server.data());
        let Some(what) = damage(&server.data(), &older, n, &chance) else { continue };
        damaged += 1;
        match Store::open(Options::new(server.data())) {
            Ok(store) => {
                opened += 1;
                if let Ok((given, some)) = store.snapshot().and_then(|rows| read(&rows, &truth.bodies)) {
                    unread += some;
                    for (uid, subject) in &given {
                        let before = truth.given.get(uid).unwrap_or(subject);
                        assert_eq!(before, subject, "{what}: UID {uid:?} means another message");
                    }
                }
                // It may serve for reading only, and says so; what it takes gets a new UID.
                if let Err(error) = file_one(&store, &truth) {
                    assert!(!error.to_string().is_empty(), "{what}");
                }
                let _ = store.close();
            }
            Err(error) => {
                refused += 1;
                assert!(error.to_string().contains("postern "), "{what}: {error}: what can one do?");
            }
        }
        let repaired = repair(&server, &stick, &what);
        let mut lost = missing(&server, &truth, &what, &repaired);
        // What the journal of later runs holds needs no backup.
        assert!(
            lost.is_empty() || !what.starts_with("index.redb older"),
            "{what}: {lost:?} are lost: {repaired}"
        );
        if !lost.is_empty() {
            // What the journal alone had is gone with it: the backup's messages are added, those that are not there.
            merged += 1;
            lost = missing_after_merge(&mut server, &truth, &stick, &what);
        }
        assert!(lost.is_empty(), "{what}: {lost:?} are lost: {repaired}");
    }
    println!(
        "figure {PLACES} damaged places: {opened} stores opened, {refused} said what to do, {unread} messages could not be \
         read before the repair; after it 0 lost, 0 wrong, check found nothing; of {merged} the journal's last messages came out of the backup; {:.0} s",
        begun.elapsed().as_secs_f64()
    );
}
