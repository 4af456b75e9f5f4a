//! What is being mended: files that failed, and rows that were saved from a damaged volume.

use std::collections::BTreeMap;
use std::time::Instant;

use crate::store::base::error::Error;
use crate::store::engine::backoff::Backoff;
use crate::store::engine::redo::{FileNumber, Row};

/// What is being mended.
#[derive(Default)]
pub(in crate::store) struct Mending {
    pub(super) failing: BTreeMap<FileNumber, (Backoff, Option<Error>)>,
    /// Rows that were saved from there, until a checkpoint has made them durable where they are now.
    pub(super) saved: Vec<Row>,
    /// When the index was opened again because redb had panicked on it.
    pub(super) panicked: Option<Instant>,
}

impl Mending {
    /// Everything is durable where it is.
    pub(in crate::store) fn checkpointed(&mut self) {
        self.saved.clear();
    }
}
