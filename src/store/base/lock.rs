//! Locks.

use std::sync::{Mutex, MutexGuard, PoisonError};

/// Locks that a panic left are still good: every holder leaves its data whole.
pub(in crate::store) fn locked<T: ?Sized>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
