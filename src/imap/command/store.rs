//! STORE (RFC 9051 §6.4.6), with UNCHANGEDSINCE (RFC 7162 §3.1.3).

use std::ops::ControlFlow;

use crate::imap::client::Selected;
use crate::imap::command::expunge::{SLICE, may_change};
use crate::imap::flags;
use crate::imap::news;
use crate::imap::outcome::Done;
use crate::imap::refusal::Stop;
use crate::imap::view::{Update, View};
use crate::model::{ModSeq, UidList, UidSet};
use crate::protocol::command::store::{Action, Store};
use crate::protocol::response::code::Code;
use crate::store::changes::{self, Changes, Since};
use crate::store::keywords::KeywordTable;
use crate::store::messages::{self, FlagChange, Stored};
use crate::store::record::Record;

/// Changes flags, slice by slice, and answers with the new state unless .SILENT was asked for.
///
/// # Errors
/// In a mailbox opened with EXAMINE; for numbers of messages that are gone, unless .SILENT was asked for (RFC 2180 §4.2);
/// those of the store.
pub async fn run(session: &mut Selected<'_>, command: Store) -> Result<Done, Stop> {
    may_change(session.view)?;
    let (account, mailbox) = (session.view.account, session.view.mailbox);
    let uids = session.named(command.uid, &command.messages)?;
    if command.unchanged_since.is_some() {
        session.client.enabled.condstore = true;
    }
    let change = match command.action {
        Action::Add => FlagChange::Add,
        Action::Remove => FlagChange::Remove,
        Action::Replace => FlagChange::Replace,
    };
    let since = command.unchanged_since.map(ModSeq);
    let may_be_new = !command.flags.keywords.is_empty() && command.action != Action::Remove;
    // .SILENT is silent about flags; a CONDSTORE client must learn the new modseqs all the same.
    let tells = !command.silent || session.client.enabled.condstore;
    let silent = command.silent;
    let (mut modified, mut gone) = (UidList::default(), false);
    for slice in uids.batches(SLICE) {
        let flags = command.flags.clone();
        let seen = session.view.seen();
        let done = session
            .client
            .shared
            .pool
            .write(move |tx| {
                let untold = changes::since(tx, account, mailbox, seen)?;
                let stored = messages::store_flags(tx, account, mailbox, &slice, change, &flags, since)?;
                // Told from within the job: to look again afterwards would cost as much as the change.
                let answered = if silent { &stored.changed } else { &slice.difference(&stored.modified) };
                let expected = answered.len();
                let mut records = Vec::new();
                if tells {
                    messages::select(tx, mailbox, answered, &mut |record| {
                        records.push(*record);
                        Ok(ControlFlow::Continue(()))
                    })?;
                }
                let keywords =
                    (may_be_new || !silent).then(|| messages::keywords(tx, mailbox)).transpose()?;
                let gone = !silent && (records.len() as u64) < expected;
                Ok(StoredSlice { stored, untold, records, gone, keywords })
            })
            .await?;
        modified.extend(done.stored.modified.uids());
        gone |= done.gone;
        note_answered(session.view, seen, &done, silent);
        answer(session, &done, command.uid, silent).await?;
    }
    let gone = gone && !command.uid;
    let code = match modified.is_empty() {
        true => None,
        false => Some(modified_code(session.view, command.uid, &modified.to_set())),
    };
    match code {
        // RFC 7162 §3.1.3, example 11.
        Some(code) if gone => Err(Stop::no(code, "Some messages had changed, and others are gone")),
        Some(code) => Ok(Done::with(code, "Some messages had changed")),
        None if gone => Err(Stop::no(Code::ExpungeIssued, "Some of the messages are gone")),
        None => Ok(Done::ok("STORE completed")),
    }
}

/// What a job has done, and what is to be told of it.
struct StoredSlice {
    stored: Stored,
    /// What others had changed before it.
    untold: Since<Changes>,
    records: Vec<Record>,
    /// Some of the messages that are to be answered for are gone.
    gone: bool,
    keywords: Option<KeywordTable>,
}

/// What is answered is no news afterwards. Where nothing else has happened there are none at all, and the
/// store need not be asked for them.
fn note_answered(view: &mut View, seen: ModSeq, done: &StoredSlice, silent: bool) {
    let Some(modseq) = done.stored.modseq else { return };
    match &done.untold {
        Since::Known(before) if before.upto <= seen => {
            view.take(&Update { upto: modseq, ..Update::default() });
        }
        untold if silent => view.note_own(modseq, only_own(&done.stored.changed, untold)),
        _ => view.note_own(modseq, done.stored.changed.clone()),
    }
}

/// Of what a silent STORE changed, what nobody else has changed without the client having heard of it: other
/// flags that it does not know of are told, .SILENT or not (RFC 9051 §6.4.6).
fn only_own(changed: &UidSet, untold: &Since<Changes>) -> UidSet {
    match untold {
        Since::Known(found) => changed.difference(&found.changed),
        Since::BelowFloor => UidSet::new(),
    }
}

/// MODIFIED names sequence numbers or UIDs as the command did (RFC 7162 §3.1.3).
fn modified_code(view: &View, uid: bool, modified: &UidSet) -> Code {
    if uid {
        return Code::Modified(modified.clone());
    }
    Code::Modified(view.uids().select_uids(modified).map(|(number, _)| number.get()).collect())
}

async fn answer(session: &mut Selected<'_>, done: &StoredSlice, uid: bool, silent: bool) -> Result<(), Stop> {
    // Of a keyword that the mailbox did not have the client hears even from .SILENT: it is no message's flag
    // that is told, but the list of those that there are (RFC 9051 §7.3.5).
    if let Some(keywords) = &done.keywords {
        flags::tell_keywords(session, keywords);
    }
    for (number, record) in news::numbered(session.view, &done.records) {
        match &done.keywords {
            Some(keywords) if !silent => {
                let uid = uid || session.client.enabled.condstore;
                news::tell_flags(session, number, record, keywords, uid);
            }
            _ => news::tell_modseq(session, number, record),
        }
        session.client.io.flush_if_large().await?;
    }
    Ok(())
}
