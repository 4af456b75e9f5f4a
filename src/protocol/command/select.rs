//! SELECT and EXAMINE (RFC 9051 §6.3.2), with CONDSTORE and QRESYNC (RFC 7162 §3.1.8, §3.2.5).

use super::{Dialect, MailboxArg, list, one_mailbox};
use crate::model::UidSet;
use crate::protocol::cursor::{Cursor, Parsed, Syntax};

/// Opens a mailbox.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Select {
    /// Which.
    pub mailbox: MailboxArg,
    /// EXAMINE: to read only.
    pub read_only: bool,
    /// CONDSTORE was asked for.
    pub condstore: bool,
    /// What a client that comes back knows.
    pub qresync: Option<Qresync>,
}

/// What a client knew when it last had the mailbox open.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Qresync {
    /// Its UIDVALIDITY.
    pub uid_validity: u32,
    /// Its HIGHESTMODSEQ.
    pub modseq: u64,
    /// UIDs that it knew.
    pub known_uids: Option<UidSet>,
    /// Sequence numbers and the UIDs that they had.
    pub matched: Option<(UidSet, UidSet)>,
}

pub(super) fn parse(cursor: &mut Cursor<'_>, dialect: Dialect, read_only: bool) -> Parsed<Select> {
    let mut select =
        Select { mailbox: one_mailbox(cursor, dialect)?, read_only, condstore: false, qresync: None };
    if !cursor.at_end() {
        cursor.space()?;
        list(cursor, |cursor| {
            if cursor.take_word("CONDSTORE") {
                select.condstore = true;
            } else if cursor.take_word("QRESYNC") {
                cursor.space()?;
                select.qresync = Some(qresync(cursor)?);
            } else {
                return Err(Syntax("SELECT knows CONDSTORE and QRESYNC only"));
            }
            Ok(())
        })?;
    }
    Ok(select)
}

fn qresync(cursor: &mut Cursor<'_>) -> Parsed<Qresync> {
    cursor.expect(b'(', "QRESYNC needs what the client knows")?;
    let uid_validity = cursor.nz_number()?;
    cursor.space()?;
    let mut found = Qresync { uid_validity, modseq: cursor.number()?, known_uids: None, matched: None };
    if cursor.peek() == Some(b' ') {
        cursor.space()?;
        if cursor.peek() != Some(b'(') {
            found.known_uids = Some(known_set(cursor)?);
            if cursor.peek() == Some(b' ') {
                cursor.space()?;
            }
        }
        if cursor.take(b'(') {
            let numbers = known_set(cursor)?;
            cursor.space()?;
            found.matched = Some((numbers, known_set(cursor)?));
            cursor.expect(b')', "QRESYNC's numbers do not end")?;
        }
    }
    cursor.expect(b')', "QRESYNC does not end")?;
    Ok(found)
}

/// A set without `*` (RFC 7162 §7, `known-uids`).
fn known_set(cursor: &mut Cursor<'_>) -> Parsed<UidSet> {
    let set = cursor.sequence_set()?;
    if set.has_last() { Err(Syntax("QRESYNC's sets have no *")) } else { Ok(set.resolve(u32::MAX)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Parsed<Select> {
        parse(&mut Cursor::new(text.as_bytes()), Dialect::default(), false)
    }

    #[test]
    fn examples_of_rfc_7162() {
        assert!(read(" INBOX (CONDSTORE)").unwrap().condstore);
        let known = read(" INBOX (QRESYNC (67890007 20050715194045000 41,43:211,214:541))").unwrap();
        let known = known.qresync.unwrap();
        assert_eq!((known.uid_validity, known.modseq), (67_890_007, 20_050_715_194_045_000));
        assert_eq!(known.known_uids.unwrap().to_string(), "41,43:211,214:541");
        let known = read(" INBOX (QRESYNC (67890007 90060115194045000 41:211,214:541 (1,3 41,43)))").unwrap();
        assert_eq!(known.qresync.unwrap().matched.unwrap().1.to_string(), "41,43");
        assert!(read(" INBOX (QRESYNC (1 2))").unwrap().qresync.unwrap().known_uids.is_none());
        assert!(read(" INBOX (QRESYNC (0 2))").is_err());
        assert!(read(" INBOX (QRESYNC (1 2 1:*))").is_err());
        assert!(read(" INBOX (FOO)").is_err());
    }
}
