//! ID (RFC 2971 §3.1).

use super::list;
use crate::protocol::cursor::{Cursor, Parsed, Syntax};

/// What the client says of itself: names and values.
pub type Parameters = Vec<(String, Option<String>)>;

/// RFC 2971 §3.3: no more fields than this.
const MOST: usize = 30;

/// Whether the command that begins so is ID.
#[must_use]
pub fn is_id(so_far: &[u8]) -> bool {
    let mut cursor = Cursor::new(so_far);
    cursor.tag().is_ok() && cursor.space().is_ok() && cursor.take_word("ID")
}

pub(super) fn parse(cursor: &mut Cursor<'_>) -> Parsed<Parameters> {
    cursor.space()?;
    let mut found = Vec::new();
    if cursor.take_word("NIL") {
        return Ok(found);
    }
    list(cursor, |cursor| {
        let name = cursor.string()?;
        cursor.space()?;
        let value = cursor.nstring()?;
        if found.len() == MOST {
            return Err(Syntax("ID has at most 30 fields"));
        }
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        found.push((text(name), value.map(text)));
        Ok(())
    })?;
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn examples_of_the_rfc() {
        let read = |text: &str| parse(&mut Cursor::new(text.as_bytes()));
        assert_eq!(read(" NIL"), Ok(vec![]));
        let found = read(" (\"name\" \"sodr\" \"version\" NIL)").unwrap();
        assert_eq!(found, [("name".into(), Some("sodr".into())), ("version".into(), None)]);
        assert!(read(" (\"name\")").is_err());
        assert!(is_id(b"a id (") && !is_id(b"a IDLE") && !is_id(b"a") && !is_id(b"a LOGIN ID"));
        assert!(read(&format!(" ({})", "\"a\" NIL ".repeat(31))).is_err());
    }
}
