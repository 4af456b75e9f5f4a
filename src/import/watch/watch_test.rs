//! Programs that make, rename and remove folders, deliver and move mail about, all at once, against a watcher
//! whose regular looks never come: what inotify and one look after another leave out stays out.
//!
//! Many more rounds of it: `POSTERN_TEST_ROUNDS=500 cargo test --lib import::watch_test`.

use std::collections::HashMap;
use std::fs::{self, File};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

use super::watcher::{WatchOptions, Watcher};
use crate::model::{AccountId, ContentHash, ContentId, MailboxName};
use crate::store::sim::Dice;
use crate::store::sources::{self, After};
use crate::store::{Options, Store, accounts, emails, mailboxes, messages};

/// No look but the first comes by itself.
const NEVER: Duration = Duration::from_secs(100_000);
const OPTIONS: WatchOptions = WatchOptions { poll: NEVER, look: NEVER, thorough: NEVER };
/// Far more than what a look takes here, or what a file is given to settle.
const LIMIT: Duration = Duration::from_secs(10);
const PROGRAMS: u64 = 2;
/// What each program does in a round, at most: the less happens, the less is another's look at the same.
const STEPS: u64 = 3;

fn number(variable: &str, default: u64) -> u64 {
    std::env::var(variable).ok().and_then(|value| value.parse().ok()).unwrap_or(default)
}

/// A program that has folders of its own.
struct Program {
    root: PathBuf,
    name: String,
    /// What stands between the levels of a folder's name, and before the first.
    dotted: bool,
    dice: Dice,
    folders: Vec<Place>,
    count: u64,
}

/// A folder of it, with the names of its files below it and the content of each.
struct Place {
    level: String,
    files: HashMap<PathBuf, ContentHash>,
}

impl Program {
    fn new(root: &Path, dotted: bool, seed: u64, n: u64) -> Program {
        let dice = Dice::new(seed * 1_000 + n);
        let (root, name) = (root.to_owned(), format!("P{n}"));
        Program { root, name, dotted, dice, folders: Vec::new(), count: 0 }
    }

    fn path(&self, level: &str) -> PathBuf {
        match self.dotted {
            true => self.root.join(format!(".{}.{level}", self.name)),
            false => self.root.join(&self.name).join(level),
        }
    }

    fn mailbox(&self, place: &Place) -> MailboxName {
        MailboxName::new(&format!("{}/{}", self.name, place.level)).unwrap()
    }

    /// Mostly nothing, seldom long enough for the watcher to look in between.
    fn pause(&mut self) {
        let micros = match self.dice.below(4) {
            0 | 1 => return,
            2 => self.dice.below(2_000),
            _ => 10_000 + self.dice.below(10_000),
        };
        std::thread::sleep(Duration::from_micros(micros));
    }

    fn next(&mut self) -> u64 {
        self.count += 1;
        self.count
    }

    fn step(&mut self) {
        self.pause();
        let place = self.dice.below(self.folders.len() as u64) as usize;
        match self.dice.below(8) {
            _ if self.folders.is_empty() => self.create(),
            0 | 1 => self.create(),
            2 | 3 => drop(self.deliver(place)),
            4 => self.move_files(place),
            5 => self.deliver_and_read(place),
            6 => self.rename(place),
            _ => self.make_again(place),
        }
    }

    /// Makes a folder and at once puts a message into it.
    fn create(&mut self) {
        let level = format!("F{}", self.next());
        self.make(&level);
        self.folders.push(Place { level, files: HashMap::new() });
        self.deliver(self.folders.len() - 1);
    }

    fn make(&mut self, level: &str) {
        let path = self.path(level);
        fs::create_dir_all(&path).unwrap();
        let mut subs = vec!["cur", "new", "tmp"];
        while !subs.is_empty() {
            self.pause();
            let sub = subs.remove(self.dice.below(subs.len() as u64) as usize);
            fs::create_dir(path.join(sub)).unwrap();
        }
        if self.dotted {
            fs::write(path.join("maildirfolder"), "").unwrap();
        }
    }

    fn deliver(&mut self, place: usize) -> PathBuf {
        let n = self.next();
        let text = format!("Subject: {} {n}\r\n\r\nHello.\r\n", self.name);
        let hash = ContentHash(*blake3::hash(text.as_bytes()).as_bytes());
        let base = format!("{}.{}-{n}", 1_700_000_000 + n, self.name);
        let path = self.path(&self.folders[place].level);
        let tmp = path.join("tmp").join(&base);
        fs::write(&tmp, text).unwrap();
        if self.dice.below(4) > 0 {
            // One that is taken at once, so that no second look for its sake finds another's.
            let old = SystemTime::now() - Duration::from_secs(60);
            File::options().write(true).open(&tmp).unwrap().set_modified(old).unwrap();
        }
        let name = match self.dice.below(2) {
            0 => PathBuf::from("new").join(base),
            _ => PathBuf::from("cur").join(format!("{base}:2,S")),
        };
        self.pause();
        fs::rename(tmp, path.join(&name)).unwrap();
        self.folders[place].files.insert(name.clone(), hash);
        name
    }

    fn deliver_and_read(&mut self, place: usize) {
        let name = self.deliver(place);
        self.pause();
        self.read(place, &name);
    }

    /// What a program does as it opens a folder: all that is new is not any more.
    fn move_files(&mut self, place: usize) {
        let names: Vec<_> = self.folders[place].files.keys().cloned().collect();
        for name in names {
            self.read(place, &name);
        }
    }

    /// From `new/` to `cur/`, or other flags.
    fn read(&mut self, place: usize, name: &Path) {
        let path = self.path(&self.folders[place].level);
        let file = name.file_name().unwrap().to_str().unwrap();
        let base = file.split(':').next().unwrap();
        let flags = ["", "S", "FS", "RS"][self.dice.below(4) as usize];
        let new = PathBuf::from("cur").join(format!("{base}:2,{flags}"));
        fs::rename(path.join(name), path.join(&new)).unwrap();
        let place = &mut self.folders[place];
        let hash = place.files.remove(name).unwrap();
        place.files.insert(new, hash);
    }

    fn rename(&mut self, place: usize) {
        let level = format!("F{}", self.next());
        fs::rename(self.path(&self.folders[place].level), self.path(&level)).unwrap();
        self.folders[place].level = level;
    }

    /// Another folder of the same name: none that is watched.
    fn make_again(&mut self, place: usize) {
        let level = self.folders[place].level.clone();
        fs::remove_dir_all(self.path(&level)).unwrap();
        self.folders[place].files.clear();
        self.pause();
        self.make(&level);
        self.deliver(place);
    }
}

/// The mailbox's messages.
fn held(store: &Store, account: AccountId, name: &MailboxName) -> Vec<ContentId> {
    let snapshot = store.snapshot().unwrap();
    let mut held = Vec::new();
    if let Some(mailbox) = mailboxes::by_name(&snapshot, account, name).unwrap() {
        messages::scan(&snapshot, mailbox.id, 1..=u32::MAX, &mut |record| {
            held.push(record.email);
            Ok(ControlFlow::Continue(()))
        })
        .unwrap();
    }
    held
}

/// A file whose message is not there once, if there is one.
fn missing(store: &Store, account: AccountId, programs: &[Program]) -> Option<String> {
    for program in programs {
        for place in &program.folders {
            let held = held(store, account, &program.mailbox(place));
            for (name, hash) in &place.files {
                let email = emails::by_hash(&store.snapshot().unwrap(), *hash).unwrap();
                let count = held.iter().filter(|known| Some(**known) == email).count();
                if count != 1 {
                    return Some(format!(
                        "{count} x {}/{}",
                        program.path(&place.level).display(),
                        name.display()
                    ));
                }
            }
        }
    }
    None
}

fn all_comes(dotted: bool) {
    let (seed, rounds) = (number("POSTERN_TEST_SEED", 1), number("POSTERN_TEST_ROUNDS", 60));
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("Maildir");
    for sub in ["cur", "new", "tmp"] {
        fs::create_dir_all(root.join(sub)).unwrap();
    }
    let store = Store::open(Options::new(folder.path().join("data"))).unwrap();
    let path = root.clone();
    let account = store
        .write(move |tx| {
            let account = accounts::create(tx, "anna", None)?;
            sources::add(tx, account, &path, None, After::Keep)?;
            Ok(account)
        })
        .unwrap();
    let mut programs: Vec<_> =
        (0..PROGRAMS).map(|n| Program::new(&root, dotted, seed + u64::from(dotted), n)).collect();
    let watcher = Watcher::start(store.clone(), OPTIONS);
    for round in 0..rounds {
        std::thread::scope(|scope| {
            for program in &mut programs {
                scope.spawn(|| {
                    let steps = program.dice.below(STEPS + 1);
                    (0..steps).for_each(|_| program.step());
                });
            }
        });
        let start = Instant::now();
        while let Some(file) = missing(&store, account, &programs) {
            let status = watcher.status();
            assert!(start.elapsed() < LIMIT, "seed {seed}, round {round}: {file}\n{status:?}");
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

#[test]
fn all_mail_comes_whatever_happens_at_once() {
    all_comes(true);
}

#[test]
fn so_it_does_where_folders_lie_in_folders() {
    all_comes(false);
}
