//! A message's record, and the block of up to 64 in which records are stored.
//!
//! A block stores each field as a column: its smallest value, then what each record has above it, in as
//! many bytes as the largest needs. What all records of a block share costs nothing, so a record takes
//! about 13 to 20 bytes. Before the columns stands what a scan may skip the block by.
//!
//! ```text
//! version u8 | count u8 | unseen u8 | last uid u32 | largest modseq u64 | nine columns
//! column: (width of base << 4 | width of each) u8 | base | count × width bytes
//! ```

use crate::model::{ContentId, DateTime, ModSeq, SystemFlags, Uid};
use crate::store::base::codec::{self, Reader};
use crate::store::base::error::Error;

/// The most records of a block.
pub const BLOCK_MAX: usize = 64;

const VERSION: u8 = 1;
const COLUMNS: usize = 9;

/// What a mailbox knows of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record {
    /// Its UID.
    pub uid: Uid,
    /// Its content.
    pub email: ContentId,
    /// When it was last changed, or added.
    pub modseq: ModSeq,
    /// INTERNALDATE.
    pub internal_date: DateTime,
    /// When it came into this mailbox (RFC 8514), in seconds since 1970.
    pub save_date: i64,
    /// RFC822.SIZE.
    pub size: u64,
    /// Its system flags.
    pub flags: SystemFlags,
    /// Its keywords: bits of the mailbox's table.
    pub keywords: u64,
}

impl Record {
    /// Whether `\Seen` is not set.
    #[must_use]
    pub const fn is_unseen(&self) -> bool {
        !self.flags.contains(SystemFlags::SEEN)
    }

    /// Whether `\Deleted` is set.
    #[must_use]
    pub const fn is_deleted(&self) -> bool {
        self.flags.contains(SystemFlags::DELETED)
    }

    fn fields(&self) -> [u64; COLUMNS] {
        [
            u64::from(self.uid.get()),
            self.email.0,
            self.modseq.0,
            self.size,
            self.internal_date.unix as u64,
            u64::from(self.internal_date.offset_minutes as u16),
            self.save_date as u64,
            u64::from(self.flags.bits()),
            self.keywords,
        ]
    }

    fn from_fields(fields: [u64; COLUMNS]) -> Option<Self> {
        let [uid, email, modseq, size, date, offset, save_date, flags, keywords] = fields;
        Some(Record {
            uid: Uid::new(u32::try_from(uid).ok()?)?,
            email: ContentId(email),
            modseq: ModSeq(modseq),
            internal_date: DateTime { unix: date as i64, offset_minutes: u16::try_from(offset).ok()? as i16 },
            save_date: save_date as i64,
            size,
            flags: SystemFlags::from_bits(u8::try_from(flags).ok()?),
            keywords,
        })
    }
}

/// What stands before the columns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::store) struct Head {
    pub(in crate::store) count: usize,
    pub(in crate::store) unseen: usize,
    pub(in crate::store) last: u32,
    pub(in crate::store) modseq: ModSeq,
}

/// A block of records, which must be in ascending order of UID.
pub(in crate::store) fn encode(records: &[Record]) -> Vec<u8> {
    debug_assert!(records.len() <= BLOCK_MAX && records.is_sorted_by_key(|record| record.uid));
    let unseen = records.iter().filter(|record| record.is_unseen()).count();
    let last = records.last().map_or(0, |record| record.uid.get());
    let modseq = records.iter().map(|record| record.modseq.0).max().unwrap_or(0);
    let mut out = Vec::with_capacity(96 + records.len() * 24);
    out.extend_from_slice(&[VERSION, records.len() as u8, unseen as u8]);
    out.extend_from_slice(&last.to_le_bytes());
    out.extend_from_slice(&modseq.to_le_bytes());
    let mut columns = [[0; BLOCK_MAX]; COLUMNS];
    for (n, record) in records.iter().enumerate().take(BLOCK_MAX) {
        for (column, field) in columns.iter_mut().zip(record.fields()) {
            column[n] = field;
        }
    }
    for column in &columns {
        write_column(&mut out, &column[..records.len().min(BLOCK_MAX)]);
    }
    out
}

fn write_column(out: &mut Vec<u8>, values: &[u64]) {
    let base = values.iter().copied().min().unwrap_or(0);
    let largest = values.iter().copied().max().unwrap_or(0) - base;
    let (base_width, width) = (width_of(base), width_of(largest));
    out.push((base_width << 4 | width) as u8);
    out.extend_from_slice(&base.to_le_bytes()[..base_width]);
    for value in values {
        out.extend_from_slice(&(value - base).to_le_bytes()[..width]);
    }
}

fn width_of(value: u64) -> usize {
    (64 - value.leading_zeros() as usize).div_ceil(8)
}

/// What a scan may skip the block by.
pub(in crate::store) fn head(bytes: &[u8]) -> Result<Head, Error> {
    read_head(&mut Reader::new(bytes)).ok_or_else(|| unreadable(bytes))
}

/// The records of a block.
pub(in crate::store) fn decode(bytes: &[u8]) -> Result<Vec<Record>, Error> {
    let read = || {
        let mut reader = Reader::new(bytes);
        let count = read_head(&mut reader)?.count;
        let mut columns = [[0; BLOCK_MAX]; COLUMNS];
        for column in &mut columns {
            read_column(&mut reader, &mut column[..count])?;
        }
        let mut records = Vec::with_capacity(count);
        let mut before = 0;
        for n in 0..count {
            let record = Record::from_fields(columns.each_ref().map(|column| column[n]))?;
            if record.uid.get() <= before {
                return None;
            }
            before = record.uid.get();
            records.push(record);
        }
        reader.is_empty().then_some(records)
    };
    read().ok_or_else(|| unreadable(bytes))
}

/// The UIDs of a block, without the rest of it.
pub(in crate::store) fn uids(bytes: &[u8], uids: &mut Vec<Uid>) -> Result<(), Error> {
    let mut read = || {
        let mut reader = Reader::new(bytes);
        let count = read_head(&mut reader)?.count;
        let mut column = [0; BLOCK_MAX];
        read_column(&mut reader, &mut column[..count])?;
        for value in &column[..count] {
            uids.push(Uid::new(u32::try_from(*value).ok()?)?);
        }
        Some(())
    };
    read().ok_or_else(|| unreadable(bytes))
}

/// The contents that a block names.
pub(in crate::store) fn emails(bytes: &[u8], visit: &mut dyn FnMut(ContentId)) -> Result<(), Error> {
    let mut read = || {
        let mut reader = Reader::new(bytes);
        let count = read_head(&mut reader)?.count;
        let mut column = [0; BLOCK_MAX];
        read_column(&mut reader, &mut column[..count])?;
        read_column(&mut reader, &mut column[..count])?;
        column[..count].iter().for_each(|email| visit(ContentId(*email)));
        Some(())
    };
    read().ok_or_else(|| unreadable(bytes))
}

/// Why a block could not be read.
fn unreadable(bytes: &[u8]) -> Error {
    let what = || "a block of message records".to_owned();
    codec::version(&mut Reader::new(bytes), VERSION, &what).err().unwrap_or_else(|| Error::Damaged(what()))
}

fn read_head(reader: &mut Reader<'_>) -> Option<Head> {
    let [version, count, unseen] = reader.array()?;
    let head = Head {
        count: usize::from(count),
        unseen: usize::from(unseen),
        last: reader.u32()?,
        modseq: ModSeq(reader.u64()?),
    };
    (version == VERSION && head.count <= BLOCK_MAX).then_some(head)
}

fn read_column(reader: &mut Reader<'_>, out: &mut [u64]) -> Option<()> {
    let widths = reader.u8()?;
    let (base_width, width) = (usize::from(widths >> 4), usize::from(widths & 15));
    if base_width > 8 {
        return None;
    }
    let base = little_endian(reader.take(base_width)?);
    let values = reader.take(width.checked_mul(out.len())?)?;
    match width {
        0 => out.fill(base),
        1 => fill::<1>(base, values, out),
        2 => fill::<2>(base, values, out),
        3 => fill::<3>(base, values, out),
        4 => fill::<4>(base, values, out),
        5 => fill::<5>(base, values, out),
        6 => fill::<6>(base, values, out),
        7 => fill::<7>(base, values, out),
        8 => fill::<8>(base, values, out),
        _ => return None,
    }
    Some(())
}

/// The width is a constant, so that the compiler turns each read into one load.
fn fill<const WIDTH: usize>(base: u64, values: &[u8], out: &mut [u64]) {
    let (values, _) = values.as_chunks::<WIDTH>();
    for (out, value) in out.iter_mut().zip(values) {
        *out = base.wrapping_add(little_endian(value));
    }
}

#[inline]
fn little_endian(bytes: &[u8]) -> u64 {
    bytes.iter().rev().fold(0, |value, byte| value << 8 | u64::from(*byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(uid: u32) -> Record {
        Record {
            uid: Uid::new(uid).unwrap(),
            email: ContentId(1_000_000 + u64::from(uid) * 3),
            modseq: ModSeq(2_000_000 + u64::from(uid % 7)),
            internal_date: DateTime { unix: 1_700_000_000 + i64::from(uid) * 977, offset_minutes: -60 },
            save_date: 1_790_000_000,
            size: 3_000 + u64::from(uid) * 7_919 % 90_000,
            flags: SystemFlags::from_bits((uid % 32) as u8),
            keywords: u64::from(uid % 4),
        }
    }

    #[test]
    fn blocks_come_back() {
        for count in [1, 2, 63, 64] {
            let records: Vec<Record> = (1..=count).map(|n| record(n * 5)).collect();
            let bytes = encode(&records);
            assert_eq!(decode(&bytes).unwrap(), records);
            let head = head(&bytes).unwrap();
            assert_eq!((head.count, head.last), (count as usize, count * 5));
            assert_eq!(head.unseen, records.iter().filter(|record| record.is_unseen()).count());
            let mut found = Vec::new();
            uids(&bytes, &mut found).unwrap();
            assert!(found.iter().eq(records.iter().map(|record| &record.uid)));
            let mut found = Vec::new();
            emails(&bytes, &mut |email| found.push(email)).unwrap();
            assert!(found.iter().eq(records.iter().map(|record| &record.email)));
        }
    }

    #[test]
    fn a_record_takes_about_sixteen_bytes() {
        let records: Vec<Record> = (70_000..70_064).map(record).collect();
        let bytes = encode(&records).len();
        assert!(bytes <= 64 * 16, "{bytes} bytes a block");
    }

    #[test]
    fn extremes_come_back() {
        let mut low = record(1);
        low.internal_date = DateTime { unix: i64::MIN, offset_minutes: -1439 };
        low.save_date = -1;
        let mut high = record(u32::MAX);
        high.internal_date = DateTime { unix: i64::MAX, offset_minutes: 1439 };
        (high.email, high.modseq, high.size, high.keywords) =
            (ContentId(u64::MAX), ModSeq(u64::MAX), u64::MAX, u64::MAX);
        assert_eq!(decode(&encode(&[low, high])).unwrap(), [low, high]);
    }

    #[test]
    fn damage_is_an_error() {
        let bytes = encode(&(1..=20).map(record).collect::<Vec<_>>());
        for end in 0..bytes.len() {
            assert!(decode(&bytes[..end]).is_err(), "{end}");
        }
        let mut seed = 11_u64;
        for _ in 0..20_000 {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let mut bytes = bytes.clone();
            let at = (seed >> 33) as usize % bytes.len();
            bytes[at] ^= (seed >> 20) as u8;
            let _ = decode(&bytes);
            let _ = emails(&bytes, &mut |_| ());
        }
    }

    #[test]
    #[ignore = "a measurement: run it alone, in release"]
    fn decoding_speed() {
        let blocks: Vec<Vec<u8>> = (0..1563)
            .map(|block| encode(&(1..=64).map(|n| record(block * 64 + n)).collect::<Vec<_>>()))
            .collect();
        let start = std::time::Instant::now();
        let records: usize = blocks.iter().map(|bytes| decode(bytes).unwrap().len()).sum();
        println!("{records} records decoded in {:?}", start.elapsed());
        println!("{} bytes a record", blocks.iter().map(Vec::len).sum::<usize>() / records);
    }
}
