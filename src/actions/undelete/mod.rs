//! Deleted mail: what the bin holds, one message of it, putting it back, and dropping it for good.

mod choose;
mod discard;
#[cfg(test)]
mod discard_test;
mod find;
mod list;
mod restore;
mod show;
#[cfg(test)]
mod tests;

use serde::{Deserialize, Serialize};

use super::{Context, Failure, human};
use crate::store::bin;

pub use discard::{discard, weigh};
pub use list::list;
pub use restore::restore;
pub use show::{Raw, raw, show};

/// What is looked for. What is `None` is not asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Filter {
    /// Whose: an account's name, or that of a removed one.
    pub account: Option<String>,
    /// What was in this mailbox or below it, whatever it is called now.
    pub mailbox: Option<String>,
    /// What was deleted on this day or later, in days since 1 January 1970 (UTC).
    pub since: Option<i64>,
    /// What was deleted before this day.
    pub before: Option<i64>,
    /// Each of these words is in the subject or the sender.
    pub words: Option<String>,
}

/// A page of a list.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Search {
    /// What is looked for.
    pub filter: Filter,
    /// Where to go on: what the page before gave as its `next`.
    pub after: Option<String>,
    /// The most items.
    pub limit: usize,
}

/// What was found, deleted last first.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Page {
    /// The items.
    pub items: Vec<Item>,
    /// Where to go on, if there may be more. A page may have fewer items than were asked for, or none, and all the
    /// same not be the last: so much was looked at.
    pub next: Option<String>,
}

/// Something that can be put back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Item {
    /// What it is called in commands.
    pub id: String,
    /// The account's name.
    pub account: String,
    /// Whether that account was removed: it has to be put back first.
    pub account_removed: bool,
    /// The mailbox's name, as it is now or was last. Empty for an account.
    pub mailbox: String,
    /// When it was deleted, in seconds since 1970.
    pub deleted: i64,
    /// For how many days it is kept, with the server running.
    pub days_left: u64,
    /// What it is.
    #[serde(flatten)]
    pub what: What,
}

/// What an item is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum What {
    /// A message.
    Message {
        /// Its subject, decoded.
        subject: String,
        /// Who sent it, decoded.
        from: String,
        /// INTERNALDATE, in seconds since 1970.
        date: i64,
        /// Its bytes.
        size: u64,
        /// Its flags and keywords.
        flags: Vec<String>,
    },
    /// A deleted mailbox.
    Mailbox {
        /// How many messages it has.
        messages: u64,
        /// Their bytes.
        size: u64,
    },
    /// A removed account.
    Account {
        /// How many mailboxes it has.
        mailboxes: u64,
        /// How many messages are in them.
        messages: u64,
        /// Their bytes.
        size: u64,
    },
}

/// A message as a reader wants it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shown {
    /// What the list says of it.
    pub item: Item,
    /// To whom, decoded.
    pub to: String,
    /// And to whom else.
    pub cc: String,
    /// Its date, as the message has it.
    pub date: String,
    /// Its text.
    pub text: String,
    /// Whether there is more text than is shown.
    pub cut: bool,
    /// What is attached.
    pub attachments: Vec<Attachment>,
}

/// Something that is attached to a message.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attachment {
    /// Its file's name; empty if it has none.
    pub name: String,
    /// `image/png`
    pub kind: String,
    /// Its bytes as they are sent: a third more than the file has, most often.
    pub size: u64,
}

/// What is to be put back.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Order {
    /// These.
    pub ids: Vec<String>,
    /// All messages and mailboxes that these fit.
    pub all: Option<Filter>,
    /// Messages go to this mailbox, not to their own.
    pub to: Option<String>,
    /// The mailbox or account gets this name; then it must be the only one.
    pub name: Option<String>,
}

/// What was put back.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Restored {
    /// How many messages are in a mailbox again.
    pub messages: u64,
    /// How many were in it already.
    pub present: u64,
    /// The mailboxes that they are in.
    pub into: Vec<Place>,
    /// Mailboxes.
    pub mailboxes: Vec<MailboxBack>,
    /// Accounts.
    pub accounts: Vec<AccountBack>,
    /// Ids that name nothing, or nothing any more.
    pub missing: Vec<String>,
    /// What could not be put back, and why.
    pub left: Vec<Left>,
}

/// What is to go for good, before its time.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Discard {
    /// These.
    pub ids: Vec<String>,
    /// All messages and mailboxes that these fit.
    pub all: Option<Filter>,
}

/// What went for good, or would.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Discarded {
    /// How many messages, those of mailboxes and accounts included.
    pub messages: u64,
    /// Their bytes, each counted as if no other were the same.
    pub size: u64,
    /// How many deleted mailboxes, those of accounts included.
    pub mailboxes: u64,
    /// The names of removed accounts.
    pub accounts: Vec<String>,
    /// Ids that name nothing, or nothing any more.
    pub missing: Vec<String>,
    /// What stays, and why.
    pub left: Vec<Left>,
}

/// Where messages are again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    /// The account.
    pub account: String,
    /// The mailbox.
    pub mailbox: String,
}

/// A mailbox that is back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MailboxBack {
    /// The account.
    pub account: String,
    /// The name that it had.
    pub was: String,
    /// The name that it has.
    pub name: String,
    /// How many messages it has.
    pub messages: u64,
}

/// An account that is back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccountBack {
    /// The name that it has.
    pub name: String,
    /// How many mailboxes.
    pub mailboxes: u64,
    /// How many messages.
    pub messages: u64,
}

/// Something that stays deleted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Left {
    /// Its id.
    pub id: String,
    /// Why.
    pub why: String,
}

/// For how long things are kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Keeping {
    /// How many days.
    pub days: u64,
    /// What was not kept for so long, for want of room.
    pub early: Option<Early>,
}

/// Mail that went before its time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Early {
    /// When it last happened, in seconds since 1970.
    pub at: i64,
    /// How many messages.
    pub messages: u64,
    /// Their bytes.
    pub bytes: u64,
}

impl Early {
    /// What happened, in a sentence.
    #[must_use]
    pub fn describe(&self) -> String {
        format!(
            "On {} the disk had no room for all of it: {} ({}) that had been deleted longer ago than two days went \
             before their time.",
            human::day(self.at),
            human::count(self.messages, "message", "messages"),
            human::bytes(self.bytes)
        )
    }
}

/// For how long things are kept.
pub fn keeping(context: &Context) -> Result<Keeping, Failure> {
    let snapshot = context.store.snapshot()?;
    let early = bin::early(&snapshot)?;
    let early = early.map(|early| Early { at: early.at, messages: early.messages, bytes: early.bytes });
    Ok(Keeping { days: bin::keep_days(&snapshot)?, early })
}

/// Sets for how many days things are kept.
///
/// # Errors
/// For less than 2 days and more than ten years.
pub fn keep(context: &Context, days: u64) -> Result<Keeping, Failure> {
    context.store.write(move |tx| bin::set_keep_days(tx, days))?;
    keeping(context)
}
