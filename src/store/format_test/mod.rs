//! Stores of every format that was ever released open in this version, and say what they said then.
//!
//! `tests/store/` holds them: `format-N-clean.tar.gz`, closed in order; `format-N-unclean.tar.gz`, copied while it
//! was open, with rows that only the journal has; `format-N-told.txt`, what a reader says of either (`telling`);
//! `format-N-rows.txt`, every row of the first as it lies in its file. `maker` made them. They are never made again:
//! the bytes are what a released version wrote.

mod document;
mod golden;
mod maker;
mod telling;

use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::env::Disk;
use super::sim::SimDisk;
use super::{Options, Store};

/// The formats that were released.
const FORMATS: [u32; 1] = [1];

fn fixture(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/store").join(file)
}

fn text(file: &str) -> String {
    fs::read_to_string(fixture(file)).unwrap()
}

/// A fixture's files, in a folder that goes when it is dropped.
fn unpack(file: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let mut packed = Vec::new();
    fs::File::open(fixture(file)).unwrap().read_to_end(&mut packed).unwrap();
    tar::Archive::new(flate2::read::GzDecoder::new(packed.as_slice())).unpack(folder.path()).unwrap();
    folder
}

fn pack(data: &Path, to: &Path) {
    let file = fs::File::create(to).unwrap();
    let mut archive = tar::Builder::new(flate2::write::GzEncoder::new(file, flate2::Compression::best()));
    for folder in ["", "journal", "mail"] {
        let mut names: Vec<_> =
            fs::read_dir(data.join(folder)).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        names.sort();
        for name in names {
            let inside = Path::new(folder).join(name);
            let bytes = match fs::metadata(data.join(&inside)).unwrap().is_file() {
                true => fs::read(data.join(&inside)).unwrap(),
                false => continue,
            };
            let mut header = tar::Header::new_gnu();
            header.set_size(bytes.len() as u64);
            header.set_mode(0o600);
            archive.append_data(&mut header, &inside, bytes.as_slice()).unwrap();
        }
    }
    archive.into_inner().unwrap().finish().unwrap();
}

fn open(data: &Path, seed: u64) -> Store {
    Store::open(maker::options(data, &maker::clock(), seed)).unwrap()
}

/// Says where two texts part: an assertion on the whole would print two hundred kilobytes.
fn assert_same(found: &str, expected: &str, what: &str) {
    let differ = found.lines().zip(expected.lines()).find(|(found, expected)| found != expected);
    if let Some((found, expected)) = differ {
        panic!("{what}\nexpected: {expected}\nfound:    {found}");
    }
    assert_eq!(found.lines().count(), expected.lines().count(), "{what}: lines");
}

#[test]
#[ignore = "writes the fixtures of this version's format; those of a released one are never written again"]
fn write_fixtures() {
    let format = super::schema::SCHEMA_VERSION;
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let file = |rest: &str| fixture(&format!("format-{format}-{rest}"));
    fs::create_dir_all(file("").parent().unwrap()).unwrap();
    maker::make(&data, || pack(&data, &file("unclean.tar.gz")));
    pack(&data, &file("clean.tar.gz"));
    fs::write(file("rows.txt"), golden::rows_of(&data)).unwrap();
    fs::write(file("told.txt"), telling::told(&open(&data, 2))).unwrap();
}

#[test]
fn every_released_format_opens_and_says_what_it_said() {
    for format in FORMATS {
        let told = text(&format!("format-{format}-told.txt"));
        for state in ["clean", "unclean"] {
            let file = format!("format-{format}-{state}.tar.gz");
            let folder = unpack(&file);
            let store = open(folder.path(), 3);
            assert_same(&telling::told(&store), &told, &file);
            assert!(!store.statistics().journal_damaged && store.statistics().read_only.is_none());
            store.close().unwrap();
            // And again, as it is now.
            assert_same(&telling::told(&open(folder.path(), 4)), &told, &file);
        }
    }
}

/// The old store, its journal not yet replayed, on a disk whose power is cut while it becomes one of this format.
#[test]
fn a_released_format_may_be_cut_on_its_way_to_this_one() {
    let folder = unpack("format-1-unclean.tar.gz");
    let told = text("format-1-told.txt");
    let disk = SimDisk::default();
    for place in ["", "journal", "mail"] {
        for entry in fs::read_dir(folder.path().join(place)).unwrap().map(Result::unwrap) {
            if entry.file_type().unwrap().is_file() {
                let file = disk.open(&Path::new("/data").join(place).join(entry.file_name()), true).unwrap();
                file.write_at(0, &fs::read(entry.path()).unwrap()).unwrap();
            }
        }
    }
    let disk = disk.copy();
    let open = |disk: &SimDisk| {
        let options = maker::options(Path::new("/data"), &maker::clock(), disk.position() as u64 + 9);
        Store::open(Options { disk: Arc::new(disk.clone()), ..options }).unwrap()
    };
    drop(open(&disk));
    let (last, mut cuts) = (disk.position(), 0);
    // A number that has nothing to do with how many calls anything makes.
    for position in (0..last).step_by(11) {
        let cut = disk.cut(position, position as u64);
        let store = open(&cut);
        let what = format!("cut at {position} of {last}: {:?}", store.condition());
        assert_same(&telling::told(&store), &told, &what);
        cuts += 1;
    }
    assert!(cuts > 10, "{cuts}");
}

#[test]
fn the_golden_rows_are_those_of_the_file() {
    for format in FORMATS {
        let folder = unpack(&format!("format-{format}-clean.tar.gz"));
        assert_same(&golden::rows_of(folder.path()), &text(&format!("format-{format}-rows.txt")), "rows");
    }
}
