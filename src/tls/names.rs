//! Under which names and addresses clients reach this host.

use std::net::IpAddr;

use super::interfaces;

/// More names or addresses than this do not go into a certificate.
const MOST: usize = 100;

/// Names and addresses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Names {
    dns: Vec<String>,
    addresses: Vec<IpAddr>,
}

impl Names {
    /// These; the first name is the host's own.
    #[must_use]
    pub fn new(mut dns: Vec<String>, mut addresses: Vec<IpAddr>) -> Self {
        let mut seen = Vec::new();
        dns.retain(|name| {
            !seen.contains(name) && {
                seen.push(name.clone());
                true
            }
        });
        addresses.sort_unstable();
        addresses.dedup();
        dns.truncate(MOST);
        addresses.truncate(MOST);
        Names { dns, addresses }
    }

    /// Those of this host: its name, the same as multicast DNS has it, the names that its own hosts file gives
    /// it, and the addresses of its interfaces.
    #[must_use]
    pub fn of_this_host() -> Self {
        let name = rustix::system::uname().nodename().to_string_lossy().to_ascii_lowercase();
        let hosts = std::fs::read_to_string("/etc/hosts").unwrap_or_default();
        let found = interfaces::addresses();
        let addresses = found.into_iter().filter(is_reachable);
        Self::of(&name, &hosts, addresses.collect())
    }

    fn of(host: &str, hosts: &str, mut addresses: Vec<IpAddr>) -> Self {
        let host = if is_dns_name(host) { host } else { "localhost" };
        let mut dns = vec![host.to_owned()];
        let short = host.split('.').next().unwrap_or(host);
        if short != "localhost" {
            dns.push(short.to_owned());
            dns.push(format!("{short}.local"));
            for line in hosts.lines() {
                let words: Vec<&str> =
                    line.split('#').next().unwrap_or_default().split_whitespace().collect();
                if words.iter().skip(1).any(|word| *word == short || *word == host) {
                    let names = words.iter().skip(1).map(|word| word.to_ascii_lowercase());
                    dns.extend(names.filter(|name| is_dns_name(name)));
                }
            }
        }
        dns.push("localhost".to_owned());
        addresses.extend([IpAddr::from([127, 0, 0, 1]), IpAddr::from(std::net::Ipv6Addr::LOCALHOST)]);
        Self::new(dns, addresses)
    }

    /// The host's own name.
    #[must_use]
    pub fn host(&self) -> &str {
        self.dns.first().map_or("localhost", String::as_str)
    }

    /// All names.
    #[must_use]
    pub fn dns(&self) -> &[String] {
        &self.dns
    }

    /// All addresses.
    #[must_use]
    pub fn addresses(&self) -> &[IpAddr] {
        &self.addresses
    }

    /// Whether a certificate for these serves a host with `others`. IPv6 addresses that are new do not count:
    /// privacy extensions make another every day, and a device that remembers the certificate would ask its
    /// owner as often.
    #[must_use]
    pub fn cover(&self, others: &Names) -> bool {
        others.dns.iter().all(|name| self.dns.contains(name))
            && others
                .addresses
                .iter()
                .filter(|address| address.is_ipv4())
                .all(|one| self.addresses.contains(one))
    }
}

/// Not loopback, which is added once, and not link-local: nobody writes those into a mail program.
fn is_reachable(address: &IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => !v4.is_loopback() && !v4.is_link_local(),
        IpAddr::V6(v6) => !v6.is_loopback() && !v6.is_unicast_link_local(),
    }
}

fn is_dns_name(name: &str) -> bool {
    let label = |label: &str| {
        !label.is_empty()
            && label.len() <= 63
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
    };
    name.len() <= 253 && name.split('.').all(label) && name.parse::<IpAddr>().is_err()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_host() {
        let hosts = "127.0.0.1 localhost\n127.0.1.1 pi.example.org pi # me\n192.0.2.9 other\n";
        let names = Names::of("pi", hosts, vec!["192.0.2.7".parse().unwrap()]);
        assert_eq!(names.host(), "pi");
        assert_eq!(names.dns(), ["pi", "pi.local", "pi.example.org", "localhost"]);
        assert_eq!(names.addresses().len(), 3);
        assert_eq!(Names::of("bad_name!", "", vec![]).dns(), ["localhost"]);
        assert_eq!(Names::of("pi.example.org", "", vec![]).dns()[..3], ["pi.example.org", "pi", "pi.local"]);
    }

    #[test]
    fn what_needs_another_certificate() {
        let names = |address: &str| Names::of("pi", "", vec![address.parse().unwrap()]);
        assert!(names("192.0.2.7").cover(&names("192.0.2.7")));
        assert!(!names("192.0.2.7").cover(&names("192.0.2.8")));
        assert!(names("192.0.2.7").cover(&names("2001:db8::1")));
        assert!(!names("192.0.2.7").cover(&Names::of("newname", "", vec![])));
    }
}
