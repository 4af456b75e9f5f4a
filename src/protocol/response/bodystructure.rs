//! BODY and BODYSTRUCTURE (RFC 9051 §7.5.2). Types, parameters and encodings are told in the case that the
//! message has them in: clients compare them in any (RFC 2045 §5.1).

use super::{Writer, envelope};
use crate::mail::digest::{Params, Part, PartContent};

/// Digests are not deeper; the guard is for one that was damaged.
const DEEPEST: usize = 256;

/// A part with all that lies in it; `extended` is BODYSTRUCTURE.
pub fn write(w: &mut Writer<'_>, part: &Part, extended: bool) {
    write_part(w, part, extended, 0);
}

fn write_part(w: &mut Writer<'_>, part: &Part, extended: bool, depth: usize) {
    w.raw(b"(");
    match &part.content {
        PartContent::Multipart(parts) if depth < DEEPEST && !parts.is_empty() => {
            parts.iter().for_each(|inner| write_part(w, inner, extended, depth + 1));
            w.raw(b" ");
            w.string(part.subtype.as_bytes());
            if extended {
                w.raw(b" ");
                params(w, &part.params);
                tail(w, part);
            }
        }
        PartContent::Message(inner) if depth < DEEPEST && has_long_form(w, part) => {
            fields(w, part, &part.media_type, &part.subtype);
            w.raw(b" ");
            envelope::write(w, &inner.0);
            w.raw(b" ");
            write_part(w, &inner.1, extended, depth + 1);
            w.raw(format!(" {}", part.lines).as_bytes());
            single_tail(w, part, extended);
        }
        _ => leaf(w, part, extended),
    }
    w.raw(b")");
}

/// Whether the grammar wants the message in a part told: RFC 3501 §9 knows `media-message` of message/rfc822 alone,
/// and message/global is as any other basic type there; RFC 9051 §9 has both.
fn has_long_form(w: &Writer<'_>, part: &Part) -> bool {
    w.dialect().rev2 || !part.is_subtype("global")
}

fn leaf(w: &mut Writer<'_>, part: &Part, extended: bool) {
    // A message that is encoded has no parts that could be numbered, and the grammar has no other form for
    // message/rfc822; a multipart without parts has none at all.
    let opaque = part.is_type("multipart") || part.is_message() && has_long_form(w, part);
    let text = part.is_type("text");
    if opaque {
        fields(w, part, "application", "octet-stream");
    } else {
        fields(w, part, &part.media_type, &part.subtype);
    }
    if text {
        w.raw(format!(" {}", part.lines).as_bytes());
    }
    single_tail(w, part, extended);
}

/// Type to size: what all single parts begin with.
fn fields(w: &mut Writer<'_>, part: &Part, media_type: &str, subtype: &str) {
    w.string(media_type.as_bytes());
    w.raw(b" ");
    w.string(subtype.as_bytes());
    w.raw(b" ");
    params(w, &part.params);
    w.raw(b" ");
    w.nstring(part.id.as_deref());
    w.raw(b" ");
    w.nstring(part.description.as_deref());
    w.raw(b" ");
    w.string(part.encoding.as_bytes());
    w.raw(format!(" {}", part.body.end.saturating_sub(part.body.start)).as_bytes());
}

fn single_tail(w: &mut Writer<'_>, part: &Part, extended: bool) {
    if extended {
        w.raw(b" ");
        w.nstring(part.md5.as_deref());
        tail(w, part);
    }
}

/// Disposition, language and location.
fn tail(w: &mut Writer<'_>, part: &Part) {
    match &part.disposition {
        Some((disposition, parameters)) => {
            w.raw(b" (");
            w.string(disposition.as_bytes());
            w.raw(b" ");
            params(w, parameters);
            w.raw(b")");
        }
        None => w.raw(b" NIL"),
    }
    match part.language.as_slice() {
        [] => w.raw(b" NIL"),
        [one] => {
            w.raw(b" ");
            w.string(one.as_bytes());
        }
        several => {
            for (n, one) in several.iter().enumerate() {
                w.raw(if n == 0 { b" (" } else { b" " });
                w.string(one.as_bytes());
            }
            w.raw(b")");
        }
    }
    w.raw(b" ");
    w.nstring(part.location.as_deref());
}

fn params(w: &mut Writer<'_>, params: &Params) {
    if params.is_empty() {
        return w.raw(b"NIL");
    }
    for (n, (name, value)) in params.iter().enumerate() {
        w.raw(if n == 0 { b"(" } else { b" " });
        w.string(name.as_bytes());
        w.raw(b" ");
        w.string(value);
    }
    w.raw(b")");
}

#[cfg(test)]
mod tests {
    use super::super::Dialect;
    use super::*;
    use crate::mail::digest::Envelope;

    fn text(lines: u32, size: u64) -> Part {
        Part {
            body: 10..10 + size,
            lines,
            media_type: "text".into(),
            subtype: "plain".into(),
            params: vec![("charset".into(), b"us-ascii".to_vec())],
            encoding: "7bit".into(),
            ..Part::default()
        }
    }

    fn written(part: &Part, extended: bool) -> String {
        let mut out = Vec::new();
        write(&mut Writer::new(&mut out, Dialect::default()), part, extended);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn examples_of_the_rfc() {
        let plain = "\"text\" \"plain\" (\"charset\" \"us-ascii\") NIL NIL \"7bit\" 2279 48";
        assert_eq!(written(&text(48, 2279), false), format!("({plain})"));
        assert_eq!(written(&text(48, 2279), true), format!("({plain} NIL NIL NIL NIL)"));
        let mut attached = text(73, 4554);
        attached.disposition = Some(("attachment".into(), vec![("filename".into(), b"x".to_vec())]));
        let mixed = Part {
            media_type: "multipart".into(),
            subtype: "mixed".into(),
            params: vec![("boundary".into(), b"b".to_vec())],
            language: vec!["en".into(), "de".into()],
            content: PartContent::Multipart(vec![text(48, 2279), attached]),
            ..Part::default()
        };
        let found = written(&mixed, true);
        assert!(found.contains("(\"attachment\" (\"filename\" \"x\"))"));
        assert!(found.ends_with("\"mixed\" (\"boundary\" \"b\") NIL (\"en\" \"de\") NIL)"), "{found}");
        assert!(written(&mixed, false).ends_with("\"mixed\")"));
    }

    #[test]
    fn messages_in_messages() {
        let message = Part {
            media_type: "message".into(),
            subtype: "rfc822".into(),
            encoding: "7bit".into(),
            lines: 9,
            body: 0..50,
            content: PartContent::Message(Box::new((Envelope::default(), text(1, 3)))),
            ..Part::default()
        };
        let wanted = "(\"message\" \"rfc822\" NIL NIL NIL \"7bit\" 50 (NIL NIL NIL NIL NIL NIL NIL NIL NIL NIL) \
                      (\"text\" \"plain\" (\"charset\" \"us-ascii\") NIL NIL \"7bit\" 3 1) 9)";
        assert_eq!(written(&message, false), wanted);
        let opaque = Part { content: PartContent::Leaf, encoding: "base64".into(), ..message.clone() };
        assert!(written(&opaque, false).starts_with("(\"application\" \"octet-stream\""));
        // message/global is a basic body in RFC 3501 §9, encoded or not, and a message in RFC 9051 §9.
        for content in [message.content, PartContent::Leaf] {
            let global = Part { subtype: "Global".into(), content, ..opaque.clone() };
            let basic = "(\"message\" \"Global\" NIL NIL NIL \"base64\" 50)";
            assert_eq!(written(&global, false), basic);
            let mut out = Vec::new();
            write(&mut Writer::new(&mut out, Dialect { utf8: false, rev2: true }), &global, false);
            assert_ne!(String::from_utf8(out).unwrap(), basic);
        }
    }
}
