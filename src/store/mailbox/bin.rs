//! What was expunged or deleted lately, and removed accounts, kept for undelete ([`super::undelete`]).
//!
//! Time in the bin is counted by the clock of what ages ([`running`](crate::store::running)), so that no jump of
//! the wall clock empties it.

use std::collections::BTreeMap;
use std::ops::{ControlFlow, RangeInclusive};

use crate::model::{AccountId, ContentId, Keyword, MailboxId, MailboxName, ModSeq, SpecialUse};
use crate::store::base::codec::{Reader, Writer, all_of, decode_key, with_number};
use crate::store::base::error::Error;
use crate::store::base::row::Row;
use crate::store::base::rows::{Rows, Transaction};
pub use crate::store::base::running::{advance, clock};
use crate::store::base::schema::Table;
use crate::store::base::settings;
use crate::store::mailbox::keywords::{self, KeywordTable};
use crate::store::mailbox::mailbox_row::Mailbox;
use crate::store::mailbox::record::{self, BLOCK_MAX, Record};

/// How many days the bin keeps things unless another number was set.
pub const KEEP_DAYS: u64 = 30;
/// What number can be set.
pub const KEEP_RANGE: RangeInclusive<u64> = 2..=3_650;
/// What is younger never goes early, however full the disk is, in seconds: 48 hours.
pub const SAFE_AGE: i64 = 48 * HOUR;
/// The most rows that one call drops, so that a job stays below 50 ms.
const SLICE: usize = 512;

const HOUR: i64 = 3_600;
const KEEP: &str = "binkeep";
const EARLY: &str = "binearly";

/// An entry's place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct EntryId {
    /// When it was expunged or deleted.
    pub modseq: ModSeq,
    /// Which of that modseq.
    pub number: u32,
}

/// Something in the bin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its place.
    pub id: EntryId,
    /// The mailbox that it was in, or was.
    pub mailbox: MailboxId,
    /// The mailbox's name then.
    pub name: MailboxName,
    /// When that was by the wall clock, in seconds since 1970: to show.
    pub at: i64,
    /// When that was by the clock of what ages.
    pub clock: i64,
    /// What it is.
    pub kept: Kept,
}

/// What an entry keeps.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kept {
    /// Up to 64 expunged messages.
    Messages {
        /// Their records.
        records: Vec<Record>,
        /// What the bits of their keywords mean.
        keywords: KeywordTable,
    },
    /// A deleted mailbox. Its records and keywords are read as those of any, by its id.
    Mailbox {
        /// The role that it had.
        special_use: Option<SpecialUse>,
        /// How many messages it has.
        messages: u32,
        /// The sum of their sizes.
        size: u64,
        /// Its UIDNEXT: no UID of it is used again, even under another UIDVALIDITY. 1 where it is not known.
        uid_next: u32,
    },
    /// A removed account. Its mailboxes have entries of the same modseq; its subscriptions stay where they are.
    Account {
        /// The name that it had.
        name: String,
        /// When it was made, in seconds since 1970.
        created: i64,
    },
}

impl Row for Entry {
    type Key = EntryId;
    const TABLE: Table = Table::Bin;
    // Kinds 3 and 4 came with the second.
    const VERSION: u8 = 2;

    fn what(_: EntryId) -> String {
        "an entry of the bin".to_owned()
    }

    fn write(&self, out: Writer) -> Writer {
        let out = out.u32(self.mailbox.0).bytes(self.name.as_str().as_bytes()).i64(self.at).i64(self.clock);
        match &self.kept {
            Kept::Messages { records, keywords } => {
                let mut out = out.u8(1).u8(keywords.pairs().len() as u8);
                for (bit, keyword) in keywords.pairs() {
                    out = out.u8(*bit).bytes(keyword.as_str().as_bytes());
                }
                out.bytes(&record::encode(records))
            }
            Kept::Mailbox { special_use, messages, size, uid_next } => out
                .u8(4)
                .u8(special_use.map_or(0, |special_use| special_use as u8))
                .u32(*messages)
                .u64(*size)
                .u32(*uid_next),
            Kept::Account { name, created } => out.u8(3).bytes(name.as_bytes()).i64(*created),
        }
    }

    fn read(id: EntryId, _: u8, reader: &mut Reader<'_>) -> Option<Self> {
        let (mailbox, name) = (MailboxId(reader.u32()?), reader.name()?);
        let (at, clock) = (reader.i64()?, reader.i64()?);
        let kept = match reader.u8()? {
            1 => {
                let mut pairs = Vec::new();
                for _ in 0..reader.u8()? {
                    pairs.push((reader.u8()?, Keyword::new(reader.text()?)?));
                }
                let keywords = KeywordTable::from_pairs(pairs)?;
                Kept::Messages { records: record::decode(reader.bytes()?).ok()?, keywords }
            }
            // Without UIDNEXT, as the first release wrote it.
            kind @ (2 | 4) => Kept::Mailbox {
                special_use: SpecialUse::from_byte(reader.u8()?),
                messages: reader.u32()?,
                size: reader.u64()?,
                uid_next: if kind == 2 { 1 } else { reader.u32()? },
            },
            3 => Kept::Account { name: reader.text()?.to_owned(), created: reader.i64()? },
            _ => return None,
        };
        Some(Entry { id, mailbox, name, at, clock, kept })
    }
}

impl Entry {
    /// The bytes of the messages that it keeps.
    #[must_use]
    pub fn size(&self) -> u64 {
        match &self.kept {
            Kept::Messages { records, .. } => {
                records.iter().fold(0, |sum, record| sum.saturating_add(record.size))
            }
            Kept::Mailbox { size, .. } => *size,
            Kept::Account { .. } => 0,
        }
    }

    /// How many messages it keeps.
    #[must_use]
    pub fn messages(&self) -> u64 {
        match &self.kept {
            Kept::Messages { records, .. } => records.len() as u64,
            Kept::Mailbox { messages, .. } => u64::from(*messages),
            Kept::Account { .. } => 0,
        }
    }
}

/// Numbers the entries of a job, so that only the first is looked for.
pub(in crate::store) struct Numbering {
    modseq: ModSeq,
    next: u32,
}

impl Numbering {
    pub(in crate::store) fn new(tx: &mut dyn Transaction, account: AccountId) -> Result<Self, Error> {
        let modseq = tx.modseq()?;
        let (low, high) = (with_number(account.0, modseq.0, 0), with_number(account.0, modseq.next().0, 0));
        let mut next = 0;
        tx.scan_back(Table::Bin, &low, &high, &mut |key, _| {
            next = place(key)?.1.number.saturating_add(1);
            Ok(ControlFlow::Break(()))
        })?;
        Ok(Numbering { modseq, next })
    }

    fn take(&mut self) -> EntryId {
        let number = self.next;
        self.next = number.saturating_add(1);
        EntryId { modseq: self.modseq, number }
    }
}

/// Keeps expunged records.
pub(in crate::store) fn put_records(
    tx: &mut dyn Transaction,
    mailbox: &Mailbox,
    records: &[Record],
) -> Result<(), Error> {
    let mut numbers = Numbering::new(tx, mailbox.account)?;
    let table = keywords::load(tx, mailbox.id)?;
    for records in records.chunks(BLOCK_MAX) {
        let used = records.iter().fold(0, |bits, record| bits | record.keywords);
        let kept = Kept::Messages { records: records.to_vec(), keywords: table.only(used) };
        put(tx, mailbox, numbers.take(), kept)?;
    }
    Ok(())
}

/// Keeps the blocks and keywords of a mailbox that is deleted: they stay where they are until its time.
pub(in crate::store) fn put_mailbox(
    tx: &mut dyn Transaction,
    mailbox: &Mailbox,
    numbers: &mut Numbering,
) -> Result<(), Error> {
    let Mailbox { special_use, messages, size, uid_next, .. } = *mailbox;
    put(tx, mailbox, numbers.take(), Kept::Mailbox { special_use, messages, size, uid_next })
}

/// Keeps what a removed account needs to come back. The last entry of the account, so that it goes last.
pub(in crate::store) fn put_account(
    tx: &mut dyn Transaction,
    (account, name, created): (AccountId, &str, i64),
    numbers: &mut Numbering,
) -> Result<(), Error> {
    let kept = Kept::Account { name: name.to_owned(), created };
    // No mailbox has this id.
    let (mailbox, name) = (MailboxId(0), MailboxName::inbox());
    let entry = Entry { id: numbers.take(), mailbox, name, at: tx.now(), clock: clock(tx)?, kept };
    save(tx, account, &entry);
    Ok(())
}

fn put(tx: &mut dyn Transaction, mailbox: &Mailbox, id: EntryId, kept: Kept) -> Result<(), Error> {
    let entry =
        Entry { id, mailbox: mailbox.id, name: mailbox.name.clone(), at: tx.now(), clock: clock(tx)?, kept };
    save(tx, mailbox.account, &entry);
    Ok(())
}

/// Writes an entry as it is now.
pub(in crate::store) fn save(tx: &mut dyn Transaction, account: AccountId, entry: &Entry) {
    tx.put(Table::Bin, &key(account, entry.id), &entry.to_bytes());
}

/// Forgets an entry, and nothing that it names.
pub(in crate::store) fn forget(tx: &mut dyn Transaction, account: AccountId, id: EntryId) {
    tx.delete(Table::Bin, &key(account, id));
}

fn key(account: AccountId, id: EntryId) -> Vec<u8> {
    with_number(account.0, id.modseq.0, id.number).to_vec()
}

/// How many days things are kept.
///
/// # Errors
/// Of reading.
pub fn keep_days(rows: &dyn Rows) -> Result<u64, Error> {
    let days = settings::number(rows, KEEP)?;
    Ok(if KEEP_RANGE.contains(&days) { days } else { KEEP_DAYS })
}

/// Sets how many days things are kept. What is older goes with the next upkeep.
///
/// # Errors
/// [`Error::Refused`] for a number outside of [`KEEP_RANGE`].
pub fn set_keep_days(tx: &mut dyn Transaction, days: u64) -> Result<(), Error> {
    if !KEEP_RANGE.contains(&days) {
        return Err(Error::Refused("deleted mail is kept for 2 to 3650 days"));
    }
    settings::put_number(tx, KEEP, days)
}

/// An entry.
///
/// # Errors
/// Of reading.
pub fn get(rows: &dyn Rows, account: AccountId, id: EntryId) -> Result<Option<Entry>, Error> {
    let key = key(account, id);
    rows.get(Table::Bin, &key)?.map(|bytes| entry(&key, &bytes)).transpose()
}

/// An account's newest entry that is older than the one at `before`; without it the newest of all.
///
/// # Errors
/// Of reading.
pub fn newest(rows: &dyn Rows, account: AccountId, before: Option<EntryId>) -> Result<Option<Entry>, Error> {
    let (low, end) = all_of(account.0);
    let high = before.map_or(end.to_vec(), |id| key(account, id));
    let mut found = None;
    rows.scan_back(Table::Bin, &low, &high, &mut |key, value| {
        found = Some(entry(key, value)?);
        Ok(ControlFlow::Break(()))
    })?;
    Ok(found)
}

/// Whether there is such an account now.
fn is_alive(rows: &dyn Rows, account: AccountId) -> Result<bool, Error> {
    Ok(rows.get(Table::Accounts, &account.0.to_be_bytes())?.is_some())
}

/// The entry of an account that was removed, and not put back whole since.
///
/// # Errors
/// Of reading.
pub fn removed(rows: &dyn Rows, account: AccountId) -> Result<Option<Entry>, Error> {
    // While it is gone that is the newest; while it is being put back, mail may be deleted already.
    let mut found = None;
    let (low, high) = all_of(account.0);
    let alive = is_alive(rows, account)?;
    rows.scan_back(Table::Bin, &low, &high, &mut |key, value| {
        let entry = entry(key, value)?;
        let is_account = matches!(entry.kept, Kept::Account { .. });
        found = Some(entry).filter(|_| is_account);
        Ok(if is_account || !alive { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
    })?;
    Ok(found)
}

/// Visits an account's entries, oldest first, until `visit` breaks.
///
/// # Errors
/// Of reading, or of `visit`.
pub fn list(
    rows: &dyn Rows,
    account: AccountId,
    visit: &mut dyn FnMut(Entry) -> Result<ControlFlow<()>, Error>,
) -> Result<(), Error> {
    let (low, high) = all_of(account.0);
    rows.scan(Table::Bin, &low, &high, &mut |key, value| visit(entry(key, value)?))
}

fn entry(key: &[u8], value: &[u8]) -> Result<Entry, Error> {
    let (_, id) = place(key)?;
    Entry::from_bytes(id, value)
}

fn place(key: &[u8]) -> Result<(AccountId, EntryId), Error> {
    decode_key("the key of an entry of the bin", key, |key| {
        let account = AccountId(key.u32()?);
        Some((account, EntryId { modseq: ModSeq(key.u64()?), number: key.u32()? }))
    })
}

/// The accounts that have entries, removed ones included.
///
/// # Errors
/// Of reading.
pub fn accounts(rows: &dyn Rows) -> Result<Vec<AccountId>, Error> {
    let mut accounts: Vec<AccountId> = Vec::new();
    loop {
        let low = accounts.last().map_or_else(Vec::new, |last| all_of(last.0).1);
        let known = accounts.len();
        rows.scan(Table::Bin, &low, &[0xff; 17], &mut |key, _| {
            accounts.push(place(key)?.0);
            Ok(ControlFlow::Break(()))
        })?;
        if accounts.len() == known {
            return Ok(accounts);
        }
    }
}

/// The bytes of the messages that an account has in the bin, each counted as if no other were the same.
///
/// # Errors
/// Of reading.
pub fn size(rows: &dyn Rows, account: AccountId) -> Result<u64, Error> {
    let mut size = 0_u64;
    list(rows, account, &mut |entry| {
        size = size.saturating_add(entry.size());
        Ok(ControlFlow::Continue(()))
    })?;
    Ok(size)
}

/// Visits the contents that expunged messages show. Those of deleted mailboxes are visited by
/// [`crate::store::mailbox::messages::emails`].
///
/// # Errors
/// Of reading.
pub fn emails(rows: &dyn Rows, visit: &mut dyn FnMut(ContentId)) -> Result<(), Error> {
    rows.scan(Table::Bin, &[], &[0xff; 17], &mut |key, value| {
        if let Kept::Messages { records, .. } = entry(key, value)?.kept {
            records.iter().for_each(|record| visit(record.email));
        }
        Ok(ControlFlow::Continue(()))
    })
}

/// Drops a slice of what is older than `max_age` seconds, where `now` is what [`clock`] says. Call again while it
/// says that there is more. A removed account goes with its last entry, which is its own.
///
/// # Errors
/// Of reading.
pub fn expire(tx: &mut dyn Transaction, account: AccountId, now: i64, max_age: i64) -> Result<bool, Error> {
    let mut budget = SLICE;
    // The first release wrote nothing of a removed account itself.
    let nameless = !is_alive(tx, account)? && removed(tx, account)?.is_none();
    if nameless && !drop_range(tx, Table::Threads, account.0, &mut budget)? {
        return Ok(true);
    }
    drop_entries(tx, account, &mut budget, |entry| entry.clock.saturating_add(max_age) <= now)
}

/// What must go early.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Surplus {
    /// Everything up to this time of the bin's clock.
    pub upto: i64,
    /// How many messages these are.
    pub messages: u64,
    /// Their bytes.
    pub bytes: u64,
}

/// What must go for the entries of all accounts to hold no more than `limit` bytes; `None` if they do not, or
/// if nothing but what is younger than [`SAFE_AGE`] could. Whole hours go, the oldest first: some hundred sums,
/// however many entries.
///
/// # Errors
/// Of reading.
pub fn surplus(rows: &dyn Rows, limit: u64) -> Result<Option<Surplus>, Error> {
    let mut hours: BTreeMap<i64, (u64, u64)> = BTreeMap::new();
    rows.scan(Table::Bin, &[], &[0xff; 17], &mut |key, value| {
        let entry = entry(key, value)?;
        let (bytes, messages) = hours.entry(entry.clock.div_euclid(HOUR)).or_default();
        *bytes = bytes.saturating_add(entry.size());
        *messages = messages.saturating_add(entry.messages());
        Ok(ControlFlow::Continue(()))
    })?;
    let safe = clock(rows)?.saturating_sub(SAFE_AGE);
    let held = hours.values().fold(0_u64, |sum, (bytes, _)| sum.saturating_add(*bytes));
    let mut surplus = Surplus { upto: 0, messages: 0, bytes: 0 };
    for (hour, (bytes, messages)) in hours {
        let upto = (hour + 1) * HOUR - 1;
        if held.saturating_sub(surplus.bytes) <= limit || upto > safe {
            break;
        }
        surplus.upto = upto;
        surplus.bytes = surplus.bytes.saturating_add(bytes);
        surplus.messages = surplus.messages.saturating_add(messages);
    }
    Ok((surplus.bytes > 0).then_some(surplus))
}

/// Mail that the bin gave up before its time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Early {
    /// When it last did, in seconds since 1970.
    pub at: i64,
    /// How many messages went, then and in the month before.
    pub messages: u64,
    /// Their bytes.
    pub bytes: u64,
}

/// What the bin gave up early, if it ever did.
///
/// # Errors
/// Of reading.
pub fn early(rows: &dyn Rows) -> Result<Option<Early>, Error> {
    let Some(bytes) = settings::get(rows, EARLY)? else { return Ok(None) };
    let mut reader = Reader::new(&bytes);
    let read = (|| Some(Early { at: reader.i64()?, messages: reader.u64()?, bytes: reader.u64()? }))();
    read.map(Some).ok_or_else(|| Error::Damaged(format!("the setting {EARLY}")))
}

/// Writes down that so much goes early, for whoever looks for it later.
///
/// # Errors
/// Of reading.
pub fn note_early(tx: &mut dyn Transaction, surplus: &Surplus) -> Result<(), Error> {
    let now = tx.now();
    let known = early(tx)?.filter(|known| now.saturating_sub(known.at) < 30 * 86_400);
    let (messages, bytes) = known.map_or((0, 0), |known| (known.messages, known.bytes));
    let messages = messages.saturating_add(surplus.messages).to_le_bytes();
    let bytes = bytes.saturating_add(surplus.bytes).to_le_bytes();
    settings::put(tx, EARLY, &[now.to_le_bytes(), messages, bytes].concat())
}

/// Drops one entry and what it keeps, for good. Says whether there is more of it: call again then.
///
/// # Errors
/// Of reading.
pub fn remove(tx: &mut dyn Transaction, account: AccountId, id: EntryId) -> Result<bool, Error> {
    let Some(entry) = get(tx, account, id)? else { return Ok(false) };
    let mut budget = SLICE;
    drop_entry(tx, account, &entry, &mut budget).map(|done| !done)
}

fn drop_entries(
    tx: &mut dyn Transaction,
    account: AccountId,
    budget: &mut usize,
    due: impl Fn(&Entry) -> bool,
) -> Result<bool, Error> {
    // A row of 64 records decodes in a microsecond; an eighth of the budget keeps memory small.
    let most = SLICE / 8;
    let mut found = Vec::new();
    list(tx, account, &mut |entry| {
        if !due(&entry) {
            return Ok(ControlFlow::Break(()));
        }
        found.push(entry);
        Ok(if found.len() == most { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
    })?;
    for entry in &found {
        if !drop_entry(tx, account, entry, budget)? {
            return Ok(true);
        }
    }
    Ok(found.len() == most)
}

/// Whether all of it is gone.
fn drop_entry(
    tx: &mut dyn Transaction,
    account: AccountId,
    entry: &Entry,
    budget: &mut usize,
) -> Result<bool, Error> {
    // An account that was put back meanwhile has its own again.
    let of_account = match entry.kept {
        Kept::Account { .. } => !is_alive(tx, account)?,
        _ => false,
    };
    let (tables, id): (&[Table], u32) = match entry.kept {
        Kept::Mailbox { .. } => (&[Table::Messages, Table::Changes, Table::Keywords], entry.mailbox.0),
        Kept::Account { .. } if of_account => (&[Table::Subscriptions, Table::Threads], account.0),
        _ => (&[], 0),
    };
    for table in tables {
        if !drop_range(tx, *table, id, budget)? {
            return Ok(false);
        }
    }
    forget(tx, account, entry.id);
    *budget = budget.saturating_sub(1);
    Ok(true)
}

/// Deletes rows whose keys begin with an id, as many as the budget has; whether none is left.
pub(in crate::store) fn drop_range(
    tx: &mut dyn Transaction,
    table: Table,
    id: u32,
    budget: &mut usize,
) -> Result<bool, Error> {
    let (low, high) = all_of(id);
    let (mut keys, mut done) = (Vec::new(), true);
    tx.scan(table, &low, &high, &mut |key, _| {
        done = keys.len() < *budget;
        if done {
            keys.push(key.to_vec());
        }
        Ok(if done { ControlFlow::Continue(()) } else { ControlFlow::Break(()) })
    })?;
    for key in &keys {
        tx.delete(table, key);
    }
    *budget -= keys.len();
    Ok(done)
}
