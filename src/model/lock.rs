//! Taking a lock, for every layer: the one place that says what a poisoned one means.

use std::sync::{Mutex, MutexGuard, PoisonError};

/// Locks that a panic left are still good: every holder leaves its data whole.
pub fn locked<T: ?Sized>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
