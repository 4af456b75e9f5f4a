//! Cuts a client's bytes into commands, literals and lines (RFC 9051 §2.2, §4.3; RFC 7888).
//!
//! Every byte is looked at once; nothing that is kept is longer than the limit for a command.

use crate::protocol::command::{Tag, tag_of};

/// What is read and thrown away of a refused literal or an endless line; beyond it the connection ends.
const MOST_DISCARDED: u64 = 64 * 1024 * 1024;
/// The limit before any other is set.
const FIRST_LIMIT: usize = 8 * 1024;
/// The announcement of a literal is no longer: `~{`, 20 digits, `+}` and a carriage return.
const ANNOUNCEMENT: usize = 25;
/// A connection that waits for its client keeps no more room than this.
const KEPT_ROOM: usize = 4 * 1024;

/// What the client sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A whole command without its last line end; literals that were accepted are in it as `{n}`, line end,
    /// bytes.
    Command(Vec<u8>),
    /// A literal begins: the caller must call `accept`, `refuse` or `stream`.
    Literal(LiteralHead),
    /// A line that is no command: an answer to a continuation, or what follows a streamed literal.
    Line(Vec<u8>),
    /// Something that cannot be a command. It has been skipped.
    Invalid(Problem),
}

/// A literal's announcement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LiteralHead {
    /// The command so far (after a streamed literal: since that), with the announcement.
    pub so_far: Vec<u8>,
    /// Its length in bytes.
    pub len: u64,
    /// It does not wait for a continuation (`{n+}`).
    pub non_sync: bool,
    /// A literal8 (`~{n}`), which may hold NUL.
    pub binary: bool,
}

/// What is wrong with what the client sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    tag: Option<Tag>,
    text: &'static str,
    fatal: bool,
}

impl Problem {
    /// The tag of the command, if it had one.
    #[must_use]
    pub fn tag(&self) -> Option<Tag> {
        self.tag.clone()
    }

    /// What is wrong, for the client's author.
    #[must_use]
    pub fn text(&self) -> &'static str {
        self.text
    }

    /// Whether nothing that follows can be trusted.
    #[must_use]
    pub fn is_fatal(&self) -> bool {
        self.fatal
    }
}

#[derive(Debug, PartialEq, Eq)]
enum State {
    /// A line of a command.
    Line,
    /// The next line is no command.
    Answer,
    /// A literal was announced.
    Deciding { len: u64, non_sync: bool },
    /// A literal is collected.
    Collecting { left: u64 },
    /// A literal is taken piece by piece.
    Streaming { left: u64 },
    /// What follows a streamed literal.
    Tail,
    /// A refused literal, and then the rest of its command.
    Discarding { left: u64, budget: u64 },
    /// A line that is too long; its last bytes are in `tail`.
    Skipping { left: u64 },
}

/// Cuts bytes into events.
#[derive(Debug)]
pub struct Framer {
    buffer: Vec<u8>,
    start: usize,
    scanned: usize,
    command: Vec<u8>,
    tail: Vec<u8>,
    limit: usize,
    state: State,
}

impl Default for Framer {
    fn default() -> Self {
        Self::new()
    }
}

impl Framer {
    /// For a connection that has just begun.
    #[must_use]
    pub fn new() -> Self {
        Framer {
            buffer: Vec::new(),
            start: 0,
            scanned: 0,
            command: Vec::new(),
            tail: Vec::new(),
            limit: FIRST_LIMIT,
            state: State::Line,
        }
    }

    /// A command may have so many bytes, literals included.
    pub fn set_limit(&mut self, limit: usize) {
        self.limit = limit;
    }

    /// Adds what was received.
    pub fn push(&mut self, bytes: &[u8]) {
        self.forget_used();
        if self.start > 64 * 1024 {
            self.buffer.drain(..self.start);
            self.scanned -= self.start;
            self.start = 0;
        }
        self.buffer.extend_from_slice(bytes);
    }

    /// Where all is used the buffer begins anew; a large command must not leave a large one behind in a session
    /// that waits.
    fn forget_used(&mut self) {
        if self.start == self.buffer.len() {
            self.buffer.clear();
            self.buffer.shrink_to(KEPT_ROOM);
            (self.start, self.scanned) = (0, 0);
        }
    }

    /// Puts a line back that was taken as an answer and is a command. What follows it is still to come.
    pub fn push_back(&mut self, line: &[u8]) {
        let rest = self.buffer.split_off(self.start);
        self.buffer = [line, b"\r\n", &rest].concat();
        (self.start, self.scanned) = (0, 0);
    }

    /// Bytes that were received and not yet used.
    #[must_use]
    pub fn buffered(&self) -> usize {
        self.buffer.len() - self.start
    }

    /// Bytes that are kept until their command is whole.
    #[must_use]
    pub fn held(&self) -> usize {
        self.command.len() + self.buffered()
    }

    /// The next event; `None` until more is pushed.
    pub fn next_event(&mut self) -> Option<Event> {
        loop {
            match self.state {
                State::Deciding { .. } | State::Streaming { .. } => return None,
                State::Line | State::Answer | State::Tail => match self.line()? {
                    Ok(line) => {
                        if let Some(event) = self.on_line(line) {
                            return Some(event);
                        }
                    }
                    Err(problem) => return Some(Event::Invalid(problem)),
                },
                State::Collecting { left } => {
                    let taken = self.consume(left);
                    self.command.extend_from_slice(&self.buffer[taken.clone()]);
                    let left = left - taken.len() as u64;
                    if left > 0 {
                        self.state = State::Collecting { left };
                        return None;
                    }
                    self.state = State::Line;
                }
                State::Discarding { left, budget } => {
                    let taken = self.consume(left).len() as u64;
                    if taken < left {
                        self.state = State::Discarding { left: left - taken, budget };
                        return None;
                    }
                    self.state = State::Discarding { left: 0, budget };
                    if let Some(problem) = self.discard_line(budget)? {
                        return Some(Event::Invalid(problem));
                    }
                }
                State::Skipping { left } => {
                    if let Some(problem) = self.skip(left)? {
                        return Some(Event::Invalid(problem));
                    }
                }
            }
        }
    }

    /// The announced literal is to become a part of the command. False if the command would be too long:
    /// then call `refuse`.
    pub fn accept(&mut self) -> bool {
        let State::Deciding { len, .. } = self.state else { return false };
        let room = self.limit.saturating_sub(self.command.len() + 2) as u64;
        if len > room {
            return false;
        }
        self.command.extend_from_slice(b"\r\n");
        self.state = State::Collecting { left: len };
        true
    }

    /// The announced literal, and its command, are not wanted. False if it is too long to be read and thrown
    /// away: then the connection must end.
    pub fn refuse(&mut self) -> bool {
        let State::Deciding { len, non_sync } = self.state else { return true };
        self.command = Vec::new();
        if !non_sync {
            // The client waits for a continuation, is told no, and goes on with another command.
            self.state = State::Line;
            return true;
        }
        self.state = State::Discarding { left: len, budget: MOST_DISCARDED.saturating_sub(len) };
        len <= MOST_DISCARDED
    }

    /// The announced literal is taken by [`Framer::take`].
    pub fn stream(&mut self) {
        if let State::Deciding { len, .. } = self.state {
            self.command = Vec::new();
            self.state = if len == 0 { State::Tail } else { State::Streaming { left: len } };
        }
    }

    /// The next bytes of a streamed literal, at most `max`; empty until more is pushed, and at its end.
    pub fn take(&mut self, max: usize) -> Vec<u8> {
        let State::Streaming { left } = self.state else { return Vec::new() };
        let taken = self.consume(left.min(max as u64));
        let bytes = self.buffer[taken].to_vec();
        let left = left - bytes.len() as u64;
        self.state = if left == 0 { State::Tail } else { State::Streaming { left } };
        bytes
    }

    /// Bytes of a streamed literal that are still to be taken.
    #[must_use]
    pub fn left(&self) -> u64 {
        match self.state {
            State::Streaming { left } => left,
            _ => 0,
        }
    }

    /// What is left of a command with a streamed literal is not wanted: it is read and thrown away. False if it
    /// is too long for that: then the connection must end.
    pub fn discard_rest(&mut self) -> bool {
        match self.state {
            State::Streaming { left } => {
                self.state = State::Discarding { left, budget: MOST_DISCARDED };
            }
            State::Tail => self.state = State::Discarding { left: 0, budget: MOST_DISCARDED },
            State::Deciding { .. } => return self.refuse(),
            _ => {}
        }
        true
    }

    /// The next line is the answer to a continuation.
    pub fn expect_line(&mut self) {
        if self.state == State::Line && self.command.is_empty() {
            self.state = State::Answer;
        }
    }

    /// The next line, without its line end, once it is there.
    fn line(&mut self) -> Option<Result<Vec<u8>, Problem>> {
        let from = self.scanned.max(self.start);
        let Some(at) = self.buffer[from..].iter().position(|byte| *byte == b'\n') else {
            self.scanned = self.buffer.len();
            // The last byte may be half of the line end, which does not count.
            if self.command.len() + self.buffered() > self.limit + 1 {
                return Some(Err(self.too_long()));
            }
            self.forget_used();
            return None;
        };
        let end = from + at;
        let line = &self.buffer[self.start..end];
        let line = line.strip_suffix(b"\r").unwrap_or(line).to_vec();
        if self.command.len() + line.len() > self.limit {
            return Some(Err(self.too_long()));
        }
        self.start = end + 1;
        self.scanned = self.start;
        Some(Ok(line))
    }

    /// Answers once; the line is then skipped.
    fn too_long(&mut self) -> Problem {
        let head = if self.command.is_empty() { &self.buffer[self.start..] } else { &self.command };
        let tag = tag_of(head);
        self.command = Vec::new();
        self.begin_skipping(MOST_DISCARDED);
        Problem { tag, text: "The command is too long", fatal: false }
    }

    fn on_line(&mut self, line: Vec<u8>) -> Option<Event> {
        let state = std::mem::replace(&mut self.state, State::Line);
        if state == State::Answer {
            return Some(Event::Line(line));
        }
        let head = match literal(&line) {
            Ok(head) => head,
            Err(text) => {
                let tag = tag_of(if self.command.is_empty() { &line } else { &self.command });
                self.command = Vec::new();
                return Some(Event::Invalid(Problem { tag, text, fatal: true }));
            }
        };
        if self.command.is_empty() {
            self.command = line;
        } else {
            self.command.extend_from_slice(&line);
        }
        if let Some((len, non_sync, binary)) = head {
            self.state = State::Deciding { len, non_sync };
            return Some(Event::Literal(LiteralHead { so_far: self.command.clone(), len, non_sync, binary }));
        }
        let whole = std::mem::take(&mut self.command);
        if state == State::Tail {
            return Some(Event::Line(whole));
        }
        // Empty lines between commands come from clients that end a literal with one too many.
        if whole.is_empty() { None } else { Some(Event::Command(whole)) }
    }

    /// The rest of a refused command: a line, which may announce another literal. Outer `None`: more is
    /// needed.
    fn discard_line(&mut self, budget: u64) -> Option<Option<Problem>> {
        let rest = &self.buffer[self.start..];
        let Some(at) = rest.iter().position(|byte| *byte == b'\n') else {
            // The line is kept up to its end for the announcement that may stand there.
            if rest.len() > self.limit + 1 {
                self.begin_skipping(budget);
                return Some(None);
            }
            return None;
        };
        let line = rest[..at].strip_suffix(b"\r").unwrap_or(&rest[..at]);
        if line.len() > self.limit {
            self.begin_skipping(budget);
            return Some(None);
        }
        let announced = literal(line);
        self.start += at + 1;
        self.scanned = self.start;
        self.state = State::Line;
        match announced {
            Ok(Some((len, true, _))) if len > budget => {
                Some(Some(Problem { tag: None, text: "Too much follows a refused literal", fatal: true }))
            }
            Ok(Some((len, true, _))) => {
                self.state = State::Discarding { left: len, budget: budget - len };
                Some(None)
            }
            _ => Some(None),
        }
    }

    fn begin_skipping(&mut self, budget: u64) {
        self.tail.clear();
        self.state = State::Skipping { left: budget };
    }

    /// Drops a line that is too long, wherever it ends. One that ends as a literal that does not wait would be
    /// followed by bytes that look like commands and are none: then nothing can be trusted any more.
    fn skip(&mut self, left: u64) -> Option<Option<Problem>> {
        let rest = &self.buffer[self.start..];
        let (count, ended) = match rest.iter().position(|byte| *byte == b'\n') {
            Some(at) => (at + 1, true),
            None => (rest.len(), false),
        };
        let line = &rest[..count - usize::from(ended)];
        self.tail.extend_from_slice(&line[line.len().saturating_sub(ANNOUNCEMENT)..]);
        self.tail.drain(..self.tail.len().saturating_sub(ANNOUNCEMENT));
        self.start += count;
        self.scanned = self.start;
        self.forget_used();
        if ended {
            self.state = State::Line;
            let tail = self.tail.strip_suffix(b"\r").unwrap_or(&self.tail);
            return Some(tail.ends_with(b"+}").then_some(Problem {
                tag: None,
                text: "A literal follows a line that is too long",
                fatal: true,
            }));
        }
        let left = left.saturating_sub(count as u64);
        self.state = State::Skipping { left };
        if left == 0 {
            return Some(Some(Problem { tag: None, text: "The line does not end", fatal: true }));
        }
        None
    }

    fn consume(&mut self, wanted: u64) -> std::ops::Range<usize> {
        let count = usize::try_from(wanted).unwrap_or(usize::MAX).min(self.buffered());
        let range = self.start..self.start + count;
        self.start = range.end;
        self.scanned = self.start;
        range
    }
}

/// The announcement of a literal at the end of a line: length, non-synchronising, binary.
fn literal(line: &[u8]) -> Result<Option<(u64, bool, bool)>, &'static str> {
    let Some(inner) = line.strip_suffix(b"}") else { return Ok(None) };
    let Some(open) = inner.iter().rposition(|byte| *byte == b'{') else { return Ok(None) };
    let number = &inner[open + 1..];
    let (number, non_sync) = match number.strip_suffix(b"+") {
        Some(number) => (number, true),
        None => (number, false),
    };
    if number.is_empty() || !number.iter().all(u8::is_ascii_digit) || in_quotes(&line[..open]) {
        return Ok(None);
    }
    let digits = std::str::from_utf8(number).unwrap_or_default();
    let len = digits.parse::<u64>().ok().filter(|len| *len <= i64::MAX as u64);
    let len = len.ok_or("A literal cannot be that long")?;
    Ok(Some((len, non_sync, open > 0 && line[open - 1] == b'~')))
}

/// Whether a quoted string is open at the end of this.
fn in_quotes(line: &[u8]) -> bool {
    let (mut open, mut escaped) = (false, false);
    for byte in line {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if open => escaped = true,
            b'"' => open = !open,
            _ => {}
        }
    }
    open
}

#[cfg(test)]
mod tests {
    use super::*;

    fn command(text: &str) -> Option<Event> {
        Some(Event::Command(text.as_bytes().to_vec()))
    }

    #[test]
    fn lines_are_commands() {
        let mut framer = Framer::new();
        framer.push(b"a1 NOOP\r\na2 NO");
        assert_eq!(framer.next_event(), command("a1 NOOP"));
        assert_eq!(framer.next_event(), None);
        framer.push(b"OP\n\r\na3 NOOP\r\n");
        assert_eq!(framer.next_event(), command("a2 NOOP"));
        assert_eq!(framer.next_event(), command("a3 NOOP"));
        assert_eq!(framer.buffered(), 0);
    }

    #[test]
    fn small_literals_become_part_of_the_command() {
        let bytes = b"a LOGIN {4}\r\nanna {3+}\r\nx\r\n\r\nb NOOP\r\n";
        for chunk in 1..bytes.len() {
            let mut framer = Framer::new();
            let (mut commands, mut literals) = (Vec::new(), 0);
            for piece in bytes.chunks(chunk) {
                framer.push(piece);
                while let Some(event) = framer.next_event() {
                    match event {
                        Event::Literal(head) => {
                            literals += 1;
                            assert_eq!(head.non_sync, literals == 2);
                            assert!(framer.accept());
                        }
                        Event::Command(bytes) => commands.push(String::from_utf8(bytes).unwrap()),
                        other => panic!("{other:?}"),
                    }
                }
            }
            assert_eq!(commands, ["a LOGIN {4}\r\nanna {3+}\r\nx\r\n", "b NOOP"], "chunks of {chunk}");
        }
    }

    #[test]
    fn streamed_literals_and_what_follows() {
        let mut framer = Framer::new();
        framer.push(b"a APPEND x {5+}\r\n");
        assert!(matches!(
            framer.next_event(),
            Some(Event::Literal(LiteralHead { len: 5, non_sync: true, .. }))
        ));
        framer.stream();
        framer.push(b"hel");
        assert_eq!(framer.next_event(), None);
        assert_eq!(framer.take(2), b"he");
        assert_eq!(framer.take(9), b"l");
        framer.push(b"lo (\\Seen) ~{1+}\r\n");
        assert_eq!(framer.take(9), b"lo");
        let Some(Event::Literal(head)) = framer.next_event() else { panic!() };
        assert_eq!((head.so_far.as_slice(), head.binary), (&b" (\\Seen) ~{1+}"[..], true));
        framer.stream();
        framer.push(b"!\r\nb NOOP\r\n");
        assert_eq!(framer.take(9), b"!");
        assert_eq!(framer.next_event(), Some(Event::Line(Vec::new())));
        assert_eq!(framer.next_event(), command("b NOOP"));
    }

    #[test]
    fn refused_literals_are_thrown_away() {
        let mut framer = Framer::new();
        framer.push(b"a X {9000+}\r\n");
        assert!(matches!(framer.next_event(), Some(Event::Literal(_))));
        assert!(!framer.accept());
        assert!(framer.refuse());
        framer.push(&vec![b'\n'; 9000]);
        framer.push(b" {3+}\r\nabc d\r\nb NOOP\r\nc X {9000}\r\nd NOOP\r\n");
        assert_eq!(framer.next_event(), command("b NOOP"));
        assert!(matches!(framer.next_event(), Some(Event::Literal(_))));
        assert!(framer.refuse());
        assert_eq!(framer.next_event(), command("d NOOP"));
        framer.push(b"e X {99999999999+}\r\n");
        assert!(matches!(framer.next_event(), Some(Event::Literal(_))));
        assert!(!framer.refuse());
        framer.discard_rest();
    }

    #[test]
    fn lines_without_end() {
        let mut framer = Framer::new();
        framer.push(b"tag ");
        let mut answers = Vec::new();
        for _ in 0..100 {
            framer.push(&[b'x'; 1000]);
            answers.extend(framer.next_event());
        }
        let [Event::Invalid(problem)] = answers.as_slice() else { panic!("{answers:?}") };
        assert_eq!((problem.tag().unwrap().as_str(), problem.is_fatal()), ("tag", false));
        assert!(framer.buffer.capacity() < 128 * 1024);
        framer.push(b"\r\nb NOOP\r\n");
        assert_eq!(framer.next_event(), command("b NOOP"));
    }

    #[test]
    fn what_looks_like_a_literal() {
        assert_eq!(literal(b"a X \"{5}"), Ok(None));
        assert_eq!(literal(b"a X \"\" {5}"), Ok(Some((5, false, false))));
        assert_eq!(literal(b"a X \"\\\"\" ~{5+}"), Ok(Some((5, true, true))));
        assert_eq!(literal(b"a X {}"), Ok(None));
        assert_eq!(literal(b"a X {-1}"), Ok(None));
        assert!(literal(b"a X {99999999999999999999}").is_err());
    }

    #[test]
    fn answers_to_continuations() {
        let mut framer = Framer::new();
        framer.expect_line();
        framer.push(b"DONE\r\na NOOP\r\n");
        assert_eq!(framer.next_event(), Some(Event::Line(b"DONE".to_vec())));
        assert_eq!(framer.next_event(), command("a NOOP"));
    }

    #[test]
    fn any_bytes_in_any_chunks() {
        let mut seed = 3_u32;
        let mut random = move || {
            seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            seed >> 16
        };
        for _ in 0..2_000 {
            let mut framer = Framer::new();
            for _ in 0..20 {
                let piece: Vec<u8> =
                    (0..random() % 30).map(|_| b"a {}+~\"\\\r\n019"[random() as usize % 12]).collect();
                framer.push(&piece);
                while let Some(event) = framer.next_event() {
                    if matches!(event, Event::Literal(_)) {
                        match random() % 3 {
                            0 => framer.stream(),
                            1 if framer.accept() => {}
                            _ => drop(framer.refuse()),
                        }
                    }
                }
                framer.take(5);
                if random() % 7 == 0 {
                    framer.discard_rest();
                }
            }
        }
    }
}
