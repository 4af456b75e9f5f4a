//! A message of 50 MB must not need its own size in memory. Alone in its binary: it measures the process.
#![allow(clippy::unwrap_used, clippy::print_stdout, missing_docs)]

use postern::model::{AccountId, MailboxName};
use postern::store::sim::Dice;
use postern::store::{Options, Store};

/// Peak resident memory in KiB.
fn peak() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

#[test]
fn a_large_message_comes_in_and_goes_out_in_bounded_memory() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(Options::new(folder.path())).unwrap();
    let file = |seed: u64, length: usize| {
        let (mut dice, mut sent) = (Dice::new(seed), 0);
        let mut incoming = store.incoming(64 << 20);
        while sent < length {
            let part: String =
                (0..200).map(|_| format!("{:016x} {:016x}\r\n", dice.roll(), dice.roll())).collect();
            incoming.write(part.as_bytes()).unwrap();
            sent += part.len();
        }
        let prepared = incoming.finish().unwrap();
        store.write(move |tx| prepared.file(tx, AccountId(1), &MailboxName::inbox())).unwrap()
    };
    // The code, and the caches, which have a budget of their own: filled by small messages.
    for n in 0..1500 {
        file(n, 8000);
    }
    let before = peak();
    let email = file(5000, 50_000_000);
    let (mut at, mut out) = (0, Vec::new());
    loop {
        out.clear();
        store.snapshot().unwrap().read(email, at..at + 65_536, &mut out).unwrap();
        if out.is_empty() {
            break;
        }
        at += out.len() as u64;
    }
    assert!(at >= 50_000_000);
    let used = peak() - before;
    println!("{used} KiB above {before} KiB");
    assert!(used < 8 << 10, "{used} KiB for a message of 50 MB");
}
