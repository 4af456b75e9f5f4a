//! Stores that are damaged in every way, and repaired: all that was acknowledged is there afterwards, or named.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::ops::ControlFlow;
use std::path::Path;

use super::keep::Keeper;
use super::tests::{check, file, household, message, name, options};
use super::{ContentSource, Kind, Repaired, repair};
use crate::model::{ContentHash, MailboxId};
use crate::store::base::sim::SimDisk;
use crate::store::schema::Table;
use crate::store::{Error, Rows, Snapshot, Store, accounts, bin, emails, mailboxes, messages};

/// Harms a file.
type Harm = fn(&mut Vec<u8>);

const INDEX: &str = "/data/index.redb";

/// The seeds of the household's messages, each a content of its own.
const SEEDS: std::ops::Range<u64> = 0..26;

/// A household that was closed in order; most of it is in a catalogue, some came later.
fn closed(with_catalogue: bool) -> SimDisk {
    let disk = SimDisk::default();
    let store = Store::open(options(&disk)).unwrap();
    let anna = household(&store);
    if with_catalogue {
        assert!(Keeper::default().look(&store).unwrap().is_some());
    }
    for seed in 20..SEEDS.end {
        file(&store, anna, "INBOX", &message(seed));
    }
    store.close().unwrap();
    disk
}

fn mend(disk: &SimDisk) -> Repaired {
    repair(options(disk), None, &mut |_| ControlFlow::Continue(())).unwrap()
}

/// The contents that are listed anywhere, by what they are, and where.
fn listed(rows: &Snapshot) -> BTreeMap<Vec<u8>, BTreeSet<String>> {
    let mut found: BTreeMap<Vec<u8>, BTreeSet<String>> = BTreeMap::new();
    let mut note = |email, place: &str| {
        let mut bytes = Vec::new();
        if rows.read(email, 0..u64::MAX, &mut bytes).is_ok() {
            found.entry(bytes).or_default().insert(place.to_owned());
        }
    };
    let mut deleted: Vec<MailboxId> = Vec::new();
    for account in accounts::list(rows).unwrap() {
        for mailbox in mailboxes::list(rows, account.id).unwrap() {
            messages::scan(rows, mailbox.id, 1..=u32::MAX, &mut |record| {
                note(record.email, mailbox.name.as_str());
                Ok(ControlFlow::Continue(()))
            })
            .unwrap();
        }
        bin::list(rows, account.id, &mut |entry| {
            match &entry.kept {
                bin::Kept::Messages { records, .. } => {
                    records.iter().for_each(|record| note(record.email, "bin"))
                }
                bin::Kept::Mailbox { .. } => deleted.push(entry.mailbox),
                bin::Kept::Account { .. } => {}
            }
            Ok(ControlFlow::Continue(()))
        })
        .unwrap();
    }
    for id in deleted {
        messages::scan(rows, id, 1..=u32::MAX, &mut |record| {
            note(record.email, "bin");
            Ok(ControlFlow::Continue(()))
        })
        .unwrap();
    }
    found
}

/// All messages are listed, and the store is sound and takes mail.
fn all_is_there(disk: &SimDisk, what: &str) {
    let store = Store::open(options(disk)).unwrap_or_else(|error| panic!("{what}: {error}"));
    let report = check(&store);
    assert!(report.is_clean(), "{what}: {report}");
    let found = listed(&store.snapshot().unwrap());
    let missing: Vec<u64> = SEEDS.filter(|seed| !found.contains_key(&message(*seed))).collect();
    assert!(missing.is_empty(), "{what}: {missing:?}");
    let first = accounts::list(&store.snapshot().unwrap()).unwrap().first().map(|account| account.id);
    file(&store, first.unwrap(), "INBOX", &message(1_000));
    let report = check(&store);
    assert!(report.is_clean(), "{what}, with new mail: {report}");
}

#[test]
fn a_sound_store_is_left_alone() {
    let disk = closed(true);
    let store = Store::open(options(&disk)).unwrap();
    let before = listed(&store.snapshot().unwrap());
    store.close().unwrap();
    let done = mend(&disk);
    assert_eq!((&done.rebuilt, done.mended.findings.len(), done.left.is_clean()), (&None, 0, true), "{done}");
    let store = Store::open(options(&disk)).unwrap();
    assert_eq!(listed(&store.snapshot().unwrap()), before);
}

/// Issue 11, fault 2: of an index with one zeroed block every message is there again, whichever block it is.
fn each_block(with_catalogue: bool) {
    let sound = closed(with_catalogue);
    let mut blocks = 0;
    sound.damage(Path::new(INDEX), |bytes| blocks = bytes.len() / 4096);
    let (mut refused, mut rebuilt, mut lossless) = (0, 0, 0);
    for block in 0..blocks {
        let disk = sound.copy();
        disk.damage(Path::new(INDEX), |bytes| bytes[block * 4096..(block + 1) * 4096].fill(0));
        let what = format!("block {block}");
        match Store::open(options(&disk.copy())) {
            Ok(_) => {}
            Err(Error::DamagedIndex(_)) => refused += 1,
            Err(other) => panic!("{what}: {other:?}"),
        }
        let done = mend(&disk);
        rebuilt += u32::from(done.rebuilt.is_some());
        lossless += u32::from(done.rebuilt.as_ref().is_some_and(|rebuilt| rebuilt.lossless));
        assert!(done.left.is_clean(), "{what}: {done}");
        all_is_there(&disk, &what);
    }
    println!(
        "{blocks} blocks zeroed, {refused} refused at open, {rebuilt} rebuilt, {lossless} of them without loss"
    );
    assert!(rebuilt >= 10 && refused >= 1, "{refused} {rebuilt}");
}

#[test]
fn an_index_with_a_zeroed_block_is_mended_with_a_catalogue() {
    each_block(true);
}

#[test]
fn an_index_with_a_zeroed_block_is_mended_without_a_catalogue() {
    each_block(false);
}

#[test]
fn an_index_with_a_flipped_byte_is_mended() {
    let sound = closed(true);
    let mut length = 0;
    sound.damage(Path::new(INDEX), |bytes| length = bytes.len());
    let mut rebuilt = 0;
    for at in (0..length).step_by(length / 120).chain([9, 10, 12, 20, 70, 180, 200, 300]) {
        let disk = sound.copy();
        disk.damage(Path::new(INDEX), |bytes| bytes[at] ^= 0x21);
        let done = mend(&disk);
        rebuilt += u32::from(done.rebuilt.is_some());
        all_is_there(&disk, &format!("byte {at}"));
    }
    assert!(rebuilt > 5, "{rebuilt}");
}

#[test]
fn an_index_that_was_cut_or_is_gone_is_made_anew() {
    let sound = closed(true);
    let mut length = 0;
    sound.damage(Path::new(INDEX), |bytes| length = bytes.len());
    for left in [0, 100, 4096, length / 4, length / 2, length - 4096, length - 1] {
        let disk = sound.copy();
        disk.damage(Path::new(INDEX), |bytes| bytes.truncate(left));
        let done = mend(&disk);
        assert!(done.rebuilt.is_some(), "{left}");
        all_is_there(&disk, &format!("cut to {left}"));
    }
    let disk = sound.copy();
    crate::store::env::Disk::unlink(&disk, Path::new(INDEX)).unwrap();
    assert!(mend(&disk).rebuilt.is_some());
    all_is_there(&disk, "gone");
}

/// With nothing left but volumes: everything is in "Recovered", nothing in INBOX.
#[test]
fn volumes_alone_are_enough_for_the_mail() {
    let disk = closed(false);
    crate::store::env::Disk::unlink(&disk, Path::new(INDEX)).unwrap();
    let done = mend(&disk);
    assert!(done.left.is_clean(), "{done}");
    let store = Store::open(options(&disk)).unwrap();
    let first = accounts::list(&store.snapshot().unwrap()).unwrap().remove(0);
    assert_eq!(first.name, "recovered");
    let found = listed(&store.snapshot().unwrap());
    for seed in SEEDS {
        let place = found.get(&message(seed)).unwrap_or_else(|| panic!("{seed} is missing"));
        assert!(place.iter().eq(["Recovered"]), "{place:?}");
    }
    let inbox = mailboxes::by_name(&store.snapshot().unwrap(), first.id, &name("INBOX")).unwrap().unwrap();
    assert_eq!(inbox.messages, 0);
}

/// A lossy rebuild is a loss that clients must see: no UID twice under one UIDVALIDITY.
#[test]
fn after_a_loss_every_mailbox_has_a_new_uid_validity() {
    let sound = closed(true);
    let before = {
        let store = Store::open(options(&sound.copy())).unwrap();
        let snapshot = store.snapshot().unwrap();
        let anna = accounts::by_name(&snapshot, "anna").unwrap().unwrap().id;
        mailboxes::list(&snapshot, anna).unwrap()
    };
    let disk = sound.copy();
    disk.damage(Path::new(INDEX), |bytes| bytes.truncate(4096));
    let done = mend(&disk);
    assert!(!done.rebuilt.unwrap().lossless);
    let store = Store::open(options(&disk)).unwrap();
    let snapshot = store.snapshot().unwrap();
    let used: BTreeSet<u32> = before.iter().map(|mailbox| mailbox.uid_validity.get()).collect();
    for old in &before {
        let new = mailboxes::by_name(&snapshot, old.account, &old.name).unwrap().unwrap();
        assert!(!used.contains(&new.uid_validity.get()), "{}", old.name.as_str());
        assert!(new.highest_modseq > old.highest_modseq && new.object_id == old.object_id);
    }
}

/// The power goes while it is repaired: what is there then is repaired again.
#[test]
fn a_repair_that_is_cut_short_is_done_again() {
    let sound = closed(true);
    sound.damage(Path::new(INDEX), |bytes| bytes[8192..40_960].fill(0));
    let disk = sound.cut(sound.position(), 0);
    let before = disk.position();
    mend(&disk);
    let end = disk.position();
    let step = ((end - before) / 25).max(1);
    for at in (before..=end).step_by(step) {
        let cut = disk.cut(at, at as u64);
        mend(&cut);
        all_is_there(&cut, &format!("cut at {at} of {before}..{end}"));
    }
}

struct Backup(BTreeMap<[u8; 32], Vec<u8>>);

impl ContentSource for Backup {
    fn content(&mut self, hash: &ContentHash, _size: u64, out: &mut dyn Write) -> Result<bool, Error> {
        let Some(bytes) = self.0.get(&hash.0) else { return Ok(false) };
        out.write_all(bytes).map_err(|error| Error::io("writing", error))?;
        Ok(true)
    }
}

fn backup(seeds: impl Iterator<Item = u64>) -> Backup {
    Backup(seeds.map(message).map(|bytes| (*blake3::hash(&bytes).as_bytes(), bytes)).collect())
}

/// A damaged volume costs what it held, its messages stay listed and are named; a backup gives them back.
#[test]
fn a_damaged_volume_is_mended_from_a_backup() {
    let sound = closed(false);
    let volume = Path::new("/data/mail/000001.redb");
    let ways: [(&str, Harm); 3] = [
        ("zeroed", |bytes| bytes.fill(0)),
        ("cut", |bytes| bytes.truncate(20_000)),
        ("flipped", |bytes| (0..bytes.len()).step_by(9_001).for_each(|at| bytes[at] ^= 1)),
    ];
    for (what, damage) in ways {
        let disk = sound.copy();
        assert!(disk.damage(volume, damage));
        let done = mend(&disk);
        let lost: BTreeSet<&str> = done
            .left
            .faults()
            .flat_map(|finding| &finding.messages)
            .filter_map(|message| message.subject.as_deref())
            .collect();
        let count = done.left.lost_messages();
        assert!(count > 0, "{what}: {done}");
        println!("{what}: {count} messages lost, {} by name", lost.len());
        {
            let store = Store::open(options(&disk)).unwrap();
            let snapshot = store.snapshot().unwrap();
            let anna = accounts::by_name(&snapshot, "anna").unwrap().unwrap().id;
            let inbox = mailboxes::by_name(&snapshot, anna, &name("INBOX")).unwrap().unwrap();
            assert!(inbox.messages > 8, "they stay listed");
        }
        let mut source = backup(SEEDS);
        let done = repair(options(&disk), Some(&mut source), &mut |_| ControlFlow::Continue(())).unwrap();
        assert_eq!(done.left.lost_messages(), 0, "{what}: {done}");
        let store = Store::open(options(&disk)).unwrap();
        let found = listed(&store.snapshot().unwrap());
        assert!(SEEDS.into_iter().all(|seed| found.contains_key(&message(seed))), "{what}");
    }
}

#[test]
fn a_missing_volume_is_mended_as_far_as_a_backup_has_it() {
    let disk = closed(false);
    crate::store::env::Disk::unlink(&disk, Path::new("/data/mail/000001.redb")).unwrap();
    let mut source = backup(SEEDS.filter(|seed| seed % 2 == 0));
    let done = repair(options(&disk), Some(&mut source), &mut |_| ControlFlow::Continue(())).unwrap();
    let store = Store::open(options(&disk)).unwrap();
    let found = listed(&store.snapshot().unwrap());
    assert!(SEEDS.filter(|seed| seed % 2 == 0).all(|seed| found.contains_key(&message(seed))));
    assert_eq!(found.len() as u64, SEEDS.end / 2);
    let kinds: BTreeSet<Kind> = done.left.faults().map(|finding| finding.kind).collect();
    assert_eq!(kinds, BTreeSet::from([Kind::MissingVolume]), "{done}");
}

/// Each row of each table, broken one at a time: it costs itself and nothing else.
#[test]
fn any_single_row_may_be_lost() {
    let sound = closed(false);
    let mut keys = Vec::new();
    {
        let store = Store::open(options(&sound.copy())).unwrap();
        let snapshot = store.snapshot().unwrap();
        for table in Table::EVERY {
            let mut of_table = Vec::new();
            snapshot
                .scan(table, &[], &[0xff; 64], &mut |key, _| {
                    of_table.push((table, key.to_vec()));
                    Ok(ControlFlow::Continue(()))
                })
                .unwrap();
            let step = (of_table.len() / 6).max(1);
            keys.extend(of_table.into_iter().step_by(step));
        }
    }
    for (table, key) in keys {
        let disk = sound.copy();
        let store = Store::open(options(&disk)).unwrap();
        let gone = key.clone();
        store
            .write(move |tx| {
                if table != Table::Settings {
                    tx.put(table, &gone, &[1, 77, 77]);
                }
                Ok(())
            })
            .unwrap();
        store.close().unwrap();
        let what = format!("{table:?} {key:?}");
        let done = mend(&disk);
        assert!(done.left.is_clean(), "{what}: {done}");
        all_is_there(&disk, &what);
    }
}

#[test]
fn wrong_rows_are_made_right_from_the_others() {
    let disk = closed(false);
    let store = Store::open(options(&disk)).unwrap();
    let anna = accounts::by_name(&store.snapshot().unwrap(), "anna").unwrap().unwrap().id;
    let before = mailboxes::list(&store.snapshot().unwrap(), anna).unwrap();
    store
        .write(move |tx| {
            for mut mailbox in mailboxes::list(tx, anna)? {
                (mailbox.messages, mailbox.unseen, mailbox.size) = (7, 9, 1);
                mailbox.uid_next = 1;
                mailbox.save(tx);
            }
            let mut email = None;
            tx.scan(Table::Emails, &[], &[0xff; 9], &mut |key, _| {
                email = Some(u64::from_be_bytes(key.try_into().unwrap()));
                Ok(ControlFlow::Break(()))
            })?;
            let row = emails::get(tx, crate::model::ContentId(email.unwrap()))?.unwrap();
            tx.delete(Table::ByHash, &row.hash.0);
            tx.delete(Table::DeviceKeys, &[7; 32]);
            for counter in ["uidvalidity", "mailboxid", "emailid", "volume"] {
                tx.put(Table::Settings, counter.as_bytes(), &[1, 0, 0, 0, 0, 0, 0, 0, 0]);
            }
            Ok(())
        })
        .unwrap();
    store.close().unwrap();
    let done = mend(&disk);
    assert!(done.left.is_clean() && done.rebuilt.is_none(), "{done}");
    let store = Store::open(options(&disk)).unwrap();
    let after = mailboxes::list(&store.snapshot().unwrap(), anna).unwrap();
    for (old, new) in before.iter().zip(&after) {
        let figures = |mailbox: &mailboxes::Mailbox| {
            (mailbox.messages, mailbox.unseen, mailbox.size, mailbox.first_unseen, mailbox.uid_validity)
        };
        assert_eq!(figures(old), figures(new), "{}", old.name.as_str());
        assert!(new.uid_next > new.messages);
    }
    drop(store);
    all_is_there(&disk, "mended");
}
