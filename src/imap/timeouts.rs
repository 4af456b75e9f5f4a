//! How long sessions wait for their clients.

use std::time::Duration;

/// The waits of all sessions; shorter ones in tests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// Before login a client has so long for each command, from the end of the one before to its own.
    pub before_login: Duration,
    /// And so long in all, however much it says: a person who types has it, who only holds a place has not.
    pub to_log_in: Duration,
    /// Once logged in (RFC 9051 §5.4 asks for 30 minutes): more than the 29 at which clients renew IDLE.
    pub logged_in: Duration,
    /// Silence in IDLE after which a sign of life is sent: it keeps NAT entries alive. There is no cut-off, for
    /// some clients neither renew IDLE nor come back; the text and the interval are not those that make FairEmail
    /// give up IDLE (CLIENTS.md).
    pub sign_of_life: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Timeouts {
            before_login: Duration::from_secs(60),
            to_log_in: Duration::from_secs(180),
            logged_in: Duration::from_secs(32 * 60),
            sign_of_life: Duration::from_secs(15 * 60),
        }
    }
}
