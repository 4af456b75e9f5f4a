//! The reader can fail: wrong answers of each kind, each beside one of its kind that is right.

use crate::harness::strict::session::Session;

/// A conversation: lines of the client (`C `) and of the server (`S `), where `\n` is CRLF, `\q` one bare LF and `\0`
/// a NUL.
fn judge(conversation: &str) -> Result<(), String> {
    let mut session = Session::new();
    for line in conversation.lines().map(str::trim_start).filter(|line| !line.is_empty()) {
        let (who, text) = line.split_at(2);
        let mut bytes = text.replace("\\n", "\r\n").replace("\\q", "\n").replace("\\0", "\0").into_bytes();
        if !bytes.ends_with(b"\n") {
            bytes.extend_from_slice(b"\r\n");
        }
        match who {
            "C " => session.sends(&bytes),
            // Byte by byte and in one piece: it is the same.
            "S " if bytes.len() % 2 == 0 => bytes.iter().try_for_each(|byte| session.receives(&[*byte]))?,
            "S " => session.receives(&bytes)?,
            _ => panic!("{line}"),
        }
    }
    Ok(())
}

const GREETING: &str = "S * OK ready\nC 1 LOGIN a b\nS 1 OK in\n";
const SELECTED: &str = "C 2 SELECT INBOX\nS * FLAGS (\\Seen $x)\nS * OK [PERMANENTFLAGS (\\Seen \\*)] ok\nS * 3 EXISTS\n\
    S * 0 RECENT\nS * OK [UIDVALIDITY 9] ok\nS * OK [UIDNEXT 4] ok\nS 2 OK [READ-WRITE] open\n";

/// Every item that can be asked for.
const EVERY: &str = "(UID MODSEQ ENVELOPE INTERNALDATE RFC822.SIZE EMAILID THREADID PREVIEW SAVEDATE BODY BODYSTRUCTURE BODY[] \
    BINARY[1] BINARY.SIZE[1])";

/// What is said while a command is in progress in an open mailbox.
fn during(command: &str, answers: &str) -> Result<(), String> {
    judge(&format!("{GREETING}{SELECTED}C 3 {command}\n{answers}"))
}

fn right(conversation: &str) {
    judge(&format!("{GREETING}{conversation}")).unwrap_or_else(|why| panic!("{conversation}\n{why}"));
}

/// Each of these answers to a command is refused, and for this reason.
fn wrong(command: &str, answers: &[(&str, &str)]) {
    for (answer, reason) in answers {
        match during(command, &format!("S {answer}\n")) {
            Ok(()) => panic!("{answer} was taken"),
            Err(why) => assert!(why.contains(reason), "{answer}: not because of “{reason}”:\n{why}"),
        }
    }
}

#[test]
fn right_ones_are_taken() {
    let fetched = [
        r#"* 1 FETCH (UID 1 FLAGS (\Seen \Recent $x) RFC822.SIZE 0 MODSEQ (7) EMAILID (a-b) THREADID NIL PREVIEW NIL)"#,
        r#"* 2 FETCH (INTERNALDATE " 1-Feb-2024 23:59:60 -0130" SAVEDATE "29-Feb-2024 00:00:00 +0000")"#,
        r#"* 3 FETCH (BODY[]<0> "" BODY[1.2.MIME] {3}\na\n BODY[HEADER.FIELDS.NOT (a "b c")] NIL BINARY[1] ~{1}\n\0 BINARY.SIZE[1] 9)"#,
        r#"* 1 FETCH (ENVELOPE (NIL "a \"b\" \\" ((NIL NIL "g" NIL)("n" "@r" "m" "h")(NIL NIL NIL NIL)) ((NIL NIL "m" "h")) ((NIL NIL "m" "h")) NIL NIL NIL NIL "<i>"))"#,
        r#"* 1 FETCH (BODY ("text" "plain" ("charset" "x") NIL NIL "7bit" 3 1) BODY[TEXT] {0}\n)"#,
        r#"* 1 FETCH (BODYSTRUCTURE (("image" {3}\npng NIL NIL NIL "base64" 3 NIL ("inline" NIL) ("de" "en") NIL)("message" "global" NIL NIL NIL "8bit" 3 NIL NIL NIL NIL) "mixed" ("boundary" "b") NIL NIL NIL))"#,
    ];
    for answer in fetched {
        during(&format!("FETCH 1:3 {EVERY}"), &format!("S {answer}\nS 3 OK done {{5}}\n")).unwrap();
    }
    right(
        "C 2 LOGIN {1}\nS + go on\nC x {1+}\\ny\nS 2 NO no\nC 3 APPEND a {9}\nS 3 NO [TRYCREATE] no\nC 4 NOOP\nS 4 OK x\n",
    );
    right("C 2 IDLE\nS + idling\nC DONE\nS 2 OK x\nC 3 AUTHENTICATE PLAIN\nS + \nC AGEAYg==\nS 3 OK x\n");
    right(
        "C 2 LIST \"\" *\nS * LIST (\\Noselect) \"/\" \"Entw&APw-rfe &-\"\nS * LIST () NIL {2}\\n&-\nS 2 OK x\n",
    );
    right(
        "C 2 ENABLE UTF8=ACCEPT\nS * ENABLED UTF8=ACCEPT\nS 2 OK é\nC 3 LIST \"\" *\nS * LIST () \"/\" \"é & \\\"\"\n",
    );
    right("C 2 LOGOUT\nS * BYE x\nS 2 OK x\n");
}

#[test]
fn lines_strings_and_numbers() {
    wrong(
        "FETCH 1:3 ALL",
        &[
            (r"* OK x\q", "a line ends in CRLF"),
            ("* OK a\rb", "no byte 13"),
            (r"* OK a\0b", "no byte 0"),
            ("* OK é", "text of ASCII"),
            ("* OK ", "text of ASCII"),
            ("*  OK x", "a response"),
            ("* OK [ALERT]x", "“ ”"),
            ("", "a tag"),
            ("* 1 FETCH (UID 01)", "nz-number"),
            ("* 1 FETCH (UID 0)", "nz-number"),
            ("* 1 FETCH (UID 4294967296)", "nz-number"),
            ("* 1 FETCH (UID +1)", "nz-number"),
            ("* 1 FETCH (MODSEQ (9223372036854775808))", "mod-sequence-value"),
            ("* 1 FETCH (MODSEQ 5)", "“(”"),
            ("* 1 FETCH (RFC822.SIZE -1)", "number64"),
            ("* 1 FETCH (UID 1  FLAGS ())", "an item of FETCH"),
            ("* 1 FETCH ( UID 1)", "an item of FETCH"),
            ("* 1 FETCH (UID 1 )", "“ ”"),
            ("* 1 FETCH ()", "“ ”"),
            ("* 1 FETCH (UID 1) ", "the end of the line"),
            (r#"* 1 FETCH (PREVIEW "é")"#, "ASCII"),
            (r#"* 1 FETCH (PREVIEW "a\b")"#, "quoted-specials"),
            (r#"* 1 FETCH (PREVIEW "a)"#, "a quoted string that ends"),
            ("* 1 FETCH (PREVIEW a)", "string"),
            ("* 1 FETCH (PREVIEW NILS)", "string"),
            (r"* 1 FETCH (PREVIEW {2+}\nab)", "“}”"),
            (r"* 1 FETCH (PREVIEW {2}\na\0)", "a literal without NUL"),
            (r"* 1 FETCH (PREVIEW {1}\nab)", "“ ”"),
            (r"* 1 FETCH (PREVIEW ~{1}\na)", "string"),
        ],
    );
}

#[test]
fn items_of_fetch() {
    wrong(
        "FETCH 1:3 ALL",
        &[
            ("* 1 FETCH (UID 1 UID 1)", "each item once"),
            (r"* 1 FETCH (FLAGS (\Seen \seen))", "each flag once"),
            (r"* 1 FETCH (FLAGS (\Other))", "a flag that is known"),
            (r"* 1 FETCH (FLAGS (\*))", "a system flag"),
            ("* 1 FETCH (FLAGS (a]b))", "“ ”"),
            (r"* FLAGS (\Recent)", "a flag that is known"),
            (r#"* 1 FETCH (INTERNALDATE "30-Feb-2024 00:00:00 +0000")"#, "date-time"),
            (r#"* 1 FETCH (INTERNALDATE "1-Feb-2024 00:00:00 +0000")"#, "date-time"),
            (r#"* 1 FETCH (INTERNALDATE "01-Feb-2024 24:00:00 +0000")"#, "date-time"),
            (r#"* 1 FETCH (INTERNALDATE "01-Feb-2024 00:00:00 GMT")"#, "date-time"),
            (r#"* 1 FETCH (INTERNALDATE NIL)"#, "“\"”"),
            ("* 1 FETCH (EMAILID a)", "“(”"),
            ("* 1 FETCH (EMAILID (a.b))", "“)”"),
            ("* 1 FETCH (EMAILID ())", "objectid"),
            ("* 1 FETCH (BODY.PEEK[] NIL)", "“ ”"),
            ("* 1 FETCH (BODY[MIME] NIL)", "section-spec"),
            ("* 1 FETCH (BODY[0] NIL)", "nz-number"),
            ("* 1 FETCH (BODY[1.] NIL)", "section-spec"),
            ("* 1 FETCH (BODY[HEADER.FIELDS] NIL)", "“ ”"),
            ("* 1 FETCH (BODY[HEADER.FIELDS ()] NIL)", "astring"),
            ("* 1 FETCH (BODY[]<0.5> NIL)", "“>”"),
            ("* 1 FETCH (BINARY[TEXT] NIL)", "“]”"),
            ("* 1 FETCH (BINARY.SIZE[1]<0> 4)", "“ ”"),
            ("* 1 FETCH (X-GM-MSGID 5)", "“ ”"),
            ("* 1 FETCH (COLOUR 5)", "an item of FETCH"),
        ],
    );
}

#[test]
fn envelopes_and_bodies() {
    let envelope = |from: &str, sender: &str| {
        format!("* 1 FETCH (ENVELOPE (NIL NIL {from} {sender} ((NIL NIL \"m\" \"h\")) NIL NIL NIL NIL NIL))")
    };
    let one = "((NIL NIL \"m\" \"h\"))";
    for (from, sender, reason) in [
        ("()", one, "“(”"),
        (one, "NIL", "what From has"),
        ("((NIL NIL \"m\" \"h\") (NIL NIL \"m\" \"h\"))", one, "“(”"),
        ("((NIL NIL \"m\"))", one, "“ ”"),
        ("((NIL NIL \"g\" NIL))", one, "the end of a group"),
        ("((NIL NIL NIL NIL))", one, "a group that begins"),
        ("((NIL NIL NIL \"h\"))", one, "a mailbox before a host"),
    ] {
        wrong("FETCH 1 ALL", &[(&envelope(from, sender), reason)]);
    }
    let text = r#""text" "plain" NIL NIL NIL "7bit" 3"#;
    for (body, reason) in [
        (format!("BODY ({text})"), "“ ”"),
        (format!("BODY ({text} 1 NIL)"), "“)”"),
        (format!("BODYSTRUCTURE ({text} 1 NIL NIL NIL NIL NIL)"), "“)”"),
        (format!("BODYSTRUCTURE ({text} 1 NIL (\"inline\") NIL NIL)"), "“ ”"),
        (format!("BODYSTRUCTURE ({text} 1 NIL NIL () NIL)"), "string"),
        (r#"BODY ("text" "plain" () NIL NIL "7bit" 3 1)"#.into(), "string"),
        (r#"BODY ("text" "plain" ("a") NIL NIL "7bit" 3 1)"#.into(), "“ ”"),
        (r#"BODY ("text" "plain" NIL NIL NIL NIL 3 1)"#.into(), "string"),
        (r#"BODY (NIL "plain" NIL NIL NIL "7bit" 3 1)"#.into(), "string"),
        (r#"BODY ({4}\ntext "plain" NIL NIL NIL "7bit" 3 1)"#.into(), "a quoted type"),
        (r#"BODY ("image" "png" NIL NIL NIL "7bit" 3 1)"#.into(), "“)”"),
        (r#"BODY ("multipart" "mixed" NIL NIL NIL "7bit" 3)"#.into(), "a single part"),
        (r#"BODY ("message" "rfc822" NIL NIL NIL "7bit" 3)"#.into(), "“ ”"),
        (format!("BODY (({text} 1) ({text} 1) \"mixed\")"), "string"),
        (format!("BODY (({text} 1)\"mixed\")"), "“ ”"),
        (format!("BODY (({text} 1))"), "“ ”"),
    ] {
        wrong("FETCH 1 ALL", &[(&format!("* 1 FETCH ({body})"), reason)]);
    }
}

#[test]
fn response_codes_and_lists() {
    wrong(
        "LIST \"\" *",
        &[
            ("* OK [NOVELTY] x", "a response code"),
            ("* OK [UIDNEXT 0] x", "nz-number"),
            ("* OK [UIDNEXT] x", "“ ”"),
            ("* OK [CLOSED x", "“]”"),
            ("* OK [COPYUID 1 1:3 4:5] x", "as many UIDs"),
            ("* OK [APPENDUID 1 *] x", "nz-number"),
            ("* OK [MODIFIED ] x", "nz-number"),
            ("* OK [MAILBOXID a] x", "“(”"),
            ("* OK [PERMANENTFLAGS \\*] x", "“(”"),
            ("* OK [BADCHARSET ()] x", "astring"),
            ("* OK [CAPABILITY IMAP4rev1 IMAP4rev2 ID id] x", "each capability once"),
            ("* OK [CAPABILITY IMAP4rev2] x", "IMAP4rev1 and IMAP4rev2"),
            (r#"* LIST (\NonExistent \Noselect) "/" a"#, "one mbx-list-sflag"),
            (r#"* LIST (\HasChildren \HasNoChildren) "/" a"#, "an attribute"),
            (r#"* LIST (\Draft) "/" a"#, "an attribute"),
            (r#"* LIST (\Spam) "/" a"#, "an attribute"),
            (r#"* LIST () "//" a"#, "one character"),
            (r#"* LIST () / a"#, "“\"”"),
            (r#"* LIST () "/" a b"#, "“(”"),
            (r#"* LIST () "/" "a&b""#, "a mailbox's name"),
            (r#"* LIST () "/" "&AGE-""#, "a mailbox's name"),
            (r#"* LIST () "/" {2}\né"#, "a mailbox's name"),
            (r#"* LIST () "/" a ("CHILDINFO" (SUBSCRIBED))"#, "“\"”"),
            (r#"* LIST () "/" a ("NEW" ("x"))"#, "CHILDINFO or OLDNAME"),
            ("* STATUS a (MESSAGES 1 MESSAGES 1)", "each status-att once"),
            ("* STATUS a (UIDNEXT 0)", "nz-number"),
            ("* STATUS a (COLOUR 0)", "status-att"),
            ("* STATUS a MESSAGES 0", "“(”"),
            ("* NAMESPACE ((\"\" \"/\")) NIL", "“ ”"),
            ("* ID (\"a\")", "“ ”"),
            ("* ID (\"a\" NIL \"A\" NIL)", "no more than RFC 2971"),
            ("* CAPABILITY", "“ ”"),
            ("* METADATA x", "a response that is known"),
            ("* 1 NOVELTY", "EXISTS, RECENT"),
            ("* 0 EXPUNGE", "EXISTS, RECENT"),
        ],
    );
    wrong(
        "UID SEARCH RETURN (ALL) ALL",
        &[
            ("* ESEARCH UID ALL 1", "the tag of the SEARCH"),
            ("* ESEARCH (TAG \"2\") UID ALL 1", "the tag of the SEARCH"),
            ("* ESEARCH (TAG \"3\") ALL 1", "UID in the answer"),
            ("* ESEARCH (TAG \"3\") UID ALL", "“ ”"),
            ("* ESEARCH (TAG \"3\") UID ALL 1,,2", "nz-number"),
            ("* ESEARCH (TAG \"3\") UID COUNT 1 COUNT 1", "each of what was asked"),
            ("* ESEARCH (TAG \"3\") UID MIN 3 MAX 2", "MIN no more"),
            ("* SEARCH 1 1", "each number once"),
            ("* SEARCH 0", "nz-number"),
            ("* SEARCH 1  2", "nz-number"),
            ("* SEARCH (MODSEQ 5)", "MODSEQ only where"),
        ],
    );
}

#[test]
fn tags_and_continuations() {
    wrong(
        "NOOP",
        &[
            ("4 OK x", "a tag that was sent"),
            ("2 OK x", "a tag that was sent"),
            ("3 BYE x", "OK, NO or BAD"),
            ("3 OK", "“ ”"),
            ("+ go on", "“+” only"),
            ("+", "a tag"),
            ("3 OK x\nS 3 OK x", "a tag that was sent"),
            ("* PREAUTH x", "PREAUTH as a greeting"),
            ("* BYE x\nS * 4 EXISTS", "nothing after BYE"),
            ("3 OK x\nC 4 LOGOUT\nS 4 OK x", "BYE before the OK"),
            ("3 OK x\nC 4 NOOP\nC 5 NOOP\nS 5 OK x", "the commands before it"),
            ("3 OK x\nC 4 NOOP\nC 5 IDLE\nS + go on", "“+” only"),
            ("3 OK x\nC 4 LOGIN {1+}\\na b\nS + go on", "“+” only"),
            ("3 OK x\nC 4 LOGIN \"{1}\nS + go on", "“+” only"),
            ("* LIST () \"/\" a", "only where it was asked for"),
            ("* STATUS a ()", "only where it was asked for"),
            ("* SEARCH", "only where it was asked for"),
            ("* ENABLED", "only where it was asked for"),
            ("* ID NIL", "only where it was asked for"),
            ("3 OK [APPENDUID 1 1] x", "APPENDUID with OK of"),
            ("3 NO [TRYCREATE] x", "TRYCREATE with NO of"),
            ("* OK [UIDVALIDITY 4] x", "UIDVALIDITY with"),
        ],
    );
    for (command, name) in [
        ("SEARCH ALL", "SEARCH"),
        ("STATUS a (MESSAGES)", "STATUS"),
        ("CAPABILITY", "CAPABILITY"),
        ("NAMESPACE", "NAMESPACE"),
        ("ID NIL", "ID"),
        ("ENABLE X", "ENABLED"),
    ] {
        wrong(command, &[("3 OK x", &format!("{name} once before the OK"))]);
    }
    wrong("SEARCH ALL", &[("* SEARCH 1\nS * SEARCH 2\nS 3 OK x", "SEARCH once")]);
    wrong("COPY 1 a", &[("3 OK [TRYCREATE] x", "TRYCREATE with NO")]);
    wrong("LOGIN a b", &[("3 OK [AUTHENTICATIONFAILED] x", "AUTHENTICATIONFAILED with NO")]);
    assert!(judge("S a OK x\n").unwrap_err().contains("a greeting first"));
    assert!(judge("S * NO x\n").unwrap_err().contains("a greeting of OK"));
}

#[test]
fn the_mailbox() {
    wrong(
        "NOOP",
        &[
            ("* 2 EXISTS", "EXISTS not below 3"),
            ("* 4 EXPUNGE", "a message that is there"),
            ("* 1 EXPUNGE\nS * 1 EXPUNGE\nS * 1 EXPUNGE\nS * 1 EXPUNGE", "a message that is there"),
            ("3 OK x\nS * 1 EXPUNGE", "while no command is in progress"),
            ("* 4 FETCH (FLAGS ())", "a number up to EXISTS"),
            ("* 1 EXPUNGE\nS * 3 FETCH (FLAGS ())", "a number up to EXISTS"),
            ("* 1 FETCH (RFC822.SIZE 4)", "nothing else was asked for"),
            ("* 1 FETCH (UID 5)\nS * 1 FETCH (UID 6)", "as before"),
            ("* 2 FETCH (UID 5)\nS * 1 EXPUNGE\nS * 1 FETCH (UID 6)", "as before"),
            ("* 1 FETCH (UID 5)\nS * 2 FETCH (UID 5)", "UIDs that rise"),
            ("* 2 FETCH (UID 5)\nS * 1 FETCH (UID 6)", "UIDs that rise"),
            ("* VANISHED 1", "only after ENABLE QRESYNC"),
            ("3 OK x\nC 4 CLOSE\nS 4 OK x\nS * 3 EXISTS", "where none is open"),
        ],
    );
    for command in ["FETCH 1 FLAGS", "STORE 1 FLAGS ()", "SEARCH ALL"] {
        wrong(command, &[("* 1 EXPUNGE", "during FETCH, STORE and SEARCH")]);
        during(&format!("UID {command}"), "S * 1 EXPUNGE\n").unwrap();
    }
    for (command, item) in [
        ("FETCH 1 FAST", "ENVELOPE (NIL NIL NIL NIL NIL NIL NIL NIL NIL NIL)"),
        ("FETCH 1 (UID)", "RFC822.SIZE 3"),
        ("FETCH 1 (BODY)", "BODY[] NIL"),
        ("FETCH 1 BODY[]", "PREVIEW NIL"),
    ] {
        wrong(command, &[(&format!("* 1 FETCH ({item})"), "what was asked for")]);
    }
    wrong("UID FETCH 1 FLAGS", &[("* 1 FETCH (FLAGS ())", "UID in what a UID command")]);
    wrong(
        "SEARCH ALL",
        &[("* SEARCH 4", "numbers up to EXISTS"), ("* ESEARCH (TAG \"3\") ALL 1", "RETURN was not")],
    );
    for missing in ["FLAGS", "3 EXISTS", "0 RECENT", "OK [UIDVALIDITY", "OK [UIDNEXT", "OK [PERMANENTFLAGS"] {
        let lines = SELECTED.lines().filter(|line| !line.starts_with(&format!("S * {missing}")));
        let conversation = GREETING.lines().chain(lines).collect::<Vec<_>>().join("\n");
        assert!(judge(&conversation).unwrap_err().contains("before the OK of SELECT"), "{missing}");
    }
    let read_only = format!("{GREETING}{}", SELECTED.replace("SELECT", "EXAMINE"));
    assert!(judge(&read_only).unwrap_err().contains("READ-WRITE with OK of"));
    let neither = format!("{GREETING}{}", SELECTED.replace("[READ-WRITE] ", ""));
    assert!(judge(&neither).unwrap_err().contains("READ-ONLY or"));
    assert!(judge(&format!("{GREETING}S * 1 EXISTS\n")).unwrap_err().contains("where none is open"));
}

#[test]
fn what_is_enabled() {
    let enabled = |names: &str, rest: &str| {
        let enable = format!("C e ENABLE {names}\nS * ENABLED {names}\nS e OK x\n");
        judge(&format!("{GREETING}{SELECTED}{enable}{rest}"))
    };
    for (names, rest, reason) in [
        ("QRESYNC", "C 3 NOOP\nS * 1 EXPUNGE\n", "VANISHED in place"),
        ("QRESYNC", "C 3 NOOP\nS * VANISHED 1:4\n", "no more messages"),
        ("QRESYNC", "C 3 NOOP\nS * VANISHED 1:2\nS * 2 FETCH (UID 4 MODSEQ (1) FLAGS ())\n", "up to EXISTS"),
        ("QRESYNC", "C 3 SEARCH ALL\nS * VANISHED 1\n", "during FETCH"),
        ("QRESYNC", "C 3 NOOP\nS * VANISHED (EARLIER) 1\n", "(EARLIER) only"),
        ("QRESYNC", "C 3 NOOP\nS * VANISHED \n", "nz-number"),
        ("QRESYNC", "C 3 NOOP\nS * 1 FETCH (FLAGS () MODSEQ (4))\n", "UID with flags"),
        ("CONDSTORE", "C 3 STORE 1 FLAGS ()\nS * 1 FETCH (FLAGS ())\n", "MODSEQ with flags"),
        ("QRESYNC", "C 3 SELECT a\nS * 0 EXISTS\n", "CLOSED before"),
        ("IMAP4rev2", "C 3 NOOP\nS * 0 RECENT\n", "no RECENT"),
        ("IMAP4rev2", "C 3 SEARCH ALL\nS * SEARCH 1\n", "ESEARCH in IMAP4rev2"),
        ("IMAP4rev2", "C 3 FETCH 1 FLAGS\nS * 1 FETCH (FLAGS (\\Recent))\n", "a flag that is known"),
        ("IMAP4rev2", "C 3 FETCH 1 RFC822\nS * 1 FETCH (RFC822 NIL)\n", "BODY[…]"),
        ("COMPRESS", "", "an extension that can be enabled"),
    ] {
        let why = enabled(names, rest).expect_err(rest);
        assert!(why.contains(reason), "{rest}: {why}");
    }
    let unasked = format!("{GREETING}C e ENABLE CONDSTORE\nS * ENABLED QRESYNC\n");
    assert!(judge(&unasked).unwrap_err().contains("what was asked to be enabled"));
    enabled("QRESYNC", "C 3 UID FETCH 1 FLAGS (CHANGEDSINCE 1 VANISHED)\nS * VANISHED (EARLIER) 1:9\n")
        .unwrap();
    enabled("QRESYNC", "C 3 NOOP\nS * VANISHED 2\nS * 2 FETCH (UID 4 MODSEQ (1) FLAGS ())\n").unwrap();
    enabled("IMAP4rev2", "C 3 SEARCH ALL\nS * ESEARCH (TAG \"3\") ALL 1:3\n").unwrap();
}

/// Tests speak IMAP over a `Wire`: none opens a socket of its own, but for TLS and the admin site.
#[test]
fn no_way_around() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/server");
    let (mut read, mut own) = (0, Vec::new());
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "rs") {
            continue;
        }
        read += 1;
        let text = std::fs::read_to_string(&path).unwrap();
        let lines = text.lines().filter(|line| {
            let opens = line.contains("TcpStream::connect") || line.contains("TcpStream::from");
            let is_judged = line.contains("Client::over(") || line.contains("self.secure(");
            opens && !is_judged && !line.contains("imaps") && !line.contains("\"admin\"")
        });
        own.extend(lines.map(|line| format!("{}: {}", path.display(), line.trim())));
    }
    assert!(read > 25 && own.is_empty(), "{own:#?}");
}
