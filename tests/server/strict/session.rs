//! What may be said when: the rules of a session that no single answer shows (RFC 9051 §5.2, §5.5, §7; RFC 7162).

use super::answer::{Answer, Framer};
use super::cursor::{Dialect, Set, Wrong};
use super::fetch::Told;
use super::grammar::{Heard, count, read};
use super::sent::{Command, Sent};

/// Codes that belong to commands, with the condition that they stand for (RFC 9051 §7.1, RFC 4315 §3, RFC 7162 §3.1.3, RFC
/// 5530 §3, RFC 3516 §4.3, RFC 5182 §2.1).
const OF_COMMANDS: &[(&str, &str, &[&str])] = &[
    ("APPENDUID", "OK", &["APPEND"]),
    ("COPYUID", "OK", &["COPY", "MOVE"]),
    ("TRYCREATE", "NO", &["APPEND", "COPY", "MOVE"]),
    ("MODIFIED", "", &["STORE"]),
    ("BADCHARSET", "NO", &["SEARCH"]),
    ("NOTSAVED", "NO", &["SEARCH"]),
    ("UNKNOWN-CTE", "NO", &["FETCH", "APPEND", "SEARCH"]),
    ("READ-WRITE", "OK", &["SELECT"]),
    ("ALREADYEXISTS", "NO", &["CREATE", "RENAME"]),
    ("USEATTR", "NO", &["CREATE"]),
    ("AUTHENTICATIONFAILED", "NO", &["LOGIN", "AUTHENTICATE"]),
    ("PRIVACYREQUIRED", "NO", &["LOGIN", "AUTHENTICATE"]),
    ("MAILBOXID", "OK", &["SELECT", "EXAMINE", "CREATE"]),
    ("UIDVALIDITY", "", &["SELECT", "EXAMINE"]),
    ("UNSEEN", "", &["SELECT", "EXAMINE"]),
    ("UIDNOTSTICKY", "", &["SELECT", "EXAMINE"]),
    ("NOMODSEQ", "", &["SELECT", "EXAMINE"]),
];

/// How far a session has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// Nothing was heard yet: the greeting.
    New,
    Open,
    /// After BYE.
    Leaving,
    /// STARTTLS was answered OK: what comes is no longer for this reader.
    Opaque,
}

/// Judges both directions of a connection.
#[derive(Debug)]
pub struct Session {
    framer: Framer,
    sent: Sent,
    phase: Phase,
    /// The last answer was given after BYE.
    has_left: bool,
    dialect: Dialect,
    condstore: bool,
    qresync: bool,
    /// The mailbox that is open: for each message its UID, if that was told.
    open: Option<Vec<Option<u32>>>,
    /// What SELECT has told of the mailbox that it opens.
    told: Option<Vec<&'static str>>,
    /// What the command in progress was answered so far, of what is told where it is asked for.
    given: Vec<&'static str>,
    /// The last answers, which a failure shows.
    heard: Vec<String>,
}

impl Session {
    pub fn new() -> Session {
        Session {
            framer: Framer::default(),
            sent: Sent::default(),
            phase: Phase::New,
            has_left: false,
            dialect: Dialect::default(),
            condstore: false,
            qresync: false,
            open: None,
            told: None,
            given: Vec::new(),
            heard: Vec::new(),
        }
    }

    /// One that has been greeted in the clear, and goes on under TLS.
    pub fn after_starttls() -> Session {
        Session { phase: Phase::Open, ..Session::new() }
    }

    pub fn sends(&mut self, bytes: &[u8]) {
        if self.phase != Phase::Opaque {
            self.sent.push(bytes);
        }
    }

    /// Judges what was received.
    pub fn receives(&mut self, mut bytes: &[u8]) -> Result<(), Wrong> {
        while self.phase != Phase::Opaque && !bytes.is_empty() {
            let before = self.framer.partial().to_vec();
            let answer = self
                .framer
                .take(&mut bytes)
                .map_err(|why| format!("{why}\nafter {:?} and {}", self.heard, before.escape_ascii()))?;
            let Some(answer) = answer else { return Ok(()) };
            self.judge(&answer).map_err(|why| {
                let front = self.sent.front().map(|front| &front.text);
                let front = front.map(|text| text.chars().take(300).collect::<String>());
                format!("{why}\nin  {}\nafter {:#?}\nof the command {front:?}", answer.shown(), self.heard)
            })?;
            if self.heard.len() == 5 {
                self.heard.remove(0);
            }
            self.heard.push(answer.shown().chars().take(300).collect());
        }
        Ok(())
    }

    fn judge(&mut self, answer: &Answer) -> Result<(), Wrong> {
        let heard = read(answer, self.dialect)?;
        match (self.phase, &heard) {
            (Phase::New, Heard::Condition { condition, .. }) => {
                self.phase = match condition.as_str() {
                    "BYE" => Phase::Leaving,
                    "OK" | "PREAUTH" => Phase::Open,
                    _ => return wrong("a greeting of OK, PREAUTH or BYE (RFC 9051 §7.1)"),
                };
                return Ok(());
            }
            (Phase::New, _) => return wrong("a greeting first (RFC 9051 §7.1)"),
            // Of LOGOUT, or of what was in progress: “any pending untagged or completion responses” (RFC 9051 §7.1.5).
            (Phase::Leaving, Heard::Tagged { .. }) if !self.has_left => self.has_left = true,
            (Phase::Leaving, _) => {
                return wrong("nothing after BYE but the answer of the command in progress");
            }
            _ => {}
        }
        match heard {
            Heard::Continuation if self.sent.go_on() => Ok(()),
            Heard::Continuation => wrong("“+” only where the command in progress waits for it"),
            Heard::Tagged { tag, condition, code } => {
                let code = code.map(|code| code.0).unwrap_or_default();
                self.tagged(&tag, &condition, &code)
            }
            Heard::Condition { condition, code } => {
                let code = code.map(|code| code.0).unwrap_or_default();
                self.condition(&condition, &code)
            }
            Heard::Exists(number) => self.exists(number),
            Heard::Recent if self.dialect.rev2 => wrong("no RECENT in IMAP4rev2"),
            Heard::Recent => self.of_mailbox("RECENT"),
            Heard::Expunge(number) => self.expunge(number),
            Heard::Fetch(number, told) => self.fetch(number, &told),
            Heard::Search(numbers) => self.search(&numbers),
            Heard::Esearch { tag, uid, found } => self.esearch(tag, uid, &found),
            Heard::Vanished { earlier, uids } => self.vanished(earlier, &uids),
            Heard::Enabled(names) => self.enabled(&names),
            Heard::Data("FLAGS") => self.of_mailbox("FLAGS"),
            Heard::Data("LIST") if self.is_selecting() => self.of_mailbox("LIST"),
            // A name was told in another form than it is kept in (RFC 9051 §6.3.9.7), whatever it was told for.
            Heard::Data("OLDNAME") if self.is_selecting() => self.of_mailbox("LIST"),
            Heard::Data("OLDNAME") if self.front().is_some() => Ok(()),
            Heard::Data(name) => self.data(name),
        }
    }

    fn front(&self) -> Option<&Command> {
        self.sent.front()
    }

    fn verb(&self) -> &str {
        self.front().map_or("", |front| front.verb.as_str())
    }

    fn is_selecting(&self) -> bool {
        matches!(self.verb(), "SELECT" | "EXAMINE")
    }

    fn tagged(&mut self, tag: &str, condition: &str, code: &str) -> Result<(), Wrong> {
        let Some(front) = self.front().cloned().filter(|front| front.tag == tag) else {
            if self.sent.is_begun(tag) && self.front().is_none() && condition != "OK" {
                return Ok(());
            }
            return wrong(match self.sent.waits(tag) {
                true => "the commands before it answered first",
                false => "a tag that was sent and not answered yet",
            });
        };
        self.fits(Some(condition), code)?;
        if condition == "OK" {
            self.is_given(&front)?;
        }
        match (front.verb.as_str(), condition) {
            ("SELECT" | "EXAMINE", "OK") => self.selected(code)?,
            ("SELECT" | "EXAMINE", "NO") => self.open = None,
            ("CLOSE" | "UNSELECT", "OK") => self.open = None,
            ("STARTTLS", "OK") => self.phase = Phase::Opaque,
            ("LOGOUT", "OK") if self.phase != Phase::Leaving => return wrong("BYE before the OK of LOGOUT"),
            _ => {}
        }
        self.told = None;
        self.given.clear();
        self.sent.answered();
        Ok(())
    }

    /// RFC 9051 §6.3.2, RFC 3501 §6.3.1.
    fn selected(&mut self, code: &str) -> Result<(), Wrong> {
        let told = self.told.take().unwrap_or_default();
        let wanted: &[&str] = match self.dialect.rev2 {
            true => &["FLAGS", "EXISTS", "PERMANENTFLAGS", "UIDNEXT", "UIDVALIDITY", "LIST"],
            false => &["FLAGS", "EXISTS", "RECENT", "PERMANENTFLAGS", "UIDNEXT", "UIDVALIDITY"],
        };
        if let Some(missing) = wanted.iter().find(|name| !told.contains(name)) {
            return wrong(&format!("{missing} before the OK of SELECT"));
        }
        let read_only = self.verb() == "EXAMINE";
        if code != "READ-ONLY" && (read_only || code != "READ-WRITE") {
            return wrong("READ-ONLY or READ-WRITE, as the mailbox was opened");
        }
        Ok(())
    }

    /// Responses that a command must have (RFC 9051 §6, “REQUIRED”), and once.
    fn is_given(&self, front: &Command) -> Result<(), Wrong> {
        let wanted = match front.verb.as_str() {
            "SEARCH" if front.text.contains("RETURN (SAVE)") => return Ok(()),
            "SEARCH" => "SEARCH",
            "STATUS" => "STATUS",
            "CAPABILITY" => "CAPABILITY",
            "NAMESPACE" => "NAMESPACE",
            "ID" => "ID",
            "ENABLE" => "ENABLED",
            _ => return Ok(()),
        };
        match self.given.iter().filter(|name| **name == wanted).count() {
            1 => Ok(()),
            count => wrong(&format!("{wanted} once before the OK of {}, not {count} times", front.verb)),
        }
    }

    /// A code that belongs to certain commands, and to one outcome of them.
    fn fits(&self, tagged: Option<&str>, code: &str) -> Result<(), Wrong> {
        let Some((_, outcome, verbs)) = OF_COMMANDS.iter().find(|(name, ..)| *name == code) else {
            return Ok(());
        };
        let is_outcome = tagged.is_none_or(|condition| outcome.is_empty() || condition == *outcome);
        if is_outcome && verbs.contains(&self.verb()) {
            return Ok(());
        }
        wrong(&format!("{code} with {outcome} of {verbs:?}"))
    }

    fn condition(&mut self, condition: &str, code: &str) -> Result<(), Wrong> {
        self.fits(None, code)?;
        match (condition, code) {
            ("BYE", _) => self.phase = Phase::Leaving,
            ("PREAUTH", _) => return wrong("PREAUTH as a greeting only"),
            ("BAD", _) if self.sent.untagged > 0 => self.sent.untagged -= 1,
            ("OK", "CLOSED") if self.is_selecting() && self.open.is_none() => {
                return wrong("CLOSED only of a mailbox that is open");
            }
            ("OK", "CLOSED") => self.open = None,
            ("OK", "PERMANENTFLAGS" | "UIDNEXT" | "UIDVALIDITY") => {
                let names = ["PERMANENTFLAGS", "UIDNEXT", "UIDVALIDITY"];
                return names
                    .into_iter()
                    .filter(|name| *name == code)
                    .try_for_each(|name| self.of_mailbox(name));
            }
            _ => {}
        }
        Ok(())
    }

    /// What tells of the mailbox that is open, or that SELECT opens.
    fn of_mailbox(&mut self, name: &'static str) -> Result<(), Wrong> {
        if self.is_selecting() {
            if self.told.is_none() && self.open.take().is_some() && self.dialect.rev2 | self.qresync {
                return wrong("CLOSED before another mailbox is told of (RFC 9051 §7.1, RFC 7162 §3.2.11)");
            }
            self.told.get_or_insert_default().push(name);
            return Ok(());
        }
        if self.open.is_none() {
            return wrong("nothing of a mailbox where none is open");
        }
        Ok(())
    }

    fn exists(&mut self, number: u32) -> Result<(), Wrong> {
        self.of_mailbox("EXISTS")?;
        let uids = self.open.get_or_insert_default();
        if (number as usize) < uids.len() {
            return wrong(&format!("EXISTS not below {}, for nothing was expunged", uids.len()));
        }
        uids.resize(number as usize, None);
        Ok(())
    }

    /// RFC 9051 §7.5.1.
    fn may_expunge(&self) -> Result<(), Wrong> {
        match self.front() {
            None => wrong("no EXPUNGE while no command is in progress (RFC 9051 §7.5.1)"),
            Some(front) if !front.uid && matches!(front.verb.as_str(), "FETCH" | "STORE" | "SEARCH") => {
                wrong("no EXPUNGE during FETCH, STORE and SEARCH by number (RFC 9051 §7.5.1)")
            }
            Some(_) => Ok(()),
        }
    }

    fn expunge(&mut self, number: u32) -> Result<(), Wrong> {
        self.may_expunge()?;
        if self.qresync {
            return wrong("VANISHED in place of EXPUNGE (RFC 7162 §3.2.10)");
        }
        match self.open.as_mut() {
            Some(uids) if number as usize <= uids.len() => {
                uids.remove(number as usize - 1);
                Ok(())
            }
            _ => wrong("EXPUNGE of a message that is there"),
        }
    }

    fn vanished(&mut self, earlier: bool, gone: &Set) -> Result<(), Wrong> {
        if !self.qresync {
            return wrong("VANISHED only after ENABLE QRESYNC (RFC 7162 §3.2.10)");
        }
        if earlier {
            let front = self.front().map(|front| (front.verb.as_str(), front.text.as_str()));
            return match front {
                Some(("FETCH", text)) if text.contains("VANISHED") => Ok(()),
                Some(("SELECT" | "EXAMINE", text)) if text.contains("QRESYNC") => Ok(()),
                _ => wrong("VANISHED (EARLIER) only where it was asked for"),
            };
        }
        self.may_expunge()?;
        let Some(uids) = self.open.as_mut() else { return wrong("VANISHED of a mailbox that is open") };
        let is_gone = |uid: u32| gone.iter().any(|(a, b)| (*a.min(b)..=*a.max(b)).contains(&uid));
        let left = (uids.len() as u64).checked_sub(count(gone));
        let Some(left) = left else { return wrong("VANISHED of no more messages than are there") };
        uids.retain(|uid| !uid.is_some_and(is_gone));
        if uids.len() as u64 != left {
            // Some of those that went had not told their UIDs: nobody knows their numbers.
            *uids = vec![None; left as usize];
        }
        Ok(())
    }

    fn fetch(&mut self, number: u32, told: &Told) -> Result<(), Wrong> {
        if self.open.is_none() || self.is_selecting() && self.told.is_none() {
            return wrong("FETCH of a mailbox that is open");
        }
        let front = self.front();
        let is_fetch = front.is_some_and(|front| front.verb == "FETCH");
        let is_by_uid =
            front.is_some_and(|front| front.uid && matches!(front.verb.as_str(), "FETCH" | "STORE"));
        if let Some(item) = front.filter(|_| is_fetch).and_then(|front| unasked(&front.text, &told.items)) {
            return wrong(&format!("what was asked for, which {item} was not"));
        }
        if !is_fetch && !told.items.iter().all(|item| ["FLAGS", "UID", "MODSEQ"].contains(&item.as_str())) {
            return wrong("FLAGS, UID and MODSEQ alone, for nothing else was asked for");
        }
        if is_by_uid && told.uid.is_none() {
            return wrong("UID in what a UID command is answered (RFC 9051 §6.4.9)");
        }
        if self.condstore && !is_fetch && told.has("FLAGS") && !told.has("MODSEQ") {
            return wrong("MODSEQ with flags that changed (RFC 7162 §3.2)");
        }
        if self.qresync && !is_fetch && told.uid.is_none() {
            return wrong("UID with flags that changed (RFC 7162 §3.2.4)");
        }
        if self.dialect.rev2
            && told.items.iter().any(|item| item.starts_with("RFC822") && item != "RFC822.SIZE")
        {
            return wrong("BODY[…] for RFC822… in IMAP4rev2");
        }
        let uids = self.open.get_or_insert_default();
        let at = number as usize - 1;
        let Some(known) = uids.get(at).copied() else { return wrong("FETCH of a number up to EXISTS") };
        if let Some(uid) = told.uid {
            let below = at.checked_sub(1).and_then(|below| uids[below]);
            let above = uids.get(at + 1).copied().flatten();
            if known.is_some_and(|known| known != uid) {
                return wrong(&format!("UID {known:?} of message {number}, as before"));
            }
            if below.is_some_and(|below| below >= uid) || above.is_some_and(|above| above <= uid) {
                return wrong("UIDs that rise with the numbers (RFC 9051 §2.3.1.1)");
            }
            uids[at] = Some(uid);
        }
        Ok(())
    }

    fn search(&mut self, numbers: &[u32]) -> Result<(), Wrong> {
        self.data("SEARCH")?;
        if self.dialect.rev2 {
            return wrong("ESEARCH in IMAP4rev2");
        }
        let set: Set = numbers.iter().map(|number| (*number, *number)).collect();
        self.found(self.front().is_some_and(|front| front.uid), &set)
    }

    fn esearch(&mut self, tag: Option<Vec<u8>>, uid: bool, found: &Set) -> Result<(), Wrong> {
        self.data("SEARCH")?;
        let Some(front) = self.front() else { return Ok(()) };
        if tag.is_none_or(|tag| tag != front.tag.as_bytes()) {
            return wrong("the tag of the SEARCH in progress (RFC 9051 §7.3.4)");
        }
        if uid != front.uid {
            return wrong("UID in the answer of UID SEARCH, and in no other");
        }
        if !self.dialect.rev2 && !front.text.contains("RETURN") {
            return wrong("SEARCH where RETURN was not asked for");
        }
        self.found(uid, found)
    }

    fn found(&self, uid: bool, found: &Set) -> Result<(), Wrong> {
        let Some(uids) = &self.open else { return wrong("SEARCH of a mailbox that is open") };
        if !uid && found.iter().any(|(a, b)| *a.max(b) as usize > uids.len()) {
            return wrong("numbers up to EXISTS");
        }
        Ok(())
    }

    fn enabled(&mut self, names: &[String]) -> Result<(), Wrong> {
        self.data("ENABLED")?;
        let asked = self.front().map(|front| front.text.clone()).unwrap_or_default();
        for name in names {
            if !asked.split(' ').skip(2).any(|word| word == name) {
                return wrong("what was asked to be enabled (RFC 5161 §3.2)");
            }
            match name.as_str() {
                "IMAP4REV2" => self.dialect.rev2 = true,
                "UTF8=ACCEPT" => self.dialect.utf8 = true,
                "CONDSTORE" => self.condstore = true,
                "QRESYNC" => (self.condstore, self.qresync) = (true, true),
                _ => return wrong("an extension that can be enabled"),
            }
        }
        Ok(())
    }

    /// What no server says of itself.
    fn data(&mut self, name: &'static str) -> Result<(), Wrong> {
        self.given.push(name);
        let verbs: &[&str] = match name {
            "SEARCH" => &["SEARCH"],
            "ENABLED" => &["ENABLE"],
            "LIST" => &["LIST"],
            "LSUB" => &["LSUB"],
            "XLIST" => &["XLIST"],
            "STATUS" => &["STATUS", "LIST"],
            "ID" => &["ID"],
            "NAMESPACE" => &["NAMESPACE"],
            "CAPABILITY" => &["CAPABILITY", "LOGIN", "AUTHENTICATE"],
            _ => &[],
        };
        if verbs.contains(&self.verb()) {
            Ok(())
        } else {
            wrong(&format!("{name} only where it was asked for"))
        }
    }
}

/// An item that a FETCH did not name; FLAGS, UID and MODSEQ may be told of any message at any time.
fn unasked<'i>(command: &str, items: &'i [String]) -> Option<&'i String> {
    let words: Vec<&str> = command.split(|c: char| !(c.is_ascii_alphanumeric() || c == '.')).collect();
    let has = |names: &[&str]| names.iter().any(|name| words.contains(name));
    items.iter().find(|item| {
        let name = item.split('[').next().unwrap_or_default();
        let is_asked = match name {
            "FLAGS" | "UID" | "MODSEQ" => true,
            "BODY" if item.contains('[') => has(&["BODY", "BODY.PEEK"]) && command.contains('['),
            "BODY" => has(&["BODY", "FULL"]),
            "BINARY" => has(&["BINARY", "BINARY.PEEK"]),
            "RFC822" => has(&["RFC822", "RFC822.PEEK"]),
            "RFC822.HEADER" => has(&["RFC822.HEADER"]),
            "RFC822.TEXT" => has(&["RFC822.TEXT", "RFC822.TEXT.PEEK"]),
            "ENVELOPE" => has(&["ENVELOPE", "ALL", "FULL"]),
            "INTERNALDATE" | "RFC822.SIZE" => has(&[name, "ALL", "FULL", "FAST"]),
            other => has(&[other]),
        };
        !is_asked
    })
}

fn wrong<T>(expected: &str) -> Result<T, Wrong> {
    Err(format!("expected {expected}"))
}
