//! A header, and each of its values read as every kind of value: bounded, and what was made plain stays so.

use postern::import::old::head;
use postern::mail::date::parse_date;
use postern::mail::digest::Address;
use postern::mail::{address, encoded_word, envelope, header, mime_params, thread};

use super::texts;

pub fn seeds() -> Vec<Vec<u8>> {
    texts(
        &[b""],
        &[
            "From: \"Anna (at work)\" <@relay,@b:anna@example.org>, group: a@b, =?utf-8?q?B=C3=A4r?= <c@d>;\r\nTo: x\r\n\r\n",
            "Subject: Re: [list] Fwd: =?iso-2022-jp?B?GyRCJUYlOSVIGyhC?= =?iso-8859-1?Q?a_b=FC?= (fwd)\r\n\tfolded\r\n\r\n",
            "Content-Type: text/plain; charset=\"utf-8\"; name*0*=utf-8''%c3%a4; name*1=b (comment (nested))\r\n\r\n",
            "Content-Disposition: attachment; filename*=iso-8859-1'en'a%20b; filename=\"x\\\"y\"\r\n\r\n",
            "References: <a@b> <c@d>\r\n <e f@g>\r\nIn-Reply-To: <a@b> text <\r\nMessage-ID: <x@y>\r\n\r\n",
            "Date: Tue, 29 Feb 2000 23:59:60 +1400 (zone)\r\nReceived: from a by b; 1 Jan 70 00:00 EST\r\n\r\n",
            "Status: RO\nX-Status: AF\nX-Mozilla-Status: 1009\nX-Keywords: a, b\nX-Gmail-Labels: =?utf-8?q?a,b?=\n\n",
            "\u{feff}no field\r\n : x\r\nFrom someone Tue Jan  9 14:00:00 2024\r\nA\r\r\nB :c\r\n",
        ],
    )
}

pub fn run(data: &[u8]) {
    let fields: Vec<_> = header::fields(data).collect();
    assert!(fields.iter().map(|field| field.raw.len()).sum::<usize>() <= data.len());
    walked(data, &fields);
    let found = envelope::envelope(data);
    assert_eq!(
        header::unfold(found.subject.as_deref().unwrap_or_default()),
        found.subject.unwrap_or_default()
    );
    let bare = head::without_bookkeeping(data);
    assert!(bare.len() <= data.len() + 4, "{} of {}", bare.len(), data.len());
    // A mark of the byte order goes, and another may stand behind it.
    let marked = data.windows(3).any(|three| three == "\u{feff}".as_bytes());
    assert!(marked || head::without_bookkeeping(&bare) == bare);
    assert!(head::read(data).flags.keywords.len() <= 66);
    value(data);
    fields.iter().take(30).for_each(|field| value(field.value));
}

/// One who leaves and comes back sees the same.
fn walked(data: &[u8], fields: &[header::Field<'_>]) {
    let (mut at, mut seen) = (0, 0);
    while let Some((field, next)) = header::field_at(data, at) {
        assert!(next > at && next <= data.len());
        if let Some(field) = field {
            assert_eq!(fields.get(seen), Some(&field));
            seen += 1;
        }
        at = next;
    }
    assert_eq!(seen, fields.len());
}

fn value(raw: &[u8]) {
    let unfolded = header::unfold(raw);
    assert!(unfolded.len() <= raw.len() && !unfolded.contains(&b'\n') && !unfolded.contains(&b'\r'));
    addresses(raw);
    let text = encoded_word::decode(&unfolded);
    assert!(text.len() <= 4 * raw.len() + 64, "{} of {}", text.len(), raw.len());
    let (base, _) = thread::base_subject(&text);
    assert_eq!(thread::base_subject(&base), (base.clone(), false), "of {text:?}");
    let ids = thread::message_ids(raw);
    assert!(ids.len() <= thread::MOST && ids.iter().map(String::len).sum::<usize>() <= 3 * raw.len());
    parameters(raw);
    if let Some(date) = parse_date(raw) {
        assert!(date.offset_minutes.abs() < 24 * 60, "{date:?}");
    }
}

fn addresses(raw: &[u8]) {
    let mut depth = 0_i32;
    let list = address::parse_list(raw);
    assert!(list.len() <= 2 * raw.len() + 2);
    for address in list {
        match address {
            Address::GroupStart(_) => depth += 1,
            Address::GroupEnd => depth -= 1,
            Address::Mailbox { .. } => {}
        }
        assert!((0..=1).contains(&depth), "groups do not lie in each other");
    }
    assert_eq!(depth, 0, "a group is not closed");
    let _ = address::plain(raw);
}

fn parameters(raw: &[u8]) {
    let (value, params) = mime_params::parse(raw);
    assert!(params.len() <= 64);
    let told: usize = params.iter().map(|(name, value)| name.len() + value.len()).sum();
    assert!(value.len() + told <= 3 * raw.len(), "{params:?}");
    for name in ["name", "charset", "filename", "boundary"] {
        let found = mime_params::find(&params, name);
        assert!(found.is_none_or(|value| value.len() <= 4 * raw.len() + 64));
    }
    let _ = (mime_params::tokens(raw), mime_params::token(raw));
    if let Some((media_type, subtype)) = mime_params::media_type(&value) {
        assert!(!media_type.is_empty() && !subtype.is_empty() && !subtype.contains('/'));
    }
}
