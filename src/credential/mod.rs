//! Passwords: hashes, device passwords, SCRAM verifiers, and what slows down guessing. Pure but for the
//! monotonic clock that is handed in.

mod device_password;
mod hasher;
mod login;
mod recent;
mod refusals;
pub mod sasl_plain;
pub mod scram;
mod throttle;

pub use device_password::DevicePassword;
pub use hasher::Hasher;
pub use login::Login;
pub use recent::RecentLogins;
pub use refusals::{MINUTE, Refusals};
pub use throttle::{Attempt, Throttle, TooMany, is_local, network};

/// What can go wrong with credentials.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The system gives no random bytes.
    #[error("the system gives no random bytes: {0}")]
    Random(String),
    /// Hashing failed.
    #[error("the password could not be hashed: {0}")]
    Hash(String),
}

fn random<const N: usize>() -> Result<[u8; N], Error> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(|error| Error::Random(error.to_string()))?;
    Ok(bytes)
}

/// Compares without telling by its time where two differ.
fn same(a: &[u8], b: &[u8]) -> bool {
    a.len() == b.len() && a.iter().zip(b).fold(0, |found, (x, y)| found | (x ^ y)) == 0
}
