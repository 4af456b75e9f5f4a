//! The handle of a store: opened, written through, listened to, closed.

use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use crate::model::{ContentId, locked};
use crate::store::base::env::{self, Disk, Paths};
use crate::store::base::error::Error;
use crate::store::base::rows::{News, Transaction};
use crate::store::base::schema::SCHEMA_VERSION;
use crate::store::engine::condition::Condition;
use crate::store::engine::options::{Options, Statistics};
use crate::store::engine::pins::{Hold, Pin};
use crate::store::engine::shared::Shared;
use crate::store::engine::writer::{Engine, Pending, Queue};
use crate::store::engine::{space, start, volumes};

/// Names a listener.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ListenerId(u64);

/// Which process holds a data folder, if one does: for a message, for it may be over a moment later.
#[must_use]
pub fn holder(data: &std::path::Path) -> Option<String> {
    env::holder(&Paths { data: data.to_owned() }.lock())
}

/// Whether there is a store in a folder, or one is being made anew there, as far as this user can see.
#[must_use]
pub fn exists(data: &std::path::Path) -> bool {
    let paths = Paths { data: data.to_owned() };
    // What cannot be looked at is not missing: to open it says why.
    let there = |path: std::path::PathBuf| path.try_exists().unwrap_or(true);
    // A migration that was cut short is ended when the store is opened.
    there(paths.index())
        || there(paths.anew())
        || (1..SCHEMA_VERSION).any(|format| there(paths.index_before(format)))
}

/// The store. Clones are handles of the same; the last one to go closes it in order.
#[derive(Clone)]
pub struct Store {
    pub(in crate::store) inner: Arc<Inner>,
}

pub(in crate::store) struct Inner {
    pub(in crate::store) shared: Arc<Shared>,
    queue: Arc<Queue>,
    writer: Mutex<Option<JoinHandle<Result<(), Error>>>>,
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Store").field("data", &self.inner.shared.paths.data).finish_non_exhaustive()
    }
}

impl Store {
    /// Locks the data folder, replays the journal, makes durable what was replayed, and starts the writer.
    pub(in crate::store) fn start(options: Options) -> Result<Store, Error> {
        // A volume that is damaged does not keep a store from opening, so what is damaged then is the index.
        let (shared, engine) = start::start(options).map_err(|error| match error {
            Error::Damaged(what) => Error::DamagedIndex(what),
            other => other,
        })?;
        let queue = Arc::clone(&engine.queue);
        let writer = std::thread::Builder::new()
            .name("store-writer".to_owned())
            .spawn(move || engine.run())
            .map_err(|error| Error::io("starting the writer", error))?;
        Ok(Store { inner: Arc::new(Inner { shared, queue, writer: Mutex::new(Some(writer)) }) })
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
        self.inner.queue.begin(job)
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
        self.inner.queue.begin_then(job, done)
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

    /// Keeps a content from being swept while the guard lives.
    #[must_use]
    pub fn pin(&self, email: ContentId) -> Pin {
        self.inner.shared.pins.pin(email)
    }

    /// Keeps all contents, whatever is expunged, while the guard lives; a sweep that runs already drops no more.
    #[must_use]
    pub fn hold(&self) -> Hold {
        self.inner.shared.pins.hold()
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

    /// This run's number, random: remembered outside, so that an older copy of the store is noticed.
    #[must_use]
    pub fn epoch(&self) -> u64 {
        self.inner.shared.epoch
    }

    /// Now, in seconds since 1970, as the injected clock has it.
    #[must_use]
    pub fn now(&self) -> i64 {
        self.inner.shared.options.clock.now()
    }

    /// The disk and the data folder on it, for files beside the store's own.
    #[must_use]
    pub fn place(&self) -> (Arc<dyn Disk>, PathBuf) {
        let shared = &self.inner.shared;
        (Arc::new(shared.disk.clone()), shared.paths.data.clone())
    }

    /// Bytes of the disk that only deleting may still take.
    #[must_use]
    pub fn reserve(&self) -> u64 {
        self.inner.shared.options.reserve
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

    /// What is known to be wrong: cheap to ask, nothing is read.
    #[must_use]
    pub fn condition(&self) -> Condition {
        let shared = &self.inner.shared;
        shared.known.condition(shared.index().damage())
    }

    /// Whether a message of so many bytes would have room, as far as can be told before it comes: asked before a
    /// client is told to send it.
    ///
    /// # Errors
    /// `NoSpace`; of reading; `ReadOnly`.
    pub fn room_for(&self, bytes: u64) -> Result<(), Error> {
        self.inner.shared.room_for(bytes)
    }

    /// As [`Store::room_for`], of a message of which nothing is known yet.
    ///
    /// # Errors
    /// As there.
    pub fn room_for_mail(&self) -> Result<(), Error> {
        self.room_for(space::USUAL)
    }

    /// Figures for `status` and benchmarks.
    #[must_use]
    pub fn statistics(&self) -> Statistics {
        let shared = &self.inner.shared;
        let load = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let volumes = shared.index_view().and_then(|rows| volumes::list(&rows)).unwrap_or_default();
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
            journal_damaged: shared.known.is_journal_damaged(),
            volumes: volumes.len() as u64,
            open_volumes: shared.budget.open_count() as u64,
            live: volumes.iter().map(|(_, row)| row.live - row.dead.min(row.live)).sum(),
            dead: volumes.iter().map(|(_, row)| row.dead).sum(),
            free: shared.disk.free(&shared.paths),
            read_only: shared.known.why_read_only(),
        }
    }

    pub(in crate::store) fn command<T: Send + 'static>(
        &self,
        command: impl FnOnce(&mut Engine) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        self.inner.queue.command(command)
    }
}

impl Inner {
    fn close(&self) -> Result<(), Error> {
        self.queue.close();
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
