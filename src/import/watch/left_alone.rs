//! What a look could not take in: told once in the log, counted and named for the status.

use std::collections::HashSet;
use std::io;
use std::path::Path;

use super::mark::mark;
use super::status::LeftAlone;
use crate::import::disk::disk_error::words;
use crate::model::printable::one_line;

/// Things that were logged once and are not again, and things that a look has counted.
const MAX_KNOWN: usize = 10_000;

/// Since the last look at everything.
#[derive(Default)]
pub(super) struct Notes {
    /// What cannot be read or removed.
    pub(super) unreadable: LeftAlone,
    /// What is left where it is.
    pub(super) left: LeftAlone,
    logged: HashSet<u64>,
    /// A file that is told of by name again and again is one file.
    counted: HashSet<u64>,
}

impl Notes {
    /// A look at everything begins.
    pub(super) fn begin(&mut self) {
        (self.unreadable, self.left) = (LeftAlone::default(), LeftAlone::default());
        self.counted.clear();
    }

    /// How many there are.
    pub(super) fn count(&self) -> u64 {
        self.unreadable.count + self.left.count
    }

    /// Notes what cannot be read or removed.
    pub(super) fn unreadable(&mut self, path: &Path, error: &io::Error) {
        let error = words(error);
        let text = one_line(&format!("{}: {error}", path.display())).into_owned();
        if is_news(&mut self.logged, &text) {
            tracing::warn!(file = %path.display(), error, "cannot be read or removed; tried again at each look");
        }
        if is_news(&mut self.counted, &text) {
            self.unreadable.add(text);
        }
    }

    /// Notes what is left where it is.
    pub(super) fn left(&mut self, path: &Path, why: &str) {
        let text = one_line(&format!("{}: {why}", path.display())).into_owned();
        if is_news(&mut self.logged, &text) {
            tracing::warn!(file = %path.display(), why, "left where it is");
        }
        if is_news(&mut self.counted, &text) {
            self.left.add(text);
        }
    }
}

/// Whether it is not in the set; then it is.
fn is_news(known: &mut HashSet<u64>, text: &str) -> bool {
    if known.len() >= MAX_KNOWN {
        known.clear();
    }
    known.insert(mark(text.as_bytes()))
}
