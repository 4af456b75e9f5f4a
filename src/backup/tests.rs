//! Backups and restores as a whole, over disks in memory.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::folder::{Folder, Keys};
use super::retention::Keep;
use super::run::{Progress, Report, run};
use super::source::Source;
use super::{Error, manifest, restore};
use crate::model::{AccountId, ContentId, DateTime, Flag, FlagSet, MailboxName, SystemFlags, Uid, UidSet};
use crate::store::env::Disk;
use crate::store::messages::NewMessage;
use crate::store::sim::{Dice, SimClock, SimDisk, SimRandom};
use crate::store::{self, Options, Rows, Store, accounts, bin, devices, mailboxes, messages, settings};

const DIR: &str = "/stick/mail";
const DATA: &str = "/data";
const BASE: u64 = 1_800_000_000;

fn live(rows: &dyn Rows, visit: &mut dyn FnMut(ContentId)) -> Result<(), store::Error> {
    messages::emails(rows, visit)?;
    bin::emails(rows, visit)
}

struct World {
    disk: SimDisk,
    clock: Arc<SimClock>,
}

impl World {
    fn new() -> Self {
        World::on(SimDisk::default())
    }

    fn on(disk: SimDisk) -> Self {
        World { disk, clock: Arc::new(SimClock(AtomicU64::new(BASE))) }
    }

    fn options(&self) -> Options {
        Options {
            disk: Arc::new(self.disk.clone()),
            clock: Arc::clone(&self.clock) as Arc<_>,
            random: Arc::new(SimRandom::new(self.disk.position() as u64 + 99)),
            segment_size: 256 << 10,
            volume_size: 4 << 20,
            reserve: 0,
            live_emails: Some(live),
            ..Options::new(DATA)
        }
    }

    fn open(&self) -> Store {
        Store::open(self.options()).unwrap()
    }

    fn day(&self) {
        self.clock.0.fetch_add(86_400, Ordering::Relaxed);
    }
}

fn message(seed: u64, length: usize) -> Vec<u8> {
    let mut dice = Dice::new(seed);
    let mut bytes = format!("From: a@b\r\nSubject: {seed}\r\n\r\n").into_bytes();
    while bytes.len() < length {
        bytes.extend_from_slice(format!("{:x} a line of text\r\n", dice.roll()).as_bytes());
    }
    bytes
}

fn account(store: &Store) -> AccountId {
    let found = accounts::by_name(&store.snapshot().unwrap(), "anna").unwrap();
    found.map_or_else(|| store.write(|tx| accounts::create(tx, "anna", None)).unwrap(), |found| found.id)
}

fn append(store: &Store, mailbox: &str, seed: u64, length: usize) {
    let anna = account(store);
    let name = MailboxName::new(mailbox).unwrap();
    let mut incoming = store.incoming(1 << 30);
    incoming.write(&message(seed, length)).unwrap();
    let prepared = incoming.finish().unwrap();
    store
        .write(move |tx| {
            let id = match mailboxes::by_name(tx, anna, &name)? {
                Some(mailbox) => mailbox.id,
                None => mailboxes::create(tx, anna, &name, None)?,
            };
            let email = prepared.file(tx, anna, &name)?;
            let mut flags = FlagSet::default();
            if seed.is_multiple_of(2) {
                flags.insert(Flag::System(SystemFlags::SEEN));
            }
            let new =
                NewMessage { email, size: prepared.size(), internal_date: DateTime::utc(seed as i64), flags };
            messages::append(tx, anna, id, &[new]).map(drop)
        })
        .unwrap();
}

fn expunge(store: &Store, mailbox: &str, uid: u32) {
    let anna = account(store);
    let name = MailboxName::new(mailbox).unwrap();
    store
        .write(move |tx| {
            let id = mailboxes::by_name(tx, anna, &name)?.unwrap().id;
            let uids: UidSet = UidSet::single(Uid::new(uid).unwrap());
            messages::expunge(tx, anna, id, &uids, false)?;
            // And out of the bin at once.
            while bin::expire(tx, anna, i64::MAX, 0)? {}
            Ok(())
        })
        .unwrap();
}

/// Everything that a client sees: mailbox → UID → (flags, date, content).
type Seen = BTreeMap<String, BTreeMap<u32, (String, i64, Option<Vec<u8>>)>>;

fn seen(store: &Store) -> Seen {
    let snapshot = store.snapshot().unwrap();
    let mut seen = Seen::new();
    for mailbox in mailboxes::list(&snapshot, account(store)).unwrap() {
        let mut uids = BTreeMap::new();
        messages::scan(&snapshot, mailbox.id, 1..=u32::MAX, &mut |record| {
            let mut bytes = Vec::new();
            let read = snapshot.read(record.email, 0..record.size, &mut bytes);
            let flags = format!("{:?} {}", record.flags, record.keywords);
            let content = read.ok().map(|()| bytes);
            uids.insert(record.uid.get(), (flags, record.internal_date.unix, content));
            Ok(std::ops::ControlFlow::Continue(()))
        })
        .unwrap();
        seen.insert(format!("{} {:?}", mailbox.name, mailbox.special_use), uids);
    }
    seen
}

fn create(disk: &SimDisk, store: &Store, passphrase: Option<&str>) -> (Folder, Keys) {
    let disk: Arc<dyn Disk> = Arc::new(disk.clone());
    Folder::create(disk, Path::new(DIR), store.id(), store.now(), passphrase).unwrap()
}

fn back_up(store: &Store, folder: &Folder, keys: &Keys) -> Report {
    run(store, folder, keys, Some(Keep::default()), &Progress::default()).unwrap()
}

fn source(disk: &SimDisk, passphrase: Option<&str>) -> Result<Source, Error> {
    Source::open(Folder::open(Arc::new(disk.clone()), Path::new(DIR))?, passphrase)
}

fn restore_to(world: &World, stick: &SimDisk, passphrase: Option<&str>) -> Result<restore::Restored, Error> {
    let mut source = source(stick, passphrase)?;
    let (_, manifest) = source.newest()?;
    restore::restore(&world.options(), &mut source, &manifest, &Progress::default())
}

fn files(disk: &SimDisk) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    for folder in ["", "packs", "generations"] {
        let folder = Path::new(DIR).join(folder);
        for name in disk.list(&folder).unwrap() {
            assert!(name.len() < 64, "{name} is too long for some file systems");
            let file = disk.open(&folder.join(&name), false).unwrap();
            let mut bytes = vec![0; file.len().unwrap() as usize];
            file.read_at(0, &mut bytes).unwrap();
            found.insert(folder.join(name), bytes);
        }
    }
    found
}

/// A store with small messages, a large one, one that is in two mailboxes, a device, a setting.
fn filled(world: &World) -> Store {
    let store = world.open();
    let anna = account(&store);
    for seed in 1..40 {
        append(&store, if seed % 3 == 0 { "Bills/2026" } else { "INBOX" }, seed, 3_000);
    }
    append(&store, "Archive", 7, 3_000);
    append(&store, "Archive", 100, 9 << 20);
    store
        .write(move |tx| {
            settings::put(tx, "note", b"kept")?;
            let key = [3; 32];
            devices::add(tx, anna, "phone", key, b"scram".to_vec()).map(drop)
        })
        .unwrap();
    store
}

#[test]
fn a_store_comes_back_from_its_backup_as_it_was() {
    for passphrase in [None, Some("correct horse")] {
        let (world, stick) = (World::new(), SimDisk::default());
        let store = filled(&world);
        let (folder, keys) = create(&stick, &store, passphrase);
        let report = back_up(&store, &folder, &keys);
        assert_eq!((report.skipped_count, report.copied, report.generations), (0, 40, 1));
        let before = seen(&store);
        let (id, object) =
            (store.id(), mailboxes::list(&store.snapshot().unwrap(), account(&store)).unwrap());
        store.close().unwrap();
        let new = World::new();
        let restored = restore_to(&new, &stick, passphrase).unwrap();
        assert_eq!((restored.messages, restored.missing_count, restored.accounts), (41, 0, 1));
        let store = new.open();
        assert_eq!(seen(&store), before);
        assert_eq!(store.id(), id);
        let snapshot = store.snapshot().unwrap();
        assert_eq!(settings::get(&snapshot, "note").unwrap().as_deref(), Some(&b"kept"[..]));
        assert!(devices::by_key(&snapshot, &[3; 32]).unwrap().is_some());
        for (old, new) in object.iter().zip(mailboxes::list(&snapshot, account(&store)).unwrap()) {
            assert_eq!(
                (old.object_id, old.uid_next, old.messages),
                (new.object_id, new.uid_next, new.messages)
            );
            assert!(u64::from(new.uid_validity.get()) > u64::from(old.uid_validity.get()) + (1 << 23));
            assert!(new.highest_modseq > old.highest_modseq && new.floor == new.highest_modseq);
        }
        // It is a store as any.
        append(&store, "INBOX", 500, 1_000);
        store.sweep().unwrap();
        let (folder, keys) = create(&SimDisk::default(), &store, None);
        assert_eq!(back_up(&store, &folder, &keys).contents, 41);
    }
}

#[test]
fn an_encrypted_backup_tells_nothing_without_its_passphrase() {
    let (world, stick) = (World::new(), SimDisk::default());
    let store = filled(&world);
    let (folder, keys) = create(&stick, &store, Some("correct horse"));
    back_up(&store, &folder, &keys);
    for (path, bytes) in files(&stick) {
        for secret in [&b"Subject"[..], b"anna", b"phone", b"Bills"] {
            let found = bytes.windows(secret.len()).any(|part| part == secret);
            assert!(!found, "{} in {}", String::from_utf8_lossy(secret), path.display());
        }
    }
    assert!(matches!(source(&stick, None), Err(Error::NeedsPassphrase)));
    assert!(matches!(source(&stick, Some("battery staple")), Err(Error::Age(_))));
}

#[test]
fn a_second_run_copies_what_is_new_and_changes_no_file() {
    let (world, stick) = (World::new(), SimDisk::default());
    let store = filled(&world);
    let (folder, keys) = create(&stick, &store, Some("x"));
    back_up(&store, &folder, &keys);
    let before = files(&stick);
    world.day();
    append(&store, "INBOX", 900, 2_000);
    let report = back_up(&store, &folder, &keys);
    assert_eq!((report.contents, report.copied, report.generations), (41, 1, 2));
    let after = files(&stick);
    for (path, bytes) in &before {
        assert!(after.get(path) == Some(bytes), "{} was changed", path.display());
    }
    assert_eq!(after.len(), before.len() + 2, "a pack and a manifest");
    let new: usize = after.iter().filter(|(path, _)| !before.contains_key(*path)).map(|(_, b)| b.len()).sum();
    assert!(new < 20_000, "{new} bytes for a message of 2,000");
    world.day();
    let report = back_up(&store, &folder, &keys);
    assert_eq!((report.copied, files(&stick).len()), (0, after.len() + 1), "a manifest only");
}

#[test]
fn old_generations_go_and_packs_with_them() {
    let (world, stick) = (World::new(), SimDisk::default());
    let store = filled(&world);
    let (folder, keys) = create(&stick, &store, Some("x"));
    let keep = Keep { daily: 2, weekly: 0, monthly: 0 };
    let go = || {
        world.day();
        run(&store, &folder, &keys, Some(keep), &Progress::default()).unwrap()
    };
    go();
    // Nearly everything of the first pack goes.
    let anna = account(&store);
    for uid in 1..=26 {
        expunge(&store, "INBOX", uid);
    }
    expunge(&store, "Archive", 2);
    assert!(store.sweep().unwrap().dropped > 20);
    let first: Vec<String> = folder.names(&folder.packs(), ".pack").unwrap();
    assert_eq!(go().packs_dropped, 0, "the first generation needs them still");
    let report = go();
    assert!(report.packs_dropped >= 1, "{report:?}");
    assert_eq!(report.generations, 2);
    let now: Vec<String> = folder.names(&folder.packs(), ".pack").unwrap();
    assert!(now.iter().all(|name| !first.contains(name)), "{now:?}");
    let left: usize = files(&stick).values().map(Vec::len).sum();
    assert!(left < 1 << 20, "{left}");
    let before = seen(&store);
    assert_eq!(mailboxes::list(&store.snapshot().unwrap(), anna).unwrap().len(), before.len());
    store.close().unwrap();
    let new = World::new();
    restore_to(&new, &stick, Some("x")).unwrap();
    assert_eq!(seen(&new.open()), before);
}

#[test]
fn what_is_damaged_in_the_store_is_skipped_and_named() {
    let (world, stick) = (World::new(), SimDisk::default());
    let store = filled(&world);
    store.close().unwrap();
    // The content of one message, somewhere in its volume.
    let wanted = b"a line of text";
    let _ = wanted;
    let mut damaged = 0;
    for at in (40_000..400_000).step_by(30_000) {
        let volume = PathBuf::from("/data/mail/000001.redb");
        assert!(world.disk.damage(&volume, |bytes| {
            if let Some(byte) = bytes.get_mut(at) {
                *byte ^= 0x55;
                damaged += 1;
            }
        }));
    }
    assert!(damaged > 5);
    let store = world.open();
    let broken: usize =
        seen(&store).values().flat_map(BTreeMap::values).filter(|(_, _, content)| content.is_none()).count();
    assert!(broken > 0, "nothing was hit");
    let (folder, keys) = create(&stick, &store, None);
    let report = back_up(&store, &folder, &keys);
    assert_eq!(report.skipped_count, broken as u64);
    assert!(report.skipped[0].starts_with("anna, "), "{:?}", report.skipped);
    let before = seen(&store);
    drop(store);
    let new = World::new();
    let restored = restore_to(&new, &stick, None).unwrap();
    assert_eq!(restored.missing_count, broken as u64);
    assert_eq!(seen(&new.open()), before, "they are listed still");
}

#[test]
fn a_damaged_pack_costs_what_it_held_and_the_next_run_mends_it() {
    let (world, stick) = (World::new(), SimDisk::default());
    let store = filled(&world);
    let (folder, keys) = create(&stick, &store, None);
    back_up(&store, &folder, &keys);
    let pack = folder.names(&folder.packs(), ".pack").unwrap().remove(0);
    let path = folder.packs().join(format!("{pack}.pack"));
    assert!(source(&stick, None).unwrap().verify().unwrap().is_empty());
    let whole = stick.copy();
    assert!(stick.damage(&path, |bytes| bytes[3_000] ^= 1));
    assert_eq!(source(&stick, None).unwrap().verify().unwrap().len(), 1);
    let new = World::new();
    let restored = restore_to(&new, &stick, None).unwrap();
    assert!((1..=2).contains(&restored.missing_count), "{restored:?}");
    // Its end gone: nothing of it can be found, and all is copied anew.
    let stick = whole;
    assert!(stick.damage(&path, |bytes| bytes.truncate(bytes.len() - 10)));
    let folder = Folder::open(Arc::new(stick.clone()), Path::new(DIR)).unwrap();
    world.day();
    let report = back_up(&store, &folder, &keys);
    assert!(report.copied > 0 && !report.damaged_packs.is_empty(), "{report:?}");
    let new = World::new();
    let restored = restore_to(&new, &stick, None).unwrap();
    assert_eq!(restored.missing_count, 0);
    assert_eq!(seen(&new.open()), seen(&store));
}

#[test]
fn a_damaged_manifest_is_noticed_and_the_one_before_is_used() {
    let (world, stick) = (World::new(), SimDisk::default());
    let store = filled(&world);
    let (folder, keys) = create(&stick, &store, None);
    back_up(&store, &folder, &keys);
    let before = seen(&store);
    world.day();
    append(&store, "INBOX", 900, 2_000);
    let newest = back_up(&store, &folder, &keys).generation;
    let path = folder.generations().join(format!("{newest}.manifest"));
    let length = files(&stick)[&path].len();
    for at in (0..length).step_by(length / 40).chain([length - 1]) {
        let stick = stick.copy();
        assert!(stick.damage(&path, |bytes| bytes[at] ^= 4));
        let (generation, _) = source(&stick, None).unwrap().newest().unwrap();
        assert_eq!(generation.number, 1, "byte {at}");
    }
    assert!(stick.damage(&path, |bytes| bytes[length / 2] ^= 4));
    let new = World::new();
    restore_to(&new, &stick, None).unwrap();
    assert_eq!(seen(&new.open()), before);
    // Nobody knows what the damaged one needs: nothing is dropped for it.
    let packs = folder.names(&folder.packs(), ".pack").unwrap().len();
    world.day();
    back_up(&store, &folder, &keys);
    assert!(folder.names(&folder.packs(), ".pack").unwrap().len() >= packs);
}

#[test]
fn nothing_is_written_where_there_is_no_marker_or_another_backup() {
    let (world, stick) = (World::new(), SimDisk::default());
    let store = filled(&world);
    let disk: Arc<dyn Disk> = Arc::new(stick.clone());
    assert!(matches!(Folder::open(Arc::clone(&disk), Path::new(DIR)), Err(Error::NoMarker(_))));
    assert_eq!(stick.position(), 0);
    let (folder, mut keys) = create(&stick, &store, None);
    let position = stick.position();
    keys.id = "00".to_owned();
    let refused = run(&store, &folder, &keys, Some(Keep::default()), &Progress::default());
    assert!(matches!(refused, Err(Error::Foreign(_))));
    assert_eq!(stick.position(), position);
    let foreign = SimDisk::default();
    foreign.open(&Path::new(DIR).join("holiday.jpg"), true).unwrap();
    let made = Folder::create(Arc::new(foreign), Path::new(DIR), store.id(), 0, None);
    assert!(matches!(made, Err(Error::NotEmpty(_))));
}

/// The power goes at any moment of a run: an earlier generation is whole, and the next run ends it.
#[test]
fn a_backup_may_be_cut_at_any_moment() {
    let (world, stick) = (World::new(), SimDisk::default());
    let store = filled(&world);
    let (folder, keys) = create(&stick, &store, Some("x"));
    back_up(&store, &folder, &keys);
    world.day();
    append(&store, "INBOX", 900, 2_000);
    expunge(&store, "INBOX", 1);
    store.sweep().unwrap();
    let stick = stick.copy();
    let folder = Folder::open(Arc::new(stick.clone()), Path::new(DIR)).unwrap();
    let (from, now) = (stick.position(), seen(&store));
    back_up(&store, &folder, &keys);
    let to = stick.position();
    assert!(to > from + 10, "{from} {to}");
    let mut finished = 0;
    for position in from..=to {
        for seed in 0..3 {
            let cut = stick.cut(position, seed);
            let source = source(&cut, Some("x")).unwrap();
            let (generation, manifest) = source.newest().unwrap();
            finished += u64::from(generation.number == 2);
            assert_eq!(manifest.names.iter().filter(|name| !source.has(name)).count(), 0, "at {position}");
            if seed == 0 && position.is_multiple_of(3) {
                let folder = Folder::open(Arc::new(cut.clone()), Path::new(DIR)).unwrap();
                let report = back_up(&store, &folder, &keys);
                assert_eq!(report.skipped_count, 0);
                let new = World::new();
                restore_to(&new, &cut, Some("x")).unwrap();
                assert_eq!(seen(&new.open()), now, "at {position}");
            }
        }
    }
    assert!(finished > 0);
}

/// The power goes at any moment of a restore: no server opens what is half made, and the next restore ends it.
#[test]
fn a_restore_may_be_cut_at_any_moment() {
    let (world, stick) = (World::new(), SimDisk::default());
    let store = world.open();
    for seed in 1..30 {
        append(&store, "INBOX", seed, 3_000);
    }
    let (folder, keys) = create(&stick, &store, None);
    back_up(&store, &folder, &keys);
    let before = seen(&store);
    let new = World::new();
    restore_to(&new, &stick, None).unwrap();
    let to = new.disk.position();
    let (mut whole, mut resumed) = (0, 0);
    for position in (1..=to).step_by((to / 60).max(1)).chain([to]) {
        let cut = World::on(new.disk.cut(position, position as u64));
        let begun = restore::is_begun(&cut.disk, Path::new(DATA)).unwrap();
        match Store::open(cut.options()) {
            Err(store::Error::Incompatible(why)) => {
                assert!(begun && why.contains("postern restore"), "{why}")
            }
            Err(error) => panic!("at {position}: {error}"),
            Ok(store) => {
                assert!(!begun);
                let anna = accounts::by_name(&store.snapshot().unwrap(), "anna").unwrap();
                if anna.is_some() {
                    assert_eq!(seen(&store), before, "at {position}");
                    whole += 1;
                    continue;
                }
            }
        }
        restore_to(&cut, &stick, None).unwrap_or_else(|error| panic!("at {position}: {error}"));
        assert_eq!(seen(&cut.open()), before, "at {position}");
        resumed += 1;
    }
    assert!(whole > 0 && resumed > 30, "{whole} {resumed}");
}

#[test]
fn a_folder_with_mail_is_not_restored_over() {
    let (world, stick) = (World::new(), SimDisk::default());
    let store = filled(&world);
    let (folder, keys) = create(&stick, &store, None);
    back_up(&store, &folder, &keys);
    let before = seen(&store);
    store.close().unwrap();
    let refused = restore_to(&world, &stick, None);
    assert!(matches!(refused, Err(Error::Store(store::Error::Exists(_)))), "{refused:?}");
    assert_eq!(seen(&world.open()), before);
    assert_eq!(manifest::list(&folder).unwrap().len(), 1);
}

#[test]
fn mail_may_come_and_go_while_a_backup_runs() {
    let (world, stick) = (World::new(), SimDisk::default());
    let store = filled(&world);
    let (folder, keys) = create(&stick, &store, None);
    let progress = Arc::new(Progress::default());
    let (busy, writer) = (Arc::clone(&progress), store.clone());
    let thread = std::thread::spawn(move || {
        let mut seed = 1_000;
        while busy.done.load(Ordering::Relaxed) < 40 {
            append(&writer, "INBOX", seed, 1_000);
            expunge(&writer, "INBOX", (seed - 999) as u32);
            writer.sweep().unwrap();
            seed += 1;
        }
        seed - 1_000
    });
    let report = run(&store, &folder, &keys, Some(Keep::default()), &progress).unwrap();
    thread.join().unwrap();
    assert_eq!(report.skipped_count, 0, "{report:?}");
    let source = source(&stick, None).unwrap();
    let (_, manifest) = source.newest().unwrap();
    assert_eq!(manifest.names.iter().filter(|name| !source.has(name)).count(), 0);
    let new = World::new();
    assert_eq!(restore_to(&new, &stick, None).unwrap().missing_count, 0);
    assert!(store.sweep().unwrap().live > 0, "and afterwards it is swept again");
}

/// The stick is full, or fails, at any moment of a run: it is said, the store goes on, and the next run ends it.
#[test]
fn a_stick_may_fail_or_be_full_at_any_moment() {
    let (world, stick) = (World::new(), SimDisk::default());
    let store = filled(&world);
    let (_, keys) = create(&stick, &store, None);
    let again = |stick: &SimDisk| {
        let folder = Folder::open(Arc::new(stick.clone()), Path::new(DIR)).unwrap();
        run(&store, &folder, &keys, Some(Keep::default()), &Progress::default())
    };
    let whole = stick.copy();
    again(&whole).unwrap();
    let operations = whole.position();
    assert!(operations > 10, "{operations}");
    for at in 0..operations {
        for kind in [std::io::ErrorKind::StorageFull, std::io::ErrorKind::Other] {
            let stick = stick.copy();
            stick.fail_after(at, kind);
            // What fails only in the upkeep at the end fails no backup.
            match again(&stick) {
                Err(Error::Folder { .. }) => {}
                Ok(report) => assert_eq!(report.skipped_count, 0),
                Err(error) => panic!("at {at}: {error}"),
            }
            stick.heal();
            assert_eq!(again(&stick).unwrap().skipped_count, 0, "at {at}");
            assert!(source(&stick, None).unwrap().verify().unwrap().is_empty(), "at {at}");
        }
    }
    assert!(store.sweep().unwrap().live > 0, "nothing holds the store's contents any more");
}
