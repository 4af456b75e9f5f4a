//! FETCH responses in a form that is equal where they mean the same: a literal or a quoted string, upper or lower
//! case, the order of items and flags, and the blank before a day are a server's own affair (RFC 9051 §7.5.2).

use crate::wire::literal;

enum Node {
    Text(String),
    List(Vec<Node>),
}

/// Each response of an answer that has its literals.
pub fn canonical(text: &[u8]) -> Vec<String> {
    let (mut found, mut rest) = (Vec::new(), text);
    while let Some(open) = rest.iter().position(|byte| *byte == b'(' || *byte == b'\n') {
        if rest[open] == b'\n' {
            rest = &rest[open + 1..];
            continue;
        }
        let head = String::from_utf8_lossy(&rest[..open]).into_owned();
        let (items, after) = list(&rest[open + 1..]);
        found.push(format!("{head}{}", sorted(items)));
        rest = after.strip_prefix(b"\r\n").unwrap();
    }
    found
}

/// The items with their values, in order of their names; `\Recent`, which depends on who looked before, left out.
fn sorted(items: Vec<Node>) -> String {
    let mut pairs = Vec::new();
    let mut items = items.into_iter();
    while let (Some(name), Some(value)) = (items.next(), items.next()) {
        let name = print(&name);
        let value = match value {
            Node::List(flags) if name == "flags" => {
                let mut flags: Vec<String> = flags.iter().map(print).collect();
                flags.retain(|flag| flag != "\\recent");
                flags.sort();
                flags.join(" ")
            }
            // Either way of writing a day is right, RFC 9051 §9: date-day-fixed.
            value if name == "internaldate" => {
                print(&value).replacen(' ', "0", usize::from(starts_blank(&value)))
            }
            value => print(&value),
        };
        pairs.push(format!("{name} {value}"));
    }
    pairs.sort();
    pairs.join(" ")
}

fn starts_blank(node: &Node) -> bool {
    matches!(node, Node::Text(text) if text.starts_with(' '))
}

fn print(node: &Node) -> String {
    match node {
        Node::Text(text) => text.clone(),
        Node::List(nodes) => format!("({})", nodes.iter().map(print).collect::<Vec<_>>().join(" ")),
    }
}

/// What stands up to the closing parenthesis, and the rest after it.
fn list(mut rest: &[u8]) -> (Vec<Node>, &[u8]) {
    let mut nodes = Vec::new();
    loop {
        match rest[0] {
            b')' => return (nodes, &rest[1..]),
            b' ' => rest = &rest[1..],
            b'(' => {
                let (inner, after) = list(&rest[1..]);
                nodes.push(Node::List(inner));
                rest = after;
            }
            _ => {
                let (text, after) = string(rest);
                nodes.push(Node::Text(String::from_utf8_lossy(&text).to_ascii_lowercase()));
                rest = after;
            }
        }
    }
}

fn string(rest: &[u8]) -> (Vec<u8>, &[u8]) {
    match rest[0] {
        b'"' => quoted(&rest[1..]),
        b'{' => {
            let end = rest.iter().position(|byte| *byte == b'\n').unwrap() + 1;
            let length = literal(&rest[..end]).unwrap();
            (rest[end..end + length].to_vec(), &rest[end + length..])
        }
        _ => {
            let end = rest.iter().position(|byte| b" ()\r".contains(byte)).unwrap();
            (rest[..end].to_vec(), &rest[end..])
        }
    }
}

fn quoted(rest: &[u8]) -> (Vec<u8>, &[u8]) {
    let (mut text, mut at) = (Vec::new(), 0);
    while rest[at] != b'"' {
        at += usize::from(rest[at] == b'\\');
        text.push(rest[at]);
        at += 1;
    }
    (text, &rest[at + 1..])
}
