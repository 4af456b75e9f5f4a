//! Errors of the disk, damage, and reading only, over a disk in memory.

use std::io::ErrorKind;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::env::Disk;
use super::schema::Table;
use super::sim::{Dice, Plan, SimDisk, Trouble};
use super::tests::{file, get, message, open, options, put, whole};
use super::{Error, Options, Rows, Store};
use crate::model::ContentId;

const VOLUME: &str = "/data/mail/000001.redb";

fn once(disk: &SimDisk, kind: ErrorKind, only: &'static str) {
    disk.fail(Plan { call: 0, trouble: Trouble::Error(kind), lasting: false, only: Some(only) });
}

fn from_now_on(disk: &SimDisk, kind: ErrorKind, only: &'static str) {
    disk.fail(Plan { call: 0, trouble: Trouble::Error(kind), lasting: true, only: Some(only) });
}

/// What pauses between attempts may delay.
fn soon<T>(mut attempt: impl FnMut() -> Option<T>) -> T {
    let begun = Instant::now();
    loop {
        if let Some(done) = attempt() {
            return done;
        }
        assert!(begun.elapsed() < Duration::from_secs(60), "not within a minute");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Caches so small that nearly every read goes to the disk.
fn open_uncached(disk: &SimDisk) -> Store {
    let options = options(disk, disk.position() as u64 + 7);
    Store::open(Options { index_cache: 0, active_cache: 0, volume_cache: 0, ..options }).unwrap()
}

fn zero(disk: &SimDisk, path: &str) {
    assert!(disk.damage(Path::new(path), |file| file.fill(0)));
}

#[test]
fn what_is_wrong_is_known() {
    let disk = SimDisk::default();
    let store = open(&disk);
    assert!(store.condition().is_well());
    let email = file(&store, &message(1, 5000)).unwrap();
    store.close().unwrap();
    disk.unlink(Path::new(VOLUME)).unwrap();
    let store = open(&disk);
    assert_eq!(store.condition().missing_volumes, [1]);
    assert!(whole(&store, email).is_err());
    assert_eq!(store.condition().damaged_contents, 1);
    disk.fail_after(0, ErrorKind::Other);
    assert!(put(&store, b"a", b"1").is_err());
    assert!(store.condition().read_only.is_some_and(|why| why.contains("journal")));
}

/// redb refuses everything after one error; the disk is well again long before the restart.
#[test]
fn an_error_of_the_disk_that_passes_is_forgotten() {
    for (place, clean) in [("mail/", true), ("mail/", false), ("index.redb", true), ("index.redb", false)] {
        let disk = SimDisk::default();
        let store = open_uncached(&disk);
        let emails: Vec<_> = (0..20).map(|n| file(&store, &message(n, 20_000)).unwrap()).collect();
        if clean {
            store.checkpoint().unwrap();
        }
        once(&disk, ErrorKind::Other, place);
        let mut failed = 0;
        while disk.is_failing() {
            failed += (0..)
                .zip(&emails)
                .filter(
                    |(n, email)| !matches!(whole(&store, **email), Ok(bytes) if bytes == message(*n, 20_000)),
                )
                .count();
        }
        assert!(failed <= 2, "{place}: {failed} reads failed over one error");
        for (n, email) in (0..).zip(&emails) {
            assert!(whole(&store, *email).unwrap() == message(n, 20_000), "{place} {clean}");
        }
        // Nothing that was not written failed: it goes on.
        assert!(store.condition().read_only.is_none(), "{:?}", store.condition());
        put(&store, b"k", b"v").unwrap();
        file(&store, &message(99, 20_000)).unwrap();
        let crashed = open(&disk.cut(disk.position(), 3));
        assert!(whole(&crashed, emails[19]).is_ok() && get(&crashed, b"k").is_some());
    }
}

#[test]
fn while_it_lasts_there_is_an_error_and_afterwards_everything() {
    for place in ["mail/", "index.redb"] {
        let disk = SimDisk::default();
        let store = open_uncached(&disk);
        let email = file(&store, &message(1, 60_000)).unwrap();
        put(&store, b"k", b"v").unwrap();
        from_now_on(&disk, ErrorKind::Other, place);
        for _ in 0..3 {
            match whole(&store, email) {
                Err(Error::Io { .. }) => {}
                other => panic!("{place}: {other:?}"),
            }
        }
        disk.heal();
        soon(|| whole(&store, email).ok());
        assert_eq!(soon(|| store.snapshot().ok()?.get(Table::Names, b"k").ok()), Some(b"v".to_vec()));
    }
}

/// A sync that failed is not to be believed the second time: nothing is written any more, and all is read, in
/// volumes too that were not open then.
#[test]
fn after_a_failed_sync_everything_is_still_read() {
    for place in ["journal/", "index.redb", "mail/"] {
        let disk = SimDisk::default();
        let small = Options { volume_size: 12_000, open_volumes: 1, ..options(&disk, 5) };
        let store = Store::open(small).unwrap();
        let emails: Vec<_> = (0..12).map(|n| file(&store, &message(n, 20_000)).unwrap()).collect();
        assert!(store.statistics().volumes > 3, "{}", store.statistics().volumes);
        from_now_on(&disk, ErrorKind::Other, place);
        put(&store, b"k", b"v").and_then(|()| store.checkpoint()).unwrap_err();
        disk.heal();
        let position = disk.position();
        assert!(matches!(put(&store, b"l", b"v"), Err(Error::ReadOnly(_))));
        for (n, email) in (0..).zip(&emails) {
            let read = soon(|| whole(&store, *email).ok());
            assert!(read == message(n, 20_000), "{place}");
        }
        assert!(store.condition().read_only.is_some());
        drop(store);
        assert_eq!(disk.position(), position, "{place}: nothing is written any more");
        let store = open(&disk);
        for (n, email) in (0..).zip(&emails) {
            assert!(whole(&store, *email).unwrap() == message(n, 20_000));
        }
    }
}

#[test]
fn a_disk_that_takes_no_writes_is_read() {
    let disk = SimDisk::default();
    let store = open(&disk);
    let old = file(&store, &message(1, 50_000)).unwrap();
    store.checkpoint().unwrap();
    // These are in the journal only.
    let new: Vec<_> = (2..9).map(|n| file(&store, &message(n, 50_000)).unwrap()).collect();
    put(&store, b"k", b"v").unwrap();
    for crashed in [disk.cut(disk.position(), 4), {
        store.close().unwrap();
        disk.copy()
    }] {
        crashed.set_read_only(true);
        let store = open(&crashed);
        assert_eq!(get(&store, b"k").unwrap(), b"v");
        assert!(whole(&store, old).unwrap() == message(1, 50_000));
        for (n, email) in (2..).zip(&new) {
            assert!(whole(&store, *email).unwrap() == message(n, 50_000));
        }
        assert!(matches!(put(&store, b"l", b""), Err(Error::ReadOnly(_))));
        assert!(store.condition().read_only.unwrap().contains("can only be read"));
        store.close().unwrap();
        assert_eq!(crashed.position(), 0, "nothing is written");
        crashed.set_read_only(false);
        let store = open(&crashed);
        put(&store, b"l", b"").unwrap();
        assert!(store.condition().is_well());
    }
}

/// While redb has it for reading only too, an error of the disk passes.
#[test]
fn errors_pass_on_a_disk_that_takes_no_writes() {
    let disk = SimDisk::default();
    let store = open(&disk);
    let emails: Vec<_> = (0..9).map(|n| file(&store, &message(n, 50_000)).unwrap()).collect();
    let crashed = disk.cut(disk.position(), 4);
    crashed.set_read_only(true);
    let store = open_uncached(&crashed);
    for place in ["mail/", "index.redb"] {
        once(&crashed, ErrorKind::Other, place);
        // What was replayed is in memory: not every file is read again.
        emails.iter().for_each(|email| drop(whole(&store, *email)));
        crashed.heal();
        for (n, email) in (0..).zip(&emails) {
            let read = soon(|| whole(&store, *email).ok());
            assert!(read == message(n, 50_000));
        }
    }
    assert_eq!(crashed.position(), 0);
}

#[test]
fn an_empty_or_foreign_folder_that_takes_no_writes_is_refused() {
    let disk = SimDisk::default();
    disk.set_read_only(true);
    let error = Store::open(options(&disk, 1)).unwrap_err();
    assert!(matches!(error, Error::Io { .. }), "{error}");
}

#[test]
fn a_volume_that_is_lost_with_a_dirty_journal_costs_only_what_it_held() {
    let disk = SimDisk::default();
    let store = open(&disk);
    let old = file(&store, &message(1, 20_000)).unwrap();
    store.checkpoint().unwrap();
    let new: Vec<_> = (2..6).map(|n| file(&store, &message(n, 20_000)).unwrap()).collect();
    let crashed = |seed| disk.cut(disk.position(), seed);
    let (zeroed, gone, cut) = (crashed(1), crashed(2), crashed(3));
    zero(&zeroed, VOLUME);
    gone.unlink(Path::new(VOLUME)).unwrap();
    cut.damage(Path::new(VOLUME), |file| file.truncate(20_000));
    for (what, disk) in [("zeroed", zeroed), ("gone", gone), ("cut", cut)] {
        for round in 0..2 {
            let store = open(&disk);
            let condition = store.condition();
            assert!(!condition.is_well() && condition.read_only.is_none(), "{what}: {condition:?}");
            assert!(matches!(whole(&store, old), Err(Error::DamagedEmail(_))), "{what}");
            for (n, email) in (2..).zip(&new) {
                assert!(whole(&store, *email).unwrap() == message(n, 20_000), "{what}, round {round}");
            }
            // New mail goes elsewhere, and a sweep leaves alone what was saved.
            let other = file(&store, &message(40 + round, 5000)).unwrap();
            assert!(whole(&store, other).is_ok());
            store.sweep().unwrap();
            store.reclaim().unwrap();
            store.close().unwrap();
        }
    }
}

#[test]
fn a_volume_that_breaks_while_it_is_filled_is_left_and_the_store_goes_on() {
    let disk = SimDisk::default();
    let store = open(&disk);
    let old: Vec<_> = (0..4).map(|n| file(&store, &message(n, 20_000)).unwrap()).collect();
    store.close().unwrap();
    let mut dice = Dice::new(3);
    for round in 0..12 {
        let damaged = disk.copy();
        damaged.damage(Path::new(VOLUME), |file| {
            for _ in 0..200 {
                let at = 4096 + dice.below(file.len() as u64 - 4096) as usize;
                file[at] ^= 1 << dice.below(8);
            }
        });
        let store = open(&damaged);
        let mut new = Vec::new();
        for n in 10..30 {
            // One at most is refused: that on which the damage is seen.
            new.extend(file(&store, &message(n, 20_000)).ok().map(|email| (n, email)));
        }
        assert!(new.len() >= 18, "round {round}: {} of 20", new.len());
        assert!(store.condition().read_only.is_none(), "round {round}: {:?}", store.condition());
        for (n, email) in (0..).zip(&old) {
            assert!(whole(&store, *email).map_or(true, |bytes| bytes == message(n, 20_000)));
        }
        for (n, email) in &new {
            assert!(whole(&store, *email).unwrap() == message(*n, 20_000), "round {round}");
        }
        store.checkpoint().unwrap();
        let crashed = open(&damaged.cut(damaged.position(), 7));
        for (n, email) in &new {
            assert!(whole(&crashed, *email).unwrap() == message(*n, 20_000), "round {round}");
        }
        if store.condition().damaged_volumes == [1] {
            assert_eq!(crashed.condition().damaged_volumes, [1]);
        }
    }
}

#[test]
fn a_volume_that_is_half_made_stands_in_nobodys_way() {
    for kind in [ErrorKind::StorageFull, ErrorKind::Other] {
        for call in 0..60 {
            let disk = SimDisk::default();
            let store = open(&disk);
            let call = disk.calls() + call;
            let plan = Plan { call, trouble: Trouble::Error(kind), lasting: true, only: Some("mail/0") };
            disk.fail(plan);
            let first = file(&store, &message(1, 5000));
            disk.heal();
            if store.condition().read_only.is_some() {
                continue;
            }
            let second = file(&store, &message(2, 5000)).unwrap();
            if let Ok(first) = first {
                assert!(whole(&store, first).is_ok());
            }
            assert!(whole(&store, second).is_ok());
            let crashed = open(&disk.cut(disk.position(), call));
            assert!(whole(&crashed, second).unwrap() == message(2, 5000));
        }
    }
}

#[test]
fn upkeep_goes_past_a_volume_that_is_missing() {
    let disk = SimDisk::default();
    let small = Options { volume_size: 12_000, ..options(&disk, 5) };
    let store = Store::open(small.clone()).unwrap();
    let emails: Vec<ContentId> = (0..12).map(|n| file(&store, &message(n, 20_000)).unwrap()).collect();
    let ids: Vec<[u8; 8]> = emails.iter().map(|email| email.0.to_be_bytes()).collect();
    store
        .write(move |tx| {
            ids.iter().skip(1).step_by(2).for_each(|id| tx.delete(Table::Imported, id));
            Ok(())
        })
        .unwrap();
    store.close().unwrap();
    disk.unlink(Path::new(VOLUME)).unwrap();
    let store = Store::open(Options { disk: Arc::new(disk.clone()), ..small }).unwrap();
    let report = store.sweep().unwrap();
    assert_eq!(report.dropped, 6, "{report:?}");
    store.reclaim().unwrap();
    let kept: Vec<_> = emails.iter().step_by(2).map(|email| whole(&store, *email).map(drop)).collect();
    assert!(kept.iter().filter(|read| read.is_ok()).count() >= 4, "{kept:?}");
}

/// A store with some of everything, closed in order.
fn small_store() -> (SimDisk, Vec<ContentId>) {
    let disk = SimDisk::default();
    let store = open(&disk);
    let emails = (0..40).map(|n| file(&store, &message(n, 3000)).unwrap()).collect();
    for n in 0..200_u16 {
        put(&store, &n.to_be_bytes(), &[n as u8; 60]).unwrap();
    }
    store.close().unwrap();
    (disk, emails)
}

/// Whatever is in the index: no panic reaches us, nothing hangs, nothing that is read is wrong.
fn use_damaged(disk: &SimDisk, emails: &[ContentId], what: &str) -> &'static str {
    let store = match Store::open(options(disk, 77)) {
        Ok(store) => store,
        Err(Error::DamagedIndex(_) | Error::Damaged(_) | Error::Io { .. } | Error::Incompatible(_)) => {
            return "refused";
        }
        Err(other) => panic!("{what}: {other}"),
    };
    let look = |store: &Store| -> usize {
        let Ok(snapshot) = store.snapshot() else { return emails.len() };
        let rows = (0..200_u16).filter(|n| {
            let found = snapshot.get(Table::Names, &n.to_be_bytes());
            assert!(!matches!(&found, Ok(Some(value)) if *value != [*n as u8; 60]), "{what}: a wrong value");
            !matches!(found, Ok(Some(_)))
        });
        let lost = rows.count();
        let unread = (0..).zip(emails).filter(|(n, email)| {
            let read = whole(store, **email);
            assert!(!matches!(&read, Ok(bytes) if *bytes != message(*n, 3000)), "{what}: wrong bytes");
            read.is_err()
        });
        lost + unread.count()
    };
    let before = look(&store);
    let mut refused = 0;
    for n in 0..5 {
        refused += u32::from(put(&store, &[7, 7, n], b"new").is_err());
        refused += u32::from(file(&store, &message(100 + u64::from(n), 3000)).is_err());
    }
    refused += u32::from(store.checkpoint().is_err());
    let after = look(&store);
    assert!(after <= before.max(1) + 3 || !store.condition().is_well(), "{what}: {before} {after}");
    assert!(refused == 0 || !store.condition().is_well(), "{what}: refused, and all is well");
    drop(store);
    if refused > 0 {
        "reads only"
    } else if after > 0 {
        "in part"
    } else {
        "whole"
    }
}

#[test]
fn a_damaged_index_serves_what_it_can_or_says_so() {
    let (disk, emails) = small_store();
    let path = Path::new("/data/index.redb");
    let mut length = 0;
    disk.damage(path, |file| length = file.len());
    let mut outcomes = std::collections::BTreeMap::new();
    for block in 0..length / 4096 {
        let damaged = disk.copy();
        let mut empty = false;
        damaged.damage(path, |file| {
            let block = &mut file[block * 4096..][..4096];
            empty = block.iter().all(|byte| *byte == 0);
            block.fill(0);
        });
        if !empty {
            *outcomes
                .entry(("zeroed", use_damaged(&damaged, &emails, &format!("block {block}"))))
                .or_insert(0) += 1;
        }
    }
    let mut dice = Dice::new(5);
    for _ in 0..200 {
        let damaged = disk.copy();
        let mut at = 0;
        damaged.damage(path, |file| {
            loop {
                at = dice.below(file.len() as u64) as usize;
                if file[at] != 0 {
                    break;
                }
            }
            file[at] ^= 1 << dice.below(8);
        });
        *outcomes.entry(("flipped", use_damaged(&damaged, &emails, &format!("byte {at}")))).or_insert(0) += 1;
    }
    println!("{outcomes:?}");
}
