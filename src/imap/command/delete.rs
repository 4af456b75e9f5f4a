//! DELETE (RFC 9051 §6.3.5).

use crate::imap::client::LoggedIn;
use crate::imap::names::{known_name_of, tell_old_name};
use crate::imap::outcome::Done;
use crate::imap::refusal::Stop;
use crate::protocol::command::delete::Delete;
use crate::protocol::response::{code::Code, list::Attributes};
use crate::store::mailboxes;

/// Deletes a mailbox. One with children goes too; its name stays in LIST as one that does not exist.
///
/// # Errors
/// If there is none, or it is INBOX.
pub async fn run(session: &mut LoggedIn<'_>, command: Delete) -> Result<Done, Stop> {
    let account = session.user.account;
    let name = known_name_of(&command.mailbox)?;
    let wanted = name.clone();
    let deleted = session
        .client
        .shared
        .pool
        .write(move |tx| {
            let id = mailboxes::by_name(tx, account, &wanted)?.map(|mailbox| mailbox.id);
            mailboxes::delete(tx, account, &wanted).map(|()| id)
        })
        .await?;
    // Not by its name: it may have another since it was opened.
    if session.open.as_ref().is_some_and(|view| Some(view.mailbox) == deleted) {
        session.deselect();
        session.client.untagged("OK", Some(Code::Closed), "The open mailbox was deleted");
    }
    let attributes = Attributes { non_existent: true, ..Attributes::default() };
    tell_old_name(session.client, &command.mailbox, &name, attributes);
    Ok(Done::ok("DELETE completed"))
}
