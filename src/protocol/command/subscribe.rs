//! SUBSCRIBE and UNSUBSCRIBE (RFC 9051 §6.3.7, §6.3.8).

use super::MailboxArg;

/// Subscribes to a mailbox.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subscribe {
    /// Which.
    pub mailbox: MailboxArg,
}

/// Subscribes to it no more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unsubscribe {
    /// Which.
    pub mailbox: MailboxArg,
}
