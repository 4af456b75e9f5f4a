//! What can still be read of an index that redb does not open, or not to its end.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::pages::{Hole, Pages, Root};
use crate::store::base::env::DiskFile;
use crate::store::base::error::Error;
use crate::store::engine::database::{Kind, META, META_SEQUENCE, stored_value};

/// Tables have numbers below this.
const TABLES: u8 = 32;

/// A damaged index, surveyed.
#[derive(Debug)]
pub(in crate::store) struct Salvage {
    pages: Pages,
    tables: BTreeMap<u8, Root>,
    /// Where rows may be missing, by table.
    pub(in crate::store) holes: BTreeMap<u8, Vec<Hole>>,
    /// The tree of tables is whole: a table that is not in it is empty.
    pub(in crate::store) knows_tables: bool,
    /// What its `meta` says, as far as it can be read.
    pub(in crate::store) meta: BTreeMap<Vec<u8>, Vec<u8>>,
    /// Rows that can be read.
    pub(in crate::store) rows: u64,
}

/// What is called for each row that can be trusted.
pub(in crate::store) type VisitSalvaged<'a> = dyn FnMut(&[u8], &[u8]) -> Result<(), Error> + 'a;

fn table_of(name: &[u8]) -> Option<u8> {
    (0..TABLES).find(|number| Kind::Index.table(*number).is_some_and(|known| known.as_bytes() == name))
}

/// Where a table's tree is: type 1 (3: rows) | count 8 | has a root 1 | root 32 | …
fn root_of(definition: &[u8]) -> Option<Option<Root>> {
    match (definition.first()?, definition.get(9)?) {
        (3, 0) => Some(None),
        (3, 1) => Root::read(definition.get(10..42)?).map(Some),
        _ => None,
    }
}

impl Salvage {
    /// Looks at every page that the file's roots lead to; of several roots the one with the most behind it.
    ///
    /// # Errors
    /// If the file cannot be read at all.
    pub(in crate::store) fn survey(file: Arc<dyn DiskFile>) -> Result<Salvage, Error> {
        let mut best: Option<Salvage> = None;
        let roots = Pages::new(Arc::clone(&file))?.roots(&|name| table_of(name).is_some());
        for root in roots.into_iter().map(Some).chain([None]) {
            let found = Salvage::of(Pages::new(Arc::clone(&file))?, root)?;
            // The newest first: an older one may be whole, but what came since is not in it.
            let rank = |found: &Salvage| (found.sequence(), found.is_whole(), found.rows);
            let first = best.is_none();
            if best.as_ref().is_none_or(|known| rank(known) < rank(&found)) {
                best = Some(found);
            }
            if first && best.as_ref().is_some_and(Salvage::is_whole) {
                break;
            }
        }
        best.ok_or_else(|| Error::Damaged("index.redb".to_owned()))
    }

    fn of(pages: Pages, root: Option<Root>) -> Result<Salvage, Error> {
        let (mut tables, mut holes) = (BTreeMap::new(), Vec::new());
        match root {
            None => holes.push((None, None)),
            Some(root) => pages.walk(
                root,
                &mut |name, definition| {
                    let (Some(number), Some(root)) = (table_of(name), root_of(definition)) else {
                        return Ok(false);
                    };
                    root.map(|root| tables.insert(number, root));
                    // A damaged definition shows in the tree that it leads to.
                    Ok(true)
                },
                &mut holes,
            )?,
        }
        let (knows_tables, meta) = (holes.is_empty(), BTreeMap::new());
        let mut found = Salvage { pages, tables, holes: BTreeMap::new(), knows_tables, meta, rows: 0 };
        found.look()?;
        Ok(found)
    }

    fn look(&mut self) -> Result<(), Error> {
        let (mut meta, mut rows, mut holes) = (BTreeMap::new(), 0, BTreeMap::new());
        for table in self.tables.keys() {
            let found = self.each(*table, &mut |key, value| {
                rows += 1;
                if *table == META {
                    meta.insert(key.to_vec(), value.to_vec());
                }
                Ok(())
            })?;
            if !found.is_empty() {
                holes.insert(*table, found);
            }
        }
        (self.meta, self.rows, self.holes) = (meta, rows, holes);
        Ok(())
    }

    /// Whether nothing is missing.
    pub(in crate::store) fn is_whole(&self) -> bool {
        self.knows_tables && self.holes.is_empty() && self.sequence().is_some()
    }

    /// Whether redb's own trees are whole.
    pub(in crate::store) fn system_is_whole(&self) -> bool {
        self.pages.system_is_whole()
    }

    /// What the index had reached of the journal.
    pub(in crate::store) fn sequence(&self) -> Option<u64> {
        Some(u64::from_le_bytes(self.meta.get(META_SEQUENCE)?.as_slice().try_into().ok()?))
    }

    /// Visits the rows of a table that can be trusted; gives where some may be missing.
    pub(in crate::store) fn each(
        &self,
        table: u8,
        visit: &mut VisitSalvaged<'_>,
    ) -> Result<Vec<Hole>, Error> {
        let mut holes = Vec::new();
        let Some(root) = self.tables.get(&table) else { return Ok(holes) };
        self.pages.walk(
            *root,
            &mut |key, stored| match stored_value(table, key, stored) {
                Some(value) => visit(key, value).map(|()| true),
                None => Ok(false),
            },
            &mut holes,
        )?;
        Ok(holes)
    }

    /// Whether its tree is known.
    pub(in crate::store) fn has(&self, table: u8) -> bool {
        self.tables.contains_key(&table)
    }

    /// Whether a row that is not there may have been.
    pub(in crate::store) fn may_have_had(&self, table: u8, key: &[u8]) -> bool {
        if !self.tables.contains_key(&table) {
            return !self.knows_tables;
        }
        let within = |(low, high): &Hole| {
            low.as_ref().is_none_or(|low| low.as_slice() < key)
                && high.as_ref().is_none_or(|high| key <= high.as_slice())
        };
        self.holes.get(&table).is_some_and(|holes| holes.iter().any(within))
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::store::Store;
    use crate::store::base::env::Disk;
    use crate::store::base::schema::Table;
    use crate::store::base::sim::SimDisk;
    use crate::store::check::tests::{household, options};

    fn bytes(disk: &SimDisk) -> Vec<u8> {
        let file = disk.open(Path::new("/data/index.redb"), false).unwrap();
        let mut bytes = vec![0; file.len().unwrap() as usize];
        file.read_at(0, &mut bytes).unwrap();
        bytes
    }

    fn with(damaged: &[u8]) -> Salvage {
        let file = SimDisk::default().open(Path::new("/x"), true).unwrap();
        file.write_at(0, damaged).unwrap();
        Salvage::survey(file).unwrap()
    }

    /// But for `meta`: of two checkpoints without a change between, without the header either may be the last.
    fn rows(salvage: &Salvage) -> BTreeMap<(u8, Vec<u8>), Vec<u8>> {
        let mut rows = BTreeMap::new();
        for table in META + 1..TABLES {
            salvage
                .each(table, &mut |key, value| {
                    rows.insert((table, key.to_vec()), value.to_vec());
                    Ok(())
                })
                .unwrap();
        }
        rows
    }

    fn closed() -> (SimDisk, Vec<u8>) {
        let disk = SimDisk::default();
        let store = Store::open(options(&disk)).unwrap();
        household(&store);
        store.close().unwrap();
        let bytes = bytes(&disk);
        (disk, bytes)
    }

    #[test]
    fn a_sound_index_is_read_as_redb_reads_it() {
        let (disk, whole) = closed();
        let salvage = with(&whole);
        assert!(salvage.is_whole());
        let read = rows(&salvage);
        let store = Store::open(options(&disk)).unwrap();
        let snapshot = store.snapshot().unwrap();
        let mut count = 0;
        for table in Table::EVERY {
            let mut all = snapshot.index().range(table as u8, &[], &[0xff; 64]).unwrap();
            while let Some((key, value)) = all.step(false).unwrap() {
                assert_eq!(read.get(&(table as u8, key)), Some(&value), "{table:?}");
                count += 1;
            }
        }
        assert!(count > 60 && count == read.len(), "{count} of {}", read.len());
    }

    /// Whatever block is zeroed: what is read is right, and what is not is known to be missing.
    #[test]
    fn of_an_index_with_a_zeroed_block_the_rest_is_read() {
        let (_, whole) = closed();
        let sound = rows(&with(&whole));
        let mut lossless = 0;
        let blocks = whole.len() / 4096;
        for block in 0..blocks {
            let mut damaged = whole.clone();
            damaged[block * 4096..(block + 1) * 4096].fill(0);
            let salvage = with(&damaged);
            let left = rows(&salvage);
            assert!(
                left.iter().all(|(place, value)| sound.get(place) == Some(value)),
                "block {block}: wrong rows"
            );
            let missing = sound.keys().find(|(table, key)| {
                !left.contains_key(&(*table, key.clone())) && !salvage.may_have_had(*table, key)
            });
            assert_eq!(missing, None, "block {block}");
            assert!(!salvage.is_whole() || left == sound, "block {block}");
            lossless += u64::from(left == sound);
            assert!(block == 0 || left.len() * 10 >= sound.len(), "block {block}: only {} rows", left.len());
        }
        assert!(lossless as usize > blocks / 2, "{lossless} of {blocks}");
        let mut headless = whole.clone();
        headless[..4096].fill(0);
        assert_eq!(rows(&with(&headless)), sound, "the roots are found without the header");
    }
}
