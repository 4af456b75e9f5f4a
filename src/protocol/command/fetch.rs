//! FETCH (RFC 9051 §6.4.5), CHANGEDSINCE and VANISHED (RFC 7162 §3.1.4, §3.2.6), PREVIEW (RFC 8970),
//! OBJECTID (RFC 8474), SAVEDATE (RFC 8514).

use std::collections::HashMap;

use super::{Messages, list, messages};
use crate::mail::section::{Section, SectionText};
use crate::protocol::cursor::{Cursor, Parsed, Syntax};

/// Deeper than any part that the store knows.
const DEEPEST_PATH: usize = 200;

/// Asks for messages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fetch {
    /// They are named by UID.
    pub uid: bool,
    /// Which.
    pub messages: Messages,
    /// What of them.
    pub items: Vec<Item>,
    /// Only those that have changed since this modseq.
    pub changed_since: Option<u64>,
    /// And those that are gone since.
    pub vanished: bool,
}

/// What is asked of a message.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs)]
pub enum Item {
    Uid,
    Flags,
    InternalDate,
    SaveDate,
    Rfc822Size,
    Envelope,
    /// BODY without a section: the structure without extension data.
    Body,
    BodyStructure,
    ModSeq,
    EmailId,
    ThreadId,
    Preview,
    /// `BODY[…]`, and the names of RFC 822 for the same.
    Section {
        section: Section,
        /// Offset and length.
        partial: Option<(u64, u64)>,
        /// It does not set `\Seen`.
        peek: bool,
        /// It is answered by this name.
        legacy: Option<&'static str>,
    },
    /// `BINARY[…]`
    Binary {
        path: Vec<u32>,
        partial: Option<(u64, u64)>,
        peek: bool,
    },
    /// `BINARY.SIZE[…]`
    BinarySize {
        path: Vec<u32>,
    },
}

impl Item {
    /// As it is asked for without setting `\Seen`.
    fn peeked(&self) -> Item {
        let mut item = self.clone();
        if let Item::Section { peek, .. } | Item::Binary { peek, .. } = &mut item {
            *peek = true;
        }
        item
    }
}

pub(super) fn parse(cursor: &mut Cursor<'_>, uid: bool) -> Parsed<Fetch> {
    let messages = messages(cursor)?;
    cursor.space()?;
    let mut fetch = Fetch { uid, messages, items: Vec::new(), changed_since: None, vanished: false };
    if cursor.peek() == Some(b'(') {
        list(cursor, |cursor| item(cursor, &mut fetch.items))?;
    } else {
        item(cursor, &mut fetch.items)?;
    }
    if fetch.items.is_empty() {
        return Err(Syntax("FETCH needs an item"));
    }
    each_once(&mut fetch.items);
    if !cursor.at_end() {
        cursor.space()?;
        list(cursor, |cursor| {
            if cursor.take_word("CHANGEDSINCE") {
                cursor.space()?;
                fetch.changed_since = Some(cursor.number()?);
            } else if cursor.take_word("VANISHED") {
                fetch.vanished = true;
            } else {
                return Err(Syntax("FETCH knows CHANGEDSINCE and VANISHED only"));
            }
            Ok(())
        })?;
    }
    Ok(fetch)
}

fn item(cursor: &mut Cursor<'_>, items: &mut Vec<Item>) -> Parsed<()> {
    let name = cursor.item_name()?.to_ascii_uppercase();
    let simple = match name.as_str() {
        "UID" => Item::Uid,
        "FLAGS" => Item::Flags,
        "INTERNALDATE" => Item::InternalDate,
        "SAVEDATE" => Item::SaveDate,
        "RFC822.SIZE" => Item::Rfc822Size,
        "ENVELOPE" => Item::Envelope,
        "BODYSTRUCTURE" => Item::BodyStructure,
        "MODSEQ" => Item::ModSeq,
        "EMAILID" => Item::EmailId,
        "THREADID" => Item::ThreadId,
        "PREVIEW" => preview(cursor)?,
        "BODY" if cursor.peek() != Some(b'[') => Item::Body,
        "BODY" => body(cursor, false)?,
        "BODY.PEEK" => body(cursor, true)?,
        "BINARY" => Item::Binary { path: bracketed_path(cursor)?, partial: partial(cursor)?, peek: false },
        "BINARY.PEEK" => {
            Item::Binary { path: bracketed_path(cursor)?, partial: partial(cursor)?, peek: true }
        }
        "BINARY.SIZE" => Item::BinarySize { path: bracketed_path(cursor)? },
        "RFC822" => legacy(SectionText::Whole, false, "RFC822"),
        // What Outlook sends: no RFC has it ([MS-STANOIMAP] 8e9492b1).
        "RFC822.PEEK" => legacy(SectionText::Whole, true, "RFC822"),
        "RFC822.HEADER" => legacy(SectionText::Header, true, "RFC822.HEADER"),
        "RFC822.TEXT" => legacy(SectionText::Text, false, "RFC822.TEXT"),
        _ => return add_macro(&name, items),
    };
    items.push(simple);
    Ok(())
}

/// Macros (RFC 9051 §6.4.5).
fn add_macro(name: &str, items: &mut Vec<Item>) -> Parsed<()> {
    let fast = [Item::Flags, Item::InternalDate, Item::Rfc822Size];
    let more: &[Item] = match name {
        "FAST" => &[],
        "ALL" => &[Item::Envelope],
        "FULL" => &[Item::Envelope, Item::Body],
        _ => return Err(Syntax("FETCH does not know this item")),
    };
    items.extend(fast.iter().chain(more).cloned());
    Ok(())
}

/// What is asked for twice is answered once; `BODY[…]` and `BODY.PEEK[…]` have the same answer (RFC 9051 §7.5.2), and
/// one of them sets `\Seen`.
fn each_once(items: &mut Vec<Item>) {
    let mut places: HashMap<Item, usize> = HashMap::new();
    let mut kept: Vec<Item> = Vec::with_capacity(items.len());
    for item in items.drain(..) {
        let place = *places.entry(item.peeked()).or_insert(kept.len());
        match kept.get_mut(place) {
            Some(known) if known.peeked() == *known => *known = item,
            Some(_) => {}
            None => kept.push(item),
        }
    }
    *items = kept;
}

fn legacy(what: SectionText, peek: bool, name: &'static str) -> Item {
    Item::Section { section: Section { path: Vec::new(), what }, partial: None, peek, legacy: Some(name) }
}

fn preview(cursor: &mut Cursor<'_>) -> Parsed<Item> {
    // PREVIEW (LAZY): the preview is always at hand, so that lazy is the same.
    let mut ahead = *cursor;
    if ahead.space().is_ok() && ahead.peek() == Some(b'(') {
        list(&mut ahead, |cursor| {
            if cursor.take_word("LAZY") { Ok(()) } else { Err(Syntax("PREVIEW knows LAZY only")) }
        })?;
        *cursor = ahead;
    }
    Ok(Item::Preview)
}

fn body(cursor: &mut Cursor<'_>, peek: bool) -> Parsed<Item> {
    let section = section(cursor)?;
    Ok(Item::Section { section, partial: partial(cursor)?, peek, legacy: None })
}

/// `[1.2.HEADER.FIELDS (a b)]`
fn section(cursor: &mut Cursor<'_>) -> Parsed<Section> {
    cursor.expect(b'[', "a section is missing")?;
    let mut path = Vec::new();
    while cursor.peek().is_some_and(|byte| byte.is_ascii_digit()) {
        path.push(cursor.nz_number()?);
        if path.len() > DEEPEST_PATH {
            return Err(Syntax("a section is too deep"));
        }
        if !cursor.take(b'.') {
            cursor.expect(b']', "a section does not end")?;
            return Ok(Section { path, what: SectionText::Whole });
        }
        if cursor.peek() == Some(b']') {
            return Err(Syntax("a section ends with a dot"));
        }
    }
    if cursor.take(b']') {
        return Ok(Section { path, what: SectionText::Whole });
    }
    let what = match cursor.item_name()?.to_ascii_uppercase().as_str() {
        "HEADER" => SectionText::Header,
        "TEXT" => SectionText::Text,
        "MIME" if !path.is_empty() => SectionText::Mime,
        "HEADER.FIELDS" => SectionText::HeaderFields(fields(cursor)?),
        "HEADER.FIELDS.NOT" => SectionText::HeaderFieldsNot(fields(cursor)?),
        _ => return Err(Syntax("there is no such section")),
    };
    cursor.expect(b']', "a section does not end")?;
    Ok(Section { path, what })
}

fn fields(cursor: &mut Cursor<'_>) -> Parsed<Vec<String>> {
    cursor.space()?;
    let mut names = Vec::new();
    list(cursor, |cursor| {
        let name = cursor.astring()?;
        names.push(String::from_utf8_lossy(&name).into_owned());
        Ok(())
    })?;
    if names.is_empty() { Err(Syntax("header fields are missing")) } else { Ok(names) }
}

/// `<0.2048>`
fn partial(cursor: &mut Cursor<'_>) -> Parsed<Option<(u64, u64)>> {
    if !cursor.take(b'<') {
        return Ok(None);
    }
    let offset = cursor.number()?;
    cursor.expect(b'.', "a partial fetch needs a length")?;
    let length = cursor.number()?;
    if length == 0 {
        return Err(Syntax("a partial fetch needs a length above zero"));
    }
    cursor.expect(b'>', "a partial fetch does not end")?;
    Ok(Some((offset, length)))
}

/// `[1.2]`, or `[]`.
fn bracketed_path(cursor: &mut Cursor<'_>) -> Parsed<Vec<u32>> {
    let section = section(cursor)?;
    if section.what == SectionText::Whole {
        Ok(section.path)
    } else {
        Err(Syntax("BINARY takes part numbers only"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Parsed<Fetch> {
        let mut cursor = Cursor::new(text.as_bytes());
        parse(&mut cursor, true).and_then(|fetch| cursor.end().map(|()| fetch))
    }

    fn one(text: &str) -> Item {
        let mut items = read(&format!(" 1 {text}")).unwrap().items;
        assert_eq!(items.len(), 1);
        items.remove(0)
    }

    #[test]
    fn items() {
        assert_eq!(one("flags"), Item::Flags);
        assert_eq!(one("(BODY)"), Item::Body);
        assert_eq!(one("PREVIEW (LAZY)"), Item::Preview);
        assert_eq!(read(" 1:* (UID  FLAGS UID )").unwrap().items, [Item::Uid, Item::Flags]);
        assert_eq!(read(" 1 FULL").unwrap().items.len(), 5);
        assert!(matches!(
            one("RFC822.HEADER"),
            Item::Section { peek: true, legacy: Some("RFC822.HEADER"), .. }
        ));
        let Item::Section { section, partial, peek, .. } = one("BODY[4.1.MIME]<10.20>") else { panic!() };
        assert_eq!(
            (section.path, section.what, partial, peek),
            (vec![4, 1], SectionText::Mime, Some((10, 20)), false)
        );
        let Item::Section { section, .. } = one("BODY.PEEK[HEADER.FIELDS (Date \"From\")]") else { panic!() };
        assert_eq!(section.what, SectionText::HeaderFields(vec!["Date".into(), "From".into()]));
        assert_eq!(one("BINARY.SIZE[1.2]"), Item::BinarySize { path: vec![1, 2] });
        assert!(matches!(one("BINARY.PEEK[]<0.5>"), Item::Binary { peek: true, .. }));
    }

    #[test]
    fn many_items() {
        let partials = |count: usize| {
            let items: Vec<String> = (0..count).map(|n| format!("BODY.PEEK[]<{n}.1>")).collect();
            format!(" 1 ({} FULL FAST {})", items.join(" "), items.join(" "))
        };
        assert_eq!(read(&partials(400)).unwrap().items.len(), 405);
        assert!(read(&partials(501)).is_err());
        let fields = vec!["a"; 1_001].join(" ");
        assert!(read(&format!(" 1 BODY[HEADER.FIELDS ({fields})]")).is_err());
    }

    #[test]
    fn modifiers_and_mistakes() {
        let fetch = read(" 1:* FLAGS (CHANGEDSINCE 12345 VANISHED)").unwrap();
        assert_eq!((fetch.changed_since, fetch.vanished), (Some(12345), true));
        for wrong in [
            " 1 ()",
            " 1 FOO",
            " 1 BODY[MIME]",
            " 1 BODY[1.]",
            " 1 BODY[0]",
            " 1 BODY[HEADER.FIELDS ()]",
            " 1 BODY[]<0>",
            " 1 BODY[]<0.0>",
            " 1 BINARY[HEADER]",
            " 1 FLAGS (FOO)",
            " 1 (FLAGS",
            " FLAGS",
        ] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
    }
}
