//! How many sessions there may be, and who holds them.

use std::collections::HashMap;
use std::hash::Hash;
use std::net::IpAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::credential::{Login, is_local, network};
use crate::model::{AccountId, DeviceId, locked};

/// Connections in all, logged in or not: each costs about 20 KB, the machine has 512 MB.
pub const CONNECTIONS: u32 = 1_000;
/// Of these, those that have not logged in: whoever has is not kept out by them.
pub const STRANGERS: u32 = 500;
/// And of those, places for the local network and for addresses from which somebody is logged in.
pub const STRANGERS_KEPT: u32 = 100;
/// Connections of one address that have not logged in: a household behind one address stays below it.
pub const STRANGERS_AN_ADDRESS: u32 = 50;
/// Once half of the places for strangers are taken, each has so long to log in.
pub const CROWDED_PATIENCE: Duration = Duration::from_secs(15);
/// Sessions of one address once logged in (a family behind NAT, one connection a synced folder).
pub const AN_ADDRESS: u32 = 200;
/// Sessions with an account's own password.
pub const AN_ACCOUNT: u32 = 200;
/// Sessions with one device password.
pub const A_DEVICE: u32 = 40;

/// What is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Count {
    Connections,
    Strangers,
    Stranger(IpAddr),
    Address(IpAddr),
    Account(AccountId),
    Device(AccountId, DeviceId),
}

/// The counts of all sessions.
#[derive(Debug, Default)]
pub struct SessionLimits {
    taken: Mutex<HashMap<Count, u32>>,
}

/// One or more counts that a connection holds until this is dropped.
#[derive(Debug)]
pub struct Seat {
    seats: Arc<SessionLimits>,
    held: Vec<Count>,
}

/// A limit that is reached, in words for the client.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Full {
    /// [`CONNECTIONS`]
    #[error("this server has as many connections as it can serve; try again later")]
    Server,
    /// [`STRANGERS`]
    #[error("too many connections that have not logged in; try again in a minute")]
    Strangers,
    /// [`STRANGERS_AN_ADDRESS`]
    #[error("too many connections from this address that have not logged in")]
    Stranger,
    /// [`AN_ADDRESS`]
    #[error("200 sessions from this address are open already; close some")]
    Address,
    /// [`AN_ACCOUNT`]
    #[error("200 sessions with this account's password are open already; close some")]
    Account,
    /// [`A_DEVICE`]
    #[error("40 sessions with this device's password are open already; close some")]
    Device,
}

impl SessionLimits {
    /// A seat for a connection that has not logged in.
    ///
    /// # Errors
    /// Which limit is reached.
    pub fn connect(self: &Arc<Self>, address: IpAddr) -> Result<Seat, Full> {
        let network = network(address);
        let is_familiar = is_local(address) || self.held(Count::Address(network)) > 0;
        let strangers = if is_familiar { STRANGERS } else { STRANGERS - STRANGERS_KEPT };
        self.take(&[
            (Count::Connections, CONNECTIONS, Full::Server),
            (Count::Strangers, strangers, Full::Strangers),
            (Count::Stranger(network), STRANGERS_AN_ADDRESS, Full::Stranger),
        ])
    }

    /// Whether strangers hold half of the places that they may have.
    #[must_use]
    pub fn is_crowded(&self) -> bool {
        self.held(Count::Strangers) >= STRANGERS / 2
    }

    fn held(&self, count: Count) -> u32 {
        locked(&self.taken).get(&count).copied().unwrap_or(0)
    }

    /// A seat for a connection that has just logged in, with its own password or a device's, beside the one that it has: it
    /// is connected already, so that no limit of connections keeps it out.
    ///
    /// # Errors
    /// Which limit is reached.
    pub fn log_in(self: &Arc<Self>, address: IpAddr, account: AccountId, login: Login) -> Result<Seat, Full> {
        let login = match login {
            Login::Device(device) => (Count::Device(account, device), A_DEVICE, Full::Device),
            Login::Own => (Count::Account(account), AN_ACCOUNT, Full::Account),
        };
        self.take(&[(Count::Address(network(address)), AN_ADDRESS, Full::Address), login])
    }

    /// How many sessions are logged in.
    #[must_use]
    pub fn sessions(&self) -> u32 {
        let taken = locked(&self.taken);
        taken.iter().filter(|(count, _)| matches!(count, Count::Address(_))).map(|(_, held)| held).sum()
    }

    fn take(self: &Arc<Self>, wanted: &[(Count, u32, Full)]) -> Result<Seat, Full> {
        let mut taken = locked(&self.taken);
        for (count, limit, full) in wanted {
            if taken.get(count).is_some_and(|held| held >= limit) {
                return Err(*full);
            }
        }
        let held: Vec<Count> = wanted.iter().map(|(count, _, _)| *count).collect();
        for count in &held {
            *taken.entry(*count).or_default() += 1;
        }
        Ok(Seat { seats: Arc::clone(self), held })
    }
}

impl Seat {
    /// Holds the place among all connections too, that the one before had; whoever was a stranger is none any more.
    pub fn take_over(&mut self, before: &mut Seat) {
        self.held.extend(before.held.extract_if(.., |count| *count == Count::Connections));
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.seats.free(&self.held);
    }
}

impl SessionLimits {
    fn free(&self, counts: &[Count]) {
        let mut taken = locked(&self.taken);
        for count in counts {
            if let Some(held) = taken.get_mut(count) {
                *held -= 1;
                if *held == 0 {
                    taken.remove(count);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_has_forty_seats_and_gives_them_back() {
        let seats = Arc::new(SessionLimits::default());
        let address: IpAddr = "192.0.2.1".parse().unwrap();
        let take = || seats.log_in(address, AccountId(1), Login::Device(DeviceId(1)));
        let mut held: Vec<Seat> = (0..40).map(|_| take().unwrap()).collect();
        assert_eq!(take().err(), Some(Full::Device));
        assert!(seats.log_in(address, AccountId(1), Login::Device(DeviceId(2))).is_ok());
        held.pop();
        assert!(take().is_ok());
        drop(held);
        assert_eq!(seats.sessions(), 0);
    }

    #[test]
    fn strangers_never_take_more_than_half() {
        let seats = Arc::new(SessionLimits::default());
        let far = |n: u32| IpAddr::from((0xc000_0200 + n).to_be_bytes());
        let local: IpAddr = "192.168.1.7".parse().unwrap();
        let mut held: Vec<Seat> =
            (0..20).flat_map(|n| (0..50).map(move |_| n)).map_while(|n| seats.connect(far(n)).ok()).collect();
        assert_eq!(held.len(), (STRANGERS - STRANGERS_KEPT) as usize);
        assert!(seats.is_crowded());
        assert_eq!(seats.connect(far(99)).err(), Some(Full::Strangers));
        // Somebody is logged in from there.
        let own = seats.log_in(far(99), AccountId(1), Login::Own).unwrap();
        held.extend((0..50).map(|_| seats.connect(far(99)).unwrap()));
        held.extend((0..50).map(|_| seats.connect(local).unwrap()));
        assert_eq!(held.len(), STRANGERS as usize);
        assert_eq!(seats.connect("10.1.2.3".parse().unwrap()).err(), Some(Full::Strangers));
        drop(own);
        held.clear();
        assert!(!seats.is_crowded() && seats.connect(far(99)).is_ok());
    }

    #[test]
    fn who_is_connected_can_log_in_however_full_it_is() {
        let seats = Arc::new(SessionLimits::default());
        let address = |n: u32| IpAddr::from((0xc000_0200 + n / 100).to_be_bytes());
        let mut held = Vec::new();
        for n in 1..CONNECTIONS {
            let mut connection = seats.connect(address(n)).unwrap();
            let mut session = seats.log_in(address(n), AccountId(1), Login::Device(DeviceId(n))).unwrap();
            session.take_over(&mut connection);
            held.push(session);
        }
        held.push(seats.connect(address(0)).unwrap());
        assert_eq!(seats.connect(address(0)).err(), Some(Full::Server));
        held.push(seats.log_in(address(0), AccountId(2), Login::Own).unwrap());
        drop(held);
        assert_eq!((seats.sessions(), seats.taken.lock().unwrap().len()), (0, 0));
    }

    #[test]
    fn addresses_of_one_ipv6_network_count_together() {
        assert_eq!(network("2001:db8::1".parse().unwrap()), network("2001:db8:0:7f::2".parse().unwrap()));
        assert_eq!(network("::ffff:192.0.2.1".parse().unwrap()), "192.0.2.1".parse::<IpAddr>().unwrap());
    }
}
