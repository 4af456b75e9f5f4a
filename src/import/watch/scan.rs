//! One look at a source: what is there, and what of it is new. `take` takes that in.
//!
//! A look may be repeated and broken off at any point. What it holds in memory is bounded, however many files
//! lie there.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::fs::Metadata;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::candidates::{Candidate, Listed, Listing};
use super::changes::Wanted;
use super::end::End;
use super::leaving;
use super::missing_files;
use super::scanner::{AGAIN, Here, Scanner};
use super::status::Problem;
use crate::import::access::check::advice_for;
use crate::import::access::overlap;
use crate::import::destination::target::target;
use crate::import::disk::beneath::Beneath;
use crate::import::disk::disk_error::{is_denied, is_gone};
use crate::import::disk::filesystem;
use crate::import::maildir::keywords::{self, Keywords};
use crate::import::maildir::layout::{self, Folder, Found, SUBS};
use crate::store::sources::After;
use crate::store::{Error, unix_now};

/// A directory that changed so shortly before it was read may change again without its time changing.
const COARSE: Duration = Duration::from_secs(3);
/// When a full disk is tried again.
const RETRY: Duration = Duration::from_secs(60);

impl Scanner {
    /// The folders that are there.
    ///
    /// # Errors
    /// If the root cannot be read.
    pub(crate) fn discover(&self) -> io::Result<Found> {
        let except = match &self.source.after {
            After::Move(folder) => Some(folder.as_path()),
            _ => None,
        };
        self.guard()?;
        layout::discover(&self.source.path, except)
    }

    /// A source's folder may become another at any time, by a link or a mount: the store's own files are never taken for
    /// somebody's mail, nor is anything moved among them.
    fn guard(&self) -> io::Result<()> {
        let (_, data) = self.store.place();
        let target = match &self.source.after {
            After::Move(target) => Some(target.as_path()),
            After::Keep | After::Delete => None,
        };
        for path in std::iter::once(self.source.path.as_path()).chain(target) {
            if overlap::touches(path, &data)? {
                return Err(io::Error::other(overlap::OWN_DATA));
            }
        }
        Ok(())
    }

    /// These files were renamed into their places, and were whole when they were.
    pub(crate) fn arrived(&mut self, files: &BTreeSet<PathBuf>) {
        let Ok(root) = Beneath::open(&self.source.path) else { return };
        files.iter().for_each(|path| self.settling.moved_in(&root, path));
    }

    /// Looks at every folder. Directories whose time says that nothing came or went since the last look
    /// are left out unless `thorough`. Returns when to look again, if that should be soon.
    ///
    /// # Errors
    /// See [`End`]; what was taken in until then counts.
    pub(crate) fn look(&mut self, found: Found, thorough: bool) -> Result<Option<Duration>, End> {
        self.notes.begin();
        self.settling.inodes_last = filesystem::inodes_last(&self.source.path);
        self.settling.begin();
        for (path, error) in &found.unreadable {
            self.unreadable(&self.source.path.join(path), error);
        }
        if found.too_many {
            self.notes.left(&self.source.path, "more than 20,000 directories: the rest is not looked at");
        }
        {
            let mut status = self.status();
            (status.layout, status.folders) = (Some(found.layout), found.folders.len() as u64);
        }
        self.folders = found.folders;
        if thorough {
            self.clean.clear();
            self.recover();
        }
        let result = (|| {
            for folder in self.folders.clone() {
                self.folder(&folder, [Some(None), Some(None)])?;
            }
            self.settling.end();
            Ok(())
        })();
        self.finish(result, true)
    }

    /// Puts back what a crash left half removed.
    fn recover(&mut self) {
        for folder in self.folders.clone() {
            let path = self.source.path.join(&folder.path);
            match Beneath::open(&self.source.path).and_then(|root| leaving::recover(&root, &path)) {
                Ok(back) => back.iter().for_each(|path| tracing::info!(file = %path.display(), "put back")),
                Err(error) if is_gone(&error) => self.look_again(AGAIN),
                Err(error) => self.unreadable(&path.join("tmp"), &error),
            }
        }
    }

    /// Looks at these directories only: `new/` and `cur/` by their paths.
    ///
    /// # Errors
    /// See [`End`].
    pub(crate) fn look_at(
        &mut self,
        mut changed: BTreeMap<PathBuf, Wanted>,
    ) -> Result<Option<Duration>, End> {
        let result = (|| {
            for folder in self.folders.clone() {
                let path = self.source.path.join(&folder.path);
                let wanted = SUBS.map(|sub| changed.remove(&path.join(sub)));
                if wanted.iter().any(Option::is_some) {
                    self.folder(&folder, wanted)?;
                }
            }
            Ok(())
        })();
        self.finish(result, false)
    }

    fn finish(&mut self, result: Result<(), End>, full: bool) -> Result<Option<Duration>, End> {
        let brought = std::mem::take(&mut self.brought);
        if brought > 0 {
            tracing::info!(source = %self.source.path.display(), messages = brought, "imported");
        }
        let problem = match &result {
            Err(End::Stopped) => return Err(End::Stopped),
            Err(End::Store(error)) => Some((error.to_string(), Vec::new())),
            Ok(()) if self.notes.unreadable.count > 0 => {
                let what = match self.notes.unreadable.count {
                    1 => "one file or folder cannot be read or removed".to_owned(),
                    n => format!("{n} files and folders cannot be read or removed"),
                };
                Some((what, self.advice()))
            }
            Ok(()) => None,
        };
        let (again, now, waiting) = (self.again.take(), unix_now(), self.settling.waiting());
        let mut status = self.status();
        status.waiting = waiting;
        status.problem = problem.map(|(what, advice)| Problem { at: now, what, advice });
        if full && result.is_ok() {
            status.last_look = Some(now);
        }
        (status.unreadable, status.left_alone) = (self.notes.unreadable.clone(), self.notes.left.clone());
        drop(status);
        match result {
            Ok(()) => Ok(again),
            Err(End::Store(Error::NoSpace { .. })) => Ok(Some(RETRY)),
            Err(end) => Err(end),
        }
    }

    /// Lines for a root shell that let this process in.
    #[must_use]
    pub(crate) fn advice(&self) -> Vec<String> {
        advice_for(&self.source.path, &self.source.after)
    }

    /// Takes in what is new in a folder's wanted directories.
    fn folder(&mut self, folder: &Folder, wanted: [Option<Wanted>; 2]) -> Result<(), End> {
        let full = wanted.iter().all(|wanted| matches!(wanted, Some(None)));
        let before = SystemTime::now();
        let path = self.source.path.join(&folder.path);
        let root = match Beneath::open(&self.source.path) {
            Ok(root) => Arc::new(root),
            Err(error) => {
                self.unreadable(&path, &error);
                return Ok(());
            }
        };
        let times = SUBS.map(|sub| time_of(&root, &path.join(sub)));
        if full && self.is_clean(&path, &times) {
            return Ok(());
        }
        let target = match target(&folder.levels, self.under.as_ref()) {
            Ok(target) => target,
            Err(error) => {
                self.notes.left(&path, &format!("no mailbox can have this folder's name: {error}"));
                return Ok(());
            }
        };
        let key = folder.path.as_os_str().as_bytes().to_vec();
        let notes = self.notes.count();
        let Some(keywords) = self.keywords(&root, &path) else { return Ok(()) };
        let here = Here { root, folder: folder.clone(), keywords, path, key, target };
        let mut names = HashSet::new();
        let complete = self.files(&here, &wanted, &mut names)?;
        if full {
            self.make_mailbox(&here)?;
        }
        // Where files are taken away, those that are left wait for something.
        let none_waits = self.source.after == After::Keep || names.is_empty();
        if full && complete {
            missing_files::keep(&self.store, &self.source, &here.key, &names)?;
            let settled =
                times.iter().flatten().all(|time| before.duration_since(*time).is_ok_and(|age| age > COARSE));
            if settled && none_waits && self.again.is_none() && notes == self.notes.count() {
                for (sub, time) in SUBS.iter().zip(times) {
                    self.clean.insert(here.path.join(sub), time.unwrap_or(UNIX_EPOCH));
                }
            }
        }
        Ok(())
    }

    /// Takes the files in, the oldest first, as many at a time as are held in memory. Returns whether all
    /// directories could be read. Each pass begins behind the last file of the one before, so that it ends
    /// whatever becomes of the files; what came meanwhile is told of, or found by the next look.
    fn files(
        &mut self,
        here: &Here,
        wanted: &[Option<Wanted>; 2],
        names: &mut HashSet<u64>,
    ) -> Result<bool, End> {
        let mut last: Option<Candidate> = None;
        let mut complete = true;
        loop {
            let listed = self.list(here, wanted, last.as_ref(), names)?;
            complete &= listed.complete;
            last = listed.candidates.last().cloned();
            self.take(here, listed.candidates)?;
            if !listed.more {
                return Ok(complete);
            }
        }
    }

    fn list(
        &mut self,
        here: &Here,
        wanted: &[Option<Wanted>; 2],
        after: Option<&Candidate>,
        names: &mut HashSet<u64>,
    ) -> Result<Listed, End> {
        let mut listing = Listing {
            snapshot: &self.store.snapshot()?,
            source: self.source.id,
            key: &here.key,
            root: &here.root,
            path: &here.path,
            trusts_times: self.source.after == After::Keep,
            second: &self.second,
            stop: &self.stop,
            settling: &mut self.settling,
        };
        listing.list(wanted, after, self.max_names, names, &mut self.notes)
    }

    fn is_clean(&self, path: &Path, times: &[Option<SystemTime>; 2]) -> bool {
        SUBS.iter().zip(times).all(|(sub, time)| {
            self.clean.get(&path.join(sub)).is_some_and(|known| *known == time.unwrap_or(UNIX_EPOCH))
        })
    }

    /// An empty folder is a mailbox too.
    fn make_mailbox(&self, here: &Here) -> Result<(), End> {
        let (account, snapshot) = (self.source.account, self.store.snapshot()?);
        let name = here.target.name(&snapshot, account);
        if name.is_ok_and(|name| {
            crate::store::mailboxes::by_name(&snapshot, account, &name).is_ok_and(|known| known.is_some())
        }) {
            return Ok(());
        }
        drop(snapshot);
        let target = here.target.clone();
        let made = self.store.write(move |tx| target.resolve(tx, account).map(|(_, name)| name));
        match made {
            Ok(name) => tracing::info!(mailbox = name.as_str(), "made for a folder"),
            Err(error @ (Error::Limit(_) | Error::Refused(_) | Error::Exists(_) | Error::Internal(_))) => {
                tracing::warn!(folder = %here.folder.path.display(), %error, "no mailbox for this folder");
            }
            Err(error) => return Err(error.into()),
        }
        Ok(())
    }

    /// What the letters of a folder's files mean. `None`: its disk fails, and its mail waits, for what is imported
    /// without them never gets them. Where it is only not allowed to read them, mail does not wait.
    fn keywords(&mut self, root: &Beneath, folder: &Path) -> Option<Keywords> {
        match keywords::read(root, folder) {
            Ok(keywords) => Some(keywords),
            Err(error) => {
                self.unreadable(&folder.join(Keywords::FILE), &error);
                is_denied(&error).then(Keywords::default)
            }
        }
    }
}

fn time_of(root: &Beneath, path: &Path) -> Option<SystemTime> {
    root.metadata(path).ok().as_ref().and_then(|metadata: &Metadata| metadata.modified().ok())
}
