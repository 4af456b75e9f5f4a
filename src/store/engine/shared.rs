//! What the writer, readers and all that comes in share.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, RwLock};
use std::thread::ThreadId;
use std::time::Duration;

use crate::store::base::env::{Held, Metered, Paths};
use crate::store::base::error::Error;
use crate::store::base::fault::Fault;
use crate::store::base::rows::News;
use crate::store::engine::budget::Budget;
use crate::store::engine::condition::Known;
use crate::store::engine::database::{File, View};
use crate::store::engine::options::Options;
use crate::store::engine::pins::Pins;

/// So long a reader waits for a file to be opened again.
pub(in crate::store) const MEND_WAIT: Duration = Duration::from_secs(5);

/// The writer, as far as who reads needs it.
pub(in crate::store) trait Mends: Send + Sync {
    /// Opens again what broke. Waits at most [`MEND_WAIT`].
    fn mend(&self) -> Result<(), Error>;
    /// Lets a volume's row say that it is damaged; does not wait.
    fn say_damaged(&self, volume: u32) -> Result<(), Error>;
}

pub(in crate::store) type Listener = Arc<dyn Fn(&News) + Send + Sync>;

/// What the writer, readers and `Incoming` share.
pub(in crate::store) struct Shared {
    pub(in crate::store) options: Options,
    pub(in crate::store) disk: Metered,
    pub(in crate::store) paths: Paths,
    pub(in crate::store) generation: u64,
    pub(in crate::store) id: [u8; 16],
    /// This run's number: random.
    pub(in crate::store) epoch: u64,
    pub(in crate::store) index: RwLock<Arc<File>>,
    pub(in crate::store) budget: Budget,
    pub(in crate::store) pins: Arc<Pins>,
    pub(in crate::store) listeners: Mutex<(u64, BTreeMap<u64, Listener>)>,
    /// Who mends what broke.
    pub(in crate::store) mends: OnceLock<Arc<dyn Mends>>,
    /// The writer's thread: it cannot wait for itself.
    pub(in crate::store) writer: OnceLock<ThreadId>,
    /// What is known to be wrong.
    pub(in crate::store) known: Known,
    pub(in crate::store) reserved: Mutex<Range<u64>>,
    pub(in crate::store) counters: Counters,
    pub(in crate::store) sweeping: Mutex<()>,
    /// Volumes that had no room for what was put, and what was freed in each since, in bytes.
    pub(in crate::store) full: Mutex<BTreeMap<u32, u64>>,
    /// Released when the last of them is dropped.
    pub(in crate::store) _lock: Held,
}

#[derive(Default)]
pub(in crate::store) struct Counters {
    pub(in crate::store) sequence: AtomicU64,
    pub(in crate::store) batches: AtomicU64,
    pub(in crate::store) jobs: AtomicU64,
    pub(in crate::store) checkpoints: AtomicU64,
    pub(in crate::store) dirty: AtomicU64,
    pub(in crate::store) journal_used: AtomicU64,
    pub(in crate::store) journal_segments: AtomicU64,
    /// What messages on their way in hold, in bytes.
    pub(in crate::store) incoming: AtomicUsize,
}

impl Shared {
    pub(in crate::store) fn index(&self) -> Arc<File> {
        Arc::clone(&self.index.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// A look at the index. One whose handle broke is opened again first, by the writer, who knows what the
    /// journal holds for it.
    pub(in crate::store) fn index_view(&self) -> Result<View, Error> {
        let file = self.index();
        if !file.is_broken() {
            match file.view() {
                Err(_) if file.is_broken() || file.is_panicked() => {}
                other => return other,
            }
        }
        self.mend()?;
        self.index().view()
    }

    /// A look at a volume; as of the index.
    pub(in crate::store) fn volume_view(&self, volume: u32) -> Result<View, Error> {
        if self.budget.needs_writer(volume) {
            self.mend()?;
        } else if !self.is_writer() {
            std::thread::sleep(self.budget.wait(volume)?);
        }
        let file = self.budget.volume(volume).inspect_err(|error| self.notice(volume, error))?;
        file.view().inspect_err(|error| self.notice(volume, error))
    }

    /// A row of a volume, or of the one where the rest of it went. `get` reads from one of them.
    pub(in crate::store) fn row_of(
        &self,
        volume: u32,
        get: &mut dyn FnMut(u32) -> Result<Option<Vec<u8>>, Error>,
    ) -> Result<Option<Vec<u8>>, Error> {
        let found = get(volume).inspect_err(|error| self.notice(volume, error));
        match (&found, self.known.rest(volume)) {
            // Numbers only rise, so that this ends.
            (Ok(None) | Err(_), Some(rest)) if rest > volume => match self.row_of(rest, get) {
                Ok(Some(row)) => Ok(Some(row)),
                _ => found,
            },
            _ => found,
        }
    }

    /// What a failed read of a volume means for it.
    pub(in crate::store) fn notice(&self, volume: u32, error: &Error) {
        if error.is_unwritten() {
            self.fail(&error.to_string());
        }
        match error.fault() {
            Some(Fault::File) => self.damage_seen(volume),
            Some(Fault::Gone) => self.known.volume_missing(volume),
            _ => {}
        }
    }

    /// Notes damage in a volume: it takes no more mail, and its row says so from now on.
    pub(in crate::store) fn damage_seen(&self, volume: u32) {
        if !self.known.volume_damaged(volume) {
            return;
        }
        tracing::error!(volume, "a volume is damaged: it takes no more mail; run `postern check`");
        if let Some(Err(error)) = self.mends.get().map(|mends| mends.say_damaged(volume)) {
            tracing::debug!(volume, %error, "the volume's row does not say that it is damaged");
        }
    }

    fn is_writer(&self) -> bool {
        self.writer.get() == Some(&std::thread::current().id())
    }

    /// Has the writer open again what broke.
    fn mend(&self) -> Result<(), Error> {
        if self.is_writer() {
            let error = std::io::Error::other("it must be opened again first");
            return Err(Error::io("reading the store", error));
        }
        self.mends.get().map_or(Err(Error::Closed), |mends| mends.mend())
    }

    pub(in crate::store) fn make_volume(&self, number: u32, sequence: u64) -> Result<(), Error> {
        self.budget.create(number, sequence).map_err(|error| match error.fault() {
            Some(Fault::Full) => self.no_space(0),
            _ => error,
        })?;
        self.budget.activate(number);
        Ok(())
    }

    pub(in crate::store) fn random_bytes(&self) -> [u8; 16] {
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
    pub(in crate::store) fn fail(&self, why: &str) {
        self.disk.meter.frozen.store(true, Ordering::Release);
        if self.known.read_only(why) {
            tracing::error!(why, "the store serves reads only until it is restarted");
        }
    }

    pub(in crate::store) fn check_writable(&self) -> Result<(), Error> {
        self.known.why_read_only().map_or(Ok(()), |why| Err(Error::ReadOnly(why)))
    }
}
