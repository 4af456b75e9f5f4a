//! What the store takes from the world: a disk, a clock, chance. All three are handed in, so that a test
//! can own them and cut the power between any two writes.

use std::any::Any;
use std::fmt::Debug;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

pub use crate::store::base::disk_file::{DiskFile, FileWriter};

use crate::store::base::copy_on_write::{CopyOnWrite, Memory};
use crate::store::base::fault::{Fault, fault};

/// Holds a lock until dropped.
pub type Held = Box<dyn Any + Send + Sync>;

/// A folder tree of files.
pub trait Disk: Send + Sync + Debug {
    /// Opens a file; makes it if it is missing and `create`.
    ///
    /// # Errors
    /// `NotFound`, or of the system.
    fn open(&self, path: &Path, create: bool) -> io::Result<Arc<dyn DiskFile>>;
    /// Opens a file for reading only.
    ///
    /// # Errors
    /// `NotFound`, or of the system.
    fn open_read(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        self.open(path, false)
    }
    /// Makes a folder and those above it; one that is there is no error.
    ///
    /// # Errors
    /// Of the system.
    fn create_dir(&self, path: &Path) -> io::Result<()>;
    /// Renames a file.
    ///
    /// # Errors
    /// Of the system.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Removes a file.
    ///
    /// # Errors
    /// Of the system.
    fn unlink(&self, path: &Path) -> io::Result<()>;
    /// Makes creations, renames and removals in a folder durable.
    ///
    /// # Errors
    /// Of the system.
    fn sync_dir(&self, path: &Path) -> io::Result<()>;
    /// Names of the files in a folder.
    ///
    /// # Errors
    /// Of the system.
    fn list(&self, path: &Path) -> io::Result<Vec<String>>;
    /// Bytes that may still be written under a folder.
    ///
    /// # Errors
    /// Of the system.
    fn free_space(&self, path: &Path) -> io::Result<u64>;
    /// How large the disk is that a folder lies on.
    ///
    /// # Errors
    /// Of the system.
    fn total_space(&self, _path: &Path) -> io::Result<u64> {
        Ok(u64::MAX)
    }
    /// Locks a file against other processes.
    ///
    /// # Errors
    /// `WouldBlock` with the holder as its message; or of the system.
    fn lock(&self, path: &Path) -> io::Result<Held>;
    /// The same lock without writing anything: on the file, or where there is none on its folder.
    ///
    /// # Errors
    /// As [`Disk::lock`].
    fn lock_read(&self, path: &Path) -> io::Result<Held> {
        self.lock(path)
    }
    /// Whether a folder lies on another machine: neither redb nor the journal may trust its syncs.
    ///
    /// # Errors
    /// Of the system.
    fn is_remote(&self, _path: &Path) -> io::Result<bool> {
        Ok(false)
    }
}

/// The clock on the wall.
pub trait Clock: Send + Sync + Debug {
    /// Seconds since 1970.
    fn now(&self) -> i64;
}

/// Chance.
pub trait Random: Send + Sync + Debug {
    /// Sixteen bytes that nobody can guess.
    ///
    /// # Errors
    /// If the system gives none.
    fn bytes(&self) -> io::Result<[u8; 16]>;
}

/// The system's files.
#[derive(Debug, Default, Clone, Copy)]
pub struct RealDisk;

#[derive(Debug)]
struct RealFile(std::fs::File);

impl DiskFile for RealFile {
    fn len(&self) -> io::Result<u64> {
        Ok(self.0.metadata()?.len())
    }
    fn read_at(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.0.read_exact_at(out, offset)
    }
    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.0.write_all_at(bytes, offset)
    }
    fn set_len(&self, len: u64) -> io::Result<()> {
        self.0.set_len(len)
    }
    fn sync(&self) -> io::Result<()> {
        self.0.sync_data()
    }
    fn allocate(&self, offset: u64, len: u64) -> io::Result<()> {
        use rustix::io::Errno;
        if len == 0 {
            return Ok(());
        }
        match rustix::fs::fallocate(&self.0, rustix::fs::FallocateFlags::KEEP_SIZE, offset, len) {
            Err(Errno::OPNOTSUPP | Errno::NOSYS) => Ok(()),
            other => Ok(other?),
        }
    }
    fn allocated(&self) -> io::Result<u64> {
        use std::os::unix::fs::MetadataExt;
        // In units of 512 bytes, whatever the blocks of the file system are (stat(2)).
        Ok(self.0.metadata()?.blocks().saturating_mul(512))
    }
}

impl Disk for RealDisk {
    fn open(&self, path: &Path, create: bool) -> io::Result<Arc<dyn DiskFile>> {
        use std::os::unix::fs::OpenOptionsExt;
        let file = std::fs::OpenOptions::new()
            .read(true)
            .write(true)
            .create(create)
            .truncate(false)
            .mode(0o600)
            .open(path)?;
        Ok(Arc::new(RealFile(file)))
    }
    fn open_read(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        Ok(Arc::new(RealFile(std::fs::File::open(path)?)))
    }
    fn create_dir(&self, path: &Path) -> io::Result<()> {
        use std::os::unix::fs::DirBuilderExt;
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(path)
    }
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        std::fs::rename(from, to)
    }
    fn unlink(&self, path: &Path) -> io::Result<()> {
        std::fs::remove_file(path)
    }
    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        std::fs::File::open(path)?.sync_all()
    }
    fn list(&self, path: &Path) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in std::fs::read_dir(path)? {
            if let Ok(name) = entry?.file_name().into_string() {
                names.push(name);
            }
        }
        Ok(names)
    }
    fn free_space(&self, path: &Path) -> io::Result<u64> {
        let space = rustix::fs::statvfs(path)?;
        Ok(space.f_bavail.saturating_mul(space.f_frsize))
    }
    fn total_space(&self, path: &Path) -> io::Result<u64> {
        let space = rustix::fs::statvfs(path)?;
        Ok(space.f_blocks.saturating_mul(space.f_frsize))
    }
    fn lock(&self, path: &Path) -> io::Result<Held> {
        let file =
            std::fs::OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)?;
        take_lock(&file)?;
        // Over what was there, not cut first: its block would go to others on a disk that is full.
        // It is only for messages, so a new store there is not stopped by it either.
        let _ = file.write_all_at(format!("{:<15}\n", std::process::id()).as_bytes(), 0);
        Ok(Box::new(file))
    }
    fn lock_read(&self, path: &Path) -> io::Result<Held> {
        let file = match std::fs::File::open(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                std::fs::File::open(path.parent().unwrap_or(path))?
            }
            other => other?,
        };
        take_lock(&file)?;
        Ok(Box::new(file))
    }
    fn is_remote(&self, path: &Path) -> io::Result<bool> {
        /// NFS, SMB, CIFS, SMB2 (statfs(2)).
        const REMOTE: [u32; 4] = [0x6969, 0x517b, 0xff53_4d42, 0xfe53_4d42];
        let kind = rustix::fs::statfs(path)?.f_type;
        // The type's width differs between systems; the numbers have 32 bits.
        Ok(REMOTE.contains(&(kind as u32)))
    }
}

fn take_lock(file: &std::fs::File) -> io::Result<()> {
    match rustix::fs::flock(file, rustix::fs::FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(()),
        Err(rustix::io::Errno::WOULDBLOCK) => Err(io::Error::new(io::ErrorKind::WouldBlock, holder_in(file))),
        Err(error) => Err(error.into()),
    }
}

/// Which process holds a lock, if one does.
pub(in crate::store) fn holder(path: &Path) -> Option<String> {
    let file = std::fs::File::open(path).ok()?;
    let taken = rustix::fs::flock(&file, rustix::fs::FlockOperation::NonBlockingLockShared);
    (taken == Err(rustix::io::Errno::WOULDBLOCK)).then(|| holder_in(&file))
}

/// Who wrote its number into the file; only for messages.
fn holder_in(file: &std::fs::File) -> String {
    use std::io::Read;
    let mut holder = String::new();
    // A holder that cannot be read is "another process".
    let _ = file.take(32).read_to_string(&mut holder);
    match holder.trim() {
        "" => "another process".to_owned(),
        pid => format!("process {pid}"),
    }
}

/// The system's clock.
#[derive(Debug, Default, Clone, Copy)]
pub struct RealClock;

impl Clock for RealClock {
    fn now(&self) -> i64 {
        unix_now()
    }
}

/// Seconds since 1970 by the system's clock; 0 where it says that it is earlier.
#[must_use]
pub fn unix_now() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.map_or(0, |time| i64::try_from(time.as_secs()).unwrap_or(i64::MAX))
}

/// The system's chance.
#[derive(Debug, Default, Clone, Copy)]
pub struct RealRandom;

impl Random for RealRandom {
    fn bytes(&self) -> io::Result<[u8; 16]> {
        let mut bytes = [0; 16];
        getrandom::fill(&mut bytes).map_err(|error| io::Error::other(error.to_string()))?;
        Ok(bytes)
    }
}

/// What was asked of the disk, and whether it may still be asked.
#[derive(Debug, Default)]
pub struct Meter {
    /// Bytes written.
    pub written: AtomicU64,
    /// Syncs of files and folders.
    pub syncs: AtomicU64,
    /// Set after a failed write: nothing is written any more, and what is opened is only read.
    pub frozen: AtomicBool,
    /// So it is from the start: there is nothing that a sync could make durable.
    pub reading: AtomicBool,
    /// What would have been written since to files that were opened since.
    pub memory: Arc<Memory>,
}

/// A disk that counts, and that writes nothing once it is frozen.
#[derive(Clone, Debug)]
pub struct Metered {
    disk: Arc<dyn Disk>,
    /// What was counted.
    pub meter: Arc<Meter>,
}

#[derive(Debug)]
struct MeteredFile {
    file: Arc<dyn DiskFile>,
    meter: Arc<Meter>,
}

impl Meter {
    fn check(&self) -> io::Result<()> {
        if self.frozen.load(Ordering::Acquire) {
            return Err(io::Error::other("an earlier write failed; nothing more is written"));
        }
        Ok(())
    }
}

impl Metered {
    /// Counts what is asked of `disk`.
    pub fn new(disk: Arc<dyn Disk>) -> Self {
        Metered { disk, meter: Arc::default() }
    }

    /// From now on nothing is written, for nothing was since the store was opened.
    pub fn read_only(&self) {
        self.meter.reading.store(true, Ordering::Release);
        self.meter.frozen.store(true, Ordering::Release);
    }

    /// Whether anything may still be written.
    #[must_use]
    pub fn writes(&self) -> bool {
        !self.meter.frozen.load(Ordering::Acquire)
    }

    /// Whether nothing could be written from the start.
    #[must_use]
    pub fn is_reading(&self) -> bool {
        self.meter.reading.load(Ordering::Acquire)
    }

    /// The same disk, only looked at: what whoever opens a file writes to it is forgotten.
    #[must_use]
    pub fn glance(&self) -> Metered {
        let looking = Metered::new(Arc::clone(&self.disk));
        looking.read_only();
        looking
    }

    fn open_over(&self, path: &Path, create: bool) -> io::Result<Arc<dyn DiskFile>> {
        let under = match self.disk.open_read(path) {
            Err(error) if create && fault(&error) == Fault::Gone => None,
            other => Some(other?),
        };
        Ok(Arc::new(CopyOnWrite::new(under, Arc::clone(&self.meter.memory))?))
    }
}

impl DiskFile for MeteredFile {
    fn len(&self) -> io::Result<u64> {
        self.file.len()
    }
    fn read_at(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.file.read_at(offset, out)
    }
    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.meter.check()?;
        self.meter.written.fetch_add(bytes.len() as u64, Ordering::Relaxed);
        self.file.write_at(offset, bytes)
    }
    fn set_len(&self, len: u64) -> io::Result<()> {
        self.meter.check()?;
        self.file.set_len(len)
    }
    fn sync(&self) -> io::Result<()> {
        self.meter.check()?;
        self.meter.syncs.fetch_add(1, Ordering::Relaxed);
        self.file.sync()
    }
    fn allocate(&self, offset: u64, len: u64) -> io::Result<()> {
        self.meter.check()?;
        self.file.allocate(offset, len)
    }
    fn allocated(&self) -> io::Result<u64> {
        self.file.allocated()
    }
}

impl Disk for Metered {
    fn open(&self, path: &Path, create: bool) -> io::Result<Arc<dyn DiskFile>> {
        if self.meter.frozen.load(Ordering::Acquire) {
            return self.open_over(path, create);
        }
        let file = self.disk.open(path, create)?;
        Ok(Arc::new(MeteredFile { file, meter: Arc::clone(&self.meter) }))
    }
    fn open_read(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        self.disk.open_read(path)
    }
    fn create_dir(&self, path: &Path) -> io::Result<()> {
        if self.is_reading() { Ok(()) } else { self.disk.create_dir(path) }
    }
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.meter.check()?;
        self.disk.rename(from, to)
    }
    fn unlink(&self, path: &Path) -> io::Result<()> {
        self.meter.check()?;
        self.disk.unlink(path)
    }
    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        if self.is_reading() {
            return Ok(());
        }
        self.meter.check()?;
        self.meter.syncs.fetch_add(1, Ordering::Relaxed);
        self.disk.sync_dir(path)
    }
    fn list(&self, path: &Path) -> io::Result<Vec<String>> {
        self.disk.list(path)
    }
    fn free_space(&self, path: &Path) -> io::Result<u64> {
        self.disk.free_space(path)
    }
    fn total_space(&self, path: &Path) -> io::Result<u64> {
        self.disk.total_space(path)
    }
    fn lock(&self, path: &Path) -> io::Result<Held> {
        if self.is_reading() { self.disk.lock_read(path) } else { self.disk.lock(path) }
    }
    fn is_remote(&self, path: &Path) -> io::Result<bool> {
        self.disk.is_remote(path)
    }
}

/// Where everything lies in the data folder.
#[derive(Clone, Debug)]
pub struct Paths {
    /// The data folder.
    pub data: PathBuf,
}

impl Paths {
    /// One process at a time.
    #[must_use]
    pub fn lock(&self) -> PathBuf {
        self.data.join("postern.lock")
    }
    /// The index.
    #[must_use]
    pub fn index(&self) -> PathBuf {
        self.data.join("index.redb")
    }
    /// An index that is being written, to take the index's name once it is whole.
    #[must_use]
    pub fn new_index(&self) -> PathBuf {
        self.data.join("index.new")
    }
    /// The index as it was before the store left this format.
    #[must_use]
    pub fn index_before(&self, format: u32) -> PathBuf {
        self.data.join(format!("index.before-{format}"))
    }
    /// Is there while a store is made anew out of a backup.
    #[must_use]
    pub fn anew(&self) -> PathBuf {
        self.data.join("postern.restoring")
    }
    /// The folder of the journal.
    #[must_use]
    pub fn journal(&self) -> PathBuf {
        self.data.join("journal")
    }
    /// The folder of the volumes.
    #[must_use]
    pub fn mail(&self) -> PathBuf {
        self.data.join("mail")
    }
    /// One volume.
    #[must_use]
    pub fn volume(&self, number: u32) -> PathBuf {
        self.mail().join(format!("{number:06}.redb"))
    }
    /// The number that a file of the volumes' folder bears: a volume's, or that of one which was set aside.
    #[must_use]
    pub fn number_in(name: &str) -> Option<u32> {
        name.split('.').next()?.parse().ok()
    }
    /// The number in a volume's file name.
    #[must_use]
    pub fn volume_number(name: &str) -> Option<u32> {
        name.strip_suffix(".redb")?.parse().ok()
    }
}
