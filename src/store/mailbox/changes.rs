//! What changed in a mailbox, by modseq: the one read that every view, CONDSTORE and QRESYNC stand on.

use std::ops::ControlFlow;

use crate::model::{AccountId, MailboxId, ModSeq, UidSet};
use crate::store::base::codec::{Reader, Writer, decode_key, with_modseq};
use crate::store::base::error::Error;
use crate::store::base::row::Row;
use crate::store::base::rows::{News, Rows, Transaction};
use crate::store::base::schema::Table;
use crate::store::mailbox::mailbox_row::{self, Mailbox};
use crate::store::mailbox::records;

/// How many whole rows of a mailbox are kept; for what is older, the blocks are read by modseq.
pub const ROWS_KEPT: u32 = 4_096;
/// How many expunged UIDs of a mailbox are kept; who has missed more compares UIDs.
pub const EXPUNGED_KEPT: u32 = 100_000;
/// Dropping old rows waits until so many are too many, so that most operations drop none.
const ROWS_SLACK: u32 = 64;
/// The same for expunged UIDs.
const EXPUNGED_SLACK: u32 = 1_024;

/// What is known since some modseq.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Since<T> {
    /// All of it.
    Known(T),
    /// Too much has happened: compare with what is there now.
    BelowFloor,
}

/// What changed in a mailbox after a modseq. Each UID is in one set at most.
///
/// Of what lies below the whole rows (the newest [`ROWS_KEPT`]), `changed` may also name messages that
/// were added: whoever keeps a view knows which it has.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Changes {
    /// New messages.
    pub added: UidSet,
    /// Messages whose flags changed.
    pub changed: UidSet,
    /// Messages that are gone, those too that came since: a client may have seen them all the same, in a session
    /// that began later (RFC 7162 §3.2.6).
    pub expunged: UidSet,
    /// The mailbox's HIGHESTMODSEQ: ask for what is after it next.
    pub upto: ModSeq,
}

/// What one operation did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::store) struct Change {
    pub(in crate::store) added: UidSet,
    pub(in crate::store) changed: UidSet,
    pub(in crate::store) expunged: UidSet,
}

impl Row for Change {
    type Key = ();
    const TABLE: Table = Table::Changes;

    fn what((): ()) -> String {
        "a mailbox's changes".to_owned()
    }

    fn write(&self, out: Writer) -> Writer {
        out.uids(&self.added).uids(&self.changed).uids(&self.expunged)
    }

    fn read((): (), _: u8, reader: &mut Reader<'_>) -> Option<Self> {
        Some(Change { added: reader.uids()?, changed: reader.uids()?, expunged: reader.uids()? })
    }
}

impl Change {
    /// This one, and then `later`.
    fn then(&self, later: &Change) -> Change {
        let added = self.added.difference(&later.expunged).union(&later.added);
        let changed = self.changed.union(&later.changed);
        Change {
            changed: changed.difference(&later.expunged).difference(&added),
            expunged: self.expunged.union(&later.expunged),
            added,
        }
    }
}

/// Writes down what the job did to a mailbox, moves its HIGHESTMODSEQ, saves it, and tells the listeners.
pub(in crate::store) fn record(
    tx: &mut dyn Transaction,
    mailbox: &mut Mailbox,
    change: &Change,
) -> Result<(), Error> {
    let modseq = tx.modseq()?;
    mailbox.highest_modseq = modseq;
    // Otherwise the job itself has expunged so much that nobody may ask for this modseq's row.
    if mailbox.floor < modseq {
        put(tx, mailbox, modseq, change)?;
    }
    mailbox.save(tx);
    tx.publish(News { account: mailbox.account, mailbox: Some(mailbox.id), modseq });
    Ok(())
}

fn put(
    tx: &mut dyn Transaction,
    mailbox: &mut Mailbox,
    modseq: ModSeq,
    change: &Change,
) -> Result<(), Error> {
    let key = with_modseq(mailbox.id.0, modseq.0);
    let before = match tx.get(Table::Changes, &key)? {
        // The job has changed this mailbox before.
        Some(bytes) => Some(Change::from_bytes((), &bytes)?),
        None => None,
    };
    let (merged, known) = match &before {
        Some(before) => (before.then(change), before.expunged.len()),
        None => (change.clone(), 0),
    };
    tx.put(Table::Changes, &key, &merged.to_bytes());
    let gone = merged.expunged.len().saturating_sub(known);
    mailbox.log.rows += u32::from(before.is_none());
    mailbox.log.expunged = mailbox.log.expunged.saturating_add(u32::try_from(gone).unwrap_or(u32::MAX));
    if mailbox.log.rows > ROWS_KEPT + ROWS_SLACK {
        strip_oldest(tx, mailbox)?;
    }
    if mailbox.log.expunged > EXPUNGED_KEPT + EXPUNGED_SLACK {
        raise_floor(tx, mailbox)?;
    }
    Ok(())
}

/// Leaves of the oldest whole rows only what was expunged.
fn strip_oldest(tx: &mut dyn Transaction, mailbox: &mut Mailbox) -> Result<(), Error> {
    let surplus = mailbox.log.rows.saturating_sub(ROWS_KEPT) as usize;
    let mut oldest = Vec::new();
    visit(tx, mailbox.id, mailbox.log.whole_above, &mut |modseq, change| {
        oldest.push((modseq, change));
        Ok(if oldest.len() >= surplus { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
    })?;
    for (modseq, change) in oldest {
        let key = with_modseq(mailbox.id.0, modseq.0);
        if change.expunged.is_empty() {
            tx.delete(Table::Changes, &key);
        } else {
            let rest = Change { expunged: change.expunged, ..Change::default() };
            tx.put(Table::Changes, &key, &rest.to_bytes());
        }
        mailbox.log.rows -= 1;
        mailbox.log.whole_above = modseq;
    }
    Ok(())
}

/// Forgets what was expunged longest ago.
fn raise_floor(tx: &mut dyn Transaction, mailbox: &mut Mailbox) -> Result<(), Error> {
    let mut surplus = u64::from(mailbox.log.expunged.saturating_sub(EXPUNGED_KEPT));
    let mut oldest = Vec::new();
    visit(tx, mailbox.id, mailbox.floor, &mut |modseq, change| {
        let count = change.expunged.len();
        oldest.push((modseq, u32::try_from(count).unwrap_or(u32::MAX)));
        surplus = surplus.saturating_sub(count);
        Ok(if surplus == 0 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
    })?;
    for (modseq, count) in oldest {
        tx.delete(Table::Changes, &with_modseq(mailbox.id.0, modseq.0));
        mailbox.floor = modseq;
        mailbox.log.expunged = mailbox.log.expunged.saturating_sub(count);
        if modseq > mailbox.log.whole_above {
            mailbox.log.rows = mailbox.log.rows.saturating_sub(1);
            mailbox.log.whole_above = modseq;
        }
    }
    Ok(())
}

/// Calls `visit` for the rows after a modseq, oldest first.
pub(in crate::store) fn visit(
    rows: &dyn Rows,
    mailbox: MailboxId,
    after: ModSeq,
    visit: &mut dyn FnMut(ModSeq, Change) -> Result<ControlFlow<()>, Error>,
) -> Result<(), Error> {
    let low = with_modseq(mailbox.0, after.0.saturating_add(1));
    let high = with_modseq(mailbox.0, u64::MAX);
    rows.scan(Table::Changes, &low, &high, &mut |key, value| {
        let modseq = decode_key("the key of a mailbox's changes", key, |key| key.u32().and(key.u64()))?;
        visit(ModSeq(modseq), Change::from_bytes((), value)?)
    })
}

/// What changed after a modseq.
///
/// # Errors
/// [`Error::NotFound`] if the mailbox is gone.
pub fn since(
    rows: &dyn Rows,
    account: AccountId,
    mailbox: MailboxId,
    after: ModSeq,
) -> Result<Since<Changes>, Error> {
    since_but(rows, account, mailbox, after, usize::MAX, &|_| None)
}

/// As [`since`], without the changes of flags that `answered` says of a modseq: a session's own. A message
/// that was changed at another modseq too is named all the same; of what lies below the whole rows, all are. What is
/// more than so many ranges of UIDs counts as too much.
///
/// # Errors
/// As [`since`].
pub fn since_but<'a>(
    rows: &dyn Rows,
    account: AccountId,
    mailbox: MailboxId,
    after: ModSeq,
    most: usize,
    answered: &dyn Fn(ModSeq) -> Option<&'a UidSet>,
) -> Result<Since<Changes>, Error> {
    let mailbox = mailbox_row::existing(rows, account, mailbox)?;
    let upto = mailbox.highest_modseq;
    if after >= upto {
        return Ok(Since::Known(Changes { upto, ..Changes::default() }));
    }
    if after < mailbox.floor {
        return Ok(Since::BelowFloor);
    }
    let (mut added, mut changed, mut expunged) =
        (Gathered::default(), Gathered::default(), Gathered::default());
    let mut too_much = false;
    visit(rows, mailbox.id, after, &mut |modseq, change| {
        added.add(&change.added);
        match answered(modseq) {
            Some(own) => changed.add(&change.changed.difference(own)),
            None => changed.add(&change.changed),
        }
        expunged.add(&change.expunged);
        too_much = added.0.len() + changed.0.len() + expunged.0.len() > most;
        Ok(if too_much { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
    })?;
    if too_much {
        return Ok(Since::BelowFloor);
    }
    let (added, expunged) = (added.set(), expunged.set());
    // UIDs are never used again, so what was expunged after it was added or changed is gone; what is left
    // has its last change in one of these rows.
    let changed = if after >= mailbox.log.whole_above {
        changed.set().difference(&expunged)
    } else {
        records::changed_after(rows, mailbox.id, after)?
    };
    if changed.ranges().len() > most {
        return Ok(Since::BelowFloor);
    }
    Ok(Since::Known(Changes {
        changed: changed.difference(&added),
        added: added.difference(&expunged),
        expunged,
        upto,
    }))
}

/// Ranges of many rows, made a set at once: to insert them one by one is quadratic.
#[derive(Default)]
struct Gathered(Vec<std::ops::RangeInclusive<u32>>);

impl Gathered {
    fn add(&mut self, set: &UidSet) {
        self.0.extend_from_slice(set.ranges());
    }

    fn set(self) -> UidSet {
        self.0.into_iter().collect()
    }
}
