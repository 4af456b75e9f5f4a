//! Checkpoints: a mark in the journal's next segment, then what the journal holds becomes durable in the redb
//! files, first in the volumes, then in the index, each with the mark's number; then the segments before the
//! mark are free.

use std::io;
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};

use crate::store::base::error::Error;
use crate::store::engine::database::{Change, Fact, File, Kind, META};
use crate::store::engine::journal::Mark;
use crate::store::engine::lineage::{Moment, volume_key};
use crate::store::engine::redo::{BOUNDARY, FileNumber};
use crate::store::engine::writer::Engine;

/// A volume that was full is tried again once this was freed in it, in bytes.
const FREED: u64 = 1 << 20;
/// Key in the index's `meta`: the store was closed in order.
pub(in crate::store) const META_CLEAN: &[u8] = b"clean";
/// Key in the index's `meta`: where in the journal the mark of the last checkpoint is.
pub(in crate::store) const META_MARK: &[u8] = b"mark";

/// Facts as a checkpoint takes them.
pub(in crate::store) fn changes(rows: &[Fact]) -> Vec<Change<'_>> {
    rows.iter().map(|(table, key, value)| -> Change<'_> { (*table, key, Some(value)) }).collect()
}

impl Engine {
    /// Makes everything so far durable outside of the journal. It holds up writers, never readers.
    pub(in crate::store) fn checkpoint(&mut self) -> Result<(), Error> {
        self.checkpoint_with(&[])
    }

    /// A checkpoint that puts facts into the index.
    pub(in crate::store) fn checkpoint_with(&mut self, facts: &[Change<'_>]) -> Result<(), Error> {
        self.shared.check_writable()?;
        let mark = self.mark()?;
        let moment = Moment { epoch: self.journal.epoch(), sequence: mark.sequence };
        let mut named = vec![(META_MARK.to_vec(), mark.encode())];
        for volume in self.shared.budget.dirty() {
            if let Err(error) = self.shared.budget.harden(volume, mark.sequence) {
                self.redo(volume, &error, mark.sequence)?;
            }
            self.shared.budget.mark_clean(volume);
            named.push((volume_key(volume), moment.encode()));
        }
        let named = named.iter().map(|(key, value)| -> Change<'_> { (META, key, Some(value)) });
        let facts: Vec<Change<'_>> = facts.iter().copied().chain(named).collect();
        if let Err(error) = self.shared.index().apply(facts.iter().copied(), mark.sequence, true) {
            self.redo_index(&error, &facts, mark.sequence)?;
        }
        self.checkpointed = mark.sequence;
        (self.operations, self.dirty_bytes, self.dirty_index) = (0, 0, 0);
        // What was freed can be filled from here on.
        self.placement.full.retain(|_, freed| *freed < FREED);
        self.shared.counters.dirty.store(0, Ordering::Relaxed);
        self.shared.counters.journal_used.store(self.journal.used(), Ordering::Relaxed);
        self.shared.counters.checkpoints.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    fn mark(&mut self) -> Result<Mark, Error> {
        self.journal.mark().map_err(|error| match error.kind() {
            io::ErrorKind::StorageFull => {
                Error::NoSpace { free: self.shared.disk.free(&self.shared.paths), needed: BOUNDARY }
            }
            _ => self.failed("a checkpoint", &error.to_string()),
        })
    }

    /// The orderly end.
    pub(in crate::store) fn close(&mut self) -> Result<(), Error> {
        self.checkpoint_with(&[(META, META_CLEAN, Some(&[1]))])
    }

    fn redo(&mut self, volume: FileNumber, error: &Error, sequence: u64) -> Result<(), Error> {
        tracing::warn!(volume, %error, "a volume could not be made durable; it is opened again");
        let again = self
            .may_redo(error)
            .and_then(|()| self.reopen(volume))
            .and_then(|()| self.shared.budget.harden(volume, sequence));
        again.map_err(|error| self.failed("a checkpoint", &error.to_string()))
    }

    fn redo_index(&mut self, error: &Error, facts: &[Change<'_>], sequence: u64) -> Result<(), Error> {
        let again = self
            .may_redo(error)
            .and_then(|()| self.reopen(0))
            .and_then(|()| self.shared.index().apply(facts.iter().copied(), sequence, true));
        again.map_err(|error| self.failed("a checkpoint", &error.to_string()))
    }

    /// After EIO nobody knows what is on the disk: a second sync would say that all is well.
    fn may_redo(&self, error: &Error) -> Result<(), Error> {
        match error {
            Error::Damaged(_) => Ok(()),
            Error::Io { error, .. } if error.kind() == io::ErrorKind::StorageFull => Ok(()),
            other => Err(other.clone()),
        }
    }

    /// Opens a file again as of its last durable commit and applies what the journal has since.
    pub(in crate::store) fn reopen(&mut self, number: FileNumber) -> Result<(), Error> {
        let file = if number == 0 { self.reopen_index()? } else { self.shared.budget.reopen(number)? };
        let reached = file.sequence()?.max(self.checkpointed);
        let last = self.journal.sequence();
        self.journal.read_again(reached, &mut |rows, sequence| {
            let rows = rows.iter().filter(|row| row.file == number);
            let rows = rows.map(|row| (row.table, row.key.as_slice(), row.value.as_deref()));
            if sequence > reached && sequence <= last { file.apply(rows, sequence, false) } else { Ok(()) }
        })
    }

    fn reopen_index(&mut self) -> Result<Arc<File>, Error> {
        let shared = &self.shared;
        shared.index().give_up();
        let path = shared.paths.index();
        let file = File::open(&shared.disk, &path, Kind::Index, shared.options.index_cache, false)?;
        let file = Arc::new(file);
        *shared.index.write().unwrap_or_else(PoisonError::into_inner) = Arc::clone(&file);
        Ok(file)
    }
}
