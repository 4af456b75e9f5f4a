//! What FETCH writes of each message: a plan compiled from the command, and a run over messages that can be
//! left and gone on with at any item, and within a literal.

use std::collections::VecDeque;
use std::ops::ControlFlow;
use std::sync::Arc;

use crate::imap::connection::CHUNK;
use crate::imap::expunge::slices;
use crate::imap::fetch_literal::{Literal, Measure, Measured, hide_nul};
use crate::imap::flags;
use crate::mail::digest::{Digest, PartContent};
use crate::mail::header::filter_fields;
use crate::mail::section::{self, Located, Section, SectionText};
use crate::mail::transfer::Encoding;
use crate::model::{AccountId, DateTime, MailboxId, MailboxName, ModSeq, SeqNum, UidList, UidSet};
use crate::protocol::command::fetch::{Fetch, Item};
use crate::protocol::response::fetch::Fetch as Response;
use crate::protocol::response::{Dialect, Writer};
use crate::store::contents::HEAD_MAX;
use crate::store::emails::{self, ObjectIds};
use crate::store::keywords::KeywordTable;
use crate::store::messages;
use crate::store::record::Record;
use crate::store::{Error, Pin, Snapshot};

/// Records that are read at a time.
const BATCH: usize = 512;
/// Pieces of parts that are measured before the snapshot is let go of: about a mebibyte.
const MEASURED_A_STEP: usize = 16;
/// What helps where a content is damaged: the same bytes take its place, in every mailbox where it lies.
const REPAIR: &str = "import or append the same message again, from a backup or another program's copy: it takes the damaged one's place";

/// What is wanted of each message.
#[derive(Clone, Debug)]
pub struct Plan {
    items: Vec<Item>,
    condstore: bool,
}

impl Plan {
    /// Compiles a command; `condstore` if the session speaks CONDSTORE.
    #[must_use]
    pub fn compile(command: &Fetch, condstore: bool) -> Self {
        let mut items = command.items.clone();
        // RFC 9051 §6.4.8: UID FETCH answers with UID. RFC 7162 §3.1.4.1: CHANGEDSINCE with MODSEQ.
        // Thunderbird shows the wrong message unless it is the first item.
        if command.uid {
            items.retain(|item| *item != Item::Uid);
            items.insert(0, Item::Uid);
        }
        if command.changed_since.is_some() && !items.contains(&Item::ModSeq) {
            items.push(Item::ModSeq);
        }
        Plan { items, condstore }
    }

    /// Whether MODSEQ was asked for: the session speaks CONDSTORE from then on.
    #[must_use]
    pub fn wants_modseq(&self) -> bool {
        self.items.contains(&Item::ModSeq)
    }

    /// Whether it reads bodies, which sets `\Seen`.
    #[must_use]
    pub fn sets_seen(&self) -> bool {
        self.items.iter().any(|item| match item {
            Item::Section { peek, .. } | Item::Binary { peek, .. } => !peek,
            _ => false,
        })
    }

    /// Whether it may show flags.
    #[must_use]
    pub fn shows_flags(&self) -> bool {
        self.sets_seen() || self.items.contains(&Item::Flags)
    }

    fn needs_ids(&self) -> bool {
        self.items.iter().any(|item| matches!(item, Item::EmailId | Item::ThreadId))
    }
}

/// The messages of a run, and how they are shown.
pub struct Scope {
    /// Whose mailbox.
    pub account: AccountId,
    /// Which.
    pub mailbox: MailboxId,
    /// What it is called, for the log.
    pub name: MailboxName,
    /// The client's numbering.
    pub numbers: Arc<UidList>,
    /// Which messages.
    pub uids: UidSet,
    /// Those that this FETCH has marked as read: their flags are shown.
    pub newly_seen: UidSet,
    /// Those that are `\Recent`.
    pub recent: UidSet,
    /// The mailbox's keywords.
    pub keywords: KeywordTable,
    /// How strings are written.
    pub dialect: Dialect,
}

/// A run of a plan over messages.
pub struct Run {
    plan: Plan,
    scope: Scope,
    todo: Box<dyn Iterator<Item = UidSet> + Send>,
    batch: VecDeque<(SeqNum, Record)>,
    current: Option<Current>,
    ids: Option<ObjectIds>,
    highest: ModSeq,
    missed: bool,
    failure: Option<Error>,
}

/// The message that is being written.
struct Current {
    record: Record,
    next: usize,
    first: bool,
    digest: Option<Box<Digest>>,
    measuring: Option<Measuring>,
    literal: Option<Literal>,
    /// Keeps the content while it is read in several snapshots.
    pin: Option<Pin>,
}

/// A part whose decoded length must be known before its item can be written.
struct Measuring {
    measure: Measure,
    item: Item,
}

impl Run {
    /// A run that has written nothing.
    #[must_use]
    pub fn new(plan: Plan, scope: Scope) -> Self {
        let todo = Box::new(slices(&scope.uids, BATCH));
        Run {
            plan,
            scope,
            todo,
            batch: VecDeque::new(),
            current: None,
            ids: None,
            highest: ModSeq::ZERO,
            missed: false,
            failure: None,
        }
    }

    /// Whether a literal is announced that is not whole yet.
    #[must_use]
    pub fn in_literal(&self) -> bool {
        self.current.as_ref().is_some_and(|current| current.literal.is_some())
    }

    /// Names the message that is being written in the log, and says what can be done for it.
    pub fn tell_damage(&self, error: &Error, what: &str) {
        let uid = self.current.as_ref().map(|current| current.record.uid.get());
        let (account, mailbox) = (self.scope.account.0, self.scope.name.as_str());
        tracing::error!(account, mailbox, uid, %error, advice = REPAIR, "{what}");
    }

    /// The highest MODSEQ that was written.
    #[must_use]
    pub fn highest_modseq(&self) -> ModSeq {
        self.highest
    }

    /// Whether some of the messages were gone.
    #[must_use]
    pub fn missed(&self) -> bool {
        self.missed
    }

    /// What could not be read of a message; the others were written.
    pub fn take_failure(&mut self) -> Option<Error> {
        self.failure.take()
    }

    /// Writes about a chunk. Whether there is more.
    ///
    /// # Errors
    /// Of reading; within a literal it cannot be gone on from.
    pub fn step(&mut self, snapshot: &Snapshot, out: &mut Vec<u8>) -> Result<bool, Error> {
        if self.plan.needs_ids() && self.ids.is_none() {
            self.ids = Some(ObjectIds::load(snapshot, self.scope.account)?);
        }
        let mut measured = 0;
        while out.len() < CHUNK {
            if let Some(current) = &mut self.current {
                if let Some(literal) = &mut current.literal {
                    if !literal.write(snapshot, current.record.email, out)? {
                        current.literal = None;
                    }
                } else if current.measuring.is_some() {
                    if measured == MEASURED_A_STEP {
                        break;
                    }
                    measured += 1;
                    self.measure(snapshot, out)?;
                } else if current.next < self.plan.items.len() {
                    self.item(snapshot, out)?;
                } else {
                    self.end(out);
                }
            } else if !self.begin(snapshot, out)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Begins the next message; false if there is none.
    fn begin(&mut self, snapshot: &Snapshot, out: &mut Vec<u8>) -> Result<bool, Error> {
        while self.batch.is_empty() {
            let Some(wanted) = self.todo.next() else { return Ok(false) };
            let (batch, mut found) = (&mut self.batch, 0);
            // Both come in the order of UIDs: to look up each number would cost half a chunk of the list.
            let mut numbers = self.scope.numbers.select_uids(&wanted).peekable();
            let known = messages::keywords_agreeing(snapshot, self.scope.mailbox, &self.scope.keywords)?;
            messages::select(snapshot, self.scope.mailbox, &wanted, &mut |record| {
                found += 1;
                while numbers.next_if(|(_, uid)| *uid < record.uid).is_some() {}
                if let Some((number, _)) = numbers.next_if(|(_, uid)| *uid == record.uid) {
                    batch.push_back((number, Record { keywords: record.keywords & known, ..*record }));
                }
                Ok(ControlFlow::Continue(()))
            })?;
            self.missed |= found < wanted.len();
        }
        let Some((number, record)) = self.batch.pop_front() else { return Ok(true) };
        let mut writer = Writer::new(out, self.scope.dialect);
        let first = Response::new(&mut writer, number).leave();
        self.current =
            Some(Current { record, next: 0, first, digest: None, measuring: None, literal: None, pin: None });
        Ok(true)
    }

    fn end(&mut self, out: &mut Vec<u8>) {
        let Some(current) = self.current.take() else { return };
        let mut writer = Writer::new(out, self.scope.dialect);
        let mut response = Response::resume(&mut writer, current.first);
        let mut empty = current.first;
        if self.scope.newly_seen.contains(current.record.uid.get()) {
            // RFC 7162 §3.2.4: UID and MODSEQ in every FETCH that tells of a change.
            if self.plan.condstore && !self.plan.items.contains(&Item::Uid) {
                response.uid(current.record.uid);
                empty = false;
            }
            if !self.plan.items.contains(&Item::Flags) {
                response.flags(self.scope.flags(&current.record));
                empty = false;
            }
            if self.plan.condstore && !self.plan.wants_modseq() {
                response.modseq(current.record.modseq);
                self.highest = self.highest.max(current.record.modseq);
            }
        }
        if empty {
            // Nothing could be read of it: a response is never empty.
            response.uid(current.record.uid);
        }
        response.finish();
    }

    /// Writes the next item, or begins its literal.
    fn item(&mut self, snapshot: &Snapshot, out: &mut Vec<u8>) -> Result<(), Error> {
        let Some(current) = &mut self.current else { return Ok(()) };
        let Some(item) = self.plan.items.get(current.next) else { return Ok(()) };
        current.next += 1;
        let before = out.len();
        let mut writer = Writer::new(out, self.scope.dialect);
        let mut response = Response::resume(&mut writer, current.first);
        let written = match item {
            Item::Section { section, partial, legacy, .. } => {
                write_section(snapshot, current, &mut response, section, *partial, *legacy)
            }
            Item::Binary { path, .. } | Item::BinarySize { path } => {
                begin_binary(snapshot, current, &mut response, path, item)
            }
            Item::ModSeq => {
                self.highest = self.highest.max(current.record.modseq);
                response.modseq(current.record.modseq);
                Ok(())
            }
            Item::Flags => {
                response.flags(self.scope.flags(&current.record));
                Ok(())
            }
            other => write_simple(snapshot, current, &mut response, other, self.ids.as_ref()),
        };
        let first = response.leave();
        match written {
            Ok(()) => current.first = first,
            Err(error) => {
                out.truncate(before);
                self.passed_over(error)?;
            }
        }
        Ok(())
    }

    /// Goes on measuring a part; writes its item when its length is known.
    fn measure(&mut self, snapshot: &Snapshot, out: &mut Vec<u8>) -> Result<(), Error> {
        let Some(current) = &mut self.current else { return Ok(()) };
        let Some(mut measuring) = current.measuring.take() else { return Ok(()) };
        match measuring.measure.step(snapshot, current.record.email) {
            Ok(None) => current.measuring = Some(measuring),
            Ok(Some(measured)) => {
                let mut writer = Writer::new(out, self.scope.dialect);
                let mut response = Response::resume(&mut writer, current.first);
                current.literal = write_binary(&mut response, measuring, measured);
                current.first = response.leave();
            }
            Err(error) => self.passed_over(error)?,
        }
        Ok(())
    }

    /// An item that cannot be read: the other items, and the other messages, can be all the same.
    fn passed_over(&mut self, error: Error) -> Result<(), Error> {
        let damage = matches!(
            error,
            Error::Damaged(_) | Error::DamagedEmail(_) | Error::NotFound(_) | Error::Refused(_)
        );
        if !damage {
            return Err(error);
        }
        self.tell_damage(&error, "a message cannot be read");
        if let Some(current) = &mut self.current {
            (current.literal, current.measuring) = (None, None);
        }
        self.failure.get_or_insert(error);
        Ok(())
    }
}

impl Scope {
    fn flags<'s>(&'s self, record: &Record) -> impl Iterator<Item = &'s str> + use<'s> {
        flags::names(record, &self.keywords, self.recent.contains(record.uid.get()))
    }
}

impl Current {
    fn digest(&mut self, snapshot: &Snapshot) -> Result<&Digest, Error> {
        if self.digest.is_none() {
            self.digest = Some(Box::new(snapshot.digest(self.record.email)?));
        }
        self.digest.as_deref().ok_or(Error::NotFound("message content"))
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
    wanted: &Section,
    partial: Option<(u64, u64)>,
    legacy: Option<&'static str>,
) -> Result<(), Error> {
    let record = current.record;
    // The whole message and its header are found without its structure.
    let located = match (&wanted.what, wanted.path.is_empty()) {
        (SectionText::Whole, true) => Some(Located::Range(0..record.size)),
        (SectionText::Header | SectionText::HeaderFields(_) | SectionText::HeaderFieldsNot(_), true) => {
            let header = snapshot.header(record.email)?;
            match &wanted.what {
                SectionText::HeaderFields(names) => {
                    write_bytes(response, wanted, partial, legacy, filter_fields(&header, names, false));
                    return Ok(());
                }
                SectionText::HeaderFieldsNot(names) => {
                    write_bytes(response, wanted, partial, legacy, filter_fields(&header, names, true));
                    return Ok(());
                }
                _ if header.len() < HEAD_MAX => {
                    write_bytes(response, wanted, partial, legacy, header);
                    return Ok(());
                }
                // It goes on where it was cut.
                _ => section::locate(&current.digest(snapshot)?.root, wanted),
            }
        }
        _ => section::locate(&current.digest(snapshot)?.root, wanted),
    };
    match located {
        None => response.section_nil(wanted, partial.map(|(offset, _)| offset), legacy),
        Some(Located::Fields { header, names, not }) => {
            let mut bytes = Vec::new();
            let end = header.end.min(header.start.saturating_add(HEAD_MAX as u64));
            snapshot.read(record.email, header.start..end, &mut bytes)?;
            write_bytes(response, wanted, partial, legacy, filter_fields(&bytes, &names, not));
        }
        Some(Located::Range(range)) => {
            let range = clip(range, partial);
            let literal = Literal::raw(snapshot, record.email, range.clone())?;
            let origin = partial.map(|(offset, _)| offset);
            response.section_head(wanted, origin, legacy, range.end - range.start);
            current.pin.get_or_insert_with(|| snapshot.pin(record.email));
            current.literal = Some(literal);
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
    let (range, encoding) = if path.is_empty() {
        (0..current.record.size, Encoding::Identity)
    } else {
        match section::part(&current.digest(snapshot)?.root, path) {
            // What holds other parts is not encoded, whatever it says (RFC 2045 §6.4).
            Some(part) if part.content != PartContent::Leaf => (part.body.clone(), Encoding::Identity),
            Some(part) => (part.body.clone(), Encoding::parse(&part.encoding)),
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
    if let (Item::BinarySize { .. }, Encoding::Identity) = (item, encoding) {
        response.binary_size(path, range.end - range.start);
        return Ok(());
    }
    let measure = Measure::new(range, encoding)?;
    current.pin.get_or_insert_with(|| snapshot.pin(email));
    current.measuring = Some(Measuring { measure, item: item.clone() });
    Ok(())
}

/// Writes what was measured; gives the literal that was announced.
fn write_binary(
    response: &mut Response<'_, '_>,
    measuring: Measuring,
    measured: Measured,
) -> Option<Literal> {
    match measuring.item {
        Item::Binary { path, partial, .. } => {
            let (offset, length) = partial.unwrap_or((0, u64::MAX));
            let length = length.min(measured.size.saturating_sub(offset));
            let origin = partial.map(|(offset, _)| offset);
            response.binary_head(&path, origin, length, measured.has_nul);
            (length > 0).then(|| measuring.measure.into_literal(offset, length))
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
