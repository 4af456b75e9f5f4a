//! Chance that can be repeated.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

/// Numbers by chance, from a seed that is printed.
pub struct Chance(AtomicU64);

impl Chance {
    pub fn new() -> Chance {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos() as u64;
        let seed = std::env::var("POSTERN_TEST_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(now);
        println!("\nseed POSTERN_TEST_SEED={seed}");
        Chance(AtomicU64::new(seed))
    }

    pub fn below(&self, most: usize) -> usize {
        let next = self.0.load(Ordering::Relaxed).wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        self.0.store(next, Ordering::Relaxed);
        ((next >> 33) as usize) % most
    }
}
