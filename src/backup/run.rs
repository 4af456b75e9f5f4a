//! A run: the catalogue first, then the contents that are not there yet, and at the end the manifest.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use serde::{Deserialize, Serialize};

use super::age::Recipient;
use super::folder::{Folder, Keys};
use super::manifest::{self, ManifestWriter};
use super::pack::{self, Name, PART, PackWriter, RunKey};
use super::places::Places;
use super::retention::{self, Keep};
use super::{Error, from_hex, random};
use crate::model::ContentId;
use crate::store::check::catalogue;
use crate::store::contents::Reading;
use crate::store::emails::EmailRow;
use crate::store::schema::Table;
use crate::store::{self, Rows, Snapshot, Store, accounts, mailboxes, messages};

/// Bytes read in one snapshot.
const CHUNK: u64 = 1 << 20;
/// Messages that could not be read are named up to this number.
const MAX_NAMED: usize = 1_000;
/// Behind every key.
const END: [u8; 9] = [0xff; 9];

/// How far a run has come, for whoever wants to know.
#[derive(Debug, Default)]
pub struct Progress {
    /// Contents that were looked at.
    pub done: AtomicU64,
    /// Of so many.
    pub all: AtomicU64,
    /// Bytes copied.
    pub bytes: AtomicU64,
    /// Set to end it.
    pub stop: AtomicBool,
}

impl Progress {
    pub(super) fn begin(&self, all: u64) {
        self.done.store(0, Ordering::Relaxed);
        self.all.store(all, Ordering::Relaxed);
    }

    pub(super) fn step(&self, bytes: u64) -> Result<(), Error> {
        self.done.fetch_add(1, Ordering::Relaxed);
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
        if self.stop.load(Ordering::Relaxed) { Err(Error::Stopped) } else { Ok(()) }
    }
}

/// What a run did.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// The generation's name.
    pub generation: String,
    /// Contents that it needs.
    pub contents: u64,
    /// Of these, copied now.
    pub copied: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Messages that could not be read, the first thousand.
    pub skipped: Vec<String>,
    /// How many those are.
    pub skipped_count: u64,
    /// Packs and older generations of the backup that cannot be read, in words; what packs held was copied anew where it is
    /// still in the store.
    pub damaged_packs: Vec<String>,
    /// The store's index is damaged: what was made of what is left of it, in words.
    #[serde(default)]
    pub damaged_index: Vec<String>,
    /// Generations there are now.
    pub generations: u64,
    /// Packs dropped or written anew.
    pub packs_dropped: u64,
}

/// A content of the snapshot.
struct Content {
    email: ContentId,
    hash: [u8; 32],
    size: u64,
    volume: u32,
}

/// Makes a generation of a running store. Contents that cannot be read are skipped, and listed. Without `keep` no older
/// generation is dropped.
///
/// # Errors
/// Of the folder; of the store, where the index cannot be read. What was copied before is used by the next run.
pub fn run(
    store: &Store,
    folder: &Folder,
    keys: &Keys,
    keep: Option<Keep>,
    progress: &Progress,
) -> Result<Report, Error> {
    if keys.id != folder.marker.id {
        return Err(Error::Foreign(folder.path().to_owned()));
    }
    let _lock = folder.lock()?;
    folder.prepare()?;
    let mut places = Places::load(folder)?;
    let run = run_key(keys)?;
    // From before the snapshot on, so that all that it names stays.
    let hold = store.hold();
    let (manifest, contents) = write_catalogue(store, folder, run.clone())?;
    let naming = naming(keys)?;
    let mut copy = Copy {
        store,
        folder,
        naming,
        run,
        pack: None,
        names: Vec::with_capacity(contents.len()),
        failed: BTreeMap::new(),
        report: Report { damaged_packs: std::mem::take(&mut places.damaged), ..Report::default() },
    };
    progress.begin(contents.len() as u64);
    for content in &contents {
        let bytes = copy.content(&places, content)?;
        progress.step(bytes)?;
    }
    drop(hold);
    copy.close_pack()?;
    let (names, mut report) = copy.finish()?;
    let packs = retention::packs(folder)?;
    let generation = manifest.finish(&names, &packs)?;
    report.generation = generation.name;
    report.contents = contents.len() as u64;
    // It counts now. What is left is upkeep, which the next run does as well.
    match keep.map(|keep| retention::apply(folder, keep)) {
        None => {}
        Some(Ok(dropped)) => report.packs_dropped = dropped,
        Some(Err(error)) => {
            tracing::warn!(%error, "old generations of the backup could not be dropped");
            if let Error::Damaged { .. } = error {
                report
                    .damaged_packs
                    .push(format!("{error}; no old generation goes before this file is removed"));
            }
        }
    }
    report.generations = manifest::list(folder)?.len() as u64;
    Ok(report)
}

fn naming(keys: &Keys) -> Result<[u8; 32], Error> {
    from_hex(&keys.naming).ok_or(Error::Age(super::age::Error::Damaged))
}

/// The key of what this run adds; none where nothing is encrypted.
fn run_key(keys: &Keys) -> Result<Option<RunKey>, Error> {
    let Some(recipient) = &keys.recipient else { return Ok(None) };
    let recipient = Recipient::from_text(recipient).ok_or(Error::Age(super::age::Error::Damaged))?;
    let key: [u8; 32] = random()?;
    let id = u64::from_le_bytes(random()?).max(1);
    Ok(Some(RunKey { id, key, sealed: recipient.seal(random()?, &key) }))
}

/// In one snapshot, which lives no longer than this takes.
fn write_catalogue(
    store: &Store,
    folder: &Folder,
    run: Option<RunKey>,
) -> Result<(ManifestWriter, Vec<Content>), Error> {
    let number = manifest::list(folder)?.last().map_or(1, |last| last.number.saturating_add(1));
    let mut manifest = ManifestWriter::create(folder, number, store.now(), run)?;
    let snapshot = store.snapshot()?;
    catalogue::write(&snapshot, number, store.now(), &mut manifest)?;
    let mut contents = list_contents(&snapshot)?;
    drop(snapshot);
    manifest.flush().map_err(Error::folder(folder.generations()))?;
    // As they lie on the disk.
    contents.sort_unstable_by_key(|content| (content.volume, content.email));
    Ok((manifest, contents))
}

fn list_contents(rows: &dyn Rows) -> Result<Vec<Content>, Error> {
    let mut found = Vec::new();
    rows.scan(Table::Emails, &[], &END, &mut |key, value| {
        let email = key.try_into().map(u64::from_be_bytes);
        match (email, EmailRow::decode(value)) {
            (Ok(email), Some(row)) => found.push(Content {
                email: ContentId(email),
                hash: row.hash.0,
                size: row.size,
                volume: row.content_volume,
            }),
            _ => return Err(store::Error::Damaged("a row of emails".to_owned())),
        }
        Ok(ControlFlow::Continue(()))
    })?;
    Ok(found)
}

/// How many parts a content lies in.
pub(super) fn parts(size: u64) -> u32 {
    u32::try_from(size.div_ceil(PART)).unwrap_or(u32::MAX).max(1)
}

struct Copy<'a> {
    store: &'a Store,
    folder: &'a Folder,
    naming: [u8; 32],
    run: Option<RunKey>,
    pack: Option<PackWriter>,
    names: Vec<Name>,
    /// Contents that could not be read, and why.
    failed: BTreeMap<u64, String>,
    report: Report,
}

impl Copy<'_> {
    /// Copies a content if it is not there yet; gives its bytes.
    fn content(&mut self, places: &Places, content: &Content) -> Result<u64, Error> {
        let names: Vec<Name> =
            (0..parts(content.size)).map(|n| pack::name(&self.naming, &content.hash, n)).collect();
        if names.iter().all(|name| places.has(name)) {
            self.names.extend(names);
            return Ok(0);
        }
        let copied = match names.as_slice() {
            [name] => self.small(name, content),
            names => self.large(names, content),
        };
        match copied {
            Ok(()) => {
                self.names.extend(names);
                self.report.copied += 1;
                self.report.bytes += content.size;
                Ok(content.size)
            }
            Err(Error::Store(error @ store::Error::Closed)) => Err(error.into()),
            Err(Error::Store(error)) => {
                self.failed.insert(content.email.0, error.to_string());
                Ok(0)
            }
            Err(error) => Err(error),
        }
    }

    fn small(&mut self, name: &Name, content: &Content) -> Result<(), Error> {
        let mut raw = Vec::new();
        self.read(content, 0..content.size, &mut Reading::default(), &mut raw)?;
        if *blake3::hash(&raw).as_bytes() != content.hash {
            return Err(store::Error::DamagedEmail(content.email).into());
        }
        self.add(name, &raw)
    }

    /// Read twice, as it is not in memory as a whole: nothing is copied of what is not what it should be.
    fn large(&mut self, names: &[Name], content: &Content) -> Result<(), Error> {
        self.store.snapshot()?.verify(content.email)?;
        let (mut raw, mut reading) = (Vec::new(), Reading::default());
        for (name, from) in names.iter().zip((0..content.size).step_by(PART as usize)) {
            raw.clear();
            self.read(content, from..(from + PART).min(content.size), &mut reading, &mut raw)?;
            self.add(name, &raw)?;
        }
        Ok(())
    }

    fn read(
        &self,
        content: &Content,
        range: std::ops::Range<u64>,
        reading: &mut Reading,
        raw: &mut Vec<u8>,
    ) -> Result<(), store::Error> {
        let mut at = range.start;
        while at < range.end {
            let end = range.end.min(at + CHUNK);
            let before = raw.len() as u64;
            self.store.snapshot()?.read_on(content.email, reading, at..end, raw)?;
            match raw.len() as u64 - before {
                0 => return Err(store::Error::DamagedEmail(content.email)),
                count => at += count,
            }
        }
        Ok(())
    }

    fn add(&mut self, name: &Name, raw: &[u8]) -> Result<(), Error> {
        let entry = pack::encode(name, raw, self.run.as_ref());
        let pack = match &mut self.pack {
            Some(pack) => pack,
            None => {
                let keys: Vec<_> = self.run.iter().map(|run| (run.id, run.sealed.clone())).collect();
                self.pack.insert(PackWriter::create(self.folder, &keys)?)
            }
        };
        pack.add(&entry)?;
        if pack.is_full() { self.close_pack() } else { Ok(()) }
    }

    fn close_pack(&mut self) -> Result<(), Error> {
        match self.pack.take() {
            Some(pack) => pack.finish().map(drop),
            None => Ok(()),
        }
    }

    fn finish(mut self) -> Result<(Vec<Name>, Report), Error> {
        self.names.sort_unstable();
        self.names.dedup();
        if !self.failed.is_empty() {
            let snapshot = self.store.snapshot()?;
            let mut named = BTreeSet::new();
            describe(&snapshot, &self.failed, &mut named, &mut self.report)?;
        }
        Ok((self.names, self.report))
    }
}

/// Which messages show the contents that could not be read. What no message shows any more is nobody's loss.
fn describe(
    snapshot: &Snapshot,
    failed: &BTreeMap<u64, String>,
    named: &mut BTreeSet<u64>,
    report: &mut Report,
) -> Result<(), Error> {
    for account in accounts::list(snapshot)? {
        for mailbox in mailboxes::list(snapshot, account.id)? {
            messages::scan(snapshot, mailbox.id, 1..=u32::MAX, &mut |record| {
                if let Some(why) = failed.get(&record.email.0) {
                    named.insert(record.email.0);
                    report.skipped_count += 1;
                    if report.skipped.len() < MAX_NAMED {
                        let (owner, name, uid) = (&account.name, &mailbox.name, record.uid);
                        report.skipped.push(format!("{owner}, {name}, UID {uid}: {why}"));
                    }
                }
                Ok(ControlFlow::Continue(()))
            })?;
        }
    }
    Ok(())
}
