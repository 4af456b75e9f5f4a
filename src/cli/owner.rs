//! Run as root, a command becomes the owner of the data folder first, so that nothing in it ever belongs to
//! root (DESIGN.md §4).

use std::os::unix::fs::MetadataExt;
use std::path::Path;

use rustix::process::{Gid, Uid, geteuid};
use rustix::thread::{set_thread_gid, set_thread_groups, set_thread_uid};

use super::Failure;

/// Gives up root for the folder's owner. Call it before any thread is started: the system's calls behind it
/// are a thread's, and later threads inherit what it has.
pub(super) fn become_owner(data: &Path) -> Result<(), Failure> {
    if !geteuid().is_root() {
        return Ok(());
    }
    let Ok(metadata) = std::fs::metadata(data) else { return Ok(()) };
    if metadata.uid() == 0 {
        return Ok(());
    }
    let failed =
        |error: rustix::io::Errno| Failure::new(format!("cannot become the owner of the data: {error}"));
    let (uid, gid) = (Uid::from_raw(metadata.uid()), Gid::from_raw(metadata.gid()));
    set_thread_groups(&[gid]).map_err(failed)?;
    set_thread_gid(gid).map_err(failed)?;
    set_thread_uid(uid).map_err(failed)
}
