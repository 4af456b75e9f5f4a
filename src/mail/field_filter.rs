//! Some fields of a header that is read in pieces: HEADER.FIELDS of one that is too long to be held (RFC 9051 §6.4.5.1).

use crate::mail::header::BOM;

/// A line that has so many bytes before its first colon has no name that anybody asks for.
const LONGEST_NAME: usize = 8 * 1024;

/// Chooses fields as [`filter_fields`](crate::mail::header::filter_fields) does, whatever pieces the header comes in.
/// It holds what it has chosen, and of a field only what stands before its colon.
#[derive(Debug)]
pub struct FieldFilter {
    names: Vec<String>,
    not: bool,
    most: usize,
    out: Vec<u8>,
    /// What could not be looked at without the bytes after it: the beginning of the mark of the byte order, or a CR at the
    /// beginning of a line.
    carry: Vec<u8>,
    place: Place,
    begins_line: bool,
    too_long: bool,
}

/// Where the next byte stands.
#[derive(Debug)]
enum Place {
    /// Before everything.
    Start,
    /// Before the first field, or between two lines of it whose fate is known.
    Field { chosen: bool },
    /// In a field of which this came so far, without a colon.
    Name(Vec<u8>),
    /// Behind the empty line.
    End,
}

impl FieldFilter {
    /// The fields with these names, or with `not` all others, of at most so many bytes.
    #[must_use]
    pub fn new(names: Vec<String>, not: bool, most: usize) -> Self {
        FieldFilter {
            names,
            not,
            most,
            out: Vec::new(),
            carry: Vec::new(),
            place: Place::Start,
            begins_line: true,
            too_long: false,
        }
    }

    /// Takes the next bytes. False where nothing more is wanted: the header is over, or too much was chosen.
    pub fn push(&mut self, bytes: &[u8]) -> bool {
        let joined;
        let mut rest = bytes;
        if !self.carry.is_empty() {
            joined = [&std::mem::take(&mut self.carry), bytes].concat();
            rest = &joined;
        }
        if matches!(self.place, Place::Start) {
            if rest.len() < BOM.len() && BOM.starts_with(rest) {
                self.carry = rest.to_vec();
                return true;
            }
            rest = rest.strip_prefix(BOM).unwrap_or(rest);
            self.place = Place::Name(Vec::new());
        }
        while !rest.is_empty() && !self.is_over() {
            if rest == b"\r" && self.begins_line {
                self.carry = rest.to_vec();
                break;
            }
            let end = rest.iter().position(|byte| *byte == b'\n').map_or(rest.len(), |at| at + 1);
            let (line, after) = rest.split_at(end);
            self.line(line);
            rest = after;
        }
        !self.is_over()
    }

    fn is_over(&self) -> bool {
        self.too_long || matches!(self.place, Place::End)
    }

    /// A line, or what has come of one.
    fn line(&mut self, line: &[u8]) {
        let continues = matches!(line, [b' ' | b'\t', ..]) && !self.is_first();
        if std::mem::replace(&mut self.begins_line, line.ends_with(b"\n")) && !continues {
            self.end_field();
            if matches!(line, b"\n" | b"\r\n") {
                self.place = Place::End;
                return;
            }
            self.place = Place::Name(Vec::new());
        }
        match &mut self.place {
            Place::Name(name) => {
                name.extend_from_slice(line);
                if name.contains(&b':') || name.len() > LONGEST_NAME {
                    self.decide();
                }
            }
            Place::Field { chosen: true } => self.keep(line),
            Place::Start | Place::Field { chosen: false } | Place::End => {}
        }
    }

    /// No field has begun: a line that begins with white space continues none.
    fn is_first(&self) -> bool {
        matches!(&self.place, Place::Name(name) if name.is_empty()) && self.out.is_empty()
    }

    fn decide(&mut self) {
        let Place::Name(bytes) = std::mem::replace(&mut self.place, Place::End) else { return };
        let name = bytes.split(|byte| *byte == b':').next().unwrap_or_default().trim_ascii_end();
        let named = name.len() <= LONGEST_NAME
            && self.names.iter().any(|wanted| name.eq_ignore_ascii_case(wanted.as_bytes()));
        let chosen = named != self.not;
        if chosen {
            self.keep(&bytes);
        }
        self.place = Place::Field { chosen };
    }

    fn end_field(&mut self) {
        if matches!(&self.place, Place::Name(name) if !name.is_empty()) {
            self.decide();
        }
    }

    fn keep(&mut self, bytes: &[u8]) {
        if self.out.len() + bytes.len() > self.most {
            self.too_long = true;
            self.out = Vec::new();
        } else {
            self.out.extend_from_slice(bytes);
        }
    }

    /// What was chosen, and the empty line; `None` if it is longer than it may be.
    #[must_use]
    pub fn finish(mut self) -> Option<Vec<u8>> {
        let rest = std::mem::take(&mut self.carry);
        if matches!(self.place, Place::Start) {
            self.place = Place::Name(Vec::new());
        }
        if !rest.is_empty() && !self.is_over() {
            self.line(&rest);
        }
        if !matches!(self.place, Place::End) {
            let open = !self.begins_line;
            self.end_field();
            if open && matches!(self.place, Place::Field { chosen: true }) {
                self.keep(b"\r\n");
            }
        }
        self.out.extend_from_slice(b"\r\n");
        (!self.too_long).then_some(self.out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mail::header::filter_fields;

    const HEADERS: [&[u8]; 12] = [
        b"From a@b Mon\r\nSubject: a\r\n b\r\n\tc\r\nno field\r\nFROM : x@y\nTo:\r\n\r\nSubject: not here\r\n",
        b"\xef\xbb\xbfSubject: marked\r\n\r\nSubject: body",
        b" Subject: begins with a space\r\nTo: x\r\n y",
        b"Subject",
        b"Subject:",
        b"Subject\r\n : odd\r\nTo\r\n\r\n",
        b"\r\nSubject: body\r\n",
        b"\r",
        b"\xef\xbb",
        b"",
        b"X: 1\r\r\nSubject: 2\r\r\n\r\r\nTo: 3\r\n\n\r\n",
        b"a\r\n\r\n",
    ];

    #[test]
    fn the_same_in_whatever_pieces() {
        for header in HEADERS {
            for names in [vec!["subject".to_owned()], vec!["TO".to_owned(), "From".to_owned()], vec![]] {
                for not in [false, true] {
                    let expected = filter_fields(header, &names, not);
                    for size in 1..=header.len().max(1) {
                        let mut filter = FieldFilter::new(names.clone(), not, 1 << 20);
                        let mut pieces = header.chunks(size);
                        while pieces.next().is_some_and(|piece| filter.push(piece)) {}
                        let found = filter.finish().unwrap();
                        let shown = |bytes: &[u8]| bytes.escape_ascii().to_string();
                        assert_eq!(
                            shown(&found),
                            shown(&expected),
                            "{} {names:?} {not} {size}",
                            shown(header)
                        );
                    }
                }
            }
        }
    }

    #[test]
    fn what_is_too_long_is_not_cut() {
        let header = format!("To: {}\r\nSubject: x\r\n\r\n", "a@b, ".repeat(1_000));
        let chosen = |names: &[&str], not| {
            let names = names.iter().map(|name| (*name).to_owned()).collect();
            let mut filter = FieldFilter::new(names, not, 4_000);
            let more = filter.push(header.as_bytes());
            assert!(!more);
            filter.finish()
        };
        assert_eq!(chosen(&["To"], false), None);
        assert_eq!(chosen(&["Subject"], true), None);
        assert_eq!(chosen(&["Subject"], false).unwrap(), b"Subject: x\r\n\r\n");
    }
}
