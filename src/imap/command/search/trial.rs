//! A message that is searched, in steps: what the record tells is asked first, then digest and header, then the
//! text, once for all strings that are looked for. It can be left at any place, and gone on with in another snapshot.

use std::sync::Arc;
use std::time::Instant;

use crate::imap::command::search::facts::{Facts, Level, one_space};
use crate::imap::command::search::filter::Filter;
use crate::imap::command::search::window::{Next, Window};
use crate::mail::digest::{Digest, Part, PartContent};
use crate::mail::needles::Seeker;
use crate::mail::text::{PartText, casemap};
use crate::mail::{address, date, encoded_word, header, mime_params};
use crate::store::contents::{HEAD_MAX, Reading};
use crate::store::emails::{self, ObjectIds};
use crate::store::record::Record;
use crate::store::{Error, Pin, Snapshot};

/// Content is read in pieces of this size.
const PIECE: u64 = 64 * 1024;
/// So much of a header is searched before it is asked again whether that decides.
const HEADER_PIECE: usize = 16 * 1024;

/// Fields of ENVELOPE that are addresses: looked for as it has them, too (RFC 9051 §6.4.4).
const ADDRESSES: [&str; 6] = ["From", "To", "Cc", "Bcc", "Sender", "Reply-To"];

/// A message on trial.
pub struct Trial {
    facts: Facts,
    stage: Stage,
    digest: Option<Arc<Digest>>,
    /// What was inflated last: the parts of a small message lie in one frame.
    reading: Reading,
    /// Keeps the content while it is read in several snapshots.
    pin: Option<Pin>,
}

/// Where it is.
enum Stage {
    /// Only the record was looked at.
    Record,
    /// And what costs no reading of the content.
    Derived,
    /// In its header.
    Header(Window),
    /// In its parts: at the one to which these numbers lead, from 0, if it is begun.
    Parts { path: Vec<usize>, part: Option<InPart> },
}

/// Within a part.
enum InPart {
    /// In its header.
    Header(Window),
    /// In its text, at this byte of the message.
    Text { text: Box<PartText>, at: u64 },
}

impl Trial {
    /// Of which nothing was looked at but its record.
    #[must_use]
    pub fn new(facts: Facts) -> Self {
        Trial { facts, stage: Stage::Record, digest: None, reading: Reading::default(), pin: None }
    }

    /// The record.
    #[must_use]
    pub fn record(&self) -> &Record {
        &self.facts.record
    }

    /// Looks on until it is decided whether the message fits, or until a moment: then `None`, but not before
    /// something was looked at.
    ///
    /// # Errors
    /// Of reading.
    pub fn step(
        &mut self,
        filter: &Filter,
        ids: Option<&ObjectIds>,
        snapshot: &Snapshot,
        until: Instant,
    ) -> Result<Option<bool>, Error> {
        loop {
            if let Some(decided) = filter.decide(&self.facts) {
                return Ok(Some(decided));
            }
            if self.facts.level == Level::Content {
                // All is known: a filter that cannot decide now never can.
                return Ok(Some(false));
            }
            self.advance(filter, ids, snapshot)?;
            if Instant::now() >= until {
                self.digest.take_if(|digest| digest.is_large());
                return Ok(None);
            }
        }
    }

    fn advance(
        &mut self,
        filter: &Filter,
        ids: Option<&ObjectIds>,
        snapshot: &Snapshot,
    ) -> Result<(), Error> {
        match std::mem::replace(&mut self.stage, Stage::Record) {
            Stage::Record if filter.asks_sent || ids.is_some() => {
                self.derive(filter, ids, snapshot)?;
                self.stage = Stage::Derived;
            }
            Stage::Record | Stage::Derived => {
                self.pin = Some(snapshot.pin(self.facts.record.email));
                self.stage = if filter.field_keys > 0 || !filter.headers.is_empty() {
                    self.facts.fields = vec![false; filter.field_keys];
                    self.facts.headers = Some(Seeker::new(&filter.headers));
                    let bytes = snapshot.header_on(self.facts.record.email, &mut self.reading)?;
                    let read = bytes.len() as u64;
                    // Of a longer one only its beginning is stored apart.
                    let is_all = bytes.len() < HEAD_MAX;
                    let end = if is_all { read } else { self.digest(snapshot)?.root.header.end.max(read) };
                    Stage::Header(Window::new(bytes, read..end))
                } else {
                    self.after_header(filter)
                };
            }
            Stage::Header(window) => {
                self.stage = match self.header(filter, snapshot, window, true)? {
                    Some(window) => Stage::Header(window),
                    None => self.after_header(filter),
                };
            }
            Stage::Parts { path, part } => self.parts(filter, snapshot, path, part)?,
        }
        Ok(())
    }

    /// What costs no reading of the content.
    fn derive(&mut self, filter: &Filter, ids: Option<&ObjectIds>, snapshot: &Snapshot) -> Result<(), Error> {
        if filter.asks_sent {
            let received = self.facts.record.internal_date;
            let digest = self.digest(snapshot)?;
            let date = digest.envelope.date.as_deref().and_then(date::parse_date);
            self.facts.sent = Some(date.unwrap_or(received).local_date());
        }
        if let Some(ids) = ids {
            let row =
                emails::get(snapshot, self.facts.record.email)?.ok_or(Error::NotFound("message content"))?;
            self.facts.ids = Some((ids.email(&row).to_string(), ids.thread(&row).to_string()));
        }
        Ok(())
    }

    fn after_header(&mut self, filter: &Filter) -> Stage {
        self.facts.level = Level::Header;
        if filter.bodies.is_empty() {
            self.facts.level = Level::Content;
        } else {
            self.facts.bodies = Some(Seeker::new(&filter.bodies));
        }
        Stage::Parts { path: Vec::new(), part: None }
    }

    fn digest(&mut self, snapshot: &Snapshot) -> Result<Arc<Digest>, Error> {
        if let Some(digest) = &self.digest {
            return Ok(Arc::clone(digest));
        }
        let digest = Arc::new(snapshot.digest(self.facts.record.email)?);
        Ok(Arc::clone(self.digest.insert(digest)))
    }

    /// A piece of a part, or the next part.
    fn parts(
        &mut self,
        filter: &Filter,
        snapshot: &Snapshot,
        mut path: Vec<usize>,
        part: Option<InPart>,
    ) -> Result<(), Error> {
        let digest = self.digest(snapshot)?;
        let Some(current) = descend(&digest.root, &path) else {
            self.facts.level = Level::Content;
            return Ok(());
        };
        let part = match part {
            None => self.begin(filter, &digest.root, current),
            Some(InPart::Header(window)) => match self.header(filter, snapshot, window, false)? {
                Some(window) => Some(InPart::Header(window)),
                None => begin_text(current),
            },
            Some(InPart::Text { text, at }) => self.text(filter, snapshot, current, text, at)?,
        };
        if part.is_none() && !next(&digest.root, &mut path) {
            self.facts.level = Level::Content;
        }
        self.stage = Stage::Parts { path, part };
        Ok(())
    }

    /// The MIME header fields of a part and the header of a message in it (RFC 9051 §6.4.4, TEXT), and the name of
    /// an attachment, which MIME encodes in ways of its own; then its text.
    fn begin(&mut self, filter: &Filter, root: &Part, part: &Part) -> Option<InPart> {
        let Some(headers) = self.facts.headers.as_mut().filter(|_| !filter.headers.is_empty()) else {
            return begin_text(part);
        };
        if let Some(name) = file_name(part) {
            headers.push(&filter.headers, &value_text(&name));
            headers.cut();
        }
        if part.header == root.header || part.header.is_empty() {
            return begin_text(part);
        }
        Some(InPart::Header(Window::new(Vec::new(), part.header.clone())))
    }

    /// Searches some fields; the window, if there are more.
    fn header(
        &mut self,
        filter: &Filter,
        snapshot: &Snapshot,
        mut window: Window,
        own: bool,
    ) -> Result<Option<Window>, Error> {
        let mut searched = 0;
        while searched < HEADER_PIECE {
            let (end, is_part) = match window.next() {
                Next::Field(end) => (end, false),
                Next::Part(end) => (end, true),
                Next::Unread => {
                    window.read(snapshot, self.facts.record.email, &mut self.reading)?;
                    break;
                }
                Next::Over => return Ok(None),
            };
            let raw = window.raw(end);
            search_field(&mut self.facts, filter, raw, own);
            searched += raw.len();
            match is_part {
                true => window.pass_part(end),
                false => window.pass(end),
            }
        }
        Ok(Some(window))
    }

    /// Text parts, those of messages in it too, and no header field (RFC 9051 §6.4.4, BODY).
    fn text(
        &mut self,
        filter: &Filter,
        snapshot: &Snapshot,
        part: &Part,
        mut text: Box<PartText>,
        at: u64,
    ) -> Result<Option<InPart>, Error> {
        let (mut raw, end) = (Vec::new(), part.body.end.min(at + PIECE));
        snapshot.read_on(self.facts.record.email, &mut self.reading, at..end, &mut raw)?;
        let Some(bodies) = &mut self.facts.bodies else { return Ok(None) };
        text.push(&raw, &mut |text| bodies.push(&filter.bodies, text));
        if end < part.body.end && bodies.left() > 0 {
            return Ok(Some(InPart::Text { text, at: end }));
        }
        text.finish(&mut |text| bodies.push(&filter.bodies, text));
        bodies.cut();
        Ok(None)
    }
}

/// Delivery reports are text, and so is a message that came encoded.
fn begin_text(part: &Part) -> Option<InPart> {
    let is_text = part.content == PartContent::Leaf && (part.is_type("text") || part.is_type("message"));
    let text = || Box::new(PartText::to_search(part));
    is_text.then(|| InPart::Text { text: text(), at: part.body.start })
}

/// Searches a field. Keys that name one ask about the message's own.
fn search_field(facts: &mut Facts, filter: &Filter, raw: &[u8], own: bool) {
    let Some((Some(field), _)) = header::field_at(raw, 0) else {
        // A line that is no field is in the header all the same (TEXT).
        return search_line(facts, filter, || casemap(&value_text(raw)));
    };
    let keys = filter.fields.get(&field.name.to_ascii_lowercase()).filter(|_| own);
    if keys.is_none() && filter.headers.is_empty() {
        return;
    }
    let value = casemap(&value_text(field.value));
    let mut plain = None;
    for (key, needle) in keys.into_iter().flatten() {
        let Some(found) = facts.fields.get_mut(*key).filter(|found| !**found) else { continue };
        *found = needle.is_in_mapped(&value)
            || needle.is_in_mapped(plain.get_or_insert_with(|| plain_addresses(&field)));
    }
    search_line(facts, filter, || {
        let name = casemap(&String::from_utf8_lossy(field.name));
        format!("{name}: {value}")
    });
}

/// Looks for what is to be in a header in one field of it, if any of that was not found yet.
fn search_line(facts: &mut Facts, filter: &Filter, mapped: impl FnOnce() -> String) {
    if let Some(headers) = facts.headers.as_mut().filter(|headers| headers.left() > 0) {
        headers.push_mapped(&filter.headers, &mapped());
        // What ends a field can be in no string that is searched for (RFC 9051 §9, `CHAR`).
        headers.cut();
    }
}

/// The part to which the numbers lead, from 0: those of a multipart, and of a part that holds a message the one.
fn descend<'a>(root: &'a Part, path: &[usize]) -> Option<&'a Part> {
    path.iter().try_fold(root, |part, number| match &part.content {
        PartContent::Multipart(parts) => parts.get(*number),
        PartContent::Message(inner) if *number == 0 => Some(&inner.1),
        _ => None,
    })
}

/// Goes to the next part, those within a part after it. Whether there is one.
fn next(root: &Part, path: &mut Vec<usize>) -> bool {
    path.push(0);
    loop {
        if descend(root, path).is_some() {
            return true;
        }
        path.pop();
        let Some(last) = path.last_mut() else { return false };
        *last += 1;
    }
}

fn value_text(value: &[u8]) -> String {
    one_space(&encoded_word::decode(&header::unfold(value)))
}

/// The addresses of a field that is made of them, ready to be searched; nothing of another.
fn plain_addresses(field: &header::Field<'_>) -> String {
    if !ADDRESSES.iter().any(|name| field.is(name)) {
        return String::new();
    }
    casemap(&one_space(&address::plain(&header::unfold(field.value))))
}

fn file_name(part: &Part) -> Option<Vec<u8>> {
    let disposition = part.disposition.as_ref().and_then(|(_, params)| mime_params::find(params, "filename"));
    disposition.or_else(|| mime_params::find(&part.params, "name"))
}
