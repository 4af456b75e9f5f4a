//! The catalogues that a store keeps of itself, without anybody setting up anything: `catalogue.a` and
//! `catalogue.b` in the data folder, written in turn, so that there is always a whole one.

use std::io::{self, BufWriter, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::store::base::disk_file::FileWriter;
use crate::store::base::env::{Disk, DiskFile};
use crate::store::base::error::Error;
use crate::store::check::catalogue::{self, Summary};
use crate::store::engine::store::Store;

/// Their names in the data folder.
pub const NAMES: [&str; 2] = ["catalogue.a", "catalogue.b"];
/// One that is being written.
const NEW: &str = "catalogue.new";
/// The longest that a catalogue serves if anything has changed, in seconds.
const DAY: i64 = 86_400;
/// Bytes that are written or read at a time.
const BUFFER: usize = 128 << 10;

/// What is remembered between two looks.
#[derive(Debug, Default)]
pub struct Keeper {
    newest: Option<Summary>,
    /// The household as it looked the last time, if it was another than the catalogue's.
    seen: Option<[u8; 16]>,
    looked: bool,
}

impl Keeper {
    /// Writes a catalogue if it is time: there is none, the last one is a day old and something has changed since,
    /// or the household has changed and looked the same at two of these calls. Call it once a minute. Gives what was
    /// written.
    ///
    /// # Errors
    /// Of reading and writing; what is there stays.
    pub fn look(&mut self, store: &Store) -> Result<Option<Summary>, Error> {
        let (disk, data) = store.place();
        if !self.looked {
            self.newest = newest(&*disk, &data)?.map(|(_, summary)| summary);
            self.looked = true;
        }
        // What is left of a full disk is for deleting.
        let is_full = disk.free_space(&data).is_ok_and(|free| free < store.reserve());
        if is_full || !self.is_due(store)? {
            return Ok(None);
        }
        let summary = write(store, self.newest.as_ref())?;
        self.newest = Some(summary.clone());
        self.seen = None;
        Ok(Some(summary))
    }

    fn is_due(&mut self, store: &Store) -> Result<bool, Error> {
        let snapshot = store.snapshot()?;
        let place = snapshot.place()?;
        let Some(newest) = &self.newest else { return Ok(true) };
        let head = &newest.head;
        if (head.store, head.generation) != (place.store, place.generation) {
            return Ok(true);
        }
        let age = store.now().saturating_sub(head.time);
        // A clock that went back says nothing of its age.
        if !(0..DAY).contains(&age) && place.modseq != head.modseq {
            return Ok(true);
        }
        let household = catalogue::household(&snapshot)?;
        if household == head.household {
            self.seen = None;
            return Ok(false);
        }
        Ok(self.seen.replace(household) == Some(household))
    }
}

/// The newest whole catalogue of a data folder, whose store need not be open, and where it lies.
///
/// # Errors
/// Of the system. A damaged one is as none; so is one of a newer program.
pub fn newest(disk: &dyn Disk, data: &Path) -> Result<Option<(PathBuf, Summary)>, Error> {
    let mut best: Option<(PathBuf, Summary)> = None;
    for name in NAMES {
        let path = data.join(name);
        let summary = match open(disk, &path) {
            Ok(Some(mut input)) => catalogue::verify(&mut input),
            Ok(None) => continue,
            Err(error) => Err(error),
        };
        match summary {
            Ok(summary) if best.as_ref().is_none_or(|(_, other)| newer(&summary, other)) => {
                best = Some((path, summary));
            }
            Ok(_) => {}
            Err(error) => tracing::warn!(path = %path.display(), %error, "a catalogue cannot be used"),
        }
    }
    Ok(best)
}

fn newer(one: &Summary, other: &Summary) -> bool {
    (one.head.number, one.head.time) > (other.head.number, other.head.time)
}

/// Opens a catalogue's file for [`catalogue::read`]; `None` if it is missing.
///
/// # Errors
/// Of the system.
pub fn open(disk: &dyn Disk, path: &Path) -> Result<Option<impl Read + use<>>, Error> {
    match disk.open(path, false) {
        Ok(file) => Ok(Some(io::BufReader::with_capacity(BUFFER, FileReader { file, at: 0 }))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Error::io(format!("opening {}", path.display()), error)),
    }
}

/// Writes a catalogue now, over the older one of the two, or over one that is of no use.
///
/// # Errors
/// Of reading and writing; what is there stays.
pub(in crate::store) fn renew(store: &Store) -> Result<Summary, Error> {
    let (disk, data) = store.place();
    let newest = newest(&*disk, &data)?.map(|(_, summary)| summary);
    write(store, newest.filter(|summary| summary.head.store == store.id()).as_ref())
}

/// Writes a catalogue over the older one of the two.
fn write(store: &Store, newest: Option<&Summary>) -> Result<Summary, Error> {
    let (disk, data) = store.place();
    let number = newest.map_or(1, |newest| newest.head.number.saturating_add(1));
    let name = if number.is_multiple_of(2) { NAMES[1] } else { NAMES[0] };
    let (new, path) = (data.join(NEW), data.join(name));
    let making = |error| Error::io(format!("writing {}", path.display()), error);
    let file = disk.open(&new, true).map_err(making)?;
    file.set_len(0).map_err(making)?;
    let mut out = BufWriter::with_capacity(BUFFER, FileWriter::new(Arc::clone(&file)));
    let written = catalogue::write(&store.snapshot()?, number, store.now(), &mut out);
    let written = written.and_then(|summary| out.flush().map(|()| summary).map_err(making));
    let summary = match written {
        Ok(summary) => summary,
        Err(error) => {
            // What was begun only takes room: of a disk that is full, most of all.
            let _ = disk.unlink(&new);
            return Err(error);
        }
    };
    file.sync().map_err(making)?;
    disk.rename(&new, &path).map_err(making)?;
    disk.sync_dir(&data).map_err(making)?;
    Ok(summary)
}

/// A file of a [`Disk`], from front to back.
struct FileReader {
    file: Arc<dyn DiskFile>,
    at: u64,
}

impl Read for FileReader {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let left = self.file.len()?.saturating_sub(self.at);
        let count = usize::try_from(left).unwrap_or(usize::MAX).min(out.len());
        let Some(part) = out.get_mut(..count) else { return Ok(0) };
        self.file.read_at(self.at, part)?;
        self.at += count as u64;
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::Ordering;

    use super::*;
    use crate::store::base::settings;
    use crate::store::base::sim::{SimClock, SimDisk, SimRandom};
    use crate::store::engine::options::Options;
    use crate::store::household::accounts;

    const DATA: &str = "/data";

    fn open_store(disk: &SimDisk, clock: &Arc<SimClock>) -> Store {
        Store::open(Options {
            disk: Arc::new(disk.clone()),
            clock: Arc::clone(clock) as Arc<_>,
            random: Arc::new(SimRandom::new(disk.position() as u64)),
            segment_size: 256 << 10,
            reserve: 0,
            ..Options::new(DATA)
        })
        .unwrap()
    }

    fn number_of(disk: &SimDisk) -> Option<(String, u64)> {
        let newest = newest(disk, Path::new(DATA)).unwrap();
        newest.map(|(path, summary)| {
            (path.file_name().unwrap().to_string_lossy().into_owned(), summary.head.number)
        })
    }

    #[test]
    fn it_is_written_daily_and_soon_after_the_household_changed() {
        let (disk, clock) = (SimDisk::default(), Arc::new(SimClock::default()));
        clock.0.store(1_800_000_000, Ordering::Relaxed);
        let store = open_store(&disk, &clock);
        let mut keeper = Keeper::default();
        assert!(keeper.look(&store).unwrap().is_some(), "there was none");
        assert!(keeper.look(&store).unwrap().is_none());
        store.write(|tx| accounts::create(tx, "anna", None)).unwrap();
        assert!(keeper.look(&store).unwrap().is_none(), "more may follow");
        store.write(|tx| accounts::create(tx, "bert", None)).unwrap();
        assert!(keeper.look(&store).unwrap().is_none(), "more did follow");
        assert!(keeper.look(&store).unwrap().is_some());
        assert!(keeper.look(&store).unwrap().is_none());
        assert_eq!(number_of(&disk), Some(("catalogue.b".to_owned(), 2)));
        clock.0.fetch_add(90_000, Ordering::Relaxed);
        assert!(keeper.look(&store).unwrap().is_none(), "nothing has changed");
        store
            .write(|tx| {
                tx.modseq()?;
                settings::put(tx, "x", b"y")
            })
            .unwrap();
        assert!(keeper.look(&store).unwrap().is_some(), "a day old");
        assert_eq!(number_of(&disk), Some(("catalogue.a".to_owned(), 3)));
        // A server that starts anew goes on where the last one was.
        assert!(Keeper::default().look(&store).unwrap().is_none());
    }

    #[test]
    fn the_one_that_is_whole_is_never_written_over() {
        let (disk, clock) = (SimDisk::default(), Arc::new(SimClock::default()));
        let store = open_store(&disk, &clock);
        for _ in 0..2 {
            let newest = newest(&disk, Path::new(DATA)).unwrap().map(|(_, summary)| summary);
            write(&store, newest.as_ref()).unwrap();
        }
        assert_eq!(number_of(&disk), Some(("catalogue.b".to_owned(), 2)));
        assert!(disk.damage(Path::new("/data/catalogue.b"), |bytes| bytes[100] ^= 1));
        assert_eq!(number_of(&disk), Some(("catalogue.a".to_owned(), 1)));
        let kept = newest(&disk, Path::new(DATA)).unwrap().unwrap().1;
        write(&store, Some(&kept)).unwrap();
        assert_eq!(number_of(&disk), Some(("catalogue.b".to_owned(), 2)));
    }

    /// Wherever the power goes: the newest is one of the last two, and it is whole.
    #[test]
    fn a_cut_at_any_moment_leaves_a_whole_one() {
        let (disk, clock) = (SimDisk::default(), Arc::new(SimClock::default()));
        let store = open_store(&disk, &clock);
        write(&store, None).unwrap();
        let from = disk.position();
        let first = newest(&disk, Path::new(DATA)).unwrap().unwrap().1;
        let second = write(&store, Some(&first)).unwrap();
        write(&store, Some(&second)).unwrap();
        let to = disk.position();
        assert!(to > from + 6, "{from} {to}");
        for position in from..=to {
            for seed in 0..20 {
                let (_, number) = number_of(&disk.cut(position, seed)).unwrap();
                assert!((1..=3).contains(&number), "at {position}: {number}");
            }
        }
        assert_eq!(number_of(&disk.cut(to, 1)).unwrap().1, 3);
    }
}
