use super::*;

fn command(text: &str) -> Option<Event> {
    Some(Event::Command(text.as_bytes().to_vec().into()))
}

#[test]
fn lines_are_commands() {
    let mut framer = Framer::new();
    framer.push(b"a1 NOOP\r\na2 NO");
    assert_eq!(framer.next_event(), command("a1 NOOP"));
    assert_eq!(framer.next_event(), None);
    framer.push(b"OP\n\r\na3 NOOP\r\n");
    assert_eq!(framer.next_event(), command("a2 NOOP"));
    assert_eq!(framer.next_event(), command("a3 NOOP"));
    assert_eq!(framer.buffered(), 0);
}

#[test]
fn small_literals_become_part_of_the_command() {
    let bytes = b"a LOGIN {4}\r\nanna {3+}\r\nx\r\n\r\nb NOOP\r\n";
    for chunk in 1..bytes.len() {
        let mut framer = Framer::new();
        let (mut commands, mut literals) = (Vec::new(), 0);
        for piece in bytes.chunks(chunk) {
            framer.push(piece);
            while let Some(event) = framer.next_event() {
                match event {
                    Event::Literal(head) => {
                        literals += 1;
                        assert_eq!(head.non_sync, literals == 2);
                        assert!(framer.accept());
                    }
                    Event::Command(command) => {
                        commands.push(String::from_utf8(command.text().to_vec()).unwrap());
                    }
                    other => panic!("{other:?}"),
                }
            }
        }
        assert_eq!(commands, ["a LOGIN {4}\r\nanna {3+}\r\nx\r\n", "b NOOP"], "chunks of {chunk}");
    }
}

#[test]
fn streamed_literals_and_what_follows() {
    let mut framer = Framer::new();
    framer.push(b"a APPEND x {5+}\r\n");
    assert!(matches!(framer.next_event(), Some(Event::Literal(LiteralHead { len: 5, non_sync: true, .. }))));
    framer.stream();
    framer.push(b"hel");
    assert_eq!(framer.next_event(), None);
    assert_eq!(framer.take(2), b"he");
    assert_eq!(framer.take(9), b"l");
    framer.push(b"lo (\\Seen) ~{1+}\r\n");
    assert_eq!(framer.take(9), b"lo");
    let Some(Event::Literal(head)) = framer.next_event() else { panic!() };
    assert_eq!((head.so_far.as_slice(), head.binary), (&b" (\\Seen) ~{1+}"[..], true));
    framer.stream();
    framer.push(b"!\r\nb NOOP\r\n");
    assert_eq!(framer.take(9), b"!");
    assert_eq!(framer.next_event(), Some(Event::Line(Vec::new())));
    assert_eq!(framer.next_event(), command("b NOOP"));
}

#[test]
fn refused_literals_are_thrown_away() {
    let mut framer = Framer::new();
    framer.push(b"a X {9000+}\r\n");
    assert!(matches!(framer.next_event(), Some(Event::Literal(_))));
    assert!(!framer.accept());
    assert!(framer.refuse());
    framer.push(&vec![b'\n'; 9000]);
    framer.push(b" {3+}\r\nabc d\r\nb NOOP\r\nc X {9000}\r\nd NOOP\r\n");
    assert_eq!(framer.next_event(), command("b NOOP"));
    assert!(matches!(framer.next_event(), Some(Event::Literal(_))));
    assert!(framer.refuse());
    assert_eq!(framer.next_event(), command("d NOOP"));
    framer.push(b"e X {99999999999+}\r\n");
    assert!(matches!(framer.next_event(), Some(Event::Literal(_))));
    assert!(!framer.refuse());
    framer.discard_rest();
}

#[test]
fn lines_without_end() {
    let mut framer = Framer::new();
    framer.push(b"tag ");
    let mut answers = Vec::new();
    for _ in 0..100 {
        framer.push(&[b'x'; 1000]);
        answers.extend(framer.next_event());
    }
    let [Event::Invalid(problem)] = answers.as_slice() else { panic!("{answers:?}") };
    assert_eq!((problem.tag().unwrap().as_str(), problem.is_fatal()), ("tag", false));
    assert!(framer.buffer.capacity() < 128 * 1024);
    framer.push(b"\r\nb NOOP\r\n");
    assert_eq!(framer.next_event(), command("b NOOP"));
}

#[test]
fn answers_to_continuations() {
    let mut framer = Framer::new();
    framer.expect_line();
    framer.push(b"DONE\r\na NOOP\r\n");
    assert_eq!(framer.next_event(), Some(Event::Line(b"DONE".to_vec())));
    assert_eq!(framer.next_event(), command("a NOOP"));
}

#[test]
fn any_bytes_in_any_chunks() {
    let mut seed = 3_u32;
    let mut random = move || {
        seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        seed >> 16
    };
    for _ in 0..2_000 {
        let mut framer = Framer::new();
        for _ in 0..20 {
            let piece: Vec<u8> =
                (0..random() % 30).map(|_| b"a {}+~\"\\\r\n019"[random() as usize % 12]).collect();
            framer.push(&piece);
            while let Some(event) = framer.next_event() {
                if matches!(event, Event::Literal(_)) {
                    match random() % 3 {
                        0 => framer.stream(),
                        1 if framer.accept() => {}
                        _ => drop(framer.refuse()),
                    }
                }
            }
            framer.take(5);
            if random() % 7 == 0 {
                framer.discard_rest();
            }
        }
    }
}

#[test]
fn many_small_literals_are_not_copied_again_and_again() {
    let mut framer = Framer::new();
    framer.set_limit(1 << 20);
    framer.push(b"a SEARCH SUBJECT {1+}\r\n");
    let (mut copied, mut literals) = (0, 0);
    loop {
        match framer.next_event() {
            Some(Event::Literal(head)) if framer.accept() => {
                assert_eq!(tag_of(&head.so_far).unwrap().as_str(), "a");
                (copied, literals) = (copied + head.so_far.len(), literals + 1);
                framer.push(b"x SUBJECT {1+}\r\n");
            }
            // The command is as long as it may be.
            Some(Event::Literal(_) | Event::Invalid(_)) => break,
            other => panic!("{other:?}"),
        }
    }
    assert!(literals > 50_000 && copied < 300 << 20, "{copied} bytes for {literals} literals");
}
