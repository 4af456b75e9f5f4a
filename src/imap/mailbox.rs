//! CREATE, DELETE, RENAME, SUBSCRIBE and UNSUBSCRIBE (RFC 9051 §6.3.4 to §6.3.8).

use crate::imap::refusal::Refusal;
use crate::imap::session::{Done, Session};
use crate::model::MailboxName;
use crate::protocol::command::MailboxArg;
use crate::protocol::command::create::Create;
use crate::protocol::command::delete::Delete;
use crate::protocol::command::rename::Rename;
use crate::protocol::command::subscribe::{Subscribe, Unsubscribe};
use crate::protocol::response::code::Code;
use crate::store::mailboxes;

/// The name of a mailbox that a command names.
///
/// # Errors
/// NO [CANNOT] with what is wrong with it.
pub fn name_of(argument: &MailboxArg) -> Result<MailboxName, Refusal> {
    argument.name().map_err(|error| Refusal::no(Code::Cannot, error.to_string()))
}

/// CREATE, with its parents, and a special use if one is asked for (RFC 6154 §3).
///
/// # Errors
/// If the name is bad or taken.
pub async fn create(session: &mut Session, command: Create) -> Result<Done, Refusal> {
    let account = session.account()?;
    let name = name_of(&command.mailbox)?;
    if name.as_str().eq_ignore_ascii_case("INBOX/INBOX") {
        // Apple Mail tries this where it misreads the namespace; the result only confuses.
        return Err(Refusal::no(
            Code::Cannot,
            "INBOX is there already; this would be a second one inside it",
        ));
    }
    let special_use = match command.special_uses.as_slice() {
        [] => None,
        [Some(one)] if one.may_be_assigned() => Some(*one),
        _ => {
            return Err(Refusal::no(
                Code::UseAttr,
                "A mailbox can have one use: Archive, Drafts, Junk, Sent or Trash",
            ));
        }
    };
    let id = session
        .shared
        .pool
        .write(move |tx| {
            let id = mailboxes::create(tx, account, &name, special_use)?;
            Ok(mailboxes::get(tx, account, id)?.map(|mailbox| mailbox.object_id))
        })
        .await?;
    Ok(match id {
        Some(id) => Done::with(Code::MailboxId(id), "CREATE completed"),
        None => Done::ok("CREATE completed"),
    })
}

/// DELETE. A mailbox with children goes too; its name stays in LIST as one that does not exist.
///
/// # Errors
/// If there is none, or it is INBOX.
pub async fn delete(session: &mut Session, command: Delete) -> Result<Done, Refusal> {
    let account = session.account()?;
    let name = name_of(&command.mailbox)?;
    let deleted = session
        .shared
        .pool
        .write(move |tx| {
            let id = mailboxes::by_name(tx, account, &name)?.map(|mailbox| mailbox.id);
            mailboxes::delete(tx, account, &name).map(|()| id)
        })
        .await?;
    // By its id: it may have been renamed since it was opened.
    if session.view().is_ok_and(|view| Some(view.mailbox) == deleted) {
        session.deselect();
        session.untagged("OK", Some(Code::Closed), "The open mailbox was deleted");
    }
    Ok(Done::ok("DELETE completed"))
}

/// RENAME, children included; INBOX's messages move to the new name and INBOX stays (RFC 9051 §6.3.6).
///
/// # Errors
/// If the old name is not there or the new one is taken.
pub async fn rename(session: &mut Session, command: Rename) -> Result<Done, Refusal> {
    let account = session.account()?;
    let (from, to) = (name_of(&command.from)?, name_of(&command.to)?);
    session.shared.pool.write(move |tx| mailboxes::rename(tx, account, &from, &to)).await?;
    Ok(Done::ok("RENAME completed"))
}

/// SUBSCRIBE. Only what exists can be subscribed; a subscription outlives its mailbox.
///
/// # Errors
/// If there is no such mailbox.
pub async fn subscribe(session: &mut Session, command: Subscribe) -> Result<Done, Refusal> {
    let account = session.account()?;
    let name = name_of(&command.mailbox)?;
    session
        .shared
        .pool
        .write(move |tx| {
            if mailboxes::by_name(tx, account, &name)?.is_none() {
                return Err(crate::store::Error::NotFound("mailbox"));
            }
            mailboxes::subscribe(tx, account, &name)
        })
        .await?;
    Ok(Done::ok("SUBSCRIBE completed"))
}

/// UNSUBSCRIBE; of what is not subscribed it is no error.
///
/// # Errors
/// If the name is bad.
pub async fn unsubscribe(session: &mut Session, command: Unsubscribe) -> Result<Done, Refusal> {
    let account = session.account()?;
    let name = name_of(&command.mailbox)?;
    session.shared.pool.write(move |tx| mailboxes::unsubscribe(tx, account, &name)).await?;
    Ok(Done::ok("UNSUBSCRIBE completed"))
}
