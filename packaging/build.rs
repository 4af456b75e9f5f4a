//! Has the release binary linked with `resident.ld`: the functions that a server runs lie side by side in it.
#![allow(missing_docs, clippy::print_stdout)]

use std::env::var;

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
}
