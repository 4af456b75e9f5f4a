//! The blocks of records that an operation touches: loaded first, changed in memory, written once.
//!
//! A block's key is a lower bound of its UIDs and stays when its first record goes; a UID lies in the
//! block of the last key that is not above it. UIDs only rise, so blocks are appended to and never split.

use std::ops::ControlFlow;

use crate::model::{MailboxId, UidSet};
use crate::store::base::codec::{behind_pair, decode_key, pair};
use crate::store::base::error::Error;
use crate::store::base::rows::{Rows, Transaction};
use crate::store::base::schema::Table;
use crate::store::mailbox::record::{self, BLOCK_MAX, Head, Record};

/// A block with fewer records joins a neighbour where both fit.
const SMALL: usize = 16;
/// Blocks between two ranges of a set are read through rather than looked up anew if the UIDs between
/// are no more than this: about eight blocks.
pub(in crate::store) const GAP: u32 = 512;

/// The key of the block that would hold a UID, and the block.
pub(in crate::store) fn at(
    rows: &dyn Rows,
    mailbox: MailboxId,
    uid: u32,
) -> Result<Option<(u32, Vec<u8>)>, Error> {
    let mut found = None;
    rows.scan_back(Table::Messages, &pair(mailbox.0, 0), &behind_pair(mailbox.0, uid), &mut |key, value| {
        found = Some((lowest(key)?, value.to_vec()));
        Ok(ControlFlow::Break(()))
    })?;
    Ok(found)
}

/// The lowest UID that a block's key names.
pub(in crate::store) fn lowest(key: &[u8]) -> Result<u32, Error> {
    decode_key("the key of a block", key, |key| key.u32().and(key.u32()))
}

/// The blocks that hold the UIDs of a set, and a neighbour on either side, to join.
pub(in crate::store) struct Blocks {
    mailbox: MailboxId,
    blocks: Vec<Block>,
}

struct Block {
    key: u32,
    /// Whether the block before this one in the vector is also the one before it in the mailbox.
    adjacent: bool,
    rows: Loaded,
    changed: bool,
    shrunk: bool,
}

enum Loaded {
    Bytes(Vec<u8>, Head),
    Records(Vec<Record>),
}

impl Block {
    fn new(key: u32, adjacent: bool, bytes: &[u8]) -> Result<Self, Error> {
        let head = record::head(bytes)?;
        let rows = Loaded::Bytes(bytes.to_vec(), head);
        Ok(Block { key, adjacent, rows, changed: false, shrunk: false })
    }

    fn count(&self) -> usize {
        match &self.rows {
            Loaded::Bytes(_, head) => head.count,
            Loaded::Records(records) => records.len(),
        }
    }

    fn last(&self) -> u32 {
        match &self.rows {
            Loaded::Bytes(_, head) => head.last,
            Loaded::Records(records) => records.last().map_or(0, |record| record.uid.get()),
        }
    }

    fn may_hold(&self, uids: &UidSet) -> bool {
        let at = uids.ranges().partition_point(|range| *range.end() < self.key);
        uids.ranges().get(at).is_some_and(|range| *range.start() <= self.last())
    }

    fn records(&mut self) -> Result<&mut Vec<Record>, Error> {
        if let Loaded::Bytes(bytes, _) = &self.rows {
            self.rows = Loaded::Records(record::decode(bytes)?);
        }
        match &mut self.rows {
            Loaded::Records(records) => Ok(records),
            Loaded::Bytes(..) => Err(Error::Damaged("a block of message records".to_owned())),
        }
    }
}

impl Blocks {
    pub(in crate::store) fn load(rows: &dyn Rows, mailbox: MailboxId, uids: &UidSet) -> Result<Self, Error> {
        let mut loading = Loading { mailbox, uids, at: 0, blocks: Vec::new() };
        while let Some(start) = uids.ranges().get(loading.at).map(|range| *range.start()) {
            loading.seek(rows, start)?;
            loading.walk(rows, start)?;
        }
        Ok(Blocks { mailbox, blocks: loading.blocks })
    }

    /// Calls `visit` for each record of the set.
    pub(in crate::store) fn each(
        &mut self,
        uids: &UidSet,
        mut visit: impl FnMut(&Record) -> Result<(), Error>,
    ) -> Result<(), Error> {
        self.update(uids, |record| visit(record).map(|()| false))
    }

    /// Calls `change` for each record of the set; it says whether it changed the record.
    pub(in crate::store) fn update(
        &mut self,
        uids: &UidSet,
        mut change: impl FnMut(&mut Record) -> Result<bool, Error>,
    ) -> Result<(), Error> {
        for block in self.blocks.iter_mut().filter(|block| block.may_hold(uids)) {
            let mut changed = false;
            for record in block.records()?.iter_mut().filter(|record| uids.contains(record.uid.get())) {
                changed |= change(record)?;
            }
            block.changed |= changed;
        }
        Ok(())
    }

    /// Takes out the records of the set for which `choose` is true.
    pub(in crate::store) fn take(
        &mut self,
        uids: &UidSet,
        choose: impl Fn(&Record) -> bool,
    ) -> Result<Vec<Record>, Error> {
        let mut taken = Vec::new();
        for block in self.blocks.iter_mut().filter(|block| block.may_hold(uids)) {
            let before = taken.len();
            let records = block.records()?;
            taken.extend(records.extract_if(.., |record| uids.contains(record.uid.get()) && choose(record)));
            block.shrunk |= taken.len() > before;
            block.changed |= taken.len() > before;
        }
        Ok(taken)
    }

    /// Writes each block that changed.
    pub(in crate::store) fn save(mut self, tx: &mut dyn Transaction) -> Result<(), Error> {
        for gone in self.join()? {
            tx.delete(Table::Messages, &pair(self.mailbox.0, gone));
        }
        for block in &mut self.blocks {
            if block.changed {
                let key = pair(self.mailbox.0, block.key);
                tx.put(Table::Messages, &key, &record::encode(block.records()?));
            }
        }
        Ok(())
    }

    /// Drops empty blocks and joins small ones; gives the keys that are gone.
    fn join(&mut self) -> Result<Vec<u32>, Error> {
        let mut gone = Vec::new();
        let mut kept: Vec<Block> = Vec::with_capacity(self.blocks.len());
        // What the blocks dropped since the last one kept say of the next.
        let (mut adjacent, mut shrunk) = (true, false);
        for mut block in std::mem::take(&mut self.blocks) {
            adjacent &= block.adjacent;
            shrunk |= block.shrunk;
            if block.count() == 0 {
                gone.push(block.key);
                continue;
            }
            let joins = |last: &&mut Block| {
                adjacent
                    && (shrunk || last.shrunk)
                    && (last.count() < SMALL || block.count() < SMALL)
                    && last.count() + block.count() <= BLOCK_MAX
            };
            if let Some(last) = kept.last_mut().filter(joins) {
                gone.push(block.key);
                last.records()?.append(block.records()?);
                (last.changed, last.shrunk) = (true, true);
            } else {
                kept.push(block);
            }
            (adjacent, shrunk) = (true, false);
        }
        self.blocks = kept;
        Ok(gone)
    }
}

struct Loading<'a> {
    mailbox: MailboxId,
    uids: &'a UidSet,
    /// The range that is looked for.
    at: usize,
    blocks: Vec<Block>,
}

impl Loading<'_> {
    /// Loads the block that would hold `uid`, and the one before it.
    fn seek(&mut self, rows: &dyn Rows, uid: u32) -> Result<(), Error> {
        let mut before = Vec::with_capacity(2);
        let (low, high) = (pair(self.mailbox.0, 0), behind_pair(self.mailbox.0, uid));
        rows.scan_back(Table::Messages, &low, &high, &mut |key, value| {
            before.push(Block::new(lowest(key)?, true, value)?);
            Ok(if before.len() == 2 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
        })?;
        let last = self.blocks.last().map(|block| block.key);
        // If it is not the last that was loaded, there may be others between.
        if let Some(first) = before.last_mut() {
            first.adjacent = false;
        }
        before.reverse();
        let mut found = before.into_iter().peekable();
        // If it is, what follows is next to it.
        while let Some(block) = found.next_if(|block| last.is_some_and(|last| block.key <= last)) {
            drop(block);
        }
        self.blocks.extend(found);
        Ok(())
    }

    /// Loads the blocks behind `uid` until one lies behind the set, or far before the next range.
    fn walk(&mut self, rows: &dyn Rows, uid: u32) -> Result<(), Error> {
        let (low, high) = (behind_pair(self.mailbox.0, uid), behind_pair(self.mailbox.0, u32::MAX));
        let ranges = self.uids.ranges();
        let (blocks, at) = (&mut self.blocks, &mut self.at);
        let mut broken = false;
        rows.scan(Table::Messages, &low, &high, &mut |key, value| {
            let block = Block::new(lowest(key)?, !blocks.is_empty(), value)?;
            while ranges.get(*at).is_some_and(|range| *range.end() < block.key) {
                *at += 1;
            }
            let behind = block.last().max(block.key).saturating_add(GAP);
            blocks.push(block);
            broken = ranges.get(*at).is_none_or(|range| *range.start() > behind);
            Ok(if broken { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
        })?;
        if !broken {
            self.at = ranges.len();
        }
        Ok(())
    }
}
