//! STATUS (RFC 9051 §6.3.11).

use super::{Dialect, MailboxArg, list, one_mailbox};
use crate::protocol::cursor::{Cursor, Parsed, Syntax};

/// Asks for a mailbox's figures.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    /// Which mailbox.
    pub mailbox: MailboxArg,
    /// Which figures.
    pub items: Vec<StatusItem>,
}

/// A figure of a mailbox.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum StatusItem {
    Messages,
    /// RFC 3501
    Recent,
    UidNext,
    UidValidity,
    Unseen,
    Deleted,
    Size,
    /// RFC 7162
    HighestModSeq,
    /// RFC 7889
    AppendLimit,
    /// RFC 8474
    MailboxId,
}

impl StatusItem {
    const ALL: [(StatusItem, &'static str); 10] = [
        (StatusItem::Messages, "MESSAGES"),
        (StatusItem::Recent, "RECENT"),
        (StatusItem::UidNext, "UIDNEXT"),
        (StatusItem::UidValidity, "UIDVALIDITY"),
        (StatusItem::Unseen, "UNSEEN"),
        (StatusItem::Deleted, "DELETED"),
        (StatusItem::Size, "SIZE"),
        (StatusItem::HighestModSeq, "HIGHESTMODSEQ"),
        (StatusItem::AppendLimit, "APPENDLIMIT"),
        (StatusItem::MailboxId, "MAILBOXID"),
    ];

    /// Its name.
    #[must_use]
    pub fn name(self) -> &'static str {
        Self::ALL.iter().find(|(item, _)| *item == self).map_or("", |(_, name)| name)
    }
}

pub(super) fn parse(cursor: &mut Cursor<'_>, dialect: Dialect) -> Parsed<Status> {
    let mailbox = one_mailbox(cursor, dialect)?;
    cursor.space()?;
    Ok(Status { mailbox, items: items(cursor)? })
}

/// Items in parentheses, each once.
pub(super) fn items(cursor: &mut Cursor<'_>) -> Parsed<Vec<StatusItem>> {
    let mut items = Vec::new();
    list(cursor, |cursor| {
        let name = cursor.atom()?;
        let known = StatusItem::ALL.iter().find(|(_, known)| known.eq_ignore_ascii_case(name));
        let (item, _) = known.ok_or(Syntax("STATUS does not know this item"))?;
        if !items.contains(item) {
            items.push(*item);
        }
        Ok(())
    })?;
    if items.is_empty() { Err(Syntax("STATUS needs an item")) } else { Ok(items) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn items_are_read_once() {
        let read = |text: &str| parse(&mut Cursor::new(text.as_bytes()), Dialect::default());
        let status = read(" blurdybloop (UIDNEXT messages UIDNEXT)").unwrap();
        assert_eq!(status.items, [StatusItem::UidNext, StatusItem::Messages]);
        assert!(read(" x ()").is_err());
        assert!(read(" x (FOO)").is_err());
        assert!(read(" x").is_err());
    }
}
