//! Charsets by the names that mail gives them, and text whose charset nobody names, or names wrongly.

use encoding_rs::{CoderResult, Decoder, EUC_KR, Encoding, WINDOWS_1252};

use super::transfer::digit;

/// Bytes of text that are made at a time.
const PIECE: usize = 16 * 1024;

/// What a label says.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Label {
    /// That it is ASCII: then there are no other bytes in it, or the sender's program did not know better.
    Ascii,
    /// Nothing, or that the sender did not know.
    Undeclared,
    Known(&'static Encoding),
    /// RFC 2152. Browsers do not know it, and old mail has it.
    Utf7,
    /// ISO-2022-KR (RFC 1557): EUC-KR in seven bits.
    Korean,
    /// What nobody knows.
    Unknown,
}

/// The one place where labels are read; in any case (RFC 2046 §4.1.2).
fn label(name: &str) -> Label {
    let name = name.trim().trim_matches(['"', '\'']).to_ascii_lowercase();
    let known = match name.as_str() {
        "" | "unknown-8bit" | "x-unknown" | "unknown" | "default" | "_iso-8859-1$esc" => {
            return Label::Undeclared;
        }
        "us-ascii" | "ascii" | "us_ascii" | "usascii" | "x-ascii" | "csascii" | "ansi_x3.4-1968"
        | "ansi_x3.4-1986" | "iso646-us" | "iso_646.irv:1991" | "iso-ir-6" | "us" | "646" | "cp367"
        | "ibm367" => {
            return Label::Ascii;
        }
        "utf-7" | "utf7" | "unicode-1-1-utf-7" | "csunicode11utf7" | "cp65000" => return Label::Utf7,
        "iso-2022-kr" | "csiso2022kr" => return Label::Korean,
        "utf8mb4" | "utf_8" => "utf-8",
        "cp1252" | "ansi" => "windows-1252",
        "cp1251" => "windows-1251",
        "cp932" | "ms932" => "shift_jis",
        "cp936" => "gbk",
        "cp949" => "euc-kr",
        "cp950" => "big5",
        "iso-2022-jp-1" | "iso-2022-jp-2" | "iso-2022-jp-3" => "iso-2022-jp",
        other => other,
    };
    let by_name = |name: &str| Encoding::for_label(name.as_bytes());
    let found = by_name(known).or_else(|| by_name(known.strip_prefix("x-")?));
    found.map_or(Label::Unknown, Label::Known)
}

/// Whether text of this charset can be decoded.
#[must_use]
pub fn charset_known(name: &str) -> bool {
    matches!(label(name), Label::Known(_) | Label::Ascii | Label::Utf7 | Label::Korean)
}

/// Decodes text; `None` if nobody knows the charset. US-ASCII and no charset at all are taken for UTF-8 if it
/// is that, else for windows-1252: what the sender's program most likely meant.
#[must_use]
pub fn decode_charset(bytes: &[u8], name: &str) -> Option<String> {
    match label(name) {
        Label::Ascii | Label::Undeclared => Some(guess(bytes)),
        Label::Known(encoding) => Some(encoding.decode_without_bom_handling(bytes).0.into_owned()),
        Label::Utf7 | Label::Korean => {
            let (mut out, mut decoder) = (String::new(), TextDecoder::new(name));
            decoder.push(bytes, true, &mut |text| out.push_str(text));
            Some(out)
        }
        Label::Unknown => None,
    }
}

/// UTF-8 if it is that, else windows-1252.
#[must_use]
pub fn guess(bytes: &[u8]) -> String {
    match std::str::from_utf8(bytes) {
        Ok(text) => text.to_owned(),
        Err(_) => WINDOWS_1252.decode_without_bom_handling(bytes).0.into_owned(),
    }
}

/// Decodes text as it comes. How it is cut does not matter.
pub(super) enum TextDecoder {
    /// Its charset is known.
    Known(Decoder),
    /// It is not, or is said to be ASCII.
    Guessed(Guess),
    Utf7(Utf7),
    Korean(Korean),
}

impl TextDecoder {
    /// For text of this charset. One that nobody knows is guessed.
    pub(super) fn new(name: &str) -> Self {
        match label(name) {
            Label::Known(encoding) => TextDecoder::Known(encoding.new_decoder_without_bom_handling()),
            Label::Ascii | Label::Undeclared | Label::Unknown => TextDecoder::Guessed(Guess::default()),
            Label::Utf7 => TextDecoder::Utf7(Utf7::default()),
            Label::Korean => TextDecoder::Korean(Korean {
                decoder: EUC_KR.new_decoder_without_bom_handling(),
                shifted: false,
                designator: 0,
            }),
        }
    }

    /// Gives the text of the next bytes to `take`, in pieces; `last` says that no more come.
    pub(super) fn push(&mut self, bytes: &[u8], last: bool, take: &mut dyn FnMut(&str)) {
        match self {
            TextDecoder::Known(decoder) => decode(decoder, bytes, last, take),
            TextDecoder::Guessed(guess) => guess.push(bytes, last, take),
            TextDecoder::Utf7(utf7) => take(&utf7.push(bytes, last)),
            TextDecoder::Korean(korean) => korean.push(bytes, last, take),
        }
    }
}

fn decode(decoder: &mut Decoder, bytes: &[u8], last: bool, take: &mut dyn FnMut(&str)) {
    let (mut rest, mut text) = (bytes, String::with_capacity(PIECE));
    loop {
        let (result, read, _) = decoder.decode_to_string(rest, &mut text, last);
        rest = rest.get(read..).unwrap_or_default();
        take(&text);
        if result == CoderResult::InputEmpty {
            break;
        }
        text.clear();
        text.reserve(PIECE);
    }
}

/// Text between `+` and `-` is base64 of UTF-16 (RFC 2152).
#[derive(Default)]
pub(super) struct Utf7 {
    /// The bits that are no whole unit yet, and how many; within base64.
    bits: Option<(u32, u32)>,
    /// Nothing has come since the `+`.
    fresh: bool,
    /// The first half of a character.
    high: Option<u16>,
}

impl Utf7 {
    fn push(&mut self, bytes: &[u8], last: bool) -> String {
        let mut out = String::with_capacity(bytes.len());
        for byte in bytes {
            match (self.bits, digit(*byte)) {
                (Some((bits, count)), Some(digit)) => {
                    let (bits, count) = (bits << 6 | u32::from(digit), count + 6);
                    self.fresh = false;
                    if count >= 16 {
                        self.unit((bits >> (count - 16) & 0xffff) as u16, &mut out);
                    }
                    self.bits = Some((bits & 0xffff, if count >= 16 { count - 16 } else { count }));
                }
                (Some(_), None) => {
                    let fresh = std::mem::take(&mut self.fresh);
                    self.end(&mut out);
                    match byte {
                        b'-' if fresh => out.push('+'),
                        b'-' => {}
                        other => out.push(char::from(*other)),
                    }
                }
                (None, _) if *byte == b'+' => (self.bits, self.fresh) = (Some((0, 0)), true),
                // What is no ASCII should not be there.
                (None, _) => out.push(char::from(*byte)),
            }
        }
        if last {
            self.end(&mut out);
        }
        out
    }

    fn unit(&mut self, unit: u16, out: &mut String) {
        let high = self.high.take();
        for decoded in char::decode_utf16(high.into_iter().chain([unit])) {
            match decoded {
                Ok(c) => out.push(c),
                Err(error) if error.unpaired_surrogate() == unit && (0xd800..0xdc00).contains(&unit) => {
                    self.high = Some(unit);
                }
                Err(_) => out.push(char::REPLACEMENT_CHARACTER),
            }
        }
    }

    fn end(&mut self, out: &mut String) {
        self.bits = None;
        if self.high.take().is_some() {
            out.push(char::REPLACEMENT_CHARACTER);
        }
    }
}

/// Between SO and SI each byte is one of EUC-KR without its high bit.
pub(super) struct Korean {
    decoder: Decoder,
    shifted: bool,
    /// How much of the designator was seen.
    designator: usize,
}

/// It stands once before the text (RFC 1557).
const DESIGNATOR: &[u8] = b"\x1b$)C";

impl Korean {
    fn push(&mut self, bytes: &[u8], last: bool, take: &mut dyn FnMut(&str)) {
        let mut eight = Vec::with_capacity(bytes.len());
        for byte in bytes {
            if DESIGNATOR.get(self.designator) == Some(byte) {
                self.designator = (self.designator + 1) % DESIGNATOR.len();
                continue;
            }
            eight.extend_from_slice(self.no_designator());
            match byte {
                0x0e => self.shifted = true,
                0x0f => self.shifted = false,
                // Each line begins in ASCII.
                b'\n' => {
                    self.shifted = false;
                    eight.push(b'\n');
                }
                0x21..=0x7e if self.shifted => eight.push(byte | 0x80),
                0x1b => self.designator = 1,
                other => eight.push(*other),
            }
        }
        if last {
            eight.extend_from_slice(self.no_designator());
        }
        decode(&mut self.decoder, &eight, last, take);
    }

    /// What looked like the beginning of one, and was none.
    fn no_designator(&mut self) -> &'static [u8] {
        DESIGNATOR.get(..std::mem::take(&mut self.designator)).unwrap_or_default()
    }
}

/// UTF-8 as long as it is that; from the first byte that is not on windows-1252, unless UTF-8 was seen before: then
/// only what is none.
#[derive(Default)]
pub(super) struct Guess {
    seen_utf8: bool,
    latin: bool,
    /// The beginning of a character.
    held: Vec<u8>,
}

impl Guess {
    fn push(&mut self, bytes: &[u8], last: bool, take: &mut dyn FnMut(&str)) {
        let mut joined = std::mem::take(&mut self.held);
        let mut rest = bytes;
        if !joined.is_empty() {
            joined.extend_from_slice(bytes);
            rest = &joined;
        }
        let latin = |bytes: &[u8], take: &mut dyn FnMut(&str)| {
            take(&WINDOWS_1252.decode_without_bom_handling(bytes).0);
        };
        while !rest.is_empty() && !self.latin {
            let Err(error) = std::str::from_utf8(rest) else { break };
            let (good, bad) = rest.split_at(error.valid_up_to());
            self.seen_utf8 |= !good.is_ascii();
            take(&String::from_utf8_lossy(good));
            rest = bad;
            match error.error_len() {
                None if !last => {
                    self.held = bad.to_vec();
                    return;
                }
                _ if !self.seen_utf8 => self.latin = true,
                length => {
                    let (wrong, after) = bad.split_at(length.unwrap_or(bad.len()));
                    latin(wrong, take);
                    rest = after;
                }
            }
        }
        if self.latin {
            latin(rest, take);
        } else {
            self.seen_utf8 |= !rest.is_ascii();
            take(&String::from_utf8_lossy(rest));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn charsets() {
        assert_eq!(decode_charset(b"M\xfcller", "ISO-8859-1").as_deref(), Some("Müller"));
        assert_eq!(decode_charset(b"\x1b$B8+\x1b(B", "iso-2022-jp").as_deref(), Some("見"));
        for ascii in ["us-ascii", "US-ASCII", " Ascii", "ANSI_X3.4-1968", "iso646-us", "646", ""] {
            assert_eq!(decode_charset("Müller".as_bytes(), ascii).as_deref(), Some("Müller"), "{ascii}");
            assert_eq!(decode_charset(b"M\xfcller", ascii).as_deref(), Some("Müller"), "{ascii}");
        }
        assert_eq!(decode_charset(b"x", "klingon"), None);
        for known in ["UTF-8", "x-sjis", "CP1252", "US-ASCII"] {
            assert!(charset_known(known), "{known}");
        }
        assert!(charset_known("utf-7") && !charset_known("") && !charset_known("unknown-8bit"));
    }

    fn streamed(charset: &str, bytes: &[u8]) -> String {
        let by = |piece: usize| {
            let (mut out, mut decoder) = (String::new(), TextDecoder::new(charset));
            bytes.chunks(piece).for_each(|piece| decoder.push(piece, false, &mut |text| out.push_str(text)));
            decoder.push(&[], true, &mut |text| out.push_str(text));
            out
        };
        let whole = by(bytes.len().max(1));
        (1..9).for_each(|piece| assert_eq!(by(piece), whole, "by {piece}: {bytes:?}"));
        whole
    }

    #[test]
    fn charsets_that_browsers_do_not_know() {
        for (text, wanted) in [
            (&b"Hi Mom -+Jjo--!"[..], "Hi Mom -☺-!"),
            (b"A+ImIDkQ.", "A≢Α."),
            (b"+ZeVnLIqe-", "日本語"),
            (b"1 +- 1 +AD0- 2", "1 + 1 = 2"),
            (b"+2D3eAA-", "😀"),
            (b"+2D0- +3gA- +2D0", "\u{fffd} \u{fffd} \u{fffd}"),
            (b"a+", "a"),
        ] {
            assert_eq!(streamed("UTF-7", text), wanted);
            assert_eq!(decode_charset(text, "unicode-1-1-utf-7").as_deref(), Some(wanted));
        }
        let text = b"\x1b$)CHello \x0eGQ1[\x0f and\r\n\x0eGQ\nascii \x1b$x";
        assert_eq!(streamed("iso-2022-kr", text), "Hello 한글 and\r\n한\nascii \x1b$x");
    }

    #[test]
    fn text_that_says_nothing_of_its_charset() {
        for name in ["", "US-ASCII", "us-ascii", "klingon", "unknown-8bit"] {
            assert_eq!(streamed(name, "Grüße, 日本 😀".as_bytes()), "Grüße, 日本 😀");
            assert_eq!(streamed(name, b"Gr\xfc\xdfe f\xfcr \x93alle\x94"), "Grüße für “alle”");
            // What looks like UTF-8 after the first byte that is none is not.
            assert_eq!(streamed(name, b"\xe4 \xc3\xa4"), "ä Ã¤");
            // A quotation of other text in UTF-8.
            assert_eq!(streamed(name, b"\xc3\xa4 \xe4 \xc3\xa4"), "ä ä ä");
            assert_eq!(streamed(name, b"cut \xc3\xa4 \xe6\x97"), "cut ä æ—");
            assert_eq!(streamed(name, b"cut \xe6"), "cut æ");
            assert_eq!(streamed(name, b""), "");
        }
        assert_eq!(streamed("utf-8", b"\xe4"), "\u{fffd}");
        assert_eq!(streamed("ISO-8859-1", b"\xe4"), "ä");
    }
}
