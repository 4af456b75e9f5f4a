//! The start: lock, replay, durable checkpoint, and only then anything is told to anyone.

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, OnceLock, RwLock};

use crate::store::base::env::{Disk, Metered, Paths};
use crate::store::base::error::Error;
use crate::store::base::fault::{Fault, fault};
use crate::store::base::schema::Table;
use crate::store::base::settings::{self, OBJECT_KEY};
use crate::store::engine::budget::Budget;
use crate::store::engine::checkpoint::{META_CLEAN, META_MARK, changes};
use crate::store::engine::condition::Known;
use crate::store::engine::database::{Change, Fact, File, Kind, META, META_SEQUENCE};
use crate::store::engine::format::{self, META_PROGRAM, META_SCHEMA};
use crate::store::engine::journal::{Journal, Mark};
use crate::store::engine::lineage::{
    Lineage, META_ANCESTORS, META_EPOCH, META_EPOCHS, META_GENERATION, META_ID, decode_numbers, with_epoch,
};
use crate::store::engine::loss::{Loss, held_for, is_held};
use crate::store::engine::mending::Mending;
use crate::store::engine::options::Options;
use crate::store::engine::overlay::Placement;
use crate::store::engine::pins::Pins;
use crate::store::engine::redo::{FileNumber, Row};
use crate::store::engine::replay::{Reached, Replayed};
use crate::store::engine::shared::{Counters, Mends, Shared};
use crate::store::engine::writer::{Engine, Queue};
use crate::store::engine::{migrate, mixture, volumes};

/// What the index's `meta` says.
struct Facts {
    format: u32,
    lineage: Lineage,
    reached: Reached,
    /// The runs of this store, this one not yet among them.
    epochs: Vec<u64>,
}

pub(in crate::store) fn start(options: Options) -> Result<(Arc<Shared>, Engine), Error> {
    let mut opened = open(options.clone(), None);
    if let Err(error) = &opened
        && error.fault() == Some(Fault::Disk)
        && !error.is_unwritten()
    {
        // It may have passed.
        tracing::warn!(%error, "the store could not be opened; it is tried again");
        opened = open(options.clone(), None);
    }
    match opened {
        // A disk that takes no writes, files that are another's, a journal that cannot be read for the moment, no room
        // to keep aside what must not be lost: what can be read is served.
        Err(why)
            if matches!(why.fault(), Some(Fault::Denied | Fault::Disk))
                // A store that is only being made has nothing to serve.
                || why.fault() == Some(Fault::Full) && options.anew.is_none() =>
        {
            open(options, Some(&why)).map_err(|_| why)
        }
        other => other,
    }
}

/// `only_reads`: why nothing can be written; then nothing is.
fn open(options: Options, only_reads: Option<&Error>) -> Result<(Arc<Shared>, Engine), Error> {
    let disk = Metered::new(Arc::clone(&options.disk));
    if only_reads.is_some() {
        disk.read_only();
    }
    let paths = Paths { data: options.data.clone() };
    let held = prepare_folder(&disk, &paths)?;
    check_anew(&disk, &paths, &options)?;
    if only_reads.is_none() {
        migrate::finish(&disk, &paths, &options.format)?;
        may_write(&disk, &paths)?;
        make_index(&disk, &paths, &options)?;
    }
    let index = Arc::new(File::open(&disk, &paths.index(), Kind::Index, options.index_cache, false)?);
    let facts = read_facts(&index, &options, only_reads.is_none())?;
    let epoch = options.random_number()?;
    let shared_disk: Arc<dyn Disk> = Arc::new(disk.clone());
    let random = Arc::clone(&options.random);
    let (journal, missing) =
        Journal::open(shared_disk, random, &paths, options.segment_size, facts.lineage.clone(), epoch)?;
    let caches = (options.active_cache, options.volume_cache);
    let budget =
        Budget::new(disk.clone(), paths.clone(), &facts.lineage, epoch, caches, options.open_volumes);
    let shared = Arc::new(Shared {
        budget,
        generation: facts.lineage.generation,
        id: facts.lineage.id,
        epoch,
        index: RwLock::new(index),
        pins: Arc::new(Pins::default()),
        listeners: Mutex::default(),
        known: Known::default(),
        mends: OnceLock::new(),
        writer: OnceLock::new(),
        reserved: Mutex::new(0..0),
        counters: Counters::default(),
        sweeping: Mutex::default(),
        full: Mutex::default(),
        _lock: held,
        options,
        disk,
        paths,
    });
    let mut engine = Engine {
        shared: Arc::clone(&shared),
        queue: Arc::new(Queue::default()),
        journal,
        placement: Placement::default(),
        last_modseq: 0,
        applied: 0,
        mending: Mending::default(),
        checkpointed: 0,
        operations: 0,
        dirty_bytes: 0,
        dirty_index: 0,
    };
    let _ = shared.mends.set(Arc::clone(&engine.queue) as Arc<dyn Mends>);
    if let Some(why) = only_reads {
        shared.fail(&format!("the data folder can only be read ({why})"));
    }
    let settled = settle(&mut engine, &facts, missing);
    if let Err(error) = settled {
        // What was replayed in part must not become durable as these handles close.
        shared.index().give_up();
        shared.budget.abandon();
        return Err(error);
    }
    // Rows of older versions can be read as they are.
    if shared.disk.writes() && facts.format != shared.options.format.number {
        migrate::run(&shared, facts.format)?;
    }
    shared.counters.journal_segments.store(engine.journal.segments() as u64, Ordering::Relaxed);
    engine.last_modseq = settings::last_modseq(&shared.index().view()?)?.0;
    know_volumes(&shared)?;
    if let Some(why) = held_for(&shared.index().view()?)? {
        shared.known.mixed(&why);
    }
    Ok((shared, engine))
}

/// What the index and the folder say of the volumes.
fn know_volumes(shared: &Shared) -> Result<(), Error> {
    let listing = |error| Error::io("listing mail/", error);
    let names = shared.disk.list(&shared.paths.mail()).map_err(listing)?;
    let there: BTreeSet<u32> = names.iter().filter_map(|name| Paths::volume_number(name)).collect();
    let index = shared.index().view()?;
    for (volume, rest) in volumes::rests(&index)? {
        shared.known.set_rest(volume, rest);
    }
    for (volume, row) in volumes::list(&index)? {
        if row.damaged {
            shared.known.volume_is_said_damaged(volume);
        }
        let in_memory = !shared.disk.writes() && shared.budget.is_open(volume);
        if !there.contains(&volume) && !in_memory {
            tracing::error!(volume, "a volume is missing: the messages in it cannot be read");
            shared.known.volume_missing(volume);
        }
    }
    Ok(())
}

/// Applies what the files do not have yet, judges what was found, and makes all of it durable.
fn settle(engine: &mut Engine, facts: &Facts, missing: bool) -> Result<(), Error> {
    let shared = Arc::clone(&engine.shared);
    let volumes = mixture::look(&shared, &facts.lineage)?;
    let (mut failed, mut last) = (BTreeSet::new(), facts.reached.sequence);
    let replayed = engine.journal.replay(&facts.reached, &mut |rows, sequence| {
        apply(&shared, rows, sequence, &mut failed)?;
        last = sequence;
        Ok(())
    });
    let replayed = match replayed {
        // What was read of it is shown.
        Err(error) if error.fault() == Some(Fault::Disk) && !shared.disk.writes() => {
            shared.known.journal(&format!("the journal cannot be read to its end: {error}"));
            Replayed { last, highest: last, ..Replayed::default() }
        }
        other => other?,
    };
    engine.save_all(failed, &facts.reached, replayed.last)?;
    if replayed.last > facts.reached.sequence {
        tracing::info!(records = replayed.last - facts.reached.sequence, "replayed the journal");
    }
    let mut findings = volumes.judge(&facts.reached, &replayed, &facts.epochs);
    let Facts { lineage, reached, epochs, .. } = facts;
    let loss = Loss::of(&shared, lineage, epochs, reached, &replayed, &findings, missing);
    if !shared.disk.writes() {
        return Ok(());
    }
    if loss.copies_journal {
        engine.journal.copy_aside().map_err(|error| Error::io("copying the journal aside", error))?;
    }
    if replayed.overtaken {
        engine.keep_overtaken(reached, &replayed, &mut findings)?;
    }
    let sequence = replayed.highest.max(findings.sequence);
    engine.journal.begin(shared.epoch, sequence);
    if !loss.holds && !is_held(&shared.index().view()?)? {
        set_aside(&shared, shared.epoch)?;
    }
    let mut rows = loss.rows(&shared, &findings)?;
    rows.extend(begun(facts, shared.epoch));
    engine.checkpoint_with(&changes(&rows))
}

/// What the index says of the run that begins.
fn begun(facts: &Facts, epoch: u64) -> Vec<Fact> {
    let put = |key: &[u8], value: Vec<u8>| (META, key.to_vec(), value);
    vec![
        put(META_EPOCH, epoch.to_le_bytes().to_vec()),
        put(META_EPOCHS, with_epoch(&facts.epochs, epoch)),
        put(META_CLEAN, vec![0]),
        put(META_PROGRAM, env!("CARGO_PKG_VERSION").as_bytes().to_vec()),
    ]
}

fn prepare_folder(disk: &Metered, paths: &Paths) -> Result<crate::store::base::env::Held, Error> {
    let making = |error| Error::io(format!("making {}", paths.data.display()), error);
    disk.create_dir(&paths.data).map_err(making)?;
    if disk.is_remote(&paths.data).unwrap_or(false) {
        return Err(Error::Incompatible(format!(
            "{} lies on a network file system, whose syncs cannot be trusted; use a local disk",
            paths.data.display()
        )));
    }
    let held = disk.lock(&paths.lock()).map_err(|error| match error.kind() {
        io::ErrorKind::WouldBlock => Error::Locked(error.to_string()),
        _ => Error::io(format!("locking {}", paths.lock().display()), error),
    })?;
    for folder in [paths.journal(), paths.mail()] {
        disk.create_dir(&folder).map_err(making)?;
    }
    disk.sync_dir(&paths.data).map_err(making)?;
    Ok(held)
}

/// A restore that was cut short is gone on with before anything else.
fn check_anew(disk: &Metered, paths: &Paths, options: &Options) -> Result<(), Error> {
    if options.anew.is_some() {
        return Ok(());
    }
    match disk.open(&paths.anew(), false) {
        Ok(_) => Err(Error::Incompatible(format!(
            "restoring a backup into {} was not finished: run `postern restore` again",
            paths.data.display()
        ))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(Error::io(format!("opening {}", paths.anew().display()), error)),
    }
}

/// Whether everything that is there may be written: a file that may not would be found out about in the middle of
/// something.
fn may_write(disk: &Metered, paths: &Paths) -> Result<(), Error> {
    let listing = |error| Error::io("listing the data folder", error);
    let within = |folder: PathBuf, kind: &str| -> Result<Vec<PathBuf>, Error> {
        let names = disk.list(&folder).map_err(listing)?;
        Ok(names.iter().filter(|name| name.ends_with(kind)).map(|name| folder.join(name)).collect())
    };
    let files = [within(paths.data.clone(), "index.redb")?, within(paths.journal(), ".journal")?];
    for path in files.into_iter().flatten().chain(within(paths.mail(), ".redb")?) {
        match disk.open(&path, false) {
            Err(error) if fault(&error) == Fault::Denied => {
                return Err(Error::io(format!("opening {}", path.display()), error));
            }
            // What else is wrong with it is said where it is used.
            _ => {}
        }
    }
    Ok(())
}

/// Makes a new store where there is none. The index appears under its name when it is whole.
fn make_index(disk: &Metered, paths: &Paths, options: &Options) -> Result<(), Error> {
    let listing = |error| Error::io("listing the data folder", error);
    let name = |path: &Path| path.file_name().map(|name| name.to_string_lossy().into_owned());
    let index = name(&paths.index());
    if disk.list(&paths.data).map_err(listing)?.into_iter().any(|found| Some(found) == index) {
        return Ok(());
    }
    if options.expect.is_some() {
        return Err(Error::NotExpected(format!(
            "{} is empty, but a store is expected there; is the disk mounted?",
            paths.data.display()
        )));
    }
    if disk.list(&paths.mail()).map_err(listing)?.iter().any(|name| Paths::volume_number(name).is_some()) {
        return Err(Error::Incompatible(
            "index.redb is missing, but mail/ holds volumes: restore it from a backup, or run `postern check --repair`, \
             which makes it anew".to_owned(),
        ));
    }
    let new = paths.new_index();
    let _ = disk.unlink(&new);
    let random = |error| Error::io("asking for random bytes", error);
    let id = match options.anew {
        Some(id) => id,
        None => options.random.bytes().map_err(random)?,
    };
    let key = options.random.bytes().map_err(random)?;
    let generation = options.random_number()?.to_le_bytes();
    let schema = options.format.number.to_le_bytes();
    let rows: [Change<'_>; 5] = [
        (META, META_ID, Some(&id)),
        (META, META_SCHEMA, Some(&schema)),
        (META, META_GENERATION, Some(&generation)),
        (META, META_CLEAN, Some(&[1])),
        (Table::Settings as u8, OBJECT_KEY, Some(&key)),
    ];
    let file = File::open(disk, &new, Kind::Index, options.index_cache, true)?;
    file.apply(rows.into_iter(), 0, true)?;
    file.give_up();
    drop(file);
    let naming = |error| Error::io("making index.redb", error);
    disk.rename(&new, &paths.index()).map_err(naming)?;
    disk.sync_dir(&paths.data).map_err(naming)
}

fn read_facts(index: &Arc<File>, options: &Options, writing: bool) -> Result<Facts, Error> {
    let view = index.view()?;
    let damaged = || Error::Damaged("index.redb".to_owned());
    let format = format::check(&view, &options.format, writing)?;
    let id: [u8; 16] = view.get(META, META_ID)?.and_then(|id| id.try_into().ok()).ok_or_else(damaged)?;
    if options.expect.is_some_and(|expected| expected != id) {
        return Err(Error::NotExpected("this is another store than the one expected here".to_owned()));
    }
    let number = |key| -> Result<Option<u64>, Error> {
        Ok(view.get(META, key)?.and_then(|value| value.try_into().ok()).map(u64::from_le_bytes))
    };
    let list = |key| -> Result<Vec<u64>, Error> {
        let value: Option<Vec<u8>> = view.get(META, key)?;
        Ok(value.map(|value| decode_numbers(&value)).unwrap_or_default())
    };
    let epoch = number(META_EPOCH)?.unwrap_or(0);
    let mut epochs = list(META_EPOCHS)?;
    if epoch != 0 && !epochs.contains(&epoch) {
        epochs.push(epoch);
    }
    let mark: Option<Vec<u8>> = view.get(META, META_MARK)?;
    Ok(Facts {
        format,
        lineage: Lineage {
            id,
            generation: number(META_GENERATION)?.ok_or_else(damaged)?,
            ancestors: list(META_ANCESTORS)?,
        },
        reached: Reached {
            sequence: number(META_SEQUENCE)?.unwrap_or(0),
            epoch,
            mark: mark.and_then(|mark| Mark::decode(&mark)),
            clean: view.get(META, META_CLEAN)?.as_deref() == Some(&[1]),
        },
        epochs,
    })
}

/// Rows of a volume that may have them already are applied all the same: twice does no harm, and a number alone
/// does not say that they are there.
///
/// `failed`: volumes that could not take them, and are given no more.
fn apply(
    shared: &Shared,
    rows: &[Row],
    sequence: u64,
    failed: &mut BTreeSet<FileNumber>,
) -> Result<(), Error> {
    let numbers: BTreeSet<u32> = rows.iter().map(|row| row.file).chain([0]).collect();
    for number in numbers.into_iter().rev() {
        let own = rows.iter().filter(|row| row.file == number);
        let own = own.map(Row::change);
        if number == 0 {
            shared.index().apply(own, sequence, false)?;
            continue;
        }
        if failed.contains(&number) {
            continue;
        }
        // A volume that is lost or damaged costs what it held, not the start.
        let applied = shared.budget.volume(number).and_then(|file| {
            shared.budget.mark_dirty(number);
            file.apply(own, sequence, false)
        });
        match applied {
            Ok(()) => {}
            Err(error) if error.is_unwritten() || error.fault() == Some(Fault::Full) => return Err(error),
            Err(error) => {
                tracing::error!(volume = number, %error, "a volume cannot take its rows from the journal");
                shared.budget.forget(number);
                failed.insert(number);
            }
        }
    }
    Ok(())
}

/// Volumes that the index does not name: half made, or given up by a reclaim that was cut short.
fn set_aside(shared: &Arc<Shared>, epoch: u64) -> Result<(), Error> {
    let rows = shared.index().view()?;
    let known: BTreeSet<u32> = volumes::list(&rows)?.into_iter().map(|(number, _)| number).collect();
    let folder = shared.paths.mail();
    let listing = |error| Error::io("listing mail/", error);
    let mut moved = false;
    for name in shared.disk.list(&folder).map_err(listing)? {
        let Some(number) = Paths::volume_number(&name) else { continue };
        if !known.contains(&number) {
            tracing::warn!(name, "a volume that the index does not name is set aside");
            shared.budget.forget(number);
            let aside = folder.join(format!("{number:06}.aside-{epoch:016x}"));
            shared.disk.rename(&folder.join(&name), &aside).map_err(listing)?;
            moved = true;
        }
    }
    if moved {
        shared.disk.sync_dir(&folder).map_err(listing)?;
    }
    Ok(())
}
