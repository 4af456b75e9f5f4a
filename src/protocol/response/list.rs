//! LIST, LSUB, XLIST and NAMESPACE (RFC 9051 §7.3).

use super::Writer;
use crate::model::SpecialUse;

/// What is told of a mailbox besides its name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Attributes {
    /// There is no such mailbox: it is subscribed, or has children.
    pub non_existent: bool,
    /// It cannot be selected (LSUB's parents, `LIST "" ""`), and that is to be said: `\NonExistent` implies it (RFC 9051
    /// §7.3.1), which who asks in the old way does not know.
    pub no_select: bool,
    /// Whether it has children, where that is told.
    pub has_children: Option<bool>,
    /// It is subscribed, where that is told.
    pub subscribed: bool,
    /// What it is for, where that is told.
    pub special_use: Option<SpecialUse>,
    /// The selection options that mailboxes below it match (RFC 9051 §6.3.9.6).
    pub child_info: Vec<&'static str>,
    /// What it was called before (RFC 9051 §7.3.1).
    pub old_name: Option<String>,
}

/// NAMESPACE (RFC 9051 §7.3.4): one personal namespace, at the root.
pub fn namespace(w: &mut Writer<'_>) {
    w.raw(b"* NAMESPACE ((\"\" \"/\")) NIL NIL\r\n");
}

/// LIST (RFC 9051 §7.3.1).
pub fn list(w: &mut Writer<'_>, attributes: &Attributes, name: &str) {
    write(w, "LIST", attributes, name);
}

/// LSUB (RFC 3501 §7.2.3).
pub fn lsub(w: &mut Writer<'_>, attributes: &Attributes, name: &str) {
    write(w, "LSUB", attributes, name);
}

/// XLIST, whose INBOX has a use of its own.
pub fn xlist(w: &mut Writer<'_>, attributes: &Attributes, name: &str) {
    write(w, "XLIST", attributes, name);
}

fn write(w: &mut Writer<'_>, command: &str, attributes: &Attributes, name: &str) {
    let mut words: Vec<&str> = Vec::new();
    // One of the two by any grammar (`mbx-list-sflag`: RFC 3501 §9, RFC 5258 §6, RFC 9051 §9); who asks in the old way
    // may know the second alone.
    if attributes.no_select && !(attributes.non_existent && w.dialect().rev2) {
        words.push("\\Noselect");
    } else if attributes.non_existent {
        words.push("\\NonExistent");
    }
    match attributes.has_children {
        Some(true) => words.push("\\HasChildren"),
        Some(false) => words.push("\\HasNoChildren"),
        None => {}
    }
    if attributes.subscribed {
        words.push("\\Subscribed");
    }
    if command == "XLIST" && name == "INBOX" {
        words.push("\\Inbox");
    }
    if let Some(special_use) = attributes.special_use {
        words.push(match (command, special_use) {
            ("XLIST", SpecialUse::Junk) => "\\Spam",
            (_, other) => other.attribute(),
        });
    }
    w.raw(format!("* {command} ({}) \"/\" ", words.join(" ")).as_bytes());
    if name.is_empty() {
        w.raw(b"\"\"")
    } else {
        w.mailbox(name)
    }
    if !attributes.child_info.is_empty() {
        w.raw(format!(" (\"CHILDINFO\" (\"{}\"))", attributes.child_info.join("\" \"")).as_bytes());
    } else if let Some(old_name) = &attributes.old_name {
        w.raw(b" (\"OLDNAME\" (");
        w.mailbox(old_name);
        w.raw(b"))");
    }
    w.raw(b"\r\n");
}

#[cfg(test)]
mod tests {
    use super::super::Dialect;
    use super::*;

    fn written(rev2: bool, write: impl FnOnce(&mut Writer<'_>)) -> String {
        let mut out = Vec::new();
        write(&mut Writer::new(&mut out, Dialect { utf8: false, rev2 }));
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn forms() {
        let sent = Attributes {
            has_children: Some(false),
            special_use: Some(SpecialUse::Sent),
            subscribed: true,
            ..Attributes::default()
        };
        let wanted = "* LIST (\\HasNoChildren \\Subscribed \\Sent) \"/\" \"Sent\"\r\n";
        assert_eq!(written(false, |w| list(w, &sent, "Sent")), wanted);
        let gone = Attributes { non_existent: true, ..Attributes::default() };
        assert!(written(false, |w| list(w, &gone, "x")).contains("(\\NonExistent)"));
        let gone = Attributes { no_select: true, ..gone };
        assert!(written(false, |w| list(w, &gone, "x")).contains("(\\Noselect)"));
        assert!(written(true, |w| list(w, &gone, "x")).contains("(\\NonExistent)"));
        let child = Attributes { child_info: vec!["SUBSCRIBED"], ..Attributes::default() };
        assert!(written(true, |w| list(w, &child, "x")).ends_with("(\"CHILDINFO\" (\"SUBSCRIBED\"))\r\n"));
        let child = Attributes { child_info: vec!["SUBSCRIBED", "SPECIAL-USE"], ..Attributes::default() };
        assert!(written(true, |w| list(w, &child, "x")).ends_with("(\"SUBSCRIBED\" \"SPECIAL-USE\"))\r\n"));
        let renamed = Attributes { old_name: Some("INBOX/a".into()), ..Attributes::default() };
        assert!(written(true, |w| list(w, &renamed, "b")).ends_with("(\"OLDNAME\" (\"INBOX/a\"))\r\n"));
        let junk = Attributes { special_use: Some(SpecialUse::Junk), ..Attributes::default() };
        assert_eq!(written(false, |w| xlist(w, &junk, "J")), "* XLIST (\\Spam) \"/\" \"J\"\r\n");
    }
}
