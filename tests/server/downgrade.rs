//! `postern downgrade`, over a store that this version has brought to its format.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use super::harness::Server;
use super::set_format::set_format;

/// A server whose store has the format before this one's, as far as its number says; no row has changed since.
fn of_format_1() -> Server {
    let mut server = Server::start(&["anna"]);
    let mut client = server.login("anna");
    client.ok("CREATE Work/2025");
    for n in 0..60 {
        let mailbox = ["INBOX", "Work/2025", "Archive"][n % 3];
        client.append(mailbox, "\\Seen", format!("Subject: {n}\r\n\r\nof then\r\n").as_bytes());
    }
    server.stop();
    set_format(&server.data().join("index.redb"), 1).unwrap();
    // Nothing has opened it yet.
    let (done, text) = server.command(&["downgrade", "--needed-below"], "");
    assert!(done && text.is_empty(), "{text}");
    let (done, text) = server.command(&["status"], "");
    assert!(done, "{text}");
    server
}

/// How many messages each mailbox of an account has, by `postern export`.
fn counts(server: &Server, account: &str) -> BTreeMap<String, usize> {
    let to = server.scratch("exported").join(account);
    let _ = fs::remove_dir_all(&to);
    let (done, text) =
        server.command(&["export", "--account", account, "--format", "eml", to.to_str().unwrap()], "");
    assert!(done, "{text}");
    let mut found = BTreeMap::new();
    let mut todo = vec![to.clone()];
    while let Some(folder) = todo.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                todo.push(path);
            } else {
                let name = folder.strip_prefix(&to).unwrap().display().to_string();
                *found.entry(name).or_default() += 1;
            }
        }
    }
    found
}

/// The commands in what is printed.
fn lines(text: &str) -> String {
    let commands = text.lines().filter(|line| line.starts_with("  postern "));
    commands.map(|line| format!("{line}\n")).collect()
}

const ANNA: &str = "anna";

#[test]
fn the_older_version_has_its_store_again_and_what_came_since_comes_in_anew() {
    let mut server = of_format_1();
    let (done, text) = server.command(&["downgrade", "--needed-below"], "");
    assert!(done && text.trim() == env!("CARGO_PKG_VERSION"), "{text}");
    assert!(server.data().join("index.before-1").exists());
    let then = counts(&server, ANNA);
    assert!(then.values().sum::<usize>() > 50, "{then:?}");
    let (done, text) = server.command(&["account", "add", "zoe", "--password-stdin"], "a long enough one\n");
    assert!(done, "{text}");
    for (account, mailbox) in [(ANNA, "INBOX"), (ANNA, "Since then"), ("zoe", "INBOX")] {
        for n in 0..3 {
            let letter = format!("Subject: {mailbox} {n}\n\nof {account}\n");
            let (done, text) =
                server.command(&["deliver", "--account", account, "--mailbox", mailbox], &letter);
            assert!(done, "{text}");
        }
    }
    let now = counts(&server, ANNA);
    server.restart();
    let into = server.folder().join("what came");
    let into = into.to_str().unwrap();
    let (done, text) = server.command(&["downgrade", "--yes", into], "");
    assert!(!done && text.contains("runs: stop it first"), "{text}");
    server.stop();
    // A folder that somebody uses does not become the server's.
    let used = server.scratch("used");
    fs::write(used.join("letter"), "mine").unwrap();
    let mode = fs::metadata(&used).unwrap().permissions();
    for (folder, why) in [(used.clone(), "is not empty"), (server.data().join("within"), "within each other")]
    {
        let (done, text) = server.command(&["downgrade", "--yes", folder.to_str().unwrap()], "");
        assert!(!done && text.contains(why), "{text}");
    }
    assert_eq!(fs::metadata(&used).unwrap().permissions(), mode);
    let kept = fs::read(server.data().join("index.before-1")).unwrap();
    let (done, text) = server.command(&["downgrade", into], "");
    assert!(!done && text.contains("--yes"), "{text}");
    let (done, text) = server.command(&["downgrade", "--yes", into], "");
    assert!(done && text.contains("index.after-2") && text.contains("postern account add zoe"), "{text}");
    assert!(server.data().join("index.after-2").exists() && !server.data().join("index.before-1").exists());
    let lines = lines(&text);
    assert_eq!(fs::read_to_string(Path::new(into).join("bring-in.txt")).unwrap(), lines);
    // As a power cut between the two names would have left it.
    fs::rename(server.data().join("index.redb"), server.data().join("index.back")).unwrap();
    fs::write(server.data().join("index.before-1"), kept).unwrap();
    let (done, text) = server.command(&["status"], "");
    assert!(!done && text.contains("`postern downgrade` again"), "{text}");
    let (done, text) = server.command(&["downgrade", "--needed-below"], "");
    assert!(done && text.trim() == env!("CARGO_PKG_VERSION"), "{text}");
    let (done, text) = server.command(&["downgrade", "--yes", into], "");
    assert!(done && self::lines(&text) == lines, "{text}");
    // This version stands for the older one, which knew format 1 as well.
    assert_eq!(counts(&server, ANNA), then);
    for line in lines.lines().filter_map(|line| line.trim().strip_prefix("postern ")) {
        let line = line.split("    #").next().unwrap();
        let words: Vec<&str> = match line.split_once(" '") {
            Some((words, folder)) => words.split(' ').chain([folder.trim_end_matches('\'')]).collect(),
            None => line.split(' ').collect(),
        };
        let mut words = words;
        if words.starts_with(&["account"]) {
            words.push("--password-stdin");
        }
        let (done, text) = server.command(&words, "a long enough one\n");
        assert!(done, "{line}: {text}");
    }
    assert_eq!(counts(&server, ANNA), now);
    assert_eq!(counts(&server, "zoe").values().sum::<usize>(), 3);
    let (well, text) = server.command(&["check"], "");
    assert!(well, "{text}");
}

#[test]
fn where_there_is_nothing_to_go_back_to_nothing_is_done() {
    let mut server = Server::start(&["anna"]);
    server.login("anna").append("INBOX", "", b"Subject: a\r\n\r\nb\r\n");
    server.stop();
    let (done, text) = server.command(&["downgrade", "--needed-below"], "");
    assert!(done && text.is_empty(), "{text}");
    // It is not even asked whether it is meant so.
    for arguments in [&["downgrade"][..], &["downgrade", "--yes"]] {
        let (done, text) = server.command(arguments, "");
        assert!(!done && text.contains("nothing to go back to"), "{text}");
    }
    assert_eq!(counts(&server, "anna").values().sum::<usize>(), 1);
}
