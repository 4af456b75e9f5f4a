//! What a person can do, one file a noun. The command line and the control socket call the same functions;
//! each takes a [`Context`] and gives a plain struct that can be shown or sent.

pub mod account;
pub mod administrator;
pub(crate) mod backup;
pub(crate) mod backup_job;
pub(crate) mod certificate;
pub(crate) mod check;
pub(crate) mod damage;
pub(crate) mod deliver;
pub mod device;
pub(crate) mod downgrade;
pub mod export;
pub(crate) mod forecast;
pub(crate) mod generation;
pub(crate) mod health;
pub(crate) mod human;
pub(crate) mod import;
pub(crate) mod import_job;
pub(crate) mod machine;
pub(crate) mod mailbox;
pub(crate) mod move_data;
pub(crate) mod setup;
pub(crate) mod source;
pub(crate) mod status;
pub(crate) mod storage;
pub(crate) mod trouble;
pub(crate) mod undelete;

#[cfg(test)]
mod round_trip_test;

use std::sync::Arc;

use crate::credential::{Hasher, Login};
use crate::import::access::check::AccessProblem;
use crate::import::watch::watcher::Watcher;
use crate::model::{AccountId, AccountNameError, DeviceNameError};
use crate::store::{self, Store};
use crate::tls::Certificates;

/// What actions work on.
#[derive(Clone)]
pub struct Context {
    /// The store.
    pub store: Store,
    /// Hashes passwords.
    pub hasher: Arc<Hasher>,
    /// The certificates.
    pub certificates: Arc<Certificates>,
    /// The server's parts, where one runs.
    pub running: Option<Running>,
}

#[cfg(test)]
impl Context {
    /// On a store in this folder, made where there is none, without a server.
    fn in_folder(folder: &std::path::Path) -> Context {
        let store = Store::open(store::Options::new(folder)).unwrap();
        let certificates = Arc::new(Certificates::open(&store).unwrap());
        Context { store, hasher: Arc::new(Hasher::new()), certificates, running: None }
    }
}

/// See [`Running::dismiss`].
pub type Dismiss = Arc<dyn Fn(AccountId, &dyn Fn(Login) -> bool, &'static str) -> usize + Send + Sync>;

/// The parts of a running server that actions speak to.
#[derive(Clone)]
pub struct Running {
    /// Watches the sources.
    pub watcher: Arc<Watcher>,
    /// What is known of checks.
    pub checks: Arc<check::Checks>,
    /// How many sessions are logged in.
    pub sessions: Arc<dyn Fn() -> u32 + Send + Sync>,
    /// Ends sessions of an account, with the reason: those for whose login the function says so. Gives how many.
    pub dismiss: Dismiss,
    /// Backups that it makes.
    pub backups: backup_job::Backups,
    /// Where it listens, as `imaps=[::]:993`.
    pub listeners: Vec<String>,
    /// When it started.
    pub started: std::time::Instant,
}

/// Why an action was not done, in words for the person who asked for it.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Failure {
    /// What was named is not there.
    #[error("there is no {what} {name:?}")]
    Unknown {
        /// `account`, `device`, `source`.
        what: &'static str,
        /// As it was named.
        name: String,
    },
    /// What was given cannot be.
    #[error("{0}")]
    Invalid(String),
    /// A source's folder may not be used.
    #[error(transparent)]
    Access(#[from] AccessProblem),
    /// The store.
    #[error(transparent)]
    Store(#[from] store::Error),
}

impl From<AccountNameError> for Failure {
    fn from(error: AccountNameError) -> Self {
        Failure::Invalid(error.to_string())
    }
}

impl From<DeviceNameError> for Failure {
    fn from(error: DeviceNameError) -> Self {
        Failure::Invalid(error.to_string())
    }
}

impl Failure {
    /// Lines for a root shell that help, where there are any.
    #[must_use]
    pub fn advice(&self) -> &[String] {
        match self {
            Failure::Access(problem) => &problem.advice,
            _ => &[],
        }
    }
}

impl Context {
    /// Ends the sessions of an account that `whose` names, where a server runs.
    fn dismiss(&self, account: AccountId, whose: &dyn Fn(Login) -> bool, why: &'static str) {
        let Some(running) = &self.running else { return };
        let ended = (running.dismiss)(account, whose, why);
        if ended > 0 {
            tracing::info!(ended, why, "sessions were ended");
        }
    }
}

/// Which rows the sweep must keep the content of.
///
/// # Errors
/// Of reading.
pub fn live_emails(
    rows: &dyn store::Rows,
    visit: &mut dyn FnMut(crate::model::ContentId),
) -> Result<(), store::Error> {
    store::messages::emails(rows, visit)?;
    store::bin::emails(rows, visit)
}
