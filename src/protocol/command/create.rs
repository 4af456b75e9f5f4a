//! CREATE (RFC 9051 §6.3.4), with special uses (RFC 6154 §3).

use super::{Dialect, MailboxArg, list, one_mailbox};
use crate::model::SpecialUse;
use crate::protocol::cursor::{Cursor, Parsed, Syntax};

/// Makes a mailbox.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Create {
    /// Its name.
    pub mailbox: MailboxArg,
    /// What it is for; [`None`] is a use that nobody knows.
    pub special_uses: Vec<Option<SpecialUse>>,
}

pub(super) fn parse(cursor: &mut Cursor<'_>, dialect: Dialect) -> Parsed<Create> {
    let mailbox = one_mailbox(cursor, dialect)?;
    let mut special_uses = Vec::new();
    if !cursor.at_end() {
        cursor.space()?;
        list(cursor, |cursor| {
            if !cursor.take_word("USE") {
                return Err(Syntax("CREATE knows USE only"));
            }
            cursor.space()?;
            list(cursor, |cursor| {
                cursor.expect(b'\\', "a special use begins with a backslash")?;
                special_uses.push(SpecialUse::by_attribute(&format!("\\{}", cursor.atom()?)));
                Ok(())
            })
        })?;
    }
    Ok(Create { mailbox, special_uses })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn examples_of_rfc_6154() {
        let read = |text: &str| parse(&mut Cursor::new(text.as_bytes()), Dialect::default());
        assert_eq!(read(" MyDrafts (USE (\\Drafts))").unwrap().special_uses, [Some(SpecialUse::Drafts)]);
        assert_eq!(read(" x (USE (\\Foo))").unwrap().special_uses, [None]);
        assert!(read(" x").unwrap().special_uses.is_empty());
        assert!(read(" x (FOO)").is_err());
        assert_eq!(read(" a/b/").unwrap().mailbox.name().unwrap().as_str(), "a/b");
    }
}
