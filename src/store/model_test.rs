//! Random operations against a model in memory: records, counts, `changes` from every earlier modseq, and
//! the rules of the blocks.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;

use super::accounts;
use super::bin::{self, EntryId};
use super::blocks;
use super::changes::{self, Changes, Since};
use super::error::Error;
use super::mailboxes::{self, Mailbox};
use super::memory::Memory;
use super::messages::{self, FlagChange, NewMessage};
use super::record;
use super::rows::Transaction;
use super::schema::Table;
use super::undelete::{self, Pick, Place, Present};
use crate::model::{
    AccountId, ContentId, DateTime, Flag, FlagSet, Keyword, MailboxId, MailboxName, ModSeq, SystemFlags,
    UidSet,
};

pub(super) struct Random(u64);

impl Random {
    pub(super) fn below(&mut self, limit: u32) -> u32 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((self.0 >> 33) as u32) % limit.max(1)
    }

    fn flags(&mut self) -> FlagSet {
        let mut flags = FlagSet::from(SystemFlags::from_bits(self.below(32) as u8));
        for _ in 0..self.below(3) {
            let keyword = Keyword::new(&format!("k{}", self.below(12))).unwrap();
            flags.insert(Flag::Keyword(keyword));
        }
        flags
    }
}

#[derive(Clone, Debug, PartialEq)]
struct Message {
    email: u64,
    size: u64,
    date: i64,
    flags: SystemFlags,
    keywords: BTreeSet<String>,
    modseq: ModSeq,
}

#[derive(Clone, Default)]
struct Model {
    messages: BTreeMap<u32, Message>,
    next: u32,
}

/// HIGHESTMODSEQ, UIDs with their modseqs, UIDNEXT.
type Snapshot = (ModSeq, BTreeMap<u32, ModSeq>, u32);

pub(super) struct World {
    pub(super) memory: Memory,
    pub(super) random: Random,
    pub(super) account: AccountId,
    pub(super) mailboxes: Vec<MailboxId>,
    models: Vec<Model>,
    /// What each mailbox was after each job.
    history: Vec<Vec<Snapshot>>,
    /// What was expunged, by mailbox and UID.
    bin: BTreeMap<(usize, u32), Message>,
    emails: u64,
}

fn words(flags: &FlagSet) -> BTreeSet<String> {
    flags.keywords.iter().map(|keyword| keyword.as_str().to_owned()).collect()
}

impl World {
    pub(super) fn new(seed: u64, count: usize) -> Self {
        let mut memory = Memory::new();
        let (account, mailboxes) = memory
            .write(|tx| {
                let account = accounts::create(tx, "anna", None)?;
                let names = (0..count).map(|n| MailboxName::new(&format!("m{n}")).unwrap());
                let ids: Result<Vec<_>, Error> =
                    names.map(|name| mailboxes::create(tx, account, &name, None)).collect();
                Ok((account, ids?))
            })
            .unwrap();
        let models = vec![Model { next: 1, ..Model::default() }; count];
        let history = vec![Vec::new(); count];
        let bin = BTreeMap::new();
        World { memory, random: Random(seed), account, mailboxes, models, history, bin, emails: 0 }
    }

    fn some_uids(&mut self, m: usize) -> UidSet {
        let next = self.models[m].next;
        match self.random.below(4) {
            0 => UidSet::all(),
            1 => {
                let start = 1 + self.random.below(next);
                (start..=start + self.random.below(150)).collect()
            }
            2 => (0..self.random.below(8)).map(|_| 1 + self.random.below(next)).collect(),
            _ => (1..next).filter(|_| self.random.below(7) == 0).collect(),
        }
    }

    fn step(&mut self, tx: &mut dyn Transaction, m: usize) -> Result<(), Error> {
        // Copies double a mailbox.
        if self.models[m].messages.len() > 1_500 {
            return self.expunge(tx, m);
        }
        match self.random.below(12) {
            0..3 => self.append(tx, m),
            3..6 => self.store(tx, m),
            6..8 => self.expunge(tx, m),
            8..10 => self.undelete(tx),
            _ => self.paste(tx, m),
        }
    }

    /// Some of what was expunged, of any mailbox, is put back.
    fn undelete(&mut self, tx: &mut dyn Transaction) -> Result<(), Error> {
        let mut picks = Vec::new();
        for (id, m, uids) in self.entries(tx)? {
            let some: UidSet = uids.into_iter().filter(|_| self.random.below(2) == 0).collect();
            if self.random.below(4) == 0 && !some.is_empty() {
                picks.push((m, Pick { entry: id, uids: some }));
            }
        }
        let elsewhere = self.random.below(3) == 0;
        for (m, pick) in picks {
            let to = if elsewhere { self.random.below(self.models.len() as u32) as usize } else { m };
            let name = MailboxName::new(&format!("m{to}")).unwrap();
            let place = if elsewhere { Place::Named(name) } else { Place::Own };
            let picks = [pick];
            let present = match self.random.below(2) {
                0 => Present::look(tx, self.account, &picks, &place)?,
                // As if the mailbox had been another when it was looked up.
                _ => Present::default(),
            };
            let done = undelete::messages(tx, self.account, &picks, &place, &present)?;
            let (mut restored, mut present) = (0, 0);
            for uid in picks[0].uids.iter() {
                let mut message = self.bin.remove(&(m, uid)).unwrap();
                let target = &mut self.models[to];
                if target.messages.values().any(|known| known.email == message.email) {
                    present += 1;
                    continue;
                }
                message.flags = message.flags.without(SystemFlags::DELETED);
                message.modseq = tx.modseq()?;
                target.messages.insert(target.next, message);
                target.next += 1;
                restored += 1;
            }
            assert_eq!((done.restored, done.present), (restored, present));
        }
        Ok(())
    }

    /// The entries of expunged messages: id, mailbox, UIDs. They must be what the model has.
    fn entries(&self, rows: &dyn super::rows::Rows) -> Result<Vec<(EntryId, usize, Vec<u32>)>, Error> {
        let mut found = Vec::new();
        bin::list(rows, self.account, &mut |entry| {
            if let bin::Kept::Messages { records, .. } = &entry.kept {
                let m = self.mailboxes.iter().position(|id| *id == entry.mailbox).unwrap();
                found.push((entry.id, m, records.iter().map(|record| record.uid.get()).collect::<Vec<_>>()));
            }
            Ok(ControlFlow::Continue(()))
        })?;
        let all = found.iter().flat_map(|(_, m, uids)| uids.iter().map(|uid| (*m, *uid)));
        assert_eq!(all.clone().count(), self.bin.len(), "each once");
        assert!(all.collect::<BTreeSet<_>>().iter().eq(self.bin.keys()));
        Ok(found)
    }

    /// A mailbox is deleted and put back: all of it is there, and nobody may ask for what was before.
    fn delete_and_put_back(&mut self, m: usize) {
        let (account, before) = (self.account, self.mailbox(m));
        self.memory.write(|tx| mailboxes::delete(tx, account, &before.name)).unwrap();
        let entry = bin::newest(&self.memory, account, None).unwrap().unwrap();
        let after = loop {
            let done = self.memory.write(|tx| undelete::mailbox(tx, account, entry.id, None)).unwrap();
            if let Some(after) = done {
                break after;
            }
        };
        assert_eq!(after, self.mailbox(m));
        assert_eq!((after.id, &after.name, after.uid_next), (before.id, &before.name, before.uid_next));
        assert!(after.uid_validity > before.uid_validity && after.object_id != before.object_id);
        assert_eq!(self.since(m, before.highest_modseq), Since::BelowFloor);
        self.history[m].clear();
    }

    fn append(&mut self, tx: &mut dyn Transaction, m: usize) -> Result<(), Error> {
        let count = if self.random.below(3) == 0 { self.random.below(150) } else { 1 };
        let mut new = Vec::new();
        for _ in 0..count {
            self.emails += 1;
            new.push(NewMessage {
                email: ContentId(self.emails),
                size: u64::from(self.random.below(90_000)),
                internal_date: DateTime::utc(i64::from(self.random.below(u32::MAX))),
                flags: self.random.flags(),
            });
        }
        let done = messages::append(tx, self.account, self.mailboxes[m], &new)?;
        assert_eq!(done.uids.len(), u64::from(count));
        let model = &mut self.models[m];
        for message in new {
            let entry = Message {
                email: message.email.0,
                size: message.size,
                date: message.internal_date.unix,
                flags: message.flags.system,
                keywords: words(&message.flags),
                modseq: done.modseq,
            };
            model.messages.insert(model.next, entry);
            model.next += 1;
        }
        Ok(())
    }

    fn store(&mut self, tx: &mut dyn Transaction, m: usize) -> Result<(), Error> {
        let (uids, flags) = (self.some_uids(m), self.random.flags());
        let change =
            [FlagChange::Add, FlagChange::Remove, FlagChange::Replace][self.random.below(3) as usize];
        let limit = tx.modseq()?.0 as u32;
        let since = (self.random.below(3) == 0).then(|| ModSeq(u64::from(self.random.below(limit))));
        let done = messages::store_flags(tx, self.account, self.mailboxes[m], &uids, change, &flags, since)?;
        let (mut changed, mut modified) = (UidSet::new(), UidSet::new());
        for (uid, message) in &mut self.models[m].messages {
            if !uids.contains(*uid) {
                continue;
            }
            if since.is_some_and(|since| message.modseq > since) {
                modified.insert_range(*uid..=*uid);
                continue;
            }
            let before = message.clone();
            match change {
                FlagChange::Add => {
                    message.flags = message.flags.union(flags.system);
                    message.keywords.extend(words(&flags));
                }
                FlagChange::Remove => {
                    message.flags = message.flags.without(flags.system);
                    message.keywords.retain(|word| !words(&flags).contains(word));
                }
                FlagChange::Replace => (message.flags, message.keywords) = (flags.system, words(&flags)),
            }
            if *message != before {
                message.modseq = tx.modseq()?;
                changed.insert_range(*uid..=*uid);
            }
        }
        assert_eq!((done.changed, done.modified), (changed, modified));
        Ok(())
    }

    fn expunge(&mut self, tx: &mut dyn Transaction, m: usize) -> Result<(), Error> {
        let (uids, only_deleted) = (self.some_uids(m), self.random.below(3) > 0);
        let done = messages::expunge(tx, self.account, self.mailboxes[m], &uids, only_deleted)?;
        let goes = |message: &Message| !only_deleted || message.flags.contains(SystemFlags::DELETED);
        let gone: Vec<(u32, Message)> = self.models[m]
            .messages
            .extract_if(.., |uid, message| uids.contains(*uid) && goes(message))
            .collect();
        assert_eq!(done.uids, gone.iter().map(|(uid, _)| *uid).collect());
        self.bin.extend(gone.into_iter().map(|(uid, message)| ((m, uid), message)));
        Ok(())
    }

    fn paste(&mut self, tx: &mut dyn Transaction, m: usize) -> Result<(), Error> {
        let to = self.random.below(self.models.len() as u32) as usize;
        let (uids, moves) = (self.some_uids(m), self.random.below(2) == 0);
        let (from_id, to_id) = (self.mailboxes[m], self.mailboxes[to]);
        let done = if moves {
            messages::move_(tx, self.account, from_id, &uids, to_id)?
        } else {
            messages::copy(tx, self.account, from_id, &uids, to_id)?
        };
        let chosen: Vec<(u32, Message)> = self.models[m]
            .messages
            .iter()
            .filter(|(uid, _)| uids.contains(**uid))
            .map(|(uid, message)| (*uid, message.clone()))
            .collect();
        assert!(done.from.iter().map(|uid| uid.get()).eq(chosen.iter().map(|(uid, _)| *uid)));
        let mut targets = Vec::new();
        for (uid, mut message) in chosen {
            if moves {
                self.models[m].messages.remove(&uid);
            }
            message.modseq = tx.modseq()?;
            let next = self.models[to].next;
            self.models[to].messages.insert(next, message);
            self.models[to].next += 1;
            targets.push(next);
        }
        assert!(done.to.iter().map(|uid| uid.get()).eq(targets));
        Ok(())
    }

    /// One job of one to three operations.
    fn job(&mut self) {
        let mut memory = std::mem::replace(&mut self.memory, Memory::new());
        memory
            .write(|tx| {
                let count = if self.random.below(4) == 0 { 3 } else { 1 };
                for _ in 0..count {
                    let m = self.random.below(self.models.len() as u32) as usize;
                    self.step(tx, m)?;
                }
                Ok(())
            })
            .unwrap();
        self.memory = memory;
        for m in 0..self.models.len() {
            let uids = self.models[m].messages.iter().map(|(uid, message)| (*uid, message.modseq)).collect();
            let reached = self.mailbox(m).highest_modseq;
            if self.history[m].last().is_none_or(|(last, ..)| *last != reached) {
                self.history[m].push((reached, uids, self.models[m].next));
            }
        }
    }

    pub(super) fn mailbox(&self, m: usize) -> Mailbox {
        mailboxes::get(&self.memory, self.account, self.mailboxes[m]).unwrap().unwrap()
    }

    fn check(&self, m: usize) {
        let (mailbox, model) = (self.mailbox(m), &self.models[m].messages);
        let unseen = |message: &&Message| !message.flags.contains(SystemFlags::SEEN);
        assert_eq!(mailbox.messages as usize, model.len());
        assert_eq!(mailbox.unseen as usize, model.values().filter(unseen).count());
        let deleted = model.values().filter(|message| message.flags.contains(SystemFlags::DELETED));
        assert_eq!(mailbox.deleted as usize, deleted.count());
        assert_eq!(mailbox.size, model.values().map(|message| message.size).sum::<u64>());
        assert_eq!(mailbox.uid_next, self.models[m].next);
        let first = model.iter().find(|(_, message)| unseen(message)).map(|(uid, _)| *uid);
        assert_eq!(mailbox.first_unseen.map(|uid| uid.get()), first);
        let newest = model.values().map(|message| message.modseq).max();
        assert!(newest.is_none_or(|newest| newest <= mailbox.highest_modseq));
        self.check_records(m);
        self.check_blocks(m);
    }

    fn check_records(&self, m: usize) {
        let table = messages::keywords(&self.memory, self.mailboxes[m]).unwrap();
        let mut model = self.models[m].messages.iter();
        messages::scan(&self.memory, self.mailboxes[m], 0..=u32::MAX, &mut |record| {
            let (uid, message) = model.next().unwrap();
            let found = Message {
                email: record.email.0,
                size: record.size,
                date: record.internal_date.unix,
                flags: record.flags,
                keywords: table.names(record.keywords).map(|word| word.as_str().to_owned()).collect(),
                modseq: record.modseq,
            };
            assert_eq!((record.uid.get(), &found), (*uid, message));
            Ok(ControlFlow::Continue(()))
        })
        .unwrap();
        assert!(model.next().is_none());
        let uids = messages::uids(&self.memory, self.mailboxes[m]).unwrap();
        assert!(uids.iter().map(|(_, uid)| uid.get()).eq(self.models[m].messages.keys().copied()));
    }

    fn check_reading(&self, m: usize, uids: &UidSet) {
        let (model, mailbox) = (&self.models[m].messages, self.mailboxes[m]);
        let mut found = UidSet::new();
        messages::select(&self.memory, mailbox, uids, &mut |record| {
            found.insert(record.uid);
            Ok(ControlFlow::Continue(()))
        })
        .unwrap();
        assert!(found.iter().eq(model.keys().copied().filter(|uid| uids.contains(*uid))));
        let few: UidSet = (1..self.models[m].next + 2).step_by(9).collect();
        for uid in few.uids() {
            let record = messages::record(&self.memory, mailbox, uid).unwrap();
            assert_eq!(record.map(|record| record.modseq), model.get(&uid.get()).map(|known| known.modseq));
        }
    }

    pub(super) fn check_blocks(&self, m: usize) {
        let prefix = self.mailboxes[m].0.to_be_bytes();
        let rows = self.memory.rows(Table::Messages).filter(|(key, _)| key.starts_with(&prefix));
        let blocks: Vec<(u32, Vec<record::Record>)> =
            rows.map(|(key, value)| (blocks::lowest(key).unwrap(), record::decode(value).unwrap())).collect();
        for (key, records) in &blocks {
            assert!((1..=64).contains(&records.len()));
            assert!(records[0].uid.get() >= *key);
        }
        for pair in blocks.windows(2) {
            let ((_, left), (key, right)) = (&pair[0], &pair[1]);
            assert!(left.last().unwrap().uid.get() < *key);
            let joinable = left.len().min(right.len()) < 16 && left.len() + right.len() <= 64;
            assert!(!joinable, "{} and {} records", left.len(), right.len());
        }
    }

    pub(super) fn since(&self, m: usize, after: ModSeq) -> Since<Changes> {
        changes::since(&self.memory, self.account, self.mailboxes[m], after).unwrap()
    }

    /// What a fresh comparison of the mailbox then and now finds.
    fn expected(&self, m: usize, (after, old, next): &Snapshot) -> Changes {
        let new = &self.models[m].messages;
        let came = *next..self.models[m].next;
        Changes {
            added: new.keys().filter(|uid| !old.contains_key(uid)).copied().collect(),
            changed: new
                .iter()
                .filter(|(uid, message)| old.contains_key(uid) && message.modseq > *after)
                .map(|(uid, _)| *uid)
                .collect(),
            expunged: old.keys().copied().chain(came).filter(|uid| !new.contains_key(uid)).collect(),
            upto: self.mailbox(m).highest_modseq,
        }
    }
}

#[test]
fn random_operations_agree_with_a_model() {
    for seed in 1..=3 {
        let mut world = World::new(seed, 3);
        for step in 0..500 {
            world.job();
            let m = step % 3;
            if world.random.below(40) == 0 {
                world.delete_and_put_back(m);
            }
            world.check(m);
            let uids = world.some_uids(m);
            world.check_reading(m, &uids);
            for _ in 0..2 {
                let at = world.random.below(world.history[m].len() as u32) as usize;
                if let Some(snapshot) = world.history[m].get(at) {
                    let expected = world.expected(m, snapshot);
                    assert_eq!(world.since(m, snapshot.0), Since::Known(expected), "seed {seed}");
                }
            }
        }
        for m in 0..3 {
            for snapshot in world.history[m].iter().step_by(6) {
                let expected = world.expected(m, snapshot);
                assert_eq!(world.since(m, snapshot.0), Since::Known(expected), "seed {seed}");
            }
        }
        let report = super::check::check_records(&world.memory);
        assert!(report.findings.is_empty(), "seed {seed}: {report}");
        let shown: BTreeSet<u64> = world.models.iter().flat_map(|m| &m.messages).map(|m| m.1.email).collect();
        let mut found = BTreeSet::new();
        messages::emails(&world.memory, &mut |email| _ = found.insert(email.0)).unwrap();
        assert_eq!(found, shown);
        let binned: BTreeSet<u64> = world.bin.values().map(|message| message.email).collect();
        let mut found = BTreeSet::new();
        bin::emails(&world.memory, &mut |email| _ = found.insert(email.0)).unwrap();
        assert_eq!(found, binned);
        assert!(!binned.is_empty());
    }
}

#[test]
fn a_job_that_fails_leaves_no_trace() {
    let mut world = World::new(9, 2);
    (0..30).for_each(|_| world.job());
    let (models, bin) = (world.models.clone(), world.bin.clone());
    let modseq = world.mailbox(0).highest_modseq;
    let mut memory = std::mem::replace(&mut world.memory, Memory::new());
    let failed: Result<(), Error> = memory.write(|tx| {
        (0..10).try_for_each(|n| world.step(tx, n % 2))?;
        Err(Error::Refused("no"))
    });
    assert!(failed.is_err());
    (world.memory, world.models, world.bin) = (memory, models, bin);
    assert_eq!(world.mailbox(0).highest_modseq, modseq);
    (0..2).for_each(|m| world.check(m));
}
