//! Going back to an older version, for whoever is unhappy with this one: what came since is written out, and the store
//! is given to the older program as it left it.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::Failure;
use super::export::{Stop, Summary, plan_since};
use crate::export::{self, Format};
use crate::store::env::{Disk, RealDisk};
use crate::store::going_back::Before;
use crate::store::{RESERVE, Store, accounts};

/// What is written out of an account.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Written {
    /// Whose it is.
    pub account: String,
    /// Whether the older version knows the account.
    pub is_known: bool,
    /// A Maildir++ with what came since.
    pub folder: PathBuf,
    /// What is in it.
    pub summary: Summary,
}

/// Writes what came since the store left the older format into a folder for each account. Nothing is done to the store.
///
/// # Errors
/// If there is not enough room, if a folder holds something, or a message cannot be read: then nobody goes back without
/// being told.
pub fn write_since(store: &Store, before: &Before, into: &Path) -> Result<Vec<Written>, Failure> {
    let accounts = accounts::list(&store.snapshot()?)?;
    let mut plans = Vec::new();
    let mut needed = RESERVE;
    for account in accounts {
        let plan = plan_since(store, account.id, before)?;
        if plan.is_empty() {
            continue;
        }
        needed = needed.saturating_add(plan.weigh()?.1);
        plans.push((account, plan));
    }
    check_room(into, needed)?;
    let mut written = Vec::new();
    for (account, plan) in plans {
        // A name may be one that no folder can have.
        let folder = match account.name.as_str() {
            "." | ".." => into.join(format!("account-{}", account.id)),
            name => into.join(name.replace('/', "_")),
        };
        let failed = |error: std::io::Error| Failure::Invalid(format!("{}: {error}", folder.display()));
        let mut outlet = export::open(Format::Maildir, &folder).map_err(failed)?;
        let summary = plan.run(&mut *outlet).map_err(|stop| match stop {
            Stop::Store(error) => Failure::Store(error),
            Stop::Outlet(error) => failed(error),
        })?;
        let (known, is_known) = match before.account(account.id) {
            Some(known) => (known.to_owned(), true),
            None => (account.name, false),
        };
        written.push(Written { account: known, is_known, folder, summary });
    }
    Ok(written)
}

fn check_room(into: &Path, needed: u64) -> Result<(), Failure> {
    let absolute = std::path::absolute(into)
        .map_err(|error| Failure::Invalid(format!("{}: {error}", into.display())))?;
    let free = absolute.ancestors().find_map(|folder| RealDisk.free_space(folder).ok()).unwrap_or(u64::MAX);
    if free >= needed {
        return Ok(());
    }
    Err(Failure::Invalid(format!(
        "writing out what came since needs {} MB in {}, and {} MB are free: name a folder on another disk",
        needed.div_ceil(1_000_000),
        into.display(),
        free / 1_000_000
    )))
}
