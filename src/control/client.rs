//! The command line's end of the control socket.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use super::message::{Answer, LONGEST_ANSWER, Refusal, Reply, Request};
use super::socket;
use crate::actions::trouble::Trouble;

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No server listens there.
    #[error("no server is running")]
    NotRunning,
    /// This user may not.
    #[error("{}: only root and members of the group of this socket may do this", path.display())]
    NotAllowed {
        /// The socket.
        path: PathBuf,
    },
    /// The connection broke.
    #[error("the server did not answer: {0}")]
    Broken(#[from] io::Error),
    /// The server would not.
    #[error("{}", .0.reason)]
    Refused(Refusal),
    /// A server runs and waits until it can open the store. Only who asks for its status is told.
    #[error("postern is running, but serves no mail: {}", .0.line())]
    NotServing(Trouble),
}

/// Asks the server that listens at `path`.
///
/// # Errors
/// See [`Error`].
pub fn ask(path: &Path, request: &Request) -> Result<Answer, Error> {
    let mut stream = connect(path)?;
    let mut line = serde_json::to_vec(request).map_err(io::Error::from)?;
    line.push(b'\n');
    stream.write_all(&line)?;
    let mut answer = Vec::new();
    BufReader::new(stream.take(LONGEST_ANSWER)).read_until(b'\n', &mut answer)?;
    match serde_json::from_slice(&answer).map_err(io::Error::from)? {
        Reply::Ok(answer) => Ok(answer),
        Reply::Refused(refusal) => Err(Error::Refused(refusal)),
        Reply::NotServing(trouble) if *request == Request::Status => Err(Error::NotServing(trouble)),
        // What was asked for may be the cure, or can wait for the store as the server does.
        Reply::NotServing(_) => Err(Error::NotRunning),
    }
}

/// Whether a server listens at `path` that has the store.
#[must_use]
pub fn is_running(path: &Path) -> bool {
    // What it would answer does not matter: a server without the store says nothing but that.
    !matches!(ask(path, &Request::AccountList), Err(Error::NotRunning))
}

pub(super) fn connect(path: &Path) -> Result<UnixStream, Error> {
    let found = socket::reach(path).and_then(|reachable| UnixStream::connect(&reachable.path));
    found.map_err(|error| match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => Error::NotRunning,
        io::ErrorKind::PermissionDenied => Error::NotAllowed { path: path.to_owned() },
        _ => Error::Broken(error),
    })
}
