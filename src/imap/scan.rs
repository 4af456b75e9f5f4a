//! Reads a mailbox's UIDs in steps: of a large one they take longer than others should wait. What it ends with is the
//! state of one snapshot all the same: what changed while they were read is made up for, or all of them are read anew.

use std::ops::ControlFlow;
use std::time::Instant;

use crate::model::{AccountId, MailboxId, ModSeq, UidList, UidListBuilder, UidSet};
use crate::store::changes::{self, Since};
use crate::store::mailboxes::{self, Mailbox};
use crate::store::{Error, Rows, messages};

/// The clock is looked at after so many messages.
const CLOCKED: u32 = 1_024;
/// So often the UIDs of a mailbox are read anew in steps, if more changes meanwhile than is kept.
const MOST_ANEW: u32 = 3;

/// What is read of a mailbox.
#[derive(Clone, Copy, Debug)]
pub struct Wanted {
    /// The account that owns it.
    pub account: AccountId,
    /// Which.
    pub mailbox: MailboxId,
    /// From this UID on.
    pub from: u32,
    /// What changed after this modseq is named besides.
    pub since: ModSeq,
    /// The first message that was saved at this moment or after it is named besides, in seconds since 1970.
    pub saved_since: i64,
}

/// A mailbox that is being read.
pub struct Scan {
    wanted: Wanted,
    anew: u32,
    /// The mailbox when the first of the UIDs were read.
    begun: Option<Mailbox>,
    next: u32,
    uids: UidListBuilder,
    changed: UidListBuilder,
    fresh: Option<u32>,
}

/// A mailbox as one snapshot has it.
#[derive(Debug)]
pub struct Scanned {
    /// The mailbox.
    pub mailbox: Mailbox,
    /// Its UIDs.
    pub uids: UidList,
    /// Those of them that changed since the modseq that was named.
    pub changed: UidList,
    /// The first that was saved since the moment that was named, or the next UID.
    pub fresh: u32,
}

/// How far a step came.
#[derive(Debug)]
pub enum Read {
    /// To the end.
    All(Box<Scanned>),
    /// Not there yet.
    Some,
    /// There is no such mailbox any more.
    Nothing,
}

impl Scan {
    /// A scan that has read nothing.
    #[must_use]
    pub fn new(wanted: Wanted) -> Self {
        let (anew, begun, uids, changed, fresh) = Default::default();
        Scan { wanted, anew, begun, next: wanted.from, uids, changed, fresh }
    }

    /// Reads until a moment.
    ///
    /// # Errors
    /// Those of the store.
    pub fn step(&mut self, rows: &dyn Rows, until: Instant) -> Result<Read, Error> {
        let Wanted { account, mailbox: id, .. } = self.wanted;
        let Some(mailbox) = mailboxes::get(rows, account, id)? else { return Ok(Read::Nothing) };
        let begun = self.begun.get_or_insert_with(|| mailbox.clone());
        if begun.uid_validity != mailbox.uid_validity {
            return Ok(Read::Nothing);
        }
        let since = begun.highest_modseq;
        if !self.read(rows, until)? {
            return Ok(Read::Some);
        }
        let meanwhile = match changes::since(rows, account, id, since)? {
            Since::Known(found) => found,
            Since::BelowFloor => {
                *self = Scan { anew: self.anew + 1, ..Scan::new(self.wanted) };
                return Ok(Read::Some);
            }
        };
        let mut uids = std::mem::take(&mut self.uids).finish();
        // What came meanwhile has been read: its UIDs are the highest.
        uids.remove(&meanwhile.expunged);
        let mut changed = std::mem::take(&mut self.changed).finish();
        if !meanwhile.changed.is_empty() && self.wanted.since < ModSeq(u64::MAX) {
            let below: UidSet = std::iter::once(self.wanted.from..=u32::MAX).collect();
            changed = UidList::from(&changed.to_set().union(&meanwhile.changed.intersection(&below)));
        }
        changed.remove(&meanwhile.expunged);
        let fresh = self.fresh.unwrap_or(mailbox.uid_next);
        Ok(Read::All(Box::new(Scanned { mailbox, uids, changed, fresh })))
    }

    /// Reads UIDs until a moment. Whether those were all.
    fn read(&mut self, rows: &dyn Rows, until: Instant) -> Result<bool, Error> {
        let (mut unclocked, mut all) = (0, true);
        // Who always meets a mailbox that changes faster than it is read reads it in one step.
        let patient = self.anew < MOST_ANEW;
        messages::scan(rows, self.wanted.mailbox, self.next..=u32::MAX, &mut |record| {
            if unclocked == CLOCKED {
                unclocked = 0;
                if patient && Instant::now() >= until {
                    (self.next, all) = (record.uid.get(), false);
                    return Ok(ControlFlow::Break(()));
                }
            }
            unclocked += 1;
            if record.save_date >= self.wanted.saved_since && self.fresh.is_none() {
                self.fresh = Some(record.uid.get());
            }
            self.uids.push(record.uid);
            if record.modseq > self.wanted.since {
                self.changed.push(record.uid);
            }
            Ok(ControlFlow::Continue(()))
        })?;
        Ok(all)
    }
}
