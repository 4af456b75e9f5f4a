//! How a command ends that was not done. Handlers say what has happened; the one place where that becomes a response
//! code and words for a client is [`Refusal`] (RFC 9051 §7.1, RFC 5530), and it comes last.

use std::borrow::Cow;

use crate::protocol::response::code::Code;
use crate::store::Error;

/// Why a command was not done.
#[derive(Debug, thiserror::Error)]
pub enum Stop {
    /// It cannot be done, or is wrong.
    #[error("{0}")]
    Refused(Refusal),
    /// The store could not do it.
    #[error(transparent)]
    Failed(#[from] Error),
    /// The connection cannot go on: the stream is broken, or a literal could not be completed. Nothing more is sent.
    #[error("{0}")]
    Hangup(Cow<'static, str>),
}

impl Stop {
    /// NO with a code.
    pub fn no(code: Code, text: impl Into<Cow<'static, str>>) -> Self {
        Refusal::no(code, text).into()
    }

    /// BAD.
    pub fn bad(text: impl Into<Cow<'static, str>>) -> Self {
        Refusal::bad(text).into()
    }

    /// The end of the connection.
    pub fn hangup(why: impl Into<Cow<'static, str>>) -> Self {
        Stop::Hangup(why.into())
    }

    /// Whether the client is answered NO.
    #[must_use]
    pub fn is_no(&self) -> bool {
        match self {
            Stop::Refused(refusal) => refusal.condition == Condition::No,
            Stop::Failed(_) => true,
            Stop::Hangup(_) => false,
        }
    }
}

impl From<Refusal> for Stop {
    fn from(refusal: Refusal) -> Self {
        Stop::Refused(refusal)
    }
}

impl From<std::io::Error> for Stop {
    /// The socket's: the client is gone.
    fn from(error: std::io::Error) -> Self {
        Stop::hangup(error.to_string())
    }
}

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
}

impl Condition {
    /// As it is written.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Condition::No => "NO",
            Condition::Bad => "BAD",
        }
    }
}

impl std::fmt::Display for Refusal {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str(&self.text)
    }
}

impl Refusal {
    /// NO with a code.
    pub fn no(code: Code, text: impl Into<Cow<'static, str>>) -> Self {
        Refusal { condition: Condition::No, code: Some(code), text: text.into() }
    }

    /// BAD.
    pub fn bad(text: impl Into<Cow<'static, str>>) -> Self {
        Refusal { condition: Condition::Bad, code: None, text: text.into() }
    }
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        let code = match &error {
            Error::NotFound(_) => Code::NonExistent,
            Error::Exists(_) => Code::AlreadyExists,
            Error::Limit(_) => Code::Limit,
            Error::Refused(_) => Code::Cannot,
            Error::UnknownEncoding => Code::UnknownCte,
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
        let text = match &error {
            Error::UnknownEncoding => {
                "a part's transfer encoding is not known: fetch it with BODY instead".into()
            }
            error => error.to_string(),
        };
        Refusal::no(code, text)
    }
}
