//! When mail came from a source lately: what its usual gap is, and whether it has gone silent.

use crate::model::SourceId;
use crate::store::base::codec::{Reader, Writer, decode};
use crate::store::base::error::Error;
use crate::store::base::rows::{Rows, Transaction};
use crate::store::base::settings;

/// Arrivals that are remembered.
const MOST: usize = 24;
/// What comes within this of the last arrival belongs to it, in seconds: a fetch brings many messages, and a
/// row for each would only wear the disk.
const ONE_ARRIVAL: i64 = 1_800;
/// A gap is usual once there were so many.
const FEWEST: usize = 5;
/// Nobody is troubled by a shorter silence, in seconds.
const SHORTEST_SILENCE: i64 = 86_400;

fn name(source: SourceId) -> String {
    format!("source.{}.arrivals", source.0)
}

/// When mail came, in seconds since 1970, the latest last.
///
/// # Errors
/// Of reading.
pub fn list(rows: &dyn Rows, source: SourceId) -> Result<Vec<i64>, Error> {
    let Some(bytes) = settings::get(rows, &name(source))? else { return Ok(Vec::new()) };
    decode("a source's arrivals", &bytes, |reader: &mut Reader<'_>| {
        let count = reader.u32()? as usize;
        (0..count.min(MOST)).map(|_| reader.i64()).collect()
    })
}

/// Notes that mail came.
///
/// # Errors
/// Of reading.
pub fn note(tx: &mut dyn Transaction, source: SourceId) -> Result<(), Error> {
    let (mut known, now) = (list(tx, source)?, tx.now());
    // A clock that was ahead: what it noted is not taken for the future.
    known.retain(|at| *at <= now);
    if known.last().is_some_and(|last| now - last < ONE_ARRIVAL) {
        return Ok(());
    }
    if known.len() >= MOST {
        known.remove(0);
    }
    known.push(now);
    let first = Writer::new().u32(known.len() as u32);
    let value = known.iter().fold(first, |out, at| out.i64(*at)).finish();
    settings::put(tx, &name(source), &value)
}

/// Forgets them.
pub(in crate::store) fn forget(tx: &mut dyn Transaction, source: SourceId) {
    settings::delete(tx, &name(source));
}

/// For how many seconds a source has been silent, if that is more than twice the longest gap that it had lately.
#[must_use]
pub fn silent_for(arrivals: &[i64], now: i64) -> Option<i64> {
    let gaps = arrivals.windows(2).filter_map(|pair| pair.last()?.checked_sub(*pair.first()?));
    let longest = gaps.max().filter(|_| arrivals.len() >= FEWEST)?;
    let silence = now.checked_sub(*arrivals.last()?)?;
    (silence > longest.saturating_mul(2).max(SHORTEST_SILENCE)).then_some(silence)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::memory::Memory;

    const DAY: i64 = 86_400;

    #[test]
    fn silence_is_judged_by_the_usual_gap() {
        let hourly: Vec<i64> = (0..10).map(|n| n * 3_600).collect();
        let last = 9 * 3_600;
        assert_eq!(silent_for(&hourly, last + DAY), None);
        assert_eq!(silent_for(&hourly, last + DAY + 1), Some(DAY + 1));
        let weekly: Vec<i64> = (0..6).map(|n| n * 7 * DAY).collect();
        assert_eq!(silent_for(&weekly, (35 + 14) * DAY), None);
        assert_eq!(silent_for(&weekly, (35 + 15) * DAY), Some(15 * DAY));
        assert_eq!(silent_for(&hourly[..4], 100 * DAY), None, "too few to say what is usual");
        assert_eq!(silent_for(&[], 5), None);
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
}
