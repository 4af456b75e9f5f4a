//! The one memory budget: nothing opens a volume without it. redb would take 1 GiB of cache for each file.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use crate::model::locked;
use crate::store::base::env::{Disk, Metered, Paths};
use crate::store::base::error::Error;
use crate::store::base::fault::{Fault, fault};
use crate::store::engine::backoff::Backoff;
use crate::store::engine::database::{Change, File, Kind, META};
use crate::store::engine::lineage::{Lineage, META_EPOCH, META_GENERATION, META_ID};

struct Open {
    file: Arc<File>,
    used: u64,
    active: bool,
}

#[derive(Default)]
struct State {
    open: BTreeMap<u32, Open>,
    /// Volumes with rows since the last checkpoint; a handle that holds such rows is not closed.
    dirty: BTreeSet<u32>,
    /// With the error that the last attempt to open it gave, if that gave one.
    failing: BTreeMap<u32, (Backoff, Option<Error>)>,
    tick: u64,
}

/// The open volumes.
pub(in crate::store) struct Budget {
    disk: Metered,
    paths: Paths,
    /// What a volume that is made durable says of itself.
    stamp: [(&'static [u8], Vec<u8>); 3],
    state: Mutex<State>,
    /// The volume that takes new content; 0 for none.
    pub(in crate::store) active: AtomicU32,
    active_cache: usize,
    other_cache: usize,
    most: usize,
}

impl Budget {
    pub(in crate::store) fn new(
        disk: Metered,
        paths: Paths,
        lineage: &Lineage,
        epoch: u64,
        caches: (usize, usize),
        most: usize,
    ) -> Self {
        let (active_cache, other_cache) = caches;
        let stamp = [
            (META_ID, lineage.id.to_vec()),
            (META_GENERATION, lineage.generation.to_le_bytes().to_vec()),
            (META_EPOCH, epoch.to_le_bytes().to_vec()),
        ];
        Budget {
            disk,
            paths,
            stamp,
            state: Mutex::default(),
            active: AtomicU32::new(0),
            active_cache,
            other_cache,
            most,
        }
    }

    /// Whether a volume has rows that only the journal has, and no handle that shows them: only the writer can
    /// open it, who gives it these rows first.
    pub(in crate::store) fn needs_writer(&self, number: u32) -> bool {
        locked(&self.state).needs_writer(number)
    }

    /// How long a reader should wait before it has a volume opened again that failed lately.
    ///
    /// # Errors
    /// Damage is told at once for so long, for it does not pass; and so is what kept it from being opened again and
    /// again.
    pub(in crate::store) fn wait(&self, number: u32) -> Result<Duration, Error> {
        let state = locked(&self.state);
        let sound = state.open.get(&number).is_some_and(|open| !is_lost(&open.file));
        let Some((backoff, last)) = state.failing.get(&number).filter(|_| !sound) else {
            return Ok(Duration::ZERO);
        };
        let wait = backoff.wait(Instant::now());
        match last {
            Some(error)
                if !wait.is_zero() && (matches!(error, Error::Damaged(_)) || backoff.is_lasting()) =>
            {
                Err(error.clone())
            }
            _ => Ok(wait),
        }
    }

    /// The handle of a volume; opens it if it is not open.
    pub(in crate::store) fn volume(&self, number: u32) -> Result<Arc<File>, Error> {
        let mut state = locked(&self.state);
        if state.needs_writer(number) {
            let error =
                std::io::Error::other("it is opened again and gets its last changes from the journal");
            return Err(Error::io(format!("reading volume {number}"), error));
        }
        state.tick += 1;
        let tick = state.tick;
        let active = self.active.load(Ordering::Acquire) == number;
        let dirty = state.dirty.contains(&number);
        if let Some(open) = state.open.get_mut(&number) {
            let broken = is_lost(&open.file);
            let regrow = active && !open.active && !dirty && Arc::strong_count(&open.file) == 1;
            if !broken && !regrow {
                open.used = tick;
                return Ok(Arc::clone(&open.file));
            }
            if broken {
                state.failing.entry(number).or_default().0.failed(Instant::now());
            }
            close(state.open.remove(&number));
        }
        let file = self.open(number, active, false).inspect_err(|error| {
            if error.fault() != Some(Fault::Gone) {
                let (backoff, last) = state.failing.entry(number).or_default();
                backoff.failed(Instant::now());
                *last = Some(error.clone());
            }
        });
        let file = Arc::new(file?);
        if let Some((_, last)) = state.failing.get_mut(&number) {
            *last = None;
        }
        state.open.insert(number, Open { file: Arc::clone(&file), used: tick, active });
        Self::trim(&mut state, self.most, number);
        Ok(file)
    }

    fn open(&self, number: u32, active: bool, create: bool) -> Result<File, Error> {
        let cache = if active { self.active_cache } else { self.other_cache };
        let file = File::open(&self.disk, &self.paths.volume(number), Kind::Volume, cache, create)?;
        if active {
            file.extent.keep_ahead();
        }
        Ok(file)
    }

    /// From now on this volume takes new content: it alone has blocks of the disk ahead of it.
    pub(in crate::store) fn activate(&self, number: u32) {
        let before = self.active.swap(number, Ordering::AcqRel);
        let state = locked(&self.state);
        if before != number
            && let Some(open) = state.open.get(&before)
            && let Err(error) = open.file.extent.release()
        {
            tracing::warn!(volume = before, %error, "what was allocated ahead of a volume is not given back");
        }
        if let Some(open) = state.open.get(&number) {
            open.file.extent.keep_ahead();
        }
    }

    /// The length of a volume's file.
    pub(in crate::store) fn length(&self, number: u32) -> Result<u64, Error> {
        if let Some(open) = locked(&self.state).open.get(&number) {
            return Ok(open.file.extent.length());
        }
        let path = self.paths.volume(number);
        let length = self.disk.open(&path, false).and_then(|file| file.len());
        length.map_err(|error| Error::io(format!("looking at {}", path.display()), error))
    }

    /// Closes the ones least recently used, but for those in use or with rows since the checkpoint.
    fn trim(state: &mut State, most: usize, keep: u32) {
        while state.open.len() > most + 1 {
            let idle = state
                .open
                .iter()
                .filter(|(number, open)| {
                    **number != keep && !state.dirty.contains(number) && Arc::strong_count(&open.file) == 1
                })
                .min_by_key(|(_, open)| open.used)
                .map(|(number, _)| *number);
            let Some(number) = idle else { return };
            close(state.open.remove(&number));
        }
    }

    /// Makes a volume's file: created, synced, its folder synced. It gets its name once it is whole, so that what
    /// is left of a failure half-way never stands in the way of the next.
    pub(in crate::store) fn create(&self, number: u32, sequence: u64) -> Result<(), Error> {
        let path = self.paths.volume(number);
        let file = if self.disk.writes() {
            let new = path.with_extension("new");
            match self.disk.unlink(&new) {
                Err(error) if fault(&error) != Fault::Gone => {
                    return Err(Error::io(format!("removing {}", new.display()), error));
                }
                _ => {}
            }
            let mut file = File::open(&self.disk, &new, Kind::Volume, self.active_cache, true)?;
            self.harden_file(&file, sequence)?;
            let naming = |error| Error::io(format!("making {}", path.display()), error);
            self.disk.rename(&new, &path).map_err(naming)?;
            self.disk.sync_dir(&self.paths.mail()).map_err(naming)?;
            file.renamed(&path);
            file
        } else {
            // In memory, for what the journal holds and its own volume cannot take.
            let file = self.open(number, true, true)?;
            self.harden_file(&file, sequence)?;
            file
        };
        let file = Arc::new(file);
        let mut state = locked(&self.state);
        state.tick += 1;
        let used = state.tick;
        close(state.open.insert(number, Open { file, used, active: true }));
        Self::trim(&mut state, self.most, number);
        Ok(())
    }

    /// Makes a volume durable, with what it has reached and in which run.
    pub(in crate::store) fn harden(&self, number: u32, sequence: u64) -> Result<(), Error> {
        let file = self.volume(number)?;
        self.harden_file(&file, sequence)
    }

    fn harden_file(&self, file: &File, sequence: u64) -> Result<(), Error> {
        let stamp = self.stamp.iter().map(|(key, value)| -> Change<'_> { (META, key, Some(value)) });
        file.apply(stamp, sequence, true)
    }

    pub(in crate::store) fn mark_dirty(&self, number: u32) {
        locked(&self.state).dirty.insert(number);
    }

    pub(in crate::store) fn dirty(&self) -> Vec<u32> {
        locked(&self.state).dirty.iter().copied().collect()
    }

    pub(in crate::store) fn mark_clean(&self, number: u32) {
        locked(&self.state).dirty.remove(&number);
    }

    /// Volumes that hold rows which only the journal has, and whose handle broke.
    pub(in crate::store) fn broken(&self) -> Vec<u32> {
        let state = locked(&self.state);
        state.dirty.iter().copied().filter(|number| state.needs_writer(*number)).collect()
    }

    /// Whether a write or a sync failed in a volume's handle.
    pub(in crate::store) fn is_unwritten(&self, number: u32) -> bool {
        locked(&self.state).open.get(&number).is_some_and(|open| open.file.is_unwritten())
    }

    /// Gives up the handle and opens the file anew: what was not durable in it is gone. Readers see it once it is
    /// put back.
    pub(in crate::store) fn reopen(&self, number: u32) -> Result<Arc<File>, Error> {
        close(locked(&self.state).open.remove(&number));
        let active = self.active.load(Ordering::Acquire) == number;
        Ok(Arc::new(self.open(number, active, false)?))
    }

    /// Lets readers see a volume that was opened anew.
    pub(in crate::store) fn put_back(&self, number: u32, file: Arc<File>) {
        let mut state = locked(&self.state);
        let active = self.active.load(Ordering::Acquire) == number;
        state.tick += 1;
        let used = state.tick;
        close(state.open.insert(number, Open { file, used, active }));
    }

    /// The highest number that any file in `mail/` bears, whatever became of it.
    pub(in crate::store) fn highest(&self) -> Result<u32, Error> {
        let names = self.disk.list(&self.paths.mail());
        let names = names.map_err(|error| Error::io("listing mail/", error))?;
        let numbers = names.iter().filter(|name| !name.ends_with(".new"));
        Ok(numbers.filter_map(|name| Paths::number_in(name)).max().unwrap_or(0))
    }

    /// Forgets a volume that is about to be unlinked.
    pub(in crate::store) fn forget(&self, number: u32) {
        let mut state = locked(&self.state);
        state.dirty.remove(&number);
        close(state.open.remove(&number));
    }

    pub(in crate::store) fn is_open(&self, number: u32) -> bool {
        locked(&self.state).open.contains_key(&number)
    }

    pub(in crate::store) fn open_count(&self) -> usize {
        locked(&self.state).open.len()
    }

    /// Gives every handle up: nothing of what is in memory only reaches the files.
    pub(in crate::store) fn abandon(&self) {
        std::mem::take(&mut locked(&self.state).open).into_values().for_each(|open| close(Some(open)));
    }

    /// Drops every handle; redb closes the files in order.
    pub(in crate::store) fn close_all(&self) {
        locked(&self.state).open.clear();
    }
}

impl State {
    fn needs_writer(&self, number: u32) -> bool {
        self.dirty.contains(&number) && self.open.get(&number).is_none_or(|open| is_lost(&open.file))
    }
}

/// Whether a handle is of no use any more.
fn is_lost(file: &File) -> bool {
    file.is_broken() || file.is_panicked()
}

/// A clean handle is given up, not closed: closing would cost redb a durable commit, and since the last
/// one had quick repair the file opens at once all the same.
fn close(open: Option<Open>) {
    if let Some(open) = open {
        open.file.give_up();
    }
}
