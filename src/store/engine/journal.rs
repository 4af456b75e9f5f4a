//! The journal: every change is durable here first, in one sync.
//!
//! Records (`redo`) fill segments (`segment`) of fixed size, which are used in turn. A batch of more than 1 MiB
//! is a chain of records; only the whole chain is applied. A checkpoint puts a mark, a record without rows, at
//! the start of the next segment, and the index names its place and checksum: from there on each record names
//! the checksum of the one before it, so that what was replayed is known to be whole, or not (`replay`). The
//! epoch is random at each start, so that neither a record of an earlier run nor bytes that a message's sender
//! chose can pass for one.

use std::collections::BTreeSet;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use xxhash_rust::xxh3::xxh3_64;

use crate::store::base::env::{Disk, Paths, Random};
use crate::store::base::error::Error;
use crate::store::engine::lineage::Lineage;
use crate::store::engine::redo::{BOUNDARY, HEAD, Head, Row, space};
use crate::store::engine::segment::{Segment, Title, number_in};

/// A record of a chain holds about this much, so that neither writing nor replay needs more memory.
const RECORD_MAX: usize = 1 << 20;
/// No single row may be larger: a record must fit in a segment.
const ROW_MAX: usize = 4 << 20;
/// Fewer would make a checkpoint wait for the segment that it frees.
const SEGMENTS: u32 = 3;
/// No chain needs more: 32 GiB of segments.
const MOST_SEGMENTS: u32 = 4096;
/// Where the first record of a segment goes.
const FIRST: u64 = BOUNDARY;

/// Where a checkpoint's mark is: what the index names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::store) struct Mark {
    pub(super) segment: u32,
    pub(super) identity: [u8; 16],
    pub(super) offset: u64,
    /// Its own number: what the files reach that were made durable with it.
    pub(in crate::store) sequence: u64,
    /// The checksum of its head.
    pub(super) sum: u64,
}

impl Mark {
    /// As the index keeps it.
    pub(in crate::store) fn encode(&self) -> Vec<u8> {
        let mut out = self.segment.to_le_bytes().to_vec();
        out.extend_from_slice(&self.identity);
        for number in [self.offset, self.sequence, self.sum] {
            out.extend_from_slice(&number.to_le_bytes());
        }
        out
    }

    /// From what the index keeps.
    pub(in crate::store) fn decode(bytes: &[u8]) -> Option<Mark> {
        let long = |at: usize| Some(u64::from_le_bytes(bytes.get(at..at + 8)?.try_into().ok()?));
        Some(Mark {
            segment: u32::from_le_bytes(bytes.get(..4)?.try_into().ok()?),
            identity: bytes.get(4..20)?.try_into().ok()?,
            offset: long(20)?,
            sequence: long(28)?,
            sum: long(36)?,
        })
    }
}

/// The journal, open for appending. A clone reads the same segments.
#[derive(Clone)]
pub(in crate::store) struct Journal {
    pub(super) segments: Vec<Segment>,
    size: u64,
    pub(super) lineage: Lineage,
    pub(super) epoch: u64,
    /// Where the next record goes.
    pub(super) current: usize,
    pub(super) offset: u64,
    /// The last record's sequence number and head checksum.
    pub(super) sequence: u64,
    before: u64,
    pub(super) disk: Arc<dyn Disk>,
    random: Arc<dyn Random>,
    pub(super) folder: PathBuf,
}

impl Journal {
    /// Opens the segments, makes those that are missing. Says whether all of them were missing.
    pub(in crate::store) fn open(
        disk: Arc<dyn Disk>,
        random: Arc<dyn Random>,
        paths: &Paths,
        size: u64,
        lineage: Lineage,
        epoch: u64,
    ) -> Result<(Journal, bool), Error> {
        let folder = paths.journal();
        let mut journal = Journal {
            segments: Vec::new(),
            size: size.next_multiple_of(BOUNDARY).max(4 * BOUNDARY),
            lineage,
            epoch,
            current: 0,
            offset: FIRST,
            sequence: 0,
            before: 0,
            disk,
            random,
            folder,
        };
        journal.find_segments()?;
        let missing = journal.segments.is_empty();
        let known: BTreeSet<u32> = journal.segments.iter().map(|segment| segment.number).collect();
        for number in (0..SEGMENTS).filter(|number| !known.contains(number)) {
            let making = |error| Error::io("making a segment of the journal", error);
            journal.add_segment(number).map_err(making)?;
        }
        Ok((journal, missing))
    }

    /// A file's name alone makes no segment of it: an empty one of a high number is none.
    fn find_segments(&mut self) -> Result<(), Error> {
        let listing = |error| Error::io("listing the journal", error);
        let names = self.disk.list(&self.folder).map_err(listing)?;
        let numbers: BTreeSet<u32> = names.iter().filter_map(|name| number_in(name)).collect();
        for number in numbers {
            let opening = |error| Error::io(format!("opening journal/{number:04}.journal"), error);
            let segment = Segment::open(&*self.disk, &self.folder, number).map_err(opening)?;
            match segment {
                Some(segment) => self.take_segment(segment)?,
                None if number >= SEGMENTS => {
                    tracing::warn!(number, "an empty file in journal/ is left alone")
                }
                None => {}
            }
        }
        Ok(())
    }

    fn take_segment(&mut self, segment: Segment) -> Result<(), Error> {
        if let Some(title) = segment.title
            && !self.lineage.has(title.id, title.generation)
        {
            return Err(Error::NotExpected(format!(
                "journal/{:04}.journal belongs to another store than index.redb; put back the files that belong \
                 together, or move it away",
                segment.number
            )));
        }
        self.segments.push(segment);
        Ok(())
    }

    fn title(&self, number: u32) -> io::Result<Title> {
        let identity = self.random.bytes()?;
        Ok(Title {
            id: self.lineage.id,
            generation: self.lineage.generation,
            number,
            identity,
            size: self.size,
        })
    }

    fn add_segment(&mut self, number: u32) -> io::Result<()> {
        let segment = Segment::make(&*self.disk, &self.folder, self.title(number)?)?;
        self.segments.push(segment);
        self.segments.sort_by_key(|segment| segment.number);
        Ok(())
    }

    /// The last sequence number written or replayed.
    pub(in crate::store) fn sequence(&self) -> u64 {
        self.sequence
    }

    /// Which store it is of.
    pub(in crate::store) fn lineage(&self) -> &Lineage {
        &self.lineage
    }

    /// A new generation begins: what is written from now on is of it.
    pub(in crate::store) fn set_lineage(&mut self, lineage: Lineage) {
        self.lineage = lineage;
    }

    /// The run's own number: random.
    pub(in crate::store) fn epoch(&self) -> u64 {
        self.epoch
    }

    /// How full the segment in use is, in bytes.
    pub(in crate::store) fn used(&self) -> u64 {
        self.offset
    }

    /// How many segments there are.
    pub(in crate::store) fn segments(&self) -> usize {
        self.segments.len()
    }

    /// Whether a batch of this size needs a checkpoint first: only behind one may a batch go on into further
    /// segments. A page stays for the close.
    pub(in crate::store) fn is_full_for(&self, payload: usize) -> bool {
        self.offset > FIRST + BOUNDARY && self.offset + space(payload + HEAD) + BOUNDARY > self.size
    }

    /// Begins a new epoch behind `sequence`.
    pub(in crate::store) fn begin(&mut self, epoch: u64, sequence: u64) {
        self.epoch = epoch;
        self.sequence = sequence;
        self.before = 0;
        // The first mark closes nothing: what lies where the replay ended is evidence until the index is durable.
        self.offset = self.size;
    }

    /// A checkpoint begins: its mark is durable in the next segment, and what comes goes behind it. The
    /// segments before it are free once the index names the mark.
    pub(in crate::store) fn mark(&mut self) -> io::Result<Mark> {
        let left = (self.current, self.offset);
        self.turn()?;
        self.write(vec![0; HEAD], Head { mark: true, batch: self.sequence + 1, ..Head::default() })?;
        let segment = self.segments.get(self.current).ok_or(io::ErrorKind::NotFound)?;
        segment.file.sync()?;
        self.close(left)?;
        Ok(Mark {
            segment: segment.number,
            identity: segment.title.map_or([0; 16], |title| title.identity),
            offset: FIRST,
            sequence: self.sequence,
            sum: self.before,
        })
    }

    /// Says where a segment ends that the mark is in the next one: if that is put back to an older state, the
    /// end is known not to be the journal's.
    fn close(&self, (segment, offset): (usize, u64)) -> io::Result<()> {
        let Some(segment) = self.segments.get(segment) else { return Ok(()) };
        if offset + BOUNDARY > self.size || offset + BOUNDARY > segment.file.len()? {
            return Ok(());
        }
        let mut head = Head {
            close: true,
            generation: self.lineage.generation,
            epoch: self.epoch,
            sequence: self.sequence,
            before: self.before,
            ..Head::default()
        };
        let mut block = head.encode().to_vec();
        block.resize(BOUNDARY as usize, 0);
        segment.file.write_at(offset, &block)?;
        segment.file.sync()
    }

    /// On to the next segment, which is made ready if it was not.
    fn turn(&mut self) -> io::Result<()> {
        let next = (self.current + 1) % self.segments.len().max(1);
        let number = self.segments.get(next).map_or(0, |segment| segment.number);
        let title = self.title(number)?;
        if let Some(segment) = self.segments.get_mut(next)
            && (segment.title.is_none() || segment.file.len()? < self.size)
        {
            segment.entitle(title)?;
        }
        (self.current, self.offset) = (next, FIRST);
        Ok(())
    }

    /// Appends the rows as one chain and syncs once. Returns the sequence number reached.
    pub(in crate::store) fn append(&mut self, rows: &[Row]) -> io::Result<u64> {
        let batch = self.sequence + 1;
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
            self.write(record, Head { more, batch, ..Head::default() })?;
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
    /// left only when the next record does not fit, and no record is longer than half of one; one more takes
    /// the mark of the checkpoint behind the chain.
    pub(in crate::store) fn make_room(&mut self, payload: usize) -> io::Result<()> {
        let needed = payload / ((self.size - FIRST) as usize / 2) + 3;
        while self.segments.len() < needed {
            let number = self.segments.last().map_or(0, |segment| segment.number + 1);
            if number >= MOST_SEGMENTS {
                return Err(io::Error::new(
                    io::ErrorKind::InvalidInput,
                    "a change is larger than the journal",
                ));
            }
            self.add_segment(number)?;
        }
        Ok(())
    }

    /// The largest row that can be journaled.
    pub(in crate::store) fn row_max(&self) -> usize {
        ROW_MAX.min((self.size - FIRST) as usize / 2 - BOUNDARY as usize)
    }

    fn write(&mut self, mut record: Vec<u8>, head: Head) -> io::Result<()> {
        let payload = record.get(HEAD..).unwrap_or_default();
        let needed = space(payload.len());
        if FIRST + needed > self.size {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "a row is larger than a segment"));
        }
        if self.offset + needed > self.size {
            self.turn()?;
        }
        let mut head = Head {
            length: payload.len() as u32,
            generation: self.lineage.generation,
            epoch: self.epoch,
            sequence: self.sequence + 1,
            before: self.before,
            payload_sum: xxh3_64(payload),
            ..head
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
}
