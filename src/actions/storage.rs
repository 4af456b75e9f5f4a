//! The store's upkeep: what the server does by itself in the background, and "reclaim now".

use serde::{Deserialize, Serialize};

use super::{Context, Failure};
use crate::store::{Error, Store, bin, imported};

/// What reclaiming gave back.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reclaimed {
    /// Contents that nothing named any more.
    pub contents: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Volumes that were emptied and removed.
    pub volumes: u64,
}

/// The bin may hold one part in so many of the disk: on a full one that is what mail needs most.
const BIN_SHARE: u64 = 10;
/// Where less than this is free the bin holds nothing but what is younger than [`bin::SAFE_AGE`], in bytes: whoever
/// deletes mail to make room must get it. Well above the store's reserve, below which no mail is taken any more.
const SCARCE: u64 = 512 << 20;

/// How much the bin may hold.
const fn bin_limit(free: u64, disk: u64) -> u64 {
    if free < SCARCE { 0 } else { disk / BIN_SHARE }
}

fn trim_bin(store: &Store) -> Result<(), Error> {
    fit_bin(store, bin_limit(store.statistics().free, store.disk_size()))
}

/// Cuts the bin down to its share, drops what nothing names, and empties volumes that are mostly holes.
///
/// # Errors
/// Of reading and writing.
pub fn reclaim(context: &Context) -> Result<Reclaimed, Failure> {
    trim_bin(&context.store)?;
    let swept = context.store.sweep()?;
    let emptied = context.store.reclaim()?;
    Ok(Reclaimed { contents: swept.dropped + swept.orphans, bytes: swept.freed, volumes: emptied.volumes })
}

/// Gives up all deleted mail, whoever's it was, though its time has not come, and does as [`reclaim`]. Only when
/// somebody asks for it: by itself the store never drops what was deleted less than 48 hours ago.
///
/// # Errors
/// Of reading and writing.
pub fn empty_bin(context: &Context) -> Result<Reclaimed, Failure> {
    let store = &context.store;
    let owners = bin::accounts(&store.snapshot()?)?;
    tracing::warn!("all deleted mail is dropped for good, as was asked for");
    store.give_up_way_back()?;
    for account in owners {
        while store.write(move |tx| bin::expire(tx, account, i64::MAX, 0))? {}
    }
    reclaim(context)
}

/// A day of running, in seconds.
const DAY: i64 = 86_400;

/// The upkeep: lets the clock of what ages go on by the `elapsed` seconds since the last time, and does the daily part
/// whenever a day of running is full, and each time while the disk is nearly full. A machine that is switched off
/// every night comes to it as well.
///
/// # Errors
/// Of reading and writing.
pub fn upkeep(store: &Store, elapsed: u64) -> Result<bool, Error> {
    let is_due = store.write(move |tx| {
        let before = bin::clock(tx)?;
        bin::advance(tx, elapsed)?;
        Ok(before / DAY != bin::clock(tx)? / DAY)
    })?;
    let is_scarce = store.statistics().free < SCARCE;
    if is_scarce {
        // New mail goes before the way back to an older version.
        store.give_up_way_back()?;
    }
    if is_due || is_scarce {
        daily(store)?;
    }
    if is_scarce {
        // Mail fills what is free in the volumes; the rest of the store has use for it, too.
        let done = store.reclaim()?;
        tracing::debug!(?done, "the disk is nearly full: what volumes do not need was given back");
    }
    Ok(is_due)
}

/// Drops what has lain in the bin for its time or is more than its share of the disk, forgets files of removed sources, and sweeps.
fn daily(store: &Store) -> Result<(), Error> {
    let owners: Vec<_> = bin::accounts(&store.snapshot()?)?;
    for account in owners {
        while store.write(move |tx| {
            let keep = i64::try_from(bin::keep_days(tx)?).unwrap_or(i64::MAX).saturating_mul(DAY);
            let now = bin::clock(tx)?;
            bin::expire(tx, account, now, keep)
        })? {}
    }
    trim_bin(store)?;
    while store.write(|tx| imported::sweep(tx))? {}
    store.sweep().map(drop)
}

/// Drops the oldest of the bin, whoever's it is, until it holds no more than `limit` bytes, but nothing that is
/// younger than [`bin::SAFE_AGE`]; and says so, for it was promised for longer.
fn fit_bin(store: &Store, limit: u64) -> Result<(), Error> {
    let snapshot = store.snapshot()?;
    let (Some(surplus), owners) = (bin::surplus(&snapshot, limit)?, bin::accounts(&snapshot)?) else {
        return Ok(());
    };
    drop(snapshot);
    tracing::warn!(
        limit,
        messages = surplus.messages,
        bytes = surplus.bytes,
        "deleted mail is dropped before its time, the oldest first: the bin holds more than the disk has room for"
    );
    store.write(move |tx| bin::note_early(tx, &surplus))?;
    for account in owners {
        while store.write(move |tx| bin::expire(tx, account, surplus.upto, 0))? {}
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{AccountId, DateTime, FlagSet, MailboxName};
    use crate::store::messages::{self, NewMessage};
    use crate::store::{Options, accounts, mailboxes};

    #[test]
    fn days_of_running_add_up_over_restarts() {
        let folder = tempfile::tempdir().unwrap();
        let live = Some(super::super::live_emails as crate::store::LiveEmails);
        let open = || Store::open(Options { live_emails: live, ..Options::new(folder.path()) }).unwrap();
        let store = open();
        let done: Vec<bool> = (0..12).map(|_| upkeep(&store, 3600).unwrap()).collect();
        assert!(done.iter().all(|done| !done));
        store.close().unwrap();
        let store = open();
        let done: Vec<bool> = (0..13).map(|_| upkeep(&store, 3600).unwrap()).collect();
        assert_eq!(done.iter().position(|done| *done), Some(11), "when 24 hours are full");
    }

    #[test]
    fn a_disk_that_is_nearly_full_keeps_no_bin() {
        assert_eq!(bin_limit(SCARCE, 32 << 30), (32 << 30) / 10);
        assert_eq!(bin_limit(SCARCE - 1, 32 << 30), 0);
    }

    /// A message of 1,000 bytes that is filed, and expunged an hour of running after the last.
    fn expunge_one(store: &Store, account: AccountId, n: u8) {
        let mut incoming = store.incoming(2_000);
        incoming.write(&[b'a' + n; 1_000]).unwrap();
        let prepared = incoming.finish().unwrap();
        store
            .write(move |tx| {
                bin::advance(tx, 3_600)?;
                let inbox = mailboxes::by_name(tx, account, &MailboxName::inbox())?.unwrap();
                let email = prepared.file(tx, account, &inbox.name)?;
                let new = NewMessage {
                    email,
                    size: prepared.size(),
                    internal_date: DateTime::utc(0),
                    flags: FlagSet::default(),
                };
                let added = messages::append(tx, account, inbox.id, &[new])?;
                messages::expunge(tx, account, inbox.id, &added.uids, false).map(drop)
            })
            .unwrap();
    }

    #[test]
    fn the_bin_keeps_the_newest_of_its_share() {
        let folder = tempfile::tempdir().unwrap();
        let live = Some(super::super::live_emails as crate::store::LiveEmails);
        let store = Store::open(Options { live_emails: live, ..Options::new(folder.path()) }).unwrap();
        assert!(store.disk_size() >= store.statistics().free);
        let anna = store.write(|tx| accounts::create(tx, "anna", None)).unwrap();
        let ben = store.write(|tx| accounts::create(tx, "ben", None)).unwrap();
        for n in 0..10 {
            expunge_one(&store, if n % 2 == 0 { anna } else { ben }, n);
        }
        let later = |hours: u64| store.write(move |tx| bin::advance(tx, hours * 3_600)).unwrap();
        let held = |account| bin::size(&store.snapshot().unwrap(), account).unwrap();
        let early = || bin::early(&store.snapshot().unwrap()).unwrap();
        fit_bin(&store, 0).unwrap();
        later(24);
        later(12);
        fit_bin(&store, 0).unwrap();
        assert_eq!(
            (held(anna), held(ben), early()),
            (5_000, 5_000, None),
            "nothing younger than 48 hours goes"
        );
        later(24);
        fit_bin(&store, 10_000).unwrap();
        assert_eq!((held(anna), held(ben), early()), (5_000, 5_000, None), "what fits stays");
        // Six of the ten go, the oldest of both.
        fit_bin(&store, 4_999).unwrap();
        assert_eq!((held(anna), held(ben)), (2_000, 2_000));
        assert_eq!(store.sweep().unwrap().dropped, 6, "and their content");
        fit_bin(&store, 0).unwrap();
        assert_eq!((held(anna), held(ben)), (0, 0));
        let early = early().unwrap();
        assert_eq!((early.messages, early.bytes), (10, 10_000), "and it is written down");
    }

    #[test]
    fn so_long_as_is_set() {
        let folder = tempfile::tempdir().unwrap();
        let live = Some(super::super::live_emails as crate::store::LiveEmails);
        let store = Store::open(Options { live_emails: live, ..Options::new(folder.path()) }).unwrap();
        let anna = store.write(|tx| accounts::create(tx, "anna", None)).unwrap();
        for wrong in [0, 1, 3_651] {
            assert!(store.write(move |tx| bin::set_keep_days(tx, wrong)).is_err());
        }
        store.write(|tx| bin::set_keep_days(tx, 3)).unwrap();
        expunge_one(&store, anna, 1);
        let held = || bin::size(&store.snapshot().unwrap(), anna).unwrap();
        for day in 1..=3 {
            assert_eq!(held(), 1_000, "before day {day} was over");
            upkeep(&store, 86_400).unwrap();
        }
        assert_eq!(held(), 0);
        assert_eq!(bin::early(&store.snapshot().unwrap()).unwrap(), None, "its time was over");
    }
}
