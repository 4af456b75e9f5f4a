//! EXPUNGE and UID EXPUNGE (RFC 9051 §6.4.3, §6.4.9).

use super::{Messages, messages};
use crate::protocol::cursor::{Cursor, Parsed};

/// Expunges what is deleted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expunge {
    /// Of these only.
    pub uids: Option<Messages>,
}

pub(super) fn parse(cursor: &mut Cursor<'_>) -> Parsed<Expunge> {
    Ok(Expunge { uids: Some(messages(cursor)?) })
}
