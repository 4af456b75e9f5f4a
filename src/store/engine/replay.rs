//! Reading the journal back, and what can be said of its end.
//!
//! From the mark that the index names each record must name the checksum of the one before it. Where that
//! ends, the next record's place tells whether it is the end: there lie zeros, or what an earlier run left. A
//! ruin of a record, or records of later batches behind the break, are changes that may have been acknowledged
//! and cannot be shown to be whole. An error of the disk is neither: it is tried again, and then an error.

use std::io;
use std::path::Path;

use xxhash_rust::xxh3::xxh3_64;

use crate::store::base::error::Error;
use crate::store::engine::journal::{Journal, Mark};
use crate::store::engine::lineage::Moment;
use crate::store::engine::redo::{BOUNDARY, HEAD, Head, Row};
use crate::store::engine::segment::read_patiently;

/// Where a record was found.
#[derive(Clone, Copy)]
struct Place {
    segment: usize,
    offset: u64,
    head: Head,
}

impl Place {
    fn end(&self) -> (usize, u64) {
        (self.segment, self.offset + self.head.space())
    }
}

/// What is called for the rows of each chain, with the number that it reaches.
pub(in crate::store) type VisitChain<'a> = dyn FnMut(&[Row], u64) -> Result<(), Error> + 'a;

/// What the index says of the journal that belongs to it.
#[derive(Clone, Copy, Debug)]
pub(in crate::store) struct Reached {
    /// The number that the index has reached.
    pub(in crate::store) sequence: u64,
    /// The epoch of the records behind it.
    pub(in crate::store) epoch: u64,
    /// Where the last checkpoint's mark is; none in the index of postern 0.1.0.
    pub(in crate::store) mark: Option<Mark>,
    /// The store was closed in order: nothing follows.
    pub(in crate::store) clean: bool,
}

/// What can be said of the journal's end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::store) enum End {
    /// Everything that was acknowledged is there.
    #[default]
    Whole,
    /// The last record is a ruin: torn as it was written, or damaged later.
    Torn,
    /// Changes that were acknowledged are lost.
    Lost,
}

/// What a replay found.
#[derive(Debug, Default, PartialEq, Eq)]
pub(in crate::store) struct Replayed {
    /// The number that the replayed changes reach.
    pub(in crate::store) last: u64,
    /// The highest number of any record of this store, of whatever run: what is written next is above it.
    pub(in crate::store) highest: u64,
    /// What can be said of the end.
    pub(in crate::store) end: End,
    /// A run that the index knows nothing of wrote later records: the index is an older one.
    pub(in crate::store) overtaken: bool,
    /// The marks of starts that were cut short: a volume may have come as far, the index has not.
    pub(in crate::store) begun: Vec<Moment>,
}

/// A record of a run that the index knows nothing of.
pub(in crate::store) struct Later(Place);

/// The marks above `last` of runs that wrote nothing else.
fn cut_short(others: &[Place], last: u64) -> Vec<Moment> {
    let went_on = |epoch| others.iter().any(|place| place.head.epoch == epoch && !place.head.mark);
    let marks = others.iter().map(|place| place.head).filter(|head| head.mark && head.sequence > last);
    let marks = marks.filter(|head| !went_on(head.epoch));
    marks.map(|head| Moment { epoch: head.epoch, sequence: head.sequence }).collect()
}

/// The records that belong together, walked from the mark on.
struct Walk {
    expected: u64,
    before: Option<u64>,
    /// Where the next record must be, once that is known.
    next: Option<(usize, u64)>,
}

impl Journal {
    /// Hands out the rows of every complete chain behind what the index has reached, in order, with the
    /// number that each chain reaches.
    ///
    /// # Errors
    /// Of the disk, where it gave one again and again: then nothing may be written, for what could not be read
    /// may be there.
    pub(in crate::store) fn replay(
        &mut self,
        reached: &Reached,
        visit: &mut VisitChain<'_>,
    ) -> Result<Replayed, Error> {
        let reading = |error| Error::io("reading the journal", error);
        let (own, others) = self.survey(reached.epoch).map_err(reading)?;
        let (last, walk, torn) = self.walk(&own, reached, visit)?;
        let highest = own.iter().chain(&others).map(|place| place.head.sequence).max().unwrap_or(0);
        let mut end = if torn { End::Torn } else { End::Whole };
        if !reached.clean {
            end = end.max(self.judge(&own, reached, &walk).map_err(reading)?);
        }
        // A run's first number is above all that were found before it began; postern 0.1.0 did not see to that.
        // A mark alone is of a start that was cut short.
        let later = |place: &Place| place.head.sequence > last && !place.head.mark;
        let overtaken = reached.mark.is_some() && others.iter().any(later);
        let begun = cut_short(&others, last);
        Ok(Replayed { last, highest: highest.max(last), end, overtaken, begun })
    }

    /// The number of the last whole chain, where the walk ended, and whether it ended within a chain.
    fn walk(
        &mut self,
        own: &[Place],
        reached: &Reached,
        visit: &mut VisitChain<'_>,
    ) -> Result<(u64, Walk, bool), Error> {
        let mark = reached.mark.and_then(|mark| self.at_mark(own, &mark));
        let mut walk = Walk {
            expected: reached.sequence + 1,
            before: reached.mark.map(|mark| mark.sum),
            next: mark.map(Place::end),
        };
        let (mut last, mut chain) = (reached.sequence, Vec::new());
        while let Some(place) = find(own, walk.expected) {
            if walk.before.is_some_and(|before| before != place.head.before) {
                break;
            }
            let rows = self.rows_at(place).map_err(|error| Error::io("reading the journal", error))?;
            let Some(rows) = rows else { break };
            chain.extend(rows);
            walk.before = Some(place.head.sum);
            if !place.head.more {
                visit(&chain, walk.expected)?;
                chain.clear();
                last = walk.expected;
            }
            walk.next = Some(place.end());
            walk.expected += 1;
        }
        let torn = !chain.is_empty();
        // What follows goes behind what was replayed, at the latest in the next segment.
        if let Some((segment, offset)) = walk.next {
            (self.current, self.offset) = (segment, offset);
        }
        Ok((last, walk, torn))
    }

    fn at_mark<'a>(&self, own: &'a [Place], mark: &Mark) -> Option<&'a Place> {
        let number = |place: &Place| self.segments.get(place.segment).map(|segment| segment.number);
        own.iter().find(|place| {
            number(place) == Some(mark.segment)
                && place.offset == mark.offset
                && place.head.sequence == mark.sequence
                && place.head.sum == mark.sum
        })
    }

    /// Whether the walk's end is the journal's.
    fn judge(&self, own: &[Place], reached: &Reached, walk: &Walk) -> io::Result<End> {
        // Records of a batch are written before its one sync, so later ones of the batch that broke may be
        // there. A later batch was begun only when this one was durable.
        for place in own.iter().filter(|place| place.head.batch > walk.expected) {
            if self.rows_at(place)?.is_some() {
                return Ok(End::Lost);
            }
        }
        match walk.next {
            Some((segment, offset)) => self.judge_place(segment, offset, reached, walk),
            // The mark that the index names is gone, and nothing that follows it is there.
            None if reached.mark.is_some() => Ok(End::Lost),
            None => Ok(End::Whole),
        }
    }

    fn judge_place(&self, segment: usize, offset: u64, reached: &Reached, walk: &Walk) -> io::Result<End> {
        let Some(segment) = self.segments.get(segment) else { return Ok(End::Lost) };
        let (length, is_cut) = segment.length()?;
        if offset + BOUNDARY > length {
            return Ok(if is_cut { End::Lost } else { End::Whole });
        }
        let mut head = [0; HEAD];
        read_patiently(&*segment.file, offset, &mut head)?;
        if head == [0; HEAD] {
            return Ok(if segment.is_blank_from(offset)? { End::Whole } else { End::Torn });
        }
        match Head::decode(&head) {
            // The mark of the checkpoint that closed this segment was durable before.
            Some(head) if head.close && head.epoch == reached.epoch && head.sequence == walk.expected => {
                Ok(End::Lost)
            }
            Some(head) if head.epoch == reached.epoch && head.sequence >= walk.expected => Ok(End::Torn),
            Some(_) => Ok(End::Whole),
            None if Head::is_ruin(&head, reached.epoch, walk.before.unwrap_or(0)) => Ok(End::Torn),
            None => Ok(End::Whole),
        }
    }

    /// As [`Journal::replay`], of this run's own records, while it goes on; those up to the number `upto` must be
    /// there.
    pub(in crate::store) fn read_again(
        &mut self,
        after: u64,
        upto: u64,
        visit: &mut VisitChain<'_>,
    ) -> Result<(), Error> {
        let (current, offset) = (self.current, self.offset);
        let reached = Reached { sequence: after, epoch: self.epoch, mark: None, clean: true };
        let replayed = self.replay(&reached, visit);
        (self.current, self.offset) = (current, offset);
        if replayed?.last < upto {
            return Err(Error::Damaged("the journal".to_owned()));
        }
        Ok(())
    }

    /// The records above `last` of this store's runs but that of `epoch`, in their order.
    pub(in crate::store) fn later(&self, epoch: u64, last: u64) -> io::Result<Vec<Later>> {
        let (_, mut others) = self.survey(epoch)?;
        others.retain(|place| place.head.sequence > last && !place.head.mark);
        others.sort_by_key(|place| place.head.sequence);
        Ok(others.into_iter().map(Later).collect())
    }

    /// The rows of such a record; none where it is no longer whole.
    pub(in crate::store) fn rows_of(&self, record: &Later) -> io::Result<Option<Vec<Row>>> {
        self.rows_at(&record.0)
    }

    /// Copies every segment aside, for whoever wants to look at what was lost.
    pub(in crate::store) fn copy_aside(&self) -> io::Result<()> {
        for segment in &self.segments {
            let aside = segment.path.with_extension(format!("damaged-{:016x}", self.epoch));
            self.copy_segment(&*segment.file, &aside)?;
        }
        self.disk.sync_dir(&self.folder)
    }

    fn copy_segment(&self, from: &dyn crate::store::base::env::DiskFile, aside: &Path) -> io::Result<()> {
        let to = self.disk.open(aside, true)?;
        let (mut at, mut buffer) = (0, vec![0; 1 << 20]);
        let length = from.len()?;
        while at < length {
            let count = (length - at).min(buffer.len() as u64) as usize;
            let Some(part) = buffer.get_mut(..count) else { break };
            read_patiently(from, at, part)?;
            to.write_at(at, part)?;
            at += count as u64;
        }
        to.sync()
    }

    /// The records of an epoch, by number, and those of this store's other runs.
    fn survey(&self, epoch: u64) -> io::Result<(Vec<Place>, Vec<Place>)> {
        let (mut own, mut others) = (Vec::new(), Vec::new());
        let mut bytes = [0; HEAD];
        for (segment, at) in self.segments.iter().enumerate() {
            let length = at.file.len()?;
            let mut offset = 0;
            while offset + BOUNDARY <= length {
                read_patiently(&*at.file, offset, &mut bytes)?;
                if let Some(head) = Head::decode(&bytes).filter(|head| !head.close && self.is_own(head)) {
                    let places = if head.epoch == epoch { &mut own } else { &mut others };
                    places.push(Place { segment, offset, head });
                }
                // Not by the record's length: what it covers may be newer than it.
                offset += BOUNDARY;
            }
        }
        own.sort_by_key(|place: &Place| place.head.sequence);
        Ok((own, others))
    }

    fn is_own(&self, head: &Head) -> bool {
        head.generation == self.lineage.generation || self.lineage.ancestors.contains(&head.generation)
    }

    /// The rows of a record; none where it is no longer whole.
    fn rows_at(&self, place: &Place) -> io::Result<Option<Vec<Row>>> {
        let Some(segment) = self.segments.get(place.segment) else { return Ok(None) };
        if place.offset + place.head.space() > segment.file.len()? {
            return Ok(None);
        }
        let mut payload = vec![0; place.head.length as usize];
        read_patiently(&*segment.file, place.offset + HEAD as u64, &mut payload)?;
        if xxh3_64(&payload) != place.head.payload_sum {
            return Ok(None);
        }
        Ok(Row::decode_all(&payload))
    }
}

fn find(places: &[Place], sequence: u64) -> Option<&Place> {
    places
        .get(places.partition_point(|place| place.head.sequence < sequence))
        .filter(|place| place.head.sequence == sequence)
}
