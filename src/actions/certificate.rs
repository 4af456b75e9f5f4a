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
