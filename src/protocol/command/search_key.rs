//! Search keys (`search-key`, RFC 9051 §9).

use super::search::{DateTest, Key};
use crate::model::{Flag, SystemFlags};
use crate::protocol::cursor::{Cursor, Parsed, Syntax};

/// Deeper than any client nests; the reader and the search both recurse.
const DEEPEST: usize = 100;
/// More keys than any client sends.
const MOST: usize = 10_000;

/// Keys to the end of the command: all must fit.
pub(super) fn all(cursor: &mut Cursor<'_>) -> Parsed<Key> {
    let mut reader = Reader { left: MOST };
    let mut keys = vec![reader.key(cursor, 0)?];
    while !cursor.at_end() {
        cursor.space()?;
        keys.push(reader.key(cursor, 0)?);
    }
    Ok(and(keys))
}

fn and(mut keys: Vec<Key>) -> Key {
    if keys.len() == 1 { keys.pop().unwrap_or(Key::All) } else { Key::And(keys) }
}

fn not(key: Key) -> Key {
    Key::Not(Box::new(key))
}

struct Reader {
    left: usize,
}

impl Reader {
    fn key(&mut self, cursor: &mut Cursor<'_>, depth: usize) -> Parsed<Key> {
        self.left = self.left.checked_sub(1).ok_or(Syntax("too many search keys"))?;
        if depth > DEEPEST {
            return Err(Syntax("search keys are nested too deep"));
        }
        match cursor.peek() {
            Some(b'(') => self.group(cursor, depth),
            Some(b'$') => {
                cursor.take(b'$');
                Ok(Key::Saved)
            }
            Some(b'0'..=b'9' | b'*') => cursor.sequence_set().map(Key::Numbers),
            _ => {
                let name = cursor.atom()?.to_ascii_uppercase();
                self.named(cursor, depth, &name)
            }
        }
    }

    fn group(&mut self, cursor: &mut Cursor<'_>, depth: usize) -> Parsed<Key> {
        cursor.take(b'(');
        let mut keys = Vec::new();
        loop {
            while cursor.take(b' ') {}
            if !keys.is_empty() && cursor.take(b')') {
                return Ok(and(keys));
            }
            keys.push(self.key(cursor, depth + 1)?);
        }
    }

    fn named(&mut self, cursor: &mut Cursor<'_>, depth: usize, name: &str) -> Parsed<Key> {
        if let Some(key) = flag_key(name) {
            return Ok(key);
        }
        match name {
            "NOT" => {
                cursor.space()?;
                Ok(not(self.key(cursor, depth + 1)?))
            }
            "OR" => {
                cursor.space()?;
                let left = self.key(cursor, depth + 1)?;
                cursor.space()?;
                Ok(Key::Or(Box::new(left), Box::new(self.key(cursor, depth + 1)?)))
            }
            _ => with_value(cursor, name),
        }
    }
}

fn flag_key(name: &str) -> Option<Key> {
    let flag = |flag| Key::Flag(flag);
    Some(match name {
        "ALL" | "SAVEDATESUPPORTED" => Key::All,
        "ANSWERED" => flag(SystemFlags::ANSWERED),
        "DELETED" => flag(SystemFlags::DELETED),
        "DRAFT" => flag(SystemFlags::DRAFT),
        "FLAGGED" => flag(SystemFlags::FLAGGED),
        "SEEN" => flag(SystemFlags::SEEN),
        "UNANSWERED" => not(flag(SystemFlags::ANSWERED)),
        "UNDELETED" => not(flag(SystemFlags::DELETED)),
        "UNDRAFT" => not(flag(SystemFlags::DRAFT)),
        "UNFLAGGED" => not(flag(SystemFlags::FLAGGED)),
        "UNSEEN" => not(flag(SystemFlags::SEEN)),
        // RFC 3501 §6.4.4
        "RECENT" => Key::Recent,
        "NEW" => Key::And(vec![Key::Recent, not(flag(SystemFlags::SEEN))]),
        "OLD" => not(Key::Recent),
        _ => return None,
    })
}

fn with_value(cursor: &mut Cursor<'_>, name: &str) -> Parsed<Key> {
    const KNOWN: [&str; 27] = [
        "BCC",
        "CC",
        "FROM",
        "SUBJECT",
        "TO",
        "BODY",
        "TEXT",
        "KEYWORD",
        "UNKEYWORD",
        "LARGER",
        "SMALLER",
        "BEFORE",
        "ON",
        "SINCE",
        "SENTBEFORE",
        "SENTON",
        "SENTSINCE",
        "SAVEDBEFORE",
        "SAVEDON",
        "SAVEDSINCE",
        "OLDER",
        "YOUNGER",
        "UID",
        "HEADER",
        "MODSEQ",
        "EMAILID",
        "THREADID",
    ];
    if !KNOWN.contains(&name) {
        return Err(Syntax("SEARCH does not know this key"));
    }
    cursor.space()?;
    Ok(match name {
        "BCC" | "CC" | "FROM" | "SUBJECT" | "TO" => {
            Key::Header { name: name.to_owned(), value: cursor.astring()? }
        }
        "BODY" => Key::Body(cursor.astring()?),
        "TEXT" => Key::Text(cursor.astring()?),
        "KEYWORD" => keyword(cursor)?,
        "UNKEYWORD" => not(keyword(cursor)?),
        "LARGER" => Key::Larger(cursor.number()?),
        "SMALLER" => Key::Smaller(cursor.number()?),
        "BEFORE" => Key::InternalDate(DateTest::Before, cursor.date()?),
        "ON" => Key::InternalDate(DateTest::On, cursor.date()?),
        "SINCE" => Key::InternalDate(DateTest::Since, cursor.date()?),
        "SENTBEFORE" => Key::SentDate(DateTest::Before, cursor.date()?),
        "SENTON" => Key::SentDate(DateTest::On, cursor.date()?),
        "SENTSINCE" => Key::SentDate(DateTest::Since, cursor.date()?),
        "SAVEDBEFORE" => Key::SaveDate(DateTest::Before, cursor.date()?),
        "SAVEDON" => Key::SaveDate(DateTest::On, cursor.date()?),
        "SAVEDSINCE" => Key::SaveDate(DateTest::Since, cursor.date()?),
        "OLDER" => Key::Older(cursor.nz_number()?),
        "YOUNGER" => Key::Younger(cursor.nz_number()?),
        "UID" if cursor.take(b'$') => Key::Saved,
        "UID" => Key::Uids(cursor.sequence_set()?),
        "HEADER" => {
            let name = String::from_utf8_lossy(&cursor.astring()?).into_owned();
            cursor.space()?;
            Key::Header { name, value: cursor.astring()? }
        }
        "MODSEQ" => modseq(cursor)?,
        "EMAILID" => Key::EmailId(cursor.atom()?.to_owned()),
        _ => Key::ThreadId(cursor.atom()?.to_owned()),
    })
}

fn keyword(cursor: &mut Cursor<'_>) -> Parsed<Key> {
    Ok(match cursor.searched_keyword()? {
        Flag::System(flag) => Key::Flag(flag),
        Flag::Keyword(keyword) => Key::Keyword(keyword),
    })
}

/// `MODSEQ ["/flags/\\draft" all] 123` (RFC 7162 §3.1.5); there is one modseq a message, so that the entry
/// says nothing.
fn modseq(cursor: &mut Cursor<'_>) -> Parsed<Key> {
    if cursor.peek() == Some(b'"') {
        cursor.string()?;
        cursor.space()?;
        if !(cursor.take_word("all") || cursor.take_word("priv") || cursor.take_word("shared")) {
            return Err(Syntax("MODSEQ's entry type is missing"));
        }
        cursor.space()?;
    }
    cursor.number().map(Key::ModSeq)
}
