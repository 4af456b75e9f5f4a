//! Opening: the engine's start, and what the mailboxes owe to what it found.

use super::base::error::Error;
use super::engine::loss;
use super::engine::options::Options;
use super::engine::store::Store;
use super::mailbox::{leap, mailbox_row};
use super::settings;
use crate::model::AccountId;

impl Store {
    /// Locks the data folder, replays the journal, and makes durable what was replayed: what was only in
    /// the page cache must not be told to anyone. Where changes may be lost, no UID or modseq that a client
    /// may have seen is given again.
    ///
    /// # Errors
    /// If another process holds the folder, the store is of a newer version, files cannot be read, or they
    /// belong to another store.
    pub fn open(options: Options) -> Result<Store, Error> {
        let store = Store::start(options)?;
        // Where nothing can be written, nothing is given either.
        let writes = store.condition().read_only.is_none();
        if writes && settings::number(&store.snapshot()?, loss::PENDING)? != 0 {
            store.leap()?;
        }
        Ok(store)
    }

    /// A new generation: for who has put back an image of the whole machine, after clients saw later states. No
    /// UID or modseq that they may have seen is given again; they compare what they have, and fetch nothing twice.
    ///
    /// # Errors
    /// Of reading and writing.
    pub fn new_generation(&self) -> Result<(), Error> {
        self.command(|engine| engine.begin_generation())?;
        self.leap()
    }

    /// In jobs that hold up nobody for long; cut short, it begins anew at the next start.
    fn leap(&self) -> Result<(), Error> {
        let mailboxes = mailbox_row::keys(&self.snapshot()?)?;
        let count = mailboxes.len();
        for (account, mailbox) in mailboxes {
            let mut next = Some(0);
            while let Some(from) = next {
                next = self.write(move |tx| leap::slice(tx, AccountId(account.0), mailbox, from))?;
            }
        }
        self.write(|tx| {
            settings::delete(tx, loss::PENDING);
            Ok(())
        })?;
        tracing::warn!(mailboxes = count, "UIDs and modseqs go on above all that clients may have seen");
        Ok(())
    }
}
