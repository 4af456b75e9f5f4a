//! A command's bytes with its long sets already read.
//!
//! The text of a set of UIDs may be 2 MiB and mean one range, so the framer folds it as it arrives and keeps the
//! set; in the command's text one byte stands for it. [`Cursor::sequence_set`] finds the set there; nothing else
//! of the grammar is ever read at such a place, for the framer knows where a set must stand.
//!
//! [`Cursor::sequence_set`]: crate::protocol::cursor::Cursor::sequence_set

use crate::model::SequenceSet;
use crate::protocol::cursor::Parsed;

/// Stands for a set in the text: a set by itself, so that whoever looks at the next byte sees that one begins.
pub const PLACEHOLDER: u8 = b'*';

/// A whole command, or what there is of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Framed {
    pub(super) text: Vec<u8>,
    pub(super) sets: Vec<FoldedSet>,
}

/// A set that was read as it arrived, or why it is none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct FoldedSet {
    /// Where its placeholder stands.
    pub at: usize,
    pub set: Parsed<SequenceSet>,
}

impl Framed {
    /// Its bytes, with a placeholder for each set that was folded.
    #[must_use]
    pub fn text(&self) -> &[u8] {
        &self.text
    }

    /// How many sets were folded.
    #[must_use]
    pub fn folded(&self) -> usize {
        self.sets.len()
    }

    /// How many bytes it takes.
    #[must_use]
    pub fn held(&self) -> usize {
        let sets = self.sets.iter().filter_map(|folded| folded.set.as_ref().ok());
        self.text.len()
            + self.sets.len() * size_of::<FoldedSet>()
            + sets.map(SequenceSet::held).sum::<usize>()
    }
}

/// A text in which nothing was folded.
impl From<Vec<u8>> for Framed {
    fn from(text: Vec<u8>) -> Self {
        Framed { text, sets: Vec::new() }
    }
}
