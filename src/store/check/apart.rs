//! A store whose index is damaged, opened to be read: its index is made anew in memory, and nothing is written to a
//! disk that may be about to fail. So a backup gets past the damage before anybody tries to mend it.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use super::rebuild::{self, Rebuilt, Renamed};
use crate::model::locked;
use crate::store::base::copy_on_write::{CopyOnWrite, Memory};
use crate::store::base::env::{Disk, DiskFile, Held, Metered, Paths};
use crate::store::base::error::Error;
use crate::store::engine::options::Options;
use crate::store::engine::store::Store;

/// Opens a store that nobody has open and whose index is damaged, for reading only: with what can still be read of
/// the index, and for what cannot, the newest catalogue. Says what it was made of.
///
/// # Errors
/// [`Error::Locked`] if somebody has it; [`Error::Limit`] if the index is larger than what may be kept in memory
/// (128 MB); of reading.
pub fn open_damaged(options: &Options) -> Result<(Store, Rebuilt), Error> {
    let paths = Paths { data: options.data.clone() };
    let held = options.disk.lock_read(&paths.lock()).map_err(|error| match error.kind() {
        io::ErrorKind::WouldBlock => Error::Locked(error.to_string()),
        _ => Error::io("locking the data folder", error),
    })?;
    let made = Apart {
        disk: Metered::new(Arc::clone(&options.disk)).glance(),
        new: rebuild::new_path(&paths),
        file: Arc::default(),
        _held: Arc::from(held),
    };
    // No catalogue of a backup is asked for: it has that already.
    let apart = Options { disk: Arc::new(made), expect: None, expect_epoch: None, ..options.clone() };
    let rebuilt = rebuild::make(&apart, &mut None).map_err(too_large)?;
    let store = Store::open(Options { disk: Arc::new(Renamed::new(&apart)), ..apart }).map_err(too_large)?;
    Ok((store, rebuilt))
}

fn too_large(error: Error) -> Error {
    match error {
        Error::Io { error, .. } if error.kind() == io::ErrorKind::OutOfMemory => Error::Limit(
            "the index is damaged, and too large to be made anew in memory: run `postern check --repair` first",
        ),
        other => other,
    }
}

/// A disk that is only read, but for the new index, which lies in memory for as long as this lives.
#[derive(Clone)]
struct Apart {
    disk: Metered,
    new: PathBuf,
    file: Arc<Mutex<Option<Arc<CopyOnWrite>>>>,
    _held: Arc<dyn std::any::Any + Send + Sync>,
}

impl std::fmt::Debug for Apart {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Apart").field("disk", &self.disk).field("new", &self.new).finish_non_exhaustive()
    }
}

fn refused<T>() -> io::Result<T> {
    Err(io::ErrorKind::ReadOnlyFilesystem.into())
}

impl Disk for Apart {
    fn open(&self, path: &Path, create: bool) -> io::Result<Arc<dyn DiskFile>> {
        if path != self.new {
            return self.disk.open(path, create);
        }
        let mut file = locked(&self.file);
        match (&*file, create) {
            (Some(made), _) => Ok(Arc::clone(made) as Arc<dyn DiskFile>),
            (None, false) => Err(io::ErrorKind::NotFound.into()),
            (None, true) => {
                let made = Arc::new(CopyOnWrite::new(None, Arc::new(Memory::default()))?);
                *file = Some(Arc::clone(&made));
                Ok(made)
            }
        }
    }
    fn create_dir(&self, _path: &Path) -> io::Result<()> {
        refused()
    }
    fn rename(&self, _from: &Path, _to: &Path) -> io::Result<()> {
        refused()
    }
    fn unlink(&self, _path: &Path) -> io::Result<()> {
        refused()
    }
    fn sync_dir(&self, _path: &Path) -> io::Result<()> {
        Ok(())
    }
    fn list(&self, path: &Path) -> io::Result<Vec<String>> {
        self.disk.list(path)
    }
    /// Of memory; what it may take is seen to where it is written.
    fn free_space(&self, _path: &Path) -> io::Result<u64> {
        Ok(u64::MAX)
    }
    fn lock(&self, _path: &Path) -> io::Result<Held> {
        Ok(Box::new(()))
    }
    fn is_remote(&self, path: &Path) -> io::Result<bool> {
        self.disk.is_remote(path)
    }
}
