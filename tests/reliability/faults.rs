//! Every call of the storage layer fails, one after the other: with EIO, EACCES, ENOSPC or a short write, once or from
//! then on. Nothing acknowledged is lost, nothing is told wrongly, and once the disk is well the store takes changes again.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use postern::store::sim::Plan;
use postern::store::trials::{TROUBLES, calls, trial};

/// Runs whose every call fails, each in one way; with `--long` more of them, and each call in every way.
const SEEDS: u64 = 1;
const LONG_SEEDS: u64 = 3;
/// A trial mostly waits for what pauses between attempts.
const THREADS: usize = 16;

#[test]
fn every_call_of_the_disk_fails() {
    let long = std::env::var_os("POSTERN_TEST_LONG").is_some();
    let begun = Instant::now();
    let (mut plans, seeds) = (Vec::new(), if long { LONG_SEEDS } else { SEEDS });
    for seed in 1..=seeds {
        for call in 0..calls(seed).unwrap() {
            let kinds = TROUBLES.iter().flat_map(|trouble| [(*trouble, false), (*trouble, true)]);
            for (n, (trouble, lasting)) in kinds.enumerate() {
                // Each call fails in one way at least, all ways in turn.
                if long || n as u64 == call % 8 {
                    plans.push((Plan { call, trouble, lasting, only: None }, seed));
                }
            }
        }
    }
    assert!(plans.len() as u64 > 500 * seeds, "{} trials are too few", plans.len());
    let (next, acknowledged, refused, read_only) =
        (AtomicU64::new(0), AtomicU64::new(0), AtomicU64::new(0), AtomicU64::new(0));
    let failed: Vec<String> = std::thread::scope(|scope| {
        let work = || {
            let mut failed = Vec::new();
            while let Some((plan, seed)) = plans.get(next.fetch_add(1, Ordering::Relaxed) as usize) {
                match trial(*plan, *seed) {
                    Ok(outcome) => {
                        acknowledged.fetch_add(outcome.acknowledged, Ordering::Relaxed);
                        refused.fetch_add(outcome.refused, Ordering::Relaxed);
                        read_only.fetch_add(u64::from(outcome.read_only), Ordering::Relaxed);
                    }
                    Err(error) => failed.push(format!("seed {seed}, {plan:?}: {error}")),
                }
            }
            failed
        };
        let threads: Vec<_> = (0..THREADS).map(|_| scope.spawn(work)).collect();
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    });
    assert!(failed.is_empty(), "{} of {}:\n{}", failed.len(), plans.len(), failed.join("\n"));
    println!(
        "figure {} failing calls of the disk, each kind of error, once and for good: {} changes acknowledged, 0 lost; {} \
         refused, {} times for reading only until the restart; {:.0} s",
        plans.len(),
        acknowledged.into_inner(),
        refused.into_inner(),
        read_only.into_inner(),
        begun.elapsed().as_secs_f64()
    );
}
