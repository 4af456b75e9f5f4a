//! Gives back to the disk what deleted mail has left in the volumes: the ones with the least in them are emptied
//! into what is free in others, and unlinked; those that are mostly holes are made shorter where they are.
//! All of it in steps that are each durable, so that it may end anywhere.

use std::collections::BTreeSet;
use std::sync::atomic::Ordering;

use crate::model::{ContentId, locked};
use crate::store::base::env::Disk;
use crate::store::base::error::Error;
use crate::store::base::rows::Transaction;
use crate::store::base::schema::{Table, VolumeTable};
use crate::store::content::contents::{key, piece_key, pieces};
use crate::store::content::emails::{self, EmailRow};
use crate::store::content::incoming::{SLICE, content_of};
use crate::store::content::snapshot::Snapshot;
use crate::store::content::sweep::{Recording, is_of_one_volume};
use crate::store::engine::kept;
use crate::store::engine::loss::is_held;
use crate::store::engine::rewriting::Place;
use crate::store::engine::space;
use crate::store::engine::store::Store;
use crate::store::engine::volumes::{self, VolumeRow};

/// A volume with less of its size in it is worth emptying.
const EMPTY_BELOW: u64 = 4;
/// Bytes that are copied before there is a checkpoint.
const COPIED: u64 = 8 << 20;
/// The end of a volume is cut off a region at a time, at most so many.
const CUTS: u32 = 64;

/// What a reclaim did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ReclaimReport {
    /// Volumes unlinked.
    pub volumes: u64,
    /// Contents copied out of them.
    pub copied: u64,
    /// Contents that could not be read: their volumes stay.
    pub damaged: u64,
    /// Bytes that the volumes' files have become shorter, those of unlinked ones included.
    pub bytes: u64,
}

impl Store {
    /// Copies what lives in the emptiest volumes into what is free in others, and unlinks each after the
    /// checkpoint that stops naming it; then makes shorter, in their place, the volumes that are mostly holes.
    /// It needs no room but what is free in the volumes, and ends early where that is not enough.
    ///
    /// # Errors
    /// Of reading and writing.
    pub fn reclaim(&self) -> Result<ReclaimReport, Error> {
        let shared = &self.inner.shared;
        let _one = locked(&shared.sweeping);
        if is_held(&self.snapshot()?)? {
            return Ok(ReclaimReport::default());
        }
        if shared.pins.is_on_hold() {
            return Err(Error::Refused("a backup is being made: give space back when it is done"));
        }
        // What was dropped before is free for others only after one.
        self.checkpoint()?;
        let before = self.length_of_volumes()?;
        let mut report = ReclaimReport::default();
        let is_done = self.empty_volumes(&mut report)?;
        self.shorten_volumes()?;
        if !is_done {
            // The disk has something again, which the index may have missed.
            self.empty_volumes(&mut report)?;
        }
        report.bytes = before.saturating_sub(self.length_of_volumes()?);
        Ok(report)
    }

    fn shorten_volumes(&self) -> Result<(), Error> {
        for (volume, row) in volumes::list(&self.snapshot()?)? {
            self.give_back_ahead(volume);
            if row.damaged || !space::is_holey(&self.inner.shared, volume, &row) {
                continue;
            }
            match self.shorten(volume) {
                Err(error) if is_of_one_volume(&error) => {
                    tracing::error!(volume, %error, "a volume cannot be made shorter");
                }
                other => other?,
            }
        }
        Ok(())
    }

    fn length_of_volumes(&self) -> Result<u64, Error> {
        let volumes = volumes::list(&self.snapshot()?)?;
        let length = |(volume, _): &(u32, VolumeRow)| self.inner.shared.budget.length(*volume).unwrap_or(0);
        Ok(volumes.iter().map(length).sum())
    }

    /// The volume in use. Until something was put, the newest counts as that: else it would only be copied.
    fn volume_in_use(&self, volumes: &[(u32, VolumeRow)]) -> u32 {
        match self.inner.shared.budget.active.load(Ordering::Acquire) {
            0 => volumes.last().map_or(0, |(number, _)| *number),
            active => active,
        }
    }

    /// What a volume that was in use at the last stop has allocated ahead of it.
    fn give_back_ahead(&self, volume: u32) {
        let budget = &self.inner.shared.budget;
        if budget.active.load(Ordering::Acquire) != volume
            && let Ok(file) = budget.volume(volume)
            && let Err(error) = file.extent.release()
        {
            tracing::warn!(volume, %error, "what was allocated ahead of a volume is not given back");
        }
    }

    /// Puts all of a volume's rows into its first regions, and cuts off the last ones.
    fn shorten(&self, volume: u32) -> Result<(), Error> {
        let mut place = Some(Place::default());
        while let Some(from) = place {
            place = self.command(move |engine| engine.rewrite(volume, &from))?;
        }
        for _ in 0..CUTS {
            if !self.command(move |engine| engine.cut_end(volume))? {
                break;
            }
        }
        Ok(())
    }

    /// Empties the volumes with the least in them, one after the other. Whether there was room for all.
    fn empty_volumes(&self, report: &mut ReclaimReport) -> Result<bool, Error> {
        let shared = &self.inner.shared;
        let size = shared.options.volume_size;
        let volumes = volumes::list(&self.snapshot()?)?;
        let active = self.volume_in_use(&volumes);
        // What the index of the format before this one names must stay where that says.
        let floor = kept::floor(shared)?.unwrap_or_default();
        let mut emptiest: Vec<(u64, u32)> = volumes
            .into_iter()
            .filter(|(number, _)| *number >= floor.volumes)
            .filter(|(number, row)| *number != active && !row.damaged && row.live < size / EMPTY_BELOW)
            // What a damaged volume could not take is named under that volume's number.
            .filter(|(number, _)| !shared.known.is_rest(*number))
            .map(|(number, row)| (row.live, number))
            .collect();
        emptiest.sort_unstable();
        let retiring: BTreeSet<u32> = emptiest.iter().map(|(_, number)| *number).collect();
        if retiring.is_empty() {
            return Ok(true);
        }
        // What a job names from here on in a volume that is being emptied keeps that volume; the command comes after
        // all that were named before.
        let _recording = Recording::begin(shared);
        self.command(move |engine| {
            engine.placement.retiring = retiring;
            Ok(())
        })?;
        let result = emptiest.into_iter().try_for_each(|(_, volume)| self.empty(volume, report));
        self.command(|engine| {
            engine.placement.retiring.clear();
            Ok(())
        })?;
        match result {
            Err(Error::NoSpace { .. }) => {
                tracing::info!("what is free in the volumes does not do to empty more of them");
                Ok(false)
            }
            other => other.map(|()| true),
        }
    }

    fn empty(&self, volume: u32, report: &mut ReclaimReport) -> Result<(), Error> {
        if !self.move_out(volume, report)? {
            return Ok(());
        }
        match self.unlink_volume(volume) {
            Ok(done) => report.volumes += u64::from(done),
            Err(error) if is_of_one_volume(&error) => {
                tracing::error!(volume, %error, "a volume cannot be given up");
            }
            Err(error) => return Err(error),
        }
        Ok(())
    }

    /// Copies what is named in a volume into others, as far as it can be read. Whether nothing is named there any more.
    ///
    /// # Errors
    /// `NoSpace`; of reading the index, and of writing.
    pub(in crate::store) fn move_out(&self, volume: u32, report: &mut ReclaimReport) -> Result<bool, Error> {
        let (mut is_stuck, mut next, mut copied) = (false, 0, 0);
        loop {
            let (rows, last) = self.walk(next)?;
            for (email, row) in rows {
                if row.content_volume != volume && row.digest_volume != volume {
                    continue;
                }
                match self.move_content(email, &row) {
                    Ok(()) => report.copied += 1,
                    Err(error) if is_of_one_volume(&error) => {
                        tracing::error!(%email, %error, "a content cannot be copied; its volume stays");
                        report.damaged += 1;
                        is_stuck = true;
                    }
                    Err(error) => return Err(error),
                }
                copied += row.stored;
                if copied >= COPIED {
                    self.checkpoint()?;
                    copied = 0;
                }
            }
            match last {
                Some(last) => next = last.0 + 1,
                None => return Ok(!is_stuck),
            }
        }
    }

    /// Copies one content, in slices, and lets its row name the copy in the last.
    fn move_content(&self, email: ContentId, row: &EmailRow) -> Result<(), Error> {
        let _pins = (self.pin(email), self.pin(row.content));
        let snapshot = self.snapshot()?;
        snapshot.verify(email)?;
        let count = pieces(&snapshot, row)?;
        let mut target = None;
        for first in (0..count).step_by(SLICE as usize) {
            let batch = copy_of(&snapshot, row, first..count.min(first + SLICE))?;
            let content = row.content;
            target = Some(self.write(move |tx| {
                let rows = content_of(tx)?;
                let volume = match target {
                    Some(volume) => volume,
                    None => rows.room()?,
                };
                for (n, piece) in batch {
                    rows.put_row(volume, VolumeTable::Content, &piece_key(content, n), &piece);
                }
                Ok(volume)
            })?);
        }
        drop(snapshot);
        let old = row.clone();
        self.write(move |tx| rename(tx, email, &old, target))
    }

    /// Stops naming a volume, makes that durable, and unlinks it.
    fn unlink_volume(&self, volume: u32) -> Result<bool, Error> {
        // A content on its way in may lie in it, named by nothing yet, or filed since we looked. Nothing
        // new goes there, so the list stays true.
        let mut contents = Vec::new();
        let mut next = 0;
        while let Some(found) = self.next_content(volume, next)? {
            contents.push(ContentId(found));
            next = found.saturating_add(1);
        }
        let pins = std::sync::Arc::clone(&self.inner.shared.pins);
        let free = self.write(move |tx| {
            if contents.into_iter().any(|content| pins.is_held(content)) {
                return Ok(false);
            }
            tx.delete(Table::Volumes, &volume.to_be_bytes());
            Ok(true)
        })?;
        if !free {
            return Ok(false);
        }
        self.command(move |engine| {
            engine.checkpoint()?;
            let shared = &engine.shared;
            shared.budget.forget(volume);
            let path = shared.paths.volume(volume);
            let unlinking = |error| Error::io(format!("unlinking {}", path.display()), error);
            shared.disk.unlink(&path).map_err(unlinking)?;
            shared.disk.sync_dir(&shared.paths.mail()).map_err(unlinking)
        })?;
        Ok(true)
    }
}

fn copy_of(
    snapshot: &Snapshot,
    row: &EmailRow,
    range: std::ops::Range<u32>,
) -> Result<Vec<(u32, Vec<u8>)>, Error> {
    use crate::store::base::rows::VolumeRows;
    range
        .map(|n| {
            let piece =
                snapshot.get_row(row.content_volume, VolumeTable::Content, &piece_key(row.content, n))?;
            piece.map(|piece| (n, piece)).ok_or_else(|| Error::Damaged(format!("content {}", row.content)))
        })
        .collect()
}

fn rename(
    tx: &mut dyn Transaction,
    email: ContentId,
    old: &EmailRow,
    target: Option<u32>,
) -> Result<(), Error> {
    let Some(mut row) = emails::get(tx, email)? else { return Ok(()) };
    if row != *old {
        return Ok(());
    }
    let rows = content_of(tx)?;
    let volume = match target {
        Some(volume) => volume,
        None => rows.room()?,
    };
    let places = [(VolumeTable::Head, row.content_volume), (VolumeTable::Digest, row.digest_volume)];
    for (table, from) in places {
        let value = rows
            .get_row(from, table, &key(row.content))?
            .ok_or_else(|| Error::Damaged(format!("content {}", row.content)))?;
        rows.put_row(volume, table, &key(row.content), &value);
    }
    rows.freed(row.content_volume, row.stored);
    (row.content_volume, row.digest_volume) = (volume, volume);
    emails::put(tx, email, &row);
    Ok(())
}
