//! Whether bytes are mail at all: a vCard, a page of JSON, a spread sheet are not, wherever they lie. Pure.

use crate::mail::header;

/// Fields of which a message has one at least, in small letters. Those of the many programs that add their own (`X-…`) stand
/// beside one of these; names that vCards, web pages and settings use as well are not among them.
const KNOWN: [&str; 62] = [
    "apparently-to",
    "approved",
    "arc-seal",
    "authentication-results",
    "auto-submitted",
    "bcc",
    "cc",
    "content-description",
    "content-disposition",
    "content-transfer-encoding",
    "content-type",
    "date",
    "delivered-to",
    "delivery-date",
    "disposition-notification-to",
    "dkim-signature",
    "domainkey-signature",
    "envelope-to",
    "errors-to",
    "from",
    "importance",
    "in-reply-to",
    "list-help",
    "list-id",
    "list-post",
    "list-unsubscribe",
    "mail-followup-to",
    "mailing-list",
    "message-id",
    "mime-version",
    "newsgroups",
    "nntp-posting-host",
    "old-return-path",
    "original-recipient",
    "precedence",
    "received",
    "received-spf",
    "references",
    "reply-to",
    "resent-date",
    "resent-from",
    "resent-message-id",
    "resent-sender",
    "resent-to",
    "return-path",
    "return-receipt-to",
    "sender",
    "status",
    "subject",
    "thread-index",
    "thread-topic",
    "to",
    "user-agent",
    "x-apparently-to",
    "x-envelope-from",
    "x-envelope-to",
    "x-mailer",
    "x-mozilla-status",
    "x-original-to",
    "x-received",
    "x-spam-status",
    "x-status",
];

/// Bytes of a header in which a known field is looked for, where no more is at hand.
pub(crate) const LOOK: usize = 16 * 1024;

/// Why something is not taken.
pub(crate) const NO_MAIL: &str = "no mail: it has none of the fields of a message, and is not text";

/// What the first bytes of a file say of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Likeness {
    /// It has a field that messages have.
    Mail,
    /// It may be a message that lost its header, and anything else.
    Text,
    /// It cannot be a message.
    Binary,
}

/// What a file is by its first bytes: the header, or as much of it as there is.
#[must_use]
pub(crate) fn likeness(start: &[u8]) -> Likeness {
    if has_known_field(start) {
        Likeness::Mail
    } else if start.contains(&0) {
        Likeness::Binary
    } else {
        Likeness::Text
    }
}

fn has_known_field(start: &[u8]) -> bool {
    header::fields(start).any(|field| {
        let name = field.name.trim_ascii().to_ascii_lowercase();
        KNOWN.binary_search_by(|known| known.as_bytes().cmp(&name)).is_ok()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fields_are_in_order() {
        assert!(KNOWN.is_sorted());
    }

    #[test]
    fn mail_and_what_is_none() {
        use Likeness::{Binary, Mail, Text};
        for (text, wanted) in [
            ("From: a@example.org\n\nx\n", Mail),
            ("X-Odd: 1\r\nsubject : late\r\n\r\n", Mail),
            ("From anna Mon Jan  5 10:00:00 2004\nSubject: x\n\n", Mail),
            ("junk first\nMessage-ID: <1@example.org>\n\n", Mail),
            ("\u{feff}Date: now\n", Mail),
            ("Subject: zeros\n\n\0\0\0", Mail),
            ("BEGIN:VCARD\nVERSION:3.0\nN:Doe;Jane\nTEL:1\nEND:VCARD\n", Text),
            ("{\n  \"from\": \"a\"\n}\n", Text),
            ("name: x\nversion: 1\non:\n  push:\n", Text),
            ("Milk: two bottles\n", Text),
            ("root:x:0:0:root:/root:/bin/bash\nmail:x:8:8:mail:/var/mail:/bin/sh\n", Text),
            ("\nSubject: in the body\n", Text),
            ("", Text),
            ("\u{7f}ELF\u{2}\u{1}\0\0\0", Binary),
            ("PK\u{3}\u{4}\u{14}\0\0\0", Binary),
            ("F\0r\0o\0m\0:\0 \0a\0\n\0", Binary),
        ] {
            assert_eq!(likeness(text.as_bytes()), wanted, "{text:?}");
        }
    }
}
