//! The store: redb under a journal of redo rows. Synchronous; knows no IMAP.
//!
//! Its rooms, each of which uses only those before it:
//!
//! - `base`: the world it is handed (disk, clock, chance), tables, rows and their bytes.
//! - `engine`: [`Store::write`] hands a job to the writer thread (`writer`), which runs all that wait over an
//!   overlay (`overlay`), appends their rows to the journal (`journal`) with one sync, applies them to the redb
//!   files (`database`) without one, and tells the listeners. A checkpoint (`checkpoint`) makes the files
//!   durable and frees the journal. `start` replays what a crash left; `migrate` brings a store of an older format
//!   to this one; `budget` keeps volumes open.
//! - `content`: messages go in by `incoming`, are laid out by `contents`, read through `snapshot`, dropped by
//!   `sweep`.
//! - `mailbox`: mailboxes, the records of their messages, what changed, and the bin.
//! - `household`: accounts, devices, sources, certificates; what was deleted put back.
//! - `check`: whether all of that agrees, and how it is made to again.
//!
//! Every byte of the files is told in FORMAT.md.

mod base;
pub mod check;
mod content;
mod engine;
mod household;
mod mailbox;
mod opening;
#[doc(hidden)]
pub mod read_back;
#[doc(hidden)]
pub mod trials;

#[cfg(test)]
use base::memory;
#[cfg(test)]
use engine::database;
#[cfg(test)]
use mailbox::blocks;
#[cfg(test)]
mod cases_test;
#[cfg(test)]
mod faults_test;
#[cfg(test)]
mod format_test;
#[cfg(test)]
mod full_disk_test;
#[cfg(test)]
mod going_back_test;
#[cfg(test)]
mod migrate_test;
#[cfg(test)]
mod model_test;
#[cfg(test)]
mod sweep_test;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod undelete_test;

#[doc(hidden)]
pub use base::sim;
pub use base::{env, error, fault, rows, running, schema, settings};
pub use content::{contents, emails};
pub use engine::volumes;
pub use household::{
    accounts, arrivals, certificates, devices, going_back, imported, revoked, sources, undelete,
};
pub use mailbox::{bin, changes, events, filing, keywords, mailboxes, messages, names, record};

pub use base::env::unix_now;
pub use base::error::{Error, contained};
pub use base::rows::{ContentRows, News, Rows, StoredRow, Transaction, VolumeRows};
pub use base::settings::last_modseq;
pub use content::incoming::{Incoming, LineEnds, Prepared};
pub use content::reclaim::ReclaimReport;
pub use content::snapshot::{Place, Snapshot};
pub use content::sweep::SweepReport;
pub use engine::condition::Condition;
pub use engine::format::{Convert, Features, Format};
pub use engine::options::{LiveEmails, Options, RESERVE, Statistics};
pub use engine::pins::{Hold, Pin};
pub use engine::store::{ListenerId, Store, exists, holder};
pub use engine::writer::Pending;
