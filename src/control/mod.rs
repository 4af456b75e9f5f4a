//! The control socket: how the command line speaks to a running server.
//!
//! One request a connection: a line of JSON each way. Who may connect is what the socket's mode says.

pub mod client;
pub mod delivery;
mod delivery_turns;
#[doc(hidden)]
pub mod frame;
pub mod message;
pub mod notice;
pub mod server;
mod socket;
pub mod transfer;

use crate::actions::backup::Progress;
use crate::actions::backup_job::Ended;
use crate::actions::{
    Context, Failure, account, administrator, backup, backup_job, certificate, check, device, generation,
    mailbox, source, status, storage, undelete,
};
use crate::model::{AccountName, DeviceName};
use message::{Answer, Request};

/// Does what a request asks. The command line calls this on the store itself where no server runs.
///
/// # Errors
/// Those of the action.
pub fn perform(context: &Context, request: Request) -> Result<Answer, Failure> {
    Ok(match request {
        Request::AccountAdd { name, password } => {
            account::add(context, &AccountName::new(&name)?, password.as_deref())?;
            Answer::Done
        }
        Request::AccountList => Answer::Accounts(account::list(context)?),
        Request::AccountRemove { name } => {
            account::remove(context, &name)?;
            Answer::Done
        }
        Request::AccountPassword { name, password } => {
            account::set_password(context, &name, &password)?;
            Answer::Done
        }
        Request::DeviceAdd { account, name } => {
            Answer::DeviceAdded(device::add(context, account.as_deref(), &DeviceName::new(&name)?)?)
        }
        Request::DeviceList { account } => Answer::Devices(device::list(context, account.as_deref())?),
        Request::DeviceRevoke { account, device } => {
            device::revoke(context, account.as_deref(), &device)?;
            Answer::Done
        }
        Request::MailboxList { account } => Answer::Mailboxes(mailbox::list(context, account.as_deref())?),
        Request::MailboxRole { account, mailbox, role } => {
            Answer::RoleSet(mailbox::set_role(context, account.as_deref(), &mailbox, &role)?)
        }
        Request::SourceAdd { path, account, mailbox, after } => {
            Answer::SourceAdded(source::add(context, &path, account.as_deref(), mailbox.as_deref(), after)?)
        }
        Request::SourceList => Answer::Sources(source::list(context)?),
        Request::SourceRemove { source, forget } => {
            source::remove(context, &source, forget)?;
            Answer::Done
        }
        Request::Status => Answer::Status(Box::new(status::read(context)?)),
        Request::Certificate => Answer::Certificate(certificate::info(context)?),
        Request::CertificateRenew => Answer::Certificate(certificate::renew(context)?),
        Request::CertificateInstall(order) => Answer::Certificate(certificate::install(context, order)?),
        Request::CertificateUninstall => Answer::Certificate(certificate::uninstall(context)?),
        Request::CertificateAuthority => Answer::Pem(certificate::authority(context)),
        Request::SetupLink => Answer::SetupLink(administrator::setup_link(context)?),
        Request::UndeleteList(search) => Answer::Deleted(undelete::list(context, &search)?),
        Request::UndeleteShow { id } => Answer::DeletedMessage(Box::new(undelete::show(context, &id)?)),
        Request::UndeleteRestore(order) => Answer::Restored(undelete::restore(context, &order)?),
        Request::UndeleteWeigh(order) => Answer::Discarded(undelete::weigh(context, &order)?),
        Request::UndeleteDiscard(order) => Answer::Discarded(undelete::discard(context, &order)?),
        Request::UndeleteKeep { days } => Answer::Keeping(match days {
            Some(days) => undelete::keep(context, days)?,
            None => undelete::keeping(context)?,
        }),
        Request::Import { .. } | Request::Export(_) | Request::UndeleteRaw { .. } => {
            return Err(Failure::Invalid("this needs a connection that stays open".to_owned()));
        }
        Request::NewGeneration => {
            generation::begin(context)?;
            Answer::Done
        }
        Request::Backup(order) => make_backup(context, &order)?,
        Request::BackupInfo => Answer::Backups(Box::new(backup_job::standing(context)?)),
        Request::BackupOff => {
            backup::turn_off(context)?;
            Answer::Done
        }
        Request::BringBack(wanted) => bring_back(context, wanted)?,
        Request::CheckStart(scope) => Answer::Checks(Box::new(check::start(context, scope)?)),
        Request::CheckState => Answer::Checks(Box::new(check::state(context)?)),
        Request::Reclaim => Answer::Reclaimed(storage::reclaim(context)?),
        Request::EmptyBin => Answer::Reclaimed(storage::empty_bin(context)?),
    })
}

/// A server does it beside its other work; without one it is done here and now.
fn make_backup(context: &Context, order: &backup::Order) -> Result<Answer, Failure> {
    if let Some(running) = &context.running {
        running.backups.start(context, order)?;
        return Ok(Answer::BackupBegun);
    }
    let report = backup::prepare(context, order)?.run(&Progress::default())?;
    Ok(Answer::BackupEnded(Box::new(Ended::Made(report))))
}

fn bring_back(context: &Context, wanted: backup::Wanted) -> Result<Answer, Failure> {
    if let Some(running) = &context.running {
        running.backups.bring_back(context, wanted)?;
        return Ok(Answer::BackupBegun);
    }
    let merged = backup::bring_back(context, &wanted, &Progress::default())?;
    Ok(Answer::BackupEnded(Box::new(Ended::Merged(merged))))
}
