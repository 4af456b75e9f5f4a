//! EXPUNGE, UID EXPUNGE and CLOSE (RFC 9051 §6.4.1, §6.4.3, §6.4.9).

use crate::imap::client::Selected;
use crate::imap::outcome::Done;
use crate::imap::refusal::Stop;
use crate::imap::view::View;
use crate::model::UidList;
use crate::protocol::command::expunge::Expunge;
use crate::protocol::response::code::Code;
use crate::store::messages;

/// UIDs of a job: no other job waits longer than about 50 ms for it (src/store/FORMAT.md).
pub const SLICE: usize = 5_000;

/// Expunges what is `\Deleted`, of all messages or of those that UID EXPUNGE names. The EXPUNGE or VANISHED
/// responses are the news that precede the tagged reply.
///
/// # Errors
/// In a mailbox opened with EXAMINE, and those of the store.
pub async fn run(session: &mut Selected<'_>, command: Expunge) -> Result<Done, Stop> {
    may_change(session.view)?;
    let uids = match &command.uids {
        Some(messages) => session.view.named_uids(messages),
        None => session.view.uids().clone(),
    };
    expunge(session, uids).await?;
    Ok(Done::ok("EXPUNGE completed"))
}

/// CLOSE: expunges without telling, unless the mailbox was opened with EXAMINE. It is left then.
///
/// # Errors
/// Those of the store.
pub async fn close(session: &mut Selected<'_>) -> Result<Done, Stop> {
    if !session.view.read_only {
        expunge(session, session.view.uids().clone()).await?;
    }
    Ok(Done::ok("CLOSE completed"))
}

/// Whether the mailbox of a view may be changed.
///
/// # Errors
/// NO in a mailbox opened with EXAMINE.
pub fn may_change(view: &View) -> Result<(), Stop> {
    if view.read_only {
        return Err(Stop::no(Code::ReadOnly, "The mailbox was opened with EXAMINE: nothing can be changed"));
    }
    Ok(())
}

async fn expunge(session: &Selected<'_>, uids: UidList) -> Result<(), Stop> {
    let (account, mailbox) = (session.view.account, session.view.mailbox);
    for slice in uids.batches(SLICE) {
        let pool = &session.client.shared.pool;
        pool.write(move |tx| messages::expunge(tx, account, mailbox, &slice, true).map(drop)).await?;
    }
    Ok(())
}
