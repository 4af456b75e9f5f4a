//! Where everything lies in a backup: sorted names, for a tree of them would take three times the memory.

use super::Error;
use super::folder::Folder;
use super::pack::{self, Name, Pack, Place};

/// An entry in one of the packs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Found {
    pub(super) pack: u32,
    pub(super) offset: u32,
    pub(super) length: u32,
}

/// All packs, and where each name lies.
#[derive(Default)]
pub(super) struct Places {
    packs: Vec<String>,
    sorted: Vec<(Name, Found)>,
    /// Packs whose index cannot be read, in words.
    pub(super) damaged: Vec<String>,
}

impl Places {
    /// Reads the index of every pack.
    pub(super) fn load(folder: &Folder) -> Result<Self, Error> {
        let mut places = Places::default();
        for name in folder.names(&folder.packs(), pack::ENDING)? {
            let path = folder.packs().join(format!("{name}{}", pack::ENDING));
            let found = Pack::open(&*folder.disk, &path).and_then(|pack| pack.places());
            match found {
                Ok(found) => places.append(name, &found),
                Err(error @ (Error::Damaged { .. } | Error::Folder { .. })) => {
                    tracing::warn!(%error, "a pack of the backup cannot be used");
                    places.damaged.push(error.to_string());
                }
                Err(error) => return Err(error),
            }
        }
        places.sort();
        Ok(places)
    }

    fn append(&mut self, pack: String, found: &[Place]) {
        let number = self.packs.len() as u32;
        self.packs.push(pack);
        let found = found
            .iter()
            .map(|place| (place.name, Found { pack: number, offset: place.offset, length: place.length }));
        self.sorted.extend(found);
    }

    fn sort(&mut self) {
        self.sorted.sort_unstable_by_key(|(name, found)| (*name, found.pack, found.offset));
    }

    /// Every place of a name: after a run that was cut short it may lie in two packs.
    pub(super) fn all(&self, name: &Name) -> &[(Name, Found)] {
        let from = self.sorted.partition_point(|(known, _)| known < name);
        let rest = self.sorted.get(from..).unwrap_or_default();
        let count = rest.partition_point(|(known, _)| known == name);
        rest.get(..count).unwrap_or_default()
    }

    pub(super) fn has(&self, name: &Name) -> bool {
        !self.all(name).is_empty()
    }

    /// A pack's name.
    pub(super) fn pack(&self, number: u32) -> &str {
        self.packs.get(number as usize).map_or("", String::as_str)
    }

    /// All packs, by number.
    pub(super) fn packs(&self) -> &[String] {
        &self.packs
    }

    /// Everything, pack by pack as it lies there.
    pub(super) fn by_pack(&self) -> Vec<(Name, Found)> {
        let mut all = self.sorted.clone();
        all.sort_unstable_by_key(|(_, found)| (found.pack, found.offset));
        all
    }
}
