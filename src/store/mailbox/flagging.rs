//! STORE: changing the flags of messages (RFC 9051 §6.4.6, RFC 7162 §3.1.3).

use crate::model::{AccountId, FlagSet, MailboxId, ModSeq, SystemFlags, Uid, UidSet};
use crate::store::base::error::Error;
use crate::store::base::rows::{Rows, Transaction};
use crate::store::mailbox::blocks::Blocks;
use crate::store::mailbox::changes::{self, Change};
use crate::store::mailbox::keywords::{self, WhenFull};
use crate::store::mailbox::mailbox_row::{self, Mailbox};
use crate::store::mailbox::record::Record;
use crate::store::mailbox::records::{self, Runs};

/// What STORE does with the flags that it names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FlagChange {
    /// `+FLAGS`
    Add,
    /// `-FLAGS`
    Remove,
    /// `FLAGS`
    Replace,
}

/// What a STORE did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stored {
    /// The messages whose flags are others now. One that had them already keeps its modseq and is not
    /// among them.
    pub changed: UidSet,
    /// Those that failed UNCHANGEDSINCE: the MODIFIED response code.
    pub modified: UidSet,
    /// The modseq of it, if any changed.
    pub modseq: Option<ModSeq>,
}

/// Changes the flags of those of the set that are there.
///
/// # Errors
/// [`Error::NotFound`] if there is no such mailbox; [`Error::Limit`] if a keyword finds no free bit.
pub fn store_flags(
    tx: &mut dyn Transaction,
    account: AccountId,
    mailbox: MailboxId,
    uids: &UidSet,
    change: FlagChange,
    flags: &FlagSet,
    unchanged_since: Option<ModSeq>,
) -> Result<Stored, Error> {
    let mut mailbox = mailbox_row::existing(tx, account, mailbox)?;
    let mut blocks = Blocks::load(tx, mailbox.id, uids)?;
    // RFC 7162 §3.1.3: with zero every message fails, for none has modseq zero.
    let passes = |record: &Record| unchanged_since.is_none_or(|since| record.modseq <= since);
    let mut chosen = false;
    blocks.each(uids, |record| {
        chosen |= passes(record);
        Ok(())
    })?;
    let keywords = if chosen { keyword_bits(tx, mailbox.id, change, flags)? } else { 0 };
    let (mut changed, mut modified, mut tally) = (Runs::default(), Runs::default(), Tally::default());
    blocks.update(uids, |record| {
        if !passes(record) {
            modified.add(record.uid.get());
            return Ok(false);
        }
        let before = *record;
        apply(record, change, flags.system, keywords);
        if *record == before {
            return Ok(false);
        }
        record.modseq = tx.modseq()?;
        changed.add(record.uid.get());
        tally.add(&before, record);
        Ok(true)
    })?;
    let (changed, modified) = (changed.finish(), modified.finish());
    if changed.is_empty() {
        return Ok(Stored { modified, ..Stored::default() });
    }
    blocks.save(tx)?;
    tally.settle(tx, &mut mailbox)?;
    changes::record(tx, &mut mailbox, &Change { changed: changed.clone(), ..Change::default() })?;
    Ok(Stored { changed, modified, modseq: Some(mailbox.highest_modseq) })
}

/// The bits of the keywords; one that is to be taken away needs none if no message ever had it.
fn keyword_bits(
    tx: &mut dyn Transaction,
    mailbox: MailboxId,
    change: FlagChange,
    flags: &FlagSet,
) -> Result<u64, Error> {
    if flags.keywords.is_empty() {
        return Ok(0);
    }
    let mut table = keywords::load(tx, mailbox)?;
    if change != FlagChange::Remove {
        keywords::assign(tx, mailbox, &mut table, &flags.keywords, 0, WhenFull::Fail)?;
    }
    Ok(table.bits(&flags.keywords))
}

fn apply(record: &mut Record, change: FlagChange, system: SystemFlags, keywords: u64) {
    match change {
        FlagChange::Add => {
            record.flags = record.flags.union(system);
            record.keywords |= keywords;
        }
        FlagChange::Remove => {
            record.flags = record.flags.without(system);
            record.keywords &= !keywords;
        }
        FlagChange::Replace => (record.flags, record.keywords) = (system, keywords),
    }
}

/// How the mailbox's counts change.
#[derive(Default)]
struct Tally {
    seen: UidSet,
    came_unseen: u32,
    went_unseen: u32,
    came_deleted: u32,
    went_deleted: u32,
    /// The lowest message that was seen and is not now.
    lowest_unseen: Option<Uid>,
    seen_runs: Runs,
}

impl Tally {
    fn add(&mut self, before: &Record, after: &Record) {
        match (before.is_unseen(), after.is_unseen()) {
            (true, false) => {
                self.went_unseen += 1;
                self.seen_runs.add(after.uid.get());
            }
            (false, true) => {
                self.came_unseen += 1;
                self.lowest_unseen = self.lowest_unseen.or(Some(after.uid));
            }
            _ => {}
        }
        self.came_deleted += u32::from(!before.is_deleted() && after.is_deleted());
        self.went_deleted += u32::from(before.is_deleted() && !after.is_deleted());
    }

    fn settle(mut self, rows: &dyn Rows, mailbox: &mut Mailbox) -> Result<(), Error> {
        self.seen = std::mem::take(&mut self.seen_runs).finish();
        mailbox.unseen = (mailbox.unseen + self.came_unseen).saturating_sub(self.went_unseen);
        mailbox.deleted = (mailbox.deleted + self.came_deleted).saturating_sub(self.went_deleted);
        let old = mailbox.first_unseen;
        mailbox.first_unseen = match (self.lowest_unseen, old) {
            (Some(lowest), Some(old)) if old < lowest && self.seen.contains(old.get()) => {
                next_unseen(rows, mailbox, old.get())?
            }
            (Some(lowest), Some(old)) => Some(lowest.min(old)),
            (Some(lowest), None) => Some(lowest),
            (None, Some(old)) if self.seen.contains(old.get()) => next_unseen(rows, mailbox, old.get())?,
            (None, old) => old,
        };
        Ok(())
    }
}

/// The first unseen message, when those below `from` are seen.
pub(in crate::store) fn next_unseen(
    rows: &dyn Rows,
    mailbox: &Mailbox,
    from: u32,
) -> Result<Option<Uid>, Error> {
    if mailbox.unseen == 0 { Ok(None) } else { records::first_unseen(rows, mailbox.id, from) }
}
