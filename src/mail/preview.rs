//! The first words of a message (PREVIEW, RFC 8970 §3).

use encoding_rs::{Decoder as CharsetDecoder, Encoding, UTF_8};

use super::html::Words;
use super::transfer::{self, Decoder};

/// Characters of a preview (RFC 8970 §3.1).
const LONGEST: usize = 200;
/// After so many bytes of a part no more is read.
const MOST_READ: usize = 64 * 1024;

/// Collects the preview of one text part.
pub struct Preview {
    transfer: Decoder,
    charset: CharsetDecoder,
    html: Option<Words>,
    read: usize,
    line: String,
    text: String,
    count: usize,
    /// The signature has begun.
    ended: bool,
}

impl Preview {
    /// For a part with this transfer encoding and charset.
    #[must_use]
    pub fn new(encoding: &str, charset: &str, html: bool) -> Self {
        let charset = Encoding::for_label(charset.trim().as_bytes()).filter(|_| !charset.contains("ascii"));
        Preview {
            transfer: Decoder::new(transfer::Encoding::parse(encoding)),
            charset: charset.unwrap_or(UTF_8).new_decoder_without_bom_handling(),
            html: html.then(Words::default),
            read: 0,
            line: String::new(),
            text: String::new(),
            count: 0,
            ended: false,
        }
    }

    /// Whether more would change nothing.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.ended || self.count >= LONGEST || self.read >= MOST_READ
    }

    /// Reads on.
    pub fn push(&mut self, raw: &[u8]) {
        if self.is_full() {
            return;
        }
        let raw = &raw[..raw.len().min(MOST_READ - self.read)];
        self.read += raw.len();
        let mut decoded = Vec::new();
        if self.transfer.push(raw, &mut decoded).is_ok() {
            let mut text = String::with_capacity(decoded.len() * 3 + 16);
            let _ = self.charset.decode_to_string(&decoded, &mut text, false);
            self.take(&text);
        }
    }

    fn take(&mut self, text: &str) {
        let mut visible = String::new();
        let text = match &mut self.html {
            Some(words) => {
                words.push(text, &mut visible);
                &visible
            }
            None => text,
        };
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
        if line.trim_end_matches('\r') == "-- " && self.html.is_none() {
            self.ended = true;
        }
        if self.ended || line.starts_with('>') && self.html.is_none() {
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

    /// What was collected.
    #[must_use]
    pub fn finish(mut self) -> String {
        self.end_line();
        self.text.truncate(self.text.trim_end().len());
        self.text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn preview(encoding: &str, charset: &str, html: bool, body: &[u8]) -> String {
        let mut whole = Preview::new(encoding, charset, html);
        whole.push(body);
        let mut pieces = Preview::new(encoding, charset, html);
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
    }
}
