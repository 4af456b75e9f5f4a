//! AUTHENTICATE (RFC 9051 §6.2.2).

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::protocol::cursor::{Cursor, Parsed, Syntax};

/// A mechanism, and its first message if it came along (SASL-IR).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Authenticate {
    /// As the client wrote it.
    pub mechanism: String,
    /// Decoded.
    pub initial: Option<Vec<u8>>,
}

pub(super) fn parse(cursor: &mut Cursor<'_>) -> Parsed<Authenticate> {
    cursor.space()?;
    let mechanism = cursor.atom()?.to_owned();
    if cursor.at_end() {
        return Ok(Authenticate { mechanism, initial: None });
    }
    cursor.space()?;
    // `=` is an empty message.
    let initial = match cursor.astring()? {
        empty if empty == b"=" => Vec::new(),
        encoded => STANDARD.decode(encoded).map_err(|_| Syntax("the first message is not base64"))?,
    };
    Ok(Authenticate { mechanism, initial: Some(initial) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn with_and_without_a_message() {
        let read = |text: &str| parse(&mut Cursor::new(text.as_bytes())).map(|found| found.initial);
        assert_eq!(read(" PLAIN"), Ok(None));
        assert_eq!(read(" PLAIN ="), Ok(Some(vec![])));
        assert_eq!(read(" PLAIN AGEAYg=="), Ok(Some(b"\0a\0b".to_vec())));
        assert!(read(" PLAIN A").is_err());
    }
}
