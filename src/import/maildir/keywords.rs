//! The keywords of a folder's messages, in the forms of the servers that wrote it.
//!
//! | who | where |
//! |---|---|
//! | Dovecot | letters `a` to `z` in names of files, which `dovecot-keywords` explains: lines of a number and a keyword, 0 for `a` |
//! | Courier | `courierimapkeywords/:list`: a keyword a line, an empty line, then lines of a file's name, `:`, and numbers of keywords, from 0 on |
//! | Courier | what changed since: a file called as the message, or `.n.` and that, the highest `n` the newest, with a keyword a line |
//!
//! Courier's names of files are those of messages up to the colon.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use crate::import::disk::beneath::{Beneath, Kind};
use crate::import::disk::disk_error::is_gone;
use crate::model::Keyword;

/// Keywords have one letter each, `a` to `z`.
const LETTERS: usize = 26;
/// Keywords of Courier's list that are kept; a mailbox here has no more either.
const MOST_LISTED: usize = 64;
/// Messages whose keywords are kept.
const MOST_NAMED: usize = 100_000;
/// Courier's files of what changed since it wrote its list, which it does at every look at the folder.
const MOST_CHANGED: usize = 10_000;

/// What is told of the keywords of one folder.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Keywords {
    letters: Vec<Option<Keyword>>,
    /// By the names of messages up to the colon.
    named: HashMap<Vec<u8>, Vec<Keyword>>,
}

impl Keywords {
    /// The name of the file in the folder.
    pub const FILE: &'static str = "dovecot-keywords";
    /// 26 lines need far less; more is no such file.
    pub const MAX_FILE: u64 = 64 * 1024;
    /// Courier's directory in the folder.
    pub const FOLDER: &'static str = "courierimapkeywords";
    /// The file in it.
    pub const LIST: &'static str = ":list";
    /// A line a message.
    pub const MAX_LIST: u64 = 8 << 20;

    /// Reads the text of Dovecot's file. Lines that are not of this form, and names that are no keywords, are left
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
        Keywords { letters: table, named: HashMap::new() }
    }

    /// Reads Courier's list as well.
    pub fn add_list(&mut self, text: &[u8]) {
        let mut lines = text.split(|byte| *byte == b'\n');
        let names = lines.by_ref().take_while(|line| !line.is_empty());
        let listed: Vec<_> = names.take(MOST_LISTED).map(keyword).collect();
        for line in lines {
            let Some(colon) = line.iter().rposition(|byte| *byte == b':') else { continue };
            let (name, numbers) = line.split_at(colon);
            let numbers = String::from_utf8_lossy(numbers.get(1..).unwrap_or_default()).into_owned();
            let numbers = numbers.split_whitespace().filter_map(|number| number.parse::<usize>().ok());
            let found = numbers.filter_map(|number| listed.get(number)?.clone());
            self.name(name, found.take(MOST_LISTED).collect());
        }
    }

    /// Reads what Courier tells of one message: all of its keywords, whatever the list says.
    pub fn add_one(&mut self, name: &[u8], text: &[u8]) {
        self.name(name, text.split(|byte| *byte == b'\n').filter_map(keyword).take(MOST_LISTED).collect());
    }

    fn name(&mut self, name: &[u8], keywords: Vec<Keyword>) {
        if keywords.is_empty() {
            self.named.remove(name);
        } else if self.named.len() < MOST_NAMED || self.named.contains_key(name) {
            self.named.insert(name.to_vec(), keywords);
        }
    }

    /// The keyword of a letter.
    #[must_use]
    pub fn by_letter(&self, letter: u8) -> Option<&Keyword> {
        let index = letter.checked_sub(b'a')?;
        self.letters.get(usize::from(index))?.as_ref()
    }

    /// The keywords of a message by its name up to the colon.
    #[must_use]
    pub fn by_name(&self, bare: &[u8]) -> &[Keyword] {
        self.named.get(bare).map_or(&[], Vec::as_slice)
    }
}

fn keyword(line: &[u8]) -> Option<Keyword> {
    Keyword::new(std::str::from_utf8(line.trim_ascii()).ok()?)
}

/// What a folder tells of its messages' keywords; nothing where it has no such files.
///
/// # Errors
/// If there is one that cannot be read: what is imported without its keywords never gets them.
pub(crate) fn read(root: &Beneath, folder: &Path) -> io::Result<Keywords> {
    let text = text(root, &folder.join(Keywords::FILE), Keywords::MAX_FILE)?.unwrap_or_default();
    let mut keywords = Keywords::parse(&text);
    courier(root, &folder.join(Keywords::FOLDER), &mut keywords)?;
    Ok(keywords)
}

fn courier(root: &Beneath, folder: &Path, keywords: &mut Keywords) -> io::Result<()> {
    let entries = match root.entries(folder) {
        Ok(entries) => entries,
        Err(error) if is_gone(&error) => return Ok(()),
        Err(error) => return Err(error),
    };
    // The newest of each message; one without a number is newer than any with one.
    let mut newest: HashMap<Vec<u8>, u64> = HashMap::new();
    for entry in entries {
        let entry = entry?;
        if entry.kind != Kind::File || entry.name == Keywords::LIST || newest.len() >= MOST_CHANGED {
            continue;
        }
        let Some((name, number)) = changed(entry.name.as_bytes()) else { continue };
        let known = newest.entry(name.to_vec()).or_insert(number);
        *known = number.max(*known);
    }
    if let Some(list) = text(root, &folder.join(Keywords::LIST), Keywords::MAX_LIST)? {
        keywords.add_list(&list);
    }
    for (name, number) in newest {
        let mut file = name.clone();
        if number < u64::MAX {
            file.splice(..0, format!(".{number}.").into_bytes());
        }
        // Courier has put it into its list meanwhile.
        let found = text(root, &folder.join(OsStr::from_bytes(&file)), Keywords::MAX_FILE)?;
        if let Some(found) = found {
            keywords.add_one(&name, &found);
        }
    }
    Ok(())
}

/// Of which message a file tells, and which is the newer: `1700000000.a`, `.3.1700000000.a`.
fn changed(name: &[u8]) -> Option<(&[u8], u64)> {
    let Some(rest) = name.strip_prefix(b".") else { return Some((name, u64::MAX)) };
    let (number, name) = rest.split_at(rest.iter().position(|byte| *byte == b'.')?);
    let number = std::str::from_utf8(number).ok()?.parse::<u32>().ok()?;
    Some((name.get(1..).filter(|name| !name.is_empty())?, u64::from(number)))
}

fn text(root: &Beneath, path: &Path, most: u64) -> io::Result<Option<Vec<u8>>> {
    let mut text = Vec::new();
    match root.file(path) {
        Ok(file) => file.take(most).read_to_end(&mut text).map(|_| Some(text)),
        Err(error) if is_gone(&error) => Ok(None),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(keywords: &Keywords, name: &str) -> Vec<String> {
        let bare = name.split(':').next().unwrap();
        keywords.by_name(bare.as_bytes()).iter().map(|word| word.as_str().to_owned()).collect()
    }

    #[test]
    fn keywords_that_cannot_be_read_are_not_none() {
        let folder = tempfile::tempdir().unwrap();
        let root = Beneath::open(folder.path()).unwrap();
        let keywords = |folder: &Path| read(&root, folder);
        assert_eq!(keywords(folder.path()).unwrap(), Keywords::parse(b""));
        assert_eq!(keywords(&folder.path().join("absent")).unwrap(), Keywords::parse(b""));
        std::fs::create_dir(folder.path().join(Keywords::FILE)).unwrap();
        assert!(keywords(folder.path()).is_err());
        std::fs::remove_dir(folder.path().join(Keywords::FILE)).unwrap();
        std::fs::create_dir_all(folder.path().join(Keywords::FOLDER).join(Keywords::LIST)).unwrap();
        assert!(keywords(folder.path()).is_err());
    }

    #[test]
    fn courier_keeps_them_beside_the_messages() {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().join(Keywords::FOLDER);
        std::fs::create_dir(&folder).unwrap();
        let put = |name: &str, text: &str| std::fs::write(folder.join(name), text).unwrap();
        put(
            ":list",
            "$Forwarded\nLater\nno keyword{\nNonJunk\n\n1700000001.a,S=12:0 3\n1700000002.b:1\n1700000003.c:2 9 x\n\
             1700000004.d:1\n1700000005.e:1\nodd\n:1\n",
        );
        // Changed since: the highest number, and before it the one without.
        put(".1.1700000002.b", "Old\n");
        put(".12.1700000002.b", "$Forwarded\nNew\n");
        put(".2.1700000002.b", "Older\n");
        put("1700000004.d", "");
        put(".3.1700000004.d", "Gone\n");
        put(".7.1700000006.f", "Own\n");
        put(".x.1700000006.f", "None\n");
        let keywords = read(&Beneath::open(root.path()).unwrap(), root.path()).unwrap();
        assert_eq!(words(&keywords, "1700000001.a,S=12:2,S"), ["$Forwarded", "NonJunk"]);
        assert_eq!(words(&keywords, "1700000002.b:2,"), ["$Forwarded", "New"]);
        assert_eq!(words(&keywords, "1700000003.c"), [""; 0]);
        assert_eq!(words(&keywords, "1700000004.d:2,S"), [""; 0]);
        assert_eq!(words(&keywords, "1700000005.e:2,S"), ["Later"]);
        assert_eq!(words(&keywords, "1700000006.f:2,S"), ["Own"]);
        let flags = crate::import::maildir::message_name::flags(b"1700000001.a,S=12:2,S", &keywords);
        let told: Vec<_> = flags.keywords.iter().map(Keyword::as_str).collect();
        assert_eq!(told, ["$Forwarded", "NonJunk"]);
    }

    #[test]
    fn what_is_held_is_bounded() {
        let mut list = (0..200).map(|n| format!("word{n}\n")).collect::<String>();
        list.push('\n');
        list.extend((0..120_000).map(|n| format!("{n}.a:{}\n", n % 200)));
        let mut keywords = Keywords::default();
        keywords.add_list(list.as_bytes());
        assert!(keywords.named.len() <= MOST_NAMED);
        assert_eq!(words(&keywords, "63.a"), ["word63"]);
        assert_eq!(words(&keywords, "64.a"), [""; 0]);
    }
}
