//! A store of an older format becomes one of this program's: a new index is written beside the old one, made
//! durable, and takes its name; the old one is kept as `index.before-N`, where N is its format.
//!
//! It happens at the start, when the journal was replayed into the old index and nobody was told anything yet. A cut
//! at any point leaves one or the other: until the new index is whole and durable it is called `index.new`, which the
//! next start writes anew; once the old one has given its name away, the new one gets it, by the next start at the
//! latest.

use std::path::PathBuf;
use std::sync::{Arc, PoisonError};

use crate::store::base::env::{Disk, Metered, Paths};
use crate::store::base::error::Error;
use crate::store::base::rows::StoredRow;
use crate::store::base::settings;
use crate::store::engine::checkpoint::META_CLEAN;
use crate::store::engine::database::{Change, File, Kind, META, stored_value, with_checksum};
use crate::store::engine::format::{self, Format, META_SCHEMA};
use crate::store::engine::kept::{BACK, BEFORE, META_BEFORE};
use crate::store::engine::lineage::encode_numbers;
use crate::store::engine::shared::Shared;

/// Key in the index's `meta`: the version of the program that brought the store to its format.
pub(in crate::store) const META_MIGRATED: &[u8] = b"migrated";
/// This program's version.
const OWN: &str = env!("CARGO_PKG_VERSION");
/// Bytes of rows that are written at a time.
const SLICE: usize = 1 << 20;

/// What is called for the rows of a slice, which are all of one table.
type Fill<'a> = dyn FnMut(u8, &[(Vec<u8>, Vec<u8>)]) -> Result<(), Error> + 'a;

fn naming(error: std::io::Error) -> Error {
    Error::io("giving the new index its name", error)
}

/// Ends what a cut left of a migration, before anybody looks for the index.
///
/// # Errors
/// Of the disk; [`Error::Incompatible`] if there is an index of an older format and none of this one.
pub(in crate::store) fn finish(disk: &Metered, paths: &Paths, format: &Format) -> Result<(), Error> {
    let names = disk.list(&paths.data).map_err(|error| Error::io("listing the data folder", error))?;
    let has = |path: PathBuf| path.file_name().is_some_and(|own| names.iter().any(|name| **name == *own));
    let Some(before) = names.iter().find(|name| name.starts_with(BEFORE)) else { return Ok(()) };
    if has(paths.index()) {
        return Ok(());
    }
    if has(paths.data.join(BACK)) {
        return Err(Error::Incompatible(
            "going back to an older version was cut short: run `postern downgrade` again".to_owned(),
        ));
    }
    let missing = || {
        let why = format!(
            "index.redb is missing, but {before} is there, which a migration left; restore the index from a backup"
        );
        Error::Incompatible(why)
    };
    if !has(paths.new_index()) {
        return Err(missing());
    }
    match is_whole(disk, paths, format) {
        Err(Error::Damaged(_)) => return Err(missing()),
        other => other?,
    }
    tracing::warn!("a migration of the store was cut short; it is ended now");
    disk.rename(&paths.new_index(), &paths.index()).map_err(naming)?;
    disk.sync_dir(&paths.data).map_err(naming)
}

/// The format's number is the last that is written to a new index.
fn is_whole(disk: &Metered, paths: &Paths, format: &Format) -> Result<(), Error> {
    let file = Arc::new(File::open(disk, &paths.new_index(), Kind::Index, SLICE, false)?);
    let whole = file.view().and_then(|view| format::check(&view, format, false));
    file.give_up();
    whole.map(drop)
}

/// Brings the store from format `from` to this program's. The journal holds nothing that the index does not have.
///
/// # Errors
/// [`Error::UpgradeNeedsRoom`] if the disk may not hold both; of reading and writing. The old index then stays.
pub(in crate::store) fn run(shared: &Shared, from: u32) -> Result<(), Error> {
    let format = shared.options.format;
    check_room(shared)?;
    tracing::info!(from, to = format.number, "the store is brought to a new format; the old index is kept");
    let old = shared.index();
    if let Err(error) = write_new(shared, &old, &format, from) {
        // It would be written anew anyway; what it takes of the disk is better given back at once.
        let _ = shared.disk.unlink(&shared.paths.new_index());
        return Err(error);
    }
    let sequence = old.sequence()?;
    // For whoever goes back: it was closed in order, and lacks nothing that the journal has.
    old.apply(std::iter::once((META, META_CLEAN, Some([1].as_slice()))), sequence, true)?;
    old.give_up();
    let (disk, paths) = (&shared.disk, &shared.paths);
    disk.sync_dir(&paths.data).map_err(naming)?;
    disk.rename(&paths.index(), &paths.index_before(from)).map_err(naming)?;
    disk.rename(&paths.new_index(), &paths.index()).map_err(naming)?;
    disk.sync_dir(&paths.data).map_err(naming)?;
    let new = File::open(disk, &paths.index(), Kind::Index, shared.options.index_cache, false)?;
    *shared.index.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(new);
    Ok(())
}

/// The new index takes about what the old one does, and mail is to come in afterwards.
fn check_room(shared: &Shared) -> Result<(), Error> {
    let reading = |error| Error::io("looking at index.redb", error);
    let index = shared.disk.open(&shared.paths.index(), false);
    let size = index.and_then(|index| index.allocated()).map_err(reading)?;
    let (free, needed) = (shared.disk.free(&shared.paths), size.saturating_add(shared.options.reserve));
    if free < needed { Err(Error::UpgradeNeedsRoom { free, needed }) } else { Ok(()) }
}

fn write_new(shared: &Shared, old: &Arc<File>, format: &Format, from: u32) -> Result<(), Error> {
    let (disk, path) = (&shared.disk, shared.paths.new_index());
    let _ = disk.unlink(&path);
    let new = File::open(disk, &path, Kind::Index, shared.options.index_cache, true)?;
    let written = convert(old, format, from, &mut |table, rows| new.fill(table, rows)).and_then(|()| {
        let view = old.view()?;
        let floor =
            [settings::number(&view, settings::EMAIL_ID)?, settings::number(&view, settings::VOLUME)?];
        let (floor, own, number) = (encode_numbers(&floor), OWN.as_bytes(), format.number.to_le_bytes());
        let last: [Change<'_>; 3] = [
            (META, META_BEFORE, Some(&floor)),
            (META, META_MIGRATED, Some(own)),
            (META, META_SCHEMA, Some(&number)),
        ];
        new.apply(last.into_iter(), old.sequence()?, true)
    });
    new.give_up();
    written
}

/// Hands out every row of the index as the format has it. One whose checksum does not fit stays as it is: it costs
/// itself, and `postern check` tells of it.
fn convert(old: &Arc<File>, format: &Format, from: u32, fill: &mut Fill<'_>) -> Result<(), Error> {
    let view = old.view()?;
    for table in view.tables()? {
        let (mut slice, mut bytes) = (Vec::new(), 0);
        let mut rows = view.every(table)?;
        while let Some((key, stored)) = rows.step_stored()? {
            if table == META && (key == META_SCHEMA || key == META_BEFORE || key == META_MIGRATED) {
                continue;
            }
            let (to, key, stored) = match stored_value(table, &key, &stored).map(<[u8]>::to_vec) {
                Some(value) => row(format, from, StoredRow { table, key, value })?,
                None => {
                    tracing::error!(table, "a damaged row is taken over as it is");
                    (table, key, stored)
                }
            };
            if to != table {
                fill(to, &[(key, stored)])?;
                continue;
            }
            bytes += key.len() + stored.len();
            slice.push((key, stored));
            if bytes >= SLICE {
                fill(table, &slice)?;
                (slice, bytes) = (Vec::new(), 0);
            }
        }
        fill(table, &slice)?;
    }
    Ok(())
}

/// A row as the format has it, and with the checksum that it gets.
fn row(format: &Format, from: u32, mut row: StoredRow) -> Result<(u8, Vec<u8>, Vec<u8>), Error> {
    if row.table != META {
        for number in from..format.number {
            let step = format.step(number).ok_or(Error::Internal("a step between formats is missing"))?;
            row = step(row)?;
        }
    }
    let stored = with_checksum(row.table, &row.key, &row.value);
    Ok((row.table, row.key, stored))
}
