//! A server whose store cannot be opened: it stays, says why to everybody who asks, and goes on by itself.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use postern::store::check::keep::Keeper;
use postern::store::{Options, Store};
use rustls::pki_types::ServerName;
use rustls::{ClientConnection, StreamOwned};

use crate::anyone;
use crate::command_line::run;
use crate::harness::{Client, PASSWORD, binary};
use crate::tls::Trusting;

/// A data folder with an account and a message, as a configuration that remembers its store knows it.
struct House(tempfile::TempDir);

impl House {
    fn new() -> House {
        let house = House(tempfile::Builder::new().prefix("postern-test-").tempdir().unwrap());
        std::fs::write(house.path().join("postern.toml"), "data = 'data'\n").unwrap();
        let made = house.command(&["account", "add", "anna", "--password-stdin"], PASSWORD);
        assert_eq!(made.code, Some(0), "{made:?}");
        let delivered = house.command(&["deliver", "--account", "anna"], "Subject: kept\n\nx\n");
        assert_eq!(delivered.code, Some(0), "{delivered:?}");
        house
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn data(&self) -> PathBuf {
        self.path().join("data")
    }

    fn command(&self, arguments: &[&str], stdin: &str) -> crate::command_line::Run {
        run(self.path(), &[arguments, &["--config", "postern.toml"]].concat(), stdin)
    }

    /// Starts a server, and waits until it is ready or says that it is not.
    fn serve(&self) -> Serving<'_> {
        let log = std::fs::File::options().create(true).append(true).open(self.path().join("log")).unwrap();
        let systemd = UnixDatagram::bind(self.path().join("notify")).unwrap();
        systemd.set_nonblocking(true).unwrap();
        let mut child = Command::new(binary())
            .args(["serve", "--imaps", "127.0.0.1:0", "--imap", "127.0.0.1:0", "--admin", "127.0.0.1:0"])
            .args(["--config", "postern.toml"])
            .env("NOTIFY_SOCKET", self.path().join("notify"))
            .current_dir(self.path())
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()
            .unwrap();
        let out = BufReader::new(child.stdout.take().unwrap());
        let mut serving =
            Serving { house: self, child, out, systemd, told: String::new(), line: String::new() };
        serving.next();
        serving
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.path().join("log")).unwrap()
    }
}

struct Serving<'a> {
    house: &'a House,
    child: Child,
    out: BufReader<ChildStdout>,
    systemd: UnixDatagram,
    told: String,
    /// `ready …` or `not ready …`.
    line: String,
}

impl Serving<'_> {
    /// The next line of those that say how far it is.
    fn next(&mut self) -> &str {
        loop {
            self.line.clear();
            let count = self.out.read_line(&mut self.line).unwrap();
            assert!(count > 0, "it has ended:\n{}", self.house.log());
            if self.line.starts_with("ready ") || self.line.starts_with("not ready ") {
                return &self.line;
            }
        }
    }

    fn address(&self, name: &str) -> SocketAddr {
        let word = self.line.split(' ').find_map(|word| word.strip_prefix(name)?.strip_prefix('=')).unwrap();
        word.trim_end_matches(':').trim().parse().unwrap()
    }

    /// What systemd has been told so far.
    fn told(&mut self) -> &str {
        let mut buffer = [0; 4096];
        while let Ok(count) = self.systemd.recv(&mut buffer) {
            self.told.push_str(&String::from_utf8_lossy(&buffer[..count]));
            self.told.push('\n');
        }
        &self.told
    }

    /// Waits until systemd has been told.
    fn hears(&mut self, what: &str) {
        let until = Instant::now() + Duration::from_secs(30);
        while !self.told().lines().any(|line| line.starts_with(what)) {
            assert!(Instant::now() < until, "{what}: {}", self.told);
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// The page at a path: its head and text.
    fn page(&self, path: &str) -> String {
        let socket = TcpStream::connect(self.address("admin")).unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        let name = ServerName::try_from("localhost").unwrap();
        let client = ClientConnection::new(Arc::new(anyone::config()), name).unwrap();
        let mut stream = StreamOwned::new(client, socket);
        let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
        String::from_utf8(answer).unwrap()
    }

    /// Everybody who asks is told this.
    fn says(&mut self, why: &str, help: &str) {
        assert!(self.line.starts_with("not ready ") && self.line.contains(why), "{}", self.line);
        for path in ["/", "/accounts", "/login"] {
            let page = self.page(path);
            assert!(page.starts_with("HTTP/1.1 503 "), "{page}");
            let lower = page.to_lowercase();
            assert!(lower.contains("retry-after:") && lower.contains("content-security-policy:"), "{page}");
            let text = page.replace("&#34;", "\"").replace("&#39;", "'").replace("&#x27;", "'");
            assert!(text.contains(why) && text.contains(help), "{why} / {help}: {text}");
            assert!(!lower.contains("password") && !lower.contains("<form"), "{page}");
        }
        assert!(self.page("/style.css").starts_with("HTTP/1.1 200 "));
        // A mail program is told in the clear, and is not shown a certificate that it does not know.
        let mut client = Client::open(self.address("imap"));
        let bye = client.line();
        assert!(bye.starts_with("* BYE [UNAVAILABLE] ") && bye.contains(why), "{bye}");
        assert!(client.is_closed());
        let status = self.house.command(&["status"], "");
        assert!(status.code == Some(1) && status.err.contains("serves no mail"), "{status:?}");
        assert!(status.err.contains(why) && status.err.contains(help), "{status:?}");
        let status = self.house.command(&["status", "--json"], "");
        let json: serde_json::Value = serde_json::from_str(&status.out).unwrap();
        assert_eq!((status.code, &json["serving"]), (Some(1), &false.into()), "{json}");
        assert!(json["reason"].as_str().unwrap().contains(why), "{json}");
        let log = self.house.log();
        let said =
            log.lines().filter(|line| line.contains("no mail is served") && line.contains(why)).count();
        assert_eq!(said, 1, "the log says it once:\n{log}");
    }

    /// It serves now, and has the message.
    fn serves(&mut self) {
        self.next();
        assert!(self.line.starts_with("ready "), "{}", self.line);
        self.hears("READY=1");
        let mut client = Client::open(self.address("imap"));
        client.line();
        client.ok(&format!("LOGIN anna \"{PASSWORD}\""));
        assert!(client.ok("SELECT INBOX").contains(&"* 1 EXISTS".to_owned()));
        assert!(!self.page("/login").contains(" 503 "));
        assert_eq!(self.house.command(&["status"], "").code, Some(0));
    }

    fn end(mut self) -> Option<i32> {
        let pid = rustix::process::Pid::from_raw(self.child.id() as i32).unwrap();
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
        self.child.wait().unwrap().code()
    }
}

impl Drop for Serving<'_> {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = std::fs::remove_file(self.house.path().join("notify"));
    }
}

#[test]
fn a_command_that_has_the_store_is_waited_for() {
    let house = House::new();
    // A delivery whose sender is slow: it has the store until the last byte has come.
    let mut slow = Command::new(binary())
        .args(["deliver", "--account", "anna", "--config", "postern.toml"])
        .current_dir(house.path())
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    let mut pipe = slow.stdin.take().unwrap();
    pipe.write_all(b"Subject: slow\n\n").unwrap();
    let until = Instant::now() + Duration::from_secs(20);
    while postern::store::holder(&house.data()).is_none() {
        assert!(Instant::now() < until, "the delivery has not opened the store");
        std::thread::sleep(Duration::from_millis(10));
    }
    let mut server = house.serve();
    let holder = format!("in use by process {}", slow.id());
    server.says(&holder, "goes on by itself");
    server.hears("STATUS=No mail is served");
    server.hears("EXTEND_TIMEOUT_USEC=");
    assert!(!server.told().contains("READY=1"), "systemd waits with it: {}", server.told);
    // The end of it is heard while it waits.
    assert_eq!(server.end(), Some(0));
    let mut server = house.serve();
    assert!(server.line.starts_with("not ready "), "{}", server.line);
    // Nothing of it is kept, for half a message is none.
    slow.kill().unwrap();
    slow.wait().unwrap();
    drop(pipe);
    server.serves();
    assert_eq!(server.end(), Some(0));
}

#[test]
fn a_disk_that_is_not_mounted_is_waited_for() {
    let house = House::new();
    assert_eq!(house.serve().end(), Some(0), "from now on the store is remembered");
    std::fs::rename(house.data(), house.path().join("unplugged")).unwrap();
    std::fs::create_dir(house.data()).unwrap();
    let mut server = house.serve();
    server.says("is the disk mounted?", "Mount the disk");
    // No phone is shown a certificate that it does not know.
    assert!(Client::open(server.address("imaps")).is_closed());
    server.hears("READY=1");
    assert_eq!(house.command(&["deliver", "--account", "anna"], "Subject: x\n\nx\n").code, Some(75));
    std::fs::remove_dir_all(house.data()).unwrap();
    std::fs::rename(house.path().join("unplugged"), house.data()).unwrap();
    server.serves();
    assert_eq!(server.end(), Some(0));
}

#[test]
fn a_damaged_index_is_told_with_what_helps_and_what_is_put_back_is_served() {
    let house = House::new();
    let index = house.data().join("index.redb");
    // A server that has run for a minute has written a catalogue, which has the certificate that phones know.
    let trusting = Trusting::authority(&house.command(&["cert", "ca"], "").out, rustls::ALL_VERSIONS);
    let store = Store::open(Options::new(house.data())).unwrap();
    Keeper::default().look(&store).unwrap().unwrap();
    store.close().unwrap();
    let good = std::fs::read(&index).unwrap();
    std::fs::write(&index, vec![0x5a; good.len()]).unwrap();
    let mut server = house.serve();
    server.says("index.redb", "postern check --repair");
    server.hears("READY=1");
    let mut phone = trusting.connect(server.address("imaps"), "127.0.0.1").unwrap();
    let bye = phone.line();
    assert!(bye.starts_with("* BYE [UNAVAILABLE] ") && bye.contains("index.redb"), "{bye}");
    std::fs::write(&index, good).unwrap();
    server.serves();
    assert_eq!(server.end(), Some(0));
}

#[test]
fn another_store_than_the_one_that_belongs_there_is_not_served() {
    let house = House::new();
    assert_eq!(house.serve().end(), Some(0), "from now on the store is remembered");
    let own = house.path().join("own");
    std::fs::rename(house.data(), &own).unwrap();
    let other = run(house.path(), &["account", "add", "otto", "--no-password", "--data", "data"], "");
    assert_eq!(other.code, Some(0), "{other:?}");
    let mut server = house.serve();
    server.says("another store", "postern.store");
    std::fs::remove_dir_all(house.data()).unwrap();
    std::fs::rename(own, house.data()).unwrap();
    server.serves();
    assert_eq!(server.end(), Some(0));
}
