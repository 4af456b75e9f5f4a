//! RFC 5322 and MIME: structure, envelope, sections, text. Pure: no I/O.

pub mod address;
pub mod charset;
pub mod date;
pub mod digest;
pub mod encoded_word;
pub mod envelope;
pub mod field_filter;
pub mod header;
mod html;
pub mod mime_params;
pub mod needles;
pub mod preview;
pub mod section;
pub mod structure;
pub mod text;
pub mod thread;
pub mod transfer;
