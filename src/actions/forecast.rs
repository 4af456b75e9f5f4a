//! When the disk will be full, judged by how the store grew in the last weeks.

use super::{Context, Failure};
use crate::store::{Error, Rows, Store, settings};

/// Under this name the samples are kept: a day and the bytes of content that were named on it, each.
const SAMPLES: &str = "storage.samples";
/// Days that are kept.
const DAYS: usize = 60;
/// Growth is not judged by fewer days than this.
const FEWEST_DAYS: u64 = 3;
/// Beyond so many days a forecast says nothing.
const LONGEST: u64 = 3_650;
/// Seconds of a day.
const DAY: i64 = 86_400;

/// A day and what was stored on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Sample {
    day: u64,
    bytes: u64,
}

/// Takes the day's sample, once a day. Cheap when it was taken already.
///
/// # Errors
/// Of reading and writing.
pub fn sample(store: &Store, now: i64) -> Result<(), Error> {
    let Ok(day) = u64::try_from(now / DAY) else { return Ok(()) };
    let mut samples = read(&store.snapshot()?)?;
    // A clock that went back: what was kept since is kept until that day comes again.
    if samples.last().is_some_and(|last| last.day >= day) {
        return Ok(());
    }
    samples.push(Sample { day, bytes: store.statistics().live });
    let from = samples.len().saturating_sub(DAYS);
    let value: Vec<u8> = samples
        .iter()
        .skip(from)
        .flat_map(|sample| [sample.day.to_le_bytes(), sample.bytes.to_le_bytes()].concat())
        .collect();
    store.write(move |tx| settings::put(tx, SAMPLES, &value))
}

/// In how many days the disk is full at the pace of the last weeks; `None` where nothing points there.
pub fn days_left(context: &Context) -> Result<Option<u64>, Failure> {
    let samples = read(&context.store.snapshot()?)?;
    Ok(judge(&samples, context.store.statistics().free))
}

fn read(rows: &dyn Rows) -> Result<Vec<Sample>, Error> {
    let value = settings::get(rows, SAMPLES)?.unwrap_or_default();
    let number = |bytes: &[u8]| bytes.try_into().map_or(0, u64::from_le_bytes);
    let samples = value.as_chunks::<16>().0.iter().map(|chunk| {
        let (day, bytes) = chunk.split_at(8);
        Sample { day: number(day), bytes: number(bytes) }
    });
    Ok(samples.collect())
}

fn judge(samples: &[Sample], free: u64) -> Option<u64> {
    let (first, last) = (samples.first()?, samples.last()?);
    let days = last.day.checked_sub(first.day).filter(|days| *days >= FEWEST_DAYS)?;
    let growth = last.bytes.checked_sub(first.bytes).filter(|growth| *growth > 0)?;
    let left = u128::from(free) * u128::from(days) / u128::from(growth);
    u64::try_from(left).ok().filter(|left| *left <= LONGEST)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn growth_points_to_a_day() {
        let at = |day, bytes| Sample { day, bytes };
        assert_eq!(judge(&[], 100), None);
        assert_eq!(judge(&[at(1, 0), at(2, 50)], 100), None, "too few days");
        assert_eq!(judge(&[at(1, 0), at(11, 100)], 1_000), Some(100));
        assert_eq!(judge(&[at(1, 100), at(11, 50)], 1_000), None, "it shrinks");
        assert_eq!(judge(&[at(1, 0), at(11, 1)], 1 << 40), None, "not in ten years");
    }

    #[test]
    fn a_sample_a_day_for_sixty_days() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(crate::store::Options::new(folder.path())).unwrap();
        for day in (0..100).chain(50..60) {
            sample(&store, day * DAY).unwrap();
            sample(&store, day * DAY + 5).unwrap();
        }
        let samples = read(&store.snapshot().unwrap()).unwrap();
        assert_eq!(samples.len(), DAYS);
        assert_eq!((samples[0].day, samples[DAYS - 1].day), (40, 99));
        store.close().unwrap();
    }
}
