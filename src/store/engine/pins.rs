//! Content that must not be swept now: a reader sends it, an `Incoming` brings it in, or a job has named
//! it since the sweep looked.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use crate::model::{ContentId, locked};

#[derive(Default)]
pub(in crate::store) struct Pins {
    pinned: Mutex<BTreeMap<u64, u32>>,
    /// What jobs named since a sweep began; `None` while there is no sweep.
    named: Mutex<Option<BTreeSet<u64>>>,
    /// Backups that copy contents: nothing is dropped meanwhile.
    holds: AtomicUsize,
}

impl Pins {
    pub(in crate::store) fn pin(self: &Arc<Self>, email: ContentId) -> Pin {
        *locked(&self.pinned).entry(email.0).or_default() += 1;
        Pin { pins: Arc::clone(self), email: email.0 }
    }

    pub(in crate::store) fn hold(self: &Arc<Self>) -> Hold {
        self.holds.fetch_add(1, Ordering::AcqRel);
        Hold { pins: Arc::clone(self) }
    }

    pub(in crate::store) fn is_on_hold(&self) -> bool {
        self.holds.load(Ordering::Acquire) > 0
    }

    pub(in crate::store) fn name(&self, email: ContentId) {
        if let Some(named) = locked(&self.named).as_mut() {
            named.insert(email.0);
        }
    }

    pub(in crate::store) fn record(&self, on: bool) {
        *locked(&self.named) = on.then(BTreeSet::new);
    }

    pub(in crate::store) fn is_held(&self, email: ContentId) -> bool {
        self.is_on_hold()
            || locked(&self.pinned).contains_key(&email.0)
            || locked(&self.named).as_ref().is_some_and(|named| named.contains(&email.0))
    }
}

/// Keeps every content while it lives: sweep and reclaim are put off.
pub struct Hold {
    pins: Arc<Pins>,
}

impl std::fmt::Debug for Hold {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Hold")
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        self.pins.holds.fetch_sub(1, Ordering::AcqRel);
    }
}

/// Keeps a content while it lives.
pub struct Pin {
    pins: Arc<Pins>,
    email: u64,
}

impl std::fmt::Debug for Pin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Pin({})", self.email)
    }
}

impl Drop for Pin {
    fn drop(&mut self) {
        let mut pinned = locked(&self.pins.pinned);
        if let Some(count) = pinned.get_mut(&self.email) {
            *count -= 1;
            if *count == 0 {
                pinned.remove(&self.email);
            }
        }
    }
}
