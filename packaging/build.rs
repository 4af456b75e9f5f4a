//! Has the release binary linked with `resident.ld`: the functions that a server runs lie side by side in it. And
//! tells the program when it was built: a clock that says less is wrong.
#![allow(missing_docs, clippy::print_stdout)]

use std::env::var;
use std::time::{SystemTime, UNIX_EPOCH};

/// In this file's folder.
const LAYOUT: &str = "packaging/resident.ld";

fn main() {
    println!("cargo:rerun-if-changed=packaging/build.rs");
    println!("cargo:rerun-if-changed={LAYOUT}");
    let is = |name: &str, value: &str| var(name).is_ok_and(|found| found == value);
    if is("PROFILE", "release") && is("CARGO_CFG_TARGET_OS", "linux") {
        let root = var("CARGO_MANIFEST_DIR").unwrap_or_default();
        println!("cargo:rustc-link-arg-bins=-Wl,-T,{root}/{LAYOUT}");
    }
    println!("cargo:rustc-env=POSTERN_BUILT={}", built());
}

/// Seconds since 1970: what the packaging says, so that the same source gives the same bytes; else this moment.
fn built() -> u64 {
    const TOLD: [&str; 2] = ["POSTERN_BUILT", "SOURCE_DATE_EPOCH"];
    TOLD.iter().for_each(|name| println!("cargo:rerun-if-env-changed={name}"));
    let told = TOLD.iter().find_map(|name| var(name).ok()?.parse().ok());
    told.unwrap_or_else(|| SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs()))
}
