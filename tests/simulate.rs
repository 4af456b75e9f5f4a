//! Power cuts: operations run on a disk in memory that records every write; the power is cut at random
//! points of the record, with any subset of the unsynced writes lost or torn; the store is opened again and
//! must hold everything acknowledged and nothing half done, and give no id twice.
//!
//! `POSTERN_SEED=n cargo test --test simulate` runs one seed; a failure prints its own.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stdout, missing_docs)]

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};

use postern::model::{AccountId, ContentId, MailboxName};
use postern::store::check::{CheckOptions, Depth};
use postern::store::schema::Table;
use postern::store::sim::{Dice, SimClock, SimDisk, SimRandom};
use postern::store::{Error, Options, Rows, Snapshot, Store};

/// Cuts that CI makes.
const CUTS: u64 = 20_000;
/// Cuts of one recorded run.
const CUTS_A_RUN: u64 = 25;
/// Past this a slow machine stops, and that is a failure: a short count shows nothing.
const PATIENCE: Duration = Duration::from_secs(480);

fn live(rows: &dyn Rows, visit: &mut dyn FnMut(ContentId)) -> Result<(), Error> {
    rows.scan(Table::Messages, &[], &[0xff; 9], &mut |_, value| {
        visit(ContentId(u64::from_le_bytes(value.try_into().unwrap())));
        Ok(ControlFlow::Continue(()))
    })
}

fn options(disk: &SimDisk, dice: &mut Dice) -> Options {
    Options {
        disk: Arc::new(disk.clone()),
        clock: Arc::new(SimClock::default()),
        random: Arc::new(SimRandom::new(dice.roll())),
        segment_size: 128 << 10,
        volume_size: (60 << 10) + dice.below(200 << 10),
        checkpoint_ops: 3 + dice.below(40),
        index_cache: (64 << 10) << dice.below(6),
        active_cache: 256 << 10,
        volume_cache: 128 << 10,
        open_volumes: 1 + dice.below(3) as usize,
        incoming_memory: 64 << 10,
        reserve: 0,
        live_emails: Some(live),
        ..Options::new("/data")
    }
}

fn message(seed: u64) -> Vec<u8> {
    let mut dice = Dice::new(seed);
    let length = match dice.below(12) {
        0 => 150_000 + dice.below(200_000),
        1..4 => dice.below(40_000),
        _ => dice.below(3000),
    };
    let mut bytes = format!("Subject: {seed}\r\n\r\n").into_bytes();
    while (bytes.len() as u64) < length {
        bytes.extend_from_slice(format!("{:x}{:x}\r\n", dice.roll(), dice.roll()).as_bytes());
    }
    bytes
}

/// What a client would know: uid → (message, flags), the highest uid ever given.
#[derive(Clone, Default, PartialEq, Debug)]
struct Model {
    messages: BTreeMap<u64, (u64, u64)>,
    /// Those that were copied.
    copies: BTreeSet<u64>,
    last_uid: u64,
}

/// Messages that are copied in one operation. With what belongs to each they fill many records of the journal,
/// which hold 32 KiB here, and more than a segment.
const MOST_COPIED: u64 = 40;

/// What a copy has beside the other rows: much, so that an operation is a chain of records.
fn ballast(uid: u64) -> Vec<u8> {
    let mut dice = Dice::new(uid);
    let length = 1_000 + dice.below(9_000) as usize;
    let mut bytes = Vec::with_capacity(length + 8);
    while bytes.len() < length {
        bytes.extend_from_slice(&dice.roll().to_le_bytes());
    }
    bytes
}

/// COPY: all or nothing (RFC 9051 §6.4.7).
fn copy(store: &Store, dice: &mut Dice, model: &mut Model) -> Result<(), Error> {
    let from = dice.below(model.messages.len() as u64 + 1) as usize;
    let chosen = model.messages.iter().skip(from).take(1 + dice.below(MOST_COPIED) as usize);
    let copied: Vec<(u64, (u64, u64))> = chosen.map(|(uid, message)| (*uid, *message)).collect();
    let messages = copied.clone();
    let last = store.write(move |tx| {
        let last = last_uid(tx);
        tx.modseq()?;
        for (n, (source, (seed, flags))) in messages.into_iter().enumerate() {
            let key = (last + 1 + n as u64).to_be_bytes();
            let email = tx.get(Table::Messages, &source.to_be_bytes())?.ok_or(Error::NotFound("message"))?;
            tx.put(Table::Messages, &key, &email);
            tx.put(Table::Changes, &key, &flags.to_le_bytes());
            tx.put(Table::Events, &key, &seed.to_le_bytes());
            tx.put(Table::Subscriptions, &key, &ballast(last + 1 + n as u64));
            tx.put(Table::Settings, UID, &(last + 1 + n as u64).to_le_bytes());
        }
        Ok(last)
    })?;
    assert!(last == model.last_uid, "uids behind {last} given twice");
    model.last_uid += copied.len() as u64;
    model.copies.extend(last + 1..=model.last_uid);
    model.messages.extend((last + 1..).zip(copied.into_iter().map(|(_, message)| message)));
    Ok(())
}

const UID: &[u8] = b"test.uid";

fn last_uid(rows: &dyn Rows) -> u64 {
    let value = rows.get(Table::Settings, UID).unwrap();
    value.map_or(0, |value| u64::from_le_bytes(value.try_into().unwrap()))
}

/// One operation, chosen by chance; what it did is in `model` afterwards. Several rows in several tables
/// and files each, which must come and go together.
fn operate(store: &Store, dice: &mut Dice, model: &mut Model) -> Result<(), Error> {
    let pick = |dice: &mut Dice, model: &Model| {
        let n = dice.below(model.messages.len() as u64) as usize;
        model.messages.keys().nth(n).copied()
    };
    match dice.below(11) {
        0..5 => {
            // Sometimes one that was there before.
            let seed = dice.below(60);
            let mut incoming = store.incoming(1 << 20);
            for part in message(seed).chunks(9000) {
                incoming.write(part)?;
            }
            let prepared = incoming.finish()?;
            let uid = store.write(move |tx| {
                let email = prepared.file(tx, AccountId(1), &MailboxName::inbox())?;
                let uid = last_uid(tx) + 1;
                tx.modseq()?;
                tx.put(Table::Settings, UID, &uid.to_le_bytes());
                tx.put(Table::Messages, &uid.to_be_bytes(), &email.0.to_le_bytes());
                tx.put(Table::Changes, &uid.to_be_bytes(), &0_u64.to_le_bytes());
                tx.put(Table::Events, &uid.to_be_bytes(), &seed.to_le_bytes());
                Ok(uid)
            })?;
            assert!(uid > model.last_uid, "uid {uid} given twice");
            model.last_uid = uid;
            model.messages.insert(uid, (seed, 0));
        }
        5..8 => {
            let (Some(uid), flags) = (pick(dice, model), dice.roll()) else { return Ok(()) };
            store.write(move |tx| {
                tx.modseq()?;
                tx.put(Table::Changes, &uid.to_be_bytes(), &flags.to_le_bytes());
                Ok(())
            })?;
            model.messages.get_mut(&uid).unwrap().1 = flags;
        }
        8 => {
            let Some(uid) = pick(dice, model) else { return Ok(()) };
            store.write(move |tx| {
                for table in [Table::Messages, Table::Changes, Table::Events, Table::Subscriptions] {
                    tx.delete(table, &uid.to_be_bytes());
                }
                Ok(())
            })?;
            model.messages.remove(&uid);
            model.copies.remove(&uid);
        }
        9 => copy(store, dice, model)?,
        _ => match dice.below(4) {
            0 => store.checkpoint()?,
            1 => {
                store.sweep()?;
            }
            2 => {
                store.reclaim()?;
            }
            _ => {}
        },
    }
    Ok(())
}

/// What the store holds; every content is read and compared.
fn found(rows: &Snapshot) -> Model {
    let mut model = Model { last_uid: last_uid(rows), ..Model::default() };
    let mut emails = Vec::new();
    rows.scan(Table::Messages, &[], &[0xff; 9], &mut |key, value| {
        let number = |bytes: &[u8]| u64::from_be_bytes(bytes.try_into().unwrap());
        emails.push((number(key), u64::from_le_bytes(value.try_into().unwrap())));
        Ok(ControlFlow::Continue(()))
    })
    .unwrap();
    for (uid, email) in emails {
        let value = |table| {
            let bytes = rows.get(table, &uid.to_be_bytes()).unwrap().expect("rows of one change together");
            u64::from_le_bytes(bytes.try_into().unwrap())
        };
        if let Some(bytes) = rows.get(Table::Subscriptions, &uid.to_be_bytes()).unwrap() {
            assert!(bytes == ballast(uid), "wrong bytes beside a copy");
            model.copies.insert(uid);
        }
        let seed = value(Table::Events);
        let mut bytes = Vec::new();
        rows.read(ContentId(email), 0..u64::MAX, &mut bytes).unwrap();
        assert!(bytes == message(seed), "wrong bytes");
        assert_eq!(rows.digest(ContentId(email)).unwrap().size, bytes.len() as u64);
        model.messages.insert(uid, (seed, value(Table::Changes)));
    }
    model
}

/// Runs operations and notes, for each, where in the record it was acknowledged and what was true then.
fn record(
    store: &Store,
    disk: &SimDisk,
    dice: &mut Dice,
    model: &mut Model,
    count: u64,
) -> Vec<(usize, Model)> {
    let mut history = vec![(disk.position(), model.clone())];
    for _ in 0..count {
        operate(store, dice, model).unwrap();
        history.push((disk.position(), model.clone()));
    }
    history
}

/// One run, cut at many points; each is opened, checked, used, cut again, and checked again.
fn run(seed: u64, cuts: u64) {
    let mut dice = Dice::new(seed);
    let disk = SimDisk::default();
    let store = Store::open(options(&disk, &mut dice)).unwrap();
    let mut model = Model::default();
    let count = 10 + dice.below(60);
    let history = record(&store, &disk, &mut dice, &mut model, count);
    drop(store);
    let end = disk.position() as u64;
    for _ in 0..cuts {
        let at = dice.below(end + 1) as usize;
        let cut = disk.cut(at, dice.roll());
        let store = Store::open(options(&cut, &mut dice)).unwrap();
        let mut model = check(&store, &history, at);
        let again = record(&store, &cut, &mut dice, &mut model, 3);
        let last = again.last().unwrap().0;
        let at = again[0].0 + dice.below((last - again[0].0) as u64 + 1) as usize;
        let second = cut.cut(at, dice.roll());
        drop(store);
        check(&Store::open(options(&second, &mut dice)).unwrap(), &again, at);
    }
}

/// Everything acknowledged before the cut is there; of what was under way, all or nothing.
fn check(store: &Store, history: &[(usize, Model)], at: usize) -> Model {
    let condition = store.condition();
    assert!(condition.is_well(), "a power cut is no damage: {condition:?}");
    let found = found(&store.snapshot().unwrap());
    // The rows are not those of mailboxes, and every content was just read.
    let shallow = CheckOptions { depth: Depth::Index, records: false, ..CheckOptions::default() };
    let report = store.check(&shallow, &mut |_| ControlFlow::Continue(())).unwrap();
    assert!(report.is_clean() && report.complete, "cut at {at}: {report}");
    let acknowledged = history.iter().rposition(|(position, _)| *position <= at);
    let from = acknowledged.unwrap_or(0);
    let possible = history.get(from..(from + 2).min(history.len())).unwrap_or_default();
    assert!(
        possible.iter().any(|(_, model)| *model == found),
        "cut at {at}: found {found:?}, expected one of {possible:?}"
    );
    found
}

#[test]
fn power_cuts() {
    if let Some(seed) = std::env::var("POSTERN_SEED").ok().and_then(|seed| seed.parse().ok()) {
        return run(seed, CUTS_A_RUN);
    }
    let start = Instant::now();
    let runs = CUTS.div_ceil(2 * CUTS_A_RUN);
    let base = u64::from(std::process::id()) << 20;
    let mut done = 0;
    for seed in (0..runs / 2).chain(base..base + runs.div_ceil(2)) {
        if catch_unwind(AssertUnwindSafe(|| run(seed, CUTS_A_RUN))).is_err() {
            panic!("failed with POSTERN_SEED={seed}");
        }
        done += 2 * CUTS_A_RUN;
        if start.elapsed() > PATIENCE {
            panic!("only {done} of {CUTS} cuts in {PATIENCE:?}");
        }
    }
    println!("\nfigure power cuts survived: {done}, seeds 0.. and {base}.., {:?}", start.elapsed());
}
