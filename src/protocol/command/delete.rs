//! DELETE (RFC 9051 §6.3.5).

use super::{Dialect, MailboxArg, one_mailbox};
use crate::protocol::cursor::{Cursor, Parsed};

/// Deletes a mailbox.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delete {
    /// Which.
    pub mailbox: MailboxArg,
}

pub(super) fn parse(cursor: &mut Cursor<'_>, dialect: Dialect) -> Parsed<Delete> {
    Ok(Delete { mailbox: one_mailbox(cursor, dialect)? })
}
