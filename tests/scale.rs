//! The store and the server with 200,000 messages in one mailbox, every second one expunged, in 60 volumes.
//! What does not hang on the machine's speed is asserted; times are printed beside their goals.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stdout, missing_docs)]

#[path = "scale/card.rs"]
mod card;
#[path = "server/harness.rs"]
#[allow(dead_code)]
mod harness;
#[path = "scale/wire.rs"]
mod wire;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use harness::{PASSWORD, Server};
use postern::model::{AccountId, DateTime, FlagSet, MailboxId, MailboxName, SystemFlags, Uid, UidSet};
use postern::store::messages::{self, FlagChange, NewMessage};
use postern::store::sim::Dice;
use postern::store::{Options, Store, accounts, mailboxes};
use wire::Wire;

const MESSAGES: usize = 200_000;
const VOLUMES: u64 = 60;
/// Messages that one job files while the mailbox is filled.
const BATCH: usize = 500;
/// Operations over which bytes and syncs are counted: up to the checkpoint that they pay for.
const OPERATIONS: u64 = 2_000;

struct Goal {
    missed: usize,
}

impl Goal {
    fn show(&mut self, name: &str, value: f64, unit: &str, goal: f64) {
        let mark = if value <= goal { "" } else { " MISSED" };
        self.missed += usize::from(value > goal);
        println!("figure {name}: {value:.1} {unit} (goal {goal} {unit}){mark}");
    }
}

#[test]
#[cfg_attr(debug_assertions, ignore = "measures the release build")]
fn two_hundred_thousand_messages() {
    let mut goal = Goal { missed: 0 };
    let mut server = Server::start_filled(&["anna"], |data| fill(data, &mut goal));
    println!("figure resident after start: {} KiB", resident(&server));
    let started = Instant::now();
    let bystander = Bystander::start(&server);
    let mut first = wire(&server);
    for (name, most, command) in [
        ("SELECT", 20.0, "SELECT INBOX"),
        ("FETCH FLAGS of all", 100.0, "FETCH 1:* (FLAGS)"),
        ("UID FETCH FLAGS of all", 100.0, "UID FETCH 1:* (FLAGS)"),
    ] {
        let (time, answer) = median(5, || timed(&mut first, command));
        goal.show(name, time, "ms", most);
        if command.contains("FETCH") {
            let told = answer.windows(8).filter(|window| window == b" FETCH (").count();
            assert_eq!(told, MESSAGES / 2, "{command}");
        }
    }
    resync(&server, &mut goal);
    let mut second = wire(&server);
    second.ok("SELECT INBOX");
    let (time, _) = timed(&mut first, "UID STORE 1:* +FLAGS.SILENT (\\Flagged)");
    goal.show("UID STORE 1:* +FLAGS.SILENT", time, "ms", 100.0);
    let (time, _) = timed(&mut first, "UID STORE 1:* -FLAGS.SILENT (\\Flagged)");
    goal.show("UID STORE 1:* -FLAGS.SILENT", time, "ms", 100.0);
    println!("figure NOOP after that, which tells nothing: {:.1} ms", timed(&mut first, "NOOP").0);
    println!("figure another session's NOOP, which tells all of it: {:.1} ms", timed(&mut second, "NOOP").0);
    let before = resident(&server);
    let sessions: Vec<Wire> = (0..20)
        .map(|_| {
            let mut wire = wire(&server);
            wire.ok("SELECT INBOX");
            wire
        })
        .collect();
    let each = resident(&server).saturating_sub(before) / sessions.len() as u64;
    goal.show("resident for each further session with the mailbox open", each as f64, "KiB", 300.0);
    let worst = bystander.stop();
    goal.show("a bystander's slowest NOOP", worst.as_secs_f64() * 1e3, "ms", 100.0);
    let used = resident(&server);
    goal.show("resident", used as f64 / 1024.0, "MiB", 64.0);
    assert!(used < 64 << 10, "{used} KiB resident");
    println!("figure measured over the wire in {:.1} s", started.elapsed().as_secs_f64());
    kill(&mut server, &mut first, &mut goal);
    card::dies(&mut server);
    println!("figure goals missed on this machine: {}", goal.missed);
}

/// Ten messages have changed and a client of yesterday comes back.
fn resync(server: &Server, goal: &mut Goal) {
    let mut other = wire(server);
    other.ok("ENABLE QRESYNC");
    let opened = String::from_utf8(other.ok("SELECT INBOX")).unwrap();
    let code = |name: &str| -> u64 {
        let at = opened.find(name).unwrap() + name.len();
        opened[at..].split(']').next().unwrap().trim().parse().unwrap()
    };
    let (validity, modseq) = (code("[UIDVALIDITY"), code("[HIGHESTMODSEQ"));
    for n in 1..=10 {
        other.ok(&format!("STORE {} +FLAGS.SILENT (\\Answered)", n * 9_000));
    }
    let mut again = wire(server);
    again.ok("ENABLE QRESYNC");
    let select = format!("SELECT INBOX (QRESYNC ({validity} {modseq}))");
    let (time, answer) = median(5, || timed(&mut again, &select));
    assert_eq!(answer.windows(8).filter(|window| window == b" FETCH (").count(), 10);
    goal.show("QRESYNC of 10 changes", time, "ms", 5.0);
    let fetch = format!("UID FETCH 1:* (FLAGS) (CHANGEDSINCE {modseq} VANISHED)");
    let (time, answer) = median(5, || timed(&mut again, &fetch));
    assert_eq!(answer.windows(8).filter(|window| window == b" FETCH (").count(), 10);
    goal.show("UID FETCH CHANGEDSINCE of 10 changes", time, "ms", 5.0);
}

fn kill(server: &mut Server, wire: &mut Wire, goal: &mut Goal) {
    wire.ok("SELECT INBOX");
    for n in 0..1_000 {
        wire.send(format!("s{n} STORE {} +FLAGS.SILENT (\\Deleted)\r\n", 1 + n * 97).as_bytes());
    }
    wire.until("s999");
    let started = Instant::now();
    server.kill_and_restart();
    goal.show("start after kill -9", started.elapsed().as_secs_f64(), "s", 1.0);
    let mut wire = self::wire(server);
    let status = String::from_utf8(wire.ok("STATUS INBOX (MESSAGES DELETED)")).unwrap();
    assert!(status.contains("MESSAGES 100000 DELETED 1000"), "{status}");
}

fn wire(server: &Server) -> Wire {
    let mut wire = Wire::open(server.imap);
    wire.ok(&format!("LOGIN anna \"{PASSWORD}\""));
    wire
}

fn timed(wire: &mut Wire, command: &str) -> (f64, Vec<u8>) {
    let started = Instant::now();
    let answer = wire.ok(command);
    (started.elapsed().as_secs_f64() * 1e3, answer)
}

fn median(times: usize, mut measure: impl FnMut() -> (f64, Vec<u8>)) -> (f64, Vec<u8>) {
    let mut found: Vec<(f64, Vec<u8>)> = (0..times).map(|_| measure()).collect();
    found.sort_by(|a, b| a.0.total_cmp(&b.0));
    found.swap_remove(times / 2)
}

/// Resident memory in KiB.
fn resident(server: &Server) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", server.pid())).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

/// Somebody else in the house, who looks for mail all the time.
struct Bystander {
    ended: Arc<AtomicBool>,
    thread: std::thread::JoinHandle<Duration>,
}

impl Bystander {
    fn start(server: &Server) -> Self {
        let mut wire = wire(server);
        wire.ok("SELECT Drafts");
        let ended = Arc::new(AtomicBool::new(false));
        let stop = Arc::clone(&ended);
        let thread = std::thread::spawn(move || {
            let mut worst = Duration::ZERO;
            while !stop.load(Ordering::Relaxed) {
                let started = Instant::now();
                wire.ok("NOOP");
                worst = worst.max(started.elapsed());
                std::thread::sleep(Duration::from_millis(2));
            }
            worst
        });
        Bystander { ended, thread }
    }

    fn stop(self) -> Duration {
        self.ended.store(true, Ordering::Relaxed);
        self.thread.join().unwrap()
    }
}

/// Fills the mailbox through the library, and counts what the disk is asked for.
fn fill(data: &Path, goal: &mut Goal) {
    let started = Instant::now();
    let mut options = Options::new(data);
    // A message takes about 700 bytes, compressed and with its digest; a volume is left after the job that
    // fills it.
    options.volume_size = MESSAGES as u64 * 600 / VOLUMES;
    let store = Store::open(options).unwrap();
    let account = accounts::by_name(&store.snapshot().unwrap(), "anna").unwrap().unwrap().id;
    let inbox =
        mailboxes::by_name(&store.snapshot().unwrap(), account, &MailboxName::inbox()).unwrap().unwrap().id;
    let mut dice = Dice::new(7);
    for first in (0..MESSAGES).step_by(BATCH) {
        let texts = (first..first + BATCH).map(|n| message(n, 300, &mut dice)).collect();
        append(&store, account, inbox, texts);
    }
    let uids: UidSet = (1..=MESSAGES as u32).filter(|_| dice.roll() & 1 == 0).collect();
    let mut gone: Vec<u32> = uids.iter().collect();
    while gone.len() < MESSAGES / 2 {
        let uid = 1 + (dice.roll() % MESSAGES as u64) as u32;
        if !uids.contains(uid) && !gone.contains(&uid) {
            gone.push(uid);
        }
    }
    gone.truncate(MESSAGES / 2);
    for slice in gone.chunks(5_000) {
        let slice: UidSet = slice.iter().copied().collect();
        store.write(move |tx| messages::expunge(tx, account, inbox, &slice, false)).unwrap();
    }
    store.checkpoint().unwrap();
    let statistics = store.statistics();
    println!(
        "figure filled: {} volumes of {} KiB, in {:.1} s",
        statistics.volumes,
        statistics.live / statistics.volumes / 1024,
        started.elapsed().as_secs_f64()
    );
    assert!(statistics.volumes >= VOLUMES);
    let uids = messages::uids(&store.snapshot().unwrap(), inbox).unwrap();
    assert_eq!(uids.len() as usize, MESSAGES / 2);
    goal.show("a view", uids.heap_bytes() as f64 / 1024.0, "KiB", 300.0);
    assert!(uids.heap_bytes() < 300 << 10);
    let sync = sync_time(data);
    println!("figure a sync of 4 KiB alone takes {sync:.2} ms on this disk");
    let known: Vec<Uid> = uids.iter().map(|(_, uid)| uid).collect();
    count(&store, goal, sync, "flag change", 16.0, 0.4, |n| {
        let uid = known[(n as usize * 7_919) % known.len()];
        let seen: FlagSet = SystemFlags::SEEN.into();
        store
            .write(move |tx| {
                let uids = UidSet::single(uid);
                messages::store_flags(tx, account, inbox, &uids, FlagChange::Add, &seen, None)
            })
            .unwrap();
    });
    let archive = MailboxName::new("Archive").unwrap();
    let archive = mailboxes::by_name(&store.snapshot().unwrap(), account, &archive).unwrap().unwrap().id;
    count(&store, goal, sync, "APPEND of 10 KB", 35.0, 0.6, |n| {
        append(&store, account, archive, vec![message(MESSAGES + n as usize, 10_000, &mut dice)]);
    });
    store.close().unwrap();
}

/// How long the disk takes to make 4 KiB durable, in milliseconds: what no operation can undercut.
fn sync_time(folder: &Path) -> f64 {
    use std::os::unix::fs::FileExt;
    let path = folder.join("scale.probe");
    let file = std::fs::File::create(&path).unwrap();
    file.write_all_at(&[0; 200 * 4096], 0).unwrap();
    file.sync_all().unwrap();
    let started = Instant::now();
    for n in 0..200 {
        file.write_all_at(&[1; 4096], n * 4096).unwrap();
        file.sync_data().unwrap();
    }
    std::fs::remove_file(path).unwrap();
    started.elapsed().as_secs_f64() * 1e3 / 200.0
}

/// What each of many operations asks of the disk, a checkpoint included.
fn count(
    store: &Store,
    goal: &mut Goal,
    sync: f64,
    name: &str,
    kilobytes: f64,
    milliseconds: f64,
    mut operation: impl FnMut(u64),
) {
    store.checkpoint().unwrap();
    let (before, started) = (store.statistics(), Instant::now());
    (0..OPERATIONS).for_each(&mut operation);
    let elapsed = started.elapsed();
    assert!(store.statistics().jobs - before.jobs >= OPERATIONS, "an operation is a job at least");
    store.checkpoint().unwrap();
    let after = store.statistics();
    let each = |count: u64| count as f64 / OPERATIONS as f64;
    let written = each(after.written - before.written) / 1000.0;
    let syncs = each(after.syncs - before.syncs);
    goal.show(&format!("written for each {name}"), written, "KB", kilobytes);
    goal.show(&format!("syncs for each {name}"), syncs, "syncs", 1.1);
    let time = elapsed.as_secs_f64() * 1e3 / OPERATIONS as f64;
    println!("figure time of each {name}: {time:.2} ms");
    goal.show(&format!("time of each {name} beyond its sync"), (time - sync).max(0.0), "ms", milliseconds);
    println!("figure checkpoints in {OPERATIONS} of each {name}: {}", after.checkpoints - before.checkpoints);
    assert!(syncs < 1.2, "{syncs} syncs for each {name}");
    assert!(written < kilobytes * 1.2, "{written} KB for each {name}");
}

fn append(store: &Store, account: AccountId, mailbox: MailboxId, texts: Vec<String>) {
    let prepared: Vec<_> = texts
        .iter()
        .map(|text| {
            let mut incoming = store.incoming(1 << 20);
            incoming.write(text.as_bytes()).unwrap();
            incoming.finish().unwrap()
        })
        .collect();
    store
        .write(move |tx| {
            let internal_date = DateTime::utc(tx.now());
            let mut new = Vec::with_capacity(prepared.len());
            for one in &prepared {
                let email = one.file(tx, account, &MailboxName::inbox())?;
                new.push(NewMessage { email, size: one.size(), internal_date, flags: FlagSet::default() });
            }
            messages::append(tx, account, mailbox, &new)
        })
        .unwrap();
}

/// A message with about `length` bytes of text that compresses as text does.
fn message(n: usize, length: usize, dice: &mut Dice) -> String {
    let mut text = format!(
        "From: Person {} <person{}@example.org>\r\nTo: anna@example.org\r\nSubject: Message number {n}\r\n\
         Date: Mon, 2 Mar 2026 10:00:00 +0000\r\nMessage-ID: <{n}.{:x}@example.org>\r\n\
         Content-Type: text/plain; charset=utf-8\r\n\r\n",
        n % 97,
        n % 97,
        dice.roll()
    );
    while text.len() < length + 250 {
        text.push_str(&format!("{:012x} and so it went on {:x}\r\n", dice.roll() >> 16, dice.roll() >> 32));
    }
    text
}
