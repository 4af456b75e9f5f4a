//! FETCH (RFC 9051 §7.5.2).

use super::{Writer, bodystructure, envelope};
use crate::mail::digest::{Envelope, Part};
use crate::mail::section::{Section, SectionText};
use crate::model::{DateTime, ModSeq, ObjectId, SeqNum, Uid};

/// One message's FETCH response, item by item.
///
/// A literal's bytes are written by the caller, in as many pieces as it likes: it ends with
/// [`Fetch::leave`] and goes on with [`Fetch::resume`].
#[derive(Debug)]
pub struct Fetch<'w, 'a> {
    w: &'w mut Writer<'a>,
    first: bool,
}

impl<'w, 'a> Fetch<'w, 'a> {
    /// Begins the response of a message.
    pub fn new(w: &'w mut Writer<'a>, number: SeqNum) -> Self {
        w.raw(format!("* {number} FETCH (").as_bytes());
        Fetch { w, first: true }
    }

    /// Goes on with a response.
    pub fn resume(w: &'w mut Writer<'a>, first: bool) -> Self {
        Fetch { w, first }
    }

    /// Leaves it unfinished; gives what [`Fetch::resume`] needs.
    #[must_use]
    pub fn leave(self) -> bool {
        self.first
    }

    /// Ends it.
    pub fn finish(self) {
        self.w.raw(b")\r\n");
    }

    fn item(&mut self, name: &str) {
        if !std::mem::take(&mut self.first) {
            self.w.raw(b" ");
        }
        self.w.raw(name.as_bytes());
    }

    /// UID
    pub fn uid(&mut self, uid: Uid) {
        self.item("UID ");
        self.w.number(u64::from(uid.get()));
    }

    /// FLAGS
    pub fn flags<'n>(&mut self, names: impl Iterator<Item = &'n str>) {
        self.item("FLAGS (");
        self.w.words(names);
        self.w.raw(b")");
    }

    /// MODSEQ (RFC 7162 §3.1.2)
    pub fn modseq(&mut self, modseq: ModSeq) {
        self.item("MODSEQ (");
        self.w.number(modseq.0);
        self.w.raw(b")");
    }

    /// INTERNALDATE
    pub fn internal_date(&mut self, date: DateTime) {
        self.item(&format!("INTERNALDATE \"{}\"", date.imap()));
    }

    /// SAVEDATE (RFC 8514)
    pub fn save_date(&mut self, date: DateTime) {
        self.item(&format!("SAVEDATE \"{}\"", date.imap()));
    }

    /// RFC822.SIZE
    pub fn size(&mut self, size: u64) {
        self.item("RFC822.SIZE ");
        self.w.number(size);
    }

    /// ENVELOPE
    pub fn envelope(&mut self, found: &Envelope) {
        self.item("ENVELOPE ");
        envelope::write(self.w, found);
    }

    /// BODY
    pub fn body(&mut self, part: &Part) {
        self.item("BODY ");
        bodystructure::write(self.w, part, false);
    }

    /// BODYSTRUCTURE
    pub fn body_structure(&mut self, part: &Part) {
        self.item("BODYSTRUCTURE ");
        bodystructure::write(self.w, part, true);
    }

    /// EMAILID (RFC 8474)
    pub fn email_id(&mut self, id: ObjectId) {
        self.item(&format!("EMAILID ({id})"));
    }

    /// THREADID (RFC 8474)
    pub fn thread_id(&mut self, id: ObjectId) {
        self.item(&format!("THREADID ({id})"));
    }

    /// PREVIEW (RFC 8970). Its text is UTF-8 whatever else was enabled.
    pub fn preview(&mut self, text: &str) {
        self.item("PREVIEW ");
        self.w.string(text.as_bytes());
    }

    /// A section's name; a value must follow.
    fn section_name(&mut self, section: &Section, origin: Option<u64>, legacy: Option<&'static str>) {
        match legacy {
            Some(name) => self.item(name),
            None => {
                self.item("BODY[");
                let path: Vec<String> = section.path.iter().map(u32::to_string).collect();
                self.w.raw(path.join(".").as_bytes());
                self.section_text(section);
                self.w.raw(b"]");
            }
        }
        if let Some(origin) = origin {
            self.w.raw(format!("<{origin}>").as_bytes());
        }
        self.w.raw(b" ");
    }

    fn section_text(&mut self, section: &Section) {
        let (name, fields) = match &section.what {
            SectionText::Whole => return,
            SectionText::Header => ("HEADER", None),
            SectionText::Text => ("TEXT", None),
            SectionText::Mime => ("MIME", None),
            SectionText::HeaderFields(fields) => ("HEADER.FIELDS", Some(fields)),
            SectionText::HeaderFieldsNot(fields) => ("HEADER.FIELDS.NOT", Some(fields)),
        };
        if !section.path.is_empty() {
            self.w.raw(b".");
        }
        self.w.raw(name.as_bytes());
        for (n, field) in fields.into_iter().flatten().enumerate() {
            self.w.raw(if n == 0 { b" (" } else { b" " });
            // As an atom where it is one: some clients compare it with what they have sent.
            let atom = |byte: u8| {
                byte.is_ascii_graphic()
                    && !matches!(byte, b'(' | b')' | b'{' | b'%' | b'*' | b'"' | b'\\' | b']')
            };
            if !field.is_empty() && field.bytes().all(atom) {
                self.w.raw(field.as_bytes());
            } else {
                self.w.string(field.as_bytes());
            }
        }
        if fields.is_some() {
            self.w.raw(b")");
        }
    }

    /// A section whose bytes are here.
    pub fn section(
        &mut self,
        section: &Section,
        origin: Option<u64>,
        legacy: Option<&'static str>,
        bytes: &[u8],
    ) {
        self.section_head(section, origin, legacy, bytes.len() as u64);
        self.w.raw(bytes);
    }

    /// A section that is not there.
    pub fn section_nil(&mut self, section: &Section, origin: Option<u64>, legacy: Option<&'static str>) {
        self.section_name(section, origin, legacy);
        self.w.raw(b"NIL");
    }

    /// A section of `len` bytes, which the caller must write next.
    pub fn section_head(
        &mut self,
        section: &Section,
        origin: Option<u64>,
        legacy: Option<&'static str>,
        len: u64,
    ) {
        self.section_name(section, origin, legacy);
        self.announce(len, false);
    }

    /// Announces a literal. Nothing is a quoted string: Apple's parser waits for more bytes after `{0}`.
    fn announce(&mut self, len: u64, literal8: bool) {
        if len == 0 {
            self.w.raw(b"\"\"");
        } else {
            self.w.raw(format!("{}{{{len}}}\r\n", if literal8 { "~" } else { "" }).as_bytes());
        }
    }

    fn binary_name(&mut self, path: &[u32], origin: Option<u64>) {
        let path: Vec<String> = path.iter().map(u32::to_string).collect();
        self.item(&format!("BINARY[{}]", path.join(".")));
        if let Some(origin) = origin {
            self.w.raw(format!("<{origin}>").as_bytes());
        }
        self.w.raw(b" ");
    }

    /// A decoded part of `len` bytes, which the caller must write next; as literal8 if it holds NUL.
    pub fn binary_head(&mut self, path: &[u32], origin: Option<u64>, len: u64, literal8: bool) {
        self.binary_name(path, origin);
        self.announce(len, literal8);
    }

    /// A part that is not there.
    pub fn binary_nil(&mut self, path: &[u32], origin: Option<u64>) {
        self.binary_name(path, origin);
        self.w.raw(b"NIL");
    }

    /// BINARY.SIZE
    pub fn binary_size(&mut self, path: &[u32], size: u64) {
        let path: Vec<String> = path.iter().map(u32::to_string).collect();
        self.item(&format!("BINARY.SIZE[{}] {size}", path.join(".")));
    }
}

#[cfg(test)]
mod tests {
    use super::super::Dialect;
    use super::*;

    #[test]
    fn items_in_order() {
        let mut out = Vec::new();
        let mut w = Writer::new(&mut out, Dialect::default());
        let mut fetch = Fetch::new(&mut w, SeqNum::new(12).unwrap());
        fetch.uid(Uid::new(5).unwrap());
        fetch.flags(["\\Seen"].into_iter());
        fetch.modseq(ModSeq(7));
        fetch.internal_date(DateTime { unix: 837_596_665, offset_minutes: -420 });
        fetch.size(44827);
        let section =
            Section { path: vec![1], what: SectionText::HeaderFields(vec!["DATE".into(), "x]".into()]) };
        fetch.section_head(&section, Some(0), None, 2);
        let first = fetch.leave();
        w.raw(b"hi");
        let mut fetch = Fetch::resume(&mut w, first);
        fetch.binary_head(&[1, 2], None, 1, true);
        let first = fetch.leave();
        w.raw(b"\0");
        let mut fetch = Fetch::resume(&mut w, first);
        fetch.binary_head(&[1, 3], Some(7), 0, true);
        fetch.binary_size(&[3], 9);
        let text = Section { path: vec![], what: SectionText::Text };
        fetch.section_nil(&text, None, Some("RFC822.TEXT"));
        fetch.finish();
        assert_eq!(
            String::from_utf8(out).unwrap(),
            "* 12 FETCH (UID 5 FLAGS (\\Seen) MODSEQ (7) INTERNALDATE \"17-Jul-1996 02:44:25 -0700\" \
             RFC822.SIZE 44827 BODY[1.HEADER.FIELDS (DATE \"x]\")]<0> {2}\r\nhi BINARY[1.2] ~{1}\r\n\0 \
             BINARY[1.3]<7> \"\" BINARY.SIZE[3] 9 RFC822.TEXT NIL)\r\n"
        );
    }
}
