//! STORE (RFC 9051 §6.4.6), with UNCHANGEDSINCE (RFC 7162 §3.1.3).

use crate::imap::expunge::{SLICE, slices, writable};
use crate::imap::fetch::named_uids;
use crate::imap::flags;
use crate::imap::news;
use crate::imap::refusal::Refusal;
use crate::imap::session::{Done, Session};
use crate::model::{ModSeq, UidSet};
use crate::protocol::command::store::{Action, Store};
use crate::protocol::response::code::Code;
use crate::store::Error;
use crate::store::changes::{self, Changes, Since};
use crate::store::messages::{self, FlagChange};
use crate::store::record::Record;

/// Changes flags, slice by slice, and answers with the new state unless .SILENT was asked for.
///
/// # Errors
/// In a mailbox opened with EXAMINE, and those of the store.
pub async fn run(session: &mut Session, command: Store) -> Result<Done, Refusal> {
    let view = writable(session)?;
    let (account, mailbox) = (view.account, view.mailbox);
    let uids = named_uids(view, command.uid, &command.messages)?;
    let gone = !uids.intersection(view.pending()).is_empty();
    if command.unchanged_since.is_some() {
        session.enabled.condstore = true;
    }
    let change = match command.action {
        Action::Add => FlagChange::Add,
        Action::Remove => FlagChange::Remove,
        Action::Replace => FlagChange::Replace,
    };
    let since = command.unchanged_since.map(ModSeq);
    let may_be_new = !command.flags.keywords.is_empty() && command.action != Action::Remove;
    let mut modified = UidSet::new();
    for slice in slices(&uids, SLICE) {
        let (named, flags) = (slice.clone(), command.flags.clone());
        let seen = session.view()?.seen();
        let (stored, untold, keywords) = session
            .shared
            .pool
            .write(move |tx| {
                let untold = changes::since(tx, account, mailbox, seen)?;
                let stored = messages::store_flags(tx, account, mailbox, &named, change, &flags, since)?;
                let keywords = may_be_new.then(|| messages::keywords(tx, mailbox)).transpose()?;
                Ok((stored, untold, keywords))
            })
            .await?;
        // Of a keyword that the mailbox did not have the client hears even from .SILENT: it is no message's flag
        // that is told, but the list of those that there are (RFC 9051 §7.3.5).
        if let Some(keywords) = keywords {
            flags::tell_keywords(session, &keywords)?;
        }
        modified = modified.union(&stored.modified);
        if let Some(modseq) = stored.modseq {
            let own = if command.silent { only_own(&stored.changed, untold) } else { stored.changed.clone() };
            session.view_mut()?.note_own(modseq, own);
        }
        // .SILENT is silent about flags; a CONDSTORE client must learn the new modseqs all the same.
        let answered = if command.silent { stored.changed } else { slice.difference(&stored.modified) };
        if !command.silent || session.enabled.condstore {
            answer(session, answered, command.uid, command.silent).await?;
        }
    }
    if !modified.is_empty() {
        return Ok(Done::with(modified_code(session, command.uid, &modified)?, "Some messages had changed"));
    }
    if gone && !command.uid {
        return Err(Refusal::no(Code::ExpungeIssued, "Some of the messages are gone"));
    }
    Ok(Done::ok("STORE completed"))
}

/// Of what a silent STORE changed, what nobody else has changed without the client having heard of it: other
/// flags that it does not know of are told, .SILENT or not (RFC 9051 §6.4.6).
fn only_own(changed: &UidSet, untold: Since<Changes>) -> UidSet {
    match untold {
        Since::Known(found) => changed.difference(&found.changed),
        Since::BelowFloor => UidSet::new(),
    }
}

/// MODIFIED names sequence numbers or UIDs as the command did (RFC 7162 §3.1.3).
fn modified_code(session: &Session, uid: bool, modified: &UidSet) -> Result<Code, Refusal> {
    if uid {
        return Ok(Code::Modified(modified.clone()));
    }
    let view = session.view()?;
    Ok(Code::Modified(view.uids().select_uids(modified).map(|(number, _)| number.get()).collect()))
}

async fn answer(session: &mut Session, uids: UidSet, uid: bool, silent: bool) -> Result<(), Refusal> {
    let (Some(first), Some(last)) = (uids.first(), uids.last()) else { return Ok(()) };
    let mailbox = session.view()?.mailbox;
    let (records, keywords) = session
        .shared
        .pool
        .read(move |snapshot| {
            let mut records: Vec<Record> = Vec::new();
            messages::scan(snapshot, mailbox, first..=last, &mut |record| {
                if uids.contains(record.uid.get()) {
                    records.push(*record);
                }
                Ok(std::ops::ControlFlow::Continue(()))
            })?;
            Ok::<_, Error>((records, messages::keywords(snapshot, mailbox)?))
        })
        .await?;
    if !silent {
        flags::tell_keywords(session, &keywords)?;
    }
    for record in &records {
        if silent {
            news::tell_modseq(session, record)?;
        } else {
            news::tell_flags(session, record, &keywords, uid || session.enabled.condstore)?;
        }
        session.io.flush_if_large().await?;
    }
    Ok(())
}
