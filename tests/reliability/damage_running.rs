//! As in `damage`, but while the server runs and serves: what it serves is right, byte for byte, or NO; it goes on
//! answering; and what it acknowledges from then on is there afterwards, or `check` says that something is missing.

use std::collections::{BTreeMap, BTreeSet};
use std::net::TcpStream;
use std::time::Instant;

use postern::store::{Options, Store};

use super::chance::Chance;
use super::damage::{Truth, copy, damage, file_one, filled, missing, missing_after_merge, repair};
use super::harness::{Client, PASSWORD, Server};

/// Places, and with `--long`.
const PLACES: (usize, usize) = (40, 200);
const MAILBOXES: [&str; 3] = ["INBOX", "Archive", "Sent"];
/// Messages that are appended behind each damage.
const APPENDED: usize = 3;

/// How often what was answered.
#[derive(Default)]
struct Served {
    right: usize,
    refused: usize,
    hung_up: usize,
}

/// A session; `None` if it is not let in, which is said.
fn session(server: &Server) -> Option<Client> {
    let mut client = Client::over(TcpStream::connect(server.imap).expect("the server is gone"));
    client.response().expect("the server greets");
    ask(&mut client, &format!("LOGIN anna \"{PASSWORD}\"")).filter(|told| is_ok(told)).map(|_| client)
}

/// What is told up to the tagged response, that with it; `None` if the connection ends before it.
fn ask(client: &mut Client, command: &str) -> Option<Vec<Vec<u8>>> {
    client.try_send(format!("q {command}\r\n").as_bytes()).then_some(())?;
    let mut told = Vec::new();
    loop {
        told.push(client.response()?);
        if told.last().is_some_and(|last| last.starts_with(b"q ")) {
            return Some(told);
        }
    }
}

fn is_ok(told: &[Vec<u8>]) -> bool {
    told.last().is_some_and(|last| last.starts_with(b"q OK"))
}

/// The literal of a FETCH response, and the subject in it.
fn message(response: &[u8]) -> Option<(String, &[u8])> {
    let open = response.windows(2).position(|two| two == b"}\r")?;
    let literal = response.get(open + 3..response.len() - 1)?;
    let text = String::from_utf8_lossy(literal);
    Some((text.split_once("Subject: ")?.1.split('\r').next()?.to_owned(), literal))
}

/// Reads everything; what is served is right.
fn reads_all(
    server: &Server,
    truth: &Truth,
    later: &BTreeMap<String, String>,
    what: &str,
    served: &mut Served,
) {
    for mailbox in MAILBOXES {
        let Some(mut client) = session(server) else {
            served.refused += 1;
            continue;
        };
        let Some(told) = ask(&mut client, &format!("SELECT {mailbox}")).filter(|told| is_ok(told)) else {
            served.refused += 1;
            continue;
        };
        let exists = told.iter().find_map(|line| {
            String::from_utf8_lossy(line).strip_prefix("* ")?.strip_suffix(" EXISTS")?.parse::<usize>().ok()
        });
        for from in (1..=exists.unwrap_or(0)).step_by(20) {
            let to = exists.unwrap_or(0).min(from + 19);
            let Some(told) = ask(&mut client, &format!("FETCH {from}:{to} BODY.PEEK[]")) else {
                // A literal that was announced and cannot be ended: the next client hears NO.
                served.hung_up += 1;
                break;
            };
            served.refused += usize::from(!is_ok(&told));
            for response in &told[..told.len() - 1] {
                let Some((subject, bytes)) = message(response) else { continue };
                let sent = truth.bodies.get(&subject).map(Vec::as_slice);
                let sent = sent.or_else(|| later.get(&subject).map(String::as_bytes));
                assert!(sent == Some(bytes), "{what}: wrong bytes of {subject} are served");
                served.right += 1;
            }
        }
    }
}

/// Appends some; gives those that were acknowledged.
fn appends(server: &Server, place: usize) -> BTreeMap<String, String> {
    let Some(mut client) = session(server) else { return BTreeMap::new() };
    let mut taken = BTreeMap::new();
    for n in 0..APPENDED {
        let subject = format!("later{place}x{n}");
        let text = format!("Subject: {subject}\r\n\r\n{}", "and a text\r\n".repeat(1 + n * 2_000));
        // On a store that only reads the literal is refused, and not waited for.
        let told = ask(&mut client, &format!("APPEND INBOX {{{}+}}\r\n{text}", text.len()));
        match told {
            Some(told) if is_ok(&told) => drop(taken.insert(subject, text)),
            Some(_) => {}
            None => break,
        }
    }
    taken
}

#[test]
fn places_are_damaged_while_it_runs() {
    let places = if std::env::var_os("POSTERN_TEST_LONG").is_some() { PLACES.1 } else { PLACES.0 };
    let (chance, begun) = (Chance::new(), Instant::now());
    let (mut server, older, base, truth) = filled(&chance);
    let stick = server.folder().join("stick");
    let (mut served, mut damaged, mut acknowledged, mut told_of) = (Served::default(), 0, 0, 0);
    for n in 0.. {
        if damaged == places {
            break;
        }
        assert!(n < places * 3, "only {damaged} places could be damaged");
        copy(&base, &server.data());
        server.restart();
        let mut client = server.login("anna");
        client.ok("SELECT INBOX");
        client.ok("UID FETCH 1:20 (BODY.PEEK[])");
        let Some(what) = damage(&server.data(), &older, n, &chance) else {
            server.kill();
            continue;
        };
        damaged += 1;
        reads_all(&server, &truth, &BTreeMap::new(), &what, &mut served);
        let later = appends(&server, n);
        acknowledged += later.len();
        reads_all(&server, &truth, &later, &what, &mut served);
        if n.is_multiple_of(2) {
            server.kill();
        } else {
            server.stop();
        }
        let said = match Store::open(Options::new(server.data())) {
            Ok(store) => {
                let said = format!("{:?}", store.condition());
                let well = store.condition().is_well();
                if let Err(error) = file_one(&store, &truth) {
                    assert!(!error.to_string().is_empty(), "{what}");
                }
                let _ = store.close();
                (well, said)
            }
            Err(error) => {
                assert!(error.to_string().contains("postern "), "{what}: {error}: what can one do?");
                (false, error.to_string())
            }
        };
        let (was_well, checked) = server.command(&["check"], "");
        let repaired = repair(&server, &stick, &what);
        let later = Truth {
            bodies: later.into_iter().map(|(subject, text)| (subject, text.into_bytes())).collect(),
            given: truth.given.clone(),
        };
        let mut lost = missing(&server, &truth, &what, &repaired);
        if !lost.is_empty() {
            lost = missing_after_merge(&mut server, &truth, &stick, &what);
        }
        assert!(lost.is_empty(), "{what}: {lost:?} are lost: {repaired}");
        // What was acknowledged to a file that was taken away meanwhile may be gone with it, not in silence.
        let lost: BTreeSet<String> = missing(&server, &later, &what, &repaired).into_iter().collect();
        let told = !said.0 || !was_well;
        assert!(
            lost.is_empty() || told,
            "{what}: {lost:?} are lost, and nothing is said: {said:?}, {checked}"
        );
        told_of += lost.len();
    }
    println!(
        "figure {places} places damaged while the server ran: {} messages served, all right, {} times NO, {} connections \
         ended in a literal; of {acknowledged} acknowledged behind it {told_of} went with a file that was taken away, and \
         that is told; after a repair 0 lost of what was there, check found nothing; {:.0} s",
        served.right,
        served.refused,
        served.hung_up,
        begun.elapsed().as_secs_f64()
    );
}
