//! SEARCH (RFC 9051 §6.4.4), with RETURN options (§6.4.4.1), CHARSET, MODSEQ (RFC 7162 §3.1.5), WITHIN
//! (RFC 5032), SAVEDATE (RFC 8514) and OBJECTID (RFC 8474).

use super::{list, search_key};
use crate::model::{CivilDate, Keyword, SequenceSet, SystemFlags};
use crate::protocol::cursor::{Cursor, Parsed, Syntax};

/// Asks for messages that fit.
#[derive(Clone, Debug, PartialEq)]
pub struct Search {
    /// They are to be named by UID.
    pub uid: bool,
    /// RETURN options; none if there was no RETURN.
    pub options: Option<ReturnOptions>,
    /// In which the strings are written.
    pub charset: Option<String>,
    /// What must fit.
    pub key: Key,
}

/// RETURN options; `RETURN ()` is ALL.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct ReturnOptions {
    pub min: bool,
    pub max: bool,
    pub all: bool,
    pub count: bool,
    pub save: bool,
}

/// What must fit.
#[derive(Clone, Debug, PartialEq)]
#[allow(missing_docs)]
pub enum Key {
    All,
    And(Vec<Key>),
    Or(Box<Key>, Box<Key>),
    Not(Box<Key>),
    Numbers(SequenceSet),
    Uids(SequenceSet),
    /// `$`
    Saved,
    Flag(SystemFlags),
    Keyword(Keyword),
    Recent,
    Larger(u64),
    Smaller(u64),
    InternalDate(DateTest, CivilDate),
    SentDate(DateTest, CivilDate),
    SaveDate(DateTest, CivilDate),
    /// Seconds.
    Older(u32),
    Younger(u32),
    /// A header field, by its name.
    Header {
        name: String,
        value: Vec<u8>,
    },
    Body(Vec<u8>),
    Text(Vec<u8>),
    ModSeq(u64),
    EmailId(String),
    ThreadId(String),
}

impl Key {
    /// Whether there are sequence numbers in it.
    #[must_use]
    pub fn names_numbers(&self) -> bool {
        match self {
            Key::Numbers(_) => true,
            Key::And(keys) => keys.iter().any(Key::names_numbers),
            Key::Or(a, b) => a.names_numbers() || b.names_numbers(),
            Key::Not(key) => key.names_numbers(),
            _ => false,
        }
    }
}

impl Key {
    /// Whether MODSEQ is in it.
    #[must_use]
    pub fn names_modseq(&self) -> bool {
        match self {
            Key::ModSeq(_) => true,
            Key::And(keys) => keys.iter().any(Key::names_modseq),
            Key::Or(a, b) => a.names_modseq() || b.names_modseq(),
            Key::Not(key) => key.names_modseq(),
            _ => false,
        }
    }
}

/// How a day compares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DateTest {
    /// Before it.
    Before,
    /// On it.
    On,
    /// On it or later.
    Since,
}

pub(super) fn parse(cursor: &mut Cursor<'_>, uid: bool) -> Parsed<Search> {
    cursor.space()?;
    let mut search = Search { uid, options: None, charset: None, key: Key::All };
    if cursor.take_word("RETURN") {
        cursor.space()?;
        search.options = Some(options(cursor)?);
        cursor.space()?;
    }
    if cursor.take_word("CHARSET") {
        cursor.space()?;
        let name = cursor.astring()?;
        search.charset = Some(String::from_utf8_lossy(&name).into_owned());
        cursor.space()?;
    }
    search.key = search_key::all(cursor)?;
    Ok(search)
}

fn options(cursor: &mut Cursor<'_>) -> Parsed<ReturnOptions> {
    let mut found = ReturnOptions::default();
    list(cursor, |cursor| {
        match cursor.atom()?.to_ascii_uppercase().as_str() {
            "MIN" => found.min = true,
            "MAX" => found.max = true,
            "ALL" => found.all = true,
            "COUNT" => found.count = true,
            "SAVE" => found.save = true,
            _ => return Err(Syntax("SEARCH does not know this RETURN option")),
        }
        Ok(())
    })?;
    if found == ReturnOptions::default() {
        found.all = true;
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Parsed<Search> {
        let mut cursor = Cursor::new(text.as_bytes());
        parse(&mut cursor, false).and_then(|search| cursor.end().map(|()| search))
    }

    #[test]
    fn options_and_charsets() {
        let search = read(" RETURN (MIN COUNT) FLAGGED SINCE 1-Feb-1994 NOT FROM \"Smith\"").unwrap();
        let options = search.options.unwrap();
        assert!(options.min && options.count && !options.all);
        assert!(matches!(&search.key, Key::And(keys) if keys.len() == 3));
        assert!(read(" RETURN () ALL").unwrap().options.unwrap().all);
        let save = read(" RETURN (SAVE) ALL").unwrap().options.unwrap();
        assert!(save.save && !save.all);
        assert_eq!(read(" CHARSET UTF-8 TEXT x").unwrap().charset.as_deref(), Some("UTF-8"));
        assert!(read(" RETURN (FOO) ALL").is_err());
        assert!(read(" CHARSET UTF-8").is_err());
    }

    #[test]
    fn keys() {
        for text in [
            "ALL",
            "UNSEEN",
            "NEW",
            "OLD",
            "RECENT",
            "KEYWORD $Forwarded",
            "UNKEYWORD x",
            "LARGER 5",
            "1:4,7",
            "UID 1:*",
            "$",
            "OR SEEN (FLAGGED DRAFT)",
            "NOT NOT SEEN",
            "HEADER Message-ID \"\"",
            "MODSEQ 620162338",
            "MODSEQ \"/flags/\\\\draft\" all 620162338",
            "SENTBEFORE 1-Feb-1994",
            "SAVEDSINCE 1-Feb-1994",
            "YOUNGER 3600",
            "EMAILID M1",
            "(1 2)",
            "SAVEDATESUPPORTED",
            "DELETED  SEEN ",
        ] {
            assert!(read(&format!(" {text}")).is_ok(), "{text}");
        }
        for text in ["", "FOO", "OR SEEN", "NOT", "(", "()", "SINCE x", "LARGER -1", "KEYWORD", "UID x"] {
            assert!(read(&format!(" {text}")).is_err(), "{text}");
        }
    }

    #[test]
    fn nesting_is_bounded() {
        assert!(read(&format!(" {}SEEN{}", "(".repeat(50), ")".repeat(50))).is_ok());
        assert!(read(&format!(" {}SEEN{}", "(".repeat(10_000), ")".repeat(10_000))).is_err());
        assert!(read(&format!(" {}SEEN", "NOT ".repeat(10_000))).is_err());
        assert!(read(&format!(" {}SEEN", "OR SEEN ".repeat(10_000))).is_err());
        assert!(read(&" SEEN".repeat(20_000)).is_err());
    }
}
