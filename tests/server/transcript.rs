//! Scripted conversations: `tests/server/transcripts/*.imap`.
//!
//! ```text
//! # a comment
//! accounts alice bob            the accounts (default: alice)
//! A: open                       opens a connection named A (plain); reads nothing
//! A> a1 LOGIN alice "…"         sends a line; escapes \r \n \t \\ \xNN
//! A>> text                      sends without a line end
//! A< * OK {*}                   expects a response: {*} matches anything, {name} captures or repeats,
//!                               literals are written {5}\r\nhello
//! A<? * 1 EXISTS                the next lines so marked come in any order
//! A: login                      opens, reads the greeting, logs in as the first account (login NAME for another)
//! A: select INBOX               sends SELECT and reads up to its OK
//! A: append INBOX (\Seen)       APPENDs the lines below that begin with `|`, each with CRLF
//! | Subject: x
//! A: drain                      sends NOOP and reads up to its OK
//! A: closed                     the server must have closed the connection
//! ```

use std::collections::HashMap;
use std::path::Path;

use crate::harness::{Client, PASSWORD, Server};

#[test]
fn transcripts() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/server/transcripts");
    let only = std::env::var("TRANSCRIPT").ok();
    let mut files: Vec<_> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "imap"))
        .filter(|path| only.as_ref().is_none_or(|only| path.to_string_lossy().contains(only.as_str())))
        .collect();
    files.sort();
    assert!(!files.is_empty());
    let queue = std::sync::Mutex::new(files.iter());
    let failures = std::sync::Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                loop {
                    let Some(file) = queue.lock().unwrap().next() else { return };
                    let name = file.file_name().unwrap().to_string_lossy().into_owned();
                    let run = std::panic::catch_unwind(|| run(file));
                    if let Err(panic) = run {
                        let why = panic
                            .downcast_ref::<String>()
                            .cloned()
                            .or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()))
                            .unwrap_or_default();
                        failures.lock().unwrap().push(format!("{name}: {why}"));
                    }
                }
            });
        }
    });
    let failures = failures.into_inner().unwrap();
    println!("transcripts: {} run, {} failed", files.len(), failures.len());
    assert!(failures.is_empty(), "{}", failures.join("\n\n"));
}

struct Run {
    server: Server,
    first: String,
    clients: HashMap<String, Client>,
    variables: HashMap<String, String>,
}

fn run(file: &Path) {
    let text = std::fs::read_to_string(file).unwrap();
    let accounts: Vec<&str> = text
        .lines()
        .find_map(|line| line.strip_prefix("accounts "))
        .map_or_else(|| vec!["alice"], |list| list.split_whitespace().collect());
    let mut run = Run {
        server: Server::start(&accounts),
        first: accounts[0].to_owned(),
        clients: HashMap::new(),
        variables: HashMap::new(),
    };
    let lines: Vec<&str> = text.lines().collect();
    let mut at = 0;
    while at < lines.len() {
        let place = format!("line {}: {}", at + 1, lines[at]);
        at += run.step(&lines[at..], &place);
    }
}

impl Run {
    /// Runs the step at the start of `lines`; gives how many lines it took.
    fn step(&mut self, lines: &[&str], place: &str) -> usize {
        let line = lines[0];
        if line.trim().is_empty() || line.starts_with('#') || line.starts_with("accounts ") {
            return 1;
        }
        let end = line.find([':', '>', '<']).unwrap_or_else(|| panic!("{place}: not understood"));
        let (who, rest) = line.split_at(end);
        if let Some(action) = rest.strip_prefix(": ") {
            return self.action(who, action, &lines[1..], place);
        }
        if let Some(raw) = rest.strip_prefix(">> ") {
            let bytes = unescape(&self.substitute(raw));
            self.client(who, place).send(&bytes);
        } else if let Some(text) = rest.strip_prefix("> ") {
            let mut bytes = unescape(&self.substitute(text));
            bytes.extend_from_slice(b"\r\n");
            self.client(who, place).send(&bytes);
        } else if let Some(wanted) = rest.strip_prefix("< ") {
            let got = self.response(who, place);
            self.expect(wanted, &got, place);
        } else if rest.starts_with("<? ") {
            return self.any_order(who, lines, place);
        } else {
            panic!("{place}: not understood");
        }
        1
    }

    fn action(&mut self, who: &str, action: &str, below: &[&str], place: &str) -> usize {
        let (verb, argument) = action.split_once(' ').unwrap_or((action, ""));
        match verb {
            "open" => {
                let client = Client::open(self.server.imap);
                self.clients.insert(who.to_owned(), client);
            }
            "login" => {
                let account = if argument.is_empty() { self.first.clone() } else { argument.to_owned() };
                let client = self.server.login(&account);
                self.clients.insert(who.to_owned(), client);
            }
            "select" => {
                self.client(who, place).ok(&format!("SELECT {argument}"));
            }
            "drain" => {
                self.client(who, place).ok("NOOP");
            }
            "ok" => {
                let command = self.substitute(argument);
                self.client(who, place).ok(&command);
            }
            "append" => {
                let body: Vec<&str> = below.iter().map_while(|line| line.strip_prefix('|')).collect();
                let message: String = body
                    .iter()
                    .map(|line| format!("{}\r\n", line.strip_prefix(' ').unwrap_or(line)))
                    .collect();
                let (mailbox, flags) = argument.split_once(' ').unwrap_or((argument, "()"));
                let flags = flags.trim_start_matches('(').trim_end_matches(')').to_owned();
                self.client(who, place).append(mailbox, &flags, &unescape(&message));
                return 1 + body.len();
            }
            "closed" => assert!(self.client(who, place).is_closed(), "{place}: the connection is still open"),
            "restart" => {
                assert_eq!(self.server.stop(), Some(0), "{place}");
                self.server.restart();
            }
            _ => panic!("{place}: no such action"),
        }
        1
    }

    fn any_order(&mut self, who: &str, lines: &[&str], place: &str) -> usize {
        let mark = format!("{who}<? ");
        let mut wanted: Vec<&str> = lines.iter().map_while(|line| line.strip_prefix(&mark)).collect();
        let count = wanted.len();
        for _ in 0..count {
            let got = self.response(who, place);
            let found = wanted.iter().position(|pattern| self.matches(pattern, &got).is_some());
            let found = found.unwrap_or_else(|| panic!("{place}:\n   got {got}\n  none of {wanted:#?}"));
            self.expect(wanted.remove(found), &got, place);
        }
        count
    }

    fn client(&mut self, who: &str, place: &str) -> &mut Client {
        self.clients.get_mut(who).unwrap_or_else(|| panic!("{place}: {who} has no connection"))
    }

    fn response(&mut self, who: &str, place: &str) -> String {
        let response = self.client(who, place).response();
        escape(&response.unwrap_or_else(|| panic!("{place}: the connection was closed, or silent for 20 s")))
    }

    fn expect(&mut self, wanted: &str, got: &str, place: &str) {
        match self.matches(wanted, got) {
            Some(captured) => self.variables.extend(captured),
            None => panic!("{place}\n     got {got}"),
        }
    }

    /// Matches a response against a pattern; gives what it captures.
    fn matches(&self, pattern: &str, got: &str) -> Option<Vec<(String, String)>> {
        let mut captured = Vec::new();
        self.match_from(pattern, got, &mut captured).then_some(captured)
    }

    fn match_from(&self, pattern: &str, got: &str, captured: &mut Vec<(String, String)>) -> bool {
        let Some((open, name, rest)) = hole(pattern) else { return pattern == got };
        let Some(got) = got.strip_prefix(&pattern[..open]) else { return false };
        let known = captured
            .iter()
            .find(|(known, _)| known == name)
            .map(|(_, value)| value.clone())
            .or_else(|| self.variables.get(name).cloned());
        if let Some(value) = known.filter(|_| name != "*") {
            return got.strip_prefix(value.as_str()).is_some_and(|got| self.match_from(rest, got, captured));
        }
        if name == "password" {
            return got.strip_prefix(PASSWORD).is_some_and(|got| self.match_from(rest, got, captured));
        }
        let ends = (0..=got.len()).filter(|end| got.is_char_boundary(*end));
        for end in ends {
            let mark = captured.len();
            if name != "*" {
                if got[..end].contains([' ', ')', ']']) || end == 0 {
                    continue;
                }
                captured.push((name.to_owned(), got[..end].to_owned()));
            }
            if self.match_from(rest, &got[end..], captured) {
                return true;
            }
            captured.truncate(mark);
        }
        false
    }

    fn substitute(&self, text: &str) -> String {
        let mut text = text.replace("{password}", PASSWORD);
        for (name, value) in &self.variables {
            text = text.replace(&format!("{{{name}}}"), value);
        }
        text
    }
}

/// The first `{*}` or `{name}` of a pattern: where it opens, its name, and what follows. `{12}` and `{12+}`
/// are literals, not holes.
fn hole(pattern: &str) -> Option<(usize, &str, &str)> {
    let mut from = 0;
    while let Some(open) = pattern[from..].find('{').map(|at| at + from) {
        let close = open + pattern[open..].find('}')?;
        let name = &pattern[open + 1..close];
        let is_name =
            name == "*" || (name.starts_with(|c: char| c.is_ascii_lowercase()) && !name.contains(' '));
        if is_name {
            return Some((open, name, &pattern[close + 1..]));
        }
        from = open + 1;
    }
    None
}

fn unescape(text: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'\\' {
            bytes.push(byte);
            continue;
        }
        match rest.next() {
            Some(b'r') => bytes.push(b'\r'),
            Some(b'n') => bytes.push(b'\n'),
            Some(b't') => bytes.push(b'\t'),
            Some(b'x') => {
                let digits: String = rest.by_ref().take(2).map(char::from).collect();
                bytes.push(u8::from_str_radix(&digits, 16).unwrap());
            }
            Some(b'\\') => bytes.push(b'\\'),
            // A flag: \Seen is written as it is.
            Some(other) => bytes.extend_from_slice(&[b'\\', other]),
            None => bytes.push(b'\\'),
        }
    }
    bytes
}

/// As transcripts write responses: line ends of literals as \r\n, bytes that are not UTF-8 as \xNN.
fn escape(bytes: &[u8]) -> String {
    let mut text = String::new();
    for chunk in bytes.utf8_chunks() {
        for c in chunk.valid().chars() {
            match c {
                '\r' => text.push_str("\\r"),
                '\n' => text.push_str("\\n"),
                c if c.is_control() => text.push_str(&format!("\\x{:02x}", c as u32)),
                c => text.push(c),
            }
        }
        chunk.invalid().iter().for_each(|byte| text.push_str(&format!("\\x{byte:02x}")));
    }
    text
}
