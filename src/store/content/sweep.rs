//! No reference counts: a sweep marks what messages and the bin name, and drops the rest.

use std::ops::ControlFlow;

use crate::model::ContentId;
use crate::store::base::error::Error;
use crate::store::base::fault::Fault;
use crate::store::base::rows::Rows;
use crate::store::base::schema::Table;
use crate::store::base::schema::VolumeTable;
use crate::store::base::settings;
use crate::store::content::contents::{key, piece_key, pieces};
use crate::store::content::emails::{self, EmailRow};
use crate::store::content::incoming::{SLICE, content_of};
use crate::store::engine::kept;
use crate::store::engine::loss::is_held;
use crate::store::engine::shared::Shared;
use crate::store::engine::store::Store;
use crate::store::engine::volumes;

/// Contents that one job drops: so few that no other job waits long.
const DROP_SLICE: usize = 16;
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

/// A set of email ids: they are handed out in turn, so a bit each is small.
#[derive(Default)]
pub(in crate::store) struct Marks {
    bits: Vec<u64>,
    below: u64,
}

impl Marks {
    pub(in crate::store) fn new(below: u64) -> Self {
        Marks { bits: vec![0; usize::try_from(below / 64 + 1).unwrap_or(0)], below }
    }
    pub(in crate::store) fn set(&mut self, email: ContentId) {
        let word = usize::try_from(email.0 / 64).ok().filter(|_| email.0 < self.below);
        if let Some(word) = word.and_then(|word| self.bits.get_mut(word)) {
            *word |= 1 << (email.0 % 64);
        }
    }
    /// All of those below one.
    fn set_below(&mut self, id: u64) {
        let whole = usize::try_from(id / 64).unwrap_or(usize::MAX).min(self.bits.len());
        self.bits.iter_mut().take(whole).for_each(|word| *word = u64::MAX);
        if let Some(word) = self.bits.get_mut(whole) {
            *word |= (1 << (id % 64)) - 1;
        }
    }
    /// Ids that were not given when the sweep began are none of its business.
    pub(in crate::store) fn has(&self, email: ContentId) -> bool {
        let word = usize::try_from(email.0 / 64).ok().and_then(|word| self.bits.get(word));
        email.0 >= self.below || word.is_none_or(|word| word & (1 << (email.0 % 64)) != 0)
    }
}

/// Clears the record of what jobs named, however the sweep ends.
pub(in crate::store) struct Recording<'a>(&'a Shared);

impl<'a> Recording<'a> {
    pub(in crate::store) fn begin(shared: &'a Shared) -> Self {
        shared.pins.record(true);
        Recording(shared)
    }
}

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
        let _one = crate::model::locked(&shared.sweeping);
        self.drop_kept()?;
        // After files of two moments were found the index does not say what is somebody's mail.
        if is_held(&self.snapshot()?)? {
            tracing::info!("nothing is swept yet: files of two moments were found lately");
            return Ok(SweepReport::default());
        }
        if shared.pins.is_on_hold() {
            tracing::info!("a backup copies contents: nothing is swept until it is done");
            return Ok(SweepReport::default());
        }
        // First the record, then the snapshot: what is named in between is seen by one of them. What was named before
        // may not be published yet, and then neither knows of it: it is once a job after it is done.
        let _recording = Recording::begin(shared);
        self.write(|_| Ok(()))?;
        let snapshot = self.snapshot()?;
        let mut live = Marks::new(settings::number(&snapshot, settings::EMAIL_ID)?);
        visit_live(&snapshot, &mut |email| live.set(email))?;
        // What the index of the format before this one names may be wanted again.
        let floor = kept::floor(shared)?.unwrap_or_default();
        live.set_below(floor.contents);
        drop(snapshot);
        let mut report = SweepReport::default();
        let mut contents = self.sweep_rows(&live, &mut report)?;
        contents.set_below(floor.contents);
        let names: Vec<u32> =
            volumes::list(&self.snapshot()?)?.into_iter().map(|(number, _)| number).collect();
        for volume in names {
            match self.sweep_orphans(volume, &contents, &mut report) {
                Err(error) if is_of_one_volume(&error) => {
                    tracing::error!(volume, %error, "a volume cannot be swept");
                }
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
    pub(in crate::store) fn walk(
        &self,
        from: u64,
    ) -> Result<(Vec<(ContentId, EmailRow)>, Option<ContentId>), Error> {
        let mut rows = Vec::new();
        self.snapshot()?.scan(Table::Emails, &from.to_be_bytes(), &[0xff; 9], &mut |key, value| {
            let email = key.try_into().map(u64::from_be_bytes);
            match (email, EmailRow::decode(value)) {
                (Ok(email), Some(row)) => rows.push((ContentId(email), row)),
                _ => return Err(Error::Damaged("a row of emails".to_owned())),
            }
            Ok(if rows.len() < WALK { ControlFlow::Continue(()) } else { ControlFlow::Break(()) })
        })?;
        let last = rows.last().filter(|_| rows.len() >= WALK).map(|(email, _)| *email);
        Ok((rows, last))
    }

    fn drop_slice(&self, slice: Vec<ContentId>) -> Result<(u64, u64, Vec<ContentId>), Error> {
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
            let content = ContentId(found);
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
    pub(in crate::store) fn next_content(&self, volume: u32, from: u64) -> Result<Option<u64>, Error> {
        let view = self.inner.shared.volume_view(volume)?;
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

    fn drop_orphan(&self, volume: u32, content: ContentId) -> Result<(bool, u64), Error> {
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
    fn orphan_rows(
        &self,
        volume: u32,
        content: ContentId,
    ) -> Result<Vec<(VolumeTable, Vec<u8>, u64)>, Error> {
        let view = self.inner.shared.volume_view(volume)?;
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
}

/// Whether an error leaves the other volumes as they are.
pub(in crate::store) fn is_of_one_volume(error: &Error) -> bool {
    !error.is_unwritten() && error.fault().is_some_and(|fault| fault != Fault::Full)
}
