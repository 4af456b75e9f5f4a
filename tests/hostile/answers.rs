//! Answers that are long, asked for by sessions that read nothing: what is not read is not written, and not held either.

use std::time::Duration;

use crate::attacked;
use crate::harness::{Client, Server};

/// Names of an account, each of some 900 bytes.
const NAMES: usize = 3_000;
/// Sessions that ask.
const SESSIONS: usize = 30;
/// 2 to this are the messages of the large mailbox.
const DOUBLED: usize = 17;

pub fn all(server: &Server) {
    names(server);
    let mut owner = large(server);
    unread(server, "UID SEARCH ALL", "gaps", true);
    unread(server, "FETCH 1:* (FLAGS UID)", "gaps", true);
    gone(server, &mut owner);
}

/// Sessions that send a command many times and read nothing of it; then they hang up.
fn unread(server: &Server, command: &str, account: &str, selects: bool) {
    attacked(&format!("{command} in {SESSIONS} sessions that read nothing"), server, |server| {
        let asking: Vec<Client> = (0..SESSIONS)
            .map(|_| {
                let mut client = server.login(account);
                if selects {
                    client.ok("SELECT Large");
                }
                for n in 0..20 {
                    client.send(format!("q{n} {command}\r\n").as_bytes());
                }
                client
            })
            .collect();
        std::thread::sleep(Duration::from_secs(2));
        drop(asking);
    });
}

fn names(server: &Server) {
    let mut client = server.login("lists");
    for n in 0..NAMES {
        client.ok(&format!("CREATE {n:05}{}", "x".repeat(900)));
    }
    unread(server, "LIST \"\" *", "lists", false);
    unread(server, "LSUB \"\" *", "lists", false);
}

/// A mailbox of many messages, every second of which is marked as deleted.
fn large(server: &Server) -> Client {
    let mut client = server.login("gaps");
    client.wait_longer();
    client.ok("CREATE Large");
    client.append("Large", "\\Deleted", b"Subject: odd\r\n\r\nx\r\n");
    client.append("Large", "", b"Subject: even\r\n\r\nx\r\n");
    client.ok("SELECT Large");
    for _ in 1..DOUBLED {
        client.ok("COPY 1:* Large");
    }
    client
}

/// Half of the messages go while others have the mailbox open, and each is told of each.
fn gone(server: &Server, owner: &mut Client) {
    let mut open: Vec<Client> = (0..SESSIONS)
        .map(|_| {
            let mut client = server.login("gaps");
            client.wait_longer();
            client.ok("SELECT Large");
            client
        })
        .collect();
    attacked(&format!("{} expunges told to {SESSIONS} sessions", (1 << DOUBLED) / 2), server, |_| {
        owner.ok("EXPUNGE");
        for client in &mut open {
            client.send(b"n NOOP\r\n");
        }
        std::thread::sleep(Duration::from_secs(2));
        for client in &mut open {
            let (told, status) = client.finish("n");
            assert!(status.starts_with("OK"), "{status}");
            assert_eq!(told.iter().filter(|line| line.ends_with(" EXPUNGE")).count(), (1 << DOUBLED) / 2);
        }
    });
}
