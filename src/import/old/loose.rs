//! Files that belong to no Maildir: what each is, by its name and by how it begins. Pure.

use std::path::Path;

use super::mbox;
use crate::import::disk::recognise::{Likeness, likeness};

/// What a file is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Loose {
    /// Messages one behind the other.
    Mbox,
    /// A message.
    Message,
    /// A message as Apple Mail keeps it.
    Emlx,
    /// Mail in a form that is not read here, and what its owner can do.
    Foreign(&'static str),
    /// A message by its contents, under a name that does not say so.
    Unnamed,
    /// Nothing that is known.
    Unknown,
}

/// Forms of other programs by how their files begin.
const STARTS: [(&[u8], &str); 3] = [
    (b"!BDN", "Outlook's store (.pst): make mboxes of it first (readpst, of the package pst-utils)"),
    (b"\xcf\xad\x12\xfe", "a folder of Outlook Express (.dbx): make an mbox of it first (undbx)"),
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "a message of Outlook (.msg): make .eml of it first (msgconvert)"),
];
const OLM: &str = "an archive of Outlook for Mac (.olm): open it there and export mboxes";
const TBB: &str = "a folder of The Bat! (.tbb): export it there as an mbox";
const DBOX: &str =
    "Dovecot's own form: let Dovecot write a Maildir of it, as \"Coming from Dovecot\" in the README tells";
/// Why a message is not taken that nothing but its contents shows to be one.
pub(super) const UNNAMED: &str =
    "looks like a message, and its name does not say so: call it .eml, or import it by itself";

/// What the file at `path` is, that begins so; `named`: somebody said that it is mail.
pub(super) fn kind(path: &Path, start: &[u8], named: bool) -> Loose {
    if let Some(why) = foreign(path, start) {
        return Loose::Foreign(why);
    }
    let like = likeness(start);
    if is_emlx(path) && emlx_length(start).is_some() {
        Loose::Emlx
    } else if is_eml(path) || number(path).is_some() && like == Likeness::Mail && !mbox::is_mbox(start) {
        if like == Likeness::Binary || start.is_empty() { Loose::Unknown } else { Loose::Message }
    } else if mbox::is_mbox(start) || is_called_mbox(path) && like == Likeness::Mail {
        Loose::Mbox
    } else if like != Likeness::Mail {
        Loose::Unknown
    } else if named {
        Loose::Message
    } else {
        Loose::Unnamed
    }
}

/// Whether the lines of a text that begins so end in CR alone.
pub(super) fn has_cr_lines(start: &[u8]) -> bool {
    start.contains(&b'\r') && !start.contains(&b'\n') && !start.contains(&0)
}

fn foreign(path: &Path, start: &[u8]) -> Option<&'static str> {
    let by_start = STARTS.iter().find(|(magic, _)| start.starts_with(magic)).map(|(_, why)| *why);
    by_start.or_else(|| {
        if has_ending(path, "olm") {
            Some(OLM)
        } else if has_ending(path, "tbb") {
            Some(TBB)
        } else if is_dbox(path) {
            Some(DBOX)
        } else {
            None
        }
    })
}

/// `dbox-Mails/u.17` of sdbox, `storage/m.17` of mdbox.
fn is_dbox(path: &Path) -> bool {
    let parent = path.parent().and_then(Path::file_name).and_then(|name| name.to_str());
    let numbered = |prefix: &str| {
        let rest = path.file_name().and_then(|name| name.to_str()).and_then(|name| name.strip_prefix(prefix));
        rest.is_some_and(|rest| !rest.is_empty() && rest.bytes().all(|byte| byte.is_ascii_digit()))
    };
    parent == Some("dbox-Mails") && numbered("u.") || parent == Some("storage") && numbered("m.")
}

/// Whether a file is called so, in any case, and not by this alone.
pub(super) fn has_ending(path: &Path, ending: &str) -> bool {
    path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case(ending))
}

/// What mail programs call a file of messages.
pub(super) const MBOX_ENDINGS: [&str; 3] = ["mbox", "mbx", "mboxrd"];

fn is_called_mbox(path: &Path) -> bool {
    MBOX_ENDINGS.iter().any(|ending| has_ending(path, ending))
}

pub(super) fn is_eml(path: &Path) -> bool {
    has_ending(path, "eml")
}

fn is_emlx(path: &Path) -> bool {
    has_ending(path, "emlx")
}

/// The number of a message in a folder of MH: its whole name.
pub(super) fn number(path: &Path) -> Option<u32> {
    let name = path.file_name()?.to_str()?;
    name.bytes().all(|byte| byte.is_ascii_digit()).then(|| name.parse().ok()).flatten()
}

/// How long the message of an .emlx is, and the length of the line that tells it.
pub(super) fn emlx_length(start: &[u8]) -> Option<(u64, usize)> {
    let end = start.iter().take(32).position(|byte| *byte == b'\n')?;
    let text = std::str::from_utf8(start.get(..end)?).ok()?;
    Some((text.trim_ascii().parse().ok()?, end + 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn by_name_and_start() {
        let mail = "Subject: x\n\nx\n";
        let mbox = "From a@b Tue Jan  9 14:00:00 2024\nSubject: x\n\nx\n";
        for (path, start, wanted) in [
            ("a.eml", mail, Loose::Message),
            ("a.eml", "no field\n", Loose::Message),
            ("a.eml", "\0\0", Loose::Unknown),
            ("12", mail, Loose::Message),
            ("12", "no field\n", Loose::Unknown),
            ("12", mbox, Loose::Mbox),
            ("Sent", mbox, Loose::Mbox),
            ("Sent.mbox", mail, Loose::Mbox),
            ("Sent.mbox", "nothing\n", Loose::Unknown),
            ("1.emlx", "14\nSubject: x\n\nx\n<?xml", Loose::Emlx),
            ("notes", mail, Loose::Unnamed),
            ("notes", "Milk: two bottles\n", Loose::Unknown),
            ("Old/dbox-Mails/u.12", "2 M1e C3\n", Loose::Foreign(DBOX)),
            ("mdbox/storage/m.1", "2 M1e C3\n", Loose::Foreign(DBOX)),
            ("storage/m.x", "", Loose::Unknown),
            ("archive.pst", "!BDN\0\0", Loose::Foreign(STARTS[0].1)),
            ("all.OLM", "PK", Loose::Foreign(OLM)),
            ("", "", Loose::Unknown),
        ] {
            assert_eq!(kind(Path::new(path), start.as_bytes(), false), wanted, "{path}");
        }
        assert_eq!(kind(Path::new("notes"), mail.as_bytes(), true), Loose::Message);
        assert_eq!(kind(Path::new("notes"), b"Milk: two bottles\n", true), Loose::Unknown);
    }
}
