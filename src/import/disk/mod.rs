//! What import stands on: files beneath a folder, reached by handles and never through a link; what a file is, and its bytes
//! unpacked.

pub(crate) mod beneath;
pub mod bounds;
pub mod coding;
pub(crate) mod disk_error;
pub(crate) mod filesystem;
pub(crate) mod read;
pub(crate) mod recognise;
pub mod window;
