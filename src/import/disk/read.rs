//! Reading one file: streamed, hashed as it is and as it will be stored, and whether it holds still.

use std::fs::{File, Metadata};
use std::io::{self, Read, Seek};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime};

use super::beneath::Beneath;
use super::coding::{self, Start};
use super::disk_error::is_gone;
use super::recognise::{Likeness, NO_MAIL, likeness};
use crate::model::ContentHash;
use crate::store;

/// The largest file that is imported. Larger than APPEND's limit, for what is there already should come.
pub(crate) const MAX_FILE: u64 = 1 << 30;
/// Bytes read at a time.
const CHUNK: usize = 64 * 1024;
/// A file whose last change is its last write, and no older than this, may still be written: some programs
/// do not write to `tmp/` first. One that was moved in after it was written is taken at once.
pub(crate) const SETTLE: Duration = Duration::from_millis(300);

/// How long after it came a file or folder may become readable: `share` gives rights to what is there already.
const SHARED: Duration = Duration::from_secs(3);

/// Which file, and in which state: what must be the same for it to be the one that was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Identity {
    device: u64,
    inode: u64,
    size: u64,
    modified: (i64, i64),
}

impl Identity {
    /// Of a file by its metadata.
    #[must_use]
    pub(crate) fn new(metadata: &Metadata) -> Self {
        Identity {
            device: metadata.dev(),
            inode: metadata.ino(),
            size: metadata.size(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
        }
    }

    /// Its length.
    #[must_use]
    pub(crate) fn size(&self) -> u64 {
        self.size
    }

    /// When it was last written, in nanoseconds since 1970.
    #[must_use]
    pub(crate) fn modified_nanos(&self) -> i64 {
        self.modified.0.saturating_mul(1_000_000_000).saturating_add(self.modified.1)
    }

    /// When it was last written, in seconds since 1970.
    #[must_use]
    pub(crate) fn modified(&self) -> i64 {
        self.modified.0
    }
}

/// Why a file was not read.
#[derive(Debug)]
pub(crate) enum Trouble {
    /// It is not there any more: renamed or removed since it was listed.
    Gone,
    /// It may not be read, or reading failed.
    Unreadable(io::Error),
    /// It will not be taken as it is: empty, too large, no plain file.
    LeftAlone(&'static str),
    /// It is still being written.
    Changing,
    /// It was imported and is still being written: to be left alone for so long.
    Growing(Duration),
    /// The watcher stops.
    Stopped,
    /// The store refused it.
    Store(store::Error),
}

impl From<store::Error> for Trouble {
    fn from(error: store::Error) -> Self {
        Trouble::Store(error)
    }
}

impl From<io::Error> for Trouble {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            _ if is_gone(&error) => Trouble::Gone,
            _ if error.raw_os_error() == Some(rustix::io::Errno::LOOP.raw_os_error()) => {
                Trouble::LeftAlone("a symbolic link")
            }
            _ => Trouble::Unreadable(error),
        }
    }
}

/// What was read.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Seen {
    /// The file.
    pub(crate) identity: Identity,
    /// BLAKE3 of its bytes.
    pub(crate) hash: [u8; 32],
    /// How many they were.
    pub(crate) length: u64,
    /// Which of all files that ever had its name it is, where the file system tells when each was made.
    pub(crate) instance: Option<u64>,
    /// Whether it has a field that messages have. What has none is never removed.
    pub(crate) is_mail: bool,
    /// Whether it had to be unpacked.
    pub(crate) was_packed: bool,
}

/// What a file says as it is, and as the store would have it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Hashes {
    /// BLAKE3 of its bytes.
    pub(crate) raw: [u8; 32],
    /// That of what the store has.
    pub(crate) stored: ContentHash,
}

/// How sure it is that nobody writes to a file any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Quiet {
    /// It was renamed into its place: it was whole before.
    Whole,
    /// It was seen to stay as it is for this long, by a clock that cannot be set.
    For(Duration),
}

/// Whether a file or folder came, or its rights changed, a moment ago.
#[must_use]
pub(crate) fn is_new(root: &Beneath, path: &Path) -> bool {
    let Ok(metadata) = root.metadata(path) else { return false };
    let changed =
        u64::try_from(metadata.ctime()).ok().map(|s| SystemTime::UNIX_EPOCH + Duration::from_secs(s));
    changed.is_some_and(|changed| changed.elapsed().is_ok_and(|age| age < SHARED))
}

/// Streams a file to `sink`, unpacked where it is packed (`coding`).
///
/// # Errors
/// See [`Trouble`].
pub(crate) fn stream(
    root: &Beneath,
    path: &Path,
    quiet: Quiet,
    stop: &AtomicBool,
    sink: &mut dyn FnMut(&[u8]) -> Result<(), store::Error>,
) -> Result<Seen, Trouble> {
    let (mut file, metadata) = open(root, path, quiet)?;
    let start = coding::start(&coding::first_bytes(&mut file)?);
    file.rewind()?;
    let mut raw = Raw { file: &mut file, hasher: blake3::Hasher::new(), length: 0, stop, trouble: None };
    let is_mail = match start {
        Start::Closed(why) => return Err(Trouble::LeftAlone(why)),
        Start::Plain => contents(&mut raw, sink).map_err(|trouble| raw.trouble.take().unwrap_or(trouble))?,
        Start::Packed(coding) => {
            let unpacked = coding::unpack(coding, &mut raw).map_err(Trouble::from);
            let done = unpacked.and_then(|mut source| contents(&mut source, sink));
            done.map_err(|trouble| match (raw.trouble.take(), trouble) {
                (Some(trouble), _) => trouble,
                // The file itself could be read.
                (None, Trouble::Unreadable(_) | Trouble::Gone) => Trouble::LeftAlone(NOT_UNPACKED),
                (None, trouble) => trouble,
            })?
        }
    };
    // What lies behind the end of what was packed.
    io::copy(&mut raw, &mut io::sink()).map_err(|error| raw.trouble.take().unwrap_or(error.into()))?;
    let (hash, length) = (*raw.hasher.finalize().as_bytes(), raw.length);
    let identity = Identity::new(&metadata);
    if Identity::new(&file.metadata()?) != identity || length != identity.size {
        return Err(Trouble::Changing);
    }
    let was_packed = start != Start::Plain;
    Ok(Seen { identity, hash, length, instance: instance(&metadata), is_mail, was_packed })
}

/// Gives all of `source` to `sink`. Returns whether it is mail.
fn contents(
    source: &mut impl Read,
    sink: &mut dyn FnMut(&[u8]) -> Result<(), store::Error>,
) -> Result<bool, Trouble> {
    let (mut chunk, mut is_mail, mut length) = (Vec::with_capacity(CHUNK), None, 0);
    loop {
        chunk.clear();
        source.by_ref().take(CHUNK as u64).read_to_end(&mut chunk)?;
        length += chunk.len() as u64;
        if length > MAX_FILE {
            return Err(Trouble::LeftAlone(TOO_LARGE));
        }
        if is_mail.is_none() {
            is_mail = Some(match likeness(&chunk) {
                // Nothing was packed.
                Likeness::Text if chunk.is_empty() => return Err(Trouble::LeftAlone(EMPTY)),
                Likeness::Mail => true,
                Likeness::Text => false,
                Likeness::Binary => return Err(Trouble::LeftAlone(NO_MAIL)),
            });
        }
        if chunk.is_empty() {
            return Ok(is_mail.unwrap_or(false));
        }
        sink(&chunk)?;
    }
}

/// The file as it is: hashed and counted as it is read. What is wrong with it is told from what is wrong with
/// that which is packed in it.
struct Raw<'a> {
    file: &'a mut File,
    hasher: blake3::Hasher,
    length: u64,
    stop: &'a AtomicBool,
    trouble: Option<Trouble>,
}

impl Raw<'_> {
    fn fail(&mut self, trouble: Trouble) -> io::Error {
        self.trouble = Some(trouble);
        io::Error::other("see there")
    }
}

impl Read for Raw<'_> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        if self.stop.load(Ordering::Relaxed) {
            return Err(self.fail(Trouble::Stopped));
        }
        let count = match self.file.read(out) {
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => return Err(error),
            Err(error) => return Err(self.fail(error.into())),
        };
        self.length += count as u64;
        if self.length > MAX_FILE {
            return Err(self.fail(Trouble::LeftAlone(TOO_LARGE)));
        }
        self.hasher.update(out.get(..count).unwrap_or_default());
        Ok(count)
    }
}

/// Hashes a file as it is, and as the store would have it; and its first `start` bytes alike, if it has more and is not packed.
///
/// # Errors
/// See [`Trouble`].
pub(crate) fn hash(
    root: &Beneath,
    path: &Path,
    quiet: Quiet,
    start: u64,
    stop: &AtomicBool,
) -> Result<(Seen, ContentHash, Option<Hashes>), Trouble> {
    let (mut both, mut left, mut at_start) = (Both::default(), start, None);
    let seen = stream(root, path, quiet, stop, &mut |bytes| {
        let now = usize::try_from(left).unwrap_or(usize::MAX).min(bytes.len());
        let (first, rest) = bytes.split_at(now);
        both.update(first);
        left -= now as u64;
        if left == 0 && !rest.is_empty() {
            at_start.get_or_insert_with(|| both.hashes());
        }
        both.update(rest);
        Ok(())
    })?;
    Ok((seen, both.hashes().stored, at_start.filter(|_| !seen.was_packed)))
}

/// Hashes what comes before and after its line ends become CRLF.
#[derive(Default)]
struct Both {
    raw: blake3::Hasher,
    stored: blake3::Hasher,
    after_cr: bool,
    out: Vec<u8>,
}

impl Both {
    fn update(&mut self, bytes: &[u8]) {
        self.raw.update(bytes);
        self.out.clear();
        for byte in bytes {
            if *byte == b'\n' && !self.after_cr {
                self.out.push(b'\r');
            }
            self.out.push(*byte);
            self.after_cr = *byte == b'\r';
        }
        self.stored.update(&self.out);
    }

    fn hashes(&self) -> Hashes {
        Hashes {
            raw: *self.raw.finalize().as_bytes(),
            stored: ContentHash(*self.stored.finalize().as_bytes()),
        }
    }
}

/// A file's inode may be another's tomorrow; with the moment at which it was made it is this one's. A copy that is put
/// back is another, whatever times it is given.
fn instance(metadata: &Metadata) -> Option<u64> {
    let made = metadata.created().ok()?.duration_since(SystemTime::UNIX_EPOCH).ok()?;
    let mark = [metadata.ino().to_le_bytes(), (made.as_nanos() as u64).to_le_bytes()].concat();
    Some(xxhash_rust::xxh3::xxh3_64(&mark))
}

const EMPTY: &str = "empty";
const TOO_LARGE: &str = "larger than 1 GiB";
const NOT_UNPACKED: &str = "compressed, and cannot be unpacked: it is damaged, or not whole";

fn open(root: &Beneath, path: &Path, quiet: Quiet) -> Result<(File, Metadata), Trouble> {
    let (file, metadata) = root.plain(path)?.ok_or(Trouble::LeftAlone("no plain file"))?;
    if metadata.size() > MAX_FILE {
        return Err(Trouble::LeftAlone(TOO_LARGE));
    }
    if may_be_written(&metadata, quiet) {
        return Err(Trouble::Changing);
    }
    if metadata.size() == 0 {
        return Err(Trouble::LeftAlone(EMPTY));
    }
    Ok((file, metadata))
}

/// A time that lies ahead says nothing of when the file was written: then only what was seen of it counts.
fn may_be_written(metadata: &Metadata, quiet: Quiet) -> bool {
    let Quiet::For(quiet) = quiet else { return false };
    let moved_since = (metadata.mtime(), metadata.mtime_nsec()) != (metadata.ctime(), metadata.ctime_nsec());
    let age = metadata.modified().ok().and_then(|time| SystemTime::now().duration_since(time).ok());
    match age {
        Some(age) => !moved_since && age < SETTLE && quiet < SETTLE,
        None => quiet < SETTLE,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn hash(
        path: &Path,
        quiet: Quiet,
        start: u64,
        stop: &AtomicBool,
    ) -> Result<(Seen, ContentHash, Option<Hashes>), Trouble> {
        super::hash(&Beneath::open(path.parent().unwrap()).unwrap(), path, quiet, start, stop)
    }

    fn settled(path: &Path, bytes: &[u8]) {
        fs::write(path, bytes).unwrap();
        let old = SystemTime::now() - Duration::from_secs(60);
        File::options().write(true).open(path).unwrap().set_modified(old).unwrap();
    }

    const LONG: Quiet = Quiet::For(SETTLE);
    const SHORT: Quiet = Quiet::For(Duration::ZERO);

    fn quiet() -> AtomicBool {
        AtomicBool::new(false)
    }

    #[test]
    fn hashes_before_and_after_the_line_ends() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a");
        // CR and LF on both sides of a chunk's end.
        let mut bytes = vec![b'x'; CHUNK - 1];
        bytes.extend_from_slice(b"\r\na\nb\rc\r\r\n\n");
        settled(&path, &bytes);
        let (seen, stored, start) = hash(&path, LONG, CHUNK as u64, &quiet()).unwrap();
        assert_eq!(seen.hash, *blake3::hash(&bytes).as_bytes());
        assert_eq!(seen.length, bytes.len() as u64);
        bytes.truncate(CHUNK - 1);
        bytes.extend_from_slice(b"\r\na\r\nb\rc\r\r\n\r\n");
        assert_eq!(stored, ContentHash(*blake3::hash(&bytes).as_bytes()));
        let first = Hashes {
            raw: *blake3::hash(&bytes[..CHUNK]).as_bytes(),
            stored: ContentHash(*blake3::hash(&bytes[..CHUNK]).as_bytes()),
        };
        assert_eq!(start, Some(first), "up to between a CR and its LF");
        for whole in [seen.length, seen.length + 1, u64::MAX] {
            assert_eq!(hash(&path, LONG, whole, &quiet()).unwrap().2, None);
        }
    }

    #[test]
    fn a_time_that_lies_ahead_skips_no_wait() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a");
        fs::write(&path, "half").unwrap();
        let ahead = SystemTime::now() + Duration::from_secs(1_000_000);
        File::options().write(true).open(&path).unwrap().set_modified(ahead).unwrap();
        let read = |quiet| hash(&path, quiet, 0, &AtomicBool::new(false)).map(|_| ());
        assert!(matches!(read(Quiet::For(Duration::ZERO)), Err(Trouble::Changing)));
        assert!(matches!(read(Quiet::For(SETTLE - Duration::from_millis(1))), Err(Trouble::Changing)));
        assert!(read(LONG).is_ok() && read(Quiet::Whole).is_ok());
    }

    #[test]
    fn what_is_not_read() {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name);
        settled(&path("empty"), b"");
        settled(&path("full"), b"x");
        std::os::unix::fs::symlink(path("full"), path("link")).unwrap();
        fs::create_dir(path("dir")).unwrap();
        rustix::fs::mknodat(
            rustix::fs::CWD,
            path("fifo"),
            rustix::fs::FileType::Fifo,
            rustix::fs::Mode::RUSR,
            0,
        )
        .unwrap();
        fs::write(path("fresh"), b"half a mess").unwrap();
        let outcome = |name: &str| hash(&path(name), SHORT, 0, &quiet()).map(|_| ()).unwrap_err();
        for name in ["empty", "link", "dir", "fifo"] {
            assert!(matches!(outcome(name), Trouble::LeftAlone(_)), "{name}: {:?}", outcome(name));
        }
        assert!(matches!(outcome("absent"), Trouble::Gone));
        assert!(matches!(outcome("fresh"), Trouble::Changing));
        assert!(matches!(hash(&path("full"), SHORT, 0, &AtomicBool::new(true)), Err(Trouble::Stopped)));
        File::create(path("huge")).unwrap().set_len(MAX_FILE + 1).unwrap();
        assert!(matches!(outcome("huge"), Trouble::LeftAlone(TOO_LARGE)));
        let mut grows = 0;
        let changing =
            stream(&Beneath::open(dir.path()).unwrap(), &path("full"), SHORT, &quiet(), &mut |_| {
                grows += 1;
                if grows < 3 {
                    fs::write(path("full"), "x".repeat(grows + 1)).unwrap();
                }
                Ok(())
            });
        assert!(matches!(changing, Err(Trouble::Changing)));
    }
}
