//! COPY, MOVE, RENAME and DELETE of much, killed in the middle: afterwards each was done or was not (a MOVE may have
//! moved some), no message is lost or there twice, no UID means another message, and what STATUS says is true.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::time::{Duration, Instant};

use super::chance::Chance;
use super::harness::{Client, Server};

const MESSAGES: usize = 20_000;
const CHILDREN: usize = 1_000;
/// Kills in each kind of operation.
const KILLS: usize = 25;
/// Messages that the target of a COPY has before.
const BEFORE: usize = 10;

/// A server with 20,000 messages in `Big`.
fn filled() -> Server {
    let server = Server::start(&["anna"]);
    let mut mbox = String::new();
    for n in 0..MESSAGES {
        let flags = ["", "Status: RO\n", "X-Status: F\n"][n % 3];
        write!(
            mbox,
            "From a@example.org Thu Jan  1 00:00:00 2015\nSubject: n{n:05}\n{flags}\nHello, {n}.\n\n"
        )
        .unwrap();
    }
    let path = server.folder().join("Big.mbox");
    std::fs::write(&path, mbox).unwrap();
    let (done, text) = server.command(&["import", path.to_str().unwrap(), "--account", "anna"], "");
    assert!(done, "{text}");
    assert_eq!(Mailbox::read(&server, "Big").unwrap().messages.len(), MESSAGES);
    server
}

/// What a client sees of a mailbox.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Mailbox {
    validity: u32,
    next: u32,
    /// By UID.
    messages: BTreeMap<u32, usize>,
}

impl Mailbox {
    /// Reads it, and compares what STATUS counts with what is there. `None` if it is not there.
    fn read(server: &Server, name: &str) -> Option<Mailbox> {
        let mut client = server.login("anna");
        let (lines, status) =
            client.command(&format!("STATUS {name} (MESSAGES UNSEEN UIDNEXT UIDVALIDITY SIZE)"));
        if !status.starts_with("OK") {
            return None;
        }
        let told = |item: &str| number(&lines[0], item).unwrap();
        client.ok(&format!("EXAMINE {name}"));
        let (mut messages, mut unseen, mut size) = (BTreeMap::new(), 0, 0);
        for line in client.ok("UID FETCH 1:* (FLAGS RFC822.SIZE BODY.PEEK[HEADER.FIELDS (SUBJECT)])") {
            let Some((_, subject)) = line.split_once("Subject: n") else { continue };
            let uid = number(&line, "UID").unwrap();
            assert_eq!(
                messages.insert(uid, subject[..5].parse().unwrap()),
                None,
                "UID {uid} of {name} twice"
            );
            size += number(&line, "RFC822.SIZE").unwrap();
            unseen += u32::from(!line.contains("\\Seen"));
        }
        assert_eq!(told("MESSAGES"), messages.len() as u32, "{name}");
        assert_eq!((told("UNSEEN"), told("SIZE")), (unseen, size), "{name}");
        assert!(messages.keys().all(|uid| *uid < told("UIDNEXT")), "{name}");
        Some(Mailbox { validity: told("UIDVALIDITY"), next: told("UIDNEXT"), messages })
    }

    fn numbers(&self) -> Vec<usize> {
        self.messages.values().copied().collect()
    }
}

/// The number behind an item's name.
fn number(line: &str, item: &str) -> Option<u32> {
    let at = line.find(&format!("{item} "))? + item.len() + 1;
    line[at..].split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
}

/// Which message each UID ever meant.
#[derive(Default)]
struct Uids(BTreeMap<(u32, u32), usize>);

impl Uids {
    fn seen(&mut self, mailbox: &Mailbox) {
        for (uid, n) in &mailbox.messages {
            let before = *self.0.entry((mailbox.validity, *uid)).or_insert(*n);
            assert_eq!(before, *n, "UID {uid} was given twice");
        }
    }
}

/// Kills in one kind of operation, and what came of them.
struct Kills<'a> {
    server: &'a mut Server,
    chance: &'a Chance,
    what: &'static str,
    takes: Duration,
    /// The kill comes within this.
    within: Duration,
    acknowledged: usize,
    done: usize,
    partly: usize,
}

impl<'a> Kills<'a> {
    fn new(server: &'a mut Server, chance: &'a Chance, what: &'static str, takes: Duration) -> Kills<'a> {
        Kills { server, chance, what, takes, within: takes, acknowledged: 0, done: 0, partly: 0 }
    }

    /// Begins a command in a mailbox and kills the server somewhere in it. Returns whether it was acknowledged.
    fn kill(&mut self, mailbox: &str, command: &str) -> bool {
        let mut client = self.server.login("anna");
        client.ok(&format!("SELECT {mailbox}"));
        client.send(format!("kill {command}\r\n").as_bytes());
        std::thread::sleep(Duration::from_micros(self.chance.below(self.within.as_micros() as usize) as u64));
        self.server.kill();
        let mut acknowledged = false;
        while let Some(line) = client.response() {
            let line = String::from_utf8_lossy(&line).into_owned();
            assert!(!line.starts_with("kill ") || line.starts_with("kill OK"), "{command}: {line}");
            acknowledged |= line.starts_with("kill OK");
        }
        self.server.restart();
        let (_, status) = self.server.command(&["status", "--json"], "");
        assert!(status.contains("\"journal_damaged\": false"), "{status}");
        assert!(status.contains("\"read_only\": null"), "{status}");
        // Half of them should be too late: then the others come at any point of it, the end too.
        self.within = if acknowledged { self.within.mul_f32(0.85) } else { self.within.mul_f32(1.15) };
        self.acknowledged += usize::from(acknowledged);
        acknowledged
    }

    /// What was acknowledged must be there.
    fn found(&mut self, acknowledged: bool, done: bool) {
        assert!(done || !acknowledged, "{} was acknowledged, and is not there", self.what);
        self.done += usize::from(done);
    }

    fn print(&self) {
        println!(
            "\nfigure {KILLS} kills in a {} of {:.0} ms: {} were acknowledged, {} done, {} done in part",
            self.what,
            self.takes.as_secs_f32() * 1e3,
            self.acknowledged,
            self.done,
            self.partly
        );
        assert!(self.acknowledged < KILLS, "no kill came in the middle of a {}", self.what);
    }
}

fn time(client: &mut Client, command: &str) -> Duration {
    let start = Instant::now();
    client.ok(command);
    start.elapsed()
}

#[test]
fn copy_is_all_or_nothing() {
    let (chance, mut server) = (Chance::new(), filled());
    let big = Mailbox::read(&server, "Big").unwrap();
    let mut client = server.login("anna");
    client.ok("SELECT Big");
    client.ok("CREATE First");
    let takes = time(&mut client, "UID COPY 1:* First");
    client.ok("CREATE Target");
    client.ok(&format!("COPY 1:{BEFORE} Target"));
    let before = Mailbox::read(&server, "Target").unwrap();
    let mut uids = Uids::default();
    let mut kills = Kills::new(&mut server, &chance, "COPY", takes);
    for _ in 0..KILLS {
        let acknowledged = kills.kill("Big", "UID COPY 1:* Target");
        let target = Mailbox::read(kills.server, "Target").unwrap();
        uids.seen(&target);
        let whole: Vec<_> = before.numbers().into_iter().chain(big.numbers()).collect();
        let done = target.numbers() == whole;
        assert!(done || target.messages == before.messages, "{} messages", target.messages.len());
        assert_eq!(Mailbox::read(kills.server, "Big").unwrap(), big);
        kills.found(acknowledged, done);
        if done {
            // As it was before, but for the UIDs that are gone.
            let mut client = kills.server.login("anna");
            client.ok("SELECT Target");
            client.ok(&format!("UID STORE {}:* +FLAGS.SILENT (\\Deleted)", before.next));
            client.ok("EXPUNGE");
            assert_eq!(Mailbox::read(kills.server, "Target").unwrap().messages, before.messages);
        }
    }
    kills.print();
}

#[test]
fn move_loses_and_doubles_nothing() {
    let (chance, mut server) = (Chance::new(), filled());
    let mut client = server.login("anna");
    client.ok("CREATE Other");
    client.ok("SELECT Big");
    let takes = time(&mut client, "UID MOVE 1:* Other");
    drop(client);
    let (mut from, mut to) = ("Other", "Big");
    let mut uids = Uids::default();
    let mut kills = Kills::new(&mut server, &chance, "MOVE", takes);
    for _ in 0..KILLS {
        let acknowledged = kills.kill(from, &format!("UID MOVE 1:* {to}"));
        let (source, target) =
            (Mailbox::read(kills.server, from).unwrap(), Mailbox::read(kills.server, to).unwrap());
        uids.seen(&source);
        uids.seen(&target);
        let all: BTreeSet<_> = source.numbers().into_iter().chain(target.numbers()).collect();
        assert_eq!(source.messages.len() + target.messages.len(), MESSAGES, "lost or doubled");
        assert_eq!(all.len(), MESSAGES, "lost");
        kills.found(acknowledged, source.messages.is_empty());
        kills.partly += usize::from(!source.messages.is_empty() && !target.messages.is_empty());
        // The rest, and back again.
        let mut client = kills.server.login("anna");
        client.ok(&format!("SELECT {from}"));
        client.ok(&format!("UID MOVE 1:* {to}"));
        uids.seen(&Mailbox::read(kills.server, to).unwrap());
        (from, to) = (to, from);
    }
    kills.print();
}

/// The names of all mailboxes below one, with the UIDVALIDITY of each.
fn below(server: &Server, name: &str) -> BTreeMap<String, u32> {
    let lines = server.login("anna").ok(&format!("LIST \"\" \"{name}/*\" RETURN (STATUS (UIDVALIDITY))"));
    let statuses = lines.iter().filter_map(|line| line.strip_prefix("* STATUS "));
    statuses
        .map(|line| {
            let (path, rest) = line.split_once(' ').unwrap();
            let child = path.trim_matches('"').strip_prefix(&format!("{name}/")).unwrap();
            (child.to_owned(), number(rest, "UIDVALIDITY").unwrap())
        })
        .collect()
}

#[test]
fn rename_takes_all_children_or_none() {
    let (chance, mut server) = (Chance::new(), Server::start(&["anna"]));
    let mut client = server.login("anna");
    let names: Vec<_> = (0..CHILDREN).map(|n| format!("Top/{}/child-{n}", n % 7)).collect();
    for name in &names {
        client.ok(&format!("CREATE {name}"));
    }
    client.append(&names[3], "", b"Subject: n00003\r\n\r\n");
    let wanted = below(&server, "Top");
    assert_eq!(wanted.len(), CHILDREN + 7);
    let takes = time(&mut client, "RENAME Top Side").max(time(&mut client, "RENAME Side Top"));
    drop(client);
    let (mut from, mut to) = ("Top", "Side");
    let mut kills = Kills::new(&mut server, &chance, "RENAME", takes);
    for _ in 0..KILLS {
        let acknowledged = kills.kill("INBOX", &format!("RENAME {from} {to}"));
        let done = !below(kills.server, to).is_empty();
        let (there, empty) = if done { (to, from) } else { (from, to) };
        assert_eq!(below(kills.server, there), wanted);
        assert_eq!(below(kills.server, empty), BTreeMap::new());
        let child = format!("{there}/{}", names[3].strip_prefix("Top/").unwrap());
        assert_eq!(Mailbox::read(kills.server, &child).unwrap().numbers(), [3]);
        kills.found(acknowledged, done);
        (from, to) = (there, empty);
    }
    kills.print();
}

#[test]
fn delete_takes_all_or_nothing() {
    let (chance, mut server) = (Chance::new(), filled());
    let mut client = server.login("anna");
    client.ok("SELECT Big");
    client.ok("CREATE Old");
    client.ok("UID COPY 1:* Old");
    let takes = time(&mut client, "DELETE Old");
    drop(client);
    let big = Mailbox::read(&server, "Big").unwrap();
    let mut validities = BTreeSet::new();
    let mut kills = Kills::new(&mut server, &chance, "DELETE", takes);
    let mut old = None;
    for _ in 0..KILLS {
        let mut client = kills.server.login("anna");
        if old.is_none() {
            client.ok("CREATE Old");
            client.ok("SELECT Big");
            client.ok("UID COPY 1:* Old");
            let made = Mailbox::read(kills.server, "Old").unwrap();
            assert!(validities.insert(made.validity), "a UIDVALIDITY was given twice");
            old = Some(made);
        }
        drop(client);
        let acknowledged = kills.kill("INBOX", "DELETE Old");
        let found = Mailbox::read(kills.server, "Old");
        assert!(found.is_none() || found == old, "a part is left");
        assert_eq!(Mailbox::read(kills.server, "Big").unwrap(), big);
        kills.found(acknowledged, found.is_none());
        old = found;
    }
    kills.print();
}
