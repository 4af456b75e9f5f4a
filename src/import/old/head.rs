//! What a header says beyond the message itself: when it arrived, which flags it has, under which labels
//! it lay. mbox files have no other place for this. Pure.

use crate::mail::date::parse_date;
use crate::mail::encoded_word;
use crate::mail::header::{self, Field, unfold};
use crate::model::{DateTime, Flag, FlagSet, Keyword, SystemFlags};

/// Fields that programs add to a message in an mbox and change there. They are not the message's own, and
/// kept they would make another message of it whenever it was read or flagged between two imports.
const BOOKKEEPING: [&str; 13] = [
    "Status",
    "X-Status",
    "X-Keywords",
    "X-UID",
    "X-IMAP",
    "X-IMAPbase",
    "X-Mozilla-Status",
    "X-Mozilla-Status2",
    "X-Mozilla-Keys",
    "Content-Length",
    "Lines",
    "X-Gmail-Labels",
    "X-GM-THRID",
];

/// What our own export puts before a message, and the last of it.
const OWN: [&[u8]; 3] = [b"Status", b"X-Status", b"X-Keywords"];
const SIZE: &[u8] = b"X-Postern-Size";

/// `X-Mozilla-Status`: hexadecimal, a bit a flag.
const MOZILLA: [(u32, SystemFlags); 3] =
    [(0x1, SystemFlags::SEEN), (0x2, SystemFlags::ANSWERED), (0x4, SystemFlags::FLAGGED)];
/// Deleted, and still in the file until it is compacted.
const MOZILLA_EXPUNGED: u32 = 0x8;
const MOZILLA_FORWARDED: u32 = 0x1000;
/// More keywords than this in a header are a mistake.
const MAX_KEYWORDS: usize = 64;

/// What was found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Head {
    /// From the newest `Received`, else `Date`.
    pub date: Option<DateTime>,
    /// Of `Status` and its like.
    pub flags: FlagSet,
    /// Deleted in Thunderbird.
    pub expunged: bool,
    /// `X-Gmail-Labels`, decoded.
    pub labels: Option<String>,
    /// The first entry of a file that a server left for itself, and no mail.
    pub internal: bool,
}

/// Reads a header.
#[must_use]
pub fn read(bytes: &[u8]) -> Head {
    let mut head = Head::default();
    let (mut received, mut sent) = (None, None);
    for field in header::fields(bytes) {
        if field.is("Received") {
            received = received.or_else(|| parse_date(field.value.rsplit(|byte| *byte == b';').next()?));
        } else if field.is("Date") {
            sent = sent.or_else(|| parse_date(field.value));
        } else if field.is("X-Gmail-Labels") {
            let more = encoded_word::decode(&unfold(field.value));
            head.labels = Some(head.labels.map_or(more.clone(), |labels| format!("{labels},{more}")));
        } else if field.is("Subject") {
            head.internal |= field.value.trim_ascii().starts_with(b"DON'T DELETE THIS MESSAGE");
        } else {
            flags(&mut head, field);
        }
    }
    head.internal &= header::fields(bytes).any(|field| field.is("X-IMAP") || field.is("X-IMAPbase"));
    head.date = received.or(sent);
    head
}

fn flags(head: &mut Head, field: Field<'_>) {
    let value = field.value.trim_ascii();
    if field.is("Status") || field.is("X-Status") {
        for letter in value {
            let flag = match letter {
                b'R' => SystemFlags::SEEN,
                b'A' => SystemFlags::ANSWERED,
                b'F' => SystemFlags::FLAGGED,
                b'D' => SystemFlags::DELETED,
                b'T' => SystemFlags::DRAFT,
                _ => continue,
            };
            head.flags.insert(Flag::System(flag));
        }
    } else if field.is("X-Mozilla-Status") {
        let bits = std::str::from_utf8(value).ok().and_then(|text| u32::from_str_radix(text, 16).ok());
        let bits = bits.unwrap_or(0);
        let set = MOZILLA.into_iter().filter(|(bit, _)| bits & bit != 0);
        set.for_each(|(_, flag)| head.flags.insert(Flag::System(flag)));
        head.expunged |= bits & MOZILLA_EXPUNGED != 0;
        if bits & MOZILLA_FORWARDED != 0 {
            head.flags.keywords.extend(Keyword::new("$Forwarded"));
        }
    } else if field.is("X-Keywords") || field.is("X-Mozilla-Keys") {
        let text = String::from_utf8_lossy(value).into_owned();
        let words = text.split(|c: char| c.is_whitespace() || c == ',').filter_map(Keyword::new);
        for word in words {
            if head.flags.keywords.len() < MAX_KEYWORDS {
                head.flags.insert(Flag::Keyword(word));
            }
        }
    }
}

/// What our own export puts before a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Own {
    /// How long that is.
    pub length: usize,
    /// The flags that it tells.
    pub flags: FlagSet,
    /// How long the message is, its line ends CRLF.
    pub size: u64,
}

/// Reads it, if it stands there: what follows is the message as it was, with fields of its own that are called the same.
#[must_use]
pub fn own(header: &[u8]) -> Option<Own> {
    let mut length = 0;
    for line in header.split_inclusive(|byte| *byte == b'\n').take(OWN.len() + 1) {
        length += line.len();
        let (name, value) = line.split_at(line.iter().position(|byte| *byte == b':')?);
        if name == SIZE {
            let size = std::str::from_utf8(value.get(1..)?.trim_ascii()).ok()?.parse().ok()?;
            return Some(Own { length, flags: read(header.get(..length)?).flags, size });
        }
        if !OWN.contains(&name) {
            return None;
        }
    }
    None
}

/// The header without what an mbox adds to it.
#[must_use]
pub fn without_bookkeeping(bytes: &[u8]) -> Vec<u8> {
    let names = BOOKKEEPING.map(str::to_owned);
    let mut out = header::filter_fields(bytes, &names, true);
    if !bytes.ends_with(b"\n\n") && !bytes.ends_with(b"\n\r\n") && !matches!(bytes, b"\n" | b"\r\n") {
        // There was no empty line: a header of its own, or the start of one that is very long.
        out.truncate(out.len().saturating_sub(2));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(header: &str) -> String {
        let head = read(header.as_bytes());
        let names = head.flags.system.names().map(str::to_owned);
        let words = head.flags.keywords.iter().map(|word| word.as_str().to_owned());
        names.chain(words).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn flags_of_programs() {
        for (header, wanted) in [
            ("Status: RO\n", "\\Seen"),
            ("Status: O\n", ""),
            ("Status: RO\nX-Status: AFDT\n", "\\Answered \\Flagged \\Deleted \\Seen \\Draft"),
            ("X-Mozilla-Status: 0001\n", "\\Seen"),
            ("X-Mozilla-Status: 1007\n", "\\Answered \\Flagged \\Seen $Forwarded"),
            ("X-Mozilla-Status: zz\n", ""),
            ("X-Mozilla-Keys: $label1 work        \n", "$label1 work"),
            ("X-Keywords: NonJunk, NonJunk $MDNSent   \n", "NonJunk $MDNSent"),
        ] {
            assert_eq!(shown(header), wanted, "{header}");
        }
        assert!(read(b"X-Mozilla-Status: 0009\n").expunged);
        assert!(read(b"Subject: DON'T DELETE THIS MESSAGE -- x\nX-IMAP: 12 34\n\n").internal);
        assert!(!read(b"Subject: DON'T DELETE THIS MESSAGE please\n\n").internal);
    }

    #[test]
    fn dates() {
        let header = "Received: from a by b; Mon, 5 Jan 2004 11:00:00 +0100\r\n\
            Received: from x by a;\r\n\tSun, 4 Jan 2004 10:00:00 +0000\r\nDate: Sat, 3 Jan 2004 10:00:00 +0000\r\n";
        assert_eq!(read(header.as_bytes()).date.unwrap().unix, 1_073_296_800);
        assert_eq!(
            read(b"Received: by b\nDate: Mon, 5 Jan 2004 10:00 GMT\n").date.unwrap().unix,
            1_073_296_800
        );
        assert_eq!(read(b"Subject: x\n").date, None);
    }

    #[test]
    fn labels_are_decoded_across_lines() {
        let header = "X-Gmail-Labels: =?UTF-8?Q?Archiviert,Ge=C3=B6ff?=\r\n =?UTF-8?Q?net,Arbeit?=\r\n\r\n";
        assert_eq!(read(header.as_bytes()).labels.as_deref(), Some("Archiviert,Geöffnet,Arbeit"));
    }

    #[test]
    fn only_bookkeeping_goes() {
        let header = b"Status: RO\r\nSubject: a\r\n b\r\nX-Keywords: a\r\n  b\r\nodd line\r\nTo: x\r\nx-status: A\r\n\r\n";
        assert_eq!(
            String::from_utf8_lossy(&without_bookkeeping(header)),
            "Subject: a\r\n b\r\nodd line\r\nTo: x\r\n\r\n"
        );
        assert_eq!(without_bookkeeping(b""), b"");
        assert_eq!(without_bookkeeping(b"Status: R"), b"");
        assert_eq!(without_bookkeeping(b"\n"), b"\r\n");
        assert_eq!(without_bookkeeping(b"A: 1\n\n"), b"A: 1\n\r\n");
    }
}
