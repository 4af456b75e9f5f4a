//! How a message lies in a volume.
//!
//! `head`: version 1 | flags 1 (1: compressed) | length of the header bytes 4 | count of frames 4 | length
//! of each frame 4 (top bit: stored as it is) | header bytes. The header bytes are the message's header
//! block, but at most [`HEAD_MAX`]; whatever follows is the rest.
//! `content`: the rest, cut every 128 KiB, each cut a zstd frame, so that a read of a range inflates no more
//! than it needs; the frames one behind the other, in pieces of 16,312 bytes, which with the checksum fill
//! a page of redb.
//! `digest`: version 1 | flags 1 | account 4 | email 8 | size 8 | hash 32 | thread 16 | length of the name 4
//! | mailbox name | length 4 | digest: enough to rebuild an index from volumes.

use std::ops::Range;

use crate::mail::digest::Digest;
use crate::model::{AccountId, ContentHash, ContentId, MailboxName};
use crate::store::base::codec::{self, Reader};
use crate::store::base::compression;
use crate::store::base::error::Error;
use crate::store::base::rows::VolumeRows;
use crate::store::base::schema::VolumeTable;
use crate::store::content::emails::EmailRow;
use crate::store::engine::database::CHECKSUM;

/// Header bytes kept in `head`; a longer header block goes on in `content`.
pub const HEAD_MAX: usize = 256 << 10;
/// Raw bytes of a frame.
pub const FRAME: usize = 128 << 10;
/// Bytes of a piece.
pub const PIECE: usize = 16_320 - CHECKSUM;
/// A digest that says to be larger is damaged: the digester bounds what it keeps.
const DIGEST_MAX: usize = 16 << 20;

const VERSION: u8 = 1;
const COMPRESSED: u8 = 1;
const AS_IT_IS: u32 = 1 << 31;

/// The key of an email's rows in `digest` and `head`.
#[must_use]
pub fn key(content: ContentId) -> [u8; 8] {
    content.0.to_be_bytes()
}

/// The key of a piece.
#[must_use]
pub fn piece_key(content: ContentId, n: u32) -> [u8; 12] {
    let mut key = [0; 12];
    let parts = content.0.to_be_bytes().into_iter().chain(n.to_be_bytes());
    key.iter_mut().zip(parts).for_each(|(to, from)| *to = from);
    key
}

/// Bytes, compressed if that pays.
pub(in crate::store) struct Squeezed {
    compressed: bool,
    /// What they are uncompressed.
    length: u32,
    bytes: Vec<u8>,
}

impl Squeezed {
    pub(in crate::store) fn new(bytes: &[u8]) -> Self {
        let (compressed, squeezed) = match compression::compress(bytes) {
            Ok(small) if small.len() < bytes.len() => (true, small),
            _ => (false, bytes.to_vec()),
        };
        Squeezed { compressed, length: bytes.len() as u32, bytes: squeezed }
    }

    fn flags(&self) -> u8 {
        if self.compressed { COMPRESSED } else { 0 }
    }
}

/// A frame of the rest, and what the head says of it.
pub(in crate::store) fn frame(raw: &[u8]) -> (u32, Vec<u8>) {
    match compression::compress(raw) {
        Ok(small) if small.len() < raw.len() => (small.len() as u32, small),
        _ => (raw.len() as u32 | AS_IT_IS, raw.to_vec()),
    }
}

/// The value in `head`.
pub(in crate::store) fn encode_head(header: &[u8], frames: &[u32]) -> Vec<u8> {
    let header = Squeezed::new(header);
    let mut out = vec![VERSION, header.flags()];
    out.extend_from_slice(&header.length.to_le_bytes());
    out.extend_from_slice(&(frames.len() as u32).to_le_bytes());
    frames.iter().for_each(|frame| out.extend_from_slice(&frame.to_le_bytes()));
    out.extend_from_slice(&header.bytes);
    out
}

/// The value in `digest`. Called in the writer, so the digest comes compressed.
pub(in crate::store) fn encode_digest(
    digest: &Squeezed,
    account: AccountId,
    mailbox: &MailboxName,
    email: ContentId,
    row: &EmailRow,
) -> Vec<u8> {
    let mut out = vec![VERSION, digest.flags()];
    out.extend_from_slice(&account.0.to_le_bytes());
    out.extend_from_slice(&email.0.to_le_bytes());
    out.extend_from_slice(&row.size.to_le_bytes());
    out.extend_from_slice(&row.hash.0);
    out.extend_from_slice(&row.thread);
    let name = mailbox.as_str().as_bytes();
    out.extend_from_slice(&(name.len() as u32).to_le_bytes());
    out.extend_from_slice(name);
    out.extend_from_slice(&digest.length.to_le_bytes());
    out.extend_from_slice(&digest.bytes);
    out
}

/// What a row of `digest` says of its message beside the digest: for whom it was filed first, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::store) struct Filing {
    pub(in crate::store) account: AccountId,
    pub(in crate::store) email: ContentId,
    pub(in crate::store) size: u64,
    pub(in crate::store) hash: ContentHash,
    pub(in crate::store) thread: [u8; 16],
    pub(in crate::store) mailbox: MailboxName,
    /// `None` if only the digest itself cannot be decoded.
    pub(in crate::store) digest: Option<Digest>,
}

/// A row of `digest`, taken apart.
pub(in crate::store) fn decode_filing(value: &[u8]) -> Option<Filing> {
    let mut value_left = value;
    let rest = &mut value_left;
    let (&[VERSION, _], _) = (take(rest, 2)?, ()) else { return None };
    Some(Filing {
        account: AccountId(number(rest)?),
        email: ContentId(u64::from_le_bytes(take(rest, 8)?.try_into().ok()?)),
        size: u64::from_le_bytes(take(rest, 8)?.try_into().ok()?),
        hash: ContentHash(take(rest, 32)?.try_into().ok()?),
        thread: take(rest, 16)?.try_into().ok()?,
        mailbox: {
            let length = number(rest)? as usize;
            MailboxName::new(std::str::from_utf8(take(rest, length)?).ok()?).ok()?
        },
        digest: decode_digest(value),
    })
}

fn damaged(row: &EmailRow) -> Error {
    Error::Damaged(format!("content {}", row.content))
}

fn take<'a>(bytes: &mut &'a [u8], count: usize) -> Option<&'a [u8]> {
    let (taken, rest) = bytes.split_at_checked(count)?;
    *bytes = rest;
    Some(taken)
}

fn number(bytes: &mut &[u8]) -> Option<u32> {
    Some(u32::from_le_bytes(take(bytes, 4)?.try_into().ok()?))
}

fn inflate(compressed: bool, bytes: &[u8], length: usize) -> Option<Vec<u8>> {
    let raw = if compressed { compression::decompress(bytes, length).ok()? } else { bytes.to_vec() };
    (raw.len() == length).then_some(raw)
}

/// Whether a value of a volume is of a version that this program reads.
fn known_version(row: &EmailRow, value: &[u8]) -> Result<(), Error> {
    codec::version(&mut Reader::new(value), VERSION, &|| format!("content {}", row.content)).map(drop)
}

/// The digest of a content.
pub(in crate::store) fn digest(volumes: &dyn VolumeRows, row: &EmailRow) -> Result<Digest, Error> {
    let value = volumes.get_row(row.digest_volume, VolumeTable::Digest, &key(row.content))?;
    let value = value.ok_or_else(|| damaged(row))?;
    known_version(row, &value)?;
    decode_digest(&value).ok_or_else(|| damaged(row))
}

/// For whom a content was filed first, and where.
pub(in crate::store) fn filing(volumes: &dyn VolumeRows, row: &EmailRow) -> Result<Filing, Error> {
    let value = volumes.get_row(row.digest_volume, VolumeTable::Digest, &key(row.content))?;
    value.as_deref().and_then(decode_filing).ok_or_else(|| damaged(row))
}

/// Bytes that a content takes in its volume.
pub(in crate::store) fn stored(volumes: &dyn VolumeRows, row: &EmailRow) -> Result<u64, Error> {
    let mut sum = 0;
    let mut add = |table: VolumeTable, key: &[u8]| -> Result<(), Error> {
        let value = volumes.get_row(row.content_volume, table, key)?;
        sum += (key.len() + value.map_or(0, |value| value.len())) as u64;
        Ok(())
    };
    add(VolumeTable::Digest, &key(row.content))?;
    add(VolumeTable::Head, &key(row.content))?;
    for n in 0..pieces(volumes, row)? {
        add(VolumeTable::Content, &piece_key(row.content, n))?;
    }
    Ok(sum)
}

fn decode_digest(mut value: &[u8]) -> Option<Digest> {
    let rest = &mut value;
    let (&[VERSION, flags], _) = (take(rest, 2)?, ()) else { return None };
    take(rest, 4 + 8 + 8 + 32 + 16)?;
    let name = number(rest)? as usize;
    take(rest, name)?;
    let length = number(rest)? as usize;
    if length > DIGEST_MAX {
        return None;
    }
    crate::mail::digest::Digest::decode(&inflate(flags & COMPRESSED != 0, rest, length)?)
}

struct Head {
    header: Vec<u8>,
    frames: Vec<u32>,
}

/// Reads a content from front to back: what was inflated last is kept, so that each frame is inflated once.
#[derive(Default)]
pub struct Reading {
    head: Option<(ContentId, Head)>,
    frame: Option<(usize, Vec<u8>)>,
}

impl Reading {
    /// As [`read_on`]; nothing is kept of what could not be read.
    pub(in crate::store) fn read(
        &mut self,
        volumes: &dyn VolumeRows,
        row: &EmailRow,
        range: Range<u64>,
        out: &mut Vec<u8>,
    ) -> Result<(), Error> {
        let read = read_on(volumes, row, self, range, out);
        if read.is_err() {
            *self = Reading::default();
        }
        read
    }

    fn head(&mut self, volumes: &dyn VolumeRows, row: &EmailRow) -> Result<&Head, Error> {
        match &mut self.head {
            Some((content, _)) if *content == row.content => {}
            other => {
                self.frame = None;
                *other = Some((row.content, head(volumes, row)?));
            }
        }
        self.head.as_ref().map(|(_, head)| head).ok_or_else(|| damaged(row))
    }

    fn frame(&mut self, volumes: &dyn VolumeRows, row: &EmailRow, n: usize) -> Result<&[u8], Error> {
        let kept = self.frame.take().filter(|(number, _)| *number == n);
        let raw = match kept {
            Some((_, raw)) => raw,
            None => read_frame(volumes, row, self.head(volumes, row)?, n)?,
        };
        Ok(&self.frame.insert((n, raw)).1)
    }
}

fn head(volumes: &dyn VolumeRows, row: &EmailRow) -> Result<Head, Error> {
    let value = volumes.get_row(row.content_volume, VolumeTable::Head, &key(row.content))?;
    let value = value.ok_or_else(|| damaged(row))?;
    known_version(row, &value)?;
    decode_head(&value).ok_or_else(|| damaged(row))
}

fn decode_head(mut value: &[u8]) -> Option<Head> {
    let rest = &mut value;
    let (&[VERSION, flags], _) = (take(rest, 2)?, ()) else { return None };
    let length = number(rest)? as usize;
    let count = number(rest)? as usize;
    let mut table = take(rest, count.checked_mul(4)?)?;
    let mut frames = Vec::with_capacity(count);
    while let Some(frame) = number(&mut table) {
        frames.push(frame);
    }
    if length > HEAD_MAX {
        return None;
    }
    Some(Head { header: inflate(flags & COMPRESSED != 0, rest, length)?, frames })
}

/// Appends the bytes of a range, clipped to the message.
pub(in crate::store) fn read(
    volumes: &dyn VolumeRows,
    row: &EmailRow,
    range: Range<u64>,
    out: &mut Vec<u8>,
) -> Result<(), Error> {
    read_on(volumes, row, &mut Reading::default(), range, out)
}

/// As [`read`], going on where another range was read.
fn read_on(
    volumes: &dyn VolumeRows,
    row: &EmailRow,
    reading: &mut Reading,
    range: Range<u64>,
    out: &mut Vec<u8>,
) -> Result<(), Error> {
    let (start, end) = (range.start, range.end.min(row.size));
    if start >= end {
        return Ok(());
    }
    let head = reading.head(volumes, row)?;
    let split = head.header.len() as u64;
    if start < split {
        let part = start as usize..end.min(split) as usize;
        out.extend_from_slice(head.header.get(part).ok_or_else(|| damaged(row))?);
    }
    let mut at = start.max(split);
    while at < end {
        let n = ((at - split) / FRAME as u64) as usize;
        let raw = reading.frame(volumes, row, n)?;
        let first = split + n as u64 * FRAME as u64;
        let part = (at - first) as usize..raw.len().min((end - first) as usize);
        let bytes = raw.get(part).filter(|bytes| !bytes.is_empty()).ok_or_else(|| damaged(row))?;
        out.extend_from_slice(bytes);
        at += bytes.len() as u64;
    }
    Ok(())
}

/// Reads the rows that hold a range, whose checksums are compared, and inflates nothing.
pub(super) fn probe(
    volumes: &dyn VolumeRows,
    row: &EmailRow,
    reading: &mut Reading,
    range: Range<u64>,
) -> Result<(), Error> {
    let head = reading.head(volumes, row)?;
    let split = head.header.len() as u64;
    let (start, end) = (range.start.max(split), range.end.min(row.size));
    if start >= end {
        return Ok(());
    }
    let offset = |frame: u64| -> u64 {
        let before = head.frames.iter().take(usize::try_from(frame).unwrap_or(usize::MAX));
        before.map(|frame| u64::from(*frame & !AS_IT_IS)).sum()
    };
    let from = offset((start - split) / FRAME as u64);
    let until = offset((end - 1 - split) / FRAME as u64 + 1);
    for n in from / PIECE as u64..until.div_ceil(PIECE as u64) {
        let n = u32::try_from(n).map_err(|_| damaged(row))?;
        let key = piece_key(row.content, n);
        volumes.get_row(row.content_volume, VolumeTable::Content, &key)?.ok_or_else(|| damaged(row))?;
    }
    Ok(())
}

fn read_frame(volumes: &dyn VolumeRows, row: &EmailRow, head: &Head, n: usize) -> Result<Vec<u8>, Error> {
    let length = |frame: &u32| u64::from(*frame & !AS_IT_IS);
    let entry = *head.frames.get(n).ok_or_else(|| damaged(row))?;
    let mut at: u64 = head.frames.iter().take(n).map(length).sum();
    let end = at + length(&entry);
    let rest = row.size - (head.header.len() as u64).min(row.size);
    let raw = rest.saturating_sub(n as u64 * FRAME as u64).min(FRAME as u64) as usize;
    if length(&entry) > FRAME as u64 {
        return Err(damaged(row));
    }
    let mut bytes = Vec::with_capacity(length(&entry) as usize);
    while at < end {
        let piece = u32::try_from(at / PIECE as u64).map_err(|_| damaged(row))?;
        let value = volumes
            .get_row(row.content_volume, VolumeTable::Content, &piece_key(row.content, piece))?
            .ok_or_else(|| damaged(row))?;
        let from = (at % PIECE as u64) as usize;
        let until = value.len().min(from + (end - at) as usize);
        let part = value.get(from..until).filter(|part| !part.is_empty()).ok_or_else(|| damaged(row))?;
        bytes.extend_from_slice(part);
        at += part.len() as u64;
    }
    inflate(entry & AS_IT_IS == 0, &bytes, raw).ok_or_else(|| damaged(row))
}

/// How many pieces a content has.
pub(in crate::store) fn pieces(volumes: &dyn VolumeRows, row: &EmailRow) -> Result<u32, Error> {
    let bytes: u64 = head(volumes, row)?.frames.iter().map(|frame| u64::from(*frame & !AS_IT_IS)).sum();
    u32::try_from(bytes.div_ceil(PIECE as u64)).map_err(|_| damaged(row))
}

/// Reads all of a message and its digest, and compares its hash.
pub(in crate::store) fn verify(volumes: &dyn VolumeRows, row: &EmailRow) -> Result<(), Error> {
    digest(volumes, row)?;
    verify_bytes(volumes, row)
}

/// Reads everything back and compares the hash.
pub(in crate::store) fn verify_bytes(volumes: &dyn VolumeRows, row: &EmailRow) -> Result<(), Error> {
    let mut hasher = blake3::Hasher::new();
    let head = head(volumes, row)?;
    hasher.update(&head.header);
    let mut size = head.header.len() as u64;
    for n in 0..head.frames.len() {
        let raw = read_frame(volumes, row, &head, n)?;
        hasher.update(&raw);
        size += raw.len() as u64;
    }
    if size != row.size {
        return Err(damaged(row));
    }
    if hasher.finalize().as_bytes() == &row.hash.0 { Ok(()) } else { Err(damaged(row)) }
}
