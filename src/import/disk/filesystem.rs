//! Which kind of file system a folder lies on: on some of them inotify says nothing of what others change.

use std::path::Path;

/// Magic numbers (statfs(2)) of file systems whose changes are made elsewhere, or by a program that does not
/// tell the kernel's watchers.
const SILENT: [(u32, &str); 12] = [
    (0x6969, "NFS"),
    (0x517B, "SMB"),
    (0xFE53_4D42, "SMB"),
    (0xFF53_4D42, "CIFS"),
    (0x6573_5546, "FUSE"),
    (0x0102_1997, "9p"),
    (0x5346_414F, "AFS"),
    (0x6B41_4653, "AFS"),
    (0x00C3_6400, "Ceph"),
    (0x7375_7245, "Coda"),
    (0x564C, "NCP"),
    (0x6A65_6A63, "virtiofs"),
];

/// The name of the file system at `path`, if it is one where inotify is silent. One that cannot be asked
/// counts as an ordinary one.
#[must_use]
pub(crate) fn silent(path: &Path) -> Option<&'static str> {
    let found = rustix::fs::statfs(path).ok()?;
    // The field's type differs between machines; the numbers have 32 bits.
    name_of(found.f_type as u32)
}

/// Whether a file can be told by its inode there. Where a file system makes them up it may make up another the next
/// time.
#[must_use]
pub(crate) fn inodes_last(path: &Path) -> bool {
    silent(path).is_none_or(|name| matches!(name, "NFS" | "Ceph"))
}

fn name_of(magic: u32) -> Option<&'static str> {
    SILENT.iter().find(|(known, _)| *known == magic).map(|(_, name)| *name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ordinary_ones_are_watched() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(silent(folder.path()), None);
        assert_eq!(silent(&folder.path().join("absent")), None);
        assert!(inodes_last(folder.path()));
    }

    #[test]
    fn silent_ones_have_names() {
        // ext4, btrfs, tmpfs, overlayfs, f2fs
        for magic in [0xEF53, 0x9123_683E, 0x0102_1994, 0x794C_7630, 0xF2F5_2010] {
            assert_eq!(name_of(magic), None);
        }
        assert_eq!((name_of(0x6969), name_of(0x6573_5546)), (Some("NFS"), Some("FUSE")));
    }
}
