//! The words of an HTML page, as they come: for search, preview and a reader, no renderer. The page is cut into tags and
//! text as browsers do it (WHATWG HTML §13.2.5, by html5gum), so that what is seen there is found here.

use std::convert::Infallible;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex};

use html5gum::{Emitter, Error, Reader, State, Tokenizer};

use crate::model::locked;

/// The tokenizer is given what goes up to a `>`: behind that it can be left and gone on with, which it cannot in the middle of a
/// name. What has none for so long is given as it is.
const LONGEST_HELD: usize = 64 * 1024;
/// The longest attribute that is searched, in bytes; addresses that hold a whole picture are not.
const LONGEST_ATTRIBUTE: usize = 8 * 1024;
/// Attributes that are held until the word is over in which their tags stand.
const MOST_HELD: usize = 64 * 1024;
/// The longest name of a tag or an attribute that means anything here.
const LONGEST_NAME: usize = 16;

/// What the words are for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Purpose {
    /// Addresses of links and what stands for pictures is found, too.
    #[default]
    Search,
    /// The first words of a message.
    Preview,
    /// For a reader: lines end where the page has them end, and nowhere else.
    Lines,
}

/// Tags that begin a line.
// Packed by hand: one a line would hide the rest.
#[rustfmt::skip]
const BREAKS: [&str; 28] = [
    "address", "article", "blockquote", "br", "center", "dd", "div", "dl", "dt", "footer", "form", "h1", "h2", "h3",
    "h4", "h5", "h6", "header", "hr", "li", "main", "ol", "p", "pre", "section", "table", "tr", "ul",
];
/// Tags that do not part words: `<b>w</b>ord` is one.
#[rustfmt::skip]
const INLINE: [&str; 36] = [
    "a", "abbr", "acronym", "b", "bdi", "bdo", "big", "cite", "code", "data", "del", "dfn", "em", "font", "i", "ins",
    "kbd", "label", "mark", "nobr", "o:p", "q", "s", "samp", "small", "span", "strike", "strong", "sub", "sup", "time",
    "tt", "u", "var", "wbr", "x",
];
/// Attributes that a search looks at.
const SEARCHED: [&str; 3] = ["alt", "href", "title"];

/// Takes tags, scripts and styles out of HTML and decodes character references.
pub(super) struct Words {
    tokenizer: Tokenizer<Pushed, Visible>,
    shared: Arc<Shared>,
    /// What came behind the last `>`.
    held: String,
}

/// What the tokenizer's two ends have in common with whoever pushes.
#[derive(Default)]
struct Shared {
    input: Mutex<Vec<u8>>,
    out: Mutex<String>,
    ended: AtomicBool,
}

impl Words {
    pub(super) fn new(purpose: Purpose) -> Self {
        let shared = Arc::<Shared>::default();
        let reader = Pushed { shared: Arc::clone(&shared), now: Vec::new(), at: 0 };
        let emitter = Visible { purpose, shared: Arc::clone(&shared), is_blank: true, ..Visible::default() };
        Words { tokenizer: Tokenizer::new_with_emitter(reader, emitter), shared, held: String::new() }
    }

    /// Appends the text of the next characters to `out`, but for what may mean something else with what follows.
    pub(super) fn push(&mut self, html: &str, out: &mut String) {
        let whole = match html.rfind('>') {
            Some(at) => self.held.len() + at + 1,
            None if self.held.len() + html.len() > LONGEST_HELD => self.held.len() + html.len(),
            None => 0,
        };
        self.held.push_str(html);
        if whole > 0 {
            self.give(whole);
            self.run(out);
        }
    }

    /// Appends what is left at the end of the page.
    pub(super) fn finish(mut self, out: &mut String) {
        self.give(self.held.len());
        self.shared.ended.store(true, Relaxed);
        self.run(out);
    }

    fn give(&mut self, count: usize) {
        locked(&self.shared.input).extend_from_slice(self.held.as_bytes().get(..count).unwrap_or_default());
        self.held.drain(..count);
    }

    fn run(&mut self, out: &mut String) {
        // It stops by itself, at the end or where more must come.
        let _ = self.tokenizer.next();
        out.push_str(&std::mem::take(&mut *locked(&self.shared.out)));
    }
}

/// Nothing more is there for now.
#[derive(Debug, thiserror::Error)]
#[error("more of the page is to come")]
struct Later;

struct Pushed {
    shared: Arc<Shared>,
    now: Vec<u8>,
    at: usize,
}

impl Pushed {
    /// What is there; nothing at the end.
    fn ahead(&mut self) -> Result<&[u8], Later> {
        if self.at == self.now.len() {
            self.now.clear();
            self.at = 0;
            self.now.append(&mut locked(&self.shared.input));
            if self.now.is_empty() && !self.shared.ended.load(Relaxed) {
                return Err(Later);
            }
        }
        Ok(self.now.get(self.at..).unwrap_or_default())
    }
}

impl Reader for Pushed {
    type Error = Later;

    fn read_byte(&mut self) -> Result<Option<u8>, Later> {
        let next = self.ahead()?.first().copied();
        self.at += usize::from(next.is_some());
        Ok(next)
    }

    fn try_read_string(&mut self, wanted: &[u8], case_sensitive: bool) -> Result<bool, Later> {
        let found = self.ahead()?.get(..wanted.len());
        let is_there = found.is_some_and(|found| {
            if case_sensitive { found == wanted } else { found.eq_ignore_ascii_case(wanted) }
        });
        self.at += if is_there { wanted.len() } else { 0 };
        Ok(is_there)
    }

    fn read_until<'b>(&'b mut self, needle: &[u8], _: &'b mut [u8; 4]) -> Result<Option<&'b [u8]>, Later> {
        let ahead = self.ahead()?;
        let length = match ahead.iter().position(|byte| needle.contains(byte)) {
            Some(0) => 1,
            Some(at) => at,
            None => ahead.len(),
        };
        let from = self.at;
        self.at += length;
        Ok(if length == 0 { None } else { self.now.get(from..from + length) })
    }
}

/// What is not shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Hidden {
    Script,
    /// A style or a title: until it ends, or another tag begins, for the one that would end it may be missing.
    Beside,
}

/// Takes what the page shows.
#[derive(Default)]
struct Visible {
    purpose: Purpose,
    shared: Arc<Shared>,
    /// Bytes of a character that is not whole yet.
    bytes: Vec<u8>,
    hidden: Option<Hidden>,
    /// Whether white space ends what was given so far.
    is_blank: bool,
    in_pre: bool,
    is_end: bool,
    tag: Vec<u8>,
    attribute: Vec<u8>,
    value: Vec<u8>,
    last_start_tag: Vec<u8>,
    /// Attributes of tags within a word.
    held: String,
}

impl Visible {
    fn text(&mut self, text: &str) {
        if self.hidden.is_some() {
            return;
        }
        let keeps_lines = self.in_pre && self.purpose == Purpose::Lines;
        let mut out = locked(&self.shared.out);
        for c in text.chars() {
            if !c.is_whitespace() {
                out.push(c);
                self.is_blank = false;
            } else if keeps_lines && c == '\n' {
                out.push('\n');
                self.is_blank = true;
            } else if !self.is_blank {
                out.push(' ');
                self.is_blank = true;
            }
        }
    }

    fn blank(&mut self) {
        if !self.is_blank {
            locked(&self.shared.out).push(' ');
            self.is_blank = true;
        }
    }

    /// An attribute is over.
    fn end_attribute(&mut self) {
        let value = std::mem::take(&mut self.value);
        let is_data = value.get(..5).is_some_and(|start| start.eq_ignore_ascii_case(b"data:"));
        if !value.is_empty() && !is_data {
            self.held.push(' ');
            self.held.push_str(&String::from_utf8_lossy(&value));
        }
        self.attribute.clear();
    }

    fn is_searched(&self) -> bool {
        self.purpose == Purpose::Search
            && self.hidden != Some(Hidden::Script)
            && SEARCHED.iter().any(|name| name.as_bytes() == self.attribute)
    }

    /// Gives the attributes that were held while a word was not over.
    fn release(&mut self) {
        if !self.held.is_empty() {
            self.blank();
            let held = std::mem::take(&mut self.held);
            locked(&self.shared.out).push_str(held.trim_start());
            self.is_blank = false;
            self.blank();
        }
    }

    fn start_tag(&mut self, name: &str) -> Option<State> {
        match name {
            "script" => {
                self.hidden = Some(Hidden::Script);
                return Some(State::ScriptData);
            }
            "style" | "title" => self.hidden = Some(Hidden::Beside),
            _ => self.hidden = None,
        }
        self.in_pre |= name == "pre";
        None
    }

    fn end_tag(&mut self, name: &str) {
        if matches!(name, "script" | "style" | "title" | "head") {
            self.hidden = None;
        }
        self.in_pre &= name != "pre";
    }

    fn part(&mut self, name: &str) {
        if self.hidden.is_some() || INLINE.contains(&name) {
            if self.held.len() > MOST_HELD {
                self.release();
            }
            return;
        }
        self.release();
        if self.purpose == Purpose::Lines && BREAKS.contains(&name) {
            locked(&self.shared.out).push('\n');
            self.is_blank = true;
        } else {
            self.blank();
        }
    }
}

impl Emitter for Visible {
    type Token = Infallible;

    fn set_last_start_tag(&mut self, tag: Option<&[u8]>) {
        self.last_start_tag = tag.unwrap_or_default().to_vec();
    }

    fn emit_eof(&mut self) {
        self.release();
    }

    fn emit_error(&mut self, _: Error) {}

    fn should_emit_errors(&mut self) -> bool {
        false
    }

    fn pop_token(&mut self) -> Option<Infallible> {
        None
    }

    fn emit_string(&mut self, bytes: &[u8]) {
        if self.bytes.is_empty()
            && let Ok(text) = std::str::from_utf8(bytes)
        {
            return self.text(text);
        }
        self.bytes.extend_from_slice(bytes);
        let bytes = std::mem::take(&mut self.bytes);
        for chunk in bytes.utf8_chunks() {
            self.text(chunk.valid());
            self.bytes = chunk.invalid().to_vec();
        }
    }

    fn init_start_tag(&mut self) {
        self.tag.clear();
        self.is_end = false;
    }

    fn init_end_tag(&mut self) {
        self.tag.clear();
        self.is_end = true;
    }

    fn init_comment(&mut self) {}

    fn emit_current_tag(&mut self) -> Option<State> {
        self.end_attribute();
        let tag = std::mem::take(&mut self.tag);
        let name = std::str::from_utf8(&tag).unwrap_or_default();
        let state = if self.is_end {
            self.end_tag(name);
            None
        } else {
            let state = self.start_tag(name);
            self.last_start_tag.clone_from(&tag);
            state
        };
        self.part(name);
        self.tag = tag;
        state
    }

    fn emit_current_comment(&mut self) {}

    fn emit_current_doctype(&mut self) {}

    fn set_self_closing(&mut self) {}

    fn set_force_quirks(&mut self) {}

    fn push_tag_name(&mut self, name: &[u8]) {
        let room = LONGEST_NAME.saturating_sub(self.tag.len());
        self.tag.extend_from_slice(name.get(..room.min(name.len())).unwrap_or_default());
    }

    fn push_comment(&mut self, _: &[u8]) {}

    fn push_doctype_name(&mut self, _: &[u8]) {}

    fn init_doctype(&mut self) {}

    fn init_attribute(&mut self) {
        self.end_attribute();
    }

    fn push_attribute_name(&mut self, name: &[u8]) {
        let room = LONGEST_NAME.saturating_sub(self.attribute.len());
        self.attribute.extend_from_slice(name.get(..room.min(name.len())).unwrap_or_default());
    }

    fn push_attribute_value(&mut self, value: &[u8]) {
        if self.is_searched() {
            let room = LONGEST_ATTRIBUTE.saturating_sub(self.value.len());
            self.value.extend_from_slice(value.get(..room.min(value.len())).unwrap_or_default());
        }
    }

    fn set_doctype_public_identifier(&mut self, _: &[u8]) {}

    fn set_doctype_system_identifier(&mut self, _: &[u8]) {}

    fn push_doctype_public_identifier(&mut self, _: &[u8]) {}

    fn push_doctype_system_identifier(&mut self, _: &[u8]) {}

    fn current_is_appropriate_end_tag_token(&mut self) -> bool {
        self.is_end && !self.last_start_tag.is_empty() && self.tag == self.last_start_tag
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(purpose: Purpose, html: &str) -> String {
        let all = |pieces: &mut dyn Iterator<Item = &str>| {
            let (mut out, mut words) = (String::new(), Words::new(purpose));
            pieces.for_each(|piece| words.push(piece, &mut out));
            words.finish(&mut out);
            out
        };
        let whole = all(&mut std::iter::once(html));
        let ends = || html.char_indices().map(|(at, c)| (at, at + c.len_utf8()));
        assert_eq!(
            all(&mut ends().map(|(from, to)| &html[from..to])),
            whole,
            "a character at a time: {html}"
        );
        for (_, cut) in ends() {
            assert_eq!(all(&mut [&html[..cut], &html[cut..]].into_iter()), whole, "cut at {cut}: {html}");
        }
        whole
    }

    fn words(html: &str) -> String {
        read(Purpose::Preview, html).trim().to_owned()
    }

    #[test]
    fn visible_words() {
        for (html, wanted) in [
            ("<p>Hello <b>w</b>orld</p><br/>x", "Hello world x"),
            ("<head><title>no</title></head><style>a{}</style>yes<script>if (a<b) x</script>!", "yes !"),
            ("Gr&uuml;&#223;e &#x1F389; &unknown; & co", "Grüße 🎉 &unknown; & co"),
            ("a <!-- <b> -- > --> b <a href='x>y'>c</a>", "a b c"),
            ("1 < 2 <", "1 < 2 <"),
            ("&NotEqualTilde;&fjlig;&copy2024 &amp &rarr;", "≂̸fj©2024 & →"),
            ("white\n\t  space &nbsp; here", "white space here"),
            ("<pre>a\n  b</pre>", "a b"),
        ] {
            assert_eq!(words(html), wanted, "{html}");
        }
    }

    /// What is never closed, or closed wrongly, hides nothing of what follows.
    #[test]
    fn broken_pages_are_read_on() {
        for (html, wanted) in [
            ("<head><title>x</title><body>seen", "seen"),
            ("<head><meta charset=utf-8><p>seen", "seen"),
            ("<title>never closed<body><p>seen", "seen"),
            ("<style>p { color: red } <p>seen", "seen"),
            ("<style><!-- p > a { } --></style>seen", "seen"),
            ("a<!-- x --!>seen", "aseen"),
            ("a<!-->seen", "aseen"),
            ("<![if !mso]>seen<![endif]>", "seen"),
            ("<!--[if mso]>hidden<![endif]-->seen", "seen"),
            ("<?xml version='1.0'?>seen", "seen"),
            ("<p class=\"x\"\">seen</p>", "seen"),
            ("<p class=x\">seen</p>", "seen"),
            ("<a href=\"x\"title='y'>seen</a>", "seen"),
            ("<3 seen", "<3 seen"),
            ("</ x>seen</p", "seen"),
            ("<script>var a = '<script>';</script>seen", "seen"),
            ("<!doctype html PUBLIC \"-//W3C//DTD\">seen", "seen"),
            ("<svg><title>no</title></svg>seen", "seen"),
        ] {
            assert_eq!(words(html), wanted, "{html}");
        }
    }

    #[test]
    fn links_and_what_stands_for_pictures_are_found() {
        let html = "<p>Click <a href=\"https://example.org/a?b&amp;c\" title='to us'>h</a>ere <img alt=Logo src=x>\
            <img alt='' src='data:image/png;base64,AAAA'><a href='data:text/plain,no'>x</a><p class=no>";
        let found = read(Purpose::Search, html);
        for text in ["Click here", "https://example.org/a?b&c", "to us", "Logo"] {
            assert!(found.contains(text), "no {text} in {found}");
        }
        assert!(!found.contains("AAAA") && !found.contains("no"), "{found}");
        assert_eq!(words(html), "Click here x");
        let long = format!("<a href='{}'>end</a>", "x".repeat(100_000));
        let (mut out, mut words) = (String::new(), Words::new(Purpose::Search));
        words.push(&long, &mut out);
        words.finish(&mut out);
        assert!(out.len() < LONGEST_ATTRIBUTE + 10 && out.starts_with("end"), "{} bytes", out.len());
    }

    #[test]
    fn lines_for_a_reader() {
        let html = "<p>One\ntwo<br>three</p><pre>a\n b</pre><ul><li>x<li>y</ul>";
        let text = read(Purpose::Lines, html);
        let lines: Vec<_> = text.lines().filter(|line| !line.trim().is_empty()).map(str::trim_end).collect();
        assert_eq!(lines, ["One two", "three", "a", " b", "x", "y"].map(|line| line.trim_start()));
    }

    #[test]
    fn long_tags_however_they_are_cut() {
        for html in [
            format!("<! K]> {}", "<scrc".repeat(40)),
            format!("a<b {}>c", "x=y ".repeat(60)),
            format!("a<b {}>c", "x".repeat(300)),
            format!("a<b x='{}'>c", "é&amp;".repeat(60)),
            format!("a<!--{}-->c", "-- >".repeat(60)),
            format!("<script>{}</script>c", "</scrip <!-- ".repeat(40)),
        ] {
            for purpose in [Purpose::Search, Purpose::Lines] {
                let _ = read(purpose, &html);
            }
        }
        assert_eq!(words(&format!("a{}", "<scrc".repeat(40))), "a");
        // Text that nothing ends is not held for ever.
        let (mut out, mut words) = (String::new(), Words::new(Purpose::Search));
        (0..10).for_each(|_| words.push(&"text ".repeat(4_000), &mut out));
        assert!(out.len() > 130_000 && words.held.len() <= LONGEST_HELD);
    }

    #[test]
    fn anything_is_read_to_its_end() {
        let parts = [
            "<", ">", "&", ";", "!", "--", "a", "amp", "#x", "script", "style", "/", " ", "=", "\"", "'",
            "ß", "[CDATA[", "]]>", "doctype", "\0", "\r\n", "title",
        ];
        let mut seed = 7_u32;
        for _ in 0..2_000 {
            let html: String = (0..14)
                .map(|_| {
                    seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                    parts[(seed >> 16) as usize % parts.len()]
                })
                .collect();
            for purpose in [Purpose::Search, Purpose::Lines] {
                let _ = read(purpose, &html);
            }
        }
    }
}
