//! Looks at a source, one after the other, by a clock that the test owns: what comes when, what goes when.

use std::collections::BTreeSet;
use std::fs;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::scanner::Scanner;
use super::settling::{HandClock, UNCHANGED};
use super::status::SourceStatus;
use crate::import::disk::read::SETTLE;
use crate::import::maildir::layout::SUBS;
use crate::model::{AccountId, ContentId, MailboxId, MailboxName, UidSet};
use crate::store::env::Clock;
use crate::store::sources::{After, Source};
use crate::store::{Options, Snapshot, Store, accounts, imported, mailboxes, messages, running, sources};

/// A clock on the wall that a test sets.
#[derive(Debug)]
struct Wall(AtomicI64);

impl Clock for Wall {
    fn now(&self) -> i64 {
        self.0.load(Ordering::Relaxed)
    }
}

pub(crate) struct Bench {
    folder: tempfile::TempDir,
    pub(crate) store: Store,
    account: AccountId,
    source: Source,
    pub(crate) scanner: Scanner,
    clock: Arc<HandClock>,
    wall: Arc<Wall>,
}

pub(crate) fn bench(after: impl FnOnce(&Path) -> After) -> Bench {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("Maildir");
    for sub in ["cur", "new", "tmp"] {
        fs::create_dir_all(root.join(sub)).unwrap();
    }
    let wall = Arc::new(Wall(AtomicI64::new(crate::store::unix_now())));
    let options =
        Options { clock: Arc::clone(&wall) as Arc<dyn Clock>, ..Options::new(folder.path().join("data")) };
    let store = Store::open(options).unwrap();
    let (path, after) = (root, after(folder.path()));
    let (account, source) = store
        .write(move |tx| {
            let account = accounts::create(tx, "anna", None)?;
            let id = sources::add(tx, account, &path, None, after)?;
            Ok((account, sources::get(tx, id)?.unwrap()))
        })
        .unwrap();
    let clock = Arc::new(HandClock::default());
    let scanner = scanner(&store, &source, &clock);
    Bench { folder, store, account, source, scanner, clock, wall }
}

fn scanner(store: &Store, source: &Source, clock: &Arc<HandClock>) -> Scanner {
    let status = SourceStatus::new(source.id, source.account, source.path.clone());
    let (status, clock) = (Arc::new(Mutex::new(status)), Arc::clone(clock));
    Scanner::new(store.clone(), source.clone(), Arc::default(), status, clock)
}

impl Bench {
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join("Maildir").join(name)
    }

    /// In its place, and long ago.
    pub(crate) fn write(&self, name: &str, text: impl AsRef<[u8]>) {
        fs::write(self.path(name), text).unwrap();
        let old = SystemTime::now() - Duration::from_secs(60);
        fs::File::options().write(true).open(self.path(name)).unwrap().set_modified(old).unwrap();
    }

    pub(crate) fn put(&self, n: u32) {
        self.write(&format!("cur/{}.{n}:2,S", 1_700_000_000 + n), format!("Subject: {n}\n\nHello.\n"));
    }

    /// As a program delivers it while that is watched.
    pub(crate) fn deliver(&mut self, name: &str, text: impl AsRef<[u8]>) {
        self.write("tmp/x", text);
        fs::rename(self.path("tmp/x"), self.path(name)).unwrap();
        self.scanner.arrived(&BTreeSet::from([self.path(name)]));
    }

    pub(crate) fn has(&self, name: &str) -> bool {
        self.path(name).exists()
    }

    pub(crate) fn look(&mut self, thorough: bool) -> Option<Duration> {
        let found = self.scanner.discover().unwrap();
        self.scanner.look(found, thorough).unwrap()
    }

    pub(crate) fn look_after(&mut self, time: Duration) {
        self.clock.advance(time);
        self.look(false);
    }

    /// As when the server is stopped and started again.
    pub(crate) fn restart(&mut self) {
        self.scanner = scanner(&self.store, &self.source, &self.clock);
        self.look(true);
    }

    pub(crate) fn inbox(&self) -> MailboxId {
        let inbox = mailboxes::by_name(&self.store.snapshot().unwrap(), self.account, &MailboxName::inbox());
        inbox.unwrap().unwrap().id
    }

    /// The texts that INBOX lists.
    pub(crate) fn texts(&self) -> Vec<String> {
        let (snapshot, mut emails) = (self.store.snapshot().unwrap(), Vec::new());
        messages::scan(&snapshot, self.inbox(), 1..=u32::MAX, &mut |record| {
            emails.push(record.email);
            Ok(ControlFlow::Continue(()))
        })
        .unwrap();
        emails.into_iter().map(|email| text_of(&snapshot, email)).collect()
    }

    pub(crate) fn count(&self) -> usize {
        self.texts().len()
    }

    /// What a client does that deletes all.
    fn expunge(&self) {
        let (account, inbox) = (self.account, self.inbox());
        let all: UidSet = std::iter::once(1..=u32::MAX).collect();
        self.store.write(move |tx| messages::expunge(tx, account, inbox, &all, false)).unwrap();
    }

    /// As if nothing had come or gone since 2020.
    fn settle(&self) {
        for sub in SUBS {
            let folder = fs::File::open(self.path(sub)).unwrap();
            folder.set_modified(UNIX_EPOCH + Duration::from_secs(1_600_000_000)).unwrap();
        }
    }

    pub(crate) fn problems(&self) -> u64 {
        let status = self.scanner.status();
        status.unreadable.count + status.left_alone.count
    }
}

/// The text of a stored message.
pub(crate) fn text_of(snapshot: &Snapshot, email: ContentId) -> String {
    let mut bytes = Vec::new();
    snapshot.read(email, 0..u64::MAX, &mut bytes).unwrap();
    String::from_utf8(bytes).unwrap()
}

const HALF: &str = "Subject: one\n\nThe first half,\r";
const WHOLE: &str = "Subject: one\n\nThe first half,\r\nand the second.\n";
const NAME: &str = "new/1700000000.a";

/// As the store has a text.
pub(crate) fn stored(text: &str) -> String {
    text.replace("\r\n", "\n").replace('\n', "\r\n")
}

#[test]
fn more_files_than_are_held_come_even_if_none_can_be_taken_away() {
    // The folder to move to is a file.
    let mut bench = bench(|folder| {
        fs::write(folder.join("file"), "").unwrap();
        After::Move(folder.join("file"))
    });
    bench.scanner.max_names = 10;
    (0..95).for_each(|n| bench.put(n));
    bench.look(true);
    assert_eq!(bench.count(), 95);
    assert_eq!(bench.scanner.status().waiting, 95);
    for _ in 0..2 {
        bench.clock.advance(UNCHANGED);
        bench.look(true);
        assert_eq!(bench.count(), 95);
        let status = bench.scanner.status();
        assert_eq!((status.imported, status.removed, status.unreadable.count), (95, 0, 95), "{status:?}");
        assert!(status.problem.as_ref().unwrap().what.starts_with("95 files"));
    }
    assert_eq!(fs::read_dir(bench.path("cur")).unwrap().count(), 95);
}

#[test]
fn a_folder_in_which_nothing_changed_is_not_read() {
    let mut bench = bench(|_| After::Keep);
    bench.scanner.max_names = 7;
    (0..20).for_each(|n| bench.put(n));
    bench.settle();
    bench.look(true);
    assert_eq!(bench.count(), 20);
    // One that comes without changing the directory's time is not seen, for the directory is not read;
    // a thorough look believes no time.
    bench.put(20);
    bench.settle();
    bench.look(false);
    assert_eq!(bench.count(), 20);
    bench.look(true);
    assert_eq!(bench.count(), 21);
    // One that changes it is seen.
    bench.put(21);
    bench.look(false);
    assert_eq!(bench.count(), 22);
}

#[test]
fn what_is_renamed_in_goes_at_once() {
    let mut bench = bench(|_| After::Delete);
    bench.look(true);
    bench.deliver(NAME, WHOLE);
    bench.look(false);
    assert_eq!(bench.texts(), [stored(WHOLE)]);
    assert!(!bench.has(NAME));
}

#[test]
fn what_is_made_in_place_comes_at_once_and_goes_once_it_has_lain_unchanged() {
    for after in [After::Delete, After::Move("done".into())] {
        let mut bench = bench(|folder| match after {
            After::Move(name) => After::Move(folder.join(name)),
            other => other,
        });
        bench.look(true);
        bench.write(NAME, HALF);
        bench.look(false);
        assert_eq!(bench.texts(), [stored(HALF)]);
        bench.look_after(UNCHANGED - Duration::from_secs(1));
        assert!(bench.has(NAME));
        // Its writer goes on after all.
        bench.write(NAME, WHOLE);
        bench.look_after(Duration::from_secs(2));
        assert_eq!(bench.texts(), [stored(WHOLE)], "the whole one instead of the half");
        assert!(bench.has(NAME));
        bench.look_after(UNCHANGED - Duration::from_secs(3));
        assert!(bench.has(NAME));
        bench.look_after(Duration::from_secs(3));
        assert!(!bench.has(NAME));
        assert_eq!(bench.texts(), [stored(WHOLE)]);
        assert_eq!(bench.scanner.status().removed, 1);
        assert_eq!(bench.problems(), 0);
        assert_eq!(fs::read_dir(bench.path("tmp")).unwrap().count(), 0);
        if let After::Move(done) = &bench.source.after {
            assert_eq!(fs::read_to_string(done.join(NAME)).unwrap(), WHOLE);
        }
    }
}

#[test]
fn the_half_is_replaced_where_files_stay_and_after_a_restart_too() {
    for after in [After::Keep, After::Delete] {
        let mut bench = bench(|_| after);
        bench.write(NAME, HALF);
        bench.look(true);
        bench.write(NAME, WHOLE);
        bench.restart();
        assert_eq!(bench.texts(), [stored(WHOLE)]);
        bench.restart();
        assert_eq!(bench.texts(), [stored(WHOLE)]);
    }
}

#[test]
fn a_file_that_is_written_anew_in_its_place_is_replaced_too() {
    let mut bench = bench(|_| After::Delete);
    // As a program does that makes room first: that is no mail yet.
    bench.write(NAME, "\0".repeat(WHOLE.len()));
    bench.look(true);
    assert_eq!((bench.count(), bench.problems()), (0, 1));
    bench.write(NAME, WHOLE.replace("one", "two"));
    bench.look(true);
    let row = imported::get(&bench.store.snapshot().unwrap(), bench.source.id, b"", b"1700000000.a");
    bench.write(NAME, WHOLE);
    bench.look(false);
    // A file system that tells of no times of making leaves two messages.
    let wanted = if row.unwrap().unwrap().instance.is_some() { 1 } else { 2 };
    assert_eq!(bench.count(), wanted);
    assert_eq!(*bench.texts().last().unwrap(), stored(WHOLE));
}

#[test]
fn a_file_that_is_put_back_in_pieces_leaves_no_half() {
    let mut bench = bench(|_| After::Delete);
    bench.look(true);
    bench.deliver(NAME, WHOLE);
    bench.look(false);
    bench.expunge();
    bench.look(true);
    bench.write(NAME, HALF);
    bench.look(false);
    assert_eq!(bench.texts(), [stored(HALF)]);
    let tells = fs::metadata(bench.path(NAME)).unwrap().created().is_ok();
    bench.write(NAME, WHOLE);
    bench.look(false);
    assert_eq!(bench.count(), if tells { 1 } else { 2 });
    bench.look_after(UNCHANGED);
    assert!(!bench.has(NAME));
    assert_eq!(*bench.texts().last().unwrap(), stored(WHOLE));
}

#[test]
fn who_writes_on_and_on_is_not_imported_on_and_on() {
    let mut bench = bench(|_| After::Delete);
    let mut text = HALF.to_owned();
    bench.write(NAME, &text);
    bench.look(true);
    for _ in 0..600 {
        text.push_str("one more line\n");
        bench.write(NAME, &text);
        bench.look_after(Duration::from_secs(1));
    }
    assert!(bench.scanner.status().imported <= 4, "{:?}", bench.scanner.status());
    assert_eq!(bench.count(), 1);
    bench.clock.advance(UNCHANGED);
    bench.look(false);
    assert_eq!(bench.texts(), [stored(&text)]);
}

#[test]
fn a_time_that_lies_ahead_shortens_no_wait() {
    let mut bench = bench(|_| After::Delete);
    bench.look(true);
    bench.write(NAME, HALF);
    let ahead = SystemTime::now() + Duration::from_secs(1_000_000);
    fs::File::options().write(true).open(bench.path(NAME)).unwrap().set_modified(ahead).unwrap();
    assert!(bench.look(false).is_some(), "looked at again soon");
    assert_eq!(bench.count(), 0);
    bench.look_after(SETTLE);
    assert_eq!(bench.texts(), [stored(HALF)]);
    bench.look_after(UNCHANGED - SETTLE - Duration::from_secs(1));
    assert!(bench.has(NAME));
    bench.look_after(Duration::from_secs(1));
    assert!(!bench.has(NAME));
}

#[test]
fn a_restart_neither_loses_the_wait_nor_ends_it() {
    let mut bench = bench(|_| After::Delete);
    bench.write(NAME, WHOLE);
    bench.look(true);
    bench.clock.advance(UNCHANGED - Duration::from_secs(1));
    bench.restart();
    bench.look_after(Duration::from_secs(2));
    assert!(bench.has(NAME));
    bench.look_after(UNCHANGED);
    assert!(!bench.has(NAME));
    assert_eq!(bench.texts(), [stored(WHOLE)]);
}

#[test]
fn a_crash_while_a_file_is_set_aside_loses_and_doubles_nothing() {
    let mut bench = bench(|_| After::Delete);
    bench.write(NAME, WHOLE);
    bench.look(true);
    fs::rename(bench.path(NAME), bench.path("tmp/postern-leaving.new.1700000000.a")).unwrap();
    bench.restart();
    assert!(bench.has(NAME));
    assert_eq!(bench.texts(), [stored(WHOLE)]);
    bench.look_after(UNCHANGED);
    assert!(!bench.has(NAME));
    assert_eq!((bench.count(), bench.problems()), (1, 0));
}

#[test]
fn a_file_that_is_put_back_is_stored_again_before_it_is_removed() {
    for arrives in [true, false] {
        let mut bench = bench(|_| After::Delete);
        bench.look(true);
        bench.deliver(NAME, WHOLE);
        bench.look(false);
        assert!(!bench.has(NAME));
        bench.expunge();
        for round in 0..3 {
            if round == 2 {
                // The look that misses it is the last before a restart.
                bench.look(true);
                bench.restart();
            }
            match arrives {
                true => bench.deliver(NAME, WHOLE),
                false => bench.write(NAME, WHOLE),
            }
            bench.look(false);
            assert_eq!(bench.texts(), [stored(WHOLE)], "{arrives} {round}");
            bench.look_after(UNCHANGED);
            assert!(!bench.has(NAME));
            assert_eq!(bench.texts(), [stored(WHOLE)], "{arrives} {round}");
            if round > 0 {
                bench.expunge();
            }
        }
    }
}

#[test]
fn what_a_client_deletes_or_moves_while_its_file_waits_does_not_come_again() {
    let mut bench = bench(|_| After::Delete);
    bench.write(NAME, WHOLE);
    bench.look(true);
    bench.expunge();
    bench.look_after(UNCHANGED);
    let tells = fs::metadata(bench.path("cur")).unwrap().created().is_ok();
    if tells {
        assert!(!bench.has(NAME));
        assert_eq!(bench.count(), 0);
    }
    // Into another mailbox.
    bench.expunge();
    bench.write("new/1700000001.b", HALF);
    bench.look(false);
    let (account, inbox) = (bench.account, bench.inbox());
    let all: UidSet = std::iter::once(1..=u32::MAX).collect();
    bench
        .store
        .write(move |tx| {
            let other = mailboxes::create(tx, account, &MailboxName::new("Kept").unwrap(), None)?;
            messages::move_(tx, account, inbox, &all, other)
        })
        .unwrap();
    bench.look_after(UNCHANGED);
    assert!(!bench.has("new/1700000001.b"));
    assert_eq!(bench.count(), 0);
}

#[test]
fn what_the_first_versions_imported_is_neither_removed_nor_doubled_where_nothing_says_what_it_is() {
    let mut bench = bench(|_| After::Delete);
    bench.write(NAME, WHOLE);
    bench.look(true);
    let id = bench.source.id;
    let forget = |bench: &Bench| {
        bench
            .store
            .write(move |tx| {
                let row = imported::get(tx, id, b"", b"1700000000.a")?.unwrap();
                imported::put(
                    tx,
                    id,
                    b"",
                    b"1700000000.a",
                    &imported::Imported { filed: None, instance: None, ..row },
                )
            })
            .unwrap();
    };
    forget(&bench);
    bench.restart();
    bench.look_after(UNCHANGED);
    assert!(!bench.has(NAME), "its mailbox lists it");
    bench.write("new/1700000000.a", WHOLE);
    bench.restart();
    forget(&bench);
    bench.expunge();
    bench.restart();
    bench.look_after(UNCHANGED);
    assert!(bench.has(NAME));
    assert_eq!((bench.count(), bench.problems()), (0, 1));
}

#[test]
fn a_jump_of_the_clock_doubles_nothing() {
    let mut bench = bench(|_| After::Keep);
    (0..20).for_each(|n| bench.put(n));
    bench.look(true);
    // A disk that is not mounted: the folder is there, its files are not.
    let (cur, aside) = (bench.path("cur"), bench.folder.path().join("aside"));
    fs::rename(&cur, &aside).unwrap();
    fs::create_dir(&cur).unwrap();
    bench.look(true);
    bench.wall.0.fetch_add(41 * 86_400, Ordering::Relaxed);
    bench.look(true);
    bench.store.write(|tx| running::advance(tx, 7_200)).unwrap();
    bench.look(true);
    fs::remove_dir(&cur).unwrap();
    fs::rename(&aside, &cur).unwrap();
    bench.look(true);
    assert_eq!(bench.count(), 20);
}

#[test]
fn a_file_that_is_gone_before_it_is_read_is_nobodys_problem() {
    let mut bench = bench(|_| After::Keep);
    bench.look(true);
    bench.put(1);
    // What was told of by a name that it has no more.
    let told = std::collections::BTreeMap::from([(
        bench.path("new"),
        Some(BTreeSet::from(["1700000001.1".into(), "never".into()])),
    )]);
    bench.scanner.look_at(told).unwrap();
    fs::remove_dir_all(bench.path("new")).unwrap();
    fs::write(bench.path("new"), "a file where a folder was").unwrap();
    bench.look(true);
    assert_eq!((bench.count(), bench.problems()), (1, 0));
    assert_eq!(bench.scanner.status().problem, None);
}

/// Issue 12: beside a real cur/ somebody lays a link where new/ or a folder should be, to what the server alone may read:
/// its own data, a neighbour's Maildir.
#[test]
fn nothing_is_taken_in_removed_or_moved_through_a_link() {
    for after in [After::Keep, After::Delete, After::Move(PathBuf::new())] {
        let secret = tempfile::tempdir().unwrap();
        for sub in ["new", "cur", "tmp", ".Sub/cur"] {
            fs::create_dir_all(secret.path().join(sub)).unwrap();
            fs::write(secret.path().join(sub).join("1700000000.s"), "Subject: secret\n\nx\n").unwrap();
        }
        fs::write(secret.path().join("1700000001.s"), "Subject: secret\n\nx\n").unwrap();
        let target = tempfile::tempdir().unwrap();
        let after =
            if matches!(after, After::Move(_)) { After::Move(target.path().to_owned()) } else { after };
        let mut bench = bench(|_| after.clone());
        bench.put(1);
        fs::remove_dir_all(bench.path("new")).unwrap();
        std::os::unix::fs::symlink(secret.path(), bench.path("new")).unwrap();
        std::os::unix::fs::symlink(secret.path(), bench.path(".Link")).unwrap();
        fs::create_dir_all(bench.path(".Half/cur")).unwrap();
        std::os::unix::fs::symlink(secret.path().join("cur"), bench.path(".Half/new")).unwrap();
        std::os::unix::fs::symlink(secret.path().join("1700000001.s"), bench.path("cur/1700000002.l"))
            .unwrap();
        bench.look(true);
        bench.look_after(UNCHANGED);
        bench.look(true);
        assert_eq!(bench.count(), 1, "{after:?}");
        let all = fs::read_dir(secret.path()).unwrap().count();
        assert_eq!(all, 5, "{after:?}");
        for sub in ["new", "cur", ".Sub/cur"] {
            assert_eq!(fs::read_dir(secret.path().join(sub)).unwrap().count(), 1, "{after:?} {sub}");
        }
        let told = bench.scanner.status().unreadable.clone();
        assert!(told.count >= 2, "{after:?}: {told:?}");
    }
}

/// The store's own folder under another name, and a folder around it.
#[test]
fn the_data_folder_is_no_source_whatever_leads_there() {
    let mut bench = bench(|_| After::Delete);
    let (_, data) = bench.store.place();
    fs::create_dir_all(data.join("new")).unwrap();
    fs::create_dir_all(data.join("cur")).unwrap();
    fs::write(data.join("new/1700000000.a"), "Subject: a\n\nx\n").unwrap();
    let root = bench.folder.path().join("Maildir");
    let inner = data.join("inner/Maildir");
    fs::create_dir_all(inner.join("cur")).unwrap();
    for leads in [data.clone(), data.parent().unwrap().to_owned(), inner] {
        if root.is_symlink() {
            fs::remove_file(&root).unwrap();
        } else {
            fs::remove_dir_all(&root).unwrap();
        }
        std::os::unix::fs::symlink(&leads, &root).unwrap();
        let refused = bench.scanner.discover().unwrap_err();
        assert!(refused.to_string().contains("data folder"), "{}: {refused}", leads.display());
    }
    assert!(data.join("new/1700000000.a").exists());
    fs::remove_file(&root).unwrap();
    fs::create_dir_all(root.join("cur")).unwrap();
    bench.look(true);
}
