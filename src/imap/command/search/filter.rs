//! Search keys, compiled: what each asks of a message, and what can be said of it from what is known so far.

use std::collections::HashMap;
use std::sync::Arc;

use crate::imap::command::search::facts::{Facts, Level, one_space};
use crate::imap::refusal::Stop;
use crate::mail::charset::{charset_known, decode_charset};
use crate::mail::needles::{Collector, NeedleId, Needles};
use crate::mail::text::{Needle, casemap};
use crate::model::{CivilDate, DateTime, ModSeq, SequenceSet, SystemFlags, UidList, UidSet};
use crate::protocol::command::search::{DateTest, Key, Search};
use crate::protocol::response::code::Code;
use crate::store::keywords::KeywordTable;

/// A longer string is in no message that anyone looks for.
const LONGEST_STRING: usize = 8 * 1024;
/// All strings of a search together, as they are compared.
const LONGEST_STRINGS: usize = 64 * 1024;
/// Keys that ask for header fields: each is compared with each field of its name.
const MOST_FIELDS: usize = 1_000;
/// So many sets of UIDs narrow what is read at all; the others are asked of each message.
const NARROWING: usize = 16;

/// A search, ready to be tried on messages.
#[derive(Debug)]
pub struct Filter {
    root: Node,
    /// Searched for in headers, and in bodies.
    pub headers: Needles,
    pub bodies: Needles,
    /// By the field's name in lower case: what its value must have.
    pub fields: HashMap<Vec<u8>, Vec<(usize, Needle)>>,
    /// How many keys there are in `fields`.
    pub field_keys: usize,
    /// Whether the date that the sender wrote is asked for, and object ids.
    pub asks_sent: bool,
    pub asks_ids: bool,
}

#[derive(Debug)]
enum Node {
    Const(bool),
    And(Vec<Node>),
    Or(Box<Node>, Box<Node>),
    Not(Box<Node>),
    Numbers(UidSet),
    Uids(Arc<UidSet>),
    Saved(Arc<UidList>),
    Flag(SystemFlags),
    Keyword(u64),
    Larger(u64),
    Smaller(u64),
    InternalDate(DateTest, CivilDate),
    SaveDate(DateTest, CivilDate),
    /// Received at or before this moment.
    Before(i64),
    /// Received at it or after it.
    After(i64),
    ModSeq(ModSeq),
    SentDate(DateTest, CivilDate),
    Field(usize),
    ContentId(String),
    ThreadId(String),
    Body(NeedleId),
    Text {
        header: NeedleId,
        body: NeedleId,
    },
}

/// What the client sees, against which a search is compiled.
#[derive(Clone, Debug)]
pub struct Seen {
    /// Its messages.
    pub numbers: UidList,
    /// Those of them that are gone.
    pub pending: UidList,
    /// `$`
    pub saved: Arc<UidList>,
    /// Those that are `\Recent`.
    pub recent: Arc<UidSet>,
}

impl Filter {
    /// Compiles a command against what the client sees.
    ///
    /// # Errors
    /// BADCHARSET; a string that is not in its charset; LIMIT.
    pub fn compile(command: &Search, seen: &Seen, keywords: &KeywordTable) -> Result<Self, Stop> {
        let charset = command.charset.as_deref().unwrap_or("UTF-8");
        if !charset_known(charset) {
            return Err(bad_charset());
        }
        let now = crate::store::unix_now();
        let (headers, bodies, fields) = Default::default();
        let (asks_sent, asks_ids, field_keys) = Default::default();
        let mut compiler = Compiler {
            seen,
            keywords,
            charset,
            now,
            headers,
            bodies,
            fields,
            field_keys,
            strings: 0,
            asks_sent,
            asks_ids,
        };
        let root = compiler.node(&command.key)?;
        Ok(Filter {
            root,
            headers: compiler.headers.finish(),
            bodies: compiler.bodies.finish(),
            fields: compiler.fields,
            field_keys: compiler.field_keys,
            asks_sent: compiler.asks_sent,
            asks_ids: compiler.asks_ids,
        })
    }

    /// The messages that can fit at all: where the search names some by number or UID, no others are read.
    #[must_use]
    pub fn scope(&self, seen: &Seen) -> UidList {
        let narrowed = |scope: UidList, node: &Node| match node {
            Node::Uids(uids) => scope.only(uids),
            Node::Saved(uids) => scope.intersection(uids),
            Node::Numbers(numbers) if scope.len() == seen.numbers.len() => seen.numbers.numbered(numbers),
            Node::Numbers(numbers) => scope.intersection(&seen.numbers.numbered(numbers)),
            _ => scope,
        };
        let all = seen.numbers.clone();
        let scope = match &self.root {
            Node::Const(false) => UidList::default(),
            Node::And(nodes) => {
                let named = |node: &&Node| matches!(node, Node::Uids(_) | Node::Saved(_) | Node::Numbers(_));
                nodes.iter().filter(named).take(NARROWING).fold(all, narrowed)
            }
            node => narrowed(all, node),
        };
        scope.without(&seen.pending)
    }

    /// Whether a message fits; `None` if that cannot be said from what is known of it.
    #[must_use]
    pub fn decide(&self, facts: &Facts) -> Option<bool> {
        self.root.decide(facts)
    }
}

struct Compiler<'a> {
    seen: &'a Seen,
    keywords: &'a KeywordTable,
    charset: &'a str,
    now: i64,
    headers: Collector,
    bodies: Collector,
    fields: HashMap<Vec<u8>, Vec<(usize, Needle)>>,
    field_keys: usize,
    /// Bytes of what is searched for in fields.
    strings: usize,
    asks_sent: bool,
    asks_ids: bool,
}

impl Compiler<'_> {
    fn node(&mut self, key: &Key) -> Result<Node, Stop> {
        let node = match key {
            Key::All => Node::Const(true),
            Key::And(keys) => Node::And(keys.iter().map(|key| self.node(key)).collect::<Result<_, _>>()?),
            Key::Or(a, b) => Node::Or(Box::new(self.node(a)?), Box::new(self.node(b)?)),
            Key::Not(key) => Node::Not(Box::new(self.node(key)?)),
            Key::Numbers(set) => Node::Numbers(set.resolve(self.seen.numbers.len())),
            Key::Uids(set) => Node::Uids(Arc::new(self.uids(set))),
            Key::Saved => Node::Saved(Arc::clone(&self.seen.saved)),
            Key::Flag(flag) => Node::Flag(*flag),
            Key::Keyword(keyword) => match self.keywords.bit(keyword) {
                Some(bit) => Node::Keyword(1 << bit),
                None => Node::Const(false),
            },
            Key::Recent => Node::Uids(Arc::clone(&self.seen.recent)),
            Key::Larger(size) => Node::Larger(*size),
            Key::Smaller(size) => Node::Smaller(*size),
            Key::InternalDate(test, day) => Node::InternalDate(*test, *day),
            Key::SaveDate(test, day) => Node::SaveDate(*test, *day),
            Key::SentDate(test, day) => {
                self.asks_sent = true;
                Node::SentDate(*test, *day)
            }
            Key::Older(seconds) => Node::Before(self.now - i64::from(*seconds)),
            Key::Younger(seconds) => Node::After(self.now - i64::from(*seconds)),
            Key::ModSeq(modseq) => Node::ModSeq(ModSeq(*modseq)),
            Key::EmailId(id) => {
                self.asks_ids = true;
                Node::ContentId(id.clone())
            }
            Key::ThreadId(id) => {
                self.asks_ids = true;
                Node::ThreadId(id.clone())
            }
            Key::Header { name, value } => self.field(name, value)?,
            Key::Body(value) => {
                let text = self.text(value)?;
                // An empty string is in every message.
                if casemap(&text).is_empty() { Node::Const(true) } else { Node::Body(self.bodies.add(&text)) }
            }
            Key::Text(value) => {
                let text = self.text(value)?;
                if casemap(&text).is_empty() {
                    Node::Const(true)
                } else {
                    Node::Text { header: self.headers.add(&one_space(&text)), body: self.bodies.add(&text) }
                }
            }
        };
        if self.too_long() { Err(too_long()) } else { Ok(node) }
    }

    /// As the client's text has them, `*` resolved: only messages that it sees are asked about.
    fn uids(&self, set: &SequenceSet) -> UidSet {
        set.resolve(self.seen.numbers.last().map_or(0, crate::model::Uid::get))
    }

    fn field(&mut self, name: &str, value: &[u8]) -> Result<Node, Stop> {
        let text = one_space(&self.text(value)?);
        self.strings += text.len();
        if self.field_keys == MOST_FIELDS {
            return Err(Stop::no(Code::Limit, "A search names too many header fields"));
        }
        let key = self.field_keys;
        self.field_keys += 1;
        let keys = self.fields.entry(name.to_ascii_lowercase().into_bytes()).or_default();
        keys.push((key, Needle::new(&text)));
        Ok(Node::Field(key))
    }

    fn text(&self, value: &[u8]) -> Result<String, Stop> {
        if value.len() > LONGEST_STRING {
            return Err(too_long());
        }
        decode_charset(value, self.charset).ok_or_else(bad_charset)
    }

    fn too_long(&self) -> bool {
        self.strings.max(self.headers.bytes()).max(self.bodies.bytes()) > LONGEST_STRINGS
    }
}

/// The refusal of a charset that is not known.
fn bad_charset() -> Stop {
    let known = vec![
        "UTF-8",
        "US-ASCII",
        "ISO-8859-1",
        "ISO-8859-15",
        "WINDOWS-1252",
        "ISO-2022-JP",
        "SHIFT_JIS",
        "EUC-JP",
        "GB18030",
        "BIG5",
        "EUC-KR",
        "KOI8-R",
    ];
    Stop::no(Code::BadCharset(known), "This charset is not known")
}

fn too_long() -> Stop {
    Stop::no(Code::Limit, "A search string is too long, or there are too many")
}

fn compare(test: DateTest, day: CivilDate, wanted: CivilDate) -> bool {
    let (day, wanted) = (day.days_since_epoch(), wanted.days_since_epoch());
    match test {
        DateTest::Before => day < wanted,
        DateTest::On => day == wanted,
        DateTest::Since => day >= wanted,
    }
}

impl Node {
    fn decide(&self, facts: &Facts) -> Option<bool> {
        let record = &facts.record;
        // Of what is looked for and not found nothing can be said before all was looked at.
        let sought = |found: bool, level: Level| (found || facts.level >= level).then_some(found);
        Some(match self {
            Node::Const(value) => *value,
            Node::And(nodes) => return all_of(nodes, facts),
            Node::Or(a, b) => {
                return match a.decide(facts) {
                    Some(true) => Some(true),
                    Some(false) => b.decide(facts),
                    None => b.decide(facts).filter(|fits| *fits),
                };
            }
            Node::Not(node) => return node.decide(facts).map(|fits| !fits),
            Node::Numbers(numbers) => numbers.contains(facts.number.get()),
            Node::Uids(uids) => uids.contains(record.uid.get()),
            Node::Saved(uids) => uids.contains(record.uid),
            Node::Flag(flag) => record.flags.contains(*flag),
            Node::Keyword(bit) => record.keywords & bit != 0,
            Node::Larger(size) => record.size > *size,
            Node::Smaller(size) => record.size < *size,
            Node::InternalDate(test, day) => compare(*test, record.internal_date.local_date(), *day),
            Node::SaveDate(test, day) => compare(*test, DateTime::utc(record.save_date).local_date(), *day),
            Node::Before(moment) => record.internal_date.unix <= *moment,
            Node::After(moment) => record.internal_date.unix >= *moment,
            Node::ModSeq(modseq) => record.modseq >= *modseq,
            Node::SentDate(test, day) => compare(*test, facts.sent?, *day),
            Node::ContentId(id) => facts.ids.as_ref()?.0 == *id,
            Node::ThreadId(id) => facts.ids.as_ref()?.1 == *id,
            Node::Field(key) => return sought(facts.has_field(*key), Level::Header),
            Node::Body(needle) => return sought(facts.body_has(*needle), Level::Content),
            Node::Text { header, body } => {
                return sought(facts.header_has(*header) || facts.body_has(*body), Level::Content);
            }
        })
    }
}

fn all_of(nodes: &[Node], facts: &Facts) -> Option<bool> {
    let mut decided = Some(true);
    for node in nodes {
        match node.decide(facts) {
            Some(false) => return Some(false),
            Some(true) => {}
            None => decided = None,
        }
    }
    decided
}
