//! How the store's operations see its tables: rows to read, and a transaction to write them.
//!
//! The operations (`accounts`, `mailboxes`, `messages`, `changes` …) are written against these traits, so
//! that they run the same over a snapshot, over the writer's overlay, and over a map in memory in tests.

use std::ops::ControlFlow;

use crate::model::{AccountId, ContentId, MailboxId, ModSeq};
use crate::store::base::error::Error;
use crate::store::base::schema::Table;
use crate::store::base::schema::VolumeTable;

/// Rows that can be read. Keys and values are whole rows, checksums already checked and taken away.
pub trait Rows {
    /// The value at a key.
    ///
    /// # Errors
    /// If the file cannot be read or the row is damaged.
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, Error>;

    /// Visits the rows with `low <= key < high` in ascending order until `visit` breaks.
    ///
    /// # Errors
    /// Of reading, or of `visit`.
    fn scan(&self, table: Table, low: &[u8], high: &[u8], visit: &mut Visit<'_>) -> Result<(), Error>;

    /// As [`Rows::scan`], in descending order.
    ///
    /// # Errors
    /// Of reading, or of `visit`.
    fn scan_back(&self, table: Table, low: &[u8], high: &[u8], visit: &mut Visit<'_>) -> Result<(), Error>;
}

/// What is called for each row of a scan, with its key and its value.
pub type Visit<'a> = dyn FnMut(&[u8], &[u8]) -> Result<ControlFlow<()>, Error> + 'a;

/// One job of the writer: it sees its own changes and those of the jobs before it in the batch. If the job
/// ends in an error, none of its rows is kept.
pub trait Transaction: Rows {
    /// Puts a row.
    fn put(&mut self, table: Table, key: &[u8], value: &[u8]);

    /// Deletes a row; one that is not there is no error.
    fn delete(&mut self, table: Table, key: &[u8]);

    /// The job's own modseq, taken from the store's counter on the first call and the same on every later
    /// one of this job.
    ///
    /// # Errors
    /// If the counter cannot be read.
    fn modseq(&mut self) -> Result<ModSeq, Error>;

    /// Now, in seconds since 1970, as the injected clock has it.
    fn now(&self) -> i64;

    /// Random bytes from the injected source.
    fn random(&mut self) -> [u8; 16];

    /// Tells the listeners, once the job is durable.
    fn publish(&mut self, news: News);

    /// The volumes, where the transaction has any: one over a map in memory has none.
    fn content(&mut self) -> Option<&mut dyn ContentRows> {
        None
    }
}

/// Rows of volumes that can be read.
pub trait VolumeRows {
    /// The value at a key.
    ///
    /// # Errors
    /// If the volume cannot be read or the row is damaged.
    fn get_row(&self, volume: u32, table: VolumeTable, key: &[u8]) -> Result<Option<Vec<u8>>, Error>;
}

/// A transaction's rows of volumes.
pub trait ContentRows: VolumeRows {
    /// The volume that new content goes to; makes one if none has room.
    ///
    /// # Errors
    /// If a volume cannot be made.
    fn room(&mut self) -> Result<u32, Error>;

    /// Puts a row.
    fn put_row(&mut self, volume: u32, table: VolumeTable, key: &[u8], value: &[u8]);

    /// Deletes a row.
    fn delete_row(&mut self, volume: u32, table: VolumeTable, key: &[u8]);

    /// So many bytes of a volume are free for others.
    fn freed(&mut self, volume: u32, bytes: u64);

    /// A running sweep must leave this content alone: a job names it.
    fn named(&mut self, content: ContentId);
}

/// A row as it is stored, of whatever table: what a migration takes and gives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredRow {
    /// The number of its table.
    pub table: u8,
    /// Its key.
    pub key: Vec<u8>,
    /// Its value, with the version before it.
    pub value: Vec<u8>,
}

/// What listeners hear of a commit. Only that something changed: what it was is read from `changes` and
/// `events`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct News {
    /// The account concerned.
    pub account: AccountId,
    /// The mailbox whose messages changed, or `None` if the account's list of mailboxes, its
    /// subscriptions, credentials or the account itself changed.
    pub mailbox: Option<MailboxId>,
    /// The modseq that was reached.
    pub modseq: ModSeq,
}
