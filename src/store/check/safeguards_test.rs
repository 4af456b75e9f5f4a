//! The journal and the catalogues, damaged beside a store that is in use and while it is closed.

use std::ops::ControlFlow;
use std::path::Path;

use super::keep::{self, Keeper};
use super::tests::{check, file, household, message, options};
use super::{Kind, repair};
use crate::store::base::sim::SimDisk;
use crate::store::{Store, accounts, emails};

/// A store in use whose last messages only the journal has.
fn in_use() -> (SimDisk, Store) {
    let disk = SimDisk::default();
    let store = Store::open(options(&disk)).unwrap();
    let anna = household(&store);
    store.checkpoint().unwrap();
    for seed in 30..36 {
        file(&store, anna, "INBOX", &message(seed));
    }
    (disk, store)
}

fn segments(disk: &SimDisk) -> Vec<std::path::PathBuf> {
    disk.files().into_keys().filter(|path| path.extension().is_some_and(|kind| kind == "journal")).collect()
}

/// Each segment, at its head and in its records, flipped, zeroed and cut: what is found is made good at once, and a power
/// cut a moment later costs nothing.
#[test]
fn a_damaged_journal_is_found_while_it_is_in_use_and_costs_nothing() {
    let harms: [fn(&mut Vec<u8>); 5] = [
        |bytes| bytes[20] ^= 4,
        |bytes| bytes[4096 + 40] ^= 1,
        |bytes| bytes[..8192].fill(0),
        |bytes| bytes[4096..65536].fill(0),
        |bytes| bytes.truncate(6_000),
    ];
    let mut found = 0;
    let count = segments(&in_use().0).len();
    for (n, harm) in harms.iter().enumerate() {
        for segment in 0..count {
            let (disk, store) = in_use();
            assert!(check(&store).is_clean());
            assert!(disk.damage(&segments(&disk)[segment], harm));
            let report = check(&store);
            let told = report.findings.iter().any(|finding| finding.kind == Kind::JournalOfNow);
            found += usize::from(told);
            assert!(told || report.is_clean(), "harm {n} to {segment}: {report}");
            let again = check(&store);
            assert!(again.is_clean(), "harm {n} to {segment}, again: {again}");
            // What is in the files now is all that there is, as at a power cut.
            let left = disk.copy();
            drop(store);
            let store = Store::open(options(&left)).unwrap();
            let rows = store.snapshot().unwrap();
            for seed in 30..36 {
                let hash = crate::model::ContentHash(blake3::hash(&message(seed)).into());
                let email = emails::by_hash(&rows, hash).unwrap().expect("it was acknowledged");
                let mut bytes = Vec::new();
                rows.read(email, 0..u64::MAX, &mut bytes).unwrap();
                assert_eq!(bytes, message(seed), "harm {n} to {segment}");
            }
            drop(rows);
            assert!(check(&store).is_clean(), "harm {n} to {segment}");
        }
    }
    assert!(found >= harms.len(), "{found}");
}

/// Mail comes in while the check looks.
#[test]
fn a_journal_that_is_being_written_is_no_finding() {
    let (_disk, store) = in_use();
    let anna = accounts::by_name(&store.snapshot().unwrap(), "anna").unwrap().unwrap().id;
    std::thread::scope(|scope| {
        let writer = scope.spawn(|| {
            for seed in 0..300 {
                file(&store, anna, "INBOX", &message(1_000 + seed));
            }
        });
        while !writer.is_finished() {
            let report = check(&store);
            let wrong = report.findings.iter().find(|finding| finding.kind == Kind::JournalOfNow);
            assert!(wrong.is_none(), "{report}");
        }
        writer.join().unwrap();
    });
}

#[test]
fn a_journal_that_lost_something_is_told_until_it_is_repaired() {
    let (disk, store) = in_use();
    let killed = disk.cut(disk.position(), 3).copy();
    drop(store);
    // The checkpoint's mark, and what follows it.
    for segment in segments(&killed) {
        assert!(killed.damage(&segment, |bytes| bytes[4096..12_288].fill(0)));
    }
    let store = Store::open(options(&killed)).unwrap();
    let report = check(&store);
    assert!(report.findings.iter().any(|finding| finding.kind == Kind::Journal), "{report}");
    store.close().unwrap();
    repair(options(&killed), None, &mut |_| ControlFlow::Continue(())).unwrap();
    assert!(check(&Store::open(options(&killed)).unwrap()).is_clean());
}

#[test]
fn catalogues_that_are_of_no_use_are_found_and_written_anew() {
    for harmed in [vec![0], vec![1], vec![0, 1]] {
        for cut in [false, true] {
            let (disk, store) = in_use();
            assert!(Keeper::default().look(&store).unwrap().is_some());
            keep::renew(&store).unwrap();
            assert!(check(&store).is_clean());
            store.close().unwrap();
            for n in &harmed {
                let path = Path::new("/data").join(keep::NAMES[*n]);
                assert!(disk.damage(&path, |bytes| {
                    let middle = bytes.len() / 2;
                    if cut { bytes.truncate(middle) } else { bytes[middle] ^= 16 }
                }));
            }
            let store = Store::open(options(&disk)).unwrap();
            let report = check(&store);
            let count = report.findings.iter().filter(|finding| finding.kind == Kind::Catalogue).count();
            assert_eq!(count, harmed.len(), "{report}");
            store.close().unwrap();
            let done = repair(options(&disk), None, &mut |_| ControlFlow::Continue(())).unwrap();
            assert!(done.left.is_clean(), "{done}");
            assert!(check(&Store::open(options(&disk)).unwrap()).is_clean());
        }
    }
}

/// A volume that somebody has laid beside the store's own.
#[test]
fn a_volume_of_another_store_is_named() {
    let (disk, store) = in_use();
    let other = SimDisk::default();
    let another = crate::store::Options {
        random: std::sync::Arc::new(crate::store::base::sim::SimRandom::new(99)),
        ..options(&other)
    };
    let another = Store::open(another).unwrap();
    file(&another, household(&another), "INBOX", &message(900));
    another.close().unwrap();
    let volume = other.files().into_iter().find(|(path, _)| path.starts_with("/data/mail")).unwrap().1;
    let path = Path::new("/data/mail/000077.redb");
    let laid = crate::store::base::env::Disk::open(&disk, path, true).unwrap();
    laid.write_at(0, &volume).unwrap();
    let report = check(&store);
    assert!(report.findings.iter().any(|finding| finding.kind == Kind::ForeignVolume), "{report}");
}
