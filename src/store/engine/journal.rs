//! The journal: every change is durable here first, in one sync.
//!
//! Segments of fixed size, filled with zeros when made, so that `fdatasync` need not write the file's
//! length; used in turn. A record starts on a 4 KiB boundary, so that no write touches a page that holds an
//! acknowledged one:
//!
//! ```text
//! magic 4 | flags 4 (1: more follows) | length of the payload 4 | 0 4 | generation 8 | epoch 8
//! sequence 8 | first sequence of its batch 8 | head checksum of the record before 8
//! checksum of the payload 8 | checksum of this head 8 | payload | zeros to the boundary
//! ```
//! The payload is rows: file 4 | table 1 | key length 4 | value length 4, all ones for a delete | key | value.
//!
//! A batch of more than 1 MiB is a chain of records; only the whole chain is applied. After a checkpoint the
//! next record goes to the start of the next segment. The epoch is random at each start, so that neither a
//! record of an earlier run nor bytes that a message's sender chose can pass for one.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use xxhash_rust::xxh3::xxh3_64;

use crate::store::base::env::{Disk, DiskFile, Paths};
use crate::store::base::error::Error;

/// Records start on multiples of this: the largest write that disks and file systems keep whole is smaller.
const BOUNDARY: u64 = 4096;
/// A record of a chain holds about this much, so that neither writing nor replay needs more memory.
pub(in crate::store) const RECORD_MAX: usize = 1 << 20;
/// No single row may be larger: a record must fit in a segment.
pub(in crate::store) const ROW_MAX: usize = 4 << 20;
/// Fewer would make a checkpoint wait for the segment that it frees.
const SEGMENTS: usize = 3;
const HEAD: usize = 72;
const MAGIC: &[u8; 4] = b"PJR1";
const MORE: u32 = 1;
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

    fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.file.to_le_bytes());
        out.push(self.table);
        out.extend_from_slice(&(self.key.len() as u32).to_le_bytes());
        let length = self.value.as_ref().map_or(DELETED, |value| value.len() as u32);
        out.extend_from_slice(&length.to_le_bytes());
        out.extend_from_slice(&self.key);
        out.extend_from_slice(self.value.as_deref().unwrap_or_default());
    }

    fn decode(bytes: &mut &[u8]) -> Option<Row> {
        let file = u32::from_le_bytes(take(bytes, 4)?.try_into().ok()?);
        let table = *take(bytes, 1)?.first()?;
        let key_length = u32::from_le_bytes(take(bytes, 4)?.try_into().ok()?);
        let value_length = u32::from_le_bytes(take(bytes, 4)?.try_into().ok()?);
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

#[derive(Clone, Copy, Debug)]
struct Head {
    more: bool,
    length: u32,
    generation: u64,
    epoch: u64,
    sequence: u64,
    batch: u64,
    before: u64,
    payload_sum: u64,
    sum: u64,
}

impl Head {
    fn encode(&mut self) -> [u8; HEAD] {
        let mut bytes = Vec::with_capacity(HEAD);
        bytes.extend_from_slice(MAGIC);
        bytes.extend_from_slice(&(if self.more { MORE } else { 0 }).to_le_bytes());
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

    fn decode(bytes: &[u8]) -> Option<Head> {
        let mut rest = bytes.get(..HEAD)?;
        let sum = xxh3_64(bytes.get(..HEAD - 8)?);
        if take(&mut rest, 4)? != MAGIC {
            return None;
        }
        let flags = u32::from_le_bytes(take(&mut rest, 4)?.try_into().ok()?);
        let length = u32::from_le_bytes(take(&mut rest, 4)?.try_into().ok()?);
        take(&mut rest, 4)?;
        let mut number = || Some(u64::from_le_bytes(take(&mut rest, 8)?.try_into().ok()?));
        let head = Head {
            more: flags & MORE != 0,
            length,
            generation: number()?,
            epoch: number()?,
            sequence: number()?,
            batch: number()?,
            before: number()?,
            payload_sum: number()?,
            sum: number()?,
        };
        (head.sum == sum).then_some(head)
    }

    fn space(&self) -> u64 {
        space(self.length as usize)
    }
}

fn find(places: &[Place], sequence: u64) -> Option<&Place> {
    places
        .get(places.partition_point(|place| place.head.sequence < sequence))
        .filter(|place| place.head.sequence == sequence)
}

fn space(payload: usize) -> u64 {
    ((HEAD + payload) as u64).next_multiple_of(BOUNDARY)
}

struct Segment {
    path: PathBuf,
    file: Arc<dyn DiskFile>,
}

/// Where a record was found.
#[derive(Clone, Copy)]
struct Place {
    segment: usize,
    offset: u64,
    head: Head,
}

/// What is called for the rows of each chain, with the number that it reaches.
pub(in crate::store) type VisitChain<'a> = dyn FnMut(&[Row], u64) -> Result<(), Error> + 'a;

/// What a replay found.
#[derive(Debug, Default, PartialEq, Eq)]
pub(in crate::store) struct Replayed {
    /// The last sequence number that was handed out.
    pub(in crate::store) last: u64,
    /// Valid records lie beyond the break: acknowledged changes are lost.
    pub(in crate::store) damaged: bool,
}

/// The journal, open for appending.
pub(in crate::store) struct Journal {
    segments: Vec<Segment>,
    size: u64,
    generation: u64,
    epoch: u64,
    /// Where the next record goes.
    current: usize,
    offset: u64,
    /// The last record's sequence number and head checksum.
    sequence: u64,
    before: u64,
    disk: Arc<dyn Disk>,
    folder: PathBuf,
}

impl Journal {
    /// Opens the segments, makes those that are missing. Says whether all of them were missing.
    pub(in crate::store) fn open(
        disk: Arc<dyn Disk>,
        paths: &Paths,
        size: u64,
        generation: u64,
        epoch: u64,
    ) -> Result<(Journal, bool), Error> {
        let folder = paths.journal();
        let mut numbers: Vec<usize> = disk
            .list(&folder)
            .map_err(|error| Error::io("listing the journal", error))?
            .iter()
            .filter_map(|name| name.strip_suffix(".journal")?.parse().ok())
            .collect();
        numbers.sort_unstable();
        let missing = numbers.is_empty();
        let count = numbers.last().map_or(0, |last| last + 1).clamp(SEGMENTS, 4096);
        let mut journal = Journal {
            segments: Vec::new(),
            size: size.next_multiple_of(BOUNDARY).max(2 * BOUNDARY),
            generation,
            epoch,
            current: 0,
            offset: 0,
            sequence: 0,
            before: 0,
            disk,
            folder,
        };
        for _ in 0..count {
            journal.add_segment().map_err(|error| Error::io("making a segment of the journal", error))?;
        }
        Ok((journal, missing))
    }

    fn add_segment(&mut self) -> io::Result<()> {
        let path = self.folder.join(format!("{:04}.journal", self.segments.len()));
        let file = self.disk.open(&path, true)?;
        let mut at = file.len()?;
        if at < self.size {
            let zeros = vec![0; 1 << 20];
            while at < self.size {
                let count = (self.size - at).min(zeros.len() as u64);
                file.write_at(at, zeros.get(..count as usize).unwrap_or(&zeros))?;
                at += count;
            }
            file.sync()?;
            self.disk.sync_dir(&self.folder)?;
        }
        self.segments.push(Segment { path, file });
        Ok(())
    }

    /// The last sequence number written or replayed.
    pub(in crate::store) fn sequence(&self) -> u64 {
        self.sequence
    }

    /// How full the segment in use is, in bytes.
    pub(in crate::store) fn used(&self) -> u64 {
        self.offset
    }

    /// How many segments there are.
    pub(in crate::store) fn segments(&self) -> usize {
        self.segments.len()
    }

    /// Whether a batch of this size needs a checkpoint first.
    pub(in crate::store) fn is_full_for(&self, payload: usize) -> bool {
        self.offset > 0 && self.offset + space(payload + HEAD) > self.size
    }

    /// Everything written so far is durable elsewhere: the next record goes to the next segment.
    pub(in crate::store) fn checkpointed(&mut self) {
        if self.offset > 0 {
            self.current = (self.current + 1) % self.segments.len();
            self.offset = 0;
        }
    }

    /// Begins a new epoch behind `sequence`.
    pub(in crate::store) fn begin(&mut self, epoch: u64, sequence: u64) {
        self.epoch = epoch;
        self.sequence = sequence;
        self.before = 0;
        self.checkpointed();
    }

    /// Appends the rows as one chain and syncs once. Returns the sequence number reached.
    pub(in crate::store) fn append(&mut self, rows: &[Row]) -> io::Result<u64> {
        let start_of_batch = self.sequence + 1;
        let first = self.current;
        let mut left: usize = rows.iter().map(Row::bytes).sum();
        self.make_room(left)?;
        let record_max = RECORD_MAX.min(self.size as usize / 4);
        let mut rows = rows.iter().peekable();
        loop {
            // In one piece: growing by doubling would take three times a record's memory.
            let mut record = Vec::with_capacity(space(left.min(record_max)) as usize + BOUNDARY as usize);
            record.resize(HEAD, 0);
            while let Some(row) = rows.peek() {
                if record.len() > HEAD && record.len() - HEAD + row.bytes() > record_max {
                    break;
                }
                row.encode(&mut record);
                rows.next();
            }
            left = left.saturating_sub(record.len() - HEAD);
            let more = rows.peek().is_some();
            self.write(record, more, start_of_batch)?;
            if !more {
                break;
            }
        }
        let touched = (self.current + self.segments.len() - first) % self.segments.len();
        for step in 0..=touched {
            let at = (first + step) % self.segments.len();
            if let Some(segment) = self.segments.get(at) {
                segment.file.sync()?;
            }
        }
        Ok(self.sequence)
    }

    /// More segments for a chain that outgrows all of them, so that it never bites its tail. A segment is
    /// left only when the next record does not fit, and no record is longer than half of one.
    pub(in crate::store) fn make_room(&mut self, payload: usize) -> io::Result<()> {
        let needed = payload / (self.size as usize / 2) + 2;
        while self.segments.len() < needed {
            self.add_segment()?;
        }
        Ok(())
    }

    /// The largest row that can be journaled.
    pub(in crate::store) fn row_max(&self) -> usize {
        ROW_MAX.min(self.size as usize / 2 - BOUNDARY as usize)
    }

    fn write(&mut self, mut record: Vec<u8>, more: bool, batch: u64) -> io::Result<()> {
        let payload = record.get(HEAD..).unwrap_or_default();
        let needed = space(payload.len());
        if needed > self.size {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "a row is larger than a segment"));
        }
        if self.offset + needed > self.size {
            self.current = (self.current + 1) % self.segments.len();
            self.offset = 0;
        }
        let mut head = Head {
            more,
            length: payload.len() as u32,
            generation: self.generation,
            epoch: self.epoch,
            sequence: self.sequence + 1,
            batch,
            before: self.before,
            payload_sum: xxh3_64(payload),
            sum: 0,
        };
        let encoded = head.encode();
        record.iter_mut().zip(encoded).for_each(|(to, from)| *to = from);
        record.resize(needed as usize, 0);
        if let Some(segment) = self.segments.get(self.current) {
            segment.file.write_at(self.offset, &record)?;
        }
        self.offset += needed;
        self.sequence += 1;
        self.before = head.sum;
        Ok(())
    }

    /// Hands out the rows of every complete chain of `epoch` behind the number `after`, in order, with the
    /// number that each chain reaches.
    pub(in crate::store) fn replay(
        &mut self,
        epoch: u64,
        after: u64,
        visit: &mut VisitChain<'_>,
    ) -> Result<Replayed, Error> {
        let places = self.survey(epoch).map_err(|error| Error::io("reading the journal", error))?;
        let mut result = Replayed { last: after, damaged: false };
        let (mut expected, mut before, mut chain) = (after + 1, None, Vec::new());
        while let Some(place) = find(&places, expected) {
            if before.is_some_and(|before| before != place.head.before) {
                break;
            }
            let Some(rows) = self.rows_at(place) else { break };
            chain.extend(rows);
            before = Some(place.head.sum);
            if !place.head.more {
                visit(&chain, expected)?;
                chain.clear();
                result.last = expected;
            }
            (self.current, self.offset) = (place.segment, place.offset + place.head.space());
            expected += 1;
        }
        // Records of a batch are written before its one sync, so later ones of the batch that broke may be
        // there. A later batch was begun only when this one was durable.
        result.damaged = places.iter().any(|place| {
            place.head.batch > expected && place.head.sequence > expected && self.rows_at(place).is_some()
        });
        Ok(result)
    }

    /// As [`Journal::replay`], of this run's own records, while it goes on.
    pub(in crate::store) fn read_again(
        &mut self,
        after: u64,
        visit: &mut VisitChain<'_>,
    ) -> Result<(), Error> {
        let (current, offset) = (self.current, self.offset);
        let replayed = self.replay(self.epoch, after, visit);
        (self.current, self.offset) = (current, offset);
        if replayed?.last < self.sequence {
            return Err(Error::Damaged("the journal".to_owned()));
        }
        Ok(())
    }

    /// Copies every segment aside, for whoever wants to look at what was lost.
    pub(in crate::store) fn copy_aside(&self) -> io::Result<()> {
        for segment in &self.segments {
            let aside = segment.path.with_extension(format!("damaged-{:016x}", self.epoch));
            let to = self.disk.open(&aside, true)?;
            let (mut at, mut buffer) = (0, vec![0; 1 << 20]);
            let length = segment.file.len()?;
            while at < length {
                let count = (length - at).min(buffer.len() as u64) as usize;
                let Some(part) = buffer.get_mut(..count) else { break };
                segment.file.read_at(at, part)?;
                to.write_at(at, part)?;
                at += count as u64;
            }
            to.sync()?;
        }
        self.disk.sync_dir(&self.folder)
    }

    /// Every record's head of an epoch.
    fn survey(&self, epoch: u64) -> io::Result<Vec<Place>> {
        let mut places = Vec::new();
        let mut head = [0; HEAD];
        for (segment, Segment { file, .. }) in self.segments.iter().enumerate() {
            let length = file.len()?;
            let mut offset = 0;
            while offset + BOUNDARY <= length {
                file.read_at(offset, &mut head)?;
                match Head::decode(&head) {
                    Some(head) if head.generation == self.generation && head.epoch == epoch => {
                        places.push(Place { segment, offset, head });
                        // Not by the record's length: what it covers may be newer than it.
                        offset += BOUNDARY;
                    }
                    _ => offset += BOUNDARY,
                }
            }
        }
        places.sort_by_key(|place| place.head.sequence);
        Ok(places)
    }

    fn rows_at(&self, place: &Place) -> Option<Vec<Row>> {
        let file = &self.segments.get(place.segment)?.file;
        if place.offset + place.head.space() > file.len().ok()? {
            return None;
        }
        let mut payload = vec![0; place.head.length as usize];
        file.read_at(place.offset + HEAD as u64, &mut payload).ok()?;
        if xxh3_64(&payload) != place.head.payload_sum {
            return None;
        }
        let mut rest = payload.as_slice();
        let mut rows = Vec::new();
        while !rest.is_empty() {
            rows.push(Row::decode(&mut rest)?);
        }
        Some(rows)
    }
}
