//! An import of 10,000 messages that is killed again and again: none lost, none doubled; each mailbox in the order of
//! delivery, where all lay there before.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::chance::Chance;
use super::harness::{Client, Server};

const MESSAGES: usize = 10_000;
const KILLS: usize = 6;
/// Folders with their mailboxes, and how many of ten messages each has.
const FOLDERS: [(&str, &str, usize); 3] =
    [("", "INBOX", 7), (".Work", "Work", 2), (".Sent.2024", "Sent/2024", 1)];
const LIMIT: Duration = Duration::from_secs(90);

/// The folder of a message by its number.
fn folder_of(n: usize) -> (&'static str, &'static str) {
    let mut left = n % 10;
    for (folder, mailbox, share) in FOLDERS {
        if left < share {
            return (folder, mailbox);
        }
        left -= share;
    }
    unreachable!("the shares are ten")
}

/// Writes the messages, `size` bytes of words each, and gives their paths below the root.
fn fill(root: &Path, chance: &Chance, size: usize) -> Vec<PathBuf> {
    for (folder, _, _) in FOLDERS {
        for sub in ["new", "cur", "tmp"] {
            fs::create_dir_all(root.join(folder).join(sub)).unwrap();
        }
    }
    let mut paths = Vec::new();
    for n in 0..MESSAGES {
        let mut text = format!(
            "From: Anna <anna@example.org>\nTo: me@example.org\nSubject: n{n:05}\nMessage-ID: <{n}@example.org>\n\n"
        );
        while text.len() < size {
            let word: String =
                (0..2 + chance.below(9)).map(|_| char::from(b'a' + chance.below(26) as u8)).collect();
            text.push_str(&word);
            text.push(if chance.below(10) == 0 { '\n' } else { ' ' });
        }
        text.push('\n');
        let name = match n % 3 {
            0 => format!("new/{}.M{n}.host", 1_700_000_000 + n),
            1 => format!("cur/{}.M{n}.host,S={}:2,S", 1_700_000_000 + n, text.len()),
            _ => format!("cur/{}.M{n}.host:2,", 1_700_000_000 + n),
        };
        let path = Path::new(folder_of(n).0).join(name);
        fs::write(root.join(&path), text).unwrap();
        paths.push(path);
    }
    // Past the time in which a file may still be written.
    std::thread::sleep(Duration::from_millis(400));
    paths
}

fn count(client: &mut Client) -> usize {
    let mut total = 0;
    for (_, mailbox, _) in FOLDERS {
        if let Some(line) = client.command(&format!("STATUS \"{mailbox}\" (MESSAGES)")).0.first() {
            let count = line.rsplit_once("MESSAGES ").unwrap().1;
            total += count.trim_end_matches(')').parse::<usize>().unwrap();
        }
    }
    total
}

fn wait_for(server: &Server, least: usize) -> usize {
    let mut client = server.login("anna");
    let start = Instant::now();
    loop {
        let count = count(&mut client);
        if count >= least {
            return count;
        }
        assert!(start.elapsed() < LIMIT, "{count} of {least} messages after {LIMIT:?}:\n{}", server.log());
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// The numbers of a mailbox's messages, in the order of their UIDs.
fn numbers(client: &mut Client, mailbox: &str) -> Vec<usize> {
    client.ok(&format!("EXAMINE \"{mailbox}\""));
    let fetched = client.ok("UID FETCH 1:* BODY.PEEK[HEADER.FIELDS (SUBJECT)]");
    let subjects = fetched.iter().filter_map(|line| line.split_once("Subject: n"));
    subjects.map(|(_, rest)| rest.get(..5).unwrap().parse().unwrap()).collect()
}

/// How many were lost and doubled; panics where a mailbox is out of order that should not be.
fn losses(server: &Server, in_order: bool) -> (usize, usize) {
    let mut client = server.login("anna");
    let mut times: BTreeMap<usize, usize> = (0..MESSAGES).map(|n| (n, 0)).collect();
    for (_, mailbox, _) in FOLDERS {
        let numbers = numbers(&mut client, mailbox);
        assert!(!in_order || numbers.is_sorted(), "{mailbox} is not in the order of delivery");
        for n in numbers {
            assert_eq!(folder_of(n).1, mailbox, "message {n}");
            *times.get_mut(&n).unwrap() += 1;
        }
    }
    let lost = times.values().filter(|times| **times == 0).count();
    (lost, times.values().map(|times| times.saturating_sub(1)).sum())
}

fn files(root: &Path) -> usize {
    let in_folder = |folder: &str| -> usize {
        let count = |sub| fs::read_dir(root.join(folder).join(sub)).map_or(0, Iterator::count);
        count("new") + count("cur")
    };
    FOLDERS.iter().map(|(folder, _, _)| in_folder(folder)).sum()
}

fn wait_until_idle(server: &Server) {
    let start = Instant::now();
    loop {
        let (_, listed) = server.command(&["source", "list", "--json"], "");
        let looked = listed.split_once("\"last_look\": ").is_some_and(|(_, at)| !at.starts_with("null"));
        if looked && !listed.contains("\"busy\": true") {
            return;
        }
        assert!(start.elapsed() < LIMIT, "{listed}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn killed_again_and_again(after: &str) -> (usize, usize) {
    let chance = Chance::new();
    let mut server = Server::start(&["anna"]);
    let maildir = server.scratch("Maildir");
    let done = server.folder().join("done");
    // What lies there already is not removed for ten minutes; what is moved in while that is watched goes at once.
    let spare = if after == "keep" { maildir.clone() } else { server.scratch("spare") };
    let paths = fill(&spare, &chance, 2_000);
    for (folder, _, _) in FOLDERS {
        for sub in ["new", "cur", "tmp"] {
            fs::create_dir_all(maildir.join(folder).join(sub)).unwrap();
        }
    }
    let mut moments: Vec<_> = (0..KILLS).map(|_| 1 + chance.below(MESSAGES * 9 / 10)).collect();
    moments.sort_unstable();
    let wanted = if after == "move" { format!("move:{}", done.display()) } else { after.to_owned() };
    let path = maildir.to_str().unwrap();
    let (added, text) = server.command(&["source", "add", path, "--account", "anna", "--after", &wanted], "");
    assert!(added, "{text}");
    let mover = {
        let (paths, from, to) = (paths.clone(), spare, maildir.clone());
        std::thread::spawn(move || {
            for path in paths.iter().filter(|_| from != to) {
                fs::rename(from.join(path), to.join(path)).unwrap();
                std::thread::sleep(Duration::from_millis(1));
            }
        })
    };
    let mut in_the_middle = 0;
    for moment in moments {
        let seen = wait_for(&server, moment);
        std::thread::sleep(Duration::from_micros(chance.below(20_000) as u64));
        server.kill_and_restart();
        in_the_middle += usize::from(seen < MESSAGES);
    }
    assert!(in_the_middle >= KILLS / 2, "only {in_the_middle} kills came in the middle");
    mover.join().unwrap();
    wait_for(&server, MESSAGES);
    wait_until_idle(&server);
    // Once more: what is known stays known.
    server.kill_and_restart();
    wait_until_idle(&server);
    match after {
        "keep" => assert_eq!(files(&maildir), MESSAGES, "the source must stay as it is"),
        _ => assert!(files(&maildir) < MESSAGES, "what came while it was watched must be gone"),
    }
    if after == "move" {
        let moved = |path: &PathBuf| done.join(path).exists() != maildir.join(path).exists();
        assert!(paths.iter().all(moved), "each file must be here or there, once");
        assert_eq!(files(&done) + files(&maildir), MESSAGES);
    }
    println!("\nfigure --after {after}: {} files left to wait", files(&maildir));
    // What arrives in two directories while they are read has no order.
    losses(&server, after == "keep")
}

#[test]
fn nothing_is_lost_or_doubled_by_kills_in_the_middle() {
    let (mut lost, mut doubled) = (0, 0);
    for after in ["keep", "delete", "move"] {
        let start = Instant::now();
        let losses = killed_again_and_again(after);
        println!(
            "\nfigure {KILLS} kills in an import of {MESSAGES}, --after {after}: {} lost, {} doubled, in {:.1} s",
            losses.0,
            losses.1,
            start.elapsed().as_secs_f32()
        );
        (lost, doubled) = (lost + losses.0, doubled + losses.1);
    }
    println!("\nfigure import after kill -9: {lost} lost, {doubled} doubled");
    assert_eq!((lost, doubled), (0, 0));
}

/// A number of the status by its name.
fn figure(status: &str, name: &str) -> u64 {
    let (_, rest) = status.split_once(&format!("\"{name}\": ")).unwrap();
    rest.split(|c: char| !c.is_ascii_digit()).next().unwrap().parse().unwrap()
}

#[test]
fn an_import_that_is_left_alone() {
    let chance = Chance::new();
    let mut server = Server::start(&["anna"]);
    let maildir = server.scratch("Maildir");
    fill(&maildir, &chance, 10_000);
    server.stop();
    let path = maildir.to_str().unwrap();
    let (added, text) = server.command(&["source", "add", path, "--after", "keep"], "");
    assert!(added, "{text}");
    server.restart();
    let start = Instant::now();
    wait_for(&server, MESSAGES);
    let speed = MESSAGES as f32 / start.elapsed().as_secs_f32();
    let (_, status) = server.command(&["status", "--json"], "");
    println!(
        "\nfigure import of {MESSAGES} messages of 10 KB: {speed:.0} a second, {:.3} syncs and {:.1} KB written a message",
        figure(&status, "syncs") as f32 / MESSAGES as f32,
        figure(&status, "written") as f32 / MESSAGES as f32 / 1000.0,
    );
    assert_eq!(losses(&server, true), (0, 0));
    assert!(figure(&status, "syncs") < MESSAGES as u64 / 10, "messages share syncs: {status}");
}
