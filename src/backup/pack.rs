//! A pack: contents, or parts of large ones, one behind the other, and where each lies.
//!
//! `postern pack` 12 | version 4 | count of run keys 4 | each: id 8, length 4, the key, sealed (`age`) | entries |
//! index | tail. An entry: name 16 | run key's id 8, 0: not encrypted | raw length 4 (top bit: not compressed) |
//! length 4 | xxh3 of these fields and the bytes 8 | bytes: a zstd frame, sealed by ChaCha20-Poly1305 under the
//! BLAKE3 of the name, keyed with the run key (so that each key seals one thing, and an entry can be copied to
//! another pack without being opened). The index: for each entry name 16, offset 4, length 4. The tail: offset of
//! the index 8 | count of entries 4 | xxh3 of the index 8 | `pack end` 8. The file's name is the first half of its BLAKE3.

use std::io::Write;
use std::path::Path;
use std::sync::Arc;

use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed};

use super::folder::{Folder, NewFile};
use super::{Error, age, hex};
use crate::store::env::{Disk, DiskFile};

/// A pack is closed when it holds so much.
pub(super) const SIZE: u64 = 16 << 20;
/// Raw bytes of an entry at most: larger contents lie in parts.
pub(super) const PART: u64 = 4 << 20;
/// The ending of a pack's name.
pub(super) const ENDING: &str = ".pack";

const MAGIC: &[u8; 12] = b"postern pack";
const END: &[u8; 8] = b"pack end";
const VERSION: u32 = 1;
const ENTRY_HEAD: usize = 40;
const INDEX_ENTRY: usize = 24;
const TAIL: usize = 28;
/// A sealed run key is about 250 bytes long.
const SEALED_MAX: usize = 1024;
/// More run keys than entries that are rewritten in one run fit: no pack has.
const KEYS_MAX: u32 = 4096;
const AS_IT_IS: u32 = 1 << 31;
const LEVEL: i32 = 3;

/// What an entry is called.
pub(super) type Name = [u8; 16];

/// The name of a part of a content: without the key it tells nothing, not even whether a known message is there.
pub(super) fn name(naming: &[u8; 32], content: &[u8; 32], part: u32) -> Name {
    let mut hasher = blake3::Hasher::new_keyed(naming);
    hasher.update(content);
    hasher.update(&part.to_le_bytes());
    first_half(hasher.finalize().as_bytes())
}

pub(super) fn first_half(hash: &[u8; 32]) -> [u8; 16] {
    let mut half = [0; 16];
    half.iter_mut().zip(hash).for_each(|(to, from)| *to = *from);
    half
}

/// The key of all that one run adds; sealed, it lies in each pack that needs it.
#[derive(Clone)]
pub(super) struct RunKey {
    pub(super) id: u64,
    pub(super) key: [u8; 32],
    pub(super) sealed: Vec<u8>,
}

impl RunKey {
    pub(super) fn entry_key(key: &[u8; 32], name: &[u8]) -> [u8; 32] {
        *blake3::keyed_hash(key, name).as_bytes()
    }
}

/// Where an entry lies in its pack.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) name: Name,
    pub(super) offset: u32,
    pub(super) length: u32,
}

/// A pack that is being written.
pub(super) struct PackWriter {
    file: NewFile,
    at: u64,
    places: Vec<Place>,
}

impl PackWriter {
    pub(super) fn create(folder: &Folder, keys: &[(u64, Vec<u8>)]) -> Result<Self, Error> {
        let file = NewFile::create(&folder.disk, &folder.packs(), "pack".to_owned())?;
        let mut head = MAGIC.to_vec();
        head.extend_from_slice(&VERSION.to_le_bytes());
        head.extend_from_slice(&(keys.len() as u32).to_le_bytes());
        for (id, sealed) in keys {
            head.extend_from_slice(&id.to_le_bytes());
            head.extend_from_slice(&(sealed.len() as u32).to_le_bytes());
            head.extend_from_slice(sealed);
        }
        let mut writer = PackWriter { file, at: 0, places: Vec::new() };
        writer.put(&head)?;
        Ok(writer)
    }

    /// Adds an entry as [`encode`] made it, or as it lay in another pack.
    pub(super) fn add(&mut self, entry: &[u8]) -> Result<(), Error> {
        let name = entry.get(..16).and_then(|name| name.try_into().ok()).unwrap_or_default();
        let offset = u32::try_from(self.at)
            .map_err(|_| Error::damaged(self.file.path(), "it grew past what a pack can be"))?;
        self.places.push(Place { name, offset, length: entry.len() as u32 });
        self.put(entry)
    }

    pub(super) fn is_full(&self) -> bool {
        self.at >= SIZE
    }

    fn put(&mut self, bytes: &[u8]) -> Result<(), Error> {
        self.at += bytes.len() as u64;
        let written = self.file.write_all(bytes);
        written.map_err(Error::folder(self.file.path()))
    }

    /// Makes it durable; gives its name and what lies in it.
    pub(super) fn finish(mut self) -> Result<(String, Vec<Place>), Error> {
        let at = self.at;
        let mut index = Vec::with_capacity(self.places.len() * INDEX_ENTRY);
        for place in &self.places {
            index.extend_from_slice(&place.name);
            index.extend_from_slice(&place.offset.to_le_bytes());
            index.extend_from_slice(&place.length.to_le_bytes());
        }
        self.put(&index)?;
        let mut tail = at.to_le_bytes().to_vec();
        tail.extend_from_slice(&(self.places.len() as u32).to_le_bytes());
        tail.extend_from_slice(&xxh3_64(&index).to_le_bytes());
        tail.extend_from_slice(END);
        self.put(&tail)?;
        let name = hex(&first_half(&self.file.hash()));
        self.file.finish(&format!("{name}{ENDING}"))?;
        Ok((name, self.places))
    }
}

/// An entry of at most [`PART`] bytes.
pub(super) fn encode(name: &Name, raw: &[u8], run: Option<&RunKey>) -> Vec<u8> {
    let (flag, packed) = match zstd::bulk::compress(raw, LEVEL) {
        Ok(small) if small.len() < raw.len() => (0, small),
        _ => (AS_IT_IS, raw.to_vec()),
    };
    let (id, bytes) = match run {
        Some(run) => (run.id, age::seal(&RunKey::entry_key(&run.key, name), [0; 12], &packed)),
        None => (0, packed),
    };
    let mut entry = Vec::with_capacity(ENTRY_HEAD + bytes.len());
    entry.extend_from_slice(name);
    entry.extend_from_slice(&id.to_le_bytes());
    entry.extend_from_slice(&(raw.len() as u32 | flag).to_le_bytes());
    entry.extend_from_slice(&(bytes.len() as u32).to_le_bytes());
    let sum = xxh3_64_with_seed(&bytes, xxh3_64(&entry));
    entry.extend_from_slice(&sum.to_le_bytes());
    entry.extend_from_slice(&bytes);
    entry
}

/// An entry's bytes, if they are whole. `key` gives the run key of an id.
pub(super) fn decode(
    entry: &[u8],
    name: &Name,
    key: impl FnOnce(u64) -> Option<[u8; 32]>,
) -> Result<Vec<u8>, &'static str> {
    let (fields, sum, bytes) = split(entry).ok_or("an entry is too short")?;
    if fields.get(..16) != Some(name) || sum != xxh3_64_with_seed(bytes, xxh3_64(fields)) {
        return Err("an entry's checksum does not fit");
    }
    let id = fields.get(16..24).and_then(|id| id.try_into().ok()).map_or(0, u64::from_le_bytes);
    let raw = fields.get(24..28).and_then(|raw| raw.try_into().ok()).map_or(0, u32::from_le_bytes);
    let opened;
    let packed = match id {
        0 => bytes,
        id => {
            let key = key(id).ok_or("the key of an entry is missing")?;
            opened = age::open(&RunKey::entry_key(&key, name), [0; 12], bytes)
                .ok_or("an entry does not open with its key")?;
            &opened
        }
    };
    let length = (raw & !AS_IT_IS) as usize;
    if length as u64 > PART {
        return Err("an entry's length cannot be");
    }
    let raw = match raw & AS_IT_IS {
        0 => zstd::bulk::decompress(packed, length).map_err(|_| "an entry cannot be inflated")?,
        _ => packed.to_vec(),
    };
    if raw.len() == length { Ok(raw) } else { Err("an entry has another length than it says") }
}

/// Whether an entry's bytes are those that were written, whoever can open them.
pub(super) fn is_whole(entry: &[u8]) -> bool {
    split(entry).is_some_and(|(fields, sum, bytes)| sum == xxh3_64_with_seed(bytes, xxh3_64(fields)))
}

/// The run key that an entry needs; 0: none.
pub(super) fn key_of(entry: &[u8]) -> u64 {
    entry.get(16..24).and_then(|id| id.try_into().ok()).map_or(0, u64::from_le_bytes)
}

fn split(entry: &[u8]) -> Option<(&[u8], u64, &[u8])> {
    let (head, bytes) = entry.split_at_checked(ENTRY_HEAD)?;
    let (fields, sum) = head.split_at_checked(ENTRY_HEAD - 8)?;
    Some((fields, u64::from_le_bytes(sum.try_into().ok()?), bytes))
}

/// A pack that is read.
pub(super) struct Pack {
    file: Arc<dyn DiskFile>,
    path: std::path::PathBuf,
    length: u64,
}

impl Pack {
    pub(super) fn open(disk: &dyn Disk, path: &Path) -> Result<Self, Error> {
        let file = disk.open(path, false).map_err(Error::folder(path))?;
        let length = file.len().map_err(Error::folder(path))?;
        Ok(Pack { file, path: path.to_owned(), length })
    }

    pub(super) fn length(&self) -> u64 {
        self.length
    }

    fn read(&self, offset: u64, length: u64) -> Result<Vec<u8>, Error> {
        if offset.checked_add(length).is_none_or(|end| end > self.length) {
            return Err(Error::damaged(&self.path, "it is too short"));
        }
        let mut bytes = vec![0; usize::try_from(length).unwrap_or(0)];
        self.file.read_at(offset, &mut bytes).map_err(Error::folder(&self.path))?;
        Ok(bytes)
    }

    /// What lies in it.
    pub(super) fn places(&self) -> Result<Vec<Place>, Error> {
        let wrong = |why| Error::damaged(&self.path, why);
        let tail = self.read(self.length.saturating_sub(TAIL as u64), TAIL as u64)?;
        let number = |at: usize| {
            tail.get(at..at + 8).and_then(|part| part.try_into().ok()).map_or(0, u64::from_le_bytes)
        };
        let count = tail.get(8..12).and_then(|part| part.try_into().ok()).map_or(0, u32::from_le_bytes);
        let (at, sum) = (number(0), number(12));
        let length = u64::from(count) * INDEX_ENTRY as u64;
        if tail.get(20..) != Some(END) || at.checked_add(length) != Some(self.length - TAIL as u64) {
            return Err(wrong("it does not end as a pack"));
        }
        let index = self.read(at, length)?;
        if xxh3_64(&index) != sum {
            return Err(wrong("its index's checksum does not fit"));
        }
        let places = index.as_chunks::<INDEX_ENTRY>().0.iter().map(|entry| {
            let number = |at: usize| {
                entry.get(at..at + 4).and_then(|part| part.try_into().ok()).map_or(0, u32::from_le_bytes)
            };
            let name = entry.get(..16).and_then(|name| name.try_into().ok()).unwrap_or_default();
            Place { name, offset: number(16), length: number(20) }
        });
        Ok(places.collect())
    }

    /// The sealed run keys.
    pub(super) fn keys(&self) -> Result<Vec<(u64, Vec<u8>)>, Error> {
        let wrong = |why| Error::damaged(&self.path, why);
        let start = self.read(0, 20)?;
        let number = |bytes: &[u8]| bytes.try_into().map_or(0, u32::from_le_bytes);
        if start.get(..12) != Some(MAGIC) {
            return Err(wrong("it does not begin as a pack"));
        }
        if number(start.get(12..16).unwrap_or_default()) > VERSION {
            return Err(wrong("it is of a newer postern"));
        }
        let count = number(start.get(16..).unwrap_or_default());
        if count > KEYS_MAX {
            return Err(wrong("it does not begin as a pack"));
        }
        let (mut keys, mut at) = (Vec::new(), 20);
        for _ in 0..count {
            let head = self.read(at, 12)?;
            let (id, length) = head.split_at_checked(8).unwrap_or_default();
            let id = id.try_into().map_or(0, u64::from_le_bytes);
            let length = u64::from(number(length)).min(SEALED_MAX as u64);
            keys.push((id, self.read(at + 12, length)?));
            at += 12 + length;
        }
        Ok(keys)
    }

    /// An entry, as it lies there.
    pub(super) fn entry(&self, offset: u32, length: u32) -> Result<Vec<u8>, Error> {
        if u64::from(length) > PART + ENTRY_HEAD as u64 + (PART >> 3) {
            return Err(Error::damaged(&self.path, "an entry's length cannot be"));
        }
        self.read(u64::from(offset), u64::from(length))
    }

    /// Whether the whole file is as its name says.
    pub(super) fn verify(&self, name: &str) -> Result<(), Error> {
        let mut hasher = blake3::Hasher::new();
        let mut at = 0;
        while at < self.length {
            let part = self.read(at, (self.length - at).min(1 << 20))?;
            hasher.update(&part);
            at += part.len() as u64;
        }
        if hex(&first_half(hasher.finalize().as_bytes())) == name {
            return Ok(());
        }
        Err(Error::damaged(&self.path, "its bytes are not those that were written"))
    }
}
