//! Counters that are below what is used are raised: no id, UID or modseq is ever given twice.

use std::ops::ControlFlow;

use super::household::{mailboxes_with_records, name_rows};
use super::report::{Findings, Kind};
use super::tolerant::Tolerant;
use crate::store::base::error::Error;
use crate::store::base::rows::{Rows, Transaction};
use crate::store::base::schema::{Table, VolumeTable};
use crate::store::base::settings::{self, Counter, EMAIL_ID, VOLUME};
use crate::store::content::emails::EmailRow;
use crate::store::engine::store::Store;
use crate::store::engine::volumes;
use crate::store::household::accounts;
use crate::store::mailbox::mailbox_row;
use crate::store::mailbox::{bin, mailboxes, messages, record};

/// After a loss the counters begin so far above what is known, that what was given and is not known is not given
/// again.
const ID_LEAP: u64 = 1 << 10;

/// Raises a counter that is below what is used.
pub(in crate::store) fn raise(tx: &mut dyn Transaction, name: &str, used: u64) -> Result<bool, Error> {
    let has = settings::number(tx, name).unwrap_or(0);
    if has < used {
        settings::put_number(tx, name, used)?;
    }
    Ok(has < used)
}

pub(in crate::store) fn last_mailbox(rows: &dyn Rows) -> Result<u32, Error> {
    let listed = mailbox_row::keys(rows)?.into_iter().map(|(_, id)| id.0);
    let with_records = mailboxes_with_records(rows)?.into_iter().map(|id| id.0);
    let named = name_rows(rows)?.into_iter().map(|(.., id)| id.0);
    Ok(listed.chain(with_records).chain(named).max().unwrap_or(0))
}

/// What is used, of each counter.
fn used(rows: &dyn Rows) -> Result<Vec<(&'static str, u64)>, Error> {
    let mut account = accounts::list(rows)?.into_iter().map(|account| account.id.0).max().unwrap_or(0);
    account = account.max(bin::accounts(rows)?.into_iter().map(|id| id.0).max().unwrap_or(0));
    let mut validity = 0;
    for (account, id) in mailbox_row::keys(rows)? {
        validity =
            validity.max(mailboxes::get(rows, account, id)?.map_or(0, |mailbox| mailbox.uid_validity.get()));
    }
    Ok(vec![
        (Counter::Account.name(), u64::from(account)),
        (Counter::Mailbox.name(), u64::from(last_mailbox(rows)?)),
        (Counter::Device.name(), u64::from(last_of(rows, Table::Credentials, 4)?)),
        (Counter::Source.name(), u64::from(last_of(rows, Table::Sources, 0)?)),
        (settings::UID_VALIDITY, u64::from(validity)),
    ])
}

/// The highest number at a place in a table's keys.
fn last_of(rows: &dyn Rows, table: Table, at: usize) -> Result<u32, Error> {
    let mut last = 0;
    rows.scan(table, &[], &[0xff; 9], &mut |key, _| {
        last = last.max(key.get(at..at + 4).and_then(|id| id.try_into().ok()).map_or(0, u32::from_be_bytes));
        Ok(ControlFlow::Continue(()))
    })?;
    Ok(last)
}

pub(in crate::store) fn mend(store: &Store, lossy: bool, done: &mut Findings) -> Result<(), Error> {
    let (email, volume) = (last_email(store)?, last_volume(store)?);
    let leap = if lossy { ID_LEAP } else { 0 };
    let raised = store.write(move |tx| {
        let mut raised = Vec::new();
        for (name, used) in used(tx)? {
            if raise(tx, name, used + leap)? {
                raised.push(name);
            }
        }
        for (name, used) in [(EMAIL_ID, email + 1 + leap), (VOLUME, u64::from(volume) + 1)] {
            if raise(tx, name, used)? {
                raised.push(name);
            }
        }
        Ok(raised)
    })?;
    raised.into_iter().for_each(|name| done.add(Kind::Counter, format!("the counter {name} was raised")));
    let highest = last_modseq_used(store)?;
    let least = if lossy { highest.saturating_add(settings::MODSEQ_LEAP) } else { highest };
    let raised = store.command(move |engine| {
        let raised = engine.last_modseq < least;
        engine.last_modseq = engine.last_modseq.max(least);
        Ok(raised)
    })?;
    // A job that takes a modseq writes it down.
    store.write(|tx| tx.modseq().map(drop))?;
    if raised && !lossy {
        done.add(Kind::Counter, "the counter modseq was raised");
    }
    Ok(())
}

fn last_modseq_used(store: &Store) -> Result<u64, Error> {
    let snapshot = store.snapshot()?;
    let rows = Tolerant(&snapshot);
    let mut highest = 0;
    rows.scan(Table::Messages, &[], &[0xff; 9], &mut |_, value| {
        highest = highest.max(record::head(value).map_or(0, |head| head.modseq.0));
        Ok(ControlFlow::Continue(()))
    })?;
    for (account, id) in mailbox_row::keys(&rows)? {
        highest =
            highest.max(mailboxes::get(&rows, account, id)?.map_or(0, |mailbox| mailbox.highest_modseq.0));
    }
    for table in [Table::Changes, Table::Events, Table::Bin] {
        rows.scan(table, &[], &[0xff; 17], &mut |key, _| {
            let modseq = key.get(4..12).and_then(|part| part.try_into().ok()).map_or(0, u64::from_be_bytes);
            highest = highest.max(modseq);
            Ok(ControlFlow::Continue(()))
        })?;
    }
    Ok(highest)
}

/// The highest id of a content, in the index and in all volumes.
fn last_email(store: &Store) -> Result<u64, Error> {
    let snapshot = store.snapshot()?;
    let id = |key: &[u8]| key.get(..8).and_then(|id| id.try_into().ok()).map_or(0, u64::from_be_bytes);
    let mut last = 0;
    Tolerant(&snapshot).scan(Table::Emails, &[], &[0xff; 9], &mut |key, value| {
        last = last.max(id(key)).max(EmailRow::decode(value).map_or(0, |row| row.content.0));
        Ok(ControlFlow::Continue(()))
    })?;
    messages::emails(&Tolerant(&snapshot), &mut |email| last = last.max(email.0))?;
    for (number, _) in volumes::list(&Tolerant(&snapshot))? {
        for table in VolumeTable::EVERY {
            // A volume that cannot be read has nothing to say.
            let found = store.inner.shared.budget.volume(number).and_then(|file| {
                let view = file.view()?;
                let mut rows = view.range(table as u8, &[], &[0xff; 13])?;
                rows.step_over(true)
            });
            last = last.max(found.ok().flatten().map_or(0, |(key, _)| id(&key)));
        }
    }
    Ok(last)
}

fn last_volume(store: &Store) -> Result<u32, Error> {
    let listed = volumes::list(&Tolerant(&store.snapshot()?))?.into_iter().map(|(number, _)| number);
    let shared = &store.inner.shared;
    let names = crate::store::base::env::Disk::list(&shared.disk, &shared.paths.mail()).unwrap_or_default();
    let files = names.iter().filter_map(|name| name.split('.').next()?.parse().ok());
    Ok(listed.chain(files).max().unwrap_or(0))
}
