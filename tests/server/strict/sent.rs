//! What a client has sent, as far as it must be known to judge the answers: which commands wait for one, and
//! whether one of them may be told to go on (RFC 9051 §2.2.1, §4.3, §6.2.2, §6.3.13).

use std::collections::VecDeque;

/// Of a line so many bytes are kept.
const KEPT: usize = 1 << 16;

/// A command that was sent, at least its tag.
#[derive(Clone, Debug, Default)]
pub struct Command {
    pub tag: String,
    /// In capitals, without UID before it.
    pub verb: String,
    pub uid: bool,
    /// Its lines, in capitals, without literals.
    pub text: String,
    serial: u64,
}

/// Where the bytes that come next belong.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Place {
    /// The first line of a command, or a further one.
    #[default]
    Line,
    /// Of a literal so many bytes are missing; then the line goes on.
    Literal(u64),
    /// Nowhere before the server has said `+`; then into this literal.
    Announced(u64),
    /// Nowhere before `+`; then a line of AUTHENTICATE.
    Asked,
    /// A line of AUTHENTICATE.
    Answer,
    /// Nowhere before `+`; then DONE.
    Idle,
    /// DONE.
    Done,
}

#[derive(Debug, Default)]
pub struct Sent {
    queue: VecDeque<u8>,
    line: Vec<u8>,
    place: Place,
    /// The command whose lines are being sent.
    current: Option<Command>,
    /// In the order they were sent.
    waiting: VecDeque<Command>,
    /// Lines without a tag, which can be answered by an untagged BAD alone.
    pub untagged: usize,
    serial: u64,
}

impl Sent {
    pub fn push(&mut self, bytes: &[u8]) {
        self.queue.extend(bytes);
        self.advance();
    }

    /// The command that is being worked on: the server does one after the other.
    pub fn front(&self) -> Option<&Command> {
        self.waiting.front()
    }

    /// Whether one that has this tag waits at all.
    pub fn waits(&self, tag: &str) -> bool {
        self.waiting.iter().any(|command| command.tag == tag)
    }

    /// The tag of a line that has not ended, which may be refused before it does.
    pub fn is_begun(&self, tag: &str) -> bool {
        self.place == Place::Line
            && self.current.is_none()
            && tag_of(&self.line).is_some_and(|sent| sent == tag)
    }

    /// The server said `+`. Whether it was to.
    pub fn go_on(&mut self) -> bool {
        let is_front = match (&self.current, self.waiting.front()) {
            (Some(current), Some(front)) => current.serial == front.serial,
            _ => false,
        };
        let next = match self.place {
            Place::Announced(length) => Place::Literal(length),
            Place::Asked => Place::Answer,
            Place::Idle => Place::Done,
            _ => return false,
        };
        self.place = next;
        self.advance();
        is_front
    }

    /// The first that waits was answered.
    pub fn answered(&mut self) {
        let Some(front) = self.waiting.pop_front() else { return };
        let is_current = self.current.as_ref().is_some_and(|current| current.serial == front.serial);
        let is_over = matches!(self.place, Place::Announced(_) | Place::Asked | Place::Idle | Place::Done);
        if is_current && is_over {
            (self.current, self.place) = (None, Place::Line);
        }
        self.advance();
    }

    fn advance(&mut self) {
        loop {
            match self.place {
                Place::Announced(_) | Place::Asked | Place::Idle => return,
                Place::Literal(0) => self.place = Place::Line,
                Place::Literal(left) => {
                    let count = usize::try_from(left).unwrap_or(usize::MAX).min(self.queue.len());
                    if count == 0 {
                        return;
                    }
                    self.queue.drain(..count);
                    self.place = Place::Literal(left - count as u64);
                }
                Place::Line | Place::Answer | Place::Done => match self.line() {
                    Some(line) => self.take(&line),
                    None => return,
                },
            }
        }
    }

    /// The next line without its end; its middle is left out where it is very long.
    fn line(&mut self) -> Option<Vec<u8>> {
        let end = self.queue.iter().position(|byte| *byte == b'\n');
        let count = end.map_or(self.queue.len(), |end| end + 1);
        let bytes: Vec<u8> = self.queue.drain(..count).collect();
        let room = KEPT.saturating_sub(self.line.len());
        if bytes.len() > room {
            self.line.extend_from_slice(&bytes[..room]);
            // The announcement of a literal stands at the end.
            let tail = &bytes[bytes.len().saturating_sub(40).max(room)..];
            self.line.truncate(KEPT);
            self.line.extend_from_slice(tail);
        } else {
            self.line.extend_from_slice(&bytes);
        }
        end?;
        let mut line = std::mem::take(&mut self.line);
        line.pop();
        if line.last() == Some(&b'\r') {
            line.pop();
        }
        Some(line)
    }

    fn take(&mut self, line: &[u8]) {
        match self.place {
            Place::Answer => return self.place = Place::Asked,
            Place::Done => {
                (self.current, self.place) = (None, Place::Line);
                // A command ends IDLE too, and is one (iOS).
                if line.eq_ignore_ascii_case(b"DONE") || tag_of(line).is_none() || !line.contains(&b' ') {
                    return;
                }
            }
            _ => {}
        }
        if self.current.is_none() {
            if line.is_empty() {
                return;
            }
            let Some(tag) = tag_of(line) else {
                self.untagged += 1;
                if let Some((length, false)) = announced(line) {
                    self.place = Place::Literal(length);
                }
                return;
            };
            self.serial += 1;
            let command = Command { tag, serial: self.serial, ..Command::default() };
            self.waiting.push_back(command.clone());
            self.current = Some(command);
        }
        let Some(current) = self.current.as_mut() else { return };
        // A command may come in a million pieces: no more of it is kept, nor looked at again, than tells what it is.
        if current.text.len() < KEPT {
            current.text.push_str(&String::from_utf8_lossy(line).to_ascii_uppercase());
        }
        let mut words = current.text.split(' ').skip(1);
        let first = words.next().unwrap_or_default();
        let (uid, verb) = match first {
            "UID" => (true, words.next().unwrap_or_default()),
            verb => (false, verb),
        };
        let words = words.take(2).count();
        (current.uid, current.verb) = (uid, verb.to_owned());
        let known = self.waiting.iter_mut().rev().find(|known| known.serial == current.serial);
        if let Some(known) = known.filter(|known| known.text.len() < KEPT) {
            known.text.push_str(&current.text[known.text.len()..]);
            (known.uid, known.verb) = (current.uid, current.verb.clone());
        }
        self.place = match (announced(line), current.verb.as_str()) {
            (Some((length, true)), _) => Place::Announced(length),
            (Some((length, false)), _) => Place::Literal(length),
            (None, "IDLE") if words == 0 => Place::Idle,
            (None, "AUTHENTICATE") if words == 1 => Place::Asked,
            (None, _) => {
                self.current = None;
                Place::Line
            }
        };
    }
}

/// `1*<any ASTRING-CHAR except "+">`, with a space or the line's end behind it.
fn tag_of(line: &[u8]) -> Option<String> {
    let end = line.iter().position(|byte| !byte.is_ascii_graphic()).unwrap_or(line.len());
    let tag = &line[..end];
    let is_tag = tag.iter().all(|byte| super::cursor::is_atom_char(*byte) && *byte != b'+' || *byte == b']');
    (is_tag && !tag.is_empty()).then(|| String::from_utf8_lossy(tag).into_owned())
}

/// The length of the literal that a line announces, and whether it waits for `+`.
fn announced(line: &[u8]) -> Option<(u64, bool)> {
    let inner = line.strip_suffix(b"}")?;
    let open = inner.iter().rposition(|byte| *byte == b'{')?;
    let (mut is_open, mut is_escaped) = (false, false);
    for byte in &line[..open] {
        match byte {
            _ if is_escaped => is_escaped = false,
            b'\\' if is_open => is_escaped = true,
            b'"' => is_open = !is_open,
            _ => {}
        }
    }
    let digits = &inner[open + 1..];
    let (digits, waits) = digits.strip_suffix(b"+").map_or((digits, true), |digits| (digits, false));
    let is_number = !is_open && !digits.is_empty() && digits.iter().all(u8::is_ascii_digit);
    is_number.then(|| Some((std::str::from_utf8(digits).ok()?.parse().ok()?, waits))).flatten()
}
