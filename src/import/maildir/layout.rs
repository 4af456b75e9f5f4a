//! Which folders a Maildir has, in whatever layout they lie.
//!
//! | layout | `Sent/2024` lies in | who |
//! |---|---|---|
//! | Maildir++ | `.Sent.2024/cur` | most mail servers |
//! | nested | `Sent/2024/cur` | mbsync Verbatim, `LAYOUT=fs`, OfflineIMAP |
//! | legacy | `.Sent/.2024/cur` | mbsync Legacy |
//! | dotted | `INBOX.Sent.2024/cur` | OfflineIMAP with its default separator |
//! | KMail's | `.Sent.directory/2024/cur`, beside `Sent/cur` | KMail |
//! | Thunderbird's | `Sent.sbd/2024/cur`, beside `Sent/cur` | Thunderbird, with a file a message |
//!
//! Nobody has to say which: it is seen from the folders. Symbolic links are followed up to and including
//! the root, and nowhere below it: whoever may write into a Maildir must not make the server read (or
//! remove) files elsewhere.

use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use super::folder_name;
use super::keywords::Keywords;
use crate::import::disk::beneath::{Beneath, Entry, Kind};
use crate::import::disk::disk_error::is_gone;
use crate::model::MailboxName;

/// Directories that are looked into before a source counts as too large: someone added `/`.
const MAX_DIRECTORIES: usize = 20_000;

/// The two directories of a folder that hold messages, in the order in which they are listed: what another program
/// moves from the first to the second meanwhile is seen.
pub(crate) const SUBS: [&str; 2] = ["new", "cur"];

/// How the folders lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layout {
    /// One folder, nothing below it.
    Single,
    /// `.Sent.2024`
    MaildirPlusPlus,
    /// `Sent/2024`
    Nested,
    /// `.Sent/.2024`
    Legacy,
    /// `INBOX.Sent.2024` side by side.
    Dotted,
}

impl Layout {
    /// As people call it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Layout::Single => "single folder",
            Layout::MaildirPlusPlus => "Maildir++",
            Layout::Nested => "nested",
            Layout::Legacy => "legacy",
            Layout::Dotted => "dotted",
        }
    }
}

/// A folder: a directory with `cur/` and `new/`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Folder {
    /// Where it lies below the root; empty for the root itself.
    pub path: PathBuf,
    /// The levels of its name; none for the root.
    pub levels: Vec<String>,
    /// Whether bytes of its name had to be written as `=XX`.
    pub escaped: bool,
}

/// What lies in a source.
#[derive(Debug)]
pub struct Found {
    /// How the folders lie.
    pub layout: Layout,
    /// The folders, sorted by path.
    pub folders: Vec<Folder>,
    /// Directories that are no folder, but in which one may appear; below the root.
    pub others: Vec<PathBuf>,
    /// Directories that could not be read; below the root.
    pub unreadable: Vec<(PathBuf, io::Error)>,
    /// Whether there were more directories than are looked into.
    pub too_many: bool,
}

impl Found {
    /// Whether the same directories were found.
    #[must_use]
    pub fn is_as(&self, other: &Found) -> bool {
        let unreadable =
            |found: &Found| found.unreadable.iter().map(|(path, _)| path.clone()).collect::<Vec<_>>();
        self.folders == other.folders && self.others == other.others && unreadable(self) == unreadable(other)
    }
}

/// Looks for the folders below `root`, leaving out what lies in `except` (where imported files are moved
/// to).
///
/// # Errors
/// If the root itself cannot be read.
pub fn discover(root: &Path, except: Option<&Path>) -> io::Result<Found> {
    let root = Beneath::open(root)?;
    let mut walk = Walk { root, except, seen: 0, maildirs: Vec::new(), others: Vec::new() };
    let (mut unreadable, mut too_many) = (Vec::new(), false);
    let mut open = vec![PathBuf::new()];
    while let Some(path) = open.pop() {
        if walk.seen >= MAX_DIRECTORIES {
            too_many = true;
            break;
        }
        match walk.directory(&path) {
            Ok(children) => open.extend(children),
            Err(error) if path.as_os_str().is_empty() => return Err(error),
            Err(error) if is_gone(&error) => {}
            Err(error) => unreadable.push((path, error)),
        }
    }
    let (layout, folders) = named(walk.maildirs);
    walk.others.sort();
    unreadable.sort_by(|(left, _), (right, _)| left.cmp(right));
    Ok(Found { layout, folders, others: walk.others, unreadable, too_many })
}

/// Names folders by their paths below a root.
#[must_use]
pub fn named(mut paths: Vec<PathBuf>) -> (Layout, Vec<Folder>) {
    paths.sort();
    if let Some(above) = above(&paths) {
        let folders = paths.into_iter().map(|path| name(Layout::MaildirPlusPlus, path, above)).collect();
        return (Layout::MaildirPlusPlus, folders);
    }
    let layout = layout_of(&paths);
    let folders = paths.into_iter().map(|path| name(layout, path, 0)).collect();
    (layout, folders)
}

struct Walk<'a> {
    root: Beneath,
    except: Option<&'a Path>,
    seen: usize,
    maildirs: Vec<PathBuf>,
    others: Vec<PathBuf>,
}

impl Walk<'_> {
    /// Files one directory under folders or others; returns the directories in it.
    fn directory(&mut self, path: &Path) -> io::Result<Vec<PathBuf>> {
        self.seen += 1;
        let full = self.root.path().join(path);
        let (mut cur, mut new, mut tmp, mut children) = (false, false, false, Vec::new());
        for entry in self.root.entries(&full)? {
            let Entry { name, kind } = entry?;
            if kind != Kind::Folder {
                continue;
            }
            match name.as_bytes() {
                b"cur" => cur = true,
                b"new" => new = true,
                b"tmp" => tmp = true,
                _ => {}
            }
            children.push(name);
        }
        let is_root = path.as_os_str().is_empty();
        // A folder that is being made has them one after the other; `new` alone is likelier a name.
        let is_maildir = cur || new && (tmp || is_root);
        if is_maildir {
            self.maildirs.push(path.to_owned());
            children.retain(|name| !matches!(name.as_bytes(), b"cur" | b"new" | b"tmp"));
            children.retain(|name| name != Keywords::FOLDER);
        } else if let Some(name) = path.file_name()
            && is_dotted(name)
            && of_kmail(name).is_none()
        {
            // `.git`, `.notmuch`: only a dotted directory that is a folder may hold folders.
            self.others.push(path.to_owned());
            return Ok(Vec::new());
        } else {
            self.others.push(path.to_owned());
        }
        if path.components().count() >= MailboxName::MAX_DEPTH {
            return Ok(Vec::new());
        }
        let except = self.except;
        Ok(children
            .into_iter()
            .filter(|name| except.is_none_or(|except| full.join(name) != except))
            .map(|name| path.join(name))
            .collect())
    }
}

fn is_dotted(name: &OsStr) -> bool {
    name.as_bytes().first() == Some(&b'.')
}

/// The folder whose folders lie in `.Sent.directory`: `Sent`.
pub(crate) fn of_kmail(name: &OsStr) -> Option<&OsStr> {
    let inner = name.as_bytes().strip_prefix(b".")?.strip_suffix(b".directory")?;
    (!inner.is_empty()).then(|| OsStr::from_bytes(inner))
}

/// A level of a name on the disk, without what KMail and Thunderbird add where folders lie in a folder.
fn bare(name: &OsStr, is_last: bool) -> &[u8] {
    let inner = of_kmail(name).unwrap_or(name).as_bytes();
    let sbd = inner.strip_suffix(b".sbd").filter(|rest| !is_last && !rest.is_empty());
    sbd.unwrap_or(inner)
}

fn is_inbox(name: &OsStr) -> bool {
    name.as_bytes().eq_ignore_ascii_case(b"INBOX")
}

/// The components of a path below the root.
fn components(path: &Path) -> Vec<&OsStr> {
    path.iter().collect()
}

/// How deep a Maildir++ lies below the root, where nothing else is there: somebody named the folder that `Maildir` lies in, and
/// `Maildir/.Work.2024` is `Work/2024`, as it is for who names `Maildir`. Legacy has more than one such folder.
fn above(paths: &[PathBuf]) -> Option<usize> {
    let dotted = |name: &OsStr| is_dotted(name) && of_kmail(name).is_none();
    let first = components(paths.first()?);
    let depth = first.iter().position(|name| dotted(name)).unwrap_or(first.len());
    let outer = first.get(..depth).filter(|outer| outer.last().is_some_and(|last| !is_inbox(last)))?;
    let fits = |path: &PathBuf| {
        let path = components(path);
        path.starts_with(outer)
            && match path.get(depth..) {
                Some([]) => true,
                Some([name]) => dotted(name),
                _ => false,
            }
    };
    // One folder alone is just a folder.
    (paths.iter().all(fits) && paths.iter().any(|path| path.iter().count() > depth)).then_some(depth)
}

fn layout_of(paths: &[PathBuf]) -> Layout {
    let paths: Vec<_> = paths.iter().map(|path| components(path)).filter(|path| !path.is_empty()).collect();
    // Dots that Maildir++ does not have: anywhere but directly in the root or in INBOX.
    let foreign_dot = |path: &Vec<&OsStr>| {
        path.iter().enumerate().any(|(n, name)| {
            is_dotted(name)
                && of_kmail(name).is_none()
                && !(n == 0 || n == 1 && path.first().is_some_and(|first| is_inbox(first)))
        })
    };
    if paths.is_empty() {
        Layout::Single
    } else if paths.iter().any(foreign_dot) {
        Layout::Legacy
    } else if paths.iter().flatten().any(|name| is_dotted(name) && of_kmail(name).is_none()) {
        Layout::MaildirPlusPlus
    } else if paths.iter().all(|path| path.len() == 1)
        && paths
            .iter()
            .flatten()
            .any(|name| name.as_bytes().get(..6).is_some_and(|start| start.eq_ignore_ascii_case(b"INBOX.")))
    {
        Layout::Dotted
    } else {
        Layout::Nested
    }
}

/// Names a folder by its path without the first `above` levels.
fn name(layout: Layout, path: PathBuf, above: usize) -> Folder {
    let parts = components(&path).split_off(above);
    let mut levels: Vec<&[u8]> = Vec::new();
    for (n, part) in parts.iter().enumerate() {
        let bytes = part.as_bytes();
        match (layout, bytes) {
            (Layout::Legacy, [b'.', rest @ ..]) => levels.push(rest),
            (Layout::MaildirPlusPlus, [b'.', rest @ ..]) => {
                // Its names count from the top wherever the folder of INBOX lies.
                if n == 1 && parts.first().is_some_and(|first| is_inbox(first)) {
                    levels.clear();
                }
                levels.extend(rest.split(|byte| *byte == b'.'));
            }
            (Layout::Dotted, _) => levels.extend(bytes.split(|byte| *byte == b'.')),
            _ => levels.push(bare(part, n + 1 == parts.len())),
        }
    }
    let levels: Vec<_> =
        levels.into_iter().filter(|level| !level.is_empty()).map(folder_name::decode).collect();
    let escaped = levels.iter().any(|level| level.escaped);
    let levels = levels.into_iter().map(|level| level.text).collect();
    Folder { path, levels, escaped }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn look(folders: &[&str]) -> (Layout, Vec<String>) {
        let root = tempfile::tempdir().unwrap();
        for folder in folders {
            for sub in ["cur", "new", "tmp"] {
                fs::create_dir_all(root.path().join(folder).join(sub)).unwrap();
            }
        }
        let found = discover(root.path(), None).unwrap();
        (found.layout, found.folders.iter().map(|folder| folder.levels.join("/")).collect())
    }

    #[test]
    fn maildir_plus_plus() {
        let (layout, names) = look(&["", ".Sent", ".Sent.2024", ".Entw&APw-rfe", ".a..b"]);
        assert_eq!(layout, Layout::MaildirPlusPlus);
        assert_eq!(names, ["", "Entwürfe", "Sent", "Sent/2024", "a/b"]);
        // mbsync: below the folder of INBOX, meant from the top
        let (layout, names) = look(&["INBOX", "INBOX/.top.sub"]);
        assert_eq!(layout, Layout::MaildirPlusPlus);
        assert_eq!(names, ["INBOX", "top/sub"]);
    }

    #[test]
    fn nested() {
        let (layout, names) = look(&["INBOX", "Sent", "Sent/2024", "a/b.c", "[Gmail]/All Mail"]);
        assert_eq!(layout, Layout::Nested);
        assert_eq!(names, ["INBOX", "Sent", "Sent/2024", "[Gmail]/All Mail", "a/b.c"]);
        let (layout, names) = look(&["", "Sent"]);
        assert_eq!(layout, Layout::Nested);
        assert_eq!(names, ["", "Sent"]);
    }

    #[test]
    fn legacy_dotted_and_single() {
        let (layout, names) = look(&["", ".Sub", ".Sub/.Deep", "top", "top/.x"]);
        assert_eq!(layout, Layout::Legacy);
        assert_eq!(names, ["", "Sub", "Sub/Deep", "top", "top/x"]);
        let (layout, names) = look(&["INBOX", "INBOX.Sent.2024", "Work"]);
        assert_eq!(layout, Layout::Dotted);
        assert_eq!(names, ["INBOX", "INBOX/Sent/2024", "Work"]);
        assert_eq!(look(&[""]), (Layout::Single, vec![String::new()]));
    }

    #[test]
    fn the_folder_that_a_maildir_lies_in() {
        let (layout, names) = look(&["Maildir", "Maildir/.Sent", "Maildir/.Work.2024"]);
        assert_eq!(layout, Layout::MaildirPlusPlus);
        assert_eq!(names, ["", "Sent", "Work/2024"]);
        let (_, names) = look(&["home/anna/Maildir/.Work.2024"]);
        assert_eq!(names, ["Work/2024"], "without an inbox");
        // Two of them are kept apart, and what else lies there keeps its place.
        let (_, names) = look(&["anna", "anna/.Work", "bert", "bert/.Work"]);
        assert_eq!(names, ["anna", "anna/Work", "bert", "bert/Work"]);
        let (layout, names) = look(&["Lists", "Lists/.Rust", "Sent"]);
        assert_eq!(
            (layout, names),
            (Layout::Legacy, ["Lists", "Lists/Rust", "Sent"].map(str::to_owned).to_vec())
        );
        let (layout, names) = look(&["Maildir"]);
        assert_eq!((layout, names), (Layout::Nested, vec!["Maildir".to_owned()]));
        // Courier's keywords are no folder.
        assert_eq!(look(&["", "courierimapkeywords", ".Sent"]).1, ["", "Sent"]);
    }

    #[test]
    fn folders_beside_their_folder() {
        let (layout, names) =
            look(&["inbox", ".inbox.directory/Lists", ".inbox.directory/.Lists.directory/Rust", "sent-mail"]);
        assert_eq!(layout, Layout::Nested);
        assert_eq!(names, ["inbox/Lists/Rust", "inbox/Lists", "inbox", "sent-mail"]);
        let (_, names) = look(&["Inbox", "Work.sbd/Old.sbd/2019", "Work", "odd.sbd"]);
        assert_eq!(names, ["Inbox", "Work", "Work/Old/2019", "odd.sbd"]);
    }

    #[test]
    fn what_is_no_folder_is_left_out() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path();
        for dir in ["cur", "new", ".git/objects/cur", ".half", "sieve/tmp", "Done/cur", ".Moved/cur"] {
            fs::create_dir_all(path.join(dir)).unwrap();
        }
        fs::write(path.join("dovecot.index"), "").unwrap();
        let elsewhere = tempfile::tempdir().unwrap();
        fs::create_dir(elsewhere.path().join("cur")).unwrap();
        std::os::unix::fs::symlink(elsewhere.path(), path.join(".Link")).unwrap();
        std::os::unix::fs::symlink("..", path.join("loop")).unwrap();
        let found = discover(path, Some(&path.join("Done"))).unwrap();
        let names: Vec<_> = found.folders.iter().map(|folder| folder.levels.join("/")).collect();
        assert_eq!(names, ["", "Moved"]);
        assert!(found.others.contains(&PathBuf::from(".half")));
        assert!(discover(&path.join("absent"), None).is_err());
    }

    #[test]
    fn names_that_are_not_utf8() {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir_all(root.path().join(OsStr::from_bytes(b".Entw\xfcrfe")).join("cur")).unwrap();
        let found = discover(root.path(), None).unwrap();
        assert_eq!(found.folders[0].levels, ["Entw=FCrfe"]);
        assert!(found.folders[0].escaped);
    }

    #[test]
    fn depth_is_bounded() {
        let root = tempfile::tempdir().unwrap();
        let deep = "d/".repeat(80);
        fs::create_dir_all(root.path().join(deep).join("cur")).unwrap();
        assert!(discover(root.path(), None).unwrap().folders.is_empty());
    }
}
