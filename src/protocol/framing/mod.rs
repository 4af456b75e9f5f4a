//! Cuts a client's bytes into commands, literals and lines (RFC 9051 §2.2, §4.3; RFC 7888).
//!
//! Every byte of a command is looked at once, as it arrives. A long set in it is folded into its ranges and its
//! text is not kept ([`Framed`]); what else is kept is no longer than the limit for a command.

mod announcement;
mod assembly;
mod discard;
mod place;

use crate::protocol::command::{Tag, tag_of};
use crate::protocol::framed::Framed;
use assembly::Assembly;
use discard::MOST_DISCARDED;

/// The limit before any other is set.
const FIRST_LIMIT: usize = 8 * 1024;
/// A literal's announcement comes with so much of what stands before it; only the beginning of more, which is no
/// head of an APPEND, or a command of many small literals would be copied once for each.
const MOST_BEFORE: usize = 64 * 1024;
/// The beginning then: it holds the tag.
const BEGINNING: usize = 1024;
/// A connection that waits for its client keeps no more room than this.
const KEPT_ROOM: usize = 4 * 1024;

/// What the client sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A whole command without its last line end; literals that were accepted are in it as `{n}`, line end,
    /// bytes; sets that are long are folded.
    Command(Framed),
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
    /// The command so far (after a streamed literal: since that), with the announcement; only its beginning if
    /// it is longer than any head of an APPEND.
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
    /// A refused literal, and then the rest of its command: of the line that follows so much was looked at.
    Discarding { left: u64, budget: u64, looked: usize },
    /// A line that is too long; its last bytes are in `tail`.
    Skipping { left: u64 },
}

/// Cuts bytes into events.
#[derive(Debug)]
pub struct Framer {
    buffer: Vec<u8>,
    start: usize,
    command: Assembly,
    tail: Vec<u8>,
    limit: usize,
    set_as_text: usize,
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
            command: Assembly::new(assembly::SET_AS_TEXT),
            tail: Vec::new(),
            limit: FIRST_LIMIT,
            set_as_text: assembly::SET_AS_TEXT,
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
            self.start = 0;
        }
    }

    /// Puts a line back that was taken as an answer and is a command. What follows it is still to come.
    pub fn push_back(&mut self, line: &[u8]) {
        let rest = self.buffer.split_off(self.start);
        self.buffer = [line, b"\r\n", &rest].concat();
        self.start = 0;
    }

    /// Bytes that were received and not yet used.
    #[must_use]
    pub fn buffered(&self) -> usize {
        self.buffer.len() - self.start
    }

    /// Bytes that are kept until their command is whole.
    #[must_use]
    pub fn held(&self) -> usize {
        self.command.held() + self.buffered()
    }

    /// The next event; `None` until more is pushed.
    pub fn next_event(&mut self) -> Option<Event> {
        loop {
            match self.state {
                State::Deciding { .. } | State::Streaming { .. } => return None,
                State::Line | State::Answer | State::Tail => match self.line()? {
                    Ok(()) => {
                        if let Some(event) = self.on_line() {
                            return Some(event);
                        }
                    }
                    Err(problem) => return Some(Event::Invalid(problem)),
                },
                State::Collecting { left } => {
                    let taken = self.consume(left);
                    self.command.extend_literal(&self.buffer[taken.clone()]);
                    let left = left - taken.len() as u64;
                    if left > 0 {
                        self.state = State::Collecting { left };
                        return None;
                    }
                    self.command.end_literal();
                    self.state = State::Line;
                }
                State::Discarding { left, budget, looked } => {
                    let taken = self.consume(left).len() as u64;
                    if taken < left {
                        self.state = State::Discarding { left: left - taken, budget, looked };
                        return None;
                    }
                    if let Some(problem) = self.discard_line(budget, looked)? {
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
        let room = self.limit.saturating_sub(self.command.received() + 2) as u64;
        if len > room {
            return false;
        }
        self.command.begin_literal();
        self.state = State::Collecting { left: len };
        true
    }

    /// The announced literal, and its command, are not wanted. False if it is too long to be read and thrown
    /// away: then the connection must end.
    pub fn refuse(&mut self) -> bool {
        let State::Deciding { len, non_sync } = self.state else { return true };
        self.take_command();
        if !non_sync {
            // The client waits for a continuation, is told no, and goes on with another command.
            self.state = State::Line;
            return true;
        }
        self.state = State::Discarding { left: len, budget: MOST_DISCARDED.saturating_sub(len), looked: 0 };
        len <= MOST_DISCARDED
    }

    /// The announced literal is taken by [`Framer::take`].
    pub fn stream(&mut self) {
        if let State::Deciding { len, .. } = self.state {
            self.command = Assembly::plain();
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
                self.state = State::Discarding { left, budget: MOST_DISCARDED, looked: 0 };
            }
            State::Tail => {
                // What has come of the line goes back to be looked at as a part of it.
                let begun = self.take_command().finish();
                let rest = self.buffer.split_off(self.start);
                (self.buffer, self.start) = ([begun.text(), &rest].concat(), 0);
                self.state = State::Discarding { left: 0, budget: MOST_DISCARDED, looked: 0 };
            }
            State::Deciding { .. } => return self.refuse(),
            _ => {}
        }
        true
    }

    /// The next line is the answer to a continuation.
    pub fn expect_line(&mut self) {
        if self.state == State::Line && self.command.received() == 0 {
            self.command = Assembly::plain();
            self.state = State::Answer;
        }
    }

    /// Takes what there is of a line into the command. `None` until the line ends.
    fn line(&mut self) -> Option<Result<(), Problem>> {
        let rest = &self.buffer[self.start..];
        let end = rest.iter().position(|byte| *byte == b'\n');
        // The last byte may be half of the line end, which does not count; one more is too much.
        let room = (self.limit + 2).saturating_sub(self.command.received());
        let len = end.unwrap_or(rest.len()).min(room);
        self.command.extend(&rest[..len]);
        self.start += len;
        if self.command.received() > self.limit + 1 {
            return Some(Err(self.too_long()));
        }
        if end.is_none() {
            self.forget_used();
            return None;
        }
        self.command.end_line();
        if self.command.received() > self.limit {
            return Some(Err(self.too_long()));
        }
        self.start += 1;
        Some(Ok(()))
    }

    /// Answers once; the line is then skipped.
    fn too_long(&mut self) -> Problem {
        let command = self.take_command();
        self.begin_skipping(command.line(), MOST_DISCARDED);
        Problem { tag: tag_of(command.text()), text: "The command is too long", fatal: false }
    }

    /// The command as far as it has come; another begins.
    fn take_command(&mut self) -> Assembly {
        std::mem::replace(&mut self.command, Assembly::new(self.set_as_text))
    }

    fn on_line(&mut self) -> Option<Event> {
        let state = std::mem::replace(&mut self.state, State::Line);
        if state == State::Answer {
            return Some(Event::Line(self.take_command().finish().text));
        }
        let literal = match announcement::of_line(self.command.line()) {
            Ok(literal) => literal,
            Err(text) => {
                let tag = tag_of(self.take_command().text());
                return Some(Event::Invalid(Problem { tag, text, fatal: true }));
            }
        };
        if let Some(announcement::Announcement { len, non_sync, binary }) = literal {
            self.state = State::Deciding { len, non_sync };
            let text = self.command.text();
            let before = if text.len() > MOST_BEFORE { &text[..BEGINNING] } else { text };
            return Some(Event::Literal(LiteralHead { so_far: before.to_vec(), len, non_sync, binary }));
        }
        let whole = self.take_command().finish();
        if state == State::Tail {
            return Some(Event::Line(whole.text));
        }
        // Empty lines between commands come from clients that end a literal with one too many.
        if whole.text.is_empty() { None } else { Some(Event::Command(whole)) }
    }

    fn consume(&mut self, wanted: u64) -> std::ops::Range<usize> {
        let count = usize::try_from(wanted).unwrap_or(usize::MAX).min(self.buffered());
        let range = self.start..self.start + count;
        self.start = range.end;
        range
    }
}

#[cfg(test)]
mod folding_test;
#[cfg(test)]
mod tests;
