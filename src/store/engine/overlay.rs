//! The writer's view in a batch: the rows of this job, over those of the jobs before it, over a snapshot.
//! Nothing is read inside a redb write transaction, which would flush its dirty pages.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;

use crate::model::{ContentId, ModSeq, locked};
use crate::store::base::error::Error;
use crate::store::base::rows::{ContentRows, News, Rows, Transaction, Visit, VolumeRows};
use crate::store::base::schema::Table;
use crate::store::base::schema::VolumeTable;
use crate::store::base::settings;
use crate::store::engine::database::View;
use crate::store::engine::redo::{FileNumber, Row};
use crate::store::engine::shared::Shared;
use crate::store::engine::space;
use crate::store::engine::volumes::{self, VolumeRow};

type Changed<'a> = (&'a Vec<u8>, &'a Option<Vec<u8>>);
type TableRows = BTreeMap<Vec<u8>, Option<Vec<u8>>>;

/// Rows by file and table.
#[derive(Default)]
pub(in crate::store) struct Layer {
    tables: BTreeMap<(FileNumber, u8), TableRows>,
}

impl Layer {
    fn set(&mut self, file: FileNumber, table: u8, key: &[u8], value: Option<&[u8]>) {
        self.tables.entry((file, table)).or_default().insert(key.to_vec(), value.map(<[u8]>::to_vec));
    }

    fn get(&self, file: FileNumber, table: u8, key: &[u8]) -> Option<&Option<Vec<u8>>> {
        self.tables.get(&(file, table))?.get(key)
    }

    fn range<'a>(
        &'a self,
        table: u8,
        low: &[u8],
        high: &[u8],
    ) -> impl DoubleEndedIterator<Item = (&'a Vec<u8>, &'a Option<Vec<u8>>)> + use<'a> {
        let rows = self.tables.get(&(0, table));
        rows.into_iter().flat_map({
            let bounds = (Bound::Included(low.to_vec()), Bound::Excluded(high.to_vec()));
            move |rows| rows.range::<Vec<u8>, _>(bounds.clone())
        })
    }

    /// Puts a job's rows over those of the batch.
    pub(in crate::store) fn absorb(&mut self, job: Layer) {
        for (place, rows) in job.tables {
            self.tables.entry(place).or_default().extend(rows);
        }
    }

    /// Of the rows of the index, and of those of volumes.
    pub(in crate::store) fn bytes(&self) -> (usize, usize) {
        let (mut index, mut volumes) = (0, 0);
        for ((file, _), rows) in &self.tables {
            let bytes = rows.iter().map(|(key, value)| 13 + key.len() + value.as_ref().map_or(0, Vec::len));
            *(if *file == 0 { &mut index } else { &mut volumes }) += bytes.sum::<usize>();
        }
        (index, volumes)
    }

    pub(in crate::store) fn is_empty(&self) -> bool {
        self.tables.is_empty()
    }

    /// Volumes before the index: a reader finds the index's row last.
    pub(in crate::store) fn into_rows(self) -> Vec<Row> {
        let mut rows: Vec<Row> = Vec::new();
        for ((file, table), entries) in self.tables {
            rows.extend(entries.into_iter().map(|(key, value)| Row { file, table, key, value }));
        }
        rows
    }

    fn largest(&self) -> usize {
        self.tables
            .values()
            .flatten()
            .map(|(key, value)| key.len() + value.as_ref().map_or(0, Vec::len))
            .max()
            .unwrap_or(0)
    }
}

/// Which volume takes new content.
#[derive(Default)]
pub(in crate::store) struct Placement {
    pub(in crate::store) active: Option<u32>,
    /// A volume whose file was made, by a job that was refused afterwards.
    pub(in crate::store) made: Option<u32>,
    /// Volumes that are being emptied.
    pub(in crate::store) retiring: BTreeSet<u32>,
    /// The disk has little left: what is free in the volumes is filled.
    pub(in crate::store) is_tight: bool,
    /// The disk has enough for a volume to grow, or for another one.
    pub(in crate::store) may_grow: bool,
}

/// One job's transaction.
pub(in crate::store) struct Job<'a> {
    pub(in crate::store) shared: &'a Shared,
    pub(in crate::store) base: &'a View,
    pub(in crate::store) batch: &'a Layer,
    pub(in crate::store) placement: &'a mut Placement,
    pub(in crate::store) last_modseq: u64,
    pub(in crate::store) layer: Layer,
    pub(in crate::store) modseq: Option<u64>,
    pub(in crate::store) news: Vec<News>,
    /// Bytes put into volumes and freed there.
    added: BTreeMap<u32, (u64, u64)>,
    /// It put content.
    pub(in crate::store) grows: bool,
    /// What is reached in the journal; a volume that is made now begins there.
    pub(in crate::store) sequence: u64,
}

impl<'a> Job<'a> {
    pub(in crate::store) fn new(
        shared: &'a Shared,
        base: &'a View,
        batch: &'a Layer,
        placement: &'a mut Placement,
        last_modseq: u64,
        sequence: u64,
    ) -> Self {
        let (layer, modseq, news, added) = Default::default();
        Job {
            shared,
            base,
            batch,
            placement,
            last_modseq,
            layer,
            modseq,
            news,
            added,
            grows: false,
            sequence,
        }
    }

    /// Puts the rows that follow from what the job did.
    pub(in crate::store) fn conclude(&mut self, row_max: usize) -> Result<(), Error> {
        if let Some(modseq) = self.modseq {
            settings::put_number(self, settings::MODSEQ, modseq)?;
        }
        for (volume, (put, freed)) in std::mem::take(&mut self.added) {
            let mut row = volumes::get(self, volume)?.unwrap_or_default();
            if put > 0 && self.shared.known.is_damaged(volume) {
                return Err(Error::Damaged(format!("volume {volume}")));
            }
            row.live = row.live.saturating_add(put).saturating_sub(freed);
            if let Some(since) = locked(&self.shared.full).get_mut(&volume) {
                *since += freed;
            }
            self.put(Table::Volumes, &volume.to_be_bytes(), &row.encode());
        }
        if self.layer.largest() > row_max {
            return Err(Error::Limit("a row is too large"));
        }
        Ok(())
    }

    fn scan_layers(
        &self,
        table: u8,
        low: &[u8],
        high: &[u8],
        back: bool,
        visit: &mut Visit<'_>,
    ) -> Result<(), Error> {
        if low >= high {
            return Ok(());
        }
        let mut changed: BTreeMap<&Vec<u8>, &Option<Vec<u8>>> = self.batch.range(table, low, high).collect();
        changed.extend(self.layer.range(table, low, high));
        let mut changed: Box<dyn Iterator<Item = Changed<'_>>> =
            if back { Box::new(changed.into_iter().rev()) } else { Box::new(changed.into_iter()) };
        let mut base = self.base.range(table, low, high)?;
        let (mut over, mut under) = (changed.next(), base.step(back)?);
        loop {
            let order = match (&over, &under) {
                (None, None) => return Ok(()),
                (Some(_), None) => std::cmp::Ordering::Less,
                (None, Some(_)) => std::cmp::Ordering::Greater,
                (Some((key, _)), Some((stored, _))) if back => stored.cmp(key),
                (Some((key, _)), Some((stored, _))) => (*key).cmp(stored),
            };
            let flow = if order.is_gt() {
                let Some((key, value)) = under.take() else { return Ok(()) };
                under = base.step(back)?;
                visit(&key, &value)?
            } else {
                if order.is_eq() {
                    under = base.step(back)?;
                }
                let Some((key, value)) = over.take() else { return Ok(()) };
                over = changed.next();
                match value {
                    Some(value) => visit(key, value)?,
                    None => continue,
                }
            };
            if flow.is_break() {
                return Ok(());
            }
        }
    }

    fn takes_more(&self, volume: u32, row: &VolumeRow) -> bool {
        let placement = &self.placement;
        row.live < self.shared.options.volume_size
            && !row.damaged
            && !self.shared.known.is_damaged(volume)
            && !placement.retiring.contains(&volume)
            && !locked(&self.shared.full).contains_key(&volume)
            && (placement.may_grow || space::spare(self.shared, volume, row) > 0)
    }

    /// One in which much is free, before a new one: that with the most. Not one that would be full again at
    /// once, unless the disk is nearly full.
    fn emptied(&self) -> Result<Option<u32>, Error> {
        let size = self.shared.options.volume_size;
        let most = if self.placement.is_tight { size } else { size / 4 * 3 };
        let mut found: Vec<_> = volumes::list(self)?
            .into_iter()
            .filter(|(number, row)| row.live < most && self.takes_more(*number, row))
            .map(|(number, row)| (std::cmp::Reverse(space::spare(self.shared, number, &row)), number))
            .collect();
        found.sort_unstable();
        let usable = |number: &u32| {
            let opened = self.shared.volume_view(*number).and_then(|_| self.shared.budget.volume(*number));
            // One that grows sparsely would be half holes.
            opened.is_ok_and(|file| {
                file.extent.is_stepped() || self.placement.is_tight && file.extent.keep_ahead()
            })
        };
        Ok(found.into_iter().map(|(_, number)| number).find(usable))
    }

    fn make_volume(&mut self) -> Result<u32, Error> {
        let volume = match self.placement.made {
            Some(made) if volumes::get(self, made)?.is_none() => made,
            _ => {
                // Above whatever lies there, so that nothing is ever written over.
                let next = settings::number(self, settings::VOLUME)?;
                let next = next.max(1 + u64::from(self.shared.budget.highest()?));
                let next = u32::try_from(next).map_err(|_| Error::Limit("no volume numbers left"))?;
                self.shared.make_volume(next, self.sequence)?;
                next
            }
        };
        self.placement.made = Some(volume);
        settings::put_number(self, settings::VOLUME, u64::from(volume) + 1)?;
        let row = VolumeRow { generation: self.shared.generation, ..VolumeRow::default() };
        self.put(Table::Volumes, &volume.to_be_bytes(), &row.encode());
        Ok(volume)
    }
}

impl Rows for Job<'_> {
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, Error> {
        let number = table as u8;
        match self.layer.get(0, number, key).or_else(|| self.batch.get(0, number, key)) {
            Some(value) => Ok(value.clone()),
            None => self.base.get(number, key),
        }
    }

    fn scan(&self, table: Table, low: &[u8], high: &[u8], visit: &mut Visit<'_>) -> Result<(), Error> {
        self.scan_layers(table as u8, low, high, false, visit)
    }

    fn scan_back(&self, table: Table, low: &[u8], high: &[u8], visit: &mut Visit<'_>) -> Result<(), Error> {
        self.scan_layers(table as u8, low, high, true, visit)
    }
}

impl Transaction for Job<'_> {
    fn put(&mut self, table: Table, key: &[u8], value: &[u8]) {
        self.layer.set(0, table as u8, key, Some(value));
    }

    fn delete(&mut self, table: Table, key: &[u8]) {
        self.layer.set(0, table as u8, key, None);
    }

    fn modseq(&mut self) -> Result<ModSeq, Error> {
        Ok(ModSeq(*self.modseq.get_or_insert(self.last_modseq + 1)))
    }

    fn now(&self) -> i64 {
        self.shared.options.clock.now()
    }

    fn random(&mut self) -> [u8; 16] {
        self.shared.random_bytes()
    }

    fn publish(&mut self, news: News) {
        if !self.news.contains(&news) {
            self.news.push(news);
        }
    }

    fn content(&mut self) -> Option<&mut dyn ContentRows> {
        Some(self)
    }
}

impl VolumeRows for Job<'_> {
    fn get_row(&self, volume: u32, table: VolumeTable, key: &[u8]) -> Result<Option<Vec<u8>>, Error> {
        let number = table as u8;
        match self.layer.get(volume, number, key).or_else(|| self.batch.get(volume, number, key)) {
            Some(value) => Ok(value.clone()),
            None => {
                self.shared.row_of(volume, &mut |volume| self.shared.volume_view(volume)?.get(number, key))
            }
        }
    }
}

impl ContentRows for Job<'_> {
    fn room(&mut self) -> Result<u32, Error> {
        if let Some(active) = self.placement.active
            && let Some(row) = volumes::get(self, active)?
            && self.takes_more(active, &row)
        {
            return Ok(active);
        }
        let volume = match self.emptied()? {
            Some(number) => number,
            None if self.placement.may_grow => self.make_volume()?,
            None => return Err(self.shared.no_space(0)),
        };
        self.placement.active = Some(volume);
        self.shared.budget.activate(volume);
        Ok(volume)
    }

    fn put_row(&mut self, volume: u32, table: VolumeTable, key: &[u8], value: &[u8]) {
        self.grows = true;
        self.added.entry(volume).or_default().0 += (key.len() + value.len()) as u64;
        self.layer.set(volume, table as u8, key, Some(value));
    }

    fn delete_row(&mut self, volume: u32, table: VolumeTable, key: &[u8]) {
        self.layer.set(volume, table as u8, key, None);
    }

    fn freed(&mut self, volume: u32, bytes: u64) {
        self.added.entry(volume).or_default().1 += bytes;
    }

    fn named(&mut self, content: ContentId) {
        self.shared.pins.name(content);
    }
}
