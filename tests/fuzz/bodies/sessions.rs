//! Whole sessions over a socket, from each state that a session knows: every byte that comes back is a response, each
//! command is answered at most once, the answers are bounded, and the session ends when its client has gone.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use postern::imap::{Imap, Kind, Options, Timeouts};

use super::first;
use super::world::{self, NAME, World};

/// How a session begins; `LOGIN` alone stands for the right one.
const STATES: &[&str] = &[
    "",
    "LOGIN",
    "LOGIN\r\ns SELECT INBOX",
    "LOGIN\r\ns ENABLE QRESYNC UTF8=ACCEPT IMAP4REV2\r\ns EXAMINE INBOX",
    "s AUTHENTICATE PLAIN",
    "LOGIN\r\ns APPEND INBOX (\\Seen) {40}",
    "LOGIN\r\ns SELECT INBOX\r\ns IDLE",
];
/// What a client sends in them.
const SEEDS: &[(u8, &str)] = &[
    (0, "a CAPABILITY\r\nb ID (\"name\" \"x\")\r\nc SELECT INBOX\r\nd STARTTLS\r\n"),
    (
        1,
        "a LIST \"\" * RETURN (STATUS (MESSAGES UIDNEXT) CHILDREN)\r\nb CREATE Work/2024\r\nc LSUB \"\" %\r\nd STATUS INBOX (RECENT SIZE)\r\n",
    ),
    (
        1,
        "a APPEND INBOX () {20+}\r\nSubject: x\r\n\r\nhello\r\n\r\nb RENAME Work Play\r\nc DELETE Play\r\nd NAMESPACE\r\n",
    ),
    (
        2,
        "a FETCH 1:* (FLAGS ENVELOPE BODYSTRUCTURE BODY.PEEK[HEADER.FIELDS (Subject)] BINARY.SIZE[1])\r\nb SEARCH TEXT hello NOT SEEN\r\n",
    ),
    (
        2,
        "a STORE 1:2 +FLAGS (\\Deleted $x)\r\nb EXPUNGE\r\nc UID COPY 1 INBOX\r\nd UID MOVE 2 Work\r\ne CLOSE\r\nf NOOP\r\n",
    ),
    (
        3,
        "a UID SEARCH RETURN (ALL COUNT SAVE) 1:*\r\nb UID FETCH $ (UID PREVIEW EMAILID) (CHANGEDSINCE 1 VANISHED)\r\nc UNSELECT\r\n",
    ),
    (4, "*\r\na NOOP\r\n"),
    (4, "AGE=\r\na CAPABILITY\r\n"),
    (5, "Subject: forty\r\n\r\n0123456789012345678901\r\na NOOP\r\n"),
    (5, "Subject: forty\r\n\r\n0123456789012345678901 {5}\r\nhello\r\na CHECK\r\n"),
    (6, "DONE\r\na FETCH 1 BODY[]\r\nb LOGOUT\r\n"),
    (6, "a NOOP\r\nDONE\r\n"),
];
/// A longer input is cut: what a socket takes though nobody reads.
const LONGEST: usize = 16 * 1024;
/// Bytes of answers for each byte of an input, at most: the mailbox holds a few small messages.
const ANSWER: usize = 8 * 1024;
/// A server is used for so many inputs: what they leave in it must not grow.
const INPUTS: u64 = 50;
/// After so long without a word a client goes.
const QUIET: Duration = Duration::from_millis(5);
/// No session takes so long, however busy the machine is.
const PATIENCE: Duration = Duration::from_secs(60);

pub fn seeds() -> Vec<Vec<u8>> {
    SEEDS.iter().map(|(state, text)| [&[*state], text.as_bytes()].concat()).collect()
}

struct Server {
    world: World,
    address: SocketAddr,
    used: AtomicU64,
    // Its listener ends with it.
    _stop: async_channel::Sender<()>,
}

fn server() -> Arc<Server> {
    static SERVER: Mutex<Option<Arc<Server>>> = Mutex::new(None);
    let mut known = SERVER.lock().unwrap_or_else(PoisonError::into_inner);
    match &*known {
        Some(server) if server.used.fetch_add(1, Ordering::Relaxed) < INPUTS => Arc::clone(server),
        _ => Arc::clone(known.insert(Arc::new(start()))),
    }
}

fn start() -> Server {
    static EXECUTOR: OnceLock<Arc<smol::Executor<'static>>> = OnceLock::new();
    let world = World::new(Arc::clone(EXECUTOR.get_or_init(world::executor)));
    let certificates = Arc::clone(&world.context.certificates);
    let imap = Imap::new(Options {
        store: world.context.store.clone(),
        tls: Arc::new(move || certificates.acceptor()),
        hasher: Arc::clone(&world.context.hasher),
        message_limit: 1 << 20,
        timeouts: Timeouts::default(),
        executor: Arc::clone(&world.executor),
    });
    let listener = smol::block_on(smol::net::TcpListener::bind("127.0.0.1:0")).unwrap();
    let address = listener.local_addr().unwrap();
    let (stop, shutdown) = postern::imap::Shutdown::new();
    world.executor.spawn(async move { imap.serve(listener, Kind::StartTls, shutdown).await }).detach();
    let server = Server { world, address, used: AtomicU64::new(0), _stop: stop };
    let message =
        "Subject: hello\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\nhello\r\n--b--\r\n";
    let append = format!("s APPEND INBOX {{{}+}}\r\n{message}\r\n", message.len());
    let told = speak(&server, &[&server.prefix(1)[..], append.as_bytes(), append.as_bytes()].concat());
    assert_eq!(told.windows(9).filter(|text| *text == b"APPENDUID").count(), 2, "{}", told.escape_ascii());
    server
}

impl Server {
    fn prefix(&self, state: usize) -> Vec<u8> {
        let login = format!("s LOGIN {NAME} {}", self.world.password);
        let begun = STATES[state % STATES.len()].replace("LOGIN", &login);
        if begun.is_empty() { Vec::new() } else { [begun.as_bytes(), b"\r\n"].concat() }
    }
}

/// All that is answered until the session ends. A client that has gone is told no more, so that this one goes only when
/// nothing comes any longer; what was not told by then may be cut off.
fn speak(server: &Server, said: &[u8]) -> Vec<u8> {
    let mut socket = TcpStream::connect(server.address).unwrap();
    // A session that has ended takes no more.
    let _ = socket.write_all(said);
    let mut told = Vec::new();
    socket.set_read_timeout(Some(QUIET)).unwrap();
    let mut end = socket.read_to_end(&mut told);
    if end.as_ref().is_err_and(|error| error.kind() == ErrorKind::WouldBlock) {
        let _ = socket.shutdown(Shutdown::Write);
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        end = socket.read_to_end(&mut told);
    }
    let gone = end.as_ref().is_err_and(|error| error.kind() == ErrorKind::ConnectionReset);
    assert!(end.is_ok() || gone, "the session goes on: {end:?}, {}", told.escape_ascii());
    told
}

pub fn run(data: &[u8]) {
    let (state, said) = first(data);
    let said = &said[..said.len().min(LONGEST)];
    // Wrong passwords are slowed down on purpose.
    let upper = said.to_ascii_uppercase();
    if [&b"LOGIN"[..], b"AUTHENT"].iter().any(|word| upper.windows(word.len()).any(|text| text == *word)) {
        return;
    }
    let server = server();
    let all = [&server.prefix(usize::from(state))[..], said].concat();
    let told = speak(&server, &all);
    assert!(told.len() <= ANSWER * (all.len() + 1), "{} bytes of answers", told.len());
    let lines = all.iter().filter(|byte| **byte == b'\n').count() + 1;
    let tagged = responses(&told).unwrap_or_else(|why| panic!("{why}: {}", told.escape_ascii()));
    assert!(tagged <= lines, "{tagged} answers to {lines} lines: {}", told.escape_ascii());
}

/// How many tagged responses there are in what a server said; an error where it is no row of responses. The last one may
/// be cut off.
fn responses(mut rest: &[u8]) -> Result<usize, &'static str> {
    let (mut tagged, mut first) = (0, true);
    while let Some((begun, after)) = line(rest)? {
        let mut words = begun.split(|byte| *byte == b' ');
        let (tag, word) = (words.next().unwrap_or_default(), words.next().ok_or("a response of one word")?);
        if std::mem::take(&mut first) && tag != b"*" {
            return Err("no greeting");
        }
        if !matches!(tag, b"*" | b"+") {
            let known = matches!(word, b"OK" | b"NO" | b"BAD");
            known.then_some(()).ok_or("a tag before something else")?;
            tagged += 1;
        }
        rest = after;
        let mut last = begun;
        while let Some(length) = literal(last) {
            let Some(after) = rest.get(length..) else { return Ok(tagged) };
            let Some((next, after)) = line(after)? else { return Ok(tagged) };
            (last, rest) = (next, after);
        }
    }
    Ok(tagged)
}

/// A line without its end, and what follows it.
type Line<'a> = (&'a [u8], &'a [u8]);

/// The next line; `None` if it is not whole.
fn line(rest: &[u8]) -> Result<Option<Line<'_>>, &'static str> {
    let Some(end) = rest.windows(2).position(|two| two == b"\r\n") else { return Ok(None) };
    let line = &rest[..end];
    if line.iter().any(|byte| matches!(byte, b'\r' | b'\n' | 0)) {
        return Err("a bare control character");
    }
    Ok(Some((line, &rest[end + 2..])))
}

fn literal(line: &[u8]) -> Option<usize> {
    let digits = line.strip_suffix(b"}")?.rsplit(|byte| *byte == b'{').next()?;
    std::str::from_utf8(digits).ok()?.parse().ok()
}
