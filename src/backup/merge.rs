//! Mail out of a backup, added to a store that is in use: nothing is replaced, and a message whose content is in
//! its mailbox already does not come again.

use std::collections::VecDeque;
use std::ops::ControlFlow;

use serde::{Deserialize, Serialize};

use super::Error;
use super::manifest::Manifest;
use super::restore::{UNDERWAY, prepare};
use super::run::Progress;
use super::source::Source;
use crate::model::{CivilDate, ContentId, FlagSet, MailboxId, MailboxName};
use crate::store::check::anew;
use crate::store::filing::{self, Arrival};
use crate::store::keywords::KeywordTable;
use crate::store::mailboxes::Mailbox;
use crate::store::messages;
use crate::store::record::Record;
use crate::store::{self, Options, Pending, Snapshot, Store, accounts, emails, mailboxes};

/// Records that are read at a time.
const RECORDS: usize = 64;
/// Messages that are missing are named up to this number.
const MAX_NAMED: usize = 1_000;

/// What is wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wish {
    /// Whose mail: an account in the backup and in the store.
    pub account: String,
    /// Only this mailbox and those below it.
    pub mailbox: Option<MailboxName>,
    /// Only what arrived on this day or later, in days since 1 January 1970.
    pub since: Option<i64>,
}

/// What came back.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Merged {
    /// As of when the backup is, in seconds since 1970.
    pub time: i64,
    /// Messages added.
    pub added: u64,
    /// Messages that were there.
    pub known: u64,
    /// Mailboxes made.
    pub mailboxes: u64,
    /// Messages whose content is not in the backup, the first thousand.
    pub missing: Vec<String>,
    /// How many those are.
    pub missing_count: u64,
}

/// Adds what is wanted. `view` says where the backup's catalogue is unfolded meanwhile: a folder that is removed
/// before and afterwards.
///
/// # Errors
/// `NotFound` if one of the two does not know the account; of the backup and of the store.
pub fn merge(
    store: &Store,
    source: &mut Source,
    manifest: &Manifest,
    view: &Options,
    wish: &Wish,
    progress: &Progress,
) -> Result<Merged, Error> {
    remove(view)?;
    let merged = unfold(source, manifest, view).and_then(|view| {
        let merged = Merge::new(store, source, &view, wish, manifest.head.time)
            .and_then(|merge| merge.run(wish, progress));
        view.close()?;
        merged
    });
    remove(view)?;
    merged
}

fn remove(view: &Options) -> Result<(), Error> {
    match std::fs::remove_dir_all(&view.data) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(store::Error::io(format!("removing {}", view.data.display()), error).into())
        }
        _ => Ok(()),
    }
}

fn unfold(source: &Source, manifest: &Manifest, view: &Options) -> Result<Store, Error> {
    let view = Store::open(view.clone())?;
    let mut catalogue = manifest.catalogue(&source.secrets)?;
    anew::load(&view, &mut catalogue, b"view")?;
    Ok(view)
}

struct Merge<'a> {
    store: &'a Store,
    source: &'a mut Source,
    view: Snapshot,
    from: accounts::Account,
    to: accounts::Account,
    report: Merged,
    underway: VecDeque<Pending<()>>,
}

impl<'a> Merge<'a> {
    fn new(
        store: &'a Store,
        source: &'a mut Source,
        view: &Store,
        wish: &Wish,
        time: i64,
    ) -> Result<Self, Error> {
        let view = view.snapshot()?;
        let find = |rows: &Snapshot, what| {
            accounts::by_name(rows, &wish.account)?.ok_or(store::Error::NotFound(what))
        };
        let from = find(&view, "account in this backup")?;
        let to = find(&store.snapshot()?, "account here: add it first")?;
        let report = Merged { time, ..Merged::default() };
        Ok(Merge { store, source, view, from, to, report, underway: VecDeque::new() })
    }

    fn run(mut self, wish: &Wish, progress: &Progress) -> Result<Merged, Error> {
        let mut all = mailboxes::list(&self.view, self.from.id)?;
        all.retain(|mailbox| {
            let name = &mailbox.name;
            wish.mailbox.as_ref().is_none_or(|wanted| name == wanted || name.is_below(wanted))
        });
        if all.is_empty() {
            return Err(store::Error::NotFound("mailbox in this backup").into());
        }
        progress.begin(all.iter().map(|mailbox| u64::from(mailbox.messages)).sum());
        for mailbox in all {
            self.mailbox(&mailbox, wish.since, progress)?;
        }
        while let Some(pending) = self.underway.pop_front() {
            pending.wait()?;
        }
        Ok(self.report)
    }

    fn mailbox(&mut self, mailbox: &Mailbox, since: Option<i64>, progress: &Progress) -> Result<(), Error> {
        let keywords = messages::keywords(&self.view, mailbox.id)?;
        let there = self.contents(&mailbox.name)?;
        let mut next = 1;
        loop {
            let (records, last) = self.records(mailbox.id, next)?;
            for record in &records {
                let day = CivilDate::days_since_epoch(record.internal_date.local_date());
                if since.is_none_or(|since| day >= since) {
                    self.message(mailbox, &keywords, record, &there)?;
                }
                progress.step(record.size)?;
            }
            match last.and_then(|last| last.checked_add(1)) {
                Some(behind) => next = behind,
                None => return Ok(()),
            }
        }
    }

    /// The contents that a mailbox of the store has, sorted.
    fn contents(&self, name: &MailboxName) -> Result<Vec<ContentId>, Error> {
        let snapshot = self.store.snapshot()?;
        let mut found = Vec::new();
        if let Some(mailbox) = mailboxes::by_name(&snapshot, self.to.id, name)? {
            messages::scan(&snapshot, mailbox.id, 1..=u32::MAX, &mut |record| {
                found.push(record.email);
                Ok(ControlFlow::Continue(()))
            })?;
        }
        found.sort_unstable();
        Ok(found)
    }

    fn records(&self, mailbox: MailboxId, from: u32) -> Result<(Vec<Record>, Option<u32>), Error> {
        let mut records = Vec::new();
        messages::scan(&self.view, mailbox, from..=u32::MAX, &mut |record| {
            records.push(*record);
            Ok(if records.len() < RECORDS { ControlFlow::Continue(()) } else { ControlFlow::Break(()) })
        })?;
        let last = records.last().map(|record| record.uid.get());
        Ok((records, last))
    }

    fn message(
        &mut self,
        mailbox: &Mailbox,
        keywords: &KeywordTable,
        record: &Record,
        there: &[ContentId],
    ) -> Result<(), Error> {
        let Some(row) = emails::get(&self.view, record.email)? else {
            self.missing(mailbox, record);
            return Ok(());
        };
        let known = emails::by_hash(&self.store.snapshot()?, row.hash)?;
        if known.is_some_and(|email| there.binary_search(&email).is_ok()) {
            self.report.known += 1;
            return Ok(());
        }
        let Some(prepared) = prepare(self.store, self.source, &row.hash.0, row.size)? else {
            self.missing(mailbox, record);
            return Ok(());
        };
        let mut flags = FlagSet::from(record.flags);
        flags.keywords.extend(keywords.names(record.keywords).cloned());
        let (to, name, date) = (self.to.id, mailbox.name.clone(), record.internal_date);
        let role = mailbox.special_use;
        let is_new = mailboxes::by_name(&self.store.snapshot()?, to, &name)?.is_none();
        let pending = self.store.begin(move |tx| {
            let id = match mailboxes::by_name(tx, to, &name)? {
                Some(mailbox) => mailbox.id,
                // The role may be another mailbox's by now.
                None => match mailboxes::create(tx, to, &name, role) {
                    Err(store::Error::Exists(_)) => mailboxes::create(tx, to, &name, None)?,
                    made => made?,
                },
            };
            let arrival = Arrival { prepared: &prepared, internal_date: date, flags };
            filing::file(tx, to, id, &[arrival]).map(drop)
        })?;
        if is_new {
            pending.wait()?;
            self.report.mailboxes += 1;
        } else {
            self.underway.push_back(pending);
        }
        while self.underway.len() > UNDERWAY {
            if let Some(pending) = self.underway.pop_front() {
                pending.wait()?;
            }
        }
        self.report.added += 1;
        Ok(())
    }

    fn missing(&mut self, mailbox: &Mailbox, record: &Record) {
        self.report.missing_count += 1;
        if self.report.missing.len() < MAX_NAMED {
            self.report.missing.push(format!("{}, {}, UID {}", self.from.name, mailbox.name, record.uid));
        }
    }
}
