//! COPY and MOVE, by number and by UID (RFC 9051 §6.4.7, §6.4.8).

use super::{Dialect, MailboxArg, Messages, messages, one_mailbox};
use crate::protocol::cursor::{Cursor, Parsed};

/// Copies messages, or moves them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Copy {
    /// They are named by UID.
    pub uid: bool,
    /// Which.
    pub messages: Messages,
    /// Where to.
    pub mailbox: MailboxArg,
}

pub(super) fn parse(cursor: &mut Cursor<'_>, dialect: Dialect, uid: bool) -> Parsed<Copy> {
    Ok(Copy { uid, messages: messages(cursor)?, mailbox: one_mailbox(cursor, dialect)? })
}
