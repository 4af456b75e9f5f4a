//! A generation: what was in the store when.
//!
//! `postern manifest` 16 | version 4 | length of the head 4 | head: JSON | catalogue | names | packs | BLAKE3 of
//! everything before 32. The catalogue: pieces of at most 1 MiB, each with its length 4 before it, and 0 at the end;
//! in an encrypted backup each is sealed under the BLAKE3 of its number, keyed with the run key, which lies sealed in
//! the head. The names: count 8, then each 16, sorted: what this generation needs. The packs: count 4, then each
//! pack's name 16 and length 8, as they were then; a rewritten pack lies under another name.

use std::io::{self, Read, Write};
use std::path::PathBuf;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde::{Deserialize, Serialize};

use super::folder::{Folder, NewFile, Secrets};
use super::pack::{Name, RunKey};
use super::{Error, age, from_hex};
use crate::store::env::DiskFile;

/// The ending of a manifest's name.
pub(super) const ENDING: &str = ".manifest";
const MAGIC: &[u8; 16] = b"postern manifest";
const VERSION: u32 = 1;
const PIECE: usize = 1 << 20;
const HEAD_MAX: u32 = 64 << 10;
const BUFFER: usize = 128 << 10;

/// What a generation says of itself; not encrypted.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Head {
    /// One more than that of the generation before.
    pub number: u64,
    /// When it was made, in seconds since 1970.
    pub time: i64,
    /// The store's id.
    pub store: String,
    /// The program that made it.
    pub program: String,
    /// The run key's id; 0: not encrypted.
    #[serde(default)]
    key: u64,
    /// The run key, sealed, in base64.
    #[serde(default)]
    sealed: String,
}

/// A generation, and what it is called.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Generation {
    /// Its file's name without the ending.
    pub name: String,
    /// One more than that of the one before.
    pub number: u64,
    /// When it was made, in seconds since 1970.
    pub time: i64,
}

impl Generation {
    /// `000012-1800000000`
    fn from_name(name: &str) -> Option<Self> {
        let (number, time) = name.split_once('-')?;
        let (number, time) = (number.parse().ok()?, time.parse().ok()?);
        Some(Generation { name: name.to_owned(), number, time })
    }

    pub(super) fn path(&self, folder: &Folder) -> PathBuf {
        folder.generations().join(format!("{}{ENDING}", self.name))
    }
}

/// All generations of a backup, the oldest first.
///
/// # Errors
/// Of the disk.
pub fn list(folder: &Folder) -> Result<Vec<Generation>, Error> {
    let names = folder.names(&folder.generations(), ENDING)?;
    let mut found: Vec<Generation> = names.iter().filter_map(|name| Generation::from_name(name)).collect();
    found.sort_by_key(|generation| (generation.number, generation.time));
    Ok(found)
}

/// A manifest that is being written: first the catalogue goes in.
pub(super) struct ManifestWriter {
    file: NewFile,
    run: Option<RunKey>,
    piece: Vec<u8>,
    pieces: u64,
    pub(super) generation: Generation,
}

impl ManifestWriter {
    pub(super) fn create(
        folder: &Folder,
        number: u64,
        time: i64,
        run: Option<RunKey>,
    ) -> Result<Self, Error> {
        let name = format!("{number:06}-{time}");
        let mut file = NewFile::create(&folder.disk, &folder.generations(), name.clone())?;
        let head = Head {
            number,
            time,
            store: folder.marker.store.clone(),
            program: env!("CARGO_PKG_VERSION").to_owned(),
            key: run.as_ref().map_or(0, |run| run.id),
            sealed: run.as_ref().map_or_else(String::new, |run| BASE64.encode(&run.sealed)),
        };
        let head = serde_json::to_vec(&head).map_err(|error| Error::folder(file.path())(error.into()))?;
        let mut start = MAGIC.to_vec();
        start.extend_from_slice(&VERSION.to_le_bytes());
        start.extend_from_slice(&(head.len() as u32).to_le_bytes());
        start.extend_from_slice(&head);
        file.write_all(&start).map_err(Error::folder(file.path().to_owned()))?;
        let generation = Generation { name, number, time };
        Ok(ManifestWriter { file, run, piece: Vec::with_capacity(PIECE), pieces: 0, generation })
    }

    fn flush_piece(&mut self) -> io::Result<()> {
        if self.piece.is_empty() {
            return Ok(());
        }
        let bytes = match &self.run {
            Some(run) => age::seal(&piece_key(&run.key, self.pieces), [0; 12], &self.piece),
            None => std::mem::take(&mut self.piece),
        };
        self.piece.clear();
        self.pieces += 1;
        self.file.write_all(&(bytes.len() as u32).to_le_bytes())?;
        self.file.write_all(&bytes)
    }

    /// What this generation needs, and the packs; then it counts.
    pub(super) fn finish(mut self, names: &[Name], packs: &[(Name, u64)]) -> Result<Generation, Error> {
        let path = self.file.path().to_owned();
        let written = self.flush_piece().and_then(|()| self.write_lists(names, packs));
        written.map_err(Error::folder(path))?;
        self.file.finish(&format!("{}{ENDING}", self.generation.name))?;
        Ok(self.generation)
    }

    fn write_lists(&mut self, names: &[Name], packs: &[(Name, u64)]) -> io::Result<()> {
        self.file.write_all(&0_u32.to_le_bytes())?;
        self.file.write_all(&(names.len() as u64).to_le_bytes())?;
        for name in names {
            self.file.write_all(name)?;
        }
        self.file.write_all(&(packs.len() as u32).to_le_bytes())?;
        for (name, length) in packs {
            self.file.write_all(name)?;
            self.file.write_all(&length.to_le_bytes())?;
        }
        let hash = self.file.hash();
        self.file.write_all(&hash)
    }
}

impl Write for ManifestWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = bytes.len().min(PIECE - self.piece.len());
        self.piece.extend_from_slice(bytes.get(..count).unwrap_or_default());
        if self.piece.len() == PIECE {
            self.flush_piece()?;
        }
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn piece_key(key: &[u8; 32], number: u64) -> [u8; 32] {
    RunKey::entry_key(key, &[b"catalogue ".as_slice(), &number.to_le_bytes()].concat())
}

/// A manifest that was found whole.
pub struct Manifest {
    /// What it says of itself.
    pub head: Head,
    file: std::sync::Arc<dyn DiskFile>,
    path: PathBuf,
    catalogue: u64,
    /// What it needs, sorted.
    pub(super) names: Vec<Name>,
}

impl Manifest {
    /// Opens a generation, and reads all of it to see whether it is whole.
    ///
    /// # Errors
    /// [`Error::Damaged`], [`Error::Newer`], or of the disk.
    pub fn open(folder: &Folder, generation: &Generation) -> Result<Manifest, Error> {
        let path = generation.path(folder);
        let file = folder.disk.open(&path, false).map_err(Error::folder(&path))?;
        let mut input = Hashing::new(&file, &path)?;
        let start = input.take(24)?;
        let number = |at: usize| {
            start.get(at..at + 4).and_then(|part| part.try_into().ok()).map_or(0, u32::from_le_bytes)
        };
        if start.get(..16) != Some(MAGIC) || number(20) > HEAD_MAX {
            return Err(Error::damaged(&path, "it does not begin as a manifest"));
        }
        if number(16) > VERSION {
            return Err(Error::Newer(folder.path().to_owned()));
        }
        let head = input.take(u64::from(number(20)))?;
        let catalogue = input.at;
        input.skip_pieces()?;
        let names = input.names()?;
        let packs = input.number(4)?;
        input.take(packs.saturating_mul(24))?;
        input.end()?;
        let head =
            serde_json::from_slice(&head).map_err(|_| Error::damaged(&path, "its head cannot be read"))?;
        Ok(Manifest { head, file, path, catalogue, names })
    }

    /// The store's catalogue, for [`crate::store::check::catalogue::read`].
    ///
    /// # Errors
    /// If it is encrypted and the key is another.
    pub fn catalogue(&self, secrets: &Secrets) -> Result<impl Read + use<>, Error> {
        let key = match (self.head.key, &secrets.identity) {
            (0, _) => None,
            (_, None) => return Err(Error::NeedsPassphrase),
            (_, Some(identity)) => {
                let sealed = BASE64.decode(&self.head.sealed).map_err(|_| age::Error::Damaged)?;
                Some(identity.open(&sealed)?.try_into().map_err(|_| age::Error::Damaged)?)
            }
        };
        let file = std::sync::Arc::clone(&self.file);
        Ok(Pieces { file, at: self.catalogue, key, number: 0, piece: Vec::new(), taken: 0 })
    }

    /// Where it lies.
    #[must_use]
    pub fn path(&self) -> &std::path::Path {
        &self.path
    }

    /// The store's id.
    #[must_use]
    pub fn store(&self) -> Option<[u8; 16]> {
        from_hex(&self.head.store)
    }
}

/// The pieces of a catalogue, opened.
struct Pieces {
    file: std::sync::Arc<dyn DiskFile>,
    at: u64,
    key: Option<[u8; 32]>,
    number: u64,
    piece: Vec<u8>,
    taken: usize,
}

impl Read for Pieces {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        if self.taken == self.piece.len() && !self.next()? {
            return Ok(0);
        }
        let rest = self.piece.get(self.taken..).unwrap_or_default();
        let count = rest.len().min(out.len());
        out.iter_mut().zip(rest).for_each(|(to, from)| *to = *from);
        self.taken += count;
        Ok(count)
    }
}

impl Pieces {
    fn next(&mut self) -> io::Result<bool> {
        let mut length = [0; 4];
        self.file.read_at(self.at, &mut length)?;
        let length = u32::from_le_bytes(length) as usize;
        if length == 0 || length > PIECE + 64 {
            return Ok(false);
        }
        let mut bytes = vec![0; length];
        self.file.read_at(self.at + 4, &mut bytes)?;
        self.piece = match &self.key {
            Some(key) => {
                age::open(&piece_key(key, self.number), [0; 12], &bytes).ok_or(io::ErrorKind::InvalidData)?
            }
            None => bytes,
        };
        self.at += 4 + length as u64;
        self.number += 1;
        self.taken = 0;
        Ok(true)
    }
}

/// Reads a manifest from front to back and hashes it.
struct Hashing<'a> {
    file: &'a std::sync::Arc<dyn DiskFile>,
    path: &'a std::path::Path,
    length: u64,
    at: u64,
    hasher: blake3::Hasher,
}

impl<'a> Hashing<'a> {
    fn new(file: &'a std::sync::Arc<dyn DiskFile>, path: &'a std::path::Path) -> Result<Self, Error> {
        let length = file.len().map_err(Error::folder(path))?;
        Ok(Hashing { file, path, length, at: 0, hasher: blake3::Hasher::new() })
    }

    fn take(&mut self, length: u64) -> Result<Vec<u8>, Error> {
        if length > self.length.saturating_sub(self.at) {
            return Err(Error::damaged(self.path, "it is too short"));
        }
        let mut bytes = vec![0; usize::try_from(length).unwrap_or(0)];
        self.file.read_at(self.at, &mut bytes).map_err(Error::folder(self.path))?;
        self.at += length;
        self.hasher.update(&bytes);
        Ok(bytes)
    }

    fn number(&mut self, bytes: u64) -> Result<u64, Error> {
        let bytes = self.take(bytes)?;
        Ok(bytes.iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte)))
    }

    fn skip_pieces(&mut self) -> Result<(), Error> {
        loop {
            let mut left = self.number(4)?;
            if left == 0 {
                return Ok(());
            }
            while left > 0 {
                let part = left.min(BUFFER as u64);
                self.take(part)?;
                left -= part;
            }
        }
    }

    fn names(&mut self) -> Result<Vec<Name>, Error> {
        let count = self.number(8)?;
        if count.saturating_mul(16) > self.length {
            return Err(Error::damaged(self.path, "it is too short"));
        }
        let mut names = Vec::with_capacity(usize::try_from(count).unwrap_or(0));
        let mut left = count;
        while left > 0 {
            let part = left.min(BUFFER as u64 / 16);
            names.extend_from_slice(self.take(part * 16)?.as_chunks::<16>().0);
            left -= part;
        }
        Ok(names)
    }

    fn end(mut self) -> Result<(), Error> {
        let hash = *self.hasher.finalize().as_bytes();
        let stored = self.take(32)?;
        if stored == hash && self.at == self.length {
            return Ok(());
        }
        Err(Error::damaged(self.path, "its bytes are not those that were written"))
    }
}
