//! STATUS (RFC 9051 §6.3.11). Counts are kept in the mailbox's row: nothing is scanned.

use crate::imap::mailbox::{known_name_of, nowhere};
use crate::imap::refusal::Refusal;
use crate::imap::session::{Done, Session};
use crate::imap::{Shared, hub::Hub};
use crate::protocol::command::status::{Status, StatusItem};
use crate::protocol::response::status::{self, Value};
use crate::store::mailboxes::{self, Mailbox};
use crate::store::{Snapshot, messages};

/// STATUS of any mailbox, the open one included (some clients ask for it all the same).
///
/// # Errors
/// If there is no such mailbox.
pub async fn run(session: &mut Session, command: Status) -> Result<Done, Refusal> {
    let account = session.account()?;
    let name = known_name_of(&command.mailbox)?;
    let mailbox = session
        .shared
        .pool
        .read(move |snapshot| mailboxes::by_name(snapshot, account, &name))
        .await?
        .ok_or_else(nowhere)?;
    learn_recent(session, &mailbox, &command.items).await?;
    write(session, &mailbox, &command.items);
    Ok(Done::ok("STATUS completed"))
}

/// Finds out which messages of a mailbox came in this run, where RECENT is asked for and nobody has done so yet: no
/// session has been told of them (RFC 3501 §2.3.2).
///
/// # Errors
/// Those of the store.
pub async fn learn_recent(
    session: &mut Session,
    mailbox: &Mailbox,
    items: &[StatusItem],
) -> Result<(), Refusal> {
    let hub = &session.shared.hub;
    if !items.contains(&StatusItem::Recent) || hub.recent(mailbox.id).is_some() {
        return Ok(());
    }
    let (id, next, started) = (mailbox.id, mailbox.uid_next, session.shared.started_unix);
    let read = move |snapshot: &Snapshot| messages::saved_since(snapshot, id, next, started);
    let first = session.shared.pool.read(read).await?;
    hub.take_recent(id, next, true, first);
    Ok(())
}

/// Writes the STATUS response of a mailbox.
pub fn write(session: &mut Session, mailbox: &Mailbox, items: &[StatusItem]) {
    if items.contains(&StatusItem::HighestModSeq) {
        // Asking for it enables CONDSTORE (RFC 7162 §3.1.2.1).
        session.enabled.condstore = true;
    }
    let values: Vec<(StatusItem, Value)> =
        items.iter().map(|item| (*item, value(&session.shared, mailbox, *item))).collect();
    status::write(&mut session.writer(), mailbox.name.as_str(), &values);
}

fn value(shared: &Shared, mailbox: &Mailbox, item: StatusItem) -> Value {
    Value::Number(match item {
        StatusItem::Messages => u64::from(mailbox.messages),
        StatusItem::UidNext => u64::from(mailbox.uid_next),
        StatusItem::UidValidity => u64::from(mailbox.uid_validity.get()),
        StatusItem::Unseen => u64::from(mailbox.unseen),
        StatusItem::Deleted => u64::from(mailbox.deleted),
        StatusItem::Size => mailbox.size,
        StatusItem::Recent => recent(&shared.hub, mailbox),
        StatusItem::HighestModSeq => mailbox.highest_modseq.0.max(1),
        StatusItem::AppendLimit => shared.message_limit,
        StatusItem::MailboxId => return Value::ObjectId(mailbox.object_id),
    })
}

/// Messages that no session has been told of, by UID: an upper bound where some were expunged meanwhile.
fn recent(hub: &Hub, mailbox: &Mailbox) -> u64 {
    let lowest = hub.recent(mailbox.id).unwrap_or(mailbox.uid_next);
    u64::from(mailbox.uid_next.saturating_sub(lowest)).min(u64::from(mailbox.messages))
}
