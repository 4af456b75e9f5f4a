//! Clients that hold a place without logging in are sent away, however they go about it.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use postern::imap::Timeouts;

use crate::harness::PASSWORD;
use crate::harness::strict::Wire;
use crate::in_process::InProcess;

/// Long enough that nothing here ends by it.
const NEVER: Duration = Duration::from_secs(3600);
const SHORT: Duration = Duration::from_millis(500);

fn greeted(server: &InProcess) -> Wire<TcpStream> {
    let mut stream = Wire::connect(server.address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    let mut byte = [0];
    while byte != *b"\n" {
        stream.read_exact(&mut byte).unwrap();
    }
    stream
}

/// What comes until the server closes, and how long that takes.
fn until_closed(mut stream: Wire<TcpStream>, since: Instant) -> (String, Duration) {
    let mut said = Vec::new();
    if let Err(error) = stream.read_to_end(&mut said) {
        // The server had not read all that was sent.
        assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
    }
    (String::from_utf8_lossy(&said).into_owned(), since.elapsed())
}

/// A stranger has its time for each command, and no byte that comes gives it more.
#[test]
fn a_command_must_be_whole_in_time() {
    let server = InProcess::start(Timeouts { before_login: SHORT, to_log_in: NEVER, ..Timeouts::default() });
    for begun in ["", "a NOO", "a LOGIN {5}\r\nali", "a LOGIN {9000}\r\n", "a AUTHENTICATE PLAIN\r\n"] {
        let since = Instant::now();
        let mut stream = greeted(&server);
        stream.write_all(begun.as_bytes()).unwrap();
        let (said, took) = until_closed(stream, since);
        assert!(took >= SHORT * 9 / 10, "{begun:?}: {took:?}");
        assert!(said.contains("* BYE ") || begun.contains("AUTHENTICATE"), "{begun:?}: {said}");
    }
    // A byte now and then, for as long as it takes.
    let since = Instant::now();
    let mut stream = greeted(&server);
    while stream.write_all(b"x").is_ok() {
        assert!(since.elapsed() < Duration::from_secs(60), "who drips is never sent away");
        std::thread::sleep(Duration::from_millis(20));
    }
    assert!(since.elapsed() >= SHORT * 9 / 10);
}

/// Nor does it hold a place with commands that are whole.
#[test]
fn a_stranger_must_log_in_in_time() {
    let server = InProcess::start(Timeouts { before_login: NEVER, to_log_in: SHORT, ..Timeouts::default() });
    let since = Instant::now();
    let (said, took) = until_closed(greeted(&server), since);
    assert!(said.contains("* BYE ") && took >= SHORT * 9 / 10, "{said} after {took:?}");
    // One that never stops talking, so that there is always something to read.
    let since = Instant::now();
    let mut stream = greeted(&server);
    let answers = std::thread::spawn({
        let stream = stream.try_clone().unwrap();
        move || until_closed(stream, since)
    });
    let commands = b"a NOOP\r\n".repeat(500);
    while stream.write_all(&commands).is_ok() {
        assert!(since.elapsed() < Duration::from_secs(60), "who talks on is never sent away");
    }
    let (said, took) = answers.join().unwrap();
    assert!(said.contains("\r\na OK ") || said.starts_with("a OK "), "it was answered before");
    assert!(took >= SHORT * 9 / 10, "{took:?}");
}

/// Once it is logged in, that time is over.
#[test]
fn who_is_logged_in_may_stay() {
    // A slow machine may need longer than the first of these for a password.
    for patience in [1, 4, 16].map(Duration::from_secs) {
        let server =
            InProcess::start(Timeouts { before_login: patience, to_log_in: patience, ..Timeouts::default() });
        let since = Instant::now();
        let mut client = server.connect();
        client.send(format!("l LOGIN alice \"{PASSWORD}\"\r\n").as_bytes());
        if !client.response().is_some_and(|line| line.starts_with(b"l OK")) {
            continue;
        }
        while since.elapsed() < patience * 3 / 2 {
            std::thread::sleep(Duration::from_millis(100));
        }
        client.ok("NOOP");
        return;
    }
    panic!("nobody could log in");
}
