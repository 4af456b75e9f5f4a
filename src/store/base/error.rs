//! What can go wrong in the store, for the log and the operator. What a client is told is decided in
//! `imap`, in one place.

use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::model::ContentId;
use crate::store::base::fault::{Fault, fault};

/// An error of the store.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Error {
    /// Reading or writing a file failed.
    #[error("{what}: {error}")]
    Io {
        /// What was done to which file.
        what: String,
        /// What the system said.
        error: std::sync::Arc<std::io::Error>,
    },
    /// A row's checksum does not fit, or it cannot be decoded.
    #[error("{0} is damaged; run `postern check`")]
    Damaged(String),
    /// The index cannot be read: nothing can be served.
    #[error(
        "the index cannot be read, for {0} is damaged: run `postern check --repair`, which makes it anew"
    )]
    DamagedIndex(String),
    /// A message's content is damaged; everything else is served.
    #[error("the content of message {0} is damaged; run `postern check`")]
    DamagedEmail(ContentId),
    /// The disk is full, or the reserve is reached.
    #[error("no space left for new mail: {free} bytes free, {needed} needed; delete something or add space")]
    NoSpace {
        /// Bytes that are free.
        free: u64,
        /// Bytes that the operation and the reserve need.
        needed: u64,
    },
    /// The store cannot be brought to this program's format, for that takes room for a while.
    #[error(
        "this version of Postern must write the store's index anew, which needs {needed} bytes, and {free} are free: \
         make room on the disk, or install the version before again"
    )]
    UpgradeNeedsRoom {
        /// Bytes that are free.
        free: u64,
        /// Bytes that are needed.
        needed: u64,
    },
    /// A newer version of Postern wrote it: nothing is damaged.
    #[error("{0} was written by a newer version of Postern: install that one")]
    Newer(String),
    /// An earlier write failed, or nothing can be written: the store serves reads only until it is restarted.
    #[error("the store accepts no changes until it is restarted: {0}")]
    ReadOnly(String),
    /// The thing named is not there (any more).
    #[error("no such {0}")]
    NotFound(&'static str),
    /// A thing of that name is there already.
    #[error("{0} exists already")]
    Exists(&'static str),
    /// A limit of the store is reached.
    #[error("{0}")]
    Limit(&'static str),
    /// The request makes no sense for what it names.
    #[error("{0}")]
    Refused(&'static str),
    /// A part's transfer encoding is none that is known: its bytes can be had as they are only.
    #[error("a part's transfer encoding is not known: its bytes can be had as they are only")]
    UnknownEncoding,
    /// An error of Postern's own: a panic was caught, or something was called as it never may be. It says nothing
    /// about the request, which may work another time.
    #[error("an error within Postern: {0}; its log says more")]
    Internal(&'static str),
    /// Another process holds the data folder.
    #[error("the data folder is in use by {0}")]
    Locked(String),
    /// The store was made by another version, or cannot be kept where it is.
    #[error("{0}")]
    Incompatible(String),
    /// Another store than this one, or none, was expected here ([`Options::expect`](crate::store::Options)).
    #[error("{0}")]
    NotExpected(String),
    /// The store is being closed.
    #[error("the server is shutting down")]
    Closed,
}

/// Runs `work`; a panic in it is [`Error::Internal`], with `what` could not be done because of it, and is logged.
///
/// # Errors
/// Those of `work`.
pub fn contained<T, E: From<Error>>(what: &'static str, work: impl FnOnce() -> Result<T, E>) -> Result<T, E> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<&str>().copied();
        let text = text.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
        tracing::error!(panic = text.unwrap_or("without a text"), "an error within Postern: {what}");
        Err(Error::Internal(what).into())
    })
}

/// Marks an error of writing, but for a full disk: what is on the disk cannot be known any more.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(in crate::store) struct Unwritten(std::io::Error);

impl Unwritten {
    pub(in crate::store) fn mark(error: std::io::Error) -> std::io::Error {
        match fault(&error) {
            Fault::Full => error,
            _ => std::io::Error::new(error.kind(), Unwritten(error)),
        }
    }
}

impl Error {
    /// An I/O error with what was being done. One that is about the file's own bytes is damage.
    pub fn io(what: impl Into<String>, error: std::io::Error) -> Self {
        match fault(&error) {
            Fault::File => Error::Damaged(format!("a file ({}: {error})", what.into())),
            _ => Error::Io { what: what.into(), error: std::sync::Arc::new(error) },
        }
    }

    /// What an error of the system is about; damage is the file's.
    #[must_use]
    pub fn fault(&self) -> Option<Fault> {
        match self {
            Error::Io { error, .. } => Some(fault(error)),
            Error::Damaged(_) | Error::DamagedIndex(_) | Error::DamagedEmail(_) => Some(Fault::File),
            _ => None,
        }
    }

    /// Whether a write or a sync failed, of a disk that is not full.
    pub(in crate::store) fn is_unwritten(&self) -> bool {
        matches!(self, Error::Io { error, .. } if error.get_ref().is_some_and(|inner| inner.is::<Unwritten>()))
    }
}
