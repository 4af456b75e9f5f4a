//! The watcher: one thread a source, that looks at it when it starts, when inotify says that something came,
//! and regularly whatever inotify says.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::changes::{Change, Changes, Nudge, Wanted};
use super::end::End;
use super::scanner::{AGAIN, Scanner};
use super::settling::{SteadyClock, SystemClock};
use super::status::{Mode, Problem, SourceStatus};
use crate::import::disk::disk_error::{is_denied, is_gone, words};
use crate::import::disk::filesystem;
use crate::import::maildir::layout::Found;
use crate::model::locked;
use crate::store::sources::{self, Source};
use crate::store::{Error, Store};

/// Times that folders are looked for in a row while more and more of them appear.
const MAX_FINDS: usize = 8;
/// A root that is not there for so long is not just being renamed.
const ABSENT: Duration = Duration::from_secs(2);

/// How often sources are looked at.
#[derive(Clone, Copy, Debug)]
pub struct WatchOptions {
    /// Where inotify is silent, where there are no watches left, and where the folder is not there.
    pub poll: Duration,
    /// Where inotify tells: against what it may have missed.
    pub look: Duration,
    /// A look that believes no directory's time.
    pub thorough: Duration,
}

impl Default for WatchOptions {
    fn default() -> Self {
        WatchOptions {
            poll: Duration::from_secs(30),
            look: Duration::from_secs(300),
            thorough: Duration::from_secs(3600),
        }
    }
}

/// Watches all sources of a store.
pub struct Watcher {
    store: Store,
    options: WatchOptions,
    clock: Arc<dyn SteadyClock>,
    workers: Mutex<Vec<Worker>>,
    stopped: AtomicBool,
}

/// One source's thread, as the watcher holds it.
struct Worker {
    source: Source,
    stop: Arc<AtomicBool>,
    nudge: Nudge,
    status: Arc<Mutex<SourceStatus>>,
    thread: Option<JoinHandle<()>>,
}

impl Watcher {
    /// Starts to watch what the store names as sources.
    #[must_use]
    pub fn start(store: Store, options: WatchOptions) -> Self {
        Self::start_at(store, options, Arc::new(SystemClock::default()))
    }

    /// As [`Watcher::start`], with the clock that says how long files lie unchanged.
    #[must_use]
    pub(crate) fn start_at(store: Store, options: WatchOptions, clock: Arc<dyn SteadyClock>) -> Self {
        let (workers, stopped) = (Mutex::new(Vec::new()), AtomicBool::new(false));
        let watcher = Watcher { store, options, clock, workers, stopped };
        watcher.reload();
        watcher
    }

    /// Reads the list of sources again: new ones are watched, those that went are not.
    pub fn reload(&self) {
        let sources = self.store.snapshot().and_then(|snapshot| sources::list(&snapshot));
        let sources = match sources {
            Ok(sources) => sources,
            Err(error) => return tracing::error!(%error, "the list of sources cannot be read"),
        };
        let mut workers = self.workers();
        let (keep, go): (Vec<_>, Vec<_>) =
            std::mem::take(&mut *workers).into_iter().partition(|worker| sources.contains(&worker.source));
        *workers = keep;
        if !self.stopped.load(Ordering::Acquire) {
            for source in sources {
                if workers.iter().all(|worker| worker.source.id != source.id) {
                    workers.extend(self.spawn(source));
                }
            }
        }
        drop(workers);
        end(go);
    }

    fn spawn(&self, source: Source) -> Option<Worker> {
        let status = SourceStatus::new(source.id, source.account, source.path.clone());
        let status = Arc::new(Mutex::new(status));
        let (stop, changes) = (Arc::new(AtomicBool::new(false)), Changes::new());
        let nudge = changes.nudge();
        let scanner = Scanner::new(
            self.store.clone(),
            source.clone(),
            Arc::clone(&stop),
            Arc::clone(&status),
            Arc::clone(&self.clock),
        );
        let mut watch = Watch {
            scanner,
            changes,
            absent_since: None,
            path: source.path.clone(),
            options: self.options,
            stop: Arc::clone(&stop),
            status: Arc::clone(&status),
        };
        let thread = std::thread::Builder::new()
            .name(format!("source-{}", source.id.0))
            .spawn(move || watch.run())
            .inspect_err(|error| tracing::error!(path = %source.path.display(), %error, "cannot be watched"))
            .ok()?;
        Some(Worker { source, stop, nudge, status, thread: Some(thread) })
    }

    /// What is known of each source.
    #[must_use]
    pub(crate) fn status(&self) -> Vec<SourceStatus> {
        self.workers().iter().map(|worker| locked(&worker.status).clone()).collect()
    }

    /// Ends all looks, at the next file.
    pub fn stop(&self) {
        self.stopped.store(true, Ordering::Release);
        let workers = std::mem::take(&mut *self.workers());
        end(workers);
    }

    fn workers(&self) -> MutexGuard<'_, Vec<Worker>> {
        locked(&self.workers)
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Tells them all before it waits for any.
fn end(mut workers: Vec<Worker>) {
    for worker in &workers {
        worker.stop.store(true, Ordering::Release);
        worker.nudge.wake();
    }
    for worker in &mut workers {
        if worker.thread.take().is_some_and(|thread| thread.join().is_err()) {
            tracing::error!(path = %worker.source.path.display(), "the watch of a source had failed");
        }
    }
}

/// What a source's thread works with.
struct Watch {
    scanner: Scanner,
    changes: Changes,
    /// Since when the root is not there.
    absent_since: Option<Instant>,
    path: PathBuf,
    options: WatchOptions,
    stop: Arc<AtomicBool>,
    status: Arc<Mutex<SourceStatus>>,
}

/// What to look at next.
enum Next {
    /// Everything, believing no directory's time.
    Thorough,
    /// Everything that is not known to be unchanged.
    Full,
    /// Some directories.
    Some(BTreeMap<PathBuf, Wanted>),
}

impl Watch {
    fn run(&mut self) {
        let mut next = Next::Thorough;
        let mut thorough_at = Instant::now() + self.options.thorough;
        let mut full_at = Instant::now();
        while !self.stop.load(Ordering::Acquire) {
            let (again, was_full) = match next {
                Next::Some(directories) => (self.some(directories), false),
                full => {
                    if matches!(full, Next::Thorough) {
                        thorough_at = Instant::now() + self.options.thorough;
                    }
                    let again = self.full(matches!(full, Next::Thorough));
                    full_at = Instant::now() + self.interval();
                    (again, true)
                }
            };
            let Some(again) = again else { return };
            next = self.wait(again, was_full, full_at, thorough_at);
        }
    }

    fn interval(&self) -> Duration {
        match locked(&self.status).mode {
            Mode::Watching => self.options.look,
            _ => self.options.poll,
        }
    }

    /// Waits for what comes first: a change, the time to look at something again, or a regular look.
    fn wait(&mut self, again: Again, was_full: bool, full_at: Instant, thorough_at: Instant) -> Next {
        let again_at = again.after.map(|after| Instant::now() + after);
        let regular = full_at.min(thorough_at);
        let deadline = again_at.map_or(regular, |again| again.min(regular));
        let change = self.changes.wait(deadline);
        self.scanner.arrived(&self.changes.take_arrivals());
        match change {
            Change::Everything => Next::Thorough,
            Change::Folders => Next::Full,
            // Woken to stop, or to look.
            Change::Woken => Next::Full,
            Change::In(mut changed) => {
                if again.after.is_some() {
                    if was_full {
                        return Next::Full;
                    }
                    merge(&mut changed, again.directories);
                }
                Next::Some(changed)
            }
            Change::Nothing if Instant::now() >= thorough_at => Next::Thorough,
            Change::Nothing if Instant::now() >= full_at || was_full => Next::Full,
            Change::Nothing => Next::Some(again.directories),
        }
    }

    /// Looks at everything. `None` when the watcher stops.
    fn full(&mut self, thorough: bool) -> Option<Again> {
        let (found, mode) = match self.find() {
            Ok(found) => found,
            Err(error) => return Some(self.absent(&error)),
        };
        self.absent_since = None;
        {
            let mut status = locked(&self.status);
            (status.busy, status.mode) = (true, mode);
        }
        let result = self.scanner.look(found, thorough);
        self.ended(result, BTreeMap::new())
    }

    /// Finds the folders and watches them, where that can be done. A directory that is made after its parent
    /// was read and before that is watched is told by nobody: so they are looked for until nothing is found
    /// that was not watched before. What comes after that tells itself, and what was there is looked at.
    fn find(&mut self) -> io::Result<(Found, Mode)> {
        let mut found = self.folders()?;
        if filesystem::silent(&self.path).is_some() {
            self.changes.disarm();
            return Ok((found, Mode::PollingNetwork));
        }
        for _ in 0..MAX_FINDS {
            if let Err(error) = self.changes.arm(&self.path, &found) {
                self.log_once(Mode::PollingWatches, &error.to_string());
                return Ok((found, Mode::PollingWatches));
            }
            let now = self.folders()?;
            if now.is_as(&found) {
                return Ok((now, Mode::Watching));
            }
            found = now;
        }
        // Looked at as they are, and again at once.
        self.changes.nudge().wake();
        Ok((found, Mode::Watching))
    }

    fn folders(&self) -> io::Result<Found> {
        let found = self.scanner.discover()?;
        if found.folders.is_empty() && found.unreadable.is_empty() {
            // The folder that a disk is mounted on is there without the disk.
            return Err(io::Error::other("no Maildir is there any more"));
        }
        Ok(found)
    }

    fn some(&mut self, directories: BTreeMap<PathBuf, Wanted>) -> Option<Again> {
        locked(&self.status).busy = true;
        let result = self.scanner.look_at(directories.clone());
        self.ended(result, directories)
    }

    fn ended(
        &mut self,
        result: Result<Option<Duration>, End>,
        directories: BTreeMap<PathBuf, Wanted>,
    ) -> Option<Again> {
        locked(&self.status).busy = false;
        match result {
            Ok(after) => Some(Again { after, directories }),
            Err(End::Stopped) => None,
            Err(End::Store(error)) => {
                tracing::error!(source = %self.path.display(), %error, "importing is held up");
                // A store that takes nothing more is no better in a second.
                let after = if matches!(error, Error::Closed) { return None } else { self.options.poll };
                Some(Again { after: Some(after), directories })
            }
        }
    }

    /// A root that has gone in this moment may be there again in the next: somebody renames.
    fn absent(&mut self, error: &io::Error) -> Again {
        let since = *self.absent_since.get_or_insert_with(Instant::now);
        let was_there = !matches!(locked(&self.status).mode, Mode::Starting | Mode::Unavailable);
        if is_gone(error) && was_there && since.elapsed() < ABSENT {
            return Again { after: Some(AGAIN), directories: BTreeMap::new() };
        }
        self.unavailable(error);
        Again::default()
    }

    /// The root is not there, or may not be read: said once, tried again and again.
    fn unavailable(&mut self, error: &io::Error) {
        self.changes.disarm();
        self.log_once(Mode::Unavailable, &words(error));
        let at = crate::store::unix_now();
        let advice = if is_denied(error) { self.scanner.advice() } else { Vec::new() };
        let mut status = locked(&self.status);
        status.mode = Mode::Unavailable;
        status.problem =
            Some(Problem { at, what: format!("{}: {}", self.path.display(), words(error)), advice });
    }

    fn log_once(&self, mode: Mode, error: &str) {
        if locked(&self.status).mode != mode {
            tracing::warn!(source = %self.path.display(), error, mode = mode.describe(), "a source");
        }
    }
}

/// What a look left for later.
#[derive(Default)]
struct Again {
    after: Option<Duration>,
    directories: BTreeMap<PathBuf, Wanted>,
}

fn merge(into: &mut BTreeMap<PathBuf, Wanted>, more: BTreeMap<PathBuf, Wanted>) {
    for (path, names) in more {
        let known = into.entry(path).or_insert_with(|| Some(BTreeSet::new()));
        match (known.as_mut(), names) {
            (Some(known), Some(names)) => known.extend(names),
            _ => *known = None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::settling::{HandClock, UNCHANGED};
    use super::*;
    use crate::store::sources::After;
    use crate::store::{Options, accounts, mailboxes};
    use std::fs;
    use std::path::Path;

    struct Bench {
        folder: tempfile::TempDir,
        store: Store,
        watcher: Option<Watcher>,
        clock: Arc<HandClock>,
    }

    /// How many messages the first account's mailbox has.
    fn count(store: &Store, mailbox: &str) -> u32 {
        let snapshot = store.snapshot().unwrap();
        let account = accounts::list(&snapshot).unwrap().remove(0).id;
        let mailboxes = mailboxes::list(&snapshot, account).unwrap();
        mailboxes.iter().find(|known| known.name.as_str() == mailbox).map_or(0, |known| known.messages)
    }

    fn wait(what: &str, mut so: impl FnMut() -> bool) {
        let start = Instant::now();
        while !so() {
            assert!(start.elapsed() < Duration::from_secs(20), "{what}");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    impl Bench {
        fn new(after: After) -> Bench {
            let folder = tempfile::tempdir().unwrap();
            let store = Store::open(Options::new(folder.path().join("data"))).unwrap();
            let path = folder.path().join("Maildir");
            store
                .write(move |tx| {
                    let account = accounts::create(tx, "anna", None)?;
                    sources::add(tx, account, &path, None, after)
                })
                .unwrap();
            Bench { folder, store, watcher: None, clock: Arc::default() }
        }

        fn maildir(&self) -> PathBuf {
            self.folder.path().join("Maildir")
        }

        fn start(&mut self, options: WatchOptions) {
            self.watcher = Some(Watcher::start_at(self.store.clone(), options, self.clock.clone()));
        }

        fn status(&self) -> SourceStatus {
            self.watcher.as_ref().unwrap().status().remove(0)
        }
    }

    fn maildir(path: &Path) {
        for sub in ["cur", "new", "tmp"] {
            fs::create_dir_all(path.join(sub)).unwrap();
        }
    }

    fn put(path: &Path, text: &str) {
        fs::write(path, format!("Subject: {text}\n\n{text}\n")).unwrap();
    }

    const QUICK: WatchOptions = WatchOptions {
        poll: Duration::from_millis(50),
        look: Duration::from_secs(3600),
        thorough: Duration::from_secs(3600),
    };

    #[test]
    fn a_root_that_goes_and_comes_back_loses_and_doubles_nothing() {
        let mut bench = Bench::new(After::Keep);
        let root = bench.maildir();
        maildir(&root);
        put(&root.join("new/1700000000.a"), "one");
        bench.start(QUICK);
        wait("the first", || count(&bench.store, "INBOX") == 1);
        // Unmounted: nothing is there, then an empty folder.
        let aside = bench.folder.path().join("aside");
        fs::rename(&root, &aside).unwrap();
        wait("it is said", || bench.status().mode == Mode::Unavailable);
        assert!(bench.status().problem.unwrap().what.ends_with("is not there"));
        fs::create_dir(&root).unwrap();
        wait("it is said", || {
            bench.status().problem.is_some_and(|problem| problem.what.contains("no Maildir"))
        });
        // Mounted again, with mail that came meanwhile.
        fs::remove_dir(&root).unwrap();
        put(&aside.join("new/1700000001.b"), "two");
        fs::rename(&aside, &root).unwrap();
        wait("it is back", || bench.status().mode == Mode::Watching);
        wait("the second", || count(&bench.store, "INBOX") == 2);
        assert_eq!(bench.status().problem, None);
        // And watched as before.
        put(&root.join("cur/1700000002.c:2,S"), "three");
        wait("the third", || count(&bench.store, "INBOX") == 3);
        wait("it is counted", || bench.status().imported == 3);
    }

    #[test]
    fn where_inotify_is_silent_looks_find_the_mail() {
        let mut bench = Bench::new(After::Delete);
        let root = bench.maildir();
        maildir(&root);
        bench.start(WatchOptions { look: Duration::from_millis(50), ..QUICK });
        wait("a look", || bench.status().last_look.is_some());
        // An event that never comes: as on NFS. The directory is a new one, which no watch is on.
        let other = bench.folder.path().join("other");
        fs::create_dir(&other).unwrap();
        put(&other.join("1700000000.a"), "one");
        fs::remove_dir(root.join("new")).unwrap();
        fs::rename(&other, root.join("new")).unwrap();
        wait("it came", || count(&bench.store, "INBOX") == 1);
        wait("it waits", || bench.status().waiting == 1);
        bench.clock.advance(UNCHANGED);
        wait("it went", || !root.join("new/1700000000.a").exists());
    }

    #[test]
    fn a_flood_of_events_is_no_loss() {
        let mut bench = Bench::new(After::Keep);
        let root = bench.maildir();
        maildir(&root);
        bench.start(QUICK);
        wait("a look", || bench.status().last_look.is_some());
        // More than the channel holds, in one go.
        for n in 0..6_000 {
            put(&root.join(format!("tmp/{n}")), &n.to_string());
        }
        for n in 0..6_000 {
            fs::rename(root.join(format!("tmp/{n}")), root.join(format!("new/{}.{n}", 1_700_000_000 + n)))
                .unwrap();
        }
        wait("all of them", || count(&bench.store, "INBOX") == 6_000);
    }

    #[test]
    fn a_watcher_that_is_told_to_stop_stops_in_the_middle() {
        let mut bench = Bench::new(After::Keep);
        let root = bench.maildir();
        maildir(&root);
        for n in 0..2_000 {
            put(&root.join(format!("cur/{}.{n}:2,", 1_700_000_000 + n)), &n.to_string());
        }
        bench.start(QUICK);
        wait("some", || count(&bench.store, "INBOX") > 0);
        let start = Instant::now();
        bench.watcher.take();
        assert!(start.elapsed() < Duration::from_secs(2));
        let so_far = count(&bench.store, "INBOX");
        bench.start(QUICK);
        wait("all", || count(&bench.store, "INBOX") == 2_000);
        wait("no more than was left", || bench.status().imported == u64::from(2_000 - so_far));
    }

    #[test]
    fn what_comes_while_it_is_watched_goes_at_once_and_what_is_made_in_place_does_not() {
        let mut bench = Bench::new(After::Delete);
        let root = bench.maildir();
        maildir(&root);
        bench.start(QUICK);
        wait("it is watched", || bench.status().mode == Mode::Watching && bench.status().last_look.is_some());
        put(&root.join("tmp/1700000000.a"), "one");
        fs::rename(root.join("tmp/1700000000.a"), root.join("new/1700000000.a")).unwrap();
        wait("it came and went", || bench.status().removed == 1);
        assert!(!root.join("new/1700000000.a").exists());
        put(&root.join("new/1700000001.b"), "two");
        wait("it came", || count(&bench.store, "INBOX") == 2);
        // A half that is renamed, and one of another folder, together with what makes everything be looked at.
        fs::rename(root.join("new/1700000001.b"), root.join("cur/1700000001.b:2,S")).unwrap();
        fs::create_dir_all(root.join(".Work/cur")).unwrap();
        put(&root.join("tmp/1700000002.c"), "three");
        fs::rename(root.join("tmp/1700000002.c"), root.join("new/1700000002.c")).unwrap();
        wait("it came and went", || bench.status().removed == 2);
        assert!(root.join("cur/1700000001.b:2,S").exists());
        assert_eq!(count(&bench.store, "INBOX"), 3);
    }

    #[test]
    fn a_root_that_is_renamed_and_back_in_a_moment_is_no_problem() {
        let mut bench = Bench::new(After::Keep);
        let root = bench.maildir();
        maildir(&root);
        bench.start(QUICK);
        wait("it is watched", || bench.status().last_look.is_some());
        let aside = bench.folder.path().join("aside");
        fs::rename(&root, &aside).unwrap();
        bench.watcher.as_ref().unwrap().workers()[0].nudge.wake();
        std::thread::sleep(Duration::from_millis(100));
        let status = bench.status();
        fs::rename(&aside, &root).unwrap();
        assert_eq!((status.problem, status.mode), (None, Mode::Watching));
        put(&root.join("new/1700000000.a"), "one");
        wait("it is watched again", || count(&bench.store, "INBOX") == 1);
    }
}
