//! Old mail: bringing it in.
//!
//! Who reads the files and who stores the messages are two: the files are read by whoever runs the command,
//! with what they may read; the store may be a server's, under another user. What lies between is a
//! [`Sink`](crate::import::destination::sink::Sink).

use serde::{Deserialize, Serialize};

use super::{Context, Failure, account};
use crate::import::old::old_mail::Report;
use crate::model::MailboxName;

pub(crate) use crate::import::destination::intake::Intake;
pub use crate::import::destination::sink::{Filing, Outcome, Refused, Sink, Stop};

/// What an import came to, as it is shown.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Info {
    /// Messages that were found.
    pub found: u64,
    /// Messages that were stored.
    pub stored: u64,
    /// Messages that were there already.
    pub present: u64,
    /// Bytes that were stored.
    pub bytes: u64,
    /// What was looked at, and what it is.
    pub looked: Vec<String>,
    /// What was not taken, and why; the first thousand.
    pub skipped: Vec<Skipped>,
    /// How much that is.
    pub skipped_count: u64,
    /// How much of it could not be read, or was refused.
    pub failed: u64,
}

/// Something that was not taken.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Skipped {
    /// Where it is.
    pub what: String,
    /// Why.
    pub why: String,
}

impl Info {
    /// Of a report, and what became of the messages.
    #[must_use]
    pub fn new(report: Report, outcome: &Outcome) -> Self {
        let skipped = report.skipped.into_iter();
        Info {
            found: report.found,
            stored: outcome.stored,
            present: outcome.present,
            bytes: outcome.bytes,
            looked: report.looked,
            skipped: skipped.map(|one| Skipped { what: one.what, why: one.why }).collect(),
            skipped_count: report.skipped_count,
            failed: report.failed,
        }
    }
}

/// Opens the way in for an account's messages; with a mailbox, everything goes to it and to mailboxes below.
///
/// # Errors
/// If there is no such account, or no mailbox can have this name.
pub fn begin(context: &Context, account: Option<&str>, mailbox: Option<&str>) -> Result<Intake, Failure> {
    let account = account::find_or_only(context, account)?;
    let under = mailbox.map(MailboxName::new).transpose();
    let under = under.map_err(|error| Failure::Invalid(error.to_string()))?;
    Ok(Intake::new(context.store.clone(), account.id, under))
}
