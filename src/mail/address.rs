//! Addresses (RFC 5322 §3.4), groups, and what programs write in their place.

use super::digest::{Address, split_route};
use super::{encoded_word, header};

/// More addresses than any real message has.
const MOST: usize = 5_000;
/// Comments are nested no deeper.
const DEEPEST: usize = 32;

/// Reads an address list. What is no address is read as well as it can be; nothing fails.
#[must_use]
pub fn parse_list(value: &[u8]) -> Vec<Address> {
    let mut parser = Parser { rest: value, found: Vec::new() };
    parser.list();
    parser.found
}

/// A piece of an address.
enum Token {
    Word(Vec<u8>),
    Quoted(Vec<u8>),
    Comment(Vec<u8>),
    Special(u8),
}

struct Parser<'a> {
    rest: &'a [u8],
    found: Vec<Address>,
}

/// What was read since the last separator.
#[derive(Default)]
struct Pending {
    /// Words, with whether each follows white space.
    words: Vec<(Vec<u8>, bool)>,
    comment: Option<Vec<u8>>,
    /// What stood between `<` and `>`.
    route: Option<Vec<u8>>,
}

impl Pending {
    fn phrase(&self) -> Vec<u8> {
        let mut out = Vec::new();
        for (word, spaced) in &self.words {
            if *spaced && !out.is_empty() {
                out.push(b' ');
            }
            out.extend_from_slice(word);
        }
        out
    }

    /// The address that was read, if any.
    fn address(self) -> Option<Address> {
        let phrase = self.phrase();
        if let Some(route) = &self.route {
            let name = if phrase.is_empty() { self.comment } else { Some(phrase) };
            return Some(split(name, route));
        }
        if phrase.is_empty() {
            return None;
        }
        let spec: Vec<u8> = self.words.into_iter().flat_map(|(word, _)| word).collect();
        Some(if spec.contains(&b'@') { split(self.comment, &spec) } else { split(self.comment, &phrase) })
    }
}

/// Addresses as ENVELOPE has them, without what may stand between their parts: what SEARCH FROM, TO, CC and BCC look
/// in besides the field (RFC 9051 §6.4.4, "the envelope structure's FROM field").
#[must_use]
pub fn plain(value: &[u8]) -> String {
    let text = |bytes: &[u8]| encoded_word::decode(bytes);
    let mut out = String::new();
    for address in parse_list(value) {
        match address {
            Address::Mailbox { name, mailbox, host, .. } => {
                out.extend(name.map(|name| text(&name) + " "));
                out.extend(["<", &text(&mailbox), "@", &text(&host), ">\n"]);
            }
            Address::GroupStart(name) => out.extend([&text(&name), ":\n"]),
            Address::GroupEnd => {}
        }
    }
    out
}

fn split(name: Option<Vec<u8>>, spec: &[u8]) -> Address {
    let (route, spec) = split_route(spec);
    let (mailbox, host) = match spec.iter().rposition(|byte| *byte == b'@') {
        Some(at) => (&spec[..at], &spec[at + 1..]),
        None => (spec, &b""[..]),
    };
    Address::Mailbox {
        name: name.filter(|name| !name.is_empty()),
        route: route.map(<[u8]>::to_vec),
        mailbox: mailbox.to_vec(),
        host: host.to_vec(),
    }
}

impl Parser<'_> {
    fn list(&mut self) {
        let (mut pending, mut in_group) = (Pending::default(), false);
        while self.found.len() < MOST {
            let spaced = self.skip_space();
            let Some(token) = self.token() else { break };
            match token {
                Token::Word(word) | Token::Quoted(word) => pending.words.push((word, spaced)),
                Token::Comment(text) => pending.comment = Some(text),
                Token::Special(b'<') => {
                    let route = self.route();
                    if pending.route.is_some() {
                        self.found.extend(std::mem::take(&mut pending).address());
                    }
                    pending.route = Some(route);
                }
                Token::Special(b',') => self.found.extend(std::mem::take(&mut pending).address()),
                Token::Special(b':') if !in_group && pending.route.is_none() && !pending.words.is_empty() => {
                    self.found.push(Address::GroupStart(std::mem::take(&mut pending).phrase()));
                    in_group = true;
                }
                Token::Special(b';') => {
                    self.found.extend(std::mem::take(&mut pending).address());
                    if std::mem::take(&mut in_group) {
                        self.found.push(Address::GroupEnd);
                    }
                }
                Token::Special(other) => pending.words.push((vec![other], spaced)),
            }
        }
        self.found.extend(pending.address());
        if in_group {
            self.found.push(Address::GroupEnd);
        }
    }

    fn skip_space(&mut self) -> bool {
        let before = self.rest.len();
        self.rest = self.rest.trim_ascii_start();
        self.rest.len() != before
    }

    fn token(&mut self) -> Option<Token> {
        let (first, after) = self.rest.split_first()?;
        Some(match first {
            b'"' => {
                self.rest = after;
                Token::Quoted(self.until_quote())
            }
            b'(' => {
                self.rest = after;
                Token::Comment(self.comment())
            }
            b'<' | b'>' | b',' | b':' | b';' => {
                self.rest = after;
                Token::Special(*first)
            }
            _ => {
                let special = |byte: &u8| byte.is_ascii_whitespace() || b"\"(<>,:;".contains(byte);
                // `[` begins a domain literal, in which colons are no separators.
                let end = if *first == b'[' {
                    self.rest.iter().position(|byte| *byte == b']').map_or(self.rest.len(), |at| at + 1)
                } else {
                    let end = self.rest.iter().position(special).unwrap_or(self.rest.len());
                    match self.rest[..end].iter().position(|byte| *byte == b'[') {
                        Some(at) if at > 0 => at,
                        _ => end,
                    }
                };
                let (word, rest) = self.rest.split_at(end.max(1));
                self.rest = rest;
                Token::Word(word.to_vec())
            }
        })
    }

    fn until_quote(&mut self) -> Vec<u8> {
        header::quoted(&mut self.rest)
    }

    fn comment(&mut self) -> Vec<u8> {
        let (mut out, mut depth) = (Vec::new(), 1);
        while let Some((byte, after)) = self.rest.split_first() {
            self.rest = after;
            match byte {
                b'(' if depth < DEEPEST => depth += 1,
                b')' => depth -= 1,
                b'\\' => {
                    if let Some((escaped, after)) = self.rest.split_first() {
                        out.push(*escaped);
                        self.rest = after;
                    }
                    continue;
                }
                _ => {}
            }
            if depth == 0 {
                break;
            }
            if !matches!(byte, b'\r' | b'\n') {
                out.push(*byte);
            }
        }
        out.trim_ascii().to_vec()
    }

    /// Up to `>`, or to the end.
    fn route(&mut self) -> Vec<u8> {
        let mut out = Vec::new();
        while let Some((byte, after)) = self.rest.split_first() {
            match byte {
                b'>' => {
                    self.rest = after;
                    break;
                }
                b'"' => {
                    self.rest = after;
                    out.extend(self.until_quote());
                }
                b'(' => {
                    self.rest = after;
                    self.comment();
                }
                _ => {
                    self.rest = after;
                    if !byte.is_ascii_whitespace() {
                        out.push(*byte);
                    }
                }
            }
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(value: &str) -> Vec<String> {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        parse_list(value.as_bytes())
            .iter()
            .map(|address| match address {
                Address::Mailbox { name, route, mailbox, host } => {
                    let name = name.as_ref().map(|name| format!("{}=", text(name))).unwrap_or_default();
                    let route = route.as_ref().map(|route| format!("{}:", text(route))).unwrap_or_default();
                    format!("{name}{route}{}@{}", text(mailbox), text(host))
                }
                Address::GroupStart(name) => format!("{}:", text(name)),
                Address::GroupEnd => ";".to_owned(),
            })
            .collect()
    }

    #[test]
    fn examples_of_the_rfc() {
        assert_eq!(shown("John Doe <jdoe@machine.example>"), ["John Doe=jdoe@machine.example"]);
        assert_eq!(
            shown("\"Joe Q. Public\" <john.q.public@example.com>"),
            ["Joe Q. Public=john.q.public@example.com"]
        );
        assert_eq!(shown("Mary Smith <mary@x.test>, jdoe@example.org, Who? <one@y.test>").len(), 3);
        assert_eq!(
            shown("<boss@nil.test>, \"Giant; \\\"Big\\\" Box\" <sysservices@example.net>")[1],
            "Giant; \"Big\" Box=sysservices@example.net"
        );
        assert_eq!(
            shown("A Group:Ed Jones <joe@where.test>,joe@where.test;"),
            ["A Group:", "Ed Jones=joe@where.test", "joe@where.test", ";"]
        );
        assert_eq!(shown("Undisclosed recipients:;"), ["Undisclosed recipients:", ";"]);
        assert_eq!(
            shown("Pete(A nice \\) chap) <pete(his account)@silly.test(his host)>"),
            ["Pete=pete@silly.test"]
        );
        assert_eq!(
            shown("Mary Smith <@node.test:mary@example.net>"),
            ["Mary Smith=@node.test:mary@example.net"]
        );
        assert_eq!(shown("<@a, @[IPv6:::1] : b@c>"), ["@a,@[IPv6:::1]:b@c"]);
        assert_eq!(shown("jdoe@test  . example"), ["jdoe@test.example"]);
    }

    #[test]
    fn plain_addresses() {
        let found = plain(
            b"\"Anna \\\"A\\\"\" <anna (at work)@ (home) example.org>, G: =?utf-8?Q?J=C3=B6?= <j @ x>;",
        );
        assert_eq!(found, "Anna \"A\" <anna@example.org>\nG:\nJö <j@x>\n");
    }

    #[test]
    fn what_programs_write() {
        assert_eq!(shown("user@host (Real Name)"), ["Real Name=user@host"]);
        assert_eq!(shown("=?utf-8?Q?M=C3=BCller?= <m@x>"), ["=?utf-8?Q?M=C3=BCller?==m@x"]);
        assert_eq!(shown("Foo <bar"), ["Foo=bar@"]);
        assert_eq!(shown("undisclosed"), ["undisclosed@"]);
        assert_eq!(shown("a@[1.2.3.4], b@[IPv6:::1]"), ["a@[1.2.3.4]", "b@[IPv6:::1]"]);
        assert_eq!(shown("\"a b\"@x"), ["a b@x"]);
        assert_eq!(shown("Doe, John <j@x>"), ["Doe@", "John=j@x"]);
        assert_eq!(shown("<>"), ["@"]);
        assert!(shown("").is_empty() && shown(" , ,, ").is_empty());
        assert_eq!(shown("a@b,".repeat(9_000).as_str()).len(), MOST);
    }

    #[test]
    fn any_bytes() {
        let mut seed = 9_u32;
        for _ in 0..20_000 {
            let bytes: Vec<u8> = (0..20)
                .map(|_| {
                    seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                    b"ab@.,:;<>()\"\\[] \r\n\xff\0"[(seed >> 16) as usize % 20]
                })
                .collect();
            assert!(parse_list(&bytes).len() <= 40);
        }
    }
}
