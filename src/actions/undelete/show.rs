//! One deleted message: as text for a reader, or as it is.

use super::find::{self, ItemId, Owner};
use super::list::{ADDRESSES, About, addresses, cut, decoded};
use super::{Attachment, Shown};
use crate::actions::{Context, Failure, human};
use crate::mail::digest::{Part, PartContent};
use crate::mail::mime_params;
use crate::mail::text::PartText;
use crate::model::{Uid, UidSet};
use crate::store::bin::{self, Entry, Kept};
use crate::store::keywords::KeywordTable;
use crate::store::record::Record;
use crate::store::{Error, Pin, Snapshot, Store, messages, undelete};

/// The most text that is shown, in bytes.
const LONGEST: usize = 256 * 1024;
/// Bytes of a message that are read at a time.
const CHUNK: u64 = 128 * 1024;
/// The most attachments that are named.
const ATTACHMENTS: usize = 100;

/// A message as a reader wants it.
///
/// # Errors
/// If there is no such message in the bin, or it cannot be read.
pub fn show(context: &Context, id: &str) -> Result<Shown, Failure> {
    let (owner, entry, uid) = find::message(context, id)?;
    let snapshot = context.store.snapshot()?;
    let (record, table) = record(&snapshot, &entry, uid, id)?;
    let _pin = snapshot.pin(record.email);
    let digest = snapshot.digest(record.email)?;
    let mailbox = find::mailbox_name(&snapshot, &owner, &entry)?;
    let gone = bin::clock(&snapshot)?.saturating_sub(entry.clock).max(0) / 86_400;
    let days_left = bin::keep_days(&snapshot)?.saturating_sub(gone.cast_unsigned());
    let about = About { owner: &owner, entry: &entry, mailbox: &mailbox, days_left };
    let (item, _) = about.message(&snapshot, &record, &table)?;
    drop(snapshot);
    let mut text =
        Text { store: &context.store, record: &record, out: String::new(), attachments: Vec::new() };
    text.part(&digest.root)?;
    let is_cut = text.out.len() >= LONGEST;
    let envelope = &digest.envelope;
    Ok(Shown {
        item,
        to: cut(&addresses(&envelope.to), ADDRESSES),
        cc: cut(&addresses(&envelope.cc), ADDRESSES),
        date: cut(&decoded(envelope.date.as_deref().unwrap_or_default()), ADDRESSES),
        text: human::harmless_lines(text.out.trim()),
        cut: is_cut,
        attachments: text.attachments,
    })
}

/// The record of an entry's message, and what its keywords mean.
fn record(snapshot: &Snapshot, entry: &Entry, uid: Uid, id: &str) -> Result<(Record, KeywordTable), Failure> {
    let mut found = None;
    let uids: UidSet = std::iter::once(uid).collect();
    undelete::records(snapshot, entry, &uids, &mut |record| found = Some(*record))?;
    let record = found.ok_or_else(|| Failure::Unknown { what: "deleted message", name: id.to_owned() })?;
    let table = match &entry.kept {
        Kept::Messages { keywords, .. } => keywords.clone(),
        _ => messages::keywords(snapshot, entry.mailbox)?,
    };
    Ok((record, table))
}

/// Gathers what there is to read.
struct Text<'a> {
    store: &'a Store,
    record: &'a Record,
    out: String,
    attachments: Vec<Attachment>,
}

impl Text<'_> {
    fn part(&mut self, part: &Part) -> Result<(), Error> {
        match &part.content {
            PartContent::Multipart(parts) if part.is_subtype("alternative") => match preferred(parts) {
                Some(part) => self.part(part),
                None => Ok(()),
            },
            PartContent::Multipart(parts) => parts.iter().try_for_each(|part| self.part(part)),
            PartContent::Leaf if part.is_type("text") && !is_attachment(part) => self.text(part),
            // A forwarded message is read as one.
            PartContent::Message(inside) if !is_attachment(part) => self.part(&inside.1),
            _ => {
                self.attach(part);
                Ok(())
            }
        }
    }

    fn text(&mut self, part: &Part) -> Result<(), Error> {
        let mut text = PartText::new(part);
        if !self.out.is_empty() {
            self.out.push_str("\n\n");
        }
        let (mut at, mut bytes) = (part.body.start, Vec::new());
        while at < part.body.end && self.out.len() < LONGEST {
            bytes.clear();
            let end = part.body.end.min(at + CHUNK);
            self.store.snapshot()?.read(self.record.email, at..end, &mut bytes)?;
            if bytes.is_empty() {
                break;
            }
            at += bytes.len() as u64;
            text.push(&bytes, &mut |piece| self.out.push_str(piece));
        }
        text.finish(&mut |piece| self.out.push_str(piece));
        let mut end = self.out.len().min(LONGEST);
        while !self.out.is_char_boundary(end) {
            end -= 1;
        }
        self.out.truncate(end);
        Ok(())
    }

    fn attach(&mut self, part: &Part) {
        if self.attachments.len() >= ATTACHMENTS {
            return;
        }
        let disposition = part.disposition.as_ref().map(|(_, params)| params);
        let name = disposition.and_then(|params| mime_params::find(params, "filename"));
        let name = name.or_else(|| mime_params::find(&part.params, "name")).unwrap_or_default();
        self.attachments.push(Attachment {
            name: cut(&decoded(&name), ADDRESSES),
            kind: human::harmless(&format!("{}/{}", part.media_type, part.subtype).to_lowercase()),
            size: part.body.end.saturating_sub(part.body.start),
        });
    }
}

fn is_attachment(part: &Part) -> bool {
    part.disposition.as_ref().is_some_and(|(kind, _)| kind.eq_ignore_ascii_case("attachment"))
}

/// Of parts that say the same: the plain text, else the first that can be read.
fn preferred(parts: &[Part]) -> Option<&Part> {
    let plain = parts.iter().find(|part| part.is_type("text") && part.is_subtype("plain"));
    let text = parts.iter().find(|part| part.is_type("text"));
    let inside = parts.iter().find(|part| matches!(part.content, PartContent::Multipart(_)));
    plain.or(inside).or(text).or(parts.first())
}

/// A deleted message's bytes.
pub struct Raw {
    store: Store,
    record: Record,
    _pin: Pin,
    /// A name for its file.
    pub name: String,
}

/// A deleted message as it is. All of it was read and found whole.
///
/// # Errors
/// If there is no such message in the bin, or it is damaged.
pub fn raw(context: &Context, id: &str) -> Result<Raw, Failure> {
    let (_, entry, uid): (Owner, Entry, Uid) = find::message(context, id)?;
    let snapshot = context.store.snapshot()?;
    let (record, _) = record(&snapshot, &entry, uid, id)?;
    let pin = snapshot.pin(record.email);
    snapshot.verify(record.email)?;
    let name = format!("{}.eml", ItemId { entry: entry.id, uid: Some(uid) });
    Ok(Raw { store: context.store.clone(), record, _pin: pin, name })
}

impl Raw {
    /// Its length.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.record.size
    }

    /// The bytes from `at` on, some of them; none at its end.
    pub fn read(&self, at: u64) -> Result<Vec<u8>, Error> {
        let mut bytes = Vec::new();
        self.store.snapshot()?.read(self.record.email, at..at.saturating_add(CHUNK), &mut bytes)?;
        if bytes.is_empty() && at < self.record.size {
            return Err(Error::DamagedEmail(self.record.email));
        }
        Ok(bytes)
    }
}
