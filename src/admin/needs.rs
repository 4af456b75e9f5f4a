//! What a mail program asks for.

use super::Shared;
use crate::actions::{Running, certificate};

/// What it asks for.
pub(super) struct Needs {
    pub(super) user: String,
    /// As long as it is shown.
    pub(super) password: Option<String>,
    /// Names and addresses of this server, the best first.
    pub(super) servers: Vec<String>,
    pub(super) imaps: String,
}

impl Needs {
    pub(super) fn new(shared: &Shared, user: String, password: Option<String>) -> Self {
        let listener = shared.context.running.as_ref().and_then(imaps);
        let (host, port) = listener.as_deref().and_then(|name| name.rsplit_once(':')).unwrap_or(("", "993"));
        let servers = servers(certificate::names(&shared.context), host);
        Needs { user, password, servers, imaps: port.to_owned() }
    }
}

/// Where mail programs reach it: `[::]:993`.
fn imaps(running: &Running) -> Option<String> {
    running.listeners.iter().find_map(|name| name.strip_prefix("imaps=").map(str::to_owned))
}

/// The names by which another machine reaches it, where it can: a phone is not helped by `localhost`.
fn servers(names: Vec<String>, host: &str) -> Vec<String> {
    let is_local = |name: &str| {
        let address = name.trim_matches(['[', ']']).parse::<std::net::IpAddr>();
        name == "localhost" || address.is_ok_and(|address| address.is_loopback())
    };
    if is_local(host) {
        return vec!["localhost".to_owned()];
    }
    let (here, elsewhere): (Vec<String>, Vec<String>) = names.into_iter().partition(|name| is_local(name));
    if elsewhere.is_empty() { here } else { elsewhere }
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_phone_is_told_what_it_can_reach() {
        let names = ["pi.local", "192.0.2.5", "localhost", "127.0.0.1", "::1"].map(str::to_owned).to_vec();
        assert_eq!(super::servers(names.clone(), "[::]"), ["pi.local", "192.0.2.5"]);
        assert_eq!(super::servers(names, "127.0.0.1"), ["localhost"]);
        assert_eq!(super::servers(vec!["localhost".to_owned()], "0.0.0.0"), ["localhost"]);
    }
}
