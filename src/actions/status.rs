//! What there is to know at a glance.

use serde::{Deserialize, Serialize};

use super::damage::{self, Problem};
use super::{Context, Failure, account, backup, certificate, device, setup, source, undelete};
use crate::store::Error;

/// The state of everything.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Info {
    /// The version.
    pub version: String,
    /// The server, where one runs.
    pub server: Option<Server>,
    /// The accounts.
    pub accounts: Vec<account::Info>,
    /// The sources.
    pub sources: Vec<source::Info>,
    /// Devices that were revoked and tried to log in since.
    pub revoked: Vec<device::Revoked>,
    /// How far the set-up is.
    pub setup: setup::Progress,
    /// The certificate.
    pub certificate: certificate::Info,
    /// For how long deleted mail is kept.
    pub deleted: undelete::Keeping,
    /// Backups.
    #[serde(default)]
    pub backup: backup::Info,
    /// The store's figures.
    pub storage: Storage,
    /// What is known to be wrong with the store.
    #[serde(default)]
    pub problems: Vec<Problem>,
}

impl Info {
    /// Whether there is any password with which a mail program can log in.
    #[must_use]
    pub fn can_log_in(&self) -> bool {
        self.accounts.iter().any(|account| account.devices > 0 || account.password)
    }
}

/// A running server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Server {
    /// Its process.
    pub pid: u32,
    /// For how many seconds it has been running.
    pub uptime: u64,
    /// Where it listens.
    pub listeners: Vec<String>,
    /// Sessions that are logged in.
    pub sessions: u32,
}

/// The store's figures.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Storage {
    /// Bytes of stored content, compressed.
    pub content: u64,
    /// Bytes of content that nothing names any more; their place is used again.
    pub dead: u64,
    /// Bytes of the journal's segments in use.
    pub journal: u64,
    /// Volumes.
    pub volumes: u64,
    /// Bytes free on the disk.
    pub free: u64,
    /// No new mail is taken, because there is no room for it.
    #[serde(default)]
    pub full: bool,
    /// Bytes written since the start.
    pub written: u64,
    /// Syncs since the start.
    pub syncs: u64,
    /// Batches committed since the start, and the jobs in them.
    pub batches: u64,
    /// The jobs in them.
    pub jobs: u64,
    /// Checkpoints since the start.
    pub checkpoints: u64,
    /// Why changes are not accepted, if so.
    pub read_only: Option<String>,
    /// The journal was damaged at the start; what could not be read is kept aside.
    pub journal_damaged: bool,
}

/// Reads it.
pub fn read(context: &Context) -> Result<Info, Failure> {
    let figures = context.store.statistics();
    let (accounts, sources) = (account::list(context)?, source::list(context)?);
    Ok(Info {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        server: context.running.as_ref().map(|running| Server {
            pid: std::process::id(),
            uptime: running.started.elapsed().as_secs(),
            listeners: running.listeners.clone(),
            sessions: (running.sessions)(),
        }),
        setup: setup::judge(context, &accounts, &sources)?,
        accounts,
        sources,
        revoked: device::trying(context)?,
        certificate: certificate::info(context)?,
        deleted: undelete::keeping(context)?,
        backup: backup::info(context)?,
        storage: Storage {
            content: figures.live,
            dead: figures.dead,
            journal: figures.journal_used,
            volumes: figures.volumes,
            free: figures.free,
            full: matches!(context.store.room_for_mail(), Err(Error::NoSpace { .. })),
            written: figures.written,
            syncs: figures.syncs,
            batches: figures.batches,
            jobs: figures.jobs,
            checkpoints: figures.checkpoints,
            read_only: figures.read_only,
            journal_damaged: figures.journal_damaged,
        },
        problems: damage::problems(&context.store.condition()),
    })
}
