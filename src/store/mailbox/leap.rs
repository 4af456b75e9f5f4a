//! After a known loss: a mailbox goes on above all that clients may have seen of it.
//!
//! A client that saw later states than the store still knows has UIDs that would be given again, and flags that
//! no longer hold. So UIDNEXT rises by 2^16, every message gets a modseq above all that were given (all flags
//! count as changed), and the floor rises to it (UIDs that are absent count as vanished: RFC 7162 §3.2.7 lets
//! a server that has forgotten do so). UIDVALIDITY stays: nobody fetches a message twice.

use std::ops::ControlFlow;

use crate::model::{AccountId, MailboxId, ModSeq};
use crate::store::base::codec::pair;
use crate::store::base::error::Error;
use crate::store::base::rows::{News, Rows, Transaction};
use crate::store::base::schema::Table;
use crate::store::base::settings;
use crate::store::mailbox::bin::drop_range;
use crate::store::mailbox::blocks;
use crate::store::mailbox::mailbox_row::{self, Log, Mailbox};
use crate::store::mailbox::record;

/// Nobody gives so many UIDs between two checkpoints.
const UID_LEAP: u32 = 1 << 16;
/// Blocks that one job writes, and rows of `changes` that it drops.
const SLICE: usize = 256;

/// Gives the messages of a slice of a mailbox, from a UID on, a new modseq; with the last one the mailbox goes
/// on above what clients may have seen. Returns where to go on.
///
/// # Errors
/// Of reading.
pub(in crate::store) fn slice(
    tx: &mut dyn Transaction,
    account: AccountId,
    id: MailboxId,
    from: u32,
) -> Result<Option<u32>, Error> {
    let Some(mailbox) = mailbox_row::get(tx, account, id)? else { return Ok(None) };
    let modseq = tx.modseq()?;
    let (found, next) = blocks_from(tx, id, from)?;
    for (key, block) in found {
        let mut records = record::decode(&block)?;
        records.iter_mut().for_each(|record| record.modseq = modseq);
        tx.put(Table::Messages, &pair(id.0, key), &record::encode(&records));
    }
    let mut budget = SLICE;
    if next.is_none() && !drop_range(tx, Table::Changes, id.0, &mut budget)? {
        // Once more from behind the last block: there is only the rest to drop.
        return Ok(Some(u32::MAX));
    }
    if next.is_none() {
        finish(tx, mailbox, modseq)?;
    }
    Ok(next)
}

type Found = (Vec<(u32, Vec<u8>)>, Option<u32>);

fn blocks_from(rows: &dyn Rows, mailbox: MailboxId, from: u32) -> Result<Found, Error> {
    let (low, high) = (pair(mailbox.0, from), pair(mailbox.0, u32::MAX));
    let mut found = Vec::new();
    rows.scan(Table::Messages, &low, &high, &mut |key, block| {
        found.push((blocks::lowest(key)?, block.to_vec()));
        Ok(if found.len() < SLICE { ControlFlow::Continue(()) } else { ControlFlow::Break(()) })
    })?;
    let next = found.last().filter(|_| found.len() >= SLICE).map(|(key, _)| key.saturating_add(1));
    Ok((found, next))
}

fn finish(tx: &mut dyn Transaction, mut mailbox: Mailbox, modseq: ModSeq) -> Result<(), Error> {
    mailbox.uid_next = match mailbox.uid_next.checked_add(UID_LEAP) {
        Some(next) => next,
        None => {
            // No room for a leap: then the UIDs of this UIDVALIDITY are over.
            mailbox.uid_validity = settings::next_uid_validity(tx)?;
            mailbox.uid_next
        }
    };
    (mailbox.highest_modseq, mailbox.floor) = (modseq, modseq);
    mailbox.log = Log { whole_above: modseq, ..Log::default() };
    mailbox.save(tx);
    tx.publish(News { account: mailbox.account, mailbox: Some(mailbox.id), modseq });
    Ok(())
}
