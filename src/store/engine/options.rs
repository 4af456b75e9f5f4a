//! What the store is told when it is opened, and the figures that it gives.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::model::ContentId;
use crate::store::base::env::{Clock, Disk, Metered, Paths, Random, RealClock, RealDisk, RealRandom};
use crate::store::base::error::Error;
use crate::store::base::rows::Rows;
use crate::store::engine::format::Format;

/// Bytes of its disk that a server leaves free: what writes there beside it should leave them, too.
pub const RESERVE: u64 = 64 << 20;

/// Visits every email that a message or the bin names; the sweep drops the others.
pub type LiveEmails = fn(&dyn Rows, &mut dyn FnMut(ContentId)) -> Result<(), Error>;

/// How the store is opened.
#[derive(Clone, Debug)]
pub struct Options {
    /// The data folder.
    pub data: PathBuf,
    /// The disk.
    pub disk: Arc<dyn Disk>,
    /// The clock.
    pub clock: Arc<dyn Clock>,
    /// Chance.
    pub random: Arc<dyn Random>,
    /// Content that a volume takes.
    pub volume_size: u64,
    /// Bytes of a segment of the journal.
    pub segment_size: u64,
    /// Operations after which there is a checkpoint.
    pub checkpoint_ops: u64,
    /// Time after the last change until there is one.
    pub checkpoint_idle: Duration,
    /// Cache of the index.
    pub index_cache: usize,
    /// Cache of the volume that takes new content.
    pub active_cache: usize,
    /// Cache of each other open volume.
    pub volume_cache: usize,
    /// Other volumes that are open at a time.
    pub open_volumes: usize,
    /// Bytes of the disk that new mail may not take, so that deleting still works.
    pub reserve: u64,
    /// Compressed bytes that an [`crate::store::Incoming`] keeps in memory.
    pub incoming_memory: usize,
    /// The format that the store has, or is brought to.
    pub format: Format,
    /// What the sweep keeps.
    pub live_emails: Option<LiveEmails>,
    /// The id of the store that must be there; none: a new store is made in an empty folder.
    pub expect: Option<[u8; 16]>,
    /// The run of the store that is remembered outside of its folder: one that its index does not know of is
    /// later than all that it knows.
    pub expect_epoch: Option<u64>,
    /// A store is made anew here out of a backup: of which id it is, if it is not there yet. None: a folder where
    /// that was begun and not ended is refused.
    pub anew: Option<[u8; 16]>,
}

impl Options {
    /// A random number.
    pub(in crate::store) fn random_number(&self) -> Result<u64, Error> {
        let bytes = self.random.bytes().map_err(|error| Error::io("asking for random bytes", error))?;
        Ok(u128::from_le_bytes(bytes) as u64)
    }

    /// As a server runs it, in the folder `data`.
    #[must_use]
    pub fn new(data: impl Into<PathBuf>) -> Self {
        Options {
            data: data.into(),
            disk: Arc::new(RealDisk),
            clock: Arc::new(RealClock),
            random: Arc::new(RealRandom),
            volume_size: 256 << 20,
            segment_size: 8 << 20,
            checkpoint_ops: 2000,
            checkpoint_idle: Duration::from_secs(180),
            index_cache: 16 << 20,
            active_cache: 3 << 20,
            volume_cache: 1 << 20,
            open_volumes: 6,
            reserve: RESERVE,
            incoming_memory: 512 << 10,
            format: Format::CURRENT,
            live_emails: None,
            expect: None,
            expect_epoch: None,
            anew: None,
        }
    }
}

impl Metered {
    pub(in crate::store) fn free(&self, paths: &Paths) -> u64 {
        // A disk that does not say is not full.
        self.free_space(&paths.data).unwrap_or(u64::MAX)
    }
}

/// Figures for `status` and benchmarks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Statistics {
    /// Bytes written to all files since the start.
    pub written: u64,
    /// Syncs since the start.
    pub syncs: u64,
    /// Batches committed since the start.
    pub batches: u64,
    /// Jobs in them.
    pub jobs: u64,
    /// Checkpoints since the start.
    pub checkpoints: u64,
    /// Bytes of rows since the last checkpoint.
    pub dirty: u64,
    /// The journal's sequence number.
    pub sequence: u64,
    /// Bytes used of the segment in use.
    pub journal_used: u64,
    /// Segments of the journal.
    pub journal_segments: u64,
    /// At the start the journal was found damaged; the segments were copied aside.
    pub journal_damaged: bool,
    /// Volumes.
    pub volumes: u64,
    /// Of these, open ones.
    pub open_volumes: u64,
    /// Bytes of content that is named.
    pub live: u64,
    /// Bytes of content that the last sweep found dead and kept.
    pub dead: u64,
    /// Bytes free on the disk.
    pub free: u64,
    /// Why the store accepts no changes, if so.
    pub read_only: Option<String>,
}
