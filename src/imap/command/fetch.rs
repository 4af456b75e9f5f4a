//! FETCH (RFC 9051 §6.4.5): resolves the messages, compiles the items to a plan, and runs it chunk by chunk
//! on the blocking pool, each chunk over a snapshot of its own.

pub mod literal;
pub mod message;
pub mod plan;

use std::sync::Arc;
use std::time::Instant;

use crate::imap::command::fetch::literal::UNKNOWN_CTE;
use crate::imap::command::fetch::plan::{Plan, Run, Scope};
use crate::imap::connection::CHUNK;
use crate::imap::fair_queue::Step;
use crate::imap::refusal::Refusal;
use crate::imap::session::{Done, Session};
use crate::imap::view::View;
use crate::imap::{flags, news};
use crate::model::{ModSeq, SystemFlags, UidList, UidSet};
use crate::protocol::command::Messages;
use crate::protocol::command::fetch::Fetch;
use crate::protocol::response::code::Code;
use crate::store::changes::{self, Since};
use crate::store::keywords::KeywordTable;
use crate::store::messages::{self, FlagChange};
use crate::store::{Error, Rows, Store, mailboxes};

/// Messages that are marked `\Seen` in one job before their bodies are sent.
const SEEN_A_SLICE: usize = 2_000;

/// FETCH and UID FETCH.
///
/// # Errors
/// For numbers that do not exist; EXPUNGEISSUED where messages named by number are gone.
pub async fn run(session: &mut Session, command: Fetch) -> Result<Done, Refusal> {
    let view = session.view()?;
    let mut uids = named_uids(view, command.uid, &command.messages)?;
    if command.vanished && (!session.enabled.qresync || !command.uid || command.changed_since.is_none()) {
        return Err(Refusal::bad(
            "VANISHED goes with UID FETCH, CHANGEDSINCE and ENABLE QRESYNC (RFC 7162 §3.2.6)",
        ));
    }
    let plan = Plan::compile(&command, session.enabled.condstore);
    if plan.wants_modseq() {
        session.enabled.condstore = true;
    }
    if let Some(since) = command.changed_since {
        uids = changed_since(session, &command, uids, ModSeq(since)).await?;
    }
    let view = session.view()?;
    let (uids, gone) = view.still_there(uids);
    let newly_seen = if plan.sets_seen() && !view.read_only {
        mark_seen(session, &uids).await?
    } else {
        UidList::default()
    };
    let missed = stream(session, plan, uids, newly_seen).await?;
    if (gone || missed) && !command.uid {
        return Err(Refusal::no(Code::ExpungeIssued, "Some of the messages are gone"));
    }
    Ok(Done::ok("FETCH completed"))
}

/// The UIDs that a command names, by number or by UID.
///
/// # Errors
/// BAD for a sequence number that does not exist.
pub fn named_uids(view: &View, uid: bool, messages: &Messages) -> Result<UidList, Refusal> {
    match messages {
        Messages::Saved => Ok(view.uids().intersection(&view.saved)),
        Messages::Set(set) if uid => Ok(view.by_uid(set)),
        Messages::Set(set) => {
            view.by_number(set).ok_or_else(|| Refusal::bad("There is no message with that sequence number"))
        }
    }
}

/// The UIDs that a UID command names.
#[must_use]
pub fn resolve_uids(view: &View, messages: &Messages) -> UidList {
    named_uids(view, true, messages).unwrap_or_default()
}

/// Whether some of these are known to be gone.
#[must_use]
pub fn vanished_meanwhile(view: &View, uids: &UidSet) -> bool {
    view.any_pending(uids)
}

/// CHANGEDSINCE narrows the set; with VANISHED what is gone is told first (RFC 7162 §3.2.6).
async fn changed_since(
    session: &mut Session,
    command: &Fetch,
    uids: UidList,
    since: ModSeq,
) -> Result<UidList, Refusal> {
    session.enabled.condstore = true;
    let view = session.view()?;
    let (account, mailbox) = (view.account, view.mailbox);
    let (changed, gone, next) = session
        .shared
        .pool
        .read(move |rows| {
            let next = mailboxes::get(rows, account, mailbox)?.map_or(1, |mailbox| mailbox.uid_next);
            let (changed, gone) = match changes::since(rows, account, mailbox, since)? {
                Since::Known(found) => (found.added.union(&found.changed), found.expunged),
                Since::BelowFloor => below_floor(rows, mailbox, since, next)?,
            };
            Ok::<_, Error>((UidList::from(&changed), UidList::from(&gone), next))
        })
        .await?;
    if command.vanished {
        vanished(session, &command.messages, gone, next).await?;
    }
    Ok(uids.intersection(&changed))
}

/// Tells what is gone of the messages that a command names (RFC 7162 §3.2.6). What the client still has a number
/// for is told by VANISHED without EARLIER, which takes the number away (§3.2.10).
async fn vanished(
    session: &mut Session,
    messages: &Messages,
    gone: UidList,
    next: u32,
) -> Result<(), Refusal> {
    let view = session.view()?;
    // `1:*` names all that the client can have known, though the last of it may be gone: its `*` is not the
    // last message that is left but the last that there was.
    let last = next.saturating_sub(1);
    let named = match messages {
        Messages::Set(set) => set.resolve(last),
        // What is gone of it is not in it any more.
        Messages::Saved => UidSet::new(),
    };
    let gone = gone.only(&named).without(view.uids());
    news::tell_vanished_earlier(session, gone).await
}

/// What changed, and what is gone, where nobody knows any more what was expunged when: all that is not in the
/// mailbox (RFC 7162 §3.2.6, the note). The view does not say it: it lacks what has come since.
fn below_floor(
    rows: &dyn Rows,
    mailbox: crate::model::MailboxId,
    since: ModSeq,
    next: u32,
) -> Result<(UidSet, UidSet), Error> {
    let (mut changed, mut present) = (UidSet::new(), UidSet::new());
    messages::scan(rows, mailbox, 1..=u32::MAX, &mut |record| {
        present.insert(record.uid);
        if record.modseq > since {
            changed.insert(record.uid);
        }
        Ok(std::ops::ControlFlow::Continue(()))
    })?;
    let given: UidSet =
        next.checked_sub(1).filter(|last| *last > 0).map(|last| 1..=last).into_iter().collect();
    Ok((changed, given.difference(&present)))
}

/// Marks messages as read before their bodies are sent; gives those that were unread.
async fn mark_seen(session: &mut Session, uids: &UidList) -> Result<UidList, Refusal> {
    let view = session.view()?;
    let (account, mailbox) = (view.account, view.mailbox);
    let mut newly = UidList::default();
    for slice in uids.clone().batches(SEEN_A_SLICE) {
        let stored = session
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
                    session.view_mut()?.note_own(modseq, stored.changed.clone());
                }
                newly.extend(stored.changed.uids());
            }
            // A full or failing disk must not keep anyone from reading mail.
            Err(refusal) => {
                tracing::warn!(text = %refusal.text, "messages could not be marked as read");
                break;
            }
        }
    }
    Ok(newly)
}

/// Runs the plan over the messages; whether some of them were gone.
async fn stream(
    session: &mut Session,
    plan: Plan,
    uids: UidList,
    newly_seen: UidList,
) -> Result<bool, Refusal> {
    let mailbox = session.view()?.mailbox;
    let keywords = if plan.shows_flags() {
        let found = session.shared.pool.read(move |snapshot| messages::keywords(snapshot, mailbox)).await?;
        // Before the first response that shows one that is new.
        flags::tell_keywords(session, &found)?;
        found
    } else {
        KeywordTable::default()
    };
    let view = session.view()?;
    let recent = if session.enabled.rev2 { UidSet::new() } else { view.recent().clone() };
    let scope = Scope {
        account: view.account,
        mailbox,
        name: view.name.clone(),
        numbers: Arc::new(view.uids().clone()),
        uids,
        newly_seen,
        recent,
        keywords,
        dialect: session.enabled.dialect(),
    };
    let run = steps(session, Run::new(plan, scope)).await?;
    session.view_mut()?.note_sent(run.highest_modseq());
    Ok(run.missed())
}

async fn steps(session: &mut Session, mut run: Run) -> Result<Run, Refusal> {
    let mut step = Step::First;
    loop {
        let out = std::mem::take(session.io.out());
        let work = move |store: &Store, until: Instant| {
            let (mut run, mut out) = (run, out);
            let more = store.snapshot().and_then(|snapshot| run.step(&snapshot, until, &mut out));
            (run, out, more)
        };
        let (back, out, result) = session.shared.pool.step(step, work).await;
        (run, step) = (back, Step::Further);
        *session.io.out() = out;
        match result {
            Ok(true) => {
                // Where much is read and little written, no write tells that the client has gone.
                let little = session.io.out().len() < CHUNK;
                session.io.flush_if_large().await?;
                if little && session.io.has_hung_up() {
                    return Err(Refusal::hangup("gone during a FETCH"));
                }
            }
            Ok(false) => {
                return run.take_failure().map_or(Ok(run), |(count, first)| Err(unread(count, first)));
            }
            Err(error) if run.close(&error, session.io.out()) => return Err(error.into()),
            Err(error) => {
                run.tell_damage(
                    &error,
                    "a message could not be read to its end, so that the connection ends",
                );
                return Err(Refusal::hangup("damaged content"));
            }
        }
    }
}

/// What a client hears that has got everything but this.
fn unread(count: u64, first: Error) -> Refusal {
    if let Error::Refused(text) = first
        && text == UNKNOWN_CTE
    {
        return Refusal::no(Code::UnknownCte, text);
    }
    let refusal = Refusal::from(first);
    match count {
        1 => refusal,
        n => Refusal {
            text: format!("{n} messages cannot be read; of the first: {}", refusal.text).into(),
            ..refusal
        },
    }
}
