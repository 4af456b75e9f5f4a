//! An index made anew, beside the damaged one: out of what can still be read of that, and for what cannot, out of
//! the newest catalogue.
//!
//! It is made as `index.rebuild`. A store is then run on it as if it were the index ([`Renamed`]), which replays the
//! journal into it and mends what is left to mend (`repair`); only then it takes the index's name, and the damaged
//! one is kept aside. Cut short at any moment, it is begun again or gone on with.

use std::collections::BTreeSet;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::catalogue::{self, Head, Summary};
use super::salvage::Salvage;
use super::source::ContentSource;
use super::{keep, rows};
use crate::store::base::env::{Disk, DiskFile, Held, Paths};
use crate::store::base::error::Error;
use crate::store::base::schema::{SCHEMA_VERSION, Table};
use crate::store::base::settings::OBJECT_KEY;
use crate::store::engine::checkpoint::META_CLEAN;
use crate::store::engine::database::{Change, File, Kind, META};
use crate::store::engine::format::META_SCHEMA;
use crate::store::engine::lineage::{
    Lineage, META_ANCESTORS, META_EPOCH, META_GENERATION, META_ID, Stamp, encode_numbers,
};
use crate::store::engine::options::Options;
use crate::store::engine::volumes::VolumeRow;

/// Key in `meta`: all that there was is copied; what follows may go on from here.
const META_COPIED: &[u8] = b"copied";
/// Bytes of rows that are put at a time.
const BATCH: usize = 1 << 20;

/// What an index was made of.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rebuilt {
    /// Rows that could be read of the damaged index.
    pub salvaged: u64,
    /// Rows that came out of the catalogue.
    pub from_catalogue: u64,
    /// When that was written, in seconds since 1970.
    pub catalogue_of: Option<i64>,
    /// It was a backup's, which reached further than those of the data folder.
    #[serde(default)]
    pub of_backup: bool,
    /// Nothing was missing: clients notice nothing.
    pub lossless: bool,
    /// Tables of which something was missing.
    pub missing: Vec<String>,
    /// Where the damaged index is kept.
    pub aside: Option<String>,
}

/// Where the index is being made.
pub(super) fn new_path(paths: &Paths) -> PathBuf {
    paths.index().with_extension("rebuild")
}

/// A catalogue that an index can be made of, to be read again from its beginning.
enum Kept {
    /// In the data folder.
    Here(PathBuf, Summary),
    /// In a backup.
    Backup(Summary),
}

impl Kept {
    fn summary(&self) -> &Summary {
        match self {
            Kept::Here(_, summary) | Kept::Backup(summary) => summary,
        }
    }
}

/// The newest catalogue: one of the data folder, or a backup's where that reaches further.
fn newest(options: &Options, paths: &Paths, source: &mut MaybeSource<'_>) -> Result<Option<Kept>, Error> {
    let here = keep::newest(options.disk.as_ref(), &paths.data)?;
    let here = here.map(|(path, summary)| Kept::Here(path, summary));
    let Some(mut input) = source.as_mut().map(|source| source.catalogue()).transpose()?.flatten() else {
        return Ok(here);
    };
    let backup = match catalogue::verify(&mut input) {
        Ok(summary) => summary,
        Err(error) => {
            tracing::warn!(%error, "the backup's catalogue cannot be used");
            return Ok(here);
        }
    };
    // Rows of another store, or of another generation of it, name other contents by the same ids.
    let stamps = stamps(options);
    let known = stamps.iter().any(|stamp| stamp.id.is_some());
    let is_ours = |stamp: &Stamp| {
        stamp.id == Some(backup.head.store) && stamp.generation == Some(backup.head.generation)
    };
    if known && !stamps.iter().any(is_ours) {
        tracing::warn!("the backup is of another store, or of an earlier generation of this one");
        return Ok(here);
    }
    let later = here.as_ref().is_none_or(|here| here.summary().head.sequence < backup.head.sequence);
    Ok(if later { Some(Kept::Backup(backup)) } else { here })
}

/// A backup, if one was given.
type MaybeSource<'s> = Option<&'s mut dyn ContentSource>;

/// Makes `index.rebuild`. The lock is the caller's.
///
/// # Errors
/// [`Error::NoSpace`]; [`Error::NotFound`] if there is nothing to make an index of; of reading and writing.
pub(in crate::store) fn make(options: &Options, source: &mut MaybeSource<'_>) -> Result<Rebuilt, Error> {
    let disk = options.disk.as_ref();
    let paths = Paths { data: options.data.clone() };
    if let Some(copied) = copied(options, &paths) {
        return Ok(copied);
    }
    let salvage = survey(disk, &paths)?;
    let whole = salvage.as_ref().is_some_and(Salvage::is_whole);
    let kept = if whole { None } else { newest(options, &paths, source)? };
    check_room(options, &paths)?;
    let _ = disk.unlink(&new_path(&paths));
    let file = File::open(disk, &new_path(&paths), Kind::Index, options.index_cache, true)?;
    let mut making = Making {
        file: Arc::new(file),
        sequence: salvage.as_ref().and_then(Salvage::sequence).unwrap_or(0),
        salvage,
        done: Rebuilt { lossless: whole, ..Rebuilt::default() },
        dropped: BTreeSet::new(),
        batch: Vec::new(),
        bytes: 0,
    };
    making.copy()?;
    if let Some(kept) = &kept {
        let input: Option<Box<dyn Read>> = match kept {
            Kept::Here(path, _) => keep::open(disk, path)?.map(|input| Box::new(input) as Box<dyn Read>),
            Kept::Backup(_) => source.as_mut().map(|source| source.catalogue()).transpose()?.flatten(),
        };
        if let Some(mut input) = input {
            making.fill(&mut input)?;
        }
        making.done.catalogue_of = Some(kept.summary().head.time);
        making.done.of_backup = matches!(kept, Kept::Backup(_));
    }
    making.facts(options, kept.as_ref().map(|kept| &kept.summary().head))?;
    making.volumes(disk, &paths)?;
    let done = making.finish()?;
    disk.sync_dir(&paths.data).map_err(|error| Error::io("making index.rebuild", error))?;
    Ok(done)
}

/// One that an earlier run had made.
fn copied(options: &Options, paths: &Paths) -> Option<Rebuilt> {
    let file =
        File::open(options.disk.as_ref(), &new_path(paths), Kind::Index, options.index_cache, false).ok()?;
    let file = Arc::new(file);
    let value = file.view().ok()?.get(META, META_COPIED).ok()??;
    let done = serde_json::from_slice(&value).ok();
    file.give_up();
    done
}

fn survey(disk: &dyn Disk, paths: &Paths) -> Result<Option<Salvage>, Error> {
    match disk.open(&paths.index(), false) {
        Ok(file) => Salvage::survey(file).map(Some),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Error::io("opening index.redb", error)),
    }
}

/// The new one may become as large as the old one, and redb writes some pages twice.
fn check_room(options: &Options, paths: &Paths) -> Result<(), Error> {
    let length = options.disk.open(&paths.index(), false).and_then(|file| file.len()).unwrap_or(0);
    let needed = length.saturating_mul(2).saturating_add(16 << 20);
    let free = options.disk.free_space(&paths.data).unwrap_or(u64::MAX);
    if free < needed { Err(Error::NoSpace { free, needed }) } else { Ok(()) }
}

fn random(options: &Options) -> Result<[u8; 16], Error> {
    options.random.bytes().map_err(|error| Error::io("asking for random bytes", error))
}

/// Which store this is, where its index does not say: the catalogue's, or that of its volumes.
fn lineage(options: &Options, head: Option<&Head>) -> Result<Lineage, Error> {
    let stamps = stamps(options);
    let newest = stamps.iter().max_by_key(|stamp| stamp.sequence);
    let fresh = random(options)?;
    let id =
        head.map(|head| head.store).or(newest.and_then(|stamp| stamp.id)).or(options.expect).unwrap_or(fresh);
    let own: Vec<u64> =
        stamps.iter().filter(|stamp| stamp.id == Some(id)).filter_map(|stamp| stamp.generation).collect();
    let (half, _) = fresh.split_at(8);
    let new = half.try_into().map_or(1, u64::from_le_bytes);
    let of_newest = newest.filter(|stamp| stamp.id == Some(id)).and_then(|stamp| stamp.generation);
    let generation = head.map(|head| head.generation).or(of_newest).unwrap_or(new);
    let ancestors: BTreeSet<u64> = own.into_iter().filter(|other| *other != generation).collect();
    Ok(Lineage { id, generation, ancestors: ancestors.into_iter().collect() })
}

/// What the volumes say of themselves, as far as they can be read.
fn stamps(options: &Options) -> Vec<Stamp> {
    let (disk, paths) = (options.disk.as_ref(), Paths { data: options.data.clone() });
    let names = disk.list(&paths.mail()).unwrap_or_default();
    let numbers = names.iter().filter_map(|name| Paths::volume_number(name));
    numbers
        .filter_map(|number| {
            let path = paths.volume(number);
            let file = Arc::new(File::open(disk, &path, Kind::Volume, options.volume_cache, false).ok()?);
            let stamp = file.view().and_then(|view| Stamp::of(&view)).ok();
            file.give_up();
            stamp
        })
        .collect()
}

fn readable(table: u8, key: &[u8], value: &[u8]) -> bool {
    Table::from_number(table).is_none_or(|table| rows::decodes(table, key, value))
}

struct Making {
    file: Arc<File>,
    salvage: Option<Salvage>,
    done: Rebuilt,
    /// Rows that no reader understands.
    dropped: BTreeSet<(u8, Vec<u8>)>,
    /// The record of the journal that the rows have reached.
    sequence: u64,
    batch: Vec<(u8, Vec<u8>, Vec<u8>)>,
    bytes: usize,
}

impl Making {
    fn put(&mut self, table: u8, key: &[u8], value: &[u8]) -> Result<(), Error> {
        self.bytes += key.len() + value.len();
        self.batch.push((table, key.to_vec(), value.to_vec()));
        if self.bytes < BATCH { Ok(()) } else { self.flush(false) }
    }

    fn flush(&mut self, durable: bool) -> Result<(), Error> {
        let rows =
            self.batch.iter().map(|(table, key, value)| (*table, key.as_slice(), Some(value.as_slice())));
        self.file.apply(rows, self.sequence, durable)?;
        self.batch.clear();
        self.bytes = 0;
        Ok(())
    }

    /// What can be read of the damaged one.
    fn copy(&mut self) -> Result<(), Error> {
        let Some(salvage) = self.salvage.take() else {
            self.done.missing = Table::EVERY.iter().map(|table| table.name().to_owned()).collect();
            return Ok(());
        };
        let mut result = Ok(());
        for table in std::iter::once(META).chain(Table::EVERY.map(|table| table as u8)) {
            let mut whole = true;
            let holes = salvage.each(table, &mut |key, value| {
                if !readable(table, key, value) {
                    whole = false;
                    self.dropped.insert((table, key.to_vec()));
                    return Ok(());
                }
                self.done.salvaged += u64::from(table != META);
                self.put(table, key, value)
            });
            match holes {
                Ok(holes) if whole && holes.is_empty() && (salvage.knows_tables || salvage.has(table)) => {}
                Ok(_) => self.done.missing.push(Kind::Index.table(table).unwrap_or("?").to_owned()),
                Err(error) => result = Err(error),
            }
        }
        self.salvage = Some(salvage);
        result?;
        self.flush(false)
    }

    /// Whether a row may have been there that is not.
    fn is_lost(&self, table: u8, key: &[u8]) -> bool {
        self.dropped.contains(&(table, key.to_vec()))
            || self.salvage.as_ref().is_none_or(|salvage| salvage.may_have_had(table, key))
    }

    /// What could not be read, out of a catalogue.
    fn fill(&mut self, input: &mut dyn Read) -> Result<(), Error> {
        let view = self.file.view()?;
        let mut filled = 0;
        catalogue::read(input, &mut |table, key, value| {
            let table = table as u8;
            let lost = self.is_lost(table, key);
            if lost && view.get(table, key)?.is_none() {
                filled += 1;
                self.put(table, key, value)?;
            }
            Ok(())
        })?;
        drop(view);
        self.done.from_catalogue = filled;
        self.flush(false)
    }

    /// Volumes that are there and of which no row tells any more: a start would set them aside.
    fn volumes(&mut self, disk: &dyn Disk, paths: &Paths) -> Result<(), Error> {
        let view = self.file.view()?;
        let generation = view.get(META, META_GENERATION)?.and_then(|value| value.try_into().ok());
        let row = VolumeRow { generation: generation.map_or(0, u64::from_le_bytes), ..VolumeRow::default() };
        for name in disk.list(&paths.mail()).unwrap_or_default() {
            let Some(number) = Paths::volume_number(&name) else { continue };
            let lost = self.is_lost(Table::Volumes as u8, &number.to_be_bytes());
            if lost && view.get(Table::Volumes as u8, &number.to_be_bytes())?.is_none() {
                self.put(Table::Volumes as u8, &number.to_be_bytes(), &row.encode())?;
            }
        }
        drop(view);
        self.flush(false)
    }

    /// The rows of `meta` that a start needs: as they were, or as the catalogue has them, or as the volumes say, or
    /// new ones.
    fn facts(&mut self, options: &Options, head: Option<&Head>) -> Result<(), Error> {
        if self.salvage.as_ref().and_then(Salvage::sequence).is_none() {
            self.sequence = head.map_or(0, |head| head.sequence);
        }
        let lineage = lineage(options, head)?;
        let epoch = head.map_or(0, |head| head.epoch);
        let wanted: [(&[u8], Vec<u8>); 6] = [
            (META_ID, lineage.id.to_vec()),
            (META_SCHEMA, SCHEMA_VERSION.to_le_bytes().to_vec()),
            (META_GENERATION, lineage.generation.to_le_bytes().to_vec()),
            (META_ANCESTORS, encode_numbers(&lineage.ancestors)),
            (META_EPOCH, epoch.to_le_bytes().to_vec()),
            (META_CLEAN, vec![0]),
        ];
        let view = self.file.view()?;
        // Of one page it is all or nothing: without the id the rest is not known either.
        let known = view.get(META, META_ID)?.is_some();
        for (key, value) in wanted {
            if !known && view.get(META, key)?.is_none() {
                self.batch.push((META, key.to_vec(), value));
            }
        }
        if view.get(Table::Settings as u8, OBJECT_KEY)?.is_none() {
            self.batch.push((Table::Settings as u8, OBJECT_KEY.to_vec(), random(options)?.to_vec()));
        }
        drop(view);
        self.flush(false)
    }

    fn finish(self) -> Result<Rebuilt, Error> {
        let mut done = self.done;
        done.missing.dedup();
        done.lossless &= done.missing.is_empty();
        let told =
            serde_json::to_vec(&done).map_err(|error| Error::io("noting what was done", error.into()))?;
        let rows: [Change<'_>; 1] = [(META, META_COPIED, Some(&told))];
        self.file.apply(rows.into_iter(), self.sequence, true)?;
        self.file.give_up();
        Ok(done)
    }
}

/// The new index takes its place; the damaged one is kept under another name, which is given.
pub(in crate::store) fn switch(options: &Options) -> Result<Option<String>, Error> {
    let (disk, paths) = (options.disk.as_ref(), Paths { data: options.data.clone() });
    let naming = |error| Error::io("naming the new index", error);
    let names = disk.list(&paths.data).map_err(naming)?;
    let mut aside = None;
    if names.iter().any(|name| name == "index.redb") {
        let free = (1..).map(|n| format!("index.damaged-{n}")).find(|name| !names.contains(name));
        let name = free.unwrap_or_else(|| "index.damaged".to_owned());
        disk.rename(&paths.index(), &paths.data.join(&name)).map_err(naming)?;
        aside = Some(name);
    }
    disk.rename(&new_path(&paths), &paths.index()).map_err(naming)?;
    disk.sync_dir(&paths.data).map_err(naming)?;
    Ok(aside)
}

/// A disk on which `index.rebuild` is the index, and whose lock is held already.
#[derive(Clone, Debug)]
pub(in crate::store) struct Renamed {
    disk: Arc<dyn Disk>,
    index: PathBuf,
    new: PathBuf,
}

impl Renamed {
    pub(in crate::store) fn new(options: &Options) -> Renamed {
        let paths = Paths { data: options.data.clone() };
        Renamed { disk: Arc::clone(&options.disk), index: paths.index(), new: new_path(&paths) }
    }

    fn real<'a>(&'a self, path: &'a Path) -> &'a Path {
        if path == self.index { &self.new } else { path }
    }
}

impl Disk for Renamed {
    fn open(&self, path: &Path, create: bool) -> io::Result<Arc<dyn DiskFile>> {
        self.disk.open(self.real(path), create)
    }
    fn create_dir(&self, path: &Path) -> io::Result<()> {
        self.disk.create_dir(path)
    }
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.disk.rename(self.real(from), self.real(to))
    }
    fn unlink(&self, path: &Path) -> io::Result<()> {
        self.disk.unlink(self.real(path))
    }
    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        self.disk.sync_dir(path)
    }
    fn list(&self, path: &Path) -> io::Result<Vec<String>> {
        let mut names = self.disk.list(path)?;
        if self.index.parent() == Some(path) {
            names.retain(|name| name != "index.redb" && name != "index.rebuild");
            names.push("index.redb".to_owned());
        }
        Ok(names)
    }
    fn free_space(&self, path: &Path) -> io::Result<u64> {
        self.disk.free_space(path)
    }
    fn total_space(&self, path: &Path) -> io::Result<u64> {
        self.disk.total_space(path)
    }
    fn lock(&self, _path: &Path) -> io::Result<Held> {
        Ok(Box::new(()))
    }
    fn is_remote(&self, path: &Path) -> io::Result<bool> {
        self.disk.is_remote(path)
    }
}
