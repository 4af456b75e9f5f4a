//! Headers that are longer than what is stored of them apart (256 KiB): nothing that follows is lost.

use crate::harness::{Client, Server};

/// A header of 4,500 recipients, and fields behind them.
fn header(tag: &str) -> String {
    let many: Vec<String> = (0..4_500)
        .map(|n| format!("\"Recipient {n} of {tag} and all the others\" <user{n}@{tag}.example.org>"))
        .collect();
    let to = many.join(",\r\n ");
    format!(
        "From: anna@example.org\r\nTo: {to}\r\nSubject: behind {tag}\r\nX-Late: very late {tag}\r\nX-Last: 1\r\n"
    )
}

fn message() -> (String, String, String) {
    let (outer, inner) = (header("outer"), header("inner"));
    assert!(outer.len() > 270_000 && outer.find("Subject:").unwrap() > 256 * 1024);
    let inner = format!("{inner}Content-Type: text/plain\r\n\r\nthe inner text\r\n");
    let outer = format!("{outer}MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n");
    let body = format!("--b\r\n\r\nfirst\r\n--b\r\nContent-Type: message/rfc822\r\n\r\n{inner}\r\n--b--\r\n");
    (format!("{outer}\r\n{body}"), outer, inner)
}

/// The bytes of the one literal, or quoted string, that answers an item.
fn section(client: &mut Client, item: &str) -> String {
    let all = client.ok(&format!("FETCH 1 ({item})")).concat();
    let at = all
        .find(&item.replace(".PEEK", "").split('<').next().unwrap().to_owned())
        .unwrap_or_else(|| panic!("{item}"));
    let rest = &all[at..];
    let open = rest.find('{').unwrap();
    let close = rest[open..].find('}').unwrap() + open;
    let length: usize = rest[open + 1..close].parse().unwrap();
    rest[close + 3..close + 3 + length].to_owned()
}

#[test]
fn fields_behind_four_thousand_recipients_are_found() {
    let server = Server::start(&["anna"]);
    let mut client = server.login("anna");
    let (message, outer, inner) = message();
    client.append("INBOX", "", message.as_bytes());
    client.append("INBOX", "", b"Subject: another\r\nTo: x@y\r\n\r\nshort\r\n");
    client.ok("SELECT INBOX");

    let late = "Subject: behind outer\r\nX-Late: very late outer\r\n\r\n";
    assert_eq!(section(&mut client, "BODY.PEEK[HEADER.FIELDS (SUBJECT X-LATE)]"), late);
    assert_eq!(section(&mut client, "BODY.PEEK[HEADER.FIELDS (SUBJECT X-LATE)]<5.20>"), &late[5..25]);
    assert_eq!(section(&mut client, "BODY.PEEK[HEADER]"), format!("{outer}\r\n"));
    let to = outer.split_once("To: ").unwrap().1.split_once("Subject:").unwrap().0;
    assert_eq!(section(&mut client, "BODY.PEEK[HEADER.FIELDS (TO)]"), format!("To: {to}\r\n"));
    let not_to = outer.replace(&format!("To: {to}"), "");
    assert_eq!(section(&mut client, "BODY.PEEK[HEADER.FIELDS.NOT (TO)]"), format!("{not_to}\r\n"));
    let inner_late = late.replace("outer", "inner");
    assert_eq!(section(&mut client, "BODY.PEEK[2.HEADER.FIELDS (SUBJECT X-LATE)]"), inner_late);
    let inner_header = inner.split_once("\r\n\r\n").unwrap().0;
    assert_eq!(section(&mut client, "BODY.PEEK[2.HEADER]"), format!("{inner_header}\r\n\r\n"));

    for (search, expected) in [
        ("SUBJECT \"behind outer\"", "* SEARCH 1"),
        ("HEADER X-LATE \"very late\"", "* SEARCH 1"),
        ("HEADER X-LAST \"\"", "* SEARCH 1"),
        ("TO user0@outer.example.org", "* SEARCH 1"),
        ("TO user4499@outer.example.org", "* SEARCH 1"),
        ("TO \"Recipient 2250 of outer and all\"", "* SEARCH 1"),
        ("TO user4499@inner.example.org", "* SEARCH"),
        ("TEXT \"very late outer\"", "* SEARCH 1"),
        ("TEXT \"very late inner\"", "* SEARCH 1"),
        ("TEXT user4499@inner.example.org", "* SEARCH 1"),
        ("TEXT \"the inner text\"", "* SEARCH 1"),
        ("BODY \"very late outer\"", "* SEARCH"),
        ("NOT HEADER X-LATE \"\"", "* SEARCH 2"),
    ] {
        assert_eq!(client.ok(&format!("SEARCH {search}")), [expected], "{search}");
    }
}

/// What is too much to be held is refused in words, and not cut.
#[test]
fn fields_of_a_megabyte_are_refused_and_the_header_is_not() {
    let server = Server::start(&["anna"]);
    let mut client = server.login("anna");
    let long = format!("X-Long: {}\r\nSubject: behind\r\n\r\nbody\r\n", "y".repeat(1_000_000));
    client.append("INBOX", "", long.as_bytes());
    client.ok("SELECT INBOX");
    let status = client.command("FETCH 1 (BODY.PEEK[HEADER.FIELDS (X-LONG)])").1;
    assert!(status.starts_with("NO [LIMIT]") && status.contains("fetch the whole header"), "{status}");
    assert_eq!(section(&mut client, "BODY.PEEK[HEADER.FIELDS (SUBJECT)]"), "Subject: behind\r\n\r\n");
    assert_eq!(section(&mut client, "BODY.PEEK[HEADER]").len(), long.len() - "body\r\n".len());
    assert_eq!(client.ok("SEARCH SUBJECT behind"), ["* SEARCH 1"]);
    assert_eq!(client.ok("SEARCH HEADER X-LONG yyyyy"), ["* SEARCH 1"]);
}
