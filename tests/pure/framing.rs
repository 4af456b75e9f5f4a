//! The same bytes give the same events, wherever a packet ends.

use postern::protocol::framing::{Event, Framer};

/// What a session does with each literal.
#[derive(Clone, Copy)]
enum Way {
    Accept,
    Refuse,
    Stream,
}

/// Runs a client's bytes, cut into these packets; gives what was framed. Literals of APPEND are streamed, those
/// over 100 bytes refused, others accepted.
fn framed(packets: &[&[u8]]) -> Vec<String> {
    let (mut framer, mut seen, mut streamed) = (Framer::new(), Vec::new(), Vec::new());
    for packet in packets {
        framer.push(packet);
        loop {
            let bytes = framer.take(usize::MAX);
            streamed.extend_from_slice(&bytes);
            if framer.left() == 0 && !streamed.is_empty() {
                seen.push(format!("streamed {:?}", String::from_utf8_lossy(&std::mem::take(&mut streamed))));
            }
            let Some(event) = framer.next_event() else { break };
            if let Event::Literal(head) = &event {
                match way(&head.so_far, head.len) {
                    Way::Accept => assert!(framer.accept()),
                    Way::Refuse => assert!(framer.refuse()),
                    Way::Stream => framer.stream(),
                }
            }
            seen.push(format!("{event:?}"));
        }
    }
    seen
}

fn way(so_far: &[u8], len: u64) -> Way {
    match so_far {
        _ if so_far.windows(6).any(|word| word == b"APPEND") => Way::Stream,
        _ if so_far.starts_with(b" (") => Way::Stream,
        _ if len > 100 => Way::Refuse,
        _ => Way::Accept,
    }
}

#[test]
fn split_at_every_byte() {
    let filler = "y".repeat(120);
    let scripts = [
        "a NOOP\r\nb LOGIN {5}\r\nalice {3+}\r\nx\r\n \"q\"\r\nc NOOP\r\n".to_owned(),
        "a LOGIN {0}\r\n {4+}\r\nab\r\n\r\n\r\nb NOOP\nc NOOP\r\n".to_owned(),
        "a APPEND x {6}\r\nSubj:x (\\Seen) {4+}\r\nnext\r\nb NOOP\r\n".to_owned(),
        "a APPEND x UTF8 (~{6+}\r\nS\0bj:x)\r\nb APPEND y ~{3}\r\n\0\r\n\r\nc NOOP\r\n".to_owned(),
        format!("a LOGIN {{120+}}\r\n{filler} {{3+}}\r\nabc\r\nb NOOP\r\n"),
        "a LOGIN {999}\r\nb NOOP\r\n".to_owned(),
        "a LOGIN {99999999999999999999}\r\nb NOOP\r\n".to_owned(),
        "a \"{5}\r\nb x{5\r\nc {}\r\nd {x}\r\n".to_owned(),
    ];
    for script in scripts {
        let bytes = script.as_bytes();
        let whole = framed(&[bytes]);
        assert!(whole.len() > 1, "{script:?}: {whole:?}");
        for at in 0..=bytes.len() {
            assert_eq!(framed(&[&bytes[..at], &bytes[at..]]), whole, "{script:?} cut at {at}");
        }
        let single: Vec<&[u8]> = bytes.chunks(1).collect();
        assert_eq!(framed(&single), whole, "{script:?} byte by byte");
    }
}
