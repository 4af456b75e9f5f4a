//! IDLE: told at once, and a sign of life in silence.

use std::time::{Duration, Instant};

use postern::imap::Timeouts;

use crate::harness::{Client, PASSWORD, Server};
use crate::in_process::InProcess;

#[test]
fn twenty_idling_sessions_are_told_at_once() {
    let server = Server::start(&["alice"]);
    let mut writer = server.login("alice");
    let mut idlers: Vec<Client> = (0..20)
        .map(|_| {
            let mut client = server.login("alice");
            client.ok("SELECT INBOX");
            client.send(b"i IDLE\r\n");
            assert!(client.line().starts_with("+ "));
            client
        })
        .collect();
    let mut worst = Vec::new();
    for n in 1..=20_u32 {
        writer.append("INBOX", "", format!("Subject: {n}\r\n\r\n").as_bytes());
        let stored = Instant::now();
        for client in &mut idlers {
            assert_eq!(client.line(), format!("* {n} EXISTS"));
            assert!(client.line().ends_with(" RECENT"));
        }
        worst.push(stored.elapsed());
    }
    worst.sort();
    println!(
        "figure 20 idling sessions told of a message within {:?} (half), {:?} (all)",
        worst[10], worst[19]
    );
    assert!(worst[10] < Duration::from_millis(200), "{worst:?}");
}

/// In this process, so that fifteen minutes can be short.
#[test]
fn silence_is_broken_by_a_sign_of_life() {
    let silence = Duration::from_millis(600);
    let server = InProcess::start(Timeouts { sign_of_life: silence, ..Timeouts::default() });
    let mut client = server.connect();
    client.ok(&format!("LOGIN alice \"{PASSWORD}\""));
    client.ok("SELECT INBOX");
    let mut other = server.connect();
    other.ok(&format!("LOGIN alice \"{PASSWORD}\""));
    client.send(b"i IDLE\r\n");
    assert!(client.line().starts_with("+ "));
    // News are no silence: the sign comes so long after them.
    std::thread::sleep(silence / 2);
    other.append("INBOX", "", b"Subject: x\r\n\r\n");
    let told = Instant::now();
    assert_eq!(client.line(), "* 1 EXISTS");
    assert!(client.line().ends_with(" RECENT"));
    for n in 1..=3_u32 {
        assert_eq!(client.line(), "* OK Postern is here");
        assert!(told.elapsed() >= silence * n * 9 / 10, "{n}: {:?}", told.elapsed());
    }
    client.send(b"DONE\r\n");
    assert_eq!(client.line(), "i OK IDLE completed");
}
