//! The server's certificate.

use serde::{Deserialize, Serialize};

use super::{Context, Failure};

/// The certificate of the moment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Info {
    /// Names and addresses that it is for.
    pub names: Vec<String>,
    /// From when, in seconds since 1970.
    pub not_before: i64,
    /// Until when.
    pub not_after: i64,
    /// SHA-256 of it, as devices show it.
    pub fingerprint: String,
}

/// What it says.
#[must_use]
pub fn info(context: &Context) -> Info {
    let description = context.certificates.describe();
    Info {
        names: description.names,
        not_before: description.not_before,
        not_after: description.not_after,
        fingerprint: description.fingerprint_sha256,
    }
}

/// Makes another one, for the names and addresses that this host has now. Sessions that are open go on.
///
/// # Errors
/// If it cannot be made or stored.
pub fn renew(context: &Context) -> Result<Info, Failure> {
    context.certificates.renew().map_err(|error| Failure::Invalid(error.to_string()))?;
    Ok(info(context))
}

/// The certificate of the local authority, as PEM: a device that trusts it trusts this server.
#[must_use]
pub fn authority(context: &Context) -> String {
    context.certificates.ca_pem()
}

/// The server's names and addresses, the likeliest to be found from another machine first.
#[must_use]
pub fn names(context: &Context) -> Vec<String> {
    let mut names = context.certificates.describe().names;
    names.sort_by_key(|name| rank(name));
    names
}

/// Which names are found the likeliest from another machine of a home: `pi.local` by multicast DNS, then the
/// addresses, then the bare name, which needs a router that knows it. `localhost` is for who sits at the machine.
fn rank(name: &str) -> u8 {
    match name.parse::<std::net::IpAddr>() {
        Ok(address) if address.is_loopback() => 4,
        Ok(address) if address.is_ipv4() => 1,
        Ok(_) => 2,
        Err(_) if name.ends_with(".local") => 0,
        Err(_) if name == "localhost" => 4,
        Err(_) => 3,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_likeliest_name_is_first() {
        let mut names = ["pi", "pi.local", "localhost", "127.0.0.1", "192.0.2.5", "::1", "2001:db8::5"];
        names.sort_by_key(|name| rank(name));
        assert_eq!(names, ["pi.local", "192.0.2.5", "2001:db8::5", "pi", "localhost", "127.0.0.1", "::1"]);
    }
}
