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

/// The daily upkeep: lets the bin's clock go on by what this run has lasted since the last time, drops what
/// has lain in it for its time, forgets files of removed sources, and sweeps.
///
/// # Errors
/// Of reading and writing.
pub fn daily(store: &Store, elapsed: u64) -> Result<(), Error> {
    store.write(move |tx| bin::advance(tx, elapsed))?;
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
