//! Messages and what is made of them: parts, boundaries, fields, and what no message may cost.

use super::*;

fn digest(message: &str) -> Digest {
    let whole = {
        let mut digester = Digester::new();
        digester.push(message.as_bytes());
        digester.finish()
    };
    for chunk in [1, 2, 3, 7, 64] {
        let mut digester = Digester::new();
        message.as_bytes().chunks(chunk).for_each(|piece| digester.push(piece));
        assert_eq!(digester.finish(), whole, "chunks of {chunk}");
    }
    assert_eq!(Digest::decode(&whole.encode()), Some(whole.clone()));
    whole
}

/// The tree as `type[path body lines]`.
fn tree(message: &str, part: &Part) -> String {
    let body = &message[part.body.start as usize..part.body.end as usize];
    let inner = match &part.content {
        PartContent::Leaf => format!("{body:?} {}", part.lines),
        PartContent::Multipart(parts) => {
            parts.iter().map(|part| tree(message, part)).collect::<Vec<_>>().join(", ")
        }
        PartContent::Message(inner) => {
            let subject = inner.0.subject.clone().unwrap_or_default();
            format!("<{}> {}", String::from_utf8_lossy(&subject), tree(message, &inner.1))
        }
    };
    format!("{}/{}({inner})", part.media_type, part.subtype)
}

fn shown(message: &str) -> String {
    tree(message, &digest(message).root)
}

#[test]
fn plain_messages() {
    let message = "Subject: x\r\nFrom: a@b\r\n\r\nHello\r\nworld\r\n";
    assert_eq!(shown(message), "text/plain(\"Hello\\r\\nworld\\r\\n\" 2)");
    let found = digest(message);
    assert_eq!((found.root.header.clone(), found.size), (0..25, 39));
    assert_eq!(found.envelope.subject.as_deref(), Some(&b"x"[..]));
    assert_eq!(found.preview, "Hello world");
    assert_eq!(shown("Subject: x\r\n\r\nHello"), "text/plain(\"Hello\" 0)");
    assert_eq!(shown("Subject: x\r\n"), "text/plain(\"\" 0)");
    assert_eq!(shown("Subject: x\r\n\r\n"), "text/plain(\"\" 0)");
    assert_eq!(shown(""), "text/plain(\"\" 0)");
    assert_eq!(shown("\r\nbody\r\n"), "text/plain(\"body\\r\\n\" 1)");
    assert_eq!(shown("no header at all\nbody\n"), "text/plain(\"no header at all\\nbody\\n\" 2)");
    assert_eq!(digest("no header at all\n").root.header, 0..0);
}

#[test]
fn multiparts() {
    let message = "Content-Type: multipart/mixed; boundary=\"b\"\r\n\r\npreamble\r\n--b\r\n\r\none\r\n--b \r\n\
        Content-Type: text/html\r\n\r\n<p>two\r\n\r\n--b--\r\nepilogue\r\n--b\r\nno\r\n";
    assert_eq!(shown(message), "multipart/mixed(text/plain(\"one\" 0), text/html(\"<p>two\\r\\n\" 1))");
    assert_eq!(digest(message).preview, "one");
    let nested = "Content-Type: multipart/mixed; boundary=a\n\n--a\nContent-Type: multipart/alternative; boundary=b\n\n\
        --b\n\n1\n--b\n\n2\n--a\n\n3\n";
    assert_eq!(
        shown(nested),
        "multipart/mixed(multipart/alternative(text/plain(\"1\" 0), text/plain(\"2\" 0)), text/plain(\"3\\n\" 1))"
    );
    // Header only, empty, and without the empty line.
    let odd = "Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nContent-Type: text/css\r\n--b\r\n--b\r\nbare text\r\n--b--";
    assert_eq!(
        shown(odd),
        "multipart/mixed(text/css(\"\" 0), text/plain(\"\" 0), text/plain(\"bare text\" 0))"
    );
}

#[test]
fn boundaries_that_begin_alike() {
    let message = "Content-Type: multipart/mixed; boundary=b\n\n--b\nContent-Type: multipart/mixed; boundary=bc\n\n\
        --bc\n\nin\n--bc--\n--b and more\n\nout\n--b--\n";
    assert_eq!(
        shown(message),
        "multipart/mixed(multipart/mixed(text/plain(\"in\" 0)), text/plain(\"out\" 0))"
    );
}

#[test]
fn broken_multiparts_are_text() {
    assert_eq!(shown("Content-Type: multipart/mixed\r\n\r\nHello\r\n"), "text/plain(\"Hello\\r\\n\" 1)");
    let never = "Content-Type: multipart/mixed; boundary=x\r\n\r\nHello\r\n";
    assert_eq!(shown(never), "text/plain(\"Hello\\r\\n\" 1)");
}

#[test]
fn messages_in_messages() {
    let message = "Content-Type: multipart/digest; boundary=d\r\n\r\n--d\r\n\r\nSubject: inner\r\n\r\nHi\r\n--d\r\n\
        Content-Type: message/rfc822\r\n\r\nSubject: 2\r\nContent-Type: multipart/mixed; boundary=e\r\n\r\n--e\r\n\r\nx\r\n--e--\r\n--d--\r\n";
    assert_eq!(
        shown(message),
        "multipart/digest(message/rfc822(<inner> text/plain(\"Hi\" 0)), \
         message/rfc822(<2> multipart/mixed(text/plain(\"x\" 0))))"
    );
    let encoded = "Content-Type: message/rfc822\r\nContent-Transfer-Encoding: base64\r\n\r\nU3ViamVjdA==\r\n";
    assert!(matches!(digest(encoded).root.content, PartContent::Leaf));
    let cut = "Content-Type: multipart/digest; boundary=d\n\n--d\n\nSubject: 1\nTo: a\n--d--\n";
    let found = digest(cut).root;
    let PartContent::Multipart(parts) = &found.content else { panic!() };
    let PartContent::Message(inner) = &parts[0].content else { panic!() };
    assert_eq!((&cut[49..66], parts[0].lines), ("Subject: 1\nTo: a\n", 2));
    assert_eq!(
        (parts[0].body.clone(), inner.1.header.clone(), inner.1.body.clone()),
        (49..66, 49..66, 66..66)
    );
    let empty = "Content-Type: message/rfc822\r\n\r\n";
    assert!(matches!(digest(empty).root.content, PartContent::Message(_)));
}

#[test]
fn fields_of_parts() {
    let message = "Content-Type: text/plain; charset=utf-8\r\nContent-ID: <a@b>\r\nContent-Description: d\r\n d\r\n\
        Content-Disposition: Attachment; filename=\"f.txt\"\r\nContent-Language: en, de\r\n\
        Content-Transfer-Encoding: Quoted-Printable (x)\r\nContent-MD5: m\r\nReferences: <1@x>\r\n <2@x>\r\nIn-Reply-To: <2@x>\r\n\r\nx";
    let found = digest(message);
    let part = &found.root;
    assert_eq!(part.encoding, "Quoted-Printable");
    assert_eq!(part.description.as_deref(), Some(&b"d d"[..]));
    assert_eq!(part.disposition.as_ref().unwrap().0, "Attachment");
    assert_eq!(part.language, ["en", "de"]);
    assert_eq!(found.references, ["1@x", "2@x"]);
    assert_eq!(found.preview, "", "an attachment is no text of the message");
}

/// As programs write what the RFC would have otherwise.
#[test]
fn fields_that_are_not_as_they_should_be() {
    for (field, wanted) in [
        ("Content-Type: ; name=x.txt", "text/plain charset=us-ascii name=x.txt"),
        ("Content-Type: ; charset=utf-8; name=x", "text/plain charset=utf-8 name=x"),
        ("Content-Type: text; charset=koi8-r", "text/plain charset=koi8-r"),
        ("Content-Type: TEXT", "text/plain charset=us-ascii"),
        ("Content-Type: TEXT; name=x", "text/plain charset=us-ascii name=x"),
        ("Content-Type: text/html charset=utf-8", "text/html charset=utf-8"),
        ("Content-Type: image; name=x", "text/plain charset=us-ascii"),
        ("Content-Type:", "text/plain charset=us-ascii"),
        ("Subject: x\r\njunk without a colon\r\nContent-Type: text/css", "text/css"),
    ] {
        let root = digest(&format!("{field}\r\n\r\nx\r\n")).root;
        let params =
            root.params.iter().map(|(name, value)| format!(" {name}={}", String::from_utf8_lossy(value)));
        let found = format!("{}/{}{}", root.media_type, root.subtype, params.collect::<String>());
        assert_eq!(found, wanted, "{field}");
    }
    let found =
        digest("Content-Disposition: attachment filename=x.pdf\r\n\r\nx\r\n").root.disposition.unwrap();
    assert_eq!(found, ("attachment".to_owned(), vec![("filename".to_owned(), b"x.pdf".to_vec())]));
}

#[test]
fn what_follows_a_long_field_is_there() {
    let to: String =
        (0..6_000).map(|n| format!(" person{n:05}@a-rather-long-name.example.org,\r\n")).collect();
    assert!(to.len() > LONGEST_HEADER);
    for long in [
        format!("To:\r\n{to}"),
        format!("X-Long: {}\r\n", "x".repeat(600_000)),
        format!("X:\r\n{to}Y:\r\n{to}"),
    ] {
        let found =
            digest(&format!("{long}Subject: late\r\nContent-Type: text/html; charset=utf-8\r\n\r\n<p>x\r\n"));
        assert_eq!(found.envelope.subject.as_deref(), Some(&b"late"[..]));
        assert_eq!((found.root.subtype.as_str(), found.preview.as_str()), ("html", "x"));
    }
    // And many short ones still end somewhere.
    let many: String = (0..40_000).map(|n| format!("X-{n}: y\r\n")).collect();
    let found = digest(&format!("Subject: early\r\n{many}Content-Type: text/html\r\n\r\nx"));
    assert_eq!(
        (found.envelope.subject.as_deref(), found.root.subtype.as_str()),
        (Some(&b"early"[..]), "plain")
    );
}

#[test]
fn memory_is_bounded() {
    let deep: String =
        (0..500).map(|n| format!("Content-Type: multipart/mixed; boundary=b{n}\n\n--b{n}\n")).collect();
    let found = digest(&deep);
    fn depth(part: &Part) -> usize {
        match &part.content {
            PartContent::Multipart(parts) => 1 + parts.iter().map(depth).max().unwrap_or(0),
            _ => 1,
        }
    }
    assert!(depth(&found.root) <= DEEPEST + 1);
    let mut digester = Digester::new();
    digester.push(b"Content-Type: multipart/mixed; boundary=b\n\n");
    let long = vec![b'd'; 5_000];
    for _ in 0..20_000 {
        digester.push(b"--b\nContent-Description: ");
        digester.push(&long);
        digester.push(b"\n\n");
    }
    digester.push(&vec![b'x'; 3_000_000]);
    assert!(digester.line.capacity() <= LONGEST_HEADER * 2);
    let found = digester.finish();
    let PartContent::Multipart(parts) = &found.root.content else { panic!() };
    assert_eq!(parts.len(), MOST_PARTS - 1);
    assert!(found.encode().len() < 2_000_000);
}

#[test]
fn any_bytes() {
    let pieces = [
        "Content-Type: multipart/mixed; boundary=a\r\n",
        "Content-Type: message/rfc822\r\n",
        "\r\n",
        "\n",
        "--a\r\n",
        "--a--\r\n",
        "--b\n",
        "Content-Type: multipart/alternative; boundary=b\r\n",
        "text\r\n",
        "--",
        "Subject: x\r\n",
        "\u{e9}",
    ];
    let mut seed = 7_u32;
    for _ in 0..3_000 {
        let mut message = String::new();
        for _ in 0..12 {
            seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            message.push_str(pieces[(seed >> 16) as usize % pieces.len()]);
        }
        check(&digest(&message).root, message.len() as u64);
    }
}

fn check(part: &Part, size: u64) {
    assert!(part.header.start <= part.header.end && part.header.end == part.body.start);
    assert!(part.body.start <= part.body.end && part.body.end <= size);
    match &part.content {
        PartContent::Leaf => {}
        PartContent::Multipart(parts) => {
            parts.iter().for_each(|inner| {
                assert!(inner.header.start >= part.body.start && inner.body.end <= part.body.end);
                check(inner, size);
            });
        }
        PartContent::Message(inner) => check(&inner.1, size),
    }
}
