//! Whose turn it is to deliver: each user of this machine has few, so that none keeps another's mail waiting.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use async_lock::{Semaphore, SemaphoreGuardArc};

use crate::model::locked;

/// Deliveries of one user at a time; more wait.
const A_USER: usize = 2;
/// Deliveries at a time, of all users but root and the server's own.
const AT_A_TIME: usize = 8;
/// Connections that one user may have; more are told to come back.
const CONNECTIONS: u32 = 64;
/// And all users.
const ALL_CONNECTIONS: u32 = 256;

/// The turns.
#[derive(Debug)]
pub(super) struct Turns {
    users: Mutex<HashMap<u32, User>>,
    all: Arc<Semaphore>,
    /// The user that the server runs as; it and root wait for nobody else.
    own: u32,
}

#[derive(Debug)]
struct User {
    connections: u32,
    turns: Arc<Semaphore>,
}

/// A connection of a user.
#[derive(Debug)]
pub(super) struct Place {
    all: Arc<Turns>,
    uid: u32,
    turns: Arc<Semaphore>,
}

/// A turn, until it is dropped.
#[derive(Debug)]
pub(super) struct Turn {
    _of_user: SemaphoreGuardArc,
    _of_all: Option<SemaphoreGuardArc>,
}

impl Turns {
    /// Of a server that runs as `own`.
    pub(super) fn new(own: u32) -> Self {
        Turns { users: Mutex::default(), all: Arc::new(Semaphore::new(AT_A_TIME)), own }
    }

    /// A place for a connection of this user; `None` if it has as many as it may.
    pub(super) fn connect(self: &Arc<Self>, uid: u32) -> Option<Place> {
        let mut users = locked(&self.users);
        let all: u32 = users.values().map(|user| user.connections).sum();
        let user = users
            .entry(uid)
            .or_insert_with(|| User { connections: 0, turns: Arc::new(Semaphore::new(A_USER)) });
        if user.connections >= CONNECTIONS || all >= ALL_CONNECTIONS && !self.is_trusted(uid) {
            return None;
        }
        user.connections += 1;
        Some(Place { all: Arc::clone(self), uid, turns: Arc::clone(&user.turns) })
    }

    /// Whether a user may do as the server does.
    pub(super) fn is_trusted(&self, uid: u32) -> bool {
        uid == 0 || uid == self.own
    }
}

impl Place {
    /// Waits for a turn.
    pub(super) async fn turn(&self) -> Turn {
        let of_user = self.turns.acquire_arc().await;
        let of_all =
            if self.all.is_trusted(self.uid) { None } else { Some(self.all.all.acquire_arc().await) };
        Turn { _of_user: of_user, _of_all: of_all }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut users = locked(&self.all.users);
        if let Some(user) = users.get_mut(&self.uid) {
            user.connections -= 1;
            if user.connections == 0 {
                users.remove(&self.uid);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_lite::future::{block_on, poll_once};

    use super::*;

    #[test]
    fn nobody_waits_for_another_user() {
        let turns = Arc::new(Turns::new(995));
        let silent: Vec<Place> = std::iter::from_fn(|| turns.connect(1_000)).collect();
        assert_eq!(silent.len(), CONNECTIONS as usize);
        let held: Vec<_> = silent.iter().filter_map(|place| block_on(poll_once(place.turn()))).collect();
        assert_eq!(held.len(), A_USER);
        let other = turns.connect(1_001).unwrap();
        assert!(block_on(poll_once(other.turn())).is_some());
        drop((held, silent));
        assert!(turns.connect(1_000).is_some());
        drop(other);
        assert!(turns.users.lock().unwrap().is_empty());
    }

    #[test]
    fn nor_root_for_all_of_them() {
        let turns = Arc::new(Turns::new(995));
        let places: Vec<Place> = (0..8)
            .flat_map(|n| (0..50).map(move |_| 1_000 + n))
            .filter_map(|uid| turns.connect(uid))
            .collect();
        assert_eq!(places.len(), ALL_CONNECTIONS as usize);
        let held: Vec<_> = places.iter().filter_map(|place| block_on(poll_once(place.turn()))).collect();
        assert_eq!(held.len(), AT_A_TIME);
        assert!(turns.connect(2_000).is_none());
        for uid in [0, 995] {
            let trusted = turns.connect(uid).unwrap();
            assert!(block_on(poll_once(trusted.turn())).is_some());
        }
    }
}
