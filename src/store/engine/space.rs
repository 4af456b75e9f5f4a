//! Whether the disk can take what a job brings. Room is what is free on the disk less the reserve, and what is
//! free in the volumes; redb tells the latter only in a walk, so it is guessed, and what turns out too much is
//! refused by the volume before the journal hears of it (`writer`).

use std::sync::atomic::Ordering;

use crate::model::locked;
use crate::store::base::error::Error;
use crate::store::base::fault::Fault;
use crate::store::engine::preallocated::STEP;
use crate::store::engine::shared::Shared;
use crate::store::engine::volumes::{self, VolumeRow};

/// Rows of a job that brings no content count as growth beyond this: a COPY of thousands of messages.
const SMALL: u64 = 64 << 10;
/// With less than this beyond the reserve, each step is looked at.
const TIGHT: u64 = 64 << 20;
/// What a file needs in order to grow: another step ahead of it, where it had one.
const GROWTH: u64 = STEP;
/// The index must have this ahead of it for a job that grows.
const AHEAD: u64 = 512 << 10;
/// Room that a volume must seem to have in order to be tried.
const SPARE: u64 = 1 << 20;

/// Few messages are larger.
pub(in crate::store) const USUAL: u64 = 64 << 10;

/// How things are when a batch begins. All in bytes.
#[derive(Clone, Copy, Debug)]
pub(in crate::store) struct Standing {
    free: u64,
    reserve: u64,
    /// Of rows since the last checkpoint: of the index, and of all files.
    dirty: (u64, u64),
    /// Allocated ahead of the index.
    ahead: u64,
}

/// Whether an error says that the disk, or a file's part of it, is full.
pub(in crate::store) fn is_full(error: &Error) -> bool {
    error.fault() == Some(Fault::Full)
}

/// Rows of the index, and rows of volumes, in bytes.
pub(in crate::store) type Bytes = (usize, usize);

impl Standing {
    pub(in crate::store) fn new(shared: &Shared, dirty: (u64, u64)) -> Self {
        let (free, reserve) = (shared.disk.free(&shared.paths), shared.options.reserve);
        let mut standing = Standing { free, reserve, dirty, ahead: 0 };
        if standing.is_tight() {
            let index = shared.index();
            index.extent.keep_ahead();
            standing.ahead = index.extent.ahead();
        }
        standing
    }

    /// The disk has little left.
    pub(in crate::store) fn is_tight(&self) -> bool {
        self.free < self.reserve.saturating_add(self.dirty.1.saturating_mul(2)).saturating_add(TIGHT)
    }

    /// Pages of the index that changes replaced are free again after a checkpoint only: whether there must be
    /// one, so that those that follow need not use up what is ahead.
    pub(in crate::store) fn needs_checkpoint(&self) -> bool {
        self.is_tight() && self.dirty.0.saturating_mul(4) > self.ahead.max(AHEAD)
    }

    /// What volumes may take of the disk.
    pub(in crate::store) fn allowance(&self) -> u64 {
        self.free.saturating_sub(self.reserve)
    }

    /// Whether a volume may grow, or another one be made.
    pub(in crate::store) fn may_grow(&self) -> bool {
        self.allowance() >= GROWTH.saturating_add(self.dirty.1)
    }

    /// Refuses what the disk cannot take. redb writes each changed page anew, so rows count twice until the
    /// next checkpoint. Deleting and small changes go on with nothing free: what they need is allocated.
    pub(in crate::store) fn check(&self, batch: Bytes, job: Bytes, has_content: bool) -> Result<(), Error> {
        let (index, volumes) = ((batch.0 + job.0) as u64, (batch.1 + job.1) as u64);
        if !has_content && (job.0 + job.1) as u64 <= SMALL {
            return Ok(());
        }
        let all = self.dirty.1.saturating_add(index).saturating_add(volumes).saturating_mul(2);
        let needed = self.reserve.saturating_add(all);
        // Of the volumes' pages those that have blocks can be filled with none free on the disk.
        let of_index = self.dirty.0.saturating_add(index).saturating_mul(2);
        if self.free >= needed || self.ahead >= of_index.max(AHEAD) {
            return Ok(());
        }
        Err(Error::NoSpace { free: self.free, needed })
    }
}

/// About how much more a volume can take without growing: its length less what lives in it and what pages and
/// small rows waste.
pub(in crate::store) fn spare(shared: &Shared, volume: u32, row: &VolumeRow) -> u64 {
    let length = shared.budget.length(volume).unwrap_or(0);
    length.saturating_sub(row.live / 8 * 9).saturating_sub(SPARE)
}

/// Whether so much of a volume is free that it is worth being made shorter.
pub(in crate::store) fn is_holey(shared: &Shared, volume: u32, row: &VolumeRow) -> bool {
    let length = shared.budget.length(volume).unwrap_or(0);
    spare(shared, volume, row) > (2 * STEP).max(length / 4)
}

impl Shared {
    /// Whether a message of so many bytes would have room, as far as can be told before it comes.
    pub(in crate::store) fn room_for(&self, bytes: u64) -> Result<(), Error> {
        self.check_writable()?;
        let dirty = self.counters.dirty.load(Ordering::Relaxed);
        let standing = Standing::new(self, (0, dirty));
        if !standing.is_tight()
            || standing.allowance() >= GROWTH.saturating_add(dirty).saturating_add(2 * bytes)
        {
            return Ok(());
        }
        let full = locked(&self.full).clone();
        let has_room = |(volume, row): &(u32, VolumeRow)| {
            !row.damaged && !full.contains_key(volume) && spare(self, *volume, row) > bytes
        };
        if standing.ahead >= AHEAD && volumes::list(&self.index().view()?)?.iter().any(has_room) {
            return Ok(());
        }
        Err(self.no_space(bytes))
    }

    /// New mail of so many bytes has no room.
    pub(in crate::store) fn no_space(&self, bytes: u64) -> Error {
        Error::NoSpace {
            free: self.disk.free(&self.paths),
            needed: self.options.reserve.saturating_add(GROWTH).saturating_add(bytes),
        }
    }
}
