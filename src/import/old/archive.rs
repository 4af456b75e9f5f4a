//! Archives of mail, read without unpacking them: zip, tar, and either of tar and a single file under gzip.
//!
//! Nothing of an archive is ever written under its own name, so that a hostile name can do no harm; what is
//! inflated is streamed, so that a hostile size cannot either.

use std::collections::{BTreeMap, HashMap};
use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, BufReader, Read, Seek};
use std::path::{Component, Path, PathBuf};

use tar::EntryType;
use zip::ZipArchive;

use crate::import::disk::bounds::Bounds;
use crate::import::disk::coding::{self, Coding, Start};
use crate::import::disk::window::Window;
use crate::import::maildir::keywords::Keywords;
use crate::import::maildir::layout::{self, Folder};
use crate::import::maildir::message_name;
use crate::import::maildir::roles;

/// Directories of an archive that are noted; in more than these no Maildir is looked for.
const MAX_DIRECTORIES: usize = 20_000;
/// A header of a file in a zip, without its name.
const ZIP_HEADER: u64 = 30;
/// A header of tar.
const TAR_BLOCK: usize = 512;

/// What kind of archive a file is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// zip
    Zip,
    /// tar
    Tar,
    /// A packed tar
    PackedTar(Coding),
    /// A packed file
    Packed(Coding),
}

/// What kind of archive a file is, if it is one.
///
/// # Errors
/// Of reading.
pub fn kind(file: &mut File) -> io::Result<Option<Kind>> {
    let mut start = Window::new(&mut *file);
    start.ensure(TAR_BLOCK)?;
    let found = match start.bytes() {
        [b'P', b'K', 3, 4, ..] | [b'P', b'K', 5, 6, ..] => Some(Kind::Zip),
        bytes if is_tar(bytes) => Some(Kind::Tar),
        bytes => match coding::start(bytes) {
            Start::Packed(coding) => Some(Kind::Packed(coding)),
            Start::Plain | Start::Closed(_) => None,
        },
    };
    file.rewind()?;
    let Some(Kind::Packed(coding)) = found else { return Ok(found) };
    let mut unpacked = Window::new(coding::unpack(coding, &mut *file)?);
    unpacked.ensure(TAR_BLOCK)?;
    let found = if is_tar(unpacked.bytes()) { Kind::PackedTar(coding) } else { Kind::Packed(coding) };
    drop(unpacked);
    file.rewind()?;
    Ok(Some(found))
}

/// A header's checksum is the sum of its bytes, with its own place as spaces.
fn is_tar(bytes: &[u8]) -> bool {
    let (Some(block), Some(field)) = (bytes.get(..TAR_BLOCK), bytes.get(148..156)) else { return false };
    let text = String::from_utf8_lossy(field);
    let told = u32::from_str_radix(text.trim_matches(['\0', ' ']), 8);
    let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
    let own: u32 = field.iter().map(|byte| u32::from(*byte)).sum();
    told.is_ok_and(|told| told == sum - own + 8 * u32::from(b' ')) && block.iter().any(|byte| *byte != 0)
}

/// A file in an archive.
pub struct Entry<'a> {
    /// Its path, of plain names only.
    pub path: PathBuf,
    /// When it was last written, in seconds since 1970.
    pub modified: Option<i64>,
    /// Its bytes.
    pub reader: &'a mut dyn Read,
}

/// What is called for the files of an archive.
pub trait Visitor<E> {
    /// A file.
    ///
    /// # Errors
    /// What ends the reading.
    fn entry(&mut self, entry: Entry<'_>) -> Result<(), E>;

    /// A file that cannot be read.
    fn unreadable(&mut self, path: &Path, why: String);
}

/// Visits every file.
///
/// # Errors
/// Of the archive as a whole, or of the visitor; if it unpacks to more than `bounds` says, or is broken off.
pub fn visit<E: From<io::Error>>(
    file: impl Read + Seek,
    kind: Kind,
    bounds: &Bounds,
    visitor: &mut dyn Visitor<E>,
) -> Result<(), E> {
    match kind {
        Kind::Zip => visit_zip(file, bounds, visitor),
        Kind::Tar => visit_tar(BufReader::new(file), bounds, visitor),
        // What is inflated counts here, also where it is skipped, and once more where it is read.
        Kind::PackedTar(coding) => visit_tar(bounds.of(coding::unpack(coding, file)?), bounds, visitor),
        Kind::Packed(coding) => {
            let mut reader = bounds.of(coding::unpack(coding, file)?);
            visitor.entry(Entry { path: PathBuf::new(), modified: None, reader: &mut reader })
        }
    }
}

fn visit_tar<E: From<io::Error>>(
    source: impl Read,
    bounds: &Bounds,
    visitor: &mut dyn Visitor<E>,
) -> Result<(), E> {
    let mut archive = tar::Archive::new(source);
    for entry in archive.entries()? {
        let mut entry = entry?;
        let kind = entry.header().entry_type();
        let path = plain(&entry.path()?);
        match kind {
            EntryType::Regular | EntryType::Continuous | EntryType::GNUSparse => {
                let modified = entry.header().mtime().ok().and_then(|time| i64::try_from(time).ok());
                // A sparse one says itself how long its holes are.
                visitor.entry(Entry { path, modified, reader: &mut bounds.of(&mut entry) })?;
            }
            EntryType::Directory => {
                visitor.entry(Entry { path: path.join(""), modified: None, reader: &mut io::empty() })?;
            }
            EntryType::Link | EntryType::Symlink => {
                visitor.unreadable(&path, "a link".to_owned());
            }
            _ => {}
        }
        bounds.check()?;
    }
    Ok(())
}

fn visit_zip<E: From<io::Error>>(
    file: impl Read + Seek,
    bounds: &Bounds,
    visitor: &mut dyn Visitor<E>,
) -> Result<(), E> {
    let mut archive = ZipArchive::new(BufReader::new(file)).map_err(io::Error::from)?;
    if overlaps(&mut archive) {
        return Err(
            io::Error::other("its files share their bytes, which no program that keeps mail does").into()
        );
    }
    for index in in_order(&archive) {
        let name = archive.name_for_index(index).and_then(Result::ok).unwrap_or_default().into_owned();
        let path = plain(Path::new(&name));
        let mut entry = match archive.by_index(index) {
            Ok(entry) => entry,
            Err(error) => {
                visitor.unreadable(&path, error.to_string());
                continue;
            }
        };
        if entry.is_dir() {
            visitor.entry(Entry { path: path.join(""), modified: None, reader: &mut io::empty() })?;
        } else if entry.is_file() {
            visitor.entry(Entry { path, modified: None, reader: &mut bounds.of(&mut entry) })?;
        }
        bounds.check()?;
    }
    Ok(())
}

/// Whether two entries have bytes in common: a few megabytes are thousands of gigabytes then.
fn overlaps<R: Read + Seek>(archive: &mut ZipArchive<R>) -> bool {
    let mut places = Vec::with_capacity(archive.len());
    for index in 0..archive.len() {
        // One that cannot be read is told of later.
        let Ok(entry) = archive.by_index_raw(index) else { continue };
        let size = if entry.is_dir() { 0 } else { entry.compressed_size() };
        places.push((entry.header_start(), size));
    }
    places.sort_unstable();
    let is_inside = |two: &[(u64, u64)]| match two {
        [(start, size), (next, _)] => start.saturating_add(ZIP_HEADER).saturating_add(*size) > *next,
        _ => false,
    };
    places.windows(2).any(is_inside)
}

/// By folder; the messages of a Maildir by their delivery, so that UIDs are in that order.
fn in_order<R: Read + Seek>(archive: &ZipArchive<R>) -> Vec<usize> {
    let mut keys: Vec<_> = (0..archive.len())
        .map(|index| {
            let name = archive.name_for_index(index).and_then(Result::ok).unwrap_or_default();
            let path = Path::new(name.as_ref());
            let leaf = path.file_name().unwrap_or_default();
            let when = message_name::seconds(leaf.as_encoded_bytes());
            (path.parent().map(Path::to_owned), when, index)
        })
        .collect();
    keys.sort();
    keys.into_iter().map(|(_, _, index)| index).collect()
}

/// Only the plain names of a path.
fn plain(path: &Path) -> PathBuf {
    path.components()
        .filter_map(|component| match component {
            Component::Normal(name) => Some(name),
            _ => None,
        })
        .collect()
}

/// What was learned of an archive before its mail is read.
#[derive(Debug, Default)]
pub struct Survey {
    /// The folders of Maildirs in it, by their whole path.
    pub folders: HashMap<PathBuf, Folder>,
    /// What their letters mean.
    pub keywords: HashMap<PathBuf, Keywords>,
    /// The folder that everything else lies in.
    pub base: Option<PathBuf>,
    directories: BTreeMap<PathBuf, [bool; 3]>,
}

impl Survey {
    /// Goes through an archive once. Files that cannot be read are told of in the second round.
    ///
    /// # Errors
    /// Of the archive as a whole.
    pub fn of(file: impl Read + Seek, kind: Kind, bounds: &Bounds) -> io::Result<Survey> {
        let mut survey = Survey::default();
        visit(file, kind, bounds, &mut survey)?;
        let directories = std::mem::take(&mut survey.directories);
        let is_maildir = |[cur, new, tmp]: [bool; 3]| cur || new && tmp;
        let paths: Vec<_> =
            directories.into_iter().filter(|(_, subs)| is_maildir(*subs)).map(|(path, _)| path).collect();
        let root = root_of(&paths);
        let below =
            paths.iter().filter_map(|path| path.strip_prefix(&root).ok()).map(Path::to_owned).collect();
        let (_, folders) = layout::named(below);
        survey.folders = folders.into_iter().map(|folder| (join(&root, &folder.path), folder)).collect();
        Ok(survey)
    }
}

/// Without the slash that joining nothing would leave.
fn join(root: &Path, below: &Path) -> PathBuf {
    if below.as_os_str().is_empty() { root.to_owned() } else { root.join(below) }
}

/// Where the folder of the inbox lies, or would: above a folder that is alone only if its name says so.
fn root_of(maildirs: &[PathBuf]) -> PathBuf {
    let Some((first, rest)) = maildirs.split_first() else { return PathBuf::new() };
    let root = rest.iter().fold(first.clone(), |root, path| common(&root, path));
    let leaf = root.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let is_folder = leaf.starts_with('.') || roles::by_name(&leaf).is_some();
    if is_folder && maildirs.contains(&root) {
        return root.parent().unwrap_or(Path::new("")).to_owned();
    }
    root
}

fn common(one: &Path, other: &Path) -> PathBuf {
    one.components().zip(other.components()).take_while(|(a, b)| a == b).map(|(a, _)| a).collect()
}

impl Visitor<io::Error> for Survey {
    fn entry(&mut self, entry: Entry<'_>) -> io::Result<()> {
        let parent = entry.path.parent().unwrap_or(Path::new(""));
        let is_directory = entry.path.as_os_str().as_encoded_bytes().ends_with(b"/");
        let holder = if is_directory { entry.path.as_path() } else { parent };
        let sub = ["cur", "new", "tmp"].iter().position(|sub| holder.file_name() == Some(OsStr::new(sub)));
        if let Some(sub) = sub {
            let folder = holder.parent().unwrap_or(Path::new("")).to_owned();
            if self.directories.len() < MAX_DIRECTORIES || self.directories.contains_key(&folder) {
                self.directories.entry(folder).or_default()[sub] = true;
            }
            return Ok(());
        }
        if is_directory {
            return Ok(());
        }
        if entry.path.file_name() == Some(OsStr::new(Keywords::FILE)) && self.keywords.len() < MAX_DIRECTORIES
        {
            let mut text = Vec::new();
            entry.reader.take(Keywords::MAX_FILE).read_to_end(&mut text)?;
            self.keywords.insert(parent.to_owned(), Keywords::parse(&text));
            return Ok(());
        }
        if parent.file_name() == Some(OsStr::new(Keywords::FOLDER)) {
            let folder = parent.parent().unwrap_or(Path::new(""));
            let is_list = entry.path.file_name() == Some(OsStr::new(Keywords::LIST));
            if is_list && (self.keywords.len() < MAX_DIRECTORIES || self.keywords.contains_key(folder)) {
                let mut text = Vec::new();
                entry.reader.take(Keywords::MAX_LIST).read_to_end(&mut text)?;
                self.keywords.entry(folder.to_owned()).or_default().add_list(&text);
            }
            return Ok(());
        }
        let base = self.base.take().map_or_else(|| parent.to_owned(), |base| common(&base, parent));
        self.base = Some(base);
        Ok(())
    }

    fn unreadable(&mut self, _: &Path, _: String) {}
}

#[cfg(test)]
mod tests {
    use std::io::{Cursor, Write};

    use super::*;

    fn paths(names: &[&str]) -> Vec<PathBuf> {
        names.iter().map(PathBuf::from).collect()
    }

    #[test]
    fn where_the_inbox_lies() {
        for (folders, root) in [
            (&["home/anna/Maildir"][..], "home/anna/Maildir"),
            (&["Maildir", "Maildir/.Sent", "Maildir/.Work"], "Maildir"),
            (&["mail/INBOX", "mail/Sent"], "mail"),
            (&["old/.Sent"], "old"),
            (&["backup/Sent"], "backup"),
            (&[""], ""),
            (&["", ".Sent"], ""),
            (&[], ""),
        ] {
            assert_eq!(root_of(&paths(folders)), Path::new(root), "{folders:?}");
        }
    }

    #[test]
    fn names_that_would_lead_out_are_plain() {
        assert_eq!(plain(Path::new("/../a/./b/../c")), Path::new("a/b/c"));
        assert_eq!(plain(Path::new("..")), Path::new(""));
    }

    #[test]
    fn a_tar_is_known_by_its_checksum() {
        let mut builder = tar::Builder::new(Vec::new());
        let mut header = tar::Header::new_gnu();
        header.set_size(1);
        header.set_cksum();
        builder.append_data(&mut header, "a", &b"x"[..]).unwrap();
        let bytes = builder.into_inner().unwrap();
        assert!(is_tar(&bytes));
        assert!(!is_tar(&[0; 512]));
        assert!(!is_tar(&bytes[..511]));
        assert!(!is_tar(&b"From anna Mon Jan  5 10:00:00 2004\n".repeat(20)));
    }

    /// What of an archive can be read, and what ends that.
    struct Reads(u64);

    impl Visitor<io::Error> for Reads {
        fn entry(&mut self, entry: Entry<'_>) -> io::Result<()> {
            self.0 += io::copy(entry.reader, &mut io::sink())?;
            Ok(())
        }

        fn unreadable(&mut self, _: &Path, _: String) {}
    }

    fn reads(bytes: Vec<u8>, kind: Kind) -> io::Result<u64> {
        let (bounds, mut reads) = (Bounds::new(bytes.len() as u64, Default::default()), Reads(0));
        visit(Cursor::new(bytes), kind, &bounds, &mut reads).map(|()| reads.0)
    }

    #[test]
    fn a_tar_with_a_hole_without_end() {
        let mut header = tar::Header::new_gnu();
        header.set_path("mbox").unwrap();
        header.set_entry_type(EntryType::GNUSparse);
        header.set_size(512);
        let gnu = header.as_gnu_mut().unwrap();
        gnu.sparse[0].set_offset(0);
        gnu.sparse[0].set_length(512);
        gnu.sparse[1].set_offset((1 << 62) - 512);
        gnu.sparse[1].set_length(0);
        gnu.set_real_size((1 << 62) - 512);
        header.set_cksum();
        let mut builder = tar::Builder::new(Vec::new());
        builder.append(&header, &[b'x'; 512][..]).unwrap();
        let error = reads(builder.into_inner().unwrap(), Kind::Tar).unwrap_err();
        assert!(error.to_string().contains("unpacks"), "{error}");
    }

    #[test]
    fn a_gzip_of_zeros() {
        let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        io::copy(&mut io::repeat(0).take(200 << 20), &mut packed).unwrap();
        let error = reads(packed.finish().unwrap(), Kind::Packed(Coding::Gzip)).unwrap_err();
        assert!(error.to_string().contains("unpacks"), "{error}");
    }

    /// Two names of one file's bytes.
    #[test]
    fn a_zip_whose_files_share_their_bytes() {
        let mut writer = zip::ZipWriter::new(Cursor::new(Vec::new()));
        for name in ["a.eml", "b.eml"] {
            writer.start_file(name, zip::write::SimpleFileOptions::default()).unwrap();
            writer.write_all(&b"Subject: one\r\n\r\nx\r\n".repeat(1_000)).unwrap();
        }
        let mut bytes = writer.finish().unwrap().into_inner();
        assert_eq!(reads(bytes.clone(), Kind::Zip).unwrap(), 2 * 19_000);
        // The second entry of the directory points at the first file.
        let directory = bytes.windows(4).rposition(|four| four == b"PK\x01\x02").unwrap();
        bytes[directory + 42..directory + 46].fill(0);
        let error = reads(bytes, Kind::Zip).unwrap_err();
        assert!(error.to_string().contains("share"), "{error}");
    }
}
