//! Volumes: their tables, and what the index knows of each.

use std::ops::ControlFlow;

use crate::store::base::error::Error;
use crate::store::base::rows::Rows;
use crate::store::base::schema::Table;

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

const VERSION: u8 = 1;

impl VolumeRow {
    /// As it is stored.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut out = vec![VERSION];
        for number in [self.generation, self.live, self.dead] {
            out.extend_from_slice(&number.to_le_bytes());
        }
        out.push(u8::from(self.damaged));
        out
    }

    /// From what was stored.
    #[must_use]
    pub fn decode(bytes: &[u8]) -> Option<VolumeRow> {
        let (&VERSION, rest) = bytes.split_first()? else { return None };
        let number = |at: usize| Some(u64::from_le_bytes(rest.get(at..at + 8)?.try_into().ok()?));
        Some(VolumeRow {
            generation: number(0)?,
            live: number(8)?,
            dead: number(16)?,
            damaged: *rest.get(24)? != 0,
        })
    }
}

/// The row of a volume.
///
/// # Errors
/// Of reading.
pub fn get(rows: &dyn Rows, volume: u32) -> Result<Option<VolumeRow>, Error> {
    let Some(value) = rows.get(Table::Volumes, &volume.to_be_bytes())? else { return Ok(None) };
    VolumeRow::decode(&value).map(Some).ok_or_else(|| Error::Damaged(format!("the row of volume {volume}")))
}

/// All volumes that the index names, by number.
///
/// # Errors
/// Of reading.
pub fn list(rows: &dyn Rows) -> Result<Vec<(u32, VolumeRow)>, Error> {
    let mut found = Vec::new();
    rows.scan(Table::Volumes, &[], &[0xff; 5], &mut |key, value| {
        let number = <[u8; 4]>::try_from(key).map(u32::from_be_bytes);
        match (number, VolumeRow::decode(value)) {
            (Ok(number), Some(row)) => found.push((number, row)),
            _ => return Err(Error::Damaged("a row of volumes".to_owned())),
        }
        Ok(ControlFlow::Continue(()))
    })?;
    Ok(found)
}
