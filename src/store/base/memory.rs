//! Rows in memory, for the tests of the operations.

use std::collections::BTreeMap;

use crate::model::ModSeq;
use crate::store::base::error::Error;
use crate::store::base::rows::{News, Rows, Transaction, Visit};
use crate::store::base::schema::Table;
use crate::store::base::settings;

/// A store of maps, whose jobs are undone when they fail.
pub(crate) struct Memory {
    tables: BTreeMap<Table, BTreeMap<Vec<u8>, Vec<u8>>>,
    /// What the clock says.
    pub(crate) now: i64,
    seed: u64,
    /// What was published, oldest first.
    pub(crate) news: Vec<News>,
    /// How many rows were put or deleted.
    pub(crate) writes: usize,
}

impl Memory {
    pub(crate) fn new() -> Self {
        Memory { tables: BTreeMap::new(), now: 1_800_000_000, seed: 1, news: Vec::new(), writes: 0 }
    }

    pub(crate) fn write<T>(
        &mut self,
        job: impl FnOnce(&mut dyn Transaction) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let mut tx = Job { memory: self, undo: Vec::new(), modseq: None, news: Vec::new() };
        let result = job(&mut tx);
        let Job { undo, news, .. } = tx;
        if result.is_ok() {
            self.news.extend(news);
        } else {
            for (table, key, value) in undo.into_iter().rev() {
                self.set(table, &key, value);
            }
        }
        result
    }

    /// How many rows a table has.
    pub(crate) fn count(&self, table: Table) -> usize {
        self.tables.get(&table).map_or(0, BTreeMap::len)
    }

    /// A table's rows.
    pub(crate) fn rows(&self, table: Table) -> impl Iterator<Item = (&Vec<u8>, &Vec<u8>)> {
        self.tables.get(&table).into_iter().flatten()
    }

    fn set(&mut self, table: Table, key: &[u8], value: Option<Vec<u8>>) -> Option<Vec<u8>> {
        self.writes += 1;
        let rows = self.tables.entry(table).or_default();
        match value {
            Some(value) => rows.insert(key.to_vec(), value),
            None => rows.remove(key),
        }
    }
}

impl Rows for Memory {
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, Error> {
        Ok(self.tables.get(&table).and_then(|rows| rows.get(key)).cloned())
    }

    fn scan(&self, table: Table, low: &[u8], high: &[u8], visit: &mut Visit<'_>) -> Result<(), Error> {
        if low >= high {
            return Ok(());
        }
        let rows = self.tables.get(&table).into_iter();
        for (key, value) in rows.flat_map(|rows| rows.range(low.to_vec()..high.to_vec())) {
            if visit(key, value)?.is_break() {
                break;
            }
        }
        Ok(())
    }

    fn scan_back(&self, table: Table, low: &[u8], high: &[u8], visit: &mut Visit<'_>) -> Result<(), Error> {
        if low >= high {
            return Ok(());
        }
        let rows = self.tables.get(&table).into_iter();
        for (key, value) in rows.flat_map(|rows| rows.range(low.to_vec()..high.to_vec()).rev()) {
            if visit(key, value)?.is_break() {
                break;
            }
        }
        Ok(())
    }
}

type Undo = (Table, Vec<u8>, Option<Vec<u8>>);

struct Job<'a> {
    memory: &'a mut Memory,
    undo: Vec<Undo>,
    modseq: Option<ModSeq>,
    news: Vec<News>,
}

impl Rows for Job<'_> {
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, Error> {
        self.memory.get(table, key)
    }

    fn scan(&self, table: Table, low: &[u8], high: &[u8], visit: &mut Visit<'_>) -> Result<(), Error> {
        self.memory.scan(table, low, high, visit)
    }

    fn scan_back(&self, table: Table, low: &[u8], high: &[u8], visit: &mut Visit<'_>) -> Result<(), Error> {
        self.memory.scan_back(table, low, high, visit)
    }
}

impl Transaction for Job<'_> {
    fn put(&mut self, table: Table, key: &[u8], value: &[u8]) {
        let before = self.memory.set(table, key, Some(value.to_vec()));
        self.undo.push((table, key.to_vec(), before));
    }

    fn delete(&mut self, table: Table, key: &[u8]) {
        let before = self.memory.set(table, key, None);
        self.undo.push((table, key.to_vec(), before));
    }

    fn modseq(&mut self) -> Result<ModSeq, Error> {
        if let Some(modseq) = self.modseq {
            return Ok(modseq);
        }
        let modseq = settings::next_modseq(self)?;
        self.modseq = Some(modseq);
        Ok(modseq)
    }

    fn now(&self) -> i64 {
        self.memory.now
    }

    fn random(&mut self) -> [u8; 16] {
        std::array::from_fn(|_| {
            self.memory.seed = self.memory.seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (self.memory.seed >> 40) as u8
        })
    }

    fn publish(&mut self, news: News) {
        if !self.news.contains(&news) {
            self.news.push(news);
        }
    }
}
