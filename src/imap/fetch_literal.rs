//! The bytes of a literal that FETCH has announced, piece by piece.

use std::ops::Range;

use crate::imap::connection::CHUNK;
use crate::mail::transfer::{Decoder, Encoding};
use crate::model::EmailId;
use crate::store::{Error, Snapshot};

/// What is left of a literal.
pub struct Literal {
    source: Range<u64>,
    decoding: Option<Decoding>,
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
    /// Bytes as they are. The first of them are read once, so that damage is met before they are announced.
    ///
    /// # Errors
    /// Of reading.
    pub fn raw(snapshot: &Snapshot, email: EmailId, source: Range<u64>) -> Result<Self, Error> {
        let first = source.start..source.end.min(source.start.saturating_add(1));
        snapshot.read(email, first, &mut Vec::new())?;
        Ok(Literal { source, decoding: None })
    }

    /// A part's body, decoded: `length` bytes from `offset`.
    #[must_use]
    pub fn decoded(source: Range<u64>, encoding: Encoding, offset: u64, length: u64) -> Self {
        let decoding = Decoding { decoder: Some(Decoder::new(encoding)), skip: offset, left: length };
        Literal { source, decoding: Some(decoding) }
    }

    /// Writes the next piece. Whether there is more.
    ///
    /// # Errors
    /// Of reading.
    pub fn write(&mut self, snapshot: &Snapshot, email: EmailId, out: &mut Vec<u8>) -> Result<bool, Error> {
        let end = self.source.end.min(self.source.start.saturating_add(CHUNK as u64));
        let piece = self.source.start..end;
        let Some(decoding) = &mut self.decoding else {
            let before = out.len();
            snapshot.read(email, piece.clone(), out)?;
            if (out.len() - before) as u64 != piece.end - piece.start {
                return Err(Error::DamagedEmail(email));
            }
            self.source.start = end;
            return Ok(end < self.source.end);
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
        snapshot.read(email, piece, &mut raw)?;
        if let Some(decoder) = &mut decoding.decoder {
            let _ = decoder.push(&raw, &mut decoded);
        }
        self.source.start = end;
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

/// How long a part's body is once it is decoded: it has to be said before the first byte, so that it is
/// decoded twice; nothing of it is kept.
///
/// # Errors
/// `Refused` if its encoding is unknown (UNKNOWN-CTE); of reading.
pub fn binary_size(
    snapshot: &Snapshot,
    email: EmailId,
    source: Range<u64>,
    encoding: Encoding,
) -> Result<u64, Error> {
    match encoding {
        Encoding::Identity => return Ok(source.end - source.start),
        Encoding::Unknown => return Err(Error::Refused(UNKNOWN_CTE)),
        Encoding::Base64 | Encoding::QuotedPrintable => {}
    }
    let (mut size, mut at) = (0, source.start);
    let mut decoder = Decoder::new(encoding);
    let (mut raw, mut decoded) = (Vec::with_capacity(CHUNK), Vec::new());
    while at < source.end {
        let end = source.end.min(at.saturating_add(CHUNK as u64));
        raw.clear();
        decoded.clear();
        snapshot.read(email, at..end, &mut raw)?;
        let _ = decoder.push(&raw, &mut decoded);
        size += decoded.len() as u64;
        at = end;
    }
    decoded.clear();
    let _ = decoder.finish(&mut decoded);
    Ok(size + decoded.len() as u64)
}

/// What the refusal of an unknown transfer encoding says; the session gives it its response code.
pub const UNKNOWN_CTE: &str = "a part's transfer encoding is not known: fetch it with BODY instead";
