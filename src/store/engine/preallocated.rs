//! A redb file whose growth is paid for ahead: whatever redb may write to has its blocks of the disk before
//! redb hears of it, and the next step of its growth has them, too. So neither a change nor a checkpoint can
//! meet a full disk half way, and what is free in the file is room.
//!
//! By default redb doubles a file, sparsely, up to regions of 4 GiB. The size of a region stands in the file's
//! header from its making on, and redb keeps to it; its builder sets it in redb's own tests only. So it is set
//! in the header while that is written for the first time. A file then grows by [`STEP`], and redb, which
//! takes pages of the lowest region that has any, leaves the last ones empty to be cut off. Files that were
//! made before this have the large regions still: they grow sparsely, and get blocks as far as there are any.

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

use crate::model::locked;
use crate::store::base::env::DiskFile;

/// By how much a file grows, and how much is allocated behind its end, in bytes. The largest page that a row
/// can need (`journal::ROW_MAX`, rounded up to a power of two) must fit in a region.
pub(in crate::store) const STEP: u64 = 8 << 20;
/// A small file has at least this behind its end.
const LEAST_AHEAD: u64 = 2 << 20;

/// redb's pages.
const PAGE: u64 = 4096;
/// Where the pages of a region are told in redb's header (its design.md: "region max data pages"), little-endian.
const REGION_PAGES: std::ops::Range<usize> = 20..24;
/// What redb writes there by default.
const REDB_REGION: [u8; 4] = (1_u32 << 20).to_le_bytes();
/// What we write there.
const OUR_REGION: [u8; 4] = ((STEP / PAGE) as u32).to_le_bytes();

/// Growth may use up what is allocated ahead.
const ANY: u64 = u64::MAX;

/// How far a file goes.
#[derive(Clone, Copy, Debug)]
struct Extent {
    len: u64,
    /// Up to here all blocks are allocated, as far as we know; behind `len` only what is ahead.
    solid: u64,
    /// Whether all below `len` was asked for.
    is_checked: bool,
    /// Whether blocks are kept ahead of it.
    keeps_ahead: bool,
}

/// See the head of this file.
#[derive(Debug)]
pub(in crate::store) struct Preallocated {
    file: Arc<dyn DiskFile>,
    /// It is being made: its header is written for the first time.
    is_new: bool,
    /// It grows by [`STEP`].
    is_stepped: bool,
    extent: Mutex<Extent>,
    /// Bytes of the disk that growth may take, with the same ahead of it again; [`ANY`]: what is ahead may
    /// be used up.
    allowance: AtomicU64,
}

impl Preallocated {
    pub(in crate::store) fn new(file: Arc<dyn DiskFile>) -> io::Result<Self> {
        let len = file.len()?;
        let is_new = len == 0;
        let mut region = OUR_REGION;
        if len >= PAGE {
            file.read_at(REGION_PAGES.start as u64, &mut region)?;
        }
        let is_stepped = u32::from_le_bytes(region) <= u32::from_le_bytes(OUR_REGION);
        let solid = if is_stepped { len } else { 0 };
        let extent = Extent { len, solid, is_checked: is_new, keeps_ahead: false };
        Ok(Preallocated {
            file,
            is_new,
            is_stepped,
            extent: Mutex::new(extent),
            allowance: AtomicU64::new(ANY),
        })
    }

    /// Whether it grows by steps that are allocated whole.
    pub(in crate::store) fn is_stepped(&self) -> bool {
        self.is_stepped
    }

    /// Its length: what redb writes to lies below.
    pub(in crate::store) fn length(&self) -> u64 {
        self.extent().len
    }

    /// Bytes allocated behind its end.
    pub(in crate::store) fn ahead(&self) -> u64 {
        let extent = self.extent();
        extent.solid.saturating_sub(extent.len)
    }

    /// From now on blocks are kept ahead of it. Tries to get those that are missing: whether it has all.
    pub(in crate::store) fn keep_ahead(&self) -> bool {
        let mut extent = self.extent();
        extent.keeps_ahead = true;
        self.top_up(&mut extent).is_ok()
    }

    /// Gives back what is ahead of it: it is no longer written to.
    ///
    /// # Errors
    /// Of the system.
    pub(in crate::store) fn release(&self) -> io::Result<()> {
        let mut extent = self.extent();
        extent.keeps_ahead = false;
        // An earlier run may have left some, too; what a file system needs to keep account is counted with it.
        let is_left = || -> io::Result<bool> {
            Ok(self.is_stepped && self.file.allocated()? > extent.len + LEAST_AHEAD / 2)
        };
        if extent.solid > extent.len || is_left()? {
            // Blocks behind the end go with it, though the length is the same (truncate(2)).
            self.file.set_len(extent.len)?;
            extent.solid = extent.len;
        }
        Ok(())
    }

    /// Until [`Preallocated::allow_any`], growth takes no more than this of the disk, and leaves as much ahead
    /// as there was.
    pub(in crate::store) fn allow(&self, bytes: u64) {
        self.allowance.store(bytes.min(ANY - 1), Ordering::Release);
    }

    /// Growth may use up what is ahead.
    pub(in crate::store) fn allow_any(&self) {
        self.allowance.store(ANY, Ordering::Release);
    }

    fn extent(&self) -> MutexGuard<'_, Extent> {
        locked(&self.extent)
    }

    fn top_up(&self, extent: &mut Extent) -> io::Result<()> {
        if !extent.is_checked {
            self.file.allocate(0, extent.len)?;
            (extent.solid, extent.is_checked) = (extent.solid.max(extent.len), true);
        }
        let target = extent.len + ahead_of(extent.len);
        if extent.solid < target {
            self.file.allocate(extent.solid, target - extent.solid)?;
            extent.solid = target;
        }
        Ok(())
    }

    fn shrink(&self, extent: &mut Extent, len: u64) -> io::Result<()> {
        self.file.set_len(len)?;
        extent.len = len;
        extent.solid = extent.solid.min(len);
        if extent.keeps_ahead {
            // More was free in the file a moment ago than is ahead of it: it can wait.
            let _ = self.top_up(extent);
        }
        Ok(())
    }

    fn grow(&self, extent: &mut Extent, len: u64) -> io::Result<()> {
        let allowance = self.allowance.load(Ordering::Acquire);
        let is_bounded = allowance != ANY;
        let target = if is_bounded { len + ahead_of(len) } else { len };
        let missing = target.saturating_sub(extent.solid);
        if is_bounded && missing > allowance {
            return Err(io::ErrorKind::StorageFull.into());
        }
        if missing > 0 {
            self.file.allocate(extent.solid, missing)?;
            extent.solid = target;
        }
        if is_bounded {
            self.allow(allowance - missing);
        }
        self.file.set_len(len)?;
        extent.len = len;
        if extent.keeps_ahead {
            // Without it new mail is refused, and nothing else is.
            let _ = self.top_up(extent);
        }
        Ok(())
    }

    /// As redb does by itself, with what blocks there are.
    fn grow_sparsely(&self, extent: &mut Extent, len: u64) -> io::Result<()> {
        if self.allowance.load(Ordering::Acquire) != ANY {
            return Err(io::ErrorKind::StorageFull.into());
        }
        self.file.set_len(len)?;
        let start = std::mem::replace(&mut extent.len, len);
        if extent.keeps_ahead {
            let _ = self.file.allocate(start, (len - start).min(STEP));
        }
        Ok(())
    }
}

/// What is allocated behind the end of a file: its next step, redb doubles it up to the first.
fn ahead_of(len: u64) -> u64 {
    len.clamp(LEAST_AHEAD, STEP)
}

impl DiskFile for Preallocated {
    fn len(&self) -> io::Result<u64> {
        self.file.len()
    }
    fn read_at(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.file.read_at(offset, out)
    }
    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        if self.is_new && offset == 0 && bytes.get(REGION_PAGES) == Some(&REDB_REGION) {
            let mut header = bytes.to_vec();
            header.splice(REGION_PAGES, OUR_REGION);
            return self.file.write_at(0, &header);
        }
        self.file.write_at(offset, bytes)
    }
    fn set_len(&self, len: u64) -> io::Result<()> {
        let mut extent = self.extent();
        if len <= extent.len {
            self.shrink(&mut extent, len)
        } else if self.is_stepped {
            self.grow(&mut extent, len)
        } else {
            self.grow_sparsely(&mut extent, len)
        }
    }
    fn sync(&self) -> io::Result<()> {
        self.file.sync()
    }
    fn allocate(&self, offset: u64, len: u64) -> io::Result<()> {
        self.file.allocate(offset, len)
    }
    fn allocated(&self) -> io::Result<u64> {
        self.file.allocated()
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::store::base::env::Disk;
    use crate::store::base::schema::VolumeTable;
    use crate::store::base::sim::{Dice, SimDisk};
    use crate::store::engine::database::{Change, File, Kind};

    const PIECES: u32 = 256;

    fn put(file: &File, from: u32, allowance: u64) -> Result<(), crate::store::Error> {
        let mut dice = Dice::new(u64::from(from));
        let rows: Vec<_> =
            (from..from + PIECES).map(|n| (n.to_be_bytes(), vec![dice.roll() as u8; 16_312])).collect();
        let rows = rows.iter().map(|(key, value)| -> Change<'_> {
            (VolumeTable::Content as u8, key.as_slice(), Some(value.as_slice()))
        });
        file.apply_within(rows, 1, allowance)?;
        file.apply(std::iter::empty(), 1, true)
    }

    #[test]
    fn a_file_grows_by_steps_that_are_allocated() {
        let (disk, path) = (SimDisk::default(), Path::new("/volume"));
        let file = File::open(&disk, path, Kind::Volume, 1 << 20, true).unwrap();
        assert!(file.extent.is_stepped() && file.extent.keep_ahead());
        for n in 0..12 {
            put(&file, n * PIECES, 1 << 40).unwrap();
            let (length, taken) = (file.extent.length(), disk.taken_by(path));
            let content = u64::from(n + 1) * u64::from(PIECES) * 16_384;
            assert!(length < content + content / 50 + STEP + STEP / 2, "{length} for {content}");
            assert_eq!(taken, length + file.extent.ahead(), "all of it, and what is ahead");
            assert!(file.extent.ahead() >= LEAST_AHEAD.max(STEP.min(length)), "{}", file.extent.ahead());
        }
        // The power is cut: it is found as it was, and grows as before.
        let disk = disk.cut(disk.position(), 0);
        let file = File::open(&disk, path, Kind::Volume, 1 << 20, false).unwrap();
        assert!(file.extent.is_stepped());
        let before = file.extent.length();
        put(&file, 13 * PIECES, 1 << 40).unwrap();
        put(&file, 14 * PIECES, 1 << 40).unwrap();
        assert!(file.extent.length() - before <= 2 * STEP);
        file.extent.release().unwrap();
        assert_eq!(disk.taken_by(path), file.extent.length());
    }

    #[test]
    fn growth_that_is_not_allowed_leaves_all_as_it_was() {
        let (disk, path) = (SimDisk::default(), Path::new("/volume"));
        let file = File::open(&disk, path, Kind::Volume, 1 << 20, true).unwrap();
        put(&file, 0, 1 << 40).unwrap();
        let (length, taken) = (file.extent.length(), disk.taken_by(path));
        let refused = (1..9).find_map(|n| put(&file, n * PIECES, 0).err()).unwrap();
        let is_full = matches!(refused, crate::store::Error::Io { error, .. }
            if error.kind() == io::ErrorKind::StorageFull);
        assert!(is_full);
        assert_eq!((file.extent.length(), disk.taken_by(path)), (length, taken));
    }

    #[test]
    fn with_nothing_free_growth_uses_up_what_is_ahead() {
        let disk = SimDisk::default();
        disk.set_size(64 << 20);
        let path = Path::new("/volume");
        let file = File::open(&disk, path, Kind::Volume, 1 << 20, true).unwrap();
        assert!(file.extent.keep_ahead());
        for n in 0..3 {
            put(&file, n * PIECES, 1 << 40).unwrap();
        }
        disk.others_leave(0);
        assert_eq!(disk.free_space(path).unwrap(), 0);
        let before = file.extent.length();
        let mut rows = 0_u32;
        while file.extent.length() == before {
            let key = (1 << 20 | rows).to_be_bytes();
            let row: Change<'_> = (VolumeTable::Head as u8, &key, Some(&[7; 3000]));
            file.apply(std::iter::once(row), 1, rows.is_multiple_of(100)).unwrap();
            rows += 1;
        }
        assert_eq!(file.extent.ahead(), 0);
        assert!(!file.extent.keep_ahead());
        file.apply(std::iter::empty(), 1, true).unwrap();
        disk.others_go();
        assert!(file.extent.keep_ahead());
    }
}
