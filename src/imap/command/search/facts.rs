//! What is known of a message that is searched.

use crate::mail::needles::{NeedleId, Seeker};
use crate::model::{CivilDate, SeqNum};
use crate::store::record::Record;

/// How much of a message was looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Its record.
    Record,
    /// Its header.
    Header,
    /// All.
    Content,
}

/// What is known of a message.
#[derive(Debug)]
pub struct Facts {
    /// What its mailbox says.
    pub record: Record,
    /// Its number.
    pub number: SeqNum,
    /// How much was looked at.
    pub level: Level,
    /// The day of its Date field in the sender's zone; without one the day on which it came.
    pub sent: Option<CivilDate>,
    /// EMAILID and THREADID.
    pub ids: Option<(String, String)>,
    /// By key: whether its header field was found.
    pub fields: Vec<bool>,
    /// What was found in headers and in bodies, if that is looked for.
    pub headers: Option<Seeker>,
    pub bodies: Option<Seeker>,
}

impl Facts {
    /// Its record alone.
    #[must_use]
    pub fn new(number: SeqNum, record: Record) -> Self {
        let (sent, ids, fields, headers, bodies) = Default::default();
        Facts { record, number, level: Level::Record, sent, ids, fields, headers, bodies }
    }

    /// Whether a key's header field was found.
    #[must_use]
    pub fn has_field(&self, key: usize) -> bool {
        self.fields.get(key).copied().unwrap_or(false)
    }

    /// Whether a header has it.
    #[must_use]
    pub fn header_has(&self, needle: NeedleId) -> bool {
        self.headers.as_ref().is_some_and(|headers| headers.has(needle))
    }

    /// Whether a text part has it.
    #[must_use]
    pub fn body_has(&self, needle: NeedleId) -> bool {
        self.bodies.as_ref().is_some_and(|bodies| bodies.has(needle))
    }
}

/// White space in header fields is one space, in what is searched as in what is searched for: where a line was
/// folded, with a tab for one, is nothing that anybody knows.
#[must_use]
pub fn one_space(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            ' ' | '\t' if out.ends_with(' ') => {}
            ' ' | '\t' => out.push(' '),
            c => out.push(c),
        }
    }
    out
}
