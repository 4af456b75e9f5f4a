//! Twenty clients at once for a long while, beside deliveries, a watched Maildir and a reclaim: what each client has been
//! told is what a fresh one sees, nothing is lost or doubled, and the server holds no more in the end than in the middle.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use super::chance::Chance;
use super::harness::{Client, Server, binary};

const CLIENTS: usize = 20;
/// Rounds, after each of which all is compared; with `--long`, ten minutes or so.
const ROUNDS: (usize, usize) = (24, 1_200);
/// Commands of a client in a round.
const COMMANDS: usize = 60;
/// Deliveries and files in a round.
const DELIVERED: usize = 10;
/// Mailboxes that clients work in. The last is filled from a Maildir.
const MAILBOXES: [&str; 3] = ["INBOX", "Work", "Watched"];
const FLAGS: [&str; 5] = ["\\Seen", "\\Flagged", "\\Answered", "$Work", "$Later"];
/// A mailbox is not filled above this.
const FULL: usize = 200;

/// What the server may hold more in the end than in the middle.
const MORE_MEMORY_KIB: u64 = 8 * 1024;
const MORE_FILES: u64 = 8;
const MORE_THREADS: u64 = 8;
/// And dead bytes, once space was given back: a volume is written anew only when much of it is dead.
const MORE_DEAD: u64 = 4 * 1024 * 1024;

/// What was acknowledged, and what somebody has asked to be expunged.
#[derive(Default)]
struct Ledger {
    sure: BTreeSet<String>,
    may_be_gone: BTreeSet<String>,
    /// How often each was copied into "Copies".
    copied: BTreeMap<String, usize>,
}

fn text_of(subject: &str) -> String {
    let size = subject.bytes().map(usize::from).sum::<usize>() % 90;
    format!("Subject: {subject}\r\n\r\n{}\r\n", format!("{subject} says it again\r\n").repeat(1 + size))
}

/// What a client has been told of its mailbox, and nothing else.
struct Told {
    client: Client,
    mailbox: &'static str,
    qresync: bool,
    validity: String,
    modseq: u64,
    exists: usize,
    messages: Vec<(u32, BTreeSet<String>)>,
}

impl Told {
    fn new(server: &Server, n: usize) -> Told {
        let mut client = server.login("anna");
        let qresync = n.is_multiple_of(2);
        if qresync {
            client.ok("ENABLE QRESYNC");
        }
        let mailbox = MAILBOXES[n % MAILBOXES.len()];
        let mut told = Told {
            client,
            mailbox,
            qresync,
            validity: String::new(),
            modseq: 1,
            exists: 0,
            messages: Vec::new(),
        };
        told.ask(&format!("SELECT {mailbox}"));
        told
    }

    /// A command that must be answered OK; takes what is told, and asks for what is new.
    fn ask(&mut self, command: &str) -> Vec<String> {
        let (untagged, status) = self.client.command(command);
        assert!(status.starts_with("OK"), "{command}: {status}");
        untagged.iter().for_each(|line| self.take(line));
        self.take_codes(&status);
        self.asks_for_new();
        [untagged, vec![status]].concat()
    }

    /// What it was told the number of, but not what it is.
    fn asks_for_new(&mut self) {
        // While it asks others come and go.
        for _ in 0..1_000 {
            if self.messages.len() == self.exists {
                return;
            }
            let next = self.messages.last().map_or(1, |(uid, _)| uid + 1);
            let (untagged, status) = self.client.command(&format!("UID FETCH {next}:* (FLAGS)"));
            assert!(status.starts_with("OK"), "{status}");
            untagged.iter().for_each(|line| self.take(line));
            self.take_codes(&status);
        }
        panic!("{} of {} messages of {} are told", self.messages.len(), self.exists, self.mailbox);
    }

    fn take_codes(&mut self, line: &str) {
        if let Some(modseq) = between(line, "[HIGHESTMODSEQ ", "]") {
            self.modseq = modseq.parse().unwrap();
        }
        if let Some(validity) = between(line, "[UIDVALIDITY ", "]") {
            self.validity = validity.to_owned();
        }
    }

    fn take(&mut self, line: &str) {
        self.take_codes(line);
        let words: Vec<&str> = line.splitn(4, ' ').collect();
        match words[..] {
            ["*", "VANISHED", "(EARLIER)", uids] => {
                let gone = numbers(uids);
                self.messages.retain(|(uid, _)| !gone.contains(uid));
            }
            ["*", "VANISHED", uids] => {
                let gone = numbers(uids);
                self.messages.retain(|(uid, _)| !gone.contains(uid));
                self.exists -= gone.len();
            }
            ["*", number, "EXISTS"] => {
                let now: usize = number.parse().unwrap();
                assert!(now >= self.messages.len(), "{}: EXISTS takes messages away: {line}", self.mailbox);
                self.exists = now;
            }
            ["*", number, "EXPUNGE"] => {
                let number: usize = number.parse().unwrap();
                assert!(number <= self.exists, "{line}, but there are {}", self.exists);
                if number <= self.messages.len() {
                    self.messages.remove(number - 1);
                }
                self.exists -= 1;
            }
            ["*", number, "FETCH", what] => self.take_fetch(number.parse().unwrap(), what),
            _ => {}
        }
    }

    fn take_fetch(&mut self, number: usize, what: &str) {
        let Some(uid) = between(what, "UID ", " ").or_else(|| between(what, "UID ", ")")) else { return };
        let uid: u32 = uid.trim_end_matches(')').parse().unwrap();
        let Some(flags) = between(what, "FLAGS (", ")") else { return };
        let flags: BTreeSet<String> =
            flags.split_whitespace().filter(|flag| *flag != "\\Recent").map(str::to_owned).collect();
        let next = self.messages.len() + 1;
        match self.messages.get_mut(number - 1) {
            Some(known) => {
                assert_eq!(known.0, uid, "number {number} of {} is another message", self.mailbox);
                known.1 = flags;
            }
            None if number == next => self.messages.push((uid, flags)),
            // Of one that is not known yet; it is asked for soon.
            None => {}
        }
    }

    /// Leaves the mailbox and comes back with what it knows (RFC 7162 §3.2.5).
    fn comes_back(&mut self) {
        let mut known: BTreeMap<u32, BTreeSet<String>> =
            std::mem::take(&mut self.messages).into_iter().collect();
        self.client.ok("UNSELECT");
        let select = format!("SELECT {} (QRESYNC ({} {}))", self.mailbox, self.validity, self.modseq);
        let (untagged, status) = self.client.command(&select);
        assert!(status.starts_with("OK"), "{select}: {status}");
        let mut next = u32::MAX;
        for line in untagged.iter().chain([&status]) {
            self.take_codes(line);
            if let Some(told) = between(line, "[UIDNEXT ", "]") {
                next = told.parse().unwrap();
            }
            let words: Vec<&str> = line.splitn(4, ' ').collect();
            match words[..] {
                ["*", "VANISHED", "(EARLIER)", uids] => {
                    let gone = numbers(uids);
                    known.retain(|uid, _| !gone.contains(uid));
                }
                ["*", "VANISHED", uids] => {
                    let gone = numbers(uids);
                    known.retain(|uid, _| !gone.contains(uid));
                    self.exists -= gone.len();
                }
                ["*", number, "EXISTS"] => self.exists = number.parse().unwrap(),
                ["*", _, "FETCH", what] => {
                    let uid = between(what, "UID ", " ").expect("QRESYNC tells UIDs").parse().unwrap();
                    // What came since the mailbox was opened is asked for.
                    if uid >= next {
                        continue;
                    }
                    let flags = between(what, "FLAGS (", ")").expect("and flags").split_whitespace();
                    known.insert(uid, flags.filter(|flag| *flag != "\\Recent").map(str::to_owned).collect());
                }
                _ => {}
            }
        }
        self.messages = known.into_iter().collect();
        self.asks_for_new();
    }

    /// A message that it knows.
    fn any(&self, chance: &Chance) -> Option<u32> {
        (!self.messages.is_empty()).then(|| self.messages[chance.below(self.messages.len())].0)
    }

    /// Its subject, if it is still there; its bytes are what was sent.
    fn subject(&mut self, uid: u32) -> Option<String> {
        let told = self.ask(&format!("UID FETCH {uid} (BODY.PEEK[])"));
        let line = told.iter().find(|line| line.contains("BODY[]"))?;
        let subject = between(line, "Subject: ", "\r\n").unwrap().to_owned();
        assert!(line.contains(&text_of(&subject)), "wrong bytes: {line}");
        Some(subject)
    }

    fn flags_change(&mut self, chance: &Chance) -> Option<()> {
        let (uid, flag) = (self.any(chance)?, FLAGS[chance.below(FLAGS.len())]);
        let adds = chance.below(3) > 0;
        let silent = chance.below(3) == 0;
        let sign = if adds { '+' } else { '-' };
        let item = if silent { "FLAGS.SILENT" } else { "FLAGS" };
        if silent {
            // What it did itself it is not told.
            let (_, flags) = self.messages.iter_mut().find(|(known, _)| *known == uid)?;
            if adds {
                flags.insert(flag.to_owned());
            } else {
                flags.remove(flag);
            }
        }
        self.ask(&format!("UID STORE {uid} {sign}{item} ({flag})"));
        Some(())
    }

    fn one_goes(&mut self, chance: &Chance, ledger: &Mutex<Ledger>) -> Option<()> {
        let uid = self.any(chance)?;
        let subject = self.subject(uid)?;
        ledger.lock().unwrap().may_be_gone.insert(subject);
        self.ask(&format!("UID STORE {uid} +FLAGS (\\Deleted)"));
        self.ask(&format!("UID EXPUNGE {uid}"));
        assert!(
            self.messages.iter().all(|(known, _)| *known != uid),
            "{uid} is expunged and was not told so"
        );
        Some(())
    }

    fn one_is_copied(&mut self, chance: &Chance, ledger: &Mutex<Ledger>) -> Option<()> {
        let uid = self.any(chance)?;
        let subject = self.subject(uid)?;
        if self.ask(&format!("UID COPY {uid} Copies")).iter().any(|line| line.contains("[COPYUID")) {
            *ledger.lock().unwrap().copied.entry(subject).or_default() += 1;
        }
        Some(())
    }

    fn one_moves(&mut self, chance: &Chance) -> Option<()> {
        let uid = self.any(chance)?;
        let others: Vec<&str> = MAILBOXES.into_iter().filter(|name| *name != self.mailbox).collect();
        self.ask(&format!("UID MOVE {uid} {}", others[chance.below(others.len())]));
        Some(())
    }

    fn idles(&mut self) {
        self.client.send(b"i IDLE\r\n");
        assert!(self.client.line().starts_with("+ "));
        std::thread::sleep(Duration::from_millis(30));
        self.client.send(b"DONE\r\n");
        let (untagged, status) = self.client.finish("i");
        assert!(status.starts_with("OK"), "{status}");
        untagged.iter().for_each(|line| self.take(line));
        self.take_codes(&status);
        self.ask("NOOP");
    }

    fn works(&mut self, chance: &Chance, next: &AtomicUsize, ledger: &Mutex<Ledger>) {
        for _ in 0..COMMANDS {
            match chance.below(100) {
                0..15 if self.messages.len() < FULL => {
                    let subject = format!("soak{}", next.fetch_add(1, Ordering::Relaxed));
                    let text = text_of(&subject);
                    self.ask(&format!("APPEND {} (\\Seen) {{{}+}}\r\n{text}", self.mailbox, text.len()));
                    ledger.lock().unwrap().sure.insert(subject);
                }
                0..28 => drop(self.one_goes(chance, ledger)),
                28..50 => drop(self.flags_change(chance)),
                50..60 => drop(self.one_moves(chance)),
                60..65 => drop(self.one_is_copied(chance, ledger)),
                65..75 => drop(self.any(chance).and_then(|uid| self.subject(uid))),
                75..80 => drop(self.ask("UID SEARCH OR FLAGGED BODY again")),
                80..85 => self.idles(),
                85..90 if self.qresync => self.comes_back(),
                _ => drop(self.ask("NOOP")),
            }
        }
    }
}

/// What stands between two texts.
fn between<'a>(line: &'a str, before: &str, behind: &str) -> Option<&'a str> {
    line.split_once(before)?.1.split_once(behind).map(|(found, _)| found)
}

/// The numbers of a UID set.
fn numbers(set: &str) -> BTreeSet<u32> {
    let range = |range: &str| {
        let (from, to) = range.split_once(':').unwrap_or((range, range));
        from.parse().unwrap()..=to.parse::<u32>().unwrap()
    };
    set.split(',').flat_map(range).collect()
}

/// What the server holds.
#[derive(Clone, Copy, Debug)]
struct Held {
    memory_kib: u64,
    threads: u64,
    files: u64,
    dead: u64,
}

fn held(server: &Server) -> Held {
    let process = PathBuf::from(format!("/proc/{}", server.pid()));
    let status = std::fs::read_to_string(process.join("status")).unwrap();
    let number = |name: &str| -> u64 {
        let line = status.lines().find(|line| line.starts_with(name)).unwrap();
        line.split_whitespace().nth(1).unwrap().parse().unwrap()
    };
    let files = std::fs::read_dir(process.join("fd")).unwrap().count() as u64;
    // All that was expunged is given up.
    let (done, text) = server.command(&["status", "--reclaim", "--empty-bin", "--json"], "");
    assert!(done, "{text}");
    let dead = between(&text, "\"dead\":", ",").unwrap_or_else(|| panic!("{text}"));
    let dead = dead.trim().parse().unwrap();
    Held { memory_kib: number("VmRSS:"), threads: number("Threads:"), files, dead }
}

fn delivers(data: &Path, subject: &str) {
    let mut command = Command::new(binary());
    command.args(["deliver", "--account", "anna"]).arg("--data").arg(data);
    let mut child = command.stdin(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(text_of(subject).as_bytes()).unwrap();
    assert!(child.wait().unwrap().success(), "{subject} could not be delivered");
}

fn arrives(maildir: &Path, subject: &str) {
    let written = maildir.join("tmp").join(subject);
    std::fs::write(&written, text_of(subject)).unwrap();
    std::fs::rename(&written, maildir.join("new").join(subject)).unwrap();
}

/// Until all files were taken in.
fn taken_in(maildir: &Path) {
    let until = Instant::now() + Duration::from_secs(60);
    while std::fs::read_dir(maildir.join("new")).unwrap().next().is_some() {
        assert!(Instant::now() < until, "files are left in the watched Maildir");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// What each client was told is what a fresh one sees; and all that was acknowledged is there, once.
fn compare(server: &Server, clients: &mut [Told], ledger: &Ledger) {
    let mut seen: BTreeMap<String, usize> = BTreeMap::new();
    for mailbox in MAILBOXES {
        let mut fresh = server.login("anna");
        fresh.ok(&format!("SELECT {mailbox}"));
        let listed = fresh.ok("UID FETCH 1:* (FLAGS BODY.PEEK[])");
        let messages: Vec<(u32, BTreeSet<String>)> = listed
            .iter()
            .filter(|line| line.contains("BODY[]"))
            .map(|line| {
                let subject = between(line, "Subject: ", "\r\n").unwrap();
                assert!(line.contains(&text_of(subject)), "wrong bytes of {subject}");
                *seen.entry(subject.to_owned()).or_default() += 1;
                let flags = between(line, "FLAGS (", ")").unwrap().split_whitespace();
                let flags = flags.filter(|flag| *flag != "\\Recent").map(str::to_owned).collect();
                (between(line, "UID ", " ").unwrap().parse().unwrap(), flags)
            })
            .collect();
        for client in clients.iter_mut().filter(|client| client.mailbox == mailbox) {
            client.ask("NOOP");
            assert_eq!(client.messages, messages, "{mailbox} as a client was told, and as it is");
        }
    }
    for (subject, times) in &seen {
        assert_eq!(*times, 1, "{subject} is doubled");
    }
    for subject in ledger.sure.difference(&ledger.may_be_gone) {
        assert!(seen.contains_key(subject), "{subject} is lost");
    }
    let mut fresh = server.login("anna");
    fresh.ok("SELECT Copies");
    let mut copies: BTreeMap<String, usize> = BTreeMap::new();
    for line in fresh.ok("UID FETCH 1:* (BODY.PEEK[])") {
        if let Some(subject) = between(&line, "Subject: ", "\r\n") {
            *copies.entry(subject.to_owned()).or_default() += 1;
        }
    }
    assert_eq!(copies, ledger.copied, "what was copied, and what is there");
}

#[test]
fn twenty_clients_are_told_what_is_there() {
    let rounds = if std::env::var_os("POSTERN_TEST_LONG").is_some() { ROUNDS.1 } else { ROUNDS.0 };
    let wished = std::env::var("POSTERN_SOAK_ROUNDS").ok().and_then(|rounds| rounds.parse().ok());
    let rounds = wished.unwrap_or(rounds);
    let (server, begun) = (Server::start(&["anna"]), Instant::now());
    let maildir = server.scratch("Maildir");
    ["new", "cur", "tmp"].iter().for_each(|name| std::fs::create_dir_all(maildir.join(name)).unwrap());
    let mut client = server.login("anna");
    ["Work", "Watched", "Copies"].iter().for_each(|name| drop(client.ok(&format!("CREATE {name}"))));
    let source = ["source", "add", maildir.to_str().unwrap(), "--account", "anna", "--mailbox", "Watched"];
    let (added, text) = server.command(&[&source[..], &["--after", "delete"]].concat(), "");
    assert!(added, "{text}");

    let (next, ledger, data) = (AtomicUsize::new(0), Mutex::<Ledger>::default(), server.data());
    let mut clients: Vec<Told> = (0..CLIENTS).map(|n| Told::new(&server, n)).collect();
    let chances: Vec<Chance> = (0..CLIENTS).map(|_| Chance::new()).collect();
    let (mut middle, mut way) = (None, Vec::new());
    for round in 1..=rounds {
        std::thread::scope(|scope| {
            for (client, chance) in clients.iter_mut().zip(&chances) {
                let (next, ledger) = (&next, &ledger);
                scope.spawn(move || client.works(chance, next, ledger));
            }
            for n in 0..DELIVERED {
                let (delivered, arrived) = (format!("delivered{round}x{n}"), format!("arrived{round}x{n}"));
                delivers(&data, &delivered);
                arrives(&maildir, &arrived);
                ledger.lock().unwrap().sure.extend([delivered, arrived]);
            }
            if round % 3 == 0 {
                let (done, text) = server.command(&["status", "--reclaim"], "");
                assert!(done, "{text}");
            }
        });
        taken_in(&maildir);
        compare(&server, &mut clients, &ledger.lock().unwrap());
        if round % (rounds / 12).max(1) == 0 {
            way.push(held(&server).memory_kib / 1024);
        }
        if round == rounds / 2 {
            middle = Some(held(&server));
        }
    }
    let last = held(&server);
    let (well, text) = server.command(&["check"], "");
    assert!(well, "{text}");
    let middle = middle.expect("there is a middle");
    println!("figure soak, MiB resident on the way: {way:?}");
    println!(
        "figure soak of {CLIENTS} clients: {} commands in {rounds} rounds, {} messages acknowledged, 0 lost, 0 doubled, {} \
         views as fresh ones; from the middle to the end {} to {} KiB resident, {} to {} threads, {} to {} open files, {} \
         to {} bytes dead; check found nothing; {:.0} s",
        CLIENTS * COMMANDS * rounds,
        ledger.lock().unwrap().sure.len(),
        CLIENTS * rounds,
        middle.memory_kib,
        last.memory_kib,
        middle.threads,
        last.threads,
        middle.files,
        last.files,
        middle.dead,
        last.dead,
        begun.elapsed().as_secs_f64()
    );
    assert!(last.memory_kib <= middle.memory_kib + MORE_MEMORY_KIB, "memory grows: {middle:?}, {last:?}");
    assert!(last.files <= middle.files + MORE_FILES, "open files grow: {middle:?}, {last:?}");
    assert!(last.threads <= middle.threads + MORE_THREADS, "threads grow: {middle:?}, {last:?}");
    assert!(last.dead <= middle.dead + MORE_DEAD, "dead bytes grow: {middle:?}, {last:?}");
}
