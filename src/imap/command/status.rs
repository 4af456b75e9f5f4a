//! STATUS (RFC 9051 §6.3.11). Counts are kept in the mailbox's row: nothing is scanned.

use crate::imap::change_bell::ChangeBells;
use crate::imap::client::{Client, LoggedIn};
use crate::imap::names::{known_name_of, nowhere};
use crate::imap::outcome::Done;
use crate::imap::refusal::Stop;
use crate::imap::shared::Shared;
use crate::protocol::command::status::{Status, StatusItem};
use crate::protocol::response::Writer;
use crate::protocol::response::status::{self, Value};
use crate::store::mailboxes::{self, Mailbox};
use crate::store::{Error, Rows, messages};

/// STATUS of any mailbox, the open one included (some clients ask for it all the same).
///
/// # Errors
/// If there is no such mailbox.
pub async fn run(session: &mut LoggedIn<'_>, command: Status) -> Result<Done, Stop> {
    let account = session.user.account;
    let client = &mut *session.client;
    let name = known_name_of(&command.mailbox)?;
    let mailbox = client
        .shared
        .pool
        .read(move |snapshot| mailboxes::by_name(snapshot, account, &name))
        .await?
        .ok_or_else(nowhere)?;
    note_condstore(client, &command.items);
    let shared = std::sync::Arc::clone(&client.shared);
    let (found, items) = (mailbox.clone(), command.items.clone());
    client.shared.pool.read(move |snapshot| learn_recent(snapshot, &shared, &found, &items)).await?;
    let shared = std::sync::Arc::clone(&client.shared);
    write(&mut client.writer(), &shared, &mailbox, &command.items);
    Ok(Done::ok("STATUS completed"))
}

/// Finds out which messages of a mailbox came in this run, where RECENT is asked for and nobody has done so yet: no
/// session has been told of them (RFC 3501 §2.3.2).
///
/// # Errors
/// Of reading.
pub fn learn_recent(
    rows: &dyn Rows,
    shared: &Shared,
    mailbox: &Mailbox,
    items: &[StatusItem],
) -> Result<(), Error> {
    if !items.contains(&StatusItem::Recent) || shared.bells.recent(mailbox.id).is_some() {
        return Ok(());
    }
    let (id, next) = (mailbox.id, mailbox.uid_next);
    let first = messages::saved_since(rows, id, next, shared.started_unix)?;
    shared.bells.take_recent(id, next, true, first);
    Ok(())
}

/// Asking for HIGHESTMODSEQ enables CONDSTORE (RFC 7162 §3.1.2.1).
pub fn note_condstore(client: &mut Client, items: &[StatusItem]) {
    client.enabled.condstore |= items.contains(&StatusItem::HighestModSeq);
}

/// Writes the STATUS response of a mailbox.
pub fn write(writer: &mut Writer<'_>, shared: &Shared, mailbox: &Mailbox, items: &[StatusItem]) {
    let values: Vec<(StatusItem, Value)> =
        items.iter().map(|item| (*item, value(shared, mailbox, *item))).collect();
    status::write(writer, mailbox.name.as_str(), &values);
}

fn value(shared: &Shared, mailbox: &Mailbox, item: StatusItem) -> Value {
    Value::Number(match item {
        StatusItem::Messages => u64::from(mailbox.messages),
        StatusItem::UidNext => u64::from(mailbox.uid_next),
        StatusItem::UidValidity => u64::from(mailbox.uid_validity.get()),
        StatusItem::Unseen => u64::from(mailbox.unseen),
        StatusItem::Deleted => u64::from(mailbox.deleted),
        StatusItem::Size => mailbox.size,
        StatusItem::Recent => recent(&shared.bells, mailbox),
        StatusItem::HighestModSeq => mailbox.highest_modseq.0.max(1),
        StatusItem::AppendLimit => shared.message_limit,
        StatusItem::MailboxId => return Value::ObjectId(mailbox.object_id),
    })
}

/// Messages that no session has been told of, by UID: an upper bound where some were expunged meanwhile.
fn recent(hub: &ChangeBells, mailbox: &Mailbox) -> u64 {
    let lowest = hub.recent(mailbox.id).unwrap_or(mailbox.uid_next);
    u64::from(mailbox.uid_next.saturating_sub(lowest)).min(u64::from(mailbox.messages))
}
