//! A mailbox's UIDs in order, compact: the map between sequence numbers and UIDs.

use std::ops::RangeInclusive;

use super::uid_chunk::{Body, CHUNK, Chunk, Packing, merge_small};
use super::{SeqNum, Uid, UidSet};

/// UIDs in ascending order in shared chunks: a run of UIDs without a gap costs nothing however long it is, others a bit
/// for each number between their first and their last or about a byte a message, whichever is less. Copies of it cost
/// next to nothing.
#[derive(Clone, Debug, Default)]
pub struct UidList {
    chunks: Vec<Chunk>,
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

    /// The smallest UID.
    #[must_use]
    pub fn first(&self) -> Option<Uid> {
        self.chunks.first().and_then(|chunk| Uid::new(chunk.first))
    }

    /// The largest UID: `*` of a UID set.
    #[must_use]
    pub fn last(&self) -> Option<Uid> {
        self.chunks.last().and_then(|chunk| Uid::new(chunk.last))
    }

    /// The memory that it holds, in bytes, shared chunks counted whole.
    #[must_use]
    pub fn heap_bytes(&self) -> usize {
        self.chunks.capacity() * size_of::<Chunk>() + self.chunks.iter().map(Chunk::heap_bytes).sum::<usize>()
    }

    /// Appends UIDs above all that are there; others are ignored.
    pub fn extend(&mut self, uids: impl IntoIterator<Item = Uid>) {
        let mut highest = self.last().map_or(0, Uid::get);
        let mut packing = Packing::onto(std::mem::take(&mut self.chunks));
        for uid in uids {
            if uid.get() > highest {
                highest = uid.get();
                packing.push(highest);
            }
        }
        self.chunks = packing.finish();
    }

    /// Removes every UID of `gone`, and gives the sequence numbers that they had, ascending, as a set.
    pub fn remove(&mut self, gone: &UidSet) -> UidSet {
        let mut numbers = UidSet::new();
        if gone.is_empty() {
            return numbers;
        }
        let mut packing = Packing::default();
        let mut holes = gone.ranges();
        for chunk in std::mem::take(&mut self.chunks) {
            holes = &holes[holes.partition_point(|hole| *hole.end() < chunk.first)..];
            let within = &holes[..holes.partition_point(|hole| *hole.start() <= chunk.last)];
            if within.is_empty() {
                packing.push_chunk(chunk);
            } else if chunk.is_run() {
                let mut from = chunk.first;
                let number = |uid: u32| chunk.before + 1 + (uid - chunk.first);
                for hole in within {
                    let (start, end) = ((*hole.start()).max(chunk.first), (*hole.end()).min(chunk.last));
                    numbers.insert_range(number(start)..=number(end));
                    packing.push_run(from..=start - 1);
                    from = end.saturating_add(1);
                }
                if *within[within.len() - 1].end() < chunk.last {
                    packing.push_run(from..=chunk.last);
                }
            } else {
                let mut within = within;
                for (number, uid) in (chunk.before + 1..).zip(chunk.uids()) {
                    while let Some((hole, rest)) = within.split_first()
                        && *hole.end() < uid
                    {
                        within = rest;
                    }
                    if within.first().is_some_and(|hole| *hole.start() <= uid) {
                        numbers.insert_range(number..=number);
                    } else {
                        packing.push(uid);
                    }
                }
                packing.flush();
            }
        }
        self.chunks = merge_small(packing.finish());
        numbers
    }

    /// Takes away the last UIDs and gives them: about so many ranges (at least one), and about so many UIDs.
    #[must_use]
    pub fn take_last(&mut self, ranges: usize, uids: u32) -> UidSet {
        let (mut taken, mut left) = (Vec::new(), uids.max(1));
        while left > 0
            && taken.len() < ranges.max(1)
            && let Some(mut chunk) = self.chunks.pop()
        {
            if chunk.is_run() {
                let end = chunk.last;
                let from = end.saturating_sub(left - 1).max(chunk.first);
                taken.push(from..=end);
                left -= end - from + 1;
                if chunk.first < from {
                    (chunk.last, chunk.count) = (from - 1, chunk.count - (end - from + 1));
                    self.chunks.push(chunk);
                }
            } else {
                taken.extend(chunk.uids().map(|uid| uid..=uid));
                left = left.saturating_sub(chunk.count);
            }
        }
        taken.into_iter().collect()
    }

    /// Its UIDs, some at a time: about `most`, at least as many but for the last.
    pub fn batches(self, most: usize) -> impl Iterator<Item = UidSet> + Send + use<> {
        self.cut(usize::MAX, most)
    }

    /// Its ranges, some at a time: about `most`, at least as many but for the last.
    pub fn pieces(self, most: usize) -> impl Iterator<Item = UidSet> + Send + use<> {
        self.cut(most, usize::MAX)
    }

    fn cut(self, ranges: usize, uids: usize) -> impl Iterator<Item = UidSet> + Send + use<> {
        let mut chunks = self.chunks.into_iter().peekable();
        std::iter::from_fn(move || {
            let mut batch = UidSet::new();
            let mut left = uids.max(1);
            while left > 0
                && batch.ranges().len() < ranges.max(1)
                && let Some(chunk) = chunks.peek_mut()
            {
                if chunk.is_run() {
                    let more = u32::try_from(left - 1).unwrap_or(u32::MAX);
                    let to = chunk.last.min(chunk.first.saturating_add(more));
                    batch.insert_range(chunk.first..=to);
                    left -= (to - chunk.first) as usize + 1;
                    if to < chunk.last {
                        chunk.first = to + 1;
                        break;
                    }
                } else {
                    chunk.uids().for_each(|uid| batch.insert_range(uid..=uid));
                    left = left.saturating_sub(chunk.count as usize);
                }
                chunks.next();
            }
            (!batch.is_empty()).then_some(batch)
        })
    }

    /// The UIDs that are in a set. What is wanted as a whole is shared.
    #[must_use]
    pub fn only(&self, uids: &UidSet) -> UidList {
        let mut packing = Packing::default();
        self.pick(uids, &mut packing, uid_keys, |(_, uid)| uid.get());
        UidList { chunks: packing.finish() }
    }

    /// The UIDs whose sequence number is in a set; numbers beyond the end name nothing.
    #[must_use]
    pub fn numbered(&self, numbers: &UidSet) -> UidList {
        let mut packing = Packing::default();
        self.pick(numbers, &mut packing, seq_keys, |(number, _)| number.get());
        UidList { chunks: packing.finish() }
    }

    /// The UIDs that are in both lists.
    #[must_use]
    pub fn intersection(&self, other: &UidList) -> UidList {
        let mut packing = Packing::default();
        for uids in other.clone().pieces(CHUNK) {
            self.pick(&uids, &mut packing, uid_keys, |(_, uid)| uid.get());
        }
        UidList { chunks: packing.finish() }
    }

    /// The UIDs that are not in `other`.
    #[must_use]
    pub fn without(mut self, other: &UidList) -> UidList {
        if !other.is_empty() {
            for uids in self.intersection(other).pieces(CHUNK * 8) {
                self.remove(&uids);
            }
        }
        self
    }

    fn pick(
        &self,
        set: &UidSet,
        packing: &mut Packing,
        keys: impl Fn(&Chunk) -> RangeInclusive<u32> + Copy,
        key: impl Fn((SeqNum, Uid)) -> u32 + Copy,
    ) {
        for (chunk, mut ranges) in self.touched(set, keys) {
            let held = keys(chunk);
            let whole =
                |range: &RangeInclusive<u32>| range.start() <= held.start() && held.end() <= range.end();
            if ranges.first().is_some_and(whole) {
                packing.push_chunk(chunk.clone());
            } else if chunk.is_run() {
                let within = &ranges[..ranges.partition_point(|range| range.start() <= held.end())];
                for range in within {
                    let low = (*range.start()).max(*held.start()) - held.start();
                    let high = (*range.end()).min(*held.end()) - held.start();
                    packing.push_run(chunk.first + low..=chunk.first + high);
                }
            } else {
                let wanted = chunk.pairs().filter(|pair| is_in(&mut ranges, key(*pair)));
                wanted.for_each(|(_, uid)| packing.push(uid.get()));
            }
        }
    }

    /// The UID at a sequence number.
    #[must_use]
    pub fn uid(&self, number: SeqNum) -> Option<Uid> {
        let index = number.get() - 1;
        let at = self.chunks.partition_point(|chunk| chunk.before + chunk.count <= index);
        let chunk = self.chunks.get(at)?;
        chunk.at(index - chunk.before).and_then(Uid::new)
    }

    /// The sequence number of a UID.
    #[must_use]
    pub fn seq(&self, uid: Uid) -> Option<SeqNum> {
        let at = self.chunks.partition_point(|chunk| chunk.last < uid.get());
        let chunk = self.chunks.get(at)?;
        SeqNum::new(chunk.before + chunk.position(uid.get())? + 1)
    }

    /// Whether it holds `uid`.
    #[must_use]
    pub fn contains(&self, uid: Uid) -> bool {
        self.seq(uid).is_some()
    }

    /// All pairs in order.
    pub fn iter(&self) -> impl Iterator<Item = (SeqNum, Uid)> + '_ {
        self.chunks.iter().flat_map(Chunk::pairs)
    }

    /// The pairs whose UID is in `uids`, ascending.
    pub fn select_uids<'a>(&'a self, uids: &'a UidSet) -> impl Iterator<Item = (SeqNum, Uid)> + 'a {
        self.select(uids, uid_keys, |(_, uid)| uid.get())
    }

    /// The pairs whose sequence number is in `numbers`, ascending; numbers beyond the end name nothing.
    pub fn select_seqs<'a>(&'a self, numbers: &'a UidSet) -> impl Iterator<Item = (SeqNum, Uid)> + 'a {
        self.select(numbers, seq_keys, |(number, _)| number.get())
    }

    /// The pairs whose key is in `set`. Costs the chunks that it touches, each of them once, however many
    /// ranges the set has.
    fn select<'a>(
        &'a self,
        set: &'a UidSet,
        keys: impl Fn(&Chunk) -> RangeInclusive<u32> + Copy + 'a,
        key: impl Fn((SeqNum, Uid)) -> u32 + Copy + 'a,
    ) -> impl Iterator<Item = (SeqNum, Uid)> + 'a {
        self.touched(set, keys).flat_map(move |(chunk, mut ranges)| {
            // A run may be long: only what is wanted of it is gone through.
            let run = chunk.is_run().then(|| {
                let held = keys(chunk);
                let within = &ranges[..ranges.partition_point(|range| range.start() <= held.end())];
                within.iter().flat_map(move |range| {
                    let low = (*range.start()).max(*held.start()) - held.start();
                    let high = (*range.end()).min(*held.end()) - held.start();
                    (low..=high).filter_map(|offset| {
                        Some((SeqNum::new(chunk.before + 1 + offset)?, Uid::new(chunk.first + offset)?))
                    })
                })
            });
            let others =
                (!chunk.is_run()).then(|| chunk.pairs().filter(move |pair| is_in(&mut ranges, key(*pair))));
            run.into_iter().flatten().chain(others.into_iter().flatten())
        })
    }

    /// The chunks that a set touches, each with those of its ranges that do not end before it.
    fn touched<'a>(
        &'a self,
        set: &'a UidSet,
        keys: impl Fn(&Chunk) -> RangeInclusive<u32> + 'a,
    ) -> impl Iterator<Item = (&'a Chunk, &'a [RangeInclusive<u32>])> {
        let (mut chunks, mut ranges) = (self.chunks.as_slice(), set.ranges());
        std::iter::from_fn(move || {
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
        })
    }

    /// The UIDs as a set.
    #[must_use]
    pub fn to_set(&self) -> UidSet {
        let mut set = UidSet::new();
        for chunk in &self.chunks {
            match chunk.body {
                Body::Run => set.insert_range(chunk.first..=chunk.last),
                _ => chunk.uids().for_each(|uid| set.insert_range(uid..=uid)),
            }
        }
        set
    }
}

fn uid_keys(chunk: &Chunk) -> RangeInclusive<u32> {
    chunk.first..=chunk.last
}

fn seq_keys(chunk: &Chunk) -> RangeInclusive<u32> {
    chunk.before + 1..=chunk.before + chunk.count
}

/// Whether a key is in one of these ranges. Those that end before it are passed for good: keys come in order.
fn is_in(ranges: &mut &[RangeInclusive<u32>], key: u32) -> bool {
    while let Some((range, rest)) = ranges.split_first()
        && *range.end() < key
    {
        *ranges = rest;
    }
    ranges.first().is_some_and(|range| *range.start() <= key)
}

impl From<&UidSet> for UidList {
    fn from(set: &UidSet) -> Self {
        let mut packing = Packing::default();
        set.ranges().iter().for_each(|range| packing.push_run(range.clone()));
        UidList { chunks: packing.finish() }
    }
}

/// Makes a list out of UIDs that come one by one.
#[derive(Default)]
pub struct UidListBuilder(Packing);

impl UidListBuilder {
    /// Adds a UID above all before it.
    pub fn push(&mut self, uid: Uid) {
        self.0.push(uid.get());
    }

    /// The list.
    #[must_use]
    pub fn finish(self) -> UidList {
        UidList { chunks: self.0.finish() }
    }
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
                // Runs, lists with few gaps, and with many.
                let widest = [1, 2, 4, 300][random(&mut seed) as usize % 4];
                let seldom = 1 + random(&mut seed) % 200;
                let added: Vec<u32> = (0..random(&mut seed) % 1_500)
                    .map(|_| {
                        let gap = random(&mut seed).is_multiple_of(seldom);
                        next += 1 + if gap { random(&mut seed) % widest } else { 0 };
                        next
                    })
                    .collect();
                list.extend(added.iter().copied().filter_map(Uid::new));
                model.extend(added);
            } else {
                let (kept, length) = (1 + random(&mut seed) % 50, 1 + random(&mut seed) % 900);
                let gone: UidSet = if random(&mut seed).is_multiple_of(2) {
                    model.iter().copied().filter(|_| random(&mut seed).is_multiple_of(kept)).collect()
                } else {
                    let starts = (0..5).map(|_| random(&mut seed) % 90_000 + 1);
                    starts.map(|start| start..=start + length).collect()
                };
                let numbers = list.remove(&gone);
                let expected: Vec<u32> =
                    (1..).zip(&model).filter(|(_, uid)| gone.contains(**uid)).map(|(n, _)| n).collect();
                assert!(numbers.iter().eq(expected));
                model.retain(|uid| !gone.contains(*uid));
            }
            assert_eq!(list.len() as usize, model.len());
            let set: UidSet = model.iter().copied().collect();
            assert_eq!(list.to_set(), set);
            assert_eq!(UidList::from(&set).to_set(), set);
            let mut some = UidSet::new();
            for _ in 0..20 {
                let (start, length) = (random(&mut seed) % 90_000 + 1, random(&mut seed) % 3_000);
                some.insert_range(start..=start + length);
            }
            assert_eq!(list.only(&some).to_set(), set.intersection(&some));
            assert_eq!(list.intersection(&UidList::from(&some)).to_set(), set.intersection(&some));
            assert_eq!(list.clone().without(&UidList::from(&some)).to_set(), set.difference(&some));
            let numbers = list.select_seqs(&some).map(|(_, uid)| uid);
            assert_eq!(list.numbered(&some).to_set(), numbers.collect());
            let pieces: Vec<UidSet> = list.clone().pieces(100).collect();
            assert!(pieces.iter().all(|piece| piece.ranges().len() < 100 + 512));
            assert!(pieces.iter().flat_map(UidSet::iter).eq(model.iter().copied()));
            let batch = 1 + random(&mut seed) % 2_000;
            let batches: Vec<UidSet> = list.clone().batches(batch as usize).collect();
            assert!(batches.iter().all(|some| some.len() < u64::from(batch) + 512));
            assert!(batches.iter().flat_map(UidSet::iter).eq(model.iter().copied()));
            let (mut rest, mut taken) = (list.clone(), Vec::new());
            while !rest.is_empty() {
                let some = rest.take_last(200, batch);
                assert!(some.ranges().len() < 200 + 512 && some.len() < u64::from(batch) + 512);
                taken.push(some);
            }
            assert!(taken.iter().rev().flat_map(UidSet::iter).eq(model.iter().copied()));
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
        let mut scattered = |one_of: u32, most: usize| {
            let uids = (1..100_000 * one_of).filter(|_| random(&mut seed).is_multiple_of(one_of));
            let list: UidList = uids.filter_map(Uid::new).collect();
            assert!(list.heap_bytes() < most, "one of {one_of}: {} bytes", list.heap_bytes());
        };
        scattered(2, 50_000);
        scattered(50, 150_000);
    }

    #[test]
    fn millions_without_a_gap_cost_nothing_and_are_found_at_once() {
        let mut list = UidList::default();
        for first in (0..8_400_000).step_by(600) {
            list.extend((first + 1..=first + 600).filter_map(Uid::new));
        }
        assert_eq!((list.len(), list.chunks.len()), (8_400_000, 1));
        assert!(list.remove(&UidSet::single(Uid::new(5_000_000).unwrap())).iter().eq([5_000_000]));
        assert_eq!((list.len(), list.chunks.len()), (8_399_999, 2));
        let far: UidSet = [7_000_000_u32, 7_000_002].into_iter().collect();
        let found: Vec<(u32, u32)> = list.select_uids(&far).map(|(n, uid)| (n.get(), uid.get())).collect();
        assert_eq!(found, [(6_999_999, 7_000_000), (7_000_001, 7_000_002)]);
        assert_eq!(list.seq(Uid::new(8_400_000).unwrap()), SeqNum::new(8_399_999));
        assert_eq!(list.uid(SeqNum::new(5_000_000).unwrap()), Uid::new(5_000_001));
        assert_eq!(list.seq(Uid::new(5_000_000).unwrap()), None);
    }
}
