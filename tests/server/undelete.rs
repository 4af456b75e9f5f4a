//! Deleted mail comes back: the real binary, over IMAP, with a server and without one.

use serde_json::{Value, json};

use super::command_line::{Run, run};
use super::harness::Server;

fn undelete(server: &Server, arguments: &[&str]) -> Run {
    run(server.folder(), &[&["undelete", "--data", "data"], arguments].concat(), "")
}

fn listed(server: &Server, arguments: &[&str]) -> Vec<Value> {
    let run = undelete(server, &[&["list", "--json"], arguments].concat());
    assert_eq!(run.code, Some(0), "{run:?}");
    serde_json::from_str(&run.out).unwrap()
}

fn ids(items: &[Value]) -> Vec<String> {
    items.iter().map(|item| item["id"].as_str().unwrap().to_owned()).collect()
}

fn validity(client: &mut super::harness::Client, mailbox: &str) -> String {
    let status = client.ok(&format!("STATUS {mailbox} (UIDVALIDITY)")).remove(0);
    status[status.find("UIDVALIDITY ").unwrap()..].to_owned()
}

#[test]
fn a_message_is_back_in_the_session_that_expunged_it() {
    let server = Server::start(&["anna"]);
    let mut client = server.login("anna");
    let message = "From: Ben <ben@example.org>\r\nSubject: the contract\r\n\r\nSigned.\r\n";
    let date = "\"17-Jul-1996 02:44:25 -0700\"";
    client.send(
        format!("a APPEND INBOX (\\Seen \\Flagged $Work) {date} {{{}+}}\r\n", message.len()).as_bytes(),
    );
    client.send(format!("{message}\r\n").as_bytes());
    assert!(client.finish("a").1.starts_with("OK"));
    client.append("INBOX", "", b"Subject: stays\r\n\r\nx\r\n");
    client.ok("ENABLE QRESYNC");
    let selected = client.ok("SELECT INBOX");
    let modseq = selected.iter().find_map(|line| line.split("HIGHESTMODSEQ ").nth(1)).unwrap();
    let modseq = modseq.split(']').next().unwrap().to_owned();
    let valid = validity(&mut client, "INBOX");
    client.ok("STORE 1 +FLAGS.SILENT (\\Deleted)");
    client.ok("EXPUNGE");

    let items = listed(&server, &["ben", "contract"]);
    assert_eq!(items.len(), 1);
    let expected = json!({
        "kind": "message", "account": "anna", "account_removed": false, "mailbox": "INBOX", "days_left": 30,
        "subject": "the contract", "from": "Ben <ben@example.org>", "date": 837_596_665, "size": message.len(),
        "flags": ["\\Seen", "\\Flagged", "\\Deleted", "$Work"],
    });
    for (key, value) in expected.as_object().unwrap() {
        let mut found = items[0][key].clone();
        if key == "flags" {
            let mut flags: Vec<String> = serde_json::from_value(found).unwrap();
            flags.sort();
            let mut wanted: Vec<String> = serde_json::from_value(value.clone()).unwrap();
            wanted.sort();
            assert_eq!(flags, wanted);
            continue;
        }
        assert_eq!(found.take(), *value, "{key}");
    }
    let id = ids(&items).remove(0);
    let table = undelete(&server, &["list"]);
    assert!(
        table.out.starts_with("id") && table.out.contains(&id) && table.out.contains("the contract"),
        "{table:?}"
    );
    let shown = undelete(&server, &["show", &id]);
    assert!(
        shown.out.contains("From: Ben <ben@example.org>\n") && shown.out.ends_with("\n\nSigned.\n"),
        "{shown:?}"
    );
    assert_eq!(undelete(&server, &["show", &id, "--eml"]).out, message);

    let done = undelete(&server, &["restore", &id]);
    assert_eq!((done.code, done.out.as_str()), (Some(0), "1 message is back in INBOX.\n"));
    // The session is told at once, by a new UID; who comes back with QRESYNC sees one gone and one new.
    let news = client.ok("NOOP");
    assert!(news.iter().any(|line| line == "* 2 EXISTS"), "{news:?}");
    let fetched = client.ok("UID FETCH 3 (FLAGS INTERNALDATE BODY.PEEK[])").join("\n");
    for wanted in ["\\Seen", "\\Flagged", "$Work", "17-Jul-1996 02:44:25 -0700", "Signed."] {
        assert!(fetched.contains(wanted), "{wanted}: {fetched}");
    }
    assert!(!fetched.contains("\\Deleted"), "{fetched}");
    let mut other = server.login("anna");
    other.ok("ENABLE QRESYNC");
    let number = valid.trim_start_matches("UIDVALIDITY ").trim_end_matches(')');
    let resync = other.ok(&format!("SELECT INBOX (QRESYNC ({number} {modseq}))"));
    assert!(resync.iter().any(|line| line == "* VANISHED (EARLIER) 1"), "{resync:?}");
    assert!(resync.iter().any(|line| line.contains("FETCH (UID 3 ")), "{resync:?}");

    // Twice is harmless, and said; a script sees that there was nothing.
    let again = undelete(&server, &["restore", &id]);
    assert_eq!(again.code, Some(1));
    assert!(again.out.contains("not among the deleted mail, or not any more"), "{again:?}");
    assert_eq!(listed(&server, &[]), Vec::<Value>::new());
    assert_eq!(undelete(&server, &["list"]).out, "Nothing deleted fits.\n");
}

#[test]
fn a_mailbox_and_an_account_come_back_without_a_server() {
    let mut server = Server::start(&["anna", "ben"]);
    let mut client = server.login("anna");
    for name in ["Work", "Work/2024"] {
        client.ok(&format!("CREATE {name}"));
    }
    client.append("Work", "\\Seen kept", b"Subject: plan\r\n\r\nx\r\n");
    client.append("Work", "", b"Subject: other\r\n\r\nx\r\n");
    let old = validity(&mut client, "Work");
    // Another session has it open all the while, and must not take the new one for the old.
    let mut idle = server.login("anna");
    idle.ok("SELECT Work");
    client.ok("DELETE Work");
    let items = listed(&server, &["--mailbox", "Work"]);
    assert_eq!(items.len(), 3, "itself and what is in it: {items:?}");
    let done = undelete(&server, &["restore", items[0]["id"].as_str().unwrap()]);
    assert_eq!(done.out, "Work is back, with 2 messages.\n");
    idle.send(b"z NOOP\r\n");
    assert!(idle.line().starts_with("* BYE"));
    let list = client.ok("LIST \"\" * RETURN (SUBSCRIBED)");
    assert!(list.iter().any(|line| line.contains("\\Subscribed") && line.ends_with(" \"Work\"")), "{list:?}");
    assert!(list.iter().any(|line| line.ends_with(" \"Work/2024\"")));
    assert_ne!(validity(&mut client, "Work"), old);
    client.ok("SELECT Work");
    let flags = client.ok("FETCH 1 (UID FLAGS)");
    assert!(
        flags[0].contains("UID 1") && flags[0].contains("kept") && flags[0].contains("\\Seen"),
        "{flags:?}"
    );
    // What comes later gets no UID that the old one had.
    let appended = client.append("Work", "", b"Subject: new\r\n\r\nx\r\n");
    assert!(appended.contains(" 3]"), "{appended}");
    client.ok("UNSELECT");

    // The account, with the server stopped.
    server.command(&["device", "add", "phone", "--account", "anna"], "");
    let removed = server.command(&["account", "remove", "anna", "--yes"], "");
    assert!(removed.0, "{removed:?}");
    server.stop();
    let items = listed(&server, &[]);
    assert_eq!((items.len(), items[0]["kind"].as_str()), (1, Some("account")), "{items:?}");
    let id = items[0]["id"].as_str().unwrap();
    assert!(undelete(&server, &["list"]).out.contains("account anna: 3 messages"));
    let taken = undelete(&server, &["restore", id, "--as", "ben"]);
    assert_eq!(taken.code, Some(1));
    assert!(taken.out.contains("an account of this name exists already"), "{taken:?}");
    let done = undelete(&server, &["restore", id]);
    assert_eq!(done.code, Some(0), "{done:?}");
    assert!(done.out.starts_with("The account anna is back, with 8 mailboxes and 3 messages."), "{done:?}");
    server.restart();
    // Its old password is none any more.
    let mut refused = server.connect();
    assert!(refused.command(&format!("LOGIN anna \"{}\"", super::harness::PASSWORD)).1.starts_with("NO"));
    let password = format!("{}\n", super::harness::PASSWORD);
    assert!(server.command(&["account", "password", "anna", "--password-stdin"], &password).0);
    let mut client = server.login("anna");
    let status = client.ok("STATUS Work (MESSAGES)");
    assert!(status[0].contains("MESSAGES 3"), "{status:?}");
}

#[test]
fn all_that_fits_and_how_long_it_is_kept() {
    let server = Server::start(&["anna"]);
    let mut client = server.login("anna");
    for n in 0..150 {
        let from = if n % 3 == 0 { "shop@example.org" } else { "ben@example.org" };
        client.append("INBOX", "\\Deleted", format!("From: {from}\r\nSubject: {n}\r\n\r\nx\r\n").as_bytes());
    }
    client.ok("SELECT INBOX");
    client.ok("EXPUNGE");
    assert!(undelete(&server, &["list", "--limit", "60"]).out.contains("There is more"));
    assert_eq!(listed(&server, &["--limit", "120"]).len(), 120);
    let done = undelete(&server, &["restore", "--all", "--words", "shop", "--to", "Orders"]);
    assert_eq!(done.out, "50 messages are back in Orders.\n");
    assert!(client.ok("STATUS Orders (MESSAGES UNSEEN DELETED)")[0].contains("MESSAGES 50"));
    let done = undelete(&server, &["restore", "--all", "--json"]);
    let done: Value = serde_json::from_str(&done.out).unwrap();
    assert_eq!((done["messages"].as_u64(), done["present"].as_u64()), (Some(100), Some(0)));
    let news = client.ok("NOOP");
    assert!(news.iter().any(|line| line == "* 100 EXISTS"), "{news:?}");

    assert_eq!(
        undelete(&server, &["keep"]).out,
        "Deleted mail is kept for 30 days in which the server runs.\n"
    );
    assert_eq!(
        undelete(&server, &["keep", "90", "--json"]).out.replace(char::is_whitespace, ""),
        "{\"days\":90,\"early\":null}"
    );
    assert_eq!(undelete(&server, &["keep", "1"]).code, Some(1));
    for usage in [
        &["restore"][..],
        &["restore", "--all", "5.1"],
        &["restore", "5.1", "--mailbox", "INBOX"],
        &["restore", "--all", "--as", "x"],
        &["list", "--since", "yesterday"],
        &["list", "--on", "2026-11-01", "--since", "2026-11-01"],
    ] {
        assert_eq!(undelete(&server, usage).code, Some(2), "{usage:?}");
    }
    assert_eq!(undelete(&server, &["show", "999999.1"]).code, Some(1));
    assert_eq!(undelete(&server, &["list", "--account", "nobody"]).code, Some(1));
}

/// For good, minutes after it was deleted: with a server and without one, and only if it is meant so.
#[test]
fn what_is_purged_is_gone() {
    let mut server = Server::start(&["anna"]);
    let mut client = server.login("anna");
    for n in 0..4 {
        let message = format!("From: ben@example.org\r\nSubject: n{n}\r\n\r\ntext of {n}\r\n");
        client.append("INBOX", "\\Deleted", message.as_bytes());
    }
    client.append("INBOX", "", b"Subject: stays\r\n\r\nx\r\n");
    client.ok("SELECT INBOX");
    client.ok("EXPUNGE");
    let ids = ids(&listed(&server, &[]));
    assert_eq!(ids.len(), 4);
    // Nobody can be asked.
    let unsure = undelete(&server, &["purge", &ids[0]]);
    assert!(unsure.code == Some(2) && unsure.err.contains("--yes"), "{unsure:?}");
    assert_eq!(listed(&server, &[]).len(), 4);
    let done = undelete(&server, &["purge", &ids[0], "--yes"]);
    assert_eq!(done.code, Some(0), "{done:?}");
    assert!(done.out.starts_with("Deleted for good: 1 message ("), "{done:?}");
    let again = undelete(&server, &["purge", &ids[0], "--yes"]);
    assert!(again.code == Some(1) && again.out.contains("not any more"), "{again:?}");
    assert_eq!(undelete(&server, &["show", &ids[0]]).code, Some(1));
    server.stop();
    let done = undelete(&server, &["purge", "--all", "--words", "n1", "--yes", "--json"]);
    let told: Value = serde_json::from_str(&done.out).unwrap();
    assert_eq!((done.code, told["messages"].as_u64()), (Some(0), Some(1)), "{done:?}");
    server.restart();
    assert_eq!(listed(&server, &[]).len(), 2);
    let done = undelete(&server, &["restore", "--all"]);
    assert_eq!(done.out, "2 messages are back in INBOX.\n");
    let (ok, checked) = server.command(&["check"], "");
    assert!(ok && checked.contains("3 contents read"), "{checked}");
    for usage in [&["purge"][..], &["purge", "--all", "5.1"], &["purge", "5.1", "--mailbox", "INBOX"]] {
        assert_eq!(undelete(&server, usage).code, Some(2), "{usage:?}");
    }
}
