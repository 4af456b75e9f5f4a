//! An index of an earlier moment beside the journal of later runs: what only that journal holds is found.

use std::path::Path;

use super::tests::{check, file, household, message, name, options};
use crate::store::base::running;
use crate::store::base::sim::SimDisk;
use crate::store::{Store, accounts, mailboxes, messages};

const INDEX: &str = "/data/index.redb";

/// A store that was closed in order, as it was then, and killed after `later` messages in `runs` runs since; only the
/// journal has those.
fn killed(runs: u64, later: u64) -> (SimDisk, SimDisk) {
    let disk = SimDisk::default();
    let store = Store::open(options(&disk)).unwrap();
    let anna = household(&store);
    store.close().unwrap();
    let (before, mut disk) = (disk.copy(), disk);
    for run in 0..runs {
        let store = Store::open(options(&disk)).unwrap();
        for seed in 0..later {
            file(&store, anna, "INBOX", &message(100 + run * later + seed));
        }
        disk = disk.cut(disk.position(), run + 1);
    }
    (before, disk)
}

fn texts(store: &Store, mailbox: &str) -> Vec<Vec<u8>> {
    let rows = store.snapshot().unwrap();
    let anna = accounts::list(&rows).unwrap().into_iter().find(|account| account.name == "anna").unwrap();
    let Some(found) = mailboxes::by_name(&rows, anna.id, &name(mailbox)).unwrap() else { return Vec::new() };
    let mut texts = Vec::new();
    messages::scan(&rows, found.id, 1..=u32::MAX, &mut |record| {
        let mut bytes = Vec::new();
        rows.read(record.email, 0..u64::MAX, &mut bytes)?;
        texts.push(bytes);
        Ok(std::ops::ControlFlow::Continue(()))
    })
    .unwrap();
    texts
}

/// What is in "Recovered" once the server has looked; nothing is left to tell, and nothing is doubled by a restart.
fn recovered(disk: &SimDisk, what: &str) -> Vec<Vec<u8>> {
    // What was put back behind its back is part of it.
    let disk = &disk.copy();
    let store = Store::open(options(disk)).unwrap_or_else(|error| panic!("{what}: {error}"));
    assert!(store.condition().mixed.is_some(), "{what}");
    store.recover_unnamed().unwrap();
    let found = texts(&store, "Recovered");
    let kinds = check(&store).to_string();
    assert!(!kinds.contains("nothing lists") && !kinds.contains("unreadable"), "{what}: {kinds}");
    drop(store);
    let killed = disk.cut(disk.position(), 9);
    let store = Store::open(options(&killed)).unwrap();
    store.recover_unnamed().unwrap();
    assert_eq!(texts(&store, "Recovered"), found, "{what}");
    found
}

fn put_back(disk: &SimDisk, from: &SimDisk, path: &str) {
    let bytes = from.files()[Path::new(path)].clone();
    assert!(disk.damage(Path::new(path), |now| now.clone_from(&bytes)), "{path}");
}

#[test]
fn an_older_index_loses_nothing_of_a_later_journal() {
    for (runs, later) in [(1, 5), (1, 40), (3, 7)] {
        let what = format!("{runs} runs of {later}");
        let (before, disk) = killed(runs, later);
        put_back(&disk, &before, INDEX);
        let mut found = recovered(&disk, &what);
        let mut expected: Vec<_> = (100..100 + runs * later).map(message).collect();
        found.sort();
        expected.sort();
        assert!(found == expected, "{what}: {} of {}", found.len(), expected.len());
    }
}

/// The volumes of that moment as well, or without one of them: what the journal has is all that there is.
#[test]
fn nor_where_the_volumes_are_older_or_gone() {
    for gone in [false, true] {
        let (before, disk) = killed(2, 6);
        put_back(&disk, &before, INDEX);
        let volume = before
            .files()
            .keys()
            .find(|path| path.extension().is_some_and(|it| it == "redb") && path.starts_with("/data/mail"))
            .cloned()
            .unwrap();
        if gone {
            let files = disk.files().into_iter().filter(|(path, _)| *path != volume).collect();
            let disk = SimDisk::holding(files);
            // What the last run wrote was never anywhere else.
            let found = recovered(&disk, "gone");
            assert!((106..112).all(|seed| found.contains(&message(seed))), "{}", found.len());
        } else {
            put_back(&disk, &before, volume.to_str().unwrap());
            let found = recovered(&disk, "older");
            assert!((106..112).all(|seed| found.contains(&message(seed))), "{}", found.len());
        }
    }
}

/// The start may be cut short anywhere.
#[test]
fn a_start_that_is_cut_short_loses_nothing_of_it() {
    let (before, disk) = killed(1, 8);
    put_back(&disk, &before, INDEX);
    let first = disk.position();
    let whole = disk.copy();
    drop(Store::open(options(&whole)).unwrap());
    let last = whole.position();
    assert!(last > first);
    for position in (first..=last).step_by((last - first) / 30 + 1).chain([last]) {
        let cut = whole.cut(position, position as u64);
        let found = recovered(&cut, &format!("cut at {position}"));
        assert!((100..108).all(|seed| found.contains(&message(seed))), "cut at {position}: {}", found.len());
    }
}

/// What no row names is neither dropped nor written over for fourteen days, over restarts, while mail comes and is given
/// room; who looks only at their end finds all of it. After them it is dropped like anything that nothing names.
#[test]
fn nothing_unnamed_goes_for_fourteen_days() {
    for looks in [true, false] {
        let (before, disk) = killed(2, 6);
        put_back(&disk, &before, INDEX);
        let mut store = Store::open(options(&disk)).unwrap();
        for day in 0..14 {
            assert_eq!(store.sweep().unwrap().dropped, 0, "day {day}");
            store.reclaim().unwrap();
            let anna = accounts::by_name(&store.snapshot().unwrap(), "anna").unwrap().unwrap().id;
            file(&store, anna, "INBOX", &message(500 + day));
            if day % 5 == 3 {
                store.close().unwrap();
                store = Store::open(options(&disk)).unwrap();
            }
            assert!(check(&store).to_string().contains("nothing lists"), "day {day}");
            if day < 13 {
                store.write(|tx| running::advance(tx, 86_400)).unwrap();
            }
        }
        if looks {
            store.recover_unnamed().unwrap();
        }
        store.write(|tx| running::advance(tx, 86_400)).unwrap();
        store.sweep().unwrap();
        let found = texts(&store, "Recovered");
        assert_eq!(found.len(), if looks { 12 } else { 0 });
        assert!(!looks || (100..112).all(|seed| found.contains(&message(seed))));
        assert!(!check(&store).to_string().contains("nothing lists"), "looks: {looks}");
    }
}
