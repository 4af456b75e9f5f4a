//! The store's upkeep: what the server does by itself in the background, and "reclaim now".

use serde::{Deserialize, Serialize};

use super::{Context, Failure};
use crate::store::{Error, Store, accounts, bin, imported};

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

/// Drops what nothing names, and empties volumes that are mostly holes.
///
/// # Errors
/// Of reading and writing.
pub fn reclaim(context: &Context) -> Result<Reclaimed, Failure> {
    let swept = context.store.sweep()?;
    let emptied = context.store.reclaim()?;
    Ok(Reclaimed { contents: swept.dropped + swept.orphans, bytes: swept.freed, volumes: emptied.volumes })
}

/// A day of running, in seconds.
const DAY: i64 = 86_400;

/// The upkeep: lets the bin's clock go on by the `elapsed` seconds since the last time, and does the daily part
/// whenever a day of running is full. A machine that is switched off every night comes to it as well.
///
/// # Errors
/// Of reading and writing.
pub fn upkeep(store: &Store, elapsed: u64) -> Result<bool, Error> {
    let is_due = store.write(move |tx| {
        let before = bin::clock(tx)?;
        bin::advance(tx, elapsed)?;
        Ok(before / DAY != bin::clock(tx)? / DAY)
    })?;
    if is_due {
        daily(store)?;
    }
    Ok(is_due)
}

/// Drops what has lain in the bin for its time, forgets files of removed sources, and sweeps.
fn daily(store: &Store) -> Result<(), Error> {
    let owners: Vec<_> = bin::accounts(&store.snapshot()?)?;
    for account in owners {
        while store.write(move |tx| {
            let now = bin::clock(tx)?;
            bin::expire(tx, account, now, bin::MAX_AGE)
        })? {}
    }
    while store.write(|tx| imported::sweep(tx))? {}
    store.sweep().map(drop)
}

/// Whether there is any account: a new server has none.
///
/// # Errors
/// Of reading.
pub fn is_new(store: &Store) -> Result<bool, Error> {
    Ok(accounts::list(&store.snapshot()?)?.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Options;

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
}
