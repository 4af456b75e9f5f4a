//! Taking files in: each is read, its message stored, and where that is wanted the file removed.
//!
//! A file counts as imported in the very job that stores its message (`store::imported`), so that a crash neither
//! loses nor doubles one. It is removed only while a mailbox lists that message (`listed`), after its content was read
//! back, and once nobody can be writing to it any more (`settling`, `leaving`).
//!
//! While one batch is made durable the next is read and prepared.

use std::ffi::OsStr;
use std::ops::ControlFlow;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::after::{Place, dispose};
use super::batch::{Batch, File, Half, Item, Job};
use super::candidates::{Candidate, is_same, second_mark};
use super::end::End;
use super::leaving::leave;
use super::listed::{Question, Standing, is_at};
use super::mark::mark;
use super::scanner::{AGAIN, Here, Scanner};
use crate::import::disk::beneath::Beneath;
use crate::import::disk::read::{self, Hashes, Identity, MAX_FILE, Quiet, Seen, Trouble};
use crate::import::maildir::layout::SUBS;
use crate::import::maildir::message_name;
use crate::model::{ContentHash, ContentId, DateTime};
use crate::store::imported::{self, Imported};
use crate::store::sources::After;
use crate::store::{Error, Prepared, Snapshot, unix_now};

/// Messages that are stored in one job, and so with one sync.
const BATCH_MESSAGES: usize = 32;
/// Bytes of messages after which a job is full: as much as the writer takes at a time.
const BATCH_BYTES: u64 = 2 << 20;
/// Second files under a name that are remembered as known.
const MAX_SECOND: usize = 10_000;
/// Removed files that are remembered until a look at their folder has missed them.
const MAX_REMOVED: usize = 50_000;

const DELETED: &str = "imported before, and its message was deleted since";
const UNVERIFIED: &str = "kept: its stored message cannot be read back";
const NO_FIELDS: &str = "imported and kept: it has none of the fields of a message";

impl Scanner {
    /// Takes candidates in, in batches.
    pub(super) fn take(&mut self, here: &Here, candidates: Vec<Candidate>) -> Result<(), End> {
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
                        self.look_again(AGAIN);
                        continue;
                    }
                    bytes += item.prepared.size();
                    batch.push(item);
                }
                Ok(None) => {}
                Err(trouble) => {
                    if matches!(&trouble, Trouble::Store(error) if !matches!(error, Error::Closed)) {
                        // What is prepared already may fit still.
                        self.store_batch(here, std::mem::take(&mut batch))?;
                    }
                    self.trouble(&path, trouble)?;
                }
            }
            if batch.len() >= BATCH_MESSAGES || bytes >= BATCH_BYTES {
                self.store_batch(here, std::mem::take(&mut batch))?;
                bytes = 0;
            }
        }
        self.store_batch(here, batch)
    }

    /// What is to be done about a file that was not taken in or not removed.
    fn trouble(&mut self, path: &Path, trouble: Trouble) -> Result<(), End> {
        match trouble {
            // Removed, or it has another name now: where nothing tells of that, the next look would be late.
            Trouble::Gone | Trouble::Changing => self.look_again(AGAIN),
            Trouble::Growing(pause) => self.look_again(pause),
            Trouble::LeftAlone(why) => self.notes.left(path, why),
            Trouble::Unreadable(error) => self.unreadable(path, &error),
            Trouble::Stopped => return Err(End::Stopped),
            Trouble::Store(error) => return Err(error.into()),
        }
        Ok(())
    }

    fn is_underway(&self, key: &[u8]) -> bool {
        self.underway.as_ref().is_some_and(|batch| batch.files.iter().any(|file| file.key == key))
    }

    fn path(&self, here: &Here, candidate: &Candidate) -> PathBuf {
        here.path.join(SUBS[candidate.sub]).join(OsStr::from_bytes(&candidate.name))
    }

    /// Reads a file. `None` if it turned out to be known, and was dealt with.
    fn prepare(&mut self, here: &Here, candidate: Candidate) -> Result<Option<Item>, Trouble> {
        if let Some(pause) = self.settling.pause(candidate.which) {
            return Err(Trouble::Growing(pause));
        }
        let base = message_name::base(&candidate.name);
        let known = imported::get(&self.store.snapshot()?, self.source.id, &here.key, &base)?;
        let Some(known) = known else { return self.read_new(here, candidate, base, None).map(Some) };
        let (path, quiet) = (self.path(here, &candidate), self.settling.readiness(candidate.which));
        let (seen, content, start) = read::hash(&here.root, &path, quiet, known.length, &self.stop)?;
        if known.hash != seen.hash
            && let Some(half) = half_of(&known, &seen, start)
        {
            return self.read_new(here, candidate, base, Some(half)).map(Some);
        }
        let half = self.half_beside(here, &base, &seen)?;
        let key = if known.hash == seen.hash { base } else { second_key(&base, &seen) };
        match imported::get(&self.store.snapshot()?, self.source.id, &here.key, &key)? {
            Some(row) => self.known(here, candidate, key, &row, (&seen, content, half)),
            // Another file under a known name is another message.
            None => {
                tracing::info!(file = %path.display(), "another message under a name that is known");
                self.read_new(here, candidate, key, half).map(Some)
            }
        }
    }

    /// What was imported of this very file under a name that another had before.
    fn half_beside(&self, here: &Here, base: &[u8], seen: &Seen) -> Result<Option<Half>, Error> {
        let (beside, mut half) = ([base, b"/"].concat(), None);
        imported::scan(&self.store.snapshot()?, self.source.id, &here.key, Some(base), &mut |key, row| {
            if !key.starts_with(base) {
                return Ok(ControlFlow::Break(()));
            }
            let is_same = row.instance.is_some() && row.instance == seen.instance && row.hash != seen.hash;
            if is_same && key.starts_with(&beside) {
                half = Some(Half { filed: row.filed, content: None, key: Some(key.to_vec()) });
            }
            Ok(if half.is_some() || *key > *beside && !key.starts_with(&beside) {
                ControlFlow::Break(())
            } else {
                ControlFlow::Continue(())
            })
        })?;
        Ok(half)
    }

    /// A file that was imported before, as it is.
    fn known(
        &mut self,
        here: &Here,
        candidate: Candidate,
        key: Vec<u8>,
        row: &Imported,
        (seen, content, half): (&Seen, ContentHash, Option<Half>),
    ) -> Result<Option<Item>, Trouble> {
        if self.source.after == After::Keep {
            self.know(here, &candidate, key, row, seen)?;
            return Ok(None);
        }
        let snapshot = self.store.snapshot()?;
        // What is deleted is no more. What is only moved away may come back, and a look may miss a file that is
        // renamed in that moment.
        let is_same =
            row.instance.is_some() && row.instance == seen.instance && self.source.after == After::Delete;
        let was_away =
            self.removed.contains(&removed_mark(here, &key)) || row.missed_since.is_some() && !is_same;
        let question = Question {
            account: self.source.account,
            target: &here.target,
            row,
            content,
            instance: seen.instance,
            was_away,
        };
        match question.answer(&snapshot)? {
            Standing::Unknown => Err(Trouble::LeftAlone(DELETED)),
            Standing::PutBack => {
                drop(snapshot);
                self.read_new(here, candidate, key, half).map(Some)
            }
            Standing::Listed(email) | Standing::Deleted(email) => {
                let (hash, is_mail) = (seen.hash, seen.is_mail);
                let file = File { candidate, identity: seen.identity, key, hash, is_mail };
                self.settling.imported(file.candidate.which);
                self.remove_if_due(here, &snapshot, &file, email)?;
                Ok(None)
            }
        }
    }

    /// Remembers a file by its time, so that it need not be read at the next look.
    fn know(
        &mut self,
        here: &Here,
        candidate: &Candidate,
        key: Vec<u8>,
        row: &Imported,
        seen: &Seen,
    ) -> Result<(), Error> {
        self.settling.forget_unless_grown(candidate.which);
        if key.contains(&b'/') {
            self.know_second(here, candidate, &seen.identity);
            return Ok(());
        }
        if is_same(row, &seen.identity) {
            return Ok(());
        }
        let (source, folder) = (self.source.id, here.key.clone());
        let row = Imported { modified: seen.identity.modified_nanos(), missed_since: None, ..*row };
        self.store.write(move |tx| imported::put(tx, source, &folder, &key, &row))
    }

    fn know_second(&mut self, here: &Here, candidate: &Candidate, identity: &Identity) {
        if self.second.len() < MAX_SECOND {
            self.second.insert(second_mark(&here.key, &candidate.name, identity));
        }
    }

    /// Reads a file whose message is to be stored.
    fn read_new(
        &mut self,
        here: &Here,
        candidate: Candidate,
        key: Vec<u8>,
        instead_of: Option<Half>,
    ) -> Result<Item, Trouble> {
        let quiet = self.settling.readiness(candidate.which);
        let (prepared, seen) = self.stream(&here.root, &self.path(here, &candidate), quiet)?;
        let row = Imported {
            hash: seen.hash,
            length: seen.length,
            modified: seen.identity.modified_nanos(),
            missed_since: None,
            filed: None,
            instance: if self.settling.inodes_last { seen.instance } else { None },
        };
        Ok(Item {
            prepared,
            key,
            row,
            flags: message_name::flags(&candidate.name, &here.keywords),
            date: DateTime::utc(candidate.when),
            candidate,
            identity: seen.identity,
            is_mail: seen.is_mail,
            instead_of,
        })
    }

    fn stream(&self, root: &Beneath, path: &Path, quiet: Quiet) -> Result<(Prepared, Seen), Trouble> {
        self.store.room_for_mail()?;
        let mut incoming = self.store.incoming(MAX_FILE);
        let seen = read::stream(root, path, quiet, &self.stop, &mut |bytes| incoming.write(bytes))?;
        Ok((incoming.finish()?, seen))
    }

    /// Hands messages to the writer, and ends what was handed to it before.
    fn store_batch(&mut self, here: &Here, batch: Vec<Item>) -> Result<(), End> {
        if batch.is_empty() {
            return Ok(());
        }
        let mut files = Vec::with_capacity(batch.len());
        for item in &batch {
            let (candidate, key) = (item.candidate.clone(), item.key.clone());
            if item.instead_of.is_some() {
                let path = self.path(here, &candidate);
                tracing::info!(file = %path.display(), "was imported while it was written, and is now again");
                self.settling.grew(candidate.which);
            }
            let (hash, is_mail) = (item.row.hash, item.is_mail);
            files.push(File { candidate, identity: item.identity, key, hash, is_mail });
        }
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
        let stored = match batch.pending.wait() {
            Ok(stored) => stored,
            // A folder that can have no mailbox must not hold up the others.
            Err(error @ (Error::Limit(_) | Error::Refused(_))) => {
                for file in &batch.files {
                    self.notes.left(&self.path(here, &file.candidate), &error.to_string());
                }
                return Ok(());
            }
            Err(error) => return Err(error.into()),
        };
        self.brought += stored.len() as u64;
        {
            let mut status = self.status();
            status.imported += stored.len() as u64;
            status.last_mail = Some(unix_now());
        }
        for (file, stored) in batch.files.iter().zip(stored) {
            self.removed.remove(&removed_mark(here, &file.key));
            if self.source.after == After::Keep {
                self.settling.forget_unless_grown(file.candidate.which);
                if file.key.contains(&b'/') {
                    self.know_second(here, &file.candidate, &file.identity);
                }
                continue;
            }
            if self.stop.load(Ordering::Relaxed) {
                return Err(End::Stopped);
            }
            self.settling.imported(file.candidate.which);
            let snapshot = self.store.snapshot()?;
            let (mailbox, uid) = (stored.mailbox, stored.uid);
            if is_at(&snapshot, self.source.account, mailbox, uid, stored.email)? {
                if let Err(trouble) = self.remove_if_due(here, &snapshot, file, stored.email) {
                    self.trouble(&self.path(here, &file.candidate), trouble)?;
                }
            } else {
                // A client was quicker. The next look asks where it is.
                self.settling.touched(file.candidate.which);
                self.look_again(AGAIN);
            }
        }
        Ok(())
    }

    /// Removes or moves a file whose message is stored, after reading that back, once nobody can be writing to it.
    fn remove_if_due(
        &mut self,
        here: &Here,
        snapshot: &Snapshot,
        file: &File,
        email: ContentId,
    ) -> Result<(), Trouble> {
        let which = file.candidate.which;
        if !file.is_mail && self.source.after == After::Delete {
            return Err(Trouble::LeftAlone(NO_FIELDS));
        }
        if !self.settling.left(which).is_zero() {
            return Ok(());
        }
        if let Err(error) = snapshot.verify(email) {
            let path = self.path(here, &file.candidate);
            tracing::error!(file = %path.display(), %error, "kept, for its stored message cannot be read back");
            return Err(Trouble::LeftAlone(UNVERIFIED));
        }
        if !self.leave(here, file)? {
            // Renamed or written to meanwhile: found again as it is then.
            return Err(Trouble::Changing);
        }
        self.status().removed += 1;
        self.settling.forget(which);
        if self.removed.len() < MAX_REMOVED {
            self.removed.insert(removed_mark(here, &file.key));
        }
        Ok(())
    }

    fn leave(&mut self, here: &Here, file: &File) -> Result<bool, Trouble> {
        let root = Arc::clone(&here.root);
        let place = Place {
            root: &root,
            folder: &here.folder.path,
            sub: SUBS[file.candidate.sub],
            name: OsStr::from_bytes(&file.candidate.name),
        };
        if self.settling.arrived(file.candidate.which) {
            return Ok(dispose(&self.source.after, &place, &file.identity)?);
        }
        let left = leave(&self.source.after, &place, &file.identity, |path| {
            // It was quiet for long; that it was renamed just now says nothing.
            let (seen, ..) = read::hash(&root, path, Quiet::Whole, 0, &self.stop)?;
            Ok::<_, Trouble>(seen.hash == file.hash)
        });
        if !matches!(left, Ok(true)) {
            self.put_back(here, file);
        }
        left
    }

    /// It lies where it lay. That we touched it is no news, and yet it waits anew.
    fn put_back(&mut self, here: &Here, file: &File) {
        if let Ok(metadata) = here.root.metadata(&self.path(here, &file.candidate)) {
            let base = message_name::base(&file.candidate.name);
            let sight = self.settling.sight(&metadata, &here.path.join(OsStr::from_bytes(&base)));
            self.settling.see(&sight);
        }
        self.settling.put_back(file.candidate.which);
    }
}

/// What was imported of a file before it was whole: if it begins with that, or is the same file, written anew.
fn half_of(known: &Imported, seen: &Seen, start: Option<Hashes>) -> Option<Half> {
    let begins = start.filter(|start| start.raw == known.hash);
    let is_same = known.instance.is_some() && known.instance == seen.instance;
    (begins.is_some() || is_same).then(|| Half {
        filed: known.filed,
        content: begins.map(|start| start.stored),
        key: None,
    })
}

/// The row's name of another file under a known name.
fn second_key(base: &[u8], seen: &Seen) -> Vec<u8> {
    let hash = seen.hash.iter().take(8).flat_map(|byte| format!("{byte:02x}").into_bytes());
    [base, b"/"].concat().into_iter().chain(hash).collect()
}

fn removed_mark(here: &Here, key: &[u8]) -> u64 {
    mark(&[&here.key[..], &[0], key].concat())
}
