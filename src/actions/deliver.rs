//! One message from a mail transfer agent or a fetching program.
//!
//! Such a program keeps the message until it is told that it is safe, and bounces it if it is told that it
//! will never be. So whatever may be another way in an hour is [`Fault::Later`], be it the machine's fault, an
//! error of ours, or a mistake in the configuration; only what is wrong with the message or its address itself,
//! and stays so, is anything else.

use super::{Context, Failure, account};
use crate::import::destination::target::Target;
use crate::model::{AccountId, DateTime, FlagSet, MailboxName};
use crate::store::filing::{self, Arrival};
use crate::store::{Error, Incoming, Store, mailboxes};

/// The longest line that may be a `From ` line.
const LONGEST_LINE: usize = 1_000;

/// Why a message was not taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// No mailbox can have the name that the order gives.
    #[error("{0}")]
    Usage(String),
    /// There is no message, or it can never be taken.
    #[error("{0}")]
    Data(String),
    /// There is no such account.
    #[error("{0}")]
    NoUser(String),
    /// The mailbox cannot be made.
    #[error("{0}")]
    CannotCreate(String),
    /// It may work later.
    #[error("{0}")]
    Later(String),
}

impl Fault {
    /// The exit code by sysexits.h.
    #[must_use]
    pub fn code(&self) -> u8 {
        match self {
            Fault::Usage(_) => 64,
            Fault::Data(_) => 65,
            Fault::NoUser(_) => 67,
            Fault::CannotCreate(_) => 73,
            Fault::Later(_) => 75,
        }
    }

    /// What a code means that came from elsewhere.
    #[must_use]
    pub fn of(code: u8, reason: String) -> Self {
        match code {
            64 => Fault::Usage(reason),
            65 => Fault::Data(reason),
            67 => Fault::NoUser(reason),
            73 => Fault::CannotCreate(reason),
            _ => Fault::Later(reason),
        }
    }
}

impl From<Failure> for Fault {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Unknown { .. } => Fault::NoUser(failure.to_string()),
            other => Fault::Later(other.to_string()),
        }
    }
}

/// A message that is coming.
pub struct Delivery {
    store: Store,
    account: AccountId,
    mailbox: MailboxName,
    incoming: Incoming,
    /// The first line, until it is known whether it is one.
    line: Option<Vec<u8>>,
    bytes: u64,
    limit: u64,
}

/// What whoever delivers may do.
#[derive(Clone, Copy)]
pub struct Terms<'a> {
    /// The largest message, in bytes.
    pub limit: u64,
    /// Whether it may make a mailbox of this account.
    pub may_create: &'a dyn Fn(&str) -> bool,
}

/// Opens the way in for a message. One for a mailbox that is not there, and that whoever delivers may not make, goes to
/// the inbox: it would be lost otherwise.
///
/// # Errors
/// If there is no such account, or no mailbox can have this name.
pub fn begin(
    context: &Context,
    account: Option<&str>,
    mailbox: Option<&str>,
    terms: &Terms<'_>,
) -> Result<Delivery, Fault> {
    let account = account::find_or_only(context, account)?;
    let mailbox = mailbox.map_or_else(|| Ok(MailboxName::inbox()), MailboxName::new);
    let mut mailbox = mailbox.map_err(|error| Fault::Usage(error.to_string()))?;
    let store = context.store.clone();
    if !mailbox.is_inbox() && !is_there(&store, account.id, &mailbox)? && !(terms.may_create)(&account.name) {
        tracing::warn!(
            account = account.name,
            mailbox = mailbox.as_str(),
            "a message goes to INBOX: there is no such mailbox, and whoever delivers may not make it"
        );
        mailbox = MailboxName::inbox();
    }
    // How long it is, nobody says before it has come; what is too much is refused on the way.
    store.room_for_mail().map_err(|error| Fault::Later(error.to_string()))?;
    // Line ends are made CRLF, which may make it longer.
    let (limit, incoming) = (terms.limit, store.incoming(terms.limit.saturating_mul(2)));
    Ok(Delivery { store, account: account.id, mailbox, incoming, limit, line: Some(Vec::new()), bytes: 0 })
}

fn is_there(store: &Store, account: AccountId, mailbox: &MailboxName) -> Result<bool, Fault> {
    let found = store.snapshot().and_then(|rows| mailboxes::by_name(&rows, account, mailbox));
    found.map(|found| found.is_some()).map_err(|error| Fault::Later(error.to_string()))
}

impl Delivery {
    /// More of it. A line `From sender date` before it, as agents put there, is left out.
    ///
    /// # Errors
    /// If it is too large, or the store takes nothing.
    pub fn write(&mut self, bytes: &[u8]) -> Result<(), Fault> {
        let Some(line) = &mut self.line else { return self.take(bytes) };
        let end = bytes.iter().position(|byte| *byte == b'\n').map(|at| at + 1);
        let (now, rest) = bytes.split_at(end.unwrap_or(bytes.len()));
        line.extend_from_slice(now);
        if end.is_some() || line.len() > LONGEST_LINE {
            self.first_line()?;
            return self.take(rest);
        }
        Ok(())
    }

    fn first_line(&mut self) -> Result<(), Fault> {
        let Some(line) = self.line.take() else { return Ok(()) };
        let is_from = line.starts_with(b"From ") || line.starts_with(b">From ");
        if is_from && line.ends_with(b"\n") { Ok(()) } else { self.take(&line) }
    }

    fn take(&mut self, bytes: &[u8]) -> Result<(), Fault> {
        self.bytes += bytes.len() as u64;
        if self.bytes > self.limit {
            return Err(Fault::Data(format!("a message may have {} bytes, this one has more", self.limit)));
        }
        self.incoming.write(bytes).map_err(|error| match error {
            Error::Limit(reason) => Fault::Data(reason.to_owned()),
            other => Fault::Later(other.to_string()),
        })
    }

    /// It is whole: stores it. Once this returns, it is durable.
    ///
    /// # Errors
    /// If it is empty, the mailbox cannot be made, or the store takes nothing.
    pub fn finish(mut self) -> Result<(), Fault> {
        self.first_line()?;
        if self.bytes == 0 {
            return Err(Fault::Data("there is no message".to_owned()));
        }
        let prepared = self.incoming.finish().map_err(|error| Fault::Later(error.to_string()))?;
        let (account, target) = (self.account, Target::Named(self.mailbox));
        let stored = self.store.write(move |tx| {
            let (mailbox, _) = target.resolve(tx, account)?;
            let (internal_date, flags) = (DateTime::utc(tx.now()), FlagSet::default());
            filing::file(tx, account, mailbox, &[Arrival { prepared: &prepared, internal_date, flags }])
        });
        stored.map(|_| ()).map_err(not_stored)
    }
}

/// A limit that is reached today may be none tomorrow; only a name that no mailbox can have stays one.
fn not_stored(error: Error) -> Fault {
    match error {
        Error::Refused(_) => Fault::CannotCreate(error.to_string()),
        other => Fault::Later(other.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::ContentId;

    #[test]
    fn nothing_is_bounced_that_may_work_later() {
        let errors = [
            Error::io("writing", std::io::ErrorKind::Other.into()),
            Error::Damaged("index.redb".to_owned()),
            Error::DamagedEmail(ContentId(1)),
            Error::NoSpace { free: 0, needed: 1 },
            Error::ReadOnly("a write failed".to_owned()),
            Error::NotFound("account"),
            Error::Exists("mailbox"),
            Error::Limit("the account has too many mailboxes"),
            Error::Internal("the change was not made"),
            Error::Locked("process 1".to_owned()),
            Error::Incompatible("newer".to_owned()),
            Error::NotExpected("empty".to_owned()),
            Error::Closed,
        ];
        for error in errors {
            assert_eq!(Fault::from(Failure::Store(error.clone())).code(), 75, "{error}");
            assert_eq!(not_stored(error.clone()).code(), 75, "{error}");
        }
        assert_eq!(not_stored(Error::Refused("that is no mailbox name")).code(), 73);
        // Which of two accounts is meant is a matter of the caller's configuration.
        assert_eq!(Fault::from(Failure::Invalid("there are several accounts".to_owned())).code(), 75);
    }
}
