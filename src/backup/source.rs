//! Contents out of a backup, by their hash.

use std::collections::BTreeMap;

use super::folder::{Folder, Secrets};
use super::manifest::{self, Generation, Manifest};
use super::pack::{self, Name, Pack};
use super::places::{Found, Places};
use super::{Error, run};

/// A backup that is read.
pub struct Source {
    /// Where it lies.
    pub folder: Folder,
    /// What opens it.
    pub secrets: Secrets,
    places: Places,
    open: Option<Open>,
    run_keys: BTreeMap<u64, [u8; 32]>,
}

/// The pack that was read last: contents that came together lie together.
struct Open {
    number: u32,
    pack: Pack,
    sealed: BTreeMap<u64, Vec<u8>>,
}

impl std::fmt::Debug for Source {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Source").field("folder", &self.folder.path()).finish_non_exhaustive()
    }
}

impl Source {
    /// Opens a backup to read it.
    ///
    /// # Errors
    /// [`Error::NeedsPassphrase`], a wrong one, or of the folder.
    pub fn open(folder: Folder, passphrase: Option<&str>) -> Result<Self, Error> {
        let secrets = folder.unlock(passphrase)?;
        let places = Places::load(&folder)?;
        Ok(Source { folder, secrets, places, open: None, run_keys: BTreeMap::new() })
    }

    /// The newest generation that is whole. Those that are not are told in the log.
    ///
    /// # Errors
    /// [`Error::NoGeneration`], or of the folder.
    pub fn newest(&self) -> Result<(Generation, Manifest), Error> {
        for generation in manifest::list(&self.folder)?.into_iter().rev() {
            match Manifest::open(&self.folder, &generation) {
                Ok(manifest) => return Ok((generation, manifest)),
                Err(error @ Error::Damaged { .. }) => {
                    tracing::warn!(%error, "a generation of the backup cannot be used; the one before is tried");
                }
                Err(error) => return Err(error),
            }
        }
        Err(Error::NoGeneration(self.folder.path().to_owned()))
    }

    /// Where a content lies, to read many in a good order; `None` if it is not in this backup.
    #[must_use]
    pub fn order(&self, hash: &[u8; 32]) -> Option<(u32, u32)> {
        let name = pack::name(&self.secrets.naming, hash, 0);
        self.places.all(&name).first().map(|(_, found)| (found.pack, found.offset))
    }

    /// The bytes that the contents of a generation take in the packs.
    #[must_use]
    pub fn size(&self, manifest: &Manifest) -> u64 {
        let found = manifest.names.iter().filter_map(|name| self.places.all(name).first());
        found.map(|(_, found)| u64::from(found.length)).sum()
    }

    /// Whether an entry of this name is there.
    #[cfg(test)]
    pub(super) fn has(&self, name: &Name) -> bool {
        self.places.has(name)
    }

    /// Gives a content to `take`, in parts. What was given is only the content if its hash is: compare it. Gives
    /// `false` if it is not in this backup, or damaged there.
    ///
    /// # Errors
    /// Of the folder, and of `take`.
    pub fn read(
        &mut self,
        hash: &[u8; 32],
        size: u64,
        take: &mut dyn FnMut(&[u8]) -> Result<(), Error>,
    ) -> Result<bool, Error> {
        for part in 0..run::parts(size) {
            match self.part(&pack::name(&self.secrets.naming, hash, part))? {
                Some(bytes) => take(&bytes)?,
                None => return Ok(false),
            }
        }
        Ok(true)
    }

    /// A part, wherever it is whole.
    fn part(&mut self, name: &Name) -> Result<Option<Vec<u8>>, Error> {
        let found: Vec<Found> = self.places.all(name).iter().map(|(_, found)| *found).collect();
        for place in found {
            match self.entry(name, place) {
                Ok(bytes) => return Ok(Some(bytes)),
                Err(error @ Error::Damaged { .. }) => {
                    tracing::warn!(%error, "a content of the backup cannot be used");
                }
                Err(error) => return Err(error),
            }
        }
        Ok(None)
    }

    fn entry(&mut self, name: &Name, place: Found) -> Result<Vec<u8>, Error> {
        let path = self.folder.packs().join(format!("{}{}", self.places.pack(place.pack), pack::ENDING));
        let open = match self.open.take().filter(|open| open.number == place.pack) {
            Some(open) => open,
            None => {
                let pack = Pack::open(&*self.folder.disk, &path)?;
                let sealed = pack.keys()?.into_iter().collect();
                Open { number: place.pack, pack, sealed }
            }
        };
        let open = self.open.insert(open);
        let entry = open.pack.entry(place.offset, place.length)?;
        let (identity, known) = (&self.secrets.identity, &mut self.run_keys);
        let key = |id: u64| {
            if let Some(key) = known.get(&id) {
                return Some(*key);
            }
            let key = identity.as_ref()?.open(open.sealed.get(&id)?).ok()?.try_into().ok()?;
            known.insert(id, key);
            Some(key)
        };
        pack::decode(&entry, name, key).map_err(|why| Error::damaged(path, why))
    }

    /// Reads every pack and every generation, and gives what is damaged, in words.
    ///
    /// # Errors
    /// Of the folder.
    pub fn verify(&self) -> Result<Vec<String>, Error> {
        let mut damaged = self.places.damaged.clone();
        for name in self.places.packs() {
            let path = self.folder.packs().join(format!("{name}{}", pack::ENDING));
            if let Err(error) = Pack::open(&*self.folder.disk, &path)?.verify(name) {
                damaged.push(error.to_string());
            }
        }
        for generation in manifest::list(&self.folder)? {
            match Manifest::open(&self.folder, &generation) {
                Ok(manifest) => {
                    let missing = manifest.names.iter().filter(|name| !self.places.has(name)).count();
                    if missing > 0 {
                        let name = manifest.path().display();
                        damaged.push(format!("{name}: {missing} contents are missing"));
                    }
                }
                Err(error) => damaged.push(error.to_string()),
            }
        }
        Ok(damaged)
    }
}
