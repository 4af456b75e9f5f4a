//! Everything at once, killed 200 times: clients that append, move, flag and expunge, a watched Maildir, deliveries,
//! a backup and a reclaim. After each start everything acknowledged is there once, as it was acknowledged; `check`
//! finds nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use super::chance::Chance;
use super::harness::{Client, PASSWORD, Server, binary};

const KILLS: usize = 200;
/// After so many kills each `check` looks at everything.
const CHECKED: usize = 20;

/// What was acknowledged in a round.
#[derive(Default)]
struct Ledger {
    /// By subject: where the message must be; in one of those of clients where this is empty.
    sure: BTreeMap<String, &'static str>,
    /// Flagged, acknowledged.
    flagged: BTreeSet<String>,
    /// Expunged, acknowledged.
    gone: BTreeSet<String>,
}

/// A round's workers.
struct Round<'a> {
    address: SocketAddr,
    data: &'a Path,
    maildir: &'a Path,
    stick: &'a Path,
    stop: AtomicBool,
    ledger: Mutex<Ledger>,
    next: &'a AtomicUsize,
    /// Files that were put into the Maildir, ever.
    arrived: &'a Mutex<BTreeSet<String>>,
}

impl Round<'_> {
    fn name(&self, what: &str) -> String {
        format!("{what}{}", self.next.fetch_add(1, Ordering::Relaxed))
    }

    fn goes_on(&self) -> bool {
        !self.stop.load(Ordering::Relaxed)
    }

    /// A session; `None` once the server is gone.
    fn session(&self) -> Option<Client> {
        let mut client = Client::over(TcpStream::connect(self.address).ok()?);
        client.response()?;
        ask(&mut client, &format!("LOGIN anna \"{PASSWORD}\""))?;
        Some(client)
    }

    fn appends(&self) -> Option<()> {
        let mut client = self.session()?;
        while self.goes_on() {
            let subject = self.name("append");
            append(&mut client, "INBOX", &subject)?;
            self.ledger.lock().unwrap().sure.insert(subject, "");
        }
        Some(())
    }

    fn moves(&self) -> Option<()> {
        let mut client = self.session()?;
        ask(&mut client, "SELECT INBOX")?;
        while self.goes_on() {
            let told = ask(&mut client, "UID FETCH 1:* (BODY.PEEK[HEADER.FIELDS (SUBJECT)])")?;
            for (uid, subject) in told.iter().filter_map(|line| named(line)) {
                if !subject.starts_with("append") {
                    continue;
                }
                let moved = ask(&mut client, &format!("UID MOVE {uid} Done"))?;
                if moved.iter().any(|line| line.contains("[COPYUID")) {
                    self.ledger.lock().unwrap().sure.insert(subject, "Done");
                }
            }
        }
        Some(())
    }

    fn expunges(&self) -> Option<()> {
        let mut client = self.session()?;
        ask(&mut client, "SELECT Trash")?;
        while self.goes_on() {
            let (kept, gone) = (self.name("kept"), self.name("gone"));
            for (subject, flags) in [(&kept, "\\Flagged"), (&gone, "\\Deleted")] {
                append(&mut client, "Trash", subject)?;
                self.ledger.lock().unwrap().sure.insert(subject.clone(), "Trash");
                ask(&mut client, &format!("STORE * +FLAGS.SILENT ({flags})"))?;
                if *subject == kept {
                    self.ledger.lock().unwrap().flagged.insert(subject.clone());
                }
            }
            // From here on it may go.
            self.ledger.lock().unwrap().sure.remove(&gone);
            ask(&mut client, "EXPUNGE")?;
            self.ledger.lock().unwrap().gone.insert(gone);
        }
        Some(())
    }

    fn delivers(&self) {
        while self.goes_on() {
            let subject = self.name("deliver");
            let mut child =
                self.postern(&["deliver", "--account", "anna"]).stdin(Stdio::piped()).spawn().unwrap();
            let _ = write!(child.stdin.take().unwrap(), "Subject: {subject}\r\n\r\nx\r\n");
            if child.wait().unwrap().success() {
                self.ledger.lock().unwrap().sure.insert(subject, "");
            }
        }
    }

    fn arrives(&self) {
        while self.goes_on() {
            let subject = self.name("watched");
            std::fs::write(self.maildir.join("tmp").join(&subject), format!("Subject: {subject}\n\nx\n"))
                .unwrap();
            let to = self.maildir.join("new").join(&subject);
            std::fs::rename(self.maildir.join("tmp").join(&subject), to).unwrap();
            self.arrived.lock().unwrap().insert(subject);
            std::thread::sleep(Duration::from_millis(7));
        }
    }

    fn runs(&self, arguments: &[&str]) {
        while self.goes_on() {
            let _ = self.postern(arguments).status();
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn postern(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(binary());
        command.args(arguments).arg("--data").arg(self.data);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        command
    }
}

/// Sends a command; its responses with the tagged one, if that is OK. `None` if it is not, or the server is gone.
fn ask(client: &mut Client, command: &str) -> Option<Vec<String>> {
    client.try_send(format!("q {command}\r\n").as_bytes()).then_some(())?;
    let mut told = Vec::new();
    loop {
        told.push(String::from_utf8_lossy(&client.response()?).into_owned());
        if let Some(status) = told.last()?.strip_prefix("q ") {
            return status.starts_with("OK").then_some(told);
        }
    }
}

fn append(client: &mut Client, mailbox: &str, subject: &str) -> Option<Vec<String>> {
    let message = format!("Subject: {subject}\r\n\r\n{}\r\n", "text ".repeat(40));
    ask(client, &format!("APPEND {mailbox} {{{}+}}\r\n{message}", message.len()))
}

/// UID and subject of a FETCH response.
fn named(line: &str) -> Option<(u32, String)> {
    let uid = line.split_once("UID ")?.1.split([' ', ')']).next()?.parse().ok()?;
    Some((uid, line.split_once("Subject: ")?.1.split('\r').next()?.to_owned()))
}

/// Subjects of a mailbox, with whether they are flagged.
fn read(client: &mut Client, mailbox: &str) -> Vec<(String, bool)> {
    client.ok(&format!("SELECT {mailbox}"));
    let told = client.ok("UID FETCH 1:* (FLAGS BODY.PEEK[HEADER.FIELDS (SUBJECT)])");
    told.iter().filter_map(|line| Some((named(line)?.1, line.contains("\\Flagged")))).collect()
}

#[test]
fn everything_at_once_is_killed_two_hundred_times() {
    let (chance, mut server, begun) = (Chance::new(), Server::start(&["anna"]), Instant::now());
    let (maildir, stick) = (server.scratch("Maildir"), server.scratch("stick"));
    ["new", "cur", "tmp"].iter().for_each(|name| std::fs::create_dir_all(maildir.join(name)).unwrap());
    server.login("anna").ok("CREATE Done");
    let source = ["source", "add", maildir.to_str().unwrap(), "--account", "anna", "--mailbox", "Watched"];
    let (added, text) = server.command(&[&source[..], &["--after", "delete"]].concat(), "");
    assert!(added, "{text}");
    let (next, data) = (AtomicUsize::new(0), server.data());
    let (mut past, mut acknowledged, arrived) = (BTreeSet::new(), 0, Mutex::default());
    for kill in 1..=KILLS {
        let round = Round {
            address: server.imap,
            data: &data,
            maildir: &maildir,
            stick: &stick,
            stop: AtomicBool::new(false),
            ledger: Mutex::default(),
            next: &next,
            arrived: &arrived,
        };
        std::thread::scope(|scope| {
            scope.spawn(|| round.appends());
            scope.spawn(|| round.moves());
            scope.spawn(|| round.expunges());
            scope.spawn(|| round.delivers());
            scope.spawn(|| round.arrives());
            scope.spawn(|| round.runs(&["backup", round.stick.to_str().unwrap(), "--same-disk"]));
            scope.spawn(|| round.runs(&["status", "--reclaim", "--empty-bin"]));
            std::thread::sleep(Duration::from_millis(100 + chance.below(250) as u64));
            server.kill();
            round.stop.store(true, Ordering::Relaxed);
        });
        server.restart();
        let ledger = round.ledger.into_inner().unwrap();
        acknowledged += ledger.sure.len() + ledger.gone.len() + ledger.flagged.len();
        verify(&server, &ledger, &mut past);
        if kill % CHECKED == 0 {
            let (well, text) = server.command(&["check"], "");
            assert!(well, "after {kill} kills: {text}");
        }
    }
    // Those that came while the server was down stay for ten minutes; all are in the mailbox, once.
    let arrived = arrived.into_inner().unwrap();
    let (mut client, until) = (server.login("anna"), Instant::now() + Duration::from_secs(60));
    let watched = loop {
        let watched: Vec<String> =
            read(&mut client, "Watched").into_iter().map(|(subject, _)| subject).collect();
        if watched.len() >= arrived.len() || Instant::now() > until {
            break watched;
        }
        std::thread::sleep(Duration::from_millis(200));
    };
    let once: BTreeSet<String> = watched.iter().cloned().collect();
    assert_eq!(once.len(), watched.len(), "doubled in Watched");
    assert_eq!(arrived.difference(&once).collect::<Vec<_>>(), Vec::<&String>::new(), "files that are lost");
    assert!(arrived.len() >= KILLS, "only {} files", arrived.len());
    assert!(acknowledged > KILLS * 10, "only {acknowledged} acknowledged");
    println!(
        "figure {KILLS} kills -9 of everything at once: {acknowledged} acknowledged by clients and deliveries, {} files \
         watched: 0 lost, 0 doubled, check found nothing {} times; {:.0} s",
        watched.len(),
        KILLS / CHECKED,
        begun.elapsed().as_secs_f64()
    );
}

/// All that was acknowledged is there as it was, and nothing twice; then it is expunged, to come up no more.
fn verify(server: &Server, ledger: &Ledger, past: &mut BTreeSet<String>) {
    let mut client = server.login("anna");
    let mut seen: BTreeMap<String, &str> = BTreeMap::new();
    for mailbox in ["INBOX", "Done", "Trash"] {
        for (subject, flagged) in read(&mut client, mailbox) {
            assert!(!past.contains(&subject), "{subject} came up again in {mailbox}");
            assert!(flagged || !ledger.flagged.contains(&subject), "{subject} lost its flag");
            assert_eq!(seen.insert(subject.clone(), mailbox), None, "{subject} twice, once in {mailbox}");
        }
        client.ok("UID STORE 1:* +FLAGS.SILENT (\\Deleted)");
        client.ok("EXPUNGE");
    }
    for (subject, place) in &ledger.sure {
        let found = seen.get(subject).unwrap_or_else(|| panic!("{subject} is lost"));
        assert!(place.is_empty() || place == found, "{subject} is in {found} instead of {place}");
    }
    assert!(!ledger.gone.iter().any(|subject| seen.contains_key(subject)), "one that was expunged is back");
    past.extend(seen.into_keys().chain(ledger.gone.iter().cloned()));
}
