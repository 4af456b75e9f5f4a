//! Sets of UIDs as long as a command may be, from a real connection: what they mean, and the memory that they take.

use std::io::Write;
use std::net::TcpStream;
use std::time::Duration;

use crate::harness::strict::Wire;
use crate::harness::{Client, PASSWORD, Server};
use crate::large::{peak_of, status};

/// As long as a command may be, but for what stands around the set.
const LENGTH: usize = 2 * 1024 * 1024 - 200;

/// `1,3,5,…` or `1,2,3,…`, 2 MiB of it.
fn long_set(step: u32) -> String {
    let mut set = String::with_capacity(LENGTH);
    let mut uid = 1_u32;
    while set.len() < LENGTH - 8 {
        set.push_str(&uid.to_string());
        set.push(',');
        uid += step;
    }
    set.push('1');
    set
}

fn mailbox(server: &Server) -> Client {
    let mut client = server.login("alice");
    for n in 1..=6 {
        client.append("INBOX", "", format!("Subject: {n}\r\n\r\nx\r\n").as_bytes());
    }
    client.ok("CREATE other");
    client.ok("ENABLE QRESYNC");
    client.ok("SELECT INBOX");
    client
}

#[test]
fn two_megabytes_of_uids_mean_what_they_say() {
    let server = Server::start(&["alice"]);
    let mut client = mailbox(&server);
    let odd = long_set(2);
    let uids = |lines: Vec<String>| -> Vec<String> {
        lines.into_iter().map(|line| line.split(" FETCH ").next().unwrap().to_owned()).collect()
    };
    assert_eq!(uids(client.ok(&format!("UID FETCH {odd} (UID)"))), ["* 1", "* 3", "* 5"]);
    assert_eq!(uids(client.ok(&format!("UID STORE {odd} +FLAGS (\\Deleted)"))), ["* 1", "* 3", "* 5"]);
    assert_eq!(
        client.ok(&format!("UID SEARCH RETURN (ALL) NOT UID {odd}"))[0].split("ALL ").nth(1),
        Some("2,4,6")
    );
    let found = client.ok(&format!("SEARCH RETURN (ALL) OR UID {odd} SUBJECT 4"));
    assert_eq!(found[0].split("ALL ").nth(1), Some("1,3:5"));
    let copied = client.ok(&format!("UID COPY {odd} other")).len();
    assert_eq!(copied, 0);
    assert_eq!(client.ok("STATUS other (MESSAGES)"), ["* STATUS \"other\" (MESSAGES 3)"]);
    // By number it is the client's error to name what is not there, however the set is written.
    assert!(client.command(&format!("FETCH {odd} (UID)")).1.starts_with("BAD There is no message"));
    assert!(client.command(&format!("UID FETCH {odd},0 (UID)")).1.starts_with("BAD Numbers begin at 1"));
    assert!(client.command(&format!("UID FETCH {odd}, (UID)")).1.starts_with("BAD A number is missing"));
    let known = client.ok("STATUS INBOX (UIDVALIDITY HIGHESTMODSEQ)");
    let known: Vec<&str> =
        known[0].split(|char: char| !char.is_ascii_digit()).filter(|part| !part.is_empty()).collect();
    let known = known.join(" ");
    assert!(client.ok(&format!("UID EXPUNGE {odd}"))[0].starts_with("* VANISHED 1,3,5"));
    assert_eq!(client.ok("UID SEARCH RETURN (ALL) ALL")[0].split("ALL ").nth(1), Some("2,4,6"));
    // What it knew of the mailbox, of which three are gone (RFC 7162 §3.2.5).
    let opened = client.ok(&format!("SELECT INBOX (QRESYNC ({known} {odd}))"));
    assert!(opened.iter().any(|line| line == "* VANISHED (EARLIER) 1,3,5"), "{opened:?}");
}

#[test]
fn a_long_set_takes_the_memory_of_its_ranges() {
    let server = Server::start(&["alice"]);
    let mut client = mailbox(&server);
    client.ok("UID FETCH 1:* (UID)");
    let anonymous = status(server.pid(), "RssAnon:");
    let (run, odd) = (long_set(1), long_set(2));
    let mut peak = |command: String, status: &str| {
        let used = peak_of(server.pid(), || assert!(client.command(&command).1.starts_with(status)));
        assert!(used.is_none_or(|used| used < 24 * 1024), "{used:?} KiB");
        used
    };
    let of_run = peak(format!("UID FETCH {run} (UID)"), "OK");
    let of_odd = peak(format!("UID FETCH {odd} (UID)"), "OK");
    let of_text = peak(format!("SEARCH TEXT \"{}\"", "y".repeat(LENGTH)), "NO [LIMIT] A search string");
    let again = peak(format!("UID FETCH {run} (UID)"), "OK");
    println!(
        "figure 2 MiB in one command, KiB at its peak above what was resident: a set of one range {of_run:?}, one of \
         300,000 ranges {of_odd:?}, a string {of_text:?}; RssAnon {anonymous} before, {} after",
        status(server.pid(), "RssAnon:")
    );
    for used in [of_run, again] {
        assert!(used.is_none_or(|used| used < 1024), "{used:?} KiB for a set that is one range");
    }
}

/// Large commands take turns; a set that is few ranges is none, and need not wait until those who stall are done.
#[test]
fn a_long_set_waits_for_nobody() {
    let server = Server::start(&["alice"]);
    let mut client = mailbox(&server);
    let mut stalled: Vec<Wire<TcpStream>> = Vec::new();
    for n in 0..8 {
        let mut stream = Wire::connect(server.imap).unwrap();
        write!(stream, "a LOGIN alice \"{PASSWORD}\"\r\nb EXAMINE INBOX\r\nc ").unwrap();
        let text = if n % 2 == 0 {
            "SEARCH TEXT \"".to_owned() + &"y".repeat(200_000)
        } else {
            "UID FETCH ".to_owned() + &long_set(2)[..200_000]
        };
        stream.write_all(text.as_bytes()).unwrap();
        stalled.push(stream);
    }
    std::thread::sleep(Duration::from_millis(300));
    let run = long_set(1);
    // Sooner than the stalled ones are given up: a minute; the client waits for 20 seconds.
    assert_eq!(client.ok(&format!("UID FETCH {run} (UID)")).len(), 6);
    // When they are gone, those that waited have their turn.
    drop(stalled);
    assert_eq!(client.ok(&format!("UID FETCH {} (UID)", long_set(2))).len(), 3);
}

/// Names may be many, and wildcards as many as 8 KiB hold.
#[test]
fn hundreds_of_patterns() {
    let server = Server::start(&["alice"]);
    let mut client = server.login("alice");
    for (count, name) in
        [(99, "none%"), (101, "none*"), (900, "n%"), (101, &"long/".repeat(40)), (900, "none/none")]
    {
        let patterns: Vec<String> = (0..count).map(|n| format!("{name}{n}")).chain(["INB%".into()]).collect();
        let found = client.ok(&format!("LIST \"\" ({})", patterns.join(" ")));
        assert_eq!(found.len(), 1, "{count}: {found:?}");
        assert!(found[0].ends_with("\"/\" INBOX"), "{found:?}");
    }
}
