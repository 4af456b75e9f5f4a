//! Errors of the disk at a source, told apart: what is not there, what may not be read, what is damaged, a disk that
//! fails. None of them means "empty".

use std::io;

use crate::store::fault::{Fault, fault};

/// Whether an error says that a file or folder is not where it was: removed, renamed, or its folder was. It may be
/// back under another name, and is looked for again; nobody has to do anything about it.
#[must_use]
pub(crate) fn is_gone(error: &io::Error) -> bool {
    fault(error) == Fault::Gone
}

/// Whether an error says that this process may not do it.
#[must_use]
pub(crate) fn is_denied(error: &io::Error) -> bool {
    fault(error) == Fault::Denied
}

/// An error in words, as what follows a path and a colon.
#[must_use]
pub(crate) fn words(error: &io::Error) -> String {
    // What is no error of the system was put into words where it was found.
    if error.raw_os_error().is_none() {
        return error.to_string();
    }
    match fault(error) {
        Fault::Gone => "is not there".to_owned(),
        Fault::Denied if error.kind() == io::ErrorKind::ReadOnlyFilesystem => {
            format!("its disk takes no changes ({error})")
        }
        Fault::Denied => format!("this is not allowed to the server's user ({error})"),
        Fault::Full => format!("there is no room left ({error})"),
        Fault::Disk if error.raw_os_error() == Some(rustix::io::Errno::LOOP.raw_os_error()) => {
            "a symbolic link, which is not followed".to_owned()
        }
        Fault::File => format!("it is damaged ({error})"),
        Fault::Disk if is_of_hardware(error) => {
            format!("the disk, or the way to it, gives an error ({error}): look whether it is failing")
        }
        Fault::Disk => error.to_string(),
    }
}

/// Others of that kind (too many open files, a folder where a file should be) say what they are.
fn is_of_hardware(error: &io::Error) -> bool {
    use rustix::io::Errno;
    let hardware = [Errno::IO, Errno::NODEV, Errno::NXIO, Errno::REMOTEIO, Errno::TIMEDOUT, Errno::HOSTDOWN];
    hardware.iter().any(|known| error.raw_os_error() == Some(known.raw_os_error()))
}

/// The same error with words before it. It is of the same kind still.
pub(crate) fn at(place: &str, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{place}: {}", words(error)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::io::Errno;

    #[test]
    fn errors_are_told_apart_in_words() {
        let told = |errno: Errno| words(&errno.into());
        assert_eq!(told(Errno::NOENT), "is not there");
        assert_eq!(told(Errno::STALE), "is not there");
        assert!(told(Errno::ACCESS).contains("not allowed"));
        assert!(told(Errno::ROFS).contains("takes no changes"));
        assert!(told(Errno::NOSPC).contains("no room"));
        assert!(told(Errno::IO).contains("the disk") && told(Errno::IO).contains("Input/output"));
        let told_of_files = told(Errno::MFILE);
        assert!(
            !told_of_files.contains("the disk") && told_of_files.contains("open files"),
            "{told_of_files}"
        );
        assert_eq!(words(&io::Error::other("no plain file")), "no plain file");
        let placed = at("at message 3", &Errno::IO.into());
        assert!(words(&placed).starts_with("at message 3: the disk"), "{placed}");
        assert!(is_gone(&at("x", &Errno::NOENT.into())));
    }
}
