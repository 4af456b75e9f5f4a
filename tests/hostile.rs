//! Attacks on the real binary, each beside a bystander who works on: how long he waits at worst, and what memory the
//! server takes meanwhile and keeps. `cargo test --release --test hostile -- --nocapture` prints the table.
//! That the bystander is served at all, and what attackers are answered, is asserted; times are printed beside their
//! goals, for they hang on the machine's speed.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stdout, missing_docs)]

#[path = "hostile/answers.rs"]
mod answers;
#[path = "hostile/appends.rs"]
mod appends;
#[path = "hostile/bystander.rs"]
mod bystander;
#[allow(dead_code)]
#[path = "server/harness.rs"]
mod harness;
#[path = "hostile/sessions.rs"]
mod sessions;
#[path = "hostile/strangers.rs"]
mod strangers;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bystander::Bystander;
use harness::Server;

/// The longest that a bystander may wait for a command, with both cores busy.
const PATIENCE: Duration = Duration::from_millis(200);
/// Memory that the server may take, and with some 200 sessions at work.
const RESIDENT_MIB: f64 = 64.0;
const RESIDENT_MANY_MIB: f64 = 128.0;

/// How busy it may be when the attackers have gone, in percent of a core.
const BUSY: f64 = 10.0;

/// Runs `attack` beside a bystander and prints what it cost.
fn attacked(name: &str, server: &Server, attack: impl FnOnce(&Server)) {
    attacked_within(RESIDENT_MIB, name, server, attack);
}

fn attacked_within(resident: f64, name: &str, server: &Server, attack: impl FnOnce(&Server)) {
    let bystander = Bystander::start(server);
    attack(server);
    let seen = bystander.stop();
    let worst = seen.worst.iter().map(|(_, time)| *time).max().unwrap_or_default();
    let missed = worst > PATIENCE || seen.peak > resident || seen.busy > BUSY;
    let times = seen.worst.iter().map(|(what, time)| format!("{what} {:.0} ms", time.as_secs_f64() * 1e3));
    println!(
        "figure hostile, {name}: slowest {}; resident at most {:.0} MiB, then {:.0}; busy then {:.0} %; {} rounds{}",
        times.collect::<Vec<_>>().join(", "),
        seen.peak,
        seen.left,
        seen.busy,
        seen.rounds,
        if missed { " MISSED" } else { "" }
    );
    // Frozen is frozen on any machine.
    assert!(seen.rounds > 0, "{name}: the bystander was not served at all");
    MISSED.fetch_add(usize::from(missed), Ordering::Relaxed);
}

static MISSED: AtomicUsize = AtomicUsize::new(0);

type Attack = fn(&Server);

#[test]
fn bystanders_are_served() {
    let server = Server::start(&["anna", "mallory", "lists", "gaps"]);
    // One kind alone, while it is worked on.
    let only = std::env::var("POSTERN_HOSTILE").unwrap_or_default();
    let kinds: [(&str, Attack); 4] = [
        ("strangers", strangers::all),
        ("sessions", sessions::all),
        ("appends", appends::all),
        ("answers", answers::all),
    ];
    for (_, attack) in kinds.iter().filter(|(name, _)| only.is_empty() || *name == only) {
        attack(&server);
    }
    println!("figure hostile goals missed on this machine: {}", MISSED.load(Ordering::Relaxed));
}
