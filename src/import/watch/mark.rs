//! Short stand-ins for names and other bytes, where many are held.

/// A short stand-in for a name, of this process only.
pub(super) fn mark(bytes: &[u8]) -> u64 {
    xxhash_rust::xxh3::xxh3_64(bytes)
}
