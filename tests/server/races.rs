//! Mailboxes that come and go under those who put messages into them.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::harness::Server;

/// A target that goes meanwhile is answered as one that was never there: [TRYCREATE] (RFC 9051 §6.3.12, §6.4.7, §6.4.8),
/// so that a client makes it and tries again; and no message is lost, whatever meets whatever.
#[test]
fn a_target_that_comes_and_goes() {
    let server = Server::start(&["anna"]);
    let mut first = server.login("anna");
    for n in 0..40 {
        first.append("INBOX", "", format!("Subject: {n}\r\n\r\nbody {n}\r\n").as_bytes());
    }
    let done = AtomicBool::new(false);
    let put = |command: &'static str| {
        let mut client = server.login("anna");
        client.ok("SELECT INBOX");
        let (mut taken, mut refused) = (0_u32, 0_u32);
        while !done.load(Ordering::SeqCst) {
            let status = match command {
                "APPEND" => client.try_append("target", "", b"Subject: new\r\n\r\n"),
                command => client.command(command).1,
            };
            if status.starts_with("OK") {
                taken += 1;
            } else {
                assert!(status.starts_with("NO [TRYCREATE]"), "{command}: {status}");
                refused += 1;
            }
        }
        (command, taken, refused)
    };
    std::thread::scope(|scope| {
        let putting: Vec<_> = ["APPEND", "UID COPY 1:20 target", "UID MOVE 21:30 target"]
            .map(|command| scope.spawn(move || put(command)))
            .into();
        let mut maker = server.login("anna");
        let until = Instant::now() + Duration::from_secs(20);
        let mut rounds = 0;
        while rounds < 60 && Instant::now() < until {
            maker.ok("CREATE target");
            // What was moved into it comes back before it goes.
            maker.ok("SELECT target");
            maker.ok("NOOP");
            maker.ok("UNSELECT");
            let emptied = ["RENAME target kept", "DELETE target"][rounds % 2];
            maker.ok(&emptied.replace("kept", &format!("kept{rounds}")));
            rounds += 1;
        }
        done.store(true, Ordering::SeqCst);
        let all: Vec<_> = putting.into_iter().map(|thread| thread.join().unwrap()).collect();
        for (command, taken, refused) in &all {
            println!("figure {command} into what comes and goes: {taken} taken, {refused} refused");
        }
        assert!(
            all.iter().all(|(_, taken, _)| *taken > 0) && all.iter().any(|(_, _, refused)| *refused > 0),
            "{all:?}"
        );
    });
    let untagged = first.ok("SELECT INBOX");
    assert!(untagged.iter().any(|line| line.ends_with(" EXISTS")), "{untagged:?}");
    // What was copied is there still, each with its bytes.
    let bodies = first.ok("UID FETCH 1:20 (BODY.PEEK[TEXT])");
    assert_eq!(bodies.iter().filter(|line| line.contains("FETCH")).count(), 20, "{bodies:?}");
    drop(first);
    let (sound, output) = server.command(&["check"], "");
    assert!(sound, "{output}");
}
