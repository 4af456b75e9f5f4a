//! Slows down wrong passwords, by address and by account, on a clock that only goes forward.

use std::collections::HashMap;
use std::hash::Hash;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// So many wrong passwords cost nothing: people mistype.
const FREE: f64 = 3.0;
/// The first delay; each further one is twice as long.
const FIRST: Duration = Duration::from_millis(250);
/// The longest for an address.
const LONGEST_ADDRESS: Duration = Duration::from_secs(15);
/// The longest for an account: whoever guesses from elsewhere must not keep its owner out.
const LONGEST_ACCOUNT: Duration = Duration::from_secs(5);
/// Half of what was wrong is forgotten in this time.
const HALF_LIFE: Duration = Duration::from_secs(600);
/// So many addresses, and accounts, are remembered; then the least guilty are forgotten.
const MOST: usize = 4_096;

/// Counts what was wrong.
#[derive(Default)]
pub struct Throttle {
    addresses: Mutex<HashMap<IpAddr, Count>>,
    accounts: Mutex<HashMap<String, Count>>,
}

#[derive(Clone, Copy)]
struct Count {
    wrong: f64,
    at: Duration,
}

impl Count {
    fn at(self, now: Duration) -> f64 {
        let halves = now.saturating_sub(self.at).as_secs_f64() / HALF_LIFE.as_secs_f64();
        self.wrong * 0.5_f64.powf(halves)
    }
}

impl Throttle {
    /// Nothing was wrong yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// How long the next answer has to wait.
    #[must_use]
    pub fn delay(&self, now: Duration, address: IpAddr, account: &str) -> Duration {
        let by_address = wait(&self.addresses, &network(address), now, LONGEST_ADDRESS);
        by_address.max(wait(&self.accounts, &folded(account), now, LONGEST_ACCOUNT))
    }

    /// A password was wrong.
    pub fn failed(&self, now: Duration, address: IpAddr, account: &str) {
        add(&self.addresses, network(address), now);
        add(&self.accounts, folded(account), now);
    }

    /// A password was right: the owner is here. The address is forgiven; the account is not, for somebody else
    /// may be guessing it.
    pub fn succeeded(&self, _now: Duration, address: IpAddr, _account: &str) {
        self.addresses.lock().unwrap_or_else(PoisonError::into_inner).remove(&network(address));
    }
}

fn wait<K: Hash + Eq>(
    counts: &Mutex<HashMap<K, Count>>,
    key: &K,
    now: Duration,
    longest: Duration,
) -> Duration {
    let counts = counts.lock().unwrap_or_else(PoisonError::into_inner);
    let over = counts.get(key).map_or(0.0, |count| count.at(now)) - FREE;
    // Rounded up a little: what was wrong a moment ago counts whole.
    if over < -0.1 {
        return Duration::ZERO;
    }
    FIRST.mul_f64(2.0_f64.powf(over.clamp(0.0, 20.0))).min(longest)
}

fn add<K: Hash + Eq + Clone>(counts: &Mutex<HashMap<K, Count>>, key: K, now: Duration) {
    let mut counts = counts.lock().unwrap_or_else(PoisonError::into_inner);
    if counts.len() >= MOST && !counts.contains_key(&key) {
        counts.retain(|_, count| count.at(now) >= 1.0);
        if counts.len() >= MOST {
            let least =
                counts.iter().min_by(|a, b| a.1.at(now).total_cmp(&b.1.at(now))).map(|(key, _)| key.clone());
            least.and_then(|least| counts.remove(&least));
        }
    }
    let count = counts.entry(key).or_insert(Count { wrong: 0.0, at: now });
    *count = Count { wrong: count.at(now) + 1.0, at: now };
}

/// What counts as one address: an IPv6 host has a /64 to itself; IPv4 written as IPv6 is IPv4.
#[must_use]
pub fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => {
            let [a, b, c, d, ..] = v6.segments();
            IpAddr::from([a, b, c, d, 0, 0, 0, 0])
        }
        v4 => v4,
    }
}

/// Names are made up by guessers: long ones are cut.
fn folded(account: &str) -> String {
    account.chars().take(100).flat_map(char::to_lowercase).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wrong_passwords_wait_longer_and_longer() {
        let throttle = Throttle::new();
        let (here, there): (IpAddr, IpAddr) = ("192.0.2.1".parse().unwrap(), "192.0.2.2".parse().unwrap());
        let at = Duration::from_secs;
        let mut delays = Vec::new();
        for _ in 0..12 {
            delays.push(throttle.delay(at(0), here, "anna").as_millis());
            throttle.failed(at(0), here, "Anna");
        }
        assert_eq!(delays, [0, 0, 0, 250, 500, 1000, 2000, 4000, 8000, 15000, 15000, 15000]);
        assert_eq!(throttle.delay(at(0), there, "anna"), LONGEST_ACCOUNT, "the account waits everywhere");
        assert_eq!(throttle.delay(at(0), there, "ben"), Duration::ZERO);
        assert_eq!(throttle.delay(at(3600), here, "anna"), Duration::ZERO, "it is forgotten in time");
        throttle.succeeded(at(1), here, "anna");
        assert_eq!(throttle.delay(at(1), here, "ben"), Duration::ZERO);
    }

    #[test]
    fn memory_is_bounded() {
        let throttle = Throttle::new();
        for n in 0..10_000_u32 {
            throttle.failed(Duration::ZERO, IpAddr::from(n.to_be_bytes()), &format!("name{n}"));
        }
        assert!(
            throttle.addresses.lock().unwrap().len() <= MOST
                && throttle.accounts.lock().unwrap().len() <= MOST
        );
    }
}
