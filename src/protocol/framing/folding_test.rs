//! Sets folded as they arrive mean what the parser makes of their text, wherever a packet ends.

use super::assembly::{Assembly, SET_AS_TEXT};
use super::{Event, Framer};
use crate::protocol::command::{Command, Dialect, Messages, ParseError, Selected, Tagged, parse_framed};

/// What a client's bytes come to; the sets in them are kept as text up to so many bytes.
fn outcome(
    bytes: &[u8],
    set_as_text: usize,
    cut: &mut dyn FnMut() -> usize,
    folded: &mut usize,
) -> Vec<Result<Result<Tagged, ParseError>, String>> {
    let mut framer = Framer::new();
    framer.set_limit(1 << 20);
    framer.set_as_text = set_as_text;
    framer.command = Assembly::new(set_as_text);
    let (mut seen, mut rest) = (Vec::new(), bytes);
    while !rest.is_empty() {
        let (piece, left) = rest.split_at(cut().clamp(1, rest.len()));
        rest = left;
        framer.push(piece);
        while let Some(event) = framer.next_event() {
            match event {
                Event::Command(framed) => {
                    *folded += framed.folded();
                    seen.push(Ok(parse_framed(&framed, Dialect::default())));
                }
                Event::Literal(head) if framer.accept() => seen.push(Err(format!("{} bytes", head.len))),
                Event::Literal(_) => assert!(framer.refuse()),
                other => seen.push(Err(format!("{other:?}"))),
            }
        }
    }
    seen
}

struct Dice(u64);

impl Dice {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % limit
    }

    fn one<'a>(&mut self, of: &[&'a str]) -> &'a str {
        of[self.below(of.len())]
    }

    /// A set, or what looks like one.
    fn set(&mut self) -> String {
        let range = |dice: &mut Dice| match dice.below(12) {
            0 => "*".to_owned(),
            1 => format!("{}:*", dice.below(90)),
            2 => format!("*:{}", dice.below(90) + 1),
            3..=5 => format!("{}:{}", dice.below(300) + 1, dice.below(300) + 1),
            6 if dice.below(30) == 0 => {
                dice.one(&["", "0", "4294967296", "1:2:3", "$", "99999999999999999999"]).into()
            }
            _ => format!("{}", dice.below(1_000) + 1),
        };
        let count = [1, 1, 3, 40][self.below(4)];
        (0..count).map(|_| range(self)).collect::<Vec<_>>().join(",")
    }

    fn string(&mut self) -> String {
        let text = if self.below(2) == 0 {
            self.set().replace('*', "7")
        } else {
            self.one(&["x", "a b", "SUBJECT"]).into()
        };
        match self.below(4) {
            0 => format!("\"{text}\""),
            1 => format!("{{{}+}}\r\n{text}", text.len()),
            2 => format!("{{{}}}\r\n{text}", text.len()),
            _ => text.replace(' ', "-"),
        }
    }

    fn key(&mut self, depth: usize) -> String {
        match self.below(if depth > 3 { 8 } else { 11 }) {
            0 | 1 => self.set(),
            2 => format!("UID {}", self.set()),
            3 => {
                format!("{} {}", self.one(&["SUBJECT", "text", "KEYWORD", "FROM", "EMAILID"]), self.string())
            }
            4 => format!("HEADER {} {}", self.string(), self.string()),
            5 => format!(
                "{} {}",
                self.one(&["LARGER", "OLDER", "SINCE", "MODSEQ"]),
                self.one(&["7", "123456", "1-Feb-1994"])
            ),
            6 => format!("MODSEQ \"/flags/\\\\draft\" all {}", self.below(99)),
            7 => self.one(&["ALL", "$", "SEEN", "UNSEEN", "NEW", "UID $"]).to_owned(),
            8 => format!("NOT {}", self.key(depth + 1)),
            9 => format!("OR {} {}", self.key(depth + 1), self.key(depth + 1)),
            _ => {
                let keys: Vec<String> = (0..1 + self.below(3)).map(|_| self.key(depth + 1)).collect();
                format!("({})", keys.join(self.one(&[" ", " ", "  ", ""])))
            }
        }
    }

    fn command(&mut self) -> String {
        let tag = self.one(&["a", "1", "1,2,3:4", "A.7", "111111111111111111111111111111"]);
        let uid = self.one(&["", "UID ", "uid ", "UID  "]);
        let set = self.set();
        let rest = match self.below(12) {
            0 => format!("{uid}FETCH {set} (FLAGS UID)"),
            1 => format!("{uid}Fetch  {set} BODY.PEEK[1.2]<0.20> (CHANGEDSINCE 5 VANISHED)"),
            2 => format!("{uid}STORE {set} +FLAGS.SILENT (\\Seen {})", self.set().replace('*', "1")),
            3 => format!("{uid}{} {set} {}", self.one(&["COPY", "MOVE"]), self.string()),
            4 => format!("UID EXPUNGE {set}"),
            5 => format!(
                "{} {}",
                self.one(&["SELECT", "DELETE", "EXPUNGE", "CREATE", "LIST \"\""]),
                self.string()
            ),
            6 => format!(
                "{} {} (CONDSTORE QRESYNC (5 {} {} ({} {})))",
                self.one(&["SELECT", "EXAMINE"]),
                self.string(),
                self.below(999),
                self.set().replace('*', "3"),
                self.set().replace('*', "3"),
                self.set()
            ),
            7 => format!("LOGIN {} {}", self.string(), self.string()),
            8 => format!(
                "{uid}SEARCH {}{}",
                self.one(&["RETURN (MIN COUNT) ", "CHARSET UTF-8 ", ""]),
                self.key(0)
            ),
            9 => format!("{uid}SEARCH RETURN ({set}) {}", self.key(0)),
            _ => format!("{uid}SEARCH {} {}", self.key(0), self.key(0)),
        };
        format!("{tag} {rest}\r\n")
    }

    /// A few bytes changed, left out, doubled or put in.
    fn broken(&mut self, text: String) -> Vec<u8> {
        let mut bytes = text.into_bytes();
        for _ in 0..self.below(3) {
            let at = self.below(bytes.len());
            match self.below(4) {
                0 => bytes[at] = b"()[]<>{}\"\\*%$ ,:.+~0129aA\xff\0\r\n"[self.below(29)],
                1 => drop(bytes.remove(at)),
                2 => bytes.insert(at, b"(){}\"\\ 0+\r*,:S\xf0"[self.below(15)]),
                _ => {
                    let piece: Vec<u8> = bytes[at..bytes.len().min(at + 12)].to_vec();
                    bytes.splice(at..at, piece);
                }
            }
            bytes.push(b'\n');
        }
        bytes
    }
}

#[test]
fn folded_as_they_arrive_they_mean_the_same() {
    let (mut folded, mut good, mut kept) = (0, 0, 0);
    for seed in 0..20_000 {
        let mut dice = Dice(seed);
        let (command, breaks) = (dice.command(), dice.below(2) == 0);
        let bytes = if breaks { dice.broken(command) } else { command.into_bytes() };
        let whole = outcome(&bytes, usize::MAX, &mut || usize::MAX, &mut kept);
        let most = [1, 2, 7, 60, 1 << 20][dice.below(5)];
        let mut cuts = Dice(seed ^ 0x5eed);
        let as_text = [0, 0, 1, 5, 30][dice.below(5)];
        let piecewise = outcome(&bytes, as_text, &mut || 1 + cuts.below(most), &mut folded);
        assert_eq!(piecewise, whole, "seed {seed}: {:?}", String::from_utf8_lossy(&bytes));
        good += whole.iter().filter(|seen| matches!(seen, Ok(Ok(_)))).count();
    }
    assert_eq!(kept, 0);
    assert!(folded > 10_000 && good > 5_000, "{folded} sets folded, {good} commands read");
}

/// Two megabytes of a set hold what is left of them.
#[test]
fn a_long_set_holds_its_ranges_and_not_its_text() {
    let feed = |numbers: &mut dyn Iterator<Item = u32>| {
        let mut framer = Framer::new();
        framer.set_limit(2 << 20);
        let (mut most, mut sent) = (0, 0);
        framer.push(b"a UID FETCH ");
        for number in numbers {
            let text = format!("{number},");
            framer.push(text.as_bytes());
            assert_eq!(framer.next_event(), None);
            (most, sent) = (most.max(framer.held()), sent + text.len());
            if sent > (2 << 20) - 40 {
                break;
            }
        }
        framer.push(b"1 (UID)\r\n");
        let Some(Event::Command(framed)) = framer.next_event() else { panic!("no command") };
        let parsed = parse_framed(&framed, Dialect::default()).unwrap().command;
        let Command::Select(Selected::Fetch(fetch)) = parsed else { panic!("{parsed:?}") };
        let Messages::Set(set) = fetch.messages else { panic!("no set") };
        (most, set.resolve(u32::MAX))
    };
    let (most, set) = feed(&mut (1..));
    assert!(most <= SET_AS_TEXT + 64, "{most} bytes for a run");
    assert_eq!(set.ranges().len(), 1);
    let (most, set) = feed(&mut (0..).map(|n| n % 5_000 * 2 + 1));
    assert!(most <= 128 * 1024, "{most} bytes for five thousand, again and again");
    assert_eq!(set.len(), 5_000);
    let (most, set) = feed(&mut (0..).map(|n| n * 2 + 1));
    assert!(most <= 4 << 20, "{most} bytes for {} ranges", set.ranges().len());
    assert!(set.ranges().len() > 290_000);
}
