//! EXPUNGE, UID EXPUNGE and CLOSE (RFC 9051 §6.4.1, §6.4.3, §6.4.9).

use crate::imap::refusal::Refusal;
use crate::imap::session::{Done, Session};
use crate::model::UidList;
use crate::protocol::command::expunge::Expunge;
use crate::protocol::response::code::Code;
use crate::store::messages;

/// UIDs of a job: no other job waits longer than about 50 ms for it: there is one writer.
pub const SLICE: usize = 5_000;

/// Expunges what is `\Deleted`, of all messages or of those that UID EXPUNGE names. The EXPUNGE or VANISHED
/// responses are the news that precede the tagged reply.
///
/// # Errors
/// In a mailbox opened with EXAMINE, and those of the store.
pub async fn run(session: &mut Session, command: Expunge) -> Result<Done, Refusal> {
    let view = writable(session)?;
    let uids = match &command.uids {
        Some(messages) => crate::imap::fetch::resolve_uids(view, messages),
        None => view.uids().clone(),
    };
    expunge(session, uids).await?;
    Ok(Done::ok("EXPUNGE completed"))
}

/// CLOSE: expunges without telling, unless the mailbox was opened with EXAMINE, and leaves it.
///
/// # Errors
/// Those of the store.
pub async fn close(session: &mut Session) -> Result<Done, Refusal> {
    if !session.view()?.read_only {
        expunge(session, session.view()?.uids().clone()).await?;
    }
    session.deselect();
    Ok(Done::ok("CLOSE completed"))
}

/// The view, if its mailbox may be changed.
///
/// # Errors
/// NO in a mailbox opened with EXAMINE.
pub fn writable(session: &Session) -> Result<&crate::imap::view::View, Refusal> {
    let view = session.view()?;
    if view.read_only {
        return Err(Refusal::no(
            Code::ReadOnly,
            "The mailbox was opened with EXAMINE: nothing can be changed",
        ));
    }
    Ok(view)
}

async fn expunge(session: &Session, uids: UidList) -> Result<(), Refusal> {
    let view = session.view()?;
    let (account, mailbox) = (view.account, view.mailbox);
    for slice in uids.batches(SLICE) {
        session
            .shared
            .pool
            .write(move |tx| messages::expunge(tx, account, mailbox, &slice, true).map(drop))
            .await?;
    }
    Ok(())
}
