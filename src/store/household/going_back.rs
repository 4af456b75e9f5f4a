//! Going back to the version before a migration: what came since is known by the UIDs, and the index of then takes its
//! place again, in a new generation, above all that clients may have seen.
//!
//! The volumes stay: nothing that the old index names has been dropped meanwhile (`engine/kept.rs`). What they hold
//! besides is not named and is not dropped for 14 days either. The journal is of the index that goes, and goes with it.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::model::{AccountId, MailboxId};
use crate::store::base::codec::pair;
use crate::store::base::env::{Disk, Held, Metered, Paths};
use crate::store::base::error::Error;
use crate::store::base::row::Row;
use crate::store::base::running;
use crate::store::base::schema::Table;
use crate::store::base::settings::{self, Counter};
use crate::store::content::emails::{EmailRow, NOWHERE};
use crate::store::engine::checkpoint::{META_CLEAN, changes};
use crate::store::engine::database::{Fact, File, Kind, META, META_SEQUENCE, View, stored_value};
use crate::store::engine::format::META_SCHEMA;
use crate::store::engine::kept::{AFTER, BACK, SEGMENT_AFTER, newest_before};
use crate::store::engine::lineage::{
    META_ANCESTORS, META_EPOCH, META_EPOCHS, META_GENERATION, decode_numbers, encode_numbers, volume_key,
};
use crate::store::engine::loss::{HELD_FOR, HOLD_UNTIL, HOLD_WHY, RECOVERED, leap_rows};
use crate::store::engine::migrate::META_MIGRATED;
use crate::store::engine::options::Options;
use crate::store::engine::store::Store;
use crate::store::engine::volumes;
use crate::store::household::accounts;
use crate::store::mailbox::mailbox_row::{self, Mailbox};

/// Bytes that are copied at a time.
const CHUNK: usize = 1 << 20;
/// Memory for an index that is only looked at.
const CACHE: usize = 4 << 20;
/// The words of the hold.
const WHY: &str = "an older version has taken over";

/// The store as it was before the last migration, as far as somebody who goes back needs it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Before {
    /// The format of then.
    pub format: u32,
    /// The first version that knew the format of now: older ones must go back. None if that was not noted.
    pub migrated_by: Option<String>,
    /// UIDNEXT of each mailbox of then.
    uid_next: BTreeMap<MailboxId, u32>,
    /// The accounts of then, by what they were called.
    accounts: BTreeMap<AccountId, String>,
}

impl Before {
    /// What an account was called then; none if it came since.
    #[must_use]
    pub fn account(&self, account: AccountId) -> Option<&str> {
        self.accounts.get(&account).map(String::as_str)
    }

    /// The first UID in a mailbox that came since; none if the mailbox itself did.
    #[must_use]
    pub fn first_since(&self, mailbox: MailboxId) -> Option<u32> {
        self.uid_next.get(&mailbox).copied()
    }
}

impl Store {
    /// What there is to go back to; none if there was no migration, or it is longer ago than 14 days.
    ///
    /// # Errors
    /// Of reading.
    pub fn before_migration(&self) -> Result<Option<Before>, Error> {
        let shared = &self.inner.shared;
        let number = shared.options.format.number;
        let Some(format) = newest_before(&shared.disk, &shared.paths, number)? else { return Ok(None) };
        let old = look(&shared.disk, &shared.paths.index_before(format))?;
        let view = old.view()?;
        let (mut uid_next, mut names) = (BTreeMap::new(), BTreeMap::new());
        for account in accounts::list(&view)? {
            names.insert(account.id, account.name);
            for mailbox in mailbox_row::list(&view, account.id)? {
                uid_next.insert(mailbox.id, mailbox.uid_next);
            }
        }
        drop(view);
        old.give_up();
        let by = shared.index().view()?.get(META, META_MIGRATED)?;
        let migrated_by = by.and_then(|by| String::from_utf8(by).ok());
        Ok(Some(Before { format, migrated_by, uid_next, accounts: names }))
    }
}

fn look(disk: &Metered, path: &Path) -> Result<Arc<File>, Error> {
    Ok(Arc::new(File::open(&disk.glance(), path, Kind::Index, CACHE, false)?))
}

/// An index that was got ready to take its place again.
fn ready(paths: &Paths) -> PathBuf {
    paths.data.join(BACK)
}

fn renaming(error: io::Error) -> Error {
    Error::io("putting the older index back", error)
}

/// Puts the index of before the migration back into the place of a store's that was closed in order. Returns its format
/// and how the index that goes is called from now on. Cut short, it goes on when it is called again.
///
/// # Errors
/// [`Error::Locked`] if somebody has the store open; [`Error::Refused`] if there is nothing to go back to, or the store
/// was not closed in order; of the disk.
pub fn go_back(options: &Options) -> Result<(u32, String), Error> {
    let disk = Metered::new(Arc::clone(&options.disk));
    let paths = Paths { data: options.data.clone() };
    let _held = lock(&disk, &paths)?;
    let current = options.format.number;
    let after = format!("{AFTER}{current}");
    let names = disk.list(&paths.data).map_err(renaming)?;
    let has = |name: &str| names.iter().any(|found| found == name);
    let format = newest_before(&disk, &paths, current)?
        .ok_or(Error::Refused("there is no index of an older format to go back to"))?;
    if !has("index.redb") {
        // It was cut short between the two names.
        if !has(BACK) {
            return Err(Error::Refused("there is no index in the data folder"));
        }
        return finish(&disk, &paths, format).map(|()| (format, after));
    }
    prepare(&disk, &paths, options, format).inspect_err(|_| {
        // It would be made anew anyway; what it takes of the disk is better given back at once.
        let _ = disk.unlink(&ready(&paths));
    })?;
    put_journal_away(&disk, &paths, current)?;
    disk.rename(&paths.index(), &paths.data.join(&after)).map_err(renaming)?;
    finish(&disk, &paths, format)?;
    Ok((format, after))
}

/// Whether there is a way back, as far as the names in the data folder tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// No index of an older format is kept.
    None,
    /// One is.
    Kept,
    /// [`go_back`] was cut short between the two names: nothing opens the store but a further call.
    Begun,
}

/// Looks for a way back from this format.
///
/// # Errors
/// Of the disk.
pub fn way(options: &Options) -> Result<Way, Error> {
    let (disk, data) = (&*options.disk, &options.data);
    let names = disk.list(data).map_err(|error| Error::io(format!("listing {}", data.display()), error))?;
    let has = |name: &str| names.iter().any(|found| found == name);
    let before = newest_before(disk, &Paths { data: data.clone() }, options.format.number)?;
    Ok(match before {
        Some(_) if has(BACK) && !has("index.redb") => Way::Begun,
        Some(_) => Way::Kept,
        None => Way::None,
    })
}

fn lock(disk: &Metered, paths: &Paths) -> Result<Held, Error> {
    disk.lock(&paths.lock()).map_err(|error| match error.kind() {
        io::ErrorKind::WouldBlock => Error::Locked(error.to_string()),
        _ => Error::io("locking the data folder", error),
    })
}

fn finish(disk: &Metered, paths: &Paths, format: u32) -> Result<(), Error> {
    disk.rename(&ready(paths), &paths.index()).map_err(renaming)?;
    disk.sync_dir(&paths.data).map_err(renaming)?;
    disk.unlink(&paths.index_before(format)).map_err(renaming)?;
    disk.sync_dir(&paths.data).map_err(renaming)
}

/// Makes a copy of the old index that goes on from what the newer one has reached.
fn prepare(disk: &Metered, paths: &Paths, options: &Options, format: u32) -> Result<(), Error> {
    let now = look(disk, &paths.index())?;
    let view = now.view()?;
    let schema = view.get(META, META_SCHEMA)?.and_then(|value| value.try_into().ok()).map(u32::from_le_bytes);
    if schema != Some(options.format.number) {
        return Err(Error::Refused("the store is of another format than this program's already"));
    }
    if view.get(META, META_CLEAN)?.as_deref() != Some(&[1]) {
        return Err(Error::Refused("the store was not closed in order"));
    }
    let path = ready(paths);
    let _ = disk.unlink(&path);
    copy(disk, &paths.index_before(format), &path)?;
    let old = Arc::new(File::open(disk, &path, Kind::Index, CACHE, false)?);
    let facts = facts(&old.view()?, &view, options)?;
    let sequence =
        view.get(META, META_SEQUENCE)?.and_then(|value| value.try_into().ok()).map_or(0, u64::from_le_bytes);
    old.apply(changes(&facts).into_iter(), sequence, true)?;
    old.give_up();
    now.give_up();
    disk.sync_dir(&paths.data).map_err(renaming)
}

fn copy(disk: &Metered, from: &Path, to: &Path) -> Result<(), Error> {
    let copying = |error| Error::io(format!("copying {}", from.display()), error);
    let (source, target) = (disk.open_read(from).map_err(copying)?, disk.open(to, true).map_err(copying)?);
    let length = source.len().map_err(copying)?;
    let (mut at, mut buffer) = (0, vec![0; CHUNK]);
    while at < length {
        let count = usize::try_from(length - at).unwrap_or(CHUNK).min(CHUNK);
        let Some(part) = buffer.get_mut(..count) else { break };
        source.read_at(at, part).map_err(copying)?;
        target.write_at(at, part).map_err(copying)?;
        at += count as u64;
    }
    target.sync().map_err(copying)
}

/// What the old index must know of the time since: how far volumes and counters have come, and that clients have seen
/// more than it knows.
fn facts(old: &View, now: &View, options: &Options) -> Result<Vec<Fact>, Error> {
    let mut facts: Vec<Fact> = Vec::new();
    let mut meta = |key: &[u8], value: Vec<u8>| facts.push((META, key.to_vec(), value));
    for key in [META_EPOCH, META_EPOCHS] {
        if let Some(value) = now.get(META, key)? {
            meta(key, value);
        }
    }
    for (volume, _) in volumes::list(now)? {
        let key = volume_key(volume);
        if let Some(value) = now.get(META, &key)? {
            meta(&key, value);
        }
    }
    let generation: Vec<u8> = now.get(META, META_GENERATION)?.unwrap_or_default();
    let mut ancestors =
        now.get(META, META_ANCESTORS)?.map(|value| decode_numbers(&value)).unwrap_or_default();
    ancestors.extend(decode_numbers(&generation));
    meta(META_GENERATION, options.random_number()?.to_le_bytes().to_vec());
    meta(META_ANCESTORS, encode_numbers(&ancestors));
    meta(META_CLEAN, vec![1]);
    // What was given since may be known to clients, and stands in what the volumes hold besides: no UIDVALIDITY is
    // given twice, and no account gets the number of another.
    let ids = [Counter::Account, Counter::Device, Counter::Mailbox, Counter::Source].map(Counter::name);
    let numbers = [settings::EMAIL_ID, settings::VOLUME, settings::UID_VALIDITY];
    for name in numbers.into_iter().chain(ids) {
        let reached = settings::number(now, name)?.max(settings::number(old, name)?);
        facts.push(setting(name, settings::number_value(reached)));
    }
    facts.extend(leap_rows(settings::last_modseq(now)?.0).0);
    let until = u64::try_from(running::clock(old)?).unwrap_or(0).saturating_add(HELD_FOR);
    facts.push(setting(HOLD_UNTIL, settings::number_value(until)));
    facts.push(setting(HOLD_WHY, [&[1], WHY.as_bytes()].concat()));
    // What came since was exported, and is brought in again from there, into its mailboxes.
    facts.push(setting(RECOVERED, settings::number_value(until)));
    raise_uids(old, now, &mut facts)?;
    facts.extend(replaced(old, now)?);
    Ok(facts)
}

/// Contents that were damaged, and lie elsewhere since; with the volumes that the old index does not name yet. Rows that
/// are damaged themselves, or of a version that an older program may not know, stay as they are.
fn replaced(old: &View, now: &View) -> Result<Vec<Fact>, Error> {
    let (mut facts, mut volumes) = (Vec::new(), BTreeSet::new());
    let mut rows = old.every(Table::Emails as u8)?;
    while let Some((key, stored)) = rows.step_stored()? {
        let Some(then) = stored_value(Table::Emails as u8, &key, &stored) else { continue };
        let newer = match now.get(Table::Emails as u8, &key) {
            Ok(Some(newer)) if newer != then && newer.first() == then.first() => newer,
            Ok(_) | Err(Error::Damaged(_)) => continue,
            Err(error) => return Err(error),
        };
        let Ok(row) = EmailRow::from_bytes((), &newer) else { continue };
        if row.content_volume != NOWHERE {
            volumes.extend([row.content_volume, row.digest_volume]);
            facts.push((Table::Emails as u8, key, newer));
        }
    }
    for volume in volumes {
        let key = volume.to_be_bytes();
        if let (None, Some(row)) =
            (old.get(Table::Volumes as u8, &key)?, now.get(Table::Volumes as u8, &key)?)
        {
            facts.push((Table::Volumes as u8, key.to_vec(), row));
        }
    }
    Ok(facts)
}

fn setting(name: &str, value: Vec<u8>) -> Fact {
    (Table::Settings as u8, name.as_bytes().to_vec(), value)
}

/// No UID that was given since is given again, however many there were; an older program reads such rows, for they are
/// only written in the version that it has them in already.
fn raise_uids(old: &View, now: &View, facts: &mut Vec<Fact>) -> Result<(), Error> {
    for (account, id) in mailbox_row::keys(old)? {
        let (account, id) = (AccountId(account.0), MailboxId(id.0));
        let Some(mut mailbox) = mailbox_row::get(old, account, id)? else { continue };
        let Some(given) = mailbox_row::get(now, account, id)?.map(|mailbox| mailbox.uid_next) else {
            continue;
        };
        let key = pair(account.0, id.0);
        let stored = old.get(Mailbox::TABLE as u8, &key)?.unwrap_or_default();
        mailbox.uid_next = mailbox.uid_next.max(given);
        let raised = mailbox.to_bytes();
        if stored.first() == raised.first() && stored != raised {
            facts.push((Mailbox::TABLE as u8, key.to_vec(), raised));
        }
    }
    Ok(())
}

/// The older program begins a journal of its own, in its own format.
fn put_journal_away(disk: &Metered, paths: &Paths, format: u32) -> Result<(), Error> {
    let folder = paths.journal();
    for name in disk.list(&folder).map_err(renaming)? {
        if let Some(number) = name.strip_suffix(".journal") {
            let aside = folder.join(format!("{number}.{SEGMENT_AFTER}{format}"));
            disk.rename(&folder.join(&name), &aside).map_err(renaming)?;
        }
    }
    disk.sync_dir(&folder).map_err(renaming)
}
