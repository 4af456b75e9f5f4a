//! How a file leaves that may have a writer still: out of the sight of whoever opens it by its name, read once more,
//! and only then removed. It waits in `tmp/` of its own folder under a name that says where it belongs. After a crash
//! it is put back from there.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use super::after::{MAX_TRIES, Place, numbered, remove};
use crate::import::disk::beneath::Beneath;
use crate::import::disk::disk_error::is_gone;
use crate::import::disk::read::Identity;
use crate::import::maildir::layout::SUBS;
use crate::store::sources::After;

/// What names in `tmp/` begin with that are ours; then comes `new.` or `cur.`, and the name.
const OURS: &[u8] = b"postern-leaving.";

/// Removes or moves a file, if it is the one that was read and is whole: `is_whole` reads it where it lies then.
/// Returns whether it did; otherwise it lies where it lay.
///
/// # Errors
/// If it may not be removed or moved, or of `is_whole`.
pub(super) fn leave<E: From<io::Error>>(
    after: &After,
    place: &Place<'_>,
    read: &Identity,
    is_whole: impl FnOnce(&Path) -> Result<bool, E>,
) -> Result<bool, E> {
    let path = place.path();
    match place.root.metadata(&path) {
        Ok(metadata) if Identity::new(&metadata) == *read => {}
        Ok(_) => return Ok(false),
        Err(error) if is_gone(&error) => return Ok(false),
        Err(error) => return Err(error.into()),
    }
    let aside = match set_aside(place) {
        Ok(aside) => aside,
        Err(error) if is_gone(&error) => return Ok(false),
        Err(error) => return Err(error.into()),
    };
    let lies = aside.as_deref().unwrap_or(&path);
    let left = match is_whole(lies) {
        Ok(true) => remove(after, place, lies).map_err(E::from),
        other => other,
    };
    if !matches!(left, Ok(true))
        && let Some(aside) = &aside
    {
        put_back(place.root, aside, &path)?;
    }
    left
}

/// Renames it within `tmp/`. `None` where that cannot be: no such folder, no rights there, another file system, too
/// long a name. Then it is read once more where it lies.
fn set_aside(place: &Place<'_>) -> io::Result<Option<PathBuf>> {
    let tmp = place.root.path().join(place.folder).join("tmp");
    let name = [OURS, place.sub.as_bytes(), b".", place.name.as_bytes()].concat();
    let aside = tmp.join(OsStr::from_bytes(&name));
    match place.root.rename(&place.path(), place.root, &aside) {
        Ok(()) => Ok(Some(aside)),
        Err(error) if is_gone(&error) && place.root.metadata(&place.path()).is_err() => Err(error),
        Err(error) => {
            tracing::debug!(tmp = %tmp.display(), %error, "a file is not set aside before it is removed");
            Ok(None)
        }
    }
}

/// Under its own name, or one like it where another file has come under that.
fn put_back(root: &Beneath, aside: &Path, path: &Path) -> io::Result<PathBuf> {
    for n in 0..MAX_TRIES {
        let wanted = path.with_file_name(numbered(path.file_name().unwrap_or_default(), n));
        match root.rename(aside, root, &wanted) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            other => return other.map(|()| wanted),
        }
    }
    Err(io::Error::new(io::ErrorKind::AlreadyExists, "all names are taken where it belongs"))
}

/// Puts back what a crash left in `tmp/` of a folder; returns where it lies now.
///
/// # Errors
/// If that cannot be read, or something in it cannot be put back.
pub(super) fn recover(root: &Beneath, folder: &Path) -> io::Result<Vec<PathBuf>> {
    let tmp = folder.join("tmp");
    if !root.metadata(&tmp).is_ok_and(|metadata| metadata.is_dir()) {
        return Ok(Vec::new());
    }
    let mut back = Vec::new();
    for entry in root.entries(&tmp)? {
        let name = entry?.name;
        if let Some((sub, name_before)) = belongs(&name) {
            back.push(put_back(root, &tmp.join(&name), &folder.join(sub).join(name_before))?);
        }
    }
    Ok(back)
}

/// Where a name in `tmp/` belongs, if it is one of ours.
fn belongs(name: &OsStr) -> Option<(&'static str, OsString)> {
    let rest = name.as_bytes().strip_prefix(OURS)?;
    SUBS.into_iter().find_map(|sub| {
        let name = rest.strip_prefix(sub.as_bytes())?.strip_prefix(b".")?;
        (!name.is_empty()).then(|| (sub, OsString::from_vec(name.to_vec())))
    })
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    struct Bench {
        root: tempfile::TempDir,
        read: Identity,
    }

    const NAME: &str = "1.a:2,S";

    impl Bench {
        fn new() -> Bench {
            let root = tempfile::tempdir().unwrap();
            for sub in ["new", "cur", "tmp"] {
                fs::create_dir(root.path().join(sub)).unwrap();
            }
            let path = root.path().join("cur").join(NAME);
            fs::write(&path, "x").unwrap();
            Bench { read: Identity::new(&fs::symlink_metadata(path).unwrap()), root }
        }

        fn leave(&self, is_whole: impl FnOnce(&Path) -> io::Result<bool>) -> io::Result<bool> {
            let root = Beneath::open(self.root.path()).unwrap();
            let place = Place { root: &root, folder: Path::new(""), sub: "cur", name: NAME.as_ref() };
            leave(&After::Delete, &place, &self.read, is_whole)
        }

        fn names(&self, sub: &str) -> Vec<String> {
            let entries = fs::read_dir(self.root.path().join(sub)).unwrap();
            let mut names: Vec<_> =
                entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
            names.sort();
            names
        }
    }

    #[test]
    fn it_is_read_where_nobody_opens_it_by_its_name_and_goes() {
        let bench = Bench::new();
        let left = bench.leave(|path| {
            assert!(bench.names("cur").is_empty());
            assert_eq!(path.file_name().unwrap(), "postern-leaving.cur.1.a:2,S");
            assert_eq!(fs::read_to_string(path).unwrap(), "x");
            Ok(true)
        });
        assert!(left.unwrap());
        assert!(bench.names("cur").is_empty() && bench.names("tmp").is_empty());
    }

    #[test]
    fn what_is_not_whole_or_cannot_be_read_lies_where_it_lay() {
        let bench = Bench::new();
        assert!(!bench.leave(|_| Ok(false)).unwrap());
        assert!(bench.leave(|_| Err(io::Error::other("no"))).is_err());
        assert_eq!((bench.names("cur"), bench.names("tmp")), (vec![NAME.to_owned()], vec![]));
        // Another came under its name meanwhile.
        let left = bench.leave(|_| {
            fs::write(bench.root.path().join("cur").join(NAME), "other").unwrap();
            Ok(false)
        });
        assert!(!left.unwrap());
        assert_eq!(bench.names("cur"), [NAME, "1.a_1:2,S"]);
        assert_eq!(fs::read_to_string(bench.root.path().join("cur/1.a_1:2,S")).unwrap(), "x");
    }

    #[test]
    fn without_a_tmp_it_is_read_in_its_place() {
        for spoil in [
            |root: &Path| fs::remove_dir(root.join("tmp")).unwrap(),
            |root: &Path| {
                fs::remove_dir(root.join("tmp")).unwrap();
                std::os::unix::fs::symlink("/tmp", root.join("tmp")).unwrap();
            },
        ] {
            let bench = Bench::new();
            spoil(bench.root.path());
            let left = bench.leave(|path| Ok(path.ends_with("cur/1.a:2,S")));
            assert!(left.unwrap() && bench.names("cur").is_empty());
        }
    }

    #[test]
    fn what_a_crash_left_is_put_back_and_nothing_else() {
        let bench = Bench::new();
        let tmp = bench.root.path().join("tmp");
        fs::rename(bench.root.path().join("cur").join(NAME), tmp.join("postern-leaving.cur.1.a:2,S"))
            .unwrap();
        for name in ["postern-leaving.new.2.b", "postern-leaving.", "postern-leaving.old.x", "3.c"] {
            fs::write(tmp.join(name), name).unwrap();
        }
        let root = Beneath::open(bench.root.path()).unwrap();
        assert_eq!(recover(&root, root.path()).unwrap().len(), 2);
        assert_eq!((bench.names("cur"), bench.names("new")), (vec![NAME.to_owned()], vec!["2.b".to_owned()]));
        assert_eq!(bench.names("tmp").len(), 3);
        assert!(recover(&root, &bench.root.path().join("absent")).unwrap().is_empty());
    }
}
