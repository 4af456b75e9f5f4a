//! The store: redb under a journal of redo rows. Synchronous; knows no IMAP.

pub mod error;
pub mod rows;
pub mod schema;

pub use error::Error;
pub use rows::{News, Rows, Transaction};
