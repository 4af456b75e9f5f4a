//! Formats to come: migrations cut at every point, what a newer program's rows and features mean to this one.

use std::io::ErrorKind;
use std::path::Path;
use std::sync::Arc;

use super::engine::database::{File, Kind, META};
use super::engine::format::META_FEATURES;
use super::engine::redo::Row;
use super::rows::{Rows, StoredRow};
use super::schema::{SCHEMA_VERSION, Table};
use super::sim::{SimClock, SimDisk, SimRandom};
use super::{Error, Features, Format, Options, Store};

/// What the format to come does: the values of `certificates` end in a mark.
fn marked(mut row: StoredRow) -> Result<StoredRow, Error> {
    if row.table == Table::Certificates as u8 {
        row.value.push(b'!');
    }
    Ok(row)
}

const NEXT: Format =
    Format { number: SCHEMA_VERSION + 1, steps: &[(SCHEMA_VERSION, marked)], known: Features::NONE };
/// And the one behind it.
const SECOND: Format = Format {
    number: SCHEMA_VERSION + 2,
    steps: &[(SCHEMA_VERSION, marked), (SCHEMA_VERSION + 1, marked)],
    known: Features::NONE,
};

fn options(disk: &SimDisk, format: Format) -> Options {
    Options {
        disk: Arc::new(disk.clone()),
        clock: Arc::new(SimClock::default()),
        random: Arc::new(SimRandom::new(disk.position() as u64 + 7)),
        segment_size: 128 << 10,
        reserve: 0,
        format,
        live_emails: Some(|_, _| Ok(())),
        ..Options::new("/data")
    }
}

fn open(disk: &SimDisk, format: Format) -> Result<Store, Error> {
    Store::open(options(disk, format))
}

fn index() -> &'static Path {
    Path::new("/data/index.redb")
}

fn put(store: &Store, n: u32) {
    let value = [b"value ".as_slice(), &[n as u8; 300]].concat();
    store
        .write(move |tx| {
            tx.put(Table::Certificates, &n.to_be_bytes(), &value);
            Ok(())
        })
        .unwrap();
}

/// A store as a power cut left it, with rows that only the journal has.
fn unclean() -> SimDisk {
    let disk = SimDisk::default();
    let store = open(&disk, Format::CURRENT).unwrap();
    (0..200).for_each(|n| put(&store, n));
    store.checkpoint().unwrap();
    (200..210).for_each(|n| put(&store, n));
    let cut = disk.cut(disk.position(), 0);
    store.close().unwrap();
    cut
}

/// How many marks the 210 rows have, all of them the same.
fn marks(store: &Store) -> usize {
    let rows = store.snapshot().unwrap();
    let marks = |n: u32| {
        let value = rows.get(Table::Certificates, &n.to_be_bytes()).unwrap().unwrap();
        let whole = [b"value ".as_slice(), &[n as u8; 300]].concat();
        let marks = value.strip_prefix(whole.as_slice()).unwrap();
        assert!(marks.iter().all(|mark| *mark == b'!'));
        marks.len()
    };
    let first = marks(0);
    assert!((0..210).all(|n| marks(n) == first));
    first
}

fn names(disk: &SimDisk) -> Vec<String> {
    use super::env::Disk;
    let mut names = disk.list(Path::new("/data")).unwrap();
    names.sort();
    names
}

#[test]
fn a_migration_writes_every_row_anew_and_keeps_the_old_index() {
    let disk = unclean();
    let store = open(&disk, NEXT).unwrap();
    assert_eq!(marks(&store), 1);
    put(&store, 1000);
    store.close().unwrap();
    let before = format!("index.before-{SCHEMA_VERSION}");
    assert_eq!(names(&disk), [before.as_str(), "index.redb"]);
    assert_eq!(marks(&open(&disk, NEXT).unwrap()), 1, "once, not at each start");
    assert!(matches!(open(&disk, Format::CURRENT), Err(Error::Incompatible(_))));
    assert_eq!(marks(&open(&disk, SECOND).unwrap()), 2);
    // The first of the old ones is as this program would have left it.
    let back = disk.copy();
    let old = File::open(&back, &Path::new("/data").join(before), Kind::Index, 1 << 20, false).unwrap();
    let view = Arc::new(old).view().unwrap();
    assert_eq!(view.get(Table::Certificates as u8, &209_u32.to_be_bytes()).unwrap().unwrap().len(), 306);
    assert_eq!(view.get(META, b"clean").unwrap().unwrap(), [1]);
}

#[test]
fn the_old_index_goes_after_fourteen_days() {
    let disk = unclean();
    let store = open(&disk, NEXT).unwrap();
    for day in 0..15 {
        store.sweep().unwrap();
        assert_eq!(names(&disk).len(), if day < 14 { 2 } else { 1 }, "after {day} days");
        store.write(|tx| super::bin::advance(tx, 86_400)).unwrap();
    }
    drop(store);
    assert_eq!(marks(&open(&disk, NEXT).unwrap()), 1);
}

#[test]
fn two_steps_are_done_in_one_go() {
    let disk = unclean();
    assert_eq!(marks(&open(&disk, SECOND).unwrap()), 2);
    assert_eq!(names(&disk), [format!("index.before-{SCHEMA_VERSION}").as_str(), "index.redb"]);
    let gap = Format { steps: &[(SCHEMA_VERSION + 1, marked)], ..SECOND };
    let refused = open(&unclean(), gap).unwrap_err();
    assert!(refused.to_string().contains("cannot be migrated"), "{refused}");
}

/// At every write, sync and renaming of a migration: what is found is the old store or the new one, with all that
/// was acknowledged; the new program ends it either way.
#[test]
fn a_migration_may_be_cut_anywhere() {
    let disk = unclean();
    drop(open(&disk, NEXT).unwrap());
    let (mut old, mut new, mut cuts) = (0, 0, 0);
    for position in 0..=disk.position() {
        for seed in 0..2 {
            cuts += 1;
            let cut = disk.cut(position, seed * 1_000 + position as u64);
            println!("cut at {position} of {}, seed {seed}: {:?}", disk.position(), names(&cut));
            match open(&cut.copy(), Format::CURRENT) {
                Ok(store) => {
                    assert_eq!(marks(&store), 0);
                    old += 1;
                }
                Err(Error::Incompatible(_)) => new += 1,
                Err(error) => panic!("cut at {position}, seed {seed}: {error}"),
            }
            let store = open(&cut, NEXT).unwrap_or_else(|error| panic!("cut at {position}, {seed}: {error}"));
            assert_eq!(marks(&store), 1, "cut at {position}, seed {seed}");
            put(&store, 1000);
        }
    }
    assert!(cuts > 60 && old > 20 && new > 3, "{cuts} cuts: {old} old, {new} new");
}

#[test]
fn a_migration_that_fails_leaves_the_old_store() {
    let disk = unclean();
    let (from, trial) = (disk.position(), disk.copy());
    let start = trial.position();
    drop(open(&trial, NEXT).unwrap());
    let calls = trial.position() - start;
    let mut failed = 0;
    for kind in [ErrorKind::StorageFull, ErrorKind::Other] {
        for at in 0..calls {
            let disk = disk.cut(from, 0);
            disk.fail_after(at, kind);
            match open(&disk, NEXT) {
                Ok(store) => drop(store),
                Err(_) => failed += 1,
            }
            disk.heal();
            let store = open(&disk, NEXT).unwrap_or_else(|error| panic!("{kind} at call {at}: {error}"));
            assert_eq!(marks(&store), 1, "{kind} at call {at}");
        }
    }
    assert!(failed > 20, "{failed} of {calls}");
}

#[test]
fn without_room_nothing_is_begun() {
    let disk = unclean();
    disk.set_free(Some(100_000));
    let refused = open(&disk, NEXT).unwrap_err();
    assert!(matches!(refused, Error::UpgradeNeedsRoom { free: 100_000, needed } if needed > 100_000));
    assert!(refused.to_string().contains("make room on the disk"), "{refused}");
    assert_eq!(names(&disk), ["index.redb"]);
    assert_eq!(marks(&open(&disk, Format::CURRENT).unwrap()), 0, "the version before goes on");
}

#[test]
fn a_damaged_row_costs_itself_and_not_the_migration() {
    let disk = unclean();
    open(&disk, Format::CURRENT).unwrap().close().unwrap();
    let needle = [b"value ".as_slice(), &[7; 300]].concat();
    assert!(disk.damage(index(), |bytes| {
        let at: Vec<usize> = (0..bytes.len()).filter(|at| bytes[*at..].starts_with(&needle)).collect();
        assert!(!at.is_empty());
        at.into_iter().for_each(|at| bytes[at + 50] ^= 1);
    }));
    let store = open(&disk, NEXT).unwrap();
    let rows = store.snapshot().unwrap();
    let get = |n: u32| rows.get(Table::Certificates, &n.to_be_bytes());
    assert!(matches!(get(7), Err(Error::Damaged(_))));
    assert!(get(6).unwrap().unwrap().ends_with(b"!") && get(8).unwrap().unwrap().ends_with(b"!"));
}

/// The rows of a table that a newer program added lie in the journal when this one starts.
#[test]
fn rows_of_unknown_tables_are_kept() {
    let disk = SimDisk::default();
    let store = open(&disk, Format::CURRENT).unwrap();
    put(&store, 1);
    store
        .command(|engine| {
            let row = |file, table, key: &[u8], value: Option<&[u8]>| Row {
                file,
                table,
                key: key.to_vec(),
                value: value.map(<[u8]>::to_vec),
            };
            let rows = [
                row(0, 37, b"rule", Some(b"from a newer one")),
                row(0, 37, b"gone", Some(b"1")),
                row(0, 37, b"gone", None),
                row(0, 200, b"far", Some(b"2")),
            ];
            engine.journal.append(&rows).map_err(|error| Error::io("journal", error)).map(drop)
        })
        .unwrap();
    let disk = disk.cut(disk.position(), 0);
    let read = |store: &Store| {
        let view = store.inner.shared.index().view().unwrap();
        assert_eq!(view.get(37, b"rule").unwrap().as_deref(), Some(b"from a newer one".as_slice()));
        assert_eq!(view.get(37, b"gone").unwrap(), None);
        assert_eq!(view.get(200, b"far").unwrap().as_deref(), Some(b"2".as_slice()));
        assert!(view.tables().unwrap().contains(&37));
    };
    let store = open(&disk, Format::CURRENT).unwrap();
    read(&store);
    store.close().unwrap();
    read(&open(&disk, Format::CURRENT).unwrap());
    // And a migration takes them along.
    read(&open(&disk, NEXT).unwrap());
}

fn with_features(features: Features) -> SimDisk {
    let disk = SimDisk::default();
    let store = open(&disk, Format::CURRENT).unwrap();
    put(&store, 1);
    store
        .command(move |engine| {
            engine.checkpoint()?;
            let index = engine.shared.index();
            let sequence = index.sequence()?;
            index.apply(
                std::iter::once((META, META_FEATURES, Some(features.encode().as_slice()))),
                sequence,
                true,
            )
        })
        .unwrap();
    store.close().unwrap();
    disk
}

#[test]
fn unknown_features_mean_open_read_or_refuse() {
    let compatible = Features { compatible: 1 << 40, ..Features::NONE };
    put(&open(&with_features(compatible), Format::CURRENT).unwrap(), 2);
    let incompatible = Features { incompatible: 4, compatible: 1, ..Features::NONE };
    let refused = open(&with_features(incompatible), Format::CURRENT).unwrap_err();
    assert!(matches!(refused, Error::Incompatible(_)));
    assert!(refused.to_string().contains("install postern"), "{refused}");
    let known = Format { known: Features { incompatible: 7, ..Features::NONE }, ..Format::CURRENT };
    put(&open(&with_features(incompatible), known).unwrap(), 2);
}

#[test]
fn an_unknown_feature_for_writers_is_no_reason_to_write() {
    let read_only = Features { read_only: 1, ..Features::NONE };
    let disk = with_features(read_only);
    let store = open(&disk, Format::CURRENT).unwrap();
    let read = store.snapshot().unwrap().get(Table::Certificates, &1_u32.to_be_bytes()).unwrap();
    assert!(read.unwrap().starts_with(b"value "));
    let refused = store.write(|tx| tx.modseq()).unwrap_err();
    assert!(matches!(refused, Error::ReadOnly(_)));
    assert!(refused.to_string().contains("may read it only: install postern"), "{refused}");
    drop(store);
    let known = Format { known: read_only, ..Format::CURRENT };
    put(&open(&disk, known).unwrap(), 2);
}
