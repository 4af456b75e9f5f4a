//! The real binary, spoken to over real connections.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stdout, missing_docs)]

#[path = "server/harness.rs"]
mod harness;
#[path = "server/transcript.rs"]
mod transcript;
