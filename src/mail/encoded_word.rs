//! Encoded words of header fields (RFC 2047, RFC 2231 §5).

use base64::Engine;

use super::charset::{decode_charset, guess};
use super::transfer::{Decoder, Encoding};

/// A longer word is text.
const LONGEST: usize = 2_000;

/// An unfolded value as text: encoded words decoded, other bytes guessed.
#[must_use]
pub fn decode(value: &[u8]) -> String {
    let mut out = String::with_capacity(value.len());
    // Bytes of words of one charset in a row: a character may be split between them.
    let mut run: Option<(String, Vec<u8>)> = None;
    let mut rest = value;
    let mut plain = 0;
    while plain < rest.len() {
        let Some((word, length)) = word_at(&rest[plain..]) else {
            plain += 1;
            continue;
        };
        let between = &rest[..plain];
        if run.is_none() || !between.trim_ascii().is_empty() {
            flush(&mut out, &mut run);
            out.push_str(&guess(between));
        }
        match &mut run {
            Some((charset, bytes)) if charset.eq_ignore_ascii_case(&word.charset) && !has_shifts(charset) => {
                bytes.extend(word.bytes);
            }
            _ => {
                flush(&mut out, &mut run);
                run = Some((word.charset, word.bytes));
            }
        }
        rest = &rest[plain + length..];
        plain = 0;
    }
    flush(&mut out, &mut run);
    out.push_str(&guess(rest));
    out
}

/// Whether words of this charset begin anew each, with what they shift to: put together they would be none.
fn has_shifts(charset: &str) -> bool {
    ["iso-2022-", "utf-7", "hz-"]
        .iter()
        .any(|start| charset.get(..start.len()).is_some_and(|begin| begin.eq_ignore_ascii_case(start)))
}

fn flush(out: &mut String, run: &mut Option<(String, Vec<u8>)>) {
    if let Some((charset, bytes)) = run.take() {
        out.push_str(&decode_charset(&bytes, &charset).unwrap_or_else(|| guess(&bytes)));
    }
}

struct Word {
    charset: String,
    bytes: Vec<u8>,
}

/// An encoded word at the start of `bytes`, and its length.
fn word_at(bytes: &[u8]) -> Option<(Word, usize)> {
    let inner = bytes.strip_prefix(b"=?")?;
    let inner = &inner[..inner.len().min(LONGEST)];
    let first = inner.iter().position(|byte| *byte == b'?')?;
    let encoding = *inner.get(first + 1)?;
    if inner.get(first + 2) != Some(&b'?') {
        return None;
    }
    let text = &inner[first + 3..];
    let end = text.windows(2).position(|two| two == b"?=")?;
    let text = &text[..end];
    if text.contains(&b'?') || inner[..first].iter().any(|byte| !byte.is_ascii_graphic()) {
        return None;
    }
    let bytes = match encoding {
        b'B' | b'b' => base64(text),
        b'Q' | b'q' => quoted(text),
        _ => return None,
    };
    let charset = String::from_utf8_lossy(&inner[..first]).into_owned();
    // RFC 2231: a language may follow the charset.
    let charset = charset.split('*').next().unwrap_or_default().to_owned();
    Some((Word { charset, bytes }, 2 + first + 3 + end + 2))
}

fn base64(text: &[u8]) -> Vec<u8> {
    if let Ok(bytes) = base64::engine::general_purpose::STANDARD.decode(text) {
        return bytes;
    }
    let (mut out, mut decoder) = (Vec::new(), Decoder::new(Encoding::Base64));
    let _ = decoder.push(text, &mut out);
    let _ = decoder.finish(&mut out);
    out
}

/// The Q encoding: `_` is a space (RFC 2047 §4.2).
fn quoted(text: &[u8]) -> Vec<u8> {
    let spaced: Vec<u8> =
        text.iter().flat_map(|byte| if *byte == b'_' { b"=20".to_vec() } else { vec![*byte] }).collect();
    let (mut out, mut decoder) = (Vec::new(), Decoder::new(Encoding::QuotedPrintable));
    let _ = decoder.push(&spaced, &mut out);
    let _ = decoder.finish(&mut out);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn examples_of_the_rfc() {
        for (value, wanted) in [
            ("=?ISO-8859-1?Q?a?=", "a"),
            ("=?ISO-8859-1?Q?a?= b", "a b"),
            ("=?ISO-8859-1?Q?a?= =?ISO-8859-1?Q?b?=", "ab"),
            ("=?ISO-8859-1?Q?a?=  =?ISO-8859-1?Q?b?=", "ab"),
            ("=?ISO-8859-1?Q?a_b?=", "a b"),
            ("=?ISO-8859-1?Q?a?= =?ISO-8859-2?Q?_b?=", "a b"),
            ("=?ISO-8859-1?Q?Keld_J=F8rn_Simonsen?= <keld@dkuug.dk>", "Keld Jørn Simonsen <keld@dkuug.dk>"),
            ("=?US-ASCII*EN?Q?Keith_Moore?=", "Keith Moore"),
        ] {
            assert_eq!(decode(value.as_bytes()), wanted, "{value}");
        }
    }

    #[test]
    fn what_programs_write() {
        // A character split between two words.
        assert_eq!(decode(b"=?utf-8?B?5pel5pw=?= =?utf-8?B?rA==?="), "日本");
        assert_eq!(decode(b"x=?utf-8?q?=C3=BC?=y"), "xüy");
        // Two whole words, each of which shifts and comes back.
        let word = "=?ISO-2022-JP?B?GyRCRnxLXBsoQg==?=";
        assert_eq!(decode(format!("{word} {word}").as_bytes()), "日本日本");
        assert_eq!(decode(b"=?utf-7?Q?+ZeVnLA-?= =?utf-7?Q?+ZeVnLA-?="), "日本日本");
        assert_eq!(decode(b"=?klingon?q?abc?="), "abc");
        assert_eq!(decode("Größe".as_bytes()), "Größe");
        assert_eq!(decode(b"Gr\xf6\xdfe"), "Größe");
        for broken in ["=?", "=?utf-8?", "=?utf-8?q?abc", "=?utf-8?x?abc?=", "=??="] {
            assert_eq!(decode(broken.as_bytes()), broken);
        }
        assert_eq!(decode(b"=?utf-8?Q?ends in space ?="), "ends in space");
    }
}
