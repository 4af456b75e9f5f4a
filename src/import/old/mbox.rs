//! mbox files: messages one behind the other, each after a line `From sender date`. Streamed.
//!
//! Nobody has to say which of its dialects a file is in:
//!
//! | dialect | a line of a body that begins with `From ` |
//! |---|---|
//! | mboxo | has a `>` before it |
//! | mboxrd | has a `>` before it, and so has one that begins with `>From `, `>>From ` … |
//! | mboxcl2 | is as it was: the field `Content-Length` tells where the body ends |
//!
//! A `Content-Length` counts only if the body that it tells of is followed by the next message or the end of
//! the file: programs that change bodies leave it wrong. Otherwise one `>` is taken away, as mboxrd has it;
//! in mboxo a line that was `>From ` from the start loses its own, which no reader can know.
//! What our own export wrote comes back as it was: its fields say so (`head::own`).
//!
//! A line counts as the start of a message if it has a sender and a date, and something like a header field follows. Where
//! the first of a file has no date, those of the others need none either, but an empty line before them.

use std::io::{self, Read};

use super::head;
use crate::import::disk::recognise::{Likeness, likeness};
use crate::import::disk::window::Window;
use crate::mail::date::parse_date;
use crate::mail::header;
use crate::model::DateTime;

/// The longest header that is held; the rest of a longer one counts as body.
pub const HEADER_MAX: usize = 256 * 1024;
/// How far ahead the start of a message is looked for: its line, and the name of a field.
const LOOK: usize = 2 * 1024;
/// How far ahead a `Content-Length` is checked, in bytes. It is only for bodies that hold a line which
/// could be the start of a message.
const CHECK_MAX: u64 = 4 << 20;
/// Days of the week, which precede the date behind a sender that may hold anything.
const DAYS: [&[u8]; 7] = [b" Mon ", b" Tue ", b" Wed ", b" Thu ", b" Fri ", b" Sat ", b" Sun "];

/// Takes what is read.
pub trait Receiver<E> {
    /// The next message begins: the date of its `From ` line, and its header with the empty line.
    ///
    /// # Errors
    /// What ends the reading.
    fn head(&mut self, date: Option<DateTime>, header: &[u8]) -> Result<(), E>;

    /// More of its body.
    ///
    /// # Errors
    /// What ends the reading.
    fn body(&mut self, bytes: &[u8]) -> Result<(), E>;

    /// It is whole.
    ///
    /// # Errors
    /// What ends the reading.
    fn end(&mut self) -> Result<(), E>;
}

/// Whether a stream that begins so is an mbox.
#[must_use]
pub fn is_mbox(start: &[u8]) -> bool {
    let start = skip_blank(start.strip_prefix(header::BOM).unwrap_or(start));
    is_start(start, true, Dates::Needed) || is_dateless(start)
}

/// Whether the lines between messages need a date.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Dates {
    Needed,
    Left,
}

/// Whether a file begins with a line without a date, and with a header that shows that it is one all the same.
fn is_dateless(start: &[u8]) -> bool {
    let behind = start.get(line(start).len()..).unwrap_or_default();
    !is_start(start, true, Dates::Needed)
        && is_start(start, true, Dates::Left)
        && likeness(behind) == Likeness::Mail
}

fn skip_blank(bytes: &[u8]) -> &[u8] {
    let mut rest = bytes;
    while let Some(length) = blank(rest) {
        rest = rest.get(length..).unwrap_or_default();
    }
    rest
}

/// Reads all messages.
///
/// # Errors
/// Of the stream or the receiver.
pub fn read<R: Read, E: From<io::Error>>(
    window: &mut Window<R>,
    receiver: &mut dyn Receiver<E>,
) -> Result<(), E> {
    window.ensure(LOOK)?;
    if window.bytes().starts_with(header::BOM) {
        window.consume(header::BOM.len());
    }
    loop {
        window.ensure(LOOK)?;
        match blank(window.bytes()) {
            Some(length) => window.consume(length),
            None => break,
        }
    }
    let dates = if is_dateless(window.bytes()) { Dates::Left } else { Dates::Needed };
    while !window.bytes().is_empty() {
        // The first may have none, where the file's name says what it is.
        let date = from_line(window)?;
        let Header { bytes: header, whole, quoted, own } = read_header(window, dates)?;
        receiver.head(date, &header)?;
        // Our own export quotes every line that has to be.
        let declared = declared(&header, whole && !own);
        let mut body = Body { window, receiver, declared, taken: 0, dates, quoted };
        body.read()?;
        receiver.end()?;
        window.ensure(LOOK)?;
    }
    Ok(())
}

/// Reads a stream that is one message, with or without a `From ` line before it.
///
/// # Errors
/// Of the stream or the receiver.
pub fn read_one<R: Read, E: From<io::Error>>(
    window: &mut Window<R>,
    receiver: &mut dyn Receiver<E>,
) -> Result<(), E> {
    window.ensure(LOOK)?;
    let date = from_line(window)?;
    let header = read_header(window, Dates::Needed)?;
    receiver.head(date, &header.bytes)?;
    rest(window, receiver)
}

/// Reads a stream that is one message and nothing else, as our own export of a Maildir writes it.
///
/// # Errors
/// Of the stream or the receiver.
pub fn read_as_it_is<R: Read, E: From<io::Error>>(
    window: &mut Window<R>,
    receiver: &mut dyn Receiver<E>,
) -> Result<(), E> {
    receiver.head(None, b"")?;
    rest(window, receiver)
}

fn rest<R: Read, E: From<io::Error>>(
    window: &mut Window<R>,
    receiver: &mut dyn Receiver<E>,
) -> Result<(), E> {
    loop {
        window.ensure(1)?;
        let count = window.bytes().len();
        if count == 0 {
            return receiver.end();
        }
        receiver.body(window.bytes())?;
        window.consume(count);
    }
}

/// Takes the line that begins a message, if it is a line: what ends nowhere near is the message's own.
fn from_line<R: Read>(window: &mut Window<R>) -> io::Result<Option<DateTime>> {
    let bytes = window.bytes();
    let line = line(bytes);
    if !line.starts_with(b"From ") || !line.ends_with(b"\n") || line.len() > LOOK {
        return Ok(None);
    }
    let date = from_date(line);
    let length = line.len();
    window.consume(length);
    Ok(date)
}

struct Header {
    bytes: Vec<u8>,
    /// Whether it is all there.
    whole: bool,
    /// Whether each line that began with `From` has a `>` before it, fields as well (imap-backup).
    quoted: bool,
    /// Whether it begins with what our own export puts there.
    own: bool,
}

/// Takes a header with its empty line.
fn read_header<R: Read>(window: &mut Window<R>, dates: Dates) -> io::Result<Header> {
    let (mut header, mut quoted, mut own) = (Vec::new(), false, false);
    loop {
        window.ensure(LOOK)?;
        let bytes = window.bytes();
        if bytes.is_empty() || !header.is_empty() && is_start(bytes, false, dates) {
            return Ok(Header { bytes: header, whole: true, quoted, own });
        }
        let line = next_line(window)?;
        let bytes = window.bytes();
        let mut text = bytes.get(..line).unwrap_or_default();
        let is_blank = blank(text).is_some();
        if own {
            let quotes = text.iter().take_while(|byte| **byte == b'>').count();
            let is_quoted = quotes > 0 && text.get(quotes..).is_some_and(|rest| rest.starts_with(b"From "));
            text = text.get(usize::from(is_quoted)..).unwrap_or_default();
        } else if text.get(..6).is_some_and(|start| start.eq_ignore_ascii_case(b">From:")) {
            (text, quoted) = (text.get(1..).unwrap_or_default(), true);
        }
        // `>From ` directly below: left by UUCP, and no field.
        if !(text.starts_with(b">From ") && header.is_empty()) {
            header.extend_from_slice(text);
        }
        own |= head::own(&header).is_some_and(|own| own.length == header.len());
        window.consume(line);
        if is_blank || header.len() >= HEADER_MAX {
            return Ok(Header { bytes: header, whole: is_blank, quoted, own });
        }
    }
}

/// The length of the line that is ahead, cut off at [`HEADER_MAX`].
fn next_line<R: Read>(window: &mut Window<R>) -> io::Result<usize> {
    loop {
        let ahead = window.bytes();
        if let Some(at) = ahead.iter().position(|byte| *byte == b'\n') {
            return Ok(at + 1);
        }
        if window.ended() || ahead.len() >= HEADER_MAX {
            return Ok(ahead.len());
        }
        let wanted = ahead.len() * 2;
        window.ensure(wanted.max(LOOK))?;
    }
}

fn declared(header: &[u8], whole: bool) -> Option<u64> {
    let field = header::fields(header).find(|field| field.is("Content-Length")).filter(|_| whole)?;
    std::str::from_utf8(field.value.trim_ascii()).ok()?.parse().ok()
}

struct Body<'a, R, E> {
    window: &'a mut Window<R>,
    receiver: &'a mut dyn Receiver<E>,
    declared: Option<u64>,
    /// Bytes of it that are done, as they are in the file.
    taken: u64,
    dates: Dates,
    /// As [`Header`] has it.
    quoted: bool,
}

impl<R: Read, E: From<io::Error>> Body<'_, R, E> {
    /// Up to the next message, whose line is ahead then.
    fn read(&mut self) -> Result<(), E> {
        let (mut at, mut in_line) = (0, false);
        loop {
            if self.window.bytes().len() < at + LOOK && !self.window.ended() {
                self.pass(at)?;
                at = 0;
                self.window.ensure(LOOK)?;
            }
            let ended = self.window.ended();
            let bytes = self.window.bytes();
            let rest = bytes.get(at..).unwrap_or_default();
            if rest.is_empty() && ended {
                return self.pass(at);
            }
            if !in_line {
                match judge(rest, self.dates, self.quoted) {
                    Line::End(skip) => {
                        if self.is_inside(at)? {
                            self.pass_declared(at)?;
                            at = 0;
                            continue;
                        }
                        self.pass(at)?;
                        self.window.consume(skip);
                        return Ok(());
                    }
                    Line::Quoted => {
                        if self.is_inside(at)? {
                            self.pass_declared(at)?;
                            at = 0;
                            continue;
                        }
                        self.pass(at)?;
                        self.window.consume(1);
                        (self.taken, at) = (self.taken + 1, 0);
                    }
                    Line::Plain => {}
                }
            }
            let rest = self.window.bytes().get(at..).unwrap_or_default();
            match rest.iter().position(|byte| *byte == b'\n') {
                Some(end) => (at, in_line) = (at + end + 1, false),
                None => (at, in_line) = (at + rest.len(), true),
            }
        }
    }

    /// Gives bytes to the receiver.
    fn pass(&mut self, count: usize) -> Result<(), E> {
        if count > 0 {
            self.receiver.body(self.window.bytes().get(..count).unwrap_or_default())?;
            self.window.consume(count);
            self.taken += count as u64;
        }
        Ok(())
    }

    /// Whether what is at `at` lies inside of a body whose declared length proves right.
    fn is_inside(&mut self, at: usize) -> io::Result<bool> {
        let left = self.declared.and_then(|length| length.checked_sub(self.taken + at as u64));
        let Some(left) = left.filter(|left| (1..=CHECK_MAX).contains(left)) else { return Ok(false) };
        let mut end = at + left as usize;
        self.window.ensure(end + LOOK)?;
        // Counted by a program that counted its own line ends: it ends where the line does.
        let is_within = matches!(self.window.bytes().get(end - 1..), Some([b'\r', b'\n', ..]));
        if is_within && left < CHECK_MAX {
            self.declared = self.declared.map(|length| length + 1);
            end += 1;
            self.window.ensure(end + LOOK)?;
        }
        let Some(behind) = self.window.bytes().get(end..) else { return Ok(false) };
        let rest = blank(behind).map_or(behind, |length| behind.get(length..).unwrap_or_default());
        Ok(rest.is_empty() || is_start(rest, true, self.dates))
    }

    /// Gives the receiver everything up to the declared end as it is.
    fn pass_declared(&mut self, at: usize) -> Result<(), E> {
        self.pass(at)?;
        while let Some(left) = self.declared.and_then(|length| length.checked_sub(self.taken)) {
            if left == 0 {
                return Ok(());
            }
            self.window.ensure(1)?;
            let count = self.window.bytes().len().min(left as usize);
            if count == 0 {
                return Ok(());
            }
            self.pass(count)?;
        }
        Ok(())
    }
}

enum Line {
    /// The message ends here; so many bytes lie before the next one's line, and belong to neither.
    End(usize),
    /// It has a `>` that is not its own.
    Quoted,
    Plain,
}

fn judge(rest: &[u8], dates: Dates, quoted: bool) -> Line {
    if let Some(length) = blank(rest) {
        let behind = rest.get(length..).unwrap_or_default();
        return if behind.is_empty() || is_start(behind, true, dates) {
            Line::End(length)
        } else {
            Line::Plain
        };
    }
    match rest.first() {
        Some(b'F') if is_start(rest, false, dates) => Line::End(0),
        Some(b'>') => {
            let quotes = rest.iter().take_while(|byte| **byte == b'>').count();
            let mark: &[u8] = if quoted { b"From" } else { b"From " };
            let is_from = rest.get(quotes..).is_some_and(|text| text.starts_with(mark));
            if is_from { Line::Quoted } else { Line::Plain }
        }
        _ => Line::Plain,
    }
}

/// The length of an empty line.
fn blank(bytes: &[u8]) -> Option<usize> {
    match bytes {
        [b'\n', ..] => Some(1),
        [b'\r', b'\n', ..] => Some(2),
        _ => None,
    }
}

/// The first line, with its end.
fn line(bytes: &[u8]) -> &[u8] {
    let end = bytes.iter().position(|byte| *byte == b'\n').map_or(bytes.len(), |at| at + 1);
    bytes.get(..end).unwrap_or_default()
}

/// Whether a message starts here. `From ` alone, as recent Thunderbirds write it, needs an empty line before.
fn is_start(bytes: &[u8], after_blank: bool, dates: Dates) -> bool {
    let first = line(bytes);
    let Some(rest) = first.strip_prefix(b"From ") else { return false };
    let rest = rest.trim_ascii();
    let bare = after_blank && matches!(rest, b"" | b"-");
    // A sender alone is a word; prose has more of them.
    let sender = after_blank && dates == Dates::Left && !rest.iter().any(u8::is_ascii_whitespace);
    if !bare && !sender && from_date(first).is_none() {
        return false;
    }
    let next = bytes.get(first.len()..).unwrap_or_default();
    next.is_empty()
        || next.starts_with(b">From")
        || blank(next).is_some() && !bare && !sender
        || is_field(next)
}

fn is_field(bytes: &[u8]) -> bool {
    let name = bytes.iter().take(100).take_while(|byte| byte.is_ascii_graphic() && **byte != b':').count();
    name > 0 && bytes.get(name) == Some(&b':')
}

/// The date of a `From ` line; without a zone it is UTC (RFC 4155, appendix A).
fn from_date(line: &[u8]) -> Option<DateTime> {
    let rest = line.strip_prefix(b"From ")?;
    let day = (0..rest.len()).rev().find(|at| DAYS.iter().any(|day| rest[*at..].starts_with(day)));
    // Without a day of the week it stands behind the address, and prose has neither.
    let at = match day {
        Some(day) => day,
        None => rest.iter().position(|byte| *byte == b' ').filter(|at| rest[..*at].contains(&b'@'))?,
    };
    let (sender, date) = rest.split_at(at);
    if !sender.contains(&b'@') && sender.trim_ascii().contains(&b' ') {
        return None;
    }
    // Every form has a time of day; a date alone is found in prose.
    date.contains(&b':').then(|| parse_date(date)).flatten()
}

#[cfg(test)]
#[path = "mbox_test.rs"]
mod tests;
