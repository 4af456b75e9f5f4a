//! A header that is searched, however long it is: what lies in memory of it, and what is still to be read.

use std::ops::Range;

use crate::mail::header;
use crate::model::ContentId;
use crate::store::contents::Reading;
use crate::store::{Error, Snapshot};

/// A field that is longer is searched in parts, each as a field of its name: a string that lies across two of them is not
/// found, and all that follows is.
const LONGEST_FIELD: usize = 256 * 1024;
/// A header is read in pieces of this size.
const PIECE: u64 = 64 * 1024;

/// Where one is in a header.
pub struct Window {
    bytes: Vec<u8>,
    at: usize,
    /// What is not read yet.
    left: Range<u64>,
}

/// What comes next.
#[derive(Debug, PartialEq, Eq)]
pub enum Next {
    /// A field, or a line that is none, up to here.
    Field(usize),
    /// Part of a field that is longer than the window.
    Part(usize),
    /// More must be read first.
    Unread,
    /// Nothing: the header is over.
    Over,
}

impl Window {
    /// On a header of which the beginning has been read.
    #[must_use]
    pub fn new(bytes: Vec<u8>, left: Range<u64>) -> Self {
        Window { bytes, at: 0, left }
    }

    /// What comes next.
    #[must_use]
    pub fn next(&self) -> Next {
        let (len, is_all) = (self.bytes.len(), self.left.is_empty());
        match header::field_at(&self.bytes, self.at) {
            // An empty line may have been cut in two.
            None | Some((_, _)) if !is_all && self.at + 1 >= len => Next::Unread,
            None => Next::Over,
            Some((_, end)) if end < len || is_all => Next::Field(end),
            Some(_) if self.at > 0 || len < LONGEST_FIELD => Next::Unread,
            Some(_) => {
                // At the end of a line that is known to be continued, or else within it: whether the last of them is, its next
                // byte will tell.
                let known = self.bytes.get(..len - 1).unwrap_or_default();
                let line = known.iter().rposition(|byte| *byte == b'\n');
                Next::Part(line.map_or(len - 1, |at| at + 1))
            }
        }
    }

    /// The bytes up to a place that [`Window::next`] gave.
    #[must_use]
    pub fn raw(&self, end: usize) -> &[u8] {
        self.bytes.get(self.at..end).unwrap_or_default()
    }

    /// Goes on behind a field.
    pub fn pass(&mut self, end: usize) {
        self.at = end;
    }

    /// Goes on within a field, with what follows as one of the same name.
    pub fn pass_part(&mut self, end: usize) {
        let name = header::field_at(&self.bytes, 0).and_then(|(field, _)| Some(field?.name.to_vec()));
        self.bytes.drain(..end);
        if let Some(mut name) = name {
            name.push(b':');
            self.bytes.splice(0..0, name);
        }
        self.at = 0;
    }

    /// Reads on.
    ///
    /// # Errors
    /// Of reading.
    pub fn read(
        &mut self,
        snapshot: &Snapshot,
        email: ContentId,
        reading: &mut Reading,
    ) -> Result<(), Error> {
        self.bytes.drain(..self.at);
        self.at = 0;
        let end = self.left.end.min(self.left.start.saturating_add(PIECE));
        snapshot.read_on(email, reading, self.left.start..end, &mut self.bytes)?;
        self.left.start = end;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The fields of a header that is read in pieces of some size.
    fn fields(header: &[u8], first: usize, piece: usize) -> Vec<Vec<u8>> {
        let (first, piece) = (first.min(header.len()), piece as u64);
        let mut window = Window::new(header[..first].to_vec(), first as u64..header.len() as u64);
        let mut found = Vec::new();
        loop {
            match window.next() {
                Next::Field(end) => {
                    found.push(window.raw(end).to_vec());
                    window.pass(end);
                }
                Next::Part(end) => {
                    found.push(window.raw(end).to_vec());
                    window.pass_part(end);
                }
                Next::Unread => {
                    window.bytes.drain(..std::mem::take(&mut window.at));
                    let end = window.left.end.min(window.left.start + piece);
                    window.bytes.extend_from_slice(&header[window.left.start as usize..end as usize]);
                    window.left.start = end;
                }
                Next::Over => return found,
            }
        }
    }

    #[test]
    fn the_same_fields_in_whatever_pieces() {
        for header in [
            &b"A: 1\r\n 2\r\nno field\r\nB: 3\r\n\r\nC: body\r\n"[..],
            b"A: 1\n\nB: body",
            b"A: 1\r\nB: 2",
            b"\r\nA: body",
            b"",
            b"A: 1\r\n\t\r\n\r",
        ] {
            let expected = fields(header, header.len(), 1);
            for first in 0..=header.len() {
                for piece in 1..5 {
                    assert_eq!(fields(header, first, piece), expected, "{first} {piece}");
                }
            }
        }
    }

    #[test]
    fn a_field_that_is_longer_than_the_window_is_all_of_its_name() {
        let many: String = (0..40_000).map(|n| format!(" user{n}@example.org,\r\n")).collect();
        let header = format!("X: before\r\nTo:{many}Subject: behind\r\n\r\nbody");
        let found = fields(header.as_bytes(), 1000, 65_536);
        assert_eq!(found.first().unwrap(), b"X: before\r\n");
        assert_eq!(found.last().unwrap(), b"Subject: behind\r\n");
        let parts = &found[1..found.len() - 1];
        assert!(parts.len() > 2 && parts.iter().all(|part| part.starts_with(b"To:") && part.len() < 400_000));
        let joined: Vec<u8> = parts.iter().flat_map(|part| &part[3..]).copied().collect();
        assert_eq!(String::from_utf8(joined).unwrap(), many);
        // One line without an end.
        let header = format!("X-Long: {}\r\nSubject: behind\r\n\r\n", "y".repeat(1_000_000));
        let found = fields(header.as_bytes(), 1000, 65_536);
        assert!(found[..found.len() - 1].iter().all(|part| part.starts_with(b"X-Long:")));
        assert_eq!(found.last().unwrap(), b"Subject: behind\r\n");
    }
}
