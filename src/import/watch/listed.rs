//! Whether a message is stored: listed in a mailbox now. That its content is known says nothing, for a message that
//! was expunged is known by its content for a month.

use std::ops::ControlFlow;

use crate::import::destination::target::Target;
use crate::model::{AccountId, ContentHash, ContentId, MailboxId, Uid};
use crate::store::imported::Imported;
use crate::store::{Error, Rows, emails, mailboxes, messages};

/// What became of a message since its file was imported.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// A mailbox of the account lists it.
    Listed(ContentId),
    /// It was stored out of this very file, and a client has deleted it since. The bin has it still.
    Deleted(ContentId),
    /// Nobody lists it, and this is another file than the one that was imported, or one that was away: it is to be
    /// imported again.
    PutBack,
    /// It was deleted since; whether out of this very file it was stored, or whether the bin has it, is not known.
    Unknown,
}

/// What is asked.
pub(super) struct Question<'a> {
    pub(super) account: AccountId,
    pub(super) target: &'a Target,
    /// What is known of the file that was imported.
    pub(super) row: &'a Imported,
    /// The content of the file that is there.
    pub(super) content: ContentHash,
    /// Which file it is, where its file system can tell.
    pub(super) instance: Option<u64>,
    /// Whether the one that was imported has been away since.
    pub(super) was_away: bool,
}

impl Question<'_> {
    pub(super) fn answer(&self, rows: &dyn Rows) -> Result<Standing, Error> {
        let email = emails::by_hash(rows, self.content)?;
        if let Some(email) = email {
            if self.is_where_it_was_put(rows, email)? {
                return Ok(Standing::Listed(email));
            }
            // A client may have moved it; who puts a file back wants it where that says.
            if !self.was_away && is_anywhere(rows, self.account, email)? {
                return Ok(Standing::Listed(email));
            }
        }
        if self.was_away {
            return Ok(Standing::PutBack);
        }
        let is_same = self.instance.is_some() && self.instance == self.row.instance;
        Ok(match email {
            Some(email) if is_same => Standing::Deleted(email),
            _ if is_same || self.row.filed.is_none() => Standing::Unknown,
            _ => Standing::PutBack,
        })
    }

    fn is_where_it_was_put(&self, rows: &dyn Rows, email: ContentId) -> Result<bool, Error> {
        if let Some((mailbox, uid)) = self.row.filed {
            return is_at(rows, self.account, mailbox, uid, email);
        }
        let Ok(name) = self.target.name(rows, self.account) else { return Ok(false) };
        match mailboxes::by_name(rows, self.account, &name)? {
            Some(mailbox) => is_in(rows, mailbox.id, email),
            None => Ok(false),
        }
    }
}

/// Whether a mailbox of the account has this content under this UID.
pub(super) fn is_at(
    rows: &dyn Rows,
    account: AccountId,
    mailbox: MailboxId,
    uid: Uid,
    email: ContentId,
) -> Result<bool, Error> {
    // The records of a deleted mailbox stay until the bin's time is over.
    if mailboxes::get(rows, account, mailbox)?.is_none() {
        return Ok(false);
    }
    let mut found = false;
    messages::scan(rows, mailbox, uid.get()..=uid.get(), &mut |record| {
        found = record.email == email;
        Ok(ControlFlow::Break(()))
    })?;
    Ok(found)
}

fn is_in(rows: &dyn Rows, mailbox: MailboxId, email: ContentId) -> Result<bool, Error> {
    Ok(place_in(rows, mailbox, email)?.is_some())
}

/// The first message of a mailbox with this content.
pub(super) fn place_in(rows: &dyn Rows, mailbox: MailboxId, email: ContentId) -> Result<Option<Uid>, Error> {
    let mut found = None;
    messages::scan(rows, mailbox, 1..=u32::MAX, &mut |record| {
        found = (record.email == email).then_some(record.uid);
        Ok(if found.is_some() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
    })?;
    Ok(found)
}

fn is_anywhere(rows: &dyn Rows, account: AccountId, email: ContentId) -> Result<bool, Error> {
    for mailbox in mailboxes::list(rows, account)? {
        if is_in(rows, mailbox.id, email)? {
            return Ok(true);
        }
    }
    Ok(false)
}
