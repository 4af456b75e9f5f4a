//! POSIX access control lists, as Linux keeps them in extended attributes (acl(5), `posix_acl_xattr.h`): as
//! much of them as letting one more user in needs.

use std::fs::Metadata;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use rustix::fs::{XattrFlags, lgetxattr, lsetxattr};
use rustix::io::Errno;

/// The right to read.
pub(crate) const READ: u16 = 4;
/// All rights.
const ALL: u16 = 7;

/// What applies to a file or folder itself, and what a folder gives to those that are made in it.
const ACCESS: &str = "system.posix_acl_access";
const DEFAULT: &str = "system.posix_acl_default";
/// The attribute's format.
const VERSION: u32 = 2;
/// Bytes of the version, and of each entry: tag, rights, id.
const HEAD: usize = 4;
const ENTRY: usize = 8;
/// Bytes that are read of an attribute: a thousand entries, of which hand-made lists have a few.
const MAX_BYTES: usize = HEAD + 1_000 * ENTRY;

const OWNER: u16 = 0x01;
const USER: u16 = 0x02;
const OWNING_GROUP: u16 = 0x04;
const GROUP: u16 = 0x08;
const MASK: u16 = 0x10;
const OTHER: u16 = 0x20;
/// The id of entries that are nobody's in particular.
const NO_ID: u32 = u32::MAX;

/// A list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Acl(Vec<Entry>);

/// Ordered as the kernel wants them: by tag, then by id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Entry {
    tag: u16,
    id: u32,
    rights: u16,
}

impl Acl {
    /// What a folder gives to those that are made in it, if it names anything.
    ///
    /// # Errors
    /// Of reading it; a file system without such lists has none.
    pub(crate) fn inherited(folder: &Path) -> io::Result<Option<Acl>> {
        read(folder, DEFAULT)
    }

    /// What applies to a file or folder: what its mode says where it has no list.
    ///
    /// # Errors
    /// Of reading it.
    pub(crate) fn applying(path: &Path, metadata: &Metadata) -> io::Result<Acl> {
        Ok(read(path, ACCESS)?.unwrap_or_else(|| Acl::of_mode(metadata.mode())))
    }

    /// Gives a file or folder this list.
    ///
    /// # Errors
    /// If it is another user's.
    pub(crate) fn apply(&self, path: &Path) -> io::Result<()> {
        write(path, ACCESS, self)
    }

    /// Gives a folder this list for what is made in it.
    ///
    /// # Errors
    /// If it is another user's.
    pub(crate) fn bequeath(&self, folder: &Path) -> io::Result<()> {
        write(folder, DEFAULT, self)
    }

    fn of_mode(mode: u32) -> Acl {
        let entry = |tag, shift: u32| Entry { tag, id: NO_ID, rights: ((mode >> shift) & 7) as u16 };
        Acl(vec![entry(OWNER, 6), entry(OWNING_GROUP, 3), entry(OTHER, 0)])
    }

    /// The rights that an entry of its own names for a user, masked or not.
    #[must_use]
    pub(crate) fn named(&self, uid: u32) -> Option<u16> {
        self.0.iter().find(|entry| (entry.tag, entry.id) == (USER, uid)).map(|entry| entry.rights)
    }

    /// Lets a user have these rights, and nobody anything more. Says whether it did not have them before.
    ///
    /// The mask is the most that anyone but the owner and the others may have, and a file's group bits are its
    /// mask: so a file made with mode 0600 has an empty one, and the entry that it inherited counts for nothing.
    /// The mask is widened, and what it held back from everyone else is taken from their entries.
    pub(crate) fn admit(&mut self, uid: u32, rights: u16) -> bool {
        let mask = self.0.iter().find(|entry| entry.tag == MASK).map_or(ALL, |entry| entry.rights);
        let had = self.named(uid).unwrap_or(0) & mask;
        if had & rights == rights {
            return false;
        }
        self.0.retain(|entry| entry.tag != MASK && (entry.tag, entry.id) != (USER, uid));
        self.0.push(Entry { tag: USER, id: uid, rights: had | rights });
        let masked = |entry: &&mut Entry| [USER, OWNING_GROUP, GROUP].contains(&entry.tag);
        let mut widest = 0;
        for entry in self.0.iter_mut().filter(masked) {
            entry.rights &= if (entry.tag, entry.id) == (USER, uid) { ALL } else { mask };
            widest |= entry.rights;
        }
        self.0.push(Entry { tag: MASK, id: NO_ID, rights: widest });
        self.0.sort();
        true
    }

    fn encode(&self) -> Vec<u8> {
        let mut bytes = VERSION.to_le_bytes().to_vec();
        for entry in &self.0 {
            bytes.extend(entry.tag.to_le_bytes());
            bytes.extend(entry.rights.to_le_bytes());
            bytes.extend(entry.id.to_le_bytes());
        }
        bytes
    }

    fn decode(bytes: &[u8]) -> Option<Acl> {
        let (version, entries) = bytes.split_first_chunk::<HEAD>()?;
        if u32::from_le_bytes(*version) != VERSION || entries.len() % ENTRY != 0 {
            return None;
        }
        let entry = |bytes: &[u8]| {
            let (tag, rest) = bytes.split_first_chunk::<2>()?;
            let (rights, id) = rest.split_first_chunk::<2>()?;
            let id = u32::from_le_bytes(id.try_into().ok()?);
            Some(Entry { tag: u16::from_le_bytes(*tag), id, rights: u16::from_le_bytes(*rights) })
        };
        entries.chunks(ENTRY).map(entry).collect::<Option<_>>().map(Acl)
    }
}

/// Of a symbolic link itself, which has none: whoever may write into a Maildir names no file elsewhere.
fn read(path: &Path, name: &str) -> io::Result<Option<Acl>> {
    let mut bytes = vec![0; MAX_BYTES];
    match lgetxattr(path, name, &mut bytes[..]) {
        Ok(length) => {
            let list = bytes.get(..length).and_then(Acl::decode);
            list.map(Some).ok_or_else(|| io::Error::other("an access control list of an unknown format"))
        }
        Err(Errno::NODATA | Errno::OPNOTSUPP) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

fn write(path: &Path, name: &str, list: &Acl) -> io::Result<()> {
    Ok(lsetxattr(path, name, &list.encode(), XattrFlags::empty())?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(tag: u16, id: u32, rights: u16) -> Entry {
        Entry { tag, id, rights }
    }

    #[test]
    fn a_file_made_with_0600_under_a_default_list() {
        // user::rw- user:7:r-x group::r-x group:9:rwx mask::--- other::---
        let mut list = Acl(vec![
            entry(OWNER, NO_ID, 6),
            entry(USER, 7, 5),
            entry(OWNING_GROUP, NO_ID, 5),
            entry(GROUP, 9, 7),
            entry(MASK, NO_ID, 0),
            entry(OTHER, NO_ID, 0),
        ]);
        assert!(list.admit(7, READ));
        let wanted = [
            entry(OWNER, NO_ID, 6),
            entry(USER, 7, 4),
            entry(OWNING_GROUP, NO_ID, 0),
            entry(GROUP, 9, 0),
            entry(MASK, NO_ID, 4),
            entry(OTHER, NO_ID, 0),
        ];
        assert_eq!(list.0, wanted, "nobody else may do more than before");
        assert!(!list.admit(7, READ));
        assert_eq!(Acl::decode(&list.encode()), Some(list));
    }

    #[test]
    fn a_file_without_a_list_gets_one_of_the_same_rights() {
        let mut list = Acl::of_mode(0o100_640);
        assert!(list.admit(7, READ));
        let wanted = [
            entry(OWNER, NO_ID, 6),
            entry(USER, 7, 4),
            entry(OWNING_GROUP, NO_ID, 4),
            entry(MASK, NO_ID, 4),
            entry(OTHER, NO_ID, 0),
        ];
        assert_eq!(list.0, wanted);
    }

    #[test]
    fn what_is_no_list_is_none() {
        for bytes in [&b""[..], b"\x02\0\0", b"\x03\0\0\0", b"\x02\0\0\0\x01\0\x06\0\xff\xff\xff"] {
            assert_eq!(Acl::decode(bytes), None, "{bytes:?}");
        }
    }

    #[test]
    fn the_kernel_takes_and_gives_it() {
        use std::os::unix::fs::OpenOptionsExt;
        let folder = tempfile::tempdir().unwrap();
        let mut list = Acl::of_mode(0o700);
        list.admit(65534, READ | 1);
        match list.bequeath(folder.path()) {
            Err(error) if error.raw_os_error() == Some(Errno::OPNOTSUPP.raw_os_error()) => return,
            done => done.unwrap(),
        }
        assert_eq!(Acl::inherited(folder.path()).unwrap(), Some(list));
        let path = folder.path().join("1.a");
        std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path).unwrap();
        let metadata = path.symlink_metadata().unwrap();
        let mut list = Acl::applying(&path, &metadata).unwrap();
        assert!(list.admit(65534, READ), "0600 masks what was inherited: {list:?}");
        list.apply(&path).unwrap();
        assert_eq!(Acl::applying(&path, &metadata).unwrap(), list);
        assert_eq!(path.symlink_metadata().unwrap().mode() & 0o777, 0o640, "the mask, where the group was");
    }
}
