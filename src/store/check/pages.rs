//! The pages of a redb file, read without redb: of a file that redb refuses, or over which it panics, all that
//! is whole is still read.
//!
//! redb's trees carry a checksum of each page in the page above it, up to a root in the header, so that what is
//! damaged is known exactly. The format (redb 4.6, `docs/design.md` there), as far as it is needed:
//!
//! ```text
//! header: magic 9 | flags 1 (1: the second slot counts) | 2 | page size 4 | header pages of a region 4
//!         | data pages of a region 4 | … ; at 64 and 192 a slot of 128 bytes:
//!         version 1 | has a root 1 | 6 | root 32 | … | at 112 the checksum of what is before it 16
//! root:   page number 8 | checksum 16 | count of rows 8
//! leaf:   1 | 1 | count 2 | end of each key 4 | end of each value 4 | keys | values
//! branch: 2 | 1 | count of keys 2 | 4 | checksum of each child 16 | number of each 8 | end of each key 4 | keys
//! page number: index in the region 20 bits | region 20 bits | 19 | order 5 bits: it has 2^order × 4,096 bytes
//! ```

use std::io;
use std::sync::Arc;

use xxhash_rust::xxh3::xxh3_128;

use crate::store::base::env::DiskFile;
use crate::store::base::error::Error;

const PAGE: u64 = 4_096;
const MAGIC: [u8; 9] = [b'r', b'e', b'd', b'b', 0x1a, 0x0a, 0xa9, 0x0d, 0x0a];
const LEAF: u8 = 1;
const BRANCH: u8 = 2;
/// No page of ours comes near: a row has 4 MiB at most.
const ORDER_MAX: u8 = 12;
/// Trees are some levels deep; a damaged one may be a circle.
const DEPTH_MAX: usize = 32;
/// Data pages of a region and its header pages, where the header does not say: redb's own.
const REGION: (u64, u64) = (0, 1 << 20);

/// The root of a tree.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::store) struct Root {
    page: u64,
    checksum: u128,
}

impl Root {
    pub(in crate::store) fn read(bytes: &[u8]) -> Option<Root> {
        Some(Root {
            page: number(bytes, 0)?,
            checksum: u128::from_le_bytes(bytes.get(8..24)?.try_into().ok()?),
        })
    }
}

/// Keys behind the first and up to the second, where they are known: what lay between may be lost.
pub(in crate::store) type Hole = (Option<Vec<u8>>, Option<Vec<u8>>);

/// What is called for each row: whether it can be trusted though its page is damaged.
pub(in crate::store) type VisitRow<'a> = dyn FnMut(&[u8], &[u8]) -> Result<bool, Error> + 'a;

/// Keys and values of a fixed width, as redb's own tables have them.
#[derive(Clone, Copy, Debug)]
struct Widths {
    key: Option<usize>,
    value: Option<usize>,
}

fn width(definition: &[u8], at: usize) -> Option<usize> {
    definition.get(at).filter(|fixed| **fixed != 0).and_then(|_| small(definition, at + 1))
}

impl Widths {
    /// How much of a page is in use.
    fn used(self, bytes: &[u8]) -> Option<usize> {
        let count = count(bytes).filter(|count| *count > 0)?;
        match *bytes.first()? {
            LEAF => {
                let ends = |width: Option<usize>| if width.is_none() { 4 * count } else { 0 };
                let keys = match self.key {
                    Some(width) => 4 + ends(self.value) + width * count,
                    None => small(bytes, 4 * count)?,
                };
                match self.value {
                    Some(width) => Some(keys + width * count),
                    None => small(bytes, ends(self.key) + 4 * count),
                }
            }
            BRANCH => match self.key {
                Some(width) => Some(8 + 24 * (count + 1) + width * count),
                None => small(bytes, 8 + 24 * (count + 1) + 4 * (count - 1)),
            },
            _ => None,
        }
    }
}

/// A redb file.
#[derive(Debug)]
pub(in crate::store) struct Pages {
    file: Arc<dyn DiskFile>,
    length: u64,
    header: Vec<u8>,
    /// Header pages and data pages of a region.
    region: (u64, u64),
}

fn number(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_le_bytes(bytes.get(at..at + 8)?.try_into().ok()?))
}

fn small(bytes: &[u8], at: usize) -> Option<usize> {
    Some(u32::from_le_bytes(bytes.get(at..at + 4)?.try_into().ok()?) as usize)
}

fn count(bytes: &[u8]) -> Option<usize> {
    Some(usize::from(u16::from_le_bytes(bytes.get(2..4)?.try_into().ok()?)))
}

/// The offsets of a leaf's rows: of keys, of values.
struct Leaf<'a> {
    bytes: &'a [u8],
    count: usize,
}

impl<'a> Leaf<'a> {
    fn new(bytes: &'a [u8]) -> Option<Leaf<'a>> {
        let count = count(bytes)?;
        (bytes.first() == Some(&LEAF) && count > 0).then_some(Leaf { bytes, count })
    }

    fn key(&self, n: usize) -> Option<&'a [u8]> {
        let start = match n.checked_sub(1) {
            Some(before) => small(self.bytes, 4 + 4 * before)?,
            None => 4 + 8 * self.count,
        };
        self.bytes.get(start..small(self.bytes, 4 + 4 * n)?)
    }

    fn value_end(&self, n: usize) -> Option<usize> {
        small(self.bytes, 4 + 4 * self.count + 4 * n)
    }

    fn value(&self, n: usize) -> Option<&'a [u8]> {
        let start = match n.checked_sub(1) {
            Some(before) => self.value_end(before)?,
            None => small(self.bytes, 4 + 4 * (self.count - 1))?,
        };
        self.bytes.get(start..self.value_end(n)?)
    }

    fn used(&self) -> Option<usize> {
        self.value_end(self.count - 1)
    }
}

struct Branch<'a> {
    bytes: &'a [u8],
    keys: usize,
}

impl<'a> Branch<'a> {
    fn new(bytes: &'a [u8]) -> Option<Branch<'a>> {
        let keys = count(bytes)?;
        (bytes.first() == Some(&BRANCH) && keys > 0).then_some(Branch { bytes, keys })
    }

    fn child(&self, n: usize) -> Option<Root> {
        let checksum = self.bytes.get(8 + 16 * n..24 + 16 * n)?;
        let page = number(self.bytes, 8 + 16 * (self.keys + 1) + 8 * n)?;
        Some(Root { page, checksum: u128::from_le_bytes(checksum.try_into().ok()?) })
    }

    fn key_end(&self, n: usize) -> Option<usize> {
        small(self.bytes, 8 + 24 * (self.keys + 1) + 4 * n)
    }

    fn key(&self, n: usize) -> Option<&'a [u8]> {
        let start = match n.checked_sub(1) {
            Some(before) => self.key_end(before)?,
            None => 8 + 24 * (self.keys + 1) + 4 * self.keys,
        };
        self.bytes.get(start..self.key_end(n)?)
    }

    fn used(&self) -> Option<usize> {
        self.key_end(self.keys - 1)
    }
}

fn is_sound(bytes: &[u8], used: Option<usize>, checksum: u128) -> bool {
    used.and_then(|used| bytes.get(..used)).is_some_and(|used| xxh3_128(used) == checksum)
}

impl Pages {
    /// Of a file whose header is damaged redb's own geometry is taken: the checksums say whether it is right.
    pub(in crate::store) fn new(file: Arc<dyn DiskFile>) -> Result<Pages, Error> {
        let length = file.len().map_err(|error| Error::io("reading index.redb", error))?;
        let mut header = vec![0; 512];
        // A header that cannot be read is a damaged one.
        let read = if length >= 512 {
            file.read_at(0, &mut header)
        } else {
            Err(io::ErrorKind::UnexpectedEof.into())
        };
        if read.is_err() {
            header.fill(0);
        }
        let geometry = || {
            let fits = header.get(..9)? == MAGIC && small(&header, 12)? as u64 == PAGE;
            let region = (small(&header, 16)? as u64, small(&header, 20)? as u64);
            (fits && region.0 <= REGION.1 && (1..=REGION.1).contains(&region.1)).then_some(region)
        };
        let region = geometry().unwrap_or(REGION);
        Ok(Pages { file, length, header, region })
    }

    /// Roots of the tree of tables, the likeliest first: those of the header, then every page that could be one.
    pub(in crate::store) fn roots(&self, is_table: &dyn Fn(&[u8]) -> bool) -> Vec<Root> {
        let second = self.header.get(9).is_some_and(|flags| flags & 1 != 0);
        let slots = if second { [192, 64] } else { [64, 192] };
        let mut roots: Vec<Root> = slots.into_iter().filter_map(|at| self.slot(at)).collect();
        if !roots.iter().any(|root| self.page(*root).is_some_and(|(_, sound)| sound)) {
            roots.extend(self.search(is_table));
        }
        roots
    }

    fn slot(&self, at: usize) -> Option<Root> {
        let slot = self.sound_slot(at)?;
        if *slot.get(1)? != 0 { Root::read(slot.get(8..40)?) } else { None }
    }

    fn sound_slot(&self, at: usize) -> Option<&[u8]> {
        let slot = self.header.get(at..at + 128)?;
        let checksum = u128::from_le_bytes(slot.get(112..128)?.try_into().ok()?);
        (xxh3_128(slot.get(..112)?) == checksum).then_some(slot)
    }

    /// Whether redb's own trees (which pages are free) are whole: a damaged one shows only at the next write.
    pub(in crate::store) fn system_is_whole(&self) -> bool {
        let second = self.header.get(9).is_some_and(|flags| flags & 1 != 0);
        let Some(slot) = self.sound_slot(if second { 192 } else { 64 }) else { return false };
        let root = slot.get(2).filter(|has| **has != 0).and_then(|_| Root::read(slot.get(40..72)?));
        let Some(root) = root else { return true };
        let (mut holes, mut tables) = (Vec::new(), Vec::new());
        let mut note = |_: &[u8], definition: &[u8]| {
            let has_root = definition.get(9).is_some_and(|has| *has != 0);
            let root = definition.get(10..42).filter(|_| has_root).and_then(Root::read);
            tables.extend(
                root.map(|root| (root, Widths { key: width(definition, 42), value: width(definition, 47) })),
            );
            Ok(true)
        };
        let read = self.walk(root, &mut note, &mut holes).is_ok();
        read && holes.is_empty()
            && tables.iter().all(|(root, widths)| self.is_whole(*root, *widths, DEPTH_MAX))
    }

    /// Whether every page of a tree is whole, whatever is in it.
    fn is_whole(&self, root: Root, widths: Widths, depth: usize) -> bool {
        let Some(bytes) = self.read(root.page).filter(|_| depth > 0) else { return false };
        if !is_sound(&bytes, widths.used(&bytes), root.checksum) {
            return false;
        }
        let Some(branch) = Branch::new(&bytes) else { return true };
        (0..=branch.keys)
            .all(|n| branch.child(n).is_some_and(|child| self.is_whole(child, widths, depth - 1)))
    }

    /// Leaves of one page whose keys are names of tables only: old and new roots of the tree of tables.
    fn search(&self, is_table: &dyn Fn(&[u8]) -> bool) -> Vec<Root> {
        let (first, size) = ((1 + self.region.0) * PAGE, (self.region.0 + self.region.1) * PAGE);
        let mut found = Vec::new();
        let mut bytes = vec![0; PAGE as usize];
        let mut at = first;
        while at + PAGE <= self.length {
            let read = self.file.read_at(at, &mut bytes);
            let leaf = Leaf::new(&bytes).filter(|leaf| {
                read.is_ok() && leaf.count < 64 && (0..leaf.count).all(|n| leaf.key(n).is_some_and(is_table))
            });
            if let Some(used) = leaf.and_then(|leaf| leaf.used()).and_then(|used| bytes.get(..used)) {
                let (region, within) = ((at - PAGE) / size, (at - PAGE) % size);
                let page = (within / PAGE - self.region.0) | region << 20;
                found.push(Root { page, checksum: xxh3_128(used) });
            }
            at += PAGE;
        }
        found
    }

    fn read(&self, page: u64) -> Option<Vec<u8>> {
        let order = (page >> 59) as u8;
        if order > ORDER_MAX {
            return None;
        }
        let (index, region) = (page & (0xf_ffff >> order), page >> 20 & 0xf_ffff);
        let (bytes, size) = (PAGE << order, (self.region.0 + self.region.1) * PAGE);
        let start = PAGE + region * size + self.region.0 * PAGE + index * bytes;
        if start + bytes > self.length {
            return None;
        }
        let mut memory = vec![0; bytes as usize];
        self.file.read_at(start, &mut memory).ok()?;
        Some(memory)
    }

    /// A page, and whether it is what was written.
    fn page(&self, root: Root) -> Option<(Vec<u8>, bool)> {
        let bytes = self.read(root.page)?;
        let used = match bytes.first() {
            Some(&LEAF) => Leaf::new(&bytes).and_then(|leaf| leaf.used()),
            Some(&BRANCH) => Branch::new(&bytes).and_then(|branch| branch.used()),
            _ => None,
        };
        let sound = is_sound(&bytes, used, root.checksum);
        Some((bytes, sound))
    }

    /// Visits the rows of a tree in order, and notes where some may be missing. Of a damaged page what can be
    /// trusted by itself is taken: rows that `visit` says to know, and children whose checksum fits.
    pub(in crate::store) fn walk(
        &self,
        root: Root,
        visit: &mut VisitRow<'_>,
        holes: &mut Vec<Hole>,
    ) -> Result<(), Error> {
        self.descend(root, (None, None), DEPTH_MAX, visit, holes)
    }

    fn descend(
        &self,
        root: Root,
        (low, high): Hole,
        depth: usize,
        visit: &mut VisitRow<'_>,
        holes: &mut Vec<Hole>,
    ) -> Result<(), Error> {
        let Some((bytes, sound)) = self.page(root).filter(|_| depth > 0) else {
            holes.push((low, high));
            return Ok(());
        };
        if let Some(leaf) = Leaf::new(&bytes) {
            let mut whole = sound;
            for n in 0..leaf.count {
                whole &= match (leaf.key(n), leaf.value(n)) {
                    (Some(key), Some(value)) => visit(key, value)?,
                    _ => false,
                };
            }
            if !whole {
                holes.push((low, high));
            }
            return Ok(());
        }
        let Some(branch) = Branch::new(&bytes) else {
            holes.push((low, high));
            return Ok(());
        };
        if !sound {
            holes.push((low.clone(), high.clone()));
        }
        let mut before = low;
        for n in 0..=branch.keys {
            let upto = if n == branch.keys { high.clone() } else { branch.key(n).map(<[u8]>::to_vec) };
            match branch.child(n) {
                // Of a damaged page a child counts if it proves itself.
                Some(child) if sound || self.page(child).is_some_and(|(_, sound)| sound) => {
                    self.descend(child, (before, upto.clone()), depth - 1, visit, holes)?;
                }
                _ => holes.push((before, upto.clone())),
            }
            before = upto;
        }
        Ok(())
    }
}
