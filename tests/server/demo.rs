//! `postern demo`, as somebody tries it who has just built it.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::harness::{Client, binary};

/// A demo, and everything that it printed.
struct Demo {
    child: Child,
    said: String,
}

impl Demo {
    fn start(temporary: &Path) -> Demo {
        let mut child = Command::new(binary())
            .args(["demo", "--imaps-port", "0", "--imap-port", "0", "--admin-port", "0"])
            .env("TMPDIR", temporary)
            .current_dir(temporary)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut output = BufReader::new(child.stdout.take().unwrap());
        let mut said = String::new();
        while output.read_line(&mut said).unwrap() > 0 && !said.contains("\nready ") {}
        Demo { child, said }
    }

    /// What stands behind this in what it printed.
    fn word(&self, before: &str) -> &str {
        let at = self.said.find(before).unwrap_or_else(|| panic!("{before} in {}", self.said)) + before.len();
        self.said[at..].split_whitespace().next().unwrap()
    }
}

impl Drop for Demo {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn signal(child: &Child, signal: rustix::process::Signal) {
    let pid = rustix::process::Pid::from_raw(child.id() as i32).unwrap();
    rustix::process::kill_process(pid, signal).unwrap();
}

/// The text of all messages of a mailbox.
fn fetch(client: &mut Client, mailbox: &str) -> Vec<String> {
    client.ok(&format!("SELECT {mailbox}"));
    let answers = client.ok("UID FETCH 1:* (FLAGS ENVELOPE BODYSTRUCTURE BODY.PEEK[])");
    answers.into_iter().filter(|line| line.contains(" FETCH (")).collect()
}

#[test]
fn every_kind_of_mail_and_nothing_left_behind() {
    let temporary = tempfile::tempdir().unwrap();
    let mut demo = Demo::start(temporary.path());
    let data = Path::new(demo.word(" data=")).to_owned();
    assert!(data.starts_with(temporary.path()) && data.join("index.redb").exists());
    let mut client = Client::open(demo.word(" imap=").parse().unwrap());
    client.line();
    client.ok(&format!("LOGIN {} {}", demo.word("user name  "), demo.word("password   ")));
    let inbox = fetch(&mut client, "INBOX");
    for kind in [
        "text/plain",
        "Content-Type: text/html",
        "Content-Type: image/png",
        "Content-Disposition: attachment; filename*=utf-8''f%C3%BCr%20dich.csv",
        "Content-Type: message/rfc822",
        "charset=iso-2022-jp",
        "References: <thread0@postern.example>",
    ] {
        assert!(inbox.iter().any(|message| message.contains(kind)), "{kind}");
    }
    assert!(inbox.iter().any(|message| message.len() > 10 * 1024 * 1024), "a large attachment");
    let japanese = inbox.iter().find(|message| message.contains("iso-2022-jp")).unwrap();
    assert!(japanese.contains("=?UTF-8?B?"), "encoded headers: {}", &japanese[..400]);
    assert_eq!((fetch(&mut client, "Sent").len(), fetch(&mut client, "Drafts").len()), (1, 1));
    drop(client);
    // Only this machine is served.
    assert!(demo.word("ready imaps=").starts_with("127.0.0.1:"));
    signal(&demo.child, rustix::process::Signal::INT);
    assert_eq!(demo.child.wait().unwrap().code(), Some(0));
    assert_eq!(std::fs::read_dir(temporary.path()).unwrap().count(), 0, "the folder is gone");
}

#[test]
fn whenever_it_is_interrupted_nothing_is_left() {
    let temporary = tempfile::tempdir().unwrap();
    for (wait, how) in [(5, rustix::process::Signal::INT), (60, rustix::process::Signal::HUP)] {
        let mut child = Command::new(binary())
            .args(["demo", "--imaps-port", "0", "--imap-port", "0", "--admin-port", "0"])
            .env("TMPDIR", temporary.path())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let since = Instant::now();
        // As soon as there is a folder, or a little later: in the middle of filling it.
        while std::fs::read_dir(temporary.path()).unwrap().count() == 0 {
            assert!(since.elapsed() < Duration::from_secs(20));
        }
        std::thread::sleep(Duration::from_millis(wait));
        signal(&child, how);
        assert_eq!(child.wait().unwrap().code(), Some(0));
        assert_eq!(std::fs::read_dir(temporary.path()).unwrap().count(), 0);
    }
}

/// Runs a program; none where it is not installed.
fn program(name: &str, arguments: &[&str]) -> Option<String> {
    let Ok(output) = Command::new(name).args(arguments).output() else {
        println!("skipped: {name} is not installed");
        return None;
    };
    assert!(output.status.success(), "{name}: {}", String::from_utf8_lossy(&output.stderr));
    Some(String::from_utf8_lossy(&output.stdout).into_owned())
}

#[test]
fn ordinary_clients_fetch_all_of_it() {
    let temporary = tempfile::tempdir().unwrap();
    let demo = Demo::start(temporary.path());
    let data = demo.word(" data=");
    let authority = temporary.path().join("ca.pem");
    let pem = Command::new(binary()).args(["cert", "ca", "--data", data]).output().unwrap().stdout;
    std::fs::write(&authority, pem).unwrap();
    let authority = authority.to_str().unwrap();
    let port = |address: &str| address.rsplit(':').next().unwrap().to_owned();
    let (imaps, imap) = (port(demo.word("ready imaps=")), port(demo.word(" imap=")));

    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/server/demo.py");
    if let Some(said) = program("python3", &[script, &imaps, authority]) {
        assert_eq!(said, "messages 10\n");
    }
    let curl = |url: String, more: &[&str]| {
        let login = ["-sS", "--max-time", "60", "--user", "demo:postern-demo", "--cacert", authority];
        program("curl", &[&login[..], more, &[&url]].concat())
    };
    let Some(found) = curl(format!("imaps://localhost:{imaps}/INBOX?ALL"), &[]) else { return };
    assert_eq!(found.trim(), "* SEARCH 1 2 3 4 5 6 7 8");
    for number in 1..=8 {
        let Some(message) = curl(format!("imaps://localhost:{imaps}/INBOX;MAILINDEX={number}"), &[]) else {
            return;
        };
        assert!(message.starts_with("Message-ID: "), "{number}: {}", message.len());
    }
    let Some(large) = curl(format!("imap://localhost:{imap}/INBOX;UID=7"), &["--ssl-reqd"]) else { return };
    assert!(large.len() > 14_000_000 && large.ends_with("--big--\r\n"));
    // The line that it prints for whoever looks from a shell.
    let printed = demo.said.lines().find(|line| line.trim_start().starts_with("curl ")).unwrap();
    let Some(found) = program("sh", &["-c", &format!("{printed} -sS")]) else { return };
    assert!(found.starts_with("* SEARCH 1 2"), "{found}");
}
