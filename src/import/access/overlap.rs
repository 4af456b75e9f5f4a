//! Whether two sources would bring the same files: each would take for its own what the other takes, too.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Component, Path, PathBuf};

use crate::import::disk::beneath::Beneath;
use crate::store::sources::{After, Source};

/// What a path has to do with a source that is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Overlap {
    /// It is that source's folder.
    Same,
    /// It lies in it.
    Inside,
    /// It holds it.
    Around,
    /// That source's files are moved there.
    Receives,
    /// Its files would be moved into that source.
    Feeds,
}

impl Overlap {
    /// For people: what the path does with the source.
    #[must_use]
    pub(crate) const fn describe(self) -> &'static str {
        match self {
            Overlap::Same => "is the folder of",
            Overlap::Inside => "lies in",
            Overlap::Around => "holds",
            Overlap::Receives => "is where files go from",
            Overlap::Feeds => "would move its files into",
        }
    }
}

/// The first of the sources with which one at `path` would overlap, whatever links and `..` lead there.
#[must_use]
pub(crate) fn find<'a>(path: &Path, after: &After, others: &'a [Source]) -> Option<(Overlap, &'a Source)> {
    let place = Real::new(path);
    others.iter().find_map(|other| of(&place, after, other).map(|overlap| (overlap, other)))
}

fn of(place: &Real, after: &After, other: &Source) -> Option<Overlap> {
    let known = Real::new(&other.path);
    match (place.lies_in(&known), known.lies_in(place)) {
        (true, true) => return Some(Overlap::Same),
        (true, false) => return Some(Overlap::Inside),
        (false, true) => return Some(Overlap::Around),
        (false, false) => {}
    }
    if let After::Move(target) = &other.after {
        let target = Real::new(target);
        if target.lies_in(place) || place.lies_in(&target) {
            return Some(Overlap::Receives);
        }
    }
    match after {
        After::Move(target) if Real::new(target).lies_in(&known) => Some(Overlap::Feeds),
        _ => None,
    }
}

/// Why a folder may be neither a source nor where its files go.
pub(crate) const OWN_DATA: &str = "lies in Postern's own data folder, or around it";

/// Whether a folder, as it is now, lies in another or around it, whatever links and mounts lead there. One that is not there
/// yet is where it would be made.
///
/// # Errors
/// Of looking at them.
pub(crate) fn touches(path: &Path, data: &Path) -> io::Result<bool> {
    let there = path.ancestors().find(|path| path.is_dir()).unwrap_or(Path::new("/"));
    let (folder, own) = (Beneath::open(there)?.ancestors()?, Beneath::open(data)?.ancestors()?);
    let inside = own.first().is_some_and(|own| folder.contains(own));
    let around = there == path && folder.first().is_some_and(|folder| own.contains(folder));
    Ok(inside || around)
}

/// A path without links, and which folders it and those above it are: a mount may show one in two places.
struct Real {
    path: PathBuf,
    /// From the folder itself, if it is there, up to the root.
    folders: Vec<(u64, u64)>,
    exists: bool,
}

impl Real {
    fn new(path: &Path) -> Self {
        let path = real(path);
        let folders = path.ancestors().filter_map(|path| fs::metadata(path).ok());
        let folders = folders.map(|metadata| (metadata.dev(), metadata.ino())).collect();
        let exists = path.exists();
        Real { path, folders, exists }
    }

    fn lies_in(&self, outer: &Real) -> bool {
        let same = outer.folders.first().filter(|_| outer.exists);
        self.path.starts_with(&outer.path) || same.is_some_and(|folder| self.folders.contains(folder))
    }
}

/// Links resolved as far as the path is there, the rest as it is written.
fn real(path: &Path) -> PathBuf {
    let mut missing = Vec::new();
    for above in path.ancestors() {
        if let Ok(real) = above.canonicalize() {
            return missing.iter().rev().fold(real, |path, part| step(path, part));
        }
        missing.extend(above.components().next_back());
    }
    path.components().fold(PathBuf::new(), |path, part| step(path, &part))
}

fn step(mut path: PathBuf, part: &Component<'_>) -> PathBuf {
    match part {
        Component::ParentDir => drop(path.pop()),
        Component::CurDir => {}
        part => path.push(part),
    }
    path
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{Options, Store, accounts, sources};

    #[test]
    fn whichever_way_the_same_files_are_reached() {
        let folder = tempfile::tempdir().unwrap();
        let at = |path: &str| folder.path().join(path);
        for path in ["mail/anna/.Sent", "mail/bert", "done/anna"] {
            fs::create_dir_all(at(path)).unwrap();
        }
        std::os::unix::fs::symlink(at("mail"), at("link")).unwrap();
        let store = Store::open(Options::new(at("data"))).unwrap();
        let (path, done) = (at("mail/anna"), at("done/anna"));
        let known = store
            .write(move |tx| {
                let account = accounts::create(tx, "anna", None)?;
                sources::add(tx, account, &path, None, After::Move(done))?;
                sources::list(tx)
            })
            .unwrap();
        let found = |path: &str| find(&at(path), &After::Keep, &known).map(|(overlap, _)| overlap);
        for path in ["mail/anna", "mail/anna/", "link/anna", "mail/bert/../anna", "link/bert/./../anna"] {
            assert_eq!(found(path), Some(Overlap::Same), "{path}");
        }
        assert_eq!(found("link/anna/.Sent"), Some(Overlap::Inside));
        assert_eq!(found("mail/anna/.Not.there/../.Yet"), Some(Overlap::Inside));
        assert_eq!(found("link"), Some(Overlap::Around));
        assert_eq!(found(""), Some(Overlap::Around));
        assert_eq!(found("done"), Some(Overlap::Receives));
        assert_eq!(found("done/anna/.Sent"), Some(Overlap::Receives));
        for path in ["mail/bert", "mail/ann", "done/bert", "mail/anna2"] {
            assert_eq!(found(path), None, "{path}");
        }
        let feeds =
            |target: &str| find(&at("mail/bert"), &After::Move(at(target)), &known).map(|found| found.0);
        assert_eq!(feeds("link/anna/.Old"), Some(Overlap::Feeds));
        assert_eq!(feeds("mail/bert/.Old"), None);
        assert_eq!(feeds("done/anna"), None, "two may be moved to one place");
    }
}
