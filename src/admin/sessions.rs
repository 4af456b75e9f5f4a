//! Who is logged in to the admin site: kept in memory, so that a restart logs everyone out.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard};
use std::time::{Duration, Instant};

use super::secrets::{Secret, Secrets};
use crate::credential::DevicePassword;
use crate::model::locked;

/// A session that nobody used for so long is over.
const IDLE: Duration = Duration::from_secs(12 * 3600);
/// Sessions at a time; one more ends the one that was unused longest.
const MOST: usize = 32;

/// Something to tell on the next page.
#[derive(Clone, Debug)]
pub(super) struct Notice {
    pub(super) text: String,
    pub(super) good: bool,
}

struct Session {
    csrf: String,
    used: Instant,
    notice: Option<Notice>,
    secrets: Secrets,
}

/// All sessions, by the key of their token: the token itself is only in the browser.
#[derive(Default)]
pub(super) struct Sessions(Mutex<HashMap<[u8; 32], Session>>);

/// What a page may know of its session.
#[derive(Clone, Debug)]
pub(super) struct Known {
    pub(super) key: [u8; 32],
    pub(super) csrf: String,
}

impl Sessions {
    /// Begins one; gives the token for the cookie. `None` if the system gives no random bytes.
    pub(super) fn begin(&self) -> Option<(String, Known)> {
        let token = DevicePassword::generate().ok()?;
        let csrf = DevicePassword::generate().ok()?.to_string();
        let mut sessions = self.lock();
        if sessions.len() >= MOST {
            let oldest = sessions.iter().min_by_key(|(_, session)| session.used).map(|(key, _)| *key);
            oldest.and_then(|key| sessions.remove(&key));
        }
        let known = Known { key: token.key(), csrf: csrf.clone() };
        sessions.insert(
            token.key(),
            Session { csrf, used: Instant::now(), notice: None, secrets: Secrets::default() },
        );
        Some((token.to_string(), known))
    }

    /// The session of a token, if there is one. It goes on for as long again if somebody `uses` it: a page that looks for
    /// what is new by itself does not.
    pub(super) fn find(&self, token: &str, uses: bool) -> Option<Known> {
        let key = DevicePassword::parse(token)?.key();
        let mut sessions = self.lock();
        sessions.retain(|_, session| session.used.elapsed() < IDLE);
        let session = sessions.get_mut(&key)?;
        if uses {
            session.used = Instant::now();
        }
        Some(Known { key, csrf: session.csrf.clone() })
    }

    /// Ends one.
    pub(super) fn end(&self, known: &Known) {
        self.lock().remove(&known.key);
    }

    /// Ends all but one: after the password was changed.
    pub(super) fn end_all(&self) {
        self.lock().clear();
    }

    /// Leaves a notice for the next page.
    pub(super) fn tell(&self, known: &Known, notice: Notice) {
        if let Some(session) = self.lock().get_mut(&known.key) {
            session.notice = Some(notice);
        }
    }

    /// Takes the notice that was left.
    pub(super) fn take_notice(&self, known: &Known) -> Option<Notice> {
        self.lock().get_mut(&known.key)?.notice.take()
    }

    /// Keeps a device's password as long as it must be typed.
    pub(super) fn keep(&self, known: &Known, secret: Secret) {
        if let Some(session) = self.lock().get_mut(&known.key) {
            session.secrets.keep(secret);
        }
    }

    /// The password of a device, if this session made it just now.
    pub(super) fn secret(&self, known: &Known, device: u32) -> Option<Secret> {
        self.lock().get_mut(&known.key)?.secrets.of(device, Instant::now())
    }

    /// The password that this session made last.
    pub(super) fn last_secret(&self, known: &Known) -> Option<Secret> {
        self.lock().get_mut(&known.key)?.secrets.last(Instant::now())
    }

    /// Forgets the password of a device.
    pub(super) fn forget(&self, known: &Known, device: u32) {
        if let Some(session) = self.lock().get_mut(&known.key) {
            session.secrets.forget(device);
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<[u8; 32], Session>> {
        locked(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sessions_begin_and_end() {
        let sessions = Sessions::default();
        let (token, known) = sessions.begin().unwrap();
        assert_eq!(sessions.find(&token, true).unwrap().csrf, known.csrf);
        assert!(sessions.find("nonsense", true).is_none());
        sessions.tell(&known, Notice { text: "done".into(), good: true });
        assert_eq!(sessions.take_notice(&known).unwrap().text, "done");
        assert!(sessions.take_notice(&known).is_none());
        sessions.end(&known);
        assert!(sessions.find(&token, true).is_none());
    }

    #[test]
    fn a_page_left_open_keeps_nobody_logged_in() {
        let sessions = Sessions::default();
        let (token, known) = sessions.begin().unwrap();
        let used = || sessions.lock().get(&known.key).unwrap().used;
        let begun = used();
        assert!(sessions.find(&token, false).is_some());
        assert_eq!(used(), begun);
        assert!(sessions.find(&token, true).is_some());
        assert!(used() > begun);
    }

    #[test]
    fn their_number_is_bounded() {
        let sessions = Sessions::default();
        let (first, _) = sessions.begin().unwrap();
        for _ in 0..MOST {
            sessions.begin().unwrap();
        }
        assert!(sessions.find(&first, true).is_none());
        assert_eq!(sessions.lock().len(), MOST);
    }
}
