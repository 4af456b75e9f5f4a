//! A client's bytes to the framer and the parser, in the states that a session knows: packets make no difference,
//! what is held is bounded, what is framed is parsed or refused with a reason.

use postern::protocol::command::{self, Dialect, append};
use postern::protocol::framing::{Event, Framer};
use postern::store::sim::Dice;

use super::first;

/// Commands as clients send them, line ends and literals included.
const STREAM: &[&str] = &[
    "a1 CAPABILITY\r\n",
    "a2 LOGIN alice \"correct horse\"\r\n",
    "a3 LOGIN {5}\r\nalice {13+}\r\ncorrect horse\r\n",
    "a4 AUTHENTICATE PLAIN AGFsaWNlAGNvcnJlY3QgaG9yc2U=\r\n",
    "a4 AUTHENTICATE SCRAM-SHA-256\r\nbixhPWEsbj1hLHI9cg==\r\n*\r\n",
    "a5 ID (\"name\" \"Mail\" \"version\" NIL)\r\n",
    "a6 ENABLE CONDSTORE QRESYNC UTF8=ACCEPT IMAP4REV2\r\n",
    "a7 SELECT INBOX (QRESYNC (67890007 20050715194045000 41,43:211 (1:2 3:4)) CONDSTORE)\r\n",
    "a8 APPEND \"Drafts\" (\\Seen $x) \"17-Jul-1996 02:44:25 -0700\" {6+}\r\nhello\n ~{3}\r\na\0b\r\n",
    "a9 APPEND INBOX UTF8 (~{4+}\r\nabcd)\r\n",
    "b1 UID FETCH 1:*,3,* (FLAGS BODY.PEEK[1.2.HEADER.FIELDS (\"a\" b)]<0.20> BINARY.SIZE[1]) (CHANGEDSINCE 5 VANISHED)\r\n",
    "b2 STORE 1:5 (UNCHANGEDSINCE 3) +FLAGS.SILENT (\\Seen $Forwarded)\r\n",
    "b3 UID SEARCH RETURN (MIN MAX ALL SAVE) CHARSET UTF-8 OR (FROM x SUBJECT {3+}\r\näa) NOT (NOT TEXT \"y\")\r\n",
    "b3 SEARCH SINCE 1-Feb-1994 NOT FROM \"Smith\" KEYWORD $x LARGER 9 UID 3:*,5 MODSEQ 7\r\n",
    "b4 LIST (SUBSCRIBED RECURSIVEMATCH) \"\" (\"a\" %) RETURN (CHILDREN STATUS (MESSAGES UIDNEXT))\r\n",
    "b5 STATUS {5}\r\nINBOX (MESSAGES HIGHESTMODSEQ)\r\n",
    "b6 IDLE\r\nDONE\r\n",
    "b6 IDLE\r\nb7 NOOP\r\n",
    "b7 UID MOVE 1,2 \"R&-D/Entw&APw-rfe\"\r\n",
    "b8 CREATE x (USE (\\Drafts))\r\n",
    "b9 RENAME a {1}\r\nb\r\n",
    "\r\n",
    "c1 LOGOUT\n",
];

pub fn seeds() -> Vec<Vec<u8>> {
    let long: Vec<String> = (1..600).map(|n| (n * 3).to_string()).collect();
    let long = format!("d1 UID FETCH {} FLAGS\r\nd2 NOOP\r\n", long.join(","));
    let alone = STREAM.iter().map(|text| [b"\xff\0", text.as_bytes()].concat());
    let pairs = STREAM.windows(3).map(|three| [b"\x20\x07", three.concat().as_bytes()].concat());
    alone.chain(pairs).chain([[b"\xff\x01", long.as_bytes()].concat()]).collect()
}

/// What a session would see; the fate of a literal is decided by its length alone.
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
            match &event {
                Event::Literal(head) => match head.len % 4 {
                    0 => {
                        framer.stream();
                        streamed = Some(Vec::new());
                    }
                    1 | 2 if framer.accept() => {}
                    _ => drop(framer.refuse()),
                },
                // A session that is idle, or logs somebody in, waits for a line.
                Event::Command(framed) if waits(framed.text()) => framer.expect_line(),
                _ => {}
            }
            let fatal = matches!(&event, Event::Invalid(problem) if problem.is_fatal());
            seen.push(Seen::Event(event));
            if fatal {
                return seen;
            }
        }
        assert!(framer.buffered() <= limit + bytes.len());
        // A range takes eight bytes, and two in the text; what grows doubles.
        assert!(framer.held() <= 16 * bytes.len() + 4_096, "{} held of {}", framer.held(), bytes.len());
    }
    seen
}

fn waits(text: &[u8]) -> bool {
    let text = text.to_ascii_uppercase();
    text.ends_with(b" IDLE") || text.windows(14).any(|word| word == b" AUTHENTICATE ")
}

pub fn run(data: &[u8]) {
    let (limit, rest) = first(data);
    let (seed, bytes) = first(rest);
    let limit = if limit < 200 { 20 + usize::from(limit) } else { 64 * 1024 };
    let whole = frame(bytes, limit, &mut || usize::MAX);
    assert_eq!(whole, frame(bytes, limit, &mut || 1), "byte by byte");
    let mut dice = Dice::new(u64::from(seed));
    for _ in 0..4 {
        let most = 1 + dice.below(60);
        let mut cuts = dice.clone();
        let cut = frame(bytes, limit, &mut || 1 + cuts.below(most) as usize);
        assert_eq!(whole, cut, "cut into pieces of up to {most}");
        dice.roll();
    }
    whole.iter().for_each(parse);
    same_as_a_line(bytes, &whole);
}

/// What the session does with it in one of its states.
fn parse(seen: &Seen) {
    let dialects = [false, true].map(|utf8| Dialect { utf8 });
    match seen {
        Seen::Event(Event::Command(framed)) => {
            let early = command::parse_before_login(framed);
            let refused = early.err().into_iter();
            let refused =
                refused.chain(dialects.iter().filter_map(|d| command::parse_framed(framed, *d).err()));
            refused.for_each(|error| assert!(!error.text.is_empty()));
        }
        Seen::Event(Event::Line(line)) => {
            let refused = dialects.iter().filter_map(|dialect| command::parse(line, *dialect).err());
            refused.for_each(|error| assert!(!error.text.is_empty()));
            let _ = append::parse_next(line);
        }
        Seen::Event(Event::Literal(head)) => {
            let begun = append::is_append(&head.so_far);
            for dialect in dialects {
                let read = append::parse_head(&head.so_far, dialect);
                assert!(read.is_err() || begun || !head.so_far.is_empty());
            }
            let _ = append::parse_next(&head.so_far);
            assert!(!append::is_mailbox_literal(&head.so_far) || begun);
        }
        _ => {}
    }
}

/// A command of one line, whose sets were perhaps folded, means what its text means.
fn same_as_a_line(bytes: &[u8], seen: &[Seen]) {
    let ([Seen::Event(Event::Command(framed))], Some(line)) = (seen, bytes.strip_suffix(b"\r\n")) else {
        return;
    };
    if line.contains(&b'\n') {
        return;
    }
    let dialect = Dialect { utf8: false };
    let told = |read: &dyn std::fmt::Debug| format!("{read:?}");
    assert_eq!(told(&command::parse_framed(framed, dialect)), told(&command::parse(line, dialect)));
}
