//! The addresses of this host's interfaces.
//!
//! The usual way asks the kernel through a netlink socket, which a sandboxed service may not open; what the
//! kernel shows in `/proc/self/net` is the same.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// All of them, as far as they can be found out.
pub(super) fn addresses() -> Vec<IpAddr> {
    match if_addrs::get_if_addrs() {
        Ok(found) => found.into_iter().map(|interface| interface.ip()).collect(),
        Err(error) => {
            tracing::debug!(%error, "the interfaces are read from /proc");
            from_proc()
        }
    }
}

fn from_proc() -> Vec<IpAddr> {
    let read = |name: &str| std::fs::read_to_string(format!("/proc/self/net/{name}")).unwrap_or_default();
    let v4 = of_fib_trie(&read("fib_trie")).map(IpAddr::V4).collect::<Vec<_>>();
    v4.into_iter().chain(of_if_inet6(&read("if_inet6")).map(IpAddr::V6)).collect()
}

/// A local address is a leaf, and below it what it is:
/// ```text
///            |-- 192.0.2.7
///               /32 host LOCAL
/// ```
fn of_fib_trie(text: &str) -> impl Iterator<Item = Ipv4Addr> {
    let lines = text.lines().zip(text.lines().skip(1));
    lines.filter(|(_, what)| what.trim() == "/32 host LOCAL").filter_map(|(leaf, _)| {
        let (_, address) = leaf.split_once("|-- ")?;
        address.trim().parse().ok()
    })
}

/// `20010db8000000000000000000000007 02 40 00 80 eth0`
fn of_if_inet6(text: &str) -> impl Iterator<Item = Ipv6Addr> {
    text.lines().filter_map(|line| u128::from_str_radix(line.get(..32)?, 16).ok()).map(Ipv6Addr::from_bits)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_ways_find_the_same() {
        let mut usual: Vec<IpAddr> =
            if_addrs::get_if_addrs().unwrap().into_iter().map(|interface| interface.ip()).collect();
        let mut read = from_proc();
        for found in [&mut usual, &mut read] {
            found.sort_unstable();
            found.dedup();
        }
        // The kernel counts all of 127.0.0.0/8 to itself, and names its first address.
        assert!(usual.iter().all(|address| read.contains(address)), "{usual:?} {read:?}");
        assert!(!usual.is_empty());
    }

    #[test]
    fn only_local_addresses_of_the_trie() {
        let trie = "Main:\n  +-- 0.0.0.0/0 3 0 5\n     |-- 0.0.0.0\n        /0 universe UNICAST\n     \
                    +-- 192.0.2.0/24 2 0 2\n        |-- 192.0.2.0\n           /24 link UNICAST\n        \
                    |-- 192.0.2.7\n           /32 host LOCAL\n        |-- 192.0.2.255\n           \
                    /32 link BROADCAST\n";
        assert_eq!(of_fib_trie(trie).collect::<Vec<_>>(), [Ipv4Addr::new(192, 0, 2, 7)]);
        let inet6 = "20010db8000000000000000000000007 02 40 00 80     eth0\nshort\n";
        assert_eq!(of_if_inet6(inet6).collect::<Vec<_>>(), ["2001:db8::7".parse::<Ipv6Addr>().unwrap()]);
    }
}
