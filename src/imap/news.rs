//! Tells a client what has changed in its mailbox: EXPUNGE or VANISHED, EXISTS, RECENT, FETCH.

use std::ops::ControlFlow;
use std::time::Instant;

use crate::imap::client::{Client, LoggedIn, Selected};
use crate::imap::fair_queue::Step;
use crate::imap::flags;
use crate::imap::job::{self, Job};
use crate::imap::refusal::Stop;
use crate::imap::scan::{Read, Scan, Wanted};
use crate::imap::view::{News, Update, View, expunge_order};
use crate::model::{ModSeq, SeqNum, UidList, UidSet};
use crate::protocol::command::{Command, Selected as InSelected};
use crate::protocol::response::{self, code::Code, fetch::Fetch};
use crate::store::record::Record;
use crate::store::{Error, Snapshot, messages};

/// Expunged messages, or ranges of them, that are told before what waits is sent.
const GONE_A_CHUNK: usize = 4_096;
/// Changed messages that are told in one chunk.
const CHANGED_A_CHUNK: usize = 1_000;

/// Whether messages may leave the client's numbering now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expunges {
    /// EXPUNGE and VANISHED may be sent.
    Told,
    /// They wait.
    Held,
}

/// When an EXPUNGE may be told: not in answer to FETCH, STORE and SEARCH, which speak of numbers (RFC 9051
/// §7.5.1). Their UID forms are other commands; but a UID SEARCH that names numbers holds them too (RFC 7162
/// §3.2.10.2).
#[must_use]
pub fn may_expunge(command: &Command) -> Expunges {
    let held = match command {
        Command::Select(InSelected::Fetch(fetch)) => !fetch.uid,
        Command::Select(InSelected::Store(store)) => !store.uid,
        Command::Select(InSelected::Search(search)) => !search.uid || search.key.names_numbers(),
        _ => false,
    };
    if held { Expunges::Held } else { Expunges::Told }
}

/// Tells what is new, as far as `expunges` lets it. Cheap when nothing is: then the store is not asked.
///
/// # Errors
/// Those of the store and of the socket.
pub async fn sync(session: &mut LoggedIn<'_>, expunges: Expunges) -> Result<(), Stop> {
    let reached = session.user.bell.mailbox_reached();
    let Some(mut selected) = session.selected() else { return Ok(()) };
    if !selected.view.is_behind(reached) {
        return Ok(());
    }
    if reached <= selected.view.seen() {
        return match expunges {
            Expunges::Told => tell_expunged(&mut selected).await,
            Expunges::Held => Ok(()),
        };
    }
    let reader = selected.view.clone();
    let read = selected.client.shared.pool.read(move |snapshot| reader.read(snapshot)).await;
    let begun = read.is_ok();
    let told = match read {
        Ok(News::Known(update)) => tell(&mut selected, update, expunges).await,
        Ok(News::TooMuch(upto)) => compare(&mut selected, upto, expunges).await,
        Err(error) => Err(error.into()),
    };
    match told {
        // Deleted by another session: the numbers that the client knows mean nothing any more, and there is
        // no response that says so but BYE (RFC 2180 §3.3; Dovecot does the same).
        Err(Stop::Failed(Error::NotFound(_))) => {
            session.deselect();
            session.client.bye(None, "The open mailbox was deleted by another session");
            Ok(())
        }
        Err(Stop::Failed(error)) if begun => {
            half_told(session.client, &error);
            Err(error.into())
        }
        told => told,
    }
}

/// What the view has taken counts as told. If it could not be read to its end, the client must not go on with what
/// it has: it would take the modseq of the mailbox for what it knows, and never hear of the rest.
fn half_told(client: &mut Client, error: &Error) {
    tracing::error!(%error, "news of a mailbox could not be read to its end");
    client.bye(Some(Code::Unavailable), "The news of the mailbox could not be read; come back");
}

/// Compares the view with what is there, part by part, and tells of each. What has been read counts as seen when all
/// has: what happens meanwhile is told too, and perhaps again.
async fn compare(session: &mut Selected<'_>, upto: ModSeq, expunges: Expunges) -> Result<(), Stop> {
    let mut from = Some(1);
    while let Some(window) = from.and_then(|from| session.view.window(from)) {
        from = window.uids.end().checked_add(1);
        let read = move |snapshot: &Snapshot| window.compare(snapshot);
        let update = session.client.shared.pool.read_as(Step::Further, read).await?;
        session.view.take(&update);
        if expunges == Expunges::Told {
            tell_expunged(session).await?;
        }
        tell_changed(session, &UidList::from(&update.changed)).await?;
    }
    let added = above(session).await?;
    tell(session, Update { added, upto, ..Update::default() }, expunges).await
}

/// The UIDs above the highest that the client knows.
struct Above {
    scan: Scan,
    added: UidList,
}

impl Job for Above {
    fn step(&mut self, snapshot: &Snapshot, until: Instant, _: &mut Vec<u8>) -> Result<bool, Error> {
        match self.scan.step(snapshot, until)? {
            Read::All(all) => self.added = all.uids,
            Read::Some => return Ok(true),
            Read::Nothing => return Err(Error::NotFound("mailbox")),
        }
        Ok(false)
    }
}

async fn above(session: &mut Selected<'_>) -> Result<UidSet, Stop> {
    let view = &*session.view;
    let Some(from) = view.highest_uid().checked_add(1) else { return Ok(UidSet::new()) };
    let (account, mailbox) = (view.account, view.mailbox);
    let wanted = Wanted { account, mailbox, from, since: ModSeq(u64::MAX), saved_since: i64::MAX };
    let above = Above { scan: Scan::new(wanted), added: UidList::default() };
    let client = &mut *session.client;
    let (above, done) = job::run(&client.shared.pool, &mut client.io, Step::Further, above).await;
    done?;
    Ok(above.added.to_set())
}

async fn tell(session: &mut Selected<'_>, update: Update, expunges: Expunges) -> Result<(), Stop> {
    session.view.take(&update);
    if expunges == Expunges::Told {
        tell_expunged(session).await?;
    }
    if !update.added.is_empty() {
        tell_new(session, &update.added);
    }
    tell_changed(session, &UidList::from(&update.changed)).await?;
    session.view.forget_own();
    Ok(())
}

/// Takes pending messages out of the client's numbering and says so: the last of them first, so that what is told by
/// number shifts nothing that is told later, some at a time.
async fn tell_expunged(session: &mut Selected<'_>) -> Result<(), Stop> {
    let qresync = session.client.enabled.qresync;
    while !session.view.pending().is_empty() {
        // A range is one word of VANISHED, and a line of EXPUNGE each number of it.
        let most = if qresync { u32::MAX } else { GONE_A_CHUNK as u32 };
        let (gone, numbers) = session.view.expunge(GONE_A_CHUNK, most);
        session.client.owes_modseq |= qresync;
        let mut writer = session.client.writer();
        if qresync {
            response::vanished(&mut writer, gone.ranges(), false);
        } else {
            expunge_order(&numbers).for_each(|number| response::expunge(&mut writer, number));
        }
        session.client.io.flush_if_large().await?;
    }
    Ok(())
}

/// What is gone of what the client knew before (RFC 7162 §3.2.10).
///
/// # Errors
/// Those of the socket.
pub async fn tell_vanished_earlier(session: &mut Selected<'_>, gone: UidList) -> Result<(), Stop> {
    for some in gone.pieces(GONE_A_CHUNK) {
        response::vanished(&mut session.client.writer(), some.ranges(), true);
        session.client.io.flush_if_large().await?;
    }
    Ok(())
}

fn tell_new(session: &mut Selected<'_>, added: &UidSet) {
    let rev2 = session.client.enabled.rev2;
    let view = &mut *session.view;
    let (mailbox, read_only) = (view.mailbox, view.read_only);
    let next = added.last().map_or(1, |last| last.saturating_add(1));
    let first = added.first().unwrap_or(next);
    let lowest = session.client.shared.bells.take_recent(mailbox, next, read_only, first);
    let view = &mut *session.view;
    view.extend(added);
    view.add_recent(lowest.max(first)..=next - 1);
    let (exists, recent) = (view.exists(), view.recent_count());
    let mut writer = session.client.writer();
    response::exists(&mut writer, exists);
    if !rev2 {
        response::recent(&mut writer, recent);
    }
}

/// FETCH responses for messages whose flags another session changed.
///
/// # Errors
/// Those of the store and of the socket.
pub async fn tell_changed(session: &mut Selected<'_>, changed: &UidList) -> Result<(), Stop> {
    let mailbox = session.view.mailbox;
    let mut step = Step::First;
    for slice in changed.clone().batches(CHANGED_A_CHUNK) {
        let (records, keywords) = session
            .client
            .shared
            .pool
            .read_as(std::mem::replace(&mut step, Step::Further), move |snapshot| {
                let mut records: Vec<Record> = Vec::new();
                messages::select(snapshot, mailbox, &slice, &mut |record| {
                    records.push(*record);
                    Ok(ControlFlow::Continue(()))
                })?;
                Ok::<_, Error>((records, messages::keywords(snapshot, mailbox)?))
            })
            .await?;
        flags::tell_keywords(session, &keywords);
        for (number, record) in numbered(session.view, &records) {
            if !session.view.is_own(record.uid, record.modseq) {
                tell_flags(session, number, record, &keywords, true);
                session.client.io.flush_if_large().await?;
            }
        }
    }
    Ok(())
}

/// Records with their sequence numbers, those that the view has. To look each up would decode a part of the
/// list for each.
pub fn numbered<'a>(view: &View, records: &'a [Record]) -> Vec<(SeqNum, &'a Record)> {
    let uids: UidSet = records.iter().map(|record| record.uid).collect();
    let mut records = records.iter();
    let numbers = view.uids().select_uids(&uids);
    numbers.filter_map(|(number, uid)| Some((number, records.find(|record| record.uid == uid)?))).collect()
}

/// One FETCH response with a message's flags, its UID if asked for, and its MODSEQ in a CONDSTORE session.
pub fn tell_flags(
    session: &mut Selected<'_>,
    number: SeqNum,
    record: &Record,
    keywords: &crate::store::keywords::KeywordTable,
    uid: bool,
) {
    let condstore = session.client.enabled.condstore;
    let view = &mut *session.view;
    if condstore {
        view.note_sent(record.modseq);
    }
    let recent = view.recent().contains(record.uid.get());
    let rev2 = session.client.enabled.rev2;
    let mut writer = session.client.writer();
    let mut fetch = Fetch::new(&mut writer, number);
    if uid {
        fetch.uid(record.uid);
    }
    fetch.flags(flags::names(record, keywords, recent && !rev2));
    if condstore {
        fetch.modseq(record.modseq);
    }
    fetch.finish();
}

/// One FETCH response with a message's UID and MODSEQ: what a silent STORE still says (RFC 7162 §3.1.3).
pub fn tell_modseq(session: &mut Selected<'_>, number: SeqNum, record: &Record) {
    session.view.note_sent(record.modseq);
    let mut writer = session.client.writer();
    let mut fetch = Fetch::new(&mut writer, number);
    fetch.uid(record.uid);
    fetch.modseq(record.modseq);
    fetch.finish();
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::command::{Dialect, parse};

    /// When an expunge may be told (RFC 9051 §7.5.1: not while FETCH, STORE or SEARCH is answered; RFC 7162
    /// §3.2.10.2: nor for a UID SEARCH that names numbers). Every command is here.
    const TABLE: &[(&str, Expunges)] = &[
        ("CAPABILITY", Expunges::Told),
        ("NOOP", Expunges::Told),
        ("ID NIL", Expunges::Told),
        ("LOGOUT", Expunges::Told),
        ("STARTTLS", Expunges::Told),
        ("AUTHENTICATE PLAIN", Expunges::Told),
        ("LOGIN a b", Expunges::Told),
        ("ENABLE CONDSTORE", Expunges::Told),
        ("SELECT x", Expunges::Told),
        ("EXAMINE x", Expunges::Told),
        ("CREATE x", Expunges::Told),
        ("DELETE x", Expunges::Told),
        ("RENAME x y", Expunges::Told),
        ("SUBSCRIBE x", Expunges::Told),
        ("UNSUBSCRIBE x", Expunges::Told),
        ("LIST \"\" *", Expunges::Told),
        ("LSUB \"\" *", Expunges::Told),
        ("NAMESPACE", Expunges::Told),
        ("STATUS x (MESSAGES)", Expunges::Told),
        ("IDLE", Expunges::Told),
        ("APPEND x", Expunges::Told),
        ("CHECK", Expunges::Told),
        ("CLOSE", Expunges::Told),
        ("UNSELECT", Expunges::Told),
        ("EXPUNGE", Expunges::Told),
        ("UID EXPUNGE 1", Expunges::Told),
        ("COPY 1 x", Expunges::Told),
        ("UID COPY 1 x", Expunges::Told),
        ("MOVE 1 x", Expunges::Told),
        ("UID MOVE 1 x", Expunges::Told),
        ("FETCH 1 FLAGS", Expunges::Held),
        ("FETCH $ FLAGS", Expunges::Held),
        ("UID FETCH 1 FLAGS", Expunges::Told),
        ("STORE 1 FLAGS ()", Expunges::Held),
        ("STORE 1 +FLAGS.SILENT (\\Seen)", Expunges::Held),
        ("UID STORE 1 FLAGS ()", Expunges::Told),
        ("SEARCH ALL", Expunges::Held),
        ("SEARCH UID 1", Expunges::Held),
        ("SEARCH RETURN (SAVE) ALL", Expunges::Held),
        ("UID SEARCH ALL", Expunges::Told),
        ("UID SEARCH UID 1 NOT $", Expunges::Told),
        ("UID SEARCH 1", Expunges::Held),
        ("UID SEARCH SEEN NOT (OR UID 1 (DRAFT 1:*))", Expunges::Held),
    ];

    #[test]
    fn when_an_expunge_may_be_told() {
        for (text, expected) in TABLE {
            let tagged = parse(format!("a {text}").as_bytes(), Dialect::default()).unwrap();
            assert_eq!(may_expunge(&tagged.command), *expected, "{text}");
        }
    }
}
