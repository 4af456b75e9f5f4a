//! What happens to a file whose message is stored and was read back.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use crate::import::disk::beneath::Beneath;
use crate::import::disk::disk_error::is_gone;
use crate::import::disk::read::Identity;
use crate::import::maildir::message_name;
use crate::store::sources::After;

/// Names that are tried where the name is taken by another file.
pub(super) const MAX_TRIES: u32 = 100;

/// Where a file lies in its source.
#[derive(Clone, Debug)]
pub(crate) struct Place<'a> {
    /// The source's root.
    pub(crate) root: &'a Beneath,
    /// The folder below it.
    pub(crate) folder: &'a Path,
    /// `new` or `cur`.
    pub(crate) sub: &'static str,
    /// Its name.
    pub(crate) name: &'a std::ffi::OsStr,
}

impl Place<'_> {
    /// The whole path.
    #[must_use]
    pub(crate) fn path(&self) -> PathBuf {
        self.root.path().join(self.folder).join(self.sub).join(self.name)
    }
}

/// Removes or moves the file, if it is still the one that was read. Returns whether it did: a file that
/// was renamed or replaced meanwhile is found again by the next look.
///
/// # Errors
/// If it may not be removed or moved.
pub(crate) fn dispose(after: &After, place: &Place<'_>, read: &Identity) -> io::Result<bool> {
    let path = place.path();
    match place.root.metadata(&path) {
        Ok(metadata) if Identity::new(&metadata) == *read => remove(after, place, &path),
        Ok(_) => Ok(false),
        Err(error) if is_gone(&error) => Ok(false),
        Err(error) => Err(error),
    }
}

/// Removes or moves the file, that lies at `path` now. Returns whether it did: one that is gone is no error.
///
/// # Errors
/// If it may not be removed or moved.
pub(super) fn remove(after: &After, place: &Place<'_>, path: &Path) -> io::Result<bool> {
    let done = match after {
        After::Keep => return Ok(false),
        After::Delete => place.root.remove(path),
        After::Move(target) => move_to(target, place, path),
    };
    match done {
        // Another program renames it in this moment; it is found under its new name.
        Err(error) if is_gone(&error) && place.root.metadata(path).is_err() => Ok(false),
        // What is not there is where it should go to: that is no file that was renamed.
        Err(error) if is_gone(&error) => {
            Err(io::Error::other("the folder that it should go to is not there"))
        }
        other => other.map(|()| true),
    }
}

/// Moves a file into the same folder below `target`, `new/` to `new/`; nothing there is overwritten.
fn move_to(target: &Path, place: &Place<'_>, path: &Path) -> io::Result<()> {
    // Where it is, its administrator said; what lies in it may be anybody's.
    fs::create_dir_all(target)?;
    let target = Beneath::open(target)?;
    let folder = target.path().join(place.folder);
    for sub in ["tmp", "new", "cur"] {
        target.create_folders(&folder.join(sub))?;
    }
    for n in 0..MAX_TRIES {
        let wanted = folder.join(place.sub).join(numbered(place.name, n));
        match put(place.root, path, &target, &folder, &wanted) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                // Moved before, and killed before the file here was removed.
                if same_bytes(place.root.file(path)?, target.file(&wanted)?)? {
                    return place.root.remove(path);
                }
            }
            other => return other,
        }
    }
    Err(io::Error::new(io::ErrorKind::AlreadyExists, "all names are taken where it should go"))
}

/// Renames, or copies where `wanted` lies on another file system.
fn put(from: &Beneath, path: &Path, target: &Beneath, folder: &Path, wanted: &Path) -> io::Result<()> {
    match from.rename(path, target, wanted) {
        Err(error) if error.kind() == io::ErrorKind::CrossesDevices => {
            copy(from, path, target, folder, wanted)?;
            from.remove(path)
        }
        other => other,
    }
}

/// Through `tmp/`, and durable before the original goes.
fn copy(from: &Beneath, path: &Path, target: &Beneath, folder: &Path, wanted: &Path) -> io::Result<()> {
    let name = wanted.file_name().unwrap_or_default();
    let mut half = std::ffi::OsString::from("postern-");
    half.push(name);
    let half = folder.join("tmp").join(half);
    let (mut source, mut to) = (from.file(path)?, target.create(&half)?);
    io::copy(&mut source, &mut to)?;
    // The delivery time.
    to.set_modified(source.metadata()?.modified()?)?;
    to.sync_all()?;
    if let Err(error) = target.rename(&half, target, wanted) {
        target.remove(&half)?;
        return Err(error);
    }
    target.sync_folder(wanted.parent().unwrap_or(folder))
}

fn same_bytes(mut left: File, mut right: File) -> io::Result<bool> {
    if left.metadata()?.len() != right.metadata()?.len() {
        return Ok(false);
    }
    let (mut a, mut b) = (vec![0; 64 * 1024], vec![0; 64 * 1024]);
    loop {
        let count = left.read(&mut a)?;
        let (a, b) = (a.get(..count).unwrap_or_default(), b.get_mut(..count).unwrap_or_default());
        if count == 0 {
            return Ok(true);
        }
        right.read_exact(b)?;
        if a != b {
            return Ok(false);
        }
    }
}

/// `base_1:2,S` for `base:2,S`.
pub(super) fn numbered(name: &std::ffi::OsStr, n: u32) -> std::ffi::OsString {
    use std::os::unix::ffi::{OsStrExt, OsStringExt};
    if n == 0 {
        return name.to_owned();
    }
    let bytes = name.as_bytes();
    let (bare, info) = bytes.split_at(message_name::split_info(bytes).0.len());
    let new = [bare, format!("_{n}").as_bytes(), info].concat();
    std::ffi::OsString::from_vec(new)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(root: &Path, name: &str, bytes: &str) -> Identity {
        let path = root.join(".Sub/cur");
        fs::create_dir_all(&path).unwrap();
        fs::write(path.join(name), bytes).unwrap();
        Identity::new(&fs::symlink_metadata(path.join(name)).unwrap())
    }

    fn place<'a>(root: &'a Beneath, name: &'a str) -> Place<'a> {
        Place { root, folder: Path::new(".Sub"), sub: "cur", name: name.as_ref() }
    }

    #[test]
    fn keep_delete_and_what_changed_meanwhile() {
        let root = tempfile::tempdir().unwrap();
        let (root, name) = (&Beneath::open(root.path()).unwrap(), "1.a:2,S");
        let file = |root: &Beneath, name: &str, bytes: &str| file(root.path(), name, bytes);
        let read = file(root, name, "x");
        assert!(!dispose(&After::Keep, &place(root, name), &read).unwrap());
        let changed = file(root, name, "longer");
        assert!(!dispose(&After::Delete, &place(root, name), &read).unwrap());
        assert!(place(root, name).path().exists());
        assert!(dispose(&After::Delete, &place(root, name), &changed).unwrap());
        assert!(!dispose(&After::Delete, &place(root, name), &changed).unwrap());
    }

    #[test]
    fn moving_keeps_the_folder_and_overwrites_nothing() {
        let (root, target) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let (root, name) = (&Beneath::open(root.path()).unwrap(), "1.a:2,S");
        let after = After::Move(target.path().join("done"));
        for (bytes, wanted) in [("x", "1.a:2,S"), ("y", "1.a_1:2,S"), ("x", "1.a:2,S")] {
            let read = file(root.path(), name, bytes);
            assert!(dispose(&after, &place(root, name), &read).unwrap());
            assert!(!place(root, name).path().exists());
            let moved = target.path().join("done/.Sub/cur").join(wanted);
            assert_eq!(fs::read_to_string(moved).unwrap(), bytes);
        }
        assert_eq!(fs::read_dir(target.path().join("done/.Sub/cur")).unwrap().count(), 2);
    }

    #[test]
    fn copies_are_whole_and_keep_the_delivery_time() {
        let (root, target) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let read = file(root.path(), "1.a", "bytes");
        fs::create_dir_all(target.path().join("tmp")).unwrap();
        let wanted = target.path().join("1.a");
        let (from, to) = (Beneath::open(root.path()).unwrap(), Beneath::open(target.path()).unwrap());
        copy(&from, &place(&from, "1.a").path(), &to, target.path(), &wanted).unwrap();
        assert_eq!(fs::read_to_string(&wanted).unwrap(), "bytes");
        let copied = Identity::new(&fs::metadata(&wanted).unwrap());
        assert_eq!((copied.size(), copied.modified()), (read.size(), read.modified()));
        let again = copy(&from, &place(&from, "1.a").path(), &to, target.path(), &wanted).unwrap_err();
        assert_eq!(again.kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(fs::read_dir(target.path().join("tmp")).unwrap().count(), 0);
    }

    /// Whoever may write where files go has laid a link there.
    #[test]
    fn nothing_is_moved_through_a_link() {
        let (root, target, other) =
            (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        for link in [".Sub/cur", ".Sub"] {
            let _ = fs::remove_dir_all(target.path().join(".Sub"));
            fs::create_dir_all(target.path().join(link).parent().unwrap()).unwrap();
            std::os::unix::fs::symlink(other.path(), target.path().join(link)).unwrap();
            let read = file(root.path(), "1.a", "x");
            let from = Beneath::open(root.path()).unwrap();
            let after = After::Move(target.path().to_owned());
            assert!(dispose(&after, &place(&from, "1.a"), &read).is_err(), "{link}");
            assert!(place(&from, "1.a").path().exists());
            assert_eq!(fs::read_dir(other.path()).unwrap().count(), 0);
        }
    }
}
