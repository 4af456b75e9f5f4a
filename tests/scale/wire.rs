//! A client that is no bottleneck: it reads until the tagged line and looks at nothing else.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};

/// Bytes read at a time.
const READ: usize = 256 << 10;

/// A plain connection.
pub struct Wire {
    stream: TcpStream,
    buffer: Vec<u8>,
    next: u32,
}

impl Wire {
    /// Connects and reads the greeting.
    pub fn open(address: SocketAddr) -> Wire {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_nodelay(true).unwrap();
        let mut wire = Wire { stream, buffer: vec![0; READ], next: 0 };
        wire.until("*");
        wire
    }

    /// Sends bytes.
    pub fn send(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).unwrap();
    }

    /// Sends a command that must be answered OK; gives all that was answered.
    pub fn ok(&mut self, command: &str) -> Vec<u8> {
        self.next += 1;
        let tag = format!("t{}", self.next);
        self.send(format!("{tag} {command}\r\n").as_bytes());
        let answer = self.until(&tag);
        let status = last_line(&answer);
        let good = status.get(tag.len() + 1..).is_some_and(|rest| rest.starts_with(b"OK"));
        assert!(good, "{command}: {}", String::from_utf8_lossy(status));
        answer
    }

    /// Reads until the last line is this tag's.
    pub fn until(&mut self, tag: &str) -> Vec<u8> {
        let mut answer = Vec::new();
        loop {
            let count = self.stream.read(&mut self.buffer).unwrap();
            assert!(count > 0, "the server closed the connection");
            answer.extend_from_slice(&self.buffer[..count]);
            let line = last_line(&answer);
            let tagged = line.strip_prefix(tag.as_bytes()).is_some_and(|rest| rest.starts_with(b" "));
            if tagged && answer.ends_with(b"\r\n") {
                return answer;
            }
        }
    }
}

fn last_line(answer: &[u8]) -> &[u8] {
    let text = answer.strip_suffix(b"\r\n").unwrap_or(answer);
    let start = text.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
    &text[start..]
}
