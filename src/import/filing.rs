//! The job that stores a batch of messages, and in the same record that their files are imported.

use super::candidates::Candidate;
use super::read::Identity;
use super::target::Target;
use crate::model::{AccountId, DateTime, EmailId, FlagSet, SourceId};
use crate::store::arrivals;
use crate::store::imported::{self, Imported};
use crate::store::messages::{self, NewMessage};
use crate::store::{Error, Prepared, Transaction};

/// A message that waits for its job.
pub(super) struct Item {
    pub(super) prepared: Prepared,
    /// Its name in the books.
    pub(super) key: Vec<u8>,
    pub(super) row: Imported,
    pub(super) flags: FlagSet,
    pub(super) date: DateTime,
    pub(super) candidate: Candidate,
    pub(super) identity: Identity,
}

/// What one job stores.
pub(super) struct Job {
    pub(super) source: SourceId,
    pub(super) account: AccountId,
    pub(super) folder: Vec<u8>,
    pub(super) target: Target,
    pub(super) batch: Vec<Item>,
}

impl Job {
    /// Runs it; gives the content of each message.
    pub(super) fn run(self, tx: &mut dyn Transaction) -> Result<Vec<EmailId>, Error> {
        let (mailbox, name) = self.target.resolve(tx, self.account)?;
        let (mut emails, mut new) = (Vec::new(), Vec::new());
        for item in &self.batch {
            let email = item.prepared.file(tx, self.account, &name)?;
            let (size, internal_date, flags) = (item.prepared.size(), item.date, item.flags.clone());
            new.push(NewMessage { email, size, internal_date, flags });
            emails.push(email);
            imported::put(tx, self.source, &self.folder, &item.key, &item.row)?;
        }
        messages::append(tx, self.account, mailbox, &new)?;
        arrivals::note(tx, self.source)?;
        Ok(emails)
    }
}
