//! Messages of a mailbox: every operation that changes them. Their records are read by `records`.
//!
//! Each operation keeps the mailbox's counts, UIDNEXT, HIGHESTMODSEQ and first unseen message true, and
//! writes one row of `changes` a mailbox. It reads the blocks that it touches once and writes those that
//! it changed once; callers cut large sets into slices, for one writer serves all.

use std::ops::ControlFlow;

use crate::model::{AccountId, ContentId, DateTime, FlagSet, MailboxId, ModSeq, Uid, UidSet, UidValidity};
use crate::store::base::codec::pair;
use crate::store::base::error::Error;
use crate::store::base::rows::{Rows, Transaction};
use crate::store::base::schema::Table;
use crate::store::mailbox::blocks::{self, Blocks};
use crate::store::mailbox::changes::{self, Change};
use crate::store::mailbox::keywords::{self, Translation, WhenFull};
use crate::store::mailbox::mailbox_row::{self, Mailbox};
use crate::store::mailbox::record;
use crate::store::mailbox::records::Runs;
use crate::store::mailbox::{bin, flagging};

pub use crate::store::mailbox::flagging::{FlagChange, Stored, store_flags};
pub use crate::store::mailbox::keywords::KeywordTable;
pub use crate::store::mailbox::record::Record;
pub use crate::store::mailbox::records::{emails, record, saved_since, scan, select, uids};

/// What a mailbox may hold: a client that selects it is told of each, and every session that has it open holds up to
/// eight bytes for each.
pub(in crate::store) const MOST_MESSAGES: u32 = 2_000_000;

/// The keywords of a mailbox.
///
/// # Errors
/// Of reading.
pub fn keywords(rows: &dyn Rows, mailbox: MailboxId) -> Result<KeywordTable, Error> {
    keywords::load_with_spare(rows, mailbox)
}

/// The keyword bits that mean now what they meant in `known`: of a record that is read now, the others must be
/// left out.
///
/// # Errors
/// Of reading.
pub fn keywords_agreeing(rows: &dyn Rows, mailbox: MailboxId, known: &KeywordTable) -> Result<u64, Error> {
    if known.all().next().is_none() { Ok(0) } else { Ok(known.agreeing(&keywords::load(rows, mailbox)?)) }
}

impl Mailbox {
    fn count_in(&mut self, record: &Record) {
        self.messages = self.messages.saturating_add(1);
        self.unseen = self.unseen.saturating_add(u32::from(record.is_unseen()));
        self.deleted = self.deleted.saturating_add(u32::from(record.is_deleted()));
        self.size = self.size.saturating_add(record.size);
        if record.is_unseen() && self.first_unseen.is_none_or(|first| record.uid < first) {
            self.first_unseen = Some(record.uid);
        }
    }

    fn count_out(&mut self, record: &Record) {
        self.messages = self.messages.saturating_sub(1);
        self.unseen = self.unseen.saturating_sub(u32::from(record.is_unseen()));
        self.deleted = self.deleted.saturating_sub(u32::from(record.is_deleted()));
        self.size = self.size.saturating_sub(record.size);
    }
}

/// A message to be added.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewMessage {
    /// Its content.
    pub email: ContentId,
    /// Its size.
    pub size: u64,
    /// Its INTERNALDATE.
    pub internal_date: DateTime,
    /// Its flags.
    pub flags: FlagSet,
}

/// What became of added messages: APPENDUID (RFC 9051 §7.1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Appended {
    /// The mailbox's UIDVALIDITY.
    pub uid_validity: UidValidity,
    /// Their UIDs, in their order.
    pub uids: UidSet,
    /// Their modseq.
    pub modseq: ModSeq,
}

/// Adds messages whose contents are there (`filing` puts both). A keyword that finds no free bit is left off: a client that files what it has sent cannot
/// know that there is none, and its message is worth more.
///
/// # Errors
/// [`Error::NotFound`]; [`Error::Limit`] if the mailbox is full.
pub fn append(
    tx: &mut dyn Transaction,
    account: AccountId,
    mailbox: MailboxId,
    new: &[NewMessage],
) -> Result<Appended, Error> {
    let mut mailbox = mailbox_row::existing(tx, account, mailbox)?;
    admit(&mailbox, new.len())?;
    let (modseq, save_date) = (tx.modseq()?, tx.now());
    let mut table = keywords::load(tx, mailbox.id)?;
    let mut records = Vec::with_capacity(new.len());
    let mut used = 0;
    for (uid, message) in allot(&mailbox, new.len())?.zip(new) {
        let named = &message.flags.keywords;
        let bits = keywords::assign(tx, mailbox.id, &mut table, named, used, WhenFull::LeaveOff)?;
        let bits = bits.into_iter().flatten().fold(0, |bits, bit| bits | 1 << bit);
        used |= bits;
        records.push(Record {
            uid,
            email: message.email,
            modseq,
            internal_date: message.internal_date,
            save_date,
            size: message.size,
            flags: message.flags.system,
            keywords: bits,
        });
    }
    let uids = add(tx, &mut mailbox, &records)?;
    Ok(Appended { uid_validity: mailbox.uid_validity, uids, modseq })
}

/// Whether so many more may come in, by whichever way they come: the one place that says no. What the store itself files is
/// never refused.
pub(in crate::store) fn admit(mailbox: &Mailbox, count: usize) -> Result<(), Error> {
    let after = u32::try_from(count).ok().and_then(|count| mailbox.messages.checked_add(count));
    if after.is_some_and(|after| after <= MOST_MESSAGES) {
        Ok(())
    } else {
        Err(Error::Limit("a mailbox holds at most 2,000,000 messages"))
    }
}

/// The next UIDs. The last number is never given, so that UIDNEXT is always one.
fn allot(mailbox: &Mailbox, count: usize) -> Result<impl Iterator<Item = Uid> + use<>, Error> {
    let first = mailbox.uid_next;
    let fits = u32::try_from(count).ok().and_then(|count| first.checked_add(count)).is_some();
    if fits { Ok((first..).filter_map(Uid::new)) } else { Err(Error::Limit("the mailbox has no UIDs left")) }
}

/// Adds records with the mailbox's next UIDs.
fn add(tx: &mut dyn Transaction, mailbox: &mut Mailbox, records: &[Record]) -> Result<UidSet, Error> {
    let (Some(first), Some(last)) = (records.first(), records.last()) else { return Ok(UidSet::new()) };
    let mut rest = records;
    if let Some((key, block)) = blocks::at(tx, mailbox.id, u32::MAX)? {
        let mut block = record::decode(&block)?;
        if block.last().is_some_and(|known| known.uid >= first.uid) {
            return Err(Error::Damaged(format!("UIDNEXT of mailbox {}", mailbox.id)));
        }
        let (fitting, left) = rest.split_at(rest.len().min(record::BLOCK_MAX.saturating_sub(block.len())));
        if !fitting.is_empty() {
            block.extend_from_slice(fitting);
            tx.put(Table::Messages, &pair(mailbox.id.0, key), &record::encode(&block));
        }
        rest = left;
    }
    for block in rest.chunks(record::BLOCK_MAX) {
        if let Some(lowest) = block.first() {
            tx.put(Table::Messages, &pair(mailbox.id.0, lowest.uid.get()), &record::encode(block));
        }
    }
    records.iter().for_each(|record| mailbox.count_in(record));
    mailbox.uid_next = last.uid.get().saturating_add(1);
    let added: UidSet = std::iter::once(first.uid.get()..=last.uid.get()).collect();
    changes::record(tx, mailbox, &Change { added: added.clone(), ..Change::default() })?;
    Ok(added)
}

/// What was expunged.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Expunged {
    /// The UIDs that are gone.
    pub uids: UidSet,
    /// The modseq of it, if any are gone.
    pub modseq: Option<ModSeq>,
}

/// Expunges those of the set that are there, or of these those with `\Deleted` only (RFC 9051 §6.4.3).
///
/// # Errors
/// [`Error::NotFound`] if there is no such mailbox.
pub fn expunge(
    tx: &mut dyn Transaction,
    account: AccountId,
    mailbox: MailboxId,
    uids: &UidSet,
    only_deleted: bool,
) -> Result<Expunged, Error> {
    let mut mailbox = mailbox_row::existing(tx, account, mailbox)?;
    if only_deleted && mailbox.deleted == 0 {
        return Ok(Expunged::default());
    }
    let records = remove(tx, &mut mailbox, uids, |record| !only_deleted || record.is_deleted())?;
    if records.is_empty() {
        return Ok(Expunged::default());
    }
    bin::put_records(tx, &mailbox, &records)?;
    Ok(Expunged { uids: uids_of(&records), modseq: Some(tx.modseq()?) })
}

fn uids_of(records: &[Record]) -> UidSet {
    let mut uids = Runs::default();
    records.iter().for_each(|record| uids.add(record.uid.get()));
    uids.finish()
}

/// Takes records out of a mailbox.
fn remove(
    tx: &mut dyn Transaction,
    mailbox: &mut Mailbox,
    uids: &UidSet,
    choose: impl Fn(&Record) -> bool,
) -> Result<Vec<Record>, Error> {
    let mut blocks = Blocks::load(tx, mailbox.id, uids)?;
    let records = blocks.take(uids, choose)?;
    if records.is_empty() {
        return Ok(records);
    }
    blocks.save(tx)?;
    records.iter().for_each(|record| mailbox.count_out(record));
    let gone = uids_of(&records);
    if let Some(first) = mailbox.first_unseen.filter(|first| gone.contains(first.get())) {
        mailbox.first_unseen = flagging::next_unseen(tx, mailbox, first.get())?;
    }
    changes::record(tx, mailbox, &Change { expunged: gone, ..Change::default() })?;
    Ok(records)
}

/// What was copied or moved: COPYUID (RFC 9051 §7.1). The n-th of `from` became the n-th of `to`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Copied {
    /// UIDVALIDITY of the target.
    pub uid_validity: UidValidity,
    /// UIDs in the source, ascending.
    pub from: Vec<Uid>,
    /// UIDs in the target, ascending.
    pub to: Vec<Uid>,
    /// The modseq of it, if there were any.
    pub modseq: Option<ModSeq>,
}

/// Copies those of the set that are there, with flags and INTERNALDATE (RFC 9051 §6.4.7). Whether one that
/// is missing makes the command fail is the caller's to decide: compare `from`. A keyword that finds no
/// free bit in the target is left off.
///
/// # Errors
/// [`Error::NotFound`] if a mailbox is not there; [`Error::Limit`] if the target is full.
pub fn copy(
    tx: &mut dyn Transaction,
    account: AccountId,
    from: MailboxId,
    uids: &UidSet,
    to: MailboxId,
) -> Result<Copied, Error> {
    mailbox_row::existing(tx, account, from)?;
    let mut records = Vec::new();
    Blocks::load(tx, from, uids)?.each(uids, |record| {
        records.push(*record);
        Ok(())
    })?;
    paste(tx, account, from, records, to)
}

/// Moves those of the set that are there (RFC 6851). As [`copy`], and nothing goes to the bin.
///
/// # Errors
/// As [`copy`].
pub fn move_(
    tx: &mut dyn Transaction,
    account: AccountId,
    from: MailboxId,
    uids: &UidSet,
    to: MailboxId,
) -> Result<Copied, Error> {
    let mut mailbox = mailbox_row::existing(tx, account, from)?;
    let records = remove(tx, &mut mailbox, uids, |_| true)?;
    paste(tx, account, from, records, to)
}

fn paste(
    tx: &mut dyn Transaction,
    account: AccountId,
    from: MailboxId,
    mut records: Vec<Record>,
    to: MailboxId,
) -> Result<Copied, Error> {
    let mut target = mailbox_row::existing(tx, account, to)?;
    let uid_validity = target.uid_validity;
    if records.is_empty() {
        return Ok(Copied { uid_validity, from: Vec::new(), to: Vec::new(), modseq: None });
    }
    admit(&target, records.len())?;
    let source = records.iter().map(|record| record.uid).collect();
    let used = records.iter().fold(0, |bits, record| bits | record.keywords);
    let table = if used == 0 { KeywordTable::default() } else { keywords::load(tx, from)? };
    insert(tx, &mut target, &mut records, &table)?;
    let to = records.iter().map(|record| record.uid).collect();
    Ok(Copied { uid_validity, from: source, to, modseq: Some(tx.modseq()?) })
}

/// Adds records that come from elsewhere, where `table` says what their keywords mean: they get the next UIDs, the
/// job's modseq, and now as the time at which they came. A keyword that finds no free bit is left off.
pub(in crate::store) fn insert(
    tx: &mut dyn Transaction,
    target: &mut Mailbox,
    records: &mut [Record],
    table: &KeywordTable,
) -> Result<(), Error> {
    let (modseq, save_date) = (tx.modseq()?, tx.now());
    let used = records.iter().fold(0, |bits, record| bits | record.keywords);
    let translation = match used {
        0 => None,
        used => Some(Translation::new(tx, table, used, target.id)?),
    };
    for (uid, record) in allot(target, records.len())?.zip(&mut *records) {
        (record.uid, record.modseq, record.save_date) = (uid, modseq, save_date);
        record.keywords = translation.as_ref().map_or(0, |table| table.translate(record.keywords));
    }
    add(tx, target, records).map(drop)
}

/// Counts what lies in the blocks of a mailbox that has no counts yet.
pub(super) fn count_all(rows: &dyn Rows, mailbox: &mut Mailbox) -> Result<(), Error> {
    scan(rows, mailbox.id, 0..=u32::MAX, &mut |record| {
        mailbox.count_in(record);
        mailbox.uid_next = record.uid.get().saturating_add(1);
        Ok(ControlFlow::Continue(()))
    })
}
