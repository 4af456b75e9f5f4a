//! Old mail of any kind, read where it lies and never changed: Maildirs, mbox files, single messages, folders
//! of these, and archives of all of them. Nobody has to say what is what: it is seen from the contents.
//!
//! | what | goes to |
//! |---|---|
//! | the folders of a Maildir | mailboxes of their names; those that mean a role, to that mailbox |
//! | an mbox | the mailbox of its file's name, with the folders that it lies in |
//! | a message in a file, of MH and Apple Mail too | the mailbox of its folder's name |
//! | a message of a Google Takeout | the mailboxes of its labels |

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::fs;
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::loose::{self, is_eml};
use super::mh::{self, Marks};
use crate::import::destination::sink::{Outcome, Sink, Stop};
use crate::import::disk::beneath::{self, Beneath, Entries, Entry};
use crate::import::disk::bounds;
use crate::import::disk::disk_error::{is_gone, words};
use crate::import::maildir::keywords::{self, Keywords};
use crate::import::maildir::layout::{self, Folder, SUBS};
use crate::import::maildir::message_name;
use crate::model::FlagSet;
use crate::model::printable::one_line;

/// What was skipped is named up to this number, and counted beyond it.
pub(super) const MAX_SKIPPED: usize = 1_000;
/// Names of a folder that are held to read its messages by their age; where there are more, the folder is
/// gone through again.
const MAX_NAMES: usize = 100_000;
/// How often a message is looked for whose file another program renames.
const MAX_LOOKS: usize = 5;
/// Where systems keep each user's inbox.
const SPOOLS: [&str; 2] = ["/var/mail", "/var/spool/mail"];

/// What is wanted beyond the mail itself.
#[derive(Clone, Debug, Default)]
pub struct Wishes {
    /// All of it counts as read.
    pub seen: bool,
    /// Somebody named the mailbox below which all of it goes.
    pub below: bool,
    /// Breaks off, at the next piece that is read or skipped.
    pub stop: Arc<AtomicBool>,
}

/// Something that was not taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Skipped {
    /// Where it is.
    pub what: String,
    /// Why.
    pub why: String,
}

/// What a whole import came to.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// Messages that were found.
    pub found: u64,
    /// What was looked at, and what it is.
    pub looked: Vec<String>,
    /// What was not taken.
    pub skipped: Vec<Skipped>,
    /// How much that is.
    pub skipped_count: u64,
    /// How much of it could not be read, or was refused.
    pub failed: u64,
}

/// How far it is.
#[derive(Clone, Debug, Default)]
pub struct Progress {
    /// Messages that were found.
    pub found: u64,
    /// Bytes that were read.
    pub bytes: u64,
    /// Bytes that there are.
    pub of: u64,
    /// What became of the messages.
    pub outcome: Outcome,
}

/// Reads everything at these paths into the sink.
///
/// # Errors
/// If nothing more is taken; what was taken until then stays.
pub fn read(
    paths: &[PathBuf],
    wishes: Wishes,
    sink: &mut dyn Sink,
    progress: &mut dyn FnMut(&Progress),
) -> Result<Report, Stop> {
    let of = paths.iter().map(|path| size(path)).sum();
    let done = Rc::new(Cell::new(0));
    let (others, report) = Default::default();
    let mut reader = Reader { wishes, others, sink, progress, done, of, report };
    // A single file of messages goes into the mailbox that was named itself.
    let alone = reader.wishes.below && paths.len() == 1;
    for path in paths {
        let done = reader.path(path, alone);
        reader.tell_others();
        match done {
            Ok(()) => {}
            Err(Fault::Stop(stop)) => return Err(stop),
            Err(Fault::Read(_)) if reader.is_stopped() => return Err(reader.broken_off()?),
            Err(Fault::Read(error)) => reader.unread(path, &error),
        }
    }
    reader.sink.finish()?;
    reader.collect_refused();
    reader.tell();
    Ok(reader.report)
}

/// Bytes below a path, for the progress: what cannot be read counts nothing.
fn size(path: &Path) -> u64 {
    let Ok(metadata) = fs::metadata(path) else { return 0 };
    if !metadata.is_dir() {
        return metadata.len();
    }
    let (mut sum, mut open) = (0, vec![path.to_owned()]);
    while let Some(folder) = open.pop() {
        let Ok(entries) = fs::read_dir(&folder) else { continue };
        for entry in entries.flatten() {
            match entry.file_type() {
                Ok(kind) if kind.is_dir() => open.push(entry.path()),
                Ok(kind) if kind.is_file() => {
                    let told = message_name::told_size(entry.file_name().as_bytes());
                    sum += told.or_else(|| entry.metadata().ok().map(|data| data.len())).unwrap_or(0);
                }
                _ => {}
            }
        }
    }
    sum
}

/// Why a file's reading ended.
pub(super) enum Fault {
    Read(io::Error),
    Stop(Stop),
}

impl From<io::Error> for Fault {
    fn from(error: io::Error) -> Self {
        Fault::Read(error)
    }
}

impl From<Stop> for Fault {
    fn from(stop: Stop) -> Self {
        Fault::Stop(stop)
    }
}

/// Counts what is read.
pub(super) struct Counted<R> {
    pub(super) inner: R,
    pub(super) done: Rc<Cell<u64>>,
    pub(super) stop: Arc<AtomicBool>,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        bounds::go_on(&self.stop)?;
        let count = self.inner.read(out)?;
        self.done.set(self.done.get() + count as u64);
        Ok(count)
    }
}

impl<R: Seek> Seek for Counted<R> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.inner.seek(to)
    }
}

/// What is known of a file before it is read.
pub(super) struct Origin<'a> {
    /// For people.
    pub(super) name: String,
    /// Below what the person named.
    pub(super) path: &'a Path,
    pub(super) modified: Option<i64>,
    /// It was named itself, so that it must be something.
    pub(super) named: bool,
    /// It lies in an archive.
    pub(super) packed: bool,
    /// What is told of a message beside it.
    pub(super) flags: Option<FlagSet>,
}

pub(super) struct Reader<'a> {
    pub(super) wishes: Wishes,
    /// Files of a folder that are mail and are not read: told of together.
    pub(super) others: BTreeMap<(String, &'static str), u64>,
    pub(super) sink: &'a mut dyn Sink,
    progress: &'a mut dyn FnMut(&Progress),
    done: Rc<Cell<u64>>,
    of: u64,
    pub(super) report: Report,
}

impl Reader<'_> {
    fn is_stopped(&self) -> bool {
        self.wishes.stop.load(Ordering::Acquire)
    }

    /// Keeps what came before.
    fn broken_off(&mut self) -> Result<Stop, Stop> {
        self.sink.discard()?;
        self.sink.finish()?;
        Ok(Stop::Server("broken off".to_owned()))
    }

    pub(super) fn counted<R>(&self, inner: R) -> Counted<R> {
        Counted { inner, done: Rc::clone(&self.done), stop: Arc::clone(&self.wishes.stop) }
    }

    fn path(&mut self, path: &Path, alone: bool) -> Result<(), Fault> {
        if fs::metadata(path)?.is_dir() {
            return self.directory(path);
        }
        let file = beneath::named(path)?;
        let spool = path.parent().is_some_and(|parent| SPOOLS.iter().any(|spool| parent == Path::new(spool)));
        let below = if spool || alone && !is_eml(path) {
            Path::new("")
        } else {
            Path::new(path.file_name().unwrap_or_default())
        };
        self.file(file, path, below, (true, None))
    }

    fn directory(&mut self, root: &Path) -> Result<(), Fault> {
        let found = layout::discover(root, None)?;
        let beneath = &Beneath::open(root)?;
        if !found.folders.is_empty() {
            self.looked(format!(
                "{}: a Maildir ({}), folders: {}",
                root.display(),
                found.layout.name(),
                found.folders.len()
            ));
        } else {
            self.looked(format!("{}: a folder", root.display()));
        }
        if found.too_many {
            self.failed(&root.display().to_string(), "more than 20,000 folders: the rest was not looked at");
        }
        for (path, error) in &found.unreadable {
            self.unread(&root.join(path), error);
        }
        for folder in &found.folders {
            self.maildir_folder(beneath, folder)?;
        }
        let is_hidden = |path: &PathBuf| {
            path.iter().any(|name| name.as_bytes().starts_with(b".") && layout::of_kmail(name).is_none())
        };
        let folders = found.folders.into_iter().map(|folder| folder.path);
        let others = found.others.into_iter().filter(|path| !is_hidden(path));
        let all: BTreeSet<PathBuf> = folders.chain(others).collect();
        for path in all {
            self.loose_files(beneath, &path)?;
        }
        Ok(())
    }

    /// The messages of one folder, the oldest first.
    fn maildir_folder(&mut self, root: &Beneath, folder: &Folder) -> Result<(), Fault> {
        let path = root.path().join(&folder.path);
        let keywords = match keywords::read(root, &path) {
            Ok(keywords) => keywords,
            // Its messages come all the same: somebody is there who is told.
            Err(error) => {
                self.unread(&path.join(Keywords::FILE), &error);
                Keywords::default()
            }
        };
        let (mut behind, mut missed) = (None, BTreeSet::new());
        loop {
            let names = self.oldest(root, &path, behind.as_ref());
            let more = names.len() >= MAX_NAMES;
            for (_, name, sub) in &names {
                if self.maildir_file(root, &path, folder, &keywords, (name, *sub))? {
                    missed.remove(&message_name::base(name));
                } else {
                    missed.insert(message_name::base(name));
                }
            }
            behind = names.into_iter().next_back();
            if !more || behind.is_none() {
                return self.renamed(root, &path, folder, &keywords, missed);
            }
        }
    }

    /// Messages that another program gave another name since they were listed, as it does when one is read. What is
    /// found no more was deleted.
    fn renamed(
        &mut self,
        root: &Beneath,
        path: &Path,
        folder: &Folder,
        keywords: &Keywords,
        mut missed: BTreeSet<Vec<u8>>,
    ) -> Result<(), Fault> {
        for _ in 0..MAX_LOOKS {
            if missed.is_empty() {
                break;
            }
            for (sub, directory) in SUBS.iter().enumerate() {
                let directory = path.join(directory);
                let mut entries = self.entries(root, &directory);
                while let Some(entry) = self.next(&directory, &mut entries) {
                    let name = entry.name.as_bytes().to_vec();
                    let base = message_name::base(&name);
                    if missed.contains(&base)
                        && self.maildir_file(root, path, folder, keywords, (&name, sub))?
                    {
                        missed.remove(&base);
                    }
                }
            }
        }
        Ok(())
    }

    /// One message. Returns whether it is there.
    fn maildir_file(
        &mut self,
        root: &Beneath,
        path: &Path,
        folder: &Folder,
        keywords: &Keywords,
        (name, sub): (&[u8], usize),
    ) -> Result<bool, Fault> {
        let file = path.join(SUBS[sub]).join(OsStr::from_bytes(name));
        let opened = match root.file(&file).map_err(Fault::Read) {
            Err(Fault::Read(error)) if is_gone(&error) => return Ok(false),
            opened => opened,
        };
        let Some(opened) = self.or_note(&file, opened)? else { return Ok(true) };
        let modified = opened.metadata().map(|metadata| metadata.mtime()).ok();
        let mut source = self.counted(opened);
        let origin = file.display().to_string();
        let taken = self.maildir_message(&mut source, folder, keywords, name, modified, origin);
        self.or_note(&file, taken)?;
        Ok(true)
    }

    /// The next names of a folder by their delivery.
    fn oldest(&mut self, root: &Beneath, path: &Path, behind: Option<&Key>) -> BTreeSet<Key> {
        let mut names = BTreeSet::new();
        for (n, sub) in SUBS.iter().enumerate() {
            let directory = path.join(sub);
            let mut entries = self.entries(root, &directory);
            while let Some(entry) = self.next(&directory, &mut entries) {
                let name = entry.name.as_bytes().to_vec();
                // Hidden files are not messages, by the rules of Maildir.
                if name.starts_with(b".") || entry.kind == beneath::Kind::Folder {
                    continue;
                }
                let key = (message_name::seconds(&name), name, n);
                if behind.is_some_and(|behind| key <= *behind) {
                    continue;
                }
                names.insert(key);
                if names.len() > MAX_NAMES {
                    names.pop_last();
                }
            }
        }
        names
    }

    /// Files that belong to no Maildir.
    fn loose_files(&mut self, root: &Beneath, below: &Path) -> Result<(), Fault> {
        let folder = root.path().join(below);
        let (mut names, mut entries) = (Vec::new(), self.entries(root, &folder));
        while let Some(entry) = self.next(&folder, &mut entries) {
            let name = entry.name;
            let is_mail = !name.as_bytes().starts_with(b".") && name != Keywords::FILE;
            if is_mail && entry.kind == beneath::Kind::File {
                names.push(name);
            }
        }
        names.sort_by_cached_key(|name| (loose::number(Path::new(name)), name.clone()));
        let marks = match names.iter().any(|name| loose::number(Path::new(name)).is_some()) {
            true => self.marks(root, &folder)?,
            false => None,
        };
        for name in names {
            let path = folder.join(&name);
            let opened = root.file(&path).map_err(Fault::Read);
            let Some(file) = self.or_note(&path, opened)? else { continue };
            let flags = marks.as_ref().zip(loose::number(&path)).map(|(marks, number)| marks.flags(number));
            // Messages of the root itself are named after it.
            let below = if below.as_os_str().is_empty() && (is_eml(Path::new(&name)) || flags.is_some()) {
                Path::new(root.path().file_name().unwrap_or_default()).join(&name)
            } else {
                below.join(&name)
            };
            let taken = self.file(file, &path, &below, (false, flags));
            self.or_note(&path, taken)?;
        }
        Ok(())
    }

    /// What a folder of MH tells of its messages.
    fn marks(&mut self, root: &Beneath, folder: &Path) -> Result<Option<Marks>, Fault> {
        for name in mh::FILES {
            let path = folder.join(name);
            let opened = match root.file(&path) {
                Err(error) if is_gone(&error) => continue,
                opened => opened.map_err(Fault::Read),
            };
            let Some(file) = self.or_note(&path, opened)? else { continue };
            let mut bytes = Vec::new();
            let read = file.take(mh::MAX_FILE).read_to_end(&mut bytes).map_err(Fault::Read);
            if self.or_note(&path, read)?.is_some() {
                return Ok(Some(Marks::parse(name, &bytes)));
            }
        }
        Ok(None)
    }

    /// Goes on where one file failed.
    pub(super) fn or_note<T>(&mut self, path: &Path, result: Result<T, Fault>) -> Result<Option<T>, Fault> {
        match result {
            Ok(value) => Ok(Some(value)),
            Err(Fault::Read(_)) if self.is_stopped() => Err(self.broken_off()?.into()),
            Err(Fault::Read(error)) => {
                self.sink.discard()?;
                self.unread(path, &error);
                Ok(None)
            }
            Err(stop) => Err(stop),
        }
    }

    fn tell_others(&mut self) {
        for ((folder, why), count) in std::mem::take(&mut self.others) {
            self.skipped(&format!("{folder}: {count} {}", if count == 1 { "file" } else { "files" }), why);
            self.report.skipped_count += count - 1;
        }
    }

    pub(super) fn looked(&mut self, what: String) {
        if self.report.looked.len() < MAX_SKIPPED {
            self.report.looked.push(one_line(&what).into_owned());
        }
    }

    pub(super) fn skipped(&mut self, what: &str, why: &str) {
        self.report.skipped_count += 1;
        if self.report.skipped.len() < MAX_SKIPPED {
            self.report
                .skipped
                .push(Skipped { what: one_line(what).into_owned(), why: one_line(why).into_owned() });
        }
    }

    pub(super) fn failed(&mut self, what: &str, why: &str) {
        self.report.failed += 1;
        self.skipped(what, why);
    }

    /// What a folder holds; one that cannot be listed is noted, one that is not there is empty.
    fn entries<'b>(&mut self, root: &'b Beneath, folder: &Path) -> Option<Entries<'b>> {
        match root.entries(folder) {
            Ok(entries) => Some(entries),
            Err(error) if is_gone(&error) => None,
            Err(error) => {
                self.unread(folder, &error);
                None
            }
        }
    }

    fn next(&mut self, folder: &Path, entries: &mut Option<Entries<'_>>) -> Option<Entry> {
        match entries.as_mut()?.next()? {
            Ok(entry) => Some(entry),
            Err(error) => {
                self.unread(folder, &error);
                None
            }
        }
    }

    /// Notes what cannot be read.
    fn unread(&mut self, path: &Path, error: &io::Error) {
        self.failed(&path.display().to_string(), &words(error));
    }

    pub(super) fn collect_refused(&mut self) {
        for refused in self.sink.take_refused() {
            self.failed(&refused.origin, &refused.why);
        }
    }

    pub(super) fn tell(&mut self) {
        let progress = Progress {
            found: self.report.found,
            bytes: self.done.get(),
            of: self.of,
            outcome: self.sink.outcome(),
        };
        (self.progress)(&progress);
    }
}

/// Delivery, name and directory of a message in a Maildir.
type Key = (Option<i64>, Vec<u8>, usize);
