//! Mailboxes, as they are shown.

use serde::{Deserialize, Serialize};

use super::{Context, Failure, account};
use crate::store::mailboxes;

/// A mailbox.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Info {
    /// Its name.
    pub name: String,
    /// What it is for: `Sent`, `Trash` …
    pub role: Option<String>,
    /// How many messages.
    pub messages: u64,
    /// How many of them are unread.
    pub unseen: u64,
    /// Their bytes.
    pub bytes: u64,
}

/// An account's mailboxes: INBOX, then by name.
///
/// # Errors
/// If there is no such account.
pub fn list(context: &Context, account: &str) -> Result<Vec<Info>, Failure> {
    let account = account::find(context, account)?;
    let mut found = mailboxes::list(&context.store.snapshot()?, account.id)?;
    found.sort_by_key(|mailbox| (!mailbox.name.is_inbox(), mailbox.name.as_str().to_lowercase()));
    Ok(found
        .into_iter()
        .map(|mailbox| Info {
            name: mailbox.name.as_str().to_owned(),
            role: mailbox.special_use.map(|role| role.attribute().trim_start_matches('\\').to_owned()),
            messages: u64::from(mailbox.messages),
            unseen: u64::from(mailbox.unseen),
            bytes: mailbox.size,
        })
        .collect())
}
