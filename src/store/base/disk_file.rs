//! An open file, as the store sees it.

use std::fmt::Debug;
use std::io;
use std::sync::Arc;

/// A file that is open for reading and writing.
pub trait DiskFile: Send + Sync + Debug {
    /// Its length.
    ///
    /// # Errors
    /// Of the system.
    fn len(&self) -> io::Result<u64>;
    /// Reads exactly `out.len()` bytes.
    ///
    /// # Errors
    /// Of the system; `UnexpectedEof` past the end.
    fn read_at(&self, offset: u64, out: &mut [u8]) -> io::Result<()>;
    /// Writes all of `bytes`.
    ///
    /// # Errors
    /// Of the system.
    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()>;
    /// Cuts or extends with zeros.
    ///
    /// # Errors
    /// Of the system.
    fn set_len(&self, len: u64) -> io::Result<()>;
    /// Makes what was written durable (`fdatasync`).
    ///
    /// # Errors
    /// Of the system.
    fn sync(&self) -> io::Result<()>;
    /// Takes blocks of the disk for a range, which may lie behind the end; the length stays. A file system
    /// that cannot do this promises nothing, which is no error.
    ///
    /// # Errors
    /// `StorageFull`, or of the system.
    fn allocate(&self, _offset: u64, _len: u64) -> io::Result<()> {
        Ok(())
    }
    /// Bytes of the disk that it takes, those behind its end included, holes excluded.
    ///
    /// # Errors
    /// Of the system.
    fn allocated(&self) -> io::Result<u64> {
        self.len()
    }
    /// Whether nothing is in it.
    ///
    /// # Errors
    /// Of the system.
    fn is_empty(&self) -> io::Result<bool> {
        Ok(self.len()? == 0)
    }
}

/// A file of a disk that is written from front to back.
pub struct FileWriter {
    file: Arc<dyn DiskFile>,
    at: u64,
}

impl FileWriter {
    /// Begins at its start.
    #[must_use]
    pub fn new(file: Arc<dyn DiskFile>) -> Self {
        FileWriter { file, at: 0 }
    }

    /// Makes what was written durable.
    ///
    /// # Errors
    /// Of the system.
    pub fn sync(&self) -> io::Result<()> {
        self.file.sync()
    }
}

impl io::Write for FileWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write_at(self.at, bytes)?;
        self.at += bytes.len() as u64;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
