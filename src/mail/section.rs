//! Sections of a message (RFC 9051 §6.4.5.1): what `BODY[…]` names, and where it lies.

use std::ops::Range;

use super::digest::{Part, PartContent};

/// What `BODY[…]` names.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Section {
    /// Part numbers, from 1; empty for the message itself.
    pub path: Vec<u32>,
    /// What of that part.
    pub what: SectionText,
}

/// Which bytes of a part a section means.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub enum SectionText {
    /// `BODY[]` the whole message; `BODY[1]` the body of part 1.
    #[default]
    Whole,
    /// `HEADER`
    Header,
    /// `HEADER.FIELDS (…)`: names as the client wrote them, in its order.
    HeaderFields(Vec<String>),
    /// `HEADER.FIELDS.NOT (…)`
    HeaderFieldsNot(Vec<String>),
    /// `TEXT`
    Text,
    /// `MIME`: the header of the part itself; only after a path.
    Mime,
}

/// Where a section lies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Located {
    /// These bytes of the message.
    Range(Range<u64>),
    /// Some fields of this header.
    Fields {
        /// Where the header lies.
        header: Range<u64>,
        /// Their names.
        names: Vec<String>,
        /// All but those.
        not: bool,
    },
}

/// Where a section lies; `None` if there is no such part.
#[must_use]
pub fn locate(root: &Part, section: &Section) -> Option<Located> {
    let found = part(root, &section.path)?;
    // HEADER and TEXT of a part are those of the message in it (RFC 9051 §6.4.5.1).
    let message = || -> Option<&Part> {
        match &found.content {
            _ if section.path.is_empty() => Some(found),
            PartContent::Message(inner) => Some(&inner.1),
            _ => None,
        }
    };
    let fields = |names: &Vec<String>, not: bool| {
        Some(Located::Fields { header: message()?.header.clone(), names: names.clone(), not })
    };
    match &section.what {
        SectionText::Whole if section.path.is_empty() => {
            Some(Located::Range(found.header.start..found.body.end))
        }
        SectionText::Whole => Some(Located::Range(found.body.clone())),
        SectionText::Header => Some(Located::Range(message()?.header.clone())),
        SectionText::Text => Some(Located::Range(message()?.body.clone())),
        SectionText::Mime => Some(Located::Range(found.header.clone())),
        SectionText::HeaderFields(names) => fields(names, false),
        SectionText::HeaderFieldsNot(names) => fields(names, true),
    }
}

/// The part at a path; `[]` is the message itself.
#[must_use]
pub fn part<'a>(root: &'a Part, path: &[u32]) -> Option<&'a Part> {
    let mut current = root;
    for (n, number) in path.iter().enumerate() {
        let index = usize::try_from(number.checked_sub(1)?).ok()?;
        // Numbers count within the message that lies in a part.
        let mut of_message = n == 0;
        if n > 0
            && let PartContent::Message(inner) = &current.content
        {
            of_message = true;
            current = &inner.1;
        }
        match &current.content {
            PartContent::Multipart(parts) => current = parts.get(index)?,
            // What is no multipart is its own part 1: of a message, or of a message in it.
            _ if index == 0 && of_message => {}
            _ => return None,
        }
    }
    Some(current)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of RFC 9051 §6.4.5.1, with the parts' texts named for their numbers.
    fn example() -> (String, Part) {
        let message = "Subject: top\r\nContent-Type: multipart/mixed; boundary=a\r\n\r\n\
            --a\r\n\r\nONE\r\n\
            --a\r\nContent-Type: application/octet-stream\r\n\r\nTWO\r\n\
            --a\r\nContent-Type: message/rfc822\r\n\r\n\
            Subject: three\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n\
            --b\r\n\r\nTHREE.ONE\r\n--b\r\n\r\nTHREE.TWO\r\n--b--\r\n\
            --a\r\nContent-Type: multipart/mixed; boundary=c\r\n\r\n\
            --c\r\nContent-Type: image/gif\r\n\r\nFOUR.ONE\r\n\
            --c\r\nContent-Type: message/rfc822\r\n\r\nSubject: four.two\r\n\r\nFOUR.TWO.ONE\r\n--c--\r\n--a--\r\n";
        let mut digester = crate::mail::structure::Digester::new();
        digester.push(message.as_bytes());
        (message.to_owned(), digester.finish().root)
    }

    fn text(path: &[u32], what: SectionText) -> Option<String> {
        let (message, root) = example();
        match locate(&root, &Section { path: path.to_vec(), what })? {
            Located::Range(range) => Some(message[range.start as usize..range.end as usize].to_owned()),
            Located::Fields { header, .. } => {
                Some(message[header.start as usize..header.end as usize].to_owned())
            }
        }
    }

    #[test]
    fn example_of_the_rfc() {
        use SectionText::{Header, Mime, Text, Whole};
        let whole = |path: &[u32]| text(path, Whole);
        assert_eq!(whole(&[1]).as_deref(), Some("ONE"));
        assert_eq!(whole(&[2]).as_deref(), Some("TWO"));
        assert!(whole(&[3]).unwrap().starts_with("Subject: three"));
        assert_eq!(whole(&[3, 1]).as_deref(), Some("THREE.ONE"));
        assert_eq!(whole(&[3, 2]).as_deref(), Some("THREE.TWO"));
        assert_eq!(whole(&[4, 1]).as_deref(), Some("FOUR.ONE"));
        assert_eq!(whole(&[4, 2, 1]).as_deref(), Some("FOUR.TWO.ONE"));
        assert!(whole(&[]).unwrap().starts_with("Subject: top"));
        assert!(text(&[3], Header).unwrap().starts_with("Subject: three"));
        assert!(text(&[3], Text).unwrap().starts_with("--b"));
        assert!(text(&[4, 2], Header).unwrap().starts_with("Subject: four.two"));
        assert_eq!(text(&[4, 1], Mime).as_deref(), Some("Content-Type: image/gif\r\n\r\n"));
        assert!(text(&[], Text).unwrap().starts_with("--a"));
        assert_eq!(
            text(&[], Header).unwrap(),
            "Subject: top\r\nContent-Type: multipart/mixed; boundary=a\r\n\r\n"
        );
    }

    #[test]
    fn what_is_not_there() {
        for path in [&[5][..], &[1, 1], &[2, 1], &[3, 3], &[4, 2, 2], &[4, 2, 1, 1]] {
            assert_eq!(text(path, SectionText::Whole), None, "{path:?}");
        }
        assert_eq!(text(&[1], SectionText::Header), None);
        assert_eq!(text(&[2], SectionText::Text), None);
    }

    /// Each number of a path is one step: messages in messages took two walks for each level (2^40 here).
    #[test]
    fn messages_in_messages() {
        let depth = 40;
        let mut root = Part { header: 990..995, body: 995..1000, ..Part::default() };
        for level in (0..depth).rev() {
            let content = PartContent::Message(Box::new((crate::mail::digest::Envelope::default(), root)));
            root = Part { header: level..level + 1, body: level + 1..1000, content, ..Part::default() };
        }
        let at = |path: &[u32]| part(&root, path).map(|part| part.header.clone());
        assert_eq!(at(&[1; 40]), Some(39..40));
        assert_eq!(at(&[1; 41]), Some(990..995));
        assert_eq!(at(&[1; 42]), None);
        let mut path = [1; 40];
        path[20] = 2;
        assert_eq!(at(&path), None);
    }

    #[test]
    fn part_one_of_a_single_part_is_its_body() {
        let root = Part { header: 0..10, body: 10..20, ..Part::default() };
        let one = Section { path: vec![1], what: SectionText::Whole };
        assert_eq!(locate(&root, &one), Some(Located::Range(10..20)));
        assert_eq!(part(&root, &[1, 1]), None);
        assert_eq!(part(&root, &[2]), None);
    }
}
