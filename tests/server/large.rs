//! Large messages against the real binary: memory while they come in and go out, and connections that are cut.

use std::io::Write;

use crate::harness::Server;

/// Nearly the limit of a message.
const LARGE: usize = 50_000_000;
/// What a message of any size may add to the resident memory, in KiB.
const MARK: u64 = 8 << 10;

/// A line of `/proc/PID/status`, in KiB.
pub fn status(pid: u32, name: &str) -> u64 {
    let text = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = text.lines().find(|line| line.starts_with(name)).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

/// How much more than before was resident at the peak of `work`; `None` where the peak cannot be reset.
pub fn peak_of(pid: u32, work: impl FnOnce()) -> Option<u64> {
    let reset = std::fs::OpenOptions::new().write(true).open(format!("/proc/{pid}/clear_refs"));
    let reset = reset.and_then(|mut file| file.write_all(b"5")).is_ok();
    let before = status(pid, "VmRSS:");
    work();
    reset.then(|| status(pid, "VmHWM:").saturating_sub(before))
}

/// A message with an attachment that cannot be compressed well: `size` bytes of base64-like lines.
fn message(size: usize, seed: u64) -> Vec<u8> {
    let mut out = b"From: a@example.org\r\nSubject: large\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n\
        --b\r\n\r\nText\r\n--b\r\nContent-Type: application/octet-stream\r\nContent-Transfer-Encoding: base64\r\n\r\n"
        .to_vec();
    let mut state = seed;
    while out.len() < size - 100 {
        for _ in 0..76 {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let digits = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
            out.push(digits[(state >> 58) as usize]);
        }
        out.extend_from_slice(b"\r\n");
    }
    out.extend_from_slice(b"--b--\r\n");
    out
}

#[test]
fn a_large_message_needs_little_memory() {
    let server = Server::start(&["alice"]);
    let mut client = server.login("alice");
    // The caches, which have a budget of their own, are filled first.
    for seed in 0..3 {
        client.append("Drafts", "", &message(6_000_000, seed));
    }
    client.ok("SELECT Drafts");
    client.ok("FETCH 1:* (BODY.PEEK[] BINARY.SIZE[2])");
    let large = message(LARGE, 99);
    let pid = server.pid();
    let appended = peak_of(pid, || {
        client.append("INBOX", "\\Seen", &large);
    });
    client.ok("SELECT INBOX");
    let mut checked = |item: &str, wanted: &[u8]| {
        peak_of(pid, || {
            client.send(format!("f FETCH 1 (UID {item})\r\n").as_bytes());
            let response = client.response().unwrap();
            // Compared where it lies: the prefix names the item, and a parenthesis ends it.
            let body = &response[response.len() - 1 - wanted.len()..response.len() - 1];
            assert!(body == wanted, "{item} is not what was appended");
            assert!(client.response().unwrap().starts_with(b"f OK"));
        })
    };
    let fetched = checked("BODY.PEEK[]", &large);
    let partial = checked("BODY.PEEK[]<40000000.5000000>", &large[40_000_000..45_000_000]);
    let flat: Vec<u8> = large[large.windows(4).rposition(|four| four == b"\r\n\r\n").unwrap() + 4..]
        .strip_suffix(b"\r\n--b--\r\n")
        .unwrap()
        .iter()
        .copied()
        .filter(|byte| !byte.is_ascii_whitespace())
        .collect();
    let decoded = {
        use base64::Engine;
        let whole = flat.len() / 4 * 4;
        base64::engine::general_purpose::STANDARD.decode(&flat[..whole]).unwrap()
    };
    let binary = checked("BINARY.PEEK[2]", &decoded);
    println!(
        "figure 50 MB, KiB above what was resident: APPEND {appended:?}, FETCH {fetched:?}, a part of it {partial:?}, BINARY {binary:?}"
    );
    for (what, used) in [("APPEND", appended), ("FETCH", fetched), ("partial", partial), ("BINARY", binary)] {
        assert!(used.is_none_or(|used| used < MARK), "{what} of 50 MB needed {used:?} KiB");
    }
}

#[test]
fn a_connection_that_is_cut_leaves_nothing() {
    let server = Server::start(&["alice"]);
    let large = message(4_000_000, 7);
    for cut in [0, 1, 100_000, large.len() - 1] {
        let mut client = server.login("alice");
        client.send(format!("a APPEND INBOX {{{}+}}\r\n", large.len()).as_bytes());
        client.send(&large[..cut]);
    }
    // One of several came whole, and the next, or only the end of the command, did not.
    for rest in [&b" {5000+}\r\nSubject: second\r\n"[..], b" {50", b""] {
        let mut client = server.login("alice");
        client.send(format!("a APPEND INBOX {{{}+}}\r\n", large.len()).as_bytes());
        client.send(&large);
        client.send(rest);
    }
    let mut client = server.login("alice");
    // The last of them has been noticed when a full APPEND behind it is answered.
    client.append("Drafts", "", &large);
    assert_eq!(client.ok("STATUS INBOX (MESSAGES UIDNEXT)"), ["* STATUS INBOX (MESSAGES 0 UIDNEXT 1)"]);
    client.append("INBOX", "", &large);
    assert_eq!(client.ok("STATUS INBOX (MESSAGES)"), ["* STATUS INBOX (MESSAGES 1)"]);
    client.ok("SELECT INBOX");
    client.send(b"f FETCH 1 BODY.PEEK[]\r\n");
    let response = client.response().unwrap();
    assert!(response[..response.len() - 1].ends_with(&large));
}
