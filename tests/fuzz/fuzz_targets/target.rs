//! Every target is this file: it runs the body of its own name.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| postern_fuzz::bodies::named(env!("CARGO_BIN_NAME"))(data));
