//! What can be sent: many messages at once, half of each, and what must be thrown away.

use std::time::Duration;

use crate::harness::{Client, Server};
use crate::{RESIDENT_MANY_MIB, attacked, attacked_within};

pub fn all(server: &Server) {
    server.login("mallory").ok("CREATE sent");
    attacked("APPEND of 800,000 messages of 7 bytes", server, |server| {
        let mut client = server.login("mallory");
        let mut text = "x APPEND sent {7+}\r\na: b\r\n\r".to_owned();
        for _ in 0..800_000 {
            text.push_str(" {7+}\r\na: b\r\n\r");
        }
        client.try_send(text.as_bytes());
        client.try_send(b"\r\n");
        assert!(client.finish("x").1.starts_with("NO [LIMIT]"));
    });
    attacked_within(RESIDENT_MANY_MIB, "190 half sent APPENDs of 600 KB", server, |server| {
        let _half = half_sent(server, 190, 1_200_000, 600_000);
        std::thread::sleep(Duration::from_secs(1));
    });
    attacked("20 APPENDs of 20 MB at once", server, |server| {
        let body = noise(20_000_000);
        std::thread::scope(|scope| {
            for n in 0..20 {
                let body = &body;
                scope.spawn(move || {
                    let mut client = server.login("mallory");
                    let message = [format!("Subject: {n}\r\n\r\n").as_bytes(), body].concat();
                    client.wait_longer();
                    client.append("sent", "", &message);
                });
            }
        });
    });
    attacked("a refused literal and then a line without end, byte by byte", server, |server| {
        let mut client = server.login("mallory");
        client.send(b"x NOOP {3000000+}\r\n");
        client.send(&vec![b'x'; 3_000_000]);
        for _ in 0..20_000 {
            client.send(b"y");
        }
        client.send(b"\r\nz NOOP\r\n");
        assert!(client.finish("z").1.starts_with("OK"));
    });
}

/// Sessions that have sent a part of a message each.
fn half_sent(server: &Server, sessions: usize, announced: usize, sent: usize) -> Vec<Client> {
    let body = noise(sent);
    let mut clients = Vec::new();
    for n in 0..sessions {
        let mut client = server.login("mallory");
        let head = format!("Subject: {n}\r\n\r\n");
        client.send(format!("x APPEND sent {{{announced}+}}\r\n{head}").as_bytes());
        client.send(&body[head.len()..]);
        clients.push(client);
    }
    clients
}

/// Bytes that cannot be compressed.
fn noise(length: usize) -> Vec<u8> {
    let mut state = 1_u64;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    let mut bytes: Vec<u8> = (0..length / 8 + 1).flat_map(|_| next().to_le_bytes()).collect();
    bytes.iter_mut().for_each(|byte| *byte |= 0x20);
    bytes.truncate(length);
    bytes
}
