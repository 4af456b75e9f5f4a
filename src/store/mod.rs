//! The store: redb under a journal of redo rows. Synchronous; knows no IMAP.

pub mod accounts;
pub mod bin;
mod blocks;
#[cfg(test)]
mod cases_test;
pub mod certificates;
pub mod changes;
mod codec;
pub mod devices;
pub mod error;
pub mod events;
mod flagging;
pub mod imported;
pub mod keywords;
pub mod mailboxes;
#[cfg(test)]
mod memory;
pub mod messages;
#[cfg(test)]
mod model_test;
pub mod record;
pub mod rows;
pub mod schema;
pub mod settings;
pub mod sources;

pub use error::Error;
pub use rows::{News, Rows, Transaction};
