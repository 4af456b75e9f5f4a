//! Mail taken out of an account.

use std::io;
use std::ops::ControlFlow;

use serde::{Deserialize, Serialize};

use super::{Context, Failure, account};
use crate::model::{AccountId, CivilDate, DateTime, MailboxId, MailboxName};
use crate::store::going_back::Before;
use crate::store::messages::{self, Record};
use crate::store::{Error, Store, mailboxes};

pub use crate::export::{Meta, Outlet};

/// Records that are read at a time, in one snapshot.
const RECORDS: usize = 64;
/// Bytes that are read at a time, each in a snapshot of its own: whoever writes them may be slow.
const CHUNK: u64 = 128 * 1024;
/// Messages that could not be read are named up to this number.
const MAX_NAMED: usize = 1_000;

/// What is wanted.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Choice {
    /// Whose mail.
    pub account: Option<String>,
    /// Only this mailbox and those below it.
    pub mailbox: Option<String>,
    /// Only what arrived on this day or later, in days since 1 January 1970.
    pub since: Option<i64>,
    /// Only what arrived before this day.
    pub before: Option<i64>,
}

/// What was taken out.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Summary {
    /// Mailboxes.
    pub mailboxes: u64,
    /// Messages.
    pub messages: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Messages that are damaged, the first thousand.
    pub damaged: Vec<String>,
    /// How many those are.
    pub damaged_count: u64,
}

/// What will be taken out.
pub struct Plan {
    store: Store,
    mailboxes: Vec<Wanted>,
    choice: Choice,
}

/// A mailbox, from a UID on.
struct Wanted {
    id: MailboxId,
    name: MailboxName,
    from: u32,
}

/// Records, and what is told of each.
type Batch = Vec<(Record, Meta)>;

impl Summary {
    fn note_damaged(&mut self, mailbox: &MailboxName, uid: u32, why: Option<Error>) {
        self.damaged_count += 1;
        if self.damaged.len() < MAX_NAMED {
            self.damaged.push(match why {
                None | Some(Error::DamagedEmail(_)) => format!("{mailbox}, UID {uid}"),
                Some(why) => format!("{mailbox}, UID {uid}: {why}"),
            });
        }
    }
}

/// Why it ended early.
#[derive(Debug, thiserror::Error)]
pub enum Stop {
    /// The store.
    #[error(transparent)]
    Store(#[from] Error),
    /// Whatever it was written to.
    #[error(transparent)]
    Outlet(#[from] io::Error),
}

/// Finds what is wanted.
///
/// # Errors
/// If there is no such account or mailbox.
pub fn plan(context: &Context, choice: Choice) -> Result<Plan, Failure> {
    let account = account::find_or_only(context, choice.account.as_deref())?;
    let name = choice.mailbox.as_deref().map(MailboxName::new).transpose();
    let name = name.map_err(|error| Failure::Invalid(error.to_string()))?;
    let all = mailboxes::list(&context.store.snapshot()?, account.id)?;
    let wanted = |known: &MailboxName| name.as_ref().is_none_or(|name| known == name || known.is_below(name));
    let mailboxes: Vec<_> = all
        .into_iter()
        .filter(|mailbox| wanted(&mailbox.name))
        .map(|mailbox| Wanted { id: mailbox.id, name: mailbox.name, from: 1 })
        .collect();
    match (&choice.mailbox, mailboxes.is_empty()) {
        (Some(name), true) => Err(Failure::Unknown { what: "mailbox", name: name.clone() }),
        _ => Ok(Plan { store: context.store.clone(), mailboxes, choice }),
    }
}

/// Finds what came into an account since the store left an older format. Mailboxes into which nothing came are left out,
/// if they were there before.
///
/// # Errors
/// Of reading.
pub(super) fn plan_since(store: &Store, account: AccountId, before: &Before) -> Result<Plan, Error> {
    let all = mailboxes::list(&store.snapshot()?, account)?;
    let wanted = all.into_iter().filter_map(|mailbox| {
        let from = before.first_since(mailbox.id);
        (from.is_none_or(|from| from < mailbox.uid_next)).then(|| Wanted {
            id: mailbox.id,
            name: mailbox.name,
            from: from.unwrap_or(1),
        })
    });
    let mailboxes = wanted.collect();
    Ok(Plan { store: store.clone(), mailboxes, choice: Choice::default() })
}

impl Plan {
    /// How many messages it is, and their bytes.
    ///
    /// # Errors
    /// Of reading.
    pub(super) fn weigh(&self) -> Result<(u64, u64), Error> {
        let (mut messages, mut bytes) = (0, 0_u64);
        for wanted in &self.mailboxes {
            let rows = self.store.snapshot()?;
            messages::scan(&rows, wanted.id, wanted.from..=u32::MAX, &mut |record| {
                messages += 1;
                bytes = bytes.saturating_add(record.size);
                Ok(ControlFlow::Continue(()))
            })?;
        }
        Ok((messages, bytes))
    }

    /// Takes it out. What comes or goes meanwhile may be in it or not.
    ///
    /// # Errors
    /// See [`Stop`].
    pub fn run(&self, outlet: &mut dyn Outlet) -> Result<Summary, Stop> {
        let mut summary = Summary::default();
        for Wanted { id, name, from } in &self.mailboxes {
            outlet.mailbox(name.as_str())?;
            summary.mailboxes += 1;
            let mut next = *from;
            loop {
                let (batch, last) = self.batch(*id, next)?;
                for (record, meta) in &batch {
                    self.message((*id, name), record, meta, outlet, &mut summary)?;
                }
                match last.and_then(|last| last.checked_add(1)) {
                    Some(behind) => next = behind,
                    None => break,
                }
            }
        }
        Ok(summary)
    }

    /// The next records, those that are wanted of them, and the UID of the last one that was looked at.
    fn batch(&self, mailbox: MailboxId, from: u32) -> Result<(Batch, Option<u32>), Error> {
        let snapshot = self.store.snapshot()?;
        let table = messages::keywords(&snapshot, mailbox)?;
        let (mut batch, mut last, mut count) = (Vec::new(), None, 0);
        messages::scan(&snapshot, mailbox, from..=u32::MAX, &mut |record| {
            (last, count) = (Some(record.uid.get()), count + 1);
            if self.is_wanted(record.internal_date) {
                let system = record.flags.names().map(str::to_owned);
                let keywords = table.names(record.keywords).map(|keyword| keyword.as_str().to_owned());
                let flags = system.chain(keywords).collect();
                let (uid, date) = (record.uid.get(), record.internal_date.unix);
                batch.push((*record, Meta { uid, date, flags, size: record.size }));
            }
            Ok(if count < RECORDS { ControlFlow::Continue(()) } else { ControlFlow::Break(()) })
        })?;
        Ok((batch, last))
    }

    fn is_listed(&self, mailbox: MailboxId, uid: u32) -> Result<bool, Error> {
        let mut found = false;
        messages::scan(&self.store.snapshot()?, mailbox, uid..=uid, &mut |_| {
            found = true;
            Ok(ControlFlow::Break(()))
        })?;
        Ok(found)
    }

    /// As SINCE and BEFORE compare: the day in the zone of the date itself (RFC 9051 §6.4.4).
    fn is_wanted(&self, date: DateTime) -> bool {
        let day = CivilDate::days_since_epoch(date.local_date());
        self.choice.since.is_none_or(|since| day >= since)
            && self.choice.before.is_none_or(|before| day < before)
    }

    fn message(
        &self,
        mailbox: (MailboxId, &MailboxName),
        record: &Record,
        meta: &Meta,
        outlet: &mut dyn Outlet,
        summary: &mut Summary,
    ) -> Result<(), Stop> {
        let _pin = self.store.pin(record.email);
        let (mut at, mut chunk) = (0, Vec::new());
        outlet.message(meta)?;
        while at < record.size {
            chunk.clear();
            match self.store.snapshot()?.read(record.email, at..at + CHUNK, &mut chunk) {
                Ok(()) if !chunk.is_empty() => {}
                Err(Error::Closed) => return Err(Error::Closed.into()),
                // Expunged and swept since the batch was read.
                Err(Error::NotFound(_)) if !self.is_listed(mailbox.0, meta.uid)? => {
                    return Ok(outlet.broken()?);
                }
                // One that cannot be read must not keep back those behind it.
                unread => {
                    summary.note_damaged(mailbox.1, meta.uid, unread.err());
                    return Ok(outlet.broken()?);
                }
            }
            outlet.data(&chunk)?;
            at += chunk.len() as u64;
        }
        outlet.end()?;
        summary.messages += 1;
        summary.bytes += record.size;
        Ok(())
    }
}
