//! Rows as a stream of frames that show damage: what a catalogue's body is made of.
//!
//! A frame: raw length 4 | packed length 4 | xxh3 of both lengths and the packed bytes 8 | a zstd frame. Raw, it
//! is rows: table 1 | length of the key 4 | length of the value 4 | key | value. The last one has the raw length 0
//! and holds, as it is: rows 8 | their bytes 8 | BLAKE3 of everything before this frame 32.

use std::io::{self, Read, Write};

use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed};

use crate::store::base::error::Error;

/// Raw bytes after which a frame is written.
const FRAME: usize = 256 << 10;
/// No frame is larger: a row is at most a record of the journal (FORMAT.md, Journal).
const FRAME_MAX: usize = 4 << 20;
/// As the store compresses mail: fast.
const LEVEL: i32 = 3;
/// Bytes before a frame's own.
const HEAD: usize = 16;
/// Bytes before a row's key.
const ROW_HEAD: usize = 9;

/// What is called for each row, with its table's number, its key and its value.
pub(super) type Visit<'a> = dyn FnMut(u8, &[u8], &[u8]) -> Result<(), Error> + 'a;

/// How much there was.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Count {
    pub(super) rows: u64,
    pub(super) bytes: u64,
}

/// Writes rows as frames, and hashes all that it writes.
pub(super) struct FrameWriter<'a> {
    out: &'a mut dyn Write,
    hasher: blake3::Hasher,
    raw: Vec<u8>,
    count: Count,
}

impl<'a> FrameWriter<'a> {
    pub(super) fn new(out: &'a mut dyn Write) -> Self {
        let (hasher, raw, count) = (blake3::Hasher::new(), Vec::with_capacity(FRAME), Count::default());
        FrameWriter { out, hasher, raw, count }
    }

    /// Bytes outside of the frames: the head.
    pub(super) fn plain(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.hasher.update(bytes);
        self.out.write_all(bytes)
    }

    pub(super) fn row(&mut self, table: u8, key: &[u8], value: &[u8]) -> io::Result<()> {
        let length = |bytes: &[u8]| u32::try_from(bytes.len()).map_err(|_| io::ErrorKind::InvalidInput);
        let (key_length, value_length) = (length(key)?, length(value)?);
        if ROW_HEAD + key.len() + value.len() > FRAME_MAX - FRAME {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        self.raw.push(table);
        self.raw.extend_from_slice(&key_length.to_le_bytes());
        self.raw.extend_from_slice(&value_length.to_le_bytes());
        self.raw.extend_from_slice(key);
        self.raw.extend_from_slice(value);
        self.count.rows += 1;
        self.count.bytes += (key.len() + value.len()) as u64;
        if self.raw.len() >= FRAME { self.flush() } else { Ok(()) }
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.raw.is_empty() {
            return Ok(());
        }
        let packed = zstd::bulk::compress(&self.raw, LEVEL)?;
        let head = head(self.raw.len() as u32, &packed);
        self.plain(&head)?;
        self.plain(&packed)?;
        self.raw.clear();
        Ok(())
    }

    /// The end, without which what was written counts for nothing.
    pub(super) fn finish(mut self) -> io::Result<(Count, [u8; 32])> {
        self.flush()?;
        let hash = *self.hasher.finalize().as_bytes();
        let mut end = Vec::with_capacity(48);
        end.extend_from_slice(&self.count.rows.to_le_bytes());
        end.extend_from_slice(&self.count.bytes.to_le_bytes());
        end.extend_from_slice(&hash);
        self.out.write_all(&head(0, &end))?;
        self.out.write_all(&end)?;
        self.out.flush()?;
        Ok((self.count, hash))
    }
}

fn head(raw: u32, packed: &[u8]) -> [u8; HEAD] {
    let mut head = [0; HEAD];
    let sum = checksum(raw, packed);
    let fields = raw.to_le_bytes().into_iter().chain((packed.len() as u32).to_le_bytes());
    head.iter_mut().zip(fields.chain(sum.to_le_bytes())).for_each(|(to, from)| *to = from);
    head
}

fn checksum(raw: u32, packed: &[u8]) -> u64 {
    xxh3_64_with_seed(packed, u64::from(raw) << 32 | packed.len() as u64)
}

/// Reads what [`FrameWriter`] wrote.
pub(super) struct FrameReader<'a> {
    input: &'a mut dyn Read,
    hasher: blake3::Hasher,
}

impl<'a> FrameReader<'a> {
    pub(super) fn new(input: &'a mut dyn Read) -> Self {
        FrameReader { input, hasher: blake3::Hasher::new() }
    }

    /// Bytes outside of the frames.
    pub(super) fn plain(&mut self, count: usize) -> Result<Vec<u8>, Error> {
        let bytes = self.take(count)?;
        self.hasher.update(&bytes);
        Ok(bytes)
    }

    fn take(&mut self, count: usize) -> Result<Vec<u8>, Error> {
        let mut bytes = vec![0; count];
        self.input.read_exact(&mut bytes).map_err(|error| match error.kind() {
            io::ErrorKind::UnexpectedEof => damaged("it ends too early"),
            _ => Error::io("reading a catalogue", error),
        })?;
        Ok(bytes)
    }

    /// Gives every row to `visit`, each only after its frame was found whole; the end only shows whether all
    /// frames are there.
    pub(super) fn rows(mut self, visit: &mut Visit<'_>) -> Result<(Count, [u8; 32]), Error> {
        let mut count = Count::default();
        loop {
            let head = self.take(HEAD)?;
            let number = |at: usize| {
                head.get(at..at + 4).and_then(|part| part.try_into().ok()).map_or(0, u32::from_le_bytes)
            };
            let (raw, packed) = (number(0), number(4));
            if raw as usize > FRAME_MAX || packed as usize > FRAME_MAX + (FRAME_MAX >> 4) {
                return Err(damaged("a frame's length cannot be"));
            }
            let bytes = self.take(packed as usize)?;
            if head.get(8..) != Some(&checksum(raw, &bytes).to_le_bytes()) {
                return Err(damaged("a frame's checksum does not fit"));
            }
            if raw == 0 {
                return self.end(&bytes, count);
            }
            self.hasher.update(&head);
            self.hasher.update(&bytes);
            let rows = zstd::bulk::decompress(&bytes, raw as usize)
                .map_err(|_| damaged("a frame cannot be inflated"))?;
            visit_rows(&rows, &mut count, visit)?;
        }
    }

    fn end(self, end: &[u8], count: Count) -> Result<(Count, [u8; 32]), Error> {
        let hash = *self.hasher.finalize().as_bytes();
        let mut expected = count.rows.to_le_bytes().to_vec();
        expected.extend_from_slice(&count.bytes.to_le_bytes());
        expected.extend_from_slice(&hash);
        if end == expected { Ok((count, hash)) } else { Err(damaged("its parts do not belong together")) }
    }
}

fn visit_rows(mut rows: &[u8], count: &mut Count, visit: &mut Visit<'_>) -> Result<(), Error> {
    while !rows.is_empty() {
        let (table, key, value, rest) = split_row(rows).ok_or_else(|| damaged("a row cannot be read"))?;
        visit(table, key, value)?;
        count.rows += 1;
        count.bytes += (key.len() + value.len()) as u64;
        rows = rest;
    }
    Ok(())
}

#[allow(clippy::type_complexity)]
fn split_row(row: &[u8]) -> Option<(u8, &[u8], &[u8], &[u8])> {
    let (head, rest) = row.split_at_checked(ROW_HEAD)?;
    let length = |at: usize| Some(u32::from_le_bytes(head.get(at..at + 4)?.try_into().ok()?) as usize);
    let (key, rest) = rest.split_at_checked(length(1)?)?;
    let (value, rest) = rest.split_at_checked(length(5)?)?;
    Some((*head.first()?, key, value, rest))
}

/// Of a head's bytes.
pub(super) fn sum(bytes: &[u8]) -> u64 {
    xxh3_64(bytes)
}

pub(super) fn damaged(why: &str) -> Error {
    Error::Damaged(format!("a catalogue ({why})"))
}
