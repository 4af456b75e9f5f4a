//! The bytes of rows: little-endian fields behind a version byte, and big-endian keys, so that rows sort
//! as their numbers do. What cannot be read is damage, never a panic.

use crate::model::{MailboxName, UidSet};
use crate::store::base::error::Error;

/// The version of every record in this format.
const VERSION: u8 = 1;

/// Builds a value.
pub(in crate::store) struct Writer(Vec<u8>);

impl Writer {
    pub(in crate::store) fn new() -> Self {
        Writer::of_version(VERSION)
    }

    /// A record of a type that was changed since the first format.
    pub(in crate::store) fn of_version(version: u8) -> Self {
        Writer(vec![version])
    }

    pub(in crate::store) fn u8(mut self, value: u8) -> Self {
        self.0.push(value);
        self
    }

    pub(in crate::store) fn u32(mut self, value: u32) -> Self {
        self.0.extend_from_slice(&value.to_le_bytes());
        self
    }

    pub(in crate::store) fn u64(mut self, value: u64) -> Self {
        self.0.extend_from_slice(&value.to_le_bytes());
        self
    }

    pub(in crate::store) fn i64(self, value: i64) -> Self {
        self.u64(value as u64)
    }

    pub(in crate::store) fn raw(mut self, bytes: &[u8]) -> Self {
        self.0.extend_from_slice(bytes);
        self
    }

    /// Bytes with their length before them.
    pub(in crate::store) fn bytes(self, bytes: &[u8]) -> Self {
        self.varint(bytes.len() as u64).raw(bytes)
    }

    pub(in crate::store) fn option<T>(self, value: Option<T>, write: impl FnOnce(Self, T) -> Self) -> Self {
        match value {
            None => self.u8(0),
            Some(value) => write(self.u8(1), value),
        }
    }

    pub(in crate::store) fn varint(mut self, value: u64) -> Self {
        push_varint(&mut self.0, value);
        self
    }

    /// A set as the distance from each range to the next, and its length.
    pub(in crate::store) fn uids(mut self, set: &UidSet) -> Self {
        push_varint(&mut self.0, set.ranges().len() as u64);
        let mut before = 0;
        for range in set.ranges() {
            push_varint(&mut self.0, u64::from(range.start() - before));
            push_varint(&mut self.0, u64::from(range.end() - range.start()));
            before = *range.end();
        }
        self
    }

    pub(in crate::store) fn finish(self) -> Vec<u8> {
        self.0
    }
}

fn push_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Takes a value apart; every step is `None` where the bytes do not fit.
pub(in crate::store) struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    pub(in crate::store) fn new(bytes: &'a [u8]) -> Self {
        Reader(bytes)
    }

    pub(in crate::store) fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    pub(in crate::store) fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.take(N)?.try_into().ok()
    }

    pub(in crate::store) fn u8(&mut self) -> Option<u8> {
        self.array().map(u8::from_le_bytes)
    }

    pub(in crate::store) fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_le_bytes)
    }

    pub(in crate::store) fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_le_bytes)
    }

    pub(in crate::store) fn i64(&mut self) -> Option<i64> {
        self.array().map(i64::from_le_bytes)
    }

    pub(in crate::store) fn flag(&mut self) -> Option<bool> {
        match self.u8()? {
            0 => Some(false),
            1 => Some(true),
            _ => None,
        }
    }

    pub(in crate::store) fn bytes(&mut self) -> Option<&'a [u8]> {
        let count = usize::try_from(self.varint()?).ok()?;
        self.take(count)
    }

    pub(in crate::store) fn text(&mut self) -> Option<&'a str> {
        std::str::from_utf8(self.bytes()?).ok()
    }

    pub(in crate::store) fn name(&mut self) -> Option<MailboxName> {
        MailboxName::new(self.text()?).ok()
    }

    pub(in crate::store) fn option<T>(
        &mut self,
        read: impl FnOnce(&mut Self) -> Option<T>,
    ) -> Option<Option<T>> {
        if self.flag()? { read(self).map(Some) } else { Some(None) }
    }

    pub(in crate::store) fn varint(&mut self) -> Option<u64> {
        let mut value = 0_u64;
        for shift in (0..64).step_by(7) {
            let byte = self.u8()?;
            let bits = u64::from(byte & 0x7f);
            if bits << shift >> shift != bits {
                return None;
            }
            value |= bits << shift;
            if byte & 0x80 == 0 {
                return Some(value);
            }
        }
        None
    }

    pub(in crate::store) fn uids(&mut self) -> Option<UidSet> {
        let mut set = UidSet::new();
        let mut before = 0_u64;
        for _ in 0..self.varint()? {
            let start = before.checked_add(self.varint()?)?;
            let end = start.checked_add(self.varint()?)?;
            if start <= before && before > 0 || start == 0 {
                return None;
            }
            set.insert_range(u32::try_from(start).ok()?..=u32::try_from(end).ok()?);
            before = end;
        }
        Some(set)
    }

    /// What is left.
    pub(in crate::store) fn rest(&mut self) -> &'a [u8] {
        std::mem::take(&mut self.0)
    }

    pub(in crate::store) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// Decodes a whole value of a type that was never changed.
///
/// # Errors
/// As [`decode_up_to`].
pub(in crate::store) fn decode<'a, T>(
    what: &str,
    bytes: &'a [u8],
    read: impl FnOnce(&mut Reader<'a>) -> Option<T>,
) -> Result<T, Error> {
    decode_up_to(VERSION, &|| what.to_owned(), bytes, |_, reader| read(reader))
}

/// Decodes a whole value: `read` is told which version it has before it.
///
/// # Errors
/// [`Error::Newer`] if its version is above `newest`; [`Error::Damaged`] if it is too short, too long, or `read`
/// finds it wrong.
pub(in crate::store) fn decode_up_to<'a, T>(
    newest: u8,
    what: &dyn Fn() -> String,
    bytes: &'a [u8],
    read: impl FnOnce(u8, &mut Reader<'a>) -> Option<T>,
) -> Result<T, Error> {
    let mut reader = Reader::new(bytes);
    let version = version(&mut reader, newest, what)?;
    let value = read(version, &mut reader).filter(|_| reader.is_empty());
    value.ok_or_else(|| Error::Damaged(what()))
}

/// Takes the version before a value. A row's checksum was checked before, so a number that is too large is no
/// damage.
///
/// # Errors
/// As [`decode_up_to`].
pub(in crate::store) fn version(
    reader: &mut Reader<'_>,
    newest: u8,
    what: &dyn Fn() -> String,
) -> Result<u8, Error> {
    match reader.u8() {
        Some(version) if version > newest => Err(Error::Newer(what())),
        Some(version) if version >= VERSION => Ok(version),
        _ => Err(Error::Damaged(what())),
    }
}

/// A key of two numbers.
pub(in crate::store) fn pair(first: u32, second: u32) -> [u8; 8] {
    (u64::from(first) << 32 | u64::from(second)).to_be_bytes()
}

/// The key behind that of the two numbers: an upper bound that includes it.
pub(in crate::store) fn behind_pair(first: u32, second: u32) -> [u8; 8] {
    (u64::from(first) << 32 | u64::from(second)).saturating_add(1).to_be_bytes()
}

/// A key of an id and a modseq.
pub(in crate::store) fn with_modseq(id: u32, modseq: u64) -> [u8; 12] {
    let mut key = [0; 12];
    key[..4].copy_from_slice(&id.to_be_bytes());
    key[4..].copy_from_slice(&modseq.to_be_bytes());
    key
}

/// A key of an id, a modseq and a number.
pub(in crate::store) fn with_number(id: u32, modseq: u64, number: u32) -> [u8; 16] {
    let mut key = [0; 16];
    key[..12].copy_from_slice(&with_modseq(id, modseq));
    key[12..].copy_from_slice(&number.to_be_bytes());
    key
}

/// A key of an id and text.
pub(in crate::store) fn with_text(id: u32, text: &[u8]) -> Vec<u8> {
    let mut key = id.to_be_bytes().to_vec();
    key.extend_from_slice(text);
    key
}

/// The bounds of all keys that begin with an id.
pub(in crate::store) fn all_of(id: u32) -> ([u8; 4], Vec<u8>) {
    // No id ever reaches u32::MAX; if one did, no key's text begins with a byte 255.
    let high = id.checked_add(1).map_or_else(|| vec![0xff; 16], |next| next.to_be_bytes().to_vec());
    (id.to_be_bytes(), high)
}

/// Reads a key as it was made.
pub(in crate::store) fn decode_key<T>(
    what: &str,
    key: &[u8],
    read: impl FnOnce(&mut KeyReader<'_>) -> Option<T>,
) -> Result<T, Error> {
    let mut reader = KeyReader(Reader::new(key));
    read(&mut reader).filter(|_| reader.0.is_empty()).ok_or_else(|| Error::Damaged(what.to_owned()))
}

/// Takes a key apart.
pub(in crate::store) struct KeyReader<'a>(Reader<'a>);

impl KeyReader<'_> {
    pub(in crate::store) fn u8(&mut self) -> Option<u8> {
        self.0.u8()
    }

    pub(in crate::store) fn u32(&mut self) -> Option<u32> {
        self.0.array().map(u32::from_be_bytes)
    }

    pub(in crate::store) fn u64(&mut self) -> Option<u64> {
        self.0.array().map(u64::from_be_bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_come_back_and_every_truncation_is_damage() {
        let set: UidSet = [1..=1, 5..=9, 400..=70_000, u32::MAX - 1..=u32::MAX].into_iter().collect();
        let bytes = Writer::new()
            .u8(7)
            .u32(8)
            .u64(9)
            .i64(-10)
            .bytes(b"eleven")
            .option(Some(12), Writer::u32)
            .varint(u64::MAX)
            .uids(&set)
            .finish();
        let read = |reader: &mut Reader<'_>| {
            assert_eq!(reader.u8()?, 7);
            assert_eq!(reader.u32()?, 8);
            assert_eq!(reader.u64()?, 9);
            assert_eq!(reader.i64()?, -10);
            assert_eq!(reader.text()?, "eleven");
            assert_eq!(reader.option(Reader::u32)?, Some(12));
            assert_eq!(reader.varint()?, u64::MAX);
            reader.uids()
        };
        assert_eq!(decode("x", &bytes, read).unwrap(), set);
        for end in 0..bytes.len() {
            assert!(matches!(decode("x", &bytes[..end], read), Err(Error::Damaged(_))));
        }
        let longer = [&bytes[..], &[0]].concat();
        assert!(decode("x", &longer, read).is_err());
    }

    #[test]
    fn older_versions_are_read_and_newer_ones_are_said_to_be_newer() {
        let of = |version| Writer::of_version(version).u32(7).finish();
        let read = |newest, bytes: &[u8]| {
            decode_up_to(newest, &|| "x".to_owned(), bytes, |version, reader| Some((version, reader.u32()?)))
        };
        assert_eq!(read(2, &of(1)).unwrap(), (1, 7));
        assert_eq!(read(2, &of(2)).unwrap(), (2, 7));
        assert!(
            matches!(read(2, &of(3)), Err(Error::Newer(_)))
                && matches!(read(1, &of(2)), Err(Error::Newer(_)))
        );
        assert!(matches!(read(2, &of(0)), Err(Error::Damaged(_))));
        assert_eq!(Writer::new().u32(7).finish(), of(1));
    }

    #[test]
    fn random_bytes_are_no_sets_that_panic() {
        let mut seed = 5_u64;
        for _ in 0..20_000 {
            let bytes: Vec<u8> = (0..12)
                .map(|_| {
                    seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                    (seed >> 40) as u8
                })
                .collect();
            let _ = Reader::new(&bytes).uids();
            let _ = Reader::new(&bytes).text();
        }
    }

    #[test]
    fn keys_sort_as_their_numbers() {
        assert!(pair(1, u32::MAX) < pair(2, 0));
        assert!(with_modseq(1, 255) < with_modseq(1, 256));
        assert!(behind_pair(1, u32::MAX) == pair(2, 0));
        let (low, high) = all_of(7);
        let key = with_text(7, b"INBOX");
        assert!(low[..] <= key[..] && key < high);
    }
}
