//! Many sessions at once on a few mailboxes of the real binary. Each keeps what an honest client would know of
//! its mailbox, from untagged responses alone; again and again all must agree with a fresh look, through
//! restarts and kill -9. Nothing acknowledged may be lost, no UID be used twice.
//!
//! `POSTERN_SEED=n cargo test --test sessions` runs one seed; a failure prints its own. What each session asks
//! is decided by the seed; how the server interleaves it is not.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stdout, missing_docs)]

#[allow(dead_code)]
#[path = "server/harness.rs"]
mod harness;
#[path = "sessions/model.rs"]
mod model;

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use harness::Server;
use model::{Flags, Kind, Session, Target, set};
use postern::store::sim::Dice;

const MAILBOXES: [&str; 3] = ["INBOX", "one", "two"];
const SESSIONS: usize = 12;
/// Rounds in which every session sends up to three commands at once.
const ROUNDS: u32 = 360;
/// All are compared with a fresh look after so many rounds.
const COMPARE: u32 = 6;
/// The server is stopped or killed after so many.
const RESTART: u32 = 18;
/// Past this a slow machine stops early.
const PATIENCE: Duration = Duration::from_secs(35);

/// What is known of a mailbox's UIDs, whoever it was told.
#[derive(Default)]
struct Ledger {
    /// The subject of each UID that was ever seen or given.
    subjects: BTreeMap<u32, String>,
    /// Those that some session has tried to remove.
    mortal: BTreeSet<u32>,
}

struct World {
    server: Server,
    sessions: Vec<Session>,
    ledgers: Vec<Ledger>,
    dice: Dice,
    sent: u32,
}

#[test]
fn every_view_agrees_with_a_fresh_look() {
    let given = std::env::var("POSTERN_SEED").ok().and_then(|seed| seed.parse().ok());
    let seed: u64 = given.unwrap_or_else(|| u64::from(std::process::id()));
    println!("seed of the sessions: POSTERN_SEED={seed}");
    let started = Instant::now();
    let mut world = World::new(seed);
    let mut rounds = 0;
    for round in 1..=ROUNDS {
        world.round();
        rounds = round;
        if round % RESTART == 0 {
            world.restart();
        }
        if round % COMPARE == 0 {
            world.compare();
            if started.elapsed() > PATIENCE {
                break;
            }
        }
    }
    println!(
        "figure {SESSIONS} sessions, {} commands in {rounds} rounds, {:.1} s",
        world.sent,
        started.elapsed().as_secs_f64()
    );
    assert!(rounds >= RESTART, "only {rounds} rounds in {PATIENCE:?}");
}

impl World {
    fn new(seed: u64) -> World {
        let server = Server::start(&["alice"]);
        let mut first = server.login("alice");
        for name in &MAILBOXES[1..] {
            first.ok(&format!("CREATE {name}"));
        }
        let ledgers = MAILBOXES.iter().map(|_| Ledger::default()).collect();
        let mut world = World { server, sessions: Vec::new(), ledgers, dice: Dice::new(seed), sent: 0 };
        world.connect_all();
        world
    }

    fn connect_all(&mut self) {
        self.sessions.clear();
        for n in 0..SESSIONS {
            let mut session = Session::new(self.server.login("alice"), Kind::ALL[n % Kind::ALL.len()]);
            session.select(n % MAILBOXES.len(), MAILBOXES[n % MAILBOXES.len()]);
            self.sessions.push(session);
        }
    }

    /// Every session sends its commands before any reply is read: they run at the same time.
    fn round(&mut self) {
        for n in 0..SESSIONS {
            for _ in 0..1 + self.dice.below(3) {
                self.send_one(n);
            }
        }
        for n in 0..SESSIONS {
            self.sessions[n].read_replies();
            self.learn(n);
        }
    }

    fn send_one(&mut self, n: usize) {
        self.sent += 1;
        let dice = &mut self.dice;
        let session = &mut self.sessions[n];
        if session.idling() {
            if dice.below(2) == 0 {
                session.done();
            }
            return;
        }
        let here = session.mailbox;
        let there = dice.below(MAILBOXES.len() as u64) as usize;
        let uids = session.some_uids(dice);
        let numbers = session.some_numbers(dice);
        let flag = ["\\Seen", "\\Flagged", "\\Answered", "$Work", "$Later"][dice.below(5) as usize];
        let (add, silent) = (dice.below(2) == 0, dice.below(2) == 0);
        match (dice.below(17), uids, numbers) {
            (0..4, _, _) => {
                let subject = format!("s{}-{n}", self.sent);
                let message = format!("Subject: {subject}\r\n\r\ntext\r\n");
                session.append(there, MAILBOXES[there], &subject, &message);
            }
            (4, Some(uids), _) => session.copy("UID COPY", &uids, there, MAILBOXES[there]),
            (5, Some(uids), _) => {
                self.ledgers[here].mortal.extend(&uids);
                session.copy("UID MOVE", &uids, there, MAILBOXES[there]);
            }
            (6, Some(uids), _) => {
                self.ledgers[here].mortal.extend(&uids);
                session.store(Target::Uids(&uids), true, silent, "\\Deleted");
            }
            (7, _, _) => session.send("EXPUNGE"),
            (8, Some(uids), _) => session.send(&format!("UID EXPUNGE {}", set(&uids))),
            (9, Some(uids), _) => session.store(Target::Uids(&uids), add, silent, flag),
            (10, _, Some(numbers)) => session.store(Target::Numbers(&numbers), add, silent, flag),
            (11, _, Some(numbers)) => session.send(&format!("FETCH {numbers} (FLAGS BODY[])")),
            (12, Some(uids), _) => session.send(&format!("UID FETCH {} (FLAGS BODY.PEEK[])", set(&uids))),
            (13, _, _) => {
                session.send(["SEARCH ALL", "UID SEARCH UNSEEN", "SEARCH DELETED"][dice.below(3) as usize]);
            }
            (14, _, _) => session.idle(),
            // Nothing may be under way that speaks of the mailbox that is left.
            (15, _, _) if dice.below(3) == 0 => {
                session.read_replies();
                self.learn(n);
                self.sessions[n].select(there, MAILBOXES[there]);
            }
            _ => session.send("NOOP"),
        }
    }

    /// Takes note of the UIDs that a session was told of: each belongs to one message for ever.
    fn learn(&mut self, n: usize) {
        for (mailbox, uid, subject) in std::mem::take(&mut self.sessions[n].appended) {
            let known = self.ledgers[mailbox].subjects.insert(uid, subject.clone());
            assert!(known.is_none_or(|known| known == subject), "UID {uid} was used twice");
        }
        for (from, source, to, target) in std::mem::take(&mut self.sessions[n].copied) {
            if self.ledgers[from].mortal.contains(&source) {
                self.ledgers[to].mortal.insert(target);
            }
            if let Some(subject) = self.ledgers[from].subjects.get(&source).cloned() {
                let known = self.ledgers[to].subjects.insert(target, subject.clone());
                assert!(known.is_none_or(|known| known == subject), "UID {target} was used twice");
            }
        }
    }

    /// After NOOP every session knows what a fresh one sees.
    fn compare(&mut self) {
        let fresh: Vec<_> = {
            for session in &mut self.sessions {
                if session.idling() {
                    session.done();
                }
                session.read_replies();
            }
            (0..MAILBOXES.len()).map(|mailbox| self.look(mailbox)).collect()
        };
        for n in 0..SESSIONS {
            self.learn(n);
            let session = &mut self.sessions[n];
            session.send("NOOP");
            session.read_replies();
            session.ask_what_is_unknown();
            let known = session.known();
            assert_eq!(known, fresh[session.mailbox], "session {n}, {:?}", session.kind);
            // What was told can be taken up again: a QRESYNC client comes back with what it kept.
            if session.kind == Kind::Qresync {
                session.resync(MAILBOXES[session.mailbox]);
                assert_eq!(session.known(), known, "session {n} after QRESYNC");
            }
        }
    }

    /// What a new session sees of a mailbox; nothing that was acknowledged may be missing.
    fn look(&mut self, mailbox: usize) -> Vec<(u32, Flags)> {
        let mut client = self.server.login("alice");
        client.ok(&format!("EXAMINE {}", MAILBOXES[mailbox]));
        let lines = client.ok("UID FETCH 1:* (FLAGS BODY.PEEK[HEADER.FIELDS (SUBJECT)])");
        let ledger = &mut self.ledgers[mailbox];
        let mut found = Vec::new();
        for line in lines.iter().filter(|line| line.contains(" FETCH (")) {
            let uid = model::number_after(line, "UID ").unwrap() as u32;
            let subject = line.split("Subject: ").nth(1).unwrap().split("\r\n").next().unwrap();
            let known = ledger.subjects.entry(uid).or_insert_with(|| subject.to_owned());
            assert_eq!(known, subject, "UID {uid} of {} was used twice", MAILBOXES[mailbox]);
            found.push((uid, model::flags(line).unwrap()));
        }
        let present: BTreeSet<u32> = found.iter().map(|(uid, _)| *uid).collect();
        let lost: Vec<_> = ledger
            .subjects
            .keys()
            .filter(|uid| !present.contains(uid) && !ledger.mortal.contains(uid))
            .collect();
        assert!(lost.is_empty(), "lost from {}: {lost:?}", MAILBOXES[mailbox]);
        found
    }

    /// In order, killed at rest, or killed with commands under way.
    fn restart(&mut self) {
        match self.dice.below(3) {
            0 => {
                assert_eq!(self.server.stop(), Some(0));
                self.server.restart();
            }
            1 => {
                self.compare();
                let before: Vec<_> = (0..MAILBOXES.len()).map(|mailbox| self.look(mailbox)).collect();
                self.server.kill_and_restart();
                let after: Vec<_> = (0..MAILBOXES.len()).map(|mailbox| self.look(mailbox)).collect();
                assert_eq!(before, after, "acknowledged and lost");
            }
            _ => {
                for n in 0..SESSIONS {
                    self.send_one(n);
                }
                self.server.kill_and_restart();
                for n in 0..SESSIONS {
                    self.sessions[n].read_what_came();
                    self.learn(n);
                }
                // What was not answered may have been done: a COPY of a mortal message, unseen.
                for mailbox in 0..MAILBOXES.len() {
                    self.adopt_mortals(mailbox);
                }
            }
        }
        self.connect_all();
    }

    /// Copies of which no reply was read may carry `\Deleted`.
    fn adopt_mortals(&mut self, mailbox: usize) {
        for (uid, flags) in self.look(mailbox) {
            if flags.contains("\\Deleted") {
                self.ledgers[mailbox].mortal.insert(uid);
            }
        }
    }
}
