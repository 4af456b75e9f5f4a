//! The files that contents lie in: whether each is there and can be opened, whether the index knows all of
//! them, and whether it knows every whole message in them.

use std::collections::BTreeSet;
use std::io;
use std::ops::ControlFlow;

use super::contents::subject;
use super::report::{Kind, Message};
use super::tolerant::Tolerant;
use super::{Check, Depth, EVIDENCE, Flow, go_on};
use crate::model::{ContentHash, ContentId};
use crate::store::base::env::{Disk, Paths};
use crate::store::base::error::Error;
use crate::store::base::rows::Rows;
use crate::store::base::schema::VolumeTable;
use crate::store::content::contents::{self, Filing};
use crate::store::content::emails::{self, EmailRow};
use crate::store::engine::mixture;
use crate::store::engine::volumes::{self, VolumeRow};
use crate::store::household::accounts;

/// Digests looked at in one snapshot of a volume.
const DIGESTS: usize = 512;
/// A volume's live bytes may differ by so much from what is known to lie in it: what waits for the sweep.
const SLACK: u64 = 1 << 20;

impl Check<'_, '_> {
    pub(super) fn volumes(&mut self) -> Flow {
        let mut listed = Vec::new();
        self.part("the list of volumes", |check| {
            listed = volumes::list(&Tolerant(&check.store.snapshot()?))?;
            Ok(())
        })?;
        for (n, (number, row)) in listed.iter().enumerate() {
            self.found.looked().volumes += 1;
            go_on!(self.volume(*number, row));
            go_on!(Ok(self.told("volumes", n as u64 + 1, listed.len() as u64)));
        }
        self.part("mail/", |check| {
            let known: BTreeSet<u32> = listed.iter().map(|(number, _)| *number).collect();
            check.files(&known)
        })?;
        Ok(ControlFlow::Continue(()))
    }

    fn volume(&mut self, number: u32, row: &VolumeRow) -> Flow {
        let mut next = Some(0);
        while let Some(from) = next.take() {
            match self.some_digests(number, from) {
                Ok(more) => next = more,
                Err(Error::Io { error, .. }) if error.kind() == io::ErrorKind::NotFound => {
                    self.evidence.missing_volumes.insert(number);
                    self.found.add(
                        Kind::MissingVolume,
                        format!("volume {number} is missing, and with it these messages"),
                    );
                }
                Err(Error::Io { what, error }) => {
                    self.found.add(Kind::Disk, format!("volume {number}: {what}: {error}"));
                }
                Err(Error::Damaged(_)) => {
                    self.evidence.volumes.insert(number);
                    self.found.add(Kind::DamagedVolume, format!("volume {number} cannot be read to its end"));
                }
                Err(error) => return Err(error),
            }
            go_on!(Ok(self.told("volumes", 0, 0)));
        }
        let stored = self.stored.get(&number).copied().unwrap_or(0);
        let most = stored.saturating_add(self.store.inner.shared.options.volume_size / 2);
        if row.live.saturating_add(SLACK) < stored || row.live > most.saturating_add(SLACK) {
            let what = format!("volume {number}: the index says {} live bytes, {stored} are named", row.live);
            self.found.add(Kind::VolumeBytes, what);
        }
        Ok(ControlFlow::Continue(()))
    }

    /// Looks for whole messages in a volume that no row names; gives the id to go on from.
    fn some_digests(&mut self, number: u32, from: u64) -> Result<Option<u64>, Error> {
        let view = self.store.inner.shared.budget.volume(number)?.view()?;
        let mut rows = view.range(VolumeTable::Digest as u8, &from.to_be_bytes(), &[0xff; 9])?;
        let mut filings = Vec::new();
        let mut last = None;
        while filings.len() < DIGESTS
            && let Some((key, value)) = rows.step_over(false)?
        {
            last = key.try_into().ok().map(u64::from_be_bytes);
            let filing = value.as_deref().and_then(contents::decode_filing);
            filings.push((ContentId(last.unwrap_or(0)), filing));
        }
        let more = filings.len() >= DIGESTS;
        drop(rows);
        drop(view);
        let unnamed = self.unnamed(filings)?;
        if !unnamed.is_empty() {
            self.tell_unnamed(number, unnamed)?;
        }
        Ok(last.filter(|_| more).and_then(|last| last.checked_add(1)))
    }

    /// Those that neither their id nor their hash leads to.
    fn unnamed(&self, filings: Vec<(ContentId, Option<Filing>)>) -> Result<Vec<(ContentId, Filing)>, Error> {
        let snapshot = self.store.snapshot()?;
        let rows = Tolerant(&snapshot);
        let mut unnamed = Vec::new();
        for (content, filing) in filings {
            // One that cannot be read is found with its message, if it has any.
            let Some(filing) = filing else { continue };
            let own = emails::get(&rows, content)?.is_some_and(|row| row.content == content);
            if !own && !is_known(&rows, filing.hash)? {
                unnamed.push((content, filing));
            }
        }
        Ok(unnamed)
    }

    /// A job's rows reach the volume before the index: looked at again once all that was under way is done.
    fn tell_unnamed(&mut self, number: u32, unnamed: Vec<(ContentId, Filing)>) -> Result<(), Error> {
        // In a store that serves reads only nothing is under way.
        let _ = self.store.write(|_| Ok(()));
        let unnamed =
            self.unnamed(unnamed.into_iter().map(|(content, filing)| (content, Some(filing))).collect())?;
        let snapshot = self.store.snapshot()?;
        for (content, filing) in unnamed {
            let row = row_of(content, number, &filing);
            let there = contents::digest(&snapshot, &row).is_ok();
            let whole = there
                && (self.options.depth == Depth::Index || contents::verify_bytes(&snapshot, &row).is_ok());
            if !whole {
                continue;
            }
            if self.evidence.unnamed.len() < EVIDENCE {
                self.evidence.unnamed.push((number, content));
            }
            let owner = accounts::get(&Tolerant(&snapshot), filing.account)?;
            let message = Message {
                account: owner.map(|account| account.name),
                mailbox: Some(filing.mailbox.as_str().to_owned()),
                size: Some(filing.size),
                subject: filing.digest.as_ref().and_then(subject),
                ..Message::default()
            };
            self.found.add_message(
                Kind::UnnamedContent,
                format!("volume {number}: messages that nothing lists"),
                message,
            );
        }
        Ok(())
    }

    /// Files that the index does not name.
    fn files(&mut self, listed: &BTreeSet<u32>) -> Result<(), Error> {
        let shared = &self.store.inner.shared;
        let listing = |error| Error::io("listing mail/", error);
        for name in shared.disk.list(&shared.paths.mail()).map_err(listing)? {
            let named = Paths::volume_number(&name).is_some_and(|number| listed.contains(&number));
            // One that was made or given up since the list was read.
            let now = Paths::volume_number(&name).map_or(Ok(false), |number| {
                volumes::get(&Tolerant(&self.store.snapshot()?), number).map(|row| row.is_some())
            })?;
            if !named
                && !now
                && let Some(number) = Paths::volume_number(&name)
                && mixture::is_of_another_store(shared, number).unwrap_or(false)
            {
                self.found.add(Kind::ForeignVolume, format!("mail/{name} belongs to another store"));
            } else if !named && !now {
                self.found
                    .add(Kind::UnnamedFile, format!("mail/{name} is a file that the index does not name"));
            }
        }
        Ok(())
    }
}

/// Whether a hash leads to a content that has it.
pub(in crate::store) fn is_known(rows: &dyn Rows, hash: ContentHash) -> Result<bool, Error> {
    let Some(email) = emails::by_hash(rows, hash)? else { return Ok(false) };
    Ok(emails::get(rows, email)?.is_some_and(|row| row.hash == hash))
}

/// The row that a content would have.
pub(in crate::store) fn row_of(content: ContentId, volume: u32, filing: &Filing) -> EmailRow {
    EmailRow {
        hash: filing.hash,
        content,
        content_volume: volume,
        digest_volume: volume,
        size: filing.size,
        header_len: 0,
        stored: 0,
        thread: filing.thread,
    }
}
