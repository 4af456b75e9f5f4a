//! `postern check` and `check --repair` with the real binary: while it serves, and on stores that are damaged.

use crate::harness::{Client, Server};

fn message(n: usize) -> String {
    format!(
        "From: a@example.org\r\nSubject: letter {n}\r\n\r\nThe words of letter {n}: {}\r\n",
        "x".repeat(n * 977 % 5_000)
    )
}

fn filled(count: usize) -> Server {
    let server = Server::start(&["anna"]);
    let mut anna = server.login("anna");
    for n in 0..count {
        anna.append("INBOX", if n % 2 == 0 { "\\Seen" } else { "" }, message(n).as_bytes());
    }
    server
}

fn json(output: &str) -> serde_json::Value {
    let from = output.find('{').unwrap_or_else(|| panic!("{output}"));
    let upto = output.rfind('}').unwrap_or_default();
    serde_json::from_str(&output[from..=upto]).unwrap_or_else(|error| panic!("{error}: {output}"))
}

/// How many messages a selected mailbox has whose header can be read.
fn letters(client: &mut Client) -> usize {
    let responses = client.ok("FETCH 1:* (BODY.PEEK[HEADER.FIELDS (SUBJECT)])");
    responses.iter().filter(|response| response.contains("Subject: letter")).count()
}

#[test]
fn a_sound_store_is_well_while_it_serves_and_while_it_does_not() {
    let mut server = filled(12);
    let mut idle = server.login("anna");
    idle.ok("SELECT INBOX");
    let (ok, output) = server.command(&["check"], "");
    assert!(ok && output.contains("all is well"), "{output}");
    let (ok, output) = server.command(&["check", "--json"], "");
    let told = json(&output);
    assert!(
        ok && told["report"]["complete"] == true && told["report"]["looked"]["contents"] == 12,
        "{output}"
    );
    // A repair needs the store to itself, and says so.
    let (ok, output) = server.command(&["check", "--repair"], "");
    assert!(!ok && output.contains("stop it first"), "{output}");
    idle.ok("NOOP");
    assert_eq!(server.stop(), Some(0));
    let (ok, output) = server.command(&["check", "--quick"], "");
    assert!(ok && output.contains("0 contents read"), "{output}");
    let (ok, output) = server.command(&["check", "--repair"], "");
    assert!(ok && output.contains("all is well") && !output.contains("mended"), "{output}");
    let (ok, output) = server.command(&["status"], "");
    assert!(ok, "{output}");
}

/// Index and catalogues are gone: what the backup knows of accounts, mailboxes and UIDs comes back, and of later mail
/// the contents.
#[test]
fn an_index_is_made_anew_out_of_a_backup() {
    let mut server = filled(20);
    let mut anna = server.login("anna");
    anna.ok("CREATE Work");
    anna.append("Work", "\\Flagged $Paid", b"Subject: letter of work\r\n\r\nx\r\n");
    let stick = server.folder().join("stick");
    let stick = stick.to_str().unwrap().to_owned();
    let (ok, output) = server.command(&["backup", &stick, "--same-disk"], "");
    assert!(ok, "{output}");
    anna.append("Work", "", b"Subject: letter of later\r\n\r\nx\r\n");
    assert_eq!(server.stop(), Some(0));
    for entry in std::fs::read_dir(server.data()).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        if name == "index.redb" || name.contains("catalogue") {
            std::fs::remove_file(path).unwrap();
        }
    }
    let (ok, output) = server.command(&["check", "--repair", &stick, "--json"], "");
    let told = json(&output);
    assert!(ok && told["rebuilt"]["of_backup"] == true, "{output}");
    server.restart();
    let mut anna = server.login("anna");
    anna.ok("SELECT INBOX");
    assert_eq!(letters(&mut anna), 20);
    anna.ok("SELECT Work");
    let work = anna.ok("UID FETCH 1:* (FLAGS BODY.PEEK[HEADER.FIELDS (SUBJECT)])");
    assert!(work[0].contains("\\Flagged $Paid") && work[0].contains("letter of work"), "{work:?}");
    let mut found = Vec::new();
    let listed = anna.ok("LIST \"\" *");
    for mailbox in ["Work", "Recovered"] {
        if !anna.command(&format!("SELECT {mailbox}")).1.starts_with("OK") {
            continue;
        }
        found.extend(anna.ok("UID FETCH 1:* (BODY.PEEK[HEADER.FIELDS (SUBJECT)])"));
    }
    assert_eq!(
        found.iter().filter(|line| line.contains("letter of later")).count(),
        1,
        "{found:?} {listed:?} {output}"
    );
}

/// Issue 11, fault 2: the advice that is given is a command that works.
#[test]
fn an_index_that_cannot_be_opened_is_made_anew() {
    let mut server = filled(30);
    assert_eq!(server.stop(), Some(0));
    let index = server.data().join("index.redb");
    let mut bytes = std::fs::read(&index).unwrap();
    bytes[..4096].fill(0);
    std::fs::write(&index, &bytes).unwrap();
    let (ok, output) = server.command(&["status"], "");
    assert!(!ok && output.contains("postern check --repair"), "{output}");
    let (ok, output) = server.command(&["check", "--repair", "--json"], "");
    let told = json(&output);
    assert!(ok && told["rebuilt"]["lossless"] == true, "{output}");
    assert!(server.data().join("index.damaged-1").exists());
    server.restart();
    let mut anna = server.login("anna");
    anna.ok("SELECT INBOX");
    assert_eq!(letters(&mut anna), 30);
    anna.append("INBOX", "", message(99).as_bytes());
}

/// With nothing but volumes the mail is there, in "Recovered", and nothing in INBOX.
#[test]
fn without_an_index_all_mail_is_in_recovered() {
    let mut server = filled(8);
    assert_eq!(server.stop(), Some(0));
    for name in ["index.redb", "catalogue.a", "catalogue.b"] {
        let _ = std::fs::remove_file(server.data().join(name));
    }
    let (ok, output) = server.command(&["check", "--repair"], "");
    assert!(ok && output.contains("Recovered") && output.contains("letter 3"), "{output}");
    let (ok, output) =
        server.command(&["account", "password", "recovered", "--password-stdin"], "correct horse");
    assert!(ok, "{output}");
    server.restart();
    let mut client = server.login("recovered");
    let inbox = client.ok("STATUS INBOX (MESSAGES)");
    assert!(inbox.iter().any(|line| line.contains("MESSAGES 0")), "{inbox:?}");
    client.ok("SELECT Recovered");
    assert_eq!(letters(&mut client), 8);
}

/// A damaged volume costs what it held: listed, named, and NO to who asks for its bytes.
#[test]
fn a_damaged_volume_is_named_message_by_message() {
    let mut server = filled(20);
    assert_eq!(server.stop(), Some(0));
    let volume = server.data().join("mail/000001.redb");
    let mut bytes = std::fs::read(&volume).unwrap();
    bytes[4096..].fill(0);
    std::fs::write(&volume, &bytes).unwrap();
    server.restart();
    let (ok, output) = server.command(&["check", "--json"], "");
    let told = json(&output);
    let findings = told["report"]["findings"].as_array().unwrap();
    let named: usize = findings
        .iter()
        .filter(|finding| finding["severity"] == "lost")
        .map(|finding| finding["messages"].as_array().map_or(0, Vec::len))
        .sum();
    assert!(!ok && named == 20, "{output}");
    let mut anna = server.login("anna");
    anna.ok("SELECT INBOX");
    let flags = anna.ok("FETCH 1:* (UID FLAGS INTERNALDATE RFC822.SIZE)");
    assert_eq!(flags.iter().filter(|line| line.contains("FETCH")).count(), 20);
    let (_, answer) = anna.command("FETCH 1 BODY.PEEK[]");
    assert!(answer.starts_with("NO "), "{answer}");
    assert_eq!(server.stop(), Some(0));
    let (ok, output) = server.command(&["check", "--repair"], "");
    assert!(!ok && output.contains("UID 20"), "{output}");
    // New mail goes elsewhere, and is kept.
    server.restart();
    let mut anna = server.login("anna");
    anna.append("INBOX", "", message(77).as_bytes());
    server.kill_and_restart();
    let mut anna = server.login("anna");
    anna.ok("SELECT INBOX");
    let lines = anna.ok("FETCH 21 BODY.PEEK[]");
    assert!(lines.iter().any(|line| line.contains("letter 77")), "{lines:?}");
}

/// What a damaged volume has lost comes back out of a backup, by its hash.
#[test]
fn a_damaged_volume_is_mended_from_a_backup() {
    let mut server = filled(20);
    let backup = server.scratch("backup");
    let (ok, output) = server.command(&["backup", backup.to_str().unwrap(), "--same-disk"], "");
    assert!(ok, "{output}");
    assert_eq!(server.stop(), Some(0));
    let volume = server.data().join("mail/000001.redb");
    let mut bytes = std::fs::read(&volume).unwrap();
    bytes[4096..].fill(0);
    std::fs::write(&volume, &bytes).unwrap();
    let (ok, output) = server.command(&["check", "--repair", backup.to_str().unwrap()], "");
    assert!(ok && output.contains("put back from the backup"), "{output}");
    server.restart();
    let mut anna = server.login("anna");
    anna.ok("SELECT INBOX");
    assert_eq!(letters(&mut anna), 20);
    let lines = anna.ok("FETCH 7 BODY.PEEK[]");
    assert!(lines.iter().any(|line| line.contains("The words of letter 6")), "{lines:?}");
}
