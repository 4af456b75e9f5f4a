//! What FETCH tells: `msg-att`, `envelope`, `body` (RFC 9051 §7.5.2, §9; RFC 3501 §9 for what is older).

use super::cursor::{Cursor, Text, Wrong};

/// The items of a FETCH response by name, with the UID and whether flags were told.
#[derive(Debug, Default)]
pub struct Told {
    pub items: Vec<String>,
    pub uid: Option<u32>,
}

impl Told {
    pub fn has(&self, name: &str) -> bool {
        self.items.iter().any(|item| item == name)
    }
}

/// `msg-att`: each item once.
pub fn msg_att(c: &mut Cursor<'_>) -> Result<Told, Wrong> {
    let mut told = Told::default();
    c.list(false, |c| {
        let before = *c;
        let name = item(c, &mut told.uid)?;
        if told.has(&name) {
            return before.wrong("each item once");
        }
        told.items.push(name);
        Ok(())
    })?;
    Ok(told)
}

fn item(c: &mut Cursor<'_>, uid: &mut Option<u32>) -> Result<String, Wrong> {
    let before = *c;
    let word = c.while_(|byte| byte.is_ascii_alphanumeric() || byte == b'.');
    let word = String::from_utf8_lossy(word).to_ascii_uppercase();
    let section = match (word.as_str(), c.peek()) {
        ("BODY", Some(b'[')) => section(c)? + &origin(c)?,
        ("BINARY", _) => section_binary(c)? + &origin(c)?,
        ("BINARY.SIZE", _) => section_binary(c)?,
        _ => String::new(),
    };
    c.space()?;
    match word.as_str() {
        "BODY" if !section.is_empty() => drop(c.nstring()?),
        "BODY" => body(c, false)?,
        "BODYSTRUCTURE" => body(c, true)?,
        "BINARY" if c.peek() == Some(b'~') => c.literal8()?,
        "BINARY" => drop(c.nstring()?),
        "BINARY.SIZE" => drop(c.number()?),
        "FLAGS" => flags(c, Flags::OfMessage)?,
        "ENVELOPE" => envelope(c)?,
        "INTERNALDATE" => c.date_time()?,
        "SAVEDATE" if c.nil() => {}
        "SAVEDATE" => c.date_time()?,
        "RFC822.SIZE" => drop(c.number64()?),
        "RFC822" | "RFC822.HEADER" | "RFC822.TEXT" => drop(c.nstring()?),
        "UID" => *uid = Some(c.nz_number()?),
        "MODSEQ" => modseq(c)?,
        "EMAILID" => c.object_id()?,
        "THREADID" if c.nil() => {}
        "THREADID" => c.object_id()?,
        "PREVIEW" => drop(c.nstring()?),
        _ => return before.wrong("an item of FETCH"),
    }
    Ok(word + &section)
}

/// `section`; gives it as it stands.
fn section(c: &mut Cursor<'_>) -> Result<String, Wrong> {
    c.must("[")?;
    let mut text = part(c)?;
    let before = *c;
    if !text.is_empty() && c.eat(".") || text.is_empty() && c.peek() != Some(b']') {
        let word = c.while_(|byte| byte.is_ascii_alphabetic() || byte == b'.').to_ascii_uppercase();
        let word = String::from_utf8_lossy(&word).into_owned();
        match word.as_str() {
            "HEADER" | "TEXT" => {}
            "MIME" if !text.is_empty() => {}
            "HEADER.FIELDS" | "HEADER.FIELDS.NOT" => {
                c.space()?;
                c.list(false, |c| c.astring().map(|name| text += &format!(" {}", name.escape_ascii())))?;
            }
            _ => return before.wrong("section-spec"),
        }
        text += &format!(".{word}");
    }
    c.must("]")?;
    Ok(format!("[{text}]"))
}

fn section_binary(c: &mut Cursor<'_>) -> Result<String, Wrong> {
    c.must("[")?;
    let part = part(c)?;
    c.must("]")?;
    Ok(format!("[{part}]"))
}

/// `section-part`, or nothing.
fn part(c: &mut Cursor<'_>) -> Result<String, Wrong> {
    let mut text = String::new();
    while c.peek().is_some_and(|byte| byte.is_ascii_digit()) {
        text += &format!(".{}", c.nz_number()?);
        let before = *c;
        if !c.eat(".") {
            break;
        }
        if !c.peek().is_some_and(|byte| byte.is_ascii_digit()) {
            *c = before;
            break;
        }
    }
    Ok(text)
}

fn origin(c: &mut Cursor<'_>) -> Result<String, Wrong> {
    if !c.eat("<") {
        return Ok(String::new());
    }
    // The grammar has a number here and a number64 where it is asked for: what was asked for is told.
    let origin = c.number64()?;
    c.must(">")?;
    Ok(format!("<{origin}>"))
}

/// Where flags are told.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Flags {
    /// FETCH: \Recent may be among them.
    OfMessage,
    /// FLAGS.
    OfMailbox,
    /// PERMANENTFLAGS: `\*` may.
    Permanent,
}

/// Each flag once; none of a backslash that no document knows.
pub fn flags(c: &mut Cursor<'_>, place: Flags) -> Result<(), Wrong> {
    let mut seen: Vec<String> = Vec::new();
    c.list(true, |c| {
        let before = *c;
        let name = if place == Flags::Permanent && c.eat("\\*") {
            "\\*".to_owned()
        } else if c.eat("\\") {
            let name = c.atom("a system flag")?.to_ascii_lowercase();
            let is_recent = name == "recent" && place == Flags::OfMessage && !c.dialect.rev2;
            if !is_recent && !["answered", "flagged", "deleted", "seen", "draft"].contains(&name.as_str()) {
                return before.wrong("a flag that is known here");
            }
            format!("\\{name}")
        } else {
            c.atom("flag")?.to_ascii_lowercase()
        };
        if seen.contains(&name) {
            return before.wrong("each flag once");
        }
        seen.push(name);
        Ok(())
    })
}

fn envelope(c: &mut Cursor<'_>) -> Result<(), Wrong> {
    c.must("(")?;
    c.nstring()?;
    c.space()?;
    c.nstring()?;
    let mut has_sender = false;
    for field in ["From", "Sender", "Reply-To", "To", "Cc", "Bcc"] {
        c.space()?;
        let before = *c;
        let is_told = addresses(c)?;
        has_sender |= field == "From" && is_told;
        if has_sender && !is_told && matches!(field, "Sender" | "Reply-To") {
            return before.wrong("what From has where a message has none (RFC 9051 §7.5.2)");
        }
    }
    c.space()?;
    c.nstring()?;
    c.space()?;
    c.nstring()?;
    c.must(")")
}

/// `"(" 1*address ")" / nil`, groups closed. Whether there are any.
fn addresses(c: &mut Cursor<'_>) -> Result<bool, Wrong> {
    if c.nil() {
        return Ok(false);
    }
    c.must("(")?;
    let mut in_group = false;
    loop {
        let before = *c;
        c.must("(")?;
        let name = c.nstring()?;
        c.space()?;
        let route = c.nstring()?;
        c.space()?;
        let mailbox = c.nstring()?;
        c.space()?;
        let host = c.nstring()?;
        c.must(")")?;
        if host.is_none() {
            if name.is_some() || route.is_some() || mailbox.is_some() == in_group {
                return before.wrong("a group that begins, then ends");
            }
            in_group = !in_group;
        } else if mailbox.is_none() {
            return before.wrong("a mailbox before a host");
        }
        if c.eat(")") {
            return if in_group { before.wrong("the end of a group") } else { Ok(true) };
        }
    }
}

/// `body`; what BODYSTRUCTURE tells more only where `extended`.
fn body(c: &mut Cursor<'_>, extended: bool) -> Result<(), Wrong> {
    c.must("(")?;
    if c.peek() == Some(b'(') {
        while c.peek() == Some(b'(') {
            body(c, extended)?;
        }
        c.space()?;
        c.string()?;
        if extended && c.eat(" ") {
            params(c)?;
            tail(c)?;
        }
        return c.must(")");
    }
    let before = *c;
    let media = c.string()?;
    c.space()?;
    let subtype = c.string()?;
    let is = |text: &Text, name: &str| text.bytes.eq_ignore_ascii_case(name.as_bytes());
    let is_message =
        is(&media, "message") && (is(&subtype, "rfc822") || c.dialect.rev2 && is(&subtype, "global"));
    if is(&media, "multipart") || media.bytes.is_empty() || subtype.bytes.is_empty() {
        return before.wrong("the type of a single part");
    }
    if (is(&media, "text") || is_message) && !media.is_quoted || is_message && !subtype.is_quoted {
        return before.wrong("a quoted type");
    }
    c.space()?;
    params(c)?;
    c.space()?;
    c.nstring()?;
    c.space()?;
    c.nstring()?;
    c.space()?;
    c.string()?;
    c.space()?;
    c.number()?;
    if is_message {
        c.space()?;
        envelope(c)?;
        c.space()?;
        body(c, extended)?;
    }
    if is_message || is(&media, "text") {
        c.space()?;
        c.number64()?;
    }
    if extended && c.eat(" ") {
        c.nstring()?;
        tail(c)?;
    }
    c.must(")")
}

/// Disposition, language, location: each only after the one before; nothing after them.
fn tail(c: &mut Cursor<'_>) -> Result<(), Wrong> {
    if !c.eat(" ") {
        return Ok(());
    }
    if !c.nil() {
        c.must("(")?;
        c.string()?;
        c.space()?;
        params(c)?;
        c.must(")")?;
    }
    if !c.eat(" ") {
        return Ok(());
    }
    if c.peek() == Some(b'(') {
        c.list(false, |c| c.string().map(|_| ()))?;
    } else {
        c.nstring()?;
    }
    if c.eat(" ") {
        c.nstring()?;
    }
    Ok(())
}

fn params(c: &mut Cursor<'_>) -> Result<(), Wrong> {
    if c.nil() {
        return Ok(());
    }
    c.list(false, |c| {
        c.string()?;
        c.space()?;
        c.string().map(|_| ())
    })
}

/// `"(" permsg-modsequence ")"` (RFC 7162 §7).
fn modseq(c: &mut Cursor<'_>) -> Result<(), Wrong> {
    c.must("(")?;
    c.modseq()?;
    c.must(")")
}
