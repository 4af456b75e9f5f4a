//! Makes a volume short that is mostly holes. redb takes pages of the lowest region that has any free, and cuts
//! off the last ones once they are empty: so each row is put once more, as it is. That changes nothing that
//! anybody reads, so the journal need not hear of it; it is done a few rows at a time, with a checkpoint behind
//! each, and needs no room but what is free in the volume itself.

use crate::store::base::error::Error;
use crate::store::base::schema::VolumeTable;
use crate::store::engine::database::Change;
use crate::store::engine::preallocated::STEP;
use crate::store::engine::redo::FileNumber;
use crate::store::engine::space::is_full;
use crate::store::engine::writer::Engine;

/// Bytes of rows that are put again before there is a checkpoint: they are in memory meanwhile.
const REWRITTEN: usize = STEP as usize / 2;
/// Keys of volumes are shorter.
const BEHIND: [u8; 13] = [0xff; 13];

/// Where a rewriting goes on: at this key of this table.
#[derive(Clone, Debug, Default)]
pub(in crate::store) struct Place {
    /// How many tables are done.
    table: usize,
    key: Vec<u8>,
}

type Row = (u8, Vec<u8>, Vec<u8>);

impl Engine {
    /// Puts the rows of a volume again from a place on, and makes that durable. Says where to go on; `None`: all
    /// is done, or the volume has no room for it.
    pub(in crate::store) fn rewrite(
        &mut self,
        volume: FileNumber,
        place: &Place,
    ) -> Result<Option<Place>, Error> {
        self.shared.check_writable()?;
        let (rows, next) = self.rows_from(volume, place)?;
        let changes = rows.iter().map(|(table, key, value)| -> Change<'_> { (*table, key, Some(value)) });
        let file = self.shared.budget.volume(volume)?;
        self.shared.budget.mark_dirty(volume);
        let put = file.apply_within(changes, self.journal.sequence(), 0);
        drop(file);
        match put {
            Ok(()) => {}
            Err(error) if is_full(&error) => {
                self.reopen_patiently(volume, self.applied)
                    .map_err(|again| self.failed("rewriting a volume", &again.to_string()))?;
                return Ok(None);
            }
            Err(error) if error.is_unwritten() => {
                return Err(self.failed("rewriting a volume", &error.to_string()));
            }
            Err(error) => return Err(self.take_back(volume, &[volume], &error)),
        }
        self.checkpoint()?;
        Ok(next)
    }

    fn rows_from(&self, volume: FileNumber, place: &Place) -> Result<(Vec<Row>, Option<Place>), Error> {
        let view = self.shared.budget.volume(volume)?.view()?;
        let (mut found, mut bytes) = (Vec::new(), 0);
        let mut low = place.key.clone();
        for (table, number) in VolumeTable::EVERY.into_iter().enumerate().skip(place.table) {
            let number = number as u8;
            let mut rows = view.range(number, &low, &BEHIND)?;
            while let Some((key, value)) = rows.step(false)? {
                if bytes >= REWRITTEN {
                    return Ok((found, Some(Place { table, key })));
                }
                bytes += value.len();
                found.push((number, key, value));
            }
            low.clear();
        }
        Ok((found, None))
    }

    /// A checkpoint that cuts a volume's file if its end is empty. Whether it has become shorter.
    pub(in crate::store) fn cut_end(&mut self, volume: FileNumber) -> Result<bool, Error> {
        let before = self.shared.budget.length(volume)?;
        self.shared.budget.volume(volume)?;
        self.shared.budget.mark_dirty(volume);
        self.checkpoint()?;
        Ok(self.shared.budget.length(volume)? < before)
    }
}
