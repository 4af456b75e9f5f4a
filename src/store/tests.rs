//! The engine as a whole, over a disk in memory.

use std::io::ErrorKind;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::emails;
use super::rows::{News, Rows, Transaction};
use super::schema::Table;
use super::settings;
use super::sim::{Dice, SimClock, SimDisk, SimRandom};
use super::{Error, Options, Store};
use crate::model::{AccountId, ContentId, MailboxName, ModSeq};

const KB: u64 = 1 << 10;

/// What names an email in these tests: a row of `Imported`, email → nothing.
fn live(rows: &dyn Rows, visit: &mut dyn FnMut(ContentId)) -> Result<(), Error> {
    rows.scan(Table::Imported, &[], &[0xff; 9], &mut |key, _| {
        visit(ContentId(u64::from_be_bytes(key.try_into().unwrap())));
        Ok(std::ops::ControlFlow::Continue(()))
    })
}

pub(super) fn options(disk: &SimDisk, seed: u64) -> Options {
    Options {
        disk: Arc::new(disk.clone()),
        clock: Arc::new(SimClock::default()),
        random: Arc::new(SimRandom::new(seed)),
        segment_size: 256 * KB,
        volume_size: 4096 * KB,
        reserve: 0,
        live_emails: Some(live),
        ..Options::new("/data")
    }
}

pub(super) fn open(disk: &SimDisk) -> Store {
    Store::open(options(disk, disk.position() as u64 + 7)).unwrap()
}

pub(super) fn put(store: &Store, key: &[u8], value: &[u8]) -> Result<(), Error> {
    let (key, value) = (key.to_vec(), value.to_vec());
    store.write(move |tx| {
        tx.put(Table::Names, &key, &value);
        Ok(())
    })
}

pub(super) fn get(store: &Store, key: &[u8]) -> Option<Vec<u8>> {
    store.snapshot().unwrap().get(Table::Names, key).unwrap()
}

pub(super) fn message(seed: u64, length: usize) -> Vec<u8> {
    let mut dice = Dice::new(seed);
    let mut bytes = format!("From: a@b\r\nSubject: {seed}\r\n\r\n").into_bytes();
    while bytes.len() < length {
        // Half of it random, so that it neither vanishes in compression nor escapes it.
        bytes.extend_from_slice(format!("{:x} a line of text\r\n", dice.roll()).as_bytes());
    }
    bytes
}

pub(super) fn file(store: &Store, bytes: &[u8]) -> Result<ContentId, Error> {
    let mut incoming = store.incoming(1 << 30);
    for part in bytes.chunks(10_007) {
        incoming.write(part)?;
    }
    let prepared = incoming.finish()?;
    store.write(move |tx| {
        let email = prepared.file(tx, AccountId(1), &MailboxName::inbox())?;
        tx.put(Table::Imported, &email.0.to_be_bytes(), &[]);
        Ok(email)
    })
}

pub(super) fn whole(store: &Store, email: ContentId) -> Result<Vec<u8>, Error> {
    let mut out = Vec::new();
    store.snapshot()?.read(email, 0..u64::MAX, &mut out)?;
    Ok(out)
}

#[test]
fn what_was_written_is_there_after_a_restart() {
    let disk = SimDisk::default();
    let store = open(&disk);
    put(&store, b"a", b"1").unwrap();
    assert_eq!(get(&store, b"a").unwrap(), b"1");
    let crashed = disk.cut(disk.position(), 1);
    store.close().unwrap();
    assert_eq!(get(&open(&disk), b"a").unwrap(), b"1");
    let store = open(&crashed);
    assert_eq!(get(&store, b"a").unwrap(), b"1");
    // Replaying what is there does nothing.
    assert_eq!(get(&open(&crashed.cut(crashed.position(), 2)), b"a").unwrap(), b"1");
}

#[test]
fn a_job_sees_its_own_rows_and_a_refused_one_leaves_none() {
    let store = open(&SimDisk::default());
    for key in [b"b", b"d", b"f"] {
        put(&store, key, b"old").unwrap();
    }
    let seen = store
        .write(|tx| {
            tx.put(Table::Names, b"a", b"new");
            tx.put(Table::Names, b"d", b"new");
            tx.delete(Table::Names, b"b");
            let mut seen = Vec::new();
            let mut visit = |key: &[u8], value: &[u8]| {
                seen.push((key.to_vec(), value.to_vec()));
                Ok(std::ops::ControlFlow::Continue(()))
            };
            tx.scan(Table::Names, b"a", b"f", &mut visit)?;
            tx.scan_back(Table::Names, b"a", b"z", &mut visit)?;
            Ok(seen)
        })
        .unwrap();
    let keys: Vec<&[u8]> = seen.iter().map(|(key, _)| key.as_slice()).collect();
    assert_eq!(keys, [b"a", b"d", b"f", b"d", b"a"]);
    let refused = store.write(|tx| -> Result<(), Error> {
        tx.put(Table::Names, b"x", b"");
        tx.modseq()?;
        Err(Error::Refused("no"))
    });
    assert!(matches!(refused, Err(Error::Refused("no"))));
    let panicked = store.write(|tx| -> Result<(), Error> {
        tx.put(Table::Names, b"x", b"");
        panic!("a bug in a job");
    });
    assert!(matches!(panicked, Err(Error::Internal(_))), "{panicked:?}");
    assert_eq!(get(&store, b"x"), None);
    assert_eq!(store.write(|tx| tx.modseq()).unwrap(), ModSeq(1));
    assert_eq!(
        store
            .write(|tx| {
                tx.modseq()?;
                tx.modseq()
            })
            .unwrap(),
        ModSeq(2)
    );
}

#[test]
fn writers_that_wait_share_a_sync() {
    let store = open(&SimDisk::default());
    let before = store.statistics();
    let (open_gate, gate) = std::sync::mpsc::channel::<()>();
    let slow = {
        let store = store.clone();
        std::thread::spawn(move || {
            store.write(move |_| {
                gate.recv().unwrap();
                Ok(())
            })
        })
    };
    let threads: Vec<_> = (0..50_u8)
        .map(|n| {
            let store = store.clone();
            std::thread::spawn(move || put(&store, &[n], b"").unwrap())
        })
        .collect();
    std::thread::sleep(std::time::Duration::from_millis(200));
    open_gate.send(()).unwrap();
    slow.join().unwrap().unwrap();
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    let syncs = store.statistics().syncs - before.syncs;
    assert!(syncs < 25, "{syncs} syncs for 50 writers");
}

#[test]
fn who_may_not_wait_is_told_the_outcome() {
    let store = open(&SimDisk::default());
    let (open_gate, gate) = std::sync::mpsc::channel::<()>();
    store.begin_then(move |_| gate.recv().map_err(|_| Error::Closed), |_| {}).unwrap();
    // More than the queue takes of those who may wait: not one holds this thread up.
    let (tell, told) = std::sync::mpsc::channel();
    for n in 0..300_u16 {
        let tell = tell.clone();
        let job = move |tx: &mut dyn Transaction| match n {
            7 => Err(Error::Refused("seven")),
            _ => {
                tx.put(Table::Imported, &n.to_be_bytes(), b"");
                Ok(())
            }
        };
        let reader = store.clone();
        let done = move |outcome: Result<(), Error>| {
            let seen = reader.snapshot().unwrap().get(Table::Imported, &n.to_be_bytes()).unwrap();
            tell.send((n, outcome.is_ok(), seen.is_some())).unwrap();
        };
        store.begin_then(job, done).unwrap();
    }
    assert!(told.try_recv().is_err(), "nothing is told before it is done");
    open_gate.send(()).unwrap();
    for n in 0..300 {
        assert_eq!(told.recv().unwrap(), (n, n != 7, n != 7));
    }
    store.clone().close().unwrap();
    assert!(matches!(store.begin_then(|_| Ok(()), |_| unreachable!()), Err(Error::Closed)));
}

#[test]
fn listeners_hear_in_order() {
    let store = open(&SimDisk::default());
    let heard = Arc::new(AtomicU64::new(0));
    let id = store.listen(Box::new({
        let heard = Arc::clone(&heard);
        move |news| assert_eq!(heard.fetch_add(1, Ordering::SeqCst) + 1, news.modseq.0)
    }));
    let tell = |tx: &mut dyn Transaction| {
        let modseq = tx.modseq()?;
        tx.publish(News { account: AccountId(1), mailbox: None, modseq });
        Ok(())
    };
    for _ in 0..10 {
        store.write(tell).unwrap();
    }
    store.unlisten(id);
    store.write(tell).unwrap();
    assert_eq!(heard.load(Ordering::SeqCst), 10);
}

#[test]
fn large_batches_and_full_segments() {
    let disk = SimDisk::default();
    let store = open(&disk);
    let large = message(3, 60_000);
    // Eight times a segment in one operation: all or nothing, in a chain over new segments.
    let value = large.clone();
    store
        .write(move |tx| {
            (0..35_u8).for_each(|n| tx.put(Table::Names, &[n], &value));
            Ok(())
        })
        .unwrap();
    for n in 0..20 {
        put(&store, b"small", &[n; 5000]).unwrap();
    }
    let crashed = open(&disk.cut(disk.position(), 5));
    assert_eq!(get(&crashed, &[34]).unwrap(), large);
    assert_eq!(get(&crashed, b"small").unwrap(), [19; 5000]);
}

#[test]
fn content_comes_back_whole_and_in_ranges() {
    let disk = SimDisk::default();
    let store = open(&disk);
    for (seed, length) in [(1, 0), (2, 300), (3, 20_000), (4, 140_000), (5, 700_000), (6, 6_000_000)] {
        let bytes = message(seed, length);
        let email = file(&store, &bytes).unwrap();
        assert!(whole(&store, email).unwrap() == bytes, "of {length}");
        let snapshot = store.snapshot().unwrap();
        let mut dice = Dice::new(seed);
        for _ in 0..30 {
            let start = dice.below(bytes.len() as u64 + 10);
            let end = start + dice.below(200_000);
            let mut out = b"before".to_vec();
            snapshot.read(email, start..end, &mut out).unwrap();
            let clipped = start.min(bytes.len() as u64) as usize..end.min(bytes.len() as u64) as usize;
            assert!(out.strip_prefix(b"before").unwrap() == &bytes[clipped], "{start}..{end} of {length}");
        }
        assert_eq!(
            snapshot.header(email).unwrap(),
            format!("From: a@b\r\nSubject: {seed}\r\n\r\n").as_bytes()
        );
        assert_eq!(snapshot.digest(email).unwrap().size, bytes.len() as u64);
    }
    let crashed = open(&disk.cut(disk.position(), 9));
    assert!(whole(&crashed, ContentId(3)).is_ok());
}

#[test]
fn line_ends_become_crlf_unless_told_otherwise() {
    let store = open(&SimDisk::default());
    let text = b"A: b\nC: d\r\n\nlone \r cr\r";
    for split in 1..text.len() {
        let mut incoming = store.incoming(1000);
        incoming.write(&text[..split]).unwrap();
        incoming.write(&text[split..]).unwrap();
        let prepared = incoming.finish().unwrap();
        assert_eq!(prepared.hash().0, *blake3::hash(b"A: b\r\nC: d\r\n\r\nlone \r cr\r").as_bytes());
    }
    let mut incoming = store.incoming_verbatim(1000);
    incoming.write(text).unwrap();
    assert_eq!(incoming.finish().unwrap().hash().0, *blake3::hash(text).as_bytes());
    let mut incoming = store.incoming(10);
    assert!(matches!(incoming.write(text), Err(Error::Limit(_))));
}

#[test]
fn the_same_bytes_are_stored_once() {
    let store = open(&SimDisk::default());
    for length in [500, 5_000_000] {
        let bytes = message(9, length);
        let email = file(&store, &bytes).unwrap();
        let live = store.statistics().live;
        assert_eq!(file(&store, &bytes).unwrap(), email);
        assert!(store.statistics().live < live + 1000, "the copy's slices are dropped");
    }
}

#[test]
fn damaged_content_is_said_and_replaced() {
    let disk = SimDisk::default();
    let store = open(&disk);
    let (bytes, other) = (message(1, 100_000), message(2, 1000));
    let email = file(&store, &bytes).unwrap();
    let sound = file(&store, &other).unwrap();
    store.close().unwrap();
    let damaged = disk.copy();
    assert!(damaged.damage(Path::new("/data/mail/000001.redb"), |file| {
        // One bit in each page that holds a piece of the large message.
        let needle = b"content";
        assert!(file.windows(needle.len()).any(|part| part == needle));
        for page in file.chunks_mut(16384).skip(1) {
            if page.iter().filter(|byte| **byte != 0).count() > 15_000 {
                page[8000] ^= 1;
            }
        }
    }));
    let store = open(&damaged);
    assert!(matches!(whole(&store, email), Err(Error::DamagedEmail(_))), "never wrong bytes");
    assert_eq!(whole(&store, sound).unwrap(), other);
    assert_eq!(file(&store, &bytes).unwrap(), email, "the same email, from the new bytes");
    assert!(whole(&store, email).unwrap() == bytes);
}

#[test]
fn flipped_bytes_never_give_wrong_bytes() {
    let disk = SimDisk::default();
    let store = open(&disk);
    let bytes = message(1, 30_000);
    let emails: Vec<_> = (0..20).map(|n| (n, file(&store, &message(n, 30_000)).unwrap())).collect();
    assert!(!bytes.is_empty());
    store.close().unwrap();
    let mut dice = Dice::new(11);
    for _ in 0..20 {
        let damaged = disk.copy();
        damaged.damage(Path::new("/data/mail/000001.redb"), |file| {
            for _ in 0..20 {
                let at = 4096 + dice.below(file.len() as u64 - 4096) as usize;
                file[at] ^= 1 << dice.below(8);
            }
        });
        let store = open(&damaged);
        for (seed, email) in &emails {
            if let Ok(read) = whole(&store, *email) {
                assert!(read == message(*seed, 30_000), "wrong bytes");
            }
        }
    }
}

#[test]
fn a_failed_write_makes_it_read_only_until_restart() {
    let disk = SimDisk::default();
    let store = open(&disk);
    put(&store, b"a", b"1").unwrap();
    disk.fail_after(0, ErrorKind::Other);
    assert!(matches!(put(&store, b"b", b"2"), Err(Error::ReadOnly(_))));
    disk.heal();
    assert!(matches!(put(&store, b"c", b"3"), Err(Error::ReadOnly(_))));
    assert_eq!(get(&store, b"a").unwrap(), b"1");
    let position = disk.position();
    drop(store);
    assert_eq!(disk.position(), position, "nothing is written at the end either");
    let store = open(&disk);
    assert_eq!(get(&store, b"a").unwrap(), b"1");
    put(&store, b"c", b"3").unwrap();
}

#[test]
fn a_full_disk_refuses_mail_and_lets_deletes_through() {
    let disk = SimDisk::default();
    let store = Store::open(Options { reserve: 1 << 20, ..options(&disk, 1) }).unwrap();
    let email = file(&store, &message(1, 5000)).unwrap();
    disk.set_free(Some(600 * KB));
    assert!(matches!(file(&store, &message(2, 5000)), Err(Error::NoSpace { .. })));
    store
        .write(move |tx| {
            tx.delete(Table::Imported, &email.0.to_be_bytes());
            Ok(())
        })
        .unwrap();
    disk.set_free(None);
    file(&store, &message(2, 5000)).unwrap();
}

#[test]
fn a_disk_that_fills_under_way_is_no_failure() {
    for after in 0..40 {
        let disk = SimDisk::default();
        let store = open(&disk);
        let email = file(&store, &message(1, 50_000)).unwrap();
        disk.fail_after(after, ErrorKind::StorageFull);
        let second = put(&store, b"k", b"v");
        disk.heal();
        drop(store);
        let store = open(&disk);
        assert!(whole(&store, email).is_ok());
        if second.is_ok() {
            assert_eq!(get(&store, b"k").unwrap(), b"v");
        }
    }
}

#[test]
fn sweep_and_reclaim_free_what_nothing_names() {
    let disk = SimDisk::default();
    let store = Store::open(Options { volume_size: 400 * KB, open_volumes: 2, ..options(&disk, 1) }).unwrap();
    let lengths = |n: u64| if n % 10 == 9 { 6_000_000 } else { 30_000 };
    let emails: Vec<_> = (0..40).map(|n| file(&store, &message(n, lengths(n))).unwrap()).collect();
    let before = store.statistics();
    assert!(before.volumes > 3, "{before:?}");
    let kept: Vec<_> = (0_u64..40).filter(|n| n % 13 == 5).collect();
    for (n, email) in (0_u64..).zip(&emails).filter(|(n, _)| !kept.contains(n)) {
        let (email, _) = (*email, n);
        store
            .write(move |tx| {
                tx.delete(Table::Imported, &email.0.to_be_bytes());
                Ok(())
            })
            .unwrap();
    }
    let pinned = store.pin(emails[0]);
    let report = store.sweep().unwrap();
    assert_eq!((report.live, report.dropped), (kept.len() as u64 + 1, 39 - kept.len() as u64), "{report:?}");
    assert_eq!(report.orphans, 4, "the large ones");
    drop(pinned);
    assert_eq!(store.sweep().unwrap().dropped, 1);
    let reclaimed = store.reclaim().unwrap();
    assert!(reclaimed.volumes > 2, "{reclaimed:?}");
    let after = store.statistics();
    assert!(after.volumes < before.volumes && after.live < before.live / 5, "{before:?} {after:?}");
    let check = |store: &Store| {
        for (n, email) in (0_u64..).zip(&emails) {
            match whole(store, *email) {
                Ok(bytes) => assert!(kept.contains(&n) && bytes == message(n, lengths(n))),
                Err(Error::NotFound(_)) => assert!(!kept.contains(&n)),
                Err(error) => panic!("{error}"),
            }
        }
    };
    check(&store);
    check(&open(&disk.cut(disk.position(), 3)));
    store.close().unwrap();
    check(&open(&disk));
}

#[test]
fn email_ids_are_never_given_twice() {
    let disk = SimDisk::default();
    let store = open(&disk);
    let first = file(&store, &message(1, 100)).unwrap();
    let crashed = open(&disk.cut(disk.position(), 1));
    assert!(file(&crashed, &message(2, 100)).unwrap() > first);
    let next = settings::number(&crashed.snapshot().unwrap(), settings::EMAIL_ID).unwrap();
    assert_eq!(next, 1 + 2 * super::content::incoming::EMAIL_BLOCK);
}

#[test]
fn object_ids_differ_between_accounts_and_outlive_a_restart() {
    let disk = SimDisk::default();
    let store = open(&disk);
    let email = file(&store, &message(1, 100)).unwrap();
    let id = |store: &Store, account| {
        emails::email_id(&store.snapshot().unwrap(), AccountId(account), email).unwrap()
    };
    let (one, two) = (id(&store, 1), id(&store, 2));
    assert_ne!(one, two);
    store.close().unwrap();
    assert_eq!(id(&open(&disk), 1), one);
}

#[test]
fn a_newer_or_another_store_is_refused() {
    let disk = SimDisk::default();
    let expected = Options { expect: Some([1; 16]), ..options(&disk, 1) };
    assert!(matches!(Store::open(expected.clone()), Err(Error::NotExpected(_))), "an empty folder");
    open(&disk).close().unwrap();
    assert!(matches!(Store::open(expected), Err(Error::NotExpected(_))));
}

/// The real disk, but every folder lies on another machine.
#[derive(Debug)]
struct Remote;

impl super::env::Disk for Remote {
    fn open(&self, path: &Path, create: bool) -> std::io::Result<Arc<dyn super::env::DiskFile>> {
        super::env::RealDisk.open(path, create)
    }
    fn create_dir(&self, path: &Path) -> std::io::Result<()> {
        super::env::RealDisk.create_dir(path)
    }
    fn rename(&self, from: &Path, to: &Path) -> std::io::Result<()> {
        super::env::RealDisk.rename(from, to)
    }
    fn unlink(&self, path: &Path) -> std::io::Result<()> {
        super::env::RealDisk.unlink(path)
    }
    fn sync_dir(&self, path: &Path) -> std::io::Result<()> {
        super::env::RealDisk.sync_dir(path)
    }
    fn list(&self, path: &Path) -> std::io::Result<Vec<String>> {
        super::env::RealDisk.list(path)
    }
    fn free_space(&self, path: &Path) -> std::io::Result<u64> {
        super::env::RealDisk.free_space(path)
    }
    fn lock(&self, path: &Path) -> std::io::Result<super::env::Held> {
        super::env::RealDisk.lock(path)
    }
    fn is_remote(&self, _: &Path) -> std::io::Result<bool> {
        Ok(true)
    }
}

#[test]
fn a_folder_on_another_machine_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let error = Store::open(Options { disk: Arc::new(Remote), ..Options::new(folder.path()) }).unwrap_err();
    assert!(error.to_string().contains("network file system"), "{error}");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "nothing is made there");
}

#[test]
fn a_newer_format_says_what_to_install() {
    use super::database::{File, Kind, META};
    let folder = tempfile::tempdir().unwrap();
    let options = || Options { reserve: 0, ..Options::new(folder.path()) };
    Store::open(options()).unwrap().close().unwrap();
    let disk = super::env::Metered::new(Arc::new(super::env::RealDisk));
    let index =
        Arc::new(File::open(&disk, &folder.path().join("index.redb"), Kind::Index, 1 << 20, false).unwrap());
    let sequence = index.sequence().unwrap();
    let number = 99_u32.to_le_bytes();
    let rows = [(META, &b"schema"[..], Some(&number[..])), (META, &b"program"[..], Some(&b"7.2.1"[..]))];
    index.apply(rows.into_iter(), sequence, true).unwrap();
    drop(index);
    let error = Store::open(options()).unwrap_err().to_string();
    assert!(error.contains("format 99") && error.contains("install postern 7.2.1 or newer"), "{error}");
}

#[test]
fn the_real_disk_locks_and_keeps() {
    let folder = tempfile::tempdir().unwrap();
    let options = || Options { reserve: 0, ..Options::new(folder.path()) };
    let store = Store::open(options()).unwrap();
    match Store::open(options()) {
        Err(Error::Locked(holder)) => assert_eq!(holder, format!("process {}", std::process::id())),
        other => panic!("{other:?}"),
    }
    assert_eq!(super::holder(folder.path()), Some(format!("process {}", std::process::id())));
    let email = file(&store, &message(1, 3_000_000)).unwrap();
    store.close().unwrap();
    assert_eq!(super::holder(folder.path()), None);
    let store = Store::open(options()).unwrap();
    assert!(whole(&store, email).unwrap() == message(1, 3_000_000));
}

#[test]
fn records_beyond_the_break_are_damage_and_a_torn_tail_is_not() {
    let disk = SimDisk::default();
    let store = open(&disk);
    for n in 0..10 {
        put(&store, &[n], b"value").unwrap();
    }
    let crashed = disk.cut(disk.position(), 1);
    // The start's checkpoint has its mark in the second segment, behind the segment's title; then the records
    // lie one a page.
    let flip = |page: usize, at: usize| {
        let damaged = crashed.cut(0, 0);
        let at = (2 + page) * 4096 + at;
        assert!(damaged.damage(Path::new("/data/journal/0001.journal"), |file| file[at] ^= 1));
        damaged
    };
    let damaged = flip(4, 80);
    let store = open(&damaged);
    assert!(store.statistics().journal_damaged);
    assert_eq!((get(&store, &[3]).is_some(), get(&store, &[4])), (true, None));
    put(&store, b"on", b"it goes").unwrap();
    let copies = super::env::Disk::list(&damaged, Path::new("/data/journal")).unwrap();
    assert_eq!(copies.iter().filter(|name| name.contains("damaged")).count(), 3);
    let store = open(&flip(9, 20));
    assert!(!store.statistics().journal_damaged);
    assert_eq!((get(&store, &[8]).is_some(), get(&store, &[9])), (true, None));
}

#[test]
fn a_volume_that_is_gone_costs_what_it_held() {
    let disk = SimDisk::default();
    let store = open(&disk);
    let email = file(&store, &message(1, 5000)).unwrap();
    store.close().unwrap();
    super::env::Disk::unlink(&disk, Path::new("/data/mail/000001.redb")).unwrap();
    let store = open(&disk);
    assert!(matches!(whole(&store, email), Err(Error::DamagedEmail(_))));
    let other = file(&store, &message(2, 5000)).unwrap();
    assert!(whole(&store, other).is_ok());
    assert_eq!(file(&store, &message(1, 5000)).unwrap(), email, "the new bytes take its place");
    assert!(whole(&store, email).is_ok());
}

#[test]
fn what_the_index_does_not_name_is_set_aside() {
    let disk = SimDisk::default();
    open(&disk).close().unwrap();
    super::env::Disk::open(&disk, Path::new("/data/mail/000001.redb"), true).unwrap();
    let store = open(&disk);
    let email = file(&store, &message(1, 5000)).unwrap();
    assert!(whole(&store, email).is_ok());
    let names = super::env::Disk::list(&disk, Path::new("/data/mail")).unwrap();
    assert!(names.iter().any(|name| name.contains("aside")), "{names:?}");
}

#[test]
fn a_panic_outside_of_a_job_makes_the_store_read_only_and_holds_nobody_up() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(Options::new(folder.path())).unwrap();
    let told = store.command(|_| -> Result<(), Error> { panic!("a bug in the writer") });
    assert!(matches!(told, Err(Error::Closed)), "{told:?}");
    let refused = store.write(|_| Ok(()));
    assert!(matches!(refused, Err(Error::ReadOnly(_))), "{refused:?}");
    assert!(store.snapshot().is_ok());
}

/// 1970, as a board without a battery has it.
#[derive(Debug)]
struct Stopped;

impl super::env::Clock for Stopped {
    fn now(&self) -> i64 {
        5
    }
}

#[test]
fn no_two_stores_begin_with_the_same_uid_validity_though_neither_has_a_clock() {
    let first = || {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(Options { clock: Arc::new(Stopped), ..Options::new(folder.path()) }).unwrap();
        store.write(|tx| super::settings::next_uid_validity(tx)).unwrap()
    };
    let seen: std::collections::BTreeSet<_> = (0..8).map(|_| first()).collect();
    assert_eq!(seen.len(), 8, "{seen:?}");
}
