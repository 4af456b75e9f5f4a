//! A message: its digest is the same however it came, comes back from the store as it went, is told by the grammar,
//! and every part is found by its number and lies in the message; what is decoded is no longer than it may be.

use postern::mail::digest::{Digest, Part, PartContent};
use postern::mail::field_filter::FieldFilter;
use postern::mail::header;
use postern::mail::section::{self, Located, Section, SectionText};
use postern::mail::structure::Digester;
use postern::mail::text::PartText;
use postern::mail::transfer::{Decoder, Encoding};

use super::{first, folder, pieces, told};

/// Parts that are looked at one by one.
const MOST_PARTS: usize = 500;
/// Parts whose bodies are decoded.
const MOST_BODIES: usize = 8;
/// What a digest takes for each byte of its message, at most: a part of two lines has a type, a charset, an encoding.
const DIGEST: usize = 16;

/// As much of BODYSTRUCTURE, which tells all of that in words: eighty bytes for a part of four.
const STRUCTURE: usize = 40;

pub fn seeds() -> Vec<Vec<u8>> {
    let files = std::fs::read_dir(folder("pure/messages")).unwrap();
    let mut paths: Vec<_> = files.map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    let nested = "Content-Type: message/rfc822\r\n\r\n".repeat(110);
    let messages = paths.iter().map(|path| std::fs::read(path).unwrap()).chain([nested.into_bytes()]);
    messages.map(|message| [&b"\x05"[..], &message].concat()).collect()
}

pub fn run(data: &[u8]) {
    let (seed, message) = first(data);
    let digest = told::digest(message);
    for most in [1, 40] {
        let mut digester = Digester::new();
        pieces(message, u64::from(seed), most).for_each(|piece| digester.push(piece));
        assert_eq!(digester.finish(), digest, "in pieces of up to {most}");
    }
    let stored = digest.encode();
    assert_eq!(Digest::decode(&stored).as_ref(), Some(&digest));
    assert!(stored.len() <= DIGEST * message.len() + 1_024, "{} of {}", stored.len(), message.len());
    let preview = digest.preview.chars().count();
    assert!(preview <= 200, "a preview of {preview} characters");
    let structure = told::structure_of(&digest, true);
    assert!(structure.len() <= STRUCTURE * message.len() + 1_024, "{} of {}", structure.len(), message.len());
    told::check("fuzz", message);
    let mut walk = Walk { root: &digest.root, message, seed: u64::from(seed), parts: 0, bodies: 0 };
    walk.message(&digest.root, &mut Vec::new());
    walk.located(&[]);
}

/// A walk over the parts with their numbers (RFC 9051 §6.4.5.1).
struct Walk<'a> {
    root: &'a Part,
    message: &'a [u8],
    seed: u64,
    parts: usize,
    bodies: usize,
}

impl Walk<'_> {
    fn message(&mut self, message: &Part, path: &mut Vec<u32>) {
        match &message.content {
            PartContent::Multipart(parts) => self.children(parts, path),
            _ => self.numbered(message, path, 1),
        }
    }

    fn children(&mut self, parts: &[Part], path: &mut Vec<u32>) {
        parts.iter().zip(1..).for_each(|(part, number)| self.numbered(part, path, number));
    }

    fn numbered(&mut self, part: &Part, path: &mut Vec<u32>, number: u32) {
        self.parts += 1;
        if self.parts > MOST_PARTS {
            return;
        }
        path.push(number);
        let found = section::part(self.root, path);
        assert!(found.is_some_and(|found| std::ptr::eq(found, part)), "{path:?} is another part");
        self.located(path);
        match &part.content {
            PartContent::Multipart(parts) => self.children(parts, path),
            PartContent::Message(inner) => self.message(&inner.1, path),
            PartContent::Leaf => self.body(part),
        }
        path.pop();
    }

    /// Its sections lie in the message, and fields that are asked for are some of the header's.
    fn located(&self, path: &[u32]) {
        let of = |what| section::locate(self.root, &Section { path: path.to_vec(), what });
        let names = || vec!["Subject".to_owned(), "content-type".to_owned()];
        let whats = [SectionText::Whole, SectionText::Header, SectionText::Text, SectionText::Mime];
        for what in whats {
            let Some(Located::Range(range)) = of(what) else { continue };
            assert!(
                range.start <= range.end && range.end <= self.message.len() as u64,
                "{path:?}: {range:?}"
            );
        }
        let both = (of(SectionText::HeaderFields(names())), of(SectionText::HeaderFieldsNot(names())));
        let (Some(Located::Fields { header: place, .. }), Some(_)) = both else { return };
        let block = &self.message[place.start as usize..place.end as usize];
        let [with, without] = [false, true].map(|not| header::filter_fields(block, &names(), not));
        // In pieces, as a long one is read, it is the same.
        let size = block.len() % 7 + 1;
        for (not, whole) in [(false, &with), (true, &without)] {
            let mut filter = FieldFilter::new(names(), not, usize::MAX);
            let mut pieces = block.chunks(size);
            while pieces.next().is_some_and(|piece| filter.push(piece)) {}
            assert_eq!(filter.finish().as_ref(), Some(whole));
        }
        // An empty line each, and one line end where the last line has none.
        assert!(with.len() + without.len() <= block.len() + 6, "fields of {block:?}");
        assert_eq!(header::filter_fields(&with, &names(), false), with);
        assert_eq!(header::filter_fields(&without, &names(), true), without);
    }

    fn body(&mut self, part: &Part) {
        self.bodies += 1;
        if self.bodies > MOST_BODIES {
            return;
        }
        let raw = &self.message[part.body.start as usize..part.body.end as usize];
        let encoding = Encoding::parse(&part.encoding);
        let whole = || std::iter::once(raw);
        let cut = || pieces(raw, self.seed, 20);
        for lines in [false, true] {
            let decoded = decoded(Decoder::with_lines(encoding, lines), whole());
            assert_eq!(decoded, self::decoded(Decoder::with_lines(encoding, lines), cut()));
            assert!(decoded.is_none_or(|bytes| bytes.len() <= raw.len() * (1 + usize::from(lines))));
        }
        for new in [PartText::new, PartText::to_search] {
            let text = text(new(part), whole());
            assert_eq!(text, self::text(new(part), cut()), "{:?}", part.params);
        }
    }
}

/// What a decoder gives of these pieces; `None` where nobody knows the encoding.
pub fn decoded<'a>(mut decoder: Decoder, pieces: impl Iterator<Item = &'a [u8]>) -> Option<Vec<u8>> {
    let mut out = Vec::new();
    for piece in pieces {
        decoder.push(piece, &mut out).ok()?;
    }
    decoder.finish(&mut out).ok()?;
    Some(out)
}

/// The text of these pieces.
pub fn text<'a>(mut reader: PartText, pieces: impl Iterator<Item = &'a [u8]>) -> String {
    let mut out = String::new();
    pieces.for_each(|piece| reader.push(piece, &mut |text| out.push_str(text)));
    reader.finish(&mut |text| out.push_str(text));
    out
}
