//! STORE (RFC 9051 §6.4.6), with UNCHANGEDSINCE (RFC 7162 §3.1.3).

use super::{MOST_IN_A_LIST, Messages, list, messages};
use crate::model::FlagSet;
use crate::protocol::cursor::{Cursor, Parsed, Syntax};

/// Changes flags.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Store {
    /// Messages are named by UID.
    pub uid: bool,
    /// Which.
    pub messages: Messages,
    /// What to do with the flags.
    pub action: Action,
    /// Without an answer for each message.
    pub silent: bool,
    /// The flags.
    pub flags: FlagSet,
    /// Only of messages that have not changed since this modseq.
    pub unchanged_since: Option<u64>,
}

/// What to do with flags.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// `+FLAGS`
    Add,
    /// `-FLAGS`
    Remove,
    /// `FLAGS`
    Replace,
}

pub(super) fn parse(cursor: &mut Cursor<'_>, uid: bool) -> Parsed<Store> {
    let messages = messages(cursor)?;
    cursor.space()?;
    let mut unchanged_since = None;
    if cursor.peek() == Some(b'(') {
        list(cursor, |cursor| {
            if !cursor.take_word("UNCHANGEDSINCE") {
                return Err(Syntax("STORE knows UNCHANGEDSINCE only"));
            }
            cursor.space()?;
            unchanged_since = Some(cursor.number()?);
            Ok(())
        })?;
        cursor.space()?;
    }
    let action = if cursor.take(b'+') {
        Action::Add
    } else if cursor.take(b'-') {
        Action::Remove
    } else {
        Action::Replace
    };
    let silent = match cursor.atom()?.to_ascii_uppercase().as_str() {
        "FLAGS" => false,
        "FLAGS.SILENT" => true,
        _ => return Err(Syntax("STORE changes FLAGS only")),
    };
    cursor.space()?;
    Ok(Store { uid, messages, action, silent, flags: flags(cursor)?, unchanged_since })
}

/// Flags in parentheses, or without them to the command's end.
fn flags(cursor: &mut Cursor<'_>) -> Parsed<FlagSet> {
    let mut flags = FlagSet::default();
    if cursor.peek() == Some(b'(') {
        list(cursor, |cursor| {
            flags.extend_with(flag(cursor)?);
            Ok(())
        })?;
        return Ok(flags);
    }
    for _ in 0..MOST_IN_A_LIST {
        flags.extend_with(flag(cursor)?);
        if cursor.at_end() {
            return Ok(flags);
        }
        cursor.space()?;
    }
    Err(Syntax("STORE names more than 1000 flags"))
}

/// A flag that a client may name: `\Recent` is none (RFC 3501 §2.3.2). System flags that nobody defined are
/// left out: a server may ignore what PERMANENTFLAGS does not name (RFC 9051 §7.1).
fn flag(cursor: &mut Cursor<'_>) -> Parsed<Option<crate::model::Flag>> {
    let mut ahead = *cursor;
    if ahead.take(b'\\') && ahead.take_word("RECENT") {
        return Err(Syntax("\\Recent cannot be changed by clients"));
    }
    cursor.flag()
}

trait ExtendWith {
    fn extend_with(&mut self, flag: Option<crate::model::Flag>);
}

impl ExtendWith for FlagSet {
    fn extend_with(&mut self, flag: Option<crate::model::Flag>) {
        if let Some(flag) = flag {
            self.insert(flag);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::SystemFlags;

    fn read(text: &str) -> Parsed<Store> {
        parse(&mut Cursor::new(text.as_bytes()), false)
    }

    #[test]
    fn forms() {
        let store = read(" 2:4 +FLAGS (\\Deleted)").unwrap();
        assert_eq!((store.action, store.silent), (Action::Add, false));
        assert!(store.flags.system.contains(SystemFlags::DELETED));
        let store = read(" 1 flags.silent \\Seen $Forwarded").unwrap();
        assert_eq!((store.action, store.silent, store.flags.keywords.len()), (Action::Replace, true, 1));
        assert!(read(" 1 -FLAGS ()").unwrap().flags.is_empty());
        assert!(read(" 1 FLAGS (\\Recent)").is_err());
        assert!(read(" 1 +FLAGS \\Seen \\recent").is_err());
        assert!(read(" 1 +FLAGS (\\Recently)").unwrap().flags.is_empty());
        let store = read(" 7,5,9 (UNCHANGEDSINCE 320162338) +FLAGS.SILENT (\\Deleted)").unwrap();
        assert_eq!(store.unchanged_since, Some(320_162_338));
        assert!(read(" 1 +FLAGS").is_err());
        assert!(read(" 1 LABELS (x)").is_err());
        let many = |count: usize| (0..count).map(|n| format!("k{n}")).collect::<Vec<_>>().join(" ");
        assert_eq!(read(&format!(" 1 +FLAGS {}", many(1_000))).unwrap().flags.keywords.len(), 1_000);
        assert!(read(&format!(" 1 +FLAGS {}", many(1_001))).is_err());
        assert!(read(&format!(" 1 +FLAGS ({})", many(1_001))).is_err());
    }
}
