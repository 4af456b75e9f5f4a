//! The IMAP front door: listeners, connections, sessions, and one file a command.
//!
//! Invariants:
//! - OK is sent after the commit is durable, never before.
//! - Nothing is awaited while a lock or a snapshot is held.
//! - Replies come in the order of the commands; a command's news precede its tagged reply.
//! - EXPUNGE and VANISHED are told only where [`news::may_expunge`] says so.

pub mod change_bell;
pub mod client;
pub mod command;
pub mod connection;
pub mod fair_queue;
pub mod fair_turn;
pub mod flags;
pub mod idle_timer;
pub mod job;
pub mod listener;
pub mod names;
pub mod news;
pub mod notice;
pub mod outcome;
pub mod pattern;
pub mod pool;
pub mod refusal;
pub mod scan;
pub mod session;
pub mod session_limits;
pub mod shared;
pub mod shutdown;
pub mod timeouts;
pub mod view;

pub use listener::{Imap, Kind};
pub use shared::Options;
pub use shutdown::Shutdown;
pub use timeouts::Timeouts;
