//! The store: redb under a journal of redo rows. Synchronous; knows no IMAP.
//!
//! [`Store::write`] hands a job to the writer thread (`writer`), which runs all that wait over an overlay
//! (`overlay`), appends their rows to the journal (`journal`) with one sync, applies them to the redb files
//! (`database`) without one, and tells the listeners. A checkpoint (`checkpoint`) makes the files durable
//! and frees the journal. `start` replays what a crash left. Content goes in by `incoming`, is laid out by
//! `content`, lies in volumes kept open by `budget`, and is dropped by `sweep`.

pub mod accounts;
pub mod arrivals;
pub mod bin;
mod blocks;
mod budget;
#[cfg(test)]
mod cases_test;
pub mod certificates;
pub mod changes;
mod checkpoint;
mod codec;
mod compression;
pub mod content;
mod database;
pub mod devices;
pub mod emails;
pub mod env;
pub mod error;
pub mod events;
mod flagging;
pub mod imported;
pub mod incoming;
mod journal;
pub mod keywords;
pub mod mailboxes;
#[cfg(test)]
mod memory;
pub mod messages;
#[cfg(test)]
mod model_test;
mod options;
mod overlay;
mod pins;
pub mod record;
pub mod revoked;
pub mod rows;
pub mod schema;
pub mod settings;
#[doc(hidden)]
pub mod sim;
mod snapshot;
pub mod sources;
mod start;
mod sweep;
#[cfg(test)]
mod tests;
pub mod volumes;
mod writer;

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::thread::JoinHandle;

pub use env::unix_now;
pub use error::Error;
pub use incoming::{Incoming, LineEnds, Prepared};
pub use options::{LiveEmails, Options, Statistics};
pub use overlay::last_modseq;
pub use pins::Pin;
pub use rows::{ContentRows, News, Rows, Transaction, VolumeRows};
pub use snapshot::Snapshot;
pub use sweep::{ReclaimReport, SweepReport};
pub use writer::Pending;

use crate::model::EmailId;
use budget::{Budget, locked};
use database::File;
use env::{Disk, Held, Metered, Paths};
use pins::Pins;
use writer::{Engine, Queue};

/// Email ids are reserved this many at a time: one small durable record for each, and at most so many lost
/// at a restart, of 2^64.
const EMAIL_BLOCK: u64 = 256;

/// Names a listener.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ListenerId(u64);

type Listener = Arc<dyn Fn(&News) + Send + Sync>;

/// What the writer, readers and `Incoming` share.
struct Shared {
    options: Options,
    disk: Metered,
    paths: Paths,
    generation: u64,
    id: [u8; 16],
    index: RwLock<Arc<File>>,
    budget: Budget,
    queue: Queue,
    pins: Arc<Pins>,
    listeners: Mutex<(u64, BTreeMap<u64, Listener>)>,
    failed: Mutex<Option<String>>,
    reserved: Mutex<Range<u64>>,
    counters: Counters,
    sweeping: Mutex<()>,
    /// Contents that were found damaged: read to their end before they are announced again.
    suspects: Mutex<BTreeSet<EmailId>>,
    /// Released when the last of them is dropped.
    _lock: Held,
}

#[derive(Default)]
struct Counters {
    sequence: AtomicU64,
    batches: AtomicU64,
    jobs: AtomicU64,
    checkpoints: AtomicU64,
    dirty: AtomicU64,
    journal_used: AtomicU64,
    journal_segments: AtomicU64,
    journal_damaged: AtomicBool,
}

impl Shared {
    fn index(&self) -> Arc<File> {
        Arc::clone(&self.index.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn make_volume(&self, number: u32, sequence: u64) -> Result<(), Error> {
        self.budget.active.store(number, Ordering::Release);
        self.budget.create(number, sequence)
    }

    fn random_bytes(&self) -> [u8; 16] {
        self.options.random.bytes().unwrap_or_else(|error| {
            // Without the system's chance: unique still, from what never comes twice.
            tracing::error!(%error, "the system gives no random bytes");
            let seed = [self.counters.jobs.load(Ordering::Relaxed), self.generation];
            let hash = blake3::hash(format!("{seed:?}{:?}", std::time::Instant::now()).as_bytes());
            let mut bytes = [0; 16];
            bytes.iter_mut().zip(hash.as_bytes()).for_each(|(to, from)| *to = *from);
            bytes
        })
    }

    /// After a failed write nothing more is written: what is on the disk cannot be known any more.
    fn fail(&self, why: &str) {
        self.disk.meter.frozen.store(true, Ordering::Release);
        let mut failed = locked(&self.failed);
        if failed.is_none() {
            tracing::error!(why, "a write failed: the store serves reads only until it is restarted");
            *failed = Some(why.to_owned());
        }
    }

    fn check_writable(&self) -> Result<(), Error> {
        locked(&self.failed).as_ref().map_or(Ok(()), |why| Err(Error::ReadOnly(why.clone())))
    }
}

/// Which process holds a data folder, if one does: for a message, for it may be over a moment later.
#[must_use]
pub fn holder(data: &std::path::Path) -> Option<String> {
    env::holder(&Paths { data: data.to_owned() }.lock())
}

/// Whether there is a store in a folder, as far as this user can see.
#[must_use]
pub fn exists(data: &std::path::Path) -> bool {
    // What cannot be looked at is not missing: to open it says why.
    Paths { data: data.to_owned() }.index().try_exists().unwrap_or(true)
}

/// The store. Clones are handles of the same; the last one to go closes it in order.
#[derive(Clone)]
pub struct Store {
    inner: Arc<Inner>,
}

struct Inner {
    shared: Arc<Shared>,
    writer: Mutex<Option<JoinHandle<Result<(), Error>>>>,
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Store").field("data", &self.inner.shared.paths.data).finish_non_exhaustive()
    }
}

impl Store {
    /// Locks the data folder, replays the journal, and makes durable what was replayed: what was only in
    /// the page cache must not be told to anyone.
    ///
    /// # Errors
    /// If another process holds the folder, the store is of a newer version, or files cannot be read.
    pub fn open(options: Options) -> Result<Store, Error> {
        let (shared, engine) = start::start(options)?;
        let writer = std::thread::Builder::new()
            .name("store-writer".to_owned())
            .spawn(move || engine.run())
            .map_err(|error| Error::io("starting the writer", error))?;
        Ok(Store { inner: Arc::new(Inner { shared, writer: Mutex::new(Some(writer)) }) })
    }

    /// The store as of the last commit. Let go of it soon: redb keeps every old page for it.
    ///
    /// # Errors
    /// If the index cannot be read.
    pub fn snapshot(&self) -> Result<Snapshot, Error> {
        Snapshot::new(Arc::clone(&self.inner.shared))
    }

    /// Runs a job in the writer and waits until it is durable and can be read. All jobs that wait share
    /// one sync. Must not be called from within a job or a listener.
    ///
    /// # Errors
    /// The job's own, and those of writing; in every case none of its rows is kept, but for a store that
    /// has become read-only in that moment, where a restart decides.
    pub fn write<T: Send + 'static>(
        &self,
        job: impl FnOnce(&mut dyn Transaction) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        self.begin(job)?.wait()
    }

    /// As [`Store::write`], without waiting: the caller prepares its next job while this one is made
    /// durable. Jobs of one caller are done in the order in which they were begun.
    ///
    /// # Errors
    /// If nothing can be written any more.
    pub fn begin<T: Send + 'static>(
        &self,
        job: impl FnOnce(&mut dyn Transaction) -> Result<T, Error> + Send + 'static,
    ) -> Result<Pending<T>, Error> {
        self.inner.shared.check_writable()?;
        self.inner.shared.queue.begin(job)
    }

    /// As [`Store::write`], without waiting: `done` is told the outcome in the writer's thread and must not
    /// block; it is dropped untold where the store is closed first. A full queue does not hold the caller up
    /// either, who bounds what it sends.
    ///
    /// # Errors
    /// If nothing can be written any more.
    pub fn begin_then<T: Send + 'static>(
        &self,
        job: impl FnOnce(&mut dyn Transaction) -> Result<T, Error> + Send + 'static,
        done: impl FnOnce(Result<T, Error>) + Send + 'static,
    ) -> Result<(), Error> {
        self.inner.shared.check_writable()?;
        self.inner.shared.queue.begin_then(job, done)
    }

    /// Calls `listener` for every change, in the order of commits, from the writer's thread: it must not
    /// block.
    pub fn listen(&self, listener: Box<dyn Fn(&News) + Send + Sync>) -> ListenerId {
        let mut listeners = locked(&self.inner.shared.listeners);
        listeners.0 += 1;
        let id = listeners.0;
        listeners.1.insert(id, Arc::from(listener));
        ListenerId(id)
    }

    /// Ends what [`Store::listen`] began.
    pub fn unlisten(&self, id: ListenerId) {
        locked(&self.inner.shared.listeners).1.remove(&id.0);
    }

    /// Takes in a message of at most `limit` bytes; line ends become CRLF.
    #[must_use]
    pub fn incoming(&self, limit: u64) -> Incoming {
        Incoming::new(self.clone(), limit, LineEnds::Crlf)
    }

    /// As [`Store::incoming`], for bytes that must stay as they are (literal8, RFC 3516 §4.4).
    #[must_use]
    pub fn incoming_verbatim(&self, limit: u64) -> Incoming {
        Incoming::new(self.clone(), limit, LineEnds::Verbatim)
    }

    /// Keeps a content from being swept while the guard lives.
    #[must_use]
    pub fn pin(&self, email: EmailId) -> Pin {
        self.inner.shared.pins.pin(email)
    }

    /// Makes everything durable in the files and frees the journal.
    ///
    /// # Errors
    /// Of writing.
    pub fn checkpoint(&self) -> Result<(), Error> {
        self.command(|engine| engine.checkpoint())
    }

    /// The store's own id: remembered outside, so that an empty mount point is noticed.
    #[must_use]
    pub fn id(&self) -> [u8; 16] {
        self.inner.shared.id
    }

    /// How large the disk is that the data folder lies on; one that does not say is endless.
    #[must_use]
    pub fn disk_size(&self) -> u64 {
        let shared = &self.inner.shared;
        shared.disk.total_space(&shared.paths.data).unwrap_or(u64::MAX)
    }

    /// Ends in order: what waits is done, then a checkpoint. Snapshots that still live keep the data
    /// folder locked.
    ///
    /// # Errors
    /// Of the checkpoint.
    pub fn close(self) -> Result<(), Error> {
        self.inner.close()
    }

    /// Figures for `status` and benchmarks.
    #[must_use]
    pub fn statistics(&self) -> Statistics {
        let shared = &self.inner.shared;
        let load = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let volumes = self.snapshot().and_then(|rows| volumes::list(&rows)).unwrap_or_default();
        Statistics {
            written: load(&shared.disk.meter.written),
            syncs: load(&shared.disk.meter.syncs),
            batches: load(&shared.counters.batches),
            jobs: load(&shared.counters.jobs),
            checkpoints: load(&shared.counters.checkpoints),
            dirty: load(&shared.counters.dirty),
            sequence: load(&shared.counters.sequence),
            journal_used: load(&shared.counters.journal_used),
            journal_segments: load(&shared.counters.journal_segments),
            journal_damaged: shared.counters.journal_damaged.load(Ordering::Relaxed),
            volumes: volumes.len() as u64,
            open_volumes: shared.budget.open_count() as u64,
            live: volumes.iter().map(|(_, row)| row.live - row.dead.min(row.live)).sum(),
            dead: volumes.iter().map(|(_, row)| row.dead).sum(),
            free: shared.disk.free(&shared.paths),
            read_only: locked(&shared.failed).clone(),
        }
    }

    /// A new email id, durable before it is used and never given again.
    fn next_email(&self) -> Result<EmailId, Error> {
        let mut reserved = locked(&self.inner.shared.reserved);
        if let Some(id) = reserved.next() {
            return Ok(EmailId(id));
        }
        let first = self.write(|tx| {
            let first = overlay::counter(tx, overlay::EMAIL_ID)?.max(1);
            let next = first.checked_add(EMAIL_BLOCK).ok_or(Error::Limit("no email ids left"))?;
            tx.put(schema::Table::Settings, overlay::EMAIL_ID, &overlay::counter_value(next));
            Ok(first)
        })?;
        *reserved = first + 1..first + EMAIL_BLOCK;
        Ok(EmailId(first))
    }

    fn command<T: Send + 'static>(
        &self,
        command: impl FnOnce(&mut Engine) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        self.inner.shared.queue.command(command)
    }
}

impl Inner {
    fn close(&self) -> Result<(), Error> {
        self.shared.queue.close();
        let Some(writer) = locked(&self.writer).take() else { return Ok(()) };
        if writer.thread().id() == std::thread::current().id() {
            // The last handle went inside a job: the writer ends by itself when that job is done.
            return Ok(());
        }
        writer.join().unwrap_or_else(|_| Err(Error::ReadOnly("the writer failed".to_owned())))
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        if let Err(error) = self.close() {
            tracing::error!(%error, "the store could not be closed in order");
        }
    }
}
