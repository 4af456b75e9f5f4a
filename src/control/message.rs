//! What the command line asks, and what it is answered.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::actions::trouble::Trouble;
use crate::actions::{
    account, administrator, backup, backup_job, certificate, check, device, export, mailbox, source, status,
    storage, undelete,
};

/// The longest request, in bytes: lists of some thousand devices or sources fit.
pub const LONGEST: u64 = 4 * 1024 * 1024;
/// The longest answer: what a check found may name every message of a volume.
pub const LONGEST_ANSWER: u64 = 64 * 1024 * 1024;

/// What is asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "kebab-case")]
#[allow(missing_docs)]
pub enum Request {
    /// Makes an account.
    AccountAdd { name: String, password: Option<String> },
    /// All accounts.
    AccountList,
    /// Removes an account and its mail.
    AccountRemove { name: String },
    /// Another password.
    AccountPassword { name: String, password: String },
    /// A device password.
    DeviceAdd { account: Option<String>, name: String },
    /// Devices.
    DeviceList { account: Option<String> },
    /// Revokes a device's password.
    DeviceRevoke { account: Option<String>, device: String },
    /// An account's mailboxes.
    MailboxList { account: Option<String> },
    /// What a mailbox is for.
    MailboxRole { account: Option<String>, mailbox: String, role: String },
    /// Watches a Maildir.
    SourceAdd { path: PathBuf, account: Option<String>, mailbox: Option<String>, after: source::After },
    /// All sources.
    SourceList,
    /// Watches it no more.
    SourceRemove {
        source: String,
        #[serde(default)]
        forget: bool,
    },
    /// Takes messages in, which follow as frames (`transfer`).
    Import { account: Option<String>, mailbox: Option<String> },
    /// Takes mail out, which follows as frames (`transfer`).
    Export(export::Choice),
    /// Everything at a glance.
    Status,
    /// The certificate.
    Certificate,
    /// Another certificate.
    CertificateRenew,
    /// A certificate that somebody else keeps.
    CertificateInstall(certificate::Order),
    /// The server's own alone.
    CertificateUninstall,
    /// The local authority's certificate.
    CertificateAuthority,
    /// A link that sets the administrator's password.
    SetupLink,
    /// Makes a backup.
    Backup(backup::Order),
    /// How backups stand.
    BackupInfo,
    /// No daily backup any more.
    BackupOff,
    /// Brings mail back out of a backup.
    BringBack(backup::Wanted),
    /// Gives space back.
    Reclaim,
    /// A new generation of the store.
    NewGeneration,
    /// Deleted mail.
    UndeleteList(undelete::Search),
    /// A deleted message, to read.
    UndeleteShow { id: String },
    /// A deleted message as it is, which follows as frames (`transfer`).
    UndeleteRaw { id: String },
    /// Puts deleted mail back.
    UndeleteRestore(undelete::Order),
    /// What of deleted mail would go for good.
    UndeleteWeigh(undelete::Discard),
    /// Drops deleted mail for good.
    UndeleteDiscard(undelete::Discard),
    /// For how long deleted mail is kept; and sets it.
    UndeleteKeep { days: Option<u64> },
    /// Begins a check.
    CheckStart(check::Scope),
    /// What is known of checks.
    CheckState,
    /// As [`Request::Reclaim`], after giving up all deleted mail.
    EmptyBin,
}

/// What was done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[allow(missing_docs)]
pub enum Answer {
    Done,
    /// Frames may follow.
    Ready,
    Accounts(Vec<account::Info>),
    DeviceAdded(device::Added),
    Devices(Vec<device::Info>),
    Mailboxes(Vec<mailbox::Info>),
    RoleSet(mailbox::RoleSet),
    SourceAdded(source::Added),
    Sources(Vec<source::Info>),
    Status(Box<status::Info>),
    Certificate(certificate::Info),
    Pem(String),
    SetupLink(administrator::SetupLink),
    Reclaimed(storage::Reclaimed),
    Deleted(undelete::Page),
    DeletedMessage(Box<undelete::Shown>),
    Restored(undelete::Restored),
    Discarded(undelete::Discarded),
    Keeping(undelete::Keeping),
    /// The server does it: ask how it stands.
    BackupBegun,
    BackupEnded(Box<backup_job::Ended>),
    Backups(Box<backup_job::Standing>),
    Checks(Box<check::State>),
}

/// Why it was not done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refusal {
    /// In words.
    pub reason: String,
    /// Lines for a root shell that help, where there are any.
    pub advice: Vec<String>,
}

/// The line that goes back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reply {
    /// It was done.
    Ok(Answer),
    /// It was not.
    Refused(Refusal),
    /// It cannot be: the server runs, and waits until it can open the store.
    NotServing(Trouble),
}

impl From<&crate::actions::Failure> for Refusal {
    fn from(failure: &crate::actions::Failure) -> Self {
        Refusal { reason: failure.to_string(), advice: failure.advice().to_vec() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_and_replies_are_lines() {
        let request = Request::SourceAdd {
            path: "/home/anna/Maildir".into(),
            account: None,
            mailbox: Some("Old\nmail".into()),
            after: source::After::Move("/done".into()),
        };
        let line = serde_json::to_string(&request).unwrap();
        assert!(!line.contains('\n'));
        assert_eq!(serde_json::from_str::<Request>(&line).unwrap(), request);
        let reply = Reply::Refused(Refusal { reason: "no".into(), advice: vec!["setfacl".into()] });
        let line = serde_json::to_string(&reply).unwrap();
        assert_eq!(serde_json::from_str::<Reply>(&line).unwrap(), reply);
        let reply = Reply::Ok(Answer::Done);
        assert_eq!(serde_json::from_str::<Reply>(&serde_json::to_string(&reply).unwrap()).unwrap(), reply);
    }
}
