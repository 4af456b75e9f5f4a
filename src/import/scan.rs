//! One look at a source: what is there, what of it is new, and taking that in.
//!
//! A look may be repeated and broken off at any point. A file counts as imported in the very job that
//! stores its message (`store::imported`), so that a crash neither loses nor doubles one; it is removed
//! only after that, and after its content was read back. What a look holds in memory is bounded, however
//! many files lie there.
//!
//! While one batch is made durable the next is read and prepared.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::ffi::OsStr;
use std::fs::{self, Metadata};
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::after::{Place, dispose};
use super::books;
use super::candidates::{Candidate, Listed, Listing, MAX_NAMES, SUBS, Wanted, is_same, second_mark};
use super::check::advice_for;
use super::filing::{Item, Job};
use super::layout::{self, Folder, Found};
use super::maildir::{self, Keywords};
use super::notes::Notes;
use super::read::{self, Identity, MAX_FILE, Seen, Trouble};
use super::status::{Problem, SourceStatus};
use super::target::{Target, target};
use crate::model::{DateTime, EmailId, MailboxName};
use crate::store::imported::{self, Imported};
use crate::store::sources::{After, Source};
use crate::store::{Error, Pending, Prepared, Snapshot, Store, emails, unix_now};

/// Messages that are stored in one job, and so with one sync.
const BATCH_MESSAGES: usize = 32;
/// Bytes of messages after which a job is full: as much as the writer takes at a time.
const BATCH_BYTES: u64 = 2 << 20;
/// Second files under a name that are remembered as known.
const MAX_SECOND: usize = 10_000;
/// A directory that changed so shortly before it was read may change again without its time changing.
const COARSE: Duration = Duration::from_secs(3);
/// When files that still changed are looked at again.
const AGAIN: Duration = Duration::from_millis(400);
/// When a full disk is tried again.
const RETRY: Duration = Duration::from_secs(60);

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
    notes: Notes,
    /// The batch that is on its way.
    underway: Option<Batch>,
    unsettled: bool,
    brought: u64,
    max_names: usize,
}

/// A batch that was handed to the writer.
struct Batch {
    files: Vec<File>,
    pending: Pending<Vec<EmailId>>,
}

/// A file whose message is in a batch.
struct File {
    candidate: Candidate,
    identity: Identity,
    key: Vec<u8>,
}

/// The directory that a look is in.
struct Here {
    folder: Folder,
    /// Its whole path.
    path: PathBuf,
    /// Its path's bytes below the root, as rows have it.
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
            notes: Notes::default(),
            underway: None,
            unsettled: false,
            brought: 0,
            max_names: MAX_NAMES,
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
        self.notes.begin();
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
            Ok(()) if self.notes.unreadable.count > 0 => {
                let what = match self.notes.unreadable.count {
                    1 => "one file or folder cannot be read or removed".to_owned(),
                    n => format!("{n} files and folders cannot be read or removed"),
                };
                Some((what, self.advice()))
            }
            Ok(()) => None,
        };
        let unsettled = std::mem::take(&mut self.unsettled);
        let now = unix_now();
        let mut status = self.status();
        status.problem = problem.map(|(what, advice)| Problem { at: now, what, advice });
        if full && result.is_ok() {
            status.last_look = Some(now);
        }
        (status.unreadable, status.left_alone) = (self.notes.unreadable.clone(), self.notes.left.clone());
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
                self.notes.left(&path, &format!("no mailbox can have this folder's name: {error}"));
                return Ok(());
            }
        };
        let key = folder.path.as_os_str().as_bytes().to_vec();
        let here = Here { folder: folder.clone(), keywords: read_keywords(&path), path, key, target };
        let notes = self.notes.count();
        let mut names = HashSet::new();
        let complete = self.files(&here, &wanted, &mut names)?;
        if full {
            self.make_mailbox(&here)?;
        }
        if full && complete {
            books::keep(&self.store, &self.source, &here.key, &names)?;
            let settled =
                times.iter().flatten().all(|time| before.duration_since(*time).is_ok_and(|age| age > COARSE));
            if settled && !self.unsettled && notes == self.notes.count() {
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
        let listing = Listing {
            snapshot: &self.store.snapshot()?,
            source: self.source.id,
            key: &here.key,
            path: &here.path,
            trusts_times: self.source.after == After::Keep,
            second: &self.second,
            stop: &self.stop,
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

    /// Takes candidates in, in batches.
    fn take(&mut self, here: &Here, candidates: Vec<Candidate>) -> Result<(), End> {
        let taken = self.take_all(here, candidates);
        // What is on its way counts, whatever else went wrong.
        let settled = self.settle(here);
        taken.and(settled)
    }

    fn take_all(&mut self, here: &Here, candidates: Vec<Candidate>) -> Result<(), End> {
        let (mut batch, mut bytes) = (Vec::new(), 0);
        for candidate in candidates {
            let path = self.path(here, &candidate);
            match self.prepare(here, candidate) {
                Ok(Some(item)) => {
                    // The same name again before the first is stored would make one row of two messages.
                    if batch.iter().any(|known: &Item| known.key == item.key) || self.is_underway(&item.key) {
                        self.unsettled = true;
                        continue;
                    }
                    bytes += item.prepared.size();
                    batch.push(item);
                }
                Ok(None) => {}
                // Removed, or it has another name now: where nothing tells of that, the next look would be late.
                Err(Trouble::Gone) => self.unsettled = true,
                Err(Trouble::Stopped) => return Err(End::Stopped),
                Err(Trouble::Changing) => self.unsettled = true,
                Err(Trouble::LeftAlone(why)) => self.notes.left(&path, why),
                Err(Trouble::Unreadable(error)) => self.unreadable(&path, &error),
                Err(Trouble::Store(error)) => {
                    // What is prepared already may fit still.
                    if !matches!(error, Error::Closed) {
                        self.store_batch(here, batch)?;
                    }
                    return Err(error.into());
                }
            }
            if batch.len() >= BATCH_MESSAGES || bytes >= BATCH_BYTES {
                self.store_batch(here, std::mem::take(&mut batch))?;
                bytes = 0;
            }
        }
        self.store_batch(here, batch)
    }

    /// Notes what cannot be read, unless it is so new that this may change still.
    fn unreadable(&mut self, path: &Path, error: &io::Error) {
        if error.kind() == io::ErrorKind::PermissionDenied && read::is_new(path) {
            self.unsettled = true;
        } else {
            self.notes.unreadable(path, error);
        }
    }

    fn is_underway(&self, key: &[u8]) -> bool {
        self.underway.as_ref().is_some_and(|batch| batch.files.iter().any(|file| file.key == key))
    }

    fn path(&self, here: &Here, candidate: &Candidate) -> PathBuf {
        here.path.join(SUBS[candidate.sub]).join(OsStr::from_bytes(&candidate.name))
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
            self.know_second(here, candidate, &seen.identity);
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
            filed: None,
            instance: None,
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

    /// Hands messages to the writer, and ends what was handed to it before.
    fn store_batch(&mut self, here: &Here, batch: Vec<Item>) -> Result<(), End> {
        if batch.is_empty() {
            return Ok(());
        }
        let files = batch
            .iter()
            .map(|item| File {
                candidate: item.candidate.clone(),
                identity: item.identity,
                key: item.key.clone(),
            })
            .collect();
        let job = Job {
            source: self.source.id,
            account: self.source.account,
            folder: here.key.clone(),
            target: here.target.clone(),
            batch,
        };
        let pending = self.store.begin(move |tx| job.run(tx))?;
        let before = self.underway.replace(Batch { files, pending });
        before.map_or(Ok(()), |batch| self.stored(here, batch))
    }

    fn settle(&mut self, here: &Here) -> Result<(), End> {
        self.underway.take().map_or(Ok(()), |batch| self.stored(here, batch))
    }

    /// Waits until a batch is stored and, where that is wanted, removes its files.
    fn stored(&mut self, here: &Here, batch: Batch) -> Result<(), End> {
        let emails = match batch.pending.wait() {
            Ok(emails) => emails,
            // A folder that can have no mailbox must not hold up the others.
            Err(error @ (Error::Limit(_) | Error::Refused(_) | Error::Internal(_))) => {
                for file in &batch.files {
                    self.notes.left(&self.path(here, &file.candidate), &error.to_string());
                }
                return Ok(());
            }
            Err(error) => return Err(error.into()),
        };
        self.brought += emails.len() as u64;
        {
            let mut status = self.status();
            status.imported += emails.len() as u64;
            status.last_mail = Some(unix_now());
        }
        for (file, email) in batch.files.iter().zip(emails) {
            if self.source.after == After::Keep {
                if file.key.contains(&b'/') {
                    self.know_second(here, &file.candidate, &file.identity);
                }
                continue;
            }
            if self.stop.load(Ordering::Relaxed) {
                return Err(End::Stopped);
            }
            let snapshot = self.store.snapshot()?;
            self.remove(here, &snapshot, &file.candidate, email, &file.identity);
        }
        Ok(())
    }

    fn know_second(&mut self, here: &Here, candidate: &Candidate, identity: &Identity) {
        if self.second.len() < MAX_SECOND {
            self.second.insert(second_mark(&here.key, &candidate.name, identity));
        }
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
            self.notes.left(&path, "kept: its stored message cannot be read back");
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
            Err(error) => self.notes.unreadable(&path, &error),
        }
    }

    fn status(&self) -> MutexGuard<'_, SourceStatus> {
        self.status.lock().unwrap_or_else(PoisonError::into_inner)
    }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::AccountId;
    use crate::store::{Options, accounts, mailboxes, sources};

    struct Bench {
        folder: tempfile::TempDir,
        store: Store,
        account: AccountId,
        scanner: Scanner,
    }

    fn bench(after: impl FnOnce(&Path) -> After) -> Bench {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("Maildir");
        for sub in ["cur", "new", "tmp"] {
            fs::create_dir_all(root.join(sub)).unwrap();
        }
        let store = Store::open(Options::new(folder.path().join("data"))).unwrap();
        let (path, after) = (root, after(folder.path()));
        let (account, source) = store
            .write(move |tx| {
                let account = accounts::create(tx, "anna", None)?;
                let id = sources::add(tx, account, &path, None, after)?;
                Ok((account, sources::get(tx, id)?.unwrap()))
            })
            .unwrap();
        let status = SourceStatus::new(source.id, account, source.path.clone());
        let scanner = Scanner::new(store.clone(), source, Arc::default(), Arc::new(Mutex::new(status)));
        Bench { folder, store, account, scanner }
    }

    impl Bench {
        fn put(&self, n: u32) {
            let path = self.folder.path().join(format!("Maildir/cur/{}.{n}:2,S", 1_700_000_000 + n));
            fs::write(&path, format!("Subject: {n}\n\nHello.\n")).unwrap();
            let old = SystemTime::now() - Duration::from_secs(60);
            fs::File::options().write(true).open(path).unwrap().set_modified(old).unwrap();
        }

        fn look(&mut self, thorough: bool) {
            let found = self.scanner.discover().unwrap();
            self.scanner.look(found, thorough).unwrap();
        }

        fn count(&self) -> u32 {
            let inbox =
                mailboxes::by_name(&self.store.snapshot().unwrap(), self.account, &MailboxName::inbox());
            inbox.unwrap().unwrap().messages
        }

        /// As if nothing had come or gone since 2020.
        fn settle(&self) {
            for sub in SUBS {
                let folder = fs::File::open(self.folder.path().join("Maildir").join(sub)).unwrap();
                folder.set_modified(UNIX_EPOCH + Duration::from_secs(1_600_000_000)).unwrap();
            }
        }
    }

    #[test]
    fn more_files_than_are_held_come_even_if_none_can_be_taken_away() {
        // The folder to move to is a file.
        let mut bench = bench(|folder| {
            fs::write(folder.join("file"), "").unwrap();
            After::Move(folder.join("file"))
        });
        bench.scanner.max_names = 10;
        (0..95).for_each(|n| bench.put(n));
        for _ in 0..2 {
            bench.look(true);
            assert_eq!(bench.count(), 95);
            let status = bench.scanner.status();
            assert_eq!((status.imported, status.removed, status.unreadable.count), (95, 0, 95));
            assert!(status.problem.as_ref().unwrap().what.starts_with("95 files"));
        }
    }

    #[test]
    fn a_folder_in_which_nothing_changed_is_not_read() {
        let mut bench = bench(|_| After::Keep);
        bench.scanner.max_names = 7;
        (0..20).for_each(|n| bench.put(n));
        bench.settle();
        bench.look(true);
        assert_eq!(bench.count(), 20);
        // One that comes without changing the directory's time is not seen, for the directory is not read;
        // a thorough look believes no time.
        bench.put(20);
        bench.settle();
        bench.look(false);
        assert_eq!(bench.count(), 20);
        bench.look(true);
        assert_eq!(bench.count(), 21);
        // One that changes it is seen.
        bench.put(21);
        bench.look(false);
        assert_eq!(bench.count(), 22);
    }
}
