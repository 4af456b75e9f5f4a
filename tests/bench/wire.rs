//! A client that is no bottleneck: IMAP over TLS, of which it looks only at what tells where an answer ends.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use rustls::client::Resumption;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, StreamOwned};
use xxhash_rust::xxh3::Xxh3Default;

use crate::anyone;

/// Bytes read at a time, of the socket and of what came out of TLS. rustls alone would read 4 KiB at a time.
const READ: usize = 256 << 10;
/// An answer that takes longer never comes.
const PATIENCE: Duration = Duration::from_secs(120);

/// A connection.
pub struct Wire {
    stream: BufReader<StreamOwned<ClientConnection, Socket>>,
    next: u32,
}

/// What was answered to one command.
#[derive(Default)]
pub struct Answer {
    /// FETCH responses.
    pub fetched: usize,
    /// Bytes in literals, and a hash of them in their order.
    pub literals: u64,
    pub hash: u64,
    /// All lines, without the literals unless they were asked for.
    pub text: Vec<u8>,
}

impl Answer {
    /// The lines as text.
    pub fn lines(&self) -> String {
        String::from_utf8_lossy(&self.text).into_owned()
    }
}

impl Wire {
    /// Connects without resuming an earlier TLS session, and reads the greeting.
    pub fn open(address: SocketAddr) -> Wire {
        let socket = TcpStream::connect(address).unwrap();
        socket.set_nodelay(true).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        let name = ServerName::try_from("localhost").unwrap();
        let tls = ClientConnection::new(config(), name).unwrap();
        let socket = Socket(BufReader::with_capacity(READ, socket));
        let mut wire =
            Wire { stream: BufReader::with_capacity(READ, StreamOwned::new(tls, socket)), next: 0 };
        let greeting = wire.line();
        assert!(greeting.starts_with(b"* OK"), "{}", String::from_utf8_lossy(&greeting));
        wire
    }

    /// Sends a command that must be answered OK.
    pub fn ok(&mut self, command: &str) -> Answer {
        self.command(command, false)
    }

    /// As [`Wire::ok`], with the literals left in the text.
    pub fn whole(&mut self, command: &str) -> Answer {
        self.command(command, true)
    }

    /// APPENDs a message with a literal that does not wait.
    pub fn append(&mut self, mailbox: &str, date: &str, message: &[u8]) {
        self.next += 1;
        let tag = format!("t{}", self.next);
        let mut bytes =
            format!("{tag} APPEND {mailbox} () \"{date}\" {{{}+}}\r\n", message.len()).into_bytes();
        bytes.extend_from_slice(message);
        bytes.extend_from_slice(b"\r\n");
        self.send(&bytes);
        self.until(&tag, "APPEND", false);
    }

    /// Starts an IDLE.
    pub fn idle(&mut self) {
        self.send(b"i IDLE\r\n");
        while !self.line().starts_with(b"+") {}
    }

    /// Waits until IDLE tells of a new message.
    pub fn told(&mut self) {
        while !self.line().ends_with(b" EXISTS\r\n") {}
    }

    fn command(&mut self, command: &str, whole: bool) -> Answer {
        self.next += 1;
        let tag = format!("t{}", self.next);
        self.send(format!("{tag} {command}\r\n").as_bytes());
        self.until(&tag, command, whole)
    }

    fn send(&mut self, bytes: &[u8]) {
        let stream = self.stream.get_mut();
        stream.write_all(bytes).unwrap();
        stream.flush().unwrap();
    }

    fn line(&mut self) -> Vec<u8> {
        let mut line = Vec::new();
        let count = self.stream.read_until(b'\n', &mut line).unwrap();
        assert!(count > 0, "the server closed the connection");
        line
    }

    fn until(&mut self, tag: &str, command: &str, whole: bool) -> Answer {
        let (mut answer, mut hash) = (Answer::default(), Xxh3Default::new());
        loop {
            let start = answer.text.len();
            let count = self.stream.read_until(b'\n', &mut answer.text).unwrap();
            assert!(count > 0, "the server closed the connection");
            let line = &answer.text[start..];
            if let Some(rest) = line.strip_prefix(tag.as_bytes()).filter(|rest| rest.starts_with(b" ")) {
                assert!(rest.starts_with(b" OK"), "{command}: {}", String::from_utf8_lossy(line));
                answer.text.truncate(start);
                answer.hash = hash.digest();
                return answer;
            }
            if is_fetch(line) {
                answer.fetched += 1;
            }
            if let Some(length) = literal(line) {
                answer.literals += length as u64;
                self.literal(length, &mut hash, whole.then_some(&mut answer.text));
            }
        }
    }

    fn literal(&mut self, mut length: usize, hash: &mut Xxh3Default, mut keep: Option<&mut Vec<u8>>) {
        while length > 0 {
            let bytes = self.stream.fill_buf().unwrap();
            assert!(!bytes.is_empty(), "the server closed the connection");
            let bytes = &bytes[..bytes.len().min(length)];
            hash.update(bytes);
            if let Some(text) = &mut keep {
                text.extend_from_slice(bytes);
            }
            let count = bytes.len();
            self.stream.consume(count);
            length -= count;
        }
    }
}

fn is_fetch(line: &[u8]) -> bool {
    let Some(rest) = line.strip_prefix(b"* ") else { return false };
    let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
    digits > 0 && rest[digits..].starts_with(b" FETCH ")
}

/// The length that a line announces.
pub fn literal(line: &[u8]) -> Option<usize> {
    let text = line.strip_suffix(b"}\r\n")?;
    let open = text.iter().rposition(|byte| *byte == b'{')?;
    std::str::from_utf8(&text[open + 1..]).ok()?.parse().ok()
}

struct Socket(BufReader<TcpStream>);

impl Read for Socket {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        self.0.read(buffer)
    }
}

impl Write for Socket {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.get_mut().write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.0.get_mut().flush()
    }
}

fn config() -> Arc<ClientConfig> {
    let mut config = anyone::config();
    config.resumption = Resumption::disabled();
    Arc::new(config)
}
