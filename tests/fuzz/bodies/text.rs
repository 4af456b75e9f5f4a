//! A part's body as text, in any charset and encoding, of a page or not: the same however it came, not much longer
//! than it was, and what is searched for in it is found however the text is cut.

use postern::mail::charset::{charset_known, decode_charset};
use postern::mail::digest::Part;
use postern::mail::needles::{Collector, Seeker};
use postern::mail::text::{Needle, PartText, casemap};

use super::mail::text;
use super::{first, pieces, texts};

const CHARSETS: &[&str] = &[
    "",
    "utf-8",
    "us-ascii",
    "iso-8859-1",
    "windows-1251",
    "koi8-r",
    "shift_jis",
    "euc-jp",
    "iso-2022-jp",
    "iso-2022-kr",
    "gb18030",
    "gbk",
    "big5",
    "euc-kr",
    "utf-7",
    "utf-16",
    "utf-16le",
    "x-unknown",
    "ISO-8859-8-I",
    "no such charset",
];
const ENCODINGS: &[&str] = &["7bit", "quoted-printable", "base64", "x-unknown"];
/// Bytes of text for each byte of a body, at most: a byte of a charset may be a character of three.
const TEXT: usize = 4;
/// Above that, for a body of a few bytes.
const SOME: usize = 64;

pub fn seeds() -> Vec<Vec<u8>> {
    let html: &[&[u8]] = &[b"\x01\x04\x07", b"\x00\x04\x11", b"\x0f\x04\x02"];
    let mut all = texts(
        html,
        &[
            "<html><head><title>T</title><style>p { color: red }</style></head><body><p>Hello&nbsp;W&ouml;rld &amp; <a href=\"https://example.org/?a=1&amp;b\">you</a></p></body></html>",
            "<!-- a -- b --!> x <![if mso]> y <![endif]> <script>if (a < b) { \"</script\" }</script> z",
            "<p title='un\"closed>text <br/> more <img alt=\"a cat\" src=x> &#x1F600; &#128512; &#xD800; &lt;&gt &notanentity;",
            "<head><body>never closed <style> hidden </styl </style> shown &copy &CounterClockwiseContourIntegral;",
        ],
    );
    let plain: &[&[u8]] =
        &[b"\x01\x00\x03", b"\x01\x01\x03", b"\x01\x02\x03", b"\x02\x00\x00", b"\x0e\x00\x01"];
    all.extend(texts(
        plain,
        &[
            "Grüße aus Köln =C3=BC=\r\n= \t\r\nxyz=4",
            "SGVsbG8gV8O2cmxk\r\nIQ==\r\nYQ==",
            "Hi Mom -+Jjo--! +ZeVnLIqe-",
        ],
    ));
    all.push(b"\x08\x00\x02\x1b$B%F%9%H\x1b(B ascii \x1b$B%F\x1b(B".to_vec());
    all.push(b"\x09\x00\x02\x1b$)C\x0e0!\x0f ascii".to_vec());
    all.push(b"\x06\x00\x02\x83\x65\x83\x58\x83\x67 \x81".to_vec());
    all.push(b"\x0f\x00\x02\xff\xfea\0b\0\x3d\xd8\x00\xde\n\0".to_vec());
    all
}

pub fn run(data: &[u8]) {
    let (charset, rest) = first(data);
    let (kind, rest) = first(rest);
    let (seed, raw) = first(rest);
    let charset = CHARSETS[usize::from(charset) % CHARSETS.len()];
    let part = Part {
        media_type: "text".to_owned(),
        subtype: if kind & 4 != 0 { "html" } else { "plain" }.to_owned(),
        encoding: ENCODINGS[usize::from(kind & 3)].to_owned(),
        params: vec![("charset".to_owned(), charset.as_bytes().to_vec())],
        ..Part::default()
    };
    for new in [PartText::new, PartText::to_search] {
        let whole = text(new(&part), std::iter::once(raw));
        for most in [1, 30] {
            let cut = text(new(&part), pieces(raw, u64::from(seed), most));
            assert_eq!(whole, cut, "{part:?} in pieces of up to {most}");
        }
        assert!(whole.len() <= TEXT * raw.len() + SOME, "{} of {}: {part:?}", whole.len(), raw.len());
        found(&whole, u64::from(seed));
    }
    let decoded = decode_charset(raw, charset);
    assert!(decoded.is_some() || !charset_known(charset));
    assert!(decoded.is_none_or(|text| text.len() <= TEXT * raw.len() + SOME));
}

/// Some word of a text is found in it, in pieces of words; what one finder says, the other does.
fn found(text: &str, seed: u64) {
    let mapped = casemap(text);
    // The iota below is a mark in what was decomposed, and becomes a letter once more.
    assert!(
        mapped.contains('\u{345}') || casemap(&mapped) == mapped,
        "{mapped:?} is mapped to something else"
    );
    let words: Vec<&str> = text.split_whitespace().filter(|word| word.is_ascii()).collect();
    let Some(word) = words.get(seed as usize % words.len().max(1)) else { return };
    let mut collector = Collector::default();
    let ids: Vec<_> = [*word, "q\u{fc}x", "z"].iter().map(|needle| collector.add(needle)).collect();
    let needles = collector.finish();
    let mut seeker = Seeker::new(&needles);
    text.split_inclusive(' ').for_each(|piece| seeker.push(&needles, piece));
    let says = |needle: &str| Needle::new(needle).is_in(text);
    assert!(seeker.has(ids[0]) && says(word), "{word:?} is not found");
    assert_eq!(seeker.has(ids[2]), says("z"));
}
