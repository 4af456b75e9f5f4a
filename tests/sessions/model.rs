//! A session and what its client knows of the mailbox: numbers → UIDs → flags, from responses alone.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use postern::store::sim::Dice;

use crate::harness::Client;

/// Flags without `\Recent`, which is each session's own.
pub type Flags = BTreeSet<String>;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Plain,
    Condstore,
    Qresync,
    Rev2,
}

impl Kind {
    pub const ALL: [Kind; 4] = [Kind::Plain, Kind::Condstore, Kind::Qresync, Kind::Rev2];
}

/// A command that has not been answered.
struct Sent {
    tag: String,
    /// EXPUNGE must not be told: FETCH, STORE or SEARCH by number (RFC 9051 §7.5.1).
    holds: bool,
    what: What,
}

enum What {
    Other,
    Append {
        to: usize,
        subject: String,
    },
    Copy {
        to: usize,
    },
    /// STORE with .SILENT: its effect is not told, the client works it out itself.
    Silent {
        uids: Option<Vec<u32>>,
        numbers: Vec<u32>,
        add: bool,
        flag: String,
    },
}

/// What a STORE names.
pub enum Target<'a> {
    Uids(&'a [u32]),
    Numbers(&'a str),
}

#[derive(Clone, Default)]
struct Slot {
    uid: Option<u32>,
    flags: Option<Flags>,
}

pub struct Session {
    client: Client,
    pub kind: Kind,
    pub mailbox: usize,
    slots: Vec<Slot>,
    validity: u64,
    /// HIGHESTMODSEQ as RFC 7162 §6 has a client keep it, and the highest MODSEQ since the last tagged reply.
    modseq: u64,
    seen_modseq: u64,
    waiting: VecDeque<Sent>,
    idle: bool,
    count: u32,
    /// (mailbox, UID, subject) of APPENDUID.
    pub appended: Vec<(usize, u32, String)>,
    /// (mailbox, UID, mailbox, UID) of COPYUID.
    pub copied: Vec<(usize, u32, usize, u32)>,
    pending_copy: Vec<(u32, u32)>,
}

impl Session {
    pub fn new(mut client: Client, kind: Kind) -> Session {
        match kind {
            Kind::Plain => {}
            Kind::Condstore => drop(client.ok("ENABLE CONDSTORE")),
            Kind::Qresync => drop(client.ok("ENABLE QRESYNC")),
            Kind::Rev2 => drop(client.ok("ENABLE IMAP4rev2")),
        }
        Session {
            client,
            kind,
            mailbox: 0,
            slots: Vec::new(),
            validity: 0,
            modseq: 0,
            seen_modseq: 0,
            waiting: VecDeque::new(),
            idle: false,
            count: 0,
            appended: Vec::new(),
            copied: Vec::new(),
            pending_copy: Vec::new(),
        }
    }

    pub fn select(&mut self, mailbox: usize, name: &str) {
        self.slots.clear();
        self.mailbox = mailbox;
        let (lines, status) = self.client.command(&format!("SELECT {name}"));
        assert!(status.starts_with("OK [READ-WRITE]"), "{status}");
        for line in &lines {
            // What the mailbox that was open still had to tell comes before CLOSED.
            if line.contains("[CLOSED]") {
                self.slots.clear();
            } else {
                self.hear(line, false);
            }
        }
        self.note_select(&lines);
    }

    fn note_select(&mut self, lines: &[String]) {
        let code = |name: &str| lines.iter().find_map(|line| number_after(line, &format!("[{name} ")));
        self.validity = code("UIDVALIDITY").unwrap();
        self.modseq = code("HIGHESTMODSEQ").unwrap();
        self.seen_modseq = 0;
    }

    /// As a client that was away: it keeps UIDs and flags, and asks what it has missed (RFC 7162 §3.2.5).
    pub fn resync(&mut self, name: &str) {
        let mut kept: BTreeMap<u32, Flags> = self.known().into_iter().collect();
        self.client.ok("UNSELECT");
        let (validity, modseq) = (self.validity, self.modseq);
        let lines = self.client.ok(&format!("SELECT {name} (QRESYNC ({validity} {modseq}))"));
        self.slots.clear();
        let mut gone = BTreeSet::new();
        for line in &lines {
            if let Some(earlier) = line.strip_prefix("* VANISHED (EARLIER) ") {
                gone.extend(numbers(earlier));
            } else {
                self.hear(line, false);
            }
        }
        self.note_select(&lines);
        // What this client never saw may be named too: it was expunged since (RFC 7162 §3.2.6).
        kept.retain(|uid, _| !gone.contains(uid));
        let next = lines.iter().find_map(|line| number_after(line, "[UIDNEXT ")).unwrap();
        for slot in &self.slots {
            assert!(slot.uid.is_none_or(|uid| !gone.contains(&uid)), "VANISHED and FETCH of {:?}", slot.uid);
            if let (Some(uid), Some(flags)) = (slot.uid, &slot.flags) {
                kept.insert(uid, flags.clone());
            }
        }
        assert!(gone.iter().all(|uid| u64::from(*uid) < next), "VANISHED of {gone:?}, UIDNEXT {next}");
        assert_eq!(self.slots.len(), kept.len(), "EXISTS and what was kept");
        self.slots =
            kept.into_iter().map(|(uid, flags)| Slot { uid: Some(uid), flags: Some(flags) }).collect();
    }

    pub fn idling(&self) -> bool {
        self.idle
    }

    /// Some UIDs that the client knows.
    pub fn some_uids(&self, dice: &mut Dice) -> Option<Vec<u32>> {
        let known: Vec<u32> = self.slots.iter().filter_map(|slot| slot.uid).collect();
        let from = (!known.is_empty()).then(|| dice.below(known.len() as u64) as usize)?;
        Some(known[from..].iter().copied().take(1 + dice.below(4) as usize).collect())
    }

    /// Some numbers that exist for the client.
    pub fn some_numbers(&self, dice: &mut Dice) -> Option<String> {
        let count = self.slots.len() as u64;
        let from = (count > 0).then(|| 1 + dice.below(count))?;
        Some(format!("{from}:{}", (from + dice.below(4)).min(count)))
    }

    pub fn send(&mut self, command: &str) {
        let holds = ["FETCH", "STORE", "SEARCH"].iter().any(|name| command.starts_with(name));
        self.push(holds, What::Other, command.as_bytes());
    }

    pub fn append(&mut self, to: usize, name: &str, subject: &str, message: &str) {
        let bytes = format!("APPEND {name} {{{}+}}\r\n{message}", message.len());
        self.push(false, What::Append { to, subject: subject.to_owned() }, bytes.as_bytes());
    }

    pub fn copy(&mut self, command: &str, uids: &[u32], to: usize, name: &str) {
        self.push(false, What::Copy { to }, format!("{command} {} {name}", set(uids)).as_bytes());
    }

    /// STORE of one flag, by UID or by number.
    pub fn store(&mut self, target: Target<'_>, add: bool, silent: bool, flag: &str) {
        let sign = if add { '+' } else { '-' };
        let suffix = if silent { ".SILENT" } else { "" };
        let (name, named, uids, numbers) = match target {
            Target::Uids(uids) => ("UID STORE", set(uids), Some(uids.to_vec()), Vec::new()),
            Target::Numbers(text) => ("STORE", text.to_owned(), None, numbers(text)),
        };
        let what =
            if silent { What::Silent { uids, numbers, add, flag: flag.to_owned() } } else { What::Other };
        let command = format!("{name} {named} {sign}FLAGS{suffix} ({flag})");
        self.push(name == "STORE", what, command.as_bytes());
    }

    /// A command begins when the one before it was answered: what is told from now on is how things are after it.
    fn begin(&mut self) {
        let Some(Sent { what: What::Silent { uids, numbers, add, flag }, .. }) = self.waiting.front() else {
            return;
        };
        // The server will say BAD.
        if numbers.iter().any(|number| *number as usize > self.slots.len()) {
            return;
        }
        for (number, slot) in (1_u32..).zip(&mut self.slots) {
            let named = match uids {
                Some(uids) => slot.uid.is_some_and(|uid| uids.contains(&uid)),
                None => numbers.contains(&number),
            };
            if let (true, Some(flags)) = (named, &mut slot.flags) {
                if *add {
                    flags.insert(flag.clone());
                } else {
                    flags.remove(flag);
                }
            }
        }
    }

    fn push(&mut self, holds: bool, what: What, command: &[u8]) {
        self.count += 1;
        let tag = format!("s{}", self.count);
        self.waiting.push_back(Sent { tag: tag.clone(), holds, what });
        if self.waiting.len() == 1 {
            self.begin();
        }
        self.client.try_send(&[tag.as_bytes(), b" ", command, b"\r\n"].concat());
    }

    /// IDLE, and what is told before it begins to listen.
    pub fn idle(&mut self) {
        self.read_replies();
        self.push(false, What::Other, b"IDLE");
        self.idle = true;
    }

    pub fn done(&mut self) {
        self.client.try_send(b"DONE\r\n");
        self.idle = false;
    }

    /// Reads until every command is answered; in IDLE there may be one that is not.
    pub fn read_replies(&mut self) {
        while self.waiting.len() > usize::from(self.idle) {
            let line = self.client.response().expect("the server closed a connection");
            self.take(&String::from_utf8_lossy(&line));
        }
    }

    /// Reads what a killed server had sent; the last of it may be half a response.
    pub fn read_what_came(&mut self) {
        while let Some(line) = self.client.response() {
            self.take(&String::from_utf8_lossy(&line));
        }
    }

    fn take(&mut self, line: &str) {
        let Some(sent) = self.waiting.front() else {
            panic!("said without a command in progress: {line}");
        };
        let Some(status) = line.strip_prefix(&format!("{} ", sent.tag)) else {
            let holds = sent.holds;
            return self.hear(line, holds);
        };
        let sent = self.waiting.pop_front().unwrap();
        let expected = ["OK", "NO [EXPUNGEISSUED]", "BAD There is no message with that sequence number"];
        assert!(expected.iter().any(|start| status.starts_with(start)), "{}: {status}", sent.tag);
        self.note_modseq(status);
        self.note_copy(status);
        match sent.what {
            What::Append { to, subject } => {
                let uid = status.split("[APPENDUID ").nth(1).unwrap().split([' ', ']']).nth(1).unwrap();
                self.appended.push((to, uid.parse().unwrap(), subject));
            }
            What::Copy { to } => {
                let here = self.mailbox;
                let copies = std::mem::take(&mut self.pending_copy);
                self.copied.extend(copies.into_iter().map(|(from, new)| (here, from, to, new)));
            }
            What::Silent { .. } | What::Other => {}
        }
        self.begin();
    }

    /// RFC 7162 §6: HIGHESTMODSEQ where it is said, or else the highest MODSEQ since the last tagged reply.
    fn note_modseq(&mut self, status: &str) {
        if let Some(told) = number_after(status, "[HIGHESTMODSEQ ") {
            self.modseq = told;
        } else {
            self.modseq = self.modseq.max(self.seen_modseq);
        }
        self.seen_modseq = 0;
    }

    fn note_copy(&mut self, line: &str) {
        if let Some(code) = line.split("[COPYUID ").nth(1) {
            let code = code.split(']').next().unwrap();
            let (from, to) = code.split_once(' ').unwrap().1.split_once(' ').unwrap();
            self.pending_copy.extend(numbers(from).into_iter().zip(numbers(to)));
        }
    }

    /// One untagged response.
    fn hear(&mut self, line: &str, holds: bool) {
        self.note_copy(line);
        if let Some(told) = number_after(line, "* OK [HIGHESTMODSEQ ") {
            // It counts at the tagged reply, against whatever was seen since the last one.
            self.modseq = told;
            self.seen_modseq = 0;
        }
        if let Some(gone) = line.strip_prefix("* VANISHED ") {
            assert!(!holds && self.kind == Kind::Qresync, "{line}");
            numbers(gone).into_iter().for_each(|uid| self.vanish(uid));
            return;
        }
        let mut words = line.split(' ').skip(1);
        let Some(number) = words.next().and_then(|word| word.parse::<usize>().ok()) else { return };
        match words.next() {
            Some("EXISTS") => {
                assert!(number >= self.slots.len(), "{line} with {} there", self.slots.len());
                self.slots.resize(number, Slot::default());
            }
            Some("EXPUNGE") => {
                assert!(!holds && self.kind != Kind::Qresync, "{line}");
                self.slots.remove(number - 1);
            }
            Some("FETCH") => self.fetched(number, line),
            _ => {}
        }
    }

    fn fetched(&mut self, number: usize, line: &str) {
        let slot = self.slots.get_mut(number - 1).unwrap_or_else(|| panic!("no such number: {line}"));
        if let Some(uid) = number_after(line, "UID ") {
            let uid = uid as u32;
            assert!(slot.uid.is_none_or(|known| known == uid), "{line}, but it is UID {:?}", slot.uid);
            slot.uid = Some(uid);
        }
        if let Some(flags) = flags(line) {
            slot.flags = Some(flags);
        }
        if let Some(modseq) = number_after(line, "MODSEQ (") {
            self.seen_modseq = self.seen_modseq.max(modseq);
        }
    }

    /// A UID that the client has not asked for yet is one of those between its neighbours.
    fn vanish(&mut self, uid: u32) {
        let at = self.slots.iter().position(|slot| slot.uid == Some(uid)).unwrap_or_else(|| {
            let above = self.slots.iter().position(|slot| slot.uid.is_some_and(|known| known > uid));
            let above = above.unwrap_or(self.slots.len());
            let unknown = above.checked_sub(1).filter(|at| self.slots[*at].uid.is_none());
            unknown.unwrap_or_else(|| panic!("VANISHED names {uid}, which cannot be known"))
        });
        self.slots.remove(at);
    }

    pub fn ask_what_is_unknown(&mut self) {
        let unknown: Vec<u32> = (1_u32..)
            .zip(&self.slots)
            .filter(|(_, slot)| slot.uid.is_none() || slot.flags.is_none())
            .map(|(number, _)| number)
            .collect();
        if !unknown.is_empty() {
            self.send(&format!("FETCH {} (UID FLAGS)", set(&unknown)));
            self.read_replies();
        }
    }

    /// What the client knows, in the order of its numbers.
    pub fn known(&self) -> Vec<(u32, Flags)> {
        self.slots.iter().map(|slot| (slot.uid.unwrap(), slot.flags.clone().unwrap())).collect()
    }
}

/// `1,2,5`
pub fn set(numbers: &[u32]) -> String {
    numbers.iter().map(u32::to_string).collect::<Vec<_>>().join(",")
}

/// The number behind the first `name`.
pub fn number_after(line: &str, name: &str) -> Option<u64> {
    let rest = &line[line.find(name)? + name.len()..];
    rest.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
}

pub fn flags(line: &str) -> Option<Flags> {
    let rest = &line[line.find("FLAGS (")? + 7..];
    let list = rest.split(')').next()?;
    Some(list.split_whitespace().filter(|flag| *flag != "\\Recent").map(str::to_owned).collect())
}

/// `1:3,7` as numbers.
fn numbers(set: &str) -> Vec<u32> {
    set.trim()
        .split(',')
        .flat_map(|part| {
            let (first, last) = part.split_once(':').unwrap_or((part, part));
            first.parse::<u32>().unwrap()..=last.parse().unwrap()
        })
        .collect()
}
