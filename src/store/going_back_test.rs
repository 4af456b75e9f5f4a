//! Going back to the version before a migration: what came since is told, the rest is as it was, and nothing is given
//! twice.

use std::io::ErrorKind;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;

use super::env::Disk;
use super::going_back::{Way, go_back, way};
use super::messages::{self, FlagChange, NewMessage};
use super::schema::SCHEMA_VERSION;
use super::sim::{SimClock, SimDisk, SimRandom};
use super::tests::message;
use super::{Error, Features, Format, Options, Rows, Store, StoredRow, accounts, bin, mailboxes};
use crate::model::{AccountId, ContentId, DateTime, FlagSet, MailboxName, SystemFlags};

#[allow(clippy::unnecessary_wraps)]
fn same(row: StoredRow) -> Result<StoredRow, Error> {
    Ok(row)
}

/// The format to come.
const NEXT: Format =
    Format { number: SCHEMA_VERSION + 1, steps: &[(SCHEMA_VERSION, same)], known: Features::NONE };

fn live(rows: &dyn Rows, visit: &mut dyn FnMut(ContentId)) -> Result<(), Error> {
    messages::emails(rows, visit)?;
    bin::emails(rows, visit)
}

fn options(disk: &SimDisk, format: Format) -> Options {
    Options {
        disk: Arc::new(disk.clone()),
        clock: Arc::new(SimClock(1_800_000_000.into())),
        random: Arc::new(SimRandom::new(disk.position() as u64 + 5)),
        segment_size: 128 << 10,
        volume_size: 1 << 20,
        reserve: 0,
        format,
        live_emails: Some(live),
        ..Options::new("/data")
    }
}

fn open(disk: &SimDisk, format: Format) -> Store {
    Store::open(options(disk, format)).unwrap()
}

fn inbox() -> MailboxName {
    MailboxName::inbox()
}

fn append(store: &Store, account: AccountId, seed: u64) -> u32 {
    append_bytes(store, account, &message(seed, 3_000))
}

fn append_bytes(store: &Store, account: AccountId, bytes: &[u8]) -> u32 {
    let mut incoming = store.incoming(1 << 30);
    incoming.write(bytes).unwrap();
    let prepared = incoming.finish().unwrap();
    let append = move |tx: &mut dyn super::Transaction| {
        let email = prepared.file(tx, account, &inbox())?;
        let target = mailboxes::by_name(tx, account, &inbox())?.unwrap().id;
        let new = NewMessage {
            email,
            size: prepared.size(),
            internal_date: DateTime::utc(5),
            flags: FlagSet::default(),
        };
        Ok(messages::append(tx, account, target, &[new])?.uids.first().unwrap())
    };
    store.write(append).unwrap()
}

/// UID, text and whether it is flagged.
type Listed = Vec<(u32, Vec<u8>, bool)>;

fn listed(store: &Store, account: AccountId) -> Listed {
    let rows = store.snapshot().unwrap();
    let mailbox = mailboxes::by_name(&rows, account, &inbox()).unwrap().unwrap();
    let mut found = Vec::new();
    messages::scan(&rows, mailbox.id, 1..=u32::MAX, &mut |record| {
        let mut bytes = Vec::new();
        rows.read(record.email, 0..u64::MAX, &mut bytes)?;
        found.push((record.uid.get(), bytes, record.flags.contains(SystemFlags::FLAGGED)));
        Ok(ControlFlow::Continue(()))
    })
    .unwrap();
    found
}

fn change(store: &Store, account: AccountId, uids: std::ops::RangeInclusive<u32>) {
    store
        .write(move |tx| {
            let id = mailboxes::by_name(tx, account, &inbox())?.unwrap().id;
            let flagged = SystemFlags::FLAGGED.into();
            messages::store_flags(
                tx,
                account,
                id,
                &[uids].into_iter().collect(),
                FlagChange::Add,
                &flagged,
                None,
            )
        })
        .unwrap();
}

fn expunge(store: &Store, account: AccountId, uids: std::ops::RangeInclusive<u32>) {
    store
        .write(move |tx| {
            let id = mailboxes::by_name(tx, account, &inbox())?.unwrap().id;
            messages::expunge(tx, account, id, &[uids].into_iter().collect(), false)
        })
        .unwrap();
    store.write(move |tx| bin::expire(tx, account, i64::MAX, 0)).unwrap();
}

/// Twenty messages, then the new format, in which five come, some are flagged, most of the old ones are deleted for
/// good, the store is swept and space is given back.
fn upgraded() -> (SimDisk, AccountId, Listed) {
    let disk = SimDisk::default();
    let store = open(&disk, Format::CURRENT);
    let anna = store.write(|tx| accounts::create(tx, "anna", None)).unwrap();
    (0..20).for_each(|seed| _ = append(&store, anna, seed));
    let then = listed(&store, anna);
    store.close().unwrap();
    let store = open(&disk, NEXT);
    (20..25).for_each(|seed| _ = append(&store, anna, seed));
    change(&store, anna, 18..=22);
    expunge(&store, anna, 1..=15);
    store.sweep().unwrap();
    store.reclaim().unwrap();
    store.close().unwrap();
    (disk, anna, then)
}

#[test]
fn what_came_since_is_told_and_the_rest_is_as_it_was() {
    let (disk, anna, then) = upgraded();
    let store = open(&disk, NEXT);
    let before = store.before_migration().unwrap().unwrap();
    assert_eq!((before.format, before.account(anna)), (SCHEMA_VERSION, Some("anna")));
    let mailbox =
        |store: &Store| mailboxes::by_name(&store.snapshot().unwrap(), anna, &inbox()).unwrap().unwrap();
    let last = mailbox(&store);
    assert_eq!(before.first_since(last.id), Some(21));
    store.write(move |tx| mailboxes::create(tx, anna, &MailboxName::new("Since").unwrap(), None)).unwrap();
    store.close().unwrap();
    let (format, kept_as) = go_back(&options(&disk, NEXT)).unwrap();
    assert_eq!((format, kept_as.as_str()), (SCHEMA_VERSION, "index.after-3"));
    let store = open(&disk, Format::CURRENT);
    // Nothing that the old index names was dropped by the sweep or moved by the reclaim of the newer version.
    assert_eq!(listed(&store, anna), then);
    assert_eq!(store.sweep().unwrap().dropped, 0);
    assert_eq!(store.recover_unnamed().unwrap(), 0, "it was written out, and comes in again from there");
    let now = mailbox(&store);
    assert_eq!(now.uid_validity, last.uid_validity);
    assert!(now.uid_next >= last.uid_next && now.highest_modseq > last.highest_modseq);
    assert!(append(&store, anna, 50) >= last.uid_next);
    store.close().unwrap();
    let store = open(&disk, Format::CURRENT);
    assert_eq!(listed(&store, anna).len(), 21);
    assert!(store.before_migration().unwrap().is_none());
    store.close().unwrap();
    assert!(matches!(go_back(&options(&disk, Format::CURRENT)), Err(Error::Refused(_))));
    // And forward once more.
    let store = open(&disk, NEXT);
    assert_eq!(listed(&store, anna).len(), 21);
    assert!(store.before_migration().unwrap().is_some());
}

/// More came than a leap makes room for.
#[test]
fn no_uid_is_given_twice_however_many_were() {
    let disk = SimDisk::default();
    let store = open(&disk, Format::CURRENT);
    let anna = store.write(|tx| accounts::create(tx, "anna", None)).unwrap();
    append(&store, anna, 0);
    store.close().unwrap();
    let store = open(&disk, NEXT);
    let many = 70_000;
    store
        .write(move |tx| {
            let id = mailboxes::by_name(tx, anna, &inbox())?.unwrap().id;
            let email = ContentId(1);
            let new =
                NewMessage { email, size: 1, internal_date: DateTime::utc(5), flags: FlagSet::default() };
            messages::append(tx, anna, id, &vec![new; many])
        })
        .unwrap();
    store.close().unwrap();
    go_back(&options(&disk, NEXT)).unwrap();
    assert!(append(&open(&disk, Format::CURRENT), anna, 1) > 70_001);
}

/// Clients know the mailbox of then, and the volumes hold mail of the account of then.
#[test]
fn nothing_that_was_made_since_gives_its_number_to_another() {
    let (disk, anna, _) = upgraded();
    let made = |format: Format| {
        let store = open(&disk, format);
        let name = MailboxName::new("Since").unwrap();
        let make = move |tx: &mut dyn super::Transaction| {
            let account = accounts::create(tx, "zoe", None)?;
            mailboxes::create(tx, anna, &name, None)?;
            let mailbox = mailboxes::by_name(tx, anna, &name)?.unwrap();
            Ok((account, mailbox.id, mailbox.uid_validity))
        };
        let made = store.write(make).unwrap();
        store.close().unwrap();
        made
    };
    let since = made(NEXT);
    go_back(&options(&disk, NEXT)).unwrap();
    let then = made(Format::CURRENT);
    assert!(then.0 > since.0 && then.1 > since.1 && then.2 > since.2, "{since:?} {then:?}");
}

/// What came in anew in place of damaged bytes is not given up for those.
#[test]
fn a_content_that_was_replaced_stays_whole() {
    let disk = SimDisk::default();
    let store = open(&disk, Format::CURRENT);
    let anna = store.write(|tx| accounts::create(tx, "anna", None)).unwrap();
    let bytes = message(1, 100_000);
    append_bytes(&store, anna, &bytes);
    store.close().unwrap();
    // One bit in each page that holds a piece of it.
    assert!(disk.damage(Path::new("/data/mail/000001.redb"), |file| {
        for page in file.chunks_mut(16_384).skip(1) {
            if page.iter().filter(|byte| **byte != 0).count() > 15_000 {
                page[8_000] ^= 1;
            }
        }
    }));
    let read = |store: &Store| {
        let mut read = Vec::new();
        store.snapshot().unwrap().read(ContentId(1), 0..u64::MAX, &mut read).map(|()| read)
    };
    let store = open(&disk, NEXT);
    assert!(matches!(read(&store), Err(Error::DamagedEmail(ContentId(1)))));
    append_bytes(&store, anna, &bytes);
    assert!(read(&store).unwrap() == bytes);
    store.close().unwrap();
    go_back(&options(&disk, NEXT)).unwrap();
    let store = open(&disk, Format::CURRENT);
    assert!(read(&store).unwrap() == bytes);
    assert_eq!(listed(&store, anna).len(), 1);
}

/// At every write, sync and renaming: either version finds its store, or is told to call again, which ends it.
#[test]
fn it_may_be_cut_anywhere() {
    let (disk, anna, then) = upgraded();
    let now = {
        let copy = disk.copy();
        listed(&open(&copy, NEXT), anna)
    };
    let trial = disk.copy();
    go_back(&options(&trial, NEXT)).unwrap();
    let (mut back, mut ahead, mut between) = (0, 0, 0);
    for position in 0..=trial.position() {
        let cut = trial.cut(position, position as u64);
        if way(&options(&cut, NEXT)).unwrap() == Way::Begun {
            between += 1;
            let refused = Store::open(options(&cut.copy(), NEXT)).unwrap_err().to_string();
            assert!(refused.contains("postern downgrade"), "{refused}");
            go_back(&options(&cut, NEXT)).unwrap();
            assert_eq!(listed(&open(&cut, Format::CURRENT), anna), then, "between, cut at {position}");
            continue;
        }
        match Store::open(options(&cut.copy(), Format::CURRENT)) {
            Ok(store) => {
                assert_eq!(listed(&store, anna), then, "cut at {position}");
                back += 1;
            }
            Err(Error::Incompatible(_)) => {
                assert_eq!(listed(&open(&cut, NEXT), anna), now, "cut at {position}");
                go_back(&options(&cut, NEXT)).unwrap();
                assert_eq!(listed(&open(&cut, Format::CURRENT), anna), then, "cut at {position}");
                ahead += 1;
            }
            Err(error) => panic!("cut at {position}: {error}"),
        }
    }
    assert!(back > 0 && ahead > 10 && between > 0, "{back} {ahead} {between}");
}

#[test]
fn it_may_fail_at_any_call() {
    let (disk, anna, then) = upgraded();
    let trial = disk.copy();
    let calls = trial.calls();
    go_back(&options(&trial, NEXT)).unwrap();
    let calls = trial.calls() - calls;
    let mut failed = 0;
    for at in 0..calls {
        let disk = disk.copy();
        disk.fail_after(usize::try_from(at).unwrap(), ErrorKind::Other);
        failed += u64::from(go_back(&options(&disk, NEXT)).is_err());
        disk.heal();
        if let Err(error) = go_back(&options(&disk, NEXT)) {
            assert!(matches!(error, Error::Refused(_)), "call {at}: {error}");
        }
        assert_eq!(listed(&open(&disk, Format::CURRENT), anna), then, "call {at}");
    }
    assert!(failed > 10, "{failed} of {calls}");
}

/// Kept for fourteen days, or until room or privacy needs it; then what only it named goes as well.
#[test]
fn the_way_back_is_kept_for_fourteen_days() {
    for given_up in [false, true] {
        let (disk, ..) = upgraded();
        let store = open(&disk, NEXT);
        if given_up {
            assert!(store.give_up_way_back().unwrap() && !store.give_up_way_back().unwrap());
        } else {
            for day in 0..14 {
                assert_eq!(store.sweep().unwrap().dropped, 0, "after {day} days");
                assert!(store.before_migration().unwrap().is_some());
                store.write(|tx| bin::advance(tx, 86_400)).unwrap();
            }
        }
        assert_eq!(store.sweep().unwrap().dropped, 15);
        assert!(store.before_migration().unwrap().is_none());
    }
}

/// Whatever was put aside goes, its time beginning when it is first seen; nothing else does.
#[test]
fn what_is_kept_aside_goes_after_fourteen_days() {
    let disk = SimDisk::default();
    let store = open(&disk, Format::CURRENT);
    let put = |name: &str| {
        let file = disk.open(&Path::new("/data").join(name), true).unwrap();
        file.write_at(0, b"kept").unwrap();
    };
    let is_there = |name: &str| disk.open_read(&Path::new("/data").join(name)).is_ok();
    let aside =
        ["index.after-9", "index.before-1", "index.back", "journal/0000.damaged-5", "journal/0000.after-9"];
    let others = ["index.notes", "journal/0000.notes", "index.redb", "journal/0000.journal"];
    let mine = "index.damaged-1";
    [&aside[..], &others[..2], &[mine]].concat().into_iter().for_each(put);
    for day in 0..=30 {
        store.sweep().unwrap();
        if day == 10 {
            // Its owner removes one, and the next day there is another of that name.
            disk.unlink(&Path::new("/data").join(mine)).unwrap();
        } else if day == 11 {
            put(mine);
        }
        assert!(aside.into_iter().all(|name| is_there(name) == (day < 14)), "day {day}");
        assert_eq!(is_there(mine), day != 10 && day < 12 + 14, "day {day}");
        assert!(others.into_iter().all(is_there), "day {day}");
        store.write(|tx| bin::advance(tx, 86_400)).unwrap();
    }
}
