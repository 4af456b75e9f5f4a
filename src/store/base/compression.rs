//! zstd with contexts that are used again: to make one costs as much as to compress a small message. A few
//! are kept between uses, however many threads there are, and none once the store has been idle.

use std::io;
use std::sync::Mutex;

use zstd::bulk::{Compressor, Decompressor};

use crate::model::locked;

/// Fast, and within a few percent of what higher levels reach on mail.
const LEVEL: i32 = 3;
/// Contexts of each kind that are kept: one for the writer and one for whoever prepares. A compressor has
/// up to 1.3 MB.
const KEPT: usize = 2;

static COMPRESSORS: Mutex<Vec<Compressor<'static>>> = Mutex::new(Vec::new());
static DECOMPRESSORS: Mutex<Vec<Decompressor<'static>>> = Mutex::new(Vec::new());

/// Compresses bytes to a frame.
pub(in crate::store) fn compress(bytes: &[u8]) -> io::Result<Vec<u8>> {
    with(&COMPRESSORS, || Compressor::new(LEVEL), |compressor| compressor.compress(bytes))
}

/// Inflates a frame to at most `most` bytes.
pub(in crate::store) fn decompress(frame: &[u8], most: usize) -> io::Result<Vec<u8>> {
    with(&DECOMPRESSORS, Decompressor::new, |decompressor| decompressor.decompress(frame, most))
}

/// Gives the memory back.
pub(in crate::store) fn release() {
    locked(&COMPRESSORS).clear();
    locked(&DECOMPRESSORS).clear();
}

/// A context is put back only after success: after an error it might be in the middle of something.
fn with<C>(
    kept: &Mutex<Vec<C>>,
    make: impl FnOnce() -> io::Result<C>,
    run: impl FnOnce(&mut C) -> io::Result<Vec<u8>>,
) -> io::Result<Vec<u8>> {
    let taken = locked(kept).pop();
    let mut context = taken.map_or_else(make, Ok)?;
    let result = run(&mut context)?;
    let mut kept = locked(kept);
    if kept.len() < KEPT {
        kept.push(context);
    }
    Ok(result)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_goes_in_comes_out_whatever_came_before() {
        let frames = |seed: u8| -> Vec<u8> { (0..5000_u32).map(|n| (n / 7) as u8 ^ seed).collect() };
        for seed in 0..20 {
            let raw = frames(seed);
            let small = compress(&raw).unwrap();
            assert_eq!(small, zstd::bulk::compress(&raw, LEVEL).unwrap());
            assert_eq!(decompress(&small, raw.len()).unwrap(), raw);
            assert!(decompress(&small, raw.len() - 1).is_err());
            assert!(decompress(b"no frame", 100).is_err());
            if seed == 10 {
                release();
            }
        }
        assert!(locked(&COMPRESSORS).len() <= KEPT);
    }
}
