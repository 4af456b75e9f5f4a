//! Volumes: their tables, and what the index knows of each.

use std::ops::ControlFlow;

use crate::store::base::codec::{Reader, Writer};
use crate::store::base::error::Error;
use crate::store::base::row::Row;
use crate::store::base::rows::{Rows, Transaction};
use crate::store::base::schema::Table;
use crate::store::base::settings;
use crate::store::engine::redo;

/// What the index keeps of a volume.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct VolumeRow {
    /// The store's generation that made it.
    pub generation: u64,
    /// Bytes of content in it.
    pub live: u64,
    /// Of these, what the last sweep found that nothing names, and has not dropped.
    pub dead: u64,
    /// A read of it failed.
    pub damaged: bool,
}

impl Row for VolumeRow {
    type Key = ();
    const TABLE: Table = Table::Volumes;

    fn what((): ()) -> String {
        "the row of a volume".to_owned()
    }

    fn write(&self, out: Writer) -> Writer {
        out.u64(self.generation).u64(self.live).u64(self.dead).u8(u8::from(self.damaged))
    }

    fn read((): (), _: u8, reader: &mut Reader<'_>) -> Option<Self> {
        Some(VolumeRow {
            generation: reader.u64()?,
            live: reader.u64()?,
            dead: reader.u64()?,
            damaged: reader.flag()?,
        })
    }
}

impl VolumeRow {
    /// As it is stored.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        self.to_bytes()
    }

    /// From what was stored.
    #[must_use]
    pub fn decode(bytes: &[u8]) -> Option<VolumeRow> {
        VolumeRow::from_bytes((), bytes).ok()
    }
}

/// The row of a volume.
///
/// # Errors
/// Of reading.
pub fn get(rows: &dyn Rows, volume: u32) -> Result<Option<VolumeRow>, Error> {
    let Some(value) = rows.get(Table::Volumes, &volume.to_be_bytes())? else { return Ok(None) };
    VolumeRow::from_bytes((), &value).map(Some)
}

/// A volume's row as the journal has it.
pub(in crate::store) fn row(volume: u32, row: &VolumeRow) -> redo::Row {
    let key = volume.to_be_bytes().to_vec();
    redo::Row { file: 0, table: Table::Volumes as u8, key, value: Some(row.encode()) }
}

const REST: &str = "volume.rest.";

/// Setting: the number of the volume where what a damaged one could not take went.
pub(in crate::store) fn rest_name(volume: u32) -> String {
    format!("{REST}{volume}")
}

/// Damaged volumes, and where what they could not take went.
pub(in crate::store) fn rests(rows: &dyn Rows) -> Result<Vec<(u32, u32)>, Error> {
    let mut damaged: Vec<u32> = Vec::new();
    let end = [REST.as_bytes(), &[0xff]].concat();
    rows.scan(Table::Settings, REST.as_bytes(), &end, &mut |key, _| {
        let number = key.get(REST.len()..).and_then(|number| std::str::from_utf8(number).ok());
        damaged.extend(number.and_then(|number| number.parse::<u32>().ok()));
        Ok(ControlFlow::Continue(()))
    })?;
    let rest = |volume: u32| settings::number(rows, &rest_name(volume));
    let found = damaged.into_iter().map(|volume| Ok((volume, u32::try_from(rest(volume)?).unwrap_or(0))));
    found.collect()
}

/// Lets a volume's row say that it is damaged.
///
/// # Errors
/// Of reading.
pub fn set_damaged(tx: &mut dyn Transaction, volume: u32) -> Result<(), Error> {
    if let Some(row) = get(tx, volume)?.filter(|row| !row.damaged) {
        tx.put(Table::Volumes, &volume.to_be_bytes(), &VolumeRow { damaged: true, ..row }.encode());
    }
    Ok(())
}

/// All volumes that the index names, by number.
///
/// # Errors
/// Of reading.
pub fn list(rows: &dyn Rows) -> Result<Vec<(u32, VolumeRow)>, Error> {
    let mut found = Vec::new();
    rows.scan(Table::Volumes, &[], &[0xff; 5], &mut |key, value| {
        let number = <[u8; 4]>::try_from(key).map(u32::from_be_bytes);
        let number = number.map_err(|_| Error::Damaged("the key of a volume".to_owned()))?;
        found.push((number, VolumeRow::from_bytes((), value)?));
        Ok(ControlFlow::Continue(()))
    })?;
    Ok(found)
}
