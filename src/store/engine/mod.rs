//! The journal, the redb files under it, and the one writer.

pub mod budget;
pub mod checkpoint;
pub mod condition;
pub mod database;
pub mod format;
pub mod generation;
pub mod journal;
pub mod lineage;
pub mod loss;
pub mod migrate;
pub mod mixture;
pub mod options;
pub mod overlay;
pub mod pins;
pub mod preallocated;
pub mod redo;
pub mod replay;
pub mod rewriting;
pub mod segment;
pub mod shared;
pub mod space;
pub mod start;
pub mod store;
pub mod tables;
pub mod volumes;
pub mod writer;
