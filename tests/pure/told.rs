//! What FETCH tells of a message, read again by the grammar and compared with its digest.

use postern::mail::digest::{Address, Digest, Envelope, Params, Part, PartContent};
use postern::mail::structure::Digester;
use postern::protocol::response::{Dialect, Writer, bodystructure, envelope};

use super::grammar::{Value, read};

pub fn digest(message: &[u8]) -> Digest {
    let mut digester = Digester::new();
    digester.push(message);
    digester.finish()
}

pub fn envelope_of(digest: &Digest, dialect: Dialect) -> Vec<u8> {
    let mut out = Vec::new();
    envelope::write(&mut Writer::new(&mut out, dialect), &digest.envelope);
    out
}

pub fn structure_of(digest: &Digest, extended: bool) -> Vec<u8> {
    let mut out = Vec::new();
    bodystructure::write(&mut Writer::new(&mut out, Dialect::default()), &digest.root, extended);
    out
}

/// ENVELOPE and BODYSTRUCTURE are what the digest means, and its parts lie in each other.
pub fn check(name: &str, message: &[u8]) {
    let digest = digest(message);
    let shown = String::from_utf8_lossy(message);
    let envelope = envelope_of(&digest, Dialect::default());
    let read_back = read(&envelope).unwrap_or_else(|why| panic!("{name}: {why}\n{shown}"));
    assert!(is_envelope(&read_back, &digest.envelope), "{name}: {read_back:?}\n{shown}");
    for extended in [false, true] {
        let structure = structure_of(&digest, extended);
        let read_back = read(&structure).unwrap_or_else(|why| panic!("{name}: {why}\n{shown}"));
        assert!(is_body(&read_back, &digest.root, extended), "{name}: {read_back:?}\n{shown}");
    }
    let sound = std::panic::catch_unwind(|| within(&digest, message.len() as u64));
    assert!(sound.is_ok(), "{name}: {:#?}\n{message:?}\n{shown}", digest.root);
}

/// NUL cannot be told in a string.
fn told(bytes: &[u8]) -> Vec<u8> {
    bytes.iter().map(|byte| if *byte == 0 { b'?' } else { *byte }).collect()
}

fn is_nstring(value: &Value, wanted: Option<&Vec<u8>>) -> bool {
    match wanted {
        None => *value == Value::Nil,
        Some(bytes) => value.string() == Some(&told(bytes)),
    }
}

fn is_string(value: &Value, wanted: &str) -> bool {
    value.string() == Some(&told(wanted.as_bytes()))
}

/// `envelope` (RFC 9051 §9).
fn is_envelope(value: &Value, wanted: &Envelope) -> bool {
    let Some([date, subject, from, sender, reply_to, to, cc, bcc, in_reply_to, id]) = value.list() else {
        return false;
    };
    let or_from = |list: &Vec<Address>| if list.is_empty() { wanted.from.clone() } else { list.clone() };
    is_nstring(date, wanted.date.as_ref())
        && is_nstring(subject, wanted.subject.as_ref())
        && are_addresses(from, &wanted.from)
        && are_addresses(sender, &or_from(&wanted.sender))
        && are_addresses(reply_to, &or_from(&wanted.reply_to))
        && are_addresses(to, &wanted.to)
        && are_addresses(cc, &wanted.cc)
        && are_addresses(bcc, &wanted.bcc)
        && is_nstring(in_reply_to, wanted.in_reply_to.as_ref())
        && is_nstring(id, wanted.message_id.as_ref())
}

fn are_addresses(value: &Value, wanted: &[Address]) -> bool {
    if wanted.is_empty() {
        return *value == Value::Nil;
    }
    let Some(list) = value.list() else { return false };
    let is_address = |(value, wanted): (&Value, &Address)| {
        let Some([name, route, mailbox, host]) = value.list() else { return false };
        match wanted {
            Address::Mailbox { name: n, route: r, mailbox: m, host: h } => {
                is_nstring(name, n.as_ref())
                    && is_nstring(route, r.as_ref())
                    && is_nstring(mailbox, Some(m))
                    && is_nstring(host, Some(h))
            }
            Address::GroupStart(n) => {
                [name, route, host].iter().all(|part| **part == Value::Nil) && is_nstring(mailbox, Some(n))
            }
            Address::GroupEnd => [name, route, mailbox, host].iter().all(|part| **part == Value::Nil),
        }
    };
    list.len() == wanted.len() && list.iter().zip(wanted).all(is_address)
}

/// `body` (RFC 9051 §9). Type, subtype and encoding are never NIL nor left out: a client crashed on that.
fn is_body(value: &Value, wanted: &Part, extended: bool) -> bool {
    let Some(values) = value.list() else { return false };
    match &wanted.content {
        PartContent::Multipart(parts) => is_multipart(values, wanted, parts, extended),
        PartContent::Message(inner) if !is_global(wanted) => {
            let Some((head, [envelope, body, lines, rest @ ..])) = values.split_at_checked(7) else {
                return false;
            };
            is_single(head, wanted, &wanted.media_type, &wanted.subtype)
                && is_envelope(envelope, &inner.0)
                && is_body(body, &inner.1, extended)
                && lines.number() == Some(u64::from(wanted.lines))
                && is_single_tail(rest, wanted, extended)
        }
        _ => {
            let opaque = wanted.is_message() && !is_global(wanted) || wanted.is_type("multipart");
            let text = wanted.is_type("text");
            let Some((head, rest)) = values.split_at_checked(7) else { return false };
            let (media_type, subtype) = match opaque {
                true => ("application", "octet-stream"),
                false => (wanted.media_type.as_str(), wanted.subtype.as_str()),
            };
            let (lines, rest) = rest.split_at(usize::from(text).min(rest.len()));
            is_single(head, wanted, media_type, subtype)
                && (!text || lines[0].number() == Some(u64::from(wanted.lines)))
                && is_single_tail(rest, wanted, extended)
        }
    }
}

/// A basic body in RFC 3501 §9, whose grammar this dialect speaks.
fn is_global(part: &Part) -> bool {
    part.is_message() && part.is_subtype("global")
}

fn is_multipart(values: &[Value], wanted: &Part, parts: &[Part], extended: bool) -> bool {
    let Some((bodies, rest)) = values.split_at_checked(parts.len()) else { return false };
    let Some((subtype, rest)) = rest.split_first() else { return false };
    let tail = match rest.split_first() {
        None => !extended,
        Some((found, tail)) => extended && are_params(found, &wanted.params) && is_tail(tail, wanted),
    };
    tail && is_string(subtype, &wanted.subtype)
        && bodies.iter().zip(parts).all(|(value, part)| is_body(value, part, extended))
}

fn is_single(values: &[Value], wanted: &Part, media_type: &str, subtype: &str) -> bool {
    let [a, b, params, id, description, encoding, size] = values else { return false };
    is_string(a, media_type)
        && is_string(b, subtype)
        && !media_type.is_empty()
        && !subtype.is_empty()
        && are_params(params, &wanted.params)
        && is_nstring(id, wanted.id.as_ref())
        && is_nstring(description, wanted.description.as_ref())
        && is_string(encoding, &wanted.encoding)
        && !wanted.encoding.is_empty()
        && size.number() == Some(wanted.body.end - wanted.body.start)
}

fn is_single_tail(values: &[Value], wanted: &Part, extended: bool) -> bool {
    match values.split_first() {
        None => !extended,
        Some((md5, tail)) => extended && is_nstring(md5, wanted.md5.as_ref()) && is_tail(tail, wanted),
    }
}

/// Disposition, language, location.
fn is_tail(values: &[Value], wanted: &Part) -> bool {
    let [disposition, language, location] = values else { return false };
    let disposition = match (&wanted.disposition, disposition.list()) {
        (None, None) => *disposition == Value::Nil,
        (Some((kind, params)), Some([found, list])) => is_string(found, kind) && are_params(list, params),
        _ => false,
    };
    let language = match wanted.language.as_slice() {
        [] => *language == Value::Nil,
        [one] => is_string(language, one),
        several => language.list().is_some_and(|list| {
            list.len() == several.len() && list.iter().zip(several).all(|(value, tag)| is_string(value, tag))
        }),
    };
    disposition && language && is_nstring(location, wanted.location.as_ref())
}

fn are_params(value: &Value, wanted: &Params) -> bool {
    if wanted.is_empty() {
        return *value == Value::Nil;
    }
    let Some(list) = value.list() else { return false };
    list.len() == wanted.len() * 2
        && list
            .chunks(2)
            .zip(wanted)
            .all(|(pair, (name, value))| is_string(&pair[0], name) && is_nstring(&pair[1], Some(value)))
}

/// Parts lie within what holds them, in order.
fn within(digest: &Digest, size: u64) {
    fn part(part_: &Part, from: u64, to: u64) {
        assert!(from <= part_.header.start && part_.header.end == part_.body.start && part_.body.end <= to);
        match &part_.content {
            PartContent::Leaf => {}
            PartContent::Message(inner) => part(&inner.1, part_.body.start, part_.body.end),
            PartContent::Multipart(parts) => {
                let mut from = part_.body.start;
                for inner in parts {
                    part(inner, from, part_.body.end);
                    from = inner.body.end;
                }
            }
        }
    }
    assert_eq!(digest.size, size);
    part(&digest.root, 0, size);
}
