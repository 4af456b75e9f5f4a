//! Hostile commands against the parser, on a small stack. What is broken at random is tests/fuzz.rs's.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stdout, missing_docs)]

use postern::protocol::command::{self, Dialect};

/// Each of these is read to its end or refused, on a stack as small as a session's thread could have.
#[test]
fn what_nests_or_repeats_without_end() {
    let repeat = |text: &str, count: usize| text.repeat(count);
    let hostile = [
        format!("a SEARCH {}ALL{}", repeat("(", 10_000), repeat(")", 10_000)),
        format!("a SEARCH {}ALL", repeat("NOT ", 100_000)),
        format!("a SEARCH {}ALL", repeat("OR ALL ", 100_000)),
        format!("a SEARCH {}", repeat("(", 500_000)),
        format!("a FETCH 1 {}", repeat("(", 100_000)),
        format!("a FETCH 1 (BODY[{}1])", repeat("1.", 100_000)),
        format!("a FETCH 1 ({})", repeat("BODY[] ", 100_000)),
        format!("a LIST \"\" {}", repeat("(", 100_000)),
        format!("a LIST \"\" {}", repeat("*", 100_000)),
        format!("a STORE 1 FLAGS {}", repeat("(", 100_000)),
        format!("a STORE 1 FLAGS ({})", repeat("k ", 500_000)),
        format!("a STATUS x {}", repeat("(", 100_000)),
        format!("a ID ({})", repeat("\"a\" \"b\" ", 100_000)),
        format!("a SELECT x {}", repeat("(", 100_000)),
        format!("a CREATE x (USE {})", repeat("(", 100_000)),
        format!("a UID FETCH {}1 UID", repeat("1:*,", 300_000)),
        format!("a {}", repeat("UID ", 100_000)),
        format!("a LOGIN \"{}", repeat("\\\\", 500_000)),
    ];
    let parse = move || {
        for text in hostile {
            let _ = command::parse(text.as_bytes(), Dialect::default());
        }
    };
    let started = std::time::Instant::now();
    std::thread::Builder::new().stack_size(512 * 1024).spawn(parse).unwrap().join().unwrap();
    println!("figure hostile commands parsed in {:?}", started.elapsed());
    assert!(started.elapsed().as_secs() < 20);
}
