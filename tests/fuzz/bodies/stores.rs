//! The files of a store, damaged anywhere, its journal too: it opens or says why not; every message that it gives is one
//! that was put in, byte for byte.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

use postern::model::{AccountId, DateTime, FlagSet, MailboxName, UidSet};
use postern::store::messages::NewMessage;
use postern::store::sim::{Dice, SimClock, SimDisk, SimRandom};
use postern::store::{Error, Options, Store, accounts, bin, mailboxes, messages};

use super::first;

/// Messages that are put in.
const MESSAGES: u64 = 9;
/// What an input changes at a place: file, offset, how, with what.
const CHANGE: usize = 7;
/// Changes of an input.
const MOST: usize = 8;
/// Bytes that are wiped or copied at once.
const RUN: usize = 100;

type Files = BTreeMap<PathBuf, Vec<u8>>;

struct Base {
    /// After an orderly end, and as a power cut leaves it where all was written.
    files: [Files; 2],
    originals: Vec<Vec<u8>>,
}

fn live(
    rows: &dyn postern::store::Rows,
    visit: &mut dyn FnMut(postern::model::ContentId),
) -> Result<(), Error> {
    messages::emails(rows, visit)?;
    bin::emails(rows, visit)
}

fn options(disk: &SimDisk) -> Options {
    Options {
        disk: Arc::new(disk.clone()),
        clock: Arc::new(SimClock(1_790_000_000.into())),
        random: Arc::new(SimRandom::new(1)),
        segment_size: 64 << 10,
        volume_size: 30 << 10,
        incoming_memory: 64 << 10,
        reserve: 0,
        live_emails: Some(live),
        ..Options::new("/data")
    }
}

fn message(n: u64) -> Vec<u8> {
    let mut dice = Dice::new(n);
    let mut bytes = format!("From: a@b\r\nSubject: {n}\r\nMessage-ID: <{n}@x>\r\n\r\n").into_bytes();
    for _ in 0..n * n * 20 {
        bytes.extend_from_slice(format!("{:x}\r\n", dice.roll()).as_bytes());
    }
    bytes
}

fn append(store: &Store, account: AccountId, bytes: &[u8]) -> Result<(), Error> {
    let mut incoming = store.incoming(1 << 20);
    incoming.write(bytes)?;
    let prepared = incoming.finish()?;
    store.write(move |tx| {
        let inbox = MailboxName::inbox();
        let mailbox = mailboxes::by_name(tx, account, &inbox)?.ok_or(Error::NotFound("mailbox"))?.id;
        let email = prepared.file(tx, account, &inbox)?;
        let (size, internal_date) = (prepared.size(), DateTime { unix: 1_700_000_000, offset_minutes: 0 });
        messages::append(
            tx,
            account,
            mailbox,
            &[NewMessage { email, size, internal_date, flags: FlagSet::default() }],
        )
        .map(drop)
    })
}

fn base() -> &'static Base {
    static BASE: OnceLock<Base> = OnceLock::new();
    BASE.get_or_init(|| {
        // redb panics over damage, which the store makes errors of: that is no news, and no end of a fuzz target.
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            let of_redb = info.location().is_some_and(|place| place.file().contains("/redb-"));
            if !of_redb {
                before(info);
            }
        }));
        let disk = SimDisk::default();
        let store = Store::open(options(&disk)).unwrap();
        let account = store.write(|tx| accounts::create(tx, "anna", None)).unwrap();
        let originals: Vec<Vec<u8>> = (0..MESSAGES).map(message).collect();
        for (n, bytes) in originals.iter().enumerate() {
            append(&store, account, bytes).unwrap();
            if n == 5 {
                store.checkpoint().unwrap();
            }
        }
        let inbox = mailboxes::by_name(&store.snapshot().unwrap(), account, &MailboxName::inbox());
        let inbox = inbox.unwrap().unwrap().id;
        let gone: UidSet = [2..=2].into_iter().collect();
        store.write(move |tx| messages::expunge(tx, account, inbox, &gone, false).map(drop)).unwrap();
        let cut = disk.files();
        drop(store);
        Base { files: [disk.files(), cut], originals }
    })
}

pub fn seeds() -> Vec<Vec<u8>> {
    let change = |file: u8, at: u32, how: u8| [&[file][..], &at.to_le_bytes(), &[how, 0x55]].concat();
    let mut seeds = vec![vec![0], vec![1]];
    for file in 0..base().files[0].len() as u8 {
        for (n, at) in [0, 40, 4_096, 8_200, 20_000, 1 << 20].into_iter().enumerate() {
            seeds.push([&[file % 2], &change(file, at, n as u8)[..]].concat());
        }
    }
    seeds
}

pub fn run(data: &[u8]) {
    let (which, changes) = first(data);
    let base = base();
    let mut files = base.files[usize::from(which) % 2].clone();
    changes.chunks_exact(CHANGE).take(MOST).for_each(|change| damage(&mut files, change));
    let disk = SimDisk::holding(files);
    let store = match Store::open(options(&disk)) {
        Ok(store) => store,
        Err(error) => return assert!(!error.to_string().is_empty()),
    };
    let read = look(&store, base);
    assert!(
        changes.len() >= CHANGE || read.as_ref().is_ok_and(|seen| *seen == MESSAGES as usize - 1),
        "{read:?}"
    );
    // It takes another, or says that it does not.
    let again = message(MESSAGES);
    let account = AccountId(1);
    if append(&store, account, &again).is_ok() {
        drop(store);
        // An index that is damaged may show it only now.
        match Store::open(options(&disk)) {
            Ok(store) => drop(look(&store, base)),
            Err(error) => assert!(!error.to_string().is_empty()),
        }
    }
}

fn damage(files: &mut Files, change: &[u8]) {
    let at = usize::from(change[0]) % files.len();
    let Some(bytes) = files.values_mut().nth(at).filter(|bytes| !bytes.is_empty()) else { return };
    let place = u32::from_le_bytes([change[1], change[2], change[3], change[4]]) as usize % bytes.len();
    let end = (place + RUN).min(bytes.len());
    match change[5] % 4 {
        0 => bytes[place] ^= change[6].max(1),
        1 => bytes[place..end].fill(change[6]),
        2 => bytes.truncate(place),
        _ => {
            let from = usize::from(change[6]) * 4_096 % bytes.len();
            let piece = bytes[from..(from + end - place).min(bytes.len())].to_vec();
            bytes[place..place + piece.len()].copy_from_slice(&piece);
        }
    }
}

/// Reads all messages; how many there are.
fn look(store: &Store, base: &Base) -> Result<usize, Error> {
    let rows = store.snapshot()?;
    let mut seen = 0;
    for mailbox in mailboxes::list(&rows, AccountId(1))? {
        let mut emails = Vec::new();
        let scanned = messages::scan(&rows, mailbox.id, 0..=u32::MAX, &mut |record| {
            emails.push(record.email);
            Ok(ControlFlow::Continue(()))
        });
        for email in emails {
            let mut bytes = Vec::new();
            if rows.read(email, 0..u64::MAX, &mut bytes).is_ok() {
                let known = base.originals.contains(&bytes) || bytes == message(MESSAGES);
                assert!(known, "another message than was put in: {}", bytes.escape_ascii());
                seen += 1;
            }
        }
        scanned?;
    }
    Ok(seen)
}
