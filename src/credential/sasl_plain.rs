//! The mechanism PLAIN (RFC 4616).

/// What it says.
#[derive(Clone, PartialEq, Eq)]
pub struct Plain {
    /// Whom to act for; empty for oneself.
    pub authzid: String,
    /// Who it is.
    pub authcid: String,
    /// The password.
    pub password: String,
}

/// Reads a message; `None` if it is none.
#[must_use]
pub fn parse(message: &[u8]) -> Option<Plain> {
    let text = std::str::from_utf8(message).ok()?;
    let mut parts = text.split('\0');
    let (authzid, authcid, password) = (parts.next()?, parts.next()?, parts.next()?);
    if parts.next().is_some() || authcid.is_empty() || password.is_empty() {
        return None;
    }
    Some(Plain { authzid: authzid.to_owned(), authcid: authcid.to_owned(), password: password.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages() {
        let plain = parse(b"\0tim\0tanstaaftanstaaf").unwrap();
        assert_eq!((plain.authzid.as_str(), plain.authcid.as_str()), ("", "tim"));
        assert_eq!(parse(b"Ursel\0Kurt\0xipj3plmq").unwrap().authzid, "Ursel");
        for wrong in [&b""[..], b"tim", b"\0tim", b"\0\0pw", b"\0tim\0", b"\0a\0b\0c", b"\0\xff\0b"] {
            assert!(parse(wrong).is_none());
        }
    }
}
