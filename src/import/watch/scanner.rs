//! What a look at a source works with, from one to the next: `scan` lists, `take` takes in.

use std::collections::{HashMap, HashSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, SystemTime};

use super::batch::Batch;
use super::candidates::MAX_NAMES;
use super::left_alone::Notes;
use super::settling::{Settling, SteadyClock};
use super::status::SourceStatus;
use crate::import::destination::target::Target;
use crate::import::disk::beneath::Beneath;
use crate::import::disk::disk_error::{is_denied, is_gone};
use crate::import::disk::read;
use crate::import::maildir::keywords::Keywords;
use crate::import::maildir::layout::Folder;
use crate::model::{MailboxName, locked};
use crate::store::Store;
use crate::store::sources::Source;

/// When files that still changed are looked at again.
pub(super) const AGAIN: Duration = Duration::from_millis(400);

/// Looks at one source.
pub(crate) struct Scanner {
    pub(super) store: Store,
    pub(super) source: Source,
    pub(super) under: Option<MailboxName>,
    pub(super) stop: Arc<AtomicBool>,
    status: Arc<Mutex<SourceStatus>>,
    pub(super) folders: Vec<Folder>,
    /// Directories that held nothing new, with their time.
    pub(super) clean: HashMap<PathBuf, SystemTime>,
    /// Files beside the one that has their name: read once, and known.
    pub(super) second: HashSet<u64>,
    pub(super) notes: Notes,
    /// The batch that is on its way.
    pub(super) underway: Option<Batch>,
    /// Which files may still be written.
    pub(super) settling: Settling,
    /// Files that were removed in this run: one of their name is another.
    pub(super) removed: HashSet<u64>,
    /// When to look again.
    pub(super) again: Option<Duration>,
    pub(super) brought: u64,
    pub(super) max_names: usize,
}

/// The directory that a look is in.
pub(super) struct Here {
    /// The source's folder, open.
    pub(super) root: Arc<Beneath>,
    pub(super) folder: Folder,
    /// Its whole path.
    pub(super) path: PathBuf,
    /// Its path's bytes below the root, as rows have it.
    pub(super) key: Vec<u8>,
    pub(super) target: Target,
    pub(super) keywords: Keywords,
}

impl Scanner {
    /// For a source; `status` is kept in step. `clock` says how long files lie unchanged.
    #[must_use]
    pub(crate) fn new(
        store: Store,
        source: Source,
        stop: Arc<AtomicBool>,
        status: Arc<Mutex<SourceStatus>>,
        clock: Arc<dyn SteadyClock>,
    ) -> Self {
        let under = source.mailbox.as_deref().and_then(|name| MailboxName::new(name).ok());
        Scanner {
            store,
            source,
            under,
            stop,
            status,
            folders: Vec::new(),
            clean: HashMap::new(),
            second: HashSet::new(),
            notes: Notes::default(),
            underway: None,
            settling: Settling::new(clock),
            removed: HashSet::new(),
            again: None,
            brought: 0,
            max_names: MAX_NAMES,
        }
    }

    /// Notes what cannot be read, unless it is gone, or so new that this may change still: then it is looked at again.
    pub(super) fn unreadable(&mut self, path: &Path, error: &io::Error) {
        let is_new = || Beneath::open(&self.source.path).is_ok_and(|root| read::is_new(&root, path));
        if is_gone(error) || is_denied(error) && is_new() {
            self.look_again(AGAIN);
        } else {
            self.notes.unreadable(path, error);
        }
    }

    /// Looks again after this time at the latest.
    pub(super) fn look_again(&mut self, after: Duration) {
        self.again = Some(self.again.map_or(after, |known| known.min(after)));
    }

    pub(crate) fn status(&self) -> MutexGuard<'_, SourceStatus> {
        locked(&self.status)
    }
}
