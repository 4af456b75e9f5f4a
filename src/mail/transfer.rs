//! Content-Transfer-Encodings (RFC 2045 §6), decoded as they come and as leniently as mail needs it.

use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD;

/// How a body is encoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    /// 7bit, 8bit, binary: not at all.
    Identity,
    /// base64
    Base64,
    /// quoted-printable
    QuotedPrintable,
    /// Something that nobody defined.
    Unknown,
}

impl Encoding {
    /// By its name, in any case.
    #[must_use]
    pub fn parse(name: &str) -> Encoding {
        match name.trim().to_ascii_lowercase().as_str() {
            "" | "7bit" | "8bit" | "binary" | "7-bit" | "8-bit" => Encoding::Identity,
            "base64" => Encoding::Base64,
            "quoted-printable" => Encoding::QuotedPrintable,
            _ => Encoding::Unknown,
        }
    }
}

/// The encoding is not known (RFC 9051, UNKNOWN-CTE).
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the content's transfer encoding is not known")]
pub struct Undecodable;

/// Decodes a body piece by piece.
#[derive(Debug)]
pub struct Decoder {
    encoding: Encoding,
    /// Base64 digits that are no whole group yet; or the end of a quoted-printable line whose meaning is not
    /// known yet.
    held: Vec<u8>,
    /// Base64 is over: its padding was there (RFC 2045 §6.8). What a mailing list puts below it is no part of it.
    padded: bool,
    /// Line ends are made CRLF: whether the last decoded byte was CR.
    after_cr: Option<bool>,
}

/// Digits are decoded in groups of four; this many at a time.
const GROUPS: usize = 4 * 1024;
/// White space at a line's end that is held back before it is taken for text.
const MOST_SPACE: usize = 1_000;

impl Decoder {
    /// For this encoding.
    #[must_use]
    pub fn new(encoding: Encoding) -> Self {
        Decoder { encoding, held: Vec::new(), padded: false, after_cr: None }
    }

    /// For this encoding; with `lines`, of text whose lines are to end with CRLF once it is decoded.
    #[must_use]
    pub fn with_lines(encoding: Encoding, lines: bool) -> Self {
        Decoder { after_cr: lines.then_some(false), ..Decoder::new(encoding) }
    }

    /// Decodes the next bytes to the end of `out`.
    ///
    /// # Errors
    /// If the encoding is unknown.
    pub fn push(&mut self, input: &[u8], out: &mut Vec<u8>) -> Result<(), Undecodable> {
        let from = out.len();
        self.decode(input, out)?;
        self.end_lines(out, from);
        Ok(())
    }

    /// Makes of each LF alone in what was decoded last a CRLF.
    fn end_lines(&mut self, out: &mut Vec<u8>, from: usize) {
        let Some(after_cr) = &mut self.after_cr else { return };
        for byte in out.split_off(from) {
            if byte == b'\n' && !*after_cr {
                out.push(b'\r');
            }
            *after_cr = byte == b'\r';
            out.push(byte);
        }
    }

    fn decode(&mut self, input: &[u8], out: &mut Vec<u8>) -> Result<(), Undecodable> {
        match self.encoding {
            Encoding::Identity => out.extend_from_slice(input),
            Encoding::Base64 => self.base64(input, out),
            Encoding::QuotedPrintable => self.quoted(input, out),
            Encoding::Unknown => return Err(Undecodable),
        }
        Ok(())
    }

    /// Decodes what is left.
    ///
    /// # Errors
    /// If the encoding is unknown.
    pub fn finish(mut self, out: &mut Vec<u8>) -> Result<(), Undecodable> {
        let from = out.len();
        match self.encoding {
            Encoding::Identity => {}
            Encoding::Base64 => self.flush(out),
            Encoding::QuotedPrintable => {
                // White space at the very end is no text; a broken escape is.
                let held = std::mem::take(&mut self.held);
                if held.first() == Some(&b'=') && held.len() > 1 {
                    out.extend_from_slice(&held);
                }
            }
            Encoding::Unknown => return Err(Undecodable),
        }
        self.end_lines(out, from);
        Ok(())
    }

    fn base64(&mut self, input: &[u8], out: &mut Vec<u8>) {
        for byte in input {
            if self.padded {
                break;
            }
            match byte {
                b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'+' | b'/' => {
                    self.held.push(*byte);
                    if self.held.len() == GROUPS {
                        self.flush(out);
                    }
                }
                b'=' => {
                    self.padded = !self.held.len().is_multiple_of(4);
                    self.flush(out);
                }
                _ => {}
            }
        }
        let whole = self.held.len() / 4 * 4;
        let rest = self.held.split_off(whole);
        self.flush(out);
        self.held = rest;
    }

    /// Decodes the digits that are held; a single one left over says nothing.
    fn flush(&mut self, out: &mut Vec<u8>) {
        if self.held.len() % 4 == 1 {
            self.held.pop();
        }
        // The bits left over in the last digit need not be zero.
        let spare = match self.held.len() % 4 {
            2 => 4,
            3 => 2,
            _ => 0,
        };
        if spare > 0
            && let Some(last) = self.held.last_mut()
        {
            *last = clear_low_bits(*last, spare);
        }
        // Nothing but digits is held, so that this cannot fail.
        let _ = STANDARD_NO_PAD.decode_vec(&self.held, out);
        self.held.clear();
    }

    fn quoted(&mut self, input: &[u8], out: &mut Vec<u8>) {
        for byte in input {
            self.quoted_byte(*byte, out);
        }
    }

    fn quoted_byte(&mut self, byte: u8, out: &mut Vec<u8>) {
        match (self.held.as_slice(), byte) {
            // `=` and white space up to the line's end: a soft break.
            ([b'=', ..], b'\n') => self.held.clear(),
            ([b'='], b' ' | b'\t' | b'\r') | ([b'=', b' ' | b'\t' | b'\r', ..], b' ' | b'\t' | b'\r')
                if self.held.len() < MOST_SPACE =>
            {
                self.held.push(byte);
            }
            ([b'='], _) if byte.is_ascii_hexdigit() => self.held.push(byte),
            ([b'=', high], _) if high.is_ascii_hexdigit() && byte.is_ascii_hexdigit() => {
                out.push(hex(*high) << 4 | hex(byte));
                self.held.clear();
            }
            // A broken escape is text.
            ([b'=', ..], _) => {
                out.append(&mut self.held);
                self.quoted_byte(byte, out);
            }
            // White space at a line's end was added on the way.
            ([], b' ' | b'\t' | b'\r') => self.held.push(byte),
            ([_, ..], b' ' | b'\t' | b'\r') if self.held.len() < MOST_SPACE => self.held.push(byte),
            ([_, ..], b'\n') => {
                let cr = self.held.last() == Some(&b'\r');
                self.held.clear();
                out.extend_from_slice(if cr { b"\r\n" } else { b"\n" });
            }
            ([_, ..], _) => {
                out.append(&mut self.held);
                self.quoted_byte(byte, out);
            }
            ([], b'=') => self.held.push(byte),
            ([], _) => out.push(byte),
        }
    }
}

fn hex(digit: u8) -> u8 {
    match digit {
        b'0'..=b'9' => digit - b'0',
        b'a'..=b'f' => digit - b'a' + 10,
        _ => digit.wrapping_sub(b'A').wrapping_add(10) & 15,
    }
}

/// The value of a digit of base64 (RFC 4648 §4).
#[must_use]
pub fn digit(byte: u8) -> Option<u8> {
    match byte {
        b'A'..=b'Z' => Some(byte - b'A'),
        b'a'..=b'z' => Some(byte - b'a' + 26),
        b'0'..=b'9' => Some(byte - b'0' + 52),
        b'+' => Some(62),
        b'/' => Some(63),
        _ => None,
    }
}

const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

fn clear_low_bits(byte: u8, count: u32) -> u8 {
    let value = digit(byte).unwrap_or(0);
    DIGITS[usize::from(value >> count << count)]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decode(encoding: Encoding, text: &[u8]) -> Vec<u8> {
        let mut whole = Vec::new();
        let mut decoder = Decoder::new(encoding);
        decoder.push(text, &mut whole).unwrap();
        decoder.finish(&mut whole).unwrap();
        for chunk in 1..text.len().min(9) {
            let (mut out, mut decoder) = (Vec::new(), Decoder::new(encoding));
            text.chunks(chunk).for_each(|piece| decoder.push(piece, &mut out).unwrap());
            decoder.finish(&mut out).unwrap();
            assert_eq!(out, whole, "chunks of {chunk}");
        }
        whole
    }

    #[test]
    fn base64() {
        for (text, wanted) in [
            ("aGVsbG8gd29ybGQ=", "hello world"),
            ("aGVs\r\nbG8g d29y!bGQ", "hello world"),
            ("aGVsbG8=aGVsbG8=", "hello"),
            ("aGVsbG8=\r\n-- \r\nTo unsubscribe, write\r\n", "hello"),
            ("=\r\naGVsbG8=", "hello"),
            ("aGVsbG9=", "hello"),
            ("aGVsbG8gd29ybGQ===\r\n", "hello world"),
            ("a", ""),
            ("", ""),
        ] {
            assert_eq!(decode(Encoding::Base64, text.as_bytes()), wanted.as_bytes(), "{text}");
        }
        let long = "QUFB".repeat(5_000);
        assert_eq!(decode(Encoding::Base64, long.as_bytes()), "AAA".repeat(5_000).as_bytes());
    }

    #[test]
    fn quoted_printable() {
        for (text, wanted) in [
            ("Now's the time =\r\nfor all folk", "Now's the time for all folk"),
            ("M=C3=BCller=3d", "Müller="),
            ("trailing \t \r\nnext", "trailing\r\nnext"),
            ("soft =  \r\nnext", "soft next"),
            ("a=b c=XY d=4", "a=b c=XY d=4"),
            ("bare=\nlf\nend=", "barelf\nend"),
            ("==41", "=A"),
            ("a\rb", "a\rb"),
        ] {
            let found = decode(Encoding::QuotedPrintable, text.as_bytes());
            assert_eq!(String::from_utf8_lossy(&found), wanted, "{text}");
        }
    }

    #[test]
    fn lines_end_with_crlf() {
        let text = b"a\nb\r\nc\r\rd\n\n\r";
        let encoded = base64::engine::general_purpose::STANDARD.encode(text);
        for (encoding, body) in [
            (Encoding::Base64, encoded.as_bytes()),
            (Encoding::Identity, text),
            (Encoding::QuotedPrintable, text),
        ] {
            for piece in 1..body.len() {
                let (mut out, mut decoder) = (Vec::new(), Decoder::with_lines(encoding, true));
                body.chunks(piece).for_each(|piece| decoder.push(piece, &mut out).unwrap());
                decoder.finish(&mut out).unwrap();
                let found = String::from_utf8(out).unwrap();
                assert_eq!(
                    found.trim_end_matches('\r'),
                    "a\r\nb\r\nc\r\rd\r\n\r\n",
                    "{encoding:?} by {piece}"
                );
            }
        }
    }

    #[test]
    fn unknown() {
        assert_eq!(Encoding::parse(" BASE64 "), Encoding::Base64);
        assert_eq!(Encoding::parse("x-uuencode"), Encoding::Unknown);
        assert_eq!(Decoder::new(Encoding::Unknown).push(b"x", &mut Vec::new()), Err(Undecodable));
    }
}
