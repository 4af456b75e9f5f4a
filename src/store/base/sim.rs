//! For tests: a disk in memory that records everything asked of it, so that the power can be cut between
//! any two writes.
//!
//! What is not synced at a cut is anyone's guess: each such write may have reached the disk or not, or in
//! part, at 512 bytes; each creation, renaming and removal in a folder that was not synced since may have
//! happened, in order.
//!
//! It may have a size: then a file takes blocks of 4 KiB where something was written or allocated, a hole
//! takes none, and a write that needs more than are left fails and changes nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use crate::model::locked;
use crate::store::base::env::{Clock, Disk, DiskFile, Held, Random};

/// What a disk keeps whole.
const SECTOR: usize = 512;
/// What a file system gives to a file.
const BLOCK: u64 = 4096;

type FileId = usize;

#[derive(Clone, Debug)]
enum Op {
    Make(FileId, PathBuf),
    Write(FileId, u64, Vec<u8>),
    SetLen(FileId, u64),
    Sync(FileId),
    Rename(PathBuf, PathBuf),
    Unlink(PathBuf),
    SyncDir(PathBuf),
}

#[derive(Clone, Debug, Default)]
struct State {
    /// What was durable when the log began.
    base: BTreeMap<PathBuf, Vec<u8>>,
    names: BTreeMap<PathBuf, FileId>,
    files: Vec<Vec<u8>>,
    /// The blocks that each file has.
    blocks: Vec<BTreeSet<u64>>,
    log: Vec<Op>,
    /// The write with this number fails, and every later one.
    fail_after: Option<(usize, io::ErrorKind)>,
    /// Calls of any kind so far, and which of them fails how.
    calls: u64,
    plan: Option<Plan>,
    /// As a file system that is mounted for reading only.
    read_only: bool,
    free: Option<u64>,
    /// How large the disk is; none: endless.
    size: Option<u64>,
    /// What others hold of it.
    others: u64,
}

/// How a call fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// With an error; that the disk is full or may not be written is said to who writes only.
    Error(io::ErrorKind),
    /// Of a write, half is done.
    Short,
}

/// Which calls fail.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// The call with this number, counted from 0 on a new disk; where it cannot fail so, the next that can.
    pub call: u64,
    /// How.
    pub trouble: Trouble,
    /// All later ones as well, until [`SimDisk::heal`].
    pub lasting: bool,
    /// Only calls that concern a path in which this is found.
    pub only: Option<&'static str>,
}

impl Trouble {
    fn concerns(self, writes: bool) -> bool {
        use io::ErrorKind as Kind;
        writes
            || !matches!(self, Trouble::Short | Trouble::Error(Kind::StorageFull | Kind::ReadOnlyFilesystem))
    }
}

/// A disk in memory.
#[derive(Clone, Debug, Default)]
pub struct SimDisk {
    state: Arc<Mutex<State>>,
}

/// A small generator of chance that a seed decides.
#[derive(Clone, Debug)]
pub struct Dice(u64);

impl Dice {
    /// From a seed.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Dice(seed ^ 0x9e37_79b9_7f4a_7c15)
    }

    /// The next number (splitmix64).
    pub fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `bound`.
    pub fn below(&mut self, bound: u64) -> u64 {
        self.roll() % bound.max(1)
    }
}

/// Chance that a seed decides, as the store takes it.
#[derive(Debug)]
pub struct SimRandom(Mutex<Dice>);

impl SimRandom {
    /// From a seed.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        SimRandom(Mutex::new(Dice::new(seed)))
    }
}

impl Random for SimRandom {
    fn bytes(&self) -> io::Result<[u8; 16]> {
        let mut dice = locked(&self.0);
        let number = (u128::from(dice.roll()) << 64) | u128::from(dice.roll());
        Ok(number.to_le_bytes())
    }
}

/// A clock that a test sets.
#[derive(Debug, Default)]
pub struct SimClock(pub AtomicU64);

impl Clock for SimClock {
    fn now(&self) -> i64 {
        i64::try_from(self.0.load(Ordering::Relaxed)).unwrap_or(i64::MAX)
    }
}

impl SimDisk {
    /// How much was asked of it so far: a cut point.
    #[must_use]
    pub fn position(&self) -> usize {
        locked(&self.state).log.len()
    }

    /// From so many more operations on, everything fails.
    pub fn fail_after(&self, operations: usize, kind: io::ErrorKind) {
        let mut state = locked(&self.state);
        let at = state.log.len() + operations;
        state.fail_after = Some((at, kind));
    }

    /// Ends [`SimDisk::fail_after`] and [`SimDisk::fail`].
    pub fn heal(&self) {
        let mut state = locked(&self.state);
        (state.fail_after, state.plan) = (None, None);
    }

    /// How many calls of any kind there were: open, length, read, write, sync, rename, list and so on.
    #[must_use]
    pub fn calls(&self) -> u64 {
        locked(&self.state).calls
    }

    /// Lets one call fail, or all from one on.
    pub fn fail(&self, plan: Plan) {
        locked(&self.state).plan = Some(plan);
    }

    /// Whether what was planned is still to come.
    #[must_use]
    pub fn is_failing(&self) -> bool {
        locked(&self.state).plan.is_some()
    }

    /// As a disk that was mounted for reading only, or again for writing.
    pub fn set_read_only(&self, read_only: bool) {
        locked(&self.state).read_only = read_only;
    }

    /// Says that so many bytes are free.
    pub fn set_free(&self, bytes: Option<u64>) {
        locked(&self.state).free = bytes;
    }

    /// Makes it a disk of so many bytes.
    pub fn set_size(&self, bytes: u64) {
        locked(&self.state).size = Some(bytes);
    }

    /// Others fill it but for so many bytes.
    pub fn others_leave(&self, bytes: u64) {
        let mut state = locked(&self.state);
        let left = state.left().saturating_add(state.others);
        state.others = left.saturating_sub(bytes);
    }

    /// What others hold of it goes.
    pub fn others_go(&self) {
        locked(&self.state).others = 0;
    }

    /// Bytes of the disk that a file takes.
    #[must_use]
    pub fn taken_by(&self, path: &Path) -> u64 {
        let state = locked(&self.state);
        let blocks = state.names.get(path).and_then(|id| state.blocks.get(*id));
        blocks.map_or(0, |blocks| blocks.len() as u64 * BLOCK)
    }

    /// Changes bytes of a file behind everyone's back.
    pub fn damage(&self, path: &Path, mut change: impl FnMut(&mut Vec<u8>)) -> bool {
        let mut state = locked(&self.state);
        let Some(id) = state.names.get(path).copied() else { return false };
        state.files.get_mut(id).map(&mut change).is_some()
    }

    /// The disk as it may be found after a power cut at `position`.
    #[must_use]
    pub fn cut(&self, position: usize, seed: u64) -> SimDisk {
        let state = locked(&self.state);
        let mut dice = Dice::new(seed);
        let mut medium = Medium::new(&state.base);
        for op in state.log.iter().take(position) {
            medium.note(op);
        }
        SimDisk::left(medium.settle(&mut dice), &state)
    }

    /// The disk as it is, everything durable: an orderly restart of the machine.
    #[must_use]
    pub fn copy(&self) -> SimDisk {
        SimDisk::left(self.files(), &locked(&self.state))
    }

    /// Every file as it is.
    #[must_use]
    pub fn files(&self) -> BTreeMap<PathBuf, Vec<u8>> {
        let state = locked(&self.state);
        let bytes = |id: &FileId| state.files.get(*id).cloned().unwrap_or_default();
        state.names.iter().map(|(path, id)| (path.clone(), bytes(id))).collect()
    }

    /// A disk that holds these files, all durable.
    #[must_use]
    pub fn holding(base: BTreeMap<PathBuf, Vec<u8>>) -> SimDisk {
        SimDisk::left(base, &State::default())
    }

    /// A file keeps the blocks that it has on the disk `of` which this is left; what is not there takes
    /// all of its length.
    fn left(base: BTreeMap<PathBuf, Vec<u8>>, of: &State) -> SimDisk {
        let names = base.keys().cloned().enumerate().map(|(id, path)| (path, id)).collect();
        let files = base.values().cloned().collect();
        let blocks = base.iter().map(|(path, bytes)| match of.names.get(path) {
            Some(id) => of.blocks.get(*id).cloned().unwrap_or_default(),
            None => range(0, bytes.len() as u64).collect(),
        });
        let blocks = blocks.collect();
        let (size, others) = (of.size, of.others);
        let state = State { base, names, files, blocks, size, others, ..State::default() };
        SimDisk { state: Arc::new(Mutex::new(state)) }
    }
}

/// What is on the medium, and what is still on its way.
struct Medium {
    names: BTreeMap<PathBuf, FileId>,
    durable: BTreeMap<FileId, Vec<u8>>,
    writes: BTreeMap<FileId, Vec<Op>>,
    folders: BTreeMap<PathBuf, Vec<Op>>,
}

impl Medium {
    fn new(base: &BTreeMap<PathBuf, Vec<u8>>) -> Self {
        Medium {
            names: base.keys().cloned().enumerate().map(|(id, path)| (path, id)).collect(),
            durable: base.values().cloned().enumerate().collect(),
            writes: BTreeMap::new(),
            folders: BTreeMap::new(),
        }
    }

    fn note(&mut self, op: &Op) {
        let folder = |path: &Path| path.parent().unwrap_or(path).to_path_buf();
        match op {
            Op::Write(id, ..) | Op::SetLen(id, _) => self.writes.entry(*id).or_default().push(op.clone()),
            Op::Sync(id) => {
                for op in self.writes.remove(id).unwrap_or_default() {
                    write(self.durable.entry(*id).or_default(), &op);
                }
            }
            Op::Make(_, path) | Op::Unlink(path) | Op::Rename(path, _) => {
                self.folders.entry(folder(path)).or_default().push(op.clone());
            }
            Op::SyncDir(path) => {
                for op in self.folders.remove(path).unwrap_or_default() {
                    rename(&mut self.names, &op);
                }
            }
        }
    }

    fn settle(mut self, dice: &mut Dice) -> BTreeMap<PathBuf, Vec<u8>> {
        // One cut in eight keeps everything, one loses everything: both are likely on real disks.
        let mood = dice.below(8);
        let kept = |dice: &mut Dice| match mood {
            0 => true,
            1 => false,
            _ => dice.below(2) == 0,
        };
        for (id, ops) in std::mem::take(&mut self.writes) {
            for op in ops {
                if kept(dice) {
                    let op = if mood > 1 && dice.below(4) == 0 { torn(op, dice) } else { op };
                    write(self.durable.entry(id).or_default(), &op);
                }
            }
        }
        for (_, ops) in std::mem::take(&mut self.folders) {
            // A file system keeps the order in one folder.
            for op in ops {
                if !kept(dice) {
                    break;
                }
                rename(&mut self.names, &op);
            }
        }
        let durable = &mut self.durable;
        self.names
            .into_iter()
            .map(|(path, id)| (path, durable.get(&id).cloned().unwrap_or_default()))
            .collect()
    }
}

fn write(file: &mut Vec<u8>, op: &Op) {
    match op {
        Op::SetLen(_, length) => file.resize(*length as usize, 0),
        Op::Write(_, offset, bytes) => {
            let end = *offset as usize + bytes.len();
            if file.len() < end {
                file.resize(end, 0);
            }
            if let Some(part) = file.get_mut(*offset as usize..end) {
                part.copy_from_slice(bytes);
            }
        }
        _ => {}
    }
}

fn rename(names: &mut BTreeMap<PathBuf, FileId>, op: &Op) {
    match op {
        Op::Make(id, path) => {
            names.insert(path.clone(), *id);
        }
        Op::Unlink(path) => {
            names.remove(path);
        }
        Op::Rename(from, to) => {
            if let Some(id) = names.remove(from) {
                names.insert(to.clone(), id);
            }
        }
        _ => {}
    }
}

/// Only some sectors of a write: a stretch from its start or to its end.
fn torn(op: Op, dice: &mut Dice) -> Op {
    match op {
        Op::Write(id, offset, mut bytes) if bytes.len() > SECTOR => {
            let sectors = bytes.len().div_ceil(SECTOR) as u64;
            let at = (1 + dice.below(sectors - 1)) as usize * SECTOR;
            if dice.below(2) == 0 {
                bytes.truncate(at);
                Op::Write(id, offset, bytes)
            } else {
                Op::Write(id, offset + at as u64, bytes.split_off(at))
            }
        }
        other => other,
    }
}

/// The blocks that a range touches.
fn range(offset: u64, len: u64) -> std::ops::Range<u64> {
    offset / BLOCK..offset.saturating_add(len).div_ceil(BLOCK)
}

impl State {
    /// Counts a call, and fails it if it is its turn. Of a write that is short, `Ok(true)`.
    fn call(&mut self, path: &Path, writes: bool) -> io::Result<bool> {
        let number = self.calls;
        self.calls += 1;
        if writes && self.read_only {
            return Err(io::ErrorKind::ReadOnlyFilesystem.into());
        }
        let Some(plan) = self.plan else { return Ok(false) };
        let meant = plan.only.is_none_or(|part| path.to_string_lossy().contains(part));
        if number < plan.call || !meant || !plan.trouble.concerns(writes) {
            return Ok(false);
        }
        if !plan.lasting {
            self.plan = None;
        }
        match plan.trouble {
            Trouble::Error(kind) => Err(kind.into()),
            Trouble::Short => Ok(true),
        }
    }

    /// Bytes that nobody has.
    fn left(&self) -> u64 {
        let Some(size) = self.size else { return u64::MAX / 4 };
        let own = self.names.values().filter_map(|id| self.blocks.get(*id));
        let own: u64 = own.map(|blocks| blocks.len() as u64 * BLOCK).sum();
        size.saturating_sub(own).saturating_sub(self.others)
    }

    fn allocate(&mut self, id: FileId, offset: u64, len: u64) -> io::Result<()> {
        let left = if self.size.is_some() { self.left() } else { u64::MAX };
        let Some(blocks) = self.blocks.get_mut(id) else { return Ok(()) };
        let missing = range(offset, len).filter(|block| !blocks.contains(block)).count() as u64;
        if missing * BLOCK > left {
            return Err(io::ErrorKind::StorageFull.into());
        }
        blocks.extend(range(offset, len));
        Ok(())
    }

    /// What an operation takes of the disk, or gives back.
    fn account(&mut self, op: &Op) -> io::Result<()> {
        match op {
            Op::Write(id, offset, bytes) => self.allocate(*id, *offset, bytes.len() as u64),
            Op::SetLen(id, len) => {
                if let Some(blocks) = self.blocks.get_mut(*id) {
                    // Those behind the end go even where the length stays (truncate(2) in ext4).
                    let shrinks = self.files.get(*id).is_some_and(|file| *len <= file.len() as u64);
                    blocks.split_off(&if shrinks { len.div_ceil(BLOCK) } else { u64::MAX });
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn log(&mut self, op: Op) -> io::Result<()> {
        self.check()?;
        self.account(&op)?;
        match &op {
            Op::Write(id, ..) | Op::SetLen(id, _) => {
                if let Some(file) = self.files.get_mut(*id) {
                    write(file, &op);
                }
            }
            Op::Sync(_) | Op::SyncDir(_) => {}
            op => rename(&mut self.names, op),
        }
        self.log.push(op);
        Ok(())
    }

    fn check(&self) -> io::Result<()> {
        match self.fail_after {
            Some((at, kind)) if self.log.len() >= at => Err(kind.into()),
            _ => Ok(()),
        }
    }
}

#[derive(Debug)]
struct SimFile {
    id: FileId,
    path: PathBuf,
    writable: bool,
    state: Arc<Mutex<State>>,
}

impl SimFile {
    /// What was asked for; short, if only half of it is done.
    fn call(&self, writes: bool) -> io::Result<(std::sync::MutexGuard<'_, State>, bool)> {
        let mut state = locked(&self.state);
        if writes && !self.writable {
            return Err(io::Error::from_raw_os_error(rustix::io::Errno::BADF.raw_os_error()));
        }
        let short = state.call(&self.path, writes)?;
        Ok((state, short))
    }

    fn write(&self, op: Op) -> io::Result<()> {
        let (mut state, short) = self.call(true)?;
        match op {
            Op::Write(id, offset, mut bytes) if short => {
                bytes.truncate(bytes.len() / 2);
                state.log(Op::Write(id, offset, bytes))?;
                Err(io::ErrorKind::WriteZero.into())
            }
            _ if short => Err(io::ErrorKind::WriteZero.into()),
            op => state.log(op),
        }
    }
}

impl DiskFile for SimFile {
    fn len(&self) -> io::Result<u64> {
        let (state, _) = self.call(false)?;
        Ok(state.files.get(self.id).map_or(0, |file| file.len() as u64))
    }
    fn read_at(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let (state, _) = self.call(false)?;
        let file = state.files.get(self.id).ok_or(io::ErrorKind::NotFound)?;
        let start = offset as usize;
        let part = file.get(start..start + out.len()).ok_or(io::ErrorKind::UnexpectedEof)?;
        out.copy_from_slice(part);
        Ok(())
    }
    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.write(Op::Write(self.id, offset, bytes.to_vec()))
    }
    fn set_len(&self, len: u64) -> io::Result<()> {
        self.write(Op::SetLen(self.id, len))
    }
    fn sync(&self) -> io::Result<()> {
        if !self.writable {
            return Ok(());
        }
        self.write(Op::Sync(self.id))
    }
    fn allocate(&self, offset: u64, len: u64) -> io::Result<()> {
        let (mut state, short) = self.call(true)?;
        state.check()?;
        if short {
            return Err(io::ErrorKind::WriteZero.into());
        }
        state.allocate(self.id, offset, len)
    }
    fn allocated(&self) -> io::Result<u64> {
        let (state, _) = self.call(false)?;
        Ok(state.blocks.get(self.id).map_or(0, |blocks| blocks.len() as u64 * BLOCK))
    }
}

impl SimDisk {
    /// What was asked of a path; a short write of a name fails as a whole.
    fn call(&self, path: &Path, writes: bool) -> io::Result<std::sync::MutexGuard<'_, State>> {
        let mut state = locked(&self.state);
        if state.call(path, writes)? { Err(io::ErrorKind::WriteZero.into()) } else { Ok(state) }
    }

    fn file(&self, id: FileId, path: &Path, writable: bool) -> Arc<dyn DiskFile> {
        Arc::new(SimFile { id, path: path.to_owned(), writable, state: Arc::clone(&self.state) })
    }
}

impl Disk for SimDisk {
    fn open(&self, path: &Path, create: bool) -> io::Result<Arc<dyn DiskFile>> {
        // A file that is missing is so on any disk.
        let missing = !locked(&self.state).names.contains_key(path);
        let mut state = self.call(path, create || !missing)?;
        let id = match state.names.get(path) {
            Some(id) => *id,
            None if create => {
                let id = state.files.len();
                state.files.push(Vec::new());
                state.blocks.push(BTreeSet::new());
                state.log(Op::Make(id, path.to_path_buf()))?;
                id
            }
            None => return Err(io::ErrorKind::NotFound.into()),
        };
        drop(state);
        Ok(self.file(id, path, true))
    }
    fn open_read(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        let id = self.call(path, false)?.names.get(path).copied().ok_or(io::ErrorKind::NotFound)?;
        Ok(self.file(id, path, false))
    }
    fn create_dir(&self, _path: &Path) -> io::Result<()> {
        Ok(())
    }
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.call(from, true)?.log(Op::Rename(from.to_path_buf(), to.to_path_buf()))
    }
    fn unlink(&self, path: &Path) -> io::Result<()> {
        let mut state = self.call(path, true)?;
        if !state.names.contains_key(path) {
            return Err(io::ErrorKind::NotFound.into());
        }
        state.log(Op::Unlink(path.to_path_buf()))
    }
    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        self.call(path, true)?.log(Op::SyncDir(path.to_path_buf()))
    }
    fn list(&self, path: &Path) -> io::Result<Vec<String>> {
        let state = self.call(path, false)?;
        let own = state.names.keys().filter(|name| name.parent() == Some(path));
        Ok(own.filter_map(|name| Some(name.file_name()?.to_string_lossy().into_owned())).collect())
    }
    fn free_space(&self, _path: &Path) -> io::Result<u64> {
        let state = locked(&self.state);
        Ok(state.free.unwrap_or_else(|| state.left()))
    }
    fn total_space(&self, _path: &Path) -> io::Result<u64> {
        Ok(locked(&self.state).size.unwrap_or(u64::MAX))
    }
    fn lock(&self, path: &Path) -> io::Result<Held> {
        drop(self.call(path, true)?);
        Ok(Box::new(()))
    }
    fn lock_read(&self, path: &Path) -> io::Result<Held> {
        drop(self.call(path, false)?);
        Ok(Box::new(()))
    }
}
