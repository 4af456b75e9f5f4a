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
