//! What keeps the store whole beyond its own files: the catalogue, out of which an index can be made anew.

pub mod anew;
pub mod catalogue;
mod frames;
pub mod keep;
