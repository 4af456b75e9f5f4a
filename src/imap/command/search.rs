//! SEARCH (RFC 9051 §6.4.4), ESEARCH (RFC 4731), SEARCHRES (RFC 5182).

mod facts;
mod filter;
mod trial;
mod window;

use std::collections::VecDeque;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Instant;

use crate::imap::client::{Client, Selected};
use crate::imap::command::search::facts::Facts;
use crate::imap::command::search::filter::{Filter, Seen};
use crate::imap::command::search::trial::Trial;
use crate::imap::fair_queue::Step;
use crate::imap::job::{self, Job};
use crate::imap::outcome::Done;
use crate::imap::refusal::Stop;
use crate::model::{AccountId, MailboxId, ModSeq, SeqNum, Uid, UidList, UidListBuilder, UidSet};
use crate::protocol::command::Tag;
use crate::protocol::command::search::{ReturnOptions, Search};
use crate::protocol::response::search::{self, Esearch};
use crate::store::emails::ObjectIds;
use crate::store::keywords::KeywordTable;
use crate::store::record::Record;
use crate::store::{Error, Snapshot, contained, messages};

/// Of so many messages that cannot be searched the log tells each.
const TOLD: u64 = 100;
/// Records that are read at a time.
const BATCH: usize = 512;
/// Numbers that are written before what waits is sent.
const NUMBERS_A_CHUNK: usize = 8 * 1024;

/// Messages that fit.
#[derive(Default)]
struct Found {
    uids: UidListBuilder,
    /// The modseqs of the first and the last of them, and the highest of all.
    modseqs: Option<Modseqs>,
    /// Messages that could not be read, and why the first could not.
    unread: u64,
    why: Option<Error>,
}

#[derive(Clone, Copy)]
struct Modseqs {
    first: ModSeq,
    last: ModSeq,
    highest: ModSeq,
}

impl Found {
    /// Messages come in the order of their UIDs.
    fn insert(&mut self, record: &Record) {
        self.uids.push(record.uid);
        let modseq = record.modseq;
        let known = self.modseqs.unwrap_or(Modseqs { first: modseq, last: modseq, highest: modseq });
        self.modseqs = Some(Modseqs { last: modseq, highest: known.highest.max(modseq), ..known });
    }
}

/// A search that can be left and gone on with.
struct Run {
    mailbox: MailboxId,
    filter: Filter,
    /// With which the filter was compiled.
    keywords: KeywordTable,
    seen: Seen,
    /// Makes the object ids, if those are asked for.
    ids: Option<ObjectIds>,
    todo: Box<dyn Iterator<Item = UidSet> + Send>,
    batch: VecDeque<(SeqNum, Record)>,
    trial: Option<Trial>,
    found: Found,
}

/// SEARCH and UID SEARCH.
///
/// # Errors
/// BADCHARSET, and those of the store.
pub async fn run(session: &mut Selected<'_>, tag: &Tag, command: Search) -> Result<Done, Stop> {
    let other_charset = command.charset.as_ref().is_some_and(|name| !name.eq_ignore_ascii_case("UTF-8"));
    if session.client.enabled.utf8 && other_charset {
        // Every string of this client is UTF-8 (RFC 9755 §3); where it says no more than that, it does no harm.
        return Err(Stop::bad("With UTF8=ACCEPT a search has no other charset than UTF-8"));
    }
    let found = match find(session, &command).await {
        Ok(found) => found,
        Err(stop) => {
            if command.options.is_some_and(|options| options.save) && stop.is_no() {
                // RFC 5182 §2.1: a search that is answered NO leaves nothing saved; one that is BAD what was.
                session.view.saved = Arc::default();
            }
            return Err(stop);
        }
    };
    let Found { uids, modseqs, unread, why } = found;
    answer(session, tag, &command, (uids.finish(), modseqs)).await?;
    if let Some(why) = why {
        warn(session.client, unread, &why);
    }
    Ok(Done::ok("SEARCH completed"))
}

async fn find(session: &mut Selected<'_>, command: &Search) -> Result<Found, Stop> {
    let (client, view) = (&mut *session.client, &*session.view);
    let (account, mailbox) = (view.account, view.mailbox);
    let seen = Seen {
        numbers: view.uids().clone(),
        pending: view.pending().clone(),
        saved: Arc::clone(&view.saved),
        recent: Arc::new(view.recent().clone()),
    };
    let (command, names_modseq) = (command.clone(), command.key.names_modseq());
    let pool = &client.shared.pool;
    let run = pool.read(move |snapshot| Run::new(&command, snapshot, account, mailbox, seen)).await?;
    client.enabled.condstore |= names_modseq;
    let (run, done) = job::run(pool, &mut client.io, Step::Further, run).await;
    done.map(|()| run.found)
}

impl Run {
    fn new(
        command: &Search,
        snapshot: &Snapshot,
        account: AccountId,
        mailbox: MailboxId,
        seen: Seen,
    ) -> Result<Self, Stop> {
        let keywords = messages::keywords(snapshot, mailbox)?;
        let filter = Filter::compile(command, &seen, &keywords)?;
        let ids = filter.asks_ids.then(|| ObjectIds::load(snapshot, account)).transpose()?;
        let todo = Box::new(filter.scope(&seen).batches(BATCH));
        let (batch, trial, found) = Default::default();
        Ok(Run { mailbox, filter, keywords, seen, ids, todo, batch, trial, found })
    }

    /// Decides what its record alone decides, a batch at most, and takes up the next message of which more must be
    /// known; false if there is none.
    fn begin(&mut self, snapshot: &Snapshot) -> Result<bool, Error> {
        while self.batch.is_empty() {
            let Some(wanted) = self.todo.next() else { return Ok(false) };
            let (batch, mut numbers) = (&mut self.batch, self.seen.numbers.select_uids(&wanted).peekable());
            let known = messages::keywords_agreeing(snapshot, self.mailbox, &self.keywords)?;
            messages::select(snapshot, self.mailbox, &wanted, &mut |record| {
                while numbers.next_if(|(_, uid)| *uid < record.uid).is_some() {}
                if let Some((number, _)) = numbers.next_if(|(_, uid)| *uid == record.uid) {
                    batch.push_back((number, Record { keywords: record.keywords & known, ..*record }));
                }
                Ok(ControlFlow::Continue(()))
            })?;
        }
        while let Some((number, record)) = self.batch.pop_front() {
            let facts = Facts::new(number, record);
            match self.filter.decide(&facts) {
                Some(true) => self.found.insert(&record),
                Some(false) => {}
                None => {
                    self.trial = Some(Trial::new(facts));
                    break;
                }
            }
        }
        Ok(true)
    }

    /// One that cannot be read is not found; the others are, and the client hears of it.
    fn passed_over(&mut self, record: &Record, error: Error) {
        self.found.unread += 1;
        if self.found.unread <= TOLD {
            tracing::error!(uid = record.uid.get(), %error, "a message cannot be searched");
        }
        self.found.why.get_or_insert(error);
    }
}

impl Job for Run {
    fn step(&mut self, snapshot: &Snapshot, until: Instant, _: &mut Vec<u8>) -> Result<bool, Error> {
        loop {
            let Some(mut trial) = self.trial.take() else {
                if !self.begin(snapshot)? {
                    return Ok(false);
                }
                if Instant::now() >= until {
                    return Ok(true);
                }
                continue;
            };
            let tried = contained("a message could not be searched", || {
                trial.step(&self.filter, self.ids.as_ref(), snapshot, until)
            });
            match tried {
                Ok(None) => {
                    self.trial = Some(trial);
                    return Ok(true);
                }
                Ok(Some(true)) => self.found.insert(trial.record()),
                Ok(Some(false)) => {}
                Err(Error::Closed) => return Err(Error::Closed),
                Err(error) => self.passed_over(trial.record(), error),
            }
            if Instant::now() >= until {
                return Ok(true);
            }
        }
    }
}

async fn answer(
    session: &mut Selected<'_>,
    tag: &Tag,
    command: &Search,
    (found, modseqs): (UidList, Option<Modseqs>),
) -> Result<(), Stop> {
    let rev2 = session.client.enabled.rev2;
    let options = command.options;
    let found = Arc::new(found);
    if let Some(options) = options.filter(|options| options.save) {
        session.view.saved = saved(options, &found);
    }
    let view = &*session.view;
    let seen = (!command.uid).then(|| view.uids().clone());
    let shown = |uid: Uid| match &seen {
        Some(seen) => seen.seq(uid).map(SeqNum::get),
        None => Some(uid.get()),
    };
    let ends = (found.first().and_then(shown), found.last().and_then(shown));
    let count = u64::from(found.len());
    let names_modseq = command.key.names_modseq();
    let modseq = modseqs.filter(|_| names_modseq).and_then(|modseqs| shown_modseq(options, modseqs));
    if let Some(modseq) = modseq {
        session.view.note_sent(modseq);
    }
    let modseq = modseq.map(|modseq| modseq.0);
    let told = UidList::clone(&found).batches(NUMBERS_A_CHUNK).map(move |uids| match &seen {
        Some(seen) => seen.select_uids(&uids).map(|(number, _)| number.get()).collect(),
        None => uids,
    });
    match options {
        None if !rev2 => {
            search::begin(&mut session.client.writer());
            for numbers in told {
                search::numbers(&mut session.client.writer(), &numbers);
                session.client.io.flush_if_large().await?;
            }
            search::end(&mut session.client.writer(), modseq);
        }
        // RFC 5182 §2.1: SAVE alone is not answered.
        Some(ReturnOptions { min: false, max: false, all: false, count: false, save: true }) => {}
        options => {
            let options = options.unwrap_or(ReturnOptions { all: true, ..ReturnOptions::default() });
            let response = Esearch {
                min: ends.0.filter(|_| options.min),
                max: ends.1.filter(|_| options.max),
                count: options.count.then_some(count),
            };
            search::begin_esearch(&mut session.client.writer(), tag.as_str(), command.uid, &response);
            if options.all {
                tell_ranges(session, told).await?;
            }
            search::end_esearch(&mut session.client.writer(), modseq);
        }
    }
    Ok(())
}

/// Writes the ranges of all of these as those of one set.
async fn tell_ranges(session: &mut Selected<'_>, told: impl Iterator<Item = UidSet>) -> Result<(), Stop> {
    let (mut first, mut held) = (true, UidSet::new());
    for numbers in told {
        // Its last range may go on with the first of the next.
        let mut ranges = held.union(&numbers).ranges().to_vec();
        held = ranges.pop().into_iter().collect();
        if !ranges.is_empty() {
            search::ranges(&mut session.client.writer(), &ranges, std::mem::take(&mut first));
        }
        session.client.io.flush_if_large().await?;
    }
    if !held.is_empty() {
        search::ranges(&mut session.client.writer(), held.ranges(), first);
    }
    Ok(())
}

/// The modseq of what is shown (RFC 4731 §3.2): with SAVE alone nothing is.
fn shown_modseq(options: Option<ReturnOptions>, modseqs: Modseqs) -> Option<ModSeq> {
    let Some(options) = options else { return Some(modseqs.highest) };
    if options.all || options.count {
        return Some(modseqs.highest);
    }
    let ends = [(options.min, modseqs.first), (options.max, modseqs.last)];
    ends.into_iter().filter_map(|(shown, modseq)| shown.then_some(modseq)).max()
}

/// An untagged NO is a warning beside what was found (RFC 9051 §7.1.2): a tagged one would take the result away
/// from a client for one damaged message of thousands.
fn warn(client: &mut Client, unread: u64, why: &Error) {
    let text = format!("{unread} messages could not be searched; of the first: {why}");
    client.untagged("NO", None, &text);
}

/// What SAVE saves: with MIN and MAX alone only those (RFC 5182 §2.4).
fn saved(options: ReturnOptions, found: &Arc<UidList>) -> Arc<UidList> {
    if options.all || options.count || !(options.min || options.max) {
        return Arc::clone(found);
    }
    let ends = [found.first().filter(|_| options.min), found.last().filter(|_| options.max)];
    Arc::new(ends.into_iter().flatten().collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_saved() {
        let list =
            |uids: &[u32]| -> Arc<UidList> { Arc::new(uids.iter().copied().filter_map(Uid::new).collect()) };
        let found = list(&[3, 5, 9]);
        let saved = |options, found: &Arc<UidList>| super::saved(options, found).to_set().to_string();
        let options = |min, max, all, count| ReturnOptions { min, max, all, count, save: true };
        assert_eq!(saved(options(false, false, false, false), &found), "3,5,9");
        assert_eq!(saved(options(true, false, false, false), &found), "3");
        assert_eq!(saved(options(true, true, false, false), &found), "3,9");
        assert_eq!(saved(options(true, false, false, true), &found), "3,5,9");
        assert_eq!(saved(options(true, true, false, false), &list(&[])), "");
        // The one that is both.
        assert_eq!(saved(options(true, true, false, false), &list(&[7])), "7");
    }
}
