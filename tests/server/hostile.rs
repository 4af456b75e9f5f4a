//! Input that no mail client sends: each is answered BAD, NO or BYE, the server lives and stays small.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::{Duration, Instant};

use crate::harness::strict::Wire;
use crate::harness::{Client, PASSWORD, Server};

/// Resident memory in KiB.
fn resident(server: &Server) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", server.pid())).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

/// `tag UID FETCH 1,3,5,…`: about 2 MiB.
fn million_ranges(tag: &str) -> Vec<u8> {
    let mut command = format!("{tag} UID FETCH ").into_bytes();
    let mut uid = 1_u32;
    while command.len() < 2 * 1024 * 1024 - 40 {
        command.extend_from_slice(format!("{uid},").as_bytes());
        uid = (uid + 2) % 999_999;
    }
    command.extend_from_slice(b"1 (UID)\r\n");
    command
}

fn raw(server: &Server) -> Wire<TcpStream> {
    let stream = Wire::connect(server.imap).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    stream
}

/// Everything up to the end of the stream.
fn all(mut stream: impl Read) -> String {
    let mut bytes = Vec::new();
    let _ = stream.read_to_end(&mut bytes);
    String::from_utf8_lossy(&bytes).into_owned()
}

#[test]
fn commands_have_a_limit_that_login_raises() {
    let server = Server::start(&["alice"]);
    let mut client = server.connect();
    let long = "x".repeat(8 * 1024);
    assert!(
        client.command(&format!("LOGIN alice {}", &long[..8_100])).1.starts_with("NO [AUTHENTICATIONFAILED]")
    );
    assert_eq!(client.command(&format!("LOGIN alice {long}")).1, "BAD The command is too long");
    client.ok("NOOP");
    // A literal that waits, one that does not, and one that nobody can read to its end.
    client.send(b"a LOGIN {9000}\r\n");
    assert_eq!(client.line(), "a BAD [TOOBIG] The literal is longer than a command may be");
    client.send(b"b LOGIN {9000+}\r\n");
    client.send(&[b'\n'; 9_000]);
    client.send(b" {3+}\r\nabc x\r\nc NOOP\r\n");
    assert!(client.line().starts_with("b BAD [TOOBIG]"));
    assert!(client.line().starts_with("c OK"));
    client.ok(&format!("LOGIN alice \"{PASSWORD}\""));
    client.append("INBOX", "", b"Subject: x\r\n\r\n");
    client.ok("SELECT INBOX");
    client.send(&million_ranges("d"));
    assert_eq!(client.finish("d"), (vec!["* 1 FETCH (UID 1)".to_owned()], "OK FETCH completed".to_owned()));
    client.send(format!("e SEARCH TEXT \"{}\"\r\n", "y".repeat(2 * 1024 * 1024)).as_bytes());
    assert_eq!(client.finish("e").1, "BAD The command is too long");
    client.ok("NOOP");
    client.send(b"f LOGIN {999999999999+}\r\n");
    assert!(client.line().starts_with("* BYE [TOOBIG]"));
    assert!(client.is_closed());
    let mut client = server.login("alice");
    client.send(b"g APPEND INBOX {99999999999+}\r\n");
    assert!(client.line().starts_with("g NO [TOOBIG]"));
    assert!(client.line().starts_with("* BYE"));
    assert!(client.is_closed());
}

#[test]
fn lines_that_are_no_commands() {
    let server = Server::start(&["alice"]);
    let mut client = server.login("alice");
    client.ok("SELECT INBOX");
    let nested = format!("SEARCH {}ALL{}", "(".repeat(10_000), ")".repeat(10_000));
    assert!(client.command(&nested).1.starts_with("BAD"));
    assert!(client.command("SEARCH CHARSET klingon ALL").1.starts_with("NO [BADCHARSET"));
    assert!(client.command("NO\0OP").1.starts_with("BAD"));
    assert!(client.command("SELECT \"a\0b\"").1.starts_with("NO"), "no mailbox has a NUL in its name");
    assert!(client.command("LOGIN alice x").1.starts_with("BAD"));
    for (bytes, reply) in [
        (&b"+x NOOP\r\n"[..], "* BAD"),
        (b"\xff\xfe NOOP\r\n", "* BAD"),
        (b"(a NOOP\r\n", "* BAD"),
        (b"a\tNOOP\r\n", "a BAD"),
        (b"NOOP\r\n", "NOOP BAD"),
        (b"{5}\r\n", "* BAD"),
        (b"h NOOP\n", "h OK"),
        (b"\r\n\n\r\ni NOOP\r\n", "i OK"),
        (b"j SELECT {3}x\r\n", "j BAD"),
        (b"k SELECT {x}\r\n", "k BAD"),
        (b"l NOOP {3+}\r\nabc\r\n", "l BAD"),
    ] {
        client.send(bytes);
        let line = client.line();
        assert!(line.starts_with(reply), "{:?}: {line}", String::from_utf8_lossy(bytes));
    }
    client.ok("NOOP");
    for _ in 0..60 {
        client.try_send(b"x FROBNICATE\r\n");
    }
    assert!((0..60).any(|_| client.response().is_none_or(|line| line.starts_with(b"* BYE"))));
    assert!(client.is_closed());
}

#[test]
fn a_literal_too_long_to_be_a_number_ends_the_connection() {
    let server = Server::start(&["alice"]);
    let mut client = server.connect();
    client.send(b"a LOGIN {99999999999999999999}\r\n");
    assert!(client.line().starts_with("a BAD"));
    assert!(client.line().starts_with("* BYE"));
    assert!(client.is_closed());
    // The bytes of a literal behind a line that is too long are not taken for commands.
    let mut client = server.connect();
    client.send(format!("b LOGIN {} {{8+}}\r\nc NOOP\r\n\r\n", "x".repeat(35_000)).as_bytes());
    assert!(client.line().starts_with("b BAD"));
    let rest: Vec<String> = std::iter::from_fn(|| client.response())
        .map(|line| String::from_utf8_lossy(&line).into_owned())
        .collect();
    assert!(rest.iter().any(|line| line.starts_with("* BYE")), "{rest:?}");
    assert!(!rest.iter().any(|line| line.starts_with("c ")), "{rest:?}");
}

#[test]
fn nothing_may_follow_starttls() {
    let server = Server::start(&["alice"]);
    let mut stream = raw(&server);
    stream.write_all(b"a STARTTLS\r\nb LOGIN alice \"correct horse\"\r\n").unwrap();
    let said = all(stream);
    assert!(said.contains("\r\na BAD ") && said.contains("\r\n* BYE ") && !said.contains("\r\nb "), "{said}");
    // TLS that is none, on both ports.
    let mut stream = raw(&server);
    stream.write_all(b"a STARTTLS\r\n").unwrap();
    std::thread::sleep(Duration::from_millis(100));
    stream.write_all(b"b LOGIN alice \"correct horse\"\r\nc NOOP\r\n").unwrap();
    assert!(!all(stream).contains("\r\nb "));
    for garbage in
        [&b"a LOGIN alice x\r\n"[..], &[0; 5_000], b"\x16\x03\x01\xff\xff", b"GET / HTTP/1.1\r\n\r\n"]
    {
        let mut stream = TcpStream::connect(server.imaps).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        let _ = stream.write_all(garbage);
        let _ = stream.shutdown(Shutdown::Write);
        assert!(!all(stream).contains("OK"));
    }
    server.login("alice").ok("NOOP");
}

#[test]
fn a_half_closed_connection_is_served_to_its_end() {
    let server = Server::start(&["alice"]);
    let mut stream = raw(&server);
    let commands = format!("a LOGIN alice \"{PASSWORD}\"\r\nb SELECT INBOX\r\nc SEARCH ALL\r\nd IDLE\r\n");
    stream.write_all(commands.as_bytes()).unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    let said = all(stream);
    assert!(said.contains("\r\na OK") && said.contains("\r\nb OK") && said.contains("\r\nc OK"), "{said}");
}

/// Fifty clients that each send as much as they may and finish nothing, and fifty that send sets of a million
/// ranges at the same time: the server needs memory for few of them, gives it back, and serves others meanwhile.
#[test]
fn fifty_hostile_clients_need_little_memory() {
    let server = Server::start(&["alice"]);
    let mut honest = server.login("alice");
    honest.append("INBOX", "", b"Subject: x\r\n\r\n");
    honest.ok("SELECT INBOX");
    let before = resident(&server);
    let mut strangers: Vec<Wire<TcpStream>> = Vec::new();
    for n in 0..40 {
        let mut stream = raw(&server);
        let _ = stream.write_all(if n % 2 == 0 { b"a LOGIN {8000}\r\n" } else { b"a " });
        let _ = stream.write_all(&[b'x'; 7_900]);
        strangers.push(stream);
    }
    std::thread::sleep(Duration::from_millis(300));
    let waiting = resident(&server);
    drop(strangers);
    std::thread::sleep(Duration::from_millis(300));
    let mut peak = 0;
    std::thread::scope(|scope| {
        let attacks: Vec<_> = (0..50)
            .map(|_| {
                let mut client = server.login("alice");
                scope.spawn(move || {
                    client.ok("EXAMINE INBOX");
                    let command = million_ranges("m");
                    client.send(&command);
                    assert_eq!(client.finish("m").1, "OK FETCH completed");
                })
            })
            .collect();
        while !attacks.iter().all(|attack| attack.is_finished()) {
            peak = peak.max(resident(&server));
            let asked = Instant::now();
            honest.ok("NOOP");
            assert!(asked.elapsed() < Duration::from_secs(5), "others wait {:?}", asked.elapsed());
            std::thread::sleep(Duration::from_millis(20));
        }
    });
    println!(
        "figure 50 hostile clients: {before} KiB before, {waiting} KiB with 40 strangers, {peak} KiB at most"
    );
    assert!(waiting < before + 4 * 1024, "{waiting} KiB for strangers, {before} KiB before");
    assert!(peak < before + 60 * 1024, "{peak} KiB at most, {before} KiB before");
    // A line without end is thrown away as it comes, and ends the connection at last.
    let mut endless: Client = server.login("alice");
    let mut most = 0;
    for _ in 0..80 {
        if !endless.try_send(&[b'x'; 1024 * 1024]) {
            break;
        }
        most = most.max(resident(&server));
    }
    assert!(most < before + 120 * 1024, "{most} KiB for an endless line");
    assert!(endless.is_closed());
    honest.ok("NOOP");
}
