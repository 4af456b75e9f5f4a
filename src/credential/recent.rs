//! Logins that lately succeeded: a phone's tenth connection costs microseconds, not a hash.

use std::collections::HashMap;
use std::sync::Mutex;
use std::time::Duration;

use super::{random, same};
use crate::model::{AccountId, locked};

/// So many are remembered.
const MOST: usize = 256;
/// A login is forgotten so long after its last use.
const KEPT: Duration = Duration::from_secs(3600);

/// Remembers successes under a secret of this run; neither a password nor its plain hash is kept.
pub struct RecentLogins {
    key: Option<[u8; 32]>,
    known: Mutex<HashMap<AccountId, Vec<Entry>>>,
}

struct Entry {
    mark: [u8; 32],
    used: Duration,
}

impl Default for RecentLogins {
    fn default() -> Self {
        Self::new()
    }
}

impl RecentLogins {
    /// Remembers nothing yet; nothing ever where the system gives no random bytes.
    #[must_use]
    pub fn new() -> Self {
        RecentLogins { key: random().ok(), known: Mutex::default() }
    }

    /// Whether this password was right for this account and this stored hash not long before `now`.
    pub fn knows(&self, now: Duration, account: AccountId, stored: &str, password: &[u8]) -> bool {
        let Some(mark) = self.mark(account, stored, password) else { return false };
        let mut known = locked(&self.known);
        let entries = known.get_mut(&account).into_iter().flatten();
        let mut found = false;
        for entry in entries.filter(|entry| now.saturating_sub(entry.used) < KEPT) {
            if same(&entry.mark, &mark) {
                entry.used = now;
                found = true;
            }
        }
        found
    }

    /// Remembers that it was right at `now`.
    pub fn note(&self, now: Duration, account: AccountId, stored: &str, password: &[u8]) {
        let Some(mark) = self.mark(account, stored, password) else { return };
        let mut known = locked(&self.known);
        known.values_mut().for_each(|entries| entries.retain(|entry| now.saturating_sub(entry.used) < KEPT));
        known.retain(|_, entries| !entries.is_empty());
        if known.len() >= MOST {
            known.clear();
        }
        // An account has one password; the one before it may still be in here until it is forgotten.
        let entries = known.entry(account).or_default();
        entries.retain(|entry| entry.mark != mark);
        entries.truncate(1);
        entries.push(Entry { mark, used: now });
    }

    fn mark(&self, account: AccountId, stored: &str, password: &[u8]) -> Option<[u8; 32]> {
        let mut hasher = blake3::Hasher::new_keyed(&self.key?);
        hasher.update(&account.0.to_be_bytes());
        hasher.update(&(stored.len() as u64).to_be_bytes());
        hasher.update(stored.as_bytes());
        hasher.update(password);
        Some(*hasher.finalize().as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_right_is_known_for_a_while() {
        let recent = RecentLogins::new();
        let (account, at) = (AccountId(1), Duration::from_secs);
        assert!(!recent.knows(at(0), account, "hash", b"pw"));
        recent.note(at(0), account, "hash", b"pw");
        assert!(recent.knows(at(3000), account, "hash", b"pw"));
        assert!(recent.knows(at(6000), account, "hash", b"pw"), "each use renews it");
        assert!(!recent.knows(at(6000), account, "hash", b"pW"));
        assert!(!recent.knows(at(6000), account, "other hash", b"pw"), "the password was changed");
        assert!(!recent.knows(at(6000), AccountId(2), "hash", b"pw"));
        assert!(!recent.knows(at(6000 + 3600), account, "hash", b"pw"));
    }
}
