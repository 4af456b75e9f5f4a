//! The IMAP protocol: bytes ↔ types. Pure: no I/O, no store.

pub mod capability;
pub mod command;
pub mod cursor;
pub mod framing;
pub mod response;
pub mod utf7;
