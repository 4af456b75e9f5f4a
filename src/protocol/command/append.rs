//! APPEND (RFC 9051 §6.3.12), MULTIAPPEND (RFC 3502), UTF8 (RFC 9755 §4).
//!
//! Its messages are not parsed: they are streamed. Here is read what stands before each.

use super::{Dialect, MailboxArg, ParseError, Tag, list, mailbox, tag_of};
use crate::model::{DateTime, FlagSet};
use crate::protocol::cursor::{Cursor, Parsed, Syntax};

/// What stands before the first message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Head {
    /// Where to.
    pub mailbox: MailboxArg,
    /// The first message.
    pub message: Message,
}

/// What stands before a message.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Message {
    /// Its flags.
    pub flags: FlagSet,
    /// When it was received.
    pub date: Option<DateTime>,
    /// It is wrapped in `UTF8 (…)`: a closing parenthesis follows it.
    pub utf8: bool,
}

/// Whether the command that begins so is APPEND.
#[must_use]
pub fn is_append(so_far: &[u8]) -> bool {
    let mut cursor = Cursor::new(so_far);
    cursor.tag().is_ok() && cursor.space().is_ok() && cursor.take_word("APPEND")
}

/// Reads everything up to the announcement of the first message.
///
/// # Errors
/// With what is wrong.
pub fn parse_head(so_far: &[u8], dialect: Dialect) -> Result<(Tag, Head), ParseError> {
    let tag = tag_of(so_far);
    let head = read_head(&mut Cursor::new(so_far).with_utf8(dialect.utf8), dialect);
    match (tag, head) {
        (Some(tag), Ok(head)) => Ok((tag, head)),
        (tag, head) => {
            let text = head.err().map_or("a tag is missing", |Syntax(text)| text).to_owned();
            Err(ParseError { tag, text })
        }
    }
}

/// Whether the announced literal is the mailbox's name and not the message: `a APPEND {5}`.
#[must_use]
pub fn is_mailbox_literal(so_far: &[u8]) -> bool {
    let mut cursor = Cursor::new(so_far);
    let begins = cursor.tag().is_ok() && cursor.space().is_ok() && cursor.take_word("APPEND");
    begins && cursor.space().is_ok() && cursor.peek() == Some(b'{') && !cursor.rest().contains(&b'\n')
}

/// Reads what stands between two messages: ` (\Seen) {12`.
///
/// # Errors
/// With what is wrong.
pub fn parse_next(rest: &[u8]) -> Result<Message, Syntax> {
    let mut cursor = Cursor::new(rest);
    cursor.space()?;
    read_message(&mut cursor)
}

fn read_head(cursor: &mut Cursor<'_>, dialect: Dialect) -> Parsed<Head> {
    cursor.tag()?;
    cursor.space()?;
    cursor.atom()?;
    cursor.space()?;
    let mailbox = mailbox(cursor, dialect)?;
    cursor.space()?;
    Ok(Head { mailbox, message: read_message(cursor)? })
}

fn read_message(cursor: &mut Cursor<'_>) -> Parsed<Message> {
    let mut message = Message::default();
    if cursor.peek() == Some(b'(') {
        list(cursor, |cursor| {
            if let Some(flag) = cursor.flag()? {
                message.flags.insert(flag);
            }
            Ok(())
        })?;
        cursor.space()?;
    }
    if cursor.peek() == Some(b'"') {
        message.date = Some(cursor.date_time()?);
        cursor.space()?;
    }
    if cursor.take_word("UTF8") {
        cursor.space()?;
        cursor.expect(b'(', "UTF8 needs its message in parentheses")?;
        message.utf8 = true;
    }
    cursor.take(b'~');
    cursor.expect(b'{', "APPEND needs a message as a literal")?;
    Ok(message)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::SystemFlags;

    fn read(text: &str) -> Result<Head, ParseError> {
        parse_head(text.as_bytes(), Dialect::default()).map(|(_, head)| head)
    }

    #[test]
    fn examples_of_the_rfcs() {
        let head = read("A003 APPEND saved-messages (\\Seen) {326}").unwrap();
        assert!(head.message.flags.system.contains(SystemFlags::SEEN) && head.message.date.is_none());
        let head = read("a append x (\\Seen $Label1) \" 7-Feb-1994 22:43:04 -0800\" {5+}").unwrap();
        assert_eq!(head.message.date.unwrap().offset_minutes, -480);
        assert!(read("a APPEND x UTF8 (~{5}").unwrap().message.utf8);
        assert!(read("a APPEND x {5}").is_ok());
        assert!(read("a APPEND x ~{5}").is_ok());
        assert!(read("a APPEND {1}\r\nx {5}").is_ok());
        assert!(read("a APPEND x (\\Seen {5}").is_err());
        assert!(read("a APPEND x \"yesterday\" {5}").is_err());
        assert!(is_append(b"a append x {5}") && !is_append(b"a APPENDX {5}") && !is_append(b"a LOGIN {5}"));
        assert!(is_mailbox_literal(b"a APPEND {1}") && !is_mailbox_literal(b"a APPEND {1}\r\nx {5}"));
        assert!(parse_next(b" (\\Seen) {44").unwrap().flags.system.contains(SystemFlags::SEEN));
        assert!(parse_next(b"{44").is_err());
    }
}
