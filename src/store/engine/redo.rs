//! The journal's records and the rows in them, as bytes.
//!
//! A record starts on a 4 KiB boundary, so that no write touches a page that holds an acknowledged one:
//!
//! ```text
//! magic 4 | flags 4 (1: more follows, 2: a checkpoint's mark, 4: a close) | length of the payload 4 | 0 4 | generation 8
//! epoch 8 | sequence 8 | first sequence of its batch 8 | head checksum of the record before 8
//! checksum of the payload 8 | checksum of this head 8 | payload | zeros to the boundary
//! ```
//! The payload is rows: file 4 | table 1 | key length 4 | value length 4, all ones for a delete | key | value.

use xxhash_rust::xxh3::xxh3_64;

/// Records start on multiples of this: the largest write that disks and file systems keep whole is smaller.
pub(in crate::store) const BOUNDARY: u64 = 4096;
/// Bytes before a record's payload.
pub(in crate::store) const HEAD: usize = 72;
const MAGIC: &[u8; 4] = b"PJR1";
const MORE: u32 = 1;
const MARK: u32 = 2;
const CLOSE: u32 = 4;
const DELETED: u32 = u32::MAX;

/// Which file a row belongs to: 0 the index, otherwise a volume's number.
pub(in crate::store) type FileNumber = u32;

/// A row of the journal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::store) struct Row {
    pub(in crate::store) file: FileNumber,
    pub(in crate::store) table: u8,
    pub(in crate::store) key: Vec<u8>,
    pub(in crate::store) value: Option<Vec<u8>>,
}

impl Row {
    pub(in crate::store) fn bytes(&self) -> usize {
        13 + self.key.len() + self.value.as_ref().map_or(0, Vec::len)
    }

    /// As a file takes it.
    pub(in crate::store) fn change(&self) -> (u8, &[u8], Option<&[u8]>) {
        (self.table, self.key.as_slice(), self.value.as_deref())
    }

    pub(in crate::store) fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.file.to_le_bytes());
        out.push(self.table);
        out.extend_from_slice(&(self.key.len() as u32).to_le_bytes());
        let length = self.value.as_ref().map_or(DELETED, |value| value.len() as u32);
        out.extend_from_slice(&length.to_le_bytes());
        out.extend_from_slice(&self.key);
        out.extend_from_slice(self.value.as_deref().unwrap_or_default());
    }

    /// The rows of a payload.
    pub(in crate::store) fn decode_all(mut payload: &[u8]) -> Option<Vec<Row>> {
        let mut rows = Vec::new();
        while !payload.is_empty() {
            rows.push(Row::decode(&mut payload)?);
        }
        Some(rows)
    }

    fn decode(bytes: &mut &[u8]) -> Option<Row> {
        let file = number(bytes)?;
        let table = *take(bytes, 1)?.first()?;
        let key_length = number(bytes)?;
        let value_length = number(bytes)?;
        let key = take(bytes, key_length as usize)?.to_vec();
        let value = match value_length {
            DELETED => None,
            length => Some(take(bytes, length as usize)?.to_vec()),
        };
        Some(Row { file, table, key, value })
    }
}

fn take<'a>(bytes: &mut &'a [u8], count: usize) -> Option<&'a [u8]> {
    let (taken, rest) = bytes.split_at_checked(count)?;
    *bytes = rest;
    Some(taken)
}

fn number(bytes: &mut &[u8]) -> Option<u32> {
    Some(u32::from_le_bytes(take(bytes, 4)?.try_into().ok()?))
}

fn long(bytes: &mut &[u8]) -> Option<u64> {
    Some(u64::from_le_bytes(take(bytes, 8)?.try_into().ok()?))
}

/// What stands before a record's payload.
#[derive(Clone, Copy, Debug, Default)]
pub(in crate::store) struct Head {
    /// The batch goes on in the next record.
    pub(in crate::store) more: bool,
    /// A checkpoint's mark: it has no rows.
    pub(in crate::store) mark: bool,
    /// The segment ends here: the record of this number, a mark, is in the next.
    pub(in crate::store) close: bool,
    pub(in crate::store) length: u32,
    pub(in crate::store) generation: u64,
    pub(in crate::store) epoch: u64,
    pub(in crate::store) sequence: u64,
    pub(in crate::store) batch: u64,
    pub(in crate::store) before: u64,
    pub(in crate::store) payload_sum: u64,
    pub(in crate::store) sum: u64,
}

impl Head {
    pub(in crate::store) fn encode(&mut self) -> [u8; HEAD] {
        let mut bytes = Vec::with_capacity(HEAD);
        bytes.extend_from_slice(MAGIC);
        let flags = [(self.more, MORE), (self.mark, MARK), (self.close, CLOSE)];
        let flags = flags.into_iter().filter(|(is, _)| *is).fold(0, |all, (_, flag)| all | flag);
        bytes.extend_from_slice(&flags.to_le_bytes());
        bytes.extend_from_slice(&self.length.to_le_bytes());
        bytes.extend_from_slice(&[0; 4]);
        for number in [self.generation, self.epoch, self.sequence, self.batch, self.before, self.payload_sum]
        {
            bytes.extend_from_slice(&number.to_le_bytes());
        }
        self.sum = xxh3_64(&bytes);
        bytes.extend_from_slice(&self.sum.to_le_bytes());
        let mut head = [0; HEAD];
        head.copy_from_slice(&bytes);
        head
    }

    pub(in crate::store) fn decode(bytes: &[u8]) -> Option<Head> {
        let (head, fits) = Self::read(bytes)?;
        (fits && head.sum == xxh3_64(bytes.get(..HEAD - 8)?)).then_some(head)
    }

    /// The fields as they stand there, and whether it begins as a record does.
    fn read(bytes: &[u8]) -> Option<(Head, bool)> {
        let mut rest = bytes.get(..HEAD)?;
        let fits = take(&mut rest, 4)? == MAGIC;
        let flags = number(&mut rest)?;
        let length = number(&mut rest)?;
        take(&mut rest, 4)?;
        let head = Head {
            more: flags & MORE != 0,
            mark: flags & MARK != 0,
            close: flags & CLOSE != 0,
            length,
            generation: long(&mut rest)?,
            epoch: long(&mut rest)?,
            sequence: long(&mut rest)?,
            batch: long(&mut rest)?,
            before: long(&mut rest)?,
            payload_sum: long(&mut rest)?,
            sum: long(&mut rest)?,
        };
        Some((head, fits))
    }

    /// Whether bytes that are no record were one once: something of a head is left that no sender of mail
    /// can know.
    pub(super) fn is_ruin(bytes: &[u8], epoch: u64, before: u64) -> bool {
        Self::read(bytes).is_some_and(|(head, fits)| {
            fits || (epoch != 0 && head.epoch == epoch) || (before != 0 && head.before == before)
        })
    }

    pub(super) fn space(&self) -> u64 {
        space(self.length as usize)
    }
}

/// What a record with such a payload takes of a segment.
pub(super) fn space(payload: usize) -> u64 {
    ((HEAD + payload) as u64).next_multiple_of(BOUNDARY)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_and_heads_come_back_and_ruins_are_known() {
        let rows = [
            Row { file: 0, table: 4, key: b"a".to_vec(), value: Some(b"1".to_vec()) },
            Row { file: 7, table: 3, key: b"bb".to_vec(), value: None },
        ];
        let mut payload = Vec::new();
        rows.iter().for_each(|row| row.encode(&mut payload));
        assert_eq!(Row::decode_all(&payload).unwrap(), rows);
        assert!(
            (1..payload.len()).all(|end| Row::decode_all(&payload[..end]).is_none_or(|some| some.len() < 2))
        );
        let mut head = Head { mark: true, epoch: 5, sequence: 6, before: 7, ..Head::default() };
        let bytes = head.encode();
        let found = Head::decode(&bytes).unwrap();
        assert!(found.mark && !found.more && (found.epoch, found.sequence, found.before) == (5, 6, 7));
        for at in 0..HEAD {
            let mut ruin = bytes;
            ruin[at] ^= 1;
            assert!(Head::decode(&ruin).is_none() && Head::is_ruin(&ruin, 5, 7));
        }
        assert!(!Head::is_ruin(&[9; HEAD], 5, 7) && !Head::is_ruin(&[0; HEAD], 5, 7));
    }
}
