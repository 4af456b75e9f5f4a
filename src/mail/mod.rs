//! RFC 5322 and MIME: structure, envelope, sections, text. Pure: no I/O.

pub mod digest;
pub mod section;
