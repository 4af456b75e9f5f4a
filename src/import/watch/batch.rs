//! The job that stores a batch of messages, and in the same record that their files are imported.

use super::candidates::Candidate;
use super::listed;
use crate::import::destination::target::Target;
use crate::import::disk::read::Identity;
use crate::model::{AccountId, ContentHash, ContentId, DateTime, FlagSet, MailboxId, SourceId, Uid, UidSet};
use crate::store::arrivals;
use crate::store::filing::{self, Arrival};
use crate::store::imported::{self, Imported};
use crate::store::messages;
use crate::store::{Error, Pending, Prepared, Transaction, emails};

/// A message that waits for its job.
pub(super) struct Item {
    pub(super) prepared: Prepared,
    /// Its row's name.
    pub(super) key: Vec<u8>,
    pub(super) row: Imported,
    pub(super) flags: FlagSet,
    pub(super) date: DateTime,
    pub(super) candidate: Candidate,
    pub(super) identity: Identity,
    /// Whether it has a field that messages have.
    pub(super) is_mail: bool,
    /// The message that was imported while the file was being written.
    pub(super) instead_of: Option<Half>,
}

impl Item {
    fn arrival(&self) -> Arrival<'_> {
        Arrival { prepared: &self.prepared, internal_date: self.date, flags: self.flags.clone() }
    }
}

/// A message that was imported before its file was whole.
#[derive(Clone, Debug)]
pub(super) struct Half {
    /// Where it was put.
    pub(super) filed: Option<(MailboxId, Uid)>,
    /// Its content, where the file still begins with it.
    pub(super) content: Option<ContentHash>,
    /// Its row's name, where it was another file under a known name.
    pub(super) key: Option<Vec<u8>>,
}

/// A message that was stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stored {
    pub(super) email: ContentId,
    pub(super) mailbox: MailboxId,
    pub(super) uid: Uid,
}

/// A batch that was handed to the writer.
pub(super) struct Batch {
    pub(super) files: Vec<File>,
    pub(super) pending: Pending<Vec<Stored>>,
}

/// A file whose message is in a batch.
pub(super) struct File {
    pub(super) candidate: Candidate,
    pub(super) identity: Identity,
    pub(super) key: Vec<u8>,
    pub(super) hash: [u8; 32],
    pub(super) is_mail: bool,
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
    /// Runs it; gives what became of each message.
    pub(super) fn run(self, tx: &mut dyn Transaction) -> Result<Vec<Stored>, Error> {
        let (mailbox, _) = self.target.resolve(tx, self.account)?;
        let arrivals: Vec<_> = self.batch.iter().map(Item::arrival).collect();
        let filed = filing::file(tx, self.account, mailbox, &arrivals)?;
        let uids = filed.appended.uids.iter().filter_map(Uid::new);
        let stored: Vec<_> =
            uids.zip(filed.contents).map(|(uid, email)| Stored { email, mailbox, uid }).collect();
        for (item, stored) in self.batch.iter().zip(&stored) {
            let row = Imported { filed: Some((mailbox, stored.uid)), ..item.row };
            imported::put(tx, self.source, &self.folder, &item.key, &row)?;
            if let Some(half) = &item.instead_of {
                self.expunge(tx, mailbox, half)?;
                half.key.iter().for_each(|key| imported::forget(tx, self.source, &self.folder, key));
            }
        }
        arrivals::note(tx, self.source)?;
        Ok(stored)
    }

    /// Half a message goes in the job that brings the whole one. Where a client has moved it, it is the client's.
    fn expunge(&self, tx: &mut dyn Transaction, target: MailboxId, half: &Half) -> Result<(), Error> {
        let place = match (half.filed, half.content) {
            (Some(place), _) => Some(place),
            // Files that were imported by the first versions.
            (None, Some(content)) => match emails::by_hash(tx, content)? {
                Some(email) => listed::place_in(tx, target, email)?.map(|uid| (target, uid)),
                None => None,
            },
            (None, None) => None,
        };
        let Some((mailbox, uid)) = place else { return Ok(()) };
        let uids: UidSet = std::iter::once(uid.get()..=uid.get()).collect();
        match messages::expunge(tx, self.account, mailbox, &uids, false) {
            Err(Error::NotFound(_)) => Ok(()),
            other => other.map(drop),
        }
    }
}
