//! Refused connections, summed up by address and minute: whoever is refused a thousand times a second fills no log.

use std::collections::HashMap;
use std::fmt::Display;
use std::net::IpAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::throttle::network;
use crate::model::locked;

/// The time that is summed up.
pub const MINUTE: Duration = Duration::from_secs(60);
/// Addresses that are counted each by itself; those of others are counted together.
const ADDRESSES: usize = 256;

/// What was refused lately. `None` stands for all addresses beyond [`ADDRESSES`].
#[derive(Debug, Default)]
pub struct Refusals(Mutex<HashMap<Option<IpAddr>, u64>>);

impl Refusals {
    /// Counts one. Whether it is the first of its minute: then it is logged, and a minute later what
    /// [`Refusals::summed_up`] gives of the same key.
    #[must_use]
    pub fn note(&self, address: IpAddr) -> Option<Option<IpAddr>> {
        let mut counts = locked(&self.0);
        let address = Some(network(address));
        let key = if counts.len() >= ADDRESSES && !counts.contains_key(&address) { None } else { address };
        let count = counts.entry(key).or_default();
        *count += 1;
        (*count == 1).then_some(key)
    }

    /// How many came behind the first, and begins anew.
    #[must_use]
    pub fn summed_up(&self, key: Option<IpAddr>) -> u64 {
        let mut counts = locked(&self.0);
        counts.remove(&key).unwrap_or(0).saturating_sub(1)
    }

    /// Logs the first refusal of a minute at once, and gives what logs the others of that minute in one line once
    /// `minute`, which takes [`MINUTE`], is over.
    #[must_use = "the others of the minute are not logged"]
    pub fn log<M: Future, D: Display>(
        self: &Arc<Self>,
        address: IpAddr,
        what: &'static str,
        why: D,
        minute: M,
    ) -> Option<impl Future<Output = ()> + use<M, D>> {
        let key = self.note(address)?;
        tracing::warn!(peer = %address.to_canonical(), %why, "{what}");
        let refusals = Arc::clone(self);
        Some(async move {
            minute.await;
            let more = refusals.summed_up(key);
            if more > 0 {
                let network = key.map_or_else(|| "several".to_owned(), |network| network.to_string());
                tracing::warn!(network, more, "{what}, more of them within a minute");
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_is_told_at_once_and_the_others_are_counted() {
        let (refusals, address) = (Refusals::default(), IpAddr::from([192, 0, 2, 1]));
        let key = refusals.note(address).expect("the first is told");
        assert!((0..1_000).all(|_| refusals.note(address).is_none()));
        assert_eq!(refusals.summed_up(key), 1_000);
        assert!(refusals.note(address).is_some(), "and the first of the next minute");
    }

    #[test]
    fn however_many_addresses_there_are() {
        let refusals = Refusals::default();
        let told = (0..10_000_u32).filter(|n| refusals.note(IpAddr::from(n.to_be_bytes())).is_some()).count();
        assert_eq!(told, ADDRESSES + 1);
        assert_eq!(refusals.summed_up(None), 10_000 - ADDRESSES as u64 - 1);
    }
}
