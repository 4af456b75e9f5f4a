//! Sets of UIDs and of sequence numbers that are there. What clients write is a `SequenceSet`.

use std::fmt;
use std::ops::RangeInclusive;

use super::Uid;

/// A set of numbers from 1 to 2³²−1 as sorted ranges that neither overlap nor touch. Used for UIDs, and
/// for sequence numbers where a set of those is wanted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UidSet {
    ranges: Vec<RangeInclusive<u32>>,
}

impl UidSet {
    /// The empty set.
    #[must_use]
    pub const fn new() -> Self {
        UidSet { ranges: Vec::new() }
    }

    /// A set of one.
    #[must_use]
    pub fn single(uid: Uid) -> Self {
        UidSet { ranges: vec![uid.get()..=uid.get()] }
    }

    /// Every UID.
    #[must_use]
    pub fn all() -> Self {
        UidSet { ranges: vec![1..=u32::MAX] }
    }

    /// Of ranges that are sorted already, and neither overlap nor touch.
    pub(super) fn from_folded(ranges: impl Iterator<Item = RangeInclusive<u32>>) -> Self {
        UidSet { ranges: ranges.collect() }
    }

    /// Whether it is empty.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.ranges.is_empty()
    }

    /// How many numbers it holds.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.ranges.iter().map(|range| u64::from(range.end() - range.start()) + 1).sum()
    }

    /// Its ranges, sorted.
    #[must_use]
    pub fn ranges(&self) -> &[RangeInclusive<u32>] {
        &self.ranges
    }

    /// The numbers in ascending order.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = u32> + '_ {
        self.ranges.iter().cloned().flatten()
    }

    /// The UIDs in ascending order.
    pub fn uids(&self) -> impl DoubleEndedIterator<Item = Uid> + '_ {
        self.iter().filter_map(Uid::new)
    }

    /// The smallest number.
    #[must_use]
    pub fn first(&self) -> Option<u32> {
        self.ranges.first().map(|range| *range.start())
    }

    /// The largest number.
    #[must_use]
    pub fn last(&self) -> Option<u32> {
        self.ranges.last().map(|range| *range.end())
    }

    /// Whether it holds `number`.
    #[must_use]
    pub fn contains(&self, number: u32) -> bool {
        let at = self.ranges.partition_point(|range| *range.end() < number);
        self.ranges.get(at).is_some_and(|range| range.contains(&number))
    }

    /// Adds a UID.
    pub fn insert(&mut self, uid: Uid) {
        self.insert_range(uid.get()..=uid.get());
    }

    /// Adds a range; an empty one and zero are ignored. Cheap at the end, linear elsewhere.
    pub fn insert_range(&mut self, range: RangeInclusive<u32>) {
        let (start, end) = ((*range.start()).max(1), *range.end());
        if start > end {
            return;
        }
        match self.ranges.last_mut() {
            Some(last) if *last.end() >= start => {}
            Some(last) if *last.end() + 1 == start => {
                *last = *last.start()..=end;
                return;
            }
            _ => {
                self.ranges.push(start..=end);
                return;
            }
        }
        // The ranges from `low` up to `high` overlap or touch the new one.
        let low = self.ranges.partition_point(|known| known.end().saturating_add(1) < start);
        let high = low + self.ranges[low..].partition_point(|known| *known.start() <= end.saturating_add(1));
        let start = self.ranges[low..high].first().map_or(start, |known| start.min(*known.start()));
        let end = self.ranges[low..high].last().map_or(end, |known| end.max(*known.end()));
        self.ranges.splice(low..high, [start..=end]);
    }

    /// Removes a number.
    pub fn remove(&mut self, number: u32) {
        let at = self.ranges.partition_point(|range| *range.end() < number);
        let Some(range) = self.ranges.get(at).filter(|range| range.contains(&number)).cloned() else {
            return;
        };
        let before = (*range.start() < number).then(|| *range.start()..=number - 1);
        let after = (number < *range.end()).then(|| number + 1..=*range.end());
        self.ranges.splice(at..=at, before.into_iter().chain(after));
    }

    /// The numbers of either set.
    #[must_use]
    pub fn union(&self, other: &UidSet) -> UidSet {
        self.ranges.iter().chain(&other.ranges).cloned().collect()
    }

    /// The numbers of both sets.
    #[must_use]
    pub fn intersection(&self, other: &UidSet) -> UidSet {
        let (mut left, mut right) = (self.ranges.iter().peekable(), other.ranges.iter().peekable());
        let mut result = UidSet::new();
        while let (Some(a), Some(b)) = (left.peek(), right.peek()) {
            let (start, end) = ((*a.start()).max(*b.start()), (*a.end()).min(*b.end()));
            if start <= end {
                result.ranges.push(start..=end);
            }
            if a.end() < b.end() {
                left.next();
            } else {
                right.next();
            }
        }
        result
    }

    /// The numbers of this set that are not in `other`.
    #[must_use]
    pub fn difference(&self, other: &UidSet) -> UidSet {
        let mut result = UidSet::new();
        let mut at = 0;
        for range in &self.ranges {
            let (mut start, end) = (u64::from(*range.start()), u64::from(*range.end()));
            while at > 0 && u64::from(*other.ranges[at - 1].end()) >= start {
                at -= 1;
            }
            while let Some(hole) = other.ranges.get(at).filter(|hole| u64::from(*hole.start()) <= end) {
                let (hole_start, hole_end) = (u64::from(*hole.start()), u64::from(*hole.end()));
                if hole_end >= start {
                    if hole_start > start {
                        result.ranges.push(start as u32..=(hole_start - 1) as u32);
                    }
                    start = hole_end + 1;
                }
                at += 1;
            }
            if start <= end {
                result.ranges.push(start as u32..=end as u32);
            }
        }
        result
    }
}

impl FromIterator<RangeInclusive<u32>> for UidSet {
    fn from_iter<I: IntoIterator<Item = RangeInclusive<u32>>>(ranges: I) -> Self {
        let mut set = UidSet::new();
        // Most come in order, and a million of them may be one range.
        let mut ranges = ranges.into_iter();
        let early = ranges.by_ref().find(|range| {
            let in_order = set.last().is_none_or(|last| *range.start() > last);
            in_order.then(|| set.insert_range(range.clone())).is_none()
        });
        let Some(early) = early else {
            set.ranges.shrink_to_fit();
            return set;
        };
        let others = std::iter::once(early).chain(ranges);
        let others = others.map(|range| (*range.start()).max(1)..=*range.end());
        let mut ranges = set.ranges;
        ranges.extend(others.filter(|range| range.start() <= range.end()));
        ranges.sort_unstable_by_key(|range| *range.start());
        // In place: a client's set may have a million ranges.
        ranges.dedup_by(|next, kept| {
            let goes_on = *next.start() <= kept.end().saturating_add(1);
            if goes_on {
                *kept = *kept.start()..=(*kept.end()).max(*next.end());
            }
            goes_on
        });
        ranges.shrink_to_fit();
        UidSet { ranges }
    }
}

impl FromIterator<Uid> for UidSet {
    fn from_iter<I: IntoIterator<Item = Uid>>(uids: I) -> Self {
        uids.into_iter().map(|uid| uid.get()..=uid.get()).collect()
    }
}

impl FromIterator<u32> for UidSet {
    fn from_iter<I: IntoIterator<Item = u32>>(numbers: I) -> Self {
        numbers.into_iter().map(|number| number..=number).collect()
    }
}

/// As `sequence-set` (RFC 9051 §9); the empty set prints as nothing, which the grammar does not allow.
impl fmt::Display for UidSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, range) in self.ranges.iter().enumerate() {
            if n > 0 {
                f.write_str(",")?;
            }
            write!(f, "{}", range.start())?;
            if range.start() < range.end() {
                write!(f, ":{}", range.end())?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(numbers: &[u32]) -> UidSet {
        numbers.iter().copied().collect()
    }

    #[test]
    fn ranges_merge() {
        let mut uids = set(&[1, 2, 3, 7]);
        assert_eq!(uids.to_string(), "1:3,7");
        uids.insert_range(4..=6);
        assert_eq!(uids.to_string(), "1:7");
        uids.remove(4);
        assert_eq!(uids.to_string(), "1:3,5:7");
        uids.insert_range(u32::MAX..=u32::MAX);
        uids.insert_range(0..=1);
        assert_eq!(uids.to_string(), "1:3,5:7,4294967295");
        assert_eq!(uids.len(), 7);
    }

    #[test]
    fn set_algebra_agrees_with_a_plain_model() {
        let mut seed = 7_u32;
        let mut random = move || {
            seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            seed >> 8
        };
        for _ in 0..500 {
            let left: std::collections::BTreeSet<u32> =
                (0..random() % 20).map(|_| random() % 30 + 1).collect();
            let right: std::collections::BTreeSet<u32> =
                (0..random() % 20).map(|_| random() % 30 + 1).collect();
            let (a, b): (UidSet, UidSet) = (left.iter().copied().collect(), right.iter().copied().collect());
            assert!(a.union(&b).iter().eq(left.union(&right).copied()));
            assert!(a.intersection(&b).iter().eq(left.intersection(&right).copied()));
            assert!(a.difference(&b).iter().eq(left.difference(&right).copied()));
            assert!((1..=31).all(|n| a.contains(n) == left.contains(&n)));
        }
    }
}
