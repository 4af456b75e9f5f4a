//! Puts back what lies in the bin: expunged messages, deleted mailboxes, removed accounts.
//!
//! Each function is one job, and small: what is large comes in slices, of which each leaves a state that is
//! whole. What was put back leaves the bin in the same job, so that doing it twice does nothing.

use std::collections::{HashMap, HashSet};
use std::ops::ControlFlow;

use crate::model::{AccountId, ContentId, MailboxId, MailboxName, ModSeq, SystemFlags, Uid, UidSet};
use crate::store::base::error::Error;
use crate::store::base::rows::{Rows, Transaction};
use crate::store::base::schema::Table;
use crate::store::household::{account_row, accounts};
use crate::store::mailbox::bin::{self, Entry, EntryId, Kept};
use crate::store::mailbox::blocks::Blocks;
use crate::store::mailbox::keywords::{self, KeywordTable};
use crate::store::mailbox::mailboxes::{self, Mailbox};
use crate::store::mailbox::messages;
use crate::store::mailbox::record::Record;

/// The most messages that a job should be asked to put back.
pub const SLICE: usize = 512;
/// Rows of `changes` that one job drops.
const ROWS: usize = 512;
/// "Name (restored)", "Name (restored 2)" and so on: so many are tried.
const NAMES: usize = 1_000;

/// Messages of an entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pick {
    /// The entry: of expunged messages, or of a deleted mailbox.
    pub entry: EntryId,
    /// Which of its messages.
    pub uids: UidSet,
}

/// Where messages go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// To the mailbox that they were in, whatever its name is now; where it is gone, to one of the name that it
    /// had, which is made where there is none.
    Own,
    /// To the mailbox of this name, which is made where there is none.
    Named(MailboxName),
}

/// What became of messages.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PutBack {
    /// How many are in a mailbox again.
    pub restored: u64,
    /// How many were there already: the same content, in the same mailbox.
    pub present: u64,
    /// The mailboxes that they are in, each once.
    pub into: Vec<MailboxName>,
}

/// Which of some contents their mailbox shows already, and where. It is looked up before the job, for a mailbox
/// may be large; what has come since is looked at by the job.
#[derive(Debug, Default)]
pub struct Present {
    mailbox: Option<MailboxId>,
    uids: HashMap<ContentId, Uid>,
    upto: u32,
}

impl Present {
    /// Looks the contents of messages up that are going to be put back. They should be of one mailbox.
    ///
    /// # Errors
    /// Of reading.
    pub fn look(rows: &dyn Rows, account: AccountId, picks: &[Pick], place: &Place) -> Result<Self, Error> {
        let (mut wanted, mut target) = (HashSet::new(), None);
        for pick in picks {
            let Some(entry) = bin::get(rows, account, pick.entry)? else { continue };
            if target.is_none() {
                target = find(rows, account, &entry, place)?;
            }
            records(rows, &entry, &pick.uids, &mut |record| _ = wanted.insert(record.email))?;
        }
        let Some(target) = target else { return Ok(Present::default()) };
        let mut uids = HashMap::new();
        messages::scan(rows, target.id, 0..=u32::MAX, &mut |record| {
            if wanted.contains(&record.email) {
                uids.insert(record.email, record.uid);
            }
            Ok(ControlFlow::Continue(()))
        })?;
        Ok(Present { mailbox: Some(target.id), uids, upto: target.uid_next })
    }

    /// Those of `wanted` that the mailbox shows now.
    fn of(
        &self,
        rows: &dyn Rows,
        mailbox: &Mailbox,
        wanted: &HashSet<ContentId>,
    ) -> Result<HashSet<ContentId>, Error> {
        let same = self.mailbox == Some(mailbox.id);
        let mut here = HashSet::new();
        let known = self.uids.iter().filter(|(email, _)| same && wanted.contains(email));
        for (email, uid) in known {
            if messages::record(rows, mailbox.id, *uid)?.is_some_and(|record| record.email == *email) {
                here.insert(*email);
            }
        }
        let from = if same { self.upto } else { 0 };
        messages::scan(rows, mailbox.id, from..=u32::MAX, &mut |record| {
            if wanted.contains(&record.email) {
                here.insert(record.email);
            }
            Ok(ControlFlow::Continue(()))
        })?;
        Ok(here)
    }
}

/// Visits the records of an entry's messages.
///
/// # Errors
/// Of reading.
pub fn records(
    rows: &dyn Rows,
    entry: &Entry,
    uids: &UidSet,
    visit: &mut dyn FnMut(&Record),
) -> Result<(), Error> {
    match &entry.kept {
        Kept::Messages { records, .. } => {
            records.iter().filter(|record| uids.contains(record.uid.get())).for_each(visit);
            Ok(())
        }
        Kept::Mailbox { .. } => messages::select(rows, entry.mailbox, uids, &mut |record| {
            visit(record);
            Ok(ControlFlow::Continue(()))
        }),
        Kept::Account { .. } => Ok(()),
    }
}

/// The mailbox that an entry's messages go to, if it is there.
fn find(rows: &dyn Rows, account: AccountId, entry: &Entry, place: &Place) -> Result<Option<Mailbox>, Error> {
    match place {
        Place::Own => match mailboxes::get(rows, account, entry.mailbox)? {
            Some(own) => Ok(Some(own)),
            None => mailboxes::by_name(rows, account, &entry.name),
        },
        Place::Named(name) => mailboxes::by_name(rows, account, name),
    }
}

/// As [`find`]; it is made where it is not there, and subscribed: clients show no other.
fn target(
    tx: &mut dyn Transaction,
    account: AccountId,
    entry: &Entry,
    place: &Place,
) -> Result<Mailbox, Error> {
    if let Some(found) = find(tx, account, entry, place)? {
        return Ok(found);
    }
    let name = match place {
        Place::Own => &entry.name,
        Place::Named(name) => name,
    };
    let id = mailboxes::create(tx, account, name, None)?;
    mailboxes::subscribe(tx, account, name)?;
    mailboxes::existing(tx, account, id)
}

/// Puts messages back, no more than [`SLICE`]: with new UIDs, their flags but `\Deleted`, keywords and
/// INTERNALDATE; SAVEDATE is now, as of a message that was copied (RFC 8514 §2). One whose content is in the
/// mailbox already is not put there twice, and leaves the bin as well. What is not in the bin any more is left out.
///
/// # Errors
/// [`Error::NotFound`] if there is no such account: put it back first; [`Error::Limit`].
pub fn messages(
    tx: &mut dyn Transaction,
    account: AccountId,
    picks: &[Pick],
    place: &Place,
    present: &Present,
) -> Result<PutBack, Error> {
    account_row::existing(tx, account)?;
    let mut done = PutBack::default();
    for pick in picks {
        let Some(mut entry) = bin::get(tx, account, pick.entry)? else { continue };
        let (mut taken, table) = take(tx, account, &mut entry, &pick.uids)?;
        if taken.is_empty() {
            continue;
        }
        let mut target = target(tx, account, &entry, place)?;
        let wanted: HashSet<ContentId> = taken.iter().map(|record| record.email).collect();
        let mut here = present.of(tx, &target, &wanted)?;
        let all = taken.len() as u64;
        taken.retain(|record| here.insert(record.email));
        for record in &mut taken {
            record.flags = record.flags.without(SystemFlags::DELETED);
        }
        if !taken.is_empty() {
            messages::insert(tx, &mut target, &mut taken, &table)?;
        }
        done.restored += taken.len() as u64;
        done.present += all - taken.len() as u64;
        if !done.into.contains(&target.name) {
            done.into.push(target.name);
        }
    }
    Ok(done)
}

/// Drops messages of the bin for good, however young they are; no more than [`SLICE`]. What is not in the bin any
/// more is left out.
///
/// # Errors
/// Of reading.
pub fn discard(tx: &mut dyn Transaction, account: AccountId, picks: &[Pick]) -> Result<(), Error> {
    for pick in picks {
        if let Some(mut entry) = bin::get(tx, account, pick.entry)? {
            take(tx, account, &mut entry, &pick.uids)?;
        }
    }
    Ok(())
}

/// Drops a slice of a removed account for good, with all that was deleted of it ever. Says whether there is more:
/// call again then.
///
/// # Errors
/// [`Error::Refused`] if it was put back meanwhile; of reading.
pub fn discard_account(tx: &mut dyn Transaction, account: AccountId) -> Result<bool, Error> {
    if accounts::get(tx, account)?.is_some() {
        return Err(Error::Refused("the account was put back"));
    }
    bin::expire(tx, account, i64::MAX, 0)
}

/// Takes records out of an entry, with what their keywords mean. An entry that is empty goes; a deleted mailbox
/// stays, for it can be put back all the same.
fn take(
    tx: &mut dyn Transaction,
    account: AccountId,
    entry: &mut Entry,
    uids: &UidSet,
) -> Result<(Vec<Record>, KeywordTable), Error> {
    let (taken, table) = match &mut entry.kept {
        Kept::Messages { records, keywords } => {
            let chosen = records.extract_if(.., |record| uids.contains(record.uid.get()));
            (chosen.collect::<Vec<_>>(), keywords.clone())
        }
        Kept::Mailbox { messages, size, .. } => {
            let mut blocks = Blocks::load(tx, entry.mailbox, uids)?;
            let taken = blocks.take(uids, |_| true)?;
            blocks.save(tx)?;
            *messages = messages.saturating_sub(u32::try_from(taken.len()).unwrap_or(u32::MAX));
            *size = taken.iter().fold(*size, |size, record| size.saturating_sub(record.size));
            (taken, keywords::load(tx, entry.mailbox)?)
        }
        Kept::Account { .. } => (Vec::new(), KeywordTable::default()),
    };
    let emptied = matches!(&entry.kept, Kept::Messages { records, .. } if records.is_empty());
    if emptied {
        bin::forget(tx, account, entry.id);
    } else if !taken.is_empty() {
        bin::save(tx, account, entry);
    }
    Ok((taken, table))
}

/// Puts a deleted mailbox back, under its name or another; where its own is taken, as "Name (restored)". Its
/// messages, their UIDs, flags and keywords are as they were; UIDVALIDITY is new; it is subscribed. `None`: call again, there was
/// more to drop of its past than one job may.
///
/// # Errors
/// [`Error::NotFound`] if the account or the entry is not there; [`Error::Exists`] if `name` is taken;
/// [`Error::Limit`].
pub fn mailbox(
    tx: &mut dyn Transaction,
    account: AccountId,
    id: EntryId,
    name: Option<&MailboxName>,
) -> Result<Option<Mailbox>, Error> {
    account_row::existing(tx, account)?;
    let entry = bin::get(tx, account, id)?.ok_or(Error::NotFound("deleted mailbox"))?;
    let Kept::Mailbox { special_use, uid_next, .. } = entry.kept else {
        return Err(Error::NotFound("deleted mailbox"));
    };
    let name = match name {
        Some(name) if mailboxes::by_name(tx, account, name)?.is_some() => {
            return Err(Error::Exists("a mailbox of this name"));
        }
        Some(name) => name.clone(),
        None => free_name(tx, account, &entry.name)?,
    };
    if !drop_past(tx, entry.mailbox)? {
        return Ok(None);
    }
    bin::forget(tx, account, id);
    let back = mailboxes::readmit(tx, account, entry.mailbox, &name, (special_use, uid_next))?;
    // One that comes with its account is subscribed if it was; of another that is not known any more.
    if bin::removed(tx, account)?.is_none_or(|removed| removed.id.modseq != id.modseq) {
        mailboxes::subscribe(tx, account, &back.name)?;
    }
    Ok(Some(back))
}

/// Drops a slice of what is known of a mailbox's changes; whether all is gone.
fn drop_past(tx: &mut dyn Transaction, mailbox: MailboxId) -> Result<bool, Error> {
    let mut budget = ROWS;
    bin::drop_range(tx, Table::Changes, mailbox.0, &mut budget)
}

fn free_name(rows: &dyn Rows, account: AccountId, name: &MailboxName) -> Result<MailboxName, Error> {
    let named = |n: usize| match n {
        0 => Ok(name.clone()),
        1 => MailboxName::new(&format!("{name} (restored)")),
        n => MailboxName::new(&format!("{name} (restored {n})")),
    };
    for n in 0..NAMES {
        let name = named(n).map_err(|_| Error::Refused("its name is taken: give another"))?;
        if mailboxes::by_name(rows, account, &name)?.is_none() {
            return Ok(name);
        }
    }
    Err(Error::Refused("its name is taken: give another"))
}

/// A removed account that is being put back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Returning {
    /// Its name now.
    pub name: String,
    /// Its mailboxes that are still to be put back, those above before those below.
    pub mailboxes: Vec<EntryId>,
}

/// Begins to put a removed account back, with INBOX and its subscriptions; goes on with one that was begun. It
/// has no password and no devices: nobody can log in before it is given one. Its mailboxes follow, each by
/// [`mailbox`]; then [`account_is_back`]. `None`: call again.
///
/// # Errors
/// [`Error::NotFound`] if nothing is left of it; [`Error::Exists`] if the name is taken; [`Error::Refused`] if
/// its name is not known and none is given; [`Error::Limit`].
pub fn account(
    tx: &mut dyn Transaction,
    account: AccountId,
    name: Option<&str>,
) -> Result<Option<Returning>, Error> {
    let removed = bin::removed(tx, account)?;
    let (known, created) = match removed.as_ref().map(|entry| &entry.kept) {
        Some(Kept::Account { name, created }) => (Some(name.clone()), *created),
        _ => (None, tx.now()),
    };
    if let Some(alive) = accounts::get(tx, account)? {
        let entry = removed.ok_or(Error::NotFound("removed account"))?;
        let mailboxes = of_removal(tx, account, entry.id.modseq)?;
        return Ok(Some(Returning { name: alive.name, mailboxes: ids(mailboxes) }));
    }
    // The first release wrote nothing of the account itself: its mailboxes are the last that went.
    let modseq = match removed {
        Some(entry) => entry.id.modseq,
        None => bin::newest(tx, account, None)?.ok_or(Error::NotFound("removed account"))?.id.modseq,
    };
    let name = name.or(known.as_deref()).ok_or(Error::Refused("its name is not known any more: give one"))?;
    let (inbox, others): (Vec<Entry>, _) =
        of_removal(tx, account, modseq)?.into_iter().partition(|entry| entry.name.is_inbox());
    if let Some(entry) = inbox.first()
        && !drop_past(tx, entry.mailbox)?
    {
        return Ok(None);
    }
    let name = accounts::revive(tx, account, name, created)?;
    match inbox.first() {
        Some(entry) => drop(mailbox(tx, account, entry.id, None)?),
        None => drop(mailboxes::create(tx, account, &MailboxName::inbox(), None)?),
    }
    Ok(Some(Returning { name, mailboxes: ids(others) }))
}

/// The mailboxes that were deleted with their account, at the modseq of its entry; those above before those below.
///
/// # Errors
/// Of reading.
pub fn of_removal(rows: &dyn Rows, account: AccountId, modseq: ModSeq) -> Result<Vec<Entry>, Error> {
    let mut found = Vec::new();
    let before = EntryId { modseq: modseq.next(), number: 0 };
    let mut at = Some(before);
    while let Some(entry) = bin::newest(rows, account, at)?.filter(|entry| entry.id.modseq == modseq) {
        at = Some(entry.id);
        if matches!(entry.kept, Kept::Mailbox { .. }) {
            found.push(entry);
        }
    }
    found.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(found)
}

fn ids(entries: Vec<Entry>) -> Vec<EntryId> {
    entries.into_iter().map(|entry| entry.id).collect()
}

/// All of an account is back: it is no removed one any more.
///
/// # Errors
/// Of reading.
pub fn account_is_back(tx: &mut dyn Transaction, account: AccountId) -> Result<(), Error> {
    account_row::existing(tx, account)?;
    if let Some(entry) = bin::removed(tx, account)? {
        bin::forget(tx, account, entry.id);
    }
    Ok(())
}
