//! What a client is told when something cannot be done: which response code, which words. The one place
//! where the store's errors become replies (RFC 9051 §7.1, RFC 5530).

use std::borrow::Cow;

use crate::protocol::response::code::Code;
use crate::store::Error;

/// A command that is answered NO or BAD.
#[derive(Debug)]
pub struct Refusal {
    /// NO or BAD.
    pub condition: Condition,
    /// The response code.
    pub code: Option<Code>,
    /// Words for a person.
    pub text: Cow<'static, str>,
}

/// Whose fault it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Condition {
    /// The command is right but cannot be done.
    No,
    /// The command is wrong.
    Bad,
    /// The tagged reply was sent by the handler.
    Answered,
    /// The connection cannot go on: the stream is broken or a literal could not be completed. Nothing more
    /// is sent.
    Hangup,
}

impl Refusal {
    /// NO with a code.
    pub fn no(code: Code, text: impl Into<Cow<'static, str>>) -> Self {
        Refusal { condition: Condition::No, code: Some(code), text: text.into() }
    }

    /// NO without a code.
    pub fn plain(text: impl Into<Cow<'static, str>>) -> Self {
        Refusal { condition: Condition::No, code: None, text: text.into() }
    }

    /// BAD.
    pub fn bad(text: impl Into<Cow<'static, str>>) -> Self {
        Refusal { condition: Condition::Bad, code: None, text: text.into() }
    }

    /// The reply was sent already, and nothing follows it.
    pub fn answered() -> Self {
        Refusal { condition: Condition::Answered, code: None, text: Cow::Borrowed("") }
    }

    /// The end of the connection.
    pub fn hangup(text: impl Into<Cow<'static, str>>) -> Self {
        Refusal { condition: Condition::Hangup, code: None, text: text.into() }
    }
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        let code = match &error {
            Error::NotFound(_) => Code::NonExistent,
            Error::Exists(_) => Code::AlreadyExists,
            Error::Limit(_) => Code::Limit,
            Error::Refused(_) => Code::Cannot,
            Error::Internal(_) => Code::ServerBug,
            Error::NoSpace { .. } => Code::OverQuota,
            Error::Damaged(_) | Error::DamagedIndex(_) | Error::DamagedEmail(_) => Code::Corruption,
            Error::Io { .. }
            | Error::ReadOnly(_)
            | Error::Locked(_)
            | Error::Incompatible(_)
            | Error::UpgradeNeedsRoom { .. }
            | Error::Newer(_)
            | Error::NotExpected(_)
            | Error::Closed => Code::Unavailable,
        };
        // What is Postern's own was logged where it was caught.
        if matches!(code, Code::Unavailable | Code::Corruption | Code::OverQuota) {
            tracing::error!(%error, "a command could not be served");
        }
        Refusal::no(code, error.to_string())
    }
}

impl From<std::io::Error> for Refusal {
    /// The socket's: the client is gone.
    fn from(error: std::io::Error) -> Self {
        Refusal::hangup(error.to_string())
    }
}
