//! Names of mailboxes → names on a disk. Pure.

use std::path::PathBuf;

/// The longest name of a file; room for an ending is left.
const LONGEST: usize = 240;

/// The folder of a mailbox in Maildir++: `.Work.2024`, in modified UTF-7 (RFC 3501 §5.1.3), empty for the
/// inbox. A dot in a level would begin another: it becomes `_`.
#[must_use]
pub(crate) fn maildir(mailbox: &str) -> String {
    if mailbox == "INBOX" {
        return String::new();
    }
    let levels = mailbox.split('/').map(|level| modified_utf7(&level.replace('.', "_")));
    shortened(levels.fold(String::new(), |name, level| format!("{name}.{level}")))
}

/// The path of a mailbox in plain folders.
#[must_use]
pub(crate) fn path(mailbox: &str) -> PathBuf {
    let level = |level: &str| {
        let hidden = level.starts_with('.');
        let name: String = if hidden { level.replacen('.', "_", 1) } else { level.to_owned() };
        shortened(name)
    };
    mailbox.split('/').map(level).collect()
}

/// A name that is too long is cut, and made its own by a hash.
fn shortened(name: String) -> String {
    if name.len() <= LONGEST {
        return name;
    }
    let hash = blake3::hash(name.as_bytes()).to_hex();
    let mut end = LONGEST - 17;
    while !name.is_char_boundary(end) {
        end -= 1;
    }
    format!("{}-{}", &name[..end], &hash[..16])
}

fn modified_utf7(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut units: Vec<u16> = Vec::new();
    for c in text.chars() {
        if matches!(c, ' '..='~') {
            shift(&mut units, &mut out);
            out.push(c);
            if c == '&' {
                out.push('-');
            }
        } else {
            units.extend_from_slice(c.encode_utf16(&mut [0; 2]));
        }
    }
    shift(&mut units, &mut out);
    out
}

/// Writes what is not ASCII: base64 of UTF-16 with `,` for `/`, without padding.
fn shift(units: &mut Vec<u16>, out: &mut String) {
    use base64::Engine;
    if units.is_empty() {
        return;
    }
    let bytes: Vec<u8> = units.drain(..).flat_map(u16::to_be_bytes).collect();
    let encoded = base64::engine::general_purpose::STANDARD_NO_PAD.encode(bytes).replace('/', ",");
    out.push('&');
    out.push_str(&encoded);
    out.push('-');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_of_maildir() {
        for (mailbox, wanted) in [
            ("INBOX", ""),
            ("INBOX/Work", ".INBOX.Work"),
            ("Entwürfe", ".Entw&APw-rfe"),
            ("R&D/日本語", ".R&-D.&ZeVnLIqe-"),
            ("台北 😀", ".&U,BTFw- &2D3eAA-"),
            ("example.org", ".example_org"),
        ] {
            assert_eq!(maildir(mailbox), wanted, "{mailbox}");
        }
    }

    #[test]
    fn long_names_stay_different() {
        let (one, other) =
            (maildir(&format!("{}a", "é".repeat(300))), maildir(&format!("{}b", "é".repeat(300))));
        assert!(one != other && one.len() <= LONGEST);
        assert!(path(&"日".repeat(200)).as_os_str().len() <= LONGEST);
    }

    #[test]
    fn plain_folders() {
        assert_eq!(path("Work/a.b"), PathBuf::from("Work/a.b"));
        assert_eq!(path("../.x"), PathBuf::from("_./_x"));
    }
}
