//! What one who may log in can do to others.

use std::time::Duration;

use crate::attacked;
use crate::harness::{Client, Server};

pub fn all(server: &Server) {
    let mut first = server.login("mallory");
    first.append("INBOX", "", &nested(40));
    first.append("INBOX", "", b"Subject: short\r\n\r\nshort\r\n");
    fetches(server);
    flags(server);
    patterns(server, &mut first);
    paths(server);
    large(server, &mut first);
    searches(server);
    parts(server);
    fields(server);
}

fn selected(server: &Server) -> Client {
    let mut client = server.login("mallory");
    client.ok("SELECT INBOX");
    client
}

/// Runs a command in two sessions at once, each so often; gives the last answer.
fn twice(server: &Server, command: &str, times: usize) -> String {
    let mut clients = [selected(server), selected(server)];
    std::thread::scope(|scope| {
        let workers = clients.each_mut().map(|client| {
            scope.spawn(move || {
                let mut last = String::new();
                for _ in 0..times {
                    last = client.command(command).1;
                }
                last
            })
        });
        workers.map(|worker| worker.join().unwrap())[0].clone()
    })
}

fn fetches(server: &Server) {
    for (count, wanted) in [(990, "OK"), (20_000, "BAD"), (100_000, "BAD")] {
        let items: Vec<String> = (0..count).map(|n| format!("BODY.PEEK[]<{n}.1>")).collect();
        let command = format!("UID FETCH 1:* ({})", items.join(" "));
        attacked(&format!("UID FETCH of {count} partials in two sessions"), server, |server| {
            assert!(twice(server, &command, 10).starts_with(wanted));
        });
    }
}

fn flags(server: &Server) {
    for (count, wanted) in [(900, "NO"), (120_000, "BAD")] {
        let words: Vec<String> = (0..count).map(|n| format!("k{n}")).collect();
        let command = format!("STORE 1 +FLAGS ({})", words.join(" "));
        attacked(&format!("STORE of {count} keywords in two sessions"), server, |server| {
            let answer = twice(server, &command, 10);
            assert!(answer.starts_with(wanted), "{answer}");
        });
    }
}

fn patterns(server: &Server, client: &mut Client) {
    for n in 0..100 {
        client.ok(&format!("CREATE \"{n:03}{}\"", "ab".repeat(400)));
    }
    for (length, wanted) in [(80, "OK"), (2_000, "BAD")] {
        let words: Vec<String> =
            (0..100).map(|n| format!("\"{}{n}\"", "a%b*".repeat(length / 4 - 1))).collect();
        let command = format!("LIST \"\" ({})", words.join(" "));
        attacked(&format!("LIST of 100 patterns of {length} characters in two sessions"), server, |server| {
            let answer = twice(server, &command, 20);
            assert!(answer.starts_with(wanted), "{answer}");
        });
    }
}

/// A message of some 30 MB.
fn large(server: &Server, client: &mut Client) {
    client.ok("CREATE large");
    let line = "what is looked for is not in here, in none of these lines\r\n";
    let message = format!("Subject: large\r\n\r\n{}", line.repeat(30_000_000 / line.len()));
    attacked("APPEND of 30 MB", server, |_| drop(client.append("large", "", message.as_bytes())));
}

/// Sends a command in so many sessions, which hang up after a while without having read the answer.
fn abandoned(server: &Server, sessions: usize, mailbox: &str, command: &str) {
    let mut clients: Vec<Client> = (0..sessions).map(|_| server.login("mallory")).collect();
    for client in &mut clients {
        client.ok(&format!("SELECT {mailbox}"));
        client.send(format!("x {command}\r\n").as_bytes());
    }
    std::thread::sleep(Duration::from_secs(2));
}

fn searches(server: &Server) {
    let texts: Vec<String> = (0..200).map(|n| format!("NOT TEXT q{n}")).collect();
    let runs: Vec<String> = (1..300).map(|length| format!("NOT BODY {}", "=".repeat(length))).collect();
    let sets: Vec<String> = (1..5_000).map(|n| format!("NOT UID {n}:{}", n * 2)).collect();
    for (name, mailbox, keys) in [
        ("200 strings in 30 MB", "large", texts.join(" ")),
        ("300 strings that are in each other in 30 MB", "large", runs.join(" ")),
        ("5,000 sets", "INBOX", sets.join(" ")),
    ] {
        attacked(&format!("SEARCH of {name} in four sessions that hang up"), server, |server| {
            abandoned(server, 4, mailbox, &format!("SEARCH {keys}"));
        });
    }
    // What is asked for is found all the same.
    let mut client = server.login("mallory");
    client.ok("SELECT large");
    let found = client.ok(&format!("SEARCH {} TEXT \"none of these\"", texts.join(" ")));
    assert_eq!(found, ["* SEARCH 1"]);
    let found = client.ok("SEARCH BODY \"all of these\"");
    assert_eq!(found, ["* SEARCH"]);
}

/// Messages of 10,000 parts, of which a part is asked for that is not there.
fn parts(server: &Server) {
    let mut client = server.login("mallory");
    client.ok("CREATE parts");
    let parts = "--b\r\n\r\nx\r\n".repeat(9_000);
    for n in 0..20 {
        let message =
            format!("Subject: {n}\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n{parts}--b--\r\n");
        client.append("parts", "", message.as_bytes());
    }
    let items: Vec<String> = (0..900).map(|n| format!("BODY.PEEK[9999]<{n}.1>")).collect();
    for (name, items) in [
        ("a part that is not there", "(BODY.PEEK[9999]<0.1>)".to_owned()),
        ("900 parts that are not there", format!("({})", items.join(" "))),
        ("the structure", "(BODYSTRUCTURE)".to_owned()),
    ] {
        attacked(&format!("FETCH of {name} of 9,000 in eight sessions that hang up"), server, |server| {
            abandoned(server, 8, "parts", &format!("FETCH 1:* {items}"));
        });
    }
}

/// A header of a great many fields, of which many are asked for, again and again.
fn fields(server: &Server) {
    let mut client = server.login("mallory");
    client.ok("CREATE fields");
    let header: String = (0..30_000).map(|n| format!("a{}: x\r\n", n % 1_000)).collect();
    for _ in 0..5 {
        client.append("fields", "", format!("{header}\r\nx\r\n").as_bytes());
    }
    let names: Vec<String> = (0..990).map(|n| format!("b{n}")).collect();
    let items: Vec<String> =
        (0..100).map(|n| format!("BODY.PEEK[HEADER.FIELDS ({})]<{n}.1>", names.join(" "))).collect();
    attacked(
        "FETCH of 100 times 990 header fields of 30,000 in four sessions that hang up",
        server,
        |server| {
            abandoned(server, 4, "fields", &format!("FETCH 1:* ({})", items.join(" ")));
        },
    );
    let keys: Vec<String> = (0..900).map(|n| format!("NOT HEADER a1 never{n}")).collect();
    attacked("SEARCH of 900 header fields in four sessions that hang up", server, |server| {
        abandoned(server, 4, "fields", &format!("SEARCH {}", keys.join(" ")));
    });
}

/// A message in a message in a message.
fn nested(depth: usize) -> Vec<u8> {
    let mut message = String::new();
    for _ in 0..depth {
        message.push_str("Content-Type: message/rfc822\r\n\r\n");
    }
    (message + "Subject: innermost\r\n\r\nfound\r\n").into_bytes()
}

fn paths(server: &Server) {
    for depth in [38, 41] {
        let path = vec!["1"; depth].join(".");
        attacked(&format!("FETCH of part 1, {depth} deep, in messages in messages"), server, |server| {
            let mut client = selected(server);
            let (told, status) = client.command(&format!("FETCH 1 (BODY.PEEK[{path}])"));
            assert!(status.starts_with("OK"), "{status}");
            assert!(told.iter().any(|line| line.contains("found")), "{told:?}");
            std::thread::sleep(Duration::from_millis(300));
        });
    }
}
