//! A disk that is full: what goes on, what is refused, and that it is over when something was deleted.

use std::path::Path;
use std::sync::Arc;

use super::env::Disk;
use super::rows::Rows;
use super::schema::Table;
use super::sim::{SimClock, SimDisk, SimRandom};
use super::{Error, Options, Store};
use crate::model::{AccountId, ContentId, MailboxName};

const MB: u64 = 1 << 20;
const DATA: &str = "/data";

/// What names an email in these tests: a row of `Imported`, email → nothing.
fn live(rows: &dyn Rows, visit: &mut dyn FnMut(ContentId)) -> Result<(), Error> {
    rows.scan(Table::Imported, &[], &[0xff; 9], &mut |key, _| {
        visit(ContentId(u64::from_be_bytes(key.try_into().unwrap())));
        Ok(std::ops::ControlFlow::Continue(()))
    })
}

fn options(disk: &SimDisk) -> Options {
    Options {
        disk: Arc::new(disk.clone()),
        clock: Arc::new(SimClock::default()),
        random: Arc::new(SimRandom::new(disk.position() as u64 + 7)),
        segment_size: MB,
        volume_size: 64 * MB,
        reserve: 8 * MB,
        live_emails: Some(live),
        ..Options::new(DATA)
    }
}

fn open(disk: &SimDisk) -> Store {
    Store::open(options(disk)).unwrap()
}

fn small_disk(size: u64) -> SimDisk {
    let disk = SimDisk::default();
    disk.set_size(size);
    disk
}

/// A message of about 40 KB that does not compress.
fn message(seed: u64) -> Vec<u8> {
    let mut bytes = format!("From: a@b\r\nSubject: {seed}\r\n\r\n").into_bytes();
    let mut hasher = blake3::Hasher::new();
    hasher.update(&seed.to_le_bytes());
    let at = bytes.len();
    bytes.resize(at + 40_000, 0);
    hasher.finalize_xof().fill(&mut bytes[at..]);
    bytes.iter_mut().skip(at).filter(|byte| **byte == b'\n' || **byte == b'\r').for_each(|byte| *byte = b'x');
    bytes
}

fn deliver(store: &Store, seed: u64) -> Result<ContentId, Error> {
    let mut incoming = store.incoming(1 << 30);
    incoming.write(&message(seed))?;
    let prepared = incoming.finish()?;
    store.write(move |tx| {
        let email = prepared.file(tx, AccountId(1), &MailboxName::inbox())?;
        tx.put(Table::Imported, &email.0.to_be_bytes(), &[]);
        Ok(email)
    })
}

/// Delivers until the store has refused a few in a row; what it took.
fn fill(store: &Store, seeds: &mut u64) -> Vec<(ContentId, u64)> {
    let (mut taken, mut refused) = (Vec::new(), 0);
    while refused < 3 {
        *seeds += 1;
        match deliver(store, *seeds) {
            Ok(email) => {
                taken.push((email, *seeds));
                refused = 0;
            }
            Err(Error::NoSpace { .. }) => refused += 1,
            Err(error) => panic!("{error}"),
        }
        assert!(taken.len() < 100_000);
    }
    taken
}

fn forget(store: &Store, emails: Vec<ContentId>) {
    for slice in emails.chunks(200).map(<[_]>::to_vec) {
        store
            .write(move |tx| {
                slice.iter().for_each(|email| tx.delete(Table::Imported, &email.0.to_be_bytes()));
                Ok(())
            })
            .unwrap();
    }
}

fn check(store: &Store, kept: &[(ContentId, u64)]) {
    for (email, seed) in kept {
        let mut out = Vec::new();
        store.snapshot().unwrap().read(*email, 0..u64::MAX, &mut out).unwrap();
        assert_eq!(out, message(*seed), "{seed}");
    }
}

/// As a flag that is changed.
fn small_change(store: &Store, n: u64) -> Result<(), Error> {
    store.write(move |tx| {
        tx.put(Table::Names, &(n % 50).to_be_bytes(), &[n as u8; 300]);
        Ok(())
    })
}

fn free(disk: &SimDisk) -> u64 {
    disk.free_space(Path::new(DATA)).unwrap()
}

#[test]
fn a_full_disk_takes_mail_again_once_most_was_deleted() {
    let disk = small_disk(100 * MB);
    let store = open(&disk);
    let mut seeds = 0;
    let first = fill(&store, &mut seeds);
    assert!(first.len() as u64 * 40_000 > 50 * MB, "{} messages", first.len());
    assert!(free(&disk) >= 7 * MB, "the reserve is left: {}", free(&disk));
    let mut kept = first.clone();
    for round in 0..4 {
        let gone = kept.len() * 86 / 100;
        forget(&store, kept.drain(..gone).map(|(email, _)| email).collect());
        store.sweep().unwrap();
        let more = fill(&store, &mut seeds);
        assert!(more.len() > gone * 9 / 10, "round {round}: {gone} deleted, {} taken", more.len());
        kept.extend(more);
        check(&store, &kept);
        assert_eq!(store.statistics().read_only, None);
    }
    store.close().unwrap();
    check(&open(&disk), &kept);
}

#[test]
fn with_nothing_free_small_changes_and_deleting_go_on_and_a_start_does() {
    let disk = small_disk(100 * MB);
    let store = open(&disk);
    let mut seeds = 0;
    let mut kept = fill(&store, &mut seeds);
    disk.others_leave(0);
    for n in 0..3000 {
        small_change(&store, n).unwrap();
        if n % 1000 == 500 {
            store.checkpoint().unwrap();
        }
    }
    assert!(matches!(deliver(&store, 1_000_000), Err(Error::NoSpace { .. })));
    // The power goes, and there is still nothing free.
    let disk = disk.cut(disk.position(), 0);
    assert_eq!(free(&disk), 0);
    let store = open(&disk);
    small_change(&store, 7).unwrap();
    let gone = kept.len() * 86 / 100;
    forget(&store, kept.drain(..gone).map(|(email, _)| email).collect());
    store.sweep().unwrap();
    // Others still hold all the rest, but what was swept is room.
    let more = fill(&store, &mut seeds);
    assert!(more.len() > gone / 2, "{gone} deleted, {} taken", more.len());
    kept.extend(more);
    check(&store, &kept);
    store.close().unwrap();
    check(&open(&disk), &kept);
}

fn volume(number: u32) -> std::path::PathBuf {
    super::env::Paths { data: DATA.into() }.volume(number)
}

#[test]
fn a_lone_volume_is_made_shorter_where_it_is() {
    let disk = small_disk(100 * MB);
    let store = open(&disk);
    let mut kept: Vec<_> = (1..=1_300).map(|seed| (deliver(&store, seed).unwrap(), seed)).collect();
    assert_eq!(store.statistics().volumes, 1);
    let gone = kept.len() * 86 / 100;
    // Every seventh stays, so that holes are everywhere.
    let (stay, go): (Vec<_>, Vec<_>) = kept.drain(..).enumerate().partition(|(n, _)| n % 7 == 0);
    assert!(go.len().abs_diff(gone) < gone / 20);
    forget(&store, go.into_iter().map(|(_, (email, _))| email).collect());
    kept.extend(stay.into_iter().map(|(_, one)| one));
    store.sweep().unwrap();
    store.close().unwrap();
    disk.others_leave(0);
    let disk = disk.copy();
    let before = disk.taken_by(&volume(1));
    let store = open(&disk);
    let began = disk.position();
    let report = store.reclaim().unwrap();
    let (ended, after) = (disk.position(), disk.taken_by(&volume(1)));
    let live = kept.len() as u64 * 41_000;
    println!("{} MB live: {} MB before, {} MB after", live / MB, before / MB, after / MB);
    assert!(report.bytes > 30 * MB && before - after >= report.bytes / 2, "{report:?}");
    assert!(after < live + live / 8 + 3 * 8 * MB, "{after} for {live}");
    check(&store, &kept);
    deliver(&store, 1_000_000).unwrap();
    // Wherever it is cut, all is there.
    for n in 0..6 {
        let position = began + (ended - began) * n / 6;
        let cut = disk.cut(position, n as u64);
        let store = open(&cut);
        check(&store, &kept);
        assert!(store.reclaim().unwrap().damaged == 0);
        check(&store, &kept);
    }
}

#[test]
fn several_volumes_are_emptied_into_each_other_with_nothing_free() {
    let disk = small_disk(150 * MB);
    let options = |disk: &SimDisk| Options { volume_size: 16 * MB, ..options(disk) };
    let store = Store::open(options(&disk)).unwrap();
    let mut seeds = 0;
    let (stay, go): (Vec<_>, Vec<_>) =
        fill(&store, &mut seeds).into_iter().enumerate().partition(|(n, _)| n % 7 == 0);
    let kept: Vec<_> = stay.into_iter().map(|(_, one)| one).collect();
    let volumes = store.statistics().volumes;
    assert!(volumes > 4, "{volumes}");
    disk.others_leave(0);
    forget(&store, go.into_iter().map(|(_, (email, _))| email).collect());
    store.sweep().unwrap();
    let report = store.reclaim().unwrap();
    println!("{volumes} volumes, {} of them emptied, {} MB given back", report.volumes, report.bytes / MB);
    assert!(report.volumes >= volumes - 2, "{report:?}");
    assert!(free(&disk) > 60 * MB, "{}", free(&disk));
    check(&store, &kept);
    store.close().unwrap();
    check(&Store::open(options(&disk)).unwrap(), &kept);
}
