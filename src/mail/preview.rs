//! The first words of a message (PREVIEW, RFC 8970 §3).

use super::digest::Part;
use super::text::PartText;
use super::transfer::Encoding;

/// Characters of a preview (RFC 8970 §3.1).
const LONGEST: usize = 200;
/// After so many bytes of a part no more is read.
const MOST_READ: usize = 64 * 1024;

/// Collects the preview of one text part.
pub struct Preview {
    /// `None` where nobody knows how it is encoded.
    text: Option<PartText>,
    read: usize,
    words: Words,
}

/// What was collected.
struct Words {
    /// A page has no quotations and no signature that a line begins with.
    html: bool,
    line: String,
    text: String,
    count: usize,
    /// The signature has begun.
    ended: bool,
}

impl Preview {
    /// Of this part.
    #[must_use]
    pub fn new(part: &Part) -> Self {
        let known = Encoding::parse(&part.encoding) != Encoding::Unknown;
        let (line, text) = Default::default();
        let words = Words { html: part.is_subtype("html"), line, text, count: 0, ended: false };
        Preview { text: known.then(|| PartText::to_preview(part)), read: 0, words }
    }

    /// Whether more would change nothing.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.words.ended || self.words.count >= LONGEST || self.read >= MOST_READ
    }

    /// Reads on.
    pub fn push(&mut self, raw: &[u8]) {
        if self.is_full() {
            return;
        }
        let raw = &raw[..raw.len().min(MOST_READ - self.read)];
        self.read += raw.len();
        let (Some(text), words) = (&mut self.text, &mut self.words) else { return };
        text.push(raw, &mut |text| words.take(text));
    }

    /// What was collected.
    #[must_use]
    pub fn finish(mut self) -> String {
        let cut = self.is_full();
        let words = &mut self.words;
        // The end of what was cut is none.
        if let Some(text) = self.text.filter(|_| !cut) {
            text.finish(&mut |text| words.take(text));
        }
        words.end_line();
        let mut text = std::mem::take(&mut words.text);
        text.truncate(text.trim_end().len());
        text
    }
}

impl Words {
    fn take(&mut self, text: &str) {
        for c in text.chars() {
            if c == '\n' {
                self.end_line();
            } else if self.line.len() < MOST_READ {
                self.line.push(c);
            }
        }
    }

    /// Quotations and what follows a signature's mark are not what the message says.
    fn end_line(&mut self) {
        let line = std::mem::take(&mut self.line);
        if line.trim_end_matches('\r') == "-- " && !self.html {
            self.ended = true;
        }
        if self.ended || line.starts_with('>') && !self.html {
            return;
        }
        for word in line.split_whitespace() {
            if self.count >= LONGEST {
                return;
            }
            if self.count > 0 {
                self.text.push(' ');
                self.count += 1;
            }
            for c in word.chars().filter(|c| {
                !c.is_control() && !matches!(c, '\u{200b}'..='\u{200f}' | '\u{feff}' | '\u{ad}' | '\u{34f}')
            }) {
                if self.count < LONGEST {
                    self.text.push(c);
                    self.count += 1;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn preview(encoding: &str, charset: &str, html: bool, body: &[u8]) -> String {
        let part = Part {
            media_type: "Text".into(),
            subtype: if html { "HTML" } else { "Plain" }.into(),
            encoding: encoding.into(),
            params: vec![("Charset".into(), charset.as_bytes().to_vec())],
            ..Part::default()
        };
        let mut whole = Preview::new(&part);
        whole.push(body);
        let mut pieces = Preview::new(&part);
        body.iter().for_each(|byte| pieces.push(&[*byte]));
        let whole = whole.finish();
        assert_eq!(pieces.finish(), whole);
        whole
    }

    #[test]
    fn first_words() {
        assert_eq!(
            preview("7bit", "us-ascii", false, b"Hello,\r\n> quoted\r\n\r\n  world\r\n-- \r\nsig"),
            "Hello, world"
        );
        assert_eq!(preview("quoted-printable", "iso-8859-1", false, b"Gr=FC=DFe"), "Grüße");
        assert_eq!(preview("7bit", "utf-8", true, b"<style>x</style><p>Hi <b>you</b></p>"), "Hi you");
        let long = preview("7bit", "utf-8", false, "wörd ".repeat(100).as_bytes());
        assert!(long.chars().count() <= 200 && long.starts_with("wörd wörd"));
        assert_eq!(preview("x-odd", "utf-8", false, b"abc"), "");
        assert_eq!(preview("7bit", "utf-8", false, b""), "");
        // Labels are compared in any case, and 8 bits that nobody declared are read all the same.
        for label in ["us-ascii", "US-ASCII", "", "klingon"] {
            assert_eq!(preview("8bit", label, false, "Grüße".as_bytes()), "Grüße", "{label}");
            assert_eq!(preview("8bit", label, false, b"Gr\xfc\xdfe"), "Grüße", "{label}");
        }
        assert_eq!(preview("base64", "utf-8", false, b"R3LDvMOfZQ"), "Grüße", "its end is read, too");
    }
}
