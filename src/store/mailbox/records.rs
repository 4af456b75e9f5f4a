//! Reads of messages' records.

use std::ops::{ControlFlow, RangeInclusive};

use crate::model::{ContentId, MailboxId, ModSeq, Uid, UidList, UidSet};
use crate::store::base::codec::{behind_pair, pair};
use crate::store::base::error::Error;
use crate::store::base::rows::Rows;
use crate::store::base::schema::Table;
use crate::store::mailbox::blocks;
use crate::store::mailbox::record::{self, Record};

/// The record of a message.
///
/// # Errors
/// Of reading.
pub fn record(rows: &dyn Rows, mailbox: MailboxId, uid: Uid) -> Result<Option<Record>, Error> {
    let Some((_, block)) = blocks::at(rows, mailbox, uid.get())? else { return Ok(None) };
    if record::head(&block)?.last < uid.get() {
        return Ok(None);
    }
    Ok(record::decode(&block)?.into_iter().find(|record| record.uid == uid))
}

/// Visits the records of a range of UIDs in ascending order until `visit` breaks.
///
/// # Errors
/// Of reading, or of `visit`.
pub fn scan(
    rows: &dyn Rows,
    mailbox: MailboxId,
    uids: RangeInclusive<u32>,
    visit: &mut dyn FnMut(&Record) -> Result<ControlFlow<()>, Error>,
) -> Result<(), Error> {
    scan_blocks(rows, mailbox, &uids, &mut |block| {
        for record in record::decode(block)?.iter().filter(|record| uids.contains(&record.uid.get())) {
            if visit(record)?.is_break() {
                return Ok(ControlFlow::Break(()));
            }
        }
        Ok(ControlFlow::Continue(()))
    })
}

/// Visits the records of a set of UIDs in ascending order until `visit` breaks.
///
/// # Errors
/// Of reading, or of `visit`.
pub fn select(
    rows: &dyn Rows,
    mailbox: MailboxId,
    uids: &UidSet,
    visit: &mut dyn FnMut(&Record) -> Result<ControlFlow<()>, Error>,
) -> Result<(), Error> {
    let mut ranges = uids.ranges().iter().peekable();
    let mut broken = false;
    while let Some(range) = ranges.next().filter(|_| !broken) {
        let mut end = *range.end();
        // Ranges that are near each other share blocks.
        while let Some(near) = ranges.next_if(|next| next.start() - end <= blocks::GAP) {
            end = *near.end();
        }
        scan(rows, mailbox, *range.start()..=end, &mut |record| {
            if !uids.contains(record.uid.get()) {
                return Ok(ControlFlow::Continue(()));
            }
            let flow = visit(record)?;
            broken = flow.is_break();
            Ok(flow)
        })?;
    }
    Ok(())
}

type VisitBlock<'a> = dyn FnMut(&[u8]) -> Result<ControlFlow<()>, Error> + 'a;

fn scan_blocks(
    rows: &dyn Rows,
    mailbox: MailboxId,
    uids: &RangeInclusive<u32>,
    visit: &mut VisitBlock<'_>,
) -> Result<(), Error> {
    let low = match *uids.start() {
        0 | 1 => 0,
        start => blocks::at(rows, mailbox, start)?.map_or(start, |(key, _)| key),
    };
    let high = behind_pair(mailbox.0, *uids.end());
    rows.scan(Table::Messages, &pair(mailbox.0, low), &high, &mut |_, block| visit(block))
}

/// The UIDs of a mailbox.
///
/// # Errors
/// Of reading.
pub fn uids(rows: &dyn Rows, mailbox: MailboxId) -> Result<UidList, Error> {
    let mut uids = Vec::new();
    scan_blocks(rows, mailbox, &(0..=u32::MAX), &mut |block| {
        record::uids(block, &mut uids)?;
        Ok(ControlFlow::Continue(()))
    })?;
    Ok(uids.into_iter().collect())
}

/// The lowest UID of the messages at a mailbox's end that were saved at a moment (seconds since 1970) or later;
/// `next`, its UIDNEXT, if the last one was not. It is looked for from the end, so that it costs what they are.
///
/// # Errors
/// Of reading.
pub fn saved_since(rows: &dyn Rows, mailbox: MailboxId, next: u32, moment: i64) -> Result<u32, Error> {
    let (mut lowest, mut end, mut width) = (next, next, 64_u32);
    while end > 1 {
        let start = end.saturating_sub(width).max(1);
        let (mut older, mut first) = (false, None);
        scan(rows, mailbox, start..=end - 1, &mut |record| {
            if record.save_date >= moment {
                first.get_or_insert(record.uid.get());
            } else {
                (older, first) = (true, None);
            }
            Ok(ControlFlow::Continue(()))
        })?;
        lowest = first.unwrap_or(lowest);
        if older {
            break;
        }
        (end, width) = (start, width.saturating_mul(4));
    }
    Ok(lowest)
}

/// Visits the contents that messages show, those of deleted mailboxes in the bin included: with those of
/// [`super::bin::emails`] they are what a sweep must leave. One that many messages show is visited for each.
///
/// # Errors
/// Of reading.
pub fn emails(rows: &dyn Rows, visit: &mut dyn FnMut(ContentId)) -> Result<(), Error> {
    rows.scan(Table::Messages, &[], &[0xff; 9], &mut |_, block| {
        record::emails(block, visit)?;
        Ok(ControlFlow::Continue(()))
    })
}

/// The UIDs whose records changed after a modseq; blocks that did not are skipped.
pub(in crate::store) fn changed_after(
    rows: &dyn Rows,
    mailbox: MailboxId,
    after: ModSeq,
) -> Result<UidSet, Error> {
    let mut changed = Runs::default();
    scan_blocks(rows, mailbox, &(0..=u32::MAX), &mut |block| {
        if record::head(block)?.modseq > after {
            let records = record::decode(block)?;
            records
                .iter()
                .filter(|record| record.modseq > after)
                .for_each(|record| changed.add(record.uid.get()));
        }
        Ok(ControlFlow::Continue(()))
    })?;
    Ok(changed.finish())
}

/// The first unseen message from a UID on.
pub(in crate::store) fn first_unseen(
    rows: &dyn Rows,
    mailbox: MailboxId,
    from: u32,
) -> Result<Option<Uid>, Error> {
    let mut found = None;
    scan_blocks(rows, mailbox, &(from..=u32::MAX), &mut |block| {
        if record::head(block)?.unseen > 0 {
            let records = record::decode(block)?;
            found = records
                .iter()
                .find(|record| record.uid.get() >= from && record.is_unseen())
                .map(|record| record.uid);
        }
        Ok(if found.is_some() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
    })?;
    Ok(found)
}

/// A set of UIDs that come in ascending order.
#[derive(Default)]
pub(in crate::store) struct Runs {
    set: UidSet,
    run: Option<(u32, u32)>,
}

impl Runs {
    pub(in crate::store) fn add(&mut self, uid: u32) {
        match &mut self.run {
            Some((_, end)) if end.checked_add(1) == Some(uid) => *end = uid,
            _ => {
                self.close();
                self.run = Some((uid, uid));
            }
        }
    }

    fn close(&mut self) {
        if let Some((start, end)) = self.run.take() {
            self.set.insert_range(start..=end);
        }
    }

    pub(in crate::store) fn finish(mut self) -> UidSet {
        self.close();
        self.set
    }
}
