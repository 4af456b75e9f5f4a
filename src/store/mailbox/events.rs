//! What happened to an account's mailboxes and subscriptions, for sessions that listen (RFC 5465).

use std::ops::ControlFlow;

use crate::model::{AccountId, MailboxId, MailboxName, ModSeq};
use crate::store::base::codec::{Reader, Writer, decode_key, with_number};
use crate::store::base::error::Error;
use crate::store::base::row::Row;
use crate::store::base::rows::{Rows, Transaction};
use crate::store::base::schema::Table;
use crate::store::mailbox::changes::Since;

/// How many events of an account are kept; who has missed more compares LIST anew.
pub const KEPT: u32 = 1_000;
/// Dropping old ones waits until so many are too many.
const SLACK: u32 = 100;

/// The id in events about a name that no mailbox has.
pub const NO_MAILBOX: MailboxId = MailboxId(0);

/// Something that happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// When.
    pub modseq: ModSeq,
    /// To which mailbox; [`NO_MAILBOX`] for a subscription to a name that no mailbox has.
    pub mailbox: MailboxId,
    /// What.
    pub kind: EventKind,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EventKind {
    /// A mailbox was made.
    Created,
    /// A mailbox was deleted.
    Deleted {
        /// The name that it had.
        name: MailboxName,
    },
    /// A mailbox got another name.
    Renamed {
        /// The name that it had.
        from: MailboxName,
        /// The name that it has now.
        to: MailboxName,
    },
    /// A name was subscribed to.
    Subscribed {
        /// The name.
        name: MailboxName,
    },
    /// A subscription ended.
    Unsubscribed {
        /// The name.
        name: MailboxName,
    },
    /// What LIST says of a mailbox changed otherwise: its special use.
    Changed,
}

impl Row for Event {
    type Key = ModSeq;
    const TABLE: Table = Table::Events;

    fn what(_: ModSeq) -> String {
        "an event".to_owned()
    }

    fn write(&self, out: Writer) -> Writer {
        let out = out.u32(self.mailbox.0);
        let named = |out: Writer, name: &MailboxName| out.bytes(name.as_str().as_bytes());
        match &self.kind {
            EventKind::Created => out.u8(1),
            EventKind::Deleted { name } => named(out.u8(2), name),
            EventKind::Renamed { from, to } => named(named(out.u8(3), from), to),
            EventKind::Subscribed { name } => named(out.u8(4), name),
            EventKind::Unsubscribed { name } => named(out.u8(5), name),
            EventKind::Changed => out.u8(6),
        }
    }

    fn read(modseq: ModSeq, _: u8, reader: &mut Reader<'_>) -> Option<Self> {
        let mailbox = MailboxId(reader.u32()?);
        let kind = match reader.u8()? {
            1 => EventKind::Created,
            2 => EventKind::Deleted { name: reader.name()? },
            3 => EventKind::Renamed { from: reader.name()?, to: reader.name()? },
            4 => EventKind::Subscribed { name: reader.name()? },
            5 => EventKind::Unsubscribed { name: reader.name()? },
            6 => EventKind::Changed,
            _ => return None,
        };
        Some(Event { modseq, mailbox, kind })
    }
}

/// What is kept, in the row of modseq 0, which no event has.
#[derive(Clone, Copy, Default)]
pub(in crate::store) struct Kept {
    pub(in crate::store) floor: ModSeq,
    pub(in crate::store) count: u32,
    /// The newest event's modseq, and the number that the next one of that modseq gets.
    pub(in crate::store) last: ModSeq,
    next: u32,
}

impl Row for Kept {
    type Key = ();
    const TABLE: Table = Table::Events;

    fn what((): ()) -> String {
        "the events' floor".to_owned()
    }

    fn write(&self, out: Writer) -> Writer {
        out.u64(self.floor.0).u32(self.count).u64(self.last.0).u32(self.next)
    }

    fn read((): (), _: u8, reader: &mut Reader<'_>) -> Option<Self> {
        Some(Kept {
            floor: ModSeq(reader.u64()?),
            count: reader.u32()?,
            last: ModSeq(reader.u64()?),
            next: reader.u32()?,
        })
    }
}

pub(in crate::store) fn kept(rows: &dyn Rows, account: AccountId) -> Result<Kept, Error> {
    let found = rows.get(Table::Events, &with_number(account.0, 0, 0))?;
    found.map_or(Ok(Kept::default()), |bytes| Kept::from_bytes((), &bytes))
}

fn modseq_of(key: &[u8]) -> Result<ModSeq, Error> {
    decode_key("an event's key", key, |key| {
        key.u32()?;
        let modseq = key.u64()?;
        key.u32()?;
        Some(ModSeq(modseq))
    })
}

/// Writes down what happened.
pub(in crate::store) fn record(
    tx: &mut dyn Transaction,
    account: AccountId,
    mailbox: MailboxId,
    kind: EventKind,
) -> Result<(), Error> {
    let modseq = tx.modseq()?;
    let event = Event { modseq, mailbox, kind };
    let mut kept = kept(tx, account)?;
    let number = if kept.last == modseq { kept.next } else { 0 };
    tx.put(Table::Events, &with_number(account.0, modseq.0, number), &event.to_bytes());
    (kept.last, kept.next) = (modseq, number.saturating_add(1));
    kept.count = kept.count.saturating_add(1);
    if kept.count > KEPT + SLACK {
        drop_oldest(tx, account, &mut kept)?;
    }
    tx.put(Table::Events, &with_number(account.0, 0, 0), &kept.to_bytes());
    Ok(())
}

/// Forgets everything up to now: whoever listens compares LIST anew.
pub(in crate::store) fn reset(tx: &mut dyn Transaction, account: AccountId) -> Result<(), Error> {
    let mut keys: Vec<Vec<u8>> = Vec::new();
    let (low, high) = (with_number(account.0, 0, 0), with_number(account.0, u64::MAX, u32::MAX));
    tx.scan(Table::Events, &low, &high, &mut |key, _| {
        keys.push(key.to_vec());
        Ok(ControlFlow::Continue(()))
    })?;
    keys.iter().for_each(|key| tx.delete(Table::Events, key));
    let floor = tx.modseq()?;
    let kept = Kept { floor, count: 0, last: floor, next: 0 };
    tx.put(Table::Events, &with_number(account.0, 0, 0), &kept.to_bytes());
    Ok(())
}

/// Drops the oldest; those of one modseq only together, for the floor says whole modseqs.
fn drop_oldest(tx: &mut dyn Transaction, account: AccountId, kept: &mut Kept) -> Result<(), Error> {
    let (low, high) = (with_number(account.0, 1, 0), with_number(account.0, u64::MAX, u32::MAX));
    let mut gone: Vec<Vec<u8>> = Vec::new();
    let surplus = kept.count.saturating_sub(KEPT) as usize;
    let mut floor = kept.floor;
    tx.scan(Table::Events, &low, &high, &mut |key, _| {
        let modseq = modseq_of(key)?;
        if gone.len() >= surplus && modseq != floor {
            return Ok(ControlFlow::Break(()));
        }
        floor = modseq;
        gone.push(key.to_vec());
        Ok(ControlFlow::Continue(()))
    })?;
    for key in &gone {
        tx.delete(Table::Events, key);
    }
    kept.floor = floor;
    kept.count = kept.count.saturating_sub(gone.len() as u32);
    Ok(())
}

/// What happened after a modseq, oldest first.
///
/// # Errors
/// Of reading.
pub fn since(rows: &dyn Rows, account: AccountId, after: ModSeq) -> Result<Since<Vec<Event>>, Error> {
    if after < kept(rows, account)?.floor {
        return Ok(Since::BelowFloor);
    }
    let mut events = Vec::new();
    visit(rows, account, after, &mut |event| {
        events.push(event);
        Ok(ControlFlow::Continue(()))
    })?;
    Ok(Since::Known(events))
}

/// Visits the events after a modseq, oldest first, until `visit` breaks.
pub(in crate::store) fn visit(
    rows: &dyn Rows,
    account: AccountId,
    after: ModSeq,
    visit: &mut dyn FnMut(Event) -> Result<ControlFlow<()>, Error>,
) -> Result<(), Error> {
    let low = with_number(account.0, after.0.saturating_add(1), 0);
    let high = with_number(account.0, u64::MAX, u32::MAX);
    rows.scan(Table::Events, &low, &high, &mut |key, value| {
        let modseq = modseq_of(key)?;
        visit(Event::from_bytes(modseq, value)?)
    })
}
