//! What needs neither a server nor a store: messages to ENVELOPE and BODYSTRUCTURE, what is printed read again,
//! and framing however the bytes are cut.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stdout, missing_docs)]

#[path = "pure/framing.rs"]
mod framing;
#[path = "pure/golden.rs"]
mod golden;
#[path = "pure/grammar.rs"]
mod grammar;
#[path = "pure/printed.rs"]
mod printed;
#[path = "pure/told.rs"]
mod told;
