//! ENVELOPE (RFC 9051 §7.5.2).

use super::Writer;
use crate::mail::digest::{Address, Envelope};

/// An envelope.
pub fn write(w: &mut Writer<'_>, envelope: &Envelope) {
    w.raw(b"(");
    w.nstring(envelope.date.as_deref());
    w.raw(b" ");
    w.nstring(envelope.subject.as_deref());
    let or_from = |list: &'_ Vec<Address>| if list.is_empty() { envelope.from.clone() } else { list.clone() };
    for list in [&envelope.from, &or_from(&envelope.sender), &or_from(&envelope.reply_to)] {
        w.raw(b" ");
        addresses(w, list);
    }
    for list in [&envelope.to, &envelope.cc, &envelope.bcc] {
        w.raw(b" ");
        addresses(w, list);
    }
    w.raw(b" ");
    w.nstring(envelope.in_reply_to.as_deref());
    w.raw(b" ");
    w.nstring(envelope.message_id.as_deref());
    w.raw(b")");
}

fn addresses(w: &mut Writer<'_>, list: &[Address]) {
    if list.is_empty() {
        return w.raw(b"NIL");
    }
    w.raw(b"(");
    for address in list {
        match address {
            Address::Mailbox { name, route, mailbox, host } => {
                w.raw(b"(");
                w.nstring(name.as_deref());
                w.raw(b" ");
                w.nstring(route.as_deref());
                w.raw(b" ");
                w.string(mailbox);
                w.raw(b" ");
                w.string(host);
                w.raw(b")");
            }
            Address::GroupStart(name) => {
                w.raw(b"(NIL NIL ");
                w.string(name);
                w.raw(b" NIL)");
            }
            Address::GroupEnd => w.raw(b"(NIL NIL NIL NIL)"),
        }
    }
    w.raw(b")");
}

#[cfg(test)]
mod tests {
    use super::super::Dialect;
    use super::*;

    fn mailbox(name: Option<&str>, mailbox: &str) -> Address {
        Address::Mailbox {
            name: name.map(|name| name.as_bytes().to_vec()),
            route: None,
            mailbox: mailbox.into(),
            host: "cac.washington.edu".into(),
        }
    }

    #[test]
    fn example_of_the_rfc() {
        let envelope = Envelope {
            date: Some(b"Wed, 17 Jul 1996 02:23:25 -0700 (PDT)".to_vec()),
            subject: Some(b"IMAP4rev2 WG mtg summary and minutes".to_vec()),
            from: vec![mailbox(Some("Terry Gray"), "gray")],
            to: vec![mailbox(None, "imap")],
            cc: vec![Address::GroupStart(b"A".to_vec()), mailbox(None, "minutes"), Address::GroupEnd],
            message_id: Some(b"<B27397-0100000@cac.washington.edu>".to_vec()),
            ..Envelope::default()
        };
        let mut out = Vec::new();
        write(&mut Writer::new(&mut out, Dialect::default()), &envelope);
        let gray = "((\"Terry Gray\" NIL \"gray\" \"cac.washington.edu\"))";
        let wanted = format!(
            "(\"Wed, 17 Jul 1996 02:23:25 -0700 (PDT)\" \"IMAP4rev2 WG mtg summary and minutes\" {gray} {gray} \
             {gray} ((NIL NIL \"imap\" \"cac.washington.edu\")) ((NIL NIL \"A\" NIL)(NIL NIL \"minutes\" \
             \"cac.washington.edu\")(NIL NIL NIL NIL)) NIL NIL \"<B27397-0100000@cac.washington.edu>\")"
        );
        assert_eq!(String::from_utf8(out).unwrap(), wanted);
    }
}
