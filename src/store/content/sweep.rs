//! No reference counts: a sweep marks what messages and the bin name, and drops the rest. Reclaim empties
//! the volumes with the least in them and unlinks them.

use std::collections::BTreeSet;
use std::ops::ControlFlow;

use crate::model::EmailId;
use crate::store::base::error::Error;
use crate::store::base::rows::{Rows, Transaction};
use crate::store::base::schema::Table;
use crate::store::base::schema::VolumeTable;
use crate::store::content::contents::{key, piece_key, pieces};
use crate::store::content::emails::{self, EmailRow};
use crate::store::content::incoming::{SLICE, content_of};
use crate::store::content::snapshot::Snapshot;
use crate::store::engine::loss::is_held;
use crate::store::engine::overlay::{EMAIL_ID, counter};
use crate::store::engine::shared::Shared;
use crate::store::engine::store::Store;
use crate::store::engine::volumes;

/// Contents that one job drops: so few that no other job waits long.
const DROP_SLICE: usize = 16;
/// A volume with less of its size in it is worth emptying.
const EMPTY_BELOW: u64 = 4;
/// Ids looked at in one snapshot; redb keeps old pages while it lives.
const WALK: usize = 4096;

/// What a sweep did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SweepReport {
    /// Contents that are named.
    pub live: u64,
    /// Contents dropped.
    pub dropped: u64,
    /// Contents in volumes that no row named.
    pub orphans: u64,
    /// Bytes of content freed.
    pub freed: u64,
}

/// What a reclaim did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ReclaimReport {
    /// Volumes unlinked.
    pub volumes: u64,
    /// Contents copied out of them.
    pub copied: u64,
    /// Contents that could not be read: their volumes stay.
    pub damaged: u64,
}

/// A set of email ids: they are handed out in turn, so a bit each is small.
#[derive(Default)]
struct Marks {
    bits: Vec<u64>,
    below: u64,
}

impl Marks {
    fn new(below: u64) -> Self {
        Marks { bits: vec![0; usize::try_from(below / 64 + 1).unwrap_or(0)], below }
    }
    fn set(&mut self, email: EmailId) {
        let word = usize::try_from(email.0 / 64).ok().filter(|_| email.0 < self.below);
        if let Some(word) = word.and_then(|word| self.bits.get_mut(word)) {
            *word |= 1 << (email.0 % 64);
        }
    }
    /// Ids that were not given when the sweep began are none of its business.
    fn has(&self, email: EmailId) -> bool {
        let word = usize::try_from(email.0 / 64).ok().and_then(|word| self.bits.get(word));
        email.0 >= self.below || word.is_none_or(|word| word & (1 << (email.0 % 64)) != 0)
    }
}

/// Clears the record of what jobs named, however the sweep ends.
struct Recording<'a>(&'a Shared);

impl Drop for Recording<'_> {
    fn drop(&mut self) {
        self.0.pins.record(false);
    }
}

impl Store {
    /// Drops content that neither a message nor the bin names, in slices.
    ///
    /// # Errors
    /// Of reading and writing; `Refused` if the store was opened without knowing what is live.
    pub fn sweep(&self) -> Result<SweepReport, Error> {
        let shared = &self.inner.shared;
        let visit_live = shared.options.live_emails.ok_or(Error::Internal("nothing says what is live"))?;
        let _one = crate::store::base::lock::locked(&shared.sweeping);
        // First the record, then the snapshot: what is named in between is seen by one of them.
        shared.pins.record(true);
        let _recording = Recording(shared);
        let snapshot = self.snapshot()?;
        let mut live = Marks::new(counter(&snapshot, EMAIL_ID)?);
        visit_live(&snapshot, &mut |email| live.set(email))?;
        drop(snapshot);
        let mut report = SweepReport::default();
        let contents = self.sweep_rows(&live, &mut report)?;
        let names: Vec<u32> =
            volumes::list(&self.snapshot()?)?.into_iter().map(|(number, _)| number).collect();
        for volume in names {
            match self.sweep_orphans(volume, &contents, &mut report) {
                Err(Error::Damaged(what)) => tracing::error!(volume, what, "a volume cannot be swept"),
                other => other?,
            }
        }
        Ok(report)
    }

    /// Drops the rows that are not live; returns the contents that the others name.
    fn sweep_rows(&self, live: &Marks, report: &mut SweepReport) -> Result<Marks, Error> {
        let mut contents = Marks::new(live.below);
        let mut next = 0_u64;
        loop {
            let (rows, last) = self.walk(next)?;
            let mut dead = Vec::new();
            for (email, row) in rows {
                if live.has(email) || self.inner.shared.pins.is_held(email) {
                    report.live += 1;
                    contents.set(row.content);
                } else {
                    dead.push(email);
                }
            }
            for slice in dead.chunks(DROP_SLICE) {
                let (dropped, freed, kept) = self.drop_slice(slice.to_vec())?;
                report.dropped += dropped;
                report.freed += freed;
                kept.into_iter().for_each(|content| contents.set(content));
            }
            match last {
                Some(last) => next = last.0 + 1,
                None => return Ok(contents),
            }
        }
    }

    /// A stretch of `emails`, and the id after which to go on.
    #[allow(clippy::type_complexity)]
    fn walk(&self, from: u64) -> Result<(Vec<(EmailId, EmailRow)>, Option<EmailId>), Error> {
        let mut rows = Vec::new();
        self.snapshot()?.scan(Table::Emails, &from.to_be_bytes(), &[0xff; 9], &mut |key, value| {
            let email = key.try_into().map(u64::from_be_bytes);
            match (email, EmailRow::decode(value)) {
                (Ok(email), Some(row)) => rows.push((EmailId(email), row)),
                _ => return Err(Error::Damaged("a row of emails".to_owned())),
            }
            Ok(if rows.len() < WALK { ControlFlow::Continue(()) } else { ControlFlow::Break(()) })
        })?;
        let last = rows.last().filter(|_| rows.len() >= WALK).map(|(email, _)| *email);
        Ok((rows, last))
    }

    fn drop_slice(&self, slice: Vec<EmailId>) -> Result<(u64, u64, Vec<EmailId>), Error> {
        let pins = std::sync::Arc::clone(&self.inner.shared.pins);
        self.write(move |tx| {
            let (mut dropped, mut freed, mut kept) = (0, 0, Vec::new());
            for email in slice {
                let Some(row) = emails::get(tx, email)? else { continue };
                if pins.is_held(email) || pins.is_held(row.content) {
                    kept.push(row.content);
                    continue;
                }
                emails::delete(tx, email, &row)?;
                // The pieces of a large content are left to the orphans' turn, in slices of their own.
                let content = content_of(tx)?;
                match pieces(content, &row) {
                    Ok(count) if count <= SLICE => {
                        for n in 0..count {
                            content.delete_row(
                                row.content_volume,
                                VolumeTable::Content,
                                &piece_key(row.content, n),
                            );
                        }
                        content.delete_row(row.content_volume, VolumeTable::Head, &key(row.content));
                        content.delete_row(row.digest_volume, VolumeTable::Digest, &key(row.content));
                        content.freed(row.content_volume, row.stored);
                        freed += row.stored;
                    }
                    Ok(_) => {}
                    Err(error) => tracing::warn!(%email, %error, "a dead content cannot be read"),
                }
                dropped += 1;
            }
            Ok((dropped, freed, kept))
        })
    }

    /// Drops what lies in a volume and is named by no row.
    fn sweep_orphans(&self, volume: u32, contents: &Marks, report: &mut SweepReport) -> Result<(), Error> {
        let mut next = 0_u64;
        while let Some(found) = self.next_content(volume, next)? {
            next = found.saturating_add(1);
            let content = EmailId(found);
            if contents.has(content) || self.inner.shared.pins.is_held(content) {
                continue;
            }
            let mut any = false;
            loop {
                let (more, freed) = self.drop_orphan(volume, content)?;
                any |= freed > 0;
                report.freed += freed;
                if !more {
                    break;
                }
            }
            report.orphans += u64::from(any);
        }
        Ok(())
    }

    /// The next content with any row in a volume.
    fn next_content(&self, volume: u32, from: u64) -> Result<Option<u64>, Error> {
        let view = self.inner.shared.budget.volume(volume)?.view()?;
        let mut next: Option<u64> = None;
        for table in VolumeTable::EVERY {
            let mut rows = view.range(table as u8, &from.to_be_bytes(), &[0xff; 13])?;
            if let Some((key, _)) = rows.step(false)? {
                let id = key.get(..8).and_then(|id| id.try_into().ok()).map(u64::from_be_bytes);
                next = [next, id].into_iter().flatten().min();
            }
        }
        Ok(next)
    }

    fn drop_orphan(&self, volume: u32, content: EmailId) -> Result<(bool, u64), Error> {
        let shared = std::sync::Arc::clone(&self.inner.shared);
        let keys = self.orphan_rows(volume, content)?;
        let more = keys.len() >= SLICE as usize;
        self.write(move |tx| {
            // A row of this id that names another content is no reason to keep this one.
            let named = emails::get(tx, content)?.is_some_and(|row| row.content == content);
            if named || shared.pins.is_held(content) {
                return Ok((false, 0));
            }
            let rows = content_of(tx)?;
            let mut freed = 0;
            for (table, key, bytes) in &keys {
                rows.delete_row(volume, *table, key);
                freed += *bytes;
            }
            rows.freed(volume, freed);
            Ok((more, freed))
        })
    }

    #[allow(clippy::type_complexity)]
    fn orphan_rows(&self, volume: u32, content: EmailId) -> Result<Vec<(VolumeTable, Vec<u8>, u64)>, Error> {
        let view = self.inner.shared.budget.volume(volume)?.view()?;
        let mut keys = Vec::new();
        let end = content.0.saturating_add(1).to_be_bytes();
        for table in [VolumeTable::Content, VolumeTable::Head, VolumeTable::Digest] {
            let mut rows = view.range(table as u8, &key(content), &end)?;
            while keys.len() < SLICE as usize
                && let Some((key, value)) = rows.step(false)?
            {
                let bytes = (key.len() + value.len()) as u64;
                keys.push((table, key, bytes));
            }
        }
        Ok(keys)
    }

    /// Copies what lives in the emptiest volumes to others, and unlinks them after the checkpoint that
    /// stops naming them.
    ///
    /// # Errors
    /// Of reading and writing.
    pub fn reclaim(&self) -> Result<ReclaimReport, Error> {
        let shared = &self.inner.shared;
        let _one = crate::store::base::lock::locked(&shared.sweeping);
        if is_held(&self.snapshot()?)? {
            return Ok(ReclaimReport::default());
        }
        let size = shared.options.volume_size;
        let volumes = volumes::list(&self.snapshot()?)?;
        // Until something was put, the newest counts as the one in use: else it would only be copied.
        let active = match shared.budget.active.load(std::sync::atomic::Ordering::Acquire) {
            0 => volumes.last().map_or(0, |(number, _)| *number),
            active => active,
        };
        let mut emptiest: Vec<(u64, u32)> = volumes
            .into_iter()
            .filter(|(number, row)| *number != active && !row.damaged && row.live < size / EMPTY_BELOW)
            .map(|(number, row)| (row.live, number))
            .collect();
        emptiest.sort_unstable();
        let chosen: BTreeSet<u32> = emptiest.into_iter().map(|(_, number)| number).collect();
        let retiring = chosen.clone();
        self.command(move |engine| {
            engine.placement.retiring = retiring;
            Ok(())
        })?;
        // What a job names from here on in a volume that is being emptied keeps that volume.
        shared.pins.record(true);
        let _recording = Recording(shared);
        let mut report = ReclaimReport::default();
        let result = self.empty(&chosen, &mut report);
        self.command(|engine| {
            engine.placement.retiring.clear();
            Ok(())
        })?;
        result.map(|()| report)
    }

    fn empty(&self, chosen: &BTreeSet<u32>, report: &mut ReclaimReport) -> Result<(), Error> {
        if chosen.is_empty() {
            return Ok(());
        }
        let mut stuck: BTreeSet<u32> = BTreeSet::new();
        let mut next = 0;
        loop {
            let (rows, last) = self.walk(next)?;
            for (email, row) in rows {
                if !chosen.contains(&row.content_volume) && !chosen.contains(&row.digest_volume) {
                    continue;
                }
                match self.move_content(email, &row) {
                    Ok(()) => report.copied += 1,
                    Err(error @ (Error::Damaged(_) | Error::DamagedEmail(_))) => {
                        tracing::error!(%email, %error, "a content cannot be copied; its volume stays");
                        report.damaged += 1;
                        stuck.extend([row.content_volume, row.digest_volume]);
                    }
                    Err(error) => return Err(error),
                }
            }
            match last {
                Some(last) => next = last.0 + 1,
                None => break,
            }
        }
        for volume in chosen.difference(&stuck) {
            report.volumes += u64::from(self.unlink_volume(*volume)?);
        }
        Ok(())
    }

    /// Copies one content, in slices, and lets its row name the copy in the last.
    fn move_content(&self, email: EmailId, row: &EmailRow) -> Result<(), Error> {
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
            contents.push(EmailId(found));
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
            crate::store::base::env::Disk::unlink(&shared.disk, &path).map_err(unlinking)?;
            crate::store::base::env::Disk::sync_dir(&shared.disk, &shared.paths.mail()).map_err(unlinking)
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
    email: EmailId,
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
