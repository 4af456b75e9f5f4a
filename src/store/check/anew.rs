//! A store made anew out of a catalogue: a new generation. First the rows, with contents that lie
//! nowhere; then each content, as it is found, takes its place; at the end no number goes on where another history
//! may have gone on, too.

use std::io::Read;
use std::ops::ControlFlow;

use crate::model::{AccountId, ContentId, MailboxId, MailboxName};
use crate::store::base::error::Error;
use crate::store::base::rows::Rows;
use crate::store::base::schema::Table;
use crate::store::base::settings;
use crate::store::check::catalogue::{self, Summary};
use crate::store::content::emails::{EmailRow, NOWHERE};
use crate::store::content::incoming::Prepared;
use crate::store::engine::store::Store;
use crate::store::engine::writer::Pending;
use crate::store::household::accounts;
use crate::store::mailbox::{mailboxes, messages};

/// Bytes of rows that one job puts.
const BATCH: usize = 256 << 10;
/// Settings that say how far it has come.
const LOADED: &str = "anew.loaded";
const DONE: &str = "anew.done";
/// What belongs to the files of one store only.
const OWN: [&str; 3] = [settings::VOLUME, LOADED, DONE];
/// Behind every key.
const END: [u8; 512] = [0xff; 512];

/// How far a store that is made anew has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Its rows are not all there: begin anew.
    Empty,
    /// Contents are missing still.
    Loaded,
    /// It is whole.
    Done,
}

/// How far a store has come that is made anew out of what `mark` names.
///
/// # Errors
/// Of reading.
pub fn stage(store: &Store, mark: &[u8]) -> Result<Stage, Error> {
    let snapshot = store.snapshot()?;
    if settings::get(&snapshot, LOADED)?.as_deref() != Some(mark) {
        return Ok(Stage::Empty);
    }
    let done = settings::get(&snapshot, DONE)?.as_deref() == Some(mark);
    Ok(if done { Stage::Done } else { Stage::Loaded })
}

/// Puts a catalogue's rows into an empty store. Every content is known then, and none is there. Close the store
/// and open it again before anything else: its counters are others now.
///
/// # Errors
/// Of reading and writing.
pub fn load(store: &Store, input: &mut dyn Read, mark: &[u8]) -> Result<Summary, Error> {
    let mut batch = Batch::default();
    let summary = catalogue::read(input, &mut |table, key, value| {
        batch.add(table, key, value)?;
        if batch.bytes >= BATCH { batch.flush(store) } else { Ok(()) }
    })?;
    batch.flush(store)?;
    let mark = mark.to_vec();
    store.write(move |tx| settings::put(tx, LOADED, &mark))?;
    Ok(summary)
}

/// Rows for one job.
#[derive(Default)]
struct Batch {
    rows: Vec<(Table, Vec<u8>, Vec<u8>)>,
    bytes: usize,
}

impl Batch {
    fn add(&mut self, table: Table, key: &[u8], value: &[u8]) -> Result<(), Error> {
        let value = match table {
            Table::Volumes => return Ok(()),
            Table::Settings if OWN.iter().any(|own| own.as_bytes() == key) => return Ok(()),
            Table::Emails => {
                let row = EmailRow::decode(value);
                let mut row = row.ok_or_else(|| Error::Damaged("a row of emails".to_owned()))?;
                (row.content_volume, row.digest_volume, row.stored) = (NOWHERE, NOWHERE, 0);
                // Found by its hash as well.
                self.push(Table::ByHash, &row.hash.0, key.iter().rev().copied().collect());
                row.encode()
            }
            _ => value.to_vec(),
        };
        self.push(table, key, value);
        Ok(())
    }

    fn push(&mut self, table: Table, key: &[u8], value: Vec<u8>) {
        self.bytes += key.len() + value.len() + 16;
        self.rows.push((table, key.to_vec(), value));
    }

    fn flush(&mut self, store: &Store) -> Result<(), Error> {
        self.bytes = 0;
        let rows = std::mem::take(&mut self.rows);
        store.write(move |tx| {
            rows.iter().for_each(|(table, key, value)| tx.put(*table, key, value));
            Ok(())
        })
    }
}

/// A content that lies nowhere yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Missing {
    /// Its id.
    pub email: ContentId,
    /// Its hash.
    pub hash: [u8; 32],
    /// Its length.
    pub size: u64,
}

/// All contents that lie nowhere.
///
/// # Errors
/// Of reading.
pub fn missing(rows: &dyn Rows) -> Result<Vec<Missing>, Error> {
    let mut found = Vec::new();
    rows.scan(Table::Emails, &[], &END, &mut |key, value| {
        let damaged = || Error::Damaged("a row of emails".to_owned());
        let email = key.try_into().map(u64::from_be_bytes).map_err(|_| damaged())?;
        let row = EmailRow::decode(value).ok_or_else(damaged)?;
        if row.content_volume == NOWHERE {
            found.push(Missing { email: ContentId(email), hash: row.hash.0, size: row.size });
        }
        Ok(ControlFlow::Continue(()))
    })?;
    Ok(found)
}

/// In which mailbox each content lies first: what a digest says for the day that an index is lost.
#[derive(Debug, Default)]
pub struct Homes {
    /// Sorted by content.
    homes: Vec<(u64, u32)>,
    names: Vec<(MailboxId, AccountId, MailboxName)>,
}

impl Homes {
    /// Of all contents that a mailbox names.
    ///
    /// # Errors
    /// Of reading.
    pub fn load(rows: &dyn Rows) -> Result<Self, Error> {
        let mut homes = Homes::default();
        for account in accounts::list(rows)? {
            for mailbox in mailboxes::list(rows, account.id)? {
                let number = homes.names.len() as u32;
                homes.names.push((mailbox.id, account.id, mailbox.name));
                messages::scan(rows, mailbox.id, 1..=u32::MAX, &mut |record| {
                    homes.homes.push((record.email.0, number));
                    Ok(ControlFlow::Continue(()))
                })?;
            }
        }
        homes.homes.sort_unstable();
        homes.homes.dedup_by_key(|(email, _)| *email);
        Ok(homes)
    }

    /// What only the bin names is nowhere.
    #[must_use]
    pub fn of(&self, email: ContentId) -> Option<(AccountId, &MailboxName)> {
        let at = self.homes.binary_search_by_key(&email.0, |(known, _)| *known).ok()?;
        let (_, number) = self.homes.get(at)?;
        let (_, account, name) = self.names.get(*number as usize)?;
        Some((*account, name))
    }
}

/// Puts a content where it was missing. Not waited for, so that many share a sync.
///
/// # Errors
/// If nothing can be written any more.
pub fn fill(
    store: &Store,
    prepared: Prepared,
    homes: &Homes,
    email: ContentId,
) -> Result<Pending<()>, Error> {
    let (account, name) = match homes.of(email) {
        Some((account, name)) => (account, name.clone()),
        None => (AccountId(0), MailboxName::inbox()),
    };
    store.begin(move |tx| prepared.file(tx, account, &name).map(drop))
}

/// Ends it: the UIDVALIDITY of every mailbox is a new one, the store's modseqs begin above every one that another
/// history may have given, and what changed before is not known.
///
/// # Errors
/// Of reading and writing.
pub fn begin_generation(store: &Store, mark: &[u8]) -> Result<(), Error> {
    let mark = mark.to_vec();
    store.write(move |tx| {
        settings::leap(tx)?;
        let all = accounts::list(tx)?;
        for account in all {
            for mailbox in mailboxes::list(tx, account.id)? {
                mailboxes::begin_generation(tx, mailbox)?;
            }
        }
        settings::put(tx, DONE, &mark)
    })?;
    store.checkpoint()
}
