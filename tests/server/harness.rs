//! Starts the real binary in a temporary folder and speaks to it.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

// Other test binaries use what this one does not.
#[allow(dead_code)]
#[path = "strict/mod.rs"]
pub mod strict;

use strict::Wire;

/// The built binary.
pub fn binary() -> PathBuf {
    PathBuf::from(env!("CARGO_BIN_EXE_postern"))
}

/// A running server. It is stopped, and its folder removed, when this is dropped.
pub struct Server {
    child: Child,
    folder: tempfile::TempDir,
    pub imaps: SocketAddr,
    pub imap: SocketAddr,
}

/// The user of [`Server::start_as_nobody`].
const NOBODY: u32 = 65_534;

/// Every account of a test has this password.
pub const PASSWORD: &str = "correct horse";

impl Server {
    /// A server with these accounts.
    pub fn start(accounts: &[&str]) -> Server {
        Server::start_filled(accounts, |_| {})
    }

    /// A server with these accounts on a data folder that was filled before its start.
    pub fn start_filled(accounts: &[&str], fill: impl FnOnce(&Path)) -> Server {
        let folder = tempfile::Builder::new().prefix("postern-test-").tempdir().unwrap();
        for account in accounts {
            let output = postern(folder.path(), &["account", "add", account, "--password-stdin"], PASSWORD);
            assert!(output.0, "account add {account}: {}", output.1);
        }
        fill(&folder.path().join("data"));
        let (child, imaps, imap) = launch(folder.path(), &["--data", "data"]);
        Server { child, folder, imaps, imap }
    }

    /// As [`Server::start`], run by a user who may do nothing beyond his own files. Where the tests are not
    /// run by root, that is whoever runs them.
    pub fn start_as_nobody(accounts: &[&str]) -> Server {
        let folder = tempfile::Builder::new().prefix("postern-test-").tempdir().unwrap();
        let data = folder.path().join("data");
        std::fs::create_dir(&data).unwrap();
        if rustix::process::geteuid().is_root() {
            std::fs::set_permissions(folder.path(), PermissionsExt::from_mode(0o755)).unwrap();
            std::os::unix::fs::chown(&data, Some(NOBODY), Some(NOBODY)).unwrap();
            // The built one may lie where nobody else may look.
            std::fs::copy(binary(), folder.path().join("postern")).unwrap();
        }
        for account in accounts {
            let output = postern(folder.path(), &["account", "add", account, "--password-stdin"], PASSWORD);
            assert!(output.0, "account add {account}: {}", output.1);
        }
        let (child, imaps, imap) = launch(folder.path(), &["--data", "data"]);
        Server { child, folder, imaps, imap }
    }

    /// The data folder.
    pub fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// A folder for whatever the test needs.
    pub fn scratch(&self, name: &str) -> PathBuf {
        let path = self.folder.path().join(name);
        std::fs::create_dir_all(&path).unwrap();
        path
    }

    /// Everything that belongs to this server lies in here.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// What it has logged so far.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Runs a command of the binary on this server's data; gives success and output.
    pub fn command(&self, arguments: &[&str], stdin: &str) -> (bool, String) {
        postern(self.folder.path(), arguments, stdin)
    }

    /// Kills it as a power cut would.
    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Kills it as a power cut would, and starts it again.
    pub fn kill_and_restart(&mut self) {
        self.kill();
        self.restart();
    }

    /// Waits until it has ended by itself; gives its exit code.
    pub fn wait(&mut self) -> Option<i32> {
        self.child.wait().unwrap().code()
    }

    /// Ends it in order; gives its exit code.
    pub fn stop(&mut self) -> Option<i32> {
        let pid = rustix::process::Pid::from_raw(self.child.id() as i32).unwrap();
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
        self.child.wait().unwrap().code()
    }

    /// Starts it again after [`Server::stop`].
    pub fn restart(&mut self) {
        self.restart_with(&["--data", "data"]);
    }

    /// Starts it again after [`Server::stop`] with other arguments than `--data`.
    pub fn restart_with(&mut self, arguments: &[&str]) {
        let (child, imaps, imap) = launch(self.folder.path(), arguments);
        (self.child, self.imaps, self.imap) = (child, imaps, imap);
    }

    /// Starts it again after [`Server::stop`], under a program with its arguments.
    pub fn restart_under(&mut self, words: &[&str]) {
        let words = words.iter().map(|word| (*word).to_owned()).collect();
        let (child, imaps, imap) = launch_under(Some(words), self.folder.path(), &["--data", "data"]);
        (self.child, self.imaps, self.imap) = (child, imaps, imap);
    }

    /// A plain connection with its greeting read.
    pub fn connect(&self) -> Client {
        let mut client = Client::open(self.imap);
        client.line();
        client
    }

    /// A plain connection that has logged in.
    pub fn login(&self, account: &str) -> Client {
        let mut client = self.connect();
        client.ok(&format!("LOGIN {account} \"{PASSWORD}\""));
        client
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The program that the server is to run under, with its arguments: valgrind, perf.
fn under() -> Option<Vec<String>> {
    let words: Vec<_> = std::env::var("POSTERN_UNDER").ok()?.split_whitespace().map(str::to_owned).collect();
    (!words.is_empty()).then_some(words)
}

fn launch(folder: &Path, arguments: &[&str]) -> (Child, SocketAddr, SocketAddr) {
    launch_under(under(), folder, arguments)
}

/// What the service's unit puts into the environment: a server is tested as it is installed.
fn environment() -> Vec<(String, String)> {
    let unit = Path::new(env!("CARGO_MANIFEST_DIR")).join("packaging/debian/postern.service");
    let unit = std::fs::read_to_string(unit).unwrap();
    let lines = unit.lines().filter_map(|line| line.strip_prefix("Environment="));
    let words = lines.flat_map(str::split_whitespace).filter_map(|word| word.split_once('='));
    let words: Vec<_> = words.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
    assert!(!words.is_empty());
    words
}

fn launch_under(
    under: Option<Vec<String>>,
    folder: &Path,
    arguments: &[&str],
) -> (Child, SocketAddr, SocketAddr) {
    let log = std::fs::OpenOptions::new().create(true).append(true).open(folder.join("log")).unwrap();
    let own = folder.join("postern");
    let program = if own.exists() { own.clone() } else { binary() };
    let mut command = match under {
        Some(words) => {
            let mut command = Command::new(&words[0]);
            command.args(&words[1..]).arg(program);
            command
        }
        None => Command::new(program),
    };
    if own.exists() {
        command.uid(NOBODY).gid(NOBODY);
    }
    let mut child = command
        .args(["serve", "--imaps", "127.0.0.1:0", "--imap", "127.0.0.1:0", "--admin", "127.0.0.1:0"])
        .args(arguments)
        .envs(environment())
        .current_dir(folder)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(log)
        .spawn()
        .unwrap();
    let mut output = BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    while output.read_line(&mut line).unwrap() > 0 {
        if line.starts_with("ready ") {
            let address = |name: &str| -> SocketAddr {
                let at = line.find(&format!("{name}=")).unwrap() + name.len() + 1;
                line[at..].split_whitespace().next().unwrap().parse().unwrap()
            };
            let found = (address(" imaps"), address(" imap"));
            std::thread::spawn(move || std::io::copy(&mut output, &mut std::io::sink()));
            return (child, found.0, found.1);
        }
        line.clear();
    }
    let _ = child.wait();
    let log = std::fs::read_to_string(folder.join("log")).unwrap_or_default();
    panic!("the server did not start:\n{log}");
}

fn postern(folder: &Path, arguments: &[&str], stdin: &str) -> (bool, String) {
    let mut child = Command::new(binary())
        .args(arguments)
        .args(if arguments.contains(&"--data") { &[][..] } else { &["--data", "data"] })
        .current_dir(folder)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(stdin.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let text =
        String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    (output.status.success(), text)
}

/// A connection that sends lines and reads whole responses.
pub struct Client {
    reader: BufReader<Wire<TcpStream>>,
    next: u32,
}

impl Client {
    pub fn open(address: SocketAddr) -> Client {
        Client::over(TcpStream::connect(address).unwrap())
    }

    /// Speaks over a connection that stands already.
    pub fn over(stream: TcpStream) -> Client {
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        Client { reader: BufReader::new(Wire::over(stream)), next: 0 }
    }

    /// Waits three minutes for an answer, for what takes long by itself.
    #[allow(dead_code)]
    pub fn wait_longer(&mut self) {
        self.reader.get_ref().set_read_timeout(Some(Duration::from_secs(180))).unwrap();
    }

    pub fn send(&mut self, bytes: &[u8]) {
        self.reader.get_mut().write_all(bytes).unwrap();
    }

    /// As [`Client::send`], for when the server may have closed already.
    pub fn try_send(&mut self, bytes: &[u8]) -> bool {
        self.reader.get_mut().write_all(bytes).is_ok()
    }

    /// One response with its literals, without the last line end; `None` at the end of the stream, and for half a
    /// response before it.
    pub fn response(&mut self) -> Option<Vec<u8>> {
        let mut response = Vec::new();
        loop {
            let start = response.len();
            if self.reader.read_until(b'\n', &mut response).ok()? == 0 {
                return None;
            }
            if !response.ends_with(b"\n") {
                // A server that was killed stops anywhere.
                return None;
            }
            let line = response[start..].strip_suffix(b"\r\n").expect("a line ends in CRLF");
            let Some(length) = literal_length(line) else {
                response.truncate(response.len() - 2);
                return Some(response);
            };
            let from = response.len();
            response.resize(from + length, 0);
            self.reader.read_exact(&mut response[from..]).ok()?;
        }
    }

    /// One response as text.
    pub fn line(&mut self) -> String {
        String::from_utf8_lossy(&self.response().expect("the server closed the connection")).into_owned()
    }

    /// Sends a command; gives its untagged responses and the tagged one without its tag.
    pub fn command(&mut self, command: &str) -> (Vec<String>, String) {
        self.next += 1;
        let tag = format!("t{}", self.next);
        self.send(format!("{tag} {command}\r\n").as_bytes());
        self.finish(&tag)
    }

    /// Reads up to the tagged response.
    pub fn finish(&mut self, tag: &str) -> (Vec<String>, String) {
        let mut untagged = Vec::new();
        loop {
            let line = self.line();
            match line.strip_prefix(tag).and_then(|rest| rest.strip_prefix(' ')) {
                Some(status) => return (untagged, status.to_owned()),
                None => untagged.push(line),
            }
        }
    }

    /// Sends a command that must be answered OK; gives its untagged responses.
    pub fn ok(&mut self, command: &str) -> Vec<String> {
        let (untagged, status) = self.command(command);
        assert!(status.starts_with("OK"), "{command}: {status}");
        untagged
    }

    /// APPENDs a message with a literal that does not wait.
    pub fn append(&mut self, mailbox: &str, flags: &str, message: &[u8]) -> String {
        let status = self.try_append(mailbox, flags, message);
        assert!(status.starts_with("OK"), "APPEND: {status}");
        status
    }

    /// As [`Client::append`], however it is answered.
    pub fn try_append(&mut self, mailbox: &str, flags: &str, message: &[u8]) -> String {
        self.next += 1;
        let tag = format!("t{}", self.next);
        self.send(format!("{tag} APPEND {mailbox} ({flags}) {{{}+}}\r\n", message.len()).as_bytes());
        self.send(message);
        self.send(b"\r\n");
        self.finish(&tag).1
    }

    /// Whether the server has closed the connection.
    pub fn is_closed(&mut self) -> bool {
        let mut rest = Vec::new();
        match self.reader.read_to_end(&mut rest) {
            Ok(_) => true,
            Err(error) => error.kind() == std::io::ErrorKind::ConnectionReset,
        }
    }
}

fn literal_length(line: &[u8]) -> Option<usize> {
    let text = line.strip_suffix(b"}")?;
    let open = text.iter().rposition(|byte| *byte == b'{')?;
    std::str::from_utf8(&text[open + 1..]).ok()?.parse().ok()
}
