//! What inotify tells of a source, through `notify`: gathered into what has to be looked at.
//!
//! The channel is bounded. What does not fit is not lost: it turns into a look at everything, as it does
//! when the kernel's own queue overflows.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::time::{Duration, Instant};

use notify::event::{AccessKind, AccessMode, CreateKind, ModifyKind, RemoveKind, RenameMode};
use notify::{Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher as _};

use crate::import::disk::disk_error::{is_denied, is_gone};
use crate::import::maildir::layout::Found;
use crate::import::maildir::layout::SUBS;

/// Events that wait to be taken. More than that, and the source is looked at as a whole.
const QUEUE: usize = 4_096;
/// Names of one look; more, and the directory is looked at as a whole.
const MAX_NAMES: usize = 4_096;
/// After the first event, what follows within this is taken with it: a delivery of many messages is one
/// look, and a single one is not held up noticeably.
const GATHER: Duration = Duration::from_millis(15);

/// Renames of which only the first half was told so far: the second follows at once.
const MAX_RENAMES: usize = 64;

/// What comes through the channel.
enum Message {
    Event(Event),
    Failed(notify::Error),
    /// Something did not fit.
    Missed,
    /// [`Nudge::wake`]: the waiting thread looks at its flags.
    Wake,
}

/// Wakes the thread that waits for changes.
#[derive(Clone)]
pub(crate) struct Nudge(SyncSender<Message>);

impl Nudge {
    /// Wakes it. A full channel wakes it too.
    pub(crate) fn wake(&self) {
        let _ = self.0.try_send(Message::Wake);
    }
}

/// Which files of a directory to look at: these, or all.
pub(crate) type Wanted = Option<BTreeSet<OsString>>;

/// What to look at.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Change {
    /// Nothing came until the deadline.
    Nothing,
    /// These directories, `new/` or `cur/` of a folder, as far as they are wanted.
    In(BTreeMap<PathBuf, Wanted>),
    /// Folders came or went: discover, and look at what is not known to be unchanged.
    Folders,
    /// Something was missed: look at everything.
    Everything,
    /// Woken.
    Woken,
}

/// The watches of one source.
pub(crate) struct Changes {
    receiver: Receiver<Message>,
    sender: SyncSender<Message>,
    overflowed: Arc<AtomicBool>,
    watcher: Option<RecommendedWatcher>,
    armed: Armed,
    arrivals: Arrivals,
}

/// What is watched.
#[derive(Default)]
struct Armed {
    /// Directories of messages: `new/` and `cur/` of a folder, whatever is called so elsewhere.
    messages: BTreeSet<PathBuf>,
    /// Directories in which folders, or those two, may appear.
    parents: BTreeSet<PathBuf>,
}

impl Armed {
    fn new(root: &Path, found: &Found) -> Self {
        let folders = || found.folders.iter().map(|folder| root.join(&folder.path));
        let messages = folders().flat_map(|path| SUBS.map(|sub| path.join(sub))).collect();
        let others = found.others.iter().map(|path| root.join(path));
        let parents = folders().chain(others).chain([root.to_owned()]).collect();
        Armed { messages, parents }
    }

    /// Parents first: of what is made below one, either its event tells or the directory is there already
    /// when its own watch is set.
    fn paths(&self) -> impl Iterator<Item = &PathBuf> {
        self.parents.iter().chain(&self.messages)
    }

    /// Whether it lies in a directory of messages.
    fn holds(&self, path: &Path) -> bool {
        path.parent().is_some_and(|parent| self.messages.contains(parent))
    }

    fn contains(&self, path: &Path) -> bool {
        self.parents.contains(path) || self.messages.contains(path)
    }
}

impl Changes {
    /// Nothing is watched yet.
    #[must_use]
    pub(crate) fn new() -> Self {
        let (sender, receiver) = sync_channel(QUEUE);
        Changes {
            receiver,
            sender,
            overflowed: Arc::new(AtomicBool::new(false)),
            watcher: None,
            armed: Armed::default(),
            arrivals: Arrivals::default(),
        }
    }

    /// What wakes [`Changes::wait`].
    #[must_use]
    pub(crate) fn nudge(&self) -> Nudge {
        Nudge(self.sender.clone())
    }

    /// Watches the root and all folders. Called before each full look: a folder that was removed and made
    /// again under its name is no longer watched, so that every watch is set anew. What was made between
    /// the finding and this nobody tells of: see [`Found::is_as`].
    ///
    /// # Errors
    /// If the system has no watches left, or none at all.
    pub(crate) fn arm(&mut self, root: &Path, found: &Found) -> Result<(), notify::Error> {
        let watcher = match &mut self.watcher {
            Some(watcher) => watcher,
            None => self.watcher.insert(new_watcher(self.sender.clone(), Arc::clone(&self.overflowed))?),
        };
        let before = std::mem::replace(&mut self.armed, Armed::new(root, found));
        for gone in before.paths().filter(|path| !self.armed.contains(path)) {
            // It says that there is no watch where the folder has gone, which is what is wanted.
            let _ = watcher.unwatch(gone);
        }
        let failed = self.armed.paths().find_map(|path| {
            watcher.watch(path, RecursiveMode::NonRecursive).err().filter(|error| !is_absent(error))
        });
        if let Some(error) = failed {
            self.disarm();
            return Err(error);
        }
        Ok(())
    }

    /// Watches nothing any more.
    pub(crate) fn disarm(&mut self) {
        self.watcher = None;
        self.armed = Armed::default();
        self.arrivals = Arrivals::default();
    }

    /// The files that were renamed into `new/` or `cur/` from elsewhere since this was asked last, and written to no
    /// more: they were whole when they came. Where something was missed there are none.
    pub(crate) fn take_arrivals(&mut self) -> BTreeSet<PathBuf> {
        std::mem::take(&mut self.arrivals.files)
    }

    /// Waits until something changes in a way that matters, or until the deadline.
    pub(crate) fn wait(&mut self, deadline: Instant) -> Change {
        let change = self.gather(deadline);
        if change == Change::Everything {
            self.arrivals = Arrivals::default();
        }
        change
    }

    fn gather(&mut self, deadline: Instant) -> Change {
        let mut found = Gathered::default();
        let mut until = deadline;
        loop {
            if self.overflowed.swap(false, Ordering::AcqRel) {
                found.everything = true;
                until = until.min(Instant::now() + GATHER);
            }
            match self.receiver.recv_timeout(until.saturating_duration_since(Instant::now())) {
                Ok(Message::Event(event)) => {
                    self.arrivals.event(&event, &self.armed);
                    found.event(&event, &self.armed);
                }
                Ok(Message::Failed(error)) => {
                    tracing::debug!(%error, "inotify");
                    found.everything = true;
                }
                Ok(Message::Missed) => found.everything = true,
                Ok(Message::Wake) => return found.woken(),
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => return found.change(),
            }
            if !found.is_empty() {
                until = until.min(Instant::now() + GATHER);
            }
        }
    }
}

impl Default for Changes {
    fn default() -> Self {
        Changes::new()
    }
}

fn new_watcher(
    sender: SyncSender<Message>,
    overflowed: Arc<AtomicBool>,
) -> Result<RecommendedWatcher, notify::Error> {
    notify::recommended_watcher(move |event: Result<Event, notify::Error>| {
        let message = match event {
            // What this process itself does most: it opens and reads.
            Ok(event) if !matters(&event) => return,
            Ok(event) => Message::Event(event),
            Err(error) => Message::Failed(error),
        };
        if sender.try_send(message).is_err() {
            overflowed.store(true, Ordering::Release);
            // The reader may have emptied the channel before it could see that.
            let _ = sender.try_send(Message::Missed);
        }
    })
}

fn matters(event: &Event) -> bool {
    event.need_rescan()
        || match event.kind {
            EventKind::Access(AccessKind::Close(AccessMode::Write)) => true,
            EventKind::Access(_) => false,
            _ => true,
        }
}

/// A folder that went since it was found.
fn is_absent(error: &notify::Error) -> bool {
    match &error.kind {
        notify::ErrorKind::PathNotFound => true,
        notify::ErrorKind::Io(error) => {
            // One that may not be read is told by the look, which says what to do.
            is_gone(error) || is_denied(error)
        }
        _ => false,
    }
}

/// Which files were renamed in from elsewhere.
#[derive(Default)]
struct Arrivals {
    files: BTreeSet<PathBuf>,
    /// First halves of renames out of directories of messages, with whether the file had just arrived there. The
    /// second half may come after the first was taken.
    leaving: VecDeque<(usize, bool)>,
}

impl Arrivals {
    fn event(&mut self, event: &Event, armed: &Armed) {
        let Some(path) = event.paths.first().filter(|path| armed.holds(path)) else { return };
        match event.kind {
            EventKind::Modify(ModifyKind::Name(RenameMode::From)) => {
                let arrived = self.files.remove(path);
                self.leaving.extend(event.tracker().map(|tracker| (tracker, arrived)));
                if self.leaving.len() > MAX_RENAMES {
                    self.leaving.pop_front();
                }
            }
            EventKind::Modify(ModifyKind::Name(RenameMode::To)) => {
                let from = self.leaving.iter().find(|(tracker, _)| Some(*tracker) == event.tracker());
                // From `new/` to `cur/` no file becomes more whole than it was.
                if from.is_none_or(|(_, arrived)| *arrived) && self.files.len() < MAX_NAMES {
                    self.files.insert(path.clone());
                }
            }
            // Tells both halves once more.
            EventKind::Modify(ModifyKind::Name(_) | ModifyKind::Metadata(_)) => {}
            _ => {
                self.files.remove(path);
            }
        }
    }
}

/// Events so far.
#[derive(Default)]
struct Gathered {
    directories: BTreeMap<PathBuf, Wanted>,
    folders: bool,
    everything: bool,
}

impl Gathered {
    fn is_empty(&self) -> bool {
        self.directories.is_empty() && !self.folders && !self.everything
    }

    fn event(&mut self, event: &Event, armed: &Armed) {
        if event.need_rescan() {
            self.everything = true;
        }
        // A move comes as From, To and Both; the sets make one of them.
        for path in &event.paths {
            self.path(path, event.kind, armed);
        }
    }

    fn path(&mut self, path: &Path, kind: EventKind, armed: &Armed) {
        let Some((parent, name)) = path.parent().zip(path.file_name()) else { return };
        if !armed.messages.contains(parent) {
            self.folders |= is_folder(path, kind, armed);
            return;
        }
        if matches!(kind, EventKind::Remove(_)) {
            return;
        }
        let wanted = self.directories.entry(parent.to_owned()).or_insert_with(|| Some(BTreeSet::new()));
        if let Some(names) = wanted {
            names.insert(name.to_owned());
            if names.len() > MAX_NAMES {
                *wanted = None;
            }
        }
    }

    /// What was gathered is part of the look at all that waking leads to, unless something was missed.
    fn woken(self) -> Change {
        if self.everything { Change::Everything } else { Change::Woken }
    }

    fn change(self) -> Change {
        if self.everything {
            Change::Everything
        } else if self.folders {
            Change::Folders
        } else if self.directories.is_empty() {
            Change::Nothing
        } else {
            Change::In(self.directories)
        }
    }
}

/// Whether what happened beside the messages happened to a folder. Files there are none of ours: the
/// indexes and locks of other programs, which come and go with every delivery.
fn is_folder(path: &Path, kind: EventKind, armed: &Armed) -> bool {
    match kind {
        EventKind::Modify(ModifyKind::Data(_)) | EventKind::Access(_) => false,
        EventKind::Create(CreateKind::File) => false,
        EventKind::Create(CreateKind::Folder) | EventKind::Remove(RemoveKind::Folder) => true,
        // Of what has gone only its name is left: was it one of ours?
        _ => armed.contains(path) || path.symlink_metadata().is_ok_and(|metadata| metadata.is_dir()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::import::maildir::layout::discover;
    use std::fs;

    fn maildir() -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        for sub in ["cur", "new", "tmp"] {
            fs::create_dir(root.path().join(sub)).unwrap();
        }
        root
    }

    fn soon() -> Instant {
        Instant::now() + Duration::from_secs(10)
    }

    #[test]
    fn a_delivery_is_one_name_and_reading_is_nothing() {
        let root = maildir();
        let mut changes = Changes::new();
        changes.arm(root.path(), &discover(root.path(), None).unwrap()).unwrap();
        fs::write(root.path().join("tmp/1.a"), "x").unwrap();
        fs::rename(root.path().join("tmp/1.a"), root.path().join("new/1.a")).unwrap();
        let wanted = BTreeMap::from([(root.path().join("new"), Some(BTreeSet::from(["1.a".into()])))]);
        assert_eq!(changes.wait(soon()), Change::In(wanted));
        fs::read(root.path().join("new/1.a")).unwrap();
        fs::remove_file(root.path().join("new/1.a")).unwrap();
        assert_eq!(changes.wait(Instant::now() + Duration::from_millis(50)), Change::Nothing);
    }

    #[test]
    fn folders_that_come_and_waking() {
        let root = maildir();
        let mut changes = Changes::new();
        changes.arm(root.path(), &discover(root.path(), None).unwrap()).unwrap();
        // What Dovecot does at each delivery: a lock that comes and goes, a file that replaces another.
        fs::write(root.path().join("dovecot.index"), "x").unwrap();
        fs::write(root.path().join("dovecot-uidlist.lock"), "x").unwrap();
        fs::rename(root.path().join("dovecot-uidlist.lock"), root.path().join("dovecot-uidlist")).unwrap();
        fs::write(root.path().join("dovecot.lock"), "x").unwrap();
        fs::remove_file(root.path().join("dovecot.lock")).unwrap();
        assert_eq!(changes.wait(Instant::now() + Duration::from_millis(50)), Change::Nothing);
        fs::create_dir_all(root.path().join(".Work/cur")).unwrap();
        assert_eq!(changes.wait(soon()), Change::Folders);
        changes.arm(root.path(), &discover(root.path(), None).unwrap()).unwrap();
        fs::rename(root.path().join(".Work"), root.path().join(".Old")).unwrap();
        assert_eq!(changes.wait(soon()), Change::Folders);
        fs::remove_dir_all(root.path().join(".Old")).unwrap();
        assert_eq!(changes.wait(soon()), Change::Folders);
        fs::set_permissions(root.path().join("new"), fs::metadata(root.path()).unwrap().permissions())
            .unwrap();
        assert_eq!(changes.wait(soon()), Change::Folders);
        changes.nudge().wake();
        assert_eq!(changes.wait(soon()), Change::Woken);
    }

    #[test]
    fn a_folder_that_is_made_again_is_watched_again() {
        let root = maildir();
        let mut changes = Changes::new();
        changes.arm(root.path(), &discover(root.path(), None).unwrap()).unwrap();
        fs::remove_dir(root.path().join("new")).unwrap();
        fs::create_dir(root.path().join("new")).unwrap();
        while changes.wait(Instant::now() + Duration::from_millis(50)) != Change::Nothing {}
        changes.arm(root.path(), &discover(root.path(), None).unwrap()).unwrap();
        fs::write(root.path().join("new/2.a"), "x").unwrap();
        assert!(matches!(changes.wait(soon()), Change::In(_)));
    }

    /// What has arrived once it is quiet.
    fn arrivals(changes: &mut Changes, root: &Path) -> Vec<String> {
        while changes.wait(Instant::now() + Duration::from_millis(50)) != Change::Nothing {}
        let below = |path: PathBuf| path.strip_prefix(root).unwrap().to_str().unwrap().to_owned();
        changes.take_arrivals().into_iter().map(below).collect()
    }

    #[test]
    fn what_is_renamed_in_has_arrived_and_what_is_made_or_written_in_place_has_not() {
        let dir = maildir();
        let root = dir.path();
        let mut changes = Changes::new();
        changes.arm(root, &discover(root, None).unwrap()).unwrap();
        let write = |name: &str| fs::write(root.join(name), "x").unwrap();
        let rename = |from: &str, to: &str| fs::rename(root.join(from), root.join(to)).unwrap();
        // As they are delivered, as a program makes one in its place, and one that is written after it came.
        ["tmp/1.a", "tmp/3.c", "new/2.b"].into_iter().for_each(write);
        rename("tmp/1.a", "new/1.a");
        rename("tmp/3.c", "new/3.c");
        write("new/3.c");
        fs::hard_link(root.join("new/2.b"), root.join("new/4.d")).unwrap();
        assert_eq!(arrivals(&mut changes, root), ["new/1.a"]);
        assert_eq!(arrivals(&mut changes, root), Vec::<String>::new(), "told once");
        // A rename from new/ to cur/ makes no half message a whole one, told together with its making or later.
        rename("new/2.b", "cur/2.b:2,S");
        write("new/5.e");
        rename("new/5.e", "cur/5.e:2,");
        assert_eq!(arrivals(&mut changes, root), Vec::<String>::new());
        // And what has arrived, and is read at once, has arrived.
        write("tmp/6.f");
        rename("tmp/6.f", "new/6.f");
        rename("new/6.f", "cur/6.f:2,S");
        assert_eq!(arrivals(&mut changes, root), ["cur/6.f:2,S"]);
    }

    #[test]
    fn where_something_was_missed_nothing_has_arrived() {
        let root = maildir();
        let mut changes = Changes::new();
        changes.arm(root.path(), &discover(root.path(), None).unwrap()).unwrap();
        fs::write(root.path().join("tmp/1.a"), "x").unwrap();
        fs::rename(root.path().join("tmp/1.a"), root.path().join("new/1.a")).unwrap();
        changes.overflowed.store(true, Ordering::Release);
        assert_eq!(changes.wait(soon()), Change::Everything);
        assert!(changes.take_arrivals().is_empty());
    }

    #[test]
    fn too_many_events_are_a_look_at_everything() {
        let root = maildir();
        let mut changes = Changes::new();
        changes.arm(root.path(), &discover(root.path(), None).unwrap()).unwrap();
        for n in 0..QUEUE * 2 {
            fs::write(root.path().join(format!("new/{n}")), "").unwrap();
        }
        while !changes.overflowed.load(Ordering::Acquire) {
            std::thread::sleep(Duration::from_millis(5));
        }
        assert_eq!(changes.wait(soon()), Change::Everything);
        while changes.wait(Instant::now() + Duration::from_millis(50)) != Change::Nothing {}
        // Noticed after all that did fit was taken: nothing else will come.
        changes.overflowed.store(true, Ordering::Release);
        let start = Instant::now();
        assert_eq!(changes.wait(soon()), Change::Everything);
        assert!(start.elapsed() < Duration::from_secs(5));
    }

    #[test]
    fn what_only_has_the_name_of_a_directory_of_messages_is_none() {
        let top = tempfile::tempdir().unwrap();
        let root = top.path().join("new");
        fs::create_dir_all(root.join("new")).unwrap();
        let mut changes = Changes::new();
        changes.arm(&root, &discover(&root, None).unwrap()).unwrap();
        fs::create_dir(root.join(".Work")).unwrap();
        assert_eq!(changes.wait(soon()), Change::Folders);
    }
}
