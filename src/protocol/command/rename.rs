//! RENAME (RFC 9051 §6.3.6).

use super::{Dialect, MailboxArg, one_mailbox};
use crate::protocol::cursor::{Cursor, Parsed};

/// Renames a mailbox.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rename {
    /// Its name.
    pub from: MailboxArg,
    /// What it is to be called.
    pub to: MailboxArg,
}

pub(super) fn parse(cursor: &mut Cursor<'_>, dialect: Dialect) -> Parsed<Rename> {
    Ok(Rename { from: one_mailbox(cursor, dialect)?, to: one_mailbox(cursor, dialect)? })
}
