//! The work that is measured, in the order in which it is done: each row on a session of its own that has logged in
//! before the clock starts. What was answered is kept, for it must be the same on both servers.

use std::time::{Duration, Instant};

use crate::answers::canonical;
use crate::languages::{COMMON, SUBJECT};
use crate::messages::Message;
use crate::meter::on_disk;
use crate::servers::{DEVICES, Product, Running};
use crate::wire::{Answer, Wire};

const CLIENTS: usize = 8;
const FIRST_SYNC: &str = "FETCH 1:* (UID FLAGS INTERNALDATE RFC822.SIZE ENVELOPE BODYSTRUCTURE)";
/// What Thunderbird asks for.
const HEADER_FIELDS: &str = "FETCH 1:* (UID BODY.PEEK[HEADER.FIELDS (From To Cc Bcc Subject Date Message-ID Priority \
                             X-Priority References Newsgroups In-Reply-To Content-Type Reply-To)])";
/// Messages that are fetched or flagged one by one, and how far they lie apart.
const SINGLE: usize = 600;
const APART: usize = 8;
const LOGINS: usize = 40;
const SESSIONS: usize = 100;
/// Longer than either server keeps the memory of work that is done.
const SETTLED: Duration = Duration::from_secs(17);
/// How often a row does its work, so that it takes long enough to be measured.
const SYNCS: usize = 5;
const BODIES: usize = 2;
const ALL_FLAGS: usize = 10;
const COPIES: usize = 4;
const SEARCHES: usize = 5;
const FLAG_SEARCHES: usize = 50;

/// What one server did with one row.
pub struct Row {
    pub name: String,
    pub figures: Figures,
    /// What was answered, as far as it must be the same on both servers.
    pub answers: Vec<String>,
}

/// What a row measures.
#[derive(Clone, Copy)]
pub enum Figures {
    Work { wall: Duration, cpu: Duration, written: u64 },
    Size(u64),
}

/// One whole run of one server.
pub fn run(product: Product, mail: &[Message], more: &[Message]) -> Vec<Row> {
    let mut bench = Bench { server: product.start(), rows: Vec::new() };
    bench.append(mail, more);
    bench.read();
    bench.change(mail.len());
    bench.search();
    bench.log_in();
    bench.idle(&more[0]);
    let Bench { mut server, mut rows } = bench;
    let disk = on_disk(server.stop());
    rows.push(Row { name: "disk after all".to_owned(), figures: Figures::Size(disk), answers: Vec::new() });
    rows
}

struct Bench {
    server: Running,
    rows: Vec<Row>,
}

impl Bench {
    /// Measures work, which gives what it was answered.
    fn measure<R>(
        &mut self,
        name: String,
        work: impl FnOnce(&Running) -> R,
        answers: impl FnOnce(R) -> Vec<String>,
    ) {
        let before = self.server.meter.at_rest();
        let started = Instant::now();
        let done = work(&self.server);
        let wall = started.elapsed();
        let after = self.server.meter.at_rest();
        let figures =
            Figures::Work { wall, cpu: after.cpu - before.cpu, written: after.written - before.written };
        self.rows.push(Row { name, figures, answers: answers(done) });
    }

    /// Measures a command of a session that has INBOX open, done so many times.
    fn command(
        &mut self,
        name: String,
        times: usize,
        command: &str,
        answers: impl FnOnce(Answer) -> Vec<String>,
    ) {
        let mut wire = self.server.inbox();
        let work = |_: &Running| (0..times).map(|_| wire.ok(command)).last().unwrap();
        self.measure(name, work, answers);
    }

    fn append(&mut self, mail: &[Message], more: &[Message]) {
        let mut wire = self.server.login();
        wire.ok("CREATE Eight");
        self.measure(
            format!("APPEND of {}, one client", mail.len()),
            |_| mail.iter().for_each(|message| wire.append("INBOX", &message.date, &message.content)),
            |()| Vec::new(),
        );
        let mut wires: Vec<_> = (0..CLIENTS).map(|client| self.server.login_as(client % DEVICES)).collect();
        let work = |_: &Running| {
            std::thread::scope(|scope| {
                for (wire, share) in wires.iter_mut().zip(more.chunks(more.len().div_ceil(CLIENTS))) {
                    scope.spawn(|| {
                        share
                            .iter()
                            .for_each(|message| wire.append("Eight", &message.date, &message.content));
                    });
                }
            });
        };
        let status = |()| vec![status(&mut wire, "INBOX"), status(&mut wire, "Eight")];
        self.measure(format!("APPEND of {}, eight clients", more.len()), work, status);
    }

    fn read(&mut self) {
        let mut wire = self.server.inbox();
        self.measure(
            "first sync, nobody looked before".to_owned(),
            |_| wire.whole(FIRST_SYNC),
            |answer| canonical(&answer.text),
        );
        self.command(format!("first sync, {SYNCS} times"), SYNCS, FIRST_SYNC, |answer| {
            vec![counted(&answer)]
        });
        self.server.inbox().ok(HEADER_FIELDS);
        self.command(format!("header fields, {SYNCS} times"), SYNCS, HEADER_FIELDS, content);
        let mut wire = self.server.inbox();
        self.measure(
            format!("{SINGLE} single messages"),
            |_| {
                singles()
                    .map(|number| content(wire.ok(&format!("FETCH {number} BODY.PEEK[]"))).remove(0))
                    .collect()
            },
            |answers: Vec<String>| answers,
        );
        self.command(format!("all bodies, {BODIES} times"), BODIES, "FETCH 1:* (UID BODY.PEEK[])", content);
    }

    fn change(&mut self, count: usize) {
        let mut wire = self.server.inbox();
        self.measure(
            format!("{SINGLE} single flag changes"),
            |_| {
                singles()
                    .map(|number| wire.ok(&format!("STORE {number} +FLAGS (\\Flagged)")).fetched)
                    .sum::<usize>()
            },
            |told| vec![told.to_string()],
        );
        let mut wire = self.server.inbox();
        self.measure(
            format!("all flags, {} times", 2 * ALL_FLAGS),
            |_| {
                for _ in 0..ALL_FLAGS {
                    wire.ok("STORE 1:* -FLAGS.SILENT (\\Seen)");
                    wire.ok("STORE 1:* +FLAGS.SILENT (\\Seen)");
                }
                wire
            },
            |mut wire| vec![status(&mut wire, "INBOX")],
        );
        let mut wire = self.server.inbox();
        (0..COPIES).for_each(|copy| drop(wire.ok(&format!("CREATE Copy{copy}"))));
        let half = count / 2;
        self.measure(
            format!("COPY of {half}, {COPIES} times"),
            |_| {
                (0..COPIES).for_each(|copy| drop(wire.ok(&format!("COPY 1:{half} Copy{copy}"))));
                wire
            },
            |mut wire| (0..COPIES).flat_map(|copy| copied(&mut wire, &format!("Copy{copy}"))).collect(),
        );
    }

    fn search(&mut self) {
        for (name, times, key) in [
            ("a header word", SEARCHES, format!("SUBJECT {SUBJECT}")),
            ("a common word", SEARCHES, format!("BODY {COMMON}")),
            ("a flag", FLAG_SEARCHES, "FLAGGED".to_owned()),
        ] {
            let found = |answer: Answer| vec![answer.lines().trim().to_owned()];
            self.command(format!("SEARCH of {name}, {times} times"), times, &format!("SEARCH {key}"), found);
        }
    }

    fn log_in(&mut self) {
        self.measure(
            format!("{LOGINS} logins"),
            |server| (0..LOGINS).for_each(|_| drop(server.login())),
            |()| Vec::new(),
        );
    }

    fn idle(&mut self, message: &Message) {
        let mut phones: Vec<_> = (0..SESSIONS).map(|number| self.server.login_as(number % DEVICES)).collect();
        for phone in &mut phones {
            phone.ok("SELECT INBOX");
            phone.idle();
        }
        let mut sender = self.server.login();
        std::thread::sleep(SETTLED);
        let memory = Figures::Size(self.server.meter.memory());
        let name = format!("memory of {SESSIONS} IDLE sessions");
        let work = |_: &Running| {
            std::thread::scope(|scope| {
                for phone in &mut phones {
                    scope.spawn(|| phone.told());
                }
                sender.append("INBOX", &message.date, &message.content);
            });
        };
        self.measure(format!("{SESSIONS} IDLE sessions told"), work, |()| Vec::new());
        self.rows.push(Row { name, figures: memory, answers: Vec::new() });
    }
}

/// What STATUS counts.
fn status(wire: &mut Wire, mailbox: &str) -> String {
    let lines = wire.ok(&format!("STATUS {mailbox} (MESSAGES UNSEEN)")).lines();
    lines.rsplit('(').next().unwrap_or_default().trim().to_owned()
}

/// What a copy holds.
fn copied(wire: &mut Wire, mailbox: &str) -> Vec<String> {
    wire.ok(&format!("SELECT {mailbox}"));
    canonical(&wire.whole("FETCH 1:* (UID FLAGS INTERNALDATE RFC822.SIZE)").text)
}

fn singles() -> impl Iterator<Item = usize> {
    (0..SINGLE).map(|number| 1 + number * APART)
}

fn counted(answer: &Answer) -> String {
    format!("{} FETCH responses", answer.fetched)
}

fn content(answer: Answer) -> Vec<String> {
    vec![format!("{}, {} bytes with hash {:x}", counted(&answer), answer.literals, answer.hash)]
}
