//! Lets the server's user read what arrives in a Maildir, as the Maildir's owner.
//!
//! Programs that bring mail often make files with mode 0600, and that empties the mask of the list that the
//! file inherits (`acl`): the entry for the server's user is there and counts for nothing. The owner may
//! mend that, and the server may not. So this runs as the owner, and gives each file and folder what its
//! folder's default list names for that user. Where it names nothing, nothing is given: the default list is
//! the owner's word.

use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;
use std::ffi::OsString;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::changes::{Change, Changes, Wanted};
use crate::import::access::acl::{Acl, READ};
use crate::import::maildir::layout::{self, Found, SUBS};

/// When everything is looked at though nothing was told of.
const LOOK: Duration = Duration::from_secs(600);
/// The same where the system has no watches left.
const POLL: Duration = Duration::from_secs(30);

/// When folders are looked for again that came while they were looked for.
const AGAIN: Duration = Duration::from_millis(200);

/// A Maildir that is shared with a user.
pub(crate) struct Share {
    root: PathBuf,
    uid: u32,
}

impl Share {
    /// Nothing is given yet.
    #[must_use]
    pub(crate) fn new(root: PathBuf, uid: u32) -> Self {
        Share { root, uid }
    }

    /// Gives what is to be given, now and whenever something comes, until the Maildir cannot be read.
    ///
    /// # Errors
    /// That, and nothing else.
    pub(crate) fn run(&self) -> io::Result<Infallible> {
        let mut changes = Changes::new();
        loop {
            let found = layout::discover(&self.root, None)?;
            let armed = changes.arm(&self.root, &found);
            self.everything(&found);
            // What was made between the finding and the watching nobody tells of.
            let is_settled = layout::discover(&self.root, None)?.is_as(&found);
            let interval = match armed {
                Ok(()) if is_settled => LOOK,
                Ok(()) => AGAIN,
                Err(_) => POLL,
            };
            let until = Instant::now() + interval;
            while let Change::In(directories) = changes.wait(until) {
                self.some(directories);
            }
        }
    }

    /// Looks at all that is there.
    pub(crate) fn everything(&self, found: &Found) {
        let folders = found.folders.iter().map(|folder| &folder.path);
        let unreadable = found.unreadable.iter().map(|(path, _)| path);
        for path in folders.chain(&found.others).chain(unreadable) {
            self.folders_above(path);
        }
        for folder in &found.folders {
            for sub in SUBS {
                let path = self.root.join(&folder.path).join(sub);
                self.directory(&path);
                self.files(&path, None);
            }
        }
    }

    /// A folder and those that it lies in, from the root on: a new one may lie in a new one.
    fn folders_above(&self, below: &Path) {
        let mut path = self.root.clone();
        for part in below {
            path.push(part);
            self.directory(&path);
        }
    }

    fn some(&self, directories: BTreeMap<PathBuf, Wanted>) {
        for (path, names) in directories {
            self.directory(&path);
            self.files(&path, names);
        }
    }

    /// A folder, by what the one above it gives; one that was moved in gives on the same.
    fn directory(&self, path: &Path) {
        let Some(given) = path.parent().and_then(|parent| self.inherited(parent)) else { return };
        let Some(rights) = given.named(self.uid) else { return };
        Self::told(path, self.admit(path, rights, |kind| kind.is_dir()));
        if matches!(Acl::inherited(path), Ok(None)) {
            Self::told(path, given.bequeath(path));
        }
    }

    /// The files of a `new/` or `cur/`, or those of these names.
    fn files(&self, directory: &Path, names: Option<BTreeSet<OsString>>) {
        let Some(rights) = self.inherited(directory).and_then(|given| given.named(self.uid)) else { return };
        let admit = |name: &OsString| {
            let path = directory.join(name);
            Self::told(&path, self.admit(&path, rights & READ, |kind| kind.is_file()));
        };
        match names {
            Some(names) => names.iter().for_each(admit),
            None => {
                let Ok(entries) = fs::read_dir(directory) else { return };
                entries.flatten().for_each(|entry| admit(&entry.file_name()));
            }
        }
    }

    fn inherited(&self, folder: &Path) -> Option<Acl> {
        Acl::inherited(folder)
            .inspect_err(|error| tracing::debug!(folder = %folder.display(), %error, "its list"))
            .ok()?
    }

    fn admit(&self, path: &Path, rights: u16, is_wanted: impl Fn(fs::FileType) -> bool) -> io::Result<()> {
        let metadata = path.symlink_metadata()?;
        if !is_wanted(metadata.file_type()) {
            return Ok(());
        }
        let mut list = Acl::applying(path, &metadata)?;
        if list.admit(self.uid, rights) { list.apply(path) } else { Ok(()) }
    }

    /// What is gone again needs nothing; what is another user's is named by the server, which cannot read it.
    fn told(path: &Path, done: io::Result<()>) {
        if let Err(error) = done
            && error.kind() != io::ErrorKind::NotFound
        {
            tracing::debug!(path = %path.display(), %error, "left as it is");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};

    const NOBODY: u32 = 65534;

    fn folder(path: &Path) {
        fs::DirBuilder::new().mode(0o700).create(path).unwrap();
    }

    fn file(path: &Path) {
        fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).unwrap();
    }

    /// What the user may do, by the list as it counts.
    fn may(path: &Path) -> u16 {
        let list = Acl::applying(path, &path.symlink_metadata().unwrap()).unwrap();
        (0..8).filter(|rights| !list.clone().admit(NOBODY, *rights)).max().unwrap_or(0)
    }

    #[test]
    fn what_comes_gets_what_its_folder_gives() {
        let root = tempfile::tempdir().unwrap();
        let root = root.path();
        let metadata = root.symlink_metadata().unwrap();
        let mut given = Acl::applying(root, &metadata).unwrap();
        given.admit(NOBODY, 5);
        if given.bequeath(root).is_err() {
            return;
        }
        for sub in ["new", "cur", "tmp"] {
            folder(&root.join(sub));
        }
        file(&root.join("cur/1.a:2,S"));
        // Moved in from where nothing was given.
        let outside = tempfile::tempdir_in(root.parent().unwrap()).unwrap();
        let moved = outside.path().join("Sent");
        folder(&moved);
        folder(&moved.join("cur"));
        file(&moved.join("cur/2.a:2,S"));
        fs::rename(&moved, root.join(".Sent")).unwrap();
        // Somebody names a file elsewhere.
        file(&outside.path().join("secret"));
        std::os::unix::fs::symlink(outside.path().join("secret"), root.join("cur/3.a:2,S")).unwrap();
        let share = Share::new(root.to_owned(), NOBODY);
        share.everything(&layout::discover(root, None).unwrap());
        for (path, rights) in [("new", 5), ("cur", 5), ("cur/1.a:2,S", 4), (".Sent", 5), (".Sent/cur", 5)] {
            assert_eq!(may(&root.join(path)), rights, "{path}");
        }
        assert_eq!(may(&root.join(".Sent/cur/2.a:2,S")), 4);
        assert_eq!(may(&outside.path().join("secret")), 0);
        // Told of.
        file(&root.join("new/4.a"));
        file(&root.join("new/5.a"));
        let names = BTreeSet::from(["4.a".into(), "gone".into()]);
        share.some(BTreeMap::from([(root.join("new"), Some(names))]));
        assert_eq!((may(&root.join("new/4.a")), may(&root.join("new/5.a"))), (4, 0));
    }

    #[test]
    fn where_nothing_is_given_nothing_changes() {
        let root = tempfile::tempdir().unwrap();
        let root = root.path();
        for sub in ["new", "cur"] {
            folder(&root.join(sub));
        }
        file(&root.join("new/1.a"));
        Share::new(root.to_owned(), NOBODY).everything(&layout::discover(root, None).unwrap());
        assert_eq!((may(&root.join("new")), may(&root.join("new/1.a"))), (0, 0));
    }
}
