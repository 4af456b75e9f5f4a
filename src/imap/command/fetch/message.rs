//! One message of a FETCH: its items are written one by one, and what is large in pieces. An item that cannot be
//! read leaves nothing behind.

use std::ops::Range;

use crate::imap::command::fetch::literal::{Check, Literal, Measure, Measured, hide_nul};
use crate::imap::connection::CHUNK;
use crate::mail::digest::{Digest, PartContent};
use crate::mail::field_filter::FieldFilter;
use crate::mail::header::filter_fields;
use crate::mail::section::{self, Located, Section, SectionText};
use crate::mail::text::has_lines;
use crate::mail::transfer::Encoding;
use crate::model::{ContentId, DateTime};
use crate::protocol::command::fetch::Item;
use crate::protocol::response::fetch::Fetch as Response;
use crate::protocol::response::{Dialect, Writer};
use crate::store::contents::{HEAD_MAX, Reading};
use crate::store::emails::{self, ObjectIds};
use crate::store::record::Record;
use crate::store::{Error, Pin, Snapshot};

/// Of a header that is longer than [`HEAD_MAX`], fields of so many bytes are sent: some 8,000 recipients. They are held
/// until they are written.
const MOST_FIELDS: usize = 512 * 1024;

/// The message that is being written.
pub struct Current {
    /// What its mailbox says of it.
    pub record: Record,
    /// Which item of the plan comes next.
    pub next: usize,
    /// Nothing was written of it yet.
    pub first: bool,
    digest: Option<Box<Digest>>,
    preparing: Option<Preparing>,
    literal: Option<Literal>,
    /// Where in the output its item in hand begins, and whether that is its first: as long as none of it can have
    /// been sent, it can be taken back.
    begun: Option<(usize, bool)>,
    /// Keeps the content while it is read in several snapshots.
    pin: Option<Pin>,
}

/// An item that must be read once before its first byte can be written, so that what is announced can be kept.
enum Preparing {
    /// A part whose decoded length must be known.
    Measure(Measure, Item),
    /// A long range that must be readable.
    Check(Check, Item),
    /// A long header of which some fields are wanted.
    Fields(Box<LongHeader>, Item),
}

/// A header that is read piece by piece, and what is chosen of it.
struct LongHeader {
    left: Range<u64>,
    reading: Reading,
    filter: FieldFilter,
}

impl Current {
    /// A message whose response has been begun.
    #[must_use]
    pub fn new(record: Record, first: bool) -> Self {
        let (digest, preparing, literal, begun, pin) = Default::default();
        Current { record, next: 0, first, digest, preparing, literal, begun, pin }
    }

    /// Whether a literal is announced that is not whole yet.
    #[must_use]
    pub fn in_literal(&self) -> bool {
        self.literal.is_some()
    }

    /// Whether an item is not written to its end yet.
    #[must_use]
    pub fn is_busy(&self) -> bool {
        self.literal.is_some() || self.preparing.is_some()
    }

    /// Whether an item is not written yet, since it is being read first; and how much is read of it at a time, in
    /// pieces of [`crate::imap::connection::CHUNK`].
    #[must_use]
    pub fn preparing(&self) -> Option<usize> {
        self.preparing.as_ref().map(|preparing| match preparing {
            Preparing::Measure(..) | Preparing::Fields(..) => 1,
            Preparing::Check(..) => Check::PIECES,
        })
    }

    /// A step is over: what is large is not held while others have their turn, and the client reads.
    pub fn pause(&mut self) {
        self.digest.take_if(|digest| digest.is_large());
    }

    /// The output may have been sent: what is in it cannot be taken back any more.
    pub fn keep(&mut self) {
        self.begun = None;
    }

    /// Begins an item; `write` writes the simple ones.
    ///
    /// # Errors
    /// Of reading. Then nothing of the item is left in `out`.
    pub fn item(
        &mut self,
        snapshot: &Snapshot,
        out: &mut Vec<u8>,
        dialect: Dialect,
        write: impl FnOnce(&mut Current, &mut Response<'_, '_>) -> Result<(), Error>,
    ) -> Result<(), Error> {
        self.begun = Some((out.len(), self.first));
        let mut writer = Writer::new(out, dialect);
        let mut response = Response::resume(&mut writer, self.first);
        let written = write(self, &mut response);
        self.first = response.leave();
        match written {
            Ok(()) => self.go_on(snapshot, out, dialect),
            Err(error) => Err(self.take_back(out, error)),
        }
    }

    /// Goes on with an item: with what is read before it is written, or with its literal.
    ///
    /// # Errors
    /// Of reading. Nothing of the item is left in `out`, but where it may have been sent:
    /// [`Current::in_literal`] says so.
    pub fn go_on(&mut self, snapshot: &Snapshot, out: &mut Vec<u8>, dialect: Dialect) -> Result<(), Error> {
        if let Some(preparing) = self.preparing.take() {
            self.begun = Some((out.len(), self.first));
            let mut writer = Writer::new(out, dialect);
            let mut response = Response::resume(&mut writer, self.first);
            let prepared = self.prepare(snapshot, preparing, &mut response);
            self.first = response.leave();
            if let Err(error) = prepared {
                return Err(self.take_back(out, error));
            }
        }
        // Its first piece comes with its announcement, so that most can be taken back as a whole.
        let Some(literal) = &mut self.literal else { return Ok(()) };
        match literal.write(snapshot, self.record.email, out) {
            Ok(true) => {}
            Ok(false) => self.literal = None,
            Err(error) => return Err(self.take_back(out, error)),
        }
        Ok(())
    }

    fn take_back(&mut self, out: &mut Vec<u8>, error: Error) -> Error {
        self.preparing = None;
        if let Some((before, first)) = self.begun.take() {
            out.truncate(before);
            self.first = first;
            self.literal = None;
        }
        error
    }

    fn prepare(
        &mut self,
        snapshot: &Snapshot,
        preparing: Preparing,
        response: &mut Response<'_, '_>,
    ) -> Result<(), Error> {
        let email = self.record.email;
        match preparing {
            Preparing::Measure(mut measure, item) => match measure.step(snapshot, email)? {
                None => self.preparing = Some(Preparing::Measure(measure, item)),
                Some(measured) => self.literal = write_binary(response, measure, item, measured),
            },
            Preparing::Fields(mut header, item) => {
                if header.step(snapshot, email)? {
                    self.preparing = Some(Preparing::Fields(header, item));
                } else if let Item::Section { section, partial, legacy, .. } = item {
                    let chosen = header.filter.finish().ok_or(Error::Limit(
                        "these header fields are too long to be sent at once: fetch the whole header",
                    ))?;
                    write_bytes(response, &section, partial, legacy, chosen);
                }
            }
            Preparing::Check(mut check, item) => {
                if check.step(snapshot, email)? {
                    self.preparing = Some(Preparing::Check(check, item));
                } else if let Item::Section { section, partial, legacy, .. } = item {
                    let origin = partial.map(|(offset, _)| offset);
                    response.section_head(&section, origin, legacy, check.length());
                    self.literal = Some(check.into_literal());
                }
            }
        }
        Ok(())
    }

    fn digest(&mut self, snapshot: &Snapshot) -> Result<&Digest, Error> {
        if self.digest.is_none() {
            self.digest = Some(Box::new(snapshot.digest(self.record.email)?));
        }
        self.digest.as_deref().ok_or(Error::NotFound("message content"))
    }
}

impl LongHeader {
    /// Reads the next piece. Whether there is more.
    fn step(&mut self, snapshot: &Snapshot, email: ContentId) -> Result<bool, Error> {
        let end = self.left.end.min(self.left.start.saturating_add(CHUNK as u64));
        let mut piece = Vec::new();
        snapshot.read_on(email, &mut self.reading, self.left.start..end, &mut piece)?;
        self.left.start = end;
        Ok(self.filter.push(&piece) && !self.left.is_empty())
    }
}

/// Writes an item of what is stored, or begins to.
///
/// # Errors
/// Of reading.
pub fn write(
    snapshot: &Snapshot,
    current: &mut Current,
    response: &mut Response<'_, '_>,
    item: &Item,
    ids: Option<&ObjectIds>,
) -> Result<(), Error> {
    match item {
        Item::Section { .. } => write_section(snapshot, current, response, item),
        Item::Binary { path, .. } | Item::BinarySize { path } => {
            begin_binary(snapshot, current, response, path, item)
        }
        other => write_simple(snapshot, current, response, other, ids),
    }
}

fn write_simple(
    snapshot: &Snapshot,
    current: &mut Current,
    response: &mut Response<'_, '_>,
    item: &Item,
    ids: Option<&ObjectIds>,
) -> Result<(), Error> {
    let record = current.record;
    match item {
        Item::Uid => response.uid(record.uid),
        Item::InternalDate => response.internal_date(record.internal_date),
        Item::SaveDate => response.save_date(DateTime::utc(record.save_date)),
        Item::Rfc822Size => response.size(record.size),
        Item::Envelope => response.envelope(&current.digest(snapshot)?.envelope),
        Item::Body => response.body(&current.digest(snapshot)?.root),
        Item::BodyStructure => response.body_structure(&current.digest(snapshot)?.root),
        Item::Preview => response.preview(&current.digest(snapshot)?.preview),
        Item::EmailId | Item::ThreadId => {
            let row = emails::get(snapshot, record.email)?.ok_or(Error::NotFound("message content"))?;
            match (ids, item) {
                (Some(ids), Item::EmailId) => response.email_id(ids.email(&row)),
                (Some(ids), _) => response.thread_id(ids.thread(&row)),
                (None, _) => {}
            }
        }
        Item::Flags | Item::ModSeq | Item::Section { .. } | Item::Binary { .. } | Item::BinarySize { .. } => {
        }
    }
    Ok(())
}

fn write_section(
    snapshot: &Snapshot,
    current: &mut Current,
    response: &mut Response<'_, '_>,
    item: &Item,
) -> Result<(), Error> {
    let Item::Section { section: wanted, partial, legacy, .. } = item else { return Ok(()) };
    let (partial, legacy, record) = (*partial, *legacy, current.record);
    // The whole message and its header are found without its structure.
    let located = match (&wanted.what, wanted.path.is_empty()) {
        (SectionText::Whole, true) => Some(Located::Range(0..record.size)),
        (SectionText::Header | SectionText::HeaderFields(_) | SectionText::HeaderFieldsNot(_), true) => {
            let header = snapshot.header(record.email)?;
            match &wanted.what {
                // It goes on where it was cut.
                _ if header.len() >= HEAD_MAX => section::locate(&current.digest(snapshot)?.root, wanted),
                SectionText::HeaderFields(names) => {
                    write_bytes(response, wanted, partial, legacy, filter_fields(&header, names, false));
                    return Ok(());
                }
                SectionText::HeaderFieldsNot(names) => {
                    write_bytes(response, wanted, partial, legacy, filter_fields(&header, names, true));
                    return Ok(());
                }
                _ => {
                    write_bytes(response, wanted, partial, legacy, header);
                    return Ok(());
                }
            }
        }
        _ => section::locate(&current.digest(snapshot)?.root, wanted),
    };
    match located {
        None => response.section_nil(wanted, partial.map(|(offset, _)| offset), legacy),
        Some(Located::Fields { header, names, not }) => {
            if header.end.saturating_sub(header.start) > HEAD_MAX as u64 {
                let filter = FieldFilter::new(names, not, MOST_FIELDS);
                current.pin.get_or_insert_with(|| snapshot.pin(record.email));
                let header = LongHeader { left: header, reading: Reading::default(), filter };
                current.preparing = Some(Preparing::Fields(Box::new(header), item.clone()));
                return Ok(());
            }
            let mut bytes = Vec::new();
            snapshot.read(record.email, header, &mut bytes)?;
            write_bytes(response, wanted, partial, legacy, filter_fields(&bytes, &names, not));
        }
        Some(Located::Range(range)) => {
            let range = clip(range, partial);
            let literal = Literal::short(snapshot, record.email, range.clone())?;
            current.pin.get_or_insert_with(|| snapshot.pin(record.email));
            match literal {
                Some(literal) => {
                    let origin = partial.map(|(offset, _)| offset);
                    response.section_head(wanted, origin, legacy, range.end - range.start);
                    current.literal = Some(literal);
                }
                None => current.preparing = Some(Preparing::Check(Check::new(range), item.clone())),
            }
        }
    }
    Ok(())
}

/// Writes a section whose bytes are at hand.
fn write_bytes(
    response: &mut Response<'_, '_>,
    wanted: &Section,
    partial: Option<(u64, u64)>,
    legacy: Option<&'static str>,
    mut bytes: Vec<u8>,
) {
    hide_nul(&mut bytes);
    response.section(wanted, partial.map(|(offset, _)| offset), legacy, cut(&bytes, partial));
}

/// Begins BINARY and BINARY.SIZE (RFC 9051 §6.4.5, RFC 3516 §4.2).
fn begin_binary(
    snapshot: &Snapshot,
    current: &mut Current,
    response: &mut Response<'_, '_>,
    path: &[u32],
    item: &Item,
) -> Result<(), Error> {
    let email = current.record.email;
    // BINARY[] is the whole message, as it is: a server need not undo the encodings in it.
    let (range, encoding, lines) = if path.is_empty() {
        (0..current.record.size, Encoding::Identity, false)
    } else {
        match section::part(&current.digest(snapshot)?.root, path) {
            // What holds other parts is not encoded, whatever it says (RFC 2045 §6.4).
            Some(part) if part.content != PartContent::Leaf => (part.body.clone(), Encoding::Identity, false),
            Some(part) => (part.body.clone(), Encoding::parse(&part.encoding), has_lines(part)),
            None => {
                match item {
                    Item::Binary { partial, .. } => {
                        response.binary_nil(path, partial.map(|(offset, _)| offset));
                    }
                    _ => response.binary_size(path, 0),
                }
                return Ok(());
            }
        }
    };
    if let (Item::BinarySize { .. }, Encoding::Identity, false) = (item, encoding, lines) {
        response.binary_size(path, range.end - range.start);
        return Ok(());
    }
    let measure = Measure::new(range, encoding, lines)?;
    current.pin.get_or_insert_with(|| snapshot.pin(email));
    current.preparing = Some(Preparing::Measure(measure, item.clone()));
    Ok(())
}

/// Writes what was measured; gives the literal that was announced.
fn write_binary(
    response: &mut Response<'_, '_>,
    measure: Measure,
    item: Item,
    measured: Measured,
) -> Option<Literal> {
    match item {
        Item::Binary { path, partial, .. } => {
            let (offset, length) = partial.unwrap_or((0, u64::MAX));
            let length = length.min(measured.size.saturating_sub(offset));
            let origin = partial.map(|(offset, _)| offset);
            response.binary_head(&path, origin, length, measured.has_nul);
            (length > 0).then(|| measure.into_literal(offset, length))
        }
        Item::BinarySize { path } => {
            response.binary_size(&path, measured.size);
            None
        }
        _ => None,
    }
}

fn clip(range: std::ops::Range<u64>, partial: Option<(u64, u64)>) -> std::ops::Range<u64> {
    let Some((offset, length)) = partial else { return range };
    let start = range.start.saturating_add(offset).min(range.end);
    start..start.saturating_add(length).min(range.end)
}

fn cut(bytes: &[u8], partial: Option<(u64, u64)>) -> &[u8] {
    let Some((offset, length)) = partial else { return bytes };
    let index = |number: u64| usize::try_from(number).unwrap_or(usize::MAX).min(bytes.len());
    let start = index(offset);
    &bytes[start..index(offset.saturating_add(length)).max(start)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn partial_strings() {
        assert_eq!(cut(b"hello", None), b"hello");
        assert_eq!(cut(b"hello", Some((1, 2))), b"el");
        assert_eq!(cut(b"hello", Some((4, 100))), b"o");
        assert_eq!(cut(b"hello", Some((5, 1))), b"");
        assert_eq!(cut(b"hello", Some((u64::MAX, u64::MAX))), b"");
    }
}
