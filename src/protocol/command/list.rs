//! LIST (RFC 9051 §6.3.9), LSUB (RFC 3501 §6.3.9) and XLIST, which old clients still send.

use super::{Dialect, list as in_parentheses, mailbox_text, status};
use crate::protocol::command::status::StatusItem;
use crate::protocol::cursor::{Cursor, Parsed, Syntax};

/// Bytes of all patterns with wildcards together: clients send a handful of short ones. Names may be many.
const LONGEST_PATTERNS: usize = 8 * 1024;

/// Asks for mailboxes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct List {
    /// Patterns are below this name.
    pub reference: String,
    /// Names with `%` and `*`.
    pub patterns: Vec<String>,
    /// Written in the extended form: patterns in parentheses, or options.
    pub extended: bool,
    /// XLIST.
    pub xlist: bool,
    /// Which of the matching mailboxes are wanted.
    pub selection: Selection,
    /// What is wanted of them.
    pub ret: Return,
}

/// Selection options (RFC 9051 §6.3.9.1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Selection {
    /// Subscribed ones, there or not.
    pub subscribed: bool,
    /// Remote ones too; there are none.
    pub remote: bool,
    /// Those that have a selected one below them.
    pub recursive_match: bool,
    /// Those with a special use (RFC 6154 §5).
    pub special_use: bool,
}

impl Selection {
    /// The options that CHILDINFO can name (`list-select-base-opt`, RFC 9051 §9).
    #[must_use]
    pub fn child_info(self) -> Vec<&'static str> {
        let options = [(self.subscribed, "SUBSCRIBED"), (self.special_use, "SPECIAL-USE")];
        options.into_iter().filter_map(|(chosen, name)| chosen.then_some(name)).collect()
    }
}

/// Return options (RFC 9051 §6.3.9.2).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Return {
    /// Whether they are subscribed.
    pub subscribed: bool,
    /// Whether they have children.
    pub children: bool,
    /// Their special use.
    pub special_use: bool,
    /// Figures of each; none if not asked for.
    pub status: Vec<StatusItem>,
}

/// Asks for subscriptions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lsub {
    /// The pattern is below this name.
    pub reference: String,
    /// A name with `%` and `*`.
    pub pattern: String,
}

pub(super) fn parse(cursor: &mut Cursor<'_>, dialect: Dialect, xlist: bool) -> Parsed<List> {
    let mut found = List { xlist, ..List::default() };
    cursor.space()?;
    if cursor.peek() == Some(b'(') {
        found.extended = true;
        found.selection = selection(cursor)?;
        cursor.space()?;
    }
    found.reference = mailbox_text(cursor.astring()?, dialect)?;
    cursor.space()?;
    if cursor.peek() == Some(b'(') {
        found.extended = true;
        in_parentheses(cursor, |cursor| {
            found.patterns.push(mailbox_text(cursor.list_mailbox()?, dialect)?);
            Ok(())
        })?;
    } else {
        found.patterns.push(mailbox_text(cursor.list_mailbox()?, dialect)?);
    }
    let wild = |text: &str| text.contains(['*', '%']);
    let wildcards = found.patterns.iter().filter(|pattern| wild(&found.reference) || wild(pattern));
    let length = |pattern: &String| found.reference.len() + pattern.len();
    if wildcards.map(length).sum::<usize>() > LONGEST_PATTERNS {
        return Err(Syntax("LIST has more than 8 KiB of patterns with wildcards"));
    }
    if !cursor.at_end() {
        cursor.space()?;
        if !cursor.take_word("RETURN") {
            return Err(Syntax("LIST ends with RETURN options only"));
        }
        cursor.space()?;
        found.extended = true;
        found.ret = returned(cursor)?;
    }
    Ok(found)
}

fn selection(cursor: &mut Cursor<'_>) -> Parsed<Selection> {
    let mut found = Selection::default();
    in_parentheses(cursor, |cursor| {
        match cursor.atom()?.to_ascii_uppercase().as_str() {
            "SUBSCRIBED" => found.subscribed = true,
            "REMOTE" => found.remote = true,
            "RECURSIVEMATCH" => found.recursive_match = true,
            "SPECIAL-USE" => found.special_use = true,
            _ => return Err(Syntax("LIST does not know this selection option")),
        }
        Ok(())
    })?;
    // RFC 9051 §6.3.9.1: it needs another option, and REMOTE is none that it could be about. The grammar of
    // RFC 6154 §6 counts SPECIAL-USE with REMOTE; its text gives no reason to refuse it.
    if found.recursive_match && !(found.subscribed || found.special_use) {
        return Err(Syntax("RECURSIVEMATCH needs another selection option"));
    }
    Ok(found)
}

fn returned(cursor: &mut Cursor<'_>) -> Parsed<Return> {
    let mut found = Return::default();
    in_parentheses(cursor, |cursor| {
        match cursor.atom()?.to_ascii_uppercase().as_str() {
            "SUBSCRIBED" => found.subscribed = true,
            "CHILDREN" => found.children = true,
            "SPECIAL-USE" => found.special_use = true,
            "STATUS" => {
                cursor.space()?;
                found.status = status::items(cursor)?;
            }
            _ => return Err(Syntax("LIST does not know this return option")),
        }
        Ok(())
    })?;
    Ok(found)
}

pub(super) fn parse_lsub(cursor: &mut Cursor<'_>, dialect: Dialect) -> Parsed<Lsub> {
    cursor.space()?;
    let reference = mailbox_text(cursor.astring()?, dialect)?;
    cursor.space()?;
    Ok(Lsub { reference, pattern: mailbox_text(cursor.list_mailbox()?, dialect)? })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Parsed<List> {
        parse(&mut Cursor::new(text.as_bytes()), Dialect::default(), false)
    }

    #[test]
    fn examples_of_the_rfc() {
        assert_eq!(read(" \"\" \"\"").unwrap().patterns, [""]);
        assert_eq!(read(" ~/Mail/ %").unwrap().reference, "~/Mail/");
        let found = read(" (SUBSCRIBED) \"\" \"*\" RETURN (CHILDREN)").unwrap();
        assert!(found.selection.subscribed && found.ret.children && found.extended);
        assert_eq!(read(" \"\" (INBOX \"Drafts\" Sent/%)").unwrap().patterns.len(), 3);
        let found = read(" \"\" % RETURN (STATUS (MESSAGES UNSEEN))").unwrap();
        assert_eq!(found.ret.status, [StatusItem::Messages, StatusItem::Unseen]);
        assert!(read(" (RECURSIVEMATCH) \"\" *").is_err());
        assert!(read(" (SPECIAL-USE RECURSIVEMATCH) \"\" *").is_ok());
        assert!(read(" (FOO) \"\" *").is_err());
        assert!(read(" \"\" * FOO").is_err());
        assert!(read(" () \"\" ()").unwrap().patterns.is_empty());
        let many = |count: usize| format!(" \"\" ({})", vec!["abcdefgh%"; count].join(" "));
        assert_eq!(read(&many(900)).unwrap().patterns.len(), 900);
        assert!(read(&many(911)).is_err());
        let names = vec!["a name of some forty bytes, as people give"; 999].join("\" \"");
        assert_eq!(read(&format!(" \"\" (\"{names}\")")).unwrap().patterns.len(), 999);
        assert!(read(&format!(" \"*\" (\"{names}\")")).is_err());
    }
}
