//! What lies beneath a source's folder, reached by handles only: no link on the way, nor at the end of it, leads anywhere
//! else, whoever may write in that folder and whatever he puts there in the meantime.
//!
//! A path is taken apart from the folder's own handle on (`openat2`, RESOLVE_BENEATH and RESOLVE_NO_SYMLINKS; component by
//! component where the kernel has no such call). The folder itself is where its owner's administrator said: links that
//! lead to it are followed. Everything in `import/` that touches a file of a source goes through here (tests/layers.rs).

use std::ffi::{OsStr, OsString};
use std::fs::{File, FileType, Metadata};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Component, Path, PathBuf};

use rustix::fs::{
    AtFlags, Dir, Mode, OFlags, RenameFlags, ResolveFlags, mkdirat, openat, openat2, renameat, renameat_with,
    unlinkat,
};
use rustix::io::Errno;

/// The kernel gives up a walk during which somebody renames; then it is walked anew, so often.
const WALKS: usize = 64;

/// A folder, open.
#[derive(Debug)]
pub(crate) struct Beneath {
    path: PathBuf,
    root: OwnedFd,
}

/// What a name in a folder stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A folder.
    Folder,
    /// A plain file.
    File,
    /// A link, FIFO, socket or device.
    Other,
}

impl From<FileType> for Kind {
    fn from(kind: FileType) -> Self {
        match kind {
            kind if kind.is_dir() => Kind::Folder,
            kind if kind.is_file() => Kind::File,
            _ => Kind::Other,
        }
    }
}

impl Beneath {
    /// Opens a folder.
    ///
    /// # Errors
    /// If it is not there, or no folder.
    pub(crate) fn open(path: &Path) -> io::Result<Beneath> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let root = rustix::fs::open(path, flags, Mode::empty())?;
        Ok(Beneath { path: path.to_owned(), root })
    }

    /// Its path, as it was opened.
    #[must_use]
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Which folder it is: device and inode, that of itself first, then of all above it.
    ///
    /// # Errors
    /// Of the system.
    pub(crate) fn ancestors(&self) -> io::Result<Vec<(u64, u64)>> {
        let mut found = Vec::new();
        let mut at = self.root.try_clone()?;
        loop {
            let metadata = File::from(at.try_clone()?).metadata()?;
            let folder = (metadata.dev(), metadata.ino());
            if found.last() == Some(&folder) {
                return Ok(found);
            }
            found.push(folder);
            at = openat(&at, "..", OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
        }
    }

    /// What is there, by its whole path; of a link the link itself.
    ///
    /// # Errors
    /// `NotFound`; of a link on the way; of the system.
    pub(crate) fn metadata(&self, path: &Path) -> io::Result<Metadata> {
        self.handle(path, OFlags::PATH | OFlags::NOFOLLOW, Mode::empty())?.metadata()
    }

    /// Opens a plain file to be read. Nothing else is opened in earnest: a FIFO would wait for its writer, and a device
    /// may do something.
    ///
    /// # Errors
    /// `NotFound`; "no plain file" and "a symbolic link" in words; of the system.
    pub(crate) fn file(&self, path: &Path) -> io::Result<File> {
        let plain = self.plain(path)?.map(|(file, _)| file);
        plain.ok_or_else(|| io::Error::other("no plain file"))
    }

    /// As [`Beneath::file`], with what the file says of itself; none if it is no plain file.
    ///
    /// # Errors
    /// `NotFound`; of a link on the way or at its end; of the system.
    pub(crate) fn plain(&self, path: &Path) -> io::Result<Option<(File, Metadata)>> {
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY;
        let file = self.handle(path, flags, Mode::empty())?;
        let metadata = file.metadata()?;
        Ok(metadata.is_file().then_some((file, metadata)))
    }

    /// Makes a file, or empties the one that is there, to be written.
    ///
    /// # Errors
    /// Of a link or what is no plain file; of the system.
    pub(crate) fn create(&self, path: &Path) -> io::Result<File> {
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY;
        let file = self.handle(path, flags, Mode::from_raw_mode(0o666))?;
        if !file.metadata()?.is_file() {
            return Err(io::Error::other("no plain file"));
        }
        file.set_len(0)?;
        Ok(file)
    }

    /// What a folder holds.
    ///
    /// # Errors
    /// `NotFound`; of a link on the way; of the system.
    pub(crate) fn entries(&self, folder: &Path) -> io::Result<Entries<'_>> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY;
        let opened = self.handle(folder, flags, Mode::empty())?;
        Ok(Entries { beneath: self, folder: folder.to_owned(), dir: Dir::new(OwnedFd::from(opened))? })
    }

    /// Makes what was done in a folder durable.
    ///
    /// # Errors
    /// Of the system.
    pub(crate) fn sync_folder(&self, folder: &Path) -> io::Result<()> {
        self.handle(folder, OFlags::RDONLY | OFlags::DIRECTORY, Mode::empty())?.sync_all()
    }

    /// Removes a file.
    ///
    /// # Errors
    /// Of the system.
    pub(crate) fn remove(&self, path: &Path) -> io::Result<()> {
        let (folder, name) = self.parent(path)?;
        Ok(unlinkat(folder, name, AtFlags::empty())?)
    }

    /// Makes a folder and those above it that are not there yet.
    ///
    /// # Errors
    /// If a link or a file is in the way; of the system.
    pub(crate) fn create_folders(&self, folder: &Path) -> io::Result<()> {
        let mut made = self.path.clone();
        for part in self.relative(folder)?.components() {
            made.push(part);
            if self.metadata(&made).is_ok_and(|metadata| metadata.is_dir()) {
                continue;
            }
            let (parent, name) = self.parent(&made)?;
            match mkdirat(parent, name, Mode::from_raw_mode(0o777)) {
                Ok(()) => {}
                Err(Errno::EXIST) if self.metadata(&made)?.is_dir() => {}
                Err(Errno::EXIST) => {
                    return Err(io::Error::other(format!("{} is in the way", made.display())));
                }
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    /// Renames a file, also to another such folder, and never replaces one, where the file system can promise that; where
    /// it cannot, looks before.
    ///
    /// # Errors
    /// `AlreadyExists`, `CrossesDevices`; of the system.
    pub(crate) fn rename(&self, from: &Path, there: &Beneath, to: &Path) -> io::Result<()> {
        let (source, name) = self.parent(from)?;
        let (target, new) = there.parent(to)?;
        match renameat_with(&source, name, &target, new, RenameFlags::NOREPLACE) {
            Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) if there.metadata(to).is_ok() => {
                Err(io::ErrorKind::AlreadyExists.into())
            }
            Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => Ok(renameat(source, name, target, new)?),
            other => Ok(other?),
        }
    }

    fn relative<'p>(&self, path: &'p Path) -> io::Result<&'p Path> {
        path.strip_prefix(&self.path).map_err(|_| io::ErrorKind::InvalidInput.into())
    }

    /// The folder that a path lies in, and its name there.
    fn parent<'p>(&self, path: &'p Path) -> io::Result<(OwnedFd, &'p OsStr)> {
        let (folder, name) = (path.parent(), path.file_name());
        let (Some(folder), Some(name)) = (folder, name) else {
            return Err(io::ErrorKind::InvalidInput.into());
        };
        let flags = OFlags::PATH | OFlags::DIRECTORY;
        Ok((OwnedFd::from(self.handle(folder, flags, Mode::empty())?), name))
    }

    fn handle(&self, path: &Path, flags: OFlags, mode: Mode) -> io::Result<File> {
        let relative = self.relative(path)?;
        let relative = if relative.as_os_str().is_empty() { Path::new(".") } else { relative };
        let flags = flags | OFlags::CLOEXEC;
        let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
        for _ in 0..WALKS {
            match openat2(&self.root, relative, flags, mode, resolve) {
                Err(Errno::AGAIN) => {}
                Err(Errno::NOSYS | Errno::PERM) => break,
                other => return Ok(File::from(other?)),
            }
        }
        self.by_steps(relative, flags, mode)
    }

    /// As `openat2` would, for kernels and sandboxes without it.
    fn by_steps(&self, relative: &Path, flags: OFlags, mode: Mode) -> io::Result<File> {
        let parts: Vec<&OsStr> = relative
            .components()
            .map(|part| match part {
                Component::Normal(name) => Ok(name),
                Component::CurDir => Ok(OsStr::new(".")),
                _ => Err(io::Error::from(io::ErrorKind::InvalidInput)),
            })
            .collect::<io::Result<_>>()?;
        let Some((last, above)) = parts.split_last() else { return Err(io::ErrorKind::InvalidInput.into()) };
        let step = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let mut at = self.root.try_clone()?;
        for name in above {
            at = openat(&at, *name, step, Mode::empty()).map_err(|error| match error {
                // What a folder is asked of and is a link.
                Errno::NOTDIR if is_link(&at, name) => Errno::LOOP,
                other => other,
            })?;
        }
        let opened = openat(&at, *last, flags | OFlags::NOFOLLOW, mode).map_err(|error| match error {
            Errno::NOTDIR if is_link(&at, last) => Errno::LOOP,
            other => other,
        })?;
        Ok(File::from(opened))
    }
}

fn is_link(folder: &OwnedFd, name: &OsStr) -> bool {
    rustix::fs::statat(folder, name, AtFlags::SYMLINK_NOFOLLOW)
        .is_ok_and(|stat| rustix::fs::FileType::from_raw_mode(stat.st_mode) == rustix::fs::FileType::Symlink)
}

/// Opens a plain file that a person has named, to be read; links that lead to it are followed.
///
/// # Errors
/// "no plain file" in words, of a FIFO without waiting for its writer; of the system.
pub(crate) fn named(path: &Path) -> io::Result<File> {
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let file = File::from(rustix::fs::open(path, flags, Mode::empty())?);
    if file.metadata()?.is_file() { Ok(file) } else { Err(io::Error::other("no plain file")) }
}

/// What a folder holds, one after the other.
pub(crate) struct Entries<'a> {
    beneath: &'a Beneath,
    folder: PathBuf,
    dir: Dir,
}

/// A name in a folder, and what it stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    /// The name.
    pub(crate) name: OsString,
    /// What it is. Of one that went meanwhile: something else.
    pub(crate) kind: Kind,
}

impl Iterator for Entries<'_> {
    type Item = io::Result<Entry>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let entry = match self.dir.next()? {
                Ok(entry) => entry,
                Err(error) => return Some(Err(error.into())),
            };
            let name = OsStr::from_bytes(entry.file_name().to_bytes());
            if name == "." || name == ".." {
                continue;
            }
            let kind = match entry.file_type() {
                rustix::fs::FileType::Directory => Kind::Folder,
                rustix::fs::FileType::RegularFile => Kind::File,
                // Not every file system says.
                rustix::fs::FileType::Unknown => {
                    let metadata = self.beneath.metadata(&self.folder.join(name));
                    metadata.map_or(Kind::Other, |metadata| metadata.file_type().into())
                }
                _ => Kind::Other,
            };
            return Some(Ok(Entry { name: name.to_owned(), kind }));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::io::Read;
    use std::os::unix::fs::symlink;

    /// A folder with a link in it that leads to a secret, in each place of a path.
    fn trap() -> (tempfile::TempDir, tempfile::TempDir) {
        let (root, secret) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        fs::create_dir_all(secret.path().join("inner")).unwrap();
        for file in ["1.a", "inner/1.a"] {
            fs::write(secret.path().join(file), "secret").unwrap();
        }
        fs::create_dir_all(root.path().join("cur/deep")).unwrap();
        fs::write(root.path().join("cur/1.a"), "mail").unwrap();
        symlink(secret.path(), root.path().join("new")).unwrap();
        symlink(secret.path(), root.path().join("cur/deep/inner")).unwrap();
        symlink(secret.path().join("1.a"), root.path().join("cur/2.b")).unwrap();
        (root, secret)
    }

    /// By either way to walk.
    fn both(root: &Path, check: impl Fn(&Beneath, &dyn Fn(&Path) -> io::Result<File>)) {
        let beneath = Beneath::open(root).unwrap();
        check(&beneath, &|path| beneath.file(path));
        let stepped = |path: &Path| {
            let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
            beneath.by_steps(beneath.relative(path)?, flags, Mode::empty())
        };
        check(&beneath, &stepped);
    }

    #[test]
    fn no_link_is_followed_wherever_it_stands() {
        let (root, secret) = trap();
        both(root.path(), |beneath, open| {
            let mut text = String::new();
            open(&root.path().join("cur/1.a")).unwrap().read_to_string(&mut text).unwrap();
            assert_eq!(text, "mail");
            for path in ["new/1.a", "cur/deep/inner/1.a", "cur/2.b"] {
                let refused = open(&root.path().join(path)).unwrap_err();
                assert_eq!(refused.raw_os_error(), Some(Errno::LOOP.raw_os_error()), "{path}: {refused}");
            }
            for path in ["cur/../../etc/passwd", "../x"] {
                assert!(open(&root.path().join(path)).is_err(), "{path}");
            }
            assert!(open(Path::new("/etc/passwd")).is_err());
            assert!(beneath.entries(&root.path().join("new")).is_err());
            assert!(beneath.metadata(&root.path().join("new/1.a")).is_err());
            assert!(beneath.metadata(&root.path().join("cur/2.b")).unwrap().is_symlink());
        });
        let beneath = Beneath::open(root.path()).unwrap();
        let path = |name: &str| root.path().join(name);
        assert!(beneath.remove(&path("new/1.a")).is_err());
        assert!(beneath.rename(&path("cur/1.a"), &beneath, &path("new/3.c")).is_err());
        assert!(beneath.rename(&path("new/1.a"), &beneath, &path("cur/3.c")).is_err());
        assert!(beneath.create(&path("new/4.d")).is_err() && beneath.create(&path("cur/2.b")).is_err());
        assert!(beneath.create_folders(&path("new/sub")).is_err());
        assert_eq!(fs::read_to_string(secret.path().join("1.a")).unwrap(), "secret");
        assert_eq!(fs::read_dir(secret.path()).unwrap().count(), 2);
        beneath.create_folders(&path("cur/a/b")).unwrap();
        beneath.rename(&path("cur/1.a"), &beneath, &path("cur/a/b/1.a")).unwrap();
        let taken = beneath
            .create(&path("cur/5.e"))
            .map(drop)
            .and_then(|()| beneath.rename(&path("cur/a/b/1.a"), &beneath, &path("cur/5.e")));
        assert_eq!(taken.unwrap_err().kind(), io::ErrorKind::AlreadyExists);
    }

    #[test]
    fn nothing_but_plain_files_is_opened() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("fifo");
        rustix::fs::mknodat(rustix::fs::CWD, &path, rustix::fs::FileType::Fifo, Mode::RUSR, 0).unwrap();
        fs::create_dir(root.path().join("folder")).unwrap();
        let beneath = Beneath::open(root.path()).unwrap();
        for name in ["fifo", "folder"] {
            assert!(beneath.file(&root.path().join(name)).is_err(), "{name}");
        }
        let kinds: std::collections::BTreeMap<_, _> = beneath
            .entries(root.path())
            .unwrap()
            .map(|entry| entry.map(|it| (it.name, it.kind)).unwrap())
            .collect();
        assert_eq!(kinds[OsStr::new("fifo")], Kind::Other);
        assert_eq!(kinds[OsStr::new("folder")], Kind::Folder);
        assert!(Beneath::open(&path).is_err());
    }

    /// Somebody swaps a folder for a link, over and over, while it is read.
    #[test]
    fn nor_while_somebody_swaps_a_folder_for_a_link() {
        let (root, secret) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        fs::write(secret.path().join("1.a"), "secret").unwrap();
        fs::create_dir(root.path().join("new")).unwrap();
        fs::write(root.path().join("new/1.a"), "mail").unwrap();
        symlink(secret.path(), root.path().join("link")).unwrap();
        let stop = std::sync::atomic::AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let (new, link) = (root.path().join("new"), root.path().join("link"));
                while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                    let swap = RenameFlags::EXCHANGE;
                    renameat_with(rustix::fs::CWD, &new, rustix::fs::CWD, &link, swap).unwrap();
                }
            });
            both(root.path(), |_, open| {
                for _ in 0..5_000 {
                    if let Ok(mut file) = open(&root.path().join("new/1.a")) {
                        let mut text = String::new();
                        file.read_to_string(&mut text).unwrap();
                        assert_eq!(text, "mail");
                    }
                }
            });
            stop.store(true, std::sync::atomic::Ordering::Relaxed);
        });
    }
}
