//! What was expunged or deleted lately, kept for undelete, and what is left of removed accounts.
//!
//! Time in the bin is counted by the clock of what ages ([`running`](crate::store::running)), so that no jump of
//! the wall clock empties it.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use crate::model::{AccountId, EmailId, Keyword, MailboxId, MailboxName, ModSeq, SpecialUse};
use crate::store::base::codec::{Reader, Writer, all_of, decode, decode_key, with_number};
use crate::store::base::error::Error;
use crate::store::base::rows::{Rows, Transaction};
use crate::store::base::running;
pub use crate::store::base::running::{advance, clock};
use crate::store::base::schema::Table;
use crate::store::household::accounts;
use crate::store::mailbox::keywords::{self, KeywordTable};
use crate::store::mailbox::mailboxes::Mailbox;
use crate::store::mailbox::record::{self, BLOCK_MAX, Record};

/// How long the bin keeps things, in seconds: 30 days.
pub const MAX_AGE: i64 = 30 * 86_400;
/// The most rows that one call drops, so that a job stays below 50 ms.
const SLICE: usize = 512;

const HOUR: i64 = 3_600;

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
    },
}

impl Entry {
    fn encode(&self) -> Vec<u8> {
        let out = Writer::new()
            .u32(self.mailbox.0)
            .bytes(self.name.as_str().as_bytes())
            .i64(self.at)
            .i64(self.clock);
        match &self.kept {
            Kept::Messages { records, keywords } => {
                let mut out = out.u8(1).u8(keywords.pairs().len() as u8);
                for (bit, keyword) in keywords.pairs() {
                    out = out.u8(*bit).bytes(keyword.as_str().as_bytes());
                }
                out.bytes(&record::encode(records))
            }
            Kept::Mailbox { special_use, messages, size } => {
                out.u8(2).u8(special_use.map_or(0, |special_use| special_use as u8)).u32(*messages).u64(*size)
            }
        }
        .finish()
    }

    fn read(id: EntryId, reader: &mut Reader<'_>) -> Option<Self> {
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
            2 => Kept::Mailbox {
                special_use: SpecialUse::from_byte(reader.u8()?),
                messages: reader.u32()?,
                size: reader.u64()?,
            },
            _ => return None,
        };
        Some(Entry { id, mailbox, name, at, clock, kept })
    }

    /// The bytes of the messages that it keeps.
    #[must_use]
    pub fn size(&self) -> u64 {
        match &self.kept {
            Kept::Messages { records, .. } => {
                records.iter().fold(0, |sum, record| sum.saturating_add(record.size))
            }
            Kept::Mailbox { size, .. } => *size,
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
    let Mailbox { special_use, messages, size, .. } = *mailbox;
    put(tx, mailbox, numbers.take(), Kept::Mailbox { special_use, messages, size })
}

fn put(tx: &mut dyn Transaction, mailbox: &Mailbox, id: EntryId, kept: Kept) -> Result<(), Error> {
    let entry = Entry {
        id,
        mailbox: mailbox.id,
        name: mailbox.name.clone(),
        at: tx.now(),
        clock: running::clock(tx)?,
        kept,
    };
    tx.put(Table::Bin, &with_number(mailbox.account.0, id.modseq.0, id.number), &entry.encode());
    Ok(())
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
    decode("an entry of the bin", value, |reader| Entry::read(id, reader))
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
pub fn emails(rows: &dyn Rows, visit: &mut dyn FnMut(EmailId)) -> Result<(), Error> {
    rows.scan(Table::Bin, &[], &[0xff; 17], &mut |key, value| {
        if let Kept::Messages { records, .. } = entry(key, value)?.kept {
            records.iter().for_each(|record| visit(record.email));
        }
        Ok(ControlFlow::Continue(()))
    })
}

/// Drops a slice of what is older than `max_age` seconds, where `now` is what [`clock`] says; of an account
/// that was removed, a slice of all that is left. Call again while it says that there is more.
///
/// # Errors
/// Of reading.
pub fn expire(tx: &mut dyn Transaction, account: AccountId, now: i64, max_age: i64) -> Result<bool, Error> {
    let removed = accounts::get(tx, account)?.is_none();
    let mut budget = SLICE;
    if removed && !drop_range(tx, Table::Threads, account.0, &mut budget)? {
        return Ok(true);
    }
    drop_entries(tx, account, &mut budget, |entry| removed || entry.clock.saturating_add(max_age) <= now)
}

/// Up to when, by the bin's clock, entries must go for those of all accounts to hold no more than `limit`
/// bytes; `None` if they do not. Whole hours go, the oldest first: some hundred sums, however many entries.
///
/// # Errors
/// Of reading.
pub fn surplus(rows: &dyn Rows, limit: u64) -> Result<Option<i64>, Error> {
    let mut hours: BTreeMap<i64, u64> = BTreeMap::new();
    rows.scan(Table::Bin, &[], &[0xff; 17], &mut |key, value| {
        let entry = entry(key, value)?;
        let sum = hours.entry(entry.clock.div_euclid(HOUR)).or_default();
        *sum = sum.saturating_add(entry.size());
        Ok(ControlFlow::Continue(()))
    })?;
    let mut held = hours.values().fold(0_u64, |sum, size| sum.saturating_add(*size));
    let mut upto = None;
    for (hour, size) in hours {
        if held <= limit {
            break;
        }
        held -= size.min(held);
        upto = Some((hour + 1) * HOUR - 1);
    }
    Ok(upto)
}

/// Drops one entry, as when it was undeleted. Says whether there is more of it: call again then.
///
/// # Errors
/// Of reading.
pub fn remove(tx: &mut dyn Transaction, account: AccountId, id: EntryId) -> Result<bool, Error> {
    let key = with_number(account.0, id.modseq.0, id.number);
    let Some(bytes) = tx.get(Table::Bin, &key)? else { return Ok(false) };
    let entry = entry(&key, &bytes)?;
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
    if matches!(entry.kept, Kept::Mailbox { .. }) {
        for table in [Table::Messages, Table::Changes, Table::Keywords] {
            if !drop_range(tx, table, entry.mailbox.0, budget)? {
                return Ok(false);
            }
        }
    }
    tx.delete(Table::Bin, &with_number(account.0, entry.id.modseq.0, entry.id.number));
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
