//! Search keys over messages. What the record tells is asked first, then digest and header, then the text:
//! most messages are decided before their content is read.

use std::ops::Range;
use std::rc::Rc;

use crate::imap::refusal::Refusal;
use crate::imap::search::bad_charset;
use crate::imap::view::View;
use crate::mail::digest::{Digest, Part, PartContent};
use crate::mail::text::{Needle, TextMatcher, casemap, decode_charset};
use crate::mail::{date, encoded_word, header, mime_params};
use crate::model::{AccountId, CivilDate, ModSeq, SystemFlags, UidSet};
use crate::protocol::command::search::{DateTest, Key, Search};
use crate::protocol::response::code::Code;
use crate::store::contents::Reading;
use crate::store::emails::{self, ObjectIds};
use crate::store::keywords::KeywordTable;
use crate::store::record::Record;
use crate::store::{Error, Snapshot};

/// A longer string is in no message that anyone looks for.
const LONGEST_NEEDLE: usize = 8 * 1024;
/// So much of a part's header is searched: one that is longer was made to fill memory.
const LONGEST_HEADER: u64 = 256 * 1024;
/// Content is read in pieces of this size.
const PIECE: u64 = 64 * 1024;

/// A search, ready to be tried on messages.
#[derive(Clone, Debug)]
pub struct Filter {
    root: Node,
    names_modseq: bool,
}

#[derive(Clone, Debug)]
enum Node {
    Const(bool),
    And(Vec<Node>),
    Or(Box<Node>, Box<Node>),
    Not(Box<Node>),
    Uids(UidSet),
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
    Header(String, Needle),
    Id(String, bool),
    Body(Needle),
    Text {
        header: Needle,
        body: Needle,
    },
}

/// How much of a message is read.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Level {
    Record,
    Header,
    Content,
}

impl Filter {
    /// Compiles a command against what the client sees.
    ///
    /// # Errors
    /// BADCHARSET; a string that is not in its charset.
    pub fn compile(command: &Search, view: &View, keywords: &KeywordTable) -> Result<Self, Refusal> {
        let charset = command.charset.as_deref().unwrap_or("UTF-8");
        if !crate::mail::text::charset_known(charset) {
            return Err(bad_charset());
        }
        let now = crate::store::unix_now();
        let mut compiler = Compiler { view, keywords, charset, now, names_modseq: false };
        let root = compiler.node(&command.key)?;
        Ok(Filter { root, names_modseq: compiler.names_modseq })
    }

    /// Whether MODSEQ is among its keys: the answer then has one too (RFC 7162 §3.1.5).
    #[must_use]
    pub fn names_modseq(&self) -> bool {
        self.names_modseq
    }

    /// The messages that can fit at all: where the search names some by number or UID, no others are read.
    #[must_use]
    pub fn scope(&self, view: &View) -> UidSet {
        let all = view.uids().to_set().difference(view.pending());
        match &self.root {
            Node::Uids(uids) => all.intersection(uids),
            Node::And(nodes) => nodes.iter().fold(all, |scope, node| match node {
                Node::Uids(uids) => scope.intersection(uids),
                _ => scope,
            }),
            Node::Const(false) => UidSet::new(),
            _ => all,
        }
    }

    /// Whether a message fits.
    ///
    /// # Errors
    /// Of reading.
    pub fn fits(&self, message: &mut Message<'_>) -> Result<bool, Error> {
        for level in [Level::Record, Level::Header, Level::Content] {
            if let Some(decided) = self.root.fits(message, level)? {
                return Ok(decided);
            }
        }
        Ok(false)
    }
}

struct Compiler<'a> {
    view: &'a View,
    keywords: &'a KeywordTable,
    charset: &'a str,
    now: i64,
    names_modseq: bool,
}

impl Compiler<'_> {
    fn node(&mut self, key: &Key) -> Result<Node, Refusal> {
        Ok(match key {
            Key::All => Node::Const(true),
            Key::And(keys) => Node::And(keys.iter().map(|key| self.node(key)).collect::<Result<_, _>>()?),
            Key::Or(a, b) => Node::Or(Box::new(self.node(a)?), Box::new(self.node(b)?)),
            Key::Not(key) => Node::Not(Box::new(self.node(key)?)),
            Key::Numbers(set) => {
                let uids = self.view.uids();
                Node::Uids(uids.select_seqs(&set.resolve(uids.len())).map(|(_, uid)| uid).collect())
            }
            Key::Uids(set) => Node::Uids(self.view.by_uid(set)),
            Key::Saved => Node::Uids(self.view.saved.clone()),
            Key::Flag(flag) => Node::Flag(*flag),
            Key::Keyword(keyword) => match self.keywords.bit(keyword) {
                Some(bit) => Node::Keyword(1 << bit),
                None => Node::Const(false),
            },
            Key::Recent => Node::Uids(self.view.recent().clone()),
            Key::Larger(size) => Node::Larger(*size),
            Key::Smaller(size) => Node::Smaller(*size),
            Key::InternalDate(test, day) => Node::InternalDate(*test, *day),
            Key::SaveDate(test, day) => Node::SaveDate(*test, *day),
            Key::SentDate(test, day) => Node::SentDate(*test, *day),
            Key::Older(seconds) => Node::Before(self.now - i64::from(*seconds)),
            Key::Younger(seconds) => Node::After(self.now - i64::from(*seconds)),
            Key::ModSeq(modseq) => {
                self.names_modseq = true;
                Node::ModSeq(ModSeq(*modseq))
            }
            Key::EmailId(id) => Node::Id(id.clone(), false),
            Key::ThreadId(id) => Node::Id(id.clone(), true),
            Key::Header { name, value } => {
                Node::Header(name.clone(), Needle::new(&one_space(&self.text(value)?)))
            }
            Key::Body(value) => Node::Body(Needle::new(&self.text(value)?)),
            Key::Text(value) => {
                let text = self.text(value)?;
                Node::Text { header: Needle::new(&one_space(&text)), body: Needle::new(&text) }
            }
        })
    }

    fn text(&self, value: &[u8]) -> Result<String, Refusal> {
        if value.len() > LONGEST_NEEDLE {
            return Err(Refusal::no(Code::Limit, "A search string is too long"));
        }
        decode_charset(value, self.charset).ok_or_else(bad_charset)
    }
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
    /// Whether a message fits; `None` if that cannot be said at this level.
    fn fits(&self, message: &mut Message<'_>, level: Level) -> Result<Option<bool>, Error> {
        let record = message.record;
        Ok(Some(match self {
            Node::Const(value) => *value,
            Node::And(nodes) => return all_of(nodes, message, level),
            Node::Or(a, b) => {
                return Ok(match a.fits(message, level)? {
                    Some(true) => Some(true),
                    Some(false) => b.fits(message, level)?,
                    None => b.fits(message, level)?.filter(|fits| *fits),
                });
            }
            Node::Not(node) => return Ok(node.fits(message, level)?.map(|fits| !fits)),
            Node::Uids(uids) => uids.contains(record.uid.get()),
            Node::Flag(flag) => record.flags.contains(*flag),
            Node::Keyword(bit) => record.keywords & bit != 0,
            Node::Larger(size) => record.size > *size,
            Node::Smaller(size) => record.size < *size,
            Node::InternalDate(test, day) => compare(*test, record.internal_date.local_date(), *day),
            Node::SaveDate(test, day) => {
                compare(*test, crate::model::DateTime::utc(record.save_date).local_date(), *day)
            }
            Node::Before(moment) => record.internal_date.unix <= *moment,
            Node::After(moment) => record.internal_date.unix >= *moment,
            Node::ModSeq(modseq) => record.modseq >= *modseq,
            _ if level < Level::Header => return Ok(None),
            Node::SentDate(test, day) => compare(*test, message.sent()?, *day),
            Node::Header(name, needle) => message.header_has(name, needle)?,
            Node::Id(id, thread) => message.id(*thread)? == *id,
            Node::Text { header, .. } if message.any_header_has(header)? => true,
            _ if level < Level::Content => return Ok(None),
            Node::Body(needle) => message.body_has(needle)?,
            Node::Text { header, body } => message.body_has(body)? || message.part_headers_have(header)?,
        }))
    }
}

fn all_of(nodes: &[Node], message: &mut Message<'_>, level: Level) -> Result<Option<bool>, Error> {
    let mut decided = Some(true);
    for node in nodes {
        match node.fits(message, level)? {
            Some(false) => return Ok(Some(false)),
            Some(true) => {}
            None => decided = None,
        }
    }
    Ok(decided)
}

/// A message that is searched, with what was read of it.
pub struct Message<'a> {
    snapshot: &'a Snapshot,
    account: AccountId,
    record: Record,
    digest: Option<Rc<Digest>>,
    header: Option<Vec<u8>>,
    /// What [`header_text`] makes of it: asked for more than once, and by each string that is searched for.
    header_text: Option<String>,
    /// What was inflated last: the parts of a small message lie in one frame.
    reading: Reading,
}

impl<'a> Message<'a> {
    /// Of which nothing was read but its record.
    #[must_use]
    pub fn new(snapshot: &'a Snapshot, account: AccountId, record: Record) -> Self {
        Message {
            snapshot,
            account,
            record,
            digest: None,
            header: None,
            header_text: None,
            reading: Reading::default(),
        }
    }

    fn digest(&mut self) -> Result<Rc<Digest>, Error> {
        if let Some(digest) = &self.digest {
            return Ok(Rc::clone(digest));
        }
        let digest = Rc::new(self.snapshot.digest(self.record.email)?);
        Ok(Rc::clone(self.digest.insert(digest)))
    }

    fn header(&mut self) -> Result<&[u8], Error> {
        if self.header.is_none() {
            self.header = Some(self.snapshot.header_on(self.record.email, &mut self.reading)?);
        }
        Ok(self.header.as_deref().unwrap_or_default())
    }

    /// The day of its Date field in the sender's zone; without one the day on which it came.
    fn sent(&mut self) -> Result<CivilDate, Error> {
        let received = self.record.internal_date;
        let date = self.digest()?.envelope.date.as_deref().and_then(date::parse_date);
        Ok(date.unwrap_or(received).local_date())
    }

    fn header_has(&mut self, name: &str, needle: &Needle) -> Result<bool, Error> {
        let found = header::fields(self.header()?).filter(|field| field.is(name));
        Ok(found.into_iter().any(|field| value_has(field.value, needle)))
    }

    fn any_header_has(&mut self, needle: &Needle) -> Result<bool, Error> {
        if self.header_text.is_none() {
            self.header_text = Some(header_text(self.header()?));
        }
        Ok(needle.is_in_mapped(self.header_text.as_deref().unwrap_or_default()))
    }

    fn id(&self, thread: bool) -> Result<String, Error> {
        let row = emails::get(self.snapshot, self.record.email)?.ok_or(Error::NotFound("message content"))?;
        let ids = ObjectIds::load(self.snapshot, self.account)?;
        Ok(if thread { ids.thread(&row) } else { ids.email(&row) }.to_string())
    }

    /// Its text parts, those of messages in it too, and no header field (RFC 9051 §6.4.4, BODY).
    fn body_has(&mut self, needle: &Needle) -> Result<bool, Error> {
        if needle.is_empty() {
            return Ok(true);
        }
        let digest = self.digest()?;
        self.any_part(&digest.root, &mut |message, part| match part.content {
            // Delivery reports are text, and so is a message that came encoded.
            PartContent::Leaf if matches!(part.media_type.as_str(), "text" | "message") => {
                message.text_has(part, needle)
            }
            _ => Ok(false),
        })
    }

    /// The MIME header fields of its parts and the headers of messages in it (RFC 9051 §6.4.4, TEXT), and the
    /// names of attachments, which MIME encodes in ways of its own.
    fn part_headers_have(&mut self, needle: &Needle) -> Result<bool, Error> {
        let digest = self.digest()?;
        let own = &digest.root.header;
        self.any_part(&digest.root, &mut |message, part| {
            if file_name(part).is_some_and(|name| value_has(&name, needle)) {
                return Ok(true);
            }
            if part.header == *own || part.header.is_empty() {
                return Ok(false);
            }
            let mut header = Vec::new();
            let end = part.header.end.min(part.header.start + LONGEST_HEADER);
            message.read(part.header.start..end, &mut header)?;
            Ok(needle.is_in_mapped(&header_text(&header)))
        })
    }

    /// Whether one of the parts has something.
    fn any_part(&mut self, part: &Part, has: &mut PartTest<'_, 'a>) -> Result<bool, Error> {
        if has(self, part)? {
            return Ok(true);
        }
        match &part.content {
            PartContent::Leaf => Ok(false),
            PartContent::Message(inner) => self.any_part(&inner.1, has),
            PartContent::Multipart(parts) => {
                for part in parts {
                    if self.any_part(part, has)? {
                        return Ok(true);
                    }
                }
                Ok(false)
            }
        }
    }

    fn text_has(&mut self, part: &Part, needle: &Needle) -> Result<bool, Error> {
        let mut matcher = TextMatcher::new(part, needle);
        let (mut at, mut raw) = (part.body.start, Vec::new());
        while at < part.body.end {
            let end = part.body.end.min(at + PIECE);
            raw.clear();
            self.read(at..end, &mut raw)?;
            if matcher.push(&raw) {
                return Ok(true);
            }
            at = end;
        }
        Ok(matcher.finish())
    }

    fn read(&mut self, range: Range<u64>, out: &mut Vec<u8>) -> Result<(), Error> {
        self.snapshot.read_on(self.record.email, &mut self.reading, range, out)
    }
}

type PartTest<'t, 'a> = dyn FnMut(&mut Message<'a>, &Part) -> Result<bool, Error> + 't;

fn value_has(value: &[u8], needle: &Needle) -> bool {
    needle.is_empty() || needle.is_in(&one_space(&encoded_word::decode(&header::unfold(value))))
}

/// White space in header fields is one space, in what is searched as in what is searched for: where a line was
/// folded, with a tab for one, is nothing that anybody knows.
fn one_space(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            ' ' | '\t' if out.ends_with(' ') => {}
            ' ' | '\t' => out.push(' '),
            c => out.push(c),
        }
    }
    out
}

/// The fields as a reader sees them, mapped for comparing. What ends a field can be in no string that is
/// searched for (RFC 9051 §9, `CHAR`).
fn header_text(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    for field in header::fields(bytes) {
        text.push_str(&String::from_utf8_lossy(field.name));
        text.push_str(": ");
        text.push_str(&one_space(&encoded_word::decode(&header::unfold(field.value))));
        text.push('\0');
    }
    casemap(&text)
}

fn file_name(part: &Part) -> Option<Vec<u8>> {
    let disposition = part.disposition.as_ref().and_then(|(_, params)| mime_params::find(params, "filename"));
    disposition.or_else(|| mime_params::find(&part.params, "name"))
}
