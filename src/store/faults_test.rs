//! Errors of the disk, damage, and reading only, over a disk in memory.

use std::io::ErrorKind;
use std::path::Path;

use super::sim::SimDisk;
use super::tests::{file, message, open, put, whole};

#[test]
fn what_is_wrong_is_known() {
    let disk = SimDisk::default();
    let store = open(&disk);
    assert!(store.condition().is_well());
    let email = file(&store, &message(1, 5000)).unwrap();
    store.close().unwrap();
    super::env::Disk::unlink(&disk, Path::new("/data/mail/000001.redb")).unwrap();
    let store = open(&disk);
    assert_eq!(store.condition().missing_volumes, [1]);
    assert!(whole(&store, email).is_err());
    assert_eq!(store.condition().damaged_contents, 1);
    disk.fail_after(0, ErrorKind::Other);
    assert!(put(&store, b"a", b"1").is_err());
    assert!(store.condition().read_only.is_some_and(|why| why.contains("journal")));
}
