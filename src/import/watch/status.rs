//! What the watcher knows about each source, for the command line and the admin page.

use std::path::PathBuf;

use crate::import::maildir::layout::Layout;
use crate::model::{AccountId, SourceId};

/// Names that are kept of files that could not be taken; the rest are counted.
pub(crate) const MAX_NAMES: usize = 20;

/// How new mail is noticed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Mode {
    /// Not looked at yet.
    #[default]
    Starting,
    /// The system tells at once (inotify).
    Watching,
    /// The file system does not tell of changes that others make (network, FUSE): looked at regularly.
    PollingNetwork,
    /// The system has no watches left: looked at regularly.
    PollingWatches,
    /// The folder is not there or cannot be read; tried again and again.
    Unavailable,
}

impl Mode {
    /// For people.
    #[must_use]
    pub(crate) const fn describe(self) -> &'static str {
        match self {
            Mode::Starting => "starting",
            Mode::Watching => "watching",
            Mode::PollingNetwork => "looking every 30 s (network or FUSE file system)",
            Mode::PollingWatches => "looking every 30 s (raise fs.inotify.max_user_watches to watch)",
            Mode::Unavailable => "unavailable",
        }
    }
}

/// Files that are left where they are, and why: counted since the start, the first few with their names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct LeftAlone {
    /// How many.
    pub(crate) count: u64,
    /// Up to [`MAX_NAMES`] paths with the reason.
    pub(crate) names: Vec<String>,
}

impl LeftAlone {
    /// Notes one.
    pub(crate) fn add(&mut self, name: String) {
        self.count += 1;
        if self.names.len() < MAX_NAMES {
            self.names.push(name);
        }
    }
}

/// What is wrong with a source, and what to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Problem {
    /// When it was last seen, in seconds since 1970.
    pub(crate) at: i64,
    /// What.
    pub(crate) what: String,
    /// Lines for a root shell, where there are any that help.
    pub(crate) advice: Vec<String>,
}

/// One source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SourceStatus {
    /// Which.
    pub(crate) source: SourceId,
    /// Whose mail it brings.
    pub(crate) account: AccountId,
    /// Where it lies.
    pub(crate) path: PathBuf,
    /// How new mail is noticed.
    pub(crate) mode: Mode,
    /// How its folders lie.
    pub(crate) layout: Option<Layout>,
    /// How many folders it has.
    pub(crate) folders: u64,
    /// Whether a look is under way.
    pub(crate) busy: bool,
    /// Messages imported since the server started.
    pub(crate) imported: u64,
    /// Files removed or moved away since then.
    pub(crate) removed: u64,
    /// Files that are imported and wait until nobody can be writing to them any more.
    pub(crate) waiting: u64,
    /// When a message was last imported in this run, in seconds since 1970.
    pub(crate) last_mail: Option<i64>,
    /// When the last full look ended.
    pub(crate) last_look: Option<i64>,
    /// Files and folders that the last full look could not read.
    pub(crate) unreadable: LeftAlone,
    /// Files that are left alone: empty, too large, no plain file, changed while they were read.
    pub(crate) left_alone: LeftAlone,
    /// What is wrong now.
    pub(crate) problem: Option<Problem>,
}

impl SourceStatus {
    /// Of a source that was not looked at yet.
    #[must_use]
    pub(crate) fn new(source: SourceId, account: AccountId, path: PathBuf) -> Self {
        SourceStatus {
            source,
            account,
            path,
            mode: Mode::Starting,
            layout: None,
            folders: 0,
            busy: false,
            imported: 0,
            removed: 0,
            waiting: 0,
            last_mail: None,
            last_look: None,
            unreadable: LeftAlone::default(),
            left_alone: LeftAlone::default(),
            problem: None,
        }
    }
}
