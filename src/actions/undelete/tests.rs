//! Deleted mail over the real store.

use super::*;
use crate::actions::{account, live_emails};
use crate::model::{AccountId, DateTime, Flag, FlagSet, Keyword, MailboxName, SystemFlags, UidSet};
use crate::store::messages::{self, NewMessage};
use crate::store::{Options, Store, accounts, mailboxes};
use crate::tls::Certificates;
use std::sync::Arc;

pub(super) struct World {
    pub(super) context: Context,
    _folder: tempfile::TempDir,
}

fn name(text: &str) -> MailboxName {
    MailboxName::new(text).unwrap()
}

impl World {
    pub(super) fn new() -> World {
        let folder = tempfile::tempdir().unwrap();
        let options = Options { live_emails: Some(live_emails), ..Options::new(folder.path()) };
        let store = Store::open(options).unwrap();
        let certificates = Arc::new(Certificates::open(&store).unwrap());
        let hasher = Arc::new(crate::credential::Hasher::new());
        let context = Context { store, hasher, certificates, running: None };
        account::add(&context, &crate::model::AccountName::new("anna").unwrap(), None).unwrap();
        World { context, _folder: folder }
    }

    fn anna(&self) -> AccountId {
        accounts::by_name(&self.context.store.snapshot().unwrap(), "anna").unwrap().unwrap().id
    }

    pub(super) fn file(&self, mailbox: &str, message: &str) -> UidSet {
        let mut incoming = self.context.store.incoming(1 << 20);
        incoming.write(message.as_bytes()).unwrap();
        let prepared = incoming.finish().unwrap();
        let (anna, wanted) = (self.anna(), name(mailbox));
        let flags: FlagSet = [Flag::System(SystemFlags::SEEN), Flag::Keyword(Keyword::new("work").unwrap())]
            .into_iter()
            .collect();
        let filed = self.context.store.write(move |tx| {
            if mailboxes::by_name(tx, anna, &wanted)?.is_none() {
                mailboxes::create(tx, anna, &wanted, None)?;
            }
            let mailbox = mailboxes::by_name(tx, anna, &wanted)?.unwrap();
            let email = prepared.file(tx, anna, &mailbox.name)?;
            let (size, internal_date) = (prepared.size(), DateTime::utc(1_000));
            messages::append(tx, anna, mailbox.id, &[NewMessage { email, size, internal_date, flags }])
        });
        filed.unwrap().uids
    }

    pub(super) fn expunge(&self, mailbox: &str, uids: UidSet) {
        let (anna, wanted) = (self.anna(), name(mailbox));
        let done = self.context.store.write(move |tx| {
            let mailbox = mailboxes::by_name(tx, anna, &wanted)?.unwrap();
            messages::expunge(tx, anna, mailbox.id, &uids, false)
        });
        done.unwrap();
    }

    pub(super) fn delete(&self, mailbox: &str) {
        let (anna, wanted) = (self.anna(), name(mailbox));
        self.context.store.write(move |tx| mailboxes::delete(tx, anna, &wanted)).unwrap();
    }

    /// A message that is filed and expunged.
    pub(super) fn binned(&self, mailbox: &str, subject: &str, from: &str) {
        let uids =
            self.file(mailbox, &format!("From: {from}\r\nSubject: {subject}\r\n\r\nText of {subject}\r\n"));
        self.expunge(mailbox, uids);
    }

    pub(super) fn list(&self, filter: Filter) -> Vec<Item> {
        list(&self.context, &Search { filter, after: None, limit: 1_000 }).unwrap().items
    }

    pub(super) fn count(&self, mailbox: &str) -> u32 {
        let rows = self.context.store.snapshot().unwrap();
        mailboxes::by_name(&rows, self.anna(), &name(mailbox)).unwrap().map_or(0, |mailbox| mailbox.messages)
    }

    pub(super) fn restore(&self, order: Order) -> Restored {
        restore(&self.context, &order).unwrap()
    }

    pub(super) fn restore_one(&self, item: &Item) -> Restored {
        self.restore(Order { ids: vec![item.id.clone()], ..Order::default() })
    }
}

pub(super) fn titles(items: &[Item]) -> Vec<String> {
    let title = |item: &Item| match &item.what {
        What::Message { subject, .. } => subject.clone(),
        What::Mailbox { messages, .. } => format!("[{} of {messages}]", item.mailbox),
        What::Account { messages, .. } => format!("({} of {messages})", item.account),
    };
    items.iter().map(title).collect()
}

pub(super) fn words(text: &str) -> Filter {
    Filter { words: Some(text.to_owned()), ..Filter::default() }
}

#[test]
fn deleted_last_comes_first_page_by_page() {
    let world = World::new();
    for n in 0..10 {
        world.binned(
            if n % 2 == 0 { "INBOX" } else { "Work/2024" },
            &format!("number {n}"),
            "ben@example.org",
        );
    }
    let uids: UidSet = (0..70)
        .map(|n| world.file("INBOX", &format!("Subject: many {n}\r\n\r\nx")).first().unwrap())
        .collect();
    world.expunge("INBOX", uids);
    world.file("Work/2024", "Subject: inside\r\n\r\nx");
    world.delete("Work/2024");
    let all = world.list(Filter::default());
    assert_eq!(all.len(), 81);
    assert_eq!(titles(&all)[..2], ["[Work/2024 of 1]", "many 69"]);
    assert_eq!(titles(&all)[79..], ["number 1", "number 0"]);
    // The same in pages of any size.
    for limit in [1, 7, 64, 81] {
        let (mut search, mut found, mut pages) = (Search { limit, ..Search::default() }, Vec::new(), 0);
        loop {
            let page = list(&world.context, &search).unwrap();
            (pages, search.after) = (pages + 1, page.next.clone());
            assert_eq!(page.items.len(), limit.min(81 - found.len()));
            found.extend(page.items);
            if page.next.is_none() {
                break;
            }
        }
        assert_eq!((found, pages), (all.clone(), 81_usize.div_ceil(limit)), "by {limit}");
    }
    assert!(list(&world.context, &Search { after: Some("x".into()), ..Search::default() }).is_err());
}

#[test]
fn what_is_looked_for() {
    let world = World::new();
    world.binned("INBOX", "=?utf-8?q?Rechnung_M=C3=A4rz?=", "Ben Example <ben@example.org>");
    world.binned("Work", "Invoice for March", "carl@example.org");
    world.binned("Work/Old", "Hello", "=?utf-8?q?J=C3=B6rg?= <j@example.net>");
    world.file("Kept", "From: dora@example.com\r\nSubject: in a deleted mailbox\r\n\r\nx");
    world.delete("Kept");
    let found = |filter: Filter| titles(&world.list(filter));
    assert_eq!(found(words("rechnung MÄRZ")), ["Rechnung März"]);
    assert_eq!(found(words("example.org march")), ["Invoice for March"]);
    assert_eq!(found(words("jörg")), ["Hello"]);
    assert_eq!(found(words("dora")), ["in a deleted mailbox"], "inside of it, too");
    assert_eq!(found(words("kept")), ["[Kept of 1]"]);
    assert!(found(words("text")).is_empty(), "bodies are not searched");
    let mailbox = |text: &str| Filter { mailbox: Some(text.to_owned()), ..Filter::default() };
    assert_eq!(found(mailbox("work")), ["Hello", "Invoice for March"]);
    assert_eq!(found(mailbox("Work/Old/")), ["Hello"]);
    assert!(found(mailbox("Wor")).is_empty());
    assert_eq!(found(mailbox("Kept")), ["[Kept of 1]", "in a deleted mailbox"]);
    let account = |text: &str| Filter { account: Some(text.to_owned()), ..Filter::default() };
    assert_eq!(found(account("ANNA")).len(), 4);
    let unknown = list(&world.context, &Search { filter: account("ben"), after: None, limit: 5 });
    assert!(matches!(unknown, Err(Failure::Unknown { what: "account", .. })));
    // By the day on which it was deleted.
    let today = crate::actions::human::now() / 86_400;
    let days = |since, before| Filter { since, before, ..Filter::default() };
    assert_eq!(found(days(Some(today - 1), Some(today + 2))).len(), 4);
    assert!(found(days(Some(today + 2), None)).is_empty() && found(days(None, Some(today - 1))).is_empty());
    // A mailbox is found by the name that it has and by the one that it had.
    let anna = world.anna();
    world.context.store.write(move |tx| mailboxes::rename(tx, anna, &name("Work"), &name("Job"))).unwrap();
    assert_eq!(found(mailbox("Job")), ["Hello", "Invoice for March"]);
    assert_eq!(found(mailbox("Work")), ["Hello", "Invoice for March"]);
}

#[test]
fn one_is_read() {
    let world = World::new();
    let message = "From: Ben <ben@example.org>\r\nTo: anna@example.org, Carl <c@example.org>\r\nCc: d@example.org\r\n\
        Date: Mon, 2 Nov 2026 10:00:00 +0100\r\nSubject: \u{202e}fdp.exe\u{1b}[31m\r\nMIME-Version: 1.0\r\n\
        Content-Type: multipart/mixed; boundary=m\r\n\r\n--m\r\nContent-Type: multipart/alternative; boundary=a\r\n\r\n\
        --a\r\nContent-Type: text/plain; charset=iso-8859-1\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n\
        Gr=FC=DFe\r\n=1B[2Jend\r\n--a\r\nContent-Type: text/html\r\n\r\n<p>not this</p>\r\n--a--\r\n--m\r\n\
        Content-Type: application/pdf; name=\"a.pdf\"\r\nContent-Disposition: attachment\r\n\r\nJVBERi0=\r\n--m--\r\n";
    let uids = world.file("INBOX", message);
    world.expunge("INBOX", uids);
    let item = world.list(Filter::default()).remove(0);
    let shown = show(&world.context, &item.id).unwrap();
    assert_eq!(shown.item, item);
    let What::Message { subject, from, date, flags, .. } = &item.what else { panic!() };
    assert_eq!((subject.as_str(), from.as_str(), *date), ("fdp.exe [31m", "Ben <ben@example.org>", 1_000));
    assert_eq!(flags, &["\\Seen", "work"]);
    assert_eq!(
        (shown.to.as_str(), shown.cc.as_str()),
        ("anna@example.org, Carl <c@example.org>", "d@example.org")
    );
    assert_eq!(shown.date, "Mon, 2 Nov 2026 10:00:00 +0100");
    assert_eq!((shown.text.as_str(), shown.cut), ("Grüße\n[2Jend", false));
    let attached: Vec<_> =
        shown.attachments.iter().map(|one| (one.name.as_str(), one.kind.as_str())).collect();
    assert_eq!(attached, [("a.pdf", "application/pdf")]);
    let whole = raw(&world.context, &item.id).unwrap();
    assert_eq!((whole.size(), whole.read(0).unwrap()), (message.len() as u64, message.as_bytes().to_vec()));
    assert_eq!(whole.name, format!("{}.eml", item.id));
    assert_eq!(item.days_left, 30);
    for wrong in ["", "x", "999999.1", "1"] {
        assert!(show(&world.context, wrong).is_err() && raw(&world.context, wrong).is_err(), "{wrong}");
    }
    // A page alone, without plain text; and more text than is shown.
    let uids = world.file("INBOX", "Content-Type: text/html\r\n\r\n<p>One<p>Two &amp; three");
    world.expunge("INBOX", uids);
    assert_eq!(show(&world.context, &world.list(Filter::default())[0].id).unwrap().text, "One\nTwo & three");
    let uids = world.file("INBOX", &format!("Subject: long\r\n\r\n{}", "wörd ".repeat(60_000)));
    world.expunge("INBOX", uids);
    let long = show(&world.context, &world.list(words("long"))[0].id).unwrap();
    assert!(long.cut && long.text.len() <= 256 * 1024 && long.text.starts_with("wörd wörd"));
}

#[test]
fn what_is_named_comes_back_once() {
    let world = World::new();
    world.binned("INBOX", "one", "ben@example.org");
    world.binned("Work", "two", "ben@example.org");
    world.file("Gone", "Subject: three\r\n\r\nx");
    world.delete("Gone");
    let items = world.list(Filter::default());
    let done =
        world.restore(Order { ids: items.iter().map(|item| item.id.clone()).collect(), ..Order::default() });
    assert!(done.is_whole());
    assert_eq!((done.messages, done.present, done.mailboxes.len()), (2, 0, 1));
    assert_eq!(done.describe(), ["Gone is back, with 1 message.", "2 messages are back in INBOX, Work."]);
    assert_eq!((world.count("INBOX"), world.count("Work"), world.count("Gone")), (1, 1, 1));
    assert!(world.list(Filter::default()).is_empty());
    // Again: harmless, and said.
    let again = world.restore_one(&items[1]);
    assert_eq!((again.messages, again.missing.len()), (0, 1));
    assert_eq!(again.describe(), [format!("{}: not among the deleted mail, or not any more.", items[1].id)]);
    // One whose like is there.
    world.context.store.sweep().unwrap();
    let uids = world.file("INBOX", "Subject: four\r\n\r\nx");
    world.expunge("INBOX", uids);
    world.file("INBOX", "Subject: four\r\n\r\nx");
    let done = world.restore_one(&world.list(Filter::default())[0]);
    assert_eq!(done.describe(), ["1 message was in the mailbox already: nothing to do."]);
    assert!(done.is_whole() && world.count("INBOX") == 2);
    // Elsewhere, and under another name.
    let uids = world.file("INBOX", "Subject: five\r\n\r\nx");
    world.expunge("INBOX", uids);
    let ids = vec![world.list(Filter::default())[0].id.clone()];
    let done = world.restore(Order { ids, to: Some("Found".into()), ..Order::default() });
    assert_eq!(done.into, [Place { account: "anna".into(), mailbox: "Found".into() }]);
    world.delete("Found");
    let ids = vec![world.list(Filter::default())[0].id.clone()];
    let done = world.restore(Order { ids, name: Some("Lost/Found".into()), ..Order::default() });
    assert_eq!(done.describe(), ["Found is back as Lost/Found, with 1 message."]);
    let two = Order { ids: vec!["1".into(), "2".into()], name: Some("x".into()), ..Order::default() };
    assert!(restore(&world.context, &two).is_err());
    let wrong = Order { ids: vec!["nonsense".into()], ..Order::default() };
    assert!(matches!(restore(&world.context, &wrong), Err(Failure::Invalid(_))));
}

#[test]
fn all_that_fits_comes_back() {
    let world = World::new();
    let mut uids = UidSet::new();
    for n in 0..700 {
        uids = uids
            .union(&world.file("INBOX", &format!("From: shop@example.org\r\nSubject: order {n}\r\n\r\nx")));
    }
    world.expunge("INBOX", uids);
    world.binned("INBOX", "other", "ben@example.org");
    world.file("A", "Subject: a\r\n\r\nx");
    world.file("A/B", "From: shop@example.org\r\nSubject: b\r\n\r\nx");
    // Those below first, as a person would.
    world.delete("A/B");
    world.delete("A");
    let done = world.restore(Order { all: Some(words("shop order")), ..Order::default() });
    assert_eq!((done.messages, world.count("INBOX")), (700, 700));
    let done = world.restore(Order { all: Some(words("shop")), ..Order::default() });
    assert_eq!(done.into, [Place { account: "anna".into(), mailbox: "A/B".into() }], "of a deleted mailbox");
    assert_eq!((world.count("A"), world.count("A/B")), (0, 1));
    let done = world.restore(Order { all: Some(Filter::default()), ..Order::default() });
    let names: Vec<_> = done.mailboxes.iter().map(|back| back.name.as_str()).collect();
    assert_eq!(names, ["A (restored)", "A/B (restored)"], "those names were taken by what came back before");
    assert_eq!((done.messages, world.count("INBOX")), (1, 701));
    assert!(world.list(Filter::default()).is_empty());
    let nothing = world.restore(Order { all: Some(words("nowhere")), ..Order::default() });
    assert_eq!(nothing.describe(), ["Nothing fits: nothing was put back."]);
}

#[test]
fn an_account_comes_back_but_for_its_keys() {
    let world = World::new();
    account::set_password(&world.context, "anna", "a long password").unwrap();
    let device = crate::actions::device::add(
        &world.context,
        Some("anna"),
        &crate::model::DeviceName::new("phone").unwrap(),
    )
    .unwrap();
    world.file("Work/Old", "Subject: kept\r\n\r\nx");
    world.binned("INBOX", "before", "ben@example.org");
    account::remove(&world.context, "anna").unwrap();
    // The sweep leaves what can come back.
    assert_eq!(world.context.store.sweep().unwrap().dropped, 0);
    let all = world.list(Filter::default());
    assert_eq!(titles(&all), ["(anna of 1)"], "as one");
    assert!(all[0].account_removed);
    let anna = || Filter { account: Some("anna".into()), ..Filter::default() };
    assert_eq!(world.list(anna()).len(), 10, "itself, eight mailboxes, one message");
    let message = world.list(words("before")).remove(0);
    let first = world.restore_one(&message);
    assert_eq!(first.left[0].why, "its account was removed: put that back first");
    assert!(!first.is_whole());
    let done = world.restore(Order { all: Some(Filter::default()), ..Order::default() });
    assert!(done.left[0].why.contains("only if it is named"), "{done:?}");

    account::add(&world.context, &crate::model::AccountName::new("anna").unwrap(), None).unwrap();
    let taken = world.restore_one(&all[0]);
    assert_eq!(taken.left[0].why, "an account of this name exists already");
    let ids = vec![all[0].id.clone()];
    let done = world.restore(Order { ids, name: Some("anna2".into()), ..Order::default() });
    assert_eq!(done.accounts, [AccountBack { name: "anna2".into(), mailboxes: 8, messages: 1 }]);
    assert!(done.describe()[0].contains("Its passwords, devices and sources are not"));
    let info = account::list(&world.context).unwrap().into_iter().find(|info| info.name == "anna2").unwrap();
    assert_eq!((info.password, info.devices, info.messages), (false, 0, 1));
    assert!(!device.password.is_empty());
    let done = world.restore_one(&message);
    assert_eq!(done.into, [Place { account: "anna2".into(), mailbox: "INBOX".into() }]);
    let read = show(&world.context, &message.id);
    assert!(matches!(read, Err(Failure::Unknown { .. })), "it is no deleted one any more");
}

#[test]
#[ignore = "a measurement: run it alone, optimised"]
fn speed() {
    use std::time::Instant;
    let world = World::new();
    let (store, anna) = (world.context.store.clone(), world.anna());
    let inbox =
        mailboxes::by_name(&store.snapshot().unwrap(), anna, &MailboxName::inbox()).unwrap().unwrap().id;
    let message = |email: u64| NewMessage {
        email: crate::model::ContentId(1_000_000 + email),
        size: 3_000,
        internal_date: DateTime::utc(1_000),
        flags: FlagSet::default(),
    };
    for part in 0..400 {
        let new: Vec<NewMessage> = (0..500).map(|n| message(part * 500 + n)).collect();
        store.write(move |tx| messages::append(tx, anna, inbox, &new)).unwrap();
    }
    for part in 0..200_u32 {
        let uids: UidSet = (part * 500 + 1..=part * 500 + 500).collect();
        store.write(move |tx| messages::expunge(tx, anna, inbox, &uids, false)).unwrap();
    }
    let timed = |what: &str, job: &mut dyn FnMut()| {
        let start = Instant::now();
        job();
        println!("{what}: {:?}", start.elapsed());
    };
    timed("a page of 50", &mut || {
        _ = list(&world.context, &Search { limit: 50, ..Search::default() }).unwrap()
    });
    timed("a search of 20,000", &mut || {
        _ = list(&world.context, &Search { filter: words("nowhere"), after: None, limit: 50 }).unwrap();
    });
    // Another client's small change, over and over: how long it waits for the slices.
    let (done, other) = (Arc::new(std::sync::atomic::AtomicBool::new(false)), store.clone());
    let stop = Arc::clone(&done);
    let waiting = std::thread::spawn(move || {
        let mut longest = std::time::Duration::ZERO;
        while !stop.load(std::sync::atomic::Ordering::Relaxed) {
            let start = Instant::now();
            other.write(|tx| crate::store::settings::put(tx, "x", b"1")).unwrap();
            longest = longest.max(start.elapsed());
        }
        longest
    });
    timed("100,000 put back", &mut || {
        let done = world.restore(Order { all: Some(Filter::default()), ..Order::default() });
        assert_eq!(done.messages, 100_000);
    });
    done.store(true, std::sync::atomic::Ordering::Relaxed);
    println!("another job waited at most {:?}", waiting.join().unwrap());
    let (to, from) = (name("Old"), name("Older"));
    store.write(move |tx| mailboxes::create(tx, anna, &to, None).map(drop)).unwrap();
    store.write(move |tx| mailboxes::rename(tx, anna, &MailboxName::inbox(), &from)).unwrap();
    world.delete("Older");
    let item = world.list(Filter::default()).remove(0);
    timed("a mailbox of 200,000 put back", &mut || _ = world.restore_one(&item));
    assert_eq!(world.count("Older"), 200_000);
}
