//! Files that something new took the place of, and that are kept for 14 days: the index as it was before a migration,
//! before a rebuild, or before an older version took over, and the journal as it was found damaged.

use std::path::{Path, PathBuf};

use crate::store::base::env::{Disk, Paths};
use crate::store::base::error::Error;
use crate::store::engine::database::META;
use crate::store::engine::lineage::decode_numbers;
use crate::store::engine::shared::Shared;

/// Key in the index's `meta`: the first ids of a content and of a volume that the index before the migration cannot name.
pub(in crate::store) const META_BEFORE: &[u8] = b"before";
/// How the index from before a migration is called, in front of its format's number.
pub(in crate::store) const BEFORE: &str = "index.before-";
/// How the index that an older version took over from is called, in front of its format's number.
pub(in crate::store) const AFTER: &str = "index.after-";
/// An older index that is about to take its place again.
pub(in crate::store) const BACK: &str = "index.back";
/// In the name of a segment of the journal that belongs to such an index, in place of `journal`.
pub(in crate::store) const SEGMENT_AFTER: &str = "after-";
/// What the index from before a migration may name: contents and volumes below these.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::store) struct Floor {
    /// Ids of contents, and of emails.
    pub(in crate::store) contents: u64,
    /// Numbers of volumes.
    pub(in crate::store) volumes: u32,
}

fn is_kept_in_data(name: &str) -> bool {
    name.starts_with(BEFORE)
        || name.starts_with(AFTER)
        || name.starts_with("index.damaged")
        // Somebody began to go back, and thought better of it.
        || name == BACK
}

fn is_kept_in_journal(name: &str) -> bool {
    name.split_once('.')
        .is_some_and(|(_, kind)| kind.starts_with("damaged-") || kind.starts_with(SEGMENT_AFTER))
}

/// All such files.
///
/// # Errors
/// Of the disk.
pub(in crate::store) fn kept(disk: &dyn Disk, paths: &Paths) -> Result<Vec<PathBuf>, Error> {
    let mut found = Vec::new();
    let mut look = |folder: &Path, wanted: fn(&str) -> bool| -> Result<(), Error> {
        let names =
            disk.list(folder).map_err(|error| Error::io(format!("listing {}", folder.display()), error))?;
        found.extend(names.iter().filter(|name| wanted(name)).map(|name| folder.join(name)));
        Ok(())
    };
    look(&paths.data, is_kept_in_data)?;
    look(&paths.journal(), is_kept_in_journal)?;
    Ok(found)
}

/// The format of the newest index from before a migration that is kept, and below `format`.
///
/// # Errors
/// Of the disk.
pub(in crate::store) fn newest_before(
    disk: &dyn Disk,
    paths: &Paths,
    format: u32,
) -> Result<Option<u32>, Error> {
    let names = disk.list(&paths.data).map_err(|error| Error::io("listing the data folder", error))?;
    let numbers = names.iter().filter_map(|name| name.strip_prefix(BEFORE)?.parse::<u32>().ok());
    Ok(numbers.filter(|number| *number < format).max())
}

/// What may not be dropped, for the index from before a migration names it.
///
/// # Errors
/// Of reading.
pub(in crate::store) fn floor(shared: &Shared) -> Result<Option<Floor>, Error> {
    if newest_before(&shared.disk, &shared.paths, u32::MAX)?.is_none() {
        return Ok(None);
    }
    let value = shared.index().view()?.get(META, META_BEFORE)?.unwrap_or_default();
    // An index whose floor is not known may name anything.
    Ok(Some(match decode_numbers(&value).as_slice() {
        [contents, volumes] => {
            Floor { contents: *contents, volumes: u32::try_from(*volumes).unwrap_or(u32::MAX) }
        }
        _ => Floor { contents: u64::MAX, volumes: u32::MAX },
    }))
}
