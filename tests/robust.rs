//! Broken input against the parser and the framer: nothing panics, and how the bytes were cut into packets
//! makes no difference. Seeded; `POSTERN_SEED=n` runs one seed, a failure prints its own.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stdout, missing_docs)]

use postern::protocol::command::{self, Dialect};
use postern::protocol::framing::{Event, Framer};
use postern::store::sim::Dice;

/// Commands as clients send them, line ends and literals included.
const STREAM: &[&str] = &[
    "a1 CAPABILITY\r\n",
    "a2 LOGIN alice \"correct horse\"\r\n",
    "a3 LOGIN {5}\r\nalice {13+}\r\ncorrect horse\r\n",
    "a4 AUTHENTICATE PLAIN AGFsaWNlAGNvcnJlY3QgaG9yc2U=\r\n",
    "a5 ID (\"name\" \"Mail\" \"version\" NIL)\r\n",
    "a6 ENABLE CONDSTORE QRESYNC UTF8=ACCEPT IMAP4REV2\r\n",
    "a7 SELECT INBOX (QRESYNC (67890007 20050715194045000 41,43:211 (1:2 3:4)) CONDSTORE)\r\n",
    "a8 APPEND \"Drafts\" (\\Seen $x) \"17-Jul-1996 02:44:25 -0700\" {6+}\r\nhello\n ~{3}\r\na\0b\r\n",
    "a9 APPEND INBOX UTF8 (~{4+}\r\nabcd)\r\n",
    "b1 UID FETCH 1:*,3,* (FLAGS BODY.PEEK[1.2.HEADER.FIELDS (\"a\" b)]<0.20> BINARY.SIZE[1]) (CHANGEDSINCE 5 VANISHED)\r\n",
    "b2 STORE 1:5 (UNCHANGEDSINCE 3) +FLAGS.SILENT (\\Seen $Forwarded)\r\n",
    "b3 UID SEARCH RETURN (MIN MAX ALL SAVE) CHARSET UTF-8 OR (FROM x SUBJECT {3+}\r\näa) NOT (NOT TEXT \"y\")\r\n",
    "b4 LIST (SUBSCRIBED RECURSIVEMATCH) \"\" (\"a\" %) RETURN (CHILDREN STATUS (MESSAGES UIDNEXT))\r\n",
    "b5 STATUS {5}\r\nINBOX (MESSAGES HIGHESTMODSEQ)\r\n",
    "b6 IDLE\r\n",
    "DONE\r\n",
    "b7 UID MOVE 1,2 \"R&-D/Entw&APw-rfe\"\r\n",
    "b8 CREATE x (USE (\\Drafts))\r\n",
    "b9 RENAME a {1}\r\nb\r\n",
    "\r\n",
    "c1 LOGOUT\n",
];

fn seeds(count: u64) -> impl Iterator<Item = u64> {
    let only = std::env::var("POSTERN_SEED").ok().and_then(|seed| seed.parse::<u64>().ok());
    let base = u64::from(std::process::id()) << 20;
    let all = (0..count / 2).chain(base..base + count / 2);
    only.map_or_else(|| all.collect::<Vec<_>>(), |seed| vec![seed]).into_iter()
}

/// Runs `check` for each seed and names the one that failed.
fn each_seed(count: u64, check: impl Fn(&mut Dice) + std::panic::RefUnwindSafe) {
    for seed in seeds(count) {
        let run = std::panic::catch_unwind(|| check(&mut Dice::new(seed)));
        assert!(run.is_ok(), "failed with POSTERN_SEED={seed}");
    }
}

/// A stream of commands with a few bytes changed, left out, doubled or put in.
fn broken_stream(dice: &mut Dice) -> Vec<u8> {
    let mut bytes = Vec::new();
    for _ in 0..1 + dice.below(6) {
        bytes.extend_from_slice(STREAM[dice.below(STREAM.len() as u64) as usize].as_bytes());
    }
    for _ in 0..dice.below(5) {
        if bytes.is_empty() {
            break;
        }
        let at = dice.below(bytes.len() as u64) as usize;
        match dice.below(5) {
            0 => bytes[at] = b"()[]<>{}\"\\*%$ ,:.+~0129aA\xff\0\r\n"[dice.below(29) as usize],
            1 => drop(bytes.remove(at)),
            2 => bytes.insert(at, b"(){}\"\\ 0+\r\n\0\xf0"[dice.below(13) as usize]),
            3 => bytes.truncate(at),
            _ => {
                let piece: Vec<u8> = bytes[at..bytes.len().min(at + 12)].to_vec();
                bytes.splice(at..at, piece);
            }
        }
    }
    bytes
}

/// What a session would see, with the literals' fate decided by their length alone.
#[derive(Debug, PartialEq)]
enum Seen {
    Event(Event),
    Streamed(Vec<u8>),
}

fn frame(bytes: &[u8], limit: usize, cut: &mut dyn FnMut() -> usize) -> Vec<Seen> {
    let mut framer = Framer::new();
    framer.set_limit(limit);
    let mut seen = Vec::new();
    let mut streamed: Option<Vec<u8>> = None;
    let mut rest = bytes;
    while !rest.is_empty() {
        let (piece, left) = rest.split_at(cut().clamp(1, rest.len()));
        rest = left;
        framer.push(piece);
        loop {
            if let Some(mut bytes) = streamed.take() {
                bytes.extend(framer.take(7));
                while framer.left() > 0 && framer.buffered() > 0 {
                    bytes.extend(framer.take(7));
                }
                if framer.left() > 0 {
                    streamed = Some(bytes);
                    break;
                }
                seen.push(Seen::Streamed(bytes));
            }
            let Some(event) = framer.next_event() else { break };
            if let Event::Literal(head) = &event {
                match head.len % 4 {
                    0 => {
                        framer.stream();
                        streamed = Some(Vec::new());
                    }
                    1 | 2 if framer.accept() => {}
                    _ => drop(framer.refuse()),
                }
            }
            let fatal = matches!(&event, Event::Invalid(problem) if problem.is_fatal());
            seen.push(Seen::Event(event));
            if fatal {
                return seen;
            }
        }
        assert!(framer.buffered() <= limit + bytes.len());
    }
    seen
}

#[test]
fn packets_make_no_difference() {
    each_seed(400, |dice| {
        let bytes = broken_stream(dice);
        let limit = 20 + dice.below(200) as usize;
        let whole = frame(&bytes, limit, &mut || usize::MAX);
        let bytewise = frame(&bytes, limit, &mut || 1);
        assert_eq!(whole, bytewise, "{:?} with limit {limit}", String::from_utf8_lossy(&bytes));
        for at in 1..bytes.len() {
            let mut first = true;
            let twice =
                frame(&bytes, limit, &mut || if std::mem::take(&mut first) { at } else { usize::MAX });
            assert_eq!(whole, twice, "cut at {at}: {:?}", String::from_utf8_lossy(&bytes));
        }
    });
}

#[test]
fn whatever_is_framed_parses_or_is_refused() {
    each_seed(6_000, |dice| {
        let bytes = broken_stream(dice);
        let mut cuts = dice.clone();
        for seen in frame(&bytes, 4_096, &mut || 1 + cuts.below(60) as usize) {
            match seen {
                Seen::Event(Event::Command(framed)) => {
                    for utf8 in [false, true] {
                        if let Err(error) = command::parse_framed(&framed, Dialect { utf8 }) {
                            assert!(!error.text.is_empty());
                        }
                    }
                }
                Seen::Event(Event::Line(line)) => {
                    for utf8 in [false, true] {
                        if let Err(error) = command::parse(&line, Dialect { utf8 }) {
                            assert!(!error.text.is_empty());
                        }
                    }
                }
                Seen::Event(Event::Literal(head)) => {
                    let _ = command::append::parse_head(&head.so_far, Dialect { utf8: true });
                    let _ = command::append::parse_next(&head.so_far);
                    let _ = command::append::is_append(&head.so_far);
                }
                _ => {}
            }
        }
    });
}

/// Each of these is read to its end or refused, on a stack as small as a session's thread could have.
#[test]
fn what_nests_or_repeats_without_end() {
    let repeat = |text: &str, count: usize| text.repeat(count);
    let hostile = [
        format!("a SEARCH {}ALL{}", repeat("(", 10_000), repeat(")", 10_000)),
        format!("a SEARCH {}ALL", repeat("NOT ", 100_000)),
        format!("a SEARCH {}ALL", repeat("OR ALL ", 100_000)),
        format!("a SEARCH {}", repeat("(", 500_000)),
        format!("a FETCH 1 {}", repeat("(", 100_000)),
        format!("a FETCH 1 (BODY[{}1])", repeat("1.", 100_000)),
        format!("a FETCH 1 ({})", repeat("BODY[] ", 100_000)),
        format!("a LIST \"\" {}", repeat("(", 100_000)),
        format!("a LIST \"\" {}", repeat("*", 100_000)),
        format!("a STORE 1 FLAGS {}", repeat("(", 100_000)),
        format!("a STORE 1 FLAGS ({})", repeat("k ", 500_000)),
        format!("a STATUS x {}", repeat("(", 100_000)),
        format!("a ID ({})", repeat("\"a\" \"b\" ", 100_000)),
        format!("a SELECT x {}", repeat("(", 100_000)),
        format!("a CREATE x (USE {})", repeat("(", 100_000)),
        format!("a UID FETCH {}1 UID", repeat("1:*,", 300_000)),
        format!("a {}", repeat("UID ", 100_000)),
        format!("a LOGIN \"{}", repeat("\\\\", 500_000)),
    ];
    let parse = move || {
        for text in hostile {
            let _ = command::parse(text.as_bytes(), Dialect::default());
        }
    };
    let started = std::time::Instant::now();
    std::thread::Builder::new().stack_size(512 * 1024).spawn(parse).unwrap().join().unwrap();
    println!("figure hostile commands parsed in {:?}", started.elapsed());
    assert!(started.elapsed().as_secs() < 20);
}
