//! LOGIN (RFC 9051 §6.2.3).

use crate::protocol::cursor::{Cursor, Parsed};

/// A name and a password.
#[derive(Clone, PartialEq, Eq)]
pub struct Login {
    /// The name.
    pub user: Vec<u8>,
    /// The password.
    pub password: Vec<u8>,
}

impl std::fmt::Debug for Login {
    /// Without the password: it must not come into a log.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Login").field("user", &String::from_utf8_lossy(&self.user)).finish_non_exhaustive()
    }
}

pub(super) fn parse(cursor: &mut Cursor<'_>) -> Parsed<Login> {
    cursor.space()?;
    let user = cursor.astring()?;
    cursor.space()?;
    Ok(Login { user, password: cursor.astring()? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn atoms_strings_and_literals() {
        for text in [" smith sesame", " \"smith\" {6}\r\nsesame"] {
            let login = parse(&mut Cursor::new(text.as_bytes())).unwrap();
            assert_eq!((login.user, login.password), (b"smith".to_vec(), b"sesame".to_vec()));
        }
        assert!(parse(&mut Cursor::new(b" smith")).is_err());
        let login = Login { user: b"anna".to_vec(), password: b"secret".to_vec() };
        assert!(!format!("{login:?}").contains("secret"));
    }
}
