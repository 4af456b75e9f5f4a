//! What an error of the system is about: the disk, the file, its room, its absence, or our rights.

use std::io;

/// What an error of the system is about. They call for different things, and none means "empty" or "done".
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The disk, or the way to it: it may pass.
    Disk,
    /// The file's own bytes are not what they must be, or it ends too early: damage.
    File,
    /// There is no room.
    Full,
    /// The file is not there.
    Gone,
    /// It may not be written, or not be read: rights, or a file system that is mounted for reading only.
    Denied,
}

/// Sorts an error of the system.
#[must_use]
pub fn fault(error: &io::Error) -> Fault {
    use io::ErrorKind as Kind;
    match error.kind() {
        Kind::InvalidData | Kind::UnexpectedEof => Fault::File,
        Kind::StorageFull | Kind::QuotaExceeded | Kind::FileTooLarge => Fault::Full,
        // On NFS what was removed has another name.
        Kind::NotFound | Kind::NotADirectory | Kind::StaleNetworkFileHandle => Fault::Gone,
        Kind::PermissionDenied | Kind::ReadOnlyFilesystem => Fault::Denied,
        _ => Fault::Disk,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_of_the_system_are_told_apart() {
        use rustix::io::Errno;
        for (errno, kind) in [
            (Errno::IO, Fault::Disk),
            (Errno::NODEV, Fault::Disk),
            (Errno::MFILE, Fault::Disk),
            (Errno::NOSPC, Fault::Full),
            (Errno::DQUOT, Fault::Full),
            (Errno::FBIG, Fault::Full),
            (Errno::NOENT, Fault::Gone),
            (Errno::NOTDIR, Fault::Gone),
            (Errno::STALE, Fault::Gone),
            (Errno::ACCESS, Fault::Denied),
            (Errno::PERM, Fault::Denied),
            (Errno::ROFS, Fault::Denied),
        ] {
            assert_eq!(fault(&errno.into()), kind, "{errno}");
        }
        assert_eq!(fault(&io::ErrorKind::UnexpectedEof.into()), Fault::File);
        assert_eq!(fault(&io::ErrorKind::InvalidData.into()), Fault::File);
    }
}
