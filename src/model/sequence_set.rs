//! Sets of messages as clients write them (`sequence-set`, RFC 9051 §9), of sequence numbers or UIDs.
//!
//! A set is folded while it is built: what it holds in memory is the ranges that remain when those that overlap
//! or touch are one, however long its text is.

use std::sync::Arc;

use super::UidSet;

/// The most ranges that neither overlap nor touch. The longest command (2 MiB) has room for about 310,000, for
/// numbers of seven digits take eight bytes each; every second message of a mailbox of a million is within it.
pub const MOST_RANGES: usize = 512 * 1024;
/// Room for so many ranges is made at first: most sets have one.
const FIRST_ROOM: usize = 4;

/// One end of a range in a client's set: a number or `*`, the largest in use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Endpoint {
    /// A number, never zero.
    Number(u32),
    /// `*`
    Last,
}

/// A set as a client writes it, folded. Two that mean the same messages in every mailbox are equal.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SequenceSet {
    /// First and last of each range: sorted, and they neither overlap nor touch. Shared: a command is copied.
    numbers: Arc<Vec<(u32, u32)>>,
    last: Option<ToLast>,
}

/// All ranges that have `*` at an end. Each holds the last message, so together they are one range: from the
/// lowest to the highest of their other ends and of the last message.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct ToLast {
    others: Option<(u32, u32)>,
}

/// More than [`MOST_RANGES`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a set has too many ranges")]
pub struct TooManyRanges;

impl SequenceSet {
    /// A set of one range.
    #[must_use]
    pub fn range(first: Endpoint, last: Endpoint) -> Self {
        let mut set = SetBuilder::default();
        set.push(first, last).and_then(|()| set.finish()).unwrap_or_default()
    }

    /// How many bytes its ranges take.
    #[must_use]
    pub fn held(&self) -> usize {
        self.numbers.capacity() * size_of::<(u32, u32)>()
    }

    /// Whether `*` occurs in it.
    #[must_use]
    pub fn has_last(&self) -> bool {
        self.last.is_some()
    }

    /// The largest number that it names, `*` aside.
    #[must_use]
    pub fn max_number(&self) -> Option<u32> {
        let number = self.numbers.last().map(|(_, last)| *last);
        number.max(self.last.and_then(|last| last.others).map(|(_, high)| high))
    }

    /// The numbers that it means when `*` is `last`; ranges in either direction, so `N:*` always names
    /// the last message (RFC 9051 §9, `seq-range`). With `last` 0 (nothing there) `*` names nothing.
    #[must_use]
    pub fn resolve(&self, last: u32) -> UidSet {
        let mut set = UidSet::from_folded(self.numbers.iter().map(|(first, last)| *first..=*last));
        if let Some(ToLast { others }) = self.last.filter(|_| last > 0) {
            let (low, high) = others.unwrap_or((last, last));
            set.insert_range(low.min(last)..=high.max(last));
        }
        set
    }
}

/// Builds a [`SequenceSet`] range by range, in any order.
#[derive(Clone, Debug, Default)]
pub struct SetBuilder {
    /// Folded when there is no room left.
    numbers: Vec<(u32, u32)>,
    last: Option<ToLast>,
}

impl SetBuilder {
    /// Adds a range.
    ///
    /// # Errors
    /// If there are too many.
    pub fn push(&mut self, first: Endpoint, last: Endpoint) -> Result<(), TooManyRanges> {
        match (first, last) {
            (Endpoint::Number(a), Endpoint::Number(b)) => return self.push_numbers(a.min(b), a.max(b)),
            (Endpoint::Number(number), Endpoint::Last) | (Endpoint::Last, Endpoint::Number(number)) => {
                let last = self.last.get_or_insert_default();
                let (low, high) = last.others.unwrap_or((number, number));
                last.others = Some((low.min(number), high.max(number)));
            }
            (Endpoint::Last, Endpoint::Last) => drop(self.last.get_or_insert_default()),
        }
        Ok(())
    }

    fn push_numbers(&mut self, low: u32, high: u32) -> Result<(), TooManyRanges> {
        if let Some(known) = self.numbers.last_mut()
            && (known.0..=known.1.saturating_add(1)).contains(&low)
        {
            known.1 = known.1.max(high);
            return Ok(());
        }
        if self.numbers.len() == self.numbers.capacity() {
            self.make_room()?;
        }
        self.numbers.push((low, high));
        Ok(())
    }

    /// Folds, and takes more memory only if that left no more than half of it free: a set that names the same
    /// messages again and again does not grow, and each range is folded a few times at most.
    fn make_room(&mut self) -> Result<(), TooManyRanges> {
        self.fold()?;
        let len = self.numbers.len();
        if len >= self.numbers.capacity() / 2 {
            self.numbers.reserve_exact(FIRST_ROOM.max(len / 2));
        }
        Ok(())
    }

    fn fold(&mut self) -> Result<(), TooManyRanges> {
        self.numbers.sort_unstable_by_key(|(first, _)| *first);
        self.numbers.dedup_by(|next, kept| {
            let goes_on = next.0 <= kept.1.saturating_add(1);
            if goes_on {
                kept.1 = kept.1.max(next.1);
            }
            goes_on
        });
        if self.numbers.len() > MOST_RANGES { Err(TooManyRanges) } else { Ok(()) }
    }

    /// How many bytes it takes.
    #[must_use]
    pub fn held(&self) -> usize {
        self.numbers.capacity() * size_of::<(u32, u32)>()
    }

    /// The set.
    ///
    /// # Errors
    /// If it has too many ranges.
    pub fn finish(mut self) -> Result<SequenceSet, TooManyRanges> {
        self.fold()?;
        self.numbers.shrink_to_fit();
        Ok(SequenceSet { numbers: Arc::new(self.numbers), last: self.last })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn star_is_the_last_message_in_either_direction() {
        let mut wanted = SetBuilder::default();
        wanted.push(Endpoint::Number(9), Endpoint::Last).unwrap();
        assert_eq!(wanted.clone().finish().unwrap().resolve(5).to_string(), "5:9");
        wanted.push(Endpoint::Number(2), Endpoint::Number(3)).unwrap();
        wanted.push(Endpoint::Number(1), Endpoint::Number(1)).unwrap();
        let wanted = wanted.finish().unwrap();
        assert_eq!(wanted.resolve(0).to_string(), "1:3");
        assert_eq!((wanted.max_number(), wanted.has_last()), (Some(9), true));
        let star = SequenceSet::range(Endpoint::Last, Endpoint::Last);
        assert_eq!(
            (star.max_number(), star.has_last(), star.resolve(7).to_string()),
            (None, true, "7".into())
        );
    }

    /// Folding changes nothing that a set means, in a mailbox of any size.
    #[test]
    fn folded_sets_agree_with_a_plain_model() {
        let mut seed = 11_u32;
        let mut random = move || {
            seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            seed >> 8
        };
        for _ in 0..2_000 {
            let mut end =
                || if random() % 8 == 0 { Endpoint::Last } else { Endpoint::Number(random() % 40 + 1) };
            let ranges: Vec<_> = (0..1 + end_count(&mut end)).map(|_| (end(), end())).collect();
            let mut set = SetBuilder::default();
            ranges.iter().for_each(|(a, b)| set.push(*a, *b).unwrap());
            let set = set.finish().unwrap();
            for last in [0, 1, 7, 40, 60] {
                let value = |end| match end {
                    Endpoint::Number(number) => number,
                    Endpoint::Last => last,
                };
                let model: BTreeSet<u32> = ranges
                    .iter()
                    .filter(|(a, b)| last > 0 || (*a != Endpoint::Last && *b != Endpoint::Last))
                    .flat_map(|(a, b)| value(*a).min(value(*b))..=value(*a).max(value(*b)))
                    .collect();
                assert!(set.resolve(last).iter().eq(model), "{ranges:?} with {last}");
            }
            let numbers = ranges.iter().flat_map(|(a, b)| [*a, *b]).filter_map(|end| match end {
                Endpoint::Number(number) => Some(number),
                Endpoint::Last => None,
            });
            assert_eq!(set.max_number(), numbers.max());
            assert_eq!(
                set.has_last(),
                ranges.iter().any(|(a, b)| *a == Endpoint::Last || *b == Endpoint::Last)
            );
        }
    }

    fn end_count(end: &mut impl FnMut() -> Endpoint) -> u32 {
        match end() {
            Endpoint::Number(number) => number,
            Endpoint::Last => 0,
        }
    }

    #[test]
    fn what_repeats_or_adjoins_takes_no_room() {
        let one = |number| (Endpoint::Number(number), Endpoint::Number(number));
        let mut set = SetBuilder::default();
        for n in 0..1_000_000_u32 {
            // Backwards and every second one, then again and again; then what lies between.
            let (first, last) = one(if n < 900_000 { 2_000 - n % 1_000 * 2 } else { n % 1_000 * 2 + 1 });
            set.push(first, last).unwrap();
            assert!(set.held() <= 64 * 1024, "{} bytes", set.held());
        }
        assert_eq!(set.finish().unwrap().resolve(0).to_string(), "1:2000");
    }

    #[test]
    fn ranges_are_limited() {
        let fill = |count: usize| {
            let mut set = SetBuilder::default();
            let numbers = (1..=count).map(|n| Endpoint::Number(n as u32 * 2));
            numbers.into_iter().try_for_each(|number| set.push(number, number)).and_then(|()| set.finish())
        };
        let most = fill(MOST_RANGES).unwrap();
        assert_eq!(most.held(), MOST_RANGES * 8);
        assert_eq!(fill(MOST_RANGES + 1), Err(TooManyRanges));
        assert_eq!(fill(MOST_RANGES * 4), Err(TooManyRanges));
    }
}
