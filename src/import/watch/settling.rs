//! How long each file has been as it is, by a clock that cannot be set: which may still be written.
//!
//! A file that was renamed into its place while that was watched was whole before: that is what `tmp/` is for, and
//! what every Maildir program does. Of one that was made in place nobody can say whether its writer has ended, and
//! just as little of one that lay there before anybody watched, or that came while the watch did not look.

use std::collections::HashMap;
use std::fmt::Debug;
#[cfg(test)]
use std::fs;
use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::mark::mark;
use crate::import::disk::beneath::Beneath;
use crate::import::disk::read::{Quiet, SETTLE};

/// A file that was not renamed into its place is removed once it has lain unchanged for this. A download that stalls
/// goes on or is given up within TCP's time-outs of a few minutes, and a program that was stopped is started again.
pub(crate) const UNCHANGED: Duration = Duration::from_secs(600);
/// Files that are known, at some 60 bytes each. Where more lie, the rest are looked at in turn, as these go.
const MOST: usize = 200_000;

/// A clock that only goes on.
pub(crate) trait SteadyClock: Send + Sync + Debug {
    /// The time since some moment.
    fn now(&self) -> Duration;
}

/// The system's.
#[derive(Debug)]
pub(crate) struct SystemClock(Instant);

impl Default for SystemClock {
    fn default() -> Self {
        SystemClock(Instant::now())
    }
}

impl SteadyClock for SystemClock {
    fn now(&self) -> Duration {
        self.0.elapsed()
    }
}

/// What was seen of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Sight {
    /// Which file it is.
    pub(super) which: u64,
    /// Its length and when it was written.
    shape: u64,
    /// That, and when it was last touched in any way.
    state: u64,
}

impl Sight {
    fn new(metadata: &Metadata, path: Option<&Path>) -> Self {
        use std::os::unix::ffi::OsStrExt;
        let which = match path {
            Some(path) => mark(path.as_os_str().as_bytes()),
            None => of(&[metadata.dev(), metadata.ino()]),
        };
        let written = [metadata.size(), metadata.mtime() as u64, metadata.mtime_nsec() as u64];
        let touched = [of(&written), metadata.ctime() as u64, metadata.ctime_nsec() as u64];
        Sight { which, shape: of(&written), state: of(&touched) }
    }
}

fn of(numbers: &[u64]) -> u64 {
    mark(&numbers.iter().flat_map(|number| number.to_le_bytes()).collect::<Vec<u8>>())
}

/// What is known of a file.
#[derive(Clone, Copy, Debug)]
struct Known {
    shape: u64,
    state: u64,
    /// Since when it is in this state.
    since: Duration,
    /// It was renamed into its place.
    arrived: bool,
    /// It is imported as it is, and only waits.
    imported: bool,
    /// How often it was imported and went on growing.
    grown: u8,
    /// The last look that saw it.
    look: u32,
}

/// What is known of a source's files.
#[derive(Debug)]
pub(super) struct Settling {
    clock: Arc<dyn SteadyClock>,
    files: HashMap<u64, Known>,
    look: u32,
    most: usize,
    /// Whether a file can be told by its inode: network file systems and FUSE may give it another each time.
    pub(super) inodes_last: bool,
}

impl Settling {
    pub(super) fn new(clock: Arc<dyn SteadyClock>) -> Self {
        Settling { clock, files: HashMap::new(), look: 0, most: MOST, inodes_last: true }
    }

    /// A look at everything begins.
    pub(super) fn begin(&mut self) {
        self.look = self.look.wrapping_add(1);
    }

    /// A look at everything has ended: what it did not see is gone.
    pub(super) fn end(&mut self) {
        let look = self.look;
        self.files.retain(|_, known| known.look == look);
    }

    /// A file was renamed into its place. One that was seen before only has another name, and may be written still.
    pub(super) fn moved_in(&mut self, root: &Beneath, path: &Path) {
        let Ok(metadata) = root.metadata(path) else { return };
        if !metadata.is_file() || !self.inodes_last {
            return;
        }
        let sight = Sight::new(&metadata, None);
        if !self.files.contains_key(&sight.which) {
            self.learn(&sight, true);
        }
    }

    /// What is seen of a file. `path` says which it is where its inode does not: without its flags, that change.
    pub(super) fn sight(&self, metadata: &Metadata, path: &Path) -> Sight {
        Sight::new(metadata, (!self.inodes_last).then_some(path))
    }

    /// A file is there, in this state. A file of which there is no room to know anything counts as new each time.
    pub(super) fn see(&mut self, sight: &Sight) {
        let (now, look) = (self.clock.now(), self.look);
        let Some(known) = self.files.get_mut(&sight.which) else { return self.learn(sight, false) };
        known.look = look;
        if known.shape != sight.shape {
            (known.arrived, known.imported) = (false, false);
        }
        if known.state != sight.state {
            known.state = sight.state;
            known.shape = sight.shape;
            // Whoever renames a whole file, or gives it other rights, leaves it whole.
            if !known.arrived {
                known.since = now;
            }
        }
    }

    fn learn(&mut self, sight: &Sight, arrived: bool) {
        if self.files.len() < self.most {
            let Sight { which, shape, state } = *sight;
            let (since, look) = (self.clock.now(), self.look);
            let known = Known { shape, state, since, arrived, imported: false, grown: 0, look };
            self.files.insert(which, known);
        }
    }

    /// It was put back where it lay: by us, which says nothing of how whole it is.
    pub(super) fn put_back(&mut self, which: u64) {
        let now = self.clock.now();
        if let Some(known) = self.files.get_mut(&which) {
            (known.arrived, known.since) = (false, now);
        }
    }

    /// Whether it was renamed into its place, and nobody wrote to it since.
    pub(super) fn arrived(&self, which: u64) -> bool {
        self.files.get(&which).is_some_and(|known| known.arrived)
    }

    /// For how long it has been as it is, as far as is known.
    fn quiet(&self, which: u64) -> Duration {
        let since = self.files.get(&which).map(|known| known.since);
        since.map_or(Duration::ZERO, |since| self.clock.now().saturating_sub(since))
    }

    /// How sure it is that it can be read as a whole. Where there is no room to know, it is: what turns out to have been
    /// too early is mended.
    pub(super) fn readiness(&self, which: u64) -> Quiet {
        match self.files.get(&which) {
            Some(known) if known.arrived => Quiet::Whole,
            Some(_) => Quiet::For(self.quiet(which)),
            None => Quiet::For(SETTLE),
        }
    }

    /// How long it must still lie as it is before it may be removed.
    pub(super) fn left(&self, which: u64) -> Duration {
        if self.arrived(which) { Duration::ZERO } else { UNCHANGED.saturating_sub(self.quiet(which)) }
    }

    /// Whether nothing is to be done but to wait: it is imported as it is.
    pub(super) fn only_waits(&self, which: u64) -> bool {
        self.files.get(&which).is_some_and(|known| known.imported) && !self.left(which).is_zero()
    }

    /// How many only wait.
    pub(super) fn waiting(&self) -> u64 {
        self.files.iter().filter(|(which, known)| known.imported && !self.left(**which).is_zero()).count()
            as u64
    }

    /// It is imported as it is.
    pub(super) fn imported(&mut self, which: u64) {
        if let Some(known) = self.files.get_mut(&which) {
            known.imported = true;
        }
    }

    /// It is to be looked at, though it is imported as it is.
    pub(super) fn touched(&mut self, which: u64) {
        if let Some(known) = self.files.get_mut(&which) {
            known.imported = false;
        }
    }

    /// It was imported before it was whole.
    pub(super) fn grew(&mut self, which: u64) {
        if let Some(known) = self.files.get_mut(&which) {
            known.grown = known.grown.saturating_add(1);
        }
    }

    /// How long to leave a file alone that was imported and then went on growing. Each time four times as long as
    /// before: who writes a line a second would fill the bin with halves.
    pub(super) fn pause(&self, which: u64) -> Option<Duration> {
        let grown = self.files.get(&which).map_or(0, |known| known.grown);
        if grown == 0 {
            return None;
        }
        let wanted = SETTLE.saturating_mul(4_u32.saturating_pow(grown.into())).min(UNCHANGED);
        Some(wanted.saturating_sub(self.quiet(which))).filter(|left| !left.is_zero())
    }

    /// It is gone, or nothing more is to be known of it.
    pub(super) fn forget(&mut self, which: u64) {
        self.files.remove(&which);
    }

    /// It stays where it is, and is known by its row: only that it grew is worth its room.
    pub(super) fn forget_unless_grown(&mut self, which: u64) {
        if self.files.get(&which).is_some_and(|known| known.grown == 0) {
            self.forget(which);
        }
    }
}

/// A clock that a test owns.
#[cfg(test)]
#[derive(Debug, Default)]
pub(super) struct HandClock(std::sync::atomic::AtomicU64);

#[cfg(test)]
impl HandClock {
    pub(super) fn advance(&self, time: Duration) {
        self.0.fetch_add(time.as_millis() as u64, std::sync::atomic::Ordering::Relaxed);
    }
}

#[cfg(test)]
impl SteadyClock for HandClock {
    fn now(&self) -> Duration {
        Duration::from_millis(self.0.load(std::sync::atomic::Ordering::Relaxed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    struct Bench {
        folder: tempfile::TempDir,
        clock: Arc<HandClock>,
        settling: Settling,
    }

    impl Bench {
        fn root(&self) -> Beneath {
            Beneath::open(self.folder.path()).unwrap()
        }

        fn new() -> Self {
            let clock = Arc::new(HandClock::default());
            let (folder, steady) = (tempfile::tempdir().unwrap(), Arc::clone(&clock));
            Bench { folder, clock, settling: Settling::new(steady) }
        }

        fn see(&mut self, name: &str) -> u64 {
            let sight = Sight::new(&fs::symlink_metadata(self.folder.path().join(name)).unwrap(), None);
            self.settling.see(&sight);
            sight.which
        }

        fn write(&self, name: &str, text: &str) {
            fs::write(self.folder.path().join(name), text).unwrap();
        }
    }

    #[test]
    fn what_lay_there_waits_from_its_last_change_on_and_a_future_time_skips_nothing() {
        let mut bench = Bench::new();
        bench.write("a", "half");
        let future = std::time::SystemTime::now() + Duration::from_secs(1_000_000);
        let file = fs::File::options().write(true).open(bench.folder.path().join("a")).unwrap();
        file.set_modified(future).unwrap();
        let which = bench.see("a");
        assert_eq!(bench.settling.left(which), UNCHANGED);
        bench.clock.advance(UNCHANGED - SECOND);
        bench.see("a");
        assert_eq!(bench.settling.left(which), SECOND);
        // The same length and time, and yet touched.
        bench.write("a", "HALF");
        file.set_modified(future).unwrap();
        bench.see("a");
        assert_eq!(bench.settling.left(which), UNCHANGED);
        bench.clock.advance(UNCHANGED);
        bench.see("a");
        assert!(bench.settling.left(which).is_zero());
    }

    #[test]
    fn what_was_renamed_in_waits_for_nothing_unless_it_is_written_after_all() {
        let mut bench = Bench::new();
        bench.write("a", "whole");
        bench.settling.moved_in(&bench.root(), &bench.folder.path().join("a"));
        let which = bench.see("a");
        assert!(bench.settling.left(which).is_zero());
        fs::rename(bench.folder.path().join("a"), bench.folder.path().join("b")).unwrap();
        bench.see("b");
        assert!(bench.settling.left(which).is_zero(), "another name");
        bench.write("b", "whole, and more");
        bench.see("b");
        assert_eq!(bench.settling.left(which), UNCHANGED);
        // What was seen in its place is not made whole by a rename.
        bench.write("c", "half");
        let which = bench.see("c");
        bench.settling.moved_in(&bench.root(), &bench.folder.path().join("c"));
        assert_eq!(bench.settling.left(which), UNCHANGED);
    }

    #[test]
    fn a_file_that_grows_again_and_again_is_left_alone_for_longer_and_longer() {
        let mut bench = Bench::new();
        bench.write("a", "x");
        let which = bench.see("a");
        assert_eq!(bench.settling.pause(which), None);
        for wanted in [SETTLE * 4, SETTLE * 16, SETTLE * 64] {
            bench.settling.grew(which);
            bench.write("a", &"x".repeat(wanted.as_millis() as usize));
            bench.see("a");
            assert_eq!(bench.settling.pause(which), Some(wanted));
            bench.clock.advance(wanted);
            assert_eq!(bench.settling.pause(which), None);
        }
        (0..200).for_each(|_| bench.settling.grew(which));
        bench.write("a", "x");
        bench.see("a");
        assert_eq!(bench.settling.pause(which), Some(UNCHANGED));
    }

    #[test]
    fn what_is_gone_is_forgotten_and_what_finds_no_room_waits() {
        let mut bench = Bench::new();
        bench.settling.most = 2;
        let which: Vec<_> = ["a", "b", "c"]
            .iter()
            .map(|name| {
                bench.write(name, name);
                bench.see(name)
            })
            .collect();
        which.iter().for_each(|which| bench.settling.imported(*which));
        assert_eq!(bench.settling.waiting(), 2);
        bench.clock.advance(UNCHANGED);
        assert_eq!(bench.settling.left(which[2]), UNCHANGED);
        bench.settling.begin();
        bench.see("b");
        bench.settling.end();
        bench.see("c");
        assert_eq!(bench.settling.files.len(), 2);
        bench.clock.advance(UNCHANGED);
        assert!(bench.settling.left(which[2]).is_zero());
    }
}
