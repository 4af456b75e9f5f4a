//! Text in any charset, and searching in it.

use unicode_normalization::UnicodeNormalization;

use super::charset::TextDecoder;
use super::digest::Part;
use super::html::{Purpose, Words};
use super::mime_params;
use super::transfer::{self, Decoder};

/// Bytes that are decoded at a time.
const PIECE: usize = 16 * 1024;

/// Text for comparing: without case, compatibility forms decomposed (i;unicode-casemap, RFC 5051 §2).
#[must_use]
pub fn casemap(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    // ASCII maps byte for byte, and nothing is composed or put in order across it, so only what lies between
    // is worth the tables: one letter with an accent must not make a long text slow.
    while !rest.is_empty() {
        let ascii = rest.bytes().position(|byte| !byte.is_ascii()).unwrap_or(rest.len());
        let (plain, after) = rest.split_at(ascii);
        let start = out.len();
        out.push_str(plain);
        if let Some(plain) = out.get_mut(start..) {
            plain.make_ascii_lowercase();
        }
        let (other, after) = after.split_at(after.bytes().position(|b| b.is_ascii()).unwrap_or(after.len()));
        // Upper case first: it makes ß into SS and final sigma into sigma; then lower case of the decomposed.
        let upper = other.chars().flat_map(char::to_uppercase).nfkd();
        out.extend(upper.flat_map(char::to_lowercase).nfkd());
        rest = after;
    }
    out
}

/// What is searched for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Needle {
    mapped: String,
}

impl Needle {
    /// Searches for this, in any case.
    #[must_use]
    pub fn new(text: &str) -> Self {
        Needle { mapped: casemap(text) }
    }

    /// Whether everything has it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.mapped.is_empty()
    }

    /// Whether a text has it.
    #[must_use]
    pub fn is_in(&self, text: &str) -> bool {
        self.mapped.is_empty() || self.is_in_mapped(&casemap(text))
    }

    /// Whether a text has it that [`casemap`] was used on.
    #[must_use]
    pub fn is_in_mapped(&self, mapped: &str) -> bool {
        mapped.contains(&self.mapped)
    }
}

/// Whether a part's content is text in lines, which end with CRLF wherever it is told decoded (RFC 9051 §7.5.2, BINARY).
/// In a charset of two or four bytes a character a CR would be half of one.
#[must_use]
pub fn has_lines(part: &Part) -> bool {
    let charset = mime_params::find(&part.params, "charset").unwrap_or_default().to_ascii_lowercase();
    let wide = [&b"utf-16"[..], b"utf16", b"utf-32", b"utf32", b"ucs-2", b"ucs-4", b"iso-10646", b"unicode"];
    part.is_type("text") && !wide.iter().any(|name| charset.starts_with(name))
}

/// A part's body as text, as it is read: its transfer encoding and its charset are decoded, tags taken out. What
/// cannot be decoded is taken as it is.
pub struct PartText {
    transfer: Decoder,
    broken: bool,
    charset: TextDecoder,
    html: Option<Words>,
    decoded: Vec<u8>,
}

impl PartText {
    /// The body of `part`, for a reader: a page has lines.
    #[must_use]
    pub fn new(part: &Part) -> Self {
        Self::with(part, Purpose::Lines)
    }

    /// The body of `part` to be searched: what a line end stands for is a space; where links lead is found, too.
    #[must_use]
    pub fn to_search(part: &Part) -> Self {
        Self::with(part, Purpose::Search)
    }

    /// The body of `part` for its first words.
    #[must_use]
    pub fn to_preview(part: &Part) -> Self {
        Self::with(part, Purpose::Preview)
    }

    fn with(part: &Part, purpose: Purpose) -> Self {
        let name = mime_params::find(&part.params, "charset").unwrap_or_default();
        PartText {
            transfer: Decoder::new(transfer::Encoding::parse(&part.encoding)),
            broken: false,
            charset: TextDecoder::new(&String::from_utf8_lossy(&name)),
            html: part.is_subtype("html").then(|| Words::new(purpose)),
            decoded: Vec::new(),
        }
    }

    /// Gives the text of the next bytes to `take`, in pieces.
    pub fn push(&mut self, raw: &[u8], take: &mut dyn FnMut(&str)) {
        for piece in raw.chunks(PIECE) {
            let mut decoded = std::mem::take(&mut self.decoded);
            if self.broken || self.transfer.push(piece, &mut decoded).is_err() {
                self.broken = true;
                decoded.extend_from_slice(piece);
            }
            self.text(&decoded, false, take);
            decoded.clear();
            self.decoded = decoded;
        }
    }

    /// At the body's end: gives what is left.
    pub fn finish(mut self, take: &mut dyn FnMut(&str)) {
        let mut rest = Vec::new();
        let transfer = std::mem::replace(&mut self.transfer, Decoder::new(transfer::Encoding::Identity));
        let _ = transfer.finish(&mut rest);
        self.text(&rest, true, take);
        if let Some(words) = self.html {
            let mut visible = String::new();
            words.finish(&mut visible);
            take(&visible);
        }
    }

    fn text(&mut self, bytes: &[u8], last: bool, take: &mut dyn FnMut(&str)) {
        let html = &mut self.html;
        self.charset.push(bytes, last, &mut |text| match html {
            _ if text.is_empty() => {}
            Some(words) => {
                let mut visible = String::new();
                words.push(text, &mut visible);
                take(&visible);
            }
            None => take(text),
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mail::needles::{Collector, Seeker};

    #[test]
    fn without_case() {
        for (a, b) in [
            ("MÜLLER", "müller"),
            ("Straße", "STRASSE"),
            ("ΣΟΦΟΣ", "σοφος"),
            ("ﬁn", "FIN"),
            ("é", "E\u{301}"),
        ] {
            assert_eq!(casemap(a), casemap(b));
            assert_eq!(casemap(&casemap(a)), casemap(a));
        }
        assert!(Needle::new("lle").is_in("Müller") && !Needle::new("xyz").is_in("Müller"));
        assert!(Needle::new("").is_in(""));
    }

    #[test]
    fn text_in_runs_is_mapped_as_a_whole() {
        let whole = |text: &str| -> String {
            text.chars().flat_map(char::to_uppercase).nfkd().flat_map(char::to_lowercase).nfkd().collect()
        };
        // Marks in the wrong order, on ASCII and on others; what decomposes to ASCII; Hangul; capitals.
        let parts = [
            "a",
            "Q",
            " ",
            "e\u{301}\u{323}",
            "\u{323}",
            "\u{301}",
            "é",
            "ß",
            "ẞ",
            "Σ",
            "ς",
            "ﬁ",
            "½",
            "İ",
            "ı",
            "가",
            "각",
            "が",
            "本",
            "Ǆ",
            "ẛ\u{323}",
            "\u{345}",
            "\u{1f80}",
            "\r\n",
            "😀",
        ];
        let mut state = 1_u64;
        for _ in 0..20_000 {
            let mut text = String::new();
            for _ in 0..6 {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                text.push_str(parts[(state >> 33) as usize % parts.len()]);
            }
            assert_eq!(casemap(&text), whole(&text), "{text:?}");
        }
    }

    fn part(subtype: &str, encoding: &str, charset: &str) -> Part {
        Part {
            media_type: "text".into(),
            subtype: subtype.into(),
            encoding: encoding.into(),
            params: vec![("charset".into(), charset.as_bytes().to_vec())],
            ..Part::default()
        }
    }

    fn found(part: &Part, body: &[u8], needle: &str) -> bool {
        let results: Vec<bool> = [1, 2, 7, body.len().max(1)]
            .iter()
            .map(|chunk| {
                let mut collector = Collector::default();
                let id = collector.add(needle);
                let needles = collector.finish();
                let (mut seeker, mut text) = (Seeker::new(&needles), PartText::to_search(part));
                body.chunks(*chunk)
                    .for_each(|piece| text.push(piece, &mut |text| seeker.push(&needles, text)));
                text.finish(&mut |text| seeker.push(&needles, text));
                seeker.has(id)
            })
            .collect();
        assert!(results.iter().all(|one| *one == results[0]), "{results:?}");
        results[0]
    }

    #[test]
    fn for_a_reader() {
        let read = |part: &Part, body: &[u8]| {
            let (mut out, mut text) = (String::new(), PartText::new(part));
            body.chunks(3).for_each(|piece| text.push(piece, &mut |text| out.push_str(text)));
            text.finish(&mut |text| out.push_str(text));
            out
        };
        let latin = part("plain", "quoted-printable", "iso-8859-1");
        assert_eq!(read(&latin, b"sch=F6n\r\nGr=FC=\r\n=DFe"), "schön\r\nGrüße");
        assert_eq!(read(&part("plain", "base64", "utf-8"), b"5pel5pysCg=="), "日本\n");
        let html = part("html", "7bit", "utf-8");
        let page = b"<style>p{}</style><p>Dear\nAnna,</p>1 &lt; 2<br>Bye<script>x</script>";
        assert_eq!(
            read(&html, page).split_whitespace().collect::<Vec<_>>().join(" "),
            "Dear Anna, 1 < 2 Bye"
        );
        let lines: Vec<String> = read(&html, page).lines().map(|line| line.trim().to_owned()).collect();
        assert_eq!(lines, ["", "Dear Anna,", "1 < 2", "Bye"]);
    }

    #[test]
    fn in_bodies() {
        let latin = part("plain", "quoted-printable", "iso-8859-1");
        assert!(found(&latin, b"sch=F6ne Gr=FC=\r\n=DFe", "grüsse"));
        assert!(!found(&latin, b"sch=F6ne", "gr"));
        let japanese = part("plain", "base64", "utf-8");
        assert!(found(&japanese, b"5pel5pys\r\n6Kqe", "本語"));
        let html = part("html", "7bit", "utf-8");
        assert!(found(&html, b"<p>Hello <b>wor</b>ld &amp; co", "hello world & co"));
        assert!(!found(&html, b"<p class='hidden'>x", "hidden"));
        assert!(found(&part("plain", "x-odd", "klingon"), b"some raw text", "RAW"));
        // 8 bits that nobody declared, in any spelling of the label.
        for label in ["", "us-ascii", "US-ASCII", "klingon"] {
            assert!(
                found(&part("plain", "8bit", label), b"sch\xf6ne Gr\xfc\xdfe", "schöne grüsse"),
                "{label}"
            );
            assert!(
                found(&part("plain", "8bit", label), "schöne Grüße".as_bytes(), "schöne grüsse"),
                "{label}"
            );
        }
        let far = [vec![b'x'; 40_000], b"needle".to_vec(), vec![b'y'; 40_000]].concat();
        assert!(found(&part("plain", "7bit", "us-ascii"), &far, "xneedley"));
    }
}
