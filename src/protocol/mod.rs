//! The IMAP protocol: bytes ↔ types. Pure: no I/O, no store.

pub mod capability;
pub mod command;
pub mod cursor;
pub mod framed;
pub mod framing;
pub mod response;
pub mod set_reader;
pub mod utf7;
