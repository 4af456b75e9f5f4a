//! Messages delivered from stdin, and the codes that mail transfer agents go by.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::process::{Command, Stdio};

use super::harness::{Server, binary};
use super::old_mail::everything;

/// Runs `postern deliver`; gives its exit code and what it said.
fn deliver(server: &Server, arguments: &[&str], message: &[u8]) -> (i32, String) {
    let mut child = Command::new(binary())
        .arg("deliver")
        .args(arguments)
        .arg("--data")
        .arg(server.data())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // It may have gone without reading all of it.
    let _ = child.stdin.take().unwrap().write_all(message);
    let output = child.wait_with_output().unwrap();
    (output.status.code().unwrap(), String::from_utf8_lossy(&output.stderr).into_owned())
}

#[test]
fn delivered_with_the_server_and_without() {
    let mut server = Server::start(&["anna", "bert"]);
    let message = b"From bert@example.org Mon Jan  5 10:00:00 2004\nSubject: one\n\nFrom here\n";
    assert_eq!(deliver(&server, &["--account", "anna"], message), (0, String::new()));
    let to_list = ["--account", "anna", "--mailbox", "Lists/Rust"];
    assert_eq!(deliver(&server, &to_list, b"Subject: two\r\n\r\nx").0, 0);
    server.stop();
    assert_eq!(deliver(&server, &["--account", "anna"], b"Subject: three\n\nx\n"), (0, String::new()));
    server.restart();
    let all = everything(&server, "anna");
    let shown: Vec<_> =
        all.iter().map(|seen| format!("{} [{}] {:?}", seen.mailbox, seen.flags, seen.body)).collect();
    assert_eq!(
        shown,
        [
            "INBOX [] \"Subject: one\\r\\n\\r\\nFrom here\\r\\n\"",
            "INBOX [] \"Subject: three\\r\\n\\r\\nx\\r\\n\"",
            "Lists/Rust [] \"Subject: two\\r\\n\\r\\nx\"",
        ]
    );
    assert!(everything(&server, "bert").is_empty());
}

#[test]
fn codes_of_sysexits() {
    let mut server = Server::start(&["anna", "bert"]);
    let message = b"Subject: one\n\nx\n";
    for (arguments, message, code, why) in [
        (&["--account", "nobody"][..], &message[..], 67, "nobody"),
        (&["--account", "anna"], b"", 65, "no message"),
        (&["--account", "anna"], b"From bert Mon Jan  5 10:00:00 2004\n", 65, "no message"),
        // A second account, or a slip in the caller's configuration, must not bounce anybody's mail.
        (&[], message, 75, "--account"),
        (&["--account", "anna", "--mailbox", "a//b"], message, 64, "empty level"),
        (&["--acount", "anna"], message, 75, "--acount"),
        (&["--account", "anna", "--config", "/nowhere"], message, 75, "/nowhere"),
    ] {
        let (found, said) = deliver(&server, arguments, message);
        assert!(found == code && said.contains(why), "{arguments:?}: {found} {said}");
    }
    // Without a server and without a store to open: later, so that nothing is bounced.
    server.stop();
    let held = std::fs::File::open(server.data().join("postern.lock")).unwrap();
    rustix::fs::flock(&held, rustix::fs::FlockOperation::LockExclusive).unwrap();
    let (code, said) = deliver(&server, &["--account", "anna"], message);
    assert!(code == 75 && said.contains("in use"), "{code} {said}");
}

#[test]
fn a_message_that_is_large_or_has_one_long_line() {
    let server = Server::start(&["anna"]);
    let large = [b"Subject: large\n\n".to_vec(), vec![b'x'; 30_000_000]].concat();
    assert_eq!(deliver(&server, &["--account", "anna"], &large).0, 0);
    let line = vec![b'y'; 5_000_000];
    assert_eq!(deliver(&server, &["--account", "anna"], &line).0, 0);
    let all = everything(&server, "anna");
    assert_eq!(all[0].body.len(), "Subject: large\r\n\r\n".len() + 30_000_000);
    assert!(all[1].body.as_bytes() == line);
}

#[test]
fn the_socket_takes_messages_and_nothing_else() {
    let server = Server::start(&["anna"]);
    let path = server.data().join("deliver.sock");
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o666);
    let ask = |line: &str| {
        let mut stream = UnixStream::connect(&path).unwrap();
        writeln!(stream, "{line}").unwrap();
        let mut answer = String::new();
        BufReader::new(stream).read_line(&mut answer).unwrap();
        answer
    };
    assert_eq!(ask("{\"do\":\"account-list\"}"), "", "an order for nobody is none");
    assert_eq!(ask("nonsense"), "");
    // Half a message is none.
    let mut stream = UnixStream::connect(&path).unwrap();
    writeln!(stream, "{{\"account\":\"anna\"}}").unwrap();
    let mut input = BufReader::new(stream.try_clone().unwrap());
    let mut answer = String::new();
    input.read_line(&mut answer).unwrap();
    assert!(answer.contains("\"code\":0"), "{answer}");
    stream.write_all(b"d\x04\0\0\0A: 1").unwrap();
    drop((stream, input));
    assert_eq!(deliver(&server, &["--account", "anna"], b"Subject: whole\n\nx\n").0, 0);
    let all = everything(&server, "anna");
    assert_eq!(all.len(), 1, "{all:?}");
}

#[test]
fn many_at_once() {
    let server = Server::start(&["anna"]);
    std::thread::scope(|scope| {
        for n in 0..24 {
            let server = &server;
            scope.spawn(move || {
                let message = format!("Subject: {n}\n\nx\n");
                assert_eq!(deliver(server, &["--account", "anna"], message.as_bytes()).0, 0);
            });
        }
    });
    assert_eq!(everything(&server, "anna").len(), 24);
}

/// Whoever connects and says nothing, or says for whom and then nothing, holds up nobody else.
#[test]
fn silent_ones_hold_nobody_up() {
    let server = Server::start(&["anna"]);
    let path = server.data().join("deliver.sock");
    let silent: Vec<UnixStream> = (0..40).map(|_| UnixStream::connect(&path).unwrap()).collect();
    assert_eq!(deliver(&server, &["--account", "anna"], b"Subject: whole\n\nx\n").0, 0);
    assert_eq!(everything(&server, "anna").len(), 1);
    // Above what one user may have they are told to come back, at once.
    let more: Vec<UnixStream> = (0..40).map(|_| UnixStream::connect(&path).unwrap()).collect();
    let mut answer = String::new();
    BufReader::new(more.last().unwrap()).read_line(&mut answer).unwrap();
    assert!(answer.contains("\"code\":75"), "{answer}");
    drop((silent, more));
}

#[test]
fn a_message_is_no_larger_than_any_other_may_be() {
    let server = Server::start(&["anna"]);
    let large = [b"Subject: large\n\n".to_vec(), vec![b'x'; 60 * 1024 * 1024]].concat();
    let (code, said) = deliver(&server, &["--account", "anna"], &large);
    assert_eq!(code, 65, "{said}");
    assert!(everything(&server, "anna").is_empty());
}
