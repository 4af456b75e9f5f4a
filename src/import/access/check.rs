//! Whether this process may do with a Maildir what a source needs: run before a source is added, as the
//! user that the server runs as.
//!
//! The advice is exact: lines to paste into a root shell. An ACL is the narrowest way in; it leaves owner
//! and mode alone. One thing it cannot do: a program that makes new files with mode 0600 masks the ACL
//! away. `share` mends that, and where it does not run the status names the files that could not be read.

use std::io;
use std::path::{Path, PathBuf};

use rustix::fs::{Access, AtFlags, CWD, accessat};
use rustix::io::Errno;

use super::sandbox::{self, quote};
use crate::import::disk::disk_error::{is_denied, is_gone, words};
use crate::import::maildir::layout::{self, Layout};
use crate::store::sources::After;

/// What lies in a path that may be added.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Summary {
    /// How the folders lie.
    pub layout: Layout,
    /// How many folders there are.
    pub folders: u64,
    /// How many files lie in their `new/` and `cur/`.
    pub messages: u64,
}

/// Why a path cannot be a source.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}: {needs}", path.display())]
pub struct AccessProblem {
    /// The path that stands in the way.
    pub path: PathBuf,
    /// What is needed there.
    pub needs: String,
    /// Lines for a root shell that allow it; none where that is not the cure.
    pub advice: Vec<String>,
}

/// Tests everything that a source at `path` needs, and counts what it holds.
///
/// # Errors
/// The first thing that stands in the way.
pub fn check_access(path: &Path, after: &After) -> Result<Summary, AccessProblem> {
    if !path.is_absolute() {
        return Err(problem(path, "the path must be absolute"));
    }
    if let Some(drop_in) = sandbox::missing(path, after) {
        let mut advice = drop_in.advice();
        // systemd makes what lies above it in the service's view: there nobody stands in the way.
        advice.extend(allow(&user(), path, !matches!(after, After::Keep), &[]));
        advice.extend(sandbox::share_advice(path));
        let needs = "is not open to the service, which sees no home folders and writes only to its own";
        return Err(AccessProblem { path: path.to_owned(), needs: needs.to_owned(), advice });
    }
    let writes = !matches!(after, After::Keep);
    let advise = |needs: &str, blocked: &Path| AccessProblem {
        path: blocked.to_owned(),
        needs: format!("{} may not {needs} it", user()),
        advice: allow(&user(), path, writes, &blocked_parents(path)),
    };
    if let Some(parent) = blocked_parents(path).first() {
        return Err(advise("enter", parent));
    }
    match std::fs::metadata(path) {
        Err(error) if is_gone(&error) => return Err(problem(path, "there is no such folder")),
        Err(error) if !is_denied(&error) => return Err(problem(path, &words(&error))),
        Ok(metadata) if !metadata.is_dir() => return Err(problem(path, "is not a folder")),
        _ => {}
    }
    if !may(path, Access::READ_OK | Access::EXEC_OK) {
        return Err(advise("read", path));
    }
    let except = match after {
        After::Move(target) => Some(target.as_path()),
        After::Keep | After::Delete => None,
    };
    // Rights help against nothing else.
    let unread = |path: &Path, error: &io::Error| match is_denied(error) {
        true => advise("read", path),
        false => problem(path, &words(error)),
    };
    let found = layout::discover(path, except).map_err(|error| unread(path, &error))?;
    if let Some((blocked, error)) = found.unreadable.first() {
        return Err(unread(&path.join(blocked), error));
    }
    if found.too_many {
        return Err(problem(path, "has too many folders below it to be a Maildir"));
    }
    if found.folders.is_empty() {
        return Err(problem(path, "has no cur/ and new/, nor has any folder in it: it is no Maildir"));
    }
    let mut messages = 0;
    for folder in &found.folders {
        for sub in ["new", "cur"] {
            messages += check_messages(&path.join(&folder.path).join(sub), writes, &advise)?;
        }
    }
    if let After::Move(target) = after {
        check_target(path, target)?;
    }
    Ok(Summary { layout: found.layout, folders: found.folders.len() as u64, messages })
}

/// One `new/` or `cur/`: readable, its first file too, writable where files are to go. Returns the count.
fn check_messages(
    dir: &Path,
    writes: bool,
    advise: &dyn Fn(&str, &Path) -> AccessProblem,
) -> Result<u64, AccessProblem> {
    if dir.symlink_metadata().is_err_and(|error| is_gone(&error)) {
        return Ok(0);
    }
    if !may(dir, Access::READ_OK | Access::EXEC_OK) {
        return Err(advise("read", dir));
    }
    if writes && !may(dir, Access::WRITE_OK) {
        return Err(advise("remove files from", dir));
    }
    let (mut count, mut tried) = (0, false);
    let entries = match std::fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(error) if is_gone(&error) => return Ok(0),
        Err(error) if is_denied(&error) => return Err(advise("read", dir)),
        Err(error) => return Err(problem(dir, &words(&error))),
    };
    for entry in entries {
        let Ok(entry) = entry else { continue };
        if !entry.file_type().is_ok_and(|kind| kind.is_file()) {
            continue;
        }
        count += 1;
        if !tried {
            tried = true;
            if accessat(CWD, entry.path(), Access::READ_OK, AtFlags::EACCESS) == Err(Errno::ACCESS) {
                return Err(advise("read", &entry.path()));
            }
        }
    }
    Ok(count)
}

/// Where files are to be moved: it, or the nearest folder above it that is there, must be writable.
fn check_target(source: &Path, target: &Path) -> Result<(), AccessProblem> {
    if !target.is_absolute() {
        return Err(problem(target, "the folder to move to must be absolute"));
    }
    if target == source || source.starts_with(target) {
        return Err(problem(target, "the folder to move to must not hold the source itself"));
    }
    let nearest = target.ancestors().find(|path| path.exists()).unwrap_or(target);
    if nearest.is_dir() && may(nearest, Access::WRITE_OK | Access::EXEC_OK) {
        return Ok(());
    }
    Err(AccessProblem {
        path: nearest.to_owned(),
        needs: format!("{} may not write to it", user()),
        advice: allow(&user(), nearest, true, &blocked_parents(nearest)),
    })
}

/// The lines that let `user` in: through the parents that block, then the tree as it is, then whatever is
/// made in it later.
fn allow(user: &str, tree: &Path, writes: bool, parents: &[PathBuf]) -> Vec<String> {
    let rights = if writes { "rwX" } else { "rX" };
    let mut lines: Vec<_> =
        parents.iter().map(|parent| format!("setfacl -m u:{user}:x {}", quote(parent))).collect();
    lines.push(format!("setfacl -R -m u:{user}:{rights} {}", quote(tree)));
    lines.push(format!("setfacl -R -d -m u:{user}:{rights} {}", quote(tree)));
    lines
}

/// The directories above `path` from the first that may not be entered on: what lies behind that one
/// cannot be tested, and needs the same line unless it is open to all.
fn blocked_parents(path: &Path) -> Vec<PathBuf> {
    let mut parents: Vec<_> = path.ancestors().skip(1).collect();
    parents.reverse();
    let denied = |path: &Path| accessat(CWD, path, Access::EXEC_OK, AtFlags::EACCESS) == Err(Errno::ACCESS);
    parents.into_iter().skip_while(|parent| !denied(parent)).map(Path::to_owned).collect()
}

fn may(path: &Path, access: Access) -> bool {
    accessat(CWD, path, access, AtFlags::EACCESS).is_ok()
}

fn problem(path: &Path, needs: &str) -> AccessProblem {
    AccessProblem { path: path.to_owned(), needs: needs.to_owned(), advice: Vec::new() }
}

/// The name of the user that this process runs as, or its number: `setfacl` takes both.
fn user() -> String {
    let uid = rustix::process::geteuid().as_raw().to_string();
    let passwd = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    let name = passwd.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)? == uid).then(|| name.to_owned())
    });
    name.unwrap_or(uid)
}

/// The advice for a folder that cannot be read any more, for the status.
pub(crate) fn advice_for(root: &Path, after: &After) -> Vec<String> {
    if let Some(drop_in) = sandbox::missing(root, after) {
        return drop_in.advice();
    }
    let mut advice = allow(&user(), root, !matches!(after, After::Keep), &blocked_parents(root));
    advice.extend(sandbox::share_advice(root));
    advice
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::PermissionsExt;
    use std::os::unix::process::CommandExt;

    fn maildir(root: &Path) {
        for sub in ["cur", "new", "tmp", ".Sent/cur", ".Sent/new"] {
            fs::create_dir_all(root.join(sub)).unwrap();
        }
        fs::write(root.join("new/1.a.b"), "Subject: x\n\nx\n").unwrap();
        fs::write(root.join(".Sent/cur/2.a.b:2,S"), "Subject: x\n\nx\n").unwrap();
    }

    #[test]
    fn counts_what_it_finds() {
        let root = tempfile::tempdir().unwrap();
        maildir(root.path());
        let found = check_access(root.path(), &After::Delete).unwrap();
        assert_eq!(found, Summary { layout: Layout::MaildirPlusPlus, folders: 2, messages: 2 });
        let moved = check_access(root.path(), &After::Move(root.path().join("done/deep")));
        assert!(moved.is_ok());
    }

    #[test]
    fn says_what_is_wrong() {
        let root = tempfile::tempdir().unwrap();
        for (path, after, wanted) in [
            (root.path().to_owned(), After::Keep, "no Maildir"),
            (root.path().join("absent"), After::Keep, "no such folder"),
            (PathBuf::from("mail"), After::Keep, "absolute"),
            (PathBuf::from("/etc/passwd"), After::Keep, "not a folder"),
        ] {
            let problem = check_access(&path, &after).unwrap_err();
            assert!(problem.to_string().contains(wanted), "{problem}");
        }
        maildir(root.path());
        let above = root.path().parent().unwrap().to_owned();
        assert!(check_access(root.path(), &After::Move(above)).is_err());
    }

    #[test]
    fn advice_is_for_a_shell() {
        let lines = allow("postern", Path::new("/home/al ice/Mail"), true, &["/home/al ice".into()]);
        assert_eq!(
            lines,
            [
                "setfacl -m u:postern:x '/home/al ice'",
                "setfacl -R -m u:postern:rwX '/home/al ice/Mail'",
                "setfacl -R -d -m u:postern:rwX '/home/al ice/Mail'",
            ]
        );
        assert_eq!(quote(Path::new("/a'b")), r"'/a'\''b'");
    }

    /// Run again by the test below as a user who may not do everything.
    #[test]
    #[ignore = "run by as_another_user"]
    fn as_nobody() {
        let Some(root) = std::env::var_os("POSTERN_TEST_MAILDIR") else { return };
        let root = Path::new(&root);
        let blocked = check_access(&root.join("closed/Mail"), &After::Keep).unwrap_err();
        assert_eq!(blocked.path, root.join("closed"));
        assert!(blocked.advice[0].ends_with("closed"), "{:?}", blocked.advice);
        assert!(check_access(&root.join("open"), &After::Keep).is_ok());
        let blocked = check_access(&root.join("open"), &After::Delete).unwrap_err();
        assert!(blocked.needs.contains("remove files from"), "{}", blocked.needs);
        assert!(blocked.advice[0].contains(":rwX "));
        let blocked = check_access(&root.join("secret"), &After::Keep).unwrap_err();
        assert_eq!(blocked.path, root.join("secret/new/1.a.b"));
    }

    #[test]
    fn as_another_user() {
        if !rustix::process::geteuid().is_root() {
            return;
        }
        let root = tempfile::tempdir().unwrap();
        let mode = |path: &str, mode| {
            fs::set_permissions(root.path().join(path), fs::Permissions::from_mode(mode)).unwrap();
        };
        for name in ["closed/Mail", "open", "secret"] {
            maildir(&root.path().join(name));
        }
        let (_, within) = module_path!().split_once("::").unwrap();
        mode("", 0o755);
        mode("closed", 0o700);
        mode("secret/new/1.a.b", 0o600);
        // The test binary may lie where nobody else may look.
        let copy = root.path().join("test");
        fs::copy(std::env::current_exe().unwrap(), &copy).unwrap();
        let output = std::process::Command::new(&copy)
            .args(["--ignored", "--exact", &format!("{within}::as_nobody")])
            .env("POSTERN_TEST_MAILDIR", root.path())
            .uid(65534)
            .gid(65534)
            .current_dir("/")
            .output()
            .unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success() && text.contains("1 passed"), "{text}");
    }
}
