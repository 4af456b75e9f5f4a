//! The bytes of a literal that FETCH has announced, piece by piece; and how long one will be that is decoded.

use std::ops::Range;

use crate::imap::connection::CHUNK;
use crate::mail::transfer::{Decoder, Encoding};
use crate::model::ContentId;
use crate::store::contents::Reading;
use crate::store::{Error, Snapshot};

/// NUL cannot be in a literal (RFC 9051 §9, `CHAR8`); it goes out as this, so that no length changes.
const FOR_NUL: u8 = 0x80;

/// A longer range is checked piece by piece before it is announced ([`Check`]).
const SHORT: u64 = 128 * 1024;

/// So much of a range is checked in one piece.
const CHECKED: u64 = 1 << 20;

/// What is left of a literal.
pub struct Literal {
    source: Range<u64>,
    reading: Reading,
    decoding: Option<Decoding>,
}

/// Finds out whether a long range can be read, before it is announced: a literal is never padded, so that whoever
/// was promised more than there is can only be cut off.
pub struct Check {
    source: Range<u64>,
    left: Range<u64>,
    reading: Reading,
}

impl Check {
    /// What a step reads, in pieces of [`CHUNK`].
    pub const PIECES: usize = (CHECKED / CHUNK as u64) as usize;

    /// Of bytes as they are.
    #[must_use]
    pub fn new(source: Range<u64>) -> Self {
        Check { left: source.clone(), source, reading: Reading::default() }
    }

    /// Checks the next piece. Whether there is more.
    ///
    /// # Errors
    /// Of reading.
    pub fn step(&mut self, snapshot: &Snapshot, email: ContentId) -> Result<bool, Error> {
        let end = self.left.end.min(self.left.start.saturating_add(CHECKED));
        snapshot.probe(email, &mut self.reading, self.left.start..end)?;
        self.left.start = end;
        Ok(!self.left.is_empty())
    }

    /// What was checked, as a literal.
    #[must_use]
    pub fn into_literal(self) -> Literal {
        Literal { source: self.source, reading: self.reading, decoding: None }
    }

    /// Its length.
    #[must_use]
    pub fn length(&self) -> u64 {
        self.source.end - self.source.start
    }
}

/// A part that is decoded on its way (BINARY).
struct Decoding {
    decoder: Option<Decoder>,
    /// Decoded bytes that the client does not want.
    skip: u64,
    /// Bytes that are still to be written.
    left: u64,
}

impl Literal {
    /// Bytes as they are, of a range that is short enough to be checked at once: the two frames that it can touch
    /// are inflated. `None` for one that is longer, which wants a [`Check`].
    ///
    /// # Errors
    /// Of reading.
    pub fn short(snapshot: &Snapshot, email: ContentId, source: Range<u64>) -> Result<Option<Self>, Error> {
        snapshot.check_suspect(email)?;
        if source.end - source.start > SHORT {
            return Ok(None);
        }
        let mut reading = Reading::default();
        let last = source.end.saturating_sub(1).max(source.start);
        // What is read last is kept for what follows.
        for at in [last, source.start] {
            let byte = at..source.end.min(at.saturating_add(1));
            snapshot.read_on(email, &mut reading, byte, &mut Vec::new())?;
        }
        Ok(Some(Literal { source, reading, decoding: None }))
    }

    /// Writes the next piece. Whether there is more.
    ///
    /// # Errors
    /// Of reading.
    pub fn write(&mut self, snapshot: &Snapshot, email: ContentId, out: &mut Vec<u8>) -> Result<bool, Error> {
        let piece = next_piece(&mut self.source);
        let Some(decoding) = &mut self.decoding else {
            let before = out.len();
            read_all(snapshot, email, &mut self.reading, piece, out)?;
            hide_nul(&mut out[before..]);
            return Ok(!self.source.is_empty());
        };
        if decoding.left == 0 {
            return Ok(false);
        }
        let mut decoded = Vec::new();
        if piece.is_empty() {
            if let Some(decoder) = decoding.decoder.take() {
                let _ = decoder.finish(&mut decoded);
            }
            decoding.emit(&decoded, out);
            // The length was counted in the same way: it can only differ if the content has changed.
            return if decoding.left == 0 { Ok(false) } else { Err(Error::DamagedEmail(email)) };
        }
        let mut raw = Vec::with_capacity(CHUNK);
        read_all(snapshot, email, &mut self.reading, piece, &mut raw)?;
        if let Some(decoder) = &mut decoding.decoder {
            let _ = decoder.push(&raw, &mut decoded);
        }
        decoding.emit(&decoded, out);
        Ok(decoding.left > 0)
    }
}

impl Decoding {
    fn emit(&mut self, decoded: &[u8], out: &mut Vec<u8>) {
        let skipped = usize::try_from(self.skip).unwrap_or(usize::MAX).min(decoded.len());
        self.skip -= skipped as u64;
        let rest = &decoded[skipped..];
        let taken = usize::try_from(self.left).unwrap_or(usize::MAX).min(rest.len());
        out.extend_from_slice(&rest[..taken]);
        self.left -= taken as u64;
    }
}

/// Bytes of a header that are at hand, as they may go out in a literal.
pub fn hide_nul(bytes: &mut [u8]) {
    if bytes.contains(&0) {
        bytes.iter_mut().filter(|byte| **byte == 0).for_each(|byte| *byte = FOR_NUL);
    }
}

/// Takes the next piece off a range.
fn next_piece(source: &mut Range<u64>) -> Range<u64> {
    let piece = source.start..source.end.min(source.start.saturating_add(CHUNK as u64));
    source.start = piece.end;
    piece
}

/// Reads a range that must be there.
fn read_all(
    snapshot: &Snapshot,
    email: ContentId,
    reading: &mut Reading,
    range: Range<u64>,
    out: &mut Vec<u8>,
) -> Result<(), Error> {
    let before = out.len();
    let wanted = range.end - range.start;
    snapshot.read_on(email, reading, range, out)?;
    if (out.len() - before) as u64 == wanted { Ok(()) } else { Err(Error::DamagedEmail(email)) }
}

/// Finds out how long a part's body is once it is decoded: it has to be said before the first byte, so that
/// it is decoded twice; nothing of it is kept.
pub struct Measure {
    encoding: Encoding,
    lines: bool,
    source: Range<u64>,
    left: Range<u64>,
    reading: Reading,
    decoder: Decoder,
    size: u64,
    has_nul: bool,
}

/// What [`Measure`] found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Measured {
    /// The decoded length.
    pub size: u64,
    /// It has a NUL, so that only a literal8 can hold it.
    pub has_nul: bool,
}

impl Measure {
    /// Of a part's body; the line ends of one that has `lines` are CRLF once it is decoded (RFC 9051 §7.5.2).
    ///
    /// # Errors
    /// `UnknownEncoding` if it is none that is known (UNKNOWN-CTE).
    pub fn new(source: Range<u64>, encoding: Encoding, lines: bool) -> Result<Self, Error> {
        if encoding == Encoding::Unknown {
            return Err(Error::UnknownEncoding);
        }
        let left = source.clone();
        let (reading, decoder) = (Reading::default(), Decoder::with_lines(encoding, lines));
        Ok(Measure { encoding, lines, source, left, reading, decoder, size: 0, has_nul: false })
    }

    /// Reads the next piece of about [`CHUNK`]; the answer when there is no more.
    ///
    /// # Errors
    /// Of reading.
    pub fn step(&mut self, snapshot: &Snapshot, email: ContentId) -> Result<Option<Measured>, Error> {
        let piece = next_piece(&mut self.left);
        let (mut raw, mut decoded) = (Vec::with_capacity(CHUNK), Vec::new());
        if piece.is_empty() {
            let decoder = std::mem::replace(&mut self.decoder, Decoder::new(self.encoding));
            let _ = decoder.finish(&mut decoded);
            self.count(&decoded);
            return Ok(Some(Measured { size: self.size, has_nul: self.has_nul }));
        }
        read_all(snapshot, email, &mut self.reading, piece, &mut raw)?;
        let _ = self.decoder.push(&raw, &mut decoded);
        self.count(&decoded);
        Ok(None)
    }

    fn count(&mut self, decoded: &[u8]) {
        self.size += decoded.len() as u64;
        self.has_nul = self.has_nul || decoded.contains(&0);
    }

    /// What was measured, as a literal: `length` decoded bytes from `offset`.
    #[must_use]
    pub fn into_literal(self, offset: u64, length: u64) -> Literal {
        let decoder = Some(Decoder::with_lines(self.encoding, self.lines));
        let decoding = Decoding { decoder, skip: offset, left: length };
        Literal { source: self.source, reading: self.reading, decoding: Some(decoding) }
    }
}
