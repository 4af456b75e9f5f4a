//! A backup's folder: its marker, its keys, and how files come into it.

use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::age::{self, Identity, Recipient};
use super::{Error, from_hex, hex, random};
use crate::store::env::{Disk, FileWriter, Held};

const MARKER: &str = "postern-backup";
const IDENTITY: &str = "identity.age";
const NAMING: &str = "naming.age";
const LOCK: &str = "lock";
const PACKS: &str = "packs";
const GENERATIONS: &str = "generations";
/// What has no name yet ends so.
const NEW: &str = ".new";
const FORMAT: u32 = 1;
/// The small files.
const SMALL: u64 = 64 << 10;
/// Bytes that are written at a time.
const BUFFER: usize = 256 << 10;

/// What the marker says, as JSON.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Marker {
    /// Of this folder.
    pub format: u32,
    /// Of this backup.
    pub id: String,
    /// The store's id.
    pub store: String,
    /// When it was made, in seconds since 1970.
    pub made: i64,
    /// Whom it is sealed for, if it is encrypted: `age1…`
    pub recipient: Option<String>,
    /// What contents are named with, unless it is encrypted.
    naming: Option<String>,
}

/// What whoever writes a backup must know. It opens nothing of an encrypted one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Keys {
    /// The backup's id.
    pub id: String,
    /// What contents are named with.
    pub naming: String,
    /// Whom it is sealed for, if it is encrypted.
    pub recipient: Option<String>,
}

/// What whoever reads a backup must know.
#[derive(Clone)]
pub struct Secrets {
    pub(super) naming: [u8; 32],
    pub(super) identity: Option<Identity>,
}

/// A backup's folder with its marker.
#[derive(Clone, Debug)]
pub struct Folder {
    pub(super) disk: Arc<dyn Disk>,
    path: PathBuf,
    /// What it says.
    pub marker: Marker,
}

impl Folder {
    /// Opens a backup.
    ///
    /// # Errors
    /// [`Error::NoMarker`], [`Error::Newer`], or of the disk.
    pub fn open(disk: Arc<dyn Disk>, path: &Path) -> Result<Folder, Error> {
        let file = path.join(MARKER);
        let text = match read_small(&*disk, &file) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(Error::NoMarker(path.to_owned()));
            }
            Err(error) => return Err(Error::Folder { path: file, error }),
        };
        let marker: Marker =
            serde_json::from_slice(&text).map_err(|_| Error::damaged(&file, "the marker cannot be read"))?;
        if marker.format > FORMAT {
            return Err(Error::Newer(path.to_owned()));
        }
        Ok(Folder { disk, path: path.to_owned(), marker })
    }

    /// Begins a backup in an empty folder, or one that is made, encrypted if there is a passphrase.
    ///
    /// # Errors
    /// [`Error::NotEmpty`], or of the disk.
    pub fn create(
        disk: Arc<dyn Disk>,
        path: &Path,
        store: [u8; 16],
        now: i64,
        passphrase: Option<&str>,
    ) -> Result<(Folder, Keys), Error> {
        let here = |error| Error::Folder { path: path.to_owned(), error };
        disk.create_dir(path).map_err(here)?;
        let own = [IDENTITY, NAMING, LOCK, PACKS, GENERATIONS].map(str::to_owned);
        let foreign = |name: &String| !own.contains(name) && !name.ends_with(NEW) && !is_of_the_system(name);
        if disk.list(path).map_err(here)?.iter().any(foreign) {
            return Err(Error::NotEmpty(path.to_owned()));
        }
        let naming: [u8; 32] = random()?;
        let identity = match passphrase {
            Some(_) => Some(Identity::new(random()?)),
            None => None,
        };
        let recipient = identity.as_ref().map(Identity::recipient);
        let marker = Marker {
            format: FORMAT,
            id: hex(&random::<16>()?),
            store: hex(&store),
            made: now,
            recipient: recipient.map(Recipient::to_text),
            naming: recipient.is_none().then(|| hex(&naming)),
        };
        let keys = Keys { id: marker.id.clone(), naming: hex(&naming), recipient: marker.recipient.clone() };
        let folder = Folder { disk, path: path.to_owned(), marker };
        folder.prepare()?;
        if let (Some(identity), Some(passphrase)) = (&identity, passphrase) {
            let text = format!("# postern backup {}\n{}\n", folder.marker.id, identity.to_text());
            let wrapped = age::seal_with_passphrase(passphrase, random()?, text.as_bytes())?;
            folder.write_small(IDENTITY, &wrapped)?;
            folder.write_small(NAMING, &identity.recipient().seal(random()?, &naming))?;
        }
        // The marker comes last: a folder that has one is whole.
        let text = serde_json::to_vec_pretty(&folder.marker).map_err(|error| here(error.into()))?;
        folder.write_small(MARKER, &text)?;
        Ok((folder, keys))
    }

    /// What is needed to write to this backup, as far as the folder itself knows: of an encrypted one only whoever
    /// set it up, or has the passphrase, knows it.
    #[must_use]
    pub fn keys(&self) -> Option<Keys> {
        let naming = self.marker.naming.clone()?;
        Some(Keys { id: self.marker.id.clone(), naming, recipient: None })
    }

    /// What is needed to read it.
    ///
    /// # Errors
    /// [`Error::NeedsPassphrase`], a wrong one, or damaged keys.
    pub fn unlock(&self, passphrase: Option<&str>) -> Result<Secrets, Error> {
        if let Some(naming) = &self.marker.naming {
            let naming =
                from_hex(naming).ok_or_else(|| Error::damaged(self.path.join(MARKER), "a key of it"))?;
            return Ok(Secrets { naming, identity: None });
        }
        let passphrase = passphrase.ok_or(Error::NeedsPassphrase)?;
        let wrapped = self.read_small(IDENTITY)?;
        let text = age::open_with_passphrase(passphrase, &wrapped)?;
        let identity = std::str::from_utf8(&text).ok().and_then(Identity::from_text);
        let identity = identity.ok_or(Error::Age(age::Error::Damaged))?;
        let naming = identity.open(&self.read_small(NAMING)?)?;
        let naming = naming.try_into().map_err(|_| Error::Age(age::Error::Damaged))?;
        Ok(Secrets { naming, identity: Some(identity) })
    }

    /// As [`Folder::keys`], of an encrypted backup too.
    ///
    /// # Errors
    /// As [`Folder::unlock`].
    pub fn keys_with(&self, passphrase: Option<&str>) -> Result<Keys, Error> {
        let secrets = self.unlock(passphrase)?;
        Ok(Keys {
            id: self.marker.id.clone(),
            naming: hex(&secrets.naming),
            recipient: self.marker.recipient.clone(),
        })
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Keeps others out. Where the file system knows no locks, nobody is kept out.
    pub(super) fn lock(&self) -> Result<Option<Held>, Error> {
        match self.disk.lock(&self.path.join(LOCK)) {
            Ok(held) => Ok(Some(held)),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                Err(Error::Locked { path: self.path.clone(), holder: error.to_string() })
            }
            Err(error) if is_unsupported(&error) => Ok(None),
            Err(error) => Err(Error::Folder { path: self.path.join(LOCK), error }),
        }
    }

    /// The folders within, and nothing half made in them.
    pub(super) fn prepare(&self) -> Result<(), Error> {
        for folder in [self.packs(), self.generations()] {
            self.disk.create_dir(&folder).map_err(Error::folder(&folder))?;
            for name in self.disk.list(&folder).map_err(Error::folder(&folder))? {
                if name.ends_with(NEW) {
                    let path = folder.join(name);
                    self.disk.unlink(&path).map_err(Error::folder(&path))?;
                }
            }
        }
        sync_dir(&*self.disk, &self.path)
    }

    pub(super) fn packs(&self) -> PathBuf {
        self.path.join(PACKS)
    }

    pub(super) fn generations(&self) -> PathBuf {
        self.path.join(GENERATIONS)
    }

    /// The names in one of the folders that end so, without the ending, sorted.
    pub(super) fn names(&self, folder: &Path, ending: &str) -> Result<Vec<String>, Error> {
        let names = match self.disk.list(folder) {
            Ok(names) => names,
            Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
            Err(error) => return Err(Error::Folder { path: folder.to_owned(), error }),
        };
        let mut names: Vec<String> =
            names.iter().filter_map(|name| Some(name.strip_suffix(ending)?.to_owned())).collect();
        names.sort();
        Ok(names)
    }

    fn read_small(&self, name: &str) -> Result<Vec<u8>, Error> {
        let path = self.path.join(name);
        read_small(&*self.disk, &path).map_err(Error::folder(&path))
    }

    fn write_small(&self, name: &str, bytes: &[u8]) -> Result<(), Error> {
        let mut file = NewFile::create(&self.disk, &self.path, name.to_owned())?;
        file.write_all(bytes).map_err(Error::folder(self.path.join(name)))?;
        file.finish(name)
    }
}

/// What a system or a desktop leaves on every disk.
fn is_of_the_system(name: &str) -> bool {
    name.starts_with('.') || ["lost+found", "System Volume Information", "$RECYCLE.BIN"].contains(&name)
}

fn is_unsupported(error: &io::Error) -> bool {
    use rustix::io::Errno;
    error.kind() == io::ErrorKind::Unsupported
        || [Errno::NOLCK, Errno::INVAL, Errno::NOSYS, Errno::OPNOTSUPP]
            .iter()
            .any(|known| error.raw_os_error() == Some(known.raw_os_error()))
}

fn read_small(disk: &dyn Disk, path: &Path) -> io::Result<Vec<u8>> {
    let file = disk.open(path, false)?;
    let length = file.len()?;
    if length > SMALL {
        return Err(io::ErrorKind::InvalidData.into());
    }
    let mut bytes = vec![0; length as usize];
    file.read_at(0, &mut bytes)?;
    Ok(bytes)
}

/// Network folders may know no such thing; then it is as durable as they make it.
pub(super) fn sync_dir(disk: &dyn Disk, path: &Path) -> Result<(), Error> {
    match disk.sync_dir(path) {
        Err(error) if !is_unsupported(&error) => Err(Error::Folder { path: path.to_owned(), error }),
        _ => Ok(()),
    }
}

/// A file that gets its name when it is whole and on the disk.
pub(super) struct NewFile {
    disk: Arc<dyn Disk>,
    folder: PathBuf,
    new: PathBuf,
    out: BufWriter<FileWriter>,
    hasher: blake3::Hasher,
    finished: bool,
}

impl NewFile {
    pub(super) fn create(disk: &Arc<dyn Disk>, folder: &Path, name: String) -> Result<Self, Error> {
        let new = folder.join(name + NEW);
        let file = disk.open(&new, true).map_err(Error::folder(&new))?;
        file.set_len(0).map_err(Error::folder(&new))?;
        Ok(NewFile {
            disk: Arc::clone(disk),
            folder: folder.to_owned(),
            new,
            out: BufWriter::with_capacity(BUFFER, FileWriter::new(file)),
            hasher: blake3::Hasher::new(),
            finished: false,
        })
    }

    /// BLAKE3 of what was written so far.
    pub(super) fn hash(&self) -> [u8; 32] {
        *self.hasher.finalize().as_bytes()
    }

    pub(super) fn path(&self) -> &Path {
        &self.new
    }

    /// Makes it durable and gives it its name.
    pub(super) fn finish(mut self, name: &str) -> Result<(), Error> {
        let path = self.folder.join(name);
        let durable = self.out.flush().and_then(|()| self.out.get_ref().sync());
        durable.map_err(Error::folder(&path))?;
        self.disk.rename(&self.new, &path).map_err(Error::folder(&path))?;
        self.finished = true;
        sync_dir(&*self.disk, &self.folder)
    }
}

impl Write for NewFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.out.write(bytes)?;
        self.hasher.update(bytes.get(..count).unwrap_or_default());
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

impl Drop for NewFile {
    fn drop(&mut self) {
        if !self.finished {
            let _ = self.disk.unlink(&self.new);
        }
    }
}
