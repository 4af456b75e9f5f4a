//! An index that is older than the journal beside it: what records of runs that it knows nothing of hold of contents
//! goes into the volumes, where recovery finds it. Their changes of the index are of another past and are left alone.

use std::collections::BTreeSet;

use crate::store::base::error::Error;
use crate::store::base::fault::Fault;
use crate::store::base::schema::{Table, VolumeTable};
use crate::store::engine::mixture::Findings;
use crate::store::engine::redo::{FileNumber, Row};
use crate::store::engine::replay::{Later, Reached, Replayed};
use crate::store::engine::writer::Engine;

/// The id of the content that a row of a volume is of.
fn content_of(row: &Row) -> u64 {
    row.key.first_chunk().map_or(0, |id| u64::from_be_bytes(*id))
}

/// Nothing is deleted: what a later run gave up may be what this index names.
fn is_content(row: &Row) -> bool {
    row.file != 0 && row.value.is_some() && VolumeTable::from_number(row.table).is_some()
}

impl Engine {
    /// Puts into the volumes what only later runs' records hold, and makes it durable, for the next checkpoint may write
    /// over these records. What a volume cannot take, or one that is not there, goes into a new one.
    ///
    /// # Errors
    /// Of the disk: then nothing may be written, and the records stay.
    pub(in crate::store) fn keep_overtaken(
        &mut self,
        reached: &Reached,
        replayed: &Replayed,
        findings: &mut Findings,
    ) -> Result<(), Error> {
        let reading = |error| Error::io("reading the journal", error);
        let later = self.journal.later(reached.epoch, replayed.last).map_err(reading)?;
        let mut volumes: BTreeSet<FileNumber> = BTreeSet::new();
        self.each_content(&later, &mut |row| {
            volumes.insert(row.file);
            findings.content = findings.content.max(content_of(row));
            Ok(())
        })?;
        let highest = volumes.last().copied().unwrap_or(0).max(findings.volume);
        findings.volume = highest;
        let sequence = replayed.highest.max(findings.sequence);
        let mut homeless = BTreeSet::new();
        for volume in &volumes {
            match self.put_into(*volume, &later, &|file| file == *volume, sequence) {
                Ok(()) => self.name_found(*volume, findings)?,
                Err(error) if error.is_unwritten() || error.fault() == Some(Fault::Full) => {
                    return Err(error);
                }
                Err(error) => {
                    tracing::warn!(volume, %error, "what a later run wrote into this volume goes into another");
                    self.shared.budget.forget(*volume);
                    homeless.insert(*volume);
                }
            }
        }
        if !homeless.is_empty() {
            let new = highest.saturating_add(1);
            self.shared.budget.create(new, sequence)?;
            self.put_into(new, &later, &|file| homeless.contains(&file), sequence)?;
            findings.volume = new;
            self.name_found(new, findings)?;
        }
        tracing::warn!(
            records = later.len(),
            volumes = volumes.len(),
            "the contents in later runs' records of the journal were put into the volumes"
        );
        Ok(())
    }

    fn each_content(
        &self,
        later: &[Later],
        visit: &mut dyn FnMut(&Row) -> Result<(), Error>,
    ) -> Result<(), Error> {
        for record in later {
            let rows =
                self.journal.rows_of(record).map_err(|error| Error::io("reading the journal", error))?;
            // What is no longer whole was torn, or written over.
            rows.iter().flatten().filter(|row| is_content(row)).try_for_each(&mut *visit)?;
        }
        Ok(())
    }

    fn put_into(
        &self,
        volume: FileNumber,
        later: &[Later],
        wanted: &dyn Fn(FileNumber) -> bool,
        sequence: u64,
    ) -> Result<(), Error> {
        let budget = &self.shared.budget;
        let file = budget.volume(volume)?;
        for record in later {
            let rows =
                self.journal.rows_of(record).map_err(|error| Error::io("reading the journal", error))?;
            let rows: Vec<Row> = rows.unwrap_or_default();
            let mut rows = rows.iter().filter(|row| is_content(row) && wanted(row.file)).peekable();
            if rows.peek().is_some() {
                file.apply(rows.map(Row::change), sequence, false)?;
            }
        }
        drop(file);
        budget.harden(volume, sequence)
    }

    /// A volume with such contents is named, and never set aside.
    fn name_found(&self, volume: FileNumber, findings: &mut Findings) -> Result<(), Error> {
        let named = self.shared.index().view()?.get(Table::Volumes as u8, &volume.to_be_bytes())?;
        let is_named = Option::<Vec<u8>>::is_some(&named);
        if !is_named && !findings.unnamed.contains(&volume) {
            findings.unnamed.push(volume);
        }
        Ok(())
    }
}
