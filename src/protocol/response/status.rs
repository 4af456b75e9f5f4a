//! STATUS (RFC 9051 §7.3.3).

use super::Writer;
use crate::model::ObjectId;
use crate::protocol::command::status::StatusItem;

/// A figure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Value {
    /// Most of them.
    Number(u64),
    /// MAILBOXID.
    ObjectId(ObjectId),
}

/// A mailbox's figures.
pub fn write(w: &mut Writer<'_>, name: &str, values: &[(StatusItem, Value)]) {
    w.raw(b"* STATUS ");
    w.mailbox(name);
    for (n, (item, value)) in values.iter().enumerate() {
        w.raw(if n == 0 { b" (" } else { b" " });
        w.raw(item.name().as_bytes());
        match value {
            Value::Number(number) => w.raw(format!(" {number}").as_bytes()),
            Value::ObjectId(id) => w.raw(format!(" ({id})").as_bytes()),
        }
    }
    w.raw(b")\r\n");
}

#[cfg(test)]
mod tests {
    use super::super::Dialect;
    use super::*;

    #[test]
    fn example_of_the_rfc() {
        let mut out = Vec::new();
        let values =
            [(StatusItem::Messages, Value::Number(231)), (StatusItem::UidNext, Value::Number(44292))];
        write(&mut Writer::new(&mut out, Dialect::default()), "blurdybloop", &values);
        assert_eq!(out, b"* STATUS \"blurdybloop\" (MESSAGES 231 UIDNEXT 44292)\r\n");
    }
}
