//! Random operations against a model in memory: records, counts, `changes` from every earlier modseq, and
//! the rules of the blocks.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;

use super::accounts;
use super::blocks;
use super::changes::{self, Changes, Since};
use super::error::Error;
use super::mailboxes::{self, Mailbox};
use super::memory::Memory;
use super::messages::{self, FlagChange, NewMessage};
use super::record;
use super::rows::Transaction;
use super::schema::Table;
use super::{bin, events};
use crate::model::{
    AccountId, DateTime, EmailId, Flag, FlagSet, Keyword, MailboxId, MailboxName, ModSeq, SystemFlags, UidSet,
};

struct Random(u64);

impl Random {
    fn below(&mut self, limit: u32) -> u32 {
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

type Snapshot = (ModSeq, BTreeMap<u32, ModSeq>);

struct World {
    memory: Memory,
    random: Random,
    account: AccountId,
    mailboxes: Vec<MailboxId>,
    models: Vec<Model>,
    /// UIDs and their modseqs after each job.
    history: Vec<Vec<Snapshot>>,
    emails: u64,
}

fn words(flags: &FlagSet) -> BTreeSet<String> {
    flags.keywords.iter().map(|keyword| keyword.as_str().to_owned()).collect()
}

impl World {
    fn new(seed: u64, count: usize) -> Self {
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
        World { memory, random: Random(seed), account, mailboxes, models, history, emails: 0 }
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
        match self.random.below(10) {
            0..3 => self.append(tx, m),
            3..6 => self.store(tx, m),
            6..8 => self.expunge(tx, m),
            _ => self.paste(tx, m),
        }
    }

    fn append(&mut self, tx: &mut dyn Transaction, m: usize) -> Result<(), Error> {
        let count = if self.random.below(3) == 0 { self.random.below(150) } else { 1 };
        let mut new = Vec::new();
        for _ in 0..count {
            self.emails += 1;
            new.push(NewMessage {
                email: EmailId(self.emails),
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
        let gone: UidSet = self.models[m]
            .messages
            .extract_if(.., |uid, message| uids.contains(*uid) && goes(message))
            .map(|(uid, _)| uid)
            .collect();
        assert_eq!(done.uids, gone);
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
            if self.history[m].last().is_none_or(|(last, _)| *last != reached) {
                self.history[m].push((reached, uids));
            }
        }
    }

    fn mailbox(&self, m: usize) -> Mailbox {
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

    fn check_blocks(&self, m: usize) {
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

    fn since(&self, m: usize, after: ModSeq) -> Since<Changes> {
        changes::since(&self.memory, self.account, self.mailboxes[m], after).unwrap()
    }

    /// What a fresh comparison of the mailbox then and now finds.
    fn expected(&self, m: usize, (after, old): &Snapshot) -> Changes {
        let new = &self.models[m].messages;
        Changes {
            added: new.keys().filter(|uid| !old.contains_key(uid)).copied().collect(),
            changed: new
                .iter()
                .filter(|(uid, message)| old.contains_key(uid) && message.modseq > *after)
                .map(|(uid, _)| *uid)
                .collect(),
            expunged: old.keys().filter(|uid| !new.contains_key(uid)).copied().collect(),
            upto: self.mailbox(m).highest_modseq,
        }
    }
}

#[test]
fn random_operations_agree_with_a_model() {
    for seed in 1..=4 {
        let mut world = World::new(seed, 3);
        for step in 0..500 {
            world.job();
            let m = step % 3;
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
            for snapshot in &world.history[m] {
                let expected = world.expected(m, snapshot);
                assert_eq!(world.since(m, snapshot.0), Since::Known(expected), "seed {seed}");
            }
        }
        let shown: BTreeSet<u64> = world.models.iter().flat_map(|m| &m.messages).map(|m| m.1.email).collect();
        let mut found = BTreeSet::new();
        messages::emails(&world.memory, &mut |email| _ = found.insert(email.0)).unwrap();
        assert_eq!(found, shown);
    }
}

#[test]
fn a_job_that_fails_leaves_no_trace() {
    let mut world = World::new(9, 2);
    (0..30).for_each(|_| world.job());
    let (models, modseq) = (world.models.clone(), world.mailbox(0).highest_modseq);
    let mut memory = std::mem::replace(&mut world.memory, Memory::new());
    let failed: Result<(), Error> = memory.write(|tx| {
        (0..10).try_for_each(|n| world.step(tx, n % 2))?;
        Err(Error::Refused("no"))
    });
    assert!(failed.is_err());
    (world.memory, world.models) = (memory, models);
    assert_eq!(world.mailbox(0).highest_modseq, modseq);
    (0..2).for_each(|m| world.check(m));
}

#[test]
fn below_the_whole_rows_the_blocks_tell() {
    let mut world = World::new(5, 1);
    let (account, mailbox) = (world.account, world.mailboxes[0]);
    world.memory.write(|tx| messages::append(tx, account, mailbox, &vec![new_message(); 300])).unwrap();
    world.memory.news.clear();
    let mut after = Vec::new();
    for n in 0..5_000_u32 {
        let uids = UidSet::from_iter([1 + n % 280]);
        let flags = FlagSet::from(SystemFlags::from_bits(1 + (n / 280 % 4) as u8));
        let done = world
            .memory
            .write(|tx| match n % 500 {
                250 => messages::expunge(tx, account, mailbox, &uids, false).map(|done| done.modseq),
                _ => {
                    let replace = FlagChange::Replace;
                    messages::store_flags(tx, account, mailbox, &uids, replace, &flags, None)
                        .map(|done| done.modseq)
                }
            })
            .unwrap();
        after.extend(done);
    }
    let kept = world.mailbox(0);
    assert_eq!(kept.floor, ModSeq::ZERO);
    assert!(kept.log.rows <= changes::ROWS_KEPT + 64 && kept.log.whole_above > ModSeq::ZERO);
    assert!(world.memory.count(Table::Changes) <= 4096 + 64 + 10);
    let Since::Known(changes) = world.since(0, after[0]) else { panic!() };
    assert_eq!(changes.expunged.len(), 10, "expunged UIDs outlive the whole rows");
    assert_eq!(changes.changed.len(), 280 - 10);
}

#[test]
fn expunged_uids_are_kept_up_to_a_limit() {
    let mut world = World::new(5, 1);
    let (account, mailbox) = (world.account, world.mailboxes[0]);
    let mut reached = Vec::new();
    for n in 0..13_u32 {
        let modseq = world
            .memory
            .write(|tx| {
                messages::append(tx, account, mailbox, &vec![new_message(); 10_000])?;
                // The same job that adds them: nothing to tell of these.
                let first = UidSet::from_iter([n * 10_000 + 1..=n * 10_000 + 5]);
                messages::expunge(tx, account, mailbox, &first, false)?;
                tx.modseq()
            })
            .unwrap();
        let all = UidSet::all();
        world.memory.write(|tx| messages::expunge(tx, account, mailbox, &all, false)).unwrap();
        reached.push(modseq);
    }
    let kept = world.mailbox(0);
    assert_eq!((kept.messages, world.memory.count(Table::Messages)), (0, 0));
    assert!(kept.floor > reached[0] && kept.log.expunged <= changes::EXPUNGED_KEPT + 1_024);
    assert_eq!(world.since(0, reached[0]), Since::BelowFloor);
    let Since::Known(changes) = world.since(0, reached[12]) else { panic!() };
    assert_eq!(changes.expunged.len(), 9_995);
    let Since::Known(changes) = world.since(0, reached[11]) else { panic!() };
    assert_eq!((changes.expunged.len(), changes.added.len()), (9_995, 0), "what came and went is not told");
}

fn new_message() -> NewMessage {
    NewMessage { email: EmailId(1), size: 10, internal_date: DateTime::utc(5), flags: FlagSet::default() }
}

#[test]
fn one_store_writes_few_rows() {
    let mut world = World::new(5, 1);
    let (account, mailbox) = (world.account, world.mailboxes[0]);
    world.memory.write(|tx| messages::append(tx, account, mailbox, &vec![new_message(); 6_400])).unwrap();
    let before = world.memory.writes;
    let (all, seen) = (UidSet::all(), FlagSet::from(SystemFlags::SEEN));
    world
        .memory
        .write(|tx| messages::store_flags(tx, account, mailbox, &all, FlagChange::Add, &seen, None))
        .unwrap();
    // A hundred blocks, the changes, the mailbox, the modseq.
    assert_eq!(world.memory.writes - before, 103);
    let before = world.memory.writes;
    let again = world
        .memory
        .write(|tx| messages::store_flags(tx, account, mailbox, &all, FlagChange::Add, &seen, None))
        .unwrap();
    assert_eq!((again, world.memory.writes - before), (messages::Stored::default(), 0));
}

/// RFC 7162 §3.1.3, examples 2 and 7.
#[test]
fn unchangedsince() {
    let mut world = World::new(5, 1);
    let (account, mailbox) = (world.account, world.mailboxes[0]);
    let (added, _) = world
        .memory
        .write(|tx| {
            let done = messages::append(tx, account, mailbox, &vec![new_message(); 9])?;
            Ok((done.modseq, ()))
        })
        .unwrap();
    let mut store = |uids: &[u32], since: u64, word: &str| {
        let (uids, flags): (UidSet, FlagSet) = (
            uids.iter().copied().collect(),
            [Flag::Keyword(Keyword::new(word).unwrap())].into_iter().collect(),
        );
        world
            .memory
            .write(|tx| {
                let since = Some(ModSeq(since));
                messages::store_flags(tx, account, mailbox, &uids, FlagChange::Add, &flags, since)
            })
            .unwrap()
    };
    assert_eq!(store(&[7], added.0, "a").changed.to_string(), "7");
    let second = store(&[5, 7, 9], added.0, "b");
    assert_eq!((second.changed.to_string(), second.modified.to_string()), ("5,9".into(), "7".into()));
    let never = store(&[1], 0, "$MDNSent");
    assert_eq!((never.modified.to_string(), never.modseq), ("1".into(), None));
    // The keyword that nothing was given is not in the table either.
    let table = messages::keywords(&world.memory, mailbox).unwrap();
    assert!(table.all().map(Keyword::as_str).eq(["a", "b"]));
}

#[test]
fn expunged_messages_are_in_the_bin_and_moved_ones_are_not() {
    let mut world = World::new(5, 2);
    let (account, from, to) = (world.account, world.mailboxes[0], world.mailboxes[1]);
    let flags: FlagSet = [Flag::Keyword(Keyword::new("$Label1").unwrap())].into_iter().collect();
    let message = NewMessage { flags, ..new_message() };
    world
        .memory
        .write(|tx| {
            messages::append(tx, account, from, &vec![message; 200])?;
            messages::move_(tx, account, from, &(1..=50_u32).collect(), to)?;
            messages::expunge(tx, account, from, &(101..=200_u32).collect(), false)?;
            messages::expunge(tx, account, from, &(51..=60_u32).collect(), false)
        })
        .unwrap();
    let mut entries = Vec::new();
    bin::list(&world.memory, account, &mut |entry| {
        entries.push(entry);
        Ok(ControlFlow::Continue(()))
    })
    .unwrap();
    let counts: Vec<usize> = entries
        .iter()
        .map(|entry| match &entry.kept {
            bin::Kept::Messages { records, keywords } => {
                assert!(keywords.names(records[0].keywords).map(Keyword::as_str).eq(["$Label1"]));
                records.len()
            }
            bin::Kept::Mailbox { .. } => panic!(),
        })
        .collect();
    assert_eq!(counts, [64, 36, 10]);
    assert_eq!((entries[0].name.as_str(), bin::size(&world.memory, account).unwrap()), ("m0", 1_100));
    let mut emails = 0;
    bin::emails(&world.memory, &mut |_| emails += 1).unwrap();
    assert_eq!(emails, 110);
    world.memory.now += 400 * 86_400;
    let expire = |world: &mut World| {
        let now = bin::clock(&world.memory).unwrap();
        while world.memory.write(|tx| bin::expire(tx, account, now, bin::MAX_AGE)).unwrap() {}
        world.memory.count(Table::Bin)
    };
    assert_eq!(expire(&mut world), 3, "the wall clock leapt, the bin's did not");
    world.memory.write(|tx| bin::advance(tx, u64::MAX)).unwrap();
    assert_eq!(expire(&mut world), 3);
    (0..29).for_each(|_| world.memory.write(|tx| bin::advance(tx, 86_400)).unwrap());
    assert_eq!(expire(&mut world), 0);
}

#[test]
fn the_newest_events_are_kept() {
    let mut world = World::new(5, 1);
    let account = world.account;
    let name = MailboxName::new("x").unwrap();
    let mut reached = Vec::new();
    for n in 0..1_500 {
        let modseq = world
            .memory
            .write(|tx| {
                if n % 2 == 0 {
                    mailboxes::subscribe(tx, account, &name)?;
                } else {
                    mailboxes::unsubscribe(tx, account, &name)?;
                }
                tx.modseq()
            })
            .unwrap();
        reached.push(modseq);
    }
    assert_eq!(events::since(&world.memory, account, ModSeq::ZERO).unwrap(), Since::BelowFloor);
    let Since::Known(found) = events::since(&world.memory, account, reached[600]).unwrap() else { panic!() };
    assert_eq!(found.len(), 899);
    assert!(found.is_sorted_by_key(|event| event.modseq));
    assert!(world.memory.count(Table::Events) <= 1_101);
}

#[test]
#[ignore = "a measurement: run it alone, optimised"]
fn speed() {
    let mut world = World::new(5, 1);
    let (account, mailbox) = (world.account, world.mailboxes[0]);
    let timed = |what: &str, job: &mut dyn FnMut()| {
        let start = std::time::Instant::now();
        job();
        println!("{what}: {:?}", start.elapsed());
    };
    let new = vec![new_message(); 100_000];
    let (all, seen) = (UidSet::all(), FlagSet::from(SystemFlags::SEEN));
    timed("append 100,000", &mut || {
        world.memory.write(|tx| messages::append(tx, account, mailbox, &new)).unwrap();
    });
    timed("scan", &mut || {
        let visit = &mut |_: &record::Record| Ok(ControlFlow::Continue(()));
        messages::scan(&world.memory, mailbox, 1..=u32::MAX, visit).unwrap();
    });
    timed("uids", &mut || _ = messages::uids(&world.memory, mailbox).unwrap());
    timed("store_flags of all", &mut || {
        world
            .memory
            .write(|tx| messages::store_flags(tx, account, mailbox, &all, FlagChange::Add, &seen, None))
            .unwrap();
    });
    let odd: UidSet = (0..50_000_u32).map(|n| n * 2 + 1).collect();
    let flagged = FlagSet::from(SystemFlags::FLAGGED);
    timed("store_flags of every other", &mut || {
        world
            .memory
            .write(|tx| messages::store_flags(tx, account, mailbox, &odd, FlagChange::Add, &flagged, None))
            .unwrap();
    });
    timed("since from the start", &mut || _ = world.since(0, ModSeq(9)));
    timed("changed_after, nothing", &mut || {
        _ = messages::changed_after(&world.memory, mailbox, ModSeq(1 << 40)).unwrap();
    });
    timed("expunge every other", &mut || {
        world.memory.write(|tx| messages::expunge(tx, account, mailbox, &odd, false)).unwrap();
    });
}
