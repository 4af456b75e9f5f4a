//! Flags as responses show them: system flags, keywords, `\Recent`.

use std::hash::{DefaultHasher, Hash, Hasher};

use crate::imap::client::{Client, Selected};
use crate::model::SystemFlags;
use crate::protocol::response::{self, code::Code};
use crate::store::keywords::KeywordTable;
use crate::store::record::Record;

/// The names of a message's flags in the order in which they are shown.
pub fn names<'a>(
    record: &Record,
    keywords: &'a KeywordTable,
    recent: bool,
) -> impl Iterator<Item = &'a str> + use<'a> {
    let system = record.flags.names().map(|name| -> &'a str { name });
    let recent: Option<&'a str> = recent.then_some("\\Recent");
    recent.into_iter().chain(system).chain(keywords.names(record.keywords).map(|keyword| keyword.as_str()))
}

/// FLAGS and PERMANENTFLAGS (RFC 9051 §7.3.5, §7.1), when the keywords are not those that the client knows.
pub fn tell_keywords(session: &mut Selected<'_>, keywords: &KeywordTable) {
    let now = fingerprint(keywords);
    if session.view.keywords_told != now {
        session.view.keywords_told = now;
        write(session.client, keywords, session.view.read_only);
    }
}

/// What stands for a table of keywords and whether it has room: a session need not keep the words that it has told.
#[must_use]
pub fn fingerprint(keywords: &KeywordTable) -> u64 {
    let mut hasher = DefaultHasher::new();
    keywords.all().for_each(|keyword| keyword.as_str().hash(&mut hasher));
    keywords.is_full().hash(&mut hasher);
    hasher.finish()
}

/// Writes FLAGS and PERMANENTFLAGS.
pub fn write(client: &mut Client, keywords: &KeywordTable, read_only: bool) {
    let system = SystemFlags::NAMED.iter().map(|(_, name)| (*name).to_owned());
    let all: Vec<String> = system.chain(keywords.all().map(|keyword| keyword.as_str().to_owned())).collect();
    let mut permanent = if read_only { Vec::new() } else { all.clone() };
    if !read_only && !keywords.is_full() {
        permanent.push("\\*".to_owned());
    }
    response::flags(&mut client.writer(), all.iter().map(String::as_str));
    let text = if read_only { "No flag can be changed" } else { "These flags are kept" };
    client.untagged("OK", Some(Code::PermanentFlags(permanent)), text);
}
