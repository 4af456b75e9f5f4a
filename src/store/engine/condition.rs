//! What is known to be wrong with the store: kept in memory, so that it costs nothing to ask, and filled from
//! what the files say when it is opened.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;

use crate::model::{ContentId, locked};

/// So many damaged contents are remembered: of a disk that has lost more, others need not be.
const CONTENTS: usize = 10_000;

/// What is known to be wrong. Of a store that is well, everything is empty.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Condition {
    /// Why no changes are accepted until restart.
    pub read_only: Option<String>,
    /// What was found to be lost of the journal, for good.
    pub journal: Option<String>,
    /// Volumes of which something could not be read: they take no more mail.
    pub damaged_volumes: Vec<u32>,
    /// Volumes that the index names and whose file is not there.
    pub missing_volumes: Vec<u32>,
    /// The files are of different moments: what differs.
    pub mixed: Option<String>,
    /// What is wrong with the index.
    pub index: Option<String>,
    /// Contents found damaged; those that were not read since are not among them.
    pub damaged_contents: u64,
}

impl Condition {
    /// Whether nothing is known to be wrong.
    #[must_use]
    pub fn is_well(&self) -> bool {
        *self == Condition::default()
    }
}

/// The same, as it is gathered.
#[derive(Default)]
pub(in crate::store) struct Known(Mutex<Facts>);

#[derive(Default)]
struct Facts {
    read_only: Option<String>,
    journal: Option<String>,
    damaged: BTreeSet<u32>,
    /// Of these, those whose row in the index does not say so yet.
    unsaid: BTreeSet<u32>,
    missing: BTreeSet<u32>,
    /// Where what a damaged volume could not take any more went.
    rest: BTreeMap<u32, u32>,
    mixed: Option<String>,
    index: Option<String>,
    contents: BTreeSet<ContentId>,
    /// Contents that an error kept from being read to their end: they may be well.
    unfinished: BTreeSet<ContentId>,
}

#[allow(dead_code)] // What follows uses the rest: mixtures, damage seen.
impl Known {
    /// As the operator sees it; `index`: what the index's own handle has met.
    pub(in crate::store) fn condition(&self, index: Option<String>) -> Condition {
        let facts = locked(&self.0);
        Condition {
            read_only: facts.read_only.clone(),
            journal: facts.journal.clone(),
            damaged_volumes: facts.damaged.iter().copied().collect(),
            missing_volumes: facts.missing.iter().copied().collect(),
            mixed: facts.mixed.clone(),
            index: facts.index.clone().or(index),
            damaged_contents: facts.contents.len() as u64,
        }
    }

    /// No changes any more; the first reason stays. Says whether this is it.
    pub(in crate::store) fn read_only(&self, why: &str) -> bool {
        let mut facts = locked(&self.0);
        let first = facts.read_only.is_none();
        facts.read_only.get_or_insert_with(|| why.to_owned());
        first
    }

    pub(in crate::store) fn why_read_only(&self) -> Option<String> {
        locked(&self.0).read_only.clone()
    }

    pub(in crate::store) fn journal(&self, what: &str) {
        locked(&self.0).journal.get_or_insert_with(|| what.to_owned());
    }

    pub(in crate::store) fn journal_is_mended(&self) {
        locked(&self.0).journal = None;
    }

    pub(in crate::store) fn is_journal_damaged(&self) -> bool {
        locked(&self.0).journal.is_some()
    }

    pub(in crate::store) fn mixed(&self, what: &str) {
        locked(&self.0).mixed.get_or_insert_with(|| what.to_owned());
    }

    pub(in crate::store) fn index(&self, what: &str) {
        locked(&self.0).index.get_or_insert_with(|| what.to_owned());
    }

    /// A volume's row says that it is damaged.
    pub(in crate::store) fn volume_is_said_damaged(&self, volume: u32) {
        let mut facts = locked(&self.0);
        facts.damaged.insert(volume);
        facts.unsaid.remove(&volume);
    }

    /// Damage is seen in a volume. Says whether its row must be told.
    pub(in crate::store) fn volume_damaged(&self, volume: u32) -> bool {
        let mut facts = locked(&self.0);
        facts.damaged.insert(volume) && facts.unsaid.insert(volume)
    }

    /// Volumes whose row does not say yet that they are damaged.
    pub(in crate::store) fn unsaid(&self) -> Vec<u32> {
        locked(&self.0).unsaid.iter().copied().collect()
    }

    pub(in crate::store) fn is_damaged(&self, volume: u32) -> bool {
        let facts = locked(&self.0);
        facts.damaged.contains(&volume) || facts.missing.contains(&volume)
    }

    pub(in crate::store) fn set_rest(&self, volume: u32, rest: u32) {
        locked(&self.0).rest.insert(volume, rest);
    }

    /// Where rows of a damaged volume are that it could not take any more.
    pub(in crate::store) fn rest(&self, volume: u32) -> Option<u32> {
        locked(&self.0).rest.get(&volume).copied()
    }

    /// Whether a volume holds rows that belong to a damaged one.
    pub(in crate::store) fn is_rest(&self, volume: u32) -> bool {
        locked(&self.0).rest.values().any(|rest| *rest == volume)
    }

    pub(in crate::store) fn volume_missing(&self, volume: u32) {
        locked(&self.0).missing.insert(volume);
    }

    /// A volume was mended, or is no longer named.
    pub(in crate::store) fn volume_is_well(&self, volume: u32) {
        let mut facts = locked(&self.0);
        facts.damaged.remove(&volume);
        facts.unsaid.remove(&volume);
        facts.missing.remove(&volume);
    }

    pub(in crate::store) fn content_damaged(&self, email: ContentId) {
        let mut facts = locked(&self.0);
        if facts.contents.len() < CONTENTS {
            facts.contents.insert(email);
        }
    }

    pub(in crate::store) fn content_unfinished(&self, email: ContentId) {
        let mut facts = locked(&self.0);
        if facts.unfinished.len() < CONTENTS {
            facts.unfinished.insert(email);
        }
    }

    pub(in crate::store) fn is_suspect(&self, email: ContentId) -> bool {
        let facts = locked(&self.0);
        facts.contents.contains(&email) || facts.unfinished.contains(&email)
    }

    pub(in crate::store) fn content_is_well(&self, email: ContentId) {
        let mut facts = locked(&self.0);
        facts.contents.remove(&email);
        facts.unfinished.remove(&email);
    }
}
