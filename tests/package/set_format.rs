//! Gives a store the number of another format, as a version to come would: `set-format INDEX NUMBER`. Nothing that
//! is installed can do this.

use std::error::Error;
use std::path::Path;

use redb::{Database, TableDefinition};
use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed};

/// The index's facts, and the one that is meant. Behind every value is its checksum, seeded with its place.
const META: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new("meta");
const META_NUMBER: u64 = 0;
const SCHEMA: &[u8] = b"schema";

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args_os().skip(1);
    let usage = "set-format INDEX NUMBER";
    let index = arguments.next().ok_or(usage)?;
    let number: u32 = arguments.next().and_then(|number| number.into_string().ok()).ok_or(usage)?.parse()?;
    set_format(index.as_ref(), number)
}

/// Gives the store of this index the number.
pub fn set_format(index: &Path, number: u32) -> Result<(), Box<dyn Error>> {
    let mut stored = number.to_le_bytes().to_vec();
    let sum = xxh3_64_with_seed(&stored, xxh3_64(SCHEMA) ^ META_NUMBER);
    stored.extend(sum.to_le_bytes());
    let transaction = Database::open(index)?.begin_write()?;
    transaction.open_table(META)?.insert(SCHEMA, stored.as_slice())?.ok_or("this is no store")?;
    transaction.commit()?;
    Ok(())
}
