//! Writes the grammar's strings (RFC 9051 §4, §9).

use crate::protocol::utf7;

/// Longer strings are literals: some clients limit lines.
const LONGEST_QUOTED: usize = 1_000;

/// How strings are written to a client.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Dialect {
    /// UTF8=ACCEPT: quoted strings may be UTF-8.
    pub utf8: bool,
    /// IMAP4rev2 was enabled.
    pub rev2: bool,
}

/// Appends to a buffer.
#[derive(Debug)]
pub struct Writer<'a> {
    out: &'a mut Vec<u8>,
    dialect: Dialect,
}

impl<'a> Writer<'a> {
    /// Appends to `out`.
    #[must_use]
    pub fn new(out: &'a mut Vec<u8>, dialect: Dialect) -> Self {
        Writer { out, dialect }
    }

    /// How strings are written.
    #[must_use]
    pub fn dialect(&self) -> Dialect {
        self.dialect
    }

    /// Bytes as they are.
    pub fn raw(&mut self, bytes: &[u8]) {
        self.out.extend_from_slice(bytes);
    }

    /// A number.
    pub fn number(&mut self, number: u64) {
        self.raw(number.to_string().as_bytes());
    }

    /// A line of two pieces.
    pub(super) fn line(&mut self, start: &[u8], rest: &str) {
        self.raw(start);
        self.raw(rest.as_bytes());
        self.raw(b"\r\n");
    }

    /// Words with spaces between them.
    pub fn words<'n>(&mut self, words: impl Iterator<Item = &'n str>) {
        for (n, word) in words.enumerate() {
            if n > 0 {
                self.raw(b" ");
            }
            self.raw(word.as_bytes());
        }
    }

    /// A string: quoted if it can be, else a literal. NUL, which neither can hold, becomes `?`.
    pub fn string(&mut self, bytes: &[u8]) {
        if bytes.contains(&0) {
            let clean: Vec<u8> = bytes.iter().map(|byte| if *byte == 0 { b'?' } else { *byte }).collect();
            return self.string(&clean);
        }
        let quotable = bytes.len() <= LONGEST_QUOTED
            && !bytes.iter().any(|byte| matches!(byte, b'\r' | b'\n'))
            && (bytes.is_ascii() || self.dialect.utf8 && std::str::from_utf8(bytes).is_ok());
        if !quotable {
            return self.literal(bytes);
        }
        self.raw(b"\"");
        for byte in bytes {
            if matches!(byte, b'"' | b'\\') {
                self.raw(b"\\");
            }
            self.raw(&[*byte]);
        }
        self.raw(b"\"");
    }

    /// A literal.
    pub fn literal(&mut self, bytes: &[u8]) {
        self.raw(format!("{{{}}}\r\n", bytes.len()).as_bytes());
        self.raw(bytes);
    }

    /// A string, or NIL.
    pub fn nstring(&mut self, bytes: Option<&[u8]>) {
        match bytes {
            Some(bytes) => self.string(bytes),
            None => self.raw(b"NIL"),
        }
    }

    /// A mailbox's name: UTF-8 where the client has said that it takes it, else modified UTF-7. Always
    /// quoted but for INBOX: what clients parse most reliably.
    pub fn mailbox(&mut self, name: &str) {
        if name == "INBOX" {
            return self.raw(b"INBOX");
        }
        if self.dialect.utf8 || self.dialect.rev2 {
            let dialect = std::mem::replace(&mut self.dialect, Dialect { utf8: true, rev2: true });
            self.string(name.as_bytes());
            self.dialect = dialect;
        } else {
            self.string(utf7::encode(name).as_bytes());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn string(bytes: &[u8], utf8: bool) -> Vec<u8> {
        let mut out = Vec::new();
        Writer::new(&mut out, Dialect { utf8, rev2: false }).string(bytes);
        out
    }

    #[test]
    fn strings() {
        assert_eq!(string(b"a \"b\" \\", false), br#""a \"b\" \\""#);
        assert_eq!(string("é".as_bytes(), true), "\"é\"".as_bytes());
        assert_eq!(string("é".as_bytes(), false), "{2}\r\né".as_bytes());
        assert_eq!(string(b"\xff", true), b"{1}\r\n\xff");
        assert_eq!(string(b"a\r\nb", true), b"{4}\r\na\r\nb");
        assert_eq!(string(b"a\0b", true), b"\"a?b\"");
        assert_eq!(string(b"", true), b"\"\"");
    }

    #[test]
    fn mailboxes() {
        let mailbox = |name: &str, rev2| {
            let mut out = Vec::new();
            Writer::new(&mut out, Dialect { utf8: false, rev2 }).mailbox(name);
            String::from_utf8(out).unwrap()
        };
        assert_eq!(mailbox("INBOX", false), "INBOX");
        assert_eq!(mailbox("Entwürfe", false), "\"Entw&APw-rfe\"");
        assert_eq!(mailbox("Entwürfe", true), "\"Entwürfe\"");
    }
}
