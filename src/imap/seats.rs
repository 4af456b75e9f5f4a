//! How many sessions there may be, and who holds them.

use std::collections::HashMap;
use std::hash::Hash;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

use crate::credential::network;
use crate::model::{AccountId, DeviceId};

/// Connections in all, logged in or not: each costs about 20 KB, the machine has 512 MB.
pub const CONNECTIONS: u32 = 1_000;
/// Connections of one address that have not logged in: a household behind one address stays below it.
pub const STRANGERS_AN_ADDRESS: u32 = 50;
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
    Stranger(IpAddr),
    Address(IpAddr),
    Account(AccountId),
    Device(AccountId, DeviceId),
}

/// The counts of all sessions.
#[derive(Debug, Default)]
pub struct Seats {
    taken: Mutex<HashMap<Count, u32>>,
}

/// One or more counts that a connection holds until this is dropped.
#[derive(Debug)]
pub struct Seat {
    seats: Arc<Seats>,
    held: Vec<Count>,
}

/// A limit that is reached, in words for the client.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Full {
    /// [`CONNECTIONS`]
    #[error("this server has as many connections as it can serve; try again later")]
    Server,
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

impl Seats {
    /// A seat for a connection that has not logged in.
    ///
    /// # Errors
    /// Which limit is reached.
    pub fn connect(self: &Arc<Self>, address: IpAddr) -> Result<Seat, Full> {
        self.take(&[
            (Count::Connections, CONNECTIONS, Full::Server),
            (Count::Stranger(network(address)), STRANGERS_AN_ADDRESS, Full::Stranger),
        ])
    }

    /// A seat for a session that has just logged in, with its own password or a device's.
    ///
    /// # Errors
    /// Which limit is reached.
    pub fn log_in(
        self: &Arc<Self>,
        address: IpAddr,
        account: AccountId,
        device: Option<DeviceId>,
    ) -> Result<Seat, Full> {
        let login = match device {
            Some(device) => (Count::Device(account, device), A_DEVICE, Full::Device),
            None => (Count::Account(account), AN_ACCOUNT, Full::Account),
        };
        self.take(&[
            (Count::Connections, CONNECTIONS, Full::Server),
            (Count::Address(network(address)), AN_ADDRESS, Full::Address),
            login,
        ])
    }

    /// How many sessions are logged in.
    #[must_use]
    pub fn sessions(&self) -> u32 {
        let taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        taken.iter().filter(|(count, _)| matches!(count, Count::Address(_))).map(|(_, held)| held).sum()
    }

    fn take(self: &Arc<Self>, wanted: &[(Count, u32, Full)]) -> Result<Seat, Full> {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
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

impl Drop for Seat {
    fn drop(&mut self) {
        let mut taken = self.seats.taken.lock().unwrap_or_else(PoisonError::into_inner);
        for count in &self.held {
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
        let seats = Arc::new(Seats::default());
        let address: IpAddr = "192.0.2.1".parse().unwrap();
        let take = || seats.log_in(address, AccountId(1), Some(DeviceId(1)));
        let mut held: Vec<Seat> = (0..40).map(|_| take().unwrap()).collect();
        assert_eq!(take().err(), Some(Full::Device));
        assert!(seats.log_in(address, AccountId(1), Some(DeviceId(2))).is_ok());
        held.pop();
        assert!(take().is_ok());
        drop(held);
        assert_eq!(seats.sessions(), 0);
    }

    #[test]
    fn addresses_of_one_ipv6_network_count_together() {
        assert_eq!(network("2001:db8::1".parse().unwrap()), network("2001:db8::2".parse().unwrap()));
        assert_eq!(network("::ffff:192.0.2.1".parse().unwrap()), "192.0.2.1".parse::<IpAddr>().unwrap());
    }
}
