//! How often a file that failed is opened again: at once the first time, then with pauses, for each opening costs
//! a bad disk more time than it costs us.

use std::time::{Duration, Instant};

/// The pause after the second failure; it doubles with each.
const FIRST: Duration = Duration::from_millis(10);
/// The longest pause: a disk that is well again is noticed within this time.
const LONGEST: Duration = Duration::from_secs(1);
/// What has failed until its pause is so long does not pass while one waits.
const LASTING: Duration = Duration::from_millis(80);
/// Without a failure for so long all is forgotten.
const FORGOTTEN: Duration = Duration::from_secs(60);

/// Of one file.
#[derive(Clone, Copy, Debug, Default)]
pub(in crate::store) struct Backoff {
    failed: Option<Instant>,
    pause: Duration,
}

impl Backoff {
    /// It failed, or must be opened because it did.
    pub(in crate::store) fn failed(&mut self, now: Instant) {
        let recent = self.failed.is_some_and(|failed| now.duration_since(failed) < FORGOTTEN);
        self.pause = if recent { (self.pause * 2).clamp(FIRST, LONGEST) } else { Duration::ZERO };
        self.failed = Some(now);
    }

    /// Whether it has failed so often that to wait for it is in vain: others are told at once until it is tried again.
    pub(in crate::store) fn is_lasting(&self) -> bool {
        self.pause >= LASTING
    }

    /// How long to wait before it is tried again.
    pub(in crate::store) fn wait(&self, now: Instant) -> Duration {
        let since = self.failed.map_or(LONGEST, |failed| now.duration_since(failed));
        self.pause.saturating_sub(since)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_a_limit_and_are_forgotten() {
        let (mut backoff, mut now) = (Backoff::default(), Instant::now());
        assert_eq!(backoff.wait(now), Duration::ZERO);
        let mut pauses = Vec::new();
        for n in 0..12 {
            backoff.failed(now);
            assert_eq!(backoff.is_lasting(), n >= 4);
            pauses.push(backoff.wait(now).as_millis());
            now += backoff.wait(now);
            assert_eq!(backoff.wait(now), Duration::ZERO);
        }
        assert_eq!(pauses, [0, 10, 20, 40, 80, 160, 320, 640, 1000, 1000, 1000, 1000]);
        backoff.failed(now + FORGOTTEN);
        assert_eq!(backoff.wait(now + FORGOTTEN), Duration::ZERO);
    }
}
