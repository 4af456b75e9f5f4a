//! CREATE, DELETE, RENAME, SUBSCRIBE and UNSUBSCRIBE (RFC 9051 §6.3.4 to §6.3.8).

use crate::imap::refusal::Refusal;
use crate::imap::session::{Done, Session};
use crate::model::MailboxName;
use crate::protocol::command::MailboxArg;
use crate::protocol::command::create::Create;
use crate::protocol::command::delete::Delete;
use crate::protocol::command::rename::Rename;
use crate::protocol::command::subscribe::{Subscribe, Unsubscribe};
use crate::protocol::response::{self, code::Code, list::Attributes};
use crate::store::{Error, mailboxes};

/// The name of a mailbox that a command names.
///
/// # Errors
/// NO [CANNOT] with what is wrong with it.
pub fn name_of(argument: &MailboxArg) -> Result<MailboxName, Refusal> {
    argument.name().map_err(|error| Refusal::no(Code::Cannot, error.to_string()))
}

/// The name of a mailbox that must be there: no mailbox has a bad one.
///
/// # Errors
/// NO [NONEXISTENT].
pub fn known_name_of(argument: &MailboxArg) -> Result<MailboxName, Refusal> {
    argument.name().map_err(|_| nowhere())
}

/// The refusal of a mailbox that is not there.
#[must_use]
pub fn nowhere() -> Refusal {
    Refusal::no(Code::NonExistent, "There is no such mailbox")
}

/// The refusal of a target that is not there, or has gone meanwhile: the client may create it and try again (RFC 9051
/// §6.3.12, §6.4.7), unless CREATE would be refused.
#[must_use]
pub fn no_target(name: &MailboxName) -> Refusal {
    let create = || Refusal::no(Code::TryCreate, "There is no such mailbox; create it first");
    refuse_inbox_in_inbox(name).err().unwrap_or_else(create)
}

/// The name that an IMAP4rev2 client gave, if the mailbox is called otherwise in its canonical form: OLDNAME
/// (RFC 9051 §6.3.9.7). A separator at its end is no part of it (§6.3.4).
#[must_use]
pub fn old_name(session: &Session, argument: &MailboxArg, name: &MailboxName) -> Option<String> {
    let given = argument.text().strip_suffix('/').unwrap_or(argument.text());
    (session.enabled.rev2 && given != name.as_str()).then(|| given.to_owned())
}

/// CREATE, with its parents, and a special use if one is asked for (RFC 6154 §3).
///
/// # Errors
/// If the name is bad or taken.
pub async fn create(session: &mut Session, command: Create) -> Result<Done, Refusal> {
    let account = session.account()?;
    let name = name_of(&command.mailbox)?;
    refuse_inbox_in_inbox(&name)?;
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
    let created = name.clone();
    let made = session
        .shared
        .pool
        .write(move |tx| {
            // The name first: that it is taken says more than that the use is.
            if mailboxes::by_name(tx, account, &name)?.is_some() {
                return Err(Error::Exists("a mailbox of this name"));
            }
            let role_taken = special_use.is_some()
                && mailboxes::list(tx, account)?.iter().any(|known| known.special_use == special_use);
            if role_taken {
                return Ok(None);
            }
            let id = mailboxes::create(tx, account, &name, special_use)?;
            mailboxes::get(tx, account, id)
        })
        .await?;
    let Some(mailbox) = made else {
        return Err(Refusal::no(Code::UseAttr, "Another mailbox has this use"));
    };
    let attributes = Attributes { special_use, has_children: Some(false), ..Attributes::default() };
    tell_old_name(session, &command.mailbox, &created, attributes);
    Ok(Done::with(Code::MailboxId(mailbox.object_id), "CREATE completed"))
}

/// Apple Mail tries INBOX/INBOX where it misreads the namespace; the result only confuses.
fn refuse_inbox_in_inbox(name: &MailboxName) -> Result<(), Refusal> {
    // With a dot too: what a client makes of a namespace that it remembers from another server.
    let mut levels = name.as_str().split(['/', '.']).map(|level| level.eq_ignore_ascii_case("INBOX"));
    if levels.next() == Some(true) && levels.next() == Some(true) {
        return Err(Refusal::no(
            Code::Cannot,
            "INBOX is there already; this would be a second one inside it",
        ));
    }
    Ok(())
}

/// LIST with OLDNAME, where the name is not the one that the client gave.
pub fn tell_old_name(session: &mut Session, given: &MailboxArg, name: &MailboxName, attributes: Attributes) {
    if let Some(old_name) = old_name(session, given, name) {
        let attributes = Attributes { old_name: Some(old_name), ..attributes };
        response::list::list(&mut session.writer(), &attributes, name.as_str());
    }
}

/// DELETE. A mailbox with children goes too; its name stays in LIST as one that does not exist.
///
/// # Errors
/// If there is none, or it is INBOX.
pub async fn delete(session: &mut Session, command: Delete) -> Result<Done, Refusal> {
    let account = session.account()?;
    let name = known_name_of(&command.mailbox)?;
    let wanted = name.clone();
    let deleted = session
        .shared
        .pool
        .write(move |tx| {
            let id = mailboxes::by_name(tx, account, &wanted)?.map(|mailbox| mailbox.id);
            mailboxes::delete(tx, account, &wanted).map(|()| id)
        })
        .await?;
    // Not by its name: it may have another since it was opened.
    if session.view().is_ok_and(|view| Some(view.mailbox) == deleted) {
        session.deselect();
        session.untagged("OK", Some(Code::Closed), "The open mailbox was deleted");
    }
    let attributes = Attributes { non_existent: true, ..Attributes::default() };
    tell_old_name(session, &command.mailbox, &name, attributes);
    Ok(Done::ok("DELETE completed"))
}

/// RENAME, children included; INBOX's messages move to the new name and INBOX stays (RFC 9051 §6.3.6).
///
/// # Errors
/// If the old name is not there or the new one is taken.
pub async fn rename(session: &mut Session, command: Rename) -> Result<Done, Refusal> {
    let account = session.account()?;
    let (from, to) = (known_name_of(&command.from)?, name_of(&command.to)?);
    refuse_inbox_in_inbox(&to)?;
    let (old, new) = (from.clone(), to.clone());
    let renamed = session
        .shared
        .pool
        .write(move |tx| {
            mailboxes::rename(tx, account, &old, &new)?;
            mailboxes::by_name(tx, account, &new)
        })
        .await?;
    let supplied = old_name(session, &command.from, &from)
        .or_else(|| old_name(session, &command.to, &to).map(|_| from.as_str().to_owned()));
    if let Some(supplied) = supplied {
        let attributes = Attributes {
            non_existent: renamed.is_none(),
            special_use: renamed.and_then(|mailbox| mailbox.special_use),
            old_name: Some(supplied),
            ..Attributes::default()
        };
        response::list::list(&mut session.writer(), &attributes, to.as_str());
    }
    Ok(Done::ok("RENAME completed"))
}

/// SUBSCRIBE. Only what exists can be subscribed; a subscription outlives its mailbox.
///
/// # Errors
/// If there is no such mailbox.
pub async fn subscribe(session: &mut Session, command: Subscribe) -> Result<Done, Refusal> {
    let account = session.account()?;
    let name = known_name_of(&command.mailbox)?;
    session
        .shared
        .pool
        .write(move |tx| {
            if mailboxes::by_name(tx, account, &name)?.is_none() {
                return Err(Error::NotFound("mailbox"));
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
