//! RENAME (RFC 9051 §6.3.6).

use crate::imap::client::LoggedIn;
use crate::imap::names::{known_name_of, name_of, old_name, refuse_inbox_in_inbox};
use crate::imap::outcome::Done;
use crate::imap::refusal::Stop;
use crate::protocol::command::rename::Rename;
use crate::protocol::response::{self, list::Attributes};
use crate::store::mailboxes;

/// Renames a mailbox, children included; INBOX's messages move to the new name and INBOX stays.
///
/// # Errors
/// If the old name is not there or the new one is taken.
pub async fn run(session: &mut LoggedIn<'_>, command: Rename) -> Result<Done, Stop> {
    let account = session.user.account;
    let (from, to) = (known_name_of(&command.from)?, name_of(&command.to)?);
    refuse_inbox_in_inbox(&to)?;
    let (old, new) = (from.clone(), to.clone());
    let client = &mut *session.client;
    let renamed = client
        .shared
        .pool
        .write(move |tx| {
            mailboxes::rename(tx, account, &old, &new)?;
            mailboxes::by_name(tx, account, &new)
        })
        .await?;
    let supplied = old_name(client, &command.from, &from)
        .or_else(|| old_name(client, &command.to, &to).map(|_| from.as_str().to_owned()));
    if let Some(supplied) = supplied {
        let attributes = Attributes {
            non_existent: renamed.is_none(),
            special_use: renamed.and_then(|mailbox| mailbox.special_use),
            old_name: Some(supplied),
            ..Attributes::default()
        };
        response::list::list(&mut client.writer(), &attributes, to.as_str());
    }
    Ok(Done::ok("RENAME completed"))
}
