//! Which files of a folder may be new: its directories are listed, what is known is left out, and of the
//! rest the oldest are given. What is held in memory is bounded, however many files lie there.

use std::collections::{BinaryHeap, HashSet};
use std::ffi::OsStr;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use super::changes::Wanted;
use super::end::End;
use super::left_alone::Notes;
use super::mark::mark;
use super::settling::Settling;
use crate::import::disk::beneath::Beneath;
use crate::import::disk::disk_error::is_gone;
use crate::import::disk::read::Identity;
use crate::import::maildir::layout::SUBS;
use crate::import::maildir::message_name;
use crate::model::SourceId;
use crate::store::imported::{self, Imported};
use crate::store::{Error, Snapshot};

/// Names that are held to take files in by their age; where there are more, the folder is gone through
/// again.
pub(super) const MAX_NAMES: usize = 20_000;

/// A file that may be new. Sorted by its delivery time, so that UIDs are in that order.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Candidate {
    pub(super) when: i64,
    pub(super) name: Vec<u8>,
    /// Which of [`SUBS`].
    pub(super) sub: usize,
    /// Which file it is, for [`Settling`].
    pub(super) which: u64,
}

/// What a listing stands on.
pub(super) struct Listing<'a> {
    pub(super) snapshot: &'a Snapshot,
    pub(super) source: SourceId,
    /// The folder, as rows have it.
    pub(super) key: &'a [u8],
    /// The source's folder.
    pub(super) root: &'a Beneath,
    /// The folder.
    pub(super) path: &'a Path,
    /// Whether a file whose time and length are known is known: where files stay.
    pub(super) trusts_times: bool,
    /// Files beside the one that has their name, known already.
    pub(super) second: &'a HashSet<u64>,
    pub(super) stop: &'a AtomicBool,
    pub(super) settling: &'a mut Settling,
}

/// What was listed.
pub(super) struct Listed {
    /// The oldest, in the order of their age.
    pub(super) candidates: Vec<Candidate>,
    /// Whether there are more, all of them younger than the last of these.
    pub(super) more: bool,
    /// Whether all directories could be read.
    pub(super) complete: bool,
}

/// Keeps the oldest.
struct Oldest<'a> {
    after: Option<&'a Candidate>,
    most: usize,
    heap: BinaryHeap<Candidate>,
    more: bool,
}

impl Oldest<'_> {
    fn add(&mut self, candidate: Candidate) {
        if self.after.is_some_and(|after| candidate <= *after) {
            return;
        }
        self.heap.push(candidate);
        if self.heap.len() > self.most {
            self.heap.pop();
            self.more = true;
        }
    }
}

impl Listing<'_> {
    /// The oldest `most` files younger than `after` that are not known to be imported. `names` learns the
    /// names that are there.
    ///
    /// # Errors
    /// Of the store, or if the watcher stops; what the system refuses is noted.
    pub(super) fn list(
        &mut self,
        wanted: &[Option<Wanted>; 2],
        after: Option<&Candidate>,
        most: usize,
        names: &mut HashSet<u64>,
        notes: &mut Notes,
    ) -> Result<Listed, End> {
        let mut oldest = Oldest { after, most, heap: BinaryHeap::new(), more: false };
        let mut complete = true;
        for (sub, wanted) in wanted.iter().enumerate() {
            match wanted {
                None => {}
                Some(Some(wanted)) => {
                    for name in wanted {
                        let found = self.consider(sub, name.as_bytes().to_vec(), names, notes)?;
                        found.into_iter().for_each(|candidate| oldest.add(candidate));
                    }
                }
                Some(None) => complete &= self.directory(sub, names, notes, &mut oldest)?,
            }
        }
        Ok(Listed { candidates: oldest.heap.into_sorted_vec(), more: oldest.more, complete })
    }

    /// All files of a directory. Returns whether it could be read.
    fn directory(
        &mut self,
        sub: usize,
        names: &mut HashSet<u64>,
        notes: &mut Notes,
        oldest: &mut Oldest<'_>,
    ) -> Result<bool, End> {
        let path = self.path.join(SUBS[sub]);
        let root = self.root;
        let entries = match root.entries(&path) {
            Ok(entries) => entries,
            // The folder went, or is just being made; a missing new/ beside a cur/ is seen.
            Err(error) if is_gone(&error) => {
                return Ok(SUBS[sub] == "new" && root.metadata(self.path).is_ok_and(|it| it.is_dir()));
            }
            Err(error) => {
                notes.unreadable(&path, &error);
                return Ok(false);
            }
        };
        for entry in entries {
            match entry {
                Ok(entry) => {
                    let found = self.consider(sub, entry.name.into_vec(), names, notes)?;
                    found.into_iter().for_each(|candidate| oldest.add(candidate));
                }
                // Removed while it was read: what has not been seen is not missed.
                Err(error) if is_gone(&error) => return Ok(false),
                Err(error) => {
                    notes.unreadable(&path, &error);
                    return Ok(false);
                }
            }
        }
        Ok(true)
    }

    /// Whether a name may be that of something new.
    fn consider(
        &mut self,
        sub: usize,
        name: Vec<u8>,
        names: &mut HashSet<u64>,
        notes: &mut Notes,
    ) -> Result<Option<Candidate>, End> {
        if self.stop.load(Ordering::Relaxed) {
            return Err(End::Stopped);
        }
        // Hidden files are not messages, by the rules of Maildir.
        if name.is_empty() || name.first() == Some(&b'.') {
            return Ok(None);
        }
        let path = self.path.join(SUBS[sub]).join(OsStr::from_bytes(&name));
        let metadata = match self.root.metadata(&path) {
            Ok(metadata) => metadata,
            Err(error) if is_gone(&error) => return Ok(None),
            Err(error) => {
                notes.unreadable(&path, &error);
                return Ok(None);
            }
        };
        let base = message_name::base(&name);
        names.insert(mark(&base));
        if !metadata.is_file() {
            if !metadata.is_dir() {
                let what = if metadata.is_symlink() { "a symbolic link" } else { "no plain file" };
                notes.left(&path, what);
            }
            return Ok(None);
        }
        let identity = Identity::new(&metadata);
        if self.trusts_times && self.is_known(&name, &base, &identity)? {
            return Ok(None);
        }
        let sight = self.settling.sight(&metadata, &self.path.join(OsStr::from_bytes(&base)));
        self.settling.see(&sight);
        if self.settling.only_waits(sight.which) {
            return Ok(None);
        }
        let when = message_name::arrived(&name, Some(identity.modified())).unwrap_or_default();
        Ok(Some(Candidate { when, name, sub, which: sight.which }))
    }

    fn is_known(&self, name: &[u8], base: &[u8], identity: &Identity) -> Result<bool, Error> {
        if self.second.contains(&second_mark(self.key, name, identity)) {
            return Ok(true);
        }
        let row = imported::get(self.snapshot, self.source, self.key, base)?;
        Ok(row.is_some_and(|row| is_same(&row, identity)))
    }
}

/// Whether a file is the one that was imported, as far as can be told without reading it.
pub(super) fn is_same(row: &Imported, identity: &Identity) -> bool {
    row.length == identity.size() && row.modified == identity.modified_nanos()
}

/// Stands for a file beside the one that has its name.
pub(super) fn second_mark(folder: &[u8], name: &[u8], identity: &Identity) -> u64 {
    let state = [identity.size().to_be_bytes(), identity.modified_nanos().to_be_bytes()].concat();
    mark(&[folder, &[0], &message_name::base(name), &[0], &state].concat())
}
