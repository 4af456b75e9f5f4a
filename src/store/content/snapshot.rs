//! The store as of one commit.

use std::ops::Range;
use std::sync::{Arc, Mutex};

use crate::mail::digest::Digest;
use crate::model::{ContentId, locked};
use crate::store::base::error::Error;
use crate::store::base::fault::Fault;
use crate::store::base::rows::{Rows, Visit, VolumeRows};
use crate::store::base::schema::Table;
use crate::store::base::schema::VolumeTable;
use crate::store::base::settings::last_modseq;
use crate::store::content::contents::{self, HEAD_MAX, Reading};
use crate::store::content::emails::{self, EmailRow};
use crate::store::engine::database::{META, META_SEQUENCE, View};
use crate::store::engine::lineage::META_EPOCH;
use crate::store::engine::pins::Pin;
use crate::store::engine::shared::Shared;
use crate::store::engine::store::Store;

/// Rows and content as of one commit. Let go of it soon.
pub struct Snapshot {
    index: View,
    /// The volume read last: a read takes several pieces of the same.
    volume: Mutex<Option<(u32, View)>>,
    shared: Arc<Shared>,
}

impl std::fmt::Debug for Snapshot {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Snapshot").finish_non_exhaustive()
    }
}

/// Which store a snapshot is of, and how far it had come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// The store's id.
    pub store: [u8; 16],
    /// The store's generation.
    pub generation: u64,
    /// The journal's epoch.
    pub epoch: u64,
    /// The journal's record that was reached.
    pub sequence: u64,
    /// The last modseq that was given.
    pub modseq: u64,
}

impl Snapshot {
    /// Which store this is, and how far it had come.
    ///
    /// # Errors
    /// Of reading.
    pub fn place(&self) -> Result<Place, Error> {
        let number = |key| -> Result<u64, Error> {
            let value = self.index.get(META, key)?.and_then(|value| value.try_into().ok());
            Ok(value.map_or(0, u64::from_le_bytes))
        };
        Ok(Place {
            store: self.shared.id,
            generation: self.shared.generation,
            epoch: number(META_EPOCH)?,
            sequence: number(META_SEQUENCE)?,
            modseq: last_modseq(self)?.0,
        })
    }

    pub(in crate::store) fn new(shared: Arc<Shared>) -> Result<Snapshot, Error> {
        Ok(Snapshot { index: shared.index_view()?, volume: Mutex::new(None), shared })
    }

    /// The index as of this commit.
    pub(in crate::store) fn index(&self) -> &View {
        &self.index
    }

    /// What is kept of a message so that it need not be parsed again.
    ///
    /// # Errors
    /// `NotFound`, `DamagedEmail`, or of reading.
    pub fn digest(&self, email: ContentId) -> Result<Digest, Error> {
        self.with_row(email, |volumes, row| contents::digest(volumes, row))
    }

    /// The header block, with the empty line that ends it; of one that is longer than [`HEAD_MAX`] its start,
    /// so that no message can make us hold more.
    ///
    /// # Errors
    /// `NotFound`, `DamagedEmail`, or of reading.
    pub fn header(&self, email: ContentId) -> Result<Vec<u8>, Error> {
        self.header_on(email, &mut Reading::default())
    }

    /// As [`Snapshot::header`], where more of the content is going to be read.
    ///
    /// # Errors
    /// As of [`Snapshot::header`].
    pub fn header_on(&self, email: ContentId, reading: &mut Reading) -> Result<Vec<u8>, Error> {
        let mut header = Vec::new();
        self.with_row(email, |volumes, row| {
            header.clear();
            let length = u64::from(row.header_len).min(HEAD_MAX as u64);
            reading.read(volumes, row, 0..length, &mut header)
        })?;
        Ok(header)
    }

    /// Appends bytes of a message to `out`; the range is clipped to the message.
    ///
    /// # Errors
    /// `NotFound`, `DamagedEmail`, or of reading. What `out` held before is left as it was.
    pub fn read(&self, email: ContentId, range: Range<u64>, out: &mut Vec<u8>) -> Result<(), Error> {
        let before = out.len();
        let result = self.with_row(email, |volumes, row| {
            out.truncate(before);
            contents::read(volumes, row, range.clone(), out)
        });
        if result.is_err() {
            out.truncate(before);
        }
        result
    }

    /// As [`Snapshot::read`], for a content that is read piece by piece: `reading` keeps what it inflated.
    ///
    /// # Errors
    /// As of [`Snapshot::read`].
    pub fn read_on(
        &self,
        email: ContentId,
        reading: &mut Reading,
        range: Range<u64>,
        out: &mut Vec<u8>,
    ) -> Result<(), Error> {
        let before = out.len();
        let result = self.with_row(email, |volumes, row| {
            out.truncate(before);
            reading.read(volumes, row, range.clone(), out)
        });
        if result.is_err() {
            out.truncate(before);
        }
        result
    }

    /// Reads a whole content back and compares its hash.
    ///
    /// # Errors
    /// `NotFound`, `DamagedEmail`, or of reading.
    pub fn verify(&self, email: ContentId) -> Result<(), Error> {
        self.with_row(email, |volumes, row| contents::verify(volumes, row))
    }

    /// Before a content is announced to anyone: one that was found damaged before is read to its end first, for
    /// what was announced cannot be taken back. Once it is whole again it costs nothing more.
    ///
    /// # Errors
    /// As [`Snapshot::verify`].
    pub fn check_suspect(&self, email: ContentId) -> Result<(), Error> {
        if !self.shared.known.is_suspect(email) {
            return Ok(());
        }
        self.with_row(email, |volumes, row| contents::verify_bytes(volumes, row))?;
        self.shared.known.content_is_well(email);
        Ok(())
    }

    /// Reads what holds a range of a message, to know that it can be read, and gives nothing of it: most of the
    /// work of reading is left out.
    ///
    /// # Errors
    /// As of [`Snapshot::read`].
    pub fn probe(&self, email: ContentId, reading: &mut Reading, range: Range<u64>) -> Result<(), Error> {
        self.with_row(email, |volumes, row| contents::probe(volumes, row, reading, range.clone()))
    }

    /// Remembers a content that could not be read to its end: see [`Snapshot::check_suspect`].
    pub fn suspect(&self, email: ContentId) {
        self.shared.known.content_unfinished(email);
    }

    /// Keeps a content from being swept while the guard lives.
    #[must_use]
    pub fn pin(&self, email: ContentId) -> Pin {
        self.shared.pins.pin(email)
    }

    /// A reclaim may have moved the content since this snapshot was taken: then it is where the newest
    /// index says.
    fn with_row<T>(
        &self,
        email: ContentId,
        mut read: impl FnMut(&dyn VolumeRows, &EmailRow) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let row = emails::get(self, email)?.ok_or(Error::NotFound("message content"))?;
        if row.content_volume == emails::NOWHERE {
            self.shared.known.content_damaged(email);
            return Err(Error::DamagedEmail(email));
        }
        let error = match read(self, &row) {
            Ok(value) => return Ok(value),
            Err(error) => error,
        };
        let fresh = Snapshot::new(Arc::clone(&self.shared))?;
        match emails::get(&fresh, email)? {
            Some(moved) if moved != row => {
                read(&fresh, &moved).map_err(|error| self.told(email, &moved, error))
            }
            Some(_) => Err(self.told(email, &row, error)),
            None => Err(Error::NotFound("message content")),
        }
    }

    fn told(&self, email: ContentId, row: &EmailRow, error: Error) -> Error {
        match error.fault() {
            Some(Fault::File) => {
                tracing::error!(%email, %error, "content is damaged");
                self.shared.damage_seen(row.content_volume);
            }
            Some(Fault::Gone) => tracing::error!(%email, "the volume is missing"),
            _ => return error,
        }
        self.shared.known.content_damaged(email);
        Error::DamagedEmail(email)
    }
}

impl Rows for Snapshot {
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, Error> {
        self.index.get(table as u8, key)
    }

    fn scan(&self, table: Table, low: &[u8], high: &[u8], visit: &mut Visit<'_>) -> Result<(), Error> {
        self.index.scan(table as u8, low, high, false, visit)
    }

    fn scan_back(&self, table: Table, low: &[u8], high: &[u8], visit: &mut Visit<'_>) -> Result<(), Error> {
        self.index.scan(table as u8, low, high, true, visit)
    }
}

impl VolumeRows for Snapshot {
    fn get_row(&self, volume: u32, table: VolumeTable, key: &[u8]) -> Result<Option<Vec<u8>>, Error> {
        self.shared.row_of(volume, &mut |volume| {
            // The handle may have broken in another's hands, or over an error that has passed.
            self.read_row(volume, table, key).or_else(|_| self.read_row(volume, table, key))
        })
    }
}

impl Snapshot {
    fn read_row(&self, volume: u32, table: VolumeTable, key: &[u8]) -> Result<Option<Vec<u8>>, Error> {
        let mut cached = locked(&self.volume);
        let view = match &*cached {
            Some((number, view)) if *number == volume => view,
            _ => &cached.insert((volume, self.shared.volume_view(volume)?)).1,
        };
        let found = view.get(table as u8, key);
        if found.is_err() {
            *cached = None;
        }
        found
    }
}

impl Store {
    /// The store as of the last commit. Let go of it soon: redb keeps every old page for it.
    ///
    /// # Errors
    /// If the index cannot be read.
    pub fn snapshot(&self) -> Result<Snapshot, Error> {
        Snapshot::new(Arc::clone(&self.inner.shared))
    }
}
