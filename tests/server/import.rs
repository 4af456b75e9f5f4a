//! The Maildir watcher, in the real binary.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

use super::harness::{Client, Server};

/// A message with this subject.
fn message(subject: &str) -> String {
    format!(
        "From: Anna <anna@example.org>\nSubject: {subject}\nMessage-ID: <{subject}@example.org>\n\nHello.\n"
    )
}

/// Makes the three directories of a folder.
fn folder(path: &Path) -> PathBuf {
    for sub in ["tmp", "new", "cur"] {
        fs::create_dir_all(path.join(sub)).unwrap();
    }
    path.to_owned()
}

/// Puts a file where it belongs as a delivery does: through `tmp/`. `name` is `new/…` or `cur/…`.
fn deliver(folder: &Path, name: &str, content: &str) {
    let half = folder.join("tmp/half");
    fs::write(&half, content).unwrap();
    fs::rename(half, folder.join(name)).unwrap();
}

/// Waits until it is so.
fn wait(what: &str, limit: Duration, mut so: impl FnMut() -> bool) -> Duration {
    let start = Instant::now();
    while !so() {
        assert!(start.elapsed() < limit, "not within {limit:?}: {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
    start.elapsed()
}

const LIMIT: Duration = Duration::from_secs(15);

fn messages(client: &mut Client, mailbox: &str) -> u32 {
    let (untagged, _) = client.command(&format!("STATUS \"{mailbox}\" (MESSAGES)"));
    let Some(status) = untagged.first() else { return 0 };
    let count = status.rsplit_once("MESSAGES ").unwrap().1.trim_end_matches(')');
    count.parse().unwrap()
}

fn wait_for(client: &mut Client, mailbox: &str, count: u32) {
    let mut last = 0;
    let start = Instant::now();
    while last != count {
        assert!(start.elapsed() < LIMIT, "{mailbox} has {last} messages, not {count}");
        std::thread::sleep(Duration::from_millis(10));
        last = messages(client, mailbox);
    }
}

/// The subjects of a mailbox's messages, in the order of their UIDs.
fn subjects(client: &mut Client, mailbox: &str) -> Vec<String> {
    client.ok(&format!("EXAMINE \"{mailbox}\""));
    let fetched = client.ok("UID FETCH 1:* BODY.PEEK[HEADER.FIELDS (SUBJECT)]");
    let found = fetched.iter().filter_map(|line| Some(line.split_once("Subject: ")?.1));
    found.map(|rest| rest.lines().next().unwrap_or_default().to_owned()).collect()
}

fn add(server: &Server, path: &Path, more: &[&str]) -> String {
    let (done, text) = server.command(&[&["source", "add", path.to_str().unwrap()], more].concat(), "");
    assert!(done, "{text}");
    text
}

/// Waits until the source has been looked at as a whole and nothing is under way.
fn wait_until_idle(server: &Server) -> String {
    let mut listed = String::new();
    wait("an idle source", LIMIT, || {
        listed = server.command(&["source", "list", "--json"], "").1;
        let looked = listed.split_once("\"last_look\": ").is_some_and(|(_, at)| !at.starts_with("null"));
        looked && !listed.contains("\"busy\": true")
    });
    listed
}

/// Every path below a folder with what must not change.
fn picture(root: &Path) -> BTreeMap<PathBuf, (u64, i64, i64, Vec<u8>)> {
    let mut found = BTreeMap::new();
    let mut open = vec![root.to_owned()];
    while let Some(path) = open.pop() {
        let metadata = path.symlink_metadata().unwrap();
        let content = if metadata.is_file() { fs::read(&path).unwrap() } else { Vec::new() };
        if metadata.is_dir() {
            open.extend(fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
        }
        found.insert(path, (metadata.ino(), metadata.mtime(), metadata.ctime(), content));
    }
    found
}

#[test]
fn a_new_file_is_told_within_a_second() {
    let server = Server::start(&["anna"]);
    let maildir = folder(&server.scratch("Maildir"));
    let text = add(&server, &maildir, &["--account", "anna", "--after", "keep"]);
    assert!(text.contains("single folder layout, folders: 1, messages: 0"), "{text}");
    wait_until_idle(&server);
    let mut client = server.login("anna");
    client.ok("SELECT INBOX");
    client.send(b"i IDLE\r\n");
    assert!(client.line().starts_with('+'));
    for n in 1..=3 {
        deliver(&maildir, &format!("new/{}.a.host", 1_700_000_000 + n), &message(&format!("m{n}")));
        let start = Instant::now();
        while !client.line().starts_with(&format!("* {n} EXISTS")) {}
        let took = start.elapsed();
        println!("figure told to IDLE after delivery: {} ms", took.as_millis());
        assert!(took < Duration::from_secs(1), "{took:?}");
    }
    client.send(b"DONE\r\n");
    client.finish("i");
    assert_eq!(subjects(&mut client, "INBOX"), ["m1", "m2", "m3"]);
}

#[test]
fn sources_are_added_listed_and_removed_with_and_without_a_server() {
    let mut server = Server::start(&["anna", "bert"]);
    let maildir = folder(&server.scratch("Maildir"));
    deliver(&maildir, "cur/1700000000.a:2,S", &message("first"));
    server.stop();
    let path = maildir.to_str().unwrap();
    let run = |server: &Server, arguments: &[&str]| server.command(arguments, "");
    let (done, text) = run(&server, &["source", "add", path, "--after", "keep"]);
    assert!(!done && text.contains("account"), "which of two accounts: {text}");
    let (done, text) = run(&server, &["source", "add", path, "--account", "carl", "--after", "keep"]);
    assert!(!done && text.contains("there is no account \"carl\""), "{text}");
    assert!(!run(&server, &["source", "add", path, "--account", "bert", "--after", "burn"]).0);
    assert!(!run(&server, &["source", "add", path, "--account", "bert"]).0, "what happens must be said");
    assert!(!run(&server, &["source", "add", "/nowhere", "--account", "bert", "--after", "keep"]).0);
    let empty = server.scratch("empty");
    let (done, text) =
        run(&server, &["source", "add", empty.to_str().unwrap(), "--account", "bert", "--after", "keep"]);
    assert!(!done && text.contains("no Maildir"), "{text}");
    add(&server, &maildir, &["--account", "bert", "--mailbox", "Old/Mail", "--after", "keep"]);
    let (_, text) = run(&server, &["source", "list"]);
    assert!(text.contains(path) && text.contains("into Old/Mail") && text.contains("not running"), "{text}");
    let twice = run(&server, &["source", "add", path, "--account", "bert", "--after", "delete"]);
    assert!(!twice.0 && twice.1.contains("exists"), "{}", twice.1);
    server.restart();
    let mut client = server.login("bert");
    wait_for(&mut client, "Old/Mail", 1);
    assert_eq!(messages(&mut client, "INBOX"), 0);
    wait_until_idle(&server);
    let (_, text) = run(&server, &["source", "list"]);
    assert!(text.contains("watching, single folder") && text.contains("1 imported"), "{text}");
    let (done, text) = run(&server, &["source", "remove", path]);
    assert!(done, "{text}");
    assert!(!run(&server, &["source", "remove", path]).0);
    deliver(&maildir, "new/1700000001.b", &message("second"));
    std::thread::sleep(Duration::from_millis(500));
    assert_eq!(messages(&mut client, "Old/Mail"), 1, "it is watched no more, and its mail stays");
    assert_eq!(run(&server, &["source", "list", "--json"]).1.trim(), "[]");
    // The same again brings what is new; after --forget, everything.
    let text = add(&server, &maildir, &["--account", "bert", "--mailbox", "Old/Mail", "--after", "keep"]);
    assert!(text.contains("1 known from before"), "{text}");
    wait_for(&mut client, "Old/Mail", 2);
    assert!(run(&server, &["source", "remove", "--forget", path]).0);
    add(&server, &maildir, &["--account", "bert", "--mailbox", "Old/Mail", "--after", "keep"]);
    wait_for(&mut client, "Old/Mail", 4);
}

/// The mailboxes with messages, with their special use, and whether all are subscribed.
fn filled(client: &mut Client) -> Vec<String> {
    let listed = client.ok("LIST \"\" * RETURN (SUBSCRIBED SPECIAL-USE STATUS (MESSAGES))");
    let mut found = Vec::new();
    for line in &listed {
        let Some(status) = line.strip_prefix("* STATUS ") else {
            assert!(line.contains("\\Subscribed"), "{line}");
            continue;
        };
        let (name, count) = status.rsplit_once(" (MESSAGES ").unwrap();
        if count != "0)" {
            found.push(name.trim_matches('"').to_owned());
        }
    }
    found.sort();
    found
}

#[test]
fn every_layout_is_found_by_itself() {
    // The folders as they lie, and the mailboxes that they must be.
    let cases: [(&str, &[&str], &[&str]); 7] = [
        (
            "Maildir++",
            &["", ".Sent.2024", ".Gesendet", ".Entw&APw-rfe", ".Work", ".Work.a.b"],
            &["Drafts", "INBOX", "Sent", "Sent/2024", "Work", "Work/a/b"],
        ),
        (
            "nested",
            &["INBOX", "Corbeille", "Sent Items", "Lists/rust"],
            &["INBOX", "Lists/rust", "Sent", "Trash"],
        ),
        // Dovecot's LAYOUT=fs: INBOX is the root itself.
        ("nested", &["", "Archives/2023", "Junk"], &["Archive/2023", "INBOX", "Junk"]),
        // OfflineIMAP.
        ("dotted", &["INBOX", "INBOX.Sent", "INBOX.Kunden.Meier"], &["INBOX", "INBOX/Kunden/Meier", "Sent"]),
        ("legacy", &["", ".Sub", ".Sub/.Deep", ".Papelera"], &["INBOX", "Sub", "Sub/Deep", "Trash"]),
        ("nested", &["[Gmail]/Sent Mail", "[Gmail]/Starred", "INBOX"], &["INBOX", "Sent", "[Gmail]/Starred"]),
        ("single folder", &[""], &["INBOX"]),
    ];
    let accounts: Vec<String> = (0..cases.len()).map(|n| format!("user{n}")).collect();
    let server = Server::start(&accounts.iter().map(String::as_str).collect::<Vec<_>>());
    for (n, (layout, folders, _)) in cases.iter().enumerate() {
        let root = server.scratch(&format!("Maildir{n}"));
        for path in *folders {
            deliver(&folder(&root.join(path)), "cur/1700000000.a:2,", &message("one"));
        }
        let text = add(&server, &root, &["--account", &accounts[n], "--after", "keep"]);
        assert!(text.contains(&format!("{layout} layout, folders: {}", folders.len())), "{n}: {text}");
    }
    for (n, (_, folders, wanted)) in cases.iter().enumerate() {
        let mut client = server.login(&accounts[n]);
        client.ok("ENABLE IMAP4rev2");
        let mut last = Vec::new();
        let start = Instant::now();
        while last != *wanted {
            assert!(start.elapsed() < LIMIT, "{folders:?}: {last:?}, not {wanted:?}");
            last = filled(&mut client);
        }
    }
}

#[test]
fn an_empty_folder_is_a_mailbox_and_folders_may_appear_and_vanish() {
    let server = Server::start(&["anna"]);
    let maildir = folder(&server.scratch("Maildir"));
    folder(&maildir.join(".Empty"));
    add(&server, &maildir, &["--account", "anna", "--after", "keep"]);
    let mut client = server.login("anna");
    let has = |client: &mut Client, name: &str| !client.ok(&format!("LSUB \"\" \"{name}\"")).is_empty();
    wait("the empty folder", LIMIT, || has(&mut client, "Empty"));
    wait_until_idle(&server);
    // One that comes while the server looks, and mail in it at once and later.
    deliver(&folder(&maildir.join(".Late.Sub")), "new/1700000000.a", &message("at once"));
    wait_for(&mut client, "Late/Sub", 1);
    deliver(&maildir.join(".Late.Sub"), "new/1700000001.a", &message("later"));
    wait_for(&mut client, "Late/Sub", 2);
    fs::remove_dir_all(maildir.join(".Late.Sub")).unwrap();
    std::thread::sleep(Duration::from_millis(300));
    assert_eq!(messages(&mut client, "Late/Sub"), 2, "what was imported stays");
    // Back again with the same files: none of them comes twice, and what is new comes.
    let back = folder(&maildir.join(".Late.Sub"));
    deliver(&back, "new/1700000000.a", &message("at once"));
    deliver(&back, "cur/1700000001.a:2,S", &message("later"));
    deliver(&back, "new/1700000002.a", &message("new"));
    wait_for(&mut client, "Late/Sub", 3);
    assert_eq!(subjects(&mut client, "Late/Sub"), ["at once", "later", "new"]);
}

#[test]
fn flags_keywords_and_the_delivery_time_are_kept() {
    let server = Server::start(&["anna"]);
    let maildir = folder(&server.scratch("Maildir"));
    fs::write(maildir.join("dovecot-keywords"), "0 $Label1\n1 NonJunk\n").unwrap();
    deliver(&maildir, "cur/1700000000.M1.host,S=99,W=101:2,FRSab", &message("all"));
    deliver(&maildir, "cur/1600000000.M2.host:2,DPT", &message("rest"));
    deliver(&maildir, "new/1650000000.M3.host", &message("new"));
    // A name without a time: the file's own.
    deliver(&maildir, "cur/odd-name:2,S", &message("odd"));
    let time = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000);
    File::options().write(true).open(maildir.join("cur/odd-name:2,S")).unwrap().set_modified(time).unwrap();
    add(&server, &maildir, &["--account", "anna", "--after", "keep"]);
    let mut client = server.login("anna");
    wait_for(&mut client, "INBOX", 4);
    assert_eq!(subjects(&mut client, "INBOX"), ["odd", "rest", "new", "all"], "in the order of delivery");
    let fetched = client.ok("FETCH 1:* (FLAGS INTERNALDATE)");
    let wanted = [
        (&["\\Seen"][..], "\" 9-Sep-2001 01:46:40 +0000\""),
        (&["\\Draft", "\\Deleted", "$Forwarded"], "\"13-Sep-2020 12:26:40 +0000\""),
        (&[], "\"15-Apr-2022 05:20:00 +0000\""),
        (&["\\Flagged", "\\Answered", "\\Seen", "$Label1", "NonJunk"], "\"14-Nov-2023 22:13:20 +0000\""),
    ];
    for (line, (flags, date)) in fetched.iter().zip(wanted) {
        assert!(line.contains(date), "{line}");
        let told = line.split_once("FLAGS (").unwrap().1.split_once(')').unwrap().0;
        let mut told: Vec<_> = told.split_whitespace().filter(|flag| *flag != "\\Recent").collect();
        let mut flags = flags.to_vec();
        told.sort_unstable();
        flags.sort_unstable();
        assert_eq!(told, flags, "{line}");
    }
}

#[test]
fn keep_changes_nothing_and_follows_nothing() {
    let mut server = Server::start(&["anna"]);
    let maildir = folder(&server.scratch("Maildir"));
    for n in 0..5 {
        deliver(&maildir, &format!("new/170000000{n}.a"), &message(&format!("m{n}")));
    }
    // The same content twice in one folder is two messages.
    deliver(&maildir, "cur/1700000005.twin:2,S", &message("m0"));
    deliver(&folder(&maildir.join(".Sent")), "cur/1700000006.a:2,S", &message("sent"));
    fs::write(maildir.join("tmp/half-written"), message("half")).unwrap();
    let before = picture(&maildir);
    add(&server, &maildir, &["--account", "anna", "--after", "keep"]);
    let mut client = server.login("anna");
    wait_for(&mut client, "INBOX", 6);
    wait_for(&mut client, "Sent", 1);
    wait_until_idle(&server);
    assert!(picture(&maildir) == before, "keep must leave everything as it is");

    // Read and flagged by another program, by way of its new name; and removed.
    fs::rename(maildir.join("new/1700000000.a"), maildir.join("cur/1700000000.a:2,S")).unwrap();
    fs::rename(maildir.join("new/1700000001.a"), maildir.join("cur/1700000001.a,S=88:2,FS")).unwrap();
    fs::rename(maildir.join("new/1700000002.a"), maildir.join("cur/1700000002.a,U=7:2,T")).unwrap();
    fs::remove_file(maildir.join("new/1700000003.a")).unwrap();
    // Another file under a known name is another message.
    deliver(&maildir, "new/1700000004.a", &message("another"));
    wait_for(&mut client, "INBOX", 7);
    let wanted = ["m0", "m1", "m2", "m3", "m4", "m0", "another"];
    assert_eq!(subjects(&mut client, "INBOX"), wanted);
    assert!(client.ok("SEARCH SEEN")[0].ends_with("SEARCH 6"), "flags are not followed");
    let after = picture(&maildir);
    for restart in [Server::kill_and_restart, |server: &mut Server| {
        server.stop();
        server.restart();
    }] {
        restart(&mut server);
        wait_until_idle(&server);
        let mut client = server.login("anna");
        assert_eq!(subjects(&mut client, "INBOX"), wanted, "nothing twice after a start");
        assert!(picture(&maildir) == after);
    }
}

#[test]
fn delete_and_move_take_files_away_once_they_are_stored() {
    let server = Server::start(&["anna", "bert"]);
    for (account, after) in [("anna", "delete".to_owned()), ("bert", "move".to_owned())] {
        let maildir = folder(&server.scratch(&format!("Maildir-{account}")));
        let done = server.scratch("x").parent().unwrap().join("done");
        let after = if after == "move" { format!("move:{}", done.display()) } else { after };
        // What lies there before may be written still.
        deliver(&maildir, "new/1700000009.before", &message("before"));
        folder(&maildir.join(".Sent"));
        add(&server, &maildir, &["--account", account, "--after", &after]);
        let mut client = server.login(account);
        wait_for(&mut client, "INBOX", 1);
        wait_until_idle(&server);
        deliver(&maildir, "new/1700000000.a", &message("one"));
        deliver(&maildir, "cur/1700000001.a:2,F", &message("two"));
        deliver(&maildir.join(".Sent"), "cur/1700000002.a:2,S", &message("three"));
        wait_for(&mut client, "INBOX", 3);
        wait_for(&mut client, "Sent", 1);
        let gone = || {
            ["new/1700000000.a", "cur/1700000001.a:2,F", ".Sent/cur/1700000002.a:2,S"]
                .iter()
                .all(|name| !maildir.join(name).exists())
        };
        wait("the files are taken away", LIMIT, gone);
        deliver(&maildir, "new/1700000003.a", &message("later"));
        wait_for(&mut client, "INBOX", 4);
        wait("the later one is taken away", LIMIT, || !maildir.join("new/1700000003.a").exists());
        if account == "bert" {
            let moved = |name: &str| fs::read_to_string(done.join(name)).unwrap();
            assert_eq!(moved("new/1700000000.a"), message("one"));
            assert_eq!(moved("cur/1700000001.a:2,F"), message("two"));
            assert_eq!(moved(".Sent/cur/1700000002.a:2,S"), message("three"));
            assert_eq!(moved("new/1700000003.a"), message("later"));
        }
        assert!(maildir.join("new/1700000009.before").exists());
        let listed = wait_until_idle(&server);
        assert!(listed.contains("\"problem\": null") && listed.contains("\"waiting\": 1"), "{listed}");
        let (_, text) = server.command(&["source", "list"], "");
        assert!(text.contains("1 imported files") && text.contains("unchanged for ten minutes"), "{text}");
    }
}

#[test]
fn a_file_that_is_put_back_is_stored_again_before_it_is_removed() {
    let server = Server::start(&["anna"]);
    let maildir = folder(&server.scratch("Maildir"));
    add(&server, &maildir, &["--account", "anna", "--after", "delete"]);
    let mut client = server.login("anna");
    wait_until_idle(&server);
    for round in 0..3 {
        deliver(&maildir, "new/1700000000.a", &message("one"));
        wait_for(&mut client, "INBOX", 1);
        wait("it is taken away", LIMIT, || !maildir.join("new/1700000000.a").exists());
        client.ok("SELECT INBOX");
        client.ok("STORE 1 +FLAGS (\\Deleted)");
        client.ok("EXPUNGE");
        client.ok("CLOSE");
        assert_eq!(messages(&mut client, "INBOX"), 0, "{round}");
    }
}

#[test]
fn half_a_message_stays_under_its_writer_and_gives_way_to_the_whole() {
    use std::io::Write;
    let mut server = Server::start(&["anna"]);
    let maildir = folder(&server.scratch("Maildir"));
    add(&server, &maildir, &["--account", "anna", "--after", "delete"]);
    let mut client = server.login("anna");
    wait_until_idle(&server);
    let text = message("slow") + &"One more line, and then one more.\n".repeat(120);
    let path = maildir.join("new/1700000000.slow");
    for ahead in [false, true] {
        let mut file = File::create(&path).unwrap();
        file.write_all(&text.as_bytes()[..2_000]).unwrap();
        if ahead {
            file.set_modified(SystemTime::now() + Duration::from_secs(86_400)).unwrap();
        }
        wait_for(&mut client, "INBOX", 1);
        std::thread::sleep(Duration::from_millis(1_200));
        assert!(path.exists(), "removed under its writer");
        file.write_all(&text.as_bytes()[2_000..]).unwrap();
        drop(file);
        let size = text.len() + text.matches('\n').count();
        wait("the whole one comes", LIMIT, || {
            client.ok("SELECT INBOX");
            let fetched = client.ok("UID FETCH 1:* RFC822.SIZE");
            fetched.len() == 1 && fetched[0].contains(&format!("RFC822.SIZE {size}"))
        });
        assert!(path.exists());
        server.kill_and_restart();
        wait_until_idle(&server);
        client = server.login("anna");
        assert_eq!(messages(&mut client, "INBOX"), 1);
        assert!(path.exists(), "a restart does not end its wait");
        fs::remove_file(&path).unwrap();
        client.ok("SELECT INBOX");
        client.ok("STORE 1:* +FLAGS (\\Deleted)");
        client.ok("EXPUNGE");
        client.ok("CLOSE");
        // Missed by a look, so that the next of its name is another.
        server.kill_and_restart();
        wait_until_idle(&server);
        client = server.login("anna");
    }
}

#[test]
fn what_a_crash_left_in_tmp_is_put_back_and_comes_once() {
    let mut server = Server::start(&["anna"]);
    let maildir = folder(&server.scratch("Maildir"));
    deliver(&maildir, "cur/1700000000.a:2,S", &message("one"));
    add(&server, &maildir, &["--account", "anna", "--after", "delete"]);
    let mut client = server.login("anna");
    wait_for(&mut client, "INBOX", 1);
    server.kill();
    let (path, aside) =
        (maildir.join("cur/1700000000.a:2,S"), maildir.join("tmp/postern-leaving.cur.1700000000.a:2,S"));
    fs::rename(&path, &aside).unwrap();
    fs::write(maildir.join("tmp/1700000001.half"), "half").unwrap();
    server.restart();
    wait_until_idle(&server);
    assert!(path.exists() && !aside.exists() && maildir.join("tmp/1700000001.half").exists());
    let mut client = server.login("anna");
    assert_eq!(messages(&mut client, "INBOX"), 1);
}

#[test]
fn sources_that_would_bring_the_same_files_are_refused_with_words() {
    let server = Server::start(&["anna", "bert"]);
    let maildir = folder(&server.scratch("Maildir"));
    let inside = folder(&maildir.join(".Sent"));
    let other = folder(&server.scratch("Other"));
    let link = server.folder().join("link");
    std::os::unix::fs::symlink(&maildir, &link).unwrap();
    add(&server, &maildir, &["--account", "anna", "--after", "keep"]);
    let into = format!("move:{}", maildir.join(".Done").display());
    let around = maildir.join("..");
    for (path, after, words) in [
        (&maildir, "keep", "is the folder of source 1"),
        (&link, "keep", "is the folder of source 1"),
        (&maildir.join(".Sent/.."), "keep", "is the folder of source 1"),
        (&inside, "keep", "lies in source 1"),
        (&around, "keep", "holds source 1"),
        (&other, into.as_str(), "would move its files into source 1"),
    ] {
        let wanted = ["source", "add", path.to_str().unwrap(), "--account", "bert", "--after", after];
        let (done, text) = server.command(&wanted, "");
        assert!(!done && text.contains(words) && text.contains("for anna"), "{}: {text}", path.display());
    }
    add(&server, &other, &["--account", "bert", "--after", "keep"]);
}

#[test]
fn what_cannot_be_taken_in_is_named_and_holds_nothing_up() {
    let server = Server::start(&["anna"]);
    let maildir = folder(&server.scratch("Maildir"));
    let new = maildir.join("new");
    fs::write(maildir.join("tmp/1700000000.half"), message("half")).unwrap();
    fs::write(new.join(".hidden"), message("hidden")).unwrap();
    File::create(new.join("1700000001.empty")).unwrap();
    std::os::unix::fs::symlink("/etc/passwd", new.join("1700000002.link")).unwrap();
    std::os::unix::fs::symlink("/nowhere", new.join("1700000003.broken")).unwrap();
    let fifo = rustix::fs::FileType::Fifo;
    let mode = rustix::fs::Mode::RWXU;
    rustix::fs::mknodat(rustix::fs::CWD, new.join("1700000004.fifo"), fifo, mode, 0).unwrap();
    fs::create_dir(new.join("1700000005.directory")).unwrap();
    File::create(new.join("1700000006.huge")).unwrap().set_len((1 << 30) + 1).unwrap();
    // Names of any bytes, and folders of any bytes.
    let odd = std::ffi::OsStr::from_bytes(b"1700000007.\xff\xfe\n:2,F");
    fs::write(maildir.join("cur").join(odd), message("odd name")).unwrap();
    let latin1 = folder(&maildir.join(std::ffi::OsStr::from_bytes(b".Entw\xfcrfe")));
    deliver(&latin1, "new/1700000008.a", &message("latin1"));
    // A message of 100 MB.
    let mut large = message("large").into_bytes();
    large.reserve(100 << 20);
    while large.len() < 100 << 20 {
        large.extend_from_slice(b"A line of a large message that goes on and on and on and on and on.\n");
    }
    fs::write(new.join("1700000009.large"), &large).unwrap();
    add(&server, &maildir, &["--account", "anna", "--after", "keep"]);
    let mut client = server.login("anna");
    wait_for(&mut client, "INBOX", 2);
    wait_for(&mut client, "Entw=FCrfe", 1);
    assert_eq!(subjects(&mut client, "INBOX"), ["odd name", "large"]);
    let size = large.len() + large.iter().filter(|byte| **byte == b'\n').count();
    let fetched = client.ok("FETCH 2 RFC822.SIZE");
    assert!(fetched[0].contains(&format!("RFC822.SIZE {size}")), "{fetched:?}");
    let (listed, log) = (wait_until_idle(&server), server.log());
    for (name, why) in [
        ("1700000001.empty", "empty"),
        ("1700000002.link", "a symbolic link"),
        ("1700000003.broken", "a symbolic link"),
        ("1700000004.fifo", "no plain file"),
        ("1700000006.huge", "larger than 1 GiB"),
    ] {
        let told = log.lines().any(|line| line.contains(name) && line.contains(why));
        assert!(told, "{name} is not in the log: {log}");
        assert!(listed.contains(&format!("{name}: {why}")), "{name} is not listed: {listed}");
    }
    assert!(listed.contains("\"left_count\": 5"), "{listed}");
    let (_, status) = server.command(&["status"], "");
    assert!(status.contains("1700000001.empty: empty"), "{status}");
    // The empty one is filled after all.
    fs::write(new.join("1700000001.empty"), message("filled")).unwrap();
    wait_for(&mut client, "INBOX", 3);
}

#[test]
fn a_file_that_is_written_slowly_is_taken_when_it_is_whole() {
    use std::io::Write;
    let server = Server::start(&["anna"]);
    let maildir = folder(&server.scratch("Maildir"));
    add(&server, &maildir, &["--account", "anna", "--after", "delete"]);
    let mut client = server.login("anna");
    wait_until_idle(&server);
    let path = maildir.join("new/1700000000.slow");
    let mut file = File::create(&path).unwrap();
    let text = message("slow") + &"One more line.\n".repeat(20);
    for part in text.as_bytes().chunks(text.len() / 15) {
        file.write_all(part).unwrap();
        std::thread::sleep(Duration::from_millis(100));
    }
    drop(file);
    wait_for(&mut client, "INBOX", 1);
    assert!(path.exists(), "nobody knows that its writer has ended");
    client.ok("SELECT INBOX");
    let fetched = client.ok("FETCH 1:* RFC822.SIZE");
    let size = text.len() + text.matches('\n').count();
    assert_eq!(fetched.len(), 1, "{fetched:?}");
    assert!(fetched[0].contains(&format!("RFC822.SIZE {size}")), "{fetched:?}");
}

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

#[test]
fn access_is_tested_as_the_server_and_the_advice_is_exact() {
    let mut server = Server::start_as_nobody(&["anna"]);
    let user = if rustix::process::geteuid().is_root() { "nobody".to_owned() } else { whoami() };
    let home = server.scratch("home");
    let maildir = folder(&home.join("anna/Maildir"));
    deliver(&maildir, "new/1700000000.a", &message("one"));
    let path = maildir.to_str().unwrap();
    set_mode(&home, 0o700);
    for running in [true, false] {
        if !running {
            server.stop();
        }
        set_mode(&home, if user == "nobody" { 0o700 } else { 0o000 });
        let (done, text) = server.command(&["source", "add", path, "--after", "keep"], "");
        assert!(!done && text.contains(&format!("{user} may not enter it")), "{text}");
        for line in [
            format!("setfacl -m u:{user}:x {}", home.display()),
            format!("setfacl -m u:{user}:x {}", home.join("anna").display()),
            format!("setfacl -R -m u:{user}:rX {path}"),
            format!("setfacl -R -d -m u:{user}:rX {path}"),
        ] {
            assert!(text.lines().any(|told| told.trim() == line), "{line} is not in\n{text}");
        }
        set_mode(&home, 0o755);
        set_mode(&maildir.join("new"), 0o555);
        let (done, text) = server.command(&["source", "add", path, "--after", "delete"], "");
        assert!(!done && text.contains("may not remove files from it"), "{text}");
        assert!(text.contains(&format!("setfacl -R -m u:{user}:rwX {path}")), "{text}");
    }
    set_mode(&maildir.join("new"), 0o755);
}

fn whoami() -> String {
    let output = std::process::Command::new("id").arg("-un").output().unwrap();
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

#[test]
fn files_that_cannot_be_read_or_removed_are_named_and_come_once() {
    let mut server = Server::start_as_nobody(&["anna"]);
    let maildir = folder(&server.scratch("Maildir"));
    let all_may =
        |path: &Path| ["", "tmp", "new", "cur"].iter().for_each(|sub| set_mode(&path.join(sub), 0o777));
    all_may(&maildir);
    let closed = folder(&maildir.join(".Closed"));
    all_may(&closed);
    add(&server, &maildir, &["--account", "anna", "--after", "delete"]);
    let mut client = server.login("anna");
    wait_until_idle(&server);
    deliver(&maildir, "new/1700000000.a", &message("one"));
    deliver(&closed, "new/1700000001.a", &message("two"));
    wait_for(&mut client, "INBOX", 1);
    wait_for(&mut client, "Closed", 1);
    wait("both are gone", LIMIT, || {
        !maildir.join("new/1700000000.a").exists() && !closed.join("new/1700000001.a").exists()
    });
    // Nothing can be removed any more: imported once all the same, and said. (Where the tests are not run by root
    // nothing can be delivered then either, and it must be quick.)
    let unremovable = |name: &str, text: &str| {
        let shut = || set_mode(&maildir.join("cur"), 0o555);
        let root = rustix::process::geteuid().is_root();
        root.then(shut);
        deliver(&maildir, name, &message(text));
        shut();
    };
    unremovable("cur/1700000002.a:2,S", "stays");
    wait_for(&mut client, "INBOX", 2);
    deliver(&maildir, "new/1700000003.a", &message("goes"));
    wait_for(&mut client, "INBOX", 3);
    assert_eq!(subjects(&mut client, "INBOX"), ["one", "stays", "goes"]);
    let secret = maildir.join("new/1700000004.secret");
    fs::write(maildir.join("tmp/s"), message("secret")).unwrap();
    set_mode(&maildir.join("tmp/s"), 0o000);
    fs::rename(maildir.join("tmp/s"), &secret).unwrap();
    let cur = closed.join("cur");
    set_mode(&cur, 0o000);
    // Not at once: what has just come may become readable by itself.
    for path in [&maildir.join("cur/1700000002.a:2,S"), &secret, &cur] {
        let text = path.display().to_string();
        wait("it is named", LIMIT, || server.command(&["source", "list"], "").1.contains(&text));
        assert!(server.log().lines().any(|line| line.contains(&text)), "{text} is not in the log");
    }
    let listed = wait_until_idle(&server);
    assert!(listed.contains("cannot be read or removed") && listed.contains("setfacl"), "{listed}");
    // The cure is noticed at once.
    set_mode(&secret, 0o644);
    wait_for(&mut client, "INBOX", 4);
    wait("it goes", LIMIT, || !secret.exists());
    set_mode(&cur, 0o777);
    set_mode(&maildir.join("cur"), 0o777);
    wait("so does the other", LIMIT, || !maildir.join("cur/1700000002.a:2,S").exists());
    assert_eq!(messages(&mut client, "INBOX"), 4);
    wait("no problem is left", LIMIT, || {
        server.command(&["source", "list", "--json"], "").1.contains("\"problem\": null")
    });
    // What could not be removed comes not twice by a restart.
    unremovable("cur/1700000005.b:2,S", "stays for good");
    wait_for(&mut client, "INBOX", 5);
    server.kill_and_restart();
    wait_until_idle(&server);
    let mut client = server.login("anna");
    assert_eq!(messages(&mut client, "INBOX"), 5, "not twice");
    assert!(maildir.join("cur/1700000005.b:2,S").exists());
}

/// A name that would be a line of its own, as the shipped rule for fail2ban looks for them, and one that would clear a
/// terminal: so anybody could have anybody banned.
#[test]
fn a_name_of_a_file_is_no_line_of_the_log_and_no_command_to_a_terminal() {
    let server = Server::start(&["anna"]);
    let maildir = folder(&server.folder().join("Maildir"));
    let names = [
        "cur/1.a\n WARN a wrong name or password peer=192.0.2.77 x:2,S",
        "cur/2.b\r\u{1b}[2J\u{202e}moc.elpmaxe:2,S",
    ];
    for name in names {
        std::os::unix::fs::symlink("nowhere", maildir.join(name)).unwrap();
    }
    add(&server, &maildir, &["--after", "keep"]);
    wait("both are told of", LIMIT, || server.log().matches("left where it is").count() == 2);
    let log = server.log();
    assert!(log.contains("\\u{a} WARN a wrong name") && log.contains("\\u{1b}[2J\\u{202e}moc"), "{log}");
    assert!(!log.lines().any(|line| line.trim_start().starts_with("WARN a wrong name")), "{log}");
    let acts = |text: &str| text.chars().any(|c| (c.is_control() && c != '\n') || c == '\u{202e}');
    assert!(!acts(&log));
    for command in [&["source", "list"][..], &["status"]] {
        let (_, text) = server.command(command, "");
        assert!(!acts(&text) && !text.lines().any(|line| line.trim_start().starts_with("WARN")), "{text}");
    }
}
