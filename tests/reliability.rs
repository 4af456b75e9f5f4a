//! What must survive: kills in the middle of things, in the real binary. Run it optimised.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stdout, missing_docs)]

#[path = "reliability/chance.rs"]
mod chance;
#[path = "reliability/crowd.rs"]
mod crowd;
#[path = "reliability/damage.rs"]
mod damage;
#[path = "reliability/damage_running.rs"]
mod damage_running;
#[path = "reliability/faults.rs"]
mod faults;
#[path = "reliability/full_disk.rs"]
mod full_disk;
#[path = "server/harness.rs"]
#[allow(dead_code)]
mod harness;
#[path = "reliability/import.rs"]
mod import;
#[path = "reliability/operations.rs"]
mod operations;
#[path = "reliability/soak.rs"]
mod soak;
