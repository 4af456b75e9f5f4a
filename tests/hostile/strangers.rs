//! What can be done before login.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::Duration;

use crate::attacked;
use crate::harness::Server;

/// How long each goes on.
const LENGTH: Duration = Duration::from_secs(3);

pub fn all(server: &Server) {
    let partials: Vec<String> = (0..570).map(|n| format!("BODY[]<{n}.1>")).collect();
    let partials = format!("x FETCH 1 ({})\r\n", partials.join(" "));
    for (name, command) in [
        ("two strangers who send NOOP without end", "x NOOP\r\n".repeat(500)),
        ("two strangers who send FETCH of 570 partials without end", partials),
        ("two strangers who send CAPABILITY without end", "x CAPABILITY\r\n".repeat(500)),
        ("two strangers who send blank lines without end", "\r\n".repeat(4_000)),
        ("two strangers who never end a line", "x".repeat(8_000)),
    ] {
        attacked(name, server, |server| flood(server, 2, command.as_bytes()));
    }
}

/// So many connections that send this again and again and read all that comes; one that is turned away comes again.
fn flood(server: &Server, connections: usize, bytes: &[u8]) {
    let until = std::time::Instant::now() + LENGTH;
    let address = server.imap;
    std::thread::scope(|scope| {
        for _ in 0..connections {
            scope.spawn(move || {
                while std::time::Instant::now() < until {
                    let Ok(mut stream) = TcpStream::connect(address) else { continue };
                    let mut reader = stream.try_clone().unwrap();
                    scope.spawn(move || {
                        let mut buffer = vec![0; 64 * 1024];
                        while reader.read(&mut buffer).is_ok_and(|count| count > 0) {}
                    });
                    stream.set_write_timeout(Some(LENGTH)).unwrap();
                    while std::time::Instant::now() < until && stream.write_all(bytes).is_ok() {}
                    let _ = stream.shutdown(Shutdown::Both);
                }
            });
        }
    });
}
