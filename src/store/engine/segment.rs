//! A segment of the journal: a file of fixed size, filled with zeros when made, so that `fdatasync` need not
//! write the file's length. Its first 4 KiB say what it is:
//!
//! ```text
//! magic 4 | version 4 | store's id 16 | generation 8 | number 4 | 0 4 | identity 16 | size 8 | checksum 8
//! ```
//! The identity is random: a segment that was put in the place of another is not taken for it. Segments of
//! postern 0.1.0 have no such head: their records begin at 0.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use xxhash_rust::xxh3::xxh3_64;

use crate::store::base::env::{Disk, DiskFile};
use crate::store::engine::redo::BOUNDARY;

const MAGIC: &[u8; 4] = b"PJS1";
const VERSION: u32 = 1;
/// Bytes of the head, its checksum included.
const LENGTH: usize = 72;

/// What a segment says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::store) struct Title {
    pub(in crate::store) id: [u8; 16],
    pub(in crate::store) generation: u64,
    pub(in crate::store) number: u32,
    pub(in crate::store) identity: [u8; 16],
    pub(in crate::store) size: u64,
}

impl Title {
    pub(in crate::store) fn encode(&self) -> Vec<u8> {
        let mut out = MAGIC.to_vec();
        out.extend_from_slice(&VERSION.to_le_bytes());
        out.extend_from_slice(&self.id);
        out.extend_from_slice(&self.generation.to_le_bytes());
        out.extend_from_slice(&self.number.to_le_bytes());
        out.extend_from_slice(&[0; 4]);
        out.extend_from_slice(&self.identity);
        out.extend_from_slice(&self.size.to_le_bytes());
        out.extend_from_slice(&xxh3_64(&out).to_le_bytes());
        out
    }

    pub(in crate::store) fn decode(bytes: &[u8]) -> Option<Title> {
        let whole = bytes.get(..LENGTH)?;
        let (text, sum) = whole.split_at_checked(LENGTH - 8)?;
        let field = |at: usize, count: usize| text.get(at..at + count);
        if field(0, 4)? != MAGIC || xxh3_64(text).to_le_bytes() != sum {
            return None;
        }
        Some(Title {
            id: field(8, 16)?.try_into().ok()?,
            generation: u64::from_le_bytes(field(24, 8)?.try_into().ok()?),
            number: u32::from_le_bytes(field(32, 4)?.try_into().ok()?),
            identity: field(40, 16)?.try_into().ok()?,
            size: u64::from_le_bytes(field(56, 8)?.try_into().ok()?),
        })
    }
}

/// A segment, open.
#[derive(Clone)]
pub(super) struct Segment {
    pub(super) number: u32,
    pub(super) path: PathBuf,
    pub(super) file: Arc<dyn DiskFile>,
    /// None of one that was made by postern 0.1.0, was not finished, or is damaged.
    pub(super) title: Option<Title>,
    /// How long it was when it was opened or made ready: a power cut may have left it short, until its turn comes.
    pub(super) known_length: u64,
}

/// The number in a segment's file name.
pub(super) fn number_in(name: &str) -> Option<u32> {
    name.strip_suffix(".journal")?.parse().ok()
}

impl Segment {
    fn path(folder: &Path, number: u32) -> PathBuf {
        folder.join(format!("{number:04}.journal"))
    }

    /// Opens one that is there. `None` of an empty one: it was not finished, or strayed here.
    pub(super) fn open(disk: &dyn Disk, folder: &Path, number: u32) -> io::Result<Option<Segment>> {
        let path = Self::path(folder, number);
        let file = disk.open(&path, false)?;
        if file.is_empty()? {
            return Ok(None);
        }
        let known_length = file.len()?;
        let mut segment = Segment { number, path, file, title: None, known_length };
        segment.title = segment.title_on_disk()?;
        Ok(Some(segment))
    }

    /// What its file says of itself now.
    pub(super) fn title_on_disk(&self) -> io::Result<Option<Title>> {
        if self.file.len()? < BOUNDARY {
            return Ok(None);
        }
        let mut head = [0; LENGTH];
        read_patiently(&*self.file, 0, &mut head)?;
        Ok(Title::decode(&head))
    }

    /// Makes one: whole and durable before anything goes into it.
    pub(super) fn make(disk: &dyn Disk, folder: &Path, title: Title) -> io::Result<Segment> {
        let path = Self::path(folder, title.number);
        let file = disk.open(&path, true)?;
        let mut segment = Segment { number: title.number, path, file, title: None, known_length: 0 };
        segment.entitle(title)?;
        disk.sync_dir(folder)?;
        Ok(segment)
    }

    /// Gives one its head and its full size; what lies behind its first block stays.
    pub(super) fn entitle(&mut self, title: Title) -> io::Result<()> {
        let zeros = vec![0; 1 << 20];
        let mut at = self.file.len()?;
        while at < title.size {
            let count = (title.size - at).min(zeros.len() as u64);
            self.file.write_at(at, zeros.get(..count as usize).unwrap_or(&zeros))?;
            at += count;
        }
        let mut block = title.encode();
        block.resize(BOUNDARY as usize, 0);
        self.file.write_at(0, &block)?;
        self.file.sync()?;
        (self.title, self.known_length) = (Some(title), title.size);
        Ok(())
    }

    /// Its length, and whether it was longer once.
    pub(super) fn length(&self) -> io::Result<(u64, bool)> {
        let length = self.file.len()?;
        Ok((length, self.title.is_some_and(|title| title.size > length)))
    }

    /// Whether nothing but zeros lies behind a place.
    pub(super) fn is_blank_from(&self, mut at: u64) -> io::Result<bool> {
        let length = self.file.len()?;
        let mut buffer = vec![0; 256 << 10];
        while at < length {
            let count = (length - at).min(buffer.len() as u64);
            let Some(part) = buffer.get_mut(..count as usize) else { break };
            read_patiently(&*self.file, at, part)?;
            if part.iter().any(|byte| *byte != 0) {
                return Ok(false);
            }
            at += count;
        }
        Ok(true)
    }
}

/// Reads, and reads again where the disk gives an error: a card that failed once may not fail twice, and what
/// cannot be read now is not gone.
pub(super) fn read_patiently(file: &dyn DiskFile, at: u64, out: &mut [u8]) -> io::Result<()> {
    const TRIES: u32 = 4;
    let mut tried = 0;
    loop {
        match file.read_at(at, out) {
            Err(error) if tried + 1 < TRIES && error.kind() != io::ErrorKind::UnexpectedEof => {
                tried += 1;
                tracing::warn!(%error, tried, "reading the journal failed; it is read again");
                std::thread::sleep(std::time::Duration::from_millis(u64::from(10 * tried)));
            }
            other => return other,
        }
    }
}
