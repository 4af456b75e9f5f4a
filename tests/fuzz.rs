//! The bodies of the fuzz targets over changed seeds: so many inputs each, the same each time.
//!
//! `POSTERN_FUZZ_SECONDS=n` tries others for so long each; `POSTERN_SEED=n` runs one input, a failure prints its own.
//! `cargo test --test fuzz -- --ignored` writes the seeds where cargo-fuzz looks for them.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stdout, missing_docs)]

#[path = "fuzz/bodies/mod.rs"]
mod bodies;

use std::path::Path;
use std::time::{Duration, Instant};

use bodies::{BODIES, Body};
use postern::store::sim::Dice;

/// The longest input.
const LONGEST: usize = 64 * 1024;
/// Bytes that mean something somewhere.
const SPECIAL: &[u8] =
    b"()[]<>{}\"'\\*%$&#@ ,;:.?!+-~=_/0129aAZz\xff\xfe\x80\xc3\xa9\x1b\x0e\0\x01\x7f\t\r\n";

macro_rules! bodies {
    ($($name:ident),*) => {
        $(#[test] fn $name() { try_all(stringify!($name)); })*

        /// Each body has a test here and a target.
        #[test]
        fn every_body_is_tried() {
            let names: Vec<&str> = BODIES.iter().map(|body| body.name).collect();
            assert_eq!(names, [$(stringify!($name)),*]);
            let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz/Cargo.toml");
            let manifest = std::fs::read_to_string(manifest).unwrap();
            let targets: Vec<&str> = manifest.split("[[bin]]\nname = \"").skip(1).collect();
            assert_eq!(targets.len(), names.len());
            for name in names {
                assert!(targets.iter().any(|target| target.starts_with(&format!("{name}\""))), "{name}");
            }
        }
    };
}

bodies!(
    archives, catalogues, control, emlx, forms, headers, imap, imports, mail, mbox, mh, names, records,
    sessions, stores, text, volumes
);

fn try_all(name: &str) {
    let body = BODIES.iter().find(|body| body.name == name).unwrap();
    let seeds = (body.seeds)();
    assert!(!seeds.is_empty());
    seeds.iter().for_each(|seed| try_one(body, seed, "a seed as it is"));
    let number = |name: &str| std::env::var(name).ok().and_then(|value| value.parse::<u64>().ok());
    if let Some(seed) = number("POSTERN_SEED") {
        return try_one(body, &changed(&seeds, seed), &format!("POSTERN_SEED={seed}"));
    }
    let (started, longer) = (Instant::now(), number("POSTERN_FUZZ_SECONDS").map(Duration::from_secs));
    let base = longer.map_or(0, |_| u64::from(std::process::id()) << 32);
    let goes_on = |tried: u64| longer.map_or(tried < body.inputs, |long| started.elapsed() < long);
    let mut tried = 0;
    while goes_on(tried) {
        let seed = base + tried;
        try_one(body, &changed(&seeds, seed), &format!("POSTERN_SEED={seed}"));
        tried += 1;
    }
    println!("figure fuzz {name}: {tried} inputs in {:.1?}", started.elapsed());
}

fn try_one(body: &Body, input: &[u8], how: &str) {
    let run = std::panic::catch_unwind(|| (body.run)(input));
    assert!(run.is_ok(), "{} failed with {how}: {}", body.name, input.escape_ascii());
}

/// A seed with some of it changed, left out, doubled, or taken from another.
fn changed(seeds: &[Vec<u8>], seed: u64) -> Vec<u8> {
    let mut dice = Dice::new(seed);
    let mut pick = |below: usize| dice.below(below as u64) as usize;
    let mut bytes = seeds[pick(seeds.len())].clone();
    for _ in 0..pick(8) {
        let at = pick(bytes.len() + 1);
        let end = at + pick(1 + (bytes.len() - at).min(40));
        match pick(8) {
            0 if at < bytes.len() => bytes[at] = SPECIAL[pick(SPECIAL.len())],
            1 if at < bytes.len() => bytes[at] ^= 1 << pick(8),
            2 => drop(bytes.drain(at..end)),
            3 => bytes.insert(at, SPECIAL[pick(SPECIAL.len())]),
            4 => bytes.truncate(at.max(bytes.len() / 2)),
            5 => {
                let piece = bytes[at..end].repeat(1 + pick(20));
                drop(bytes.splice(at..at, piece));
            }
            _ => {
                let other = &seeds[pick(seeds.len())];
                let from = pick(other.len() + 1);
                let to = from + pick(1 + (other.len() - from).min(200));
                drop(bytes.splice(at..end, other[from..to].iter().copied()));
            }
        }
        bytes.truncate(LONGEST);
    }
    bytes
}

/// Where cargo-fuzz looks for what a target begins with.
#[test]
#[ignore = "writes files into tests/fuzz/corpus"]
fn seeds_as_files() {
    for body in BODIES {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz/corpus").join(body.name);
        std::fs::create_dir_all(&folder).unwrap();
        for (number, seed) in (body.seeds)().iter().enumerate() {
            std::fs::write(folder.join(format!("seed-{number}")), seed).unwrap();
        }
    }
}
