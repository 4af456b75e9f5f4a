//! One redb file: the index, or a volume. Puts a checksum behind every value and checks it, and keeps in
//! its table `meta` the number of the journal record that it has reached.
//!
//! redb reports no damage of its own accord: it panics or gives wrong bytes. So every call
//! runs under `catch_unwind`, and every value is checked.

use std::collections::BTreeMap;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock};

use redb::{
    Builder, Database, Durability, ReadOnlyTable, ReadTransaction, ReadableDatabase, StorageBackend,
    TableDefinition, TableError, TableHandle,
};
use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed};

use crate::model::locked;
use crate::store::base::env::{Disk, DiskFile};
use crate::store::base::error::{Error, Unwritten};
use crate::store::base::fault::{Fault, fault};
use crate::store::base::rows::{Rows, Visit};
use crate::store::base::schema::Table;
use crate::store::engine::preallocated::Preallocated;

pub(in crate::store) use crate::store::engine::tables::{Kind, META};

/// Key in `meta`: the journal's sequence number that this file has reached.
pub(in crate::store) const META_SEQUENCE: &[u8] = b"sequence";

/// Bytes behind every value.
pub(in crate::store) const CHECKSUM: usize = 8;

/// Tables whose handles are kept by number; those that this program does not know are looked up.
const SLOTS: usize = 32;

type Definition = TableDefinition<'static, &'static [u8], &'static [u8]>;
type OpenForWriting<'a> = redb::Table<'a, &'static [u8], &'static [u8]>;
type Open = ReadOnlyTable<&'static [u8], &'static [u8]>;

/// The storage that redb sees. Once it is cut off, nothing reaches the file through it any more: a handle
/// that was given up must not write beside its successor when it is dropped.
#[derive(Debug)]
struct Backend {
    file: Arc<dyn DiskFile>,
    state: Arc<HandleState>,
}

/// What became of a handle.
#[derive(Debug, Default)]
struct HandleState {
    cut_off: AtomicBool,
    /// redb refuses everything after one error of the disk, also when that has passed.
    failed: AtomicBool,
    /// A write or a sync was among what failed.
    unwritten: AtomicBool,
    /// A call panicked.
    panicked: AtomicBool,
    /// The damage that was seen first.
    damage: Mutex<Option<String>>,
}

impl Backend {
    fn check(&self) -> io::Result<()> {
        if self.state.cut_off.load(Ordering::Acquire) {
            return Err(io::Error::other("this handle was given up"));
        }
        Ok(())
    }

    fn read<T>(&self, call: impl FnOnce(&dyn DiskFile) -> io::Result<T>) -> io::Result<T> {
        self.check()?;
        call(&*self.file).inspect_err(|_| self.state.failed.store(true, Ordering::Release))
    }

    fn write(&self, call: impl FnOnce(&dyn DiskFile) -> io::Result<()>) -> io::Result<()> {
        self.check()?;
        call(&*self.file).map_err(|error| {
            self.state.failed.store(true, Ordering::Release);
            if fault(&error) != Fault::Full {
                self.state.unwritten.store(true, Ordering::Release);
            }
            Unwritten::mark(error)
        })
    }
}

impl StorageBackend for Backend {
    fn len(&self) -> io::Result<u64> {
        Backend::read(self, |file| file.len())
    }
    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        Backend::read(self, |file| file.read_at(offset, out))
    }
    fn set_len(&self, len: u64) -> io::Result<()> {
        Backend::write(self, |file| file.set_len(len))
    }
    fn sync_data(&self) -> io::Result<()> {
        Backend::write(self, |file| file.sync())
    }
    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        Backend::write(self, |file| file.write_at(offset, data))
    }
}

/// An open file.
pub(in crate::store) struct File {
    /// Always there, but while it is dropped.
    db: Option<Database>,
    kind: Kind,
    name: String,
    /// Its blocks of the disk.
    pub(in crate::store) extent: Arc<Preallocated>,
    state: Arc<HandleState>,
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
        let state = Arc::new(HandleState::default());
        let backend = Backend { file, state: Arc::clone(&state) };
        let opened = catch_unwind(AssertUnwindSafe(|| {
            Builder::new().set_cache_size(cache).create_with_backend(backend)
        }));
        match opened {
            Ok(Ok(db)) => Ok(File { db: Some(db), kind, name, extent, state }),
            Ok(Err(error)) => Err(of_redb(&name, &state, error.into())),
            Err(_) => Err(Error::Damaged(name)),
        }
    }

    fn db(&self) -> Result<&Database, Error> {
        self.db.as_ref().ok_or(Error::Closed)
    }

    /// Whether the handle must be dropped and the file opened again before anything more can be read.
    pub(in crate::store) fn is_broken(&self) -> bool {
        self.state.failed.load(Ordering::Acquire) || self.state.cut_off.load(Ordering::Acquire)
    }

    /// Whether a call panicked: what the handle holds may be half done.
    pub(in crate::store) fn is_panicked(&self) -> bool {
        self.state.panicked.load(Ordering::Acquire)
    }

    /// Whether a write or a sync failed, of a disk that is not full.
    pub(in crate::store) fn is_unwritten(&self) -> bool {
        self.state.unwritten.load(Ordering::Acquire)
    }

    /// The damage that was seen first.
    pub(in crate::store) fn damage(&self) -> Option<String> {
        locked(&self.state.damage).clone()
    }

    fn damaged(&self, what: String) -> Error {
        locked(&self.state.damage).get_or_insert_with(|| what.clone());
        Error::Damaged(what)
    }

    fn told(&self, error: redb::Error) -> Error {
        match of_redb(&self.name, &self.state, error) {
            Error::Damaged(what) => self.damaged(what),
            other => other,
        }
    }

    /// Runs a call into redb; a panic is damage, and breaks the handle.
    fn guarded<T>(&self, call: impl FnOnce() -> Result<T, Error>) -> Result<T, Error> {
        catch_unwind(AssertUnwindSafe(call)).unwrap_or_else(|_| {
            self.state.panicked.store(true, Ordering::Release);
            tracing::error!(file = self.name, "redb failed on what the file holds: it is damaged");
            Err(self.damaged(self.name.clone()))
        })
    }

    pub(in crate::store) fn view(self: &Arc<Self>) -> Result<View, Error> {
        let read = self.guarded(|| self.db()?.begin_read().map_err(|error| self.told(error.into())))?;
        Ok(View {
            file: Arc::clone(self),
            read: Some(read),
            tables: [const { OnceLock::new() }; SLOTS],
            others: OnceLock::new(),
        })
    }

    /// Applies rows and the number that they reach.
    pub(in crate::store) fn apply<'a>(
        &self,
        rows: impl Iterator<Item = Change<'a>>,
        sequence: u64,
        durable: bool,
    ) -> Result<(), Error> {
        self.guarded(|| {
            commit(self.db()?, self.kind, rows, sequence, durable).map_err(|error| self.told(error))
        })
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

    /// Puts rows of one table as they are to lie in the file, checksums included; not durably.
    pub(in crate::store) fn fill(&self, number: u8, rows: &[Pair]) -> Result<(), Error> {
        let fill = |db: &Database| -> Result<(), redb::Error> {
            let mut write = db.begin_write()?;
            write.set_durability(Durability::None)?;
            let mut table = write.open_table(Definition::new(self.kind.name(number)))?;
            for (key, stored) in rows {
                table.insert(key.as_slice(), stored.as_slice())?;
            }
            drop(table);
            Ok(write.commit()?)
        };
        self.guarded(|| fill(self.db()?).map_err(|error| self.told(error)))
    }

    /// The number of the last record applied to this file.
    pub(in crate::store) fn sequence(self: &Arc<Self>) -> Result<u64, Error> {
        let value = self.view()?.get(META, META_SEQUENCE)?;
        Ok(value.and_then(|value| Some(u64::from_le_bytes(value.try_into().ok()?))).unwrap_or(0))
    }

    /// The file has another name now.
    pub(in crate::store) fn renamed(&mut self, path: &Path) {
        self.name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    }

    /// From now on the file is out of this handle's reach.
    pub(in crate::store) fn give_up(&self) {
        self.state.cut_off.store(true, Ordering::Release);
    }
}

impl Drop for File {
    /// redb may fail on closing what is damaged, too.
    fn drop(&mut self) {
        let db = self.db.take();
        let _ = catch_unwind(AssertUnwindSafe(|| drop(db)));
    }
}

/// One transaction of redb.
fn commit<'a>(
    db: &Database,
    kind: Kind,
    rows: impl Iterator<Item = Change<'a>>,
    sequence: u64,
    durable: bool,
) -> Result<(), redb::Error> {
    let mut write = db.begin_write()?;
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
        let mut open: [Option<OpenForWriting<'_>>; SLOTS] = [const { None }; SLOTS];
        let mut others: BTreeMap<u8, Option<OpenForWriting<'_>>> = BTreeMap::new();
        let mut stored = Vec::new();
        for (number, key, value) in rows {
            let slot = match open.get_mut(usize::from(number)) {
                Some(slot) => slot,
                None => others.entry(number).or_default(),
            };
            let table = match slot {
                Some(table) => table,
                None => slot.insert(write.open_table(Definition::new(kind.name(number)))?),
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

/// A consistent look at a file.
pub(in crate::store) struct View {
    file: Arc<File>,
    /// Always there, but while it is dropped.
    read: Option<ReadTransaction>,
    tables: [OnceLock<Option<Open>>; SLOTS],
    others: OnceLock<BTreeMap<u8, OnceLock<Option<Open>>>>,
}

impl Drop for View {
    fn drop(&mut self) {
        let (read, others) = (self.read.take(), self.others.take());
        let tables = self.tables.each_mut().map(OnceLock::take);
        let _ = catch_unwind(AssertUnwindSafe(|| drop((tables, others, read))));
    }
}

impl View {
    fn table(&self, number: u8) -> Result<Option<&Open>, Error> {
        let others = || (0..=u8::MAX).skip(SLOTS).map(|number| (number, OnceLock::new())).collect();
        let slot = self.tables.get(usize::from(number));
        let Some(slot) = slot.or_else(|| self.others.get_or_init(others).get(&number)) else {
            return Ok(None);
        };
        if let Some(table) = slot.get() {
            return Ok(table.as_ref());
        }
        let read = self.read.as_ref().ok_or(Error::Closed)?;
        let table = match read.open_table(Definition::new(self.file.kind.name(number))) {
            Ok(table) => Some(table),
            Err(TableError::TableDoesNotExist(_)) => None,
            Err(error) => return Err(self.file.told(error.into())),
        };
        Ok(slot.get_or_init(|| table).as_ref())
    }

    pub(in crate::store) fn get(&self, number: u8, key: &[u8]) -> Result<Option<Vec<u8>>, Error> {
        self.file.guarded(|| {
            let Some(table) = self.table(number)? else { return Ok(None) };
            let found = table.get(key).map_err(|error| self.file.told(error.into()))?;
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

    /// The numbers of the tables that are there.
    pub(in crate::store) fn tables(&self) -> Result<Vec<u8>, Error> {
        self.file.guarded(|| {
            let read = self.read.as_ref().ok_or(Error::Closed)?;
            let tables = read.list_tables().map_err(|error| self.file.told(error.into()))?;
            let number = |name: &str| {
                self.file
                    .kind
                    .number(name)
                    .ok_or_else(|| Error::Damaged(format!("the list of tables of {}", self.file.name)))
            };
            tables.map(|table| number(table.name())).collect()
        })
    }

    /// All rows of a table.
    pub(in crate::store) fn every(&self, number: u8) -> Result<RangeRows<'_>, Error> {
        self.file.guarded(|| {
            let Some(table) = self.table(number)? else {
                return Ok(RangeRows { view: self, number, range: None });
            };
            let all = table.range::<&[u8]>(..).map_err(|error| self.file.told(error.into()))?;
            Ok(RangeRows { view: self, number, range: Some(all) })
        })
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
                Some(table.range(low..high).map_err(|error| self.file.told(error.into()))?)
            } else {
                None
            };
            Ok(RangeRows { view: self, number, range })
        })
    }

    fn checked<'a>(&self, number: u8, key: &[u8], stored: &'a [u8]) -> Result<&'a [u8], Error> {
        stored_value(number, key, stored).ok_or_else(|| self.damaged_row(number))
    }

    fn damaged_row(&self, number: u8) -> Error {
        let table = self.file.kind.name(number);
        self.file.damaged(format!("a row of {table} in {}", self.file.name))
    }
}

/// Rows of a range, checked.
pub(in crate::store) struct RangeRows<'a> {
    view: &'a View,
    number: u8,
    range: Option<redb::Range<'a, &'static [u8], &'static [u8]>>,
}

impl Drop for RangeRows<'_> {
    fn drop(&mut self) {
        let range = self.range.take();
        let _ = catch_unwind(AssertUnwindSafe(|| drop(range)));
    }
}

/// A key and its value.
pub(in crate::store) type Pair = (Vec<u8>, Vec<u8>);
/// A key, and its value if that can be read.
pub(in crate::store) type MaybePair = (Vec<u8>, Option<Vec<u8>>);

impl RangeRows<'_> {
    /// The next row as it lies in the file, its checksum behind its value, fitting or not.
    pub(in crate::store) fn step_stored(&mut self) -> Result<Option<Pair>, Error> {
        let Some(range) = &mut self.range else { return Ok(None) };
        let file = &self.view.file;
        file.guarded(|| {
            let Some(next) = range.next() else { return Ok(None) };
            let (key, stored) = next.map_err(|error| file.told(error.into()))?;
            Ok(Some((key.value().to_vec(), stored.value().to_vec())))
        })
    }

    pub(in crate::store) fn step(&mut self, back: bool) -> Result<Option<Pair>, Error> {
        match self.step_over(back)? {
            None => Ok(None),
            Some((key, Some(value))) => Ok(Some((key, value))),
            Some((_, None)) => Err(self.view.damaged_row(self.number)),
        }
    }

    /// As [`RangeRows::step`]; a row whose checksum does not fit has no value, and the ones behind it can be
    /// read all the same.
    pub(in crate::store) fn step_over(&mut self, back: bool) -> Result<Option<MaybePair>, Error> {
        let Some(range) = &mut self.range else { return Ok(None) };
        let view = self.view;
        let number = self.number;
        view.file.guarded(|| {
            let next = if back { range.next_back() } else { range.next() };
            let Some(next) = next else { return Ok(None) };
            let (key, value) = next.map_err(|error| view.file.told(error.into()))?;
            let key = key.value().to_vec();
            let value = view.checked(number, &key, value.value()).ok().map(<[u8]>::to_vec);
            Ok(Some((key, value)))
        })
    }
}

/// The value of a row as the file holds it, if its checksum fits.
pub(in crate::store) fn stored_value<'a>(table: u8, key: &[u8], stored: &'a [u8]) -> Option<&'a [u8]> {
    let (value, sum) = stored.split_at_checked(stored.len().checked_sub(CHECKSUM)?)?;
    (checksum(table, key, value).to_le_bytes() == sum).then_some(value)
}

/// A value as the file holds it.
pub(in crate::store) fn with_checksum(table: u8, key: &[u8], value: &[u8]) -> Vec<u8> {
    [value, &checksum(table, key, value).to_le_bytes()].concat()
}

/// Of a row with its place, so that a page that turns up in the wrong place is noticed too.
fn checksum(table: u8, key: &[u8], value: &[u8]) -> u64 {
    xxh3_64_with_seed(value, xxh3_64(key) ^ u64::from(table))
}

fn of_redb(name: &str, state: &HandleState, error: redb::Error) -> Error {
    let io = |error| Error::io(format!("reading or writing {name}"), error);
    match error {
        redb::Error::Io(error) if fault(&error) == Fault::File => Error::Damaged(name.to_owned()),
        redb::Error::Io(error) => io(error),
        redb::Error::PreviousIo => {
            let error = io::Error::other("an earlier access failed");
            io(if state.unwritten.load(Ordering::Acquire) { Unwritten::mark(error) } else { error })
        }
        // Nothing else is to be expected of a file that holds what we wrote: another type of table, a format that
        // redb does not know, a lock that a panic left.
        other => {
            tracing::error!(file = name, error = %other, "redb cannot make sense of the file");
            Error::Damaged(name.to_owned())
        }
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
