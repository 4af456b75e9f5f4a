//! How a server ends, whom it shows the door, what it logs, and what it does when the disk is full.

use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::command_line::run;
use crate::harness::{Client, PASSWORD, Server, binary};
use crate::tls::Trusting;

fn signal(pid: u32, signal: rustix::process::Signal) {
    let pid = rustix::process::Pid::from_raw(pid as i32).unwrap();
    rustix::process::kill_process(pid, signal).unwrap();
}

/// A device's password.
fn device(server: &Server, account: &str, name: &str) -> String {
    let added =
        run(server.folder(), &["device", "add", name, "--account", account, "--json", "--data", "data"], "");
    let added: serde_json::Value = serde_json::from_str(&added.out).unwrap();
    added["password"].as_str().unwrap().to_owned()
}

fn login(server: &Server, account: &str, password: &str) -> Client {
    let mut client = server.connect();
    client.ok(&format!("LOGIN {account} \"{password}\""));
    client
}

/// The session is told this and ended.
#[track_caller]
fn shown_out(client: &mut Client, why: &str) {
    let line = client.line();
    assert!(line.starts_with("* BYE ") && line.contains(why), "{line}");
    assert!(client.is_closed());
}

fn idle(client: &mut Client) {
    client.send(b"i IDLE\r\n");
    assert!(client.line().starts_with('+'));
}

#[test]
fn whose_sessions_end_with_a_password_a_device_and_an_account() {
    let server = Server::start(&["anna", "ben"]);
    let (phone, tablet) = (device(&server, "anna", "phone"), device(&server, "anna", "tablet"));
    let mut own = server.login("anna");
    let mut own_idle = server.login("anna");
    idle(&mut own_idle);
    let mut on_phone = login(&server, "anna", &phone);
    on_phone.ok("SELECT INBOX");
    let mut on_tablet = login(&server, "anna", &tablet);
    idle(&mut on_tablet);
    let mut ben = server.login("ben");

    assert!(server.command(&["account", "password", "anna", "--password-stdin"], "another horse").0);
    shown_out(&mut own, "The password was changed");
    shown_out(&mut own_idle, "The password was changed");
    on_phone.ok("NOOP");
    let mut late = server.connect();
    assert!(late.command(&format!("LOGIN anna \"{PASSWORD}\"")).1.contains("[AUTHENTICATIONFAILED]"));
    let mut own = login(&server, "anna", "another horse");

    assert!(server.command(&["device", "revoke", "phone", "--account", "anna"], "").0);
    shown_out(&mut on_phone, "revoked");
    own.ok("NOOP");
    assert!(late.command(&format!("LOGIN anna {phone}")).1.contains("[AUTHENTICATIONFAILED]"));

    assert!(server.command(&["account", "remove", "anna", "--yes"], "").0);
    shown_out(&mut own, "This account was removed");
    shown_out(&mut on_tablet, "This account was removed");
    assert!(late.command(&format!("LOGIN anna {tablet}")).1.contains("[AUTHENTICATIONFAILED]"));
    ben.ok("NOOP");
    let status = server.command(&["status", "--json"], "").1;
    assert!(status.contains("\"sessions\": 1"), "{status}");
}

fn ends_in_order(how: rustix::process::Signal) {
    let mut server = Server::start(&["anna"]);
    let mut waiting = server.login("anna");
    let mut idling = server.login("anna");
    idling.ok("SELECT INBOX");
    idling.append("INBOX", "", b"Subject: kept\r\n\r\nkept\r\n");
    idle(&mut idling);
    let mut stranger = server.connect();
    let mut encrypted = Trusting::new(&server).connect(server.imaps, "localhost").unwrap();
    assert!(encrypted.line().starts_with("* OK "));
    // One that takes nothing: its answers fill the socket, and it must not hold up the end.
    let mut stuck = server.login("anna");
    for _ in 0..40 {
        stuck.append("INBOX", "", &[b"Subject: large\r\n\r\n", &b"x".repeat(1_000_000)[..]].concat());
    }
    stuck.ok("SELECT INBOX");
    stuck.send(b"f FETCH 1:* BODY.PEEK[]\r\n");
    std::thread::sleep(Duration::from_millis(500));

    let since = Instant::now();
    signal(server.pid(), how);
    shown_out(&mut waiting, "restarting");
    // What the other session appended was told first.
    loop {
        let line = idling.line();
        if line.starts_with("* BYE ") {
            break;
        }
        assert!(line.starts_with("* "), "{line}");
    }
    shown_out(&mut stranger, "restarting");
    let bye = encrypted.line();
    assert!(bye.starts_with("* BYE ") && bye.contains("restarting"), "{bye}");
    assert_eq!(encrypted.read(&mut [0; 8]).unwrap(), 0, "with close_notify");
    assert_eq!(server.wait(), Some(0));
    let took = since.elapsed();
    println!("figure: the end with sessions, one of them stuck: {} ms", took.as_millis());
    assert!(took < Duration::from_secs(3), "{took:?}");
    assert!(server.log().contains("stopped"));
    server.restart();
    assert!(!server.log().contains("replayed"), "it was checkpointed");
    let mut client = server.login("anna");
    assert!(client.ok("SELECT INBOX").contains(&"* 41 EXISTS".to_owned()));
}

#[test]
fn sigterm_ends_in_order() {
    ends_in_order(rustix::process::Signal::TERM);
}

#[test]
fn sigint_ends_in_order() {
    ends_in_order(rustix::process::Signal::INT);
}

#[test]
fn the_log_tells_events_and_no_secrets() {
    const WRONG: &str = "wRong-hOrse-77";
    const SECRET: &str = "sEcret-cOntent-99";
    let mut server = Server::start(&["anna"]);
    server.stop();
    // As much as can be logged.
    let config = server.folder().join("postern.toml");
    std::fs::write(&config, "data = 'data'\nlog_level = 'trace'\n").unwrap();
    server.restart_with(&["--config", "postern.toml"]);
    let phone = device(&server, "anna", "phone");
    let mut client = server.connect();
    assert!(client.command(&format!("LOGIN anna {WRONG}")).1.starts_with("NO"));
    assert!(client.command(&format!("LOGIN {WRONG} {WRONG}")).1.starts_with("NO"));
    assert!(client.command("AUTHENTICATE PLAIN AGFubmEAd1JvbmctaE9yc2UtNzc=").1.starts_with("NO"));
    assert!(client.command(&format!("LOGIN anna {WRONG} surplus")).1.starts_with("BAD"));
    client.ok(&format!("LOGIN anna {phone}"));
    let mut client = server.login("anna");
    client.append("INBOX", "", format!("Subject: {SECRET}\r\n\r\n{SECRET}\r\n").as_bytes());
    client.ok("SELECT INBOX");
    client.ok(&format!("SEARCH BODY {SECRET}"));
    client.ok("FETCH 1 (ENVELOPE BODY[])");
    assert!(client.command(&format!("FETCH 1 {SECRET}")).1.starts_with("BAD"));
    server.stop();
    let log = server.log();
    let lower = log.to_lowercase();
    for secret in [WRONG, SECRET, PASSWORD, &phone, &phone.replace('-', ""), "AGFubmEAd1JvbmctaE9yc2UtNzc="] {
        assert!(!lower.contains(&secret.to_lowercase()), "{secret} in\n{log}");
    }
    assert!(log.contains("logged in") && log.contains("a wrong name or password"), "{log}");
    let began = |line: &str| line.starts_with("20") && line.contains('Z');
    assert!(log.lines().all(began), "a line an event:\n{log}");
}

#[test]
fn the_memory_of_a_password_hash_is_given_back() {
    let server = Server::start(&["anna"]);
    let resident = || {
        let text = std::fs::read_to_string(format!("/proc/{}/status", server.pid())).unwrap();
        let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        line.trim().trim_end_matches(" kB").parse::<u64>().unwrap()
    };
    let idle = resident();
    // Twice: after the first time the C library would keep what is freed in its heap.
    for round in 1..=2 {
        let mut stranger = server.connect();
        assert!(stranger.command(&format!("LOGIN nobody{round} \"wrong horse\"")).1.starts_with("NO"));
        let busy = resident();
        assert!(busy > idle + 15_000, "it takes 19 MiB: {idle} → {busy}");
        let since = Instant::now();
        while resident() > idle + 4_000 {
            assert!(since.elapsed() < Duration::from_secs(25), "{idle} → {busy} → {}", resident());
            std::thread::sleep(Duration::from_millis(200));
        }
        assert!(since.elapsed() > Duration::from_secs(8), "it is kept for the next login");
        println!("figure: resident idle {idle} kB, hashing {busy} kB, after {} kB", resident());
    }
}

/// A file system in memory of so many bytes; taken down when this is dropped.
pub struct Small<'a>(&'a Path);

impl<'a> Small<'a> {
    pub fn mount(at: &'a Path, megabytes: u32) -> Option<Small<'a>> {
        let options = format!("size={megabytes}m,mode=0755");
        let done = Command::new("mount").args(["-t", "tmpfs", "-o", &options, "tmpfs"]).arg(at).output();
        done.is_ok_and(|output| output.status.success()).then_some(Small(at))
    }

    pub fn resize(&self, megabytes: u32) {
        let options = format!("remount,size={megabytes}m");
        let done = Command::new("mount").args(["-o", &options]).arg(self.0).output().unwrap();
        assert!(done.status.success(), "{done:?}");
    }
}

impl Drop for Small<'_> {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.0).output();
    }
}

#[test]
fn a_full_disk_refuses_new_mail_with_the_reason_and_goes_on_reading() {
    let mut server = Server::start(&["anna"]);
    server.stop();
    let disk = server.scratch("small");
    let Some(_mounted) = Small::mount(&disk, 160) else {
        println!("skipped: to mount a small disk takes root");
        return;
    };
    let disk_name = disk.to_str().unwrap().to_owned();
    let data = format!("{disk_name}/data");
    let added = run(&disk, &["account", "add", "anna", "--password-stdin", "--data", &data], PASSWORD);
    assert_eq!(added.code, Some(0), "{added:?}");
    server.restart_with(&["--data", &data]);
    let mut client = server.login("anna");
    client.ok("SELECT INBOX");
    let mut dice = 88_172_645_463_325_252_u64;
    let mut message = || {
        // What does not compress.
        let mut text = b"Subject: large\r\n\r\n".to_vec();
        while text.len() < 4_000_000 {
            dice ^= dice << 13;
            dice ^= dice >> 7;
            dice ^= dice << 17;
            text.extend_from_slice(format!("{dice:016x}\r\n").as_bytes());
        }
        text
    };
    let mut kept = 0;
    let refusal = loop {
        let text = message();
        client.send(format!("a APPEND INBOX () {{{}+}}\r\n", text.len()).as_bytes());
        client.send(&text);
        client.send(b"\r\n");
        let (_, status) = client.finish("a");
        if !status.starts_with("OK") {
            break status;
        }
        kept += 1;
        assert!(kept < 200, "160 MB hold no more");
    };
    println!("figure: {kept} messages of 4 MB on a disk of 160 MB, then: {refusal}");
    assert!(refusal.starts_with("NO [OVERQUOTA]") && refusal.contains("no space left"), "{refusal}");
    assert!(kept >= 3, "{kept}");
    // Reading goes on, and so does what makes room.
    let fetched = client.ok("UID FETCH 1 BODY.PEEK[]");
    assert!(fetched.iter().any(|line| line.len() > 4_000_000));
    client.ok("UID STORE 1:2 +FLAGS (\\Deleted)");
    client.ok("EXPUNGE");
    let status = server.command(&["status", "--data", &data], "").1;
    assert!(!status.contains("PROBLEM"), "the store is sound: {status}");
    client.ok("LOGOUT");
    // And after a power cut it is all there.
    server.kill();
    server.restart_with(&["--data", &data]);
    let mut client = server.login("anna");
    let exists = format!("* {} EXISTS", kept - 2);
    let told = client.ok("SELECT INBOX");
    assert!(told.contains(&exists), "{exists}: {told:?}");
    assert_eq!(server.stop(), Some(0));
}

#[test]
fn a_small_soft_limit_of_open_files_is_raised() {
    let folder = tempfile::tempdir().unwrap();
    let mut child = Command::new("sh")
        .args(["-c", "ulimit -S -n 100 && exec \"$0\" \"$@\""])
        .arg(binary())
        .args(["serve", "--imaps", "127.0.0.1:0", "--imap", "127.0.0.1:0", "--admin", "127.0.0.1:0"])
        .args(["--data", "data"])
        .current_dir(folder.path())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    assert!(line.starts_with("ready "), "{line}");
    let limits = std::fs::read_to_string(format!("/proc/{}/limits", child.id())).unwrap();
    child.kill().unwrap();
    child.wait().unwrap();
    let line = limits.lines().find(|line| line.starts_with("Max open files")).unwrap();
    let numbers: Vec<u64> = line.split_whitespace().filter_map(|word| word.parse().ok()).collect();
    assert_eq!(numbers[0], numbers[1].min(4_096), "{line}");
}

#[test]
fn a_device_is_listed_with_its_last_use_program_and_address() {
    let server = Server::start(&["anna"]);
    let listed = || {
        let (done, text) = server.command(&["device", "list", "--json"], "");
        assert!(done, "{text}");
        serde_json::from_str::<serde_json::Value>(&text).unwrap()
    };
    let (before, after) = (device(&server, "anna", "tablet"), device(&server, "anna", "phone"));
    // Either way round (RFC 2971 §3.1): before the login, and after it.
    let mut tablet = server.connect();
    tablet.ok("ID (\"name\" \"K-9 Mail\" \"version\" \"6.8\")");
    tablet.ok(&format!("LOGIN anna {before}"));
    let mut phone = login(&server, "anna", &after);
    phone.ok("SELECT INBOX");
    phone.ok("ID (\"name\" \"iPhone Mail\" \"os\" \"iOS\")");
    let devices = listed();
    assert_eq!(
        (&devices[0]["client"], &devices[1]["client"]),
        (&"K-9 Mail 6.8".into(), &"iPhone Mail iOS".into())
    );
    for one in devices.as_array().unwrap() {
        assert_eq!(one["address"], "127.0.0.1");
        assert!(one["last_used"].as_i64() >= one["created"].as_i64(), "{one}");
    }
    // Another program of the same phone within the hour costs no write, and takes nothing over.
    let mut other = login(&server, "anna", &after);
    other.ok("ID (\"name\" \"accountsd\")");
    assert_eq!(listed(), devices);
    // Nor is a session with the account's own password a device.
    server.login("anna").ok("ID (\"name\" \"mutt\")");
    assert_eq!(listed(), devices);
}
