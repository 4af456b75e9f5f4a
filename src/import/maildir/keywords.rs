//! What the letters in a folder's names of files mean.

use std::io::{self, Read};
use std::path::Path;

use crate::import::disk::beneath::Beneath;
use crate::import::disk::disk_error::is_gone;
use crate::model::Keyword;

/// Keywords have one letter each, `a` to `z`.
const LETTERS: usize = 26;

/// What the letters `a` to `z` mean in one folder: the file `dovecot-keywords`, lines of a number and a
/// keyword, 0 for `a`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Keywords(Vec<Option<Keyword>>);

impl Keywords {
    /// The name of the file in the folder.
    pub const FILE: &'static str = "dovecot-keywords";
    /// 26 lines need far less; more is no such file.
    pub const MAX_FILE: u64 = 64 * 1024;

    /// Reads the file's text. Lines that are not of this form, and names that are no keywords, are left
    /// out.
    #[must_use]
    pub fn parse(text: &[u8]) -> Self {
        let mut table = vec![None; LETTERS];
        for line in String::from_utf8_lossy(text).lines() {
            let Some((number, name)) = line.trim().split_once(' ') else { continue };
            let slot = number.parse().ok().and_then(|number: usize| table.get_mut(number));
            if let Some(slot) = slot {
                *slot = Keyword::new(name.trim());
            }
        }
        Keywords(table)
    }

    /// The keyword of a letter.
    #[must_use]
    pub fn by_letter(&self, letter: u8) -> Option<&Keyword> {
        let index = letter.checked_sub(b'a')?;
        self.0.get(usize::from(index))?.as_ref()
    }
}

/// What the letters of a folder's files mean; nothing where the folder has no such file.
///
/// # Errors
/// If there is one that cannot be read.
pub(crate) fn read(root: &Beneath, folder: &Path) -> io::Result<Keywords> {
    let mut text = Vec::new();
    match root.file(&folder.join(Keywords::FILE)) {
        Ok(file) => drop(file.take(Keywords::MAX_FILE).read_to_end(&mut text)?),
        Err(error) if is_gone(&error) => {}
        Err(error) => return Err(error),
    }
    Ok(Keywords::parse(&text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keywords_that_cannot_be_read_are_not_none() {
        let folder = tempfile::tempdir().unwrap();
        let root = Beneath::open(folder.path()).unwrap();
        let keywords = |folder: &Path| read(&root, folder);
        assert_eq!(keywords(folder.path()).unwrap(), Keywords::parse(b""));
        assert_eq!(keywords(&folder.path().join("absent")).unwrap(), Keywords::parse(b""));
        std::fs::create_dir(folder.path().join(Keywords::FILE)).unwrap();
        assert!(keywords(folder.path()).is_err());
    }
}
