//! A file that is only read, and that whoever opens it may write to all the same: what is written stays in
//! memory. redb writes when it opens a file, and the journal's rows must be applied to be seen, on a disk too
//! that takes no writes any more.

use std::collections::BTreeMap;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use crate::store::base::disk_file::DiskFile;

/// What all files together may keep in memory: the journal's rows (8 MiB between two checkpoints, a few times
/// over as pages of redb) take far less.
pub const MOST: u64 = 128 << 20;
/// Bytes are kept by the page.
const PAGE: usize = 4096;

/// The memory that all such files share.
#[derive(Debug, Default)]
pub struct Memory(AtomicU64);

impl Memory {
    /// Bytes in use.
    #[cfg(test)]
    #[must_use]
    pub fn used(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    fn take(&self) -> io::Result<()> {
        if self.0.fetch_add(PAGE as u64, Ordering::Relaxed) + PAGE as u64 > MOST {
            self.give(1);
            return Err(io::Error::new(
                io::ErrorKind::OutOfMemory,
                "the disk takes no writes, and what must be kept in memory instead exceeds 128 MB",
            ));
        }
        Ok(())
    }

    fn give(&self, pages: usize) {
        self.0.fetch_sub((pages * PAGE) as u64, Ordering::Relaxed);
    }
}

/// The file.
#[derive(Debug)]
pub struct CopyOnWrite {
    /// Where the file is read; `None` for one that is not there.
    under: Option<Arc<dyn DiskFile>>,
    state: RwLock<State>,
    memory: Arc<Memory>,
}

#[derive(Debug)]
struct State {
    len: u64,
    /// What still shows of the file below: it is cut when the whole is cut.
    shown: u64,
    pages: BTreeMap<u64, Box<[u8]>>,
}

impl CopyOnWrite {
    /// Over a file, or over nothing.
    ///
    /// # Errors
    /// Of the system.
    pub fn new(under: Option<Arc<dyn DiskFile>>, memory: Arc<Memory>) -> io::Result<Self> {
        let len = under.as_ref().map_or(Ok(0), |file| file.len())?;
        let state = RwLock::new(State { len, shown: len, pages: BTreeMap::new() });
        Ok(CopyOnWrite { under, state, memory })
    }

    /// What lies below a stretch; zeros where nothing does.
    fn below(&self, state: &State, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let there = state.shown.saturating_sub(offset).min(out.len() as u64) as usize;
        let (from_file, beyond) = out.split_at_mut(there);
        beyond.fill(0);
        match &self.under {
            Some(file) if !from_file.is_empty() => file.read_at(offset, from_file),
            _ => Ok(()),
        }
    }

    /// Writes within one page.
    fn write_page(&self, state: &mut State, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let (number, at) = (offset / PAGE as u64, (offset % PAGE as u64) as usize);
        if !state.pages.contains_key(&number) {
            // Zeros behind the end of the file need not be kept.
            if number * PAGE as u64 >= state.shown && bytes.iter().all(|byte| *byte == 0) {
                return Ok(());
            }
            self.memory.take()?;
            let mut page = vec![0; PAGE].into_boxed_slice();
            if bytes.len() < PAGE
                && let Err(error) = self.below(state, number * PAGE as u64, &mut page)
            {
                self.memory.give(1);
                return Err(error);
            }
            state.pages.insert(number, page);
        }
        if let Some(part) = state.pages.get_mut(&number).and_then(|page| page.get_mut(at..at + bytes.len())) {
            part.copy_from_slice(bytes);
        }
        Ok(())
    }

    fn cut(&self, state: &mut State, len: u64) {
        state.shown = state.shown.min(len);
        let (last, at) = (len / PAGE as u64, (len % PAGE as u64) as usize);
        let beyond = state.pages.split_off(&(last + u64::from(at > 0)));
        self.memory.give(beyond.len());
        if let Some(rest) = state.pages.get_mut(&last).and_then(|page| page.get_mut(at..)) {
            rest.fill(0);
        }
    }
}

/// The stretches of a range, each within one page: where it begins, and its length.
fn by_page(offset: u64, len: usize) -> impl Iterator<Item = (u64, usize)> {
    let end = offset + len as u64;
    let mut at = offset;
    std::iter::from_fn(move || {
        let count = (PAGE as u64 - at % PAGE as u64).min(end - at);
        let found = (count > 0).then_some((at, count as usize));
        at += count;
        found
    })
}

impl DiskFile for CopyOnWrite {
    fn len(&self) -> io::Result<u64> {
        Ok(self.state.read().unwrap_or_else(PoisonError::into_inner).len)
    }

    fn read_at(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let state = self.state.read().unwrap_or_else(PoisonError::into_inner);
        if offset + out.len() as u64 > state.len {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let pages = offset / PAGE as u64..(offset + out.len() as u64).div_ceil(PAGE as u64);
        if state.pages.range(pages).next().is_none() {
            return self.below(&state, offset, out);
        }
        let mut rest = out;
        for (at, count) in by_page(offset, rest.len()) {
            let (part, later) = rest.split_at_mut(count);
            rest = later;
            let from = (at % PAGE as u64) as usize;
            match state.pages.get(&(at / PAGE as u64)).and_then(|page| page.get(from..from + count)) {
                Some(kept) => part.copy_from_slice(kept),
                None => self.below(&state, at, part)?,
            }
        }
        Ok(())
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let mut state = self.state.write().unwrap_or_else(PoisonError::into_inner);
        let mut rest = bytes;
        for (at, count) in by_page(offset, bytes.len()) {
            let (part, later) = rest.split_at(count);
            rest = later;
            self.write_page(&mut state, at, part)?;
            state.len = state.len.max(at + count as u64);
        }
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let mut state = self.state.write().unwrap_or_else(PoisonError::into_inner);
        if len < state.len {
            self.cut(&mut state, len);
        }
        state.len = len;
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for CopyOnWrite {
    fn drop(&mut self) {
        let pages = self.state.get_mut().map_or(0, |state| state.pages.len());
        self.memory.give(pages);
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::store::base::env::Disk;
    use crate::store::base::sim::{Dice, SimDisk};

    /// Against a plain vector: every read, whatever was written, cut and extended before.
    #[test]
    fn it_reads_as_a_file_that_was_written() {
        for seed in 0..40 {
            let (disk, mut dice) = (SimDisk::default(), Dice::new(seed));
            let under = disk.open(Path::new("/f"), true).unwrap();
            let mut model: Vec<u8> = (0..dice.below(40_000)).map(|n| n as u8 | 1).collect();
            under.write_at(0, &model).unwrap();
            let before = model.clone();
            let position = disk.position();
            let memory = Arc::new(Memory::default());
            let file = CopyOnWrite::new(Some(Arc::clone(&under)), Arc::clone(&memory)).unwrap();
            for _ in 0..60 {
                let (at, count) = (dice.below(50_000) as usize, dice.below(9_000) as usize);
                match dice.below(5) {
                    0 => {
                        file.set_len(at as u64).unwrap();
                        model.resize(at, 0);
                    }
                    1 | 2 => {
                        let bytes = vec![if dice.below(4) == 0 { 0 } else { dice.roll() as u8 }; count];
                        file.write_at(at as u64, &bytes).unwrap();
                        model.resize(model.len().max(at + count), 0);
                        model[at..at + count].copy_from_slice(&bytes);
                    }
                    _ => {}
                }
                assert_eq!(file.len().unwrap(), model.len() as u64);
                let (at, count) = (dice.below(50_000) as usize, dice.below(20_000) as usize);
                let mut out = vec![7; count];
                let read = file.read_at(at as u64, &mut out);
                match model.get(at..at + count) {
                    Some(part) => assert!(read.is_ok() && out == part, "seed {seed}, {count} at {at}"),
                    None => assert_eq!(read.unwrap_err().kind(), io::ErrorKind::UnexpectedEof),
                }
            }
            drop(file);
            assert_eq!(memory.used(), 0);
            let mut out = vec![0; before.len()];
            under.read_at(0, &mut out).unwrap();
            assert!(out == before && disk.position() == position, "nothing reaches the file below");
        }
    }

    #[test]
    fn memory_is_bounded_over_all_files() {
        let memory = Arc::new(Memory::default());
        let files: Vec<_> = (0..2).map(|_| CopyOnWrite::new(None, Arc::clone(&memory)).unwrap()).collect();
        let megabyte = vec![1; 1 << 20];
        let (mut error, mut written) = (None, 0);
        for n in 0..MOST {
            match files[n as usize % 2].write_at(n << 20, &megabyte) {
                Ok(()) => written += 1,
                Err(failed) => {
                    error = Some(failed);
                    break;
                }
            }
        }
        assert_eq!(
            (written << 20, error.map(|error| error.kind())),
            (MOST, Some(io::ErrorKind::OutOfMemory))
        );
        files[0].set_len(0).unwrap();
        files[1].write_at(0, &megabyte).unwrap();
    }
}
