//! Which files of which source were imported, by folder and base name: an import may be repeated.
//!
//! Rows of version 1 had no `filed` and no `instance`, and the wall clock's time in `missed_since`. That time is
//! not known by the clock of what ages: such a file counts as missed from the next look at its folder on.

use std::ops::ControlFlow;

use crate::model::{MailboxId, SourceId, Uid};
use crate::store::base::codec::{Reader, Writer, all_of, decode_key, with_text};
use crate::store::base::error::Error;
use crate::store::base::row::Row;
use crate::store::base::rows::{Rows, Transaction};
use crate::store::base::running;
use crate::store::base::schema::Table;
use crate::store::household::sources;
use crate::store::mailbox::bin::drop_range;

/// How long a file must have been missed before it is forgotten, in seconds of [`running`]: 30 days. A disk that was not
/// mounted for a week must not bring every message twice.
pub const FORGET_AFTER: i64 = 30 * 86_400;
/// The most rows that one call drops.
const SLICE: usize = 512;

/// A file that was imported.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Imported {
    /// BLAKE3 of its own bytes.
    pub hash: [u8; 32],
    /// Its length.
    pub length: u64,
    /// When it was last written, in nanoseconds since 1970: while that and the length are the same, the
    /// file need not be read to be known again.
    pub modified: i64,
    /// When a look at its folder first missed it, by [`running`]; `None` while it is there. So a file that stays
    /// costs no writes, and one that was away is forgotten for the time that it was missed.
    pub missed_since: Option<i64>,
    /// Where its message was put; not known of files that were imported by the first versions.
    pub filed: Option<(MailboxId, Uid)>,
    /// Which of all files that ever had this name and content it is, where its file system can tell.
    pub instance: Option<u64>,
}

impl Row for Imported {
    type Key = ();
    const TABLE: Table = Table::Imported;
    const VERSION: u8 = 2;

    fn what((): ()) -> String {
        "an imported file".to_owned()
    }

    fn write(&self, out: Writer) -> Writer {
        out.raw(&self.hash)
            .u64(self.length)
            .i64(self.modified)
            .option(self.missed_since, Writer::i64)
            .option(self.filed, |out, (mailbox, uid)| out.u32(mailbox.0).u32(uid.get()))
            .option(self.instance, Writer::u64)
    }

    fn read((): (), version: u8, reader: &mut Reader<'_>) -> Option<Self> {
        let mut row = Imported {
            hash: reader.array()?,
            length: reader.u64()?,
            modified: reader.i64()?,
            missed_since: reader.option(Reader::i64)?,
            filed: None,
            instance: None,
        };
        if version == 1 {
            row.missed_since = row.missed_since.map(|_| running::UNKNOWN);
            return Some(row);
        }
        row.filed = reader.option(|reader| Some((MailboxId(reader.u32()?), Uid::new(reader.u32()?)?)))?;
        row.instance = reader.option(Reader::u64)?;
        Some(row)
    }
}

/// Names of files and folders have no byte zero, so one ends the folder.
fn key(source: SourceId, folder: &[u8], base: &[u8]) -> Vec<u8> {
    with_text(source.0, &[folder, &[0], base].concat())
}

/// What is known of a file. `base` is its name without its flags and `,U= ,S= ,W=` parts.
///
/// # Errors
/// Of reading.
pub fn get(rows: &dyn Rows, source: SourceId, folder: &[u8], base: &[u8]) -> Result<Option<Imported>, Error> {
    let bytes = rows.get(Table::Imported, &key(source, folder, base))?;
    bytes.map(|bytes| Imported::from_bytes((), &bytes)).transpose()
}

/// Writes down that a file was imported, or seen again.
///
/// # Errors
/// [`Error::Refused`] for names that no file can have.
pub fn put(
    tx: &mut dyn Transaction,
    source: SourceId,
    folder: &[u8],
    base: &[u8],
    row: &Imported,
) -> Result<(), Error> {
    if folder.contains(&0) || base.contains(&0) {
        return Err(Error::Refused("no file has such a name"));
    }
    tx.put(Table::Imported, &key(source, folder, base), &row.to_bytes());
    Ok(())
}

/// Forgets a file.
pub fn forget(tx: &mut dyn Transaction, source: SourceId, folder: &[u8], base: &[u8]) {
    tx.delete(Table::Imported, &key(source, folder, base));
}

/// What is called for each file of a folder, with its base name.
pub type Visit<'a> = dyn FnMut(&[u8], &Imported) -> Result<ControlFlow<()>, Error> + 'a;

/// Visits what is known of a folder's files, by base name, behind `after` if that is given, until `visit`
/// breaks.
///
/// # Errors
/// Of reading, or of `visit`.
pub fn scan(
    rows: &dyn Rows,
    source: SourceId,
    folder: &[u8],
    after: Option<&[u8]>,
    visit: &mut Visit<'_>,
) -> Result<(), Error> {
    let start = key(source, folder, b"");
    let mut high = start.clone();
    // Behind the zero that ends the folder.
    if let Some(end) = high.last_mut() {
        *end = 1;
    }
    // The first key behind `after` is that with a zero behind it.
    let low = after.map_or_else(|| start.clone(), |after| key(source, folder, &[after, &[0]].concat()));
    rows.scan(Table::Imported, &low, &high, &mut |key, value| {
        visit(key.get(start.len()..).unwrap_or_default(), &Imported::from_bytes((), value)?)
    })
}

/// How many files of a source are known.
///
/// # Errors
/// Of reading.
pub fn count(rows: &dyn Rows, source: SourceId) -> Result<u64, Error> {
    let (low, high) = all_of(source.0);
    let mut count = 0;
    rows.scan(Table::Imported, &low, &high, &mut |_, _| {
        count += 1;
        Ok(ControlFlow::Continue(()))
    })?;
    Ok(count)
}

/// Drops a slice of what is known of files of sources that are forgotten, or that were removed more than
/// [`FORGET_AFTER`] ago. Call again while it says that there is more.
///
/// # Errors
/// Of reading.
pub fn sweep(tx: &mut dyn Transaction) -> Result<bool, Error> {
    sources::expire(tx, FORGET_AFTER)?;
    let mut low = Vec::new();
    loop {
        let mut next = None;
        tx.scan(Table::Imported, &low, &[0xff; 5], &mut |key, _| {
            let id = key.get(..4).unwrap_or_default();
            next = Some(SourceId(decode_key("an imported file's key", id, |key| key.u32())?));
            Ok(ControlFlow::Break(()))
        })?;
        let Some(source) = next else { return Ok(false) };
        if !sources::is_remembered(tx, source)? {
            let mut budget = SLICE;
            drop_range(tx, Table::Imported, source.0, &mut budget)?;
            return Ok(true);
        }
        low = all_of(source.0).1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::accounts;
    use crate::store::memory::Memory;
    use std::path::Path;

    #[test]
    fn files_are_known_by_folder_and_name() {
        let mut memory = Memory::new();
        let row = |length| Imported {
            hash: [3; 32],
            length,
            modified: 5,
            missed_since: (length % 2 == 0).then_some(length as i64),
            filed: Uid::new(length as u32).map(|uid| (MailboxId(8), uid)),
            instance: (length % 3 == 0).then_some(length),
        };
        let source = memory
            .write(|tx| {
                let account = accounts::create(tx, "anna", None)?;
                let source = sources::add(tx, account, Path::new("/m"), None, sources::After::Keep)?;
                put(tx, source, b"", b"1.a", &row(1))?;
                put(tx, source, b".Sent", b"1.a", &row(2))?;
                put(tx, source, b".Sent", b"2.b", &row(3))?;
                put(tx, source, b".Sent.2025", b"1.a", &row(4))?;
                for n in 0..600 {
                    put(tx, SourceId(source.0 + 1), b"", format!("{n}").as_bytes(), &row(n))?;
                }
                assert!(put(tx, source, b"a\0b", b"c", &row(1)).is_err());
                Ok(source)
            })
            .unwrap();
        assert_eq!(get(&memory, source, b".Sent", b"1.a").unwrap(), Some(row(2)));
        assert_eq!(get(&memory, source, b".Sent", b"1").unwrap(), None);
        let mut names = Vec::new();
        for after in [None, Some(&b"1.a"[..]), Some(b"2.b")] {
            scan(&memory, source, b".Sent", after, &mut |name, _| {
                names.push(name.to_vec());
                Ok(ControlFlow::Continue(()))
            })
            .unwrap();
        }
        assert_eq!(names, [b"1.a", b"2.b", b"2.b"]);
        assert_eq!(count(&memory, source).unwrap(), 4);
        // The other source is none; the first loses nothing.
        while memory.write(|tx| sweep(tx)).unwrap() {}
        assert_eq!(memory.count(Table::Imported), 4);
        // A removed one is remembered; a forgotten one is not.
        memory.write(|tx| sources::remove(tx, source)).unwrap();
        while memory.write(|tx| sweep(tx)).unwrap() {}
        assert_eq!(memory.count(Table::Imported), 4);
        memory.write(|tx| sources::forget(tx, source)).unwrap();
        while memory.write(|tx| sweep(tx)).unwrap() {}
        assert_eq!(memory.count(Table::Imported), 0);
    }

    #[test]
    fn rows_of_the_first_version_are_read_and_their_time_is_not_believed() {
        let old = |missed: Option<i64>| {
            let out = Writer::of_version(1).raw(&[3; 32]).u64(4).i64(5);
            out.option(missed, Writer::i64).finish()
        };
        let row = |missed_since| Imported {
            hash: [3; 32],
            length: 4,
            modified: 5,
            missed_since,
            filed: None,
            instance: None,
        };
        assert_eq!(Imported::from_bytes((), &old(None)).unwrap(), row(None));
        assert_eq!(Imported::from_bytes((), &old(Some(1_700_000_000))).unwrap(), row(Some(running::UNKNOWN)));
        assert!(Imported::from_bytes((), &[&old(None)[..], &[0, 0]].concat()).is_err());
        assert_eq!(Imported::from_bytes((), &row(Some(7)).to_bytes()).unwrap(), row(Some(7)));
    }

    #[test]
    fn removed_sources_are_remembered_for_days_of_running_whatever_the_clock_on_the_wall_says() {
        let mut memory = Memory::new();
        let (kept, files) = memory
            .write(|tx| {
                let account = accounts::create(tx, "anna", None)?;
                let source = sources::add(tx, account, Path::new("/m"), None, sources::After::Keep)?;
                let row = Imported {
                    hash: [3; 32],
                    length: 4,
                    modified: 5,
                    missed_since: None,
                    filed: None,
                    instance: None,
                };
                put(tx, source, b"", b"1.a", &row)?;
                sources::remove(tx, source)?;
                Ok((source, count(tx, source)?))
            })
            .unwrap();
        assert_eq!(files, 1);
        memory.now += 41 * 86_400;
        while memory.write(|tx| sweep(tx)).unwrap() {}
        assert_eq!(count(&memory, kept).unwrap(), 1, "a jump of the clock");
        for day in 0..30 {
            while memory.write(|tx| sweep(tx)).unwrap() {}
            assert_eq!(count(&memory, kept).unwrap(), 1, "day {day}");
            memory.write(|tx| running::advance(tx, 86_400)).unwrap();
        }
        while memory.write(|tx| sweep(tx)).unwrap() {}
        assert_eq!(count(&memory, kept).unwrap(), 0);
    }
}
