//! The command line against the real binary, with a server and without one.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::harness::{PASSWORD, Server, binary};

/// What a command did.
#[derive(Debug)]
pub struct Run {
    pub code: Option<i32>,
    pub out: String,
    pub err: String,
}

impl Run {
    /// Its answer as JSON; it must have succeeded.
    fn json(&self) -> serde_json::Value {
        assert_eq!(self.code, Some(0), "{self:?}");
        serde_json::from_str(&self.out).unwrap()
    }

    /// It failed, with a reason of one line that holds this.
    #[track_caller]
    fn failed(&self, wanted: &str) {
        assert_eq!(self.code, Some(1), "{self:?}");
        assert!(self.err.contains(wanted), "{wanted:?} in {self:?}");
        assert!(self.err.starts_with("postern: ") && self.err.lines().count() == 1, "{self:?}");
        assert_eq!(self.out, "", "{self:?}");
    }

    #[track_caller]
    fn done(&self) -> &Run {
        assert_eq!((self.code, self.err.as_str()), (Some(0), ""), "{self:?}");
        self
    }
}

/// Runs the binary in a folder.
pub fn run(folder: &Path, arguments: &[&str], stdin: &str) -> Run {
    use std::io::Write;
    let mut child = Command::new(binary())
        .args(arguments)
        .current_dir(folder)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // A command that fails early does not read.
    let _ = child.stdin.take().unwrap().write_all(stdin.as_bytes());
    let output = child.wait_with_output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Run { code: output.status.code(), out: text(&output.stdout), err: text(&output.stderr) }
}

/// Runs `serve` on any free ports until it has ended; it must end by itself.
fn serve(folder: &Path, arguments: &[&str]) -> Run {
    let ports = ["serve", "--imaps", "127.0.0.1:0", "--imap", "127.0.0.1:0", "--admin", "127.0.0.1:0"];
    run(folder, &[&ports[..], arguments].concat(), "")
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = vec![folder.to_owned()];
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { found.extend(files(&path)) } else { found.push(path) }
    }
    found
}

#[test]
fn wrong_usage_is_2_and_a_failure_1_with_a_line() {
    let folder = tempfile::tempdir().unwrap();
    let at = |arguments: &[&str], stdin: &str| run(folder.path(), arguments, stdin);
    for usage in [
        &[][..],
        &["fly"],
        &["account"],
        &["account", "add"],
        &["serve", "--imap", "nowhere"],
        &["source", "add", "/m", "--after", "burn"],
        // There is no terminal to ask on.
        &["account", "add", "anna"],
        &["account", "remove", "anna"],
    ] {
        let run = at(usage, "");
        assert_eq!(run.code, Some(2), "{usage:?}: {run:?}");
        assert!(!run.err.is_empty());
    }
    assert!(!folder.path().join("postern-data").exists(), "nothing was begun");
    for command in [&["status"][..], &["account", "list"], &["device", "add", "phone"], &["cert", "show"]] {
        at(command, "").failed("there is no store in postern-data");
    }
    assert!(!folder.path().join("postern-data").exists(), "nor by looking");
    at(&["account", "add", "anna", "--password-stdin"], "short\n").failed("at least 8 characters");
    at(&["account", "add", "an na", "--no-password"], "").failed("an account's name has");
    at(&["account", "add", "anna", "--password-stdin"], "long enough\n").done();
    at(&["account", "add", "ANNA", "--no-password"], "").failed("exists already");
    at(&["account", "remove", "ben", "--yes"], "").failed("there is no account \"ben\"");
    at(&["device", "revoke", "phone"], "").failed("there is no device \"phone\"");
    at(&["source", "remove", "/nowhere"], "").failed("there is no source \"/nowhere\"");
    at(&["source", "add", "/nowhere", "--after", "keep"], "").failed("/nowhere: there is no such folder");
    at(&["account", "add", "ben", "--no-password"], "").done();
    at(&["device", "add", "phone"], "").failed("several accounts");
    for owner in ["anna", "ben"] {
        at(&["device", "add", "phone", "--account", owner], "").done();
    }
    at(&["device", "add", " phone", "--account", "anna"], "").failed("a device of this name exists already");
    at(&["device", "add", &"x".repeat(61), "--account", "anna"], "").failed("1 to 60 letters");
    at(&["device", "add", "a\u{202e}b", "--account", "anna"], "").failed("not seen");
    at(&["device", "revoke", "phone"], "").failed("several devices are called so");
    // A number is one device's over all accounts.
    let listed = at(&["device", "list", "--account", "ben", "--json"], "").json();
    at(&["device", "revoke", &listed[0]["id"].to_string()], "").done();
    assert_eq!(at(&["device", "list", "--account", "ben", "--json"], "").json(), serde_json::json!([]));
    at(&["device", "revoke", "phone"], "").done();
    assert_eq!(at(&["device", "list", "--json"], "").json(), serde_json::json!([]));
    at(&["--version"], "").done();
    for help in [&["--help"][..], &["account", "add", "--help"], &["cert", "--help"]] {
        at(help, "").done();
    }
}

/// Every command once, and what it says afterwards: the same with a server and without.
fn everything(folder: &Path, pid: Option<u32>) {
    let name = if pid.is_some() { "served" } else { "direct" };
    let at = |arguments: &[&str], stdin: &str| run(folder, &[arguments, &["--data", "data"]].concat(), stdin);
    at(&["account", "add", name, "--password-stdin"], "correct horse\n").done();
    let accounts = at(&["account", "list", "--json"], "").json();
    let one = accounts.as_array().unwrap().iter().find(|one| one["name"] == name).unwrap().clone();
    assert_eq!((&one["password"], &one["mailboxes"]), (&true.into(), &6.into()));
    assert!(at(&["account", "list"], "").out.contains(name));
    at(&["account", "password", name, "--password-stdin"], "another horse\n").done();

    let added = at(&["device", "add", "Anna's phone", "--account", name, "--json"], "").json();
    let password = added["password"].as_str().unwrap().to_owned();
    assert_eq!(password.split('-').map(str::len).collect::<Vec<_>>(), [5, 5, 5, 5, 6], "groups");
    let devices = at(&["device", "list", "--account", name, "--json"], "").json();
    assert_eq!((&devices[0]["name"], &devices[0]["last_used"]), (&"Anna's phone".into(), &().into()));
    assert!(!devices.to_string().contains(&password), "it is shown once");
    assert!(at(&["device", "list"], "").out.contains("Anna's phone"));
    at(&["device", "revoke", "Anna's phone", "--account", name], "").done();
    assert_eq!(at(&["device", "list", "--account", name, "--json"], "").json(), serde_json::json!([]));

    let maildir = folder.join(format!("Maildir-{name}"));
    for sub in ["new", "cur", "tmp"] {
        std::fs::create_dir_all(maildir.join(sub)).unwrap();
    }
    let path = maildir.to_str().unwrap();
    let added = at(&["source", "add", path, "--account", name, "--after", "keep", "--json"], "").json();
    assert_eq!(added["folders"], 1);
    let sources = at(&["source", "list", "--json"], "").json();
    let one = sources.as_array().unwrap().iter().find(|one| one["account"] == name).unwrap().clone();
    assert_eq!(one["path"], path);
    assert_eq!(one["watch"].is_null(), pid.is_none());
    assert!(at(&["source", "list"], "").out.contains(path));
    at(&["source", "remove", path], "").done();

    let status = at(&["status", "--json"], "").json();
    assert_eq!(status["server"]["pid"].as_u64(), pid.map(u64::from));
    let text = at(&["status"], "").out;
    assert_eq!(text.contains("is not running"), pid.is_none(), "{text}");
    let shown = at(&["cert", "show", "--json"], "").json();
    assert!(shown["names"].as_array().unwrap().contains(&"localhost".into()));
    let renewed = at(&["cert", "renew", "--json"], "").json();
    assert_ne!(shown["fingerprint"], renewed["fingerprint"]);
    assert!(at(&["cert", "ca"], "").out.starts_with("-----BEGIN CERTIFICATE-----"));
    at(&["account", "remove", name, "--yes"], "").done();
    assert!(!at(&["account", "list"], "").out.contains(name));
    assert_eq!(at(&["account", "list", "--json", "--config", "nowhere.toml"], "").code, Some(1));
}

#[test]
fn every_command_with_a_server_and_without() {
    let mut server = Server::start(&["keeper"]);
    // The owner and the group may speak to the server; nobody else gets into the folder at all.
    let mode = |path: &Path| std::fs::metadata(path).unwrap().mode() & 0o777;
    assert_eq!((mode(&server.data()), mode(&server.data().join("postern.sock"))), (0o700, 0o660));
    everything(server.folder(), Some(server.pid()));
    assert_eq!(server.stop(), Some(0));
    assert!(!server.data().join("postern.sock").exists(), "the socket goes with the server");
    everything(server.folder(), None);
    // What was done without it holds with it.
    let folder = server.folder().to_owned();
    run(&folder, &["account", "add", "late", "--password-stdin", "--data", "data"], PASSWORD).done();
    server.restart();
    server.login("late");
    server.login("keeper");
}

#[test]
fn a_data_folder_of_any_name_and_a_socket_elsewhere() {
    let folder = tempfile::tempdir().unwrap();
    let long = "x".repeat(100);
    let data = format!("{long}/{long}");
    let at = |arguments: &[&str]| run(folder.path(), &[arguments, &["--data", &data]].concat(), "");
    at(&["account", "add", "anna", "--no-password"]).done();
    let mut child = Command::new(binary())
        .args([
            "serve",
            "--imaps",
            "127.0.0.1:0",
            "--imap",
            "127.0.0.1:0",
            "--admin",
            "127.0.0.1:0",
            "--data",
            &data,
        ])
        .args(["--socket", "elsewhere.sock"])
        .current_dir(folder.path())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut line = String::new();
    std::io::BufRead::read_line(&mut std::io::BufReader::new(child.stdout.take().unwrap()), &mut line)
        .unwrap();
    assert!(line.starts_with("ready imaps="), "{line}");
    assert_eq!(at(&["status", "--json", "--socket", "elsewhere.sock"]).json()["server"]["pid"], child.id());
    // Nobody listens at the usual place: the store itself is tried for a while, and its holder named.
    let since = Instant::now();
    at(&["account", "list"]).failed(&format!("in use by process {}", child.id()));
    assert!(since.elapsed() < Duration::from_secs(10));
    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
fn two_commands_at_once_wait_for_each_other() {
    let folder = tempfile::tempdir().unwrap();
    std::thread::scope(|scope| {
        for n in 0..4 {
            let folder = folder.path();
            let name = format!("anna{n}");
            scope.spawn(move || run(folder, &["account", "add", &name, "--no-password"], "").done().code);
        }
    });
    let accounts = run(folder.path(), &["account", "list", "--json"], "").json();
    assert_eq!(accounts.as_array().unwrap().len(), 4);
}

#[test]
fn a_second_server_is_told_who_holds_the_data() {
    let server = Server::start(&["anna"]);
    let holder = format!("in use by process {}", server.pid());
    let other_ports = serve(server.folder(), &["--data", "data"]);
    assert!(other_ports.code == Some(1) && other_ports.err.contains(&holder), "{other_ports:?}");
    let (imaps, imap) = (server.imaps.to_string(), server.imap.to_string());
    let same = ["serve", "--imaps", &imaps, "--imap", &imap, "--admin", "127.0.0.1:0", "--data", "data"];
    run(server.folder(), &same, "").failed(&holder);
    // On other data it is the port that is taken.
    let other =
        ["serve", "--imaps", &imaps, "--imap", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--data", "other"];
    let refused = run(server.folder(), &other, "");
    refused.failed(&format!("cannot listen at {imaps}"));
    refused.failed("choose another port with --imaps");
    assert!(!server.folder().join("other").exists());
    server.login("anna");
}

#[test]
fn mistakes_in_the_configuration_are_named_with_file_and_line() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("postern.toml"), "data = 'mail'\n\nimapz = []\n").unwrap();
    for command in [&["serve"][..], &["status"], &["account", "list"]] {
        let run = run(folder.path(), &[command, &["--config", "postern.toml"]].concat(), "");
        run.failed("postern.toml:3: unknown field `imapz`");
    }
    run(folder.path(), &["status", "--config", "none.toml"], "").failed("none.toml: No such file");
    assert!(!folder.path().join("mail").exists());
}

#[test]
fn an_empty_folder_where_a_store_is_expected_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let place = folder.path();
    std::fs::write(place.join("postern.toml"), "data = 'mail'\n").unwrap();
    let at = |arguments: &[&str]| run(place, &[arguments, &["--config", "postern.toml"]].concat(), "");
    at(&["account", "add", "anna", "--no-password"]).done();
    let remembered = std::fs::read_to_string(place.join("postern.store")).unwrap();
    assert!(remembered.ends_with(&format!(" {}\n", place.join("mail").display())), "{remembered}");
    at(&["account", "list"]).done();

    // The disk is not mounted: its mount point is empty.
    std::fs::rename(place.join("mail"), place.join("disk")).unwrap();
    std::fs::create_dir(place.join("mail")).unwrap();
    at(&["account", "add", "ben", "--no-password"]).failed("is the disk mounted?");
    assert_eq!(at(&["account", "list"]).code, Some(1));
    assert!(!place.join("mail/index.redb").exists());
    // Another disk was mounted.
    run(place, &["account", "add", "eve", "--no-password", "--data", "mail"], "").done();
    at(&["account", "list"]).failed("another store");
    // The right one is mounted again.
    std::fs::remove_dir_all(place.join("mail")).unwrap();
    std::fs::rename(place.join("disk"), place.join("mail")).unwrap();
    assert!(at(&["account", "list"]).done().out.contains("anna"));
    // And if it is meant to be so, the line is removed.
    std::fs::remove_dir_all(place.join("mail")).unwrap();
    std::fs::write(place.join("postern.store"), "").unwrap();
    at(&["account", "add", "carl", "--no-password"]).done();
    assert_ne!(std::fs::read_to_string(place.join("postern.store")).unwrap(), remembered);
}

#[test]
fn nothing_in_the_data_folder_ever_belongs_to_root() {
    const NOBODY: u32 = 65_534;
    if !rustix::process::geteuid().is_root() {
        println!("skipped: to become the owner of the data takes root");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let open = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(folder.path(), open).unwrap();
    let data = folder.path().join("data");
    std::fs::create_dir(&data).unwrap();
    std::os::unix::fs::chown(&data, Some(NOBODY), Some(NOBODY)).unwrap();
    run(folder.path(), &["account", "add", "anna", "--no-password", "--data", "data"], "").done();
    let owners = |expected: &str| {
        for file in files(&data) {
            let of = std::fs::metadata(&file).unwrap();
            assert_eq!((of.uid(), of.gid()), (NOBODY, NOBODY), "{expected}: {}", file.display());
        }
    };
    owners("without a server");
    let mut child = Command::new(binary())
        .args([
            "serve",
            "--imaps",
            "127.0.0.1:0",
            "--imap",
            "127.0.0.1:0",
            "--admin",
            "127.0.0.1:0",
            "--data",
            "data",
        ])
        .current_dir(folder.path())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut line = String::new();
    std::io::BufRead::read_line(&mut std::io::BufReader::new(child.stdout.take().unwrap()), &mut line)
        .unwrap();
    let status = std::fs::read_dir(format!("/proc/{}/task", child.id())).unwrap();
    for task in status {
        let text = std::fs::read_to_string(task.unwrap().path().join("status")).unwrap();
        let ids = text.lines().find(|line| line.starts_with("Uid:")).unwrap();
        assert!(ids.split_whitespace().skip(1).all(|id| id == "65534"), "every thread: {ids}");
    }
    run(folder.path(), &["account", "add", "ben", "--no-password", "--data", "data"], "").done();
    owners("with a server");
    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
fn a_role_that_is_given_is_seen_in_other_sessions() {
    let server = Server::start(&["alice", "bob"]);
    let at = |arguments: &[&str]| run(server.folder(), &[arguments, &["--data", "data"]].concat(), "");
    let mut client = server.login("alice");
    let mut bob = server.login("bob");
    client.ok("CREATE \"Old sent\"");
    let roles = |client: &mut crate::harness::Client, role: &str| -> Vec<String> {
        let lines = client.ok("LIST \"\" *").into_iter();
        lines.filter(|line| line.contains(role)).collect()
    };
    at(&["mailbox", "role", "Old sent", "sent"]).failed("several accounts");
    let set = at(&["mailbox", "role", "Old sent", "sent", "--account", "alice"]);
    assert_eq!(
        set.done().out,
        "Old sent is the mailbox for Sent now. Sent, which had this role, has none any more.\n"
    );
    let now = roles(&mut client, "\\Sent");
    assert!(now.len() == 1 && now[0].ends_with("\"Old sent\""), "{now:?}");
    assert!(roles(&mut bob, "\\Sent")[0].ends_with("\"Sent\""), "another account's is another's");
    at(&["mailbox", "role", "Nowhere", "sent", "--account", "alice"]).failed("no mailbox \"Nowhere\"");
    at(&["mailbox", "role", "Sent", "flagged", "--account", "alice"]).failed("or none");
    at(&["mailbox", "role", "INBOX", "trash", "--account", "alice"]).failed("INBOX");
    let none = at(&["mailbox", "role", "Old sent", "none", "--account", "alice", "--json"]).json();
    assert_eq!(none, serde_json::json!({ "mailbox": "Old sent", "role": null, "taken_from": null }));
    assert_eq!(roles(&mut client, "\\Sent"), Vec::<String>::new());
    let list = at(&["mailbox", "list", "--account", "alice", "--json"]).json();
    let trash = list.as_array().unwrap().iter().find(|one| one["name"] == "Trash").unwrap();
    assert_eq!((&trash["role"], &trash["messages"]), (&"Trash".into(), &0.into()));
    assert!(at(&["mailbox", "list", "--account", "bob"]).done().out.contains("Sent"));
}
