//! Names of folders on disk → text. Pure.
//!
//! On disk a name is bytes: modified UTF-7 as IMAP had it (RFC 3501 §5.1.3), UTF-8, or whatever a program
//! of the nineties wrote. A mailbox name is UTF-8 without control characters, `%`, `*` and `/` inside a
//! level. What does not fit is written as `=XX`, byte by byte in hexadecimal: `%`, the usual mark for
//! this, is what mailbox names must not hold.

use crate::mail::transfer::digit;

/// One level of a folder's name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Level {
    /// As text that a mailbox name may hold.
    pub text: String,
    /// Whether bytes or characters had to be written as `=XX`.
    pub escaped: bool,
}

/// Reads one level. `R&D` is no modified UTF-7 and stays as it is; `Entw&APw-rfe` becomes `Entwürfe`.
#[must_use]
pub fn decode(bytes: &[u8]) -> Level {
    let mut level = Level { text: String::with_capacity(bytes.len()), escaped: false };
    if let Some(text) = modified_utf7(bytes) {
        level.push(&text);
        return level;
    }
    for chunk in bytes.utf8_chunks() {
        level.push(chunk.valid());
        level.escape(chunk.invalid());
    }
    level
}

/// Text that is no name on a disk: only what a mailbox name must not hold is escaped.
#[must_use]
pub fn plain(text: &str) -> Level {
    let mut level = Level { text: String::with_capacity(text.len()), escaped: false };
    level.push(text);
    level
}

impl Level {
    fn push(&mut self, text: &str) {
        for c in text.chars() {
            if fits(c) {
                self.text.push(c);
            } else {
                self.escape(c.encode_utf8(&mut [0; 4]).as_bytes());
            }
        }
    }

    fn escape(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.text.push_str(&format!("={byte:02X}"));
            self.escaped = true;
        }
    }
}

/// The same characters that `MailboxName` refuses, and the separator.
fn fits(c: char) -> bool {
    !c.is_control() && !matches!(c, '%' | '*' | '/' | '\u{2028}' | '\u{2029}' | '\u{feff}')
}

/// `None` if it is not modified UTF-7, strictly: then the bytes mean themselves.
fn modified_utf7(bytes: &[u8]) -> Option<String> {
    let mut text = String::with_capacity(bytes.len());
    let mut rest = bytes;
    while let Some((first, after)) = rest.split_first() {
        rest = after;
        match first {
            b'&' => {
                let end = rest.iter().position(|byte| *byte == b'-')?;
                let (shifted, after) = rest.split_at(end);
                if shifted.is_empty() {
                    text.push('&')
                } else {
                    shift(shifted, &mut text)?
                }
                rest = after.get(1..)?;
            }
            0x20..=0x7e => text.push(char::from(*first)),
            _ => return None,
        }
    }
    Some(text)
}

/// Base64 (with `,` for `/`, no padding) of UTF-16.
fn shift(encoded: &[u8], text: &mut String) -> Option<()> {
    let (mut bits, mut count) = (0_u32, 0);
    let mut units = Vec::with_capacity(encoded.len() / 2);
    for byte in encoded {
        let value = match byte {
            b',' => 63,
            b'/' => return None,
            byte => digit(*byte)?,
        };
        bits = (bits << 6 | u32::from(value)) & 0x3f_ffff;
        count += 6;
        if count >= 16 {
            count -= 16;
            units.push((bits >> count & 0xffff) as u16);
        }
    }
    // What is left over is padding: less than a digit, and zero.
    if count >= 6 || bits & ((1 << count) - 1) != 0 || units.is_empty() {
        return None;
    }
    for c in char::decode_utf16(units) {
        // Printable ASCII means itself and is never encoded (RFC 3501 §5.1.3).
        text.push(c.ok().filter(|c| !matches!(c, ' '..='~'))?);
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(bytes: &[u8]) -> String {
        decode(bytes).text
    }

    #[test]
    fn modified_utf7_of_the_rfc_and_of_real_folders() {
        for (bytes, wanted) in [
            ("Sent", "Sent"),
            ("Entw&APw-rfe", "Entwürfe"),
            ("&ZeVnLIqe-", "日本語"),
            ("~peter", "~peter"),
            ("&U,BTFw-", "台北"),
            ("R&-D", "R&D"),
            ("Gel&APY-schte Elemente", "Gelöschte Elemente"),
            ("&2D3eAA-", "😀"),
            ("&BB4EQgQ,BEAEMAQyBDsENQQ9BD0ESwQ1-", "Отправленные"),
        ] {
            assert_eq!(decode(bytes.as_bytes()), Level { text: wanted.into(), escaped: false }, "{bytes}");
        }
    }

    #[test]
    fn what_is_not_modified_utf7_means_itself() {
        for name in ["R&D", "AT&T-Mail", "a&", "&AEE-", "&2D0-", "&3gA-", "&AP-", "&AOl-", "Entwürfe", "a=b"]
        {
            assert_eq!(decode(name.as_bytes()), Level { text: name.into(), escaped: false });
        }
    }

    #[test]
    fn what_no_mailbox_may_hold_is_escaped() {
        assert_eq!(decode(b"Entw\xfcrfe"), Level { text: "Entw=FCrfe".into(), escaped: true });
        assert_eq!(text(b"100%"), "100=25");
        assert_eq!(text(b"a*b\x01"), "a=2Ab=01");
        assert_eq!(text(b"\xff\xfe"), "=FF=FE");
        assert_eq!(text("a\u{feff}".as_bytes()), "a=EF=BB=BF");
    }

    #[test]
    fn every_result_is_a_level_of_a_mailbox_name() {
        let mut seed = 11_u32;
        for _ in 0..5_000 {
            let bytes: Vec<u8> = (0..10)
                .map(|_| {
                    seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                    let random = (seed >> 16) as u8;
                    if random < 128 { b"&-,+AZaz09%*/.\x00\x7f"[usize::from(random) % 16] } else { random }
                })
                .collect();
            for end in 1..=bytes.len() {
                let level = text(&bytes[..end]);
                assert!(crate::model::MailboxName::new(&level).is_ok(), "{level:?}");
            }
        }
    }
}
