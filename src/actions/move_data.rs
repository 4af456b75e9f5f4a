//! The data folder moved to another disk: copied, read back and compared, and only then is it the one. The old
//! folder stays as it is.

use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Component, Path, PathBuf};

use serde::Serialize;

use super::Failure;
use crate::store::env::{Disk, Held, Paths, RealDisk};

/// Bytes read and written at a time.
const CHUNK: usize = 1 << 20;
/// What belongs to a process, not to the store.
const LEFT: [&str; 3] = ["postern.lock", "postern.sock", "deliver.sock"];
/// What is copied last: without it a folder is no store, so one that was copied in part is never taken for one.
const LAST: &str = "index.redb";

/// What was moved.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Moved {
    /// Where it was.
    pub from: PathBuf,
    /// Where it is.
    pub to: PathBuf,
    /// Files.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
}

fn failed(path: &Path, error: &io::Error) -> Failure {
    Failure::Invalid(format!("{}: {error}", path.display()))
}

/// Whether a folder may become the data folder.
///
/// # Errors
/// With the reason: it is not empty, lies on another machine, or one of the two lies within the other.
pub fn check_target(from: &Path, to: &Path) -> Result<(), Failure> {
    let refuse = |why: &str| Err(Failure::Invalid(format!("{}: {why}", to.display())));
    if !to.is_absolute() || to.components().any(|part| part == Component::ParentDir) {
        return refuse("name the folder from / on");
    }
    if to.to_string_lossy().contains(char::is_control) || to.to_str().is_none() {
        return refuse("a configuration cannot name such a folder");
    }
    let from = from.canonicalize().map_err(|error| failed(from, &error))?;
    let above = to.ancestors().find(|folder| folder.exists()).unwrap_or(to);
    let rest = to.strip_prefix(above).unwrap_or(Path::new(""));
    let real = above.canonicalize().map_err(|error| failed(above, &error))?.join(rest);
    if real.starts_with(&from) || from.starts_with(&real) {
        return refuse("the old folder and the new one must not lie within each other");
    }
    match fs::read_dir(to) {
        Ok(mut entries) => {
            // A disk of its own has this folder from the start.
            if entries.any(|entry| entry.is_ok_and(|entry| entry.file_name() != "lost+found")) {
                return refuse("the folder is not empty");
            }
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(failed(to, &error)),
    }
    if RealDisk.is_remote(above).map_err(|error| failed(above, &error))? {
        return refuse(
            "it lies on another machine, whose disk cannot be trusted to keep what it took; use a local disk",
        );
    }
    Ok(())
}

/// Keeps the folder of a store that is closed from being used while it is copied.
///
/// # Errors
/// If another process uses it.
pub fn hold(from: &Path) -> Result<Held, Failure> {
    let lock = Paths { data: from.to_owned() }.lock();
    RealDisk.lock(&lock).map_err(|error| match error.kind() {
        io::ErrorKind::WouldBlock => Failure::Invalid(format!("the data folder is in use by {error}")),
        _ => failed(&lock, &error),
    })
}

/// Copies a store that is closed to a folder that [`check_target`] allows, and compares what was written with what
/// was read. `progress` is told the bytes done and to be done.
///
/// # Errors
/// Of reading, writing or room; if a copy differs. What was copied so far is no store.
pub fn copy(from: &Path, to: &Path, progress: &mut dyn FnMut(u64, u64)) -> Result<Moved, Failure> {
    let mut files = files_of(from, Path::new(""))?;
    files.sort_by_key(|(name, _)| (name == Path::new(LAST), name.clone()));
    let bytes = files.iter().map(|(_, length)| length).sum();
    fs::create_dir_all(to).map_err(|error| failed(to, &error))?;
    check_room(to, bytes)?;
    let mut done = 0;
    for (name, length) in &files {
        copy_file(&from.join(name), &to.join(name)).map_err(|error| failed(&to.join(name), &error))?;
        done += length;
        progress(done, bytes);
    }
    Ok(Moved { from: from.to_owned(), to: to.to_owned(), files: files.len() as u64, bytes })
}

/// Deletes what [`copy`] left of a copy that failed.
pub fn clean(from: &Path, to: &Path) {
    for (name, _) in files_of(from, Path::new("")).unwrap_or_default() {
        let _ = fs::remove_file(to.join(name));
    }
}

fn files_of(root: &Path, folder: &Path) -> Result<Vec<(PathBuf, u64)>, Failure> {
    let path = root.join(folder);
    let reading = |error: io::Error| failed(&path, &error);
    let mut files = Vec::new();
    for entry in fs::read_dir(&path).map_err(reading)? {
        let entry = entry.map_err(reading)?;
        let about = entry.metadata().map_err(reading)?;
        let name = folder.join(entry.file_name());
        if about.is_dir() && entry.file_name() != "lost+found" {
            files.extend(files_of(root, &name)?);
        } else if about.is_file() && !LEFT.iter().any(|left| name == Path::new(left)) {
            files.push((name, about.len()));
        }
    }
    Ok(files)
}

fn check_room(to: &Path, bytes: u64) -> Result<(), Failure> {
    let free = RealDisk.free_space(to).map_err(|error| failed(to, &error))?;
    // Some of it is holes; and the store keeps a reserve of its own.
    if free < bytes {
        let mb = |bytes: u64| bytes.div_ceil(1_000_000);
        let what = format!("{} MB are needed, {} MB are free there", mb(bytes), mb(free));
        return Err(Failure::Invalid(format!("{}: {what}", to.display())));
    }
    Ok(())
}

/// Copied, made durable, and read back from the disk.
fn copy_file(from: &Path, to: &Path) -> io::Result<()> {
    use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
    let folder = to.parent().unwrap_or(to);
    fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    let mut input = File::open(from)?;
    let mut output = File::options().write(true).create(true).truncate(true).mode(0o600).open(to)?;
    let hash = pour(&mut input, &mut output)?;
    output.sync_all()?;
    File::open(folder)?.sync_all()?;
    let mut back = File::open(to)?;
    // What the cache remembers says nothing of the disk.
    let _ = rustix::fs::fadvise(&back, 0, None, rustix::fs::Advice::DontNeed);
    let mut hasher = blake3::Hasher::new();
    read_all(&mut back, &mut |part| {
        hasher.update(part);
        Ok(())
    })?;
    if hasher.finalize() == hash {
        Ok(())
    } else {
        Err(io::Error::other("the copy differs from what was written"))
    }
}

fn read_all(input: &mut File, take: &mut dyn FnMut(&[u8]) -> io::Result<()>) -> io::Result<()> {
    let mut buffer = vec![0; CHUNK];
    loop {
        let count = input.read(&mut buffer)?;
        let Some(part) = buffer.get(..count).filter(|part| !part.is_empty()) else { return Ok(()) };
        take(part)?;
    }
}

/// Holes stay holes, but for the journal, whose zeros are there so that a sync need not find room for them.
fn pour(input: &mut File, output: &mut File) -> io::Result<blake3::Hash> {
    let (mut hasher, mut length) = (blake3::Hasher::new(), 0);
    let holes =
        rustix::fs::fstat(&*input).is_ok_and(|about| (about.st_blocks as u64) * 512 < about.st_size as u64);
    read_all(input, &mut |part| {
        hasher.update(part);
        length += part.len() as u64;
        if holes && part.iter().all(|byte| *byte == 0) {
            output.seek(SeekFrom::Current(part.len() as i64)).map(|_| ())
        } else {
            output.write_all(part)
        }
    })?;
    output.set_len(length)?;
    Ok(hasher.finalize())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::actions::Context;
    use crate::store::{accounts, sim::Dice};

    fn filled(folder: &Path) {
        let context = Context::in_folder(folder);
        context.store.write(|tx| accounts::create(tx, "anna", None)).unwrap();
        context.store.close().unwrap();
    }

    #[test]
    fn what_was_moved_opens_and_the_old_folder_stays() {
        let folder = tempfile::tempdir().unwrap();
        let (from, to) = (folder.path().join("old"), folder.path().join("disk/new"));
        filled(&from);
        check_target(&from, &to).unwrap();
        let held = hold(&from).unwrap();
        assert!(hold(&from).is_err());
        let mut told = Vec::new();
        let moved = copy(&from, &to, &mut |done, all| told.push((done, all))).unwrap();
        assert_eq!(told.last(), Some(&(moved.bytes, moved.bytes)));
        assert_eq!(told.len() as u64, moved.files);
        drop(held);
        for place in [&to, &from] {
            let context = Context::in_folder(place);
            assert_eq!(accounts::list(&context.store.snapshot().unwrap()).unwrap().len(), 1);
            assert!(context.store.condition().is_well());
        }
        assert!(check_target(&from, &to).is_err(), "it is not empty any more");
    }

    #[test]
    fn a_copy_that_was_cut_short_is_no_store() {
        let folder = tempfile::tempdir().unwrap();
        let (from, to) = (folder.path().join("old"), folder.path().join("new"));
        filled(&from);
        let mut left = Dice::new(3).below(3) + 1;
        let stopped = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            copy(&from, &to, &mut |_, _| {
                left -= 1;
                assert!(left > 0, "the machine stops here");
            })
        }));
        assert!(stopped.is_err());
        assert!(!crate::store::exists(&to));
        clean(&from, &to);
        check_target(&from, &to).unwrap_err();
        std::fs::remove_dir_all(&to).unwrap();
        check_target(&from, &to).unwrap();
    }

    #[test]
    fn folders_that_will_not_do_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let from = folder.path().join("old");
        filled(&from);
        let refused = |to: &Path| check_target(&from, to).unwrap_err().to_string();
        assert!(refused(&from.join("mail/x")).contains("within"));
        assert!(refused(folder.path()).contains("within"));
        assert!(refused(Path::new("relative")).contains("from /"));
        std::os::unix::fs::symlink(&from, folder.path().join("link")).unwrap();
        assert!(refused(&folder.path().join("link/x")).contains("within"));
    }
}
