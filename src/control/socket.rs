//! Where the socket is, for the system: the path of a Unix socket has at most 107 bytes, a folder's path
//! may be longer. Then it is reached through the folder, opened.

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};

/// `sun_path` holds 108 bytes, one of them the NUL.
const LONGEST_PATH: usize = 107;

/// A path that is short enough; it is good while this lives.
pub(super) struct Reachable {
    /// The path.
    pub(super) path: PathBuf,
    _folder: Option<File>,
}

/// Makes a socket's path reachable.
///
/// # Errors
/// If its folder cannot be opened.
pub(super) fn reach(path: &Path) -> io::Result<Reachable> {
    if path.as_os_str().len() <= LONGEST_PATH {
        return Ok(Reachable { path: path.to_owned(), _folder: None });
    }
    let name = path.file_name().ok_or(io::ErrorKind::InvalidInput)?;
    let folder = File::open(path.parent().unwrap_or(Path::new(".")))?;
    let short = PathBuf::from(format!("/proc/self/fd/{}", folder.as_raw_fd())).join(name);
    Ok(Reachable { path: short, _folder: Some(folder) })
}
