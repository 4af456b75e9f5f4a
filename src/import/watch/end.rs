//! Why a look at a source ends before its end.

use crate::store::Error;

/// Why a look ended early.
#[derive(Debug)]
pub(crate) enum End {
    /// The watcher stops.
    Stopped,
    /// The store takes nothing now.
    Store(Error),
}

impl From<Error> for End {
    fn from(error: Error) -> Self {
        if matches!(error, Error::Closed) { End::Stopped } else { End::Store(error) }
    }
}
