//! Backups: set up, made now or every day, and mail brought back out of them.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{Context, Failure, human};
use crate::backup::folder::{Folder, Keys};
use crate::backup::merge::{self, Merged, Wish};
use crate::backup::retention::Keep;
use crate::backup::run;
use crate::backup::source::Source;
use crate::backup::{Error, manifest};
use crate::model::MailboxName;
use crate::store::check::{Rebuilt, open_damaged};
use crate::store::env::RealDisk;
use crate::store::{Options, Rows, Store, settings};

pub use crate::backup::retention::Keep as Kept;
pub use crate::backup::run::{Progress, Report};

/// Settings: what is set up, and how the last one went.
const PLAN: &str = "backup.plan";
const LAST: &str = "backup.last";
/// Folders whose keys are remembered.
const FOLDERS: usize = 8;
/// Messages that were skipped are remembered up to this number.
const REMEMBERED: usize = 20;
const DAY: i64 = 86_400;
/// After one that failed it is tried again so much later, in seconds.
const AGAIN: i64 = 3_600;

/// What is set up.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Plan {
    /// Backups that this store writes to.
    folders: Vec<Known>,
    /// Where to, every day.
    daily: Option<Daily>,
    /// How many generations stay.
    keep: Keep,
}

/// A backup that this store writes to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Known {
    folder: PathBuf,
    keys: Keys,
    /// It may lie on the disk that the mail lies on.
    same_disk: bool,
}

/// A backup every day.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Daily {
    /// Where to.
    pub folder: PathBuf,
    /// At which hour (UTC).
    pub hour: u8,
}

/// How the last backup went.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Last {
    /// Where to.
    pub folder: PathBuf,
    /// When it began, in seconds since 1970.
    pub began: i64,
    /// When it ended.
    pub ended: i64,
    /// When the last one that worked ended.
    pub worked: Option<i64>,
    /// Why it did not work.
    pub failed: Option<String>,
    /// What it did.
    pub report: Option<Report>,
}

/// What is known of backups.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Info {
    /// The one that is made every day.
    pub daily: Option<Daily>,
    /// How many generations stay.
    pub keep: Keep,
    /// Folders that this store has backed up to.
    pub folders: Vec<PathBuf>,
    /// How the last one went.
    pub last: Option<Last>,
}

/// A backup that is asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Order {
    /// Where to; none: where it is made every day.
    pub folder: Option<PathBuf>,
    /// To begin an encrypted one, or to write to one of another store's.
    pub passphrase: Option<String>,
    /// From now on every day at this hour (UTC).
    pub hour: Option<u8>,
    /// How many generations stay from now on.
    pub keep: Option<Keep>,
    /// It may lie on the disk that the mail lies on.
    pub same_disk: bool,
    /// A folder where a backup was, and is no more, gets a new one.
    pub anew: bool,
}

/// Mail that is wanted back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Wanted {
    /// The backup.
    pub folder: PathBuf,
    /// What it is encrypted with.
    pub passphrase: Option<String>,
    /// Which generation, by its number; none: the newest.
    pub generation: Option<u64>,
    /// Whose mail.
    pub account: String,
    /// Only this mailbox and those below it.
    pub mailbox: Option<String>,
    /// Only what arrived on this day or later, in days since 1 January 1970.
    pub since: Option<i64>,
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        match error {
            Error::Store(error) => Failure::Store(error),
            other => Failure::Invalid(other.to_string()),
        }
    }
}

/// What is known of backups.
pub fn info(context: &Context) -> Result<Info, Failure> {
    let snapshot = context.store.snapshot()?;
    let plan = plan(&snapshot)?;
    Ok(Info {
        daily: plan.daily,
        keep: plan.keep,
        folders: plan.folders.into_iter().map(|known| known.folder).collect(),
        last: last(&snapshot)?,
    })
}

/// No backup is made every day any more; what was made stays.
///
/// # Errors
/// Of writing.
pub fn turn_off(context: &Context) -> Result<(), Failure> {
    let mut plan = plan(&context.store.snapshot()?)?;
    plan.daily = None;
    save(&context.store, PLAN, &plan)
}

/// A backup that is ready to be made.
pub struct Ready {
    store: Store,
    folder: Folder,
    keys: Keys,
    /// None: nothing that is there is dropped.
    keep: Option<Keep>,
}

/// Opens the folder that is asked for, or begins a backup in it, and remembers what is to be remembered. What was
/// wrong on the way is remembered as well where it is the daily one.
///
/// # Errors
/// If nothing may be written there.
pub fn prepare(context: &Context, order: &Order) -> Result<Ready, Failure> {
    prepare_for(&context.store, order)
}

fn prepare_for(store: &Store, order: &Order) -> Result<Ready, Failure> {
    let mut plan = plan(&store.snapshot()?)?;
    let folder = match (&order.folder, &plan.daily) {
        (Some(folder), _) => folder.clone(),
        (None, Some(daily)) => daily.folder.clone(),
        (None, None) => return Err(Failure::Invalid("no backup is set up: name a folder".to_owned())),
    };
    if order.hour.is_some_and(|hour| hour > 23) {
        return Err(Failure::Invalid("the hour must be one of 0 to 23".to_owned()));
    }
    let prepared = open(store, order, &plan, &folder);
    let (opened, keys, same_disk) = match prepared {
        Ok(prepared) => prepared,
        Err(failure) => {
            // Whoever named another folder is told, and the next one names it again.
            if plan.daily.as_ref().is_some_and(|daily| daily.folder == folder) {
                note_failure(store, &folder, &failure)?;
            }
            return Err(failure);
        }
    };
    plan.folders.retain(|known| known.folder != folder);
    plan.folders.insert(0, Known { folder: folder.clone(), keys: keys.clone(), same_disk });
    plan.folders.truncate(FOLDERS);
    plan.keep = order.keep.unwrap_or(plan.keep);
    if let Some(hour) = order.hour {
        plan.daily = Some(Daily { folder, hour });
    }
    note(store, PLAN, &plan)?;
    Ok(Ready { store: store.clone(), folder: opened, keys, keep: Some(plan.keep) })
}

/// Makes a backup of a store that nobody has open and whose index is damaged, with what can still be read of it. It
/// may hold less than those before: none of them is dropped. Nothing is written to the store.
///
/// # Errors
/// As [`prepare`] and [`Ready::run`]; if nothing of the store can be read.
pub fn past_damage(options: &Options, order: &Order, progress: &Progress) -> Result<Report, Failure> {
    let (store, rebuilt) = open_damaged(options)?;
    let made = prepare_for(&store, order).and_then(|ready| Ready { keep: None, ..ready }.run(progress));
    if let Err(error) = store.close() {
        tracing::debug!(%error, "what was only in memory is let go of");
    }
    let mut report = made?;
    report.damaged_index = lost(&rebuilt);
    Ok(report)
}

/// What a backup of a damaged index was made of.
fn lost(rebuilt: &Rebuilt) -> Vec<String> {
    let mut lines =
        vec![format!("the index: {} could be read", human::count(rebuilt.salvaged, "row", "rows"))];
    if rebuilt.lossless {
        lines.push("nothing that it says of mail is lost".to_owned());
        return lines;
    }
    if let Some(time) = rebuilt.catalogue_of {
        let rows = human::count(rebuilt.from_catalogue, "row comes", "rows come");
        lines.push(format!("{rows} from the catalogue of {}", human::day(time)));
    }
    lines.push(format!("what came after that may be missing of: {}", rebuilt.missing.join(", ")));
    lines
}

fn open(store: &Store, order: &Order, plan: &Plan, path: &Path) -> Result<(Folder, Keys, bool), Failure> {
    if !path.is_absolute() {
        return Err(Failure::Invalid("name the folder by its whole path".to_owned()));
    }
    let known = plan.folders.iter().find(|known| known.folder == path);
    let same_disk = order.same_disk || known.is_some_and(|known| known.same_disk);
    let (_, data) = store.place();
    if !same_disk && is_same_disk(path, &data) {
        return Err(Failure::Invalid(format!(
            "{} lies on the disk that the mail lies on, and would be lost with it: is the other disk mounted? \
             (`postern backup --same-disk` allows it)",
            path.display()
        )));
    }
    let disk = Arc::new(RealDisk);
    let folder = match Folder::open(disk.clone(), path) {
        Ok(folder) => folder,
        Err(Error::NoMarker(_)) if known.is_none() || order.anew => {
            let (folder, keys) =
                Folder::create(disk, path, store.id(), store.now(), order.passphrase.as_deref())?;
            return Ok((folder, keys, same_disk));
        }
        Err(error) => return Err(error.into()),
    };
    let keys = match known.filter(|known| known.keys.id == folder.marker.id) {
        Some(known) => known.keys.clone(),
        None if known.is_some() && !order.anew => return Err(Error::Foreign(path.to_owned()).into()),
        None => folder.keys_with(order.passphrase.as_deref())?,
    };
    Ok((folder, keys, same_disk))
}

/// Whether a folder, or what is there of the way to it, lies on the disk of another.
fn is_same_disk(path: &Path, data: &Path) -> bool {
    let device = |path: &Path| std::fs::metadata(path).map(|metadata| metadata.dev()).ok();
    let there = path.ancestors().find_map(device);
    there.is_some() && there == device(data)
}

impl Ready {
    /// Makes it, and remembers how it went.
    ///
    /// # Errors
    /// Of the folder and of the store.
    pub fn run(&self, progress: &Progress) -> Result<Report, Failure> {
        let began = self.store.now();
        tracing::info!(folder = %self.folder.path().display(), "a backup begins");
        match run::run(&self.store, &self.folder, &self.keys, self.keep, progress) {
            Ok(report) => {
                tracing::info!(
                    generation = report.generation,
                    copied = report.copied,
                    skipped = report.skipped_count,
                    "a backup was made"
                );
                let mut remembered = report.clone();
                remembered.skipped.truncate(REMEMBERED);
                remembered.damaged_packs.truncate(REMEMBERED);
                let ended = self.store.now();
                let last = Last {
                    folder: self.folder.path().to_owned(),
                    began,
                    ended,
                    worked: Some(ended),
                    failed: None,
                    report: Some(remembered),
                };
                note(&self.store, LAST, &last)?;
                Ok(report)
            }
            Err(error) => {
                let failure = Failure::from(error);
                note_failure(&self.store, self.folder.path(), &failure)?;
                Err(failure)
            }
        }
    }

    /// Where to.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }
}

fn note_failure(store: &Store, folder: &Path, failure: &Failure) -> Result<(), Failure> {
    tracing::error!(folder = %folder.display(), %failure, "no backup was made");
    let before = last(&store.snapshot()?)?.unwrap_or_default();
    let last = Last {
        folder: folder.to_owned(),
        began: store.now(),
        ended: store.now(),
        failed: Some(failure.to_string()),
        report: None,
        ..before
    };
    note(store, LAST, &last)
}

/// As [`save`]. A store that takes no changes is backed up all the same, and most of all.
fn note<T: Serialize>(store: &Store, name: &'static str, value: &T) -> Result<(), Failure> {
    match save(store, name, value) {
        Err(Failure::Store(error @ crate::store::Error::ReadOnly(_))) => {
            tracing::info!(%error, name, "what is known of backups cannot be remembered");
            Ok(())
        }
        other => other,
    }
}

/// Whether the daily one is due.
pub fn is_due(context: &Context, now: i64) -> Result<bool, Failure> {
    let snapshot = context.store.snapshot()?;
    let Some(daily) = plan(&snapshot)?.daily else { return Ok(false) };
    let last = last(&snapshot)?;
    let offset = i64::from(daily.hour) * 3_600;
    let slot = (now - offset).div_euclid(DAY) * DAY + offset;
    Ok(last.is_none_or(|last| {
        // A clock that went back says nothing.
        let attempted = last.began >= slot && last.began <= now;
        let is_to_be_tried_again = last.failed.is_some() && now - last.ended >= AGAIN;
        !attempted || is_to_be_tried_again
    }))
}

/// Brings mail back into this store: adds, and never replaces.
///
/// # Errors
/// If there is no such backup, account or mailbox; of reading and writing.
pub fn bring_back(context: &Context, wanted: &Wanted, progress: &Progress) -> Result<Merged, Failure> {
    let mailbox = wanted.mailbox.as_deref().map(MailboxName::new).transpose();
    let mailbox = mailbox.map_err(|error| Failure::Invalid(error.to_string()))?;
    let folder = Folder::open(Arc::new(RealDisk), &wanted.folder)?;
    let mut source = Source::open(folder, wanted.passphrase.as_deref())?;
    let manifest = generation(&source, wanted.generation)?;
    let (_, data) = context.store.place();
    let view = crate::store::Options::new(data.join("restore.view"));
    let wish = Wish { account: wanted.account.clone(), mailbox, since: wanted.since };
    Ok(merge::merge(&context.store, &mut source, &manifest, &view, &wish, progress)?)
}

/// A generation by its number, or the newest that is whole.
///
/// # Errors
/// If it is not there, or damaged.
pub fn generation(source: &Source, number: Option<u64>) -> Result<manifest::Manifest, Failure> {
    let Some(number) = number else { return Ok(source.newest()?.1) };
    let all = manifest::list(&source.folder)?;
    let found = all.iter().find(|generation| generation.number == number);
    let found = found.ok_or_else(|| Failure::Unknown { what: "generation", name: number.to_string() })?;
    Ok(manifest::Manifest::open(&source.folder, found)?)
}

fn plan(rows: &dyn Rows) -> Result<Plan, Failure> {
    Ok(read(rows, PLAN)?.unwrap_or_default())
}

fn last(rows: &dyn Rows) -> Result<Option<Last>, Failure> {
    read(rows, LAST)
}

fn read<T: serde::de::DeserializeOwned>(rows: &dyn Rows, name: &str) -> Result<Option<T>, Failure> {
    let Some(text) = settings::get(rows, name)? else { return Ok(None) };
    let value = serde_json::from_slice(&text);
    value.map(Some).map_err(|_| crate::store::Error::Damaged(format!("the setting {name}")).into())
}

fn save<T: Serialize>(store: &Store, name: &'static str, value: &T) -> Result<(), Failure> {
    let text = serde_json::to_vec(value).map_err(|error| Failure::Invalid(error.to_string()))?;
    Ok(store.write(move |tx| settings::put(tx, name, &text))?)
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: i64 = 1_800_000_000 / DAY * DAY;

    fn context(folder: &Path) -> Context {
        Context::in_folder(folder)
    }

    fn set(context: &Context, last: Option<Last>) {
        let daily = Some(Daily { folder: "/stick".into(), hour: 3 });
        save(&context.store, PLAN, &Plan { daily, ..Plan::default() }).unwrap();
        save(&context.store, LAST, &last.unwrap_or_default()).unwrap();
    }

    #[test]
    fn one_is_due_every_day_at_its_hour_and_again_after_a_failure() {
        let folder = tempfile::tempdir().unwrap();
        let context = context(folder.path());
        let due = |now: i64| is_due(&context, now).unwrap();
        assert!(!due(START), "none is set up");
        set(&context, None);
        assert!(due(START + 12 * 3600), "there was none yet");
        let at = |began: i64, failed: Option<&str>| {
            Some(Last { began, ended: began + 60, failed: failed.map(str::to_owned), ..Last::default() })
        };
        set(&context, at(START + 3 * 3600 + 30, None));
        assert!(!due(START + 23 * 3600) && !due(START + DAY + 3 * 3600 - 1));
        assert!(due(START + DAY + 3 * 3600));
        assert!(due(START + 5 * DAY), "the machine was off");
        set(&context, at(START + 3 * 3600 + 30, Some("no stick")));
        assert!(!due(START + 3 * 3600 + 600));
        assert!(due(START + 4 * 3600 + 600));
        // A clock that was wrong, far in the future, does not end it for years.
        set(&context, at(START + 1000 * DAY, None));
        assert!(due(START));
    }

    #[test]
    fn what_went_wrong_is_red_and_what_worked_is_not_forgotten() {
        let folder = tempfile::tempdir().unwrap();
        let context = context(folder.path());
        let stick = tempfile::tempdir().unwrap();
        let order = Order {
            folder: Some(stick.path().join("b")),
            same_disk: true,
            hour: Some(3),
            ..Order::default()
        };
        prepare(&context, &order).unwrap().run(&Progress::default()).unwrap();
        let worked = info(&context).unwrap().last.unwrap();
        assert!(worked.failed.is_none() && worked.worked.is_some());
        // A folder that was mistyped is nothing that the daily one did.
        let mistyped = Order { folder: Some("stick".into()), ..Order::default() };
        assert!(prepare(&context, &mistyped).is_err());
        assert_eq!(info(&context).unwrap().last.unwrap(), worked);
        std::fs::remove_dir_all(stick.path().join("b")).unwrap();
        let failure = prepare(&context, &Order::default()).err().unwrap().to_string();
        assert!(failure.contains("mounted"), "{failure}");
        assert!(!stick.path().join("b").exists(), "nothing is written");
        let last = info(&context).unwrap().last.unwrap();
        assert_eq!(last.worked, worked.worked);
        assert_eq!(last.failed.as_deref(), Some(&*failure));
        let status = crate::actions::status::read(&context).unwrap();
        let concerns = crate::actions::health::concerns(&status, crate::store::unix_now());
        let found = concerns.iter().find(|concern| concern.page == Some("/backups")).unwrap();
        assert_eq!(found.severity, crate::actions::health::Severity::Error);
        turn_off(&context).unwrap();
        assert!(info(&context).unwrap().daily.is_none());
    }
}
