//! SEARCH (RFC 9051 §6.4.4), ESEARCH (RFC 4731), SEARCHRES (RFC 5182).

use std::collections::VecDeque;
use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use crate::imap::expunge::slices;
use crate::imap::refusal::{Condition, Refusal};
use crate::imap::search_key::{Filter, Message};
use crate::imap::session::{Done, Session};
use crate::model::{AccountId, MailboxId, UidSet};
use crate::protocol::command::Tag;
use crate::protocol::command::search::{ReturnOptions, Search};
use crate::protocol::response::code::Code;
use crate::protocol::response::search::{self, Esearch};
use crate::store::keywords::KeywordTable;
use crate::store::record::Record;
use crate::store::{Error, Snapshot, contained, messages};

/// A search gives the reader up so often, for others and to see whether its client is still there.
const STEP: Duration = Duration::from_millis(50);
/// Of so many messages that cannot be searched the log tells each.
const TOLD: u64 = 100;
/// Records that are read at a time.
const BATCH: usize = 512;

/// Messages that fit, with their modseqs where those were asked for.
#[derive(Default)]
struct Found {
    uids: UidSet,
    modseqs: Vec<(u32, u64)>,
    /// Messages that could not be read, and why the first could not.
    unread: u64,
    why: Option<Error>,
}

/// A search that can be left and gone on with.
struct Run {
    account: AccountId,
    mailbox: MailboxId,
    filter: Filter,
    /// With which the filter was compiled.
    keywords: KeywordTable,
    todo: Box<dyn Iterator<Item = UidSet> + Send>,
    batch: VecDeque<Record>,
    found: Found,
    with_modseq: bool,
}

/// SEARCH and UID SEARCH.
///
/// # Errors
/// BADCHARSET, and those of the store.
pub async fn run(session: &mut Session, tag: &Tag, command: Search) -> Result<Done, Refusal> {
    let other_charset = command.charset.as_ref().is_some_and(|name| !name.eq_ignore_ascii_case("UTF-8"));
    if session.enabled.utf8 && other_charset {
        // Every string of this client is UTF-8 (RFC 9755 §3); where it says no more than that, it does no harm.
        return Err(Refusal::bad("With UTF8=ACCEPT a search has no other charset than UTF-8"));
    }
    let found = match find(session, &command).await {
        Ok(found) => found,
        Err(refusal) => {
            if command.options.is_some_and(|options| options.save) && refusal.condition == Condition::No {
                // RFC 5182 §2.1: a search that is answered NO leaves nothing saved; one that is BAD what was.
                session.view_mut()?.saved = UidSet::new();
            }
            return Err(refusal);
        }
    };
    answer(session, tag, &command, &found)?;
    warn(session, &found);
    Ok(Done::ok("SEARCH completed"))
}

async fn find(session: &mut Session, command: &Search) -> Result<Found, Refusal> {
    let mailbox = session.view()?.mailbox;
    let keywords = session.shared.pool.read(move |snapshot| messages::keywords(snapshot, mailbox)).await?;
    let view = session.view()?;
    let filter = Filter::compile(command, view, &keywords)?;
    let with_modseq = filter.names_modseq();
    let scope = filter.scope(view);
    let run = Run {
        account: view.account,
        mailbox,
        filter,
        keywords,
        todo: Box::new(slices(&scope, BATCH)),
        batch: VecDeque::new(),
        found: Found::default(),
        with_modseq,
    };
    session.enabled.condstore |= with_modseq;
    search(session, run).await
}

async fn search(session: &mut Session, mut run: Run) -> Result<Found, Refusal> {
    loop {
        let (back, more) = session
            .shared
            .pool
            .read(move |snapshot| {
                let mut run = run;
                let more = run.step(snapshot);
                more.map(|more| (run, more))
            })
            .await?;
        run = back;
        if !more {
            return Ok(run.found);
        }
        if session.io.has_hung_up().await {
            return Err(Refusal::hangup("gone during a search"));
        }
    }
}

impl Run {
    /// Searches for a while. Whether there is more.
    fn step(&mut self, snapshot: &Snapshot) -> Result<bool, Error> {
        let until = Instant::now() + STEP;
        while Instant::now() < until {
            let Some(record) = self.batch.pop_front() else {
                let Some(wanted) = self.todo.next() else { return Ok(false) };
                let batch = &mut self.batch;
                let known = messages::keywords_agreeing(snapshot, self.mailbox, &self.keywords)?;
                messages::select(snapshot, self.mailbox, &wanted, &mut |record| {
                    batch.push_back(Record { keywords: record.keywords & known, ..*record });
                    Ok(ControlFlow::Continue(()))
                })?;
                continue;
            };
            let mut message = Message::new(snapshot, self.account, record);
            match contained("a message could not be searched", || self.filter.fits(&mut message)) {
                Ok(true) => {
                    self.found.uids.insert(record.uid);
                    if self.with_modseq {
                        self.found.modseqs.push((record.uid.get(), record.modseq.0));
                    }
                }
                Ok(false) => {}
                Err(Error::Closed) => return Err(Error::Closed),
                // One that cannot be read is not found; the others are, and the client hears of it.
                Err(error) => {
                    self.found.unread += 1;
                    if self.found.unread <= TOLD {
                        tracing::error!(uid = record.uid.get(), %error, "a message cannot be searched");
                    }
                    self.found.why.get_or_insert(error);
                }
            }
        }
        Ok(true)
    }
}

fn answer(session: &mut Session, tag: &Tag, command: &Search, found: &Found) -> Result<(), Refusal> {
    let rev2 = session.enabled.rev2;
    let options = command.options;
    if let Some(options) = options.filter(|options| options.save) {
        session.view_mut()?.saved = saved(options, &found.uids);
    }
    let view = session.view()?;
    let told: UidSet = if command.uid {
        found.uids.clone()
    } else {
        view.uids().select_uids(&found.uids).map(|(number, _)| number.get()).collect()
    };
    let highest = |uids: &UidSet| {
        found.modseqs.iter().filter(|(uid, _)| uids.contains(*uid)).map(|(_, modseq)| *modseq).max()
    };
    let shown = options.map_or_else(|| found.uids.clone(), |options| named(options, &found.uids));
    // With SAVE alone nothing is shown.
    let modseq = highest(&shown);
    if let Some(modseq) = modseq {
        session.view_mut()?.note_sent(crate::model::ModSeq(modseq));
    }
    match options {
        None if !rev2 => search::search(&mut session.writer(), &told, modseq),
        // RFC 5182 §2.1: SAVE alone is not answered.
        Some(ReturnOptions { min: false, max: false, all: false, count: false, save: true }) => {}
        options => {
            let options = options.unwrap_or(ReturnOptions { all: true, ..ReturnOptions::default() });
            let response = Esearch {
                min: told.first().filter(|_| options.min),
                max: told.last().filter(|_| options.max),
                all: options.all.then_some(&told),
                count: options.count.then(|| told.len()),
                modseq,
            };
            search::esearch(&mut session.writer(), tag.as_str(), command.uid, &response);
        }
    }
    Ok(())
}

/// An untagged NO is a warning beside what was found (RFC 9051 §7.1.2): a tagged one would take the result away
/// from a client for one damaged message of thousands.
fn warn(session: &mut Session, found: &Found) {
    if let Some(why) = &found.why {
        let text = format!("{} messages could not be searched; of the first: {why}", found.unread);
        session.untagged("NO", None, &text);
    }
}

/// What SAVE saves: with MIN and MAX alone only those (RFC 5182 §2.4).
fn saved(options: ReturnOptions, found: &UidSet) -> UidSet {
    if options.all || options.count || !(options.min || options.max) {
        found.clone()
    } else {
        named(options, found)
    }
}

/// The messages that the response names, for its MODSEQ (RFC 4731 §3.2).
fn named(options: ReturnOptions, found: &UidSet) -> UidSet {
    if options.all || options.count {
        return found.clone();
    }
    let ends = [found.first().filter(|_| options.min), found.last().filter(|_| options.max)];
    ends.into_iter().flatten().collect()
}

/// The refusal of a charset that is not known.
#[must_use]
pub fn bad_charset() -> Refusal {
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
    Refusal::no(Code::BadCharset(known), "This charset is not known")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_saved() {
        let found: UidSet = [3_u32, 5, 9].into_iter().collect();
        let options = |min, max, all, count| ReturnOptions { min, max, all, count, save: true };
        assert_eq!(saved(options(false, false, false, false), &found), found);
        assert_eq!(saved(options(true, false, false, false), &found).to_string(), "3");
        assert_eq!(saved(options(true, true, false, false), &found).to_string(), "3,9");
        assert_eq!(saved(options(true, false, false, true), &found), found);
        assert!(saved(options(true, true, false, false), &UidSet::new()).is_empty());
    }
}
