//! CREATE (RFC 9051 §6.3.4), with a special use (RFC 6154 §3).

use crate::imap::client::LoggedIn;
use crate::imap::names::{name_of, refuse_inbox_in_inbox, tell_old_name};
use crate::imap::outcome::Done;
use crate::imap::refusal::Stop;
use crate::protocol::command::create::Create;
use crate::protocol::response::{code::Code, list::Attributes};
use crate::store::{Error, mailboxes};

/// Makes a mailbox, with its parents, and gives it a use if one is asked for.
///
/// # Errors
/// If the name is bad or taken.
pub async fn run(session: &mut LoggedIn<'_>, command: Create) -> Result<Done, Stop> {
    let account = session.user.account;
    let name = name_of(&command.mailbox)?;
    refuse_inbox_in_inbox(&name)?;
    let special_use = match command.special_uses.as_slice() {
        [] => None,
        [Some(one)] if one.may_be_assigned() => Some(*one),
        _ => {
            return Err(Stop::no(
                Code::UseAttr,
                "A mailbox can have one use: Archive, Drafts, Junk, Sent or Trash",
            ));
        }
    };
    let created = name.clone();
    let made = session
        .client
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
        return Err(Stop::no(Code::UseAttr, "Another mailbox has this use"));
    };
    let attributes = Attributes { special_use, has_children: Some(false), ..Attributes::default() };
    tell_old_name(session.client, &command.mailbox, &created, attributes);
    Ok(Done::with(Code::MailboxId(mailbox.object_id), "CREATE completed"))
}
