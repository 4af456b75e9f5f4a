//! One mailbox: its counts and numbers against its records, its blocks, its keywords, its log of changes.
//! All of it is read in one snapshot; a mailbox of 100,000 messages takes some milliseconds.

use std::ops::{ControlFlow, RangeInclusive};

use super::report::{Findings, Kind};
use crate::model::{MailboxId, ModSeq, Uid, UidSet};
use crate::store::base::codec::{behind_pair, pair};
use crate::store::base::error::Error;
use crate::store::base::rows::Rows;
use crate::store::base::schema::Table;
use crate::store::mailbox::mailboxes::Mailbox;
use crate::store::mailbox::record::{self, BLOCK_MAX, Record};
use crate::store::mailbox::records::Runs;
use crate::store::mailbox::{blocks, changes, keywords};

/// UIDs of the log of changes that are looked up one by one; of a log that names more, only the newest change
/// of each message is compared.
const LOOKUPS: u64 = 4_000_000;
/// Sets of no more UIDs are looked up one by one.
const FEW: u64 = 1_024;

/// What the records of a mailbox add up to.
#[derive(Default)]
pub(in crate::store) struct Tally {
    /// UID and modseq of each, by UID.
    known: Vec<(u32, u64)>,
    pub(in crate::store) messages: u32,
    pub(in crate::store) unseen: u32,
    pub(in crate::store) deleted: u32,
    pub(in crate::store) size: u64,
    pub(in crate::store) first_unseen: Option<Uid>,
    pub(in crate::store) keywords: u64,
    pub(in crate::store) modseq: u64,
}

impl Tally {
    fn add(&mut self, record: &Record) {
        self.known.push((record.uid.get(), record.modseq.0));
        self.messages = self.messages.saturating_add(1);
        self.unseen = self.unseen.saturating_add(u32::from(record.is_unseen()));
        self.deleted = self.deleted.saturating_add(u32::from(record.is_deleted()));
        self.size = self.size.saturating_add(record.size);
        if record.is_unseen() && self.first_unseen.is_none() {
            self.first_unseen = Some(record.uid);
        }
        self.keywords |= record.keywords;
        self.modseq = self.modseq.max(record.modseq.0);
    }

    /// The highest UID.
    pub(in crate::store) fn last(&self) -> u32 {
        self.known.last().map_or(0, |(uid, _)| *uid)
    }

    fn modseq_of(&self, uid: u32) -> Option<u64> {
        let at = self.known.binary_search_by_key(&uid, |(known, _)| *known).ok()?;
        self.known.get(at).map(|(_, modseq)| *modseq)
    }

    fn uids(&self) -> UidSet {
        let mut uids = Runs::default();
        self.known.iter().for_each(|(uid, _)| uids.add(*uid));
        uids.finish()
    }
}

/// Reads all blocks of a mailbox and holds them against the rules of `blocks`.
pub(in crate::store) fn tally(
    rows: &dyn Rows,
    mailbox: MailboxId,
    label: &str,
    found: &mut Findings,
) -> Result<Tally, Error> {
    let mut tally = Tally::default();
    let (low, high) = (pair(mailbox.0, 0), behind_pair(mailbox.0, u32::MAX));
    let mut last = 0;
    rows.scan(Table::Messages, &low, &high, &mut |key, value| {
        let lowest = blocks::lowest(key)?;
        let Ok(records) = record::decode(value) else {
            found.add(
                Kind::Row,
                format!("{label}: a block of records from UID {lowest} on cannot be decoded"),
            );
            return Ok(ControlFlow::Continue(()));
        };
        if let Some(wrong) = wrong_block(lowest, last, value, &records) {
            found.add(Kind::Block, format!("{label}: the block of records from UID {lowest} on {wrong}"));
        }
        // What is out of order would be counted twice, or could not be looked up.
        records.iter().filter(|record| record.uid.get() > last).for_each(|record| tally.add(record));
        last = records.last().map_or(last, |record| record.uid.get().max(last));
        Ok(ControlFlow::Continue(()))
    })?;
    Ok(tally)
}

fn wrong_block(lowest: u32, last: u32, value: &[u8], records: &[Record]) -> Option<&'static str> {
    let Some(first) = records.first() else { return Some("is empty") };
    let head = record::head(value).ok()?;
    let modseq = records.iter().map(|record| record.modseq).max();
    let unseen = records.iter().filter(|record| record.is_unseen()).count();
    if records.len() > BLOCK_MAX {
        Some("is too large")
    } else if first.uid.get() < lowest {
        Some("holds a UID below its own")
    } else if first.uid.get() <= last || lowest <= last {
        Some("overlaps the one before it")
    } else if (Some(head.modseq), head.unseen, head.last) != (modseq, unseen, records.last()?.uid.get()) {
        Some("says something else than its records")
    } else {
        None
    }
}

/// Holds a mailbox's row, keywords and log of changes against its records.
pub(in crate::store) fn check(
    rows: &dyn Rows,
    mailbox: &Mailbox,
    label: &str,
    found: &mut Findings,
) -> Result<(), Error> {
    let tally = tally(rows, mailbox.id, label, found)?;
    found.looked().mailboxes += 1;
    found.looked().messages += u64::from(tally.messages);
    let row = (mailbox.messages, mailbox.unseen, mailbox.deleted, mailbox.size, mailbox.first_unseen);
    let real = (tally.messages, tally.unseen, tally.deleted, tally.size, tally.first_unseen);
    if row != real {
        found.add(
            Kind::Counts,
            format!("{label}: counts (messages, unseen, deleted, size, first unseen) are {row:?}, must be {real:?}"),
        );
    }
    if mailbox.uid_next <= tally.last() {
        let what = format!("{label}: UIDNEXT is {}, but UID {} is in use", mailbox.uid_next, tally.last());
        found.add(Kind::Numbers, what);
    }
    if mailbox.highest_modseq.0 < tally.modseq {
        let (row, real) = (mailbox.highest_modseq.0, tally.modseq);
        found.add(Kind::Numbers, format!("{label}: HIGHESTMODSEQ is {row}, but {real} is in use"));
    }
    let named = keywords::load(rows, mailbox.id)?;
    let unnamed =
        (0..64_u8).filter(|bit| tally.keywords >> bit & 1 == 1 && named.names(1 << bit).next().is_none());
    for bit in unnamed {
        found.add(Kind::Keyword, format!("{label}: messages bear keyword {bit}, which has no name"));
    }
    check_changes(rows, mailbox, &tally, label, found)
}

/// What the rows of a mailbox's log add up to.
#[derive(Default)]
struct Log {
    whole: u32,
    expunged: u64,
    gone: Vec<RangeInclusive<u32>>,
    last: u64,
}

fn check_changes(
    rows: &dyn Rows,
    mailbox: &Mailbox,
    tally: &Tally,
    label: &str,
    found: &mut Findings,
) -> Result<(), Error> {
    let mut log = Log::default();
    changes::visit(rows, mailbox.id, mailbox.floor, &mut |modseq, change| {
        log.whole += u32::from(modseq > mailbox.log.whole_above);
        log.expunged += change.expunged.len();
        log.gone.extend_from_slice(change.expunged.ranges());
        log.last = modseq.0;
        Ok(ControlFlow::Continue(()))
    })?;
    let mut wrong = |what: String| found.add(Kind::Changes, format!("{label}: {what}"));
    if (log.whole, log.expunged) != (mailbox.log.rows, u64::from(mailbox.log.expunged)) {
        wrong(format!(
            "the log of changes has {} rows and {} expunged messages, its counts say {} and {}",
            log.whole, log.expunged, mailbox.log.rows, mailbox.log.expunged
        ));
    }
    if log.last > mailbox.highest_modseq.0 {
        wrong(format!(
            "the log of changes goes up to {}, HIGHESTMODSEQ is {}",
            log.last, mailbox.highest_modseq
        ));
    }
    let gone: UidSet = log.gone.into_iter().collect();
    let there = tally.uids();
    if let Some(uid) = gone.intersection(&there).first() {
        wrong(format!("UID {uid} was expunged, says the log of changes, but is there"));
    }
    if gone.last().is_some_and(|last| last >= mailbox.uid_next) {
        wrong("the log of changes names a UID that was never given as expunged".to_owned());
    }
    check_rows_of_log(rows, mailbox, tally, (&gone, &there), &mut wrong)
}

/// Each message of a whole row is there with that modseq or a later one, or was expunged; and each message whose
/// modseq lies in the log is named by the row of that modseq.
fn check_rows_of_log(
    rows: &dyn Rows,
    mailbox: &Mailbox,
    tally: &Tally,
    (gone, there): (&UidSet, &UidSet),
    wrong: &mut dyn FnMut(String),
) -> Result<(), Error> {
    let above = mailbox.log.whole_above.max(mailbox.floor);
    let mut recent: Vec<(u64, u32)> = tally
        .known
        .iter()
        .filter(|(_, modseq)| *modseq > above.0)
        .map(|(uid, modseq)| (*modseq, *uid))
        .collect();
    recent.sort_unstable();
    let (mut named, mut lookups) = (0, 0);
    changes::visit(rows, mailbox.id, above, &mut |modseq, change| {
        let of_row = recent.partition_point(|(known, _)| *known < modseq.0);
        let until = recent.partition_point(|(known, _)| *known <= modseq.0);
        let own = recent.get(of_row..until).unwrap_or_default();
        let is_named = |uid: u32| change.added.contains(uid) || change.changed.contains(uid);
        named += own.iter().filter(|(_, uid)| is_named(*uid)).count();
        for set in [&change.added, &change.changed] {
            if let Some(uid) = missing(set, there, gone) {
                wrong(format!(
                    "UID {uid} is not there, and the log of changes does not say that it was expunged"
                ));
            }
            lookups += set.len();
            if lookups < LOOKUPS
                && let Some(uid) = older(set, there, tally, modseq)
            {
                wrong(format!(
                    "UID {uid} was changed at {modseq}, says the log of changes, but its modseq is lower"
                ));
            }
        }
        Ok(ControlFlow::Continue(()))
    })?;
    if named != recent.len() {
        let missing = recent.len() - named;
        wrong(format!("{missing} messages have a modseq at which the log of changes does not name them"));
    }
    Ok(())
}

/// A UID of the set that is in neither of the others. Most rows name a few: those are looked up one by one, for
/// the sets of a large mailbox have many ranges.
fn missing(set: &UidSet, there: &UidSet, gone: &UidSet) -> Option<u32> {
    if set.len() > FEW {
        return set.difference(there).difference(gone).first();
    }
    set.iter().find(|uid| !there.contains(*uid) && !gone.contains(*uid))
}

/// A UID of the set whose record has a modseq below the row's.
fn older(set: &UidSet, there: &UidSet, tally: &Tally, modseq: ModSeq) -> Option<u32> {
    set.intersection(there).iter().find(|uid| tally.modseq_of(*uid).is_some_and(|known| known < modseq.0))
}
