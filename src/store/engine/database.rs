//! One redb file: the index, or a volume. Puts a checksum behind every value and checks it, and keeps in
//! its table `meta` the number of the journal record that it has reached.
//!
//! redb reports no damage of its own accord: it panics or gives wrong bytes (DESIGN.md §1). So every call
//! runs under `catch_unwind`, and every value is checked.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use redb::{
    Builder, Database, Durability, ReadOnlyTable, ReadTransaction, ReadableDatabase, StorageBackend,
    TableDefinition, TableError,
};
use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed};

use crate::store::base::env::{Disk, DiskFile};
use crate::store::base::error::Error;
use crate::store::base::rows::{Rows, Visit};
use crate::store::base::schema::{Table, VolumeTable};
use crate::store::engine::preallocated::Preallocated;

/// The table of the file's own facts; in every file.
pub(in crate::store) const META: u8 = 0;
/// Key in `meta`: the journal's sequence number that this file has reached.
pub(in crate::store) const META_SEQUENCE: &[u8] = b"sequence";

/// Bytes behind every value.
pub(in crate::store) const CHECKSUM: usize = 8;

/// Table names by number: short, as every open table is looked up by name.
const NAMES: [&str; 32] = [
    "meta", "t1", "t2", "t3", "t4", "t5", "t6", "t7", "t8", "t9", "t10", "t11", "t12", "t13", "t14", "t15",
    "t16", "t17", "t18", "t19", "t20", "t21", "t22", "t23", "t24", "t25", "t26", "t27", "t28", "t29", "t30",
    "t31",
];

/// What kind of file it is: decides the names of its tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::store) enum Kind {
    Index,
    Volume,
}

impl Kind {
    fn table(self, number: u8) -> Option<&'static str> {
        match (self, number) {
            (_, META) => Some("meta"),
            (Kind::Index, number) => Table::from_number(number).map(|table| table.name()),
            (Kind::Volume, number) => VolumeTable::from_number(number).map(|table| table.name()),
        }
    }
}

type Definition = TableDefinition<'static, &'static [u8], &'static [u8]>;
type Open = ReadOnlyTable<&'static [u8], &'static [u8]>;

/// The storage that redb sees. Once it is cut off, nothing reaches the file through it any more: a handle
/// that was given up must not write beside its successor when it is dropped.
#[derive(Debug)]
struct Backend {
    file: Arc<dyn DiskFile>,
    cut_off: Arc<AtomicBool>,
}

impl Backend {
    fn check(&self) -> io::Result<()> {
        if self.cut_off.load(Ordering::Acquire) {
            return Err(io::Error::other("this handle was given up"));
        }
        Ok(())
    }
}

impl StorageBackend for Backend {
    fn len(&self) -> io::Result<u64> {
        self.file.len()
    }
    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.check()?;
        self.file.read_at(offset, out)
    }
    fn set_len(&self, len: u64) -> io::Result<()> {
        self.check()?;
        self.file.set_len(len)
    }
    fn sync_data(&self) -> io::Result<()> {
        self.check()?;
        self.file.sync()
    }
    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.check()?;
        self.file.write_at(offset, data)
    }
}

/// An open file.
pub(in crate::store) struct File {
    db: Database,
    kind: Kind,
    name: String,
    cut_off: Arc<AtomicBool>,
    /// Its blocks of the disk.
    pub(in crate::store) extent: Arc<Preallocated>,
    /// A call panicked: the handle must be dropped and the file opened again.
    pub(in crate::store) broken: AtomicBool,
}

/// A row to put, or to delete where the value is `None`.
pub(in crate::store) type Change<'a> = (u8, &'a [u8], Option<&'a [u8]>);
/// A row that is put beside those of the journal: table, key, value.
pub(in crate::store) type Fact = (u8, Vec<u8>, Vec<u8>);

impl File {
    pub(in crate::store) fn open(
        disk: &dyn Disk,
        path: &Path,
        kind: Kind,
        cache: usize,
        create: bool,
    ) -> Result<File, Error> {
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let file = disk
            .open(path, create)
            .map_err(|error| Error::io(format!("opening {}", path.display()), error))?;
        if !create && file.is_empty().map_err(|error| Error::io(format!("opening {name}"), error))? {
            return Err(Error::Damaged(name));
        }
        let opening = |error| Error::io(format!("opening {name}"), error);
        let extent = Arc::new(Preallocated::new(file).map_err(opening)?);
        if kind == Kind::Index {
            extent.keep_ahead();
        }
        let file: Arc<dyn DiskFile> = Arc::clone(&extent) as Arc<dyn DiskFile>;
        let cut_off = Arc::new(AtomicBool::new(false));
        let backend = Backend { file, cut_off: Arc::clone(&cut_off) };
        let opened = catch_unwind(AssertUnwindSafe(|| {
            Builder::new().set_cache_size(cache).create_with_backend(backend)
        }));
        let db = match opened {
            Ok(db) => db.map_err(|error| of_redb(&name, error.into()))?,
            Err(_) => return Err(Error::Damaged(name)),
        };
        Ok(File { db, kind, name, cut_off, extent, broken: AtomicBool::new(false) })
    }

    /// Runs a call into redb; a panic is damage, and breaks the handle.
    fn guarded<T>(&self, call: impl FnOnce() -> Result<T, Error>) -> Result<T, Error> {
        catch_unwind(AssertUnwindSafe(call)).unwrap_or_else(|_| {
            self.broken.store(true, Ordering::Release);
            tracing::error!(file = self.name, "redb failed while reading: the file is damaged");
            Err(Error::Damaged(self.name.clone()))
        })
    }

    pub(in crate::store) fn view(self: &Arc<Self>) -> Result<View, Error> {
        let read =
            self.guarded(|| self.db.begin_read().map_err(|error| of_redb(&self.name, error.into())))?;
        Ok(View { file: Arc::clone(self), read, tables: [const { OnceLock::new() }; NAMES.len()] })
    }

    /// Applies rows and the number that they reach.
    pub(in crate::store) fn apply<'a>(
        &self,
        rows: impl Iterator<Item = Change<'a>>,
        sequence: u64,
        durable: bool,
    ) -> Result<(), Error> {
        self.guarded(|| self.commit(rows, sequence, durable).map_err(|error| of_redb(&self.name, error)))
    }

    /// As [`File::apply`], not durably, for rows that may be refused: growth takes no more than `allowance`
    /// bytes of the disk. A refusal breaks redb's handle.
    ///
    /// # Errors
    /// `StorageFull`, and as [`File::apply`].
    pub(in crate::store) fn apply_within<'a>(
        &self,
        rows: impl Iterator<Item = Change<'a>>,
        sequence: u64,
        allowance: u64,
    ) -> Result<(), Error> {
        self.extent.allow(allowance);
        let applied = self.apply(rows, sequence, false);
        self.extent.allow_any();
        applied
    }

    fn commit<'a>(
        &self,
        rows: impl Iterator<Item = Change<'a>>,
        sequence: u64,
        durable: bool,
    ) -> Result<(), redb::Error> {
        let mut write = self.db.begin_write()?;
        if durable {
            // Quick repair: after a crash the file opens at once, whatever its size.
            write.set_durability(Durability::Immediate)?;
            write.set_quick_repair(true);
        } else {
            write.set_durability(Durability::None)?;
        }
        let number = sequence.to_le_bytes();
        {
            let rows: &mut dyn Iterator<Item = Change<'_>> = &mut rows
                .map(|(table, key, value)| -> Change<'_> { (table, key, value) })
                .chain(std::iter::once((META, META_SEQUENCE, Some(number.as_slice()))));
            let mut open: [Option<redb::Table<'_, &[u8], &[u8]>>; NAMES.len()] =
                [const { None }; NAMES.len()];
            let mut stored = Vec::new();
            for (number, key, value) in rows {
                let (Some(slot), Some(name)) = (open.get_mut(usize::from(number)), self.kind.table(number))
                else {
                    tracing::error!(
                        file = self.name,
                        number,
                        "a row for a table that this version does not know"
                    );
                    continue;
                };
                let table = match slot {
                    Some(table) => table,
                    None => slot.insert(write.open_table(Definition::new(name))?),
                };
                match value {
                    Some(value) => {
                        stored.clear();
                        stored.extend_from_slice(value);
                        stored.extend_from_slice(&checksum(number, key, value).to_le_bytes());
                        table.insert(key, stored.as_slice())?;
                    }
                    None => {
                        table.remove(key)?;
                    }
                }
            }
        }
        write.commit()?;
        Ok(())
    }

    /// The number of the last record applied to this file.
    pub(in crate::store) fn sequence(self: &Arc<Self>) -> Result<u64, Error> {
        let value = self.view()?.get(META, META_SEQUENCE)?;
        Ok(value.and_then(|value| Some(u64::from_le_bytes(value.try_into().ok()?))).unwrap_or(0))
    }

    /// From now on the file is out of this handle's reach.
    pub(in crate::store) fn give_up(&self) {
        self.cut_off.store(true, Ordering::Release);
    }
}

/// A consistent look at a file.
pub(in crate::store) struct View {
    file: Arc<File>,
    read: ReadTransaction,
    tables: [OnceLock<Option<Open>>; NAMES.len()],
}

impl View {
    fn table(&self, number: u8) -> Result<Option<&Open>, Error> {
        let Some(slot) = self.tables.get(usize::from(number)) else { return Ok(None) };
        if let Some(table) = slot.get() {
            return Ok(table.as_ref());
        }
        let Some(name) = self.file.kind.table(number) else { return Ok(None) };
        let table = match self.read.open_table(Definition::new(name)) {
            Ok(table) => Some(table),
            Err(TableError::TableDoesNotExist(_)) => None,
            Err(error) => return Err(of_redb(&self.file.name, error.into())),
        };
        Ok(slot.get_or_init(|| table).as_ref())
    }

    pub(in crate::store) fn get(&self, number: u8, key: &[u8]) -> Result<Option<Vec<u8>>, Error> {
        self.file.guarded(|| {
            let Some(table) = self.table(number)? else { return Ok(None) };
            let found = table.get(key).map_err(|error| of_redb(&self.file.name, error.into()))?;
            let Some(found) = found else { return Ok(None) };
            Ok(Some(self.checked(number, key, found.value())?.to_vec()))
        })
    }

    pub(in crate::store) fn scan(
        &self,
        number: u8,
        low: &[u8],
        high: &[u8],
        back: bool,
        visit: &mut Visit<'_>,
    ) -> Result<(), Error> {
        if low >= high {
            return Ok(());
        }
        let mut rows = self.range(number, low, high)?;
        while let Some((key, value)) = rows.step(back)? {
            if visit(&key, &value)?.is_break() {
                break;
            }
        }
        Ok(())
    }

    /// The rows of a range, to be taken from either end.
    pub(in crate::store) fn range(
        &self,
        number: u8,
        low: &[u8],
        high: &[u8],
    ) -> Result<RangeRows<'_>, Error> {
        self.file.guarded(|| {
            let Some(table) = self.table(number)? else {
                return Ok(RangeRows { view: self, number, range: None });
            };
            let range = if low < high {
                Some(table.range(low..high).map_err(|error| of_redb(&self.file.name, error.into()))?)
            } else {
                None
            };
            Ok(RangeRows { view: self, number, range })
        })
    }

    fn checked<'a>(&self, number: u8, key: &[u8], stored: &'a [u8]) -> Result<&'a [u8], Error> {
        let split = stored.len().checked_sub(CHECKSUM).and_then(|at| stored.split_at_checked(at));
        match split {
            Some((value, sum)) if checksum(number, key, value).to_le_bytes() == sum => Ok(value),
            _ => {
                let table = self.file.kind.table(number).unwrap_or("?");
                Err(Error::Damaged(format!("a row of {table} in {}", self.file.name)))
            }
        }
    }
}

/// Rows of a range, checked.
pub(in crate::store) struct RangeRows<'a> {
    view: &'a View,
    number: u8,
    range: Option<redb::Range<'a, &'static [u8], &'static [u8]>>,
}

/// A key and its value.
pub(in crate::store) type Pair = (Vec<u8>, Vec<u8>);

impl RangeRows<'_> {
    pub(in crate::store) fn step(&mut self, back: bool) -> Result<Option<Pair>, Error> {
        let Some(range) = &mut self.range else { return Ok(None) };
        let view = self.view;
        let number = self.number;
        view.file.guarded(|| {
            let next = if back { range.next_back() } else { range.next() };
            let Some(next) = next else { return Ok(None) };
            let (key, value) = next.map_err(|error| of_redb(&view.file.name, error.into()))?;
            let key = key.value().to_vec();
            let value = view.checked(number, &key, value.value())?.to_vec();
            Ok(Some((key, value)))
        })
    }
}

/// Of a row with its place, so that a page that turns up in the wrong place is noticed too.
fn checksum(table: u8, key: &[u8], value: &[u8]) -> u64 {
    xxh3_64_with_seed(value, xxh3_64(key) ^ u64::from(table))
}

fn of_redb(name: &str, error: redb::Error) -> Error {
    match error {
        redb::Error::Io(error) => Error::io(format!("reading or writing {name}"), error),
        redb::Error::PreviousIo => {
            Error::io(format!("reading or writing {name}"), io::Error::other("an earlier access failed"))
        }
        redb::Error::Corrupted(_) => Error::Damaged(name.to_owned()),
        other => Error::io(format!("reading or writing {name}"), io::Error::other(other.to_string())),
    }
}

impl Rows for View {
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, Error> {
        self.get(table as u8, key)
    }

    fn scan(&self, table: Table, low: &[u8], high: &[u8], visit: &mut Visit<'_>) -> Result<(), Error> {
        self.scan(table as u8, low, high, false, visit)
    }

    fn scan_back(&self, table: Table, low: &[u8], high: &[u8], visit: &mut Visit<'_>) -> Result<(), Error> {
        self.scan(table as u8, low, high, true, visit)
    }
}
