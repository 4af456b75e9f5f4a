//! After a complete look at a folder, which of its files are missed, which are back, and which
//! were missed for so long that they are forgotten.

use std::collections::HashSet;
use std::ops::ControlFlow;

use super::mark::mark;
use crate::model::SourceId;
use crate::store::imported::{self, FORGET_AFTER, Imported};
use crate::store::sources::{After, Source};
use crate::store::{Error, Store, running};

/// Rows that change in one job.
const MAX_ROWS: usize = 512;
/// How long the name of a file that was deleted or moved away is remembered, in seconds of [`running`]: by then its
/// removal has reached the disk, and a power cut cannot bring it back. That clock goes on hourly: so it is an hour at
/// least.
const FORGET_REMOVED: i64 = 2 * 3_600;

/// Rows with what they become; `None` is forgotten.
type Changes = Vec<(Vec<u8>, Option<Imported>)>;

/// Brings the rows of a folder in step with `names`, the marks of the names that are there.
pub(super) fn keep(store: &Store, source: &Source, folder: &[u8], names: &HashSet<u64>) -> Result<(), Error> {
    let now = running::clock(&store.snapshot()?)?;
    let keep_for = if source.after == After::Keep { FORGET_AFTER } else { FORGET_REMOVED };
    let mut from: Option<Vec<u8>> = None;
    loop {
        let changes = next(store, source.id, folder, from.as_deref(), |base, row| {
            becomes(names.contains(&mark(base)), row, now, keep_for)
        })?;
        let Some((last, _)) = changes.last() else { return Ok(()) };
        from = Some(last.clone());
        let (id, folder) = (source.id, folder.to_vec());
        store.write(move |tx| {
            for (name, row) in &changes {
                match row {
                    Some(row) => imported::put(tx, id, &folder, name, row)?,
                    None => imported::forget(tx, id, &folder, name),
                }
            }
            Ok(())
        })?;
    }
}

/// The next rows that change, behind `from`.
fn next(
    store: &Store,
    source: SourceId,
    folder: &[u8],
    from: Option<&[u8]>,
    becomes: impl Fn(&[u8], &Imported) -> Option<Option<Imported>>,
) -> Result<Changes, Error> {
    let mut changes = Changes::new();
    imported::scan(&store.snapshot()?, source, folder, from, &mut |name, row| {
        // Another file under a known name has the name, a slash and its hash.
        let base = name.split(|byte| *byte == b'/').next().unwrap_or_default();
        changes.extend(becomes(base, row).map(|row| (name.to_vec(), row)));
        Ok(if changes.len() < MAX_ROWS { ControlFlow::Continue(()) } else { ControlFlow::Break(()) })
    })?;
    Ok(changes)
}

/// What a row becomes; the outer `None` where it stays as it is.
fn becomes(present: bool, row: &Imported, now: i64, keep_for: i64) -> Option<Option<Imported>> {
    match (present, row.missed_since) {
        (true, None) => None,
        (true, Some(_)) => Some(Some(Imported { missed_since: None, ..*row })),
        (false, None) => Some(Some(Imported { missed_since: Some(now), ..*row })),
        (false, Some(since)) if since > now => Some(Some(Imported { missed_since: Some(now), ..*row })),
        (false, Some(since)) if now - since >= keep_for => Some(None),
        (false, Some(_)) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{Options, accounts, sources};
    use std::path::Path;

    fn row(missed_since: Option<i64>) -> Imported {
        Imported { hash: [1; 32], length: 2, modified: 3, missed_since, filed: None, instance: None }
    }

    #[test]
    fn what_rows_become() {
        assert_eq!(becomes(true, &row(None), 100, 10), None);
        assert_eq!(becomes(true, &row(Some(5)), 100, 10), Some(Some(row(None))));
        assert_eq!(becomes(false, &row(None), 100, 10), Some(Some(row(Some(100)))));
        assert_eq!(becomes(false, &row(Some(91)), 100, 10), None);
        assert_eq!(becomes(false, &row(Some(90)), 100, 10), Some(None));
        // Noted by another clock: missed from now on.
        assert_eq!(becomes(false, &row(Some(101)), 100, 10), Some(Some(row(Some(100)))));
        assert_eq!(becomes(true, &row(Some(101)), 100, 10), Some(Some(row(None))));
    }

    #[test]
    fn many_missed_files_are_noted_come_back_and_are_forgotten() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(Options::new(folder.path().join("data"))).unwrap();
        let count = MAX_ROWS * 2 + 7;
        let source = store
            .write(move |tx| {
                let account = accounts::create(tx, "anna", None)?;
                let id = sources::add(tx, account, Path::new("/m"), None, After::Keep)?;
                for n in 0..count {
                    imported::put(tx, id, b".a", format!("{n:05}").as_bytes(), &row(None))?;
                }
                imported::put(tx, id, b".a", b"00001/abc", &row(None))?;
                imported::put(tx, id, b".b", b"1", &row(None))?;
                Ok(sources::get(tx, id)?.unwrap())
            })
            .unwrap();
        let count_of = |missed: bool| {
            let mut found = 0;
            imported::scan(&store.snapshot().unwrap(), source.id, b".a", None, &mut |_, row| {
                found += usize::from(row.missed_since.is_some() == missed);
                Ok(ControlFlow::Continue(()))
            })
            .unwrap();
            found
        };
        keep(&store, &source, b".a", &HashSet::new()).unwrap();
        assert_eq!((count_of(true), count_of(false)), (count + 1, 0));
        let back = HashSet::from([mark(b"00001")]);
        let a_day = || store.write(|tx| running::advance(tx, 86_400)).unwrap();
        for day in 0..30 {
            keep(&store, &source, b".a", &back).unwrap();
            assert_eq!((count_of(true), count_of(false)), (count - 1, 2), "day {day}");
            a_day();
        }
        keep(&store, &source, b".a", &back).unwrap();
        assert_eq!((count_of(true), count_of(false)), (0, 2));
        let other = imported::get(&store.snapshot().unwrap(), source.id, b".b", b"1").unwrap();
        assert_eq!(other, Some(row(None)));
    }
}
