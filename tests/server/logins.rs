//! Logging in: what is slowed down, what never is, and how many sessions there may be.

use std::net::{IpAddr, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use crate::harness::{Client, PASSWORD, Server};

/// A device password as it was shown.
fn device(server: &Server, name: &str) -> String {
    let (done, said) = server.command(&["device", "add", name, "--account", "alice"], "");
    assert!(done, "{said}");
    said.lines().find_map(|line| line.strip_prefix("password:")).unwrap().trim().to_owned()
}

fn timed_login(server: &Server, password: &str) -> (String, Duration) {
    let mut client = server.connect();
    let started = Instant::now();
    let status = client.command(&format!("LOGIN alice \"{password}\"")).1;
    (status, started.elapsed())
}

#[test]
fn guessing_is_slowed_down_and_the_owner_is_not() {
    let server = Server::start(&["alice"]);
    let phone = device(&server, "phone");
    let first = timed_login(&server, PASSWORD);
    assert!(first.0.starts_with("OK"));
    let mut waits = Vec::new();
    for _ in 0..6 {
        let (status, took) = timed_login(&server, "wrong password");
        assert!(status.starts_with("NO [AUTHENTICATIONFAILED]"), "{status}");
        waits.push(took);
    }
    assert!(waits[5] > Duration::from_millis(900), "the sixth wrong password waits a second: {waits:?}");
    assert!(waits[0] < Duration::from_millis(900), "people mistype: {waits:?}");
    let (status, took) = timed_login(&server, &phone);
    assert!(status.starts_with("OK") && took < Duration::from_millis(500), "{status} after {took:?}");
    let (status, took) = timed_login(&server, PASSWORD);
    assert!(status.starts_with("OK") && took < Duration::from_millis(500), "{status} after {took:?}");
    // A name that is not there takes as long as a wrong password.
    let mut client = server.connect();
    let started = Instant::now();
    assert!(client.command("LOGIN nobody \"wrong password\"").1.starts_with("NO [AUTHENTICATIONFAILED]"));
    assert!(started.elapsed() > Duration::from_millis(900));
}

#[test]
fn a_phones_tenth_connection_costs_no_hash() {
    let server = Server::start(&["alice"]);
    let first = timed_login(&server, PASSWORD).1;
    let mut later: Vec<Duration> = (0..10).map(|_| timed_login(&server, PASSWORD).1).collect();
    later.sort();
    println!("figure login: the first {first:?}, later ones {:?}", later[5]);
    assert!(later[5] < first / 2 && later[5] < Duration::from_millis(50), "{first:?}, then {later:?}");
}

#[test]
fn a_device_password_may_be_typed_in_any_grouping() {
    let server = Server::start(&["alice"]);
    let shown = device(&server, "phone");
    let plain: String = shown.chars().filter(char::is_ascii_alphanumeric).collect();
    let pairs: Vec<String> =
        plain.as_bytes().chunks(2).map(|pair| String::from_utf8_lossy(pair).into()).collect();
    for typed in
        [shown.clone(), plain.clone(), plain.to_uppercase(), pairs.join(" "), shown.replace('-', " ")]
    {
        assert!(timed_login(&server, &typed).0.starts_with("OK"), "{typed}");
    }
    let mut client = server.connect();
    assert!(client.command(&format!("LOGIN bob {plain}")).1.starts_with("NO [AUTHENTICATIONFAILED]"));
    let other = if plain.starts_with('0') { '1' } else { '0' };
    assert!(timed_login(&server, &format!("{other}{}", &plain[1..])).0.starts_with("NO"));
    assert!(server.command(&["device", "revoke", "phone", "--account", "alice"], "").0);
    assert!(timed_login(&server, &shown).0.starts_with("NO [AUTHENTICATIONFAILED]"));
}

/// A connection from another address of this machine.
fn connect_from(source: [u8; 4], to: SocketAddr) -> Client {
    use rustix::net::{AddressFamily, SocketType, bind, connect, socket};
    let socket = socket(AddressFamily::INET, SocketType::STREAM, None).unwrap();
    bind(&socket, &SocketAddr::from((source, 0))).unwrap();
    connect(&socket, &to).unwrap();
    let mut client = Client::over(TcpStream::from(socket));
    assert!(client.line().starts_with("* OK"));
    client
}

#[test]
fn sessions_have_limits_with_a_reason() {
    let server = Server::start(&["alice", "bob"]);
    let phone = device(&server, "phone");
    let login = |source: [u8; 4], name: &str, password: &str| {
        let mut client = connect_from(source, server.imap);
        let status = client.command(&format!("LOGIN {name} \"{password}\"")).1;
        (client, status)
    };
    let mut open = Vec::new();
    for n in 0..40 {
        let (client, status) = login([127, 0, 0, 9], "alice", &phone);
        assert!(status.starts_with("OK"), "{n}: {status}");
        open.push(client);
    }
    let (mut refused, status) = login([127, 0, 0, 10], "alice", &phone);
    assert!(status.starts_with("NO [LIMIT] 40 sessions with this device's password"), "{status}");
    // It may still log in otherwise, and the device again when one of its sessions is over.
    assert!(refused.command(&format!("LOGIN alice \"{PASSWORD}\"")).1.starts_with("OK"));
    open.pop().unwrap().ok("LOGOUT");
    std::thread::sleep(Duration::from_millis(100));
    open.push(login([127, 0, 0, 9], "alice", &phone).0);
    open.last_mut().unwrap().ok("NOOP");
    open.clear();
    drop(refused);
    std::thread::sleep(Duration::from_millis(200));
    for n in 0..200_u8 {
        let (client, status) = login([127, 0, 0, 11 + n % 2], "alice", PASSWORD);
        assert!(status.starts_with("OK"), "{n}: {status}");
        open.push(client);
    }
    let (_, status) = login([127, 0, 0, 20], "alice", PASSWORD);
    assert!(status.starts_with("NO [LIMIT] 200 sessions with this account's password"), "{status}");
    assert!(login([127, 0, 0, 11], "alice", &phone).1.starts_with("OK"), "a device counts by itself");
    for n in 0..100 {
        let (client, status) = login([127, 0, 0, 11], "bob", PASSWORD);
        assert!(status.starts_with("OK"), "{n}: {status}");
        open.push(client);
    }
    let (_, status) = login([127, 0, 0, 11], "bob", PASSWORD);
    assert!(status.starts_with("NO [LIMIT] 200 sessions from this address"), "{status}");
    assert!(login([127, 0, 0, 21], "bob", PASSWORD).1.starts_with("OK"));
}

#[test]
fn strangers_of_one_address_are_few() {
    let server = Server::start(&["alice"]);
    let mut logged_in = server.login("alice");
    let strangers: Vec<Client> = (0..50).map(|_| server.connect()).collect();
    let mut one_more = Client::open(server.imap);
    assert!(one_more.line().starts_with("* BYE [UNAVAILABLE] too many connections from this address"));
    assert!(one_more.is_closed());
    let mut elsewhere = connect_from([127, 0, 0, 30], server.imap);
    elsewhere.ok(&format!("LOGIN alice \"{PASSWORD}\""));
    logged_in.ok("NOOP");
    drop(strangers);
    std::thread::sleep(Duration::from_millis(200));
    server.login("alice").ok("NOOP");
}

#[test]
fn no_password_is_taken_in_the_clear_from_elsewhere() {
    let Some(address) = if_addrs::get_if_addrs()
        .ok()
        .into_iter()
        .flatten()
        .map(|one| one.ip())
        .find(|ip| matches!(ip, IpAddr::V4(v4) if !v4.is_loopback()))
    else {
        println!("skipped: this machine has no address but loopback");
        return;
    };
    let mut server = Server::start(&["alice"]);
    server.stop();
    server.restart_with(&["--imap", "0.0.0.0:0", "--data", "data"]);
    let log = server.log();
    let ready = log.lines().rfind(|line| line.contains("imap=0.0.0.0:")).unwrap();
    let port =
        ready.split("imap=0.0.0.0:").nth(1).unwrap().split(|c: char| !c.is_ascii_digit()).next().unwrap();
    let mut client = Client::open(SocketAddr::new(address, port.parse().unwrap()));
    let greeting = client.line();
    assert!(greeting.contains(" LOGINDISABLED") && greeting.contains(" STARTTLS"), "{greeting}");
    assert!(!greeting.contains("AUTH=PLAIN"), "{greeting}");
    assert!(client.command(&format!("LOGIN alice \"{PASSWORD}\"")).1.starts_with("NO [PRIVACYREQUIRED]"));
    assert!(client.command("AUTHENTICATE PLAIN").1.starts_with("NO [PRIVACYREQUIRED]"));
    let mut near = server.connect();
    near.ok(&format!("LOGIN alice \"{PASSWORD}\""));
}

#[test]
fn the_hashs_memory_is_given_back() {
    let server = Server::start(&["alice"]);
    let resident = || -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", server.pid())).unwrap();
        let line = status.lines().find(|line| line.starts_with("RssAnon")).unwrap();
        line.split_whitespace().nth(1).unwrap().parse().unwrap()
    };
    let before = resident();
    let _client = server.login("alice");
    let with = resident();
    assert!(with > before + 15 * 1024, "a hash takes 19 MiB: {before} KiB, then {with} KiB");
    let started = Instant::now();
    while resident() > with - 15 * 1024 {
        assert!(
            started.elapsed() < Duration::from_secs(25),
            "{} KiB after {:?}",
            resident(),
            started.elapsed()
        );
        std::thread::sleep(Duration::from_millis(200));
    }
    assert!(started.elapsed() > Duration::from_secs(8), "kept for ten seconds: {:?}", started.elapsed());
}

/// RFC 2971 §3.3: 30 fields, names of 30 bytes and values of 1,024; mail programs send it before they log in.
#[test]
fn the_longest_id_passes_before_login() {
    let server = Server::start(&["alice"]);
    let mut client = server.connect();
    let field = |n: usize| format!("\"{n:030}\" \"{}\"", "v".repeat(1_024));
    let fields = |count: usize| (0..count).map(field).collect::<Vec<_>>().join(" ");
    assert_eq!(client.ok(&format!("ID ({})", fields(30))), ["* ID (\"name\" \"Postern\")"]);
    assert!(client.command(&format!("ID ({})", fields(31))).1.starts_with("BAD"));
    client.ok("NOOP");
}
