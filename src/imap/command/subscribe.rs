//! SUBSCRIBE and UNSUBSCRIBE (RFC 9051 §6.3.7, §6.3.8).

use crate::imap::client::LoggedIn;
use crate::imap::names::{known_name_of, name_of};
use crate::imap::outcome::Done;
use crate::imap::refusal::Stop;
use crate::protocol::command::subscribe::{Subscribe, Unsubscribe};
use crate::store::{Error, mailboxes};

/// SUBSCRIBE. Only what exists can be subscribed; a subscription outlives its mailbox.
///
/// # Errors
/// If there is no such mailbox.
pub async fn subscribe(session: &mut LoggedIn<'_>, command: Subscribe) -> Result<Done, Stop> {
    let account = session.user.account;
    let name = known_name_of(&command.mailbox)?;
    session
        .client
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
pub async fn unsubscribe(session: &mut LoggedIn<'_>, command: Unsubscribe) -> Result<Done, Stop> {
    let account = session.user.account;
    let name = name_of(&command.mailbox)?;
    session.client.shared.pool.write(move |tx| mailboxes::unsubscribe(tx, account, &name)).await?;
    Ok(Done::ok("UNSUBSCRIBE completed"))
}
