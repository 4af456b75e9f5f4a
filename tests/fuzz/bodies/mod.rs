//! What each fuzz target does with an input: reads it as this program does, and holds what comes of it against what
//! must be true of it. A new one is a file here, a line in [`BODIES`], a test in tests/fuzz.rs, a `[[bin]]` in
//! tests/fuzz/Cargo.toml.

mod archives;
mod catalogues;
mod control;
mod emlx;
mod forms;
#[path = "../../pure/grammar.rs"]
mod grammar;
mod headers;
mod imap;
mod imports;
mod mail;
mod mbox;
mod mh;
mod names;
mod records;
mod sessions;
mod stores;
mod text;
#[path = "../../pure/told.rs"]
mod told;
mod volumes;
mod world;

use std::path::Path;

use postern::store::sim::Dice;

/// A fuzz target's body.
pub struct Body {
    /// Also the target's.
    pub name: &'static str,
    /// Panics where something is not as it must be.
    pub run: fn(&[u8]),
    /// Inputs as they might be, to begin with.
    pub seeds: fn() -> Vec<Vec<u8>>,
    /// How many inputs are tried in a test.
    pub inputs: u64,
}

/// All of them.
pub const BODIES: &[Body] = &[
    Body { name: "archives", run: archives::run, seeds: archives::seeds, inputs: 30_000 },
    Body { name: "catalogues", run: catalogues::run, seeds: catalogues::seeds, inputs: 20_000 },
    Body { name: "control", run: control::run, seeds: control::seeds, inputs: 100_000 },
    Body { name: "emlx", run: emlx::run, seeds: emlx::seeds, inputs: 40_000 },
    Body { name: "forms", run: forms::run, seeds: forms::seeds, inputs: 10_000 },
    Body { name: "headers", run: headers::run, seeds: headers::seeds, inputs: 15_000 },
    Body { name: "imap", run: imap::run, seeds: imap::seeds, inputs: 18_000 },
    Body { name: "imports", run: imports::run, seeds: imports::seeds, inputs: 4_000 },
    Body { name: "mail", run: mail::run, seeds: mail::seeds, inputs: 12_000 },
    Body { name: "mbox", run: mbox::run, seeds: mbox::seeds, inputs: 20_000 },
    Body { name: "mh", run: mh::run, seeds: mh::seeds, inputs: 5_000 },
    Body { name: "names", run: names::run, seeds: names::seeds, inputs: 35_000 },
    Body { name: "records", run: records::run, seeds: records::seeds, inputs: 80_000 },
    Body { name: "sessions", run: sessions::run, seeds: sessions::seeds, inputs: 300 },
    Body { name: "stores", run: stores::run, seeds: stores::seeds, inputs: 250 },
    Body { name: "text", run: text::run, seeds: text::seeds, inputs: 20_000 },
    Body { name: "volumes", run: volumes::run, seeds: volumes::seeds, inputs: 10_000 },
];

/// The body of this name, for a target.
#[allow(dead_code)]
pub fn named(name: &str) -> fn(&[u8]) {
    BODIES.iter().find(|body| body.name == name).map_or_else(|| panic!("no body {name}"), |body| body.run)
}

/// The first byte of an input, and the rest: bodies take what they decide by from there.
fn first(data: &[u8]) -> (u8, &[u8]) {
    data.split_first().map_or((0, data), |(first, rest)| (*first, rest))
}

/// Cuts bytes into pieces of up to `most` bytes, as `seed` has it.
fn pieces(bytes: &[u8], seed: u64, most: u64) -> impl Iterator<Item = &[u8]> {
    let (mut dice, mut rest) = (Dice::new(seed), bytes);
    std::iter::from_fn(move || {
        let count = 1 + dice.below(most) as usize;
        let (piece, after) = rest.split_at(count.min(rest.len()));
        rest = after;
        (!piece.is_empty()).then_some(piece)
    })
}

/// A folder of the tests, from the project's root and from the targets' package.
fn folder(name: &str) -> std::path::PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let own = root.join("tests").join(name);
    if own.is_dir() { own } else { root.join("..").join(name) }
}

/// Texts as seeds, each behind the bytes that its body decides by.
fn texts(heads: &[&[u8]], texts: &[&str]) -> Vec<Vec<u8>> {
    texts.iter().flat_map(|text| heads.iter().map(|head| [head, text.as_bytes()].concat())).collect()
}

/// Rows of a file of the store of format 1, as tests/store has them: table, key, value.
fn stored_rows(file: &str) -> Vec<(String, Vec<u8>, Vec<u8>)> {
    let text = std::fs::read_to_string(folder("store").join("format-1-rows.txt")).unwrap();
    let bytes = |hex: &str| -> Option<Vec<u8>> {
        let digits = hex.as_bytes().chunks(2).map(|two| std::str::from_utf8(two).ok());
        digits.map(|two| u8::from_str_radix(two?, 16).ok()).collect()
    };
    let rows = text.lines().filter_map(|line| {
        let mut words = line.split(' ');
        let (of, table, key) = (words.next()?, words.next()?, words.next()?);
        // The bytes of contents are not in it.
        let value = words.next().unwrap_or_default();
        let row = (table.to_owned(), bytes(key)?, bytes(value)?);
        (of == file).then_some(row)
    });
    rows.collect()
}
