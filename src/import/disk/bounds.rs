//! How much an archive may unpack to, and that whoever reads is asked at each piece whether it is to go on.
//!
//! A few megabytes can claim to be thousands of gigabytes: by zeros, by holes, by entries that share their bytes.

use std::cell::Cell;
use std::io::{self, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// An archive unpacks to so many times its own size: mail to ten times, logs sent by mail to a hundred.
const RATIO: u64 = 250;
/// And a small one to so much, in bytes.
const SMALL: u64 = 64 << 20;
/// And none to more, in bytes.
const MOST: u64 = 1 << 40;

/// What is left of an archive's share.
pub struct Bounds {
    left: Cell<u64>,
    is_over: Cell<bool>,
    stop: Arc<AtomicBool>,
}

impl Bounds {
    /// Of an archive of `size` bytes; `stop` breaks off.
    #[must_use]
    pub fn new(size: u64, stop: Arc<AtomicBool>) -> Self {
        let left = size.saturating_mul(RATIO).clamp(SMALL, MOST);
        Bounds { left: Cell::new(left), is_over: Cell::new(false), stop }
    }

    /// What is read of `inner` counts.
    pub fn of<R: Read>(&self, inner: R) -> Bounded<'_, R> {
        Bounded { bounds: self, inner }
    }

    /// # Errors
    /// If it is to be broken off, or has unpacked to too much.
    pub fn check(&self) -> io::Result<()> {
        go_on(&self.stop)?;
        if self.is_over.get() {
            return Err(io::Error::other(
                "it unpacks to far more than mail ever does: the rest of it is not looked at",
            ));
        }
        Ok(())
    }
}

/// # Errors
/// If `stop` says that it is to be broken off.
pub(crate) fn go_on(stop: &AtomicBool) -> io::Result<()> {
    if stop.load(Ordering::Acquire) { Err(io::Error::other("broken off")) } else { Ok(()) }
}

/// A reader of what is unpacked.
pub struct Bounded<'a, R> {
    bounds: &'a Bounds,
    inner: R,
}

impl<R: Read> Read for Bounded<'_, R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        self.bounds.check()?;
        let count = self.inner.read(out)?;
        match self.bounds.left.get().checked_sub(count as u64) {
            Some(left) => self.bounds.left.set(left),
            None => self.bounds.is_over.set(true),
        }
        self.bounds.check()?;
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_small_archive_of_zeros_ends() {
        let bounds = Bounds::new(1_000, Arc::default());
        let mut read = 0_u64;
        let mut reader = bounds.of(io::repeat(0));
        let error = loop {
            match reader.read(&mut [0; 65_536]) {
                Ok(count) => read += count as u64,
                Err(error) => break error,
            }
        };
        assert_eq!(read, SMALL);
        assert!(error.to_string().contains("unpacks"), "{error}");
        assert!(bounds.check().is_err(), "and what comes behind it is not looked at");
    }

    #[test]
    fn it_is_broken_off_at_the_next_piece() {
        let stop = Arc::new(AtomicBool::new(false));
        let bounds = Bounds::new(u64::MAX, Arc::clone(&stop));
        let mut reader = bounds.of(io::repeat(0));
        assert_eq!(reader.read(&mut [0; 10]).unwrap(), 10);
        stop.store(true, Ordering::Release);
        assert_eq!(reader.read(&mut [0; 10]).unwrap_err().to_string(), "broken off");
    }
}
