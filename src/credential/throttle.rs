//! Slows down wrong passwords, by address and by account, on a clock that only goes forward.

use std::collections::HashMap;
use std::hash::Hash;
use std::net::IpAddr;
use std::sync::Mutex;
use std::time::Duration;

use crate::model::locked;

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
/// Whoever would have to wait longer, behind others of the same address, is told so at once.
const LONGEST_QUEUE: Duration = Duration::from_secs(60);
/// So many addresses, and accounts, are remembered; then the least guilty are forgotten.
const MOST: usize = 4_096;

/// Counts what was wrong. An attempt counts as wrong from its beginning, so that fifty at once wait one behind the other:
/// it is taken back once it was right.
#[derive(Default)]
pub struct Throttle {
    addresses: Mutex<HashMap<IpAddr, Count>>,
    accounts: Mutex<HashMap<String, Count>>,
    /// Where an account's password was right, and what was wrong there since: whoever guesses elsewhere does not slow
    /// these down.
    known: Mutex<HashMap<(IpAddr, String), Count>>,
}

#[derive(Clone, Copy)]
struct Count {
    wrong: f64,
    at: Duration,
    /// The one that came last is answered then.
    last: Duration,
}

impl Count {
    fn at(self, now: Duration) -> f64 {
        let halves = now.saturating_sub(self.at).as_secs_f64() / HALF_LIFE.as_secs_f64();
        self.wrong * 0.5_f64.powf(halves)
    }

    /// How long one more has to wait behind those before it.
    fn wait(self, now: Duration, longest: Duration) -> Duration {
        let over = self.at(now) - FREE;
        // Rounded up a little: what was wrong a moment ago counts whole.
        if over < -0.1 {
            return Duration::ZERO;
        }
        FIRST.mul_f64(2.0_f64.powf(over.clamp(0.0, 20.0))).min(longest)
    }
}

/// Leave to try a password.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attempt {
    /// After this time, and not before.
    pub wait: Duration,
    /// The account's password was right from this address before.
    pub is_known: bool,
}

/// Too many attempts of one address wait already.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("too many wrong passwords came from this address; try again in a minute")]
pub struct TooMany;

impl Throttle {
    /// Nothing was wrong yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Begins an attempt, which counts as wrong until it [`Throttle::succeeded`] or is [`Throttle::withdrawn`].
    ///
    /// # Errors
    /// If it would have to wait for too long.
    pub fn begin(&self, now: Duration, address: IpAddr, account: &str) -> Result<Attempt, TooMany> {
        let (network, account) = (network(address), folded(account));
        let pair = (network, account);
        let mut known = locked(&self.known);
        if let Some(count) = known.get(&pair).copied() {
            let at = slot(Some(count), now)?;
            known.insert(pair, Count { wrong: count.at(now) + 1.0, at: now, last: at });
            // Others from there wait longer all the same, so that the time does not tell who is known.
            add(&self.addresses, network, now, now);
            return Ok(Attempt { wait: at.saturating_sub(now), is_known: true });
        }
        drop(known);
        let at = slot(locked(&self.addresses).get(&network).copied(), now)?;
        add(&self.addresses, network, now, at);
        // Those of an account do not wait for each other: whoever guesses from many places would keep its owner out.
        let by_account = locked(&self.accounts)
            .get(&pair.1)
            .map_or(Duration::ZERO, |count| count.wait(now, LONGEST_ACCOUNT));
        add(&self.accounts, pair.1, now, now);
        Ok(Attempt { wait: at.saturating_sub(now).max(by_account), is_known: false })
    }

    /// The password was right: the owner is here. The address is forgiven, and known from now on; the account is not
    /// forgiven, for somebody else may be guessing it.
    pub fn succeeded(&self, now: Duration, address: IpAddr, account: &str) {
        let (network, account) = (network(address), folded(account));
        locked(&self.addresses).remove(&network);
        take_back(&self.accounts, &account, now);
        let mut known = locked(&self.known);
        let pair = (network, account);
        if known.len() >= MOST && !known.contains_key(&pair) {
            let oldest = known.iter().min_by_key(|(_, count)| count.at).map(|(pair, _)| pair.clone());
            oldest.and_then(|oldest| known.remove(&oldest));
        }
        known.insert(pair, Count { wrong: 0.0, at: now, last: now });
    }

    /// It could not be found out whether the password was right.
    pub fn withdrawn(&self, now: Duration, address: IpAddr, account: &str) {
        let (network, account) = (network(address), folded(account));
        take_back(&self.addresses, &network, now);
        take_back(&self.accounts, &account, now);
        take_back(&self.known, &(network, account), now);
    }
}

/// When the next attempt may be made: each waits behind the one before it.
fn slot(count: Option<Count>, now: Duration) -> Result<Duration, TooMany> {
    let Some(count) = count else { return Ok(now) };
    let at = match count.wait(now, LONGEST_ADDRESS) {
        Duration::ZERO => now,
        wait => count.last.max(now) + wait,
    };
    if at.saturating_sub(now) > LONGEST_QUEUE { Err(TooMany) } else { Ok(at) }
}

fn take_back<K: Hash + Eq>(counts: &Mutex<HashMap<K, Count>>, key: &K, now: Duration) {
    if let Some(count) = locked(counts).get_mut(key) {
        count.wrong = (count.at(now) - 1.0).max(0.0);
        count.at = now;
    }
}

fn add<K: Hash + Eq + Clone>(counts: &Mutex<HashMap<K, Count>>, key: K, now: Duration, last: Duration) {
    let mut counts = locked(counts);
    if counts.len() >= MOST && !counts.contains_key(&key) {
        counts.retain(|_, count| count.at(now) >= 1.0);
        if counts.len() >= MOST {
            let least =
                counts.iter().min_by(|a, b| a.1.at(now).total_cmp(&b.1.at(now))).map(|(key, _)| key.clone());
            least.and_then(|least| counts.remove(&least));
        }
    }
    let count = counts.entry(key).or_insert(Count { wrong: 0.0, at: now, last });
    *count = Count { wrong: count.at(now) + 1.0, at: now, last: last.max(count.last) };
}

/// What counts as one address: an IPv6 household may have a /56 to itself; IPv4 written as IPv6 is IPv4.
#[must_use]
pub fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => {
            let [a, b, c, d, ..] = v6.segments();
            IpAddr::from([a, b, c, d & 0xff00, 0, 0, 0, 0])
        }
        v4 => v4,
    }
}

/// Whether an address is of this machine or of the network that it stands in: private, link-local, or unique local.
#[must_use]
pub fn is_local(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(v4) => v4.is_loopback() || v4.is_private() || v4.is_link_local(),
        IpAddr::V6(v6) => v6.is_loopback() || v6.is_unique_local() || v6.is_unicast_link_local(),
    }
}

/// Names are made up by guessers: long ones are cut.
fn folded(account: &str) -> String {
    account.chars().take(100).flat_map(char::to_lowercase).collect()
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    const HERE: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));
    const THERE: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 2));

    fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn wait(throttle: &Throttle, now: Duration, address: IpAddr, account: &str) -> Duration {
        throttle.begin(now, address, account).unwrap().wait
    }

    #[test]
    fn wrong_passwords_wait_longer_and_longer() {
        let throttle = Throttle::new();
        let (mut now, mut delays) = (Duration::ZERO, Vec::new());
        for _ in 0..12 {
            let delay = wait(&throttle, now, HERE, "Anna");
            delays.push(delay.as_millis());
            now += delay;
        }
        assert_eq!(delays, [0, 0, 0, 250, 499, 997, 1984, 3925, 7658, 14502, 15000, 15000]);
        assert!(wait(&throttle, now, THERE, "anna") > at(4), "the account waits everywhere");
        assert_eq!(wait(&throttle, now, THERE, "ben"), Duration::ZERO);
        assert_eq!(wait(&throttle, now + at(7200), HERE, "anna"), Duration::ZERO, "it is forgotten in time");
        throttle.succeeded(now, HERE, "anna");
        assert_eq!(wait(&throttle, now, HERE, "ben"), Duration::ZERO);
    }

    /// Fifty connections at once guess no more often than one.
    #[test]
    fn attempts_of_one_address_wait_for_each_other() {
        let throttle = Throttle::new();
        let attempts: Vec<_> = (0..50).map(|n| throttle.begin(at(0), HERE, &format!("name{n}"))).collect();
        let within = |limit| attempts.iter().flatten().filter(|attempt| attempt.wait <= limit).count();
        assert_eq!(within(at(50)), 11, "{attempts:?}");
        assert!(attempts[20..].iter().all(|attempt| *attempt == Err(TooMany)), "{attempts:?}");
        // Of the same network, by IPv6 too.
        let v6 = |last: u16| IpAddr::from([0x2001, 0xdb8, 7, 0x1200 + last, 1, 2, 3, last]);
        for n in 0..3 {
            assert_eq!(wait(&throttle, at(0), v6(n), "anna"), Duration::ZERO);
        }
        assert_eq!(wait(&throttle, at(0), v6(0xff), "anna"), FIRST);
        assert_eq!(
            wait(&throttle, at(0), IpAddr::from([0x2001, 0xdb8, 7, 0x1300, 0, 0, 0, 1]), "carl"),
            at(0)
        );
    }

    /// Where a password was right before, nobody else's guesses count.
    #[test]
    fn who_is_known_does_not_wait_for_guessers() {
        let throttle = Throttle::new();
        let _ = throttle.begin(at(0), HERE, "anna");
        throttle.succeeded(at(0), HERE, "anna");
        for n in 0..900_u32 {
            let _ = throttle.begin(at(1), IpAddr::from((n + 7).to_be_bytes()), "anna");
            let _ = throttle.begin(at(1), HERE, "ben");
        }
        let attempt = throttle.begin(at(2), HERE, "ANNA").unwrap();
        assert_eq!(attempt, Attempt { wait: Duration::ZERO, is_known: true });
        assert_eq!(throttle.begin(at(1), HERE, "ben"), Err(TooMany));
        assert_eq!(wait(&throttle, at(2), THERE, "anna"), LONGEST_ACCOUNT);
        // But it is no place to guess from, either.
        let waits: Vec<_> = (0..9).map(|_| throttle.begin(at(3), HERE, "anna")).collect();
        assert!(waits[8].is_ok_and(|attempt| attempt.wait > at(20)), "{waits:?}");
    }

    #[test]
    fn what_could_not_be_tried_does_not_count() {
        let throttle = Throttle::new();
        for _ in 0..50 {
            assert_eq!(wait(&throttle, at(0), HERE, "anna"), Duration::ZERO);
            throttle.withdrawn(at(0), HERE, "anna");
        }
    }

    #[test]
    fn memory_is_bounded() {
        let throttle = Throttle::new();
        for n in 0..10_000_u32 {
            let (address, name) = (IpAddr::from(n.to_be_bytes()), format!("name{n}"));
            let _ = throttle.begin(Duration::ZERO, address, &name);
            let _ = throttle.begin(Duration::ZERO, address, &name);
            if n % 2 == 0 {
                throttle.succeeded(Duration::ZERO, address, &name);
            }
        }
        assert!(locked(&throttle.addresses).len() <= MOST);
        assert!(locked(&throttle.accounts).len() <= MOST && locked(&throttle.known).len() <= MOST);
    }
}
