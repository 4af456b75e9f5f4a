//! When mail came from a source lately: what its usual gap is, and whether it has gone silent.
//!
//! Gaps are counted by the clock of what ages: a server that was switched off for a week, or whose clock jumped, has
//! missed no mail yet. What the first versions noted has the wall clock's time only, and tells of no gap.

use crate::model::SourceId;
use crate::store::base::codec::{Reader, Writer, decode_up_to};
use crate::store::base::error::Error;
use crate::store::base::rows::{Rows, Transaction};
use crate::store::base::{running, settings};

/// Arrivals that are remembered.
const MOST: usize = 24;
/// What comes within this of the last arrival belongs to it, in seconds: a fetch brings many messages, and a
/// row for each would only wear the disk.
const ONE_ARRIVAL: i64 = 1_800;
/// A gap is usual once there were so many.
const FEWEST: usize = 5;
/// Nobody is troubled by a shorter silence, in seconds.
const SHORTEST_SILENCE: i64 = 86_400;
/// The version of a list.
const VERSION: u8 = 2;

/// Mail that came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Arrival {
    /// When, in seconds since 1970: to show.
    pub at: i64,
    /// When, by [`running`], where that is known.
    pub clock: Option<i64>,
}

fn name(source: SourceId) -> String {
    format!("source.{}.arrivals", source.0)
}

/// When mail came, the latest last.
///
/// # Errors
/// Of reading.
pub fn list(rows: &dyn Rows, source: SourceId) -> Result<Vec<Arrival>, Error> {
    let Some(bytes) = settings::get(rows, &name(source))? else { return Ok(Vec::new()) };
    decode_up_to(VERSION, &|| "a source's arrivals".to_owned(), &bytes, |version, reader| {
        let count = reader.u32()? as usize;
        let clock =
            |reader: &mut Reader<'_>| if version == 1 { Some(None) } else { reader.option(Reader::i64) };
        (0..count.min(MOST)).map(|_| Some(Arrival { at: reader.i64()?, clock: clock(reader)? })).collect()
    })
}

/// Notes that mail came.
///
/// # Errors
/// Of reading.
pub fn note(tx: &mut dyn Transaction, source: SourceId) -> Result<(), Error> {
    let (mut known, at, clock) = (list(tx, source)?, tx.now(), running::clock(tx)?);
    let is_same = |last: &Arrival| at.abs_diff(last.at) < ONE_ARRIVAL.unsigned_abs();
    if known.last().is_some_and(is_same) {
        return Ok(());
    }
    if known.len() >= MOST {
        known.remove(0);
    }
    known.push(Arrival { at, clock: Some(clock) });
    let first = Writer::of_version(VERSION).u32(known.len() as u32);
    let value = known
        .iter()
        .fold(first, |out, arrival| out.i64(arrival.at).option(arrival.clock, Writer::i64))
        .finish();
    settings::put(tx, &name(source), &value)
}

/// Forgets them.
pub(in crate::store) fn forget(tx: &mut dyn Transaction, source: SourceId) {
    settings::delete(tx, &name(source));
}

/// For how many seconds that the server ran a source has been silent, if that is more than twice the longest gap that
/// it had lately. `now` is what [`running`] says.
#[must_use]
pub fn silent_for(arrivals: &[Arrival], now: i64) -> Option<i64> {
    let known: Vec<i64> = arrivals.iter().filter_map(|arrival| arrival.clock).collect();
    let gaps = known.windows(2).filter_map(|pair| pair.last()?.checked_sub(*pair.first()?));
    let longest = gaps.max().filter(|_| known.len() >= FEWEST)?;
    let silence = now.checked_sub(*known.last()?)?;
    (silence > longest.saturating_mul(2).max(SHORTEST_SILENCE)).then_some(silence)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::memory::Memory;

    const DAY: i64 = 86_400;

    #[test]
    fn silence_is_judged_by_the_usual_gap() {
        let came = |n: i64, gap: i64| Arrival { at: 1_800_000_000, clock: Some(n * gap) };
        let hourly: Vec<_> = (0..10).map(|n| came(n, 3_600)).collect();
        let last = 9 * 3_600;
        assert_eq!(silent_for(&hourly, last + DAY), None);
        assert_eq!(silent_for(&hourly, last + DAY + 1), Some(DAY + 1));
        let weekly: Vec<_> = (0..6).map(|n| came(n, 7 * DAY)).collect();
        assert_eq!(silent_for(&weekly, (35 + 14) * DAY), None);
        assert_eq!(silent_for(&weekly, (35 + 15) * DAY), Some(15 * DAY));
        assert_eq!(silent_for(&hourly[..4], 100 * DAY), None, "too few to say what is usual");
        assert_eq!(silent_for(&[], 5), None);
        let old = [Arrival { at: 5, clock: None }; 10];
        assert_eq!(silent_for(&old, 100 * DAY), None, "the first versions' tell nothing");
    }

    #[test]
    fn bursts_are_one_arrival() {
        let mut memory = Memory::new();
        let known = memory
            .write(|tx| {
                for _ in 0..100 {
                    note(tx, SourceId(1))?;
                }
                list(tx, SourceId(1))
            })
            .unwrap();
        assert_eq!(known.len(), 1);
        let left = memory.write(|tx| {
            forget(tx, SourceId(1));
            list(tx, SourceId(1))
        });
        assert!(left.unwrap().is_empty());
    }

    #[test]
    fn a_jump_of_the_clock_on_the_wall_is_no_gap() {
        let mut memory = Memory::new();
        for _ in 0..10 {
            memory.now += 3_600;
            memory
                .write(|tx| {
                    running::advance(tx, 3_600)?;
                    note(tx, SourceId(1))
                })
                .unwrap();
        }
        memory.now += 41 * DAY;
        let silent = |memory: &Memory| {
            silent_for(&list(memory, SourceId(1)).unwrap(), running::clock(memory).unwrap())
        };
        assert_eq!(silent(&memory), None);
        memory.write(|tx| note(tx, SourceId(1))).unwrap();
        assert_eq!(list(&memory, SourceId(1)).unwrap().last().unwrap().at, memory.now);
        memory.write(|tx| running::advance(tx, 86_400)).unwrap();
        memory.write(|tx| running::advance(tx, 3_600)).unwrap();
        assert_eq!(silent(&memory), Some(DAY + 3_600));
    }

    #[test]
    fn lists_of_the_first_version_are_read() {
        let mut memory = Memory::new();
        let known = memory
            .write(|tx| {
                let old = Writer::of_version(1).u32(2).i64(5).i64(1_700_000_000).finish();
                settings::put(tx, &name(SourceId(1)), &old)?;
                note(tx, SourceId(1))?;
                list(tx, SourceId(1))
            })
            .unwrap();
        let old = |at| Arrival { at, clock: None };
        assert_eq!(known, [old(5), old(1_700_000_000), Arrival { at: 1_800_000_000, clock: Some(0) }]);
    }
}
