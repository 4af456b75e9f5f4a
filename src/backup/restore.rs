//! A store made anew out of a backup, and what goes on after a kill.
//!
//! A file in the data folder says from the first change to the last that this is going on: no server opens such a
//! store. The rows of the catalogue come first; a run that was cut short goes on with the contents that are missing.

use std::collections::VecDeque;
use std::ops::ControlFlow;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::Error;
use super::manifest::Manifest;
use super::run::Progress;
use super::source::Source;
use crate::model::ContentId;
use crate::store::check::anew::{self, Homes, Missing, Stage};
use crate::store::env::{Disk, Paths};
use crate::store::fault::Fault;
use crate::store::{self, Options, Pending, Prepared, Store, accounts, mailboxes, messages};

/// Contents that are on their way to the disk at a time.
pub(super) const UNDERWAY: usize = 32;
/// And their bytes.
const UNDERWAY_BYTES: u64 = 8 << 20;
/// What a store takes beside its contents, at least: the journal and what is allocated ahead.
const BESIDE: u64 = 32 << 20;
/// Messages that are missing are named up to this number.
const MAX_NAMED: usize = 1_000;

/// What came back.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Restored {
    /// The generation's name.
    pub generation: String,
    /// As of when it is, in seconds since 1970.
    pub time: i64,
    /// Accounts.
    pub accounts: u64,
    /// Messages.
    pub messages: u64,
    /// Messages that are listed but whose content is not in the backup, the first thousand.
    pub missing: Vec<String>,
    /// How many those are.
    pub missing_count: u64,
}

/// Makes a store anew in a folder that holds none, or one that nobody uses yet. `options` are those of the store
/// that is to be.
///
/// # Errors
/// `Exists` if there are accounts in the folder; [`Error::NoRoom`] if it would not fit, and [`Error::Full`] if it did not
/// after all; of the backup; of the store.
pub fn restore(
    options: &Options,
    source: &mut Source,
    manifest: &Manifest,
    progress: &Progress,
) -> Result<Restored, Error> {
    make(options, source, manifest, progress).map_err(|error| match error {
        Error::Store(error) if is_full(&error) => Error::Full { path: options.data.clone(), error },
        other => other,
    })
}

fn is_full(error: &store::Error) -> bool {
    matches!(error, store::Error::NoSpace { .. }) || error.fault() == Some(Fault::Full)
}

fn make(
    options: &Options,
    source: &mut Source,
    manifest: &Manifest,
    progress: &Progress,
) -> Result<Restored, Error> {
    let id =
        manifest.store().ok_or_else(|| Error::damaged(manifest.path(), "the store's id cannot be read"))?;
    let mark = format!("{} {}", source.folder.marker.id, manifest.head.number).into_bytes();
    let options = Options { anew: Some(id), expect: None, live_emails: None, ..options.clone() };
    let paths = Paths { data: options.data.clone() };
    begin(&options, &paths, &|| check_room(&options, source, manifest))?;
    let store = match open_loaded(&options, &mark)? {
        Some(store) => store,
        None => load(&options, &paths, source, manifest, &mark)?,
    };
    if anew::stage(&store, &mark)? == Stage::Loaded {
        fill(&store, source, progress)?;
        anew::begin_generation(&store, &mark)?;
    }
    let report = report(&store, manifest)?;
    store.close()?;
    let unlinking = |error| store::Error::io(format!("unlinking {}", paths.anew().display()), error);
    options.disk.unlink(&paths.anew()).map_err(unlinking)?;
    options.disk.sync_dir(&paths.data).map_err(unlinking)?;
    Ok(report)
}

/// Contents take in volumes about what they take in packs. One that was begun has taken part of it already.
fn check_room(options: &Options, source: &Source, manifest: &Manifest) -> Result<(), Error> {
    let path = &options.data;
    let needed = source.size(manifest).saturating_add(options.reserve).saturating_add(BESIDE);
    // Of the folder that it is going to be made in. A disk that does not say is not full.
    let free = path.ancestors().find_map(|folder| options.disk.free_space(folder).ok()).unwrap_or(u64::MAX);
    if free < needed { Err(Error::NoRoom { path: path.clone(), needed, free }) } else { Ok(()) }
}

/// Whether a restore into this folder was begun and not ended.
///
/// # Errors
/// Of the disk.
pub fn is_begun(disk: &dyn Disk, data: &Path) -> Result<bool, Error> {
    let path = Paths { data: data.to_owned() }.anew();
    match disk.open(&path, false) {
        Ok(_) => Ok(true),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(Error::Folder { path, error }),
    }
}

/// Says that it has begun, durably, and only where there is nothing to lose, and room.
fn begin(options: &Options, paths: &Paths, room: &dyn Fn() -> Result<(), Error>) -> Result<(), Error> {
    let making = |error| store::Error::io(format!("making {}", paths.anew().display()), error);
    if is_begun(&*options.disk, &paths.data)? {
        return Ok(());
    }
    let names = options.disk.list(&paths.data).unwrap_or_default();
    if names.iter().any(|name| name == "index.redb") {
        let store = Store::open(Options { anew: None, ..options.clone() })?;
        let is_used = !accounts::list(&store.snapshot()?)?.is_empty();
        store.close()?;
        if is_used {
            return Err(store::Error::Exists("a store with mail in this folder").into());
        }
    }
    room()?;
    options.disk.create_dir(&paths.data).map_err(making)?;
    let file = options.disk.open(&paths.anew(), true).map_err(making)?;
    file.write_at(0, b"a backup is restored here: `postern restore` goes on\n").map_err(making)?;
    file.sync().map_err(making)?;
    options.disk.sync_dir(&paths.data).map_err(making)?;
    Ok(())
}

/// The store of a run that was cut short, if it had come as far as its rows.
fn open_loaded(options: &Options, mark: &[u8]) -> Result<Option<Store>, Error> {
    let names = options.disk.list(&options.data).unwrap_or_default();
    if !names.iter().any(|name| name == "index.redb") {
        return Ok(None);
    }
    let store = match Store::open(options.clone()) {
        Ok(store) => store,
        Err(error @ store::Error::Locked(_)) => return Err(error.into()),
        Err(error) => {
            tracing::info!(%error, "what an earlier restore left cannot be used: it begins anew");
            return Ok(None);
        }
    };
    if anew::stage(&store, mark)? == Stage::Empty {
        store.close()?;
        return Ok(None);
    }
    Ok(Some(store))
}

fn load(
    options: &Options,
    paths: &Paths,
    source: &Source,
    manifest: &Manifest,
    mark: &[u8],
) -> Result<Store, Error> {
    wipe(&*options.disk, paths)?;
    let store = Store::open(options.clone())?;
    let mut catalogue = manifest.catalogue(&source.secrets)?;
    anew::load(&store, &mut catalogue, mark)?;
    store.close()?;
    Ok(Store::open(options.clone())?)
}

/// Nothing is lost by it: [`begin`] saw that there are no accounts.
fn wipe(disk: &dyn Disk, paths: &Paths) -> Result<(), Error> {
    let index = [paths.index(), paths.index().with_extension("new")];
    let within = [paths.journal(), paths.mail()].into_iter().flat_map(|folder| {
        let names = disk.list(&folder).unwrap_or_default();
        names.into_iter().map(move |name| folder.join(name)).collect::<Vec<_>>()
    });
    let files: Vec<_> = index.into_iter().chain(within).collect();
    for path in files {
        match disk.unlink(&path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(store::Error::io(format!("unlinking {}", path.display()), error).into());
            }
            _ => {}
        }
    }
    for folder in [paths.journal(), paths.mail(), paths.data.clone()] {
        match disk.sync_dir(&folder) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(store::Error::io(format!("syncing {}", folder.display()), error).into());
            }
            _ => {}
        }
    }
    Ok(())
}

/// Brings the contents that are missing, in the order in which they lie in the packs. What the backup does not have
/// stays missing.
///
/// # Errors
/// Of the backup and of the store.
pub fn fill(store: &Store, source: &mut Source, progress: &Progress) -> Result<(), Error> {
    let mut missing = anew::missing(&store.snapshot()?)?;
    missing.sort_by_cached_key(|content| source.order(&content.hash));
    let homes = Homes::load(&store.snapshot()?)?;
    progress.begin(missing.len() as u64);
    let mut underway: VecDeque<(u64, Pending<()>)> = VecDeque::new();
    let mut bytes = 0;
    for content in missing {
        if let Some(pending) = bring(store, source, &homes, content)? {
            underway.push_back((content.size, pending));
            bytes += content.size;
        }
        while underway.len() > UNDERWAY || (bytes > UNDERWAY_BYTES && !underway.is_empty()) {
            let Some((size, pending)) = underway.pop_front() else { break };
            pending.wait()?;
            bytes -= size;
        }
        progress.step(content.size)?;
    }
    underway.into_iter().try_for_each(|(_, pending)| Ok(pending.wait()?))
}

fn bring(
    store: &Store,
    source: &mut Source,
    homes: &Homes,
    content: Missing,
) -> Result<Option<Pending<()>>, Error> {
    let Some(prepared) = prepare(store, source, &content.hash, content.size)? else { return Ok(None) };
    Ok(Some(anew::fill(store, prepared, homes, content.email)?))
}

/// A content out of the backup, ready to be filed; `None` if it is not in it, or not what it should be.
pub(super) fn prepare(
    store: &Store,
    source: &mut Source,
    hash: &[u8; 32],
    size: u64,
) -> Result<Option<Prepared>, Error> {
    if source.order(hash).is_none() {
        return Ok(None);
    }
    let mut incoming = store.incoming_verbatim(size);
    let found = source.read(hash, size, &mut |bytes| Ok(incoming.write(bytes)?));
    match found {
        Ok(true) => {}
        Ok(false) | Err(Error::Store(store::Error::Limit(_))) => return Ok(None),
        Err(error) => return Err(error),
    }
    let prepared = incoming.finish()?;
    Ok((prepared.hash().0 == *hash).then_some(prepared))
}

fn report(store: &Store, manifest: &Manifest) -> Result<Restored, Error> {
    let snapshot = store.snapshot()?;
    let lost: Vec<ContentId> = anew::missing(&snapshot)?.into_iter().map(|content| content.email).collect();
    let mut report = Restored {
        generation: manifest.head.number.to_string(),
        time: manifest.head.time,
        ..Restored::default()
    };
    for account in accounts::list(&snapshot)? {
        report.accounts += 1;
        for mailbox in mailboxes::list(&snapshot, account.id)? {
            report.messages += u64::from(mailbox.messages);
            if lost.is_empty() {
                continue;
            }
            messages::scan(&snapshot, mailbox.id, 1..=u32::MAX, &mut |record| {
                if lost.binary_search(&record.email).is_ok() {
                    report.missing_count += 1;
                    if report.missing.len() < MAX_NAMED {
                        let (owner, name, uid) = (&account.name, &mailbox.name, record.uid);
                        report.missing.push(format!("{owner}, {name}, UID {uid}"));
                    }
                }
                Ok(ControlFlow::Continue(()))
            })?;
        }
    }
    Ok(report)
}
