//! What the writer, readers and all that comes in share.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use crate::store::base::env::{Held, Metered, Paths};
use crate::store::base::error::Error;
use crate::store::base::rows::News;
use crate::store::engine::budget::Budget;
use crate::store::engine::condition::Known;
use crate::store::engine::database::File;
use crate::store::engine::options::Options;
use crate::store::engine::pins::Pins;

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
    /// What is known to be wrong.
    pub(in crate::store) known: Known,
    pub(in crate::store) reserved: Mutex<Range<u64>>,
    pub(in crate::store) counters: Counters,
    pub(in crate::store) sweeping: Mutex<()>,
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
}

impl Shared {
    pub(in crate::store) fn index(&self) -> Arc<File> {
        Arc::clone(&self.index.read().unwrap_or_else(PoisonError::into_inner))
    }

    pub(in crate::store) fn make_volume(&self, number: u32, sequence: u64) -> Result<(), Error> {
        self.budget.create(number, sequence)?;
        self.budget.activate(number);
        Ok(())
    }

    pub(in crate::store) fn random_number(&self) -> Result<u64, Error> {
        let bytes = self.options.random.bytes();
        let bytes = bytes.map_err(|error| Error::io("asking for random bytes", error))?;
        Ok(u128::from_le_bytes(bytes) as u64)
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
            tracing::error!(why, "a write failed: the store serves reads only until it is restarted");
        }
    }

    pub(in crate::store) fn check_writable(&self) -> Result<(), Error> {
        self.known.why_read_only().map_or(Ok(()), |why| Err(Error::ReadOnly(why)))
    }
}
