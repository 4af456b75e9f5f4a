//! Checkpoints: a mark in the journal's next segment, then what the journal holds becomes durable in the redb
//! files, first in the volumes, then in the index, each with the mark's number; then the segments before the
//! mark are free.

use std::sync::atomic::Ordering;

use crate::model::locked;
use crate::store::base::error::Error;
use crate::store::base::fault::{Fault, fault};
use crate::store::engine::database::{Change, Fact, META};
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
        // Behind the mark there is no way back: what is broken is opened again before.
        self.mend()?;
        self.shared.check_writable()?;
        let mark = self.mark()?;
        let moment = Moment { epoch: self.journal.epoch(), sequence: mark.sequence };
        let mut named = vec![(META_MARK.to_vec(), mark.encode())];
        while let Some(volume) = self.shared.budget.dirty().first().copied() {
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
        self.mending.checkpointed();
        (self.checkpointed, self.applied) = (mark.sequence, mark.sequence);
        (self.operations, self.dirty_bytes, self.dirty_index) = (0, 0, 0);
        // What was freed can be filled from here on.
        locked(&self.shared.full).retain(|_, freed| *freed < FREED);
        self.shared.counters.dirty.store(0, Ordering::Relaxed);
        self.shared.counters.journal_used.store(self.journal.used(), Ordering::Relaxed);
        self.shared.counters.checkpoints.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    fn mark(&mut self) -> Result<Mark, Error> {
        self.journal.mark().map_err(|error| match fault(&error) {
            Fault::Full => {
                Error::NoSpace { free: self.shared.disk.free(&self.shared.paths), needed: BOUNDARY }
            }
            _ => self.failed("a checkpoint", &error.to_string()),
        })
    }

    /// The orderly end.
    pub(in crate::store) fn close(&mut self) -> Result<(), Error> {
        if self.shared.disk.is_reading() {
            return Ok(());
        }
        self.checkpoint_with(&[(META, META_CLEAN, Some(&[1]))])
    }

    /// After an error of writing nobody knows what is on the disk: a second sync would say that all is well.
    fn redo(&mut self, volume: FileNumber, error: &Error, sequence: u64) -> Result<(), Error> {
        tracing::warn!(volume, %error, "a volume could not be made durable; it is opened again");
        if error.is_unwritten() {
            return Err(self.failed("a checkpoint", &error.to_string()));
        }
        let again = self
            .reopen_patiently(volume, self.applied)
            .and_then(|()| self.shared.budget.harden(volume, sequence));
        match again {
            Err(error) if error.is_unwritten() || error.fault() == Some(Fault::Full) => {
                Err(self.failed("a checkpoint", &error.to_string()))
            }
            Err(error) => {
                tracing::error!(volume, %error, "a volume cannot be made durable");
                self.rescue_one(volume)
            }
            Ok(()) => Ok(()),
        }
    }

    fn redo_index(&mut self, error: &Error, facts: &[Change<'_>], sequence: u64) -> Result<(), Error> {
        tracing::warn!(%error, "the index could not be made durable; it is opened again");
        let again = match error.is_unwritten() {
            true => Err(error.clone()),
            false => self
                .reopen_patiently(0, self.applied)
                .and_then(|()| self.shared.index().apply(facts.iter().copied(), sequence, true)),
        };
        again.map_err(|error| self.failed("a checkpoint", &error.to_string()))
    }
}
