//! What is put back from the bin, case by case. Random ones are in `model_test`.

use std::ops::ControlFlow;

use super::accounts;
use super::bin::{self, Entry, EntryId, Kept};
use super::error::Error;
use super::events::{self, EventKind};
use super::mailboxes::{self, Mailbox};
use super::memory::Memory;
use super::messages::{self, FlagChange, NewMessage};
use super::record::Record;
use super::schema::Table;
use super::sim::SimDisk;
use super::undelete::{self, Pick, Place, Present, PutBack};
use super::{Rows, Store, tests};
use crate::model::{
    AccountId, ContentId, DateTime, Flag, FlagSet, Keyword, MailboxId, MailboxName, ModSeq, SpecialUse,
    SystemFlags, UidSet,
};
use crate::store::changes::Since;

struct World {
    memory: Memory,
    anna: AccountId,
}

fn name(text: &str) -> MailboxName {
    MailboxName::new(text).unwrap()
}

fn message(email: u64, flags: &[&str]) -> NewMessage {
    let flags: FlagSet = flags
        .iter()
        .map(|flag| match *flag {
            "\\Seen" => Flag::System(SystemFlags::SEEN),
            "\\Deleted" => Flag::System(SystemFlags::DELETED),
            word => Flag::Keyword(Keyword::new(word).unwrap()),
        })
        .collect();
    NewMessage {
        email: ContentId(email),
        size: 10,
        internal_date: DateTime::utc(1_000 + email as i64),
        flags,
    }
}

impl World {
    fn new() -> World {
        let mut memory = Memory::new();
        let anna = memory.write(|tx| accounts::create(tx, "anna", Some("hash"))).unwrap();
        World { memory, anna }
    }

    fn mailbox(&self, text: &str) -> Option<Mailbox> {
        mailboxes::by_name(&self.memory, self.anna, &name(text)).unwrap()
    }

    fn id(&self, text: &str) -> MailboxId {
        self.mailbox(text).unwrap().id
    }

    fn create(&mut self, text: &str, role: Option<SpecialUse>) -> MailboxId {
        self.memory.write(|tx| mailboxes::create(tx, self.anna, &name(text), role)).unwrap()
    }

    fn append(&mut self, text: &str, new: &[NewMessage]) {
        let id = self.id(text);
        self.memory.write(|tx| messages::append(tx, self.anna, id, new)).unwrap();
    }

    fn expunge(&mut self, text: &str, uids: &[u32]) {
        let (id, uids) = (self.id(text), uids.iter().copied().collect());
        self.memory.write(|tx| messages::expunge(tx, self.anna, id, &uids, false)).unwrap();
    }

    fn delete(&mut self, text: &str) {
        self.memory.write(|tx| mailboxes::delete(tx, self.anna, &name(text))).unwrap();
    }

    fn entries(&self) -> Vec<Entry> {
        let mut found = Vec::new();
        bin::list(&self.memory, self.anna, &mut |entry| {
            found.push(entry);
            Ok(ControlFlow::Continue(()))
        })
        .unwrap();
        found
    }

    /// All of the entries of expunged messages.
    fn picks(&self) -> Vec<Pick> {
        let entries = self.entries().into_iter();
        entries.map(|entry| Pick { entry: entry.id, uids: UidSet::all() }).collect()
    }

    fn put_back(&mut self, picks: &[Pick], place: &Place) -> Result<PutBack, Error> {
        let present = Present::look(&self.memory, self.anna, picks, place).unwrap();
        self.memory.write(|tx| undelete::messages(tx, self.anna, picks, place, &present))
    }

    fn put_mailbox_back(&mut self, id: EntryId) -> Result<Mailbox, Error> {
        loop {
            if let Some(done) = self.memory.write(|tx| undelete::mailbox(tx, self.anna, id, None))? {
                return Ok(done);
            }
        }
    }

    fn records(&self, text: &str) -> Vec<Record> {
        let mut found = Vec::new();
        messages::scan(&self.memory, self.id(text), 0..=u32::MAX, &mut |record| {
            found.push(*record);
            Ok(ControlFlow::Continue(()))
        })
        .unwrap();
        found
    }

    fn keywords(&self, text: &str, record: &Record) -> Vec<String> {
        let table = messages::keywords(&self.memory, self.id(text)).unwrap();
        table.names(record.keywords).map(|word| word.as_str().to_owned()).collect()
    }
}

#[test]
fn a_message_comes_back_as_it_was() {
    let mut world = World::new();
    world.append("INBOX", &[message(1, &["first"]), message(2, &["\\Seen", "\\Deleted", "work", "$Label1"])]);
    world.expunge("INBOX", &[2]);
    // Its keywords' bits mean something else by now.
    let inbox = world.id("INBOX");
    for n in 0..62 {
        world.append("INBOX", &[message(10 + n, &[&format!("k{n}")])]);
    }
    let before = world.mailbox("INBOX").unwrap();
    world.memory.now += 500;
    let picks = world.picks();
    let done = world.put_back(&picks, &Place::Own).unwrap();
    assert_eq!(done, PutBack { restored: 1, present: 0, into: vec![MailboxName::inbox()] });
    let record = *world.records("INBOX").last().unwrap();
    assert_eq!(
        (record.uid.get(), record.email, record.internal_date),
        (before.uid_next, ContentId(2), DateTime::utc(1_002))
    );
    assert_eq!((record.flags, record.save_date), (SystemFlags::SEEN, world.memory.now));
    assert_eq!(world.keywords("INBOX", &record), ["$Label1"], "the second found no room");
    let after = world.mailbox("INBOX").unwrap();
    assert_eq!((after.messages, after.uid_validity), (before.messages + 1, before.uid_validity));
    assert_eq!(after.deleted, 0);
    // Whoever has it open sees a new UID and nothing else.
    let since = super::changes::since(&world.memory, world.anna, inbox, before.highest_modseq).unwrap();
    let Since::Known(changes) = since else { panic!() };
    assert!(changes.added.iter().eq([before.uid_next]) && changes.changed.is_empty());
    assert!(world.memory.news.iter().any(|news| news.mailbox == Some(inbox) && news.modseq == record.modseq));
    // Twice does nothing.
    assert!(world.entries().is_empty());
    let again = world.put_back(&picks, &Place::Own).unwrap();
    assert_eq!(again, PutBack::default());
    assert_eq!(world.records("INBOX").len(), 64);
}

#[test]
fn what_is_there_already_is_not_put_there_twice() {
    let mut world = World::new();
    world.append("INBOX", &[message(1, &[]), message(2, &[]), message(2, &["\\Seen"])]);
    world.expunge("INBOX", &[1, 2, 3]);
    world.append("INBOX", &[message(1, &["again"])]);
    let picks = world.picks();
    let done = world.put_back(&picks, &Place::Own).unwrap();
    assert_eq!((done.restored, done.present), (1, 2), "one came again, one was there twice");
    assert_eq!(world.records("INBOX").iter().map(|record| record.email.0).collect::<Vec<_>>(), [1, 2]);
    assert!(world.entries().is_empty());

    // What comes between the look and the job is seen by the job, and what goes is not trusted.
    world.expunge("INBOX", &[5]);
    let picks = world.picks();
    let present = Present::look(&world.memory, world.anna, &picks, &Place::Own).unwrap();
    world.append("INBOX", &[message(2, &[])]);
    let put = |world: &mut World, picks: &[Pick], present: &Present| {
        world.memory.write(|tx| undelete::messages(tx, world.anna, picks, &Place::Own, present)).unwrap()
    };
    assert_eq!(put(&mut world, &picks, &present).present, 1);
    world.expunge("INBOX", &[6]);
    world.append("INBOX", &[message(2, &[])]);
    let picks = world.picks();
    let present = Present::look(&world.memory, world.anna, &picks, &Place::Own).unwrap();
    world.expunge("INBOX", &[7]);
    assert_eq!(put(&mut world, &picks, &present).restored, 1);
}

#[test]
fn some_of_many_and_the_rest_stays() {
    let mut world = World::new();
    let many: Vec<NewMessage> = (1..=200).map(|n| message(n, &["k"])).collect();
    world.append("INBOX", &many);
    world.expunge("INBOX", &(1..=200).collect::<Vec<_>>());
    let entries = world.entries();
    assert_eq!(entries.len(), 4);
    let pick = Pick { entry: entries[1].id, uids: [65_u32, 70, 128, 129].into_iter().collect() };
    assert_eq!(world.put_back(&[pick], &Place::Own).unwrap().restored, 3, "129 is in the next");
    let left: Vec<u64> = world.entries().iter().map(Entry::messages).collect();
    assert_eq!(left, [64, 61, 64, 8]);
    let mut emails = 0;
    bin::emails(&world.memory, &mut |_| emails += 1).unwrap();
    assert_eq!(emails, 197, "what was put back is no longer the bin's");
}

#[test]
fn into_its_mailbox_whatever_it_is_called_or_one_made_anew() {
    let mut world = World::new();
    world.create("Work", None);
    world.append("Work", &[message(1, &["k"]), message(2, &[]), message(3, &[])]);
    for uid in 1..=3 {
        world.expunge("Work", &[uid]);
    }
    world.memory.write(|tx| mailboxes::rename(tx, world.anna, &name("Work"), &name("Job"))).unwrap();
    let picks = world.picks();
    assert_eq!(world.put_back(&picks[..1], &Place::Own).unwrap().into, [name("Job")]);
    world.delete("Job");
    assert_eq!(
        world.put_back(&picks[1..2], &Place::Own).unwrap().into,
        [name("Work")],
        "the name that it had"
    );
    let subscribed = mailboxes::subscriptions(&world.memory, world.anna).unwrap();
    assert!(subscribed.contains(&name("Work")));
    assert_eq!(world.records("Work").len(), 1);
    let place = Place::Named(name("Found/2026"));
    assert_eq!(world.put_back(&picks[2..3], &place).unwrap().into, [name("Found/2026")]);
    assert_eq!(world.records("Found/2026").len(), 1);
    // One of a deleted mailbox.
    let entry = world.entries().into_iter().find(|entry| entry.name == name("Job")).unwrap();
    let pick = Pick { entry: entry.id, uids: [4_u32].into_iter().collect() };
    assert_eq!(world.put_back(&[pick], &Place::Named(MailboxName::inbox())).unwrap().restored, 1);
    let record = world.records("INBOX")[0];
    assert_eq!((record.email, world.keywords("INBOX", &record)), (ContentId(1), vec!["k".to_owned()]));
    let Kept::Mailbox { messages, size, .. } = world.entries()[0].kept else { panic!() };
    assert_eq!((messages, size), (0, 0));
    assert_eq!(world.put_mailbox_back(entry.id).unwrap().messages, 0);
}

#[test]
fn a_deleted_mailbox_comes_back_whole() {
    let mut world = World::new();
    let archive = world.id("Archive");
    world.memory.write(|tx| mailboxes::set_special_use(tx, world.anna, archive, None)).unwrap();
    let old_id = world.create("Old", Some(SpecialUse::Archive));
    world.create("Old/2020", None);
    world.append("Old", &(1..=300).map(|n| message(n, &["\\Seen", "k"])).collect::<Vec<_>>());
    world.expunge("Old", &[300]);
    // Much has happened to it.
    for n in 0..1_500_u32 {
        let flags = FlagSet::from(SystemFlags::FLAGGED);
        let change = if n % 2 == 0 { FlagChange::Add } else { FlagChange::Remove };
        let uids = [1 + n % 200].into_iter().collect();
        world
            .memory
            .write(|tx| messages::store_flags(tx, world.anna, old_id, &uids, change, &flags, None))
            .unwrap();
    }
    let (before, records) = (world.mailbox("Old").unwrap(), world.records("Old"));
    world.delete("Old");
    world.create("Old", None);
    world.append("Old", &[message(900, &[])]);
    let entry = world.entries().into_iter().find(|entry| matches!(entry.kept, Kept::Mailbox { .. })).unwrap();
    let modseq = world.memory.write(|tx| tx.modseq()).unwrap();
    world.memory.writes = 0;
    let after = world.put_mailbox_back(entry.id).unwrap();
    assert_eq!((after.name.as_str(), after.id), ("Old (restored)", old_id));
    assert_eq!(world.records("Old (restored)"), records, "UIDs, flags, dates and all");
    assert_eq!(world.keywords("Old (restored)", &records[0]), ["k"]);
    assert!(after.uid_validity > before.uid_validity && after.object_id != before.object_id);
    assert_eq!((after.messages, after.size, after.unseen), (299, 2_990, 0));
    assert_eq!(after.uid_next, 301, "300 is not given again");
    assert_eq!(after.special_use, Some(SpecialUse::Archive));
    assert_eq!(world.mailbox("Old/2020").unwrap().messages, 0, "what was below it is where it was");
    assert!(mailboxes::subscriptions(&world.memory, world.anna).unwrap().contains(&after.name));
    let Since::Known(events) = events::since(&world.memory, world.anna, modseq).unwrap() else { panic!() };
    assert!(events.iter().any(|event| event.mailbox == old_id && event.kind == EventKind::Created));
    // Its changes begin anew.
    let since = |after| super::changes::since(&world.memory, world.anna, old_id, after).unwrap();
    assert_eq!(since(before.highest_modseq), Since::BelowFloor);
    assert!(matches!(since(after.highest_modseq), Since::Known(_)));
    let prefix = old_id.0.to_be_bytes();
    assert_eq!(world.memory.rows(Table::Changes).filter(|(key, _)| key.starts_with(&prefix)).count(), 0);
    // What was expunged of it goes back into it.
    let picks = world.picks();
    assert_eq!(world.put_back(&picks, &Place::Own).unwrap().into, [after.name]);
    assert!(matches!(world.put_mailbox_back(entry.id), Err(Error::NotFound(_))), "twice");
}

#[test]
fn names_that_are_taken() {
    let mut world = World::new();
    world.create("Old", None);
    for _ in 0..3 {
        world.delete("Old");
        world.create("Old", None);
    }
    let ids: Vec<EntryId> = world.entries().iter().map(|entry| entry.id).collect();
    let names: Vec<String> =
        ids[..2].iter().map(|id| world.put_mailbox_back(*id).unwrap().name.to_string()).collect();
    assert_eq!(names, ["Old (restored)", "Old (restored 2)"]);
    let taken = name("Old");
    let named = world.memory.write(|tx| undelete::mailbox(tx, world.anna, ids[2], Some(&taken)));
    assert!(matches!(named, Err(Error::Exists(_))));
    let free = name("New/Old");
    let named = world.memory.write(|tx| undelete::mailbox(tx, world.anna, ids[2], Some(&free))).unwrap();
    assert_eq!(named.unwrap().name, free);
    assert!(world.mailbox("New").is_some(), "with the one above it");
}

#[test]
fn a_removed_account_comes_back() {
    let mut world = World::new();
    world.create("Work/2024", None);
    world.append("INBOX", &[message(1, &["\\Seen", "k"])]);
    world.append("Work/2024", &(2..=80).map(|n| message(n, &[])).collect::<Vec<_>>());
    world.append("Sent", &[message(100, &[]), message(101, &[])]);
    world.expunge("Sent", &[2]);
    let anna = world.anna;
    let before: Vec<(String, u32, Option<SpecialUse>)> = listed(&world);
    let subscribed = mailboxes::subscriptions(&world.memory, anna).unwrap();
    let account = accounts::get(&world.memory, anna).unwrap().unwrap();
    world.memory.write(|tx| accounts::remove(tx, anna)).unwrap();
    let mut emails = 0;
    messages::emails(&world.memory, &mut |_| emails += 1).unwrap();
    bin::emails(&world.memory, &mut |_| emails += 1).unwrap();
    assert_eq!(emails, 82, "all of it is kept from the sweep");
    let picks = world.picks();
    let refused = world.put_back(&picks[..1], &Place::Own);
    assert!(matches!(refused, Err(Error::NotFound("account"))), "the account first: {refused:?}");

    let other = world.memory.write(|tx| accounts::create(tx, "anna", None)).unwrap();
    let taken = world.memory.write(|tx| undelete::account(tx, anna, None));
    assert!(matches!(taken, Err(Error::Exists(_))));
    assert!(accounts::get(&world.memory, anna).unwrap().is_none());
    let begun = world.memory.write(|tx| undelete::account(tx, anna, Some("Anna2"))).unwrap().unwrap();
    assert_eq!((begun.name.as_str(), begun.mailboxes.len()), ("anna2", 7));
    assert_eq!(world.records("INBOX").len(), 1, "from the first moment");
    // Broken off here, it goes on.
    world.put_mailbox_back(begun.mailboxes[0]).unwrap();
    let begun = world.memory.write(|tx| undelete::account(tx, anna, None)).unwrap().unwrap();
    assert_eq!(begun.mailboxes.len(), 6);
    for id in begun.mailboxes {
        world.put_mailbox_back(id).unwrap();
    }
    world.memory.write(|tx| undelete::account_is_back(tx, anna)).unwrap();
    assert_eq!(listed(&world), before);
    assert_eq!(mailboxes::subscriptions(&world.memory, anna).unwrap(), subscribed);
    let back = accounts::get(&world.memory, anna).unwrap().unwrap();
    assert_eq!((back.password_hash, back.created), (None, account.created));
    assert_ne!(back.salt, account.salt);
    assert!(bin::removed(&world.memory, anna).unwrap().is_none());
    assert!(matches!(world.memory.write(|tx| undelete::account(tx, anna, None)), Err(Error::NotFound(_))));
    let picks = world.picks();
    assert_eq!(world.put_back(&picks, &Place::Own).unwrap().into, [name("Sent")]);
    assert_eq!(mailboxes::list(&world.memory, other).unwrap().len(), 6, "the other one is what it was");
}

fn listed(world: &World) -> Vec<(String, u32, Option<SpecialUse>)> {
    let all = mailboxes::list(&world.memory, world.anna).unwrap();
    all.into_iter().map(|known| (known.name.to_string(), known.messages, known.special_use)).collect()
}

/// As the first release left it: its mailboxes in the bin, and nothing of itself.
#[test]
fn an_account_that_was_removed_by_an_older_version() {
    let mut world = World::new();
    world.append("INBOX", &[message(1, &[])]);
    let anna = world.anna;
    world.memory.write(|tx| accounts::remove(tx, anna)).unwrap();
    let own = bin::removed(&world.memory, anna).unwrap().unwrap();
    world
        .memory
        .write(|tx| {
            bin::forget(tx, anna, own.id);
            Ok(())
        })
        .unwrap();
    let nameless = world.memory.write(|tx| undelete::account(tx, anna, None));
    assert!(matches!(nameless, Err(Error::Refused(_))));
    let begun = world.memory.write(|tx| undelete::account(tx, anna, Some("anna"))).unwrap().unwrap();
    assert_eq!(begun.mailboxes.len(), 5);
    assert_eq!(world.records("INBOX").len(), 1);
}

/// The first release's row of a deleted mailbox says nothing of UIDNEXT.
#[test]
fn rows_of_the_first_release_are_read() {
    let mut world = World::new();
    world.create("Old", None);
    world.append("Old", &[message(1, &[]), message(2, &[])]);
    world.delete("Old");
    let (key, mut value) = {
        let (key, value) = world.memory.rows(Table::Bin).next().unwrap();
        (key.clone(), value.clone())
    };
    let kind = value.len() - (1 + 1 + 4 + 8 + 4);
    assert_eq!(value[kind], 4);
    value[kind] = 2;
    value.truncate(value.len() - 4);
    world
        .memory
        .write(|tx| {
            tx.put(Table::Bin, &key, &value);
            Ok(())
        })
        .unwrap();
    let id = world.entries()[0].id;
    let back = world.put_mailbox_back(id).unwrap();
    assert_eq!((back.messages, back.uid_next), (2, 3));
    assert!(back.highest_modseq > ModSeq::ZERO);
}

/// How many messages there are in [`power_cuts`].
const ALL: u64 = 240;
/// And how many cuts.
const CUTS: usize = 400;

/// Power fails anywhere while things are deleted and put back: each message is somewhere, and once; and all of it can
/// be put back from there.
#[test]
fn power_cuts() {
    let disk = SimDisk::default();
    let store = tests::open(&disk);
    let anna = store.write(|tx| accounts::create(tx, "anna", None)).unwrap();
    let work = store.write(move |tx| mailboxes::create(tx, anna, &name("Work/2024"), None)).unwrap();
    let new: Vec<NewMessage> = (1..=ALL).map(|n| message(n, &["k"])).collect();
    store.write(move |tx| messages::append(tx, anna, work, &new)).unwrap();
    let begin = disk.position();
    delete_and_put_back(&store, anna, work);
    let end = disk.position();
    store.close().unwrap();
    assert!(end - begin > 50, "{} operations of the disk", end - begin);
    for n in 0..CUTS {
        let cut = disk.cut(begin + (end - begin) * n / CUTS, n as u64);
        let store = tests::open(&cut);
        let (mailboxes, bin) = emails(&store, anna);
        let mut all = [mailboxes, bin].concat();
        all.sort_unstable();
        assert!(all.iter().copied().eq(1..=ALL), "cut {n}: {} messages", all.len());
        put_all_back(&store, anna);
        let (mut mailboxes, bin) = emails(&store, anna);
        mailboxes.sort_unstable();
        assert!(mailboxes.iter().copied().eq(1..=ALL) && bin.is_empty(), "cut {n}");
        assert!(bin::newest(&store.snapshot().unwrap(), anna, None).unwrap().is_none(), "cut {n}");
    }
}

fn delete_and_put_back(store: &Store, anna: AccountId, work: MailboxId) {
    for part in 0..4_u32 {
        let uids: UidSet = (part * 50 + 1..=part * 50 + 30).collect();
        store.write(move |tx| messages::expunge(tx, anna, work, &uids, false)).unwrap();
    }
    put_messages_back(store, anna, 2);
    store.write(move |tx| mailboxes::delete(tx, anna, &name("Work/2024"))).unwrap();
    put_messages_back(store, anna, 1);
    put_mailboxes_back(store, anna);
    store.write(move |tx| accounts::remove(tx, anna)).unwrap();
    store.checkpoint().unwrap();
    put_all_back(store, anna);
}

fn all_entries(rows: &dyn Rows, anna: AccountId) -> Vec<Entry> {
    let mut found = Vec::new();
    bin::list(rows, anna, &mut |entry| {
        found.push(entry);
        Ok(ControlFlow::Continue(()))
    })
    .unwrap();
    found
}

/// The emails that mailboxes show, and those that the bin has.
fn emails(store: &Store, anna: AccountId) -> (Vec<u64>, Vec<u64>) {
    let rows = store.snapshot().unwrap();
    let (mut shown, mut kept) = (Vec::new(), Vec::new());
    for mailbox in mailboxes::list(&rows, anna).unwrap() {
        let before = shown.len();
        messages::scan(&rows, mailbox.id, 0..=u32::MAX, &mut |record| {
            shown.push(record.email.0);
            Ok(ControlFlow::Continue(()))
        })
        .unwrap();
        assert_eq!(mailbox.messages as usize, shown.len() - before, "{}", mailbox.name);
    }
    for entry in all_entries(&rows, anna) {
        let before = kept.len();
        undelete::records(&rows, &entry, &UidSet::all(), &mut |record| kept.push(record.email.0)).unwrap();
        assert_eq!(entry.messages() as usize, kept.len() - before);
    }
    (shown, kept)
}

fn put_messages_back(store: &Store, anna: AccountId, entries: usize) {
    let all = all_entries(&store.snapshot().unwrap(), anna).into_iter();
    let expunged = all.filter(|entry| matches!(entry.kept, Kept::Messages { .. }));
    for entry in expunged.take(entries).collect::<Vec<_>>() {
        let picks = [Pick { entry: entry.id, uids: UidSet::all() }];
        let present = Present::look(&store.snapshot().unwrap(), anna, &picks, &Place::Own).unwrap();
        store.write(move |tx| undelete::messages(tx, anna, &picks, &Place::Own, &present)).unwrap();
    }
}

fn put_mailboxes_back(store: &Store, anna: AccountId) {
    for entry in all_entries(&store.snapshot().unwrap(), anna) {
        if matches!(entry.kept, Kept::Mailbox { .. }) {
            while store.write(move |tx| undelete::mailbox(tx, anna, entry.id, None)).unwrap().is_none() {}
        }
    }
}

fn put_all_back(store: &Store, anna: AccountId) {
    if bin::removed(&store.snapshot().unwrap(), anna).unwrap().is_some() {
        let returning = loop {
            if let Some(begun) = store.write(move |tx| undelete::account(tx, anna, None)).unwrap() {
                break begun;
            }
        };
        for id in returning.mailboxes {
            while store.write(move |tx| undelete::mailbox(tx, anna, id, None)).unwrap().is_none() {}
        }
        store.write(move |tx| undelete::account_is_back(tx, anna)).unwrap();
    }
    put_mailboxes_back(store, anna);
    put_messages_back(store, anna, usize::MAX);
}
