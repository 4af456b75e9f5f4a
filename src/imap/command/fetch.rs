//! FETCH (RFC 9051 §6.4.5): resolves the messages, compiles the items to a plan, and runs it chunk by chunk
//! on the blocking pool, each chunk over a snapshot of its own.

pub mod literal;
pub mod message;
pub mod plan;

use std::sync::Arc;
use std::time::Instant;

use crate::imap::client::Selected;
use crate::imap::command::fetch::plan::{Plan, Run, Scope};
use crate::imap::fair_queue::Step;
use crate::imap::job::{self, Job};
use crate::imap::outcome::Done;
use crate::imap::refusal::{Refusal, Stop};
use crate::imap::scan::{Read, Scan, Wanted};
use crate::imap::view::MOST_RANGES;
use crate::imap::{flags, news};
use crate::model::{AccountId, MailboxId, ModSeq, SystemFlags, UidList, UidSet};
use crate::protocol::command::Messages;
use crate::protocol::command::fetch::Fetch;
use crate::protocol::response::code::Code;
use crate::store::changes::{self, Since};
use crate::store::keywords::KeywordTable;
use crate::store::messages::{self, FlagChange};
use crate::store::{Error, Snapshot, mailboxes};

/// Messages that are marked `\Seen` in one job before their bodies are sent.
const SEEN_A_SLICE: usize = 2_000;

/// FETCH and UID FETCH.
///
/// # Errors
/// For numbers that do not exist; EXPUNGEISSUED where messages named by number are gone.
pub async fn run(session: &mut Selected<'_>, command: Fetch) -> Result<Done, Stop> {
    let mut uids = session.named(command.uid, &command.messages)?;
    let enabled = session.client.enabled;
    if command.vanished && (!enabled.qresync || !command.uid || command.changed_since.is_none()) {
        return Err(Stop::bad(
            "VANISHED goes with UID FETCH, CHANGEDSINCE and ENABLE QRESYNC (RFC 7162 §3.2.6)",
        ));
    }
    let plan = Plan::compile(&command, enabled.condstore);
    if plan.wants_modseq() {
        session.client.enabled.condstore = true;
    }
    if let Some(since) = command.changed_since {
        uids = changed_since(session, &command, uids, ModSeq(since)).await?;
    }
    let (uids, gone) = session.view.still_there(uids);
    let newly_seen = if plan.sets_seen() && !session.view.read_only {
        mark_seen(session, &uids).await
    } else {
        UidList::default()
    };
    let missed = stream(session, plan, uids, newly_seen).await?;
    if (gone || missed) && !command.uid {
        return Err(Stop::no(Code::ExpungeIssued, "Some of the messages are gone"));
    }
    Ok(Done::ok("FETCH completed"))
}

/// CHANGEDSINCE narrows the set; with VANISHED what is gone is told first (RFC 7162 §3.2.6).
async fn changed_since(
    session: &mut Selected<'_>,
    command: &Fetch,
    uids: UidList,
    since: ModSeq,
) -> Result<UidList, Stop> {
    let client = &mut *session.client;
    client.enabled.condstore = true;
    let look = Look {
        account: session.view.account,
        mailbox: session.view.mailbox,
        since,
        scan: None,
        changed: UidList::default(),
        gone: UidList::default(),
        next: 1,
    };
    let (found, done) = job::run(&client.shared.pool, &mut client.io, Step::First, look).await;
    done?;
    if command.vanished {
        vanished(session, &command.messages, found.gone, found.next).await?;
    }
    Ok(uids.intersection(&found.changed))
}

/// Tells what is gone of the messages that a command names (RFC 7162 §3.2.6). What the client still has a number
/// for is told by VANISHED without EARLIER, which takes the number away (§3.2.10).
async fn vanished(
    session: &mut Selected<'_>,
    messages: &Messages,
    gone: UidList,
    next: u32,
) -> Result<(), Stop> {
    // `1:*` names all that the client can have known, though the last of it may be gone: its `*` is not the
    // last message that is left but the last that there was.
    let last = next.saturating_sub(1);
    let named = match messages {
        Messages::Set(set) => set.resolve(last),
        // What is gone of it is not in it any more.
        Messages::Saved => UidSet::new(),
    };
    let gone = gone.only(&named).without(session.view.uids());
    news::tell_vanished_earlier(session, gone).await
}

/// A look at what changed since a modseq, and at what is gone.
struct Look {
    account: AccountId,
    mailbox: MailboxId,
    since: ModSeq,
    /// Where nobody knows any more what was expunged when, or it is too much: all that is not in the mailbox is gone
    /// (RFC 7162 §3.2.6, the note). The view does not say it: it lacks what has come since.
    scan: Option<Scan>,
    changed: UidList,
    gone: UidList,
    /// The mailbox's next UID.
    next: u32,
}

impl Job for Look {
    fn step(&mut self, snapshot: &Snapshot, until: Instant, _: &mut Vec<u8>) -> Result<bool, Error> {
        let (account, mailbox, since) = (self.account, self.mailbox, self.since);
        let Some(scan) = &mut self.scan else {
            match changes::since_but(snapshot, account, mailbox, since, MOST_RANGES, &|_| None)? {
                Since::Known(found) => {
                    self.changed = UidList::from(&found.added.union(&found.changed));
                    self.gone = UidList::from(&found.expunged);
                    self.next = mailboxes::get(snapshot, account, mailbox)?.map_or(1, |it| it.uid_next);
                    return Ok(false);
                }
                Since::BelowFloor => {
                    let wanted = Wanted { account, mailbox, from: 1, since, saved_since: i64::MAX };
                    self.scan = Some(Scan::new(wanted));
                    return Ok(true);
                }
            }
        };
        match scan.step(snapshot, until)? {
            Read::Some => return Ok(true),
            Read::All(all) => {
                self.next = all.mailbox.uid_next;
                let last = self.next.saturating_sub(1);
                let given: UidSet = (last > 0).then_some(1..=last).into_iter().collect();
                self.gone = UidList::from(&given.difference(&all.uids.to_set()));
                self.changed = all.changed;
            }
            Read::Nothing => return Err(Error::NotFound("mailbox")),
        }
        Ok(false)
    }
}

/// Marks messages as read before their bodies are sent; gives those that were unread.
async fn mark_seen(session: &mut Selected<'_>, uids: &UidList) -> UidList {
    let (account, mailbox) = (session.view.account, session.view.mailbox);
    let mut newly = UidList::default();
    for slice in uids.clone().batches(SEEN_A_SLICE) {
        let stored = session
            .client
            .shared
            .pool
            .write(move |tx| {
                let seen = SystemFlags::SEEN.into();
                messages::store_flags(tx, account, mailbox, &slice, FlagChange::Add, &seen, None)
            })
            .await;
        match stored {
            Ok(stored) => {
                if let Some(modseq) = stored.modseq {
                    session.view.note_own(modseq, stored.changed.clone());
                }
                newly.extend(stored.changed.uids());
            }
            // A full or failing disk must not keep anyone from reading mail.
            Err(error) => {
                tracing::warn!(%error, "messages could not be marked as read");
                break;
            }
        }
    }
    newly
}

/// Runs the plan over the messages; whether some of them were gone.
async fn stream(
    session: &mut Selected<'_>,
    plan: Plan,
    uids: UidList,
    newly_seen: UidList,
) -> Result<bool, Stop> {
    let mailbox = session.view.mailbox;
    let keywords = if plan.shows_flags() {
        let pool = &session.client.shared.pool;
        let found = pool.read(move |snapshot| messages::keywords(snapshot, mailbox)).await?;
        // Before the first response that shows one that is new.
        flags::tell_keywords(session, &found);
        found
    } else {
        KeywordTable::default()
    };
    let view = &*session.view;
    let recent = if session.client.enabled.rev2 { UidSet::new() } else { view.recent().clone() };
    let scope = Scope {
        account: view.account,
        mailbox,
        name: view.name.clone(),
        numbers: Arc::new(view.uids().clone()),
        uids,
        newly_seen,
        recent,
        keywords,
        dialect: session.client.enabled.dialect(),
    };
    let run = write(session, Run::new(plan, scope)).await?;
    session.view.note_sent(run.highest_modseq());
    Ok(run.missed())
}

async fn write(session: &mut Selected<'_>, run: Run) -> Result<Run, Stop> {
    let client = &mut *session.client;
    let (mut run, done) = job::run(&client.shared.pool, &mut client.io, Step::First, run).await;
    match done {
        Ok(()) => run.take_failure().map_or(Ok(run), |(count, first)| Err(unread(count, first))),
        Err(Stop::Failed(error)) if !run.close(&error, client.io.out()) => {
            run.tell_damage(&error, "a message could not be read to its end, so that the connection ends");
            Err(Stop::hangup("damaged content"))
        }
        Err(stop) => Err(stop),
    }
}

/// What a client hears that has got everything but this.
fn unread(count: u64, first: Error) -> Stop {
    if count == 1 {
        return first.into();
    }
    let refusal = Refusal::from(first);
    let text = format!("{count} messages cannot be read; of the first: {refusal}").into();
    Refusal { text, ..refusal }.into()
}
