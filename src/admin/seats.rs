//! Who may hold a connection to the admin site: a few places, some of them kept for the network that it stands in.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex};

use crate::credential::{is_local, network};
use crate::model::locked;

/// Connections at a time: a person has a browser or two, which opens six each.
pub(super) const CONNECTIONS: u32 = 48;
/// Of these, places that nobody from elsewhere takes.
pub(super) const KEPT: u32 = 16;
/// Of one address from elsewhere.
pub(super) const AN_ADDRESS: u32 = 12;
/// Of one address of the local network; this machine itself, where a proxy may stand, may have all.
pub(super) const A_NEIGHBOUR: u32 = 24;

/// The places.
#[derive(Debug, Default)]
pub(super) struct Seats(Mutex<Taken>);

#[derive(Debug, Default)]
struct Taken {
    all: u32,
    by_address: HashMap<IpAddr, u32>,
}

/// One of them, until it is dropped.
#[derive(Debug)]
pub(super) struct Seat {
    seats: Arc<Seats>,
    address: IpAddr,
}

/// There is none left.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Full {
    /// [`CONNECTIONS`], or those that are not [`KEPT`].
    #[error("too many connections")]
    Site,
    /// [`AN_ADDRESS`] or [`A_NEIGHBOUR`].
    #[error("too many connections from this address")]
    Address,
}

impl Seats {
    /// A place for a connection.
    ///
    /// # Errors
    /// Which limit is reached.
    pub(super) fn take(self: &Arc<Self>, address: IpAddr) -> Result<Seat, Full> {
        let (most, of_address) = match is_local(address) {
            true if address.to_canonical().is_loopback() => (CONNECTIONS, CONNECTIONS),
            true => (CONNECTIONS, A_NEIGHBOUR),
            false => (CONNECTIONS - KEPT, AN_ADDRESS),
        };
        let address = network(address);
        let mut taken = locked(&self.0);
        if taken.by_address.get(&address).is_some_and(|held| *held >= of_address) {
            return Err(Full::Address);
        }
        if taken.all >= most {
            return Err(Full::Site);
        }
        taken.all += 1;
        *taken.by_address.entry(address).or_default() += 1;
        Ok(Seat { seats: Arc::clone(self), address })
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut taken = locked(&self.seats.0);
        taken.all = taken.all.saturating_sub(1);
        if let Some(held) = taken.by_address.get_mut(&self.address) {
            *held -= 1;
            if *held == 0 {
                taken.by_address.remove(&self.address);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_takes_all_of_them() {
        let seats = Arc::new(Seats::default());
        let address = |text: &str| -> IpAddr { text.parse().unwrap() };
        let take = |address| std::iter::from_fn(|| seats.take(address).ok()).take(100).collect::<Vec<_>>();
        let far: Vec<Vec<Seat>> = (1..=4).map(|n| take(address(&format!("198.51.100.{n}")))).collect();
        assert_eq!(far.iter().map(Vec::len).collect::<Vec<_>>(), [12, 12, 8, 0]);
        assert_eq!(seats.take(address("2001:db8::1")).err(), Some(Full::Site));
        assert_eq!(seats.take(address("198.51.100.1")).err(), Some(Full::Address));
        let own = take(address("192.168.1.5"));
        assert_eq!(own.len(), KEPT as usize, "the local network has what is kept for it");
        drop((far, own));
        let v6: Vec<Seat> = take(address("2001:db8:0:100::1"));
        assert_eq!((v6.len(), seats.take(address("2001:db8:0:1ff::2")).err()), (12, Some(Full::Address)));
        assert_eq!(take(address("127.0.0.1")).len(), (CONNECTIONS - 12) as usize);
        drop(v6);
        let taken = seats.0.lock().unwrap();
        assert_eq!((taken.all, taken.by_address.len()), (0, 0));
    }
}
