//! The part tree of a message (RFC 2045, RFC 2046, RFC 5322), read as the message comes in, in bounded memory.
//!
//! The parser works line by line over a stack of open parts. What it keeps of a message is its [`Digest`]:
//! byte ranges, and the fields that FETCH tells. Broken mail is the rule: boundaries that never come, parts
//! that never end, no header at all, bare line feeds. None of it is an error.

use super::digest::{Digest, Envelope, Part, PartContent};
use super::envelope::envelope;
use super::header::{self, fields, unfold};
use super::preview::Preview;
use super::transfer::Encoding;
use super::{mime_params, thread};

/// Parts lie in each other no deeper than this; what is deeper is a leaf.
pub const DEEPEST: usize = 100;
/// More parts than this are not told apart: the rest is the last one's body.
const MOST_PARTS: usize = 10_000;
/// What is read of one header block.
const LONGEST_HEADER: usize = 256 * 1024;
/// So much of it is kept for fields that are short: thousands of recipients must not hide the subject behind them.
const KEPT_FOR_SHORT: usize = 64 * 1024;
const SHORT_FIELD: usize = 8 * 1024;
/// What is looked at of a line of a body: boundaries are shorter (RFC 2046 §5.1.1: 70 characters).
const LONGEST_LINE: usize = 1_200;
/// Text that is kept of all parts but the outermost; beyond it only their place and type are.
const MOST_KEPT: usize = 512 * 1024;
/// Language tags that are told of a part.
const MOST_LANGUAGES: usize = 20;
/// A longer transfer encoding is cut: all that are known are shorter.
const LONGEST_TOKEN: usize = 60;
/// A longer Content-ID, description or location is cut.
const LONGEST_FIELD: usize = 8 * 1024;

/// Digests a message that is pushed piece by piece; how it is cut does not matter.
pub struct Digester {
    /// Bytes pushed.
    size: u64,
    /// The line that has begun, as far as it is looked at, and where.
    line: Vec<u8>,
    line_start: u64,
    /// The length of the end of the line before.
    last_end: u64,
    /// Line feeds so far.
    feeds: u64,
    stack: Vec<Frame>,
    parts: usize,
    kept: usize,
    preview: Option<(bool, String)>,
    references: Vec<String>,
    envelope: Option<Envelope>,
}

/// An open part.
struct Frame {
    part: Part,
    phase: Phase,
    start: u64,
    header: Vec<u8>,
    /// Bytes of the field that is being read, and whether its end was left out.
    field: usize,
    is_cut: bool,
    /// Its header is a message's, with an envelope.
    message: bool,
    /// In multipart/digest parts are messages unless they say otherwise.
    message_by_default: bool,
    envelope: Envelope,
    boundary: Vec<u8>,
    children: Vec<Part>,
    inner: Option<Box<(Envelope, Part)>>,
    feeds: u64,
    preview: Option<(bool, Preview)>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    Header,
    Leaf,
    /// In a multipart, before its first or between its parts.
    Multipart,
    /// After a multipart's last boundary.
    Epilogue,
    /// A message lies in it.
    Message,
}

impl Frame {
    fn new(start: u64, message: bool, message_by_default: bool) -> Self {
        Frame {
            part: Part::default(),
            phase: Phase::Header,
            start,
            header: Vec::new(),
            field: 0,
            is_cut: false,
            message,
            message_by_default,
            envelope: Envelope::default(),
            boundary: Vec::new(),
            children: Vec::new(),
            inner: None,
            feeds: 0,
            preview: None,
        }
    }

    /// A line of the header. A long field is cut, never what follows it.
    fn take_header(&mut self, line: &[u8]) {
        if !matches!(line.first(), Some(b' ' | b'\t')) {
            (self.field, self.is_cut) = (0, false);
        }
        self.field += line.len();
        let length = self.header.len() + line.len();
        self.is_cut |=
            length > LONGEST_HEADER || length > LONGEST_HEADER - KEPT_FOR_SHORT && self.field > SHORT_FIELD;
        if !self.is_cut {
            self.header.extend_from_slice(line);
        }
    }
}

impl Default for Digester {
    fn default() -> Self {
        Self::new()
    }
}

impl Digester {
    /// For a message of which nothing has come yet.
    #[must_use]
    pub fn new() -> Self {
        Digester {
            size: 0,
            line: Vec::new(),
            line_start: 0,
            last_end: 0,
            feeds: 0,
            stack: vec![Frame::new(0, true, false)],
            parts: 1,
            kept: 0,
            preview: None,
            references: Vec::new(),
            envelope: None,
        }
    }

    /// Takes the next bytes.
    pub fn push(&mut self, chunk: &[u8]) {
        let mut rest = chunk;
        while let Some(at) = rest.iter().position(|byte| *byte == b'\n') {
            let (piece, after) = rest.split_at(at + 1);
            rest = after;
            self.size += piece.len() as u64;
            if self.line.is_empty() && piece.len() <= self.longest() {
                self.on_line(piece);
            } else {
                let mut line = std::mem::take(&mut self.line);
                self.keep(&mut line, piece);
                // A line that was cut ends all the same.
                if line.last() != Some(&b'\n') {
                    line.push(b'\n');
                }
                self.on_line(&line);
                line.clear();
                self.line = line;
            }
            self.feeds += 1;
            self.line_start = self.size;
        }
        self.size += rest.len() as u64;
        let mut line = std::mem::take(&mut self.line);
        self.keep(&mut line, rest);
        self.line = line;
    }

    /// The whole message has come.
    #[must_use]
    pub fn finish(mut self) -> Digest {
        if self.line_start < self.size {
            let line = std::mem::take(&mut self.line);
            self.on_line(&line);
            self.last_end = 0;
        }
        let mut root = Part::default();
        while let Some(part) = self.close(self.size, false) {
            root = part;
        }
        Digest {
            size: self.size,
            envelope: self.envelope.unwrap_or_default(),
            root,
            preview: self.preview.map(|(_, text)| text).unwrap_or_default(),
            references: self.references,
        }
    }

    fn longest(&self) -> usize {
        match self.stack.last() {
            Some(frame) if frame.phase == Phase::Header => LONGEST_HEADER,
            _ => LONGEST_LINE,
        }
    }

    fn keep(&self, line: &mut Vec<u8>, piece: &[u8]) {
        let room = self.longest().saturating_sub(line.len());
        line.extend_from_slice(&piece[..piece.len().min(room)]);
    }

    /// A line with its end, if it has one; `size` is where it ends.
    fn on_line(&mut self, line: &[u8]) {
        let content = line.strip_suffix(b"\n").map_or(line, |line| line.strip_suffix(b"\r").unwrap_or(line));
        if let Some((at, last)) = self.boundary(content) {
            self.at_boundary(at, last);
        } else {
            self.in_part(line, content);
        }
        self.last_end = (line.len() - content.len()) as u64;
    }

    /// The multipart whose boundary this is, and whether it is its last. It is enough that a line begins with
    /// a boundary (RFC 2046 §5.1.1); where one is the beginning of another, what fits exactly goes first, then
    /// the longest.
    fn boundary(&self, content: &[u8]) -> Option<(usize, bool)> {
        let text = content.strip_prefix(b"--")?.trim_ascii_end();
        let open =
            || self.stack.iter().enumerate().rev().filter(|(_, frame)| frame.phase == Phase::Multipart);
        for (at, frame) in open() {
            if text == frame.boundary.as_slice() {
                return Some((at, false));
            }
            if text.strip_suffix(b"--") == Some(&frame.boundary) {
                return Some((at, true));
            }
        }
        let begun =
            open().filter_map(|(at, frame)| Some((at, text.strip_prefix(frame.boundary.as_slice())?)));
        begun.min_by_key(|(_, rest)| rest.len()).map(|(at, rest)| (at, rest.starts_with(b"--")))
    }

    fn at_boundary(&mut self, at: usize, last: bool) {
        let end = self.line_start.saturating_sub(self.last_end);
        while self.stack.len() > at + 1 {
            self.close(end, true);
        }
        let start = self.size;
        let Some(frame) = self.stack.last_mut() else { return };
        if last || self.parts >= MOST_PARTS {
            frame.phase = Phase::Epilogue;
            return;
        }
        self.parts += 1;
        let by_default = frame.part.is_subtype("digest");
        self.stack.push(Frame::new(start, false, by_default));
    }

    fn in_part(&mut self, line: &[u8], content: &[u8]) {
        let Some(frame) = self.stack.last_mut() else { return };
        match frame.phase {
            Phase::Header => {
                // A header begins with a field, or there is none.
                if frame.start == self.line_start && !content.is_empty() && !is_field(content) {
                    self.begin_body(self.line_start);
                    return self.in_part(line, content);
                }
                if content.is_empty() {
                    self.begin_body(self.size);
                } else {
                    frame.take_header(line);
                }
            }
            Phase::Leaf => {
                if let Some((_, preview)) = &mut frame.preview {
                    preview.push(line);
                }
            }
            Phase::Multipart | Phase::Epilogue | Phase::Message => {}
        }
    }

    /// The header of the innermost part ends before `body`.
    fn begin_body(&mut self, body: u64) {
        let depth = self.stack.len();
        let outermost = depth == 1;
        let full = self.kept > MOST_KEPT && !outermost;
        let starts_at_body = body == self.line_start;
        let Some(frame) = self.stack.last_mut() else { return };
        let header = std::mem::take(&mut frame.header);
        frame.part.header = frame.start..body;
        frame.part.body = body..body;
        frame.feeds = self.feeds + u64::from(!starts_at_body);
        read_fields(&mut frame.part, &header, frame.message_by_default, full);
        if frame.message && !full {
            frame.envelope = envelope(&header);
        }
        if outermost {
            self.references = references(&header);
        } else {
            self.kept += header.len();
        }
        let part = &frame.part;
        frame.phase = if part.is_type("multipart") {
            let boundary = mime_params::find(&part.params, "boundary").unwrap_or_default();
            frame.boundary = boundary.trim_ascii_end().to_vec();
            let usable = !frame.boundary.is_empty() && depth < DEEPEST;
            if usable { Phase::Multipart } else { Phase::Leaf }
        } else if part.is_message() {
            // One that is encoded has no parts that could be numbered (RFC 2046 §5.2.1 forbids it).
            let identity = Encoding::parse(&part.encoding) == Encoding::Identity;
            let opens = identity && depth < DEEPEST && self.parts < MOST_PARTS;
            if opens { Phase::Message } else { Phase::Leaf }
        } else {
            frame.preview = preview_of(part, self.preview.as_ref());
            Phase::Leaf
        };
        if frame.phase == Phase::Message {
            self.parts += 1;
            self.stack.push(Frame::new(body, true, false));
        }
    }

    /// Closes the innermost part; its body ends at `end`. With `stripped` the last line end belongs to a
    /// boundary. Gives the outermost part when that is closed, `None` when nothing is open.
    fn close(&mut self, end: u64, stripped: bool) -> Option<Part> {
        if self.stack.last()?.phase == Phase::Header {
            // Only a header came: its line ends are its own.
            let at = if stripped { self.line_start } else { end };
            self.begin_body(at);
            if self.stack.last()?.phase == Phase::Header {
                // A message in it, of which nothing came.
                self.begin_body(at);
            }
        }
        let mut frame = self.stack.pop()?;
        // What lies in it and is only a header keeps its line end.
        let inner = frame.inner.as_ref().map(|inner| &inner.1);
        let inner_end = inner.or(frame.children.last()).map_or(0, |part| part.body.end);
        let stripped = stripped && inner_end <= end;
        let end = end.max(frame.part.body.start).max(inner_end);
        frame.part.body.end = end;
        let feeds = self.feeds.saturating_sub(frame.feeds);
        // Its line ends; as other servers count, what stands after the last is no line.
        let lines = if frame.part.body.is_empty() { 0 } else { feeds - u64::from(stripped && feeds > 0) };
        frame.part.lines = u32::try_from(lines).unwrap_or(u32::MAX);
        if let Some((plain, preview)) = frame.preview.take() {
            let text = preview.finish();
            if !text.is_empty() || self.preview.is_none() {
                self.preview = Some((plain, text));
            }
        }
        frame.part.content = match frame.phase {
            Phase::Multipart | Phase::Epilogue if !frame.children.is_empty() => {
                PartContent::Multipart(std::mem::take(&mut frame.children))
            }
            Phase::Message => match frame.inner.take() {
                Some(inner) => PartContent::Message(inner),
                None => PartContent::Leaf,
            },
            _ => PartContent::Leaf,
        };
        if frame.part.is_type("multipart") && frame.part.content == PartContent::Leaf {
            // The grammar knows no multipart without parts: its text can be read at least.
            set_default_type(&mut frame.part);
        }
        match self.stack.last_mut() {
            Some(parent) if parent.phase == Phase::Message => {
                parent.inner = Some(Box::new((frame.envelope, frame.part)));
                Some(Part::default())
            }
            Some(parent) => {
                parent.children.push(frame.part);
                Some(Part::default())
            }
            None => {
                self.envelope = Some(frame.envelope);
                Some(frame.part)
            }
        }
    }
}

/// Reads the preview from this part, unless a better one was found (RFC 8970 §4).
fn preview_of(part: &Part, found: Option<&(bool, String)>) -> Option<(bool, Preview)> {
    let plain = part.is_subtype("plain");
    if !part.is_type("text") || !plain && !part.is_subtype("html") {
        return None;
    }
    let better = found.is_none_or(|(was_plain, text)| text.is_empty() || plain && !was_plain);
    let attached = part.disposition.as_ref().is_some_and(|(what, _)| what.eq_ignore_ascii_case("attachment"));
    if !better || attached {
        return None;
    }
    Some((plain, Preview::new(part)))
}

/// The type of a part that does not say one, or none that can be understood (RFC 2045 §5.2).
fn set_default_type(part: &mut Part) {
    (part.media_type, part.subtype) = ("text".to_owned(), "plain".to_owned());
    part.params = vec![("charset".to_owned(), b"us-ascii".to_vec())];
}

/// A line that can begin a header.
fn is_field(line: &[u8]) -> bool {
    if line.starts_with(b"From ") || line.starts_with(b">From ") {
        return true;
    }
    let line = line.strip_prefix(header::BOM).unwrap_or(line);
    let Some(colon) = line.iter().position(|byte| *byte == b':') else { return false };
    let name = line[..colon].trim_ascii_end();
    !name.is_empty() && name.iter().all(u8::is_ascii_graphic)
}

fn references(header: &[u8]) -> Vec<String> {
    let mut value = Vec::new();
    for name in ["references", "in-reply-to"] {
        if let Some(field) = fields(header).find(|field| field.is(name)) {
            value.extend_from_slice(field.value);
            value.push(b' ');
        }
    }
    thread::message_ids(&value)
}

/// The fields of a MIME header; with `full` only those that the part's place and type need.
fn read_fields(part: &mut Part, header: &[u8], message_by_default: bool, full: bool) {
    let mut content_type = None;
    for field in fields(header) {
        let name = field.name.to_ascii_lowercase();
        let Some(kind) = name.strip_prefix(b"content-") else { continue };
        let once = |slot: &mut Option<Vec<u8>>| {
            if slot.is_none() && !full {
                let mut value = unfold(field.value);
                value.truncate(LONGEST_FIELD);
                *slot = Some(value);
            }
        };
        match kind {
            b"type" if content_type.is_none() => content_type = Some(mime_params::parse(field.value)),
            b"transfer-encoding" if part.encoding.is_empty() => {
                part.encoding = mime_params::token(field.value).chars().take(LONGEST_TOKEN).collect();
            }
            b"id" => once(&mut part.id),
            b"description" => once(&mut part.description),
            b"md5" => once(&mut part.md5),
            b"location" => once(&mut part.location),
            b"disposition" if part.disposition.is_none() && !full => {
                let (value, params) = mime_params::parse(field.value);
                if !value.is_empty() || !params.is_empty() {
                    // One that is not known is an attachment (RFC 2183 §2.8).
                    let value = if value.is_empty() { "attachment".to_owned() } else { value };
                    part.disposition = Some((value, params));
                }
            }
            b"language" if part.language.is_empty() && !full => {
                part.language = mime_params::tokens(field.value).into_iter().take(MOST_LANGUAGES).collect();
            }
            _ => {}
        }
    }
    if part.encoding.is_empty() {
        part.encoding = "7bit".to_owned();
    }
    let (value, params) = content_type.unwrap_or_default();
    let named = mime_params::media_type(&value);
    let params = if full {
        let is_boundary = |name: &str| name.trim_end_matches('*').eq_ignore_ascii_case("boundary");
        params.into_iter().filter(|(name, _)| is_boundary(name)).collect()
    } else {
        params
    };
    match named {
        Some((media_type, subtype)) => {
            (part.media_type, part.subtype, part.params) = (media_type, subtype, params);
        }
        None if message_by_default => {
            (part.media_type, part.subtype) = ("message".to_owned(), "rfc822".to_owned());
        }
        None => {
            set_default_type(part);
            // `; name=x`, `text; charset=…`: what it says is said of the type that it must be.
            if (value.is_empty() || value.eq_ignore_ascii_case("text")) && !params.is_empty() {
                let has_charset = mime_params::find(&params, "charset").is_some();
                part.params.retain(|_| !has_charset);
                part.params.extend(params);
            }
        }
    }
}

#[cfg(test)]
mod tests;
