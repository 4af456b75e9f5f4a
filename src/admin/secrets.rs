//! Passwords of devices that were made just now, until they are typed. They are in memory only, and only for the
//! session that made them.

use std::time::{Duration, Instant};

/// A password is shown for so long.
const SHOWN: Duration = Duration::from_secs(15 * 60);
/// Passwords at a time; one more ends the oldest.
const MOST: usize = 16;

/// A device's password.
#[derive(Clone)]
pub(super) struct Secret {
    pub(super) device: u32,
    pub(super) account: String,
    pub(super) name: String,
    pub(super) password: String,
    made: Instant,
}

impl Secret {
    pub(super) fn new(device: u32, account: &str, name: &str, password: String) -> Self {
        let (account, name) = (account.to_owned(), name.to_owned());
        Secret { device, account, name, password, made: Instant::now() }
    }
}

/// Those of a session, the oldest first.
#[derive(Default)]
pub(super) struct Secrets(Vec<Secret>);

impl Secrets {
    /// Keeps one, in the place of one of the same device.
    pub(super) fn keep(&mut self, secret: Secret) {
        self.forget(secret.device);
        if self.0.len() >= MOST {
            self.0.remove(0);
        }
        self.0.push(secret);
    }

    /// That of a device, if it is still to be shown.
    pub(super) fn of(&mut self, device: u32, now: Instant) -> Option<Secret> {
        self.expire(now);
        self.0.iter().find(|secret| secret.device == device).cloned()
    }

    /// The one that was made last.
    pub(super) fn last(&mut self, now: Instant) -> Option<Secret> {
        self.expire(now);
        self.0.last().cloned()
    }

    pub(super) fn forget(&mut self, device: u32) {
        self.0.retain(|secret| secret.device != device);
    }

    fn expire(&mut self, now: Instant) {
        self.0.retain(|secret| now.saturating_duration_since(secret.made) < SHOWN);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_shown_for_a_while() {
        let mut secrets = Secrets::default();
        let now = Instant::now();
        for device in 0..20 {
            secrets.keep(Secret::new(device, "anna", "phone", format!("password {device}")));
        }
        assert!(secrets.of(3, now).is_none() && secrets.of(4, now).is_some(), "their number is bounded");
        secrets.keep(Secret::new(4, "anna", "phone", "another".to_owned()));
        assert_eq!(secrets.of(4, now).unwrap().password, "another");
        assert_eq!(secrets.last(now).unwrap().device, 4);
        secrets.forget(4);
        assert!(secrets.of(4, now).is_none());
        assert!(secrets.of(5, Instant::now() + SHOWN / 2).is_some());
        assert!(secrets.of(5, Instant::now() + SHOWN).is_none());
    }
}
