//! Messages into the store, in batches that share a job and its sync.
//!
//! An import may be repeated: a message is left out of a mailbox that has one with the same content and the
//! same INTERNALDATE, whatever its flags are by now. So an import that was broken off is simply run again,
//! and two archives that overlap bring each message once. A message that was deleted meanwhile comes again.

use std::collections::{HashMap, HashSet};
use std::ops::{ControlFlow, Range};
use std::sync::{Arc, Mutex};

use super::sink::{Filing, Outcome, Refused, Sink, Stop};
use super::target::{Target, target};
use crate::import::disk::read::MAX_FILE;
use crate::model::{AccountId, ContentHash, ContentId, DateTime, FlagSet, MailboxId, MailboxName, locked};
use crate::store::filing::{self, Arrival};
use crate::store::{Error, Incoming, Prepared, Rows, Store, Transaction, emails, mailboxes, messages};

/// Messages that are stored in one job, and so with one sync.
const BATCH_MESSAGES: usize = 32;
/// Bytes after which a job is full.
const BATCH_BYTES: u64 = 4 << 20;
/// Refusals that are held for the caller; more are only counted by those who ask in time.
const MAX_REFUSED: usize = 1_000;
/// Messages whose content is looked for, over all mailboxes: 24 bytes each. Beyond that only the mailbox
/// that was needed last is kept.
const MAX_PRESENT: usize = 500_000;
/// A message may be put into so many mailboxes at a time.
const MAX_PLACES: usize = 32;

/// Takes messages into an account.
pub(crate) struct Intake {
    store: Store,
    account: AccountId,
    under: Option<MailboxName>,
    current: Current,
    batch: Vec<Waiting>,
    bytes: u64,
    present: Arc<Mutex<Present>>,
    outcome: Outcome,
    refused: Vec<Refused>,
}

enum Current {
    None,
    Coming(Box<Incoming>),
    Refused(String),
}

/// A message that waits for its job.
struct Waiting {
    prepared: Prepared,
    targets: Vec<Target>,
    flags: FlagSet,
    date: Option<DateTime>,
    origin: String,
}

/// What mailboxes hold, as far as it was asked for.
#[derive(Default)]
struct Present {
    mailboxes: HashMap<MailboxId, Held>,
}

/// What a mailbox holds.
#[derive(Default)]
struct Held {
    messages: HashSet<(ContentId, i64)>,
    /// The first UID that was not looked at.
    next: u32,
}

impl Intake {
    /// For an account; everything goes below `under`, if that is given.
    #[must_use]
    pub(crate) fn new(store: Store, account: AccountId, under: Option<MailboxName>) -> Self {
        Intake {
            store,
            account,
            under,
            current: Current::None,
            batch: Vec::new(),
            bytes: 0,
            present: Arc::default(),
            outcome: Outcome::default(),
            refused: Vec::new(),
        }
    }

    fn refuse(&mut self, origin: String, why: String) {
        if self.refused.len() < MAX_REFUSED {
            self.refused.push(Refused { origin, why });
        }
    }

    /// The mailboxes that a message is for, each once.
    fn targets(&self, places: &[Vec<String>]) -> Result<Vec<Target>, String> {
        let inbox = [Vec::new()];
        let places = if places.is_empty() { &inbox[..] } else { places };
        let mut targets = Vec::new();
        for levels in places.iter().take(MAX_PLACES) {
            let target = target(levels, self.under.as_ref()).map_err(|error| error.to_string())?;
            if !targets.contains(&target) {
                targets.push(target);
            }
        }
        Ok(targets)
    }

    fn flush(&mut self) -> Result<(), Stop> {
        let batch = Arc::new(std::mem::take(&mut self.batch));
        self.bytes = 0;
        if batch.is_empty() {
            return Ok(());
        }
        self.load_present(&batch)?;
        match self.store_range(&batch, 0..batch.len()) {
            Ok(()) => Ok(()),
            // One that cannot be taken must not hold up the others.
            Err(Error::Limit(_) | Error::Refused(_) | Error::Exists(_) | Error::Internal(_)) => {
                for (n, waiting) in batch.iter().enumerate() {
                    match self.store_range(&batch, n..n + 1) {
                        Ok(()) => {}
                        Err(
                            error @ (Error::Limit(_)
                            | Error::Refused(_)
                            | Error::Exists(_)
                            | Error::Internal(_)),
                        ) => {
                            self.refuse(waiting.origin.clone(), error.to_string());
                        }
                        Err(error) => return Err(error.into()),
                    }
                }
                Ok(())
            }
            Err(error) => Err(error.into()),
        }
    }

    fn store_range(&mut self, batch: &Arc<Vec<Waiting>>, range: Range<usize>) -> Result<(), Error> {
        let job = Job {
            account: self.account,
            batch: Arc::clone(batch),
            range,
            present: Arc::clone(&self.present),
        };
        let done = self.store.write(move |tx| job.run(tx))?;
        self.outcome.stored += done.outcome.stored;
        self.outcome.present += done.outcome.present;
        self.outcome.bytes += done.outcome.bytes;
        Ok(())
    }

    /// Reads what the mailboxes of a batch hold, where one of its messages is known to the store: that of
    /// new mail need not be.
    fn load_present(&mut self, batch: &[Waiting]) -> Result<(), Error> {
        let snapshot = self.store.snapshot()?;
        let mut present = locked(&self.present);
        for waiting in batch {
            if emails::by_hash(&snapshot, waiting.prepared.hash())?.is_none() {
                continue;
            }
            for target in &waiting.targets {
                let Ok(name) = target.name(&snapshot, self.account) else { continue };
                let Some(mailbox) = mailboxes::by_name(&snapshot, self.account, &name)? else { continue };
                present.load(&snapshot, mailbox.id)?;
            }
        }
        Ok(())
    }
}

impl Present {
    /// Looks at what came to a mailbox since it was last looked at: at all of it, the first time.
    fn load(&mut self, rows: &dyn Rows, mailbox: MailboxId) -> Result<(), Error> {
        let next = self.mailboxes.get(&mailbox).map_or(0, |held| held.next);
        let mut new = Held { next, ..Held::default() };
        messages::scan(rows, mailbox, next..=u32::MAX, &mut |record| {
            new.messages.insert((record.email, record.internal_date.unix));
            new.next = record.uid.get().saturating_add(1);
            Ok(ControlFlow::Continue(()))
        })?;
        let held: usize = self.mailboxes.values().map(|held| held.messages.len()).sum();
        if held + new.messages.len() > MAX_PRESENT {
            self.mailboxes.retain(|known, _| *known == mailbox);
        }
        let held = self.mailboxes.entry(mailbox).or_default();
        held.messages.extend(new.messages);
        held.next = new.next;
        Ok(())
    }

    fn has(&self, mailbox: MailboxId, message: (ContentId, i64)) -> bool {
        self.mailboxes.get(&mailbox).is_some_and(|held| held.messages.contains(&message))
    }
}

impl Sink for Intake {
    fn write(&mut self, bytes: &[u8]) -> Result<(), Stop> {
        if matches!(self.current, Current::None) {
            self.store.room_for_mail()?;
            self.current = Current::Coming(Box::new(self.store.incoming(MAX_FILE)));
        }
        let Current::Coming(incoming) = &mut self.current else { return Ok(()) };
        match incoming.write(bytes) {
            Ok(()) => Ok(()),
            Err(error @ Error::Limit(_)) => {
                self.current = Current::Refused(error.to_string());
                Ok(())
            }
            Err(error) => Err(error.into()),
        }
    }

    fn file(&mut self, filing: Filing) -> Result<(), Stop> {
        let incoming = match std::mem::replace(&mut self.current, Current::None) {
            Current::Coming(incoming) => incoming,
            Current::Refused(why) => {
                self.refuse(filing.origin, why);
                return Ok(());
            }
            Current::None => {
                self.refuse(filing.origin, "empty".to_owned());
                return Ok(());
            }
        };
        let targets = match self.targets(&filing.places) {
            Ok(targets) => targets,
            Err(why) => {
                self.refuse(filing.origin, why);
                return Ok(());
            }
        };
        let prepared = incoming.finish()?;
        self.bytes += prepared.size();
        let (flags, date) = (filing.flag_set(), filing.date_time());
        self.batch.push(Waiting { prepared, targets, flags, date, origin: filing.origin });
        if self.batch.len() >= BATCH_MESSAGES || self.bytes >= BATCH_BYTES {
            self.flush()?;
        }
        Ok(())
    }

    fn discard(&mut self) -> Result<(), Stop> {
        self.current = Current::None;
        Ok(())
    }

    fn finish(&mut self) -> Result<(), Stop> {
        self.current = Current::None;
        self.flush()
    }

    fn outcome(&self) -> Outcome {
        self.outcome.clone()
    }

    fn take_refused(&mut self) -> Vec<Refused> {
        std::mem::take(&mut self.refused)
    }
}

/// What one job stores.
struct Job {
    account: AccountId,
    batch: Arc<Vec<Waiting>>,
    range: Range<usize>,
    present: Arc<Mutex<Present>>,
}

#[derive(Default)]
struct Done {
    outcome: Outcome,
    added: HashSet<(MailboxId, ContentHash, i64)>,
}

impl Job {
    fn run(self, tx: &mut dyn Transaction) -> Result<Done, Error> {
        let (mut done, mut arrivals) = (Done::default(), Vec::new());
        for waiting in self.batch.get(self.range.clone()).unwrap_or_default() {
            let internal_date = waiting.date.unwrap_or_else(|| DateTime::utc(tx.now()));
            let missing = self.missing(tx, waiting, internal_date.unix, &mut done)?;
            if missing.is_empty() {
                done.outcome.present += 1;
                continue;
            }
            let (prepared, flags) = (&waiting.prepared, waiting.flags.clone());
            arrivals.push((Arrival { prepared, internal_date, flags }, missing));
            done.outcome.stored += 1;
            done.outcome.bytes += prepared.size();
        }
        filing::file_in_each(tx, self.account, &arrivals)?;
        Ok(done)
    }

    /// The mailboxes that a message is for and that do not list it: they do after this job.
    fn missing(
        &self,
        tx: &mut dyn Transaction,
        waiting: &Waiting,
        date: i64,
        done: &mut Done,
    ) -> Result<Vec<MailboxId>, Error> {
        let hash = waiting.prepared.hash();
        let known = emails::by_hash(tx, hash)?;
        let mut missing = Vec::new();
        for target in &waiting.targets {
            let (mailbox, _) = target.resolve(tx, self.account)?;
            let is_there = match known {
                Some(content) => self.has(tx, mailbox, (content, date))?,
                None => false,
            };
            if !is_there && done.added.insert((mailbox, hash, date)) {
                missing.push(mailbox);
            }
        }
        Ok(missing)
    }

    /// Whether a mailbox lists it now: another import of the same may have brought it since the batch was begun.
    fn has(&self, rows: &dyn Rows, mailbox: MailboxId, message: (ContentId, i64)) -> Result<bool, Error> {
        let mut present = locked(&self.present);
        present.load(rows, mailbox)?;
        Ok(present.has(mailbox, message))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{Options, accounts};

    fn account(folder: &std::path::Path) -> (Store, AccountId) {
        let store = Store::open(Options::new(folder)).unwrap();
        let account = store.write(|tx| accounts::create(tx, "anna", None)).unwrap();
        (store, account)
    }

    fn put(intake: &mut Intake, text: &str, place: &str, date: i64, flags: &[&str]) {
        intake.write(text.as_bytes()).unwrap();
        let places = place.split('|').map(|place| place.split('/').map(str::to_owned).collect()).collect();
        let flags = flags.iter().map(|flag| (*flag).to_owned()).collect();
        intake.file(Filing { places, flags, date: Some((date, 0)), origin: text.to_owned() }).unwrap();
    }

    fn counts(store: &Store, account: AccountId) -> Vec<(String, u32)> {
        let list = mailboxes::list(&store.snapshot().unwrap(), account).unwrap();
        list.iter()
            .filter(|mailbox| mailbox.messages > 0)
            .map(|mailbox| (mailbox.name.as_str().to_owned(), mailbox.messages))
            .collect()
    }

    #[test]
    fn a_repeated_import_brings_nothing_twice() {
        let folder = tempfile::tempdir().unwrap();
        let (store, account) = account(folder.path());
        for round in 0..3_u64 {
            let mut intake = Intake::new(store.clone(), account, None);
            for n in 0..100 {
                put(&mut intake, &format!("Subject: {n}\n\nx\n"), "Old", n, &["\\Seen"]);
            }
            // Twice in one source, and into two mailboxes of which one has it.
            put(&mut intake, "Subject: 5\n\nx\n", "Old", 5, &[]);
            put(&mut intake, "Subject: 5\n\nx\n", "Old|Gesendet", 5, &["Odd"]);
            // The same content at another time is another message.
            put(&mut intake, "Subject: 5\n\nx\n", "Old", 6, &[]);
            intake.finish().unwrap();
            let outcome = intake.outcome();
            let wanted = if round == 0 { (102, 1) } else { (0, 103) };
            assert_eq!((outcome.stored, outcome.present), wanted);
            assert_eq!(counts(&store, account), [("Old".to_owned(), 101), ("Sent".to_owned(), 1)]);
        }
    }

    #[test]
    fn two_imports_of_the_same_at_once_bring_it_once() {
        let folder = tempfile::tempdir().unwrap();
        let (store, account) = account(folder.path());
        let filled = || {
            let mut intake = Intake::new(store.clone(), account, None);
            (0..20).for_each(|n| put(&mut intake, &format!("Subject: {n}\n\nx\n"), "Old", n, &[]));
            intake
        };
        let mut first = filled();
        // Looked at what is there, and not stored yet; before any of it is known, and after.
        for expected in [(20, 0), (0, 20)] {
            let mut second = filled();
            let batch = Arc::new(std::mem::take(&mut second.batch));
            second.load_present(&batch).unwrap();
            first.finish().unwrap();
            second.store_range(&batch, 0..batch.len()).unwrap();
            assert_eq!((second.outcome().stored, second.outcome().present), (0, 20));
            assert_eq!((first.outcome().stored, first.outcome().present), expected);
            assert_eq!(counts(&store, account), [("Old".to_owned(), 20)]);
            first = filled();
        }
    }

    #[test]
    fn what_cannot_be_taken_is_named_and_holds_up_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let (store, account) = account(folder.path());
        let under = MailboxName::new("Before").unwrap();
        let mut intake = Intake::new(store.clone(), account, Some(under));
        put(&mut intake, "A: 1\n\n", "Sent", 1, &[]);
        put(&mut intake, "A: 2\n\n", &"x".repeat(1200), 1, &[]);
        intake.file(Filing { origin: "nothing".to_owned(), ..Filing::default() }).unwrap();
        intake.write(b"half a mess").unwrap();
        intake.discard().unwrap();
        put(&mut intake, "A: 3\n\n", "Sent", 1, &[]);
        intake.finish().unwrap();
        assert_eq!(counts(&store, account), [("Before/Sent".to_owned(), 2)]);
        let refused = intake.take_refused();
        let origins: Vec<_> = refused.iter().map(|refused| refused.origin.as_str()).collect();
        assert_eq!(origins, ["A: 2\n\n", "nothing"]);
        assert!(refused[0].why.contains("1000 bytes"), "{refused:?}");
    }

    #[test]
    fn more_keywords_than_fit_cost_no_message() {
        let folder = tempfile::tempdir().unwrap();
        let (store, account) = account(folder.path());
        let mut intake = Intake::new(store.clone(), account, None);
        for n in 0..70 {
            put(&mut intake, &format!("A: {n}\n\n"), "Old", n, &[&format!("word{n}")]);
        }
        intake.finish().unwrap();
        assert_eq!(intake.outcome().stored, 70);
        assert!(intake.take_refused().is_empty());
    }
}
