//! The envelope of a header (RFC 9051 §7.5.2).

use super::address::parse_list;
use super::digest::Envelope;
use super::header::{Field, fields, unfold};

/// A longer value is cut: no client can show it.
const LONGEST: usize = 64 * 1024;

/// Reads a header's envelope. Of a field that occurs twice the first counts, but addresses are joined: else
/// one reader could be shown another sender than the next.
#[must_use]
pub fn envelope(header: &[u8]) -> Envelope {
    let mut found = Envelope::default();
    for field in fields(header) {
        take(&mut found, &field);
    }
    found
}

fn take(found: &mut Envelope, field: &Field<'_>) {
    let once = |slot: &mut Option<Vec<u8>>| {
        if slot.is_none() {
            let mut value = unfold(field.value);
            value.truncate(LONGEST);
            *slot = Some(value);
        }
    };
    match field.name.to_ascii_lowercase().as_slice() {
        b"date" => once(&mut found.date),
        b"subject" => once(&mut found.subject),
        b"from" => found.from.extend(parse_list(field.value)),
        b"sender" => found.sender.extend(parse_list(field.value)),
        b"reply-to" => found.reply_to.extend(parse_list(field.value)),
        b"to" => found.to.extend(parse_list(field.value)),
        b"cc" => found.cc.extend(parse_list(field.value)),
        b"bcc" => found.bcc.extend(parse_list(field.value)),
        b"in-reply-to" => once(&mut found.in_reply_to),
        b"message-id" => once(&mut found.message_id),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_of_a_header() {
        let found = envelope(
            b"Subject: one\r\n two\r\nsubject: three\r\nTo: a@b\r\nTO: c@d\r\nFrom: x@y\r\nMessage-Id: <1@2>\r\n\r\n",
        );
        assert_eq!(found.subject.as_deref(), Some(&b"one two"[..]));
        assert_eq!((found.to.len(), found.from.len(), found.sender.len()), (2, 1, 0));
        assert_eq!(found.message_id.as_deref(), Some(&b"<1@2>"[..]));
        assert_eq!(found.date, None);
        assert_eq!(envelope(b""), Envelope::default());
    }
}
