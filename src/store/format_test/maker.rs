//! Makes the store that `tests/store/format-N-*.tar.gz` hold: some of every kind of row. It was run once with the
//! version that wrote format 1, and is run again when there is another format; what it made is committed.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::model::{
    AccountId, DateTime, Flag, FlagSet, Keyword, MailboxId, MailboxName, SourceId, SpecialUse, SystemFlags,
    UidSet,
};
use crate::store::imported::{self, Imported};
use crate::store::messages::{self, FlagChange, NewMessage};
use crate::store::schema::Table;
use crate::store::sim::{Dice, SimClock, SimRandom};
use crate::store::sources::{self, After};
use crate::store::volumes;
use crate::store::{
    Error, Options, Rows, Store, Transaction, accounts, arrivals, bin, certificates, devices, mailboxes,
    settings,
};

/// 18 November 2026.
const NOW: u64 = 1_795_000_000;
const SEED: u64 = 11;

/// As the fixtures were made and are opened: everything small, so that there is some of everything.
pub(super) fn options(data: &Path, clock: &Arc<SimClock>, seed: u64) -> Options {
    Options {
        clock: Arc::clone(clock) as _,
        random: Arc::new(SimRandom::new(seed)),
        segment_size: 64 << 10,
        volume_size: 24 << 10,
        incoming_memory: 16 << 10,
        reserve: 0,
        live_emails: Some(live),
        checkpoint_idle: std::time::Duration::from_secs(3_600),
        ..Options::new(data)
    }
}

fn live(rows: &dyn Rows, visit: &mut dyn FnMut(crate::model::ContentId)) -> Result<(), Error> {
    messages::emails(rows, visit)?;
    bin::emails(rows, visit)
}

pub(super) fn clock() -> Arc<SimClock> {
    let clock = SimClock::default();
    clock.0.store(NOW, Ordering::Relaxed);
    Arc::new(clock)
}

pub(super) fn name(text: &str) -> MailboxName {
    MailboxName::new(text).unwrap()
}

fn flags(system: SystemFlags, keywords: &[&str]) -> FlagSet {
    let mut flags = FlagSet::from(system);
    keywords.iter().for_each(|word| flags.insert(Flag::Keyword(Keyword::new(word).unwrap())));
    flags
}

fn uids(range: std::ops::RangeInclusive<u32>) -> UidSet {
    std::iter::once(range).collect()
}

/// What a message's body is made of.
#[derive(Clone, Copy)]
enum Body {
    /// Words: compressed to little.
    Text,
    /// Words and numbers: compressed to a tenth.
    Mixed,
    /// Chance: stored as it is.
    Noise,
}

fn message(n: u64, length: usize, body: Body, refers_to: Option<u64>) -> Vec<u8> {
    let mut dice = Dice::new(n);
    let references = refers_to.map_or_else(String::new, |n| format!("References: <{n}@example.org>\r\n"));
    let mut bytes = format!(
        "From: =?utf-8?q?Bj=C3=B6rn?= <bjorn@example.org>\r\nTo: anna@example.org\r\nSubject: message {n}\r\n\
         Date: Wed, 18 Nov 2026 10:{:02}:00 +0100\r\nMessage-ID: <{n}@example.org>\r\n{references}\r\n",
        n % 60
    )
    .into_bytes();
    let end = bytes.len() + length;
    while bytes.len() < end {
        match body {
            Body::Text => bytes.extend_from_slice(b"It snows, and the mail is late.\r\n"),
            Body::Mixed => bytes.extend_from_slice(
                format!("{:06x} is the number of this line of the report\r\n", dice.roll() & 0xff_ffff)
                    .as_bytes(),
            ),
            // Neither CR nor LF, so that nothing is made of it.
            Body::Noise => bytes.push((dice.roll() as u8) | 0x10),
        }
    }
    bytes.truncate(end);
    bytes
}

struct Maker {
    store: Store,
    clock: Arc<SimClock>,
}

impl Maker {
    fn later(&self, seconds: u64) {
        self.clock.0.fetch_add(seconds, Ordering::Relaxed);
    }

    fn write<T: Send + 'static>(
        &self,
        job: impl FnOnce(&mut dyn Transaction) -> Result<T, Error> + Send + 'static,
    ) -> T {
        self.store.write(job).unwrap()
    }

    fn mailbox(&self, account: AccountId, text: &str) -> MailboxId {
        mailboxes::by_name(&self.store.snapshot().unwrap(), account, &name(text)).unwrap().unwrap().id
    }

    fn append(&self, account: AccountId, mailbox: &str, bytes: &[u8], flags: FlagSet) {
        let (name, id) = (name(mailbox), self.mailbox(account, mailbox));
        let mut incoming = self.store.incoming(8 << 20);
        bytes.chunks(7_001).for_each(|part| incoming.write(part).unwrap());
        let prepared = incoming.finish().unwrap();
        self.later(7);
        self.write(move |tx| {
            let email = prepared.file(tx, account, &name)?;
            let internal_date = DateTime { unix: tx.now() - 86_400, offset_minutes: 60 };
            let new = NewMessage { email, size: prepared.size(), internal_date, flags };
            messages::append(tx, account, id, &[new])
        });
    }

    fn accounts(&self) -> (AccountId, AccountId) {
        // The password is "correct horse".
        let hash =
            "$argon2id$v=19$m=19456,t=2,p=1$c29tZSBzYWx0IGhlcmU$Zm9yIHRoZSBmaXh0dXJlIG9ubHksIG5vIHJlYWwgb25l";
        let anna = self.write(move |tx| accounts::create(tx, "anna@example.org", Some(hash)));
        let bert = self.write(move |tx| accounts::create(tx, "bert", None));
        self.write(move |tx| accounts::set_disabled(tx, bert, true));
        let phone =
            self.write(move |tx| devices::add(tx, anna, "phone", [1; 32], b"scram of the phone".to_vec()));
        self.write(move |tx| {
            let at = tx.now() + 3_600;
            devices::touch(tx, anna, phone, at, "Mail 16.0", "2001:db8::5")?;
            let lost = devices::add(tx, anna, "lost tablet", [2; 32], b"scram".to_vec())?;
            devices::revoke(tx, anna, lost)?;
            devices::add(tx, bert, "Björns Uhr", [3; 32], Vec::new())
        });
        (anna, bert)
    }

    fn household(&self, anna: AccountId, bert: AccountId) {
        self.write(move |tx| {
            let keep = sources::add(tx, anna, Path::new("/home/anna/Maildir"), None, After::Keep)?;
            sources::add(tx, anna, Path::new("/home/anna/new"), Some("Lists/new"), After::Delete)?;
            let aside = After::Move(PathBuf::from("/home/bert/done"));
            let moved = sources::add(tx, bert, Path::new("/home/bert/Maildir"), None, aside)?;
            let removed = sources::add(tx, bert, Path::new("/mnt/old"), Some("Archive"), After::Keep)?;
            sources::remove(tx, removed)?;
            let row = |n: u8, missed_since| Imported {
                hash: [n; 32],
                length: u64::from(n) * 1_000,
                modified: 1_790_000_000_123_456_789,
                missed_since,
                filed: None,
                instance: None,
            };
            imported::put(tx, keep, b"", b"1790000000.M1P2.host", &row(1, None))?;
            imported::put(tx, keep, b".Sent", b"1790000001.M1P2.host", &row(2, Some(1_794_000_000)))?;
            imported::put(tx, moved, b"", b"1790000002.M1P2.host", &row(3, None))?;
            imported::put(tx, removed, b"", b"1790000003.M1P2.host", &row(4, None))?;
            arrivals::note(tx, keep)?;
            certificates::put(tx, "ca", &certificate("of the authority"))?;
            certificates::put(tx, "mail.example.org", &certificate("of the server"))?;
            settings::put(tx, "admin.password", b"$argon2id$")?;
            settings::put(tx, "setup.skipped", b"")?;
            settings::put_number(tx, "a.number", u64::MAX)
        });
        self.later(7_200);
        self.write(|tx| arrivals::note(tx, SourceId(1)));
    }

    fn mailboxes(&self, anna: AccountId) {
        self.write(move |tx| {
            mailboxes::create(tx, anna, &name("Lists/Größe"), None)?;
            mailboxes::create(tx, anna, &name("old"), None)?;
            mailboxes::create(tx, anna, &name("going"), None)?;
            mailboxes::create(tx, anna, &name("gone"), None)?;
            mailboxes::subscribe(tx, anna, &name("never made"))?;
            mailboxes::unsubscribe(tx, anna, &name("Junk"))?;
            let trash = mailboxes::by_name(tx, anna, &name("Trash"))?.unwrap().id;
            mailboxes::set_special_use(tx, anna, trash, None)?;
            mailboxes::create(tx, anna, &name("Papierkorb"), Some(SpecialUse::Trash))?;
            mailboxes::rename(tx, anna, &name("old"), &name("Archive/2025"))
        });
    }

    fn messages(&self, anna: AccountId, bert: AccountId) {
        for n in 0..90 {
            let seen = if n % 3 == 0 { SystemFlags::SEEN } else { SystemFlags::EMPTY };
            let words: &[&str] = match n % 10 {
                0 => &["$Forwarded"],
                5 => &["$Junk", "$Label2"],
                _ => &[],
            };
            let refers_to = (n % 5 == 4).then(|| n - 4);
            self.append(anna, "INBOX", &message(n, 200, Body::Text, refers_to), flags(seen, words));
        }
        self.append(
            anna,
            "Lists/Größe",
            &message(100, 300_000, Body::Mixed, None),
            flags(SystemFlags::FLAGGED, &[]),
        );
        self.append(
            anna,
            "Lists/Größe",
            &message(101, 20_000, Body::Noise, None),
            flags(SystemFlags::DRAFT, &[]),
        );
        self.append(
            anna,
            "Sent",
            &message(102, 5_000, Body::Text, Some(3)),
            flags(SystemFlags::SEEN, &["$MDNSent"]),
        );
        // Another account has the same content, and another thread.
        self.append(bert, "INBOX", &message(3, 200, Body::Text, None), FlagSet::default());
        // Neither an end of its header nor a line.
        self.append(bert, "INBOX", b"no header", FlagSet::default());
        self.append(bert, "INBOX", b"", FlagSet::default());
        for n in 0..3 {
            self.append(
                anna,
                "gone",
                &message(200 + n, 300, Body::Text, None),
                flags(SystemFlags::EMPTY, &["gone"]),
            );
            self.append(anna, "going", &message(210 + n, 300, Body::Text, None), FlagSet::default());
        }
    }

    fn changes(&self, anna: AccountId) {
        let (inbox, archive) = (self.mailbox(anna, "INBOX"), self.mailbox(anna, "Archive"));
        self.write(|tx| bin::advance(tx, 50_000));
        self.write(move |tx| {
            let some = flags(SystemFlags::ANSWERED, &["$Label1"]);
            messages::store_flags(tx, anna, inbox, &uids(5..=40), FlagChange::Add, &some, None)?;
            let deleted = FlagSet::from(SystemFlags::DELETED);
            messages::store_flags(tx, anna, inbox, &uids(80..=82), FlagChange::Add, &deleted, None)
        });
        self.write(move |tx| messages::copy(tx, anna, inbox, &uids(1..=70), archive));
        // One job, and one row with all three sets.
        let content = message(103, 100, Body::Text, None);
        let mut incoming = self.store.incoming(1 << 20);
        incoming.write(&content).unwrap();
        let prepared = incoming.finish().unwrap();
        self.write(move |tx| {
            let email = prepared.file(tx, anna, &MailboxName::inbox())?;
            let new = NewMessage {
                email,
                size: prepared.size(),
                internal_date: DateTime { unix: -5, offset_minutes: -570 },
                flags: FlagSet::default(),
            };
            messages::append(tx, anna, inbox, &[new])?;
            let seen = FlagSet::from(SystemFlags::SEEN);
            messages::store_flags(tx, anna, inbox, &uids(50..=60), FlagChange::Replace, &seen, None)?;
            messages::expunge(tx, anna, inbox, &uids(5..=30), false)
        });
        self.write(move |tx| messages::expunge(tx, anna, archive, &uids(2..=60), false));
        let lists = self.mailbox(anna, "Archive/2025");
        self.write(move |tx| messages::move_(tx, anna, inbox, &uids(85..=90), lists));
        self.write(move |tx| mailboxes::delete(tx, anna, &name("gone")));
    }

    /// An account that is gone, but for what the bin has; contents that nothing names; a volume that was seen
    /// to be damaged.
    fn gone(&self) {
        let cleo = self.write(|tx| accounts::create(tx, "cleo", None));
        self.append(cleo, "INBOX", &message(300, 300, Body::Text, None), FlagSet::default());
        self.append(cleo, "INBOX", &message(301, 300, Body::Text, None), FlagSet::default());
        self.write(move |tx| {
            let inbox = mailboxes::by_name(tx, cleo, &MailboxName::inbox())?.unwrap().id;
            messages::expunge(tx, cleo, inbox, &uids(1..=1), false)?;
            let mut entries = Vec::new();
            bin::list(tx, cleo, &mut |entry| {
                entries.push(entry.id);
                Ok(std::ops::ControlFlow::Continue(()))
            })?;
            for entry in entries {
                bin::remove(tx, cleo, entry)?;
            }
            accounts::remove(tx, cleo)
        });
        assert_eq!(self.store.sweep().unwrap().dropped, 1);
        self.write(|tx| {
            let (first, mut row) = volumes::list(tx)?[0];
            row.damaged = true;
            tx.put(Table::Volumes, &first.to_be_bytes(), &row.encode());
            Ok(())
        });
    }

    /// What only the journal has, in a few records, one of them a chain.
    fn last(&self, anna: AccountId, bert: AccountId) {
        self.append(
            anna,
            "INBOX",
            &message(400, 18_000, Body::Noise, Some(3)),
            flags(SystemFlags::SEEN, &["last"]),
        );
        self.append(bert, "INBOX", &message(401, 500, Body::Text, None), FlagSet::default());
        let inbox = self.mailbox(anna, "INBOX");
        self.write(move |tx| {
            mailboxes::create(tx, anna, &name("last/made"), None)?;
            mailboxes::delete(tx, anna, &name("going"))?;
            messages::expunge(tx, anna, inbox, &uids(31..=33), false)?;
            let flagged = FlagSet::from(SystemFlags::FLAGGED);
            messages::store_flags(tx, anna, inbox, &uids(34..=36), FlagChange::Remove, &flagged, None)?;
            messages::store_flags(tx, anna, inbox, &uids(34..=36), FlagChange::Add, &flagged, None)?;
            settings::put(tx, "last", b"in the journal")?;
            certificates::delete(tx, "mail.example.org");
            devices::add(tx, bert, "last", [9; 32], b"x".to_vec())
        });
    }
}

fn certificate(whose: &str) -> certificates::Certificate {
    certificates::Certificate { chain: format!("chain {whose}"), key: format!("key {whose}") }
}

/// Makes the store in `data`; `copy` is called while it is open, with rows that only the journal has.
pub(super) fn make(data: &Path, copy: impl FnOnce()) {
    let clock = clock();
    let store = Store::open(options(data, &clock, SEED)).unwrap();
    let maker = Maker { store, clock };
    let (anna, bert) = maker.accounts();
    maker.household(anna, bert);
    maker.mailboxes(anna);
    maker.messages(anna, bert);
    maker.changes(anna);
    maker.gone();
    maker.store.checkpoint().unwrap();
    maker.last(anna, bert);
    let figures = maker.store.statistics();
    assert!(figures.volumes > 2 && figures.dirty > 19_000, "{figures:?}");
    copy();
    maker.store.close().unwrap();
}
