//! A damaged volume against the real binary: it costs what it held, and nobody is ever sent wrong bytes.

use std::io::{Read, Seek, SeekFrom, Write};

use crate::harness::Server;

/// So many small messages, each of one piece, and large ones of many.
const SMALL: usize = 40;
const LARGE: usize = 6;

/// A message that cannot be compressed much.
pub fn message(n: usize, size: usize) -> Vec<u8> {
    let mut out = format!("From: a@example.org\r\nSubject: {n}\r\n\r\n").into_bytes();
    let mut state = n as u64 + 1;
    while out.len() < size {
        for _ in 0..70 {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            out.push(b'0' + (state >> 58) as u8);
        }
        out.extend_from_slice(b"\r\n");
    }
    out
}

/// Turns bytes over in the middle of the volume, where content lies.
pub fn damage(server: &Server) {
    let path = server.data().join("mail/000001.redb");
    let mut file = std::fs::OpenOptions::new().read(true).write(true).open(path).unwrap();
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes).unwrap();
    // The file is sparse: half of what is written is not half of its length.
    let written: Vec<usize> =
        (0..bytes.len() / 4096).filter(|page| bytes[page * 4096..][..4096].iter().any(|b| *b != 0)).collect();
    for part in 1..10 {
        let at = written[written.len() * part / 10] * 4096 + 1_000;
        let flipped: Vec<u8> = bytes[at..at + 600].iter().map(|byte| !byte).collect();
        file.seek(SeekFrom::Start(at as u64)).unwrap();
        file.write_all(&flipped).unwrap();
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fetched {
    Whole,
    Refused,
    Closed,
}

/// Fetches one message on a connection of its own; what came must be what was appended, or nothing.
fn fetch(server: &Server, number: usize, wanted: &[u8]) -> Fetched {
    let mut client = server.login("alice");
    client.ok("SELECT INBOX");
    client.send(format!("f FETCH {number} (UID BODY.PEEK[])\r\n").as_bytes());
    let mut whole = false;
    loop {
        let Some(response) = client.response() else { return Fetched::Closed };
        let text = String::from_utf8_lossy(&response);
        if text.starts_with("f OK") {
            assert!(whole, "OK without the message");
            return Fetched::Whole;
        } else if text.starts_with("f ") {
            assert!(text.starts_with("f NO ") && !whole, "{text}");
            return Fetched::Refused;
        } else if text.contains("BODY[]") {
            assert!(response[..response.len() - 1].ends_with(wanted), "wrong bytes of {number}");
            whole = true;
        }
    }
}

#[test]
fn damage_costs_what_it_held_and_is_said() {
    let mut server = Server::start(&["alice"]);
    let messages: Vec<Vec<u8>> =
        (0..SMALL + LARGE).map(|n| message(n, if n < SMALL { 6_000 } else { 400_000 })).collect();
    let mut client = server.login("alice");
    for message in &messages {
        client.append("INBOX", "\\Flagged", message);
    }
    assert_eq!(server.stop(), Some(0));
    damage(&server);
    server.restart();
    let look = |server: &Server| -> Vec<Fetched> {
        (1..).zip(&messages).map(|(number, message)| fetch(server, number, message)).collect()
    };
    let first = look(&server);
    // Whoever was cut off in the middle comes again, is told, and gets past the message.
    let found = look(&server);
    let count = |found: &[Fetched], what| found.iter().filter(|one| **one == what).count();
    println!(
        "figure damaged volume: {} messages whole, {} answered NO, {} cut off",
        count(&first, Fetched::Whole),
        count(&first, Fetched::Refused),
        count(&first, Fetched::Closed)
    );
    assert_eq!(count(&found, Fetched::Closed), 0, "{found:?}");
    assert_eq!(count(&found, Fetched::Whole), count(&first, Fetched::Whole));
    let lost = found.len() - count(&found, Fetched::Whole);
    assert!((1..=found.len() / 2).contains(&lost), "{found:?}");
    let log = server.log();
    for (number, found) in (1..).zip(&found) {
        // Whoever looks after the server learns which message it is, and what helps.
        let named = |line: &&str| line.contains(" ERROR ") && line.contains(&format!("uid={number} "));
        let line = log.lines().find(named);
        assert_eq!(line.is_some(), *found != Fetched::Whole, "message {number}:\n{log}");
        assert!(
            line.is_none_or(|line| line.contains("INBOX") && line.contains("import or append")),
            "{line:?}"
        );
    }
    // What does not need the content is served as ever, and a FETCH of all small ones serves those that are whole.
    let mut client = server.login("alice");
    client.ok("SELECT INBOX");
    assert_eq!(client.ok("FETCH 1:* (FLAGS RFC822.SIZE)").len(), messages.len());
    client.ok("SEARCH FLAGGED BODY 12345");
    let (untagged, status) = client.command(&format!("FETCH 1:{SMALL} BODY.PEEK[]"));
    let small = &found[..SMALL];
    assert_eq!(status.starts_with("OK"), count(small, Fetched::Whole) == SMALL, "{status}");
    assert_eq!(untagged.iter().filter(|line| line.contains("BODY[]")).count(), count(small, Fetched::Whole));
    // The same message again takes the damaged one's place, in every mailbox where it lies.
    for message in &messages {
        client.append("Archive", "", message);
    }
    drop(client);
    let again = look(&server);
    assert_eq!(count(&again, Fetched::Whole), messages.len(), "{again:?}");
    assert_eq!(server.stop(), Some(0));
}

/// A transfer encoding that nobody knows is the sender's doing: who asks for the part decoded is refused, and nothing
/// is wrong with the message. Nor does the refusal hide that others are damaged.
#[test]
fn what_is_refused_is_not_damaged() {
    let odd = b"Subject: odd\r\nContent-Transfer-Encoding: x-yarn\r\n\r\nknit one\r\n";
    let mut server = Server::start(&["alice"]);
    let mut client = server.login("alice");
    client.append("INBOX", "", odd);
    for n in 0..SMALL {
        client.append("INBOX", "", &message(n, 6_000));
    }
    client.ok("SELECT INBOX");
    for item in ["BINARY.PEEK[1]", "BINARY.SIZE[1]"] {
        let (told, status) = client.command(&format!("UID FETCH 1:3 (UID {item})"));
        assert!(status.starts_with("NO [UNKNOWN-CTE]"), "{status}");
        assert_eq!(told.len(), 3, "the others come: {told:?}");
    }
    client.ok("UID SEARCH BODY knit");
    let complaints = |log: &str| log.lines().filter(|line| line.contains(" ERROR ")).count();
    assert_eq!(complaints(&server.log()), 0, "{}", server.log());
    assert_eq!(server.stop(), Some(0));
    damage(&server);
    server.restart();
    let mut client = server.login("alice");
    client.ok("SELECT INBOX");
    // Of the odd one only the structure is read, so that it does not matter whether its own bytes are whole.
    let (_, status) = client.command("UID FETCH 1:* (UID BINARY.PEEK[1])");
    assert!(status.starts_with("NO [CORRUPTION]"), "{status}");
    assert!(complaints(&server.log()) > 0, "{}", server.log());
}
