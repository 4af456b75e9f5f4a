//! Which store is expected in which data folder, remembered outside of it: where a disk is not mounted its folder is
//! empty, and a new store must not be begun there.
//!
//! The file lies beside the configuration, `postern.store` for `postern.toml`. A data folder has two lines: the
//! store's id and the folder's path; and `run`, the number of the run that used it last, and the path, so that
//! an older copy of the store is noticed. Without a configuration file nothing is remembered.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

/// A file of remembered stores is no longer than this, in bytes: some hundred data folders.
const LONGEST: u64 = 64 * 1024;
/// How the line of a folder's last run begins.
const RUN: &str = "run ";
const RUN_DIGITS: usize = 16;

/// What is remembered for a data folder. The file is opened for writing when this is made, so that root can
/// do that before it becomes somebody who may not.
#[derive(Debug)]
pub struct Remembered {
    path: PathBuf,
    data: PathBuf,
    text: String,
    file: Option<File>,
}

impl Remembered {
    /// Reads what the file beside a configuration says of a data folder.
    ///
    /// # Errors
    /// If it is there and cannot be read.
    pub fn load(config: &Path, data: &Path) -> io::Result<Self> {
        let path = config.with_extension("store");
        let data = std::path::absolute(data)?;
        let open = |write| File::options().read(true).write(write).create(write).truncate(false).open(&path);
        let (mut file, writable) = match open(true) {
            Ok(file) => (Some(file), true),
            // Who may not write there still learns what is expected.
            Err(_) => match open(false) {
                Ok(file) => (Some(file), false),
                Err(error) if error.kind() == io::ErrorKind::NotFound => (None, false),
                Err(error) => return Err(error),
            },
        };
        let mut text = String::new();
        if let Some(file) = &mut file {
            file.take(LONGEST).read_to_string(&mut text)?;
        }
        Ok(Remembered { path, data, text, file: file.filter(|_| writable) })
    }

    /// Reads the file again, where that can be done: somebody may have changed it by hand.
    pub fn refresh(&mut self) {
        if let Ok(file) = File::open(&self.path) {
            let mut text = String::new();
            if file.take(LONGEST).read_to_string(&mut text).is_ok() {
                self.text = text;
            }
        }
    }

    /// The id of the store that must be there.
    #[must_use]
    pub fn expected(&self) -> Option<[u8; 16]> {
        // The last line counts: a store that was restored is another than the empty one before it.
        self.text.lines().rev().find_map(|line| {
            let (id, data) = line.split_once(' ')?;
            if Path::new(data) != self.data {
                return None;
            }
            u128::from_str_radix(id, 16).ok().map(u128::to_be_bytes)
        })
    }

    /// The run of the store that used the folder last.
    #[must_use]
    pub fn run(&self) -> Option<u64> {
        let number = self.text.get(self.run_at()?)?;
        u64::from_str_radix(number, 16).ok()
    }

    /// Where in the text the number of the folder's last run stands.
    fn run_at(&self) -> Option<std::ops::Range<usize>> {
        let mut start = 0;
        for line in self.text.split_inclusive('\n') {
            if let Some((number, data)) = line.strip_prefix(RUN).and_then(|rest| rest.split_once(' '))
                && number.len() == RUN_DIGITS
                && data.strip_suffix('\n').is_some_and(|data| Path::new(data) == self.data)
            {
                return Some(start + RUN.len()..start + RUN.len() + RUN_DIGITS);
            }
            start += line.len();
        }
        None
    }

    /// Remembers the run that uses the folder now. Its digits are written over those of the last: they lie in one
    /// sector, so a crash leaves the one or the other.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn remember_run(&mut self, run: u64) -> io::Result<()> {
        let digits = format!("{run:016x}");
        let at = self.run_at();
        let Some(at) = at else { return self.add_line(&format!("{RUN}{digits} {}\n", self.data.display())) };
        let Some(file) = &mut self.file else { return Err(io::ErrorKind::PermissionDenied.into()) };
        file.seek(SeekFrom::Start(at.start as u64))?;
        file.write_all(digits.as_bytes())?;
        file.sync_all()?;
        self.text.replace_range(at, &digits);
        Ok(())
    }

    /// The file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Remembers the store that is there now.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn remember(&mut self, id: [u8; 16]) -> io::Result<()> {
        if self.expected() == Some(id) {
            return Ok(());
        }
        self.add_line(&format!("{:032x} {}\n", u128::from_be_bytes(id), self.data.display()))
    }

    /// Lines are only added: a file that is cut short by a crash still says what it said.
    fn add_line(&mut self, line: &str) -> io::Result<()> {
        let Some(file) = &mut self.file else { return Err(io::ErrorKind::PermissionDenied.into()) };
        let end = file.seek(SeekFrom::End(0))?;
        let start = if end == 0 || self.text.ends_with('\n') { "" } else { "\n" };
        file.write_all(format!("{start}{line}").as_bytes())?;
        file.sync_all()?;
        self.text.push_str(start);
        self.text.push_str(line);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_folder_has_its_line() {
        let folder = tempfile::tempdir().unwrap();
        let config = folder.path().join("postern.toml");
        let load = |data: &str| Remembered::load(&config, Path::new(data)).unwrap();
        assert_eq!(load("/mnt/a").expected(), None);
        load("/mnt/a").remember([1; 16]).unwrap();
        load("/mnt/b").remember([0xfe; 16]).unwrap();
        load("/mnt/b").remember([0xfe; 16]).unwrap();
        assert_eq!(load("/mnt/a").expected(), Some([1; 16]));
        assert_eq!(load("/mnt/b").expected(), Some([0xfe; 16]));
        assert_eq!(load("/mnt/c").expected(), None);
        let text = std::fs::read_to_string(folder.path().join("postern.store")).unwrap();
        assert_eq!(text.lines().count(), 2, "{text}");
    }

    #[test]
    fn the_last_run_is_written_over_the_one_before() {
        let folder = tempfile::tempdir().unwrap();
        let config = folder.path().join("postern.toml");
        let load = |data: &str| Remembered::load(&config, Path::new(data)).unwrap();
        load("/mnt/a").remember([1; 16]).unwrap();
        for run in [7, u64::MAX, 9] {
            load("/mnt/a").remember_run(run).unwrap();
            load("/mnt/a b").remember_run(run / 2).unwrap();
            assert_eq!((load("/mnt/a").run(), load("/mnt/a b").run()), (Some(run), Some(run / 2)));
        }
        assert_eq!((load("/mnt/a").expected(), load("/mnt/c").run()), (Some([1; 16]), None));
        let text = std::fs::read_to_string(folder.path().join("postern.store")).unwrap();
        assert_eq!(text.lines().count(), 3, "{text}");
    }

    #[test]
    fn a_line_that_was_cut_short_says_nothing_and_spoils_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let config = folder.path().join("postern.toml");
        std::fs::write(config.with_extension("store"), "0102 /mnt/a\nxyz /mnt/b\n77").unwrap();
        let mut found = Remembered::load(&config, Path::new("/mnt/b")).unwrap();
        assert_eq!(found.expected(), None);
        found.remember([3; 16]).unwrap();
        assert_eq!(Remembered::load(&config, Path::new("/mnt/b")).unwrap().expected(), Some([3; 16]));
    }

    #[test]
    fn where_nothing_can_be_written_nothing_is_remembered() {
        let mut found = Remembered::load(Path::new("/proc/nowhere.toml"), Path::new("/mnt/a")).unwrap();
        assert_eq!(found.expected(), None);
        assert!(found.remember([1; 16]).is_err());
    }
}
