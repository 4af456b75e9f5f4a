//! A disk that gives errors while mail is read: what a client has been sent is whole, what cannot be read is NO, and
//! what follows it comes.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use postern::actions::Context;
use postern::actions::export::{self, Meta, Outlet};
use postern::credential::Hasher;
use postern::imap::Timeouts;
use postern::store::env::{Disk, DiskFile, Held, RealDisk};
use postern::store::{Error, Options, Store, accounts};
use postern::tls::Certificates;

use crate::damage::message;
use crate::harness::{Client, PASSWORD, Server};
use crate::in_process::InProcess;

/// The system's files, whose reads fail with EIO when they are told to.
#[derive(Clone, Debug)]
struct Failing {
    /// Only files whose path has this in it.
    what: &'static str,
    plan: Arc<Plan>,
}

#[derive(Debug, Default)]
struct Plan {
    /// Reads so far.
    reads: AtomicU64,
    /// The first one that fails; none if it is negative.
    from: AtomicI64,
    /// How many fail.
    count: AtomicU64,
}

impl Plan {
    fn none() -> Arc<Plan> {
        Arc::new(Plan { from: AtomicI64::new(-1), ..Plan::default() })
    }

    fn read(&self) -> io::Result<()> {
        let n = self.reads.fetch_add(1, Ordering::SeqCst);
        let from = self.from.load(Ordering::SeqCst);
        let Ok(from) = u64::try_from(from) else { return Ok(()) };
        let fails = n >= from && n - from < self.count.load(Ordering::SeqCst);
        if fails { Err(io::Error::from_raw_os_error(5)) } else { Ok(()) }
    }

    /// From the next read on, `skip` go well and then `count` fail.
    fn fail(&self, skip: u64, count: u64) {
        self.count.store(count, Ordering::SeqCst);
        self.from.store((self.reads.load(Ordering::SeqCst) + skip) as i64, Ordering::SeqCst);
    }
}

#[derive(Debug)]
struct FailingFile(Arc<dyn DiskFile>, Option<Arc<Plan>>);

impl DiskFile for FailingFile {
    fn len(&self) -> io::Result<u64> {
        self.0.len()
    }
    fn read_at(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.1.as_ref().map_or(Ok(()), |plan| plan.read())?;
        self.0.read_at(offset, out)
    }
    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.0.write_at(offset, bytes)
    }
    fn set_len(&self, len: u64) -> io::Result<()> {
        self.0.set_len(len)
    }
    fn sync(&self) -> io::Result<()> {
        self.0.sync()
    }
}

impl Disk for Failing {
    fn open(&self, path: &Path, create: bool) -> io::Result<Arc<dyn DiskFile>> {
        let plan = path.to_string_lossy().contains(self.what).then(|| Arc::clone(&self.plan));
        Ok(Arc::new(FailingFile(RealDisk.open(path, create)?, plan)))
    }
    fn create_dir(&self, path: &Path) -> io::Result<()> {
        RealDisk.create_dir(path)
    }
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        RealDisk.rename(from, to)
    }
    fn unlink(&self, path: &Path) -> io::Result<()> {
        RealDisk.unlink(path)
    }
    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        RealDisk.sync_dir(path)
    }
    fn list(&self, path: &Path) -> io::Result<Vec<String>> {
        RealDisk.list(path)
    }
    fn free_space(&self, path: &Path) -> io::Result<u64> {
        RealDisk.free_space(path)
    }
    fn lock(&self, path: &Path) -> io::Result<Held> {
        RealDisk.lock(path)
    }
}

/// A store of some messages in a folder.
fn filled(folder: &Path) -> Vec<Vec<u8>> {
    let store = Store::open(Options::new(folder)).unwrap();
    let hash = Hasher::new().hash(PASSWORD).unwrap();
    store.write(move |tx| accounts::create(tx, "alice", Some(&hash))).unwrap();
    let server = InProcess::over(store, Arc::new(Hasher::new()), Timeouts::default());
    let mut client = login(&server);
    let sizes = [900, 5_000, 40_000, 300_000, 1_200_000, 700, 100_000];
    let messages: Vec<Vec<u8>> = sizes.iter().enumerate().map(|(n, size)| message(n, *size)).collect();
    for message in &messages {
        client.append("INBOX", "\\Flagged", message);
    }
    messages
}

fn login(server: &InProcess) -> Client {
    let mut client = server.connect();
    client.ok(&format!("LOGIN alice \"{PASSWORD}\""));
    client
}

/// A server over that store whose reads can be made to fail, with nothing of it in memory.
fn served(folder: &Path, what: &'static str) -> (InProcess, Arc<Plan>) {
    let plan = Plan::none();
    let mut options = Options::new(folder);
    options.disk = Arc::new(Failing { what, plan: Arc::clone(&plan) });
    (options.index_cache, options.active_cache, options.volume_cache) = (0, 0, 0);
    let store = open_again(&options);
    (InProcess::over(store, Arc::new(Hasher::new()), Timeouts::default()), plan)
}

/// Opens a store that was closed just now. A program that another test starts at this moment has our lock's file open
/// too, from its fork to its exec.
fn open_again(options: &Options) -> Store {
    let until = Instant::now() + Duration::from_secs(10);
    loop {
        match Store::open(options.clone()) {
            Err(Error::Locked(_)) if Instant::now() < until => std::thread::sleep(Duration::from_millis(5)),
            opened => return opened.unwrap(),
        }
    }
}

/// How a command ended.
#[derive(Clone, Debug, PartialEq, Eq)]
enum End {
    Ok,
    No(String),
    /// The connection was closed, in the middle of a response or before one.
    Closed,
}

/// Sends a command; every response must be whole and have the right bytes. Gives how many bodies came, and the end.
fn fetch(client: &mut Client, command: &str, messages: &[Vec<u8>]) -> (usize, End) {
    client.send(format!("f {command}\r\n").as_bytes());
    let mut bodies = 0;
    loop {
        let Some(response) = client.response() else { return (bodies, End::Closed) };
        let text = String::from_utf8_lossy(&response);
        if let Some(status) = text.strip_prefix("f ") {
            return match status.strip_prefix("NO ") {
                Some(why) => (bodies, End::No(why.to_owned())),
                None => (bodies, if status.starts_with("OK") { End::Ok } else { panic!("{status}") }),
            };
        }
        assert!(text.starts_with("* ") && !text.contains("\nf "), "{text}");
        if text.contains(" FETCH (") {
            assert!(text.ends_with(')'), "{text}");
        }
        let Some(at) = text.find("BODY[] {") else { continue };
        let number: usize = text[2..].split(' ').next().unwrap().parse().unwrap();
        let body = &response[at..][text[at..].find("\r\n").unwrap() + 2..response.len() - at - 1];
        assert!(body == messages[number - 1], "wrong bytes of {number}");
        bodies += 1;
    }
}

const ALL: &str = "FETCH 1:* (UID FLAGS ENVELOPE BODY.PEEK[])";

/// Each read of a FETCH fails once: in a volume, or in the index.
fn each_read_fails(what: &'static str, lasting: bool) {
    let folder = tempfile::tempdir().unwrap();
    let messages = filled(folder.path());
    let (mut n, mut ends) = (0, [0_u32; 3]);
    loop {
        let (server, plan) = served(folder.path(), what);
        let mut client = login(&server);
        client.ok("EXAMINE INBOX");
        let before = plan.reads.load(Ordering::SeqCst);
        plan.fail(n, if lasting { u64::MAX } else { 1 });
        let (bodies, end) = fetch(&mut client, ALL, &messages);
        if plan.reads.load(Ordering::SeqCst) - before <= n {
            assert_eq!((bodies, &end), (messages.len(), &End::Ok), "nothing failed");
            break;
        }
        ends[match end {
            End::Ok => 0,
            End::No(_) => 1,
            End::Closed => 2,
        }] += 1;
        assert!(end != End::Ok || bodies == messages.len(), "read {n}: OK without {bodies}");
        if end == End::Closed {
            // Whoever was cut off comes again and is told, and gets what can be read; each message breaks one
            // connection at most.
            let ended = (0..messages.len()).any(|_| comes_to_an_end(&server, &messages));
            assert!(ended, "read {n}: closed again and again");
        } else {
            // The connection is in step still.
            client.ok("NOOP");
        }
        // One that lasts is waited out each time: a sample of the places is enough, and what fails once goes to all.
        n += if lasting { 29 } else { 1 };
    }
    println!(
        "figure EIO at the reads of a FETCH in {what} (lasting: {lasting}): up to read {n}, {} OK, {} NO, {} closed",
        ends[0], ends[1], ends[2]
    );
    assert!(n > 20, "{n}");
}

/// Whether a new connection's FETCH gets its tagged answer, or the connection is refused in words.
fn comes_to_an_end(server: &InProcess, messages: &[Vec<u8>]) -> bool {
    let mut client = login_or_refused(server);
    let Some(client) = &mut client else { return true };
    !client.command("EXAMINE INBOX").1.starts_with("OK") || fetch(client, ALL, messages).1 != End::Closed
}

fn login_or_refused(server: &InProcess) -> Option<Client> {
    let mut client = server.connect();
    client.command(&format!("LOGIN alice \"{PASSWORD}\"")).1.starts_with("OK").then_some(client)
}

#[test]
fn eio_once_at_each_read_of_a_volume() {
    each_read_fails("/mail/", false);
}

#[test]
fn eio_from_each_read_of_a_volume_on() {
    each_read_fails("/mail/", true);
}

#[test]
fn eio_once_at_each_read_of_the_index() {
    each_read_fails("/index.redb", false);
}

#[test]
fn eio_from_each_read_of_the_index_on() {
    each_read_fails("/index.redb", true);
}

#[test]
fn a_search_tells_what_it_could_not_read_and_what_it_found() {
    let folder = tempfile::tempdir().unwrap();
    let messages = filled(folder.path());
    let (server, plan) = served(folder.path(), "/mail/");
    let mut client = login(&server);
    client.ok("EXAMINE INBOX");
    plan.fail(0, u64::MAX);
    let untagged = client.ok("SEARCH OR UID 2 BODY 12345");
    assert!(untagged.contains(&"* SEARCH 2".to_owned()), "{untagged:?}");
    let warned = untagged.iter().any(|line| line.starts_with("* NO 6 messages could not be searched"));
    assert!(warned, "{untagged:?}");
    // What needs no content is told as ever.
    let untagged = client.ok("SEARCH FLAGGED");
    assert_eq!(untagged, ["* SEARCH 1 2 3 4 5 6 7"]);
    assert_eq!(client.ok("FETCH 1:* (FLAGS RFC822.SIZE)").len(), messages.len());
}

/// Every item that reads content, over the real binary whose only volume was deleted under it, or while it was
/// stopped.
#[test]
fn every_item_of_a_deleted_volume_is_no_and_the_connection_stays_in_step() {
    let mut server = Server::start(&["alice"]);
    let mut client = server.login("alice");
    for n in 0..3 {
        client.append("INBOX", "", &message(n, 2_000 + n * 200_000));
    }
    server.stop();
    std::fs::remove_file(server.data().join("mail/000001.redb")).unwrap();
    server.restart();
    let mut client = server.login("alice");
    client.ok("SELECT INBOX");
    for items in [
        "BODY.PEEK[]",
        "RFC822",
        "RFC822.HEADER",
        "BODY.PEEK[TEXT]",
        "BODY.PEEK[HEADER.FIELDS (SUBJECT)]",
        "BODY.PEEK[1]",
        "BODY.PEEK[1.MIME]",
        "BODY.PEEK[]<0.100>",
        "BINARY.PEEK[1]",
        "BINARY.SIZE[1]",
        "ENVELOPE",
        "BODY",
        "BODYSTRUCTURE",
        "PREVIEW",
    ] {
        let (untagged, status) = client.command(&format!("FETCH 1:* (UID FLAGS {items})"));
        assert!(status.starts_with("NO ["), "{items}: {status}");
        let told: Vec<_> = untagged.iter().filter(|line| line.contains(" FETCH (UID ")).collect();
        assert!(told.len() == 3 && told.iter().all(|line| line.contains("FLAGS (")), "{items}: {untagged:?}");
    }
    let (done, status) = server.command(&["status"], "");
    assert!(done && status.contains("PROBLEM: Mail is missing: volume 000001.redb"), "{status}");
    assert!(status.contains("postern check --repair"), "{status}");
    let json: serde_json::Value = serde_json::from_str(&server.command(&["status", "--json"], "").1).unwrap();
    assert!(json["problems"][0]["what"].as_str().unwrap().contains("000001.redb"), "{json}");
    assert!(server.log().contains("something is wrong with the store"), "{}", server.log());
    assert!(client.ok("SEARCH TEXT needle").iter().any(|line| line.starts_with("* NO 3 messages")));
    client.ok("NOOP");
    assert_eq!(server.stop(), Some(0));
}

/// Counts what is taken out.
#[derive(Default)]
struct Taken {
    whole: u64,
    broken: u64,
}

impl Outlet for Taken {
    fn mailbox(&mut self, _: &str) -> io::Result<()> {
        Ok(())
    }
    fn message(&mut self, _: &Meta) -> io::Result<()> {
        Ok(())
    }
    fn data(&mut self, _: &[u8]) -> io::Result<()> {
        Ok(())
    }
    fn end(&mut self) -> io::Result<()> {
        self.whole += 1;
        Ok(())
    }
    fn broken(&mut self) -> io::Result<()> {
        self.broken += 1;
        Ok(())
    }
}

#[test]
fn an_export_names_what_it_could_not_read_and_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let messages = filled(folder.path()).len() as u64;
    let plan = Plan::none();
    let mut options = Options::new(folder.path());
    options.disk = Arc::new(Failing { what: "/mail/", plan: Arc::clone(&plan) });
    (options.active_cache, options.volume_cache) = (0, 0);
    let store = Store::open(options).unwrap();
    let certificates = Arc::new(Certificates::open(&store).unwrap());
    let context = Context { store, hasher: Arc::new(Hasher::new()), certificates, running: None };
    let export = export::plan(&context, export::Choice::default()).unwrap();
    // The first ones are read, and then the disk gives errors for good.
    plan.fail(30, u64::MAX);
    let mut taken = Taken::default();
    let summary = export.run(&mut taken).unwrap();
    assert_eq!((summary.messages, summary.damaged_count), (taken.whole, taken.broken));
    assert!(taken.broken > 0 && taken.whole + taken.broken == messages, "{summary:?}");
    assert!(summary.damaged.iter().all(|which| which.starts_with("INBOX, UID ")), "{summary:?}");
}

/// Tries until something is there: an index that could not be read is opened again after a while.
fn again<T>(mut tried: impl FnMut() -> Option<T>) -> T {
    for _ in 0..600 {
        if let Some(found) = tried() {
            return found;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    panic!("it did not come in 30 s");
}

fn until_ok(client: &mut Client, command: &str) {
    again(|| client.command(command).1.starts_with("OK").then_some(()));
}

/// More news than are taken up at once are read part by part. Where the disk fails in the middle of them, what the client
/// was told is true, and it either hears of the rest at its next command or is sent away: it never goes on as if it had
/// heard all.
#[test]
fn news_that_are_not_read_to_their_end_are_never_taken_for_all() {
    let folder = tempfile::tempdir().unwrap();
    filled(folder.path());
    let (server, plan) = served(folder.path(), "/index.redb");
    let mut other = login(&server);
    other.ok("SELECT INBOX");
    // Every second message changes, which is more ranges than a session takes up at once.
    for _ in 0..13 {
        other.ok("COPY 1:* INBOX");
    }
    let messages = other.ok("FETCH * (UID)")[0].split(' ').nth(1).unwrap().parse::<usize>().unwrap();
    let every_second: Vec<String> = (1..=messages).step_by(2).map(|n| n.to_string()).collect();
    assert!(every_second.len() > 20_000);
    let change = |other: &mut Client, on: bool| {
        let sign = if on { '+' } else { '-' };
        until_ok(other, &format!("STORE {} {sign}FLAGS.SILENT (\\Answered)", every_second.join(",")));
    };
    let mut on = false;
    let mut ends = [0_u32; 3];
    // The reads of one look at the news, of which each of these fails for good.
    let mut reads = 0;
    for part in 0..8 {
        on = !on;
        let mut client = again(|| login_or_refused(&server));
        until_ok(&mut client, "SELECT INBOX");
        let mut known: Vec<bool> = (0..messages).map(|n| n % 2 == 0 && !on).collect();
        change(&mut other, on);
        let before = plan.reads.load(Ordering::SeqCst);
        if part > 0 {
            plan.fail(reads * (part - 1) / 7, u64::MAX);
        }
        let listen = |client: &mut Client, known: &mut [bool]| {
            client.send(b"n NOOP\r\n");
            loop {
                let Some(response) = client.response() else { return End::Closed };
                let text = String::from_utf8(response).unwrap();
                if text.starts_with("* BYE") {
                    return End::Closed;
                }
                if let Some(status) = text.strip_prefix("n ") {
                    assert!(status.starts_with("OK"), "{status}");
                    return End::Ok;
                }
                if let Some((number, flags)) = text[2..].split_once(" FETCH ") {
                    known[number.parse::<usize>().unwrap() - 1] = flags.contains("\\Answered");
                }
            }
        };
        let end = listen(&mut client, &mut known);
        if part == 0 {
            reads = plan.reads.load(Ordering::SeqCst) - before;
            assert!(reads > 100, "{reads}");
        }
        plan.fail(0, 0);
        // Whoever is not sent away hears of it as soon as the disk can be read, which is tried again at times.
        let told = again(|| {
            let told = if end == End::Ok { listen(&mut client, &mut known) } else { End::Closed };
            let all = (0..messages).all(|n| known[n] == (n % 2 == 0 && on));
            (told == End::Closed || all).then_some(told)
        });
        ends[usize::from(end == End::Closed) + usize::from(told == End::Closed)] += 1;
        assert!(told == End::Ok || client.is_closed(), "part {part}");
    }
    println!("figure news that fail to be read: {} told in the end, {} sent away", ends[0], ends[2]);
    assert!(ends[2] > 0, "{ends:?}");
}
