//! One look at a source: what is there, what of it is new, and taking that in.
//!
//! A look may be repeated and broken off at any point. A file counts as imported in the very job that
//! stores its message (`store::imported`), so that a crash neither loses nor doubles one; it is removed
//! only after that, and after its content was read back. What a look holds in memory is bounded, however
//! many files lie there.

use std::collections::{BTreeMap, BTreeSet, BinaryHeap, HashMap, HashSet};
use std::ffi::{OsStr, OsString};
use std::fs::{self, Metadata};
use std::io::{self, Read};
use std::ops::ControlFlow;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::after::{Place, dispose};
use super::check::advice_for;
use super::layout::{self, Folder, Found};
use super::maildir::{self, Keywords};
use super::read::{self, Identity, MAX_FILE, Seen, Trouble};
use super::status::{LeftAlone, Problem, SourceStatus};
use super::target::{Target, target};
use crate::model::{AccountId, DateTime, EmailId, FlagSet, MailboxName, SourceId};
use crate::store::imported::{self, FORGET_AFTER, Imported};
use crate::store::messages::{self, NewMessage};
use crate::store::sources::{After, Source};
use crate::store::{Error, Prepared, Snapshot, Store, emails};

/// Messages that are stored in one job, and so with one sync.
const BATCH_MESSAGES: usize = 32;
/// File bytes after which a job is full.
const BATCH_BYTES: u64 = 4 << 20;
/// Names that are held to take files in by their age; where there are more, the folder is gone through
/// again.
const MAX_NAMES: usize = 20_000;
/// Rows that change in one job of the bookkeeping.
const MAX_ROWS: usize = 512;
/// Things that were logged once and are not again.
const MAX_LOGGED: usize = 10_000;
/// A directory that changed so shortly before it was read may change again without its time changing.
const COARSE: Duration = Duration::from_secs(3);
/// How long the name of a file that was deleted or moved away is remembered: by then its removal has
/// reached the disk, and a power cut cannot bring it back.
const FORGET_REMOVED: i64 = 3_600;
/// When files that still changed are looked at again.
const AGAIN: Duration = Duration::from_millis(400);
/// When a full disk is tried again.
const RETRY: Duration = Duration::from_secs(60);
/// The two directories of a folder that hold messages.
const SUBS: [&str; 2] = ["new", "cur"];

/// Why a look ended early.
#[derive(Debug)]
pub enum End {
    /// The watcher stops.
    Stopped,
    /// The store takes nothing now.
    Store(Error),
    /// The root cannot be read.
    Root(io::Error),
}

impl From<Error> for End {
    fn from(error: Error) -> Self {
        if matches!(error, Error::Closed) { End::Stopped } else { End::Store(error) }
    }
}

/// Which files of a directory to look at: these, or all.
pub type Wanted = Option<BTreeSet<OsString>>;

/// Looks at one source.
pub struct Scanner {
    store: Store,
    source: Source,
    under: Option<MailboxName>,
    stop: Arc<AtomicBool>,
    status: Arc<Mutex<SourceStatus>>,
    folders: Vec<Folder>,
    /// Directories that held nothing new, with their time.
    clean: HashMap<PathBuf, SystemTime>,
    /// Files beside the one that has their name: read once, and known.
    second: HashSet<u64>,
    logged: HashSet<u64>,
    unreadable: LeftAlone,
    left: LeftAlone,
    unsettled: bool,
    brought: u64,
}

/// A file that may be new. Sorted by its delivery time, so that UIDs are in that order.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Candidate {
    when: i64,
    name: Vec<u8>,
    sub: usize,
}

/// A message that waits for its job.
struct Item {
    prepared: Prepared,
    key: Vec<u8>,
    row: Imported,
    flags: FlagSet,
    date: DateTime,
    candidate: Candidate,
    identity: Identity,
}

/// The directory that a look is in.
struct Here {
    folder: Folder,
    /// Its path's bytes, as rows have it.
    key: Vec<u8>,
    target: Target,
    keywords: Keywords,
}

impl Scanner {
    /// For a source; `status` is kept in step.
    #[must_use]
    pub fn new(
        store: Store,
        source: Source,
        stop: Arc<AtomicBool>,
        status: Arc<Mutex<SourceStatus>>,
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
            logged: HashSet::new(),
            unreadable: LeftAlone::default(),
            left: LeftAlone::default(),
            unsettled: false,
            brought: 0,
        }
    }

    /// The folders that are there.
    ///
    /// # Errors
    /// If the root cannot be read.
    pub fn discover(&self) -> io::Result<Found> {
        let except = match &self.source.after {
            After::Move(folder) => Some(folder.as_path()),
            _ => None,
        };
        layout::discover(&self.source.path, except)
    }

    /// Looks at every folder. Directories whose time says that nothing came or went since the last look
    /// are left out unless `thorough`. Returns when to look again, if that should be soon.
    ///
    /// # Errors
    /// See [`End`]; what was taken in until then counts.
    pub fn look(&mut self, found: Found, thorough: bool) -> Result<Option<Duration>, End> {
        (self.unreadable, self.left) = (LeftAlone::default(), LeftAlone::default());
        for (path, error) in &found.unreadable {
            self.note_unreadable(&self.source.path.join(path), error);
        }
        if found.too_many {
            self.note_left(
                &self.source.path.clone(),
                "more than 20,000 directories: the rest is not looked at",
            );
        }
        {
            let mut status = self.status();
            (status.layout, status.folders) = (Some(found.layout), found.folders.len() as u64);
        }
        self.folders = found.folders;
        if thorough {
            self.clean.clear();
        }
        let result = (|| {
            for folder in self.folders.clone() {
                self.folder(&folder, [Some(None), Some(None)])?;
            }
            Ok(())
        })();
        self.finish(result, true)
    }

    /// Looks at these directories only: `new/` and `cur/` by their paths.
    ///
    /// # Errors
    /// See [`End`].
    pub fn look_at(&mut self, mut changed: BTreeMap<PathBuf, Wanted>) -> Result<Option<Duration>, End> {
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
            Err(End::Root(error)) => {
                Some((format!("{}: {error}", self.source.path.display()), self.advice()))
            }
            Ok(()) if self.unreadable.count > 0 => {
                let what = match self.unreadable.count {
                    1 => "one file or folder cannot be read or removed".to_owned(),
                    n => format!("{n} files and folders cannot be read or removed"),
                };
                Some((what, self.advice()))
            }
            Ok(()) => None,
        };
        let unsettled = std::mem::take(&mut self.unsettled);
        let now = now();
        let mut status = self.status();
        status.problem = problem.map(|(what, advice)| Problem { at: now, what, advice });
        if full && result.is_ok() {
            status.last_look = Some(now);
        }
        (status.unreadable, status.left_alone) = (self.unreadable.clone(), self.left.clone());
        drop(status);
        match result {
            Ok(()) => Ok(unsettled.then_some(AGAIN)),
            Err(End::Store(Error::NoSpace { .. })) => Ok(Some(RETRY)),
            Err(end) => Err(end),
        }
    }

    /// Lines for a root shell that let this process in.
    #[must_use]
    pub fn advice(&self) -> Vec<String> {
        advice_for(&self.source.path, &self.source.after)
    }

    /// Takes in what is new in a folder's wanted directories.
    fn folder(&mut self, folder: &Folder, wanted: [Option<Wanted>; 2]) -> Result<(), End> {
        let full = wanted.iter().all(|wanted| matches!(wanted, Some(None)));
        let before = SystemTime::now();
        let path = self.source.path.join(&folder.path);
        let times = SUBS.map(|sub| time_of(&path.join(sub)));
        if full && self.is_clean(&path, &times) {
            return Ok(());
        }
        let target = match target(&folder.levels, self.under.as_ref()) {
            Ok(target) => target,
            Err(error) => {
                self.note_left(&path, &format!("no mailbox can have this folder's name: {error}"));
                return Ok(());
            }
        };
        let key = folder.path.as_os_str().as_bytes().to_vec();
        let here = Here { folder: folder.clone(), key, target, keywords: read_keywords(&path) };
        let notes = self.unreadable.count + self.left.count;
        let mut names = HashSet::new();
        let mut complete = true;
        loop {
            let (candidates, more, readable) = self.candidates(&here, &wanted, &mut names)?;
            complete &= readable;
            let brought = self.brought;
            let handled = self.take(&here, candidates)?;
            // What cannot be taken in must not be tried for ever.
            if !more || !handled && self.brought == brought {
                break;
            }
        }
        if full {
            self.make_mailbox(&here)?;
        }
        if full && complete {
            self.keep_books(&here, &names)?;
            let settled =
                times.iter().flatten().all(|time| before.duration_since(*time).is_ok_and(|age| age > COARSE));
            if settled && !self.unsettled && notes == self.unreadable.count + self.left.count {
                for (sub, time) in SUBS.iter().zip(times) {
                    self.clean.insert(path.join(sub), time.unwrap_or(UNIX_EPOCH));
                }
            }
        }
        Ok(())
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
            Err(error @ (Error::Limit(_) | Error::Refused(_) | Error::Exists(_))) => {
                tracing::warn!(folder = %here.folder.path.display(), %error, "no mailbox for this folder");
            }
            Err(error) => return Err(error.into()),
        }
        Ok(())
    }

    /// The files that are not known to be imported, the oldest [`MAX_NAMES`]; whether there are more; and
    /// whether all directories could be read.
    fn candidates(
        &mut self,
        here: &Here,
        wanted: &[Option<Wanted>; 2],
        names: &mut HashSet<u64>,
    ) -> Result<(Vec<Candidate>, bool, bool), End> {
        let snapshot = self.store.snapshot()?;
        let (mut heap, mut more, mut readable) = (BinaryHeap::new(), false, true);
        let folder = self.source.path.join(&here.folder.path);
        for (sub, wanted) in wanted.iter().enumerate() {
            let Some(wanted) = wanted else { continue };
            let directory = folder.join(SUBS[sub]);
            let mut visit = |scanner: &mut Self, name: Vec<u8>| -> Result<(), End> {
                if let Some(candidate) = scanner.consider(&snapshot, here, &directory, sub, name, names)? {
                    heap.push(candidate);
                    if heap.len() > MAX_NAMES {
                        heap.pop();
                        more = true;
                    }
                }
                Ok(())
            };
            if let Some(wanted) = wanted {
                for name in wanted {
                    visit(self, name.as_bytes().to_vec())?;
                }
                continue;
            }
            let entries = match fs::read_dir(&directory) {
                Ok(entries) => entries,
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    // The folder went, or is just being made.
                    readable &= SUBS[sub] == "new" && directory.parent().is_some_and(Path::is_dir);
                    continue;
                }
                Err(error) => {
                    self.note_unreadable(&directory, &error);
                    readable = false;
                    continue;
                }
            };
            for entry in entries {
                match entry {
                    Ok(entry) => visit(self, entry.file_name().into_vec())?,
                    Err(error) => {
                        self.note_unreadable(&directory, &error);
                        readable = false;
                        break;
                    }
                }
            }
        }
        Ok((heap.into_sorted_vec(), more, readable))
    }

    /// Whether a name may be that of something new. `names` learns the names that are there.
    fn consider(
        &mut self,
        snapshot: &Snapshot,
        here: &Here,
        directory: &Path,
        sub: usize,
        name: Vec<u8>,
        names: &mut HashSet<u64>,
    ) -> Result<Option<Candidate>, End> {
        if self.stop.load(Ordering::Relaxed) {
            return Err(End::Stopped);
        }
        // Hidden files are not messages, by the rules of Maildir; a name that holds a NUL cannot be.
        if name.is_empty() || name.first() == Some(&b'.') {
            return Ok(None);
        }
        let path = directory.join(OsStr::from_bytes(&name));
        let metadata = match fs::symlink_metadata(&path) {
            Ok(metadata) => metadata,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => {
                self.note_unreadable(&path, &error);
                return Ok(None);
            }
        };
        let base = maildir::base(&name);
        names.insert(mark(&base));
        if !metadata.is_file() {
            if !metadata.is_dir() {
                let what = if metadata.is_symlink() { "a symbolic link" } else { "no plain file" };
                self.note_left(&path, what);
            }
            return Ok(None);
        }
        let identity = Identity::new(&metadata);
        if self.second.contains(&second_mark(&here.key, &name, &identity)) {
            return Ok(None);
        }
        if self.source.after == After::Keep
            && let Some(row) = imported::get(snapshot, self.source.id, &here.key, &base)?
            && is_same(&row, &identity)
        {
            return Ok(None);
        }
        let when = maildir::seconds(&name).unwrap_or_else(|| identity.modified());
        Ok(Some(Candidate { when, name, sub }))
    }

    /// Takes candidates in, in batches. Returns whether any of them was dealt with for good.
    fn take(&mut self, here: &Here, candidates: Vec<Candidate>) -> Result<bool, End> {
        let (mut batch, mut bytes, mut handled) = (Vec::new(), 0, false);
        for candidate in candidates {
            let path = self.path(here, &candidate);
            match self.prepare(here, candidate) {
                Ok(Some(item)) => {
                    // The same name twice in one job would make one row of two messages.
                    if batch.iter().any(|known: &Item| known.key == item.key) {
                        self.store_batch(here, std::mem::take(&mut batch))?;
                        bytes = 0;
                        self.unsettled = true;
                        continue;
                    }
                    bytes += item.prepared.size();
                    batch.push(item);
                }
                Ok(None) => handled = true,
                Err(Trouble::Gone) => {}
                Err(Trouble::Stopped) => return Err(End::Stopped),
                Err(Trouble::Changing) => self.unsettled = true,
                Err(Trouble::LeftAlone(why)) => self.note_left(&path, why),
                Err(Trouble::Unreadable(error)) => self.note_unreadable(&path, &error),
                Err(Trouble::Store(error)) => {
                    // What is prepared already may fit still.
                    if !matches!(error, Error::Closed) {
                        self.store_batch(here, std::mem::take(&mut batch))?;
                    }
                    return Err(error.into());
                }
            }
            if batch.len() >= BATCH_MESSAGES || bytes >= BATCH_BYTES {
                self.store_batch(here, std::mem::take(&mut batch))?;
                bytes = 0;
            }
        }
        self.store_batch(here, batch)?;
        Ok(handled)
    }

    fn path(&self, here: &Here, candidate: &Candidate) -> PathBuf {
        let name = OsStr::from_bytes(&candidate.name);
        self.source.path.join(&here.folder.path).join(SUBS[candidate.sub]).join(name)
    }

    /// Reads a file. `None` if it turned out to be known, and was dealt with.
    fn prepare(&mut self, here: &Here, candidate: Candidate) -> Result<Option<Item>, Trouble> {
        let path = self.path(here, &candidate);
        let base = maildir::base(&candidate.name);
        let (source, snapshot) = (self.source.id, self.store.snapshot()?);
        let known = imported::get(&snapshot, source, &here.key, &base)?;
        drop(snapshot);
        let Some(known) = known else {
            let (prepared, seen) = self.stream(&path)?;
            return Ok(Some(self.item(here, candidate, base, prepared, seen, &path)?));
        };
        let (seen, stored) = read::hash(&path, &self.stop)?;
        let second_key = [&base[..], b"/", &hex(&seen.hash)].concat();
        let snapshot = self.store.snapshot()?;
        let key = if known.hash == seen.hash { base } else { second_key };
        let row = imported::get(&snapshot, source, &here.key, &key)?;
        let Some(row) = row else {
            // Another file under a known name is another message.
            drop(snapshot);
            let (prepared, seen) = self.stream(&path)?;
            return Ok(Some(self.item(here, candidate, key, prepared, seen, &path)?));
        };
        if self.source.after == After::Keep {
            drop(snapshot);
            self.know(here, &candidate, key, row, &seen)?;
            return Ok(None);
        }
        // Imported before, and not removed then.
        let email = emails::by_hash(&snapshot, stored)?;
        let Some(email) = email else {
            return Err(Trouble::LeftAlone("imported before, and its message was deleted since"));
        };
        self.remove(here, &snapshot, &candidate, email, &seen.identity);
        Ok(None)
    }

    /// Remembers a file by its time, so that it need not be read at the next look.
    fn know(
        &mut self,
        here: &Here,
        candidate: &Candidate,
        key: Vec<u8>,
        row: Imported,
        seen: &Seen,
    ) -> Result<(), Error> {
        if key.contains(&b'/') {
            if self.second.len() < MAX_LOGGED {
                self.second.insert(second_mark(&here.key, &candidate.name, &seen.identity));
            }
            return Ok(());
        }
        if is_same(&row, &seen.identity) {
            return Ok(());
        }
        let (source, folder) = (self.source.id, here.key.clone());
        let row = Imported { modified: seen.identity.modified_nanos(), missed_since: None, ..row };
        self.store.write(move |tx| imported::put(tx, source, &folder, &key, &row))
    }

    fn stream(&self, path: &Path) -> Result<(Prepared, Seen), Trouble> {
        let mut incoming = self.store.incoming(MAX_FILE);
        let seen = read::stream(path, &self.stop, &mut |bytes| incoming.write(bytes))?;
        Ok((incoming.finish()?, seen))
    }

    fn item(
        &mut self,
        here: &Here,
        candidate: Candidate,
        key: Vec<u8>,
        prepared: Prepared,
        seen: Seen,
        path: &Path,
    ) -> Result<Item, Trouble> {
        if key.contains(&b'/') {
            tracing::info!(file = %path.display(), "another message under a name that is known");
        }
        let row = Imported {
            hash: seen.hash,
            length: seen.length,
            modified: seen.identity.modified_nanos(),
            missed_since: None,
        };
        Ok(Item {
            prepared,
            key,
            row,
            flags: maildir::flags(&candidate.name, &here.keywords),
            date: DateTime::utc(candidate.when),
            candidate,
            identity: seen.identity,
        })
    }

    /// Stores messages and, where that is wanted, removes their files.
    fn store_batch(&mut self, here: &Here, batch: Vec<Item>) -> Result<(), End> {
        if batch.is_empty() {
            return Ok(());
        }
        let files: Vec<(Candidate, Identity, Vec<u8>)> =
            batch.iter().map(|item| (item.candidate.clone(), item.identity, item.key.clone())).collect();
        let job = Job {
            source: self.source.id,
            account: self.source.account,
            folder: here.key.clone(),
            target: here.target.clone(),
            batch,
        };
        let emails = match self.store.write(move |tx| job.run(tx)) {
            Ok(emails) => emails,
            // A folder that can have no mailbox must not hold up the others.
            Err(error @ (Error::Limit(_) | Error::Refused(_))) => {
                let folder = self.source.path.join(&here.folder.path);
                for _ in &files {
                    self.note_left(&folder, &error.to_string());
                }
                return Ok(());
            }
            Err(error) => return Err(error.into()),
        };
        self.brought += emails.len() as u64;
        {
            let mut status = self.status();
            status.imported += emails.len() as u64;
            status.last_mail = Some(now());
        }
        for ((candidate, identity, key), email) in files.iter().zip(emails) {
            if self.source.after == After::Keep {
                if key.contains(&b'/') && self.second.len() < MAX_LOGGED {
                    self.second.insert(second_mark(&here.key, &candidate.name, identity));
                }
                continue;
            }
            if self.stop.load(Ordering::Relaxed) {
                return Err(End::Stopped);
            }
            let snapshot = self.store.snapshot()?;
            self.remove(here, &snapshot, candidate, email, identity);
        }
        Ok(())
    }

    /// Removes or moves a file whose message is stored, after reading that back.
    fn remove(
        &mut self,
        here: &Here,
        snapshot: &Snapshot,
        candidate: &Candidate,
        email: EmailId,
        identity: &Identity,
    ) {
        let path = self.path(here, candidate);
        if let Err(error) = snapshot.verify(email) {
            tracing::error!(file = %path.display(), %error, "kept, for its stored message cannot be read back");
            self.note_left(&path, "kept: its stored message cannot be read back");
            return;
        }
        let place = Place {
            root: &self.source.path,
            folder: &here.folder.path,
            sub: SUBS[candidate.sub],
            name: OsStr::from_bytes(&candidate.name),
        };
        match dispose(&self.source.after, &place, identity) {
            Ok(true) => self.status().removed += 1,
            // Renamed meanwhile: found again under its new name.
            Ok(false) => self.unsettled = true,
            Err(error) => self.note_unreadable(&path, &error),
        }
    }

    /// After a complete look at a folder: notes which files are missed, which are back, and forgets those
    /// that were missed for long.
    fn keep_books(&mut self, here: &Here, names: &HashSet<u64>) -> Result<(), End> {
        let now = now();
        let keep_for = if self.source.after == After::Keep { FORGET_AFTER } else { FORGET_REMOVED };
        let mut from: Option<Vec<u8>> = None;
        loop {
            let mut changed: Vec<(Vec<u8>, Option<Imported>)> = Vec::new();
            let snapshot = self.store.snapshot()?;
            imported::scan(&snapshot, self.source.id, &here.key, &mut |name, row| {
                if from.as_deref().is_some_and(|from| name <= from) {
                    return Ok(ControlFlow::Continue(()));
                }
                let base = name.split(|byte| *byte == b'/').next().unwrap_or_default();
                let present = names.contains(&mark(base));
                let new = match (present, row.missed_since) {
                    (true, None) => return Ok(ControlFlow::Continue(())),
                    (true, Some(_)) => Some(Imported { missed_since: None, ..*row }),
                    (false, None) => Some(Imported { missed_since: Some(now), ..*row }),
                    (false, Some(since)) if now.saturating_sub(since) >= keep_for => None,
                    (false, Some(_)) => return Ok(ControlFlow::Continue(())),
                };
                changed.push((name.to_vec(), new));
                Ok(if changed.len() < MAX_ROWS { ControlFlow::Continue(()) } else { ControlFlow::Break(()) })
            })?;
            drop(snapshot);
            let Some((last, _)) = changed.last() else { return Ok(()) };
            let more = changed.len() >= MAX_ROWS;
            from = Some(last.clone());
            let (source, folder) = (self.source.id, here.key.clone());
            self.store.write(move |tx| {
                for (name, row) in &changed {
                    match row {
                        Some(row) => imported::put(tx, source, &folder, name, row)?,
                        None => imported::forget(tx, source, &folder, name),
                    }
                }
                Ok(())
            })?;
            if !more {
                return Ok(());
            }
        }
    }

    fn status(&self) -> MutexGuard<'_, SourceStatus> {
        self.status.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn note_unreadable(&mut self, path: &Path, error: &io::Error) {
        let text = format!("{}: {error}", path.display());
        if self.is_news(&text) {
            tracing::warn!(file = %path.display(), %error, "cannot be read or removed; tried again at each look");
        }
        self.unreadable.add(text);
    }

    fn note_left(&mut self, path: &Path, why: &str) {
        let text = format!("{}: {why}", path.display());
        if self.is_news(&text) {
            tracing::warn!(file = %path.display(), why, "left where it is");
        }
        self.left.add(text);
    }

    /// Whether it was not logged before.
    fn is_news(&mut self, text: &str) -> bool {
        if self.logged.len() >= MAX_LOGGED {
            self.logged.clear();
        }
        self.logged.insert(mark(text.as_bytes()))
    }
}

/// What one job stores.
struct Job {
    source: SourceId,
    account: AccountId,
    folder: Vec<u8>,
    target: Target,
    batch: Vec<Item>,
}

impl Job {
    fn run(self, tx: &mut dyn crate::store::Transaction) -> Result<Vec<EmailId>, Error> {
        let (mailbox, name) = self.target.resolve(tx, self.account)?;
        let table = messages::keywords(tx, mailbox)?;
        let mut known: BTreeSet<String> =
            table.all().map(|keyword| keyword.as_str().to_lowercase()).collect();
        let (mut emails, mut new) = (Vec::new(), Vec::new());
        for item in &self.batch {
            let email = item.prepared.file(tx, self.account, &name)?;
            let mut flags = item.flags.clone();
            // A message is worth more than its keyword where the mailbox has no room for another.
            flags.keywords.retain(|keyword| {
                let word = keyword.as_str().to_lowercase();
                known.contains(&word) || known.len() < crate::store::keywords::MAX && known.insert(word)
            });
            let (size, internal_date) = (item.prepared.size(), item.date);
            new.push(NewMessage { email, size, internal_date, flags });
            emails.push(email);
            imported::put(tx, self.source, &self.folder, &item.key, &item.row)?;
        }
        messages::append(tx, self.account, mailbox, &new)?;
        Ok(emails)
    }
}

/// Whether a file is the one that was imported, as far as can be told without reading it.
fn is_same(row: &Imported, identity: &Identity) -> bool {
    row.length == identity.size() && row.modified == identity.modified_nanos()
}

/// A short stand-in for a name, of this process only.
fn mark(bytes: &[u8]) -> u64 {
    xxhash_rust::xxh3::xxh3_64(bytes)
}

fn second_mark(folder: &[u8], name: &[u8], identity: &Identity) -> u64 {
    let state = [identity.size().to_be_bytes(), identity.modified_nanos().to_be_bytes()].concat();
    mark(&[folder, &[0], &maildir::base(name), &[0], &state].concat())
}

fn hex(hash: &[u8; 32]) -> Vec<u8> {
    hash.iter().take(8).flat_map(|byte| format!("{byte:02x}").into_bytes()).collect()
}

fn time_of(path: &Path) -> Option<SystemTime> {
    fs::metadata(path).ok().as_ref().and_then(|metadata: &Metadata| metadata.modified().ok())
}

fn read_keywords(folder: &Path) -> Keywords {
    let mut text = Vec::new();
    if let Ok(file) = fs::File::open(folder.join(Keywords::FILE)) {
        // What can be read of it counts.
        let _ = file.take(Keywords::MAX_FILE).read_to_end(&mut text);
    }
    Keywords::parse(&text)
}

/// Seconds since 1970.
fn now() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs().cast_signed())
}
