//! Archives of mail: nothing is named beyond the archive, both rounds see the same, and what is inflated is bounded
//! where somebody stops reading.

use std::ffi::OsStr;
use std::io::{self, Cursor, Read, Write};
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use flate2::Compression;
use flate2::write::GzEncoder;
use postern::import::disk::bounds::Bounds;
use postern::import::disk::coding::Coding;
use postern::import::old::archive::{self, Entry, Kind, Survey, Visitor};
use zip::write::SimpleFileOptions;

use super::first;

const GZ: Kind = Kind::Packed(Coding::Gzip);
const KINDS: [Kind; 10] = [
    Kind::Zip,
    Kind::Tar,
    Kind::PackedTar(Coding::Gzip),
    GZ,
    Kind::PackedTar(Coding::Zstd),
    Kind::Packed(Coding::Zstd),
    Kind::PackedTar(Coding::Bzip2),
    Kind::Packed(Coding::Bzip2),
    Kind::PackedTar(Coding::Lz4),
    Kind::Packed(Coding::Lz4),
];
/// What is read of all files of an archive.
const MOST: u64 = 4 << 20;
/// Files that are looked at.
const FILES: usize = 2_000;

pub fn seeds() -> Vec<Vec<u8>> {
    let files: &[(&str, &[u8])] = &[
        ("Maildir/cur/1700000000.M1P1.host:2,S", b"Subject: a\r\n\r\nb\r\n"),
        ("Maildir/.Sent/new/1700000001.M1P1.host", b"Subject: c\n\nd\n"),
        ("Maildir/dovecot-keywords", b"0 $Label1\n"),
        ("old/inbox.mbox", b"From a@b Tue Jan  9 14:00:00 2024\nSubject: x\n\ny\n"),
    ];
    let mut tar = tar::Builder::new(Vec::new());
    let mut zip = zip::ZipWriter::new(Cursor::new(Vec::new()));
    for (n, (name, bytes)) in files.iter().enumerate() {
        let mut header = tar::Header::new_gnu();
        header.set_size(bytes.len() as u64);
        header.set_mode(0o644);
        header.set_mtime(1_700_000_000);
        tar.append_data(&mut header, name, *bytes).unwrap();
        let method = [zip::CompressionMethod::Stored, zip::CompressionMethod::Deflated][n % 2];
        zip.start_file(*name, SimpleFileOptions::default().compression_method(method)).unwrap();
        zip.write_all(bytes).unwrap();
    }
    let (tar, zip) = (tar.into_inner().unwrap(), zip.finish().unwrap().into_inner());
    let gz = |bytes: &[u8]| {
        let mut out = GzEncoder::new(Vec::new(), Compression::fast());
        out.write_all(bytes).unwrap();
        out.finish().unwrap()
    };
    let zeros = gz(&vec![0; 1 << 20]);
    let zst = |bytes: &[u8]| zstd::stream::encode_all(bytes, 3).unwrap();
    let bz2 = |bytes: &[u8]| {
        let mut out = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::fast());
        out.write_all(bytes).unwrap();
        out.finish().unwrap()
    };
    let lz4 = |bytes: &[u8]| {
        let packed = lz4_flex::block::compress(bytes);
        let length = u32::try_from(packed.len()).unwrap().to_be_bytes();
        [b"Dovecot-LZ4\x0d\x2a\x9b\xc5\0\x01\0\0", &length[..], &packed].concat()
    };
    let one = files[0].1;
    let all = [
        zip,
        tar.clone(),
        gz(&tar),
        gz(one),
        zeros,
        sparse(),
        zst(&tar),
        zst(one),
        bz2(&tar),
        bz2(one),
        lz4(&tar),
        lz4(one),
    ];
    let kinds = [0, 1, 2, 3, 3, 1, 4, 5, 6, 7, 8, 9];
    let of = |(kind, bytes): (&u8, Vec<u8>)| {
        assert!(!look(KINDS[usize::from(*kind)], &bytes).1.files.is_empty(), "nothing in {kind}");
        [&[*kind], &bytes[..]].concat()
    };
    kinds.iter().zip(all).map(of).collect()
}

/// A file of GNU tar with a hole that says to be larger than any disk.
fn sparse() -> Vec<u8> {
    let mut header = tar::Header::new_gnu();
    header.set_path("hole.eml").unwrap();
    header.set_size(512);
    header.set_entry_type(tar::EntryType::GNUSparse);
    let gnu = header.as_gnu_mut().unwrap();
    let octal = |out: &mut [u8], number: u64| out.copy_from_slice(format!("{number:011o}\0").as_bytes());
    octal(&mut gnu.sparse[0].offset, 0o70000000000);
    octal(&mut gnu.sparse[0].numbytes, 512);
    octal(&mut gnu.realsize, 0o70000001000);
    header.set_cksum();
    [header.as_bytes(), &[b'x'; 512][..], &[0; 1024]].concat()
}

/// What was seen: names with the first bytes of each, and their number.
#[derive(Debug, Default, PartialEq)]
struct Seen {
    files: Vec<(PathBuf, Option<i64>, u64)>,
    unreadable: usize,
    bytes: u64,
}

impl Visitor<io::Error> for Seen {
    fn entry(&mut self, entry: Entry<'_>) -> io::Result<()> {
        assert!(is_plain(&entry.path), "{:?}", entry.path);
        let read = io::copy(&mut entry.reader.take(MOST - self.bytes), &mut io::sink());
        self.bytes += read.as_ref().copied().unwrap_or(0);
        self.files.push((entry.path, entry.modified, read?));
        let enough = self.bytes == MOST || self.files.len() == FILES;
        if enough { Err(io::ErrorKind::FileTooLarge.into()) } else { Ok(()) }
    }

    fn unreadable(&mut self, path: &Path, _: String) {
        assert!(is_plain(path), "{path:?}");
        self.unreadable += 1;
    }
}

fn is_plain(path: &Path) -> bool {
    path.components().all(|component| matches!(component, Component::Normal(_)))
}

pub fn run(data: &[u8]) {
    let (kind, file) = first(data);
    let kind = KINDS[usize::from(kind) % KINDS.len()];
    let once = look(kind, file);
    assert_eq!(once, look(kind, file));
    assert!(kind != GZ || once.1.bytes <= 1_040 * file.len() as u64, "{} inflated", once.1.bytes);
    // The first round reads no file but lists of keywords, so that it may be at its end where the second is not.
    if once.1.bytes < MOST && once.1.files.len() < FILES {
        survey(file, kind);
    }
}

fn bounds(file: &[u8]) -> Bounds {
    Bounds::new(file.len() as u64, Arc::default())
}

fn look(kind: Kind, file: &[u8]) -> (Result<(), String>, Seen) {
    let mut seen = Seen::default();
    let done: io::Result<()> = archive::visit(Cursor::new(file), kind, &bounds(file), &mut seen);
    (done.map_err(|error| error.to_string()), seen)
}

fn survey(file: &[u8], kind: Kind) {
    let Ok(survey) = Survey::of(Cursor::new(file), kind, &bounds(file)) else { return };
    for (path, folder) in &survey.folders {
        assert!(is_plain(path) && is_plain(&folder.path));
        assert!(path.file_name() != Some(OsStr::new("cur")) || path.ends_with(&folder.path));
    }
    assert!(survey.base.is_none_or(|base| is_plain(&base)));
}
