//! A mailbox's UIDs in order, compact: the map between sequence numbers and UIDs.

use std::ops::RangeInclusive;
use std::sync::Arc;

use super::{SeqNum, Uid, UidSet};

/// The most UIDs of a chunk. A chunk is what an EXPUNGE rewrites and what two sessions share.
const CHUNK: usize = 512;

/// UIDs in ascending order, stored as variable-length differences in shared chunks: about one byte a
/// message, so that a view of 100,000 messages costs 110 KB, and copies of it next to nothing.
#[derive(Clone, Debug, Default)]
pub struct UidList {
    chunks: Vec<Chunk>,
}

#[derive(Clone, Debug)]
struct Chunk {
    /// How many UIDs lie in the chunks before this one.
    before: u32,
    count: u32,
    first: u32,
    last: u32,
    /// The differences from each UID to the next, LEB128.
    steps: Arc<[u8]>,
}

impl Chunk {
    fn new(before: u32, uids: &[u32]) -> Option<Self> {
        let (&first, &last) = (uids.first()?, uids.last()?);
        let mut steps = Vec::with_capacity(uids.len());
        for pair in uids.windows(2) {
            let mut step = pair[1] - pair[0];
            while step >= 0x80 {
                steps.push(step as u8 | 0x80);
                step >>= 7;
            }
            steps.push(step as u8);
        }
        Some(Chunk { before, count: uids.len() as u32, first, last, steps: steps.into() })
    }

    fn uids(&self) -> impl Iterator<Item = u32> + '_ {
        let mut next = Some(self.first);
        let mut steps = self.steps.iter();
        std::iter::from_fn(move || {
            let current = next?;
            let (mut step, mut shift, mut ended) = (0_u32, 0, true);
            for byte in steps.by_ref() {
                ended = false;
                step |= u32::from(byte & 0x7f) << shift;
                shift += 7;
                if byte & 0x80 == 0 {
                    break;
                }
            }
            next = if ended { None } else { Some(current + step) };
            Some(current)
        })
    }
}

impl Chunk {
    fn pairs(&self) -> impl Iterator<Item = (SeqNum, Uid)> + '_ {
        let numbers = self.before + 1..;
        numbers.zip(self.uids()).filter_map(|(number, uid)| Some((SeqNum::new(number)?, Uid::new(uid)?)))
    }
}

impl UidList {
    /// How many UIDs it holds: EXISTS of a view.
    #[must_use]
    pub fn len(&self) -> u32 {
        self.chunks.last().map_or(0, |chunk| chunk.before + chunk.count)
    }

    /// Whether it is empty.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.chunks.is_empty()
    }

    /// The largest UID: `*` of a UID set.
    #[must_use]
    pub fn last(&self) -> Option<Uid> {
        self.chunks.last().and_then(|chunk| Uid::new(chunk.last))
    }

    /// The memory that it holds, in bytes, shared chunks counted whole.
    #[must_use]
    pub fn heap_bytes(&self) -> usize {
        self.chunks.capacity() * size_of::<Chunk>()
            + self.chunks.iter().map(|chunk| chunk.steps.len() + 16).sum::<usize>()
    }

    /// Appends UIDs above all that are there; others are ignored.
    pub fn extend(&mut self, uids: impl IntoIterator<Item = Uid>) {
        let last = self.last().map_or(0, Uid::get);
        let mut pending: Vec<u32> = Vec::new();
        if let Some(chunk) = self.chunks.last().filter(|chunk| (chunk.count as usize) < CHUNK) {
            pending.extend(chunk.uids());
            self.chunks.pop();
        }
        let mut highest = last;
        for uid in uids {
            if uid.get() > highest {
                highest = uid.get();
                pending.push(highest);
                if pending.len() == CHUNK {
                    self.push_chunk(&pending);
                    pending.clear();
                }
            }
        }
        self.push_chunk(&pending);
    }

    fn push_chunk(&mut self, uids: &[u32]) {
        self.chunks.extend(Chunk::new(self.len(), uids));
    }

    /// Removes every UID of `gone`, and gives the sequence numbers that they had, ascending, as a set.
    pub fn remove(&mut self, gone: &UidSet) -> UidSet {
        let mut numbers = UidSet::new();
        if gone.is_empty() {
            return numbers;
        }
        let mut kept: Vec<Chunk> = Vec::with_capacity(self.chunks.len());
        let mut before = 0;
        for chunk in std::mem::take(&mut self.chunks) {
            let touched = !gone.intersection(&std::iter::once(chunk.first..=chunk.last).collect()).is_empty();
            let chunk = if touched {
                let mut left = Vec::with_capacity(chunk.count as usize);
                for (n, uid) in chunk.uids().enumerate() {
                    if gone.contains(uid) {
                        let number = chunk.before + n as u32 + 1;
                        numbers.insert_range(number..=number);
                    } else {
                        left.push(uid);
                    }
                }
                Chunk::new(before, &left)
            } else {
                Some(Chunk { before, ..chunk })
            };
            if let Some(chunk) = chunk {
                before += chunk.count;
                kept.push(chunk);
            }
        }
        self.chunks = merge_small(kept);
        numbers
    }

    /// The UID at a sequence number.
    #[must_use]
    pub fn uid(&self, number: SeqNum) -> Option<Uid> {
        let index = number.get() - 1;
        let at = self.chunks.partition_point(|chunk| chunk.before + chunk.count <= index);
        let chunk = self.chunks.get(at)?;
        chunk.uids().nth((index - chunk.before) as usize).and_then(Uid::new)
    }

    /// The sequence number of a UID.
    #[must_use]
    pub fn seq(&self, uid: Uid) -> Option<SeqNum> {
        let at = self.chunks.partition_point(|chunk| chunk.last < uid.get());
        let chunk = self.chunks.get(at)?;
        let index = chunk.uids().position(|known| known == uid.get())?;
        SeqNum::new(chunk.before + index as u32 + 1)
    }

    /// Whether it holds `uid`.
    #[must_use]
    pub fn contains(&self, uid: Uid) -> bool {
        self.seq(uid).is_some()
    }

    /// All pairs in order.
    pub fn iter(&self) -> impl Iterator<Item = (SeqNum, Uid)> + '_ {
        self.starting_at(0)
    }

    /// The pairs whose UID is in `uids`, ascending.
    pub fn select_uids<'a>(&'a self, uids: &'a UidSet) -> impl Iterator<Item = (SeqNum, Uid)> + 'a {
        self.select(uids, |chunk| chunk.first..=chunk.last, |(_, uid)| uid.get())
    }

    /// The pairs whose sequence number is in `numbers`, ascending; numbers beyond the end name nothing.
    pub fn select_seqs<'a>(&'a self, numbers: &'a UidSet) -> impl Iterator<Item = (SeqNum, Uid)> + 'a {
        self.select(
            numbers,
            |chunk| chunk.before + 1..=chunk.before + chunk.count,
            |(number, _)| number.get(),
        )
    }

    /// The pairs whose key is in `set`. Costs the chunks that it touches, each of them once, however many
    /// ranges the set has.
    fn select<'a>(
        &'a self,
        set: &'a UidSet,
        keys: impl Fn(&Chunk) -> RangeInclusive<u32> + 'a,
        key: impl Fn((SeqNum, Uid)) -> u32 + Copy + 'a,
    ) -> impl Iterator<Item = (SeqNum, Uid)> + 'a {
        let (mut chunks, mut ranges) = (self.chunks.as_slice(), set.ranges());
        let touched = std::iter::from_fn(move || {
            loop {
                let (chunk, range) = (chunks.first()?, ranges.first()?);
                let held = keys(chunk);
                if held.end() < range.start() {
                    chunks = &chunks[chunks.partition_point(|chunk| keys(chunk).end() < range.start())..];
                } else if range.end() < held.start() {
                    ranges = &ranges[ranges.partition_point(|range| range.end() < held.start())..];
                } else {
                    chunks = &chunks[1..];
                    return Some((chunk, ranges));
                }
            }
        });
        touched.flat_map(move |(chunk, mut ranges)| {
            chunk.pairs().filter(move |pair| {
                let key = key(*pair);
                while let Some((range, rest)) = ranges.split_first()
                    && *range.end() < key
                {
                    ranges = rest;
                }
                ranges.first().is_some_and(|range| *range.start() <= key)
            })
        })
    }

    /// The UIDs as a set.
    #[must_use]
    pub fn to_set(&self) -> UidSet {
        let mut set = UidSet::new();
        self.iter().for_each(|(_, uid)| set.insert(uid));
        set
    }

    fn starting_at(&self, index: u32) -> impl Iterator<Item = (SeqNum, Uid)> + '_ {
        let at = self.chunks.partition_point(|chunk| chunk.before + chunk.count <= index);
        self.chunks[at..]
            .iter()
            .flat_map(move |chunk| chunk.pairs().skip(index.saturating_sub(chunk.before) as usize))
    }
}

/// Joins neighbours that have become small, so that the list stays compact however much is expunged.
fn merge_small(chunks: Vec<Chunk>) -> Vec<Chunk> {
    let mut merged: Vec<Chunk> = Vec::with_capacity(chunks.len());
    for chunk in chunks {
        match merged.last_mut() {
            Some(last) if (last.count + chunk.count) as usize <= CHUNK / 2 => {
                let uids: Vec<u32> = last.uids().chain(chunk.uids()).collect();
                if let Some(joined) = Chunk::new(last.before, &uids) {
                    *last = joined;
                }
            }
            _ => merged.push(chunk),
        }
    }
    merged
}

impl FromIterator<Uid> for UidList {
    fn from_iter<I: IntoIterator<Item = Uid>>(uids: I) -> Self {
        let mut list = UidList::default();
        list.extend(uids);
        list
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn random(seed: &mut u32) -> u32 {
        *seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        *seed >> 8
    }

    #[test]
    fn agrees_with_a_plain_vector() {
        let mut seed = 1;
        let mut list = UidList::default();
        let mut model: Vec<u32> = Vec::new();
        for _ in 0..300 {
            if !random(&mut seed).is_multiple_of(3) {
                let mut next = model.last().copied().unwrap_or(0);
                let added: Vec<u32> = (0..random(&mut seed) % 700)
                    .map(|_| {
                        next += 1 + random(&mut seed) % 300;
                        next
                    })
                    .collect();
                list.extend(added.iter().copied().filter_map(Uid::new));
                model.extend(added);
            } else {
                let gone: UidSet =
                    model.iter().copied().filter(|_| random(&mut seed).is_multiple_of(2)).collect();
                let numbers = list.remove(&gone);
                let expected: Vec<u32> =
                    (1..).zip(&model).filter(|(_, uid)| gone.contains(**uid)).map(|(n, _)| n).collect();
                assert!(numbers.iter().eq(expected));
                model.retain(|uid| !gone.contains(*uid));
            }
            assert_eq!(list.len() as usize, model.len());
            assert!(list.iter().map(|(_, uid)| uid.get()).eq(model.iter().copied()));
        }
        for (n, uid) in (1..).zip(&model) {
            assert_eq!(list.uid(SeqNum::new(n).unwrap()), Uid::new(*uid));
            assert_eq!(list.seq(Uid::new(*uid).unwrap()), SeqNum::new(n));
        }
        assert_eq!(list.uid(SeqNum::new(model.len() as u32 + 1).unwrap()), None);
        let some: UidSet = [5..=2000, 30_000..=40_000].into_iter().collect();
        assert!(
            list.select_uids(&some)
                .map(|(_, uid)| uid.get())
                .eq(model.iter().copied().filter(|u| some.contains(*u)))
        );
        let scattered: UidSet =
            (1..60_000_u32).filter(|_| random(&mut seed).is_multiple_of(9)).chain([90_000]).collect();
        let known: UidSet = model.iter().copied().collect();
        assert!(list.select_uids(&scattered).all(|(number, uid)| list.seq(uid) == Some(number)));
        assert!(
            list.select_uids(&scattered).map(|(_, uid)| uid.get()).eq(scattered.intersection(&known).iter())
        );
        let numbers: UidSet = [3..=5, 900..=1100].into_iter().collect();
        assert!(list.select_seqs(&numbers).map(|(n, _)| n.get()).eq(numbers.iter()));
        let last = model.len() as u32;
        let numbers: UidSet =
            (1..last).filter(|_| random(&mut seed).is_multiple_of(5)).chain([last, last + 7]).collect();
        assert!(list.select_seqs(&numbers).all(|(n, uid)| list.uid(n) == Some(uid)));
        assert!(list.select_seqs(&numbers).map(|(n, _)| n.get()).eq(numbers.iter().filter(|n| *n <= last)));
    }

    #[test]
    fn a_hundred_thousand_scattered_uids_are_small() {
        let mut seed = 3;
        let list: UidList =
            (1..200_000).filter(|_| random(&mut seed).is_multiple_of(2)).filter_map(Uid::new).collect();
        assert!(list.heap_bytes() < 150_000, "{} bytes", list.heap_bytes());
    }
}
