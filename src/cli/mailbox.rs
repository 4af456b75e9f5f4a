//! `postern mailbox …`

use super::{Failure, Global, output, perform};
use crate::control::message::{Answer, Request};

/// What can be done with mailboxes.
#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    /// List an account's mailboxes
    List {
        /// Whose they are; needed where there are several accounts
        #[arg(long)]
        account: Option<String>,
    },
    /// Say what a mailbox is for: where mail programs put sent or deleted mail, drafts, junk
    ///
    /// One mailbox of an account has a role: it is taken from the one that had it.
    Role {
        /// The mailbox
        mailbox: String,
        /// sent, drafts, junk, trash, archive or none
        role: String,
        /// Whose it is; needed where there are several accounts
        #[arg(long)]
        account: Option<String>,
    },
}

/// Does it.
pub(super) fn run(global: &Global, command: Command) -> Result<(), Failure> {
    let output = global.output();
    match command {
        Command::List { account } => match perform::perform(global, Request::MailboxList { account })? {
            Answer::Mailboxes(mailboxes) => output.value(&mailboxes, |mailboxes| {
                let rows: Vec<Vec<String>> = mailboxes
                    .iter()
                    .map(|one| {
                        vec![
                            one.name.clone(),
                            one.role.clone().unwrap_or_default(),
                            one.messages.to_string(),
                            one.unseen.to_string(),
                            output::bytes(one.bytes),
                        ]
                    })
                    .collect();
                output::table(&["mailbox", "for", "messages", "unread", "size"], &rows)
            }),
            other => Err(perform::unexpected(&other)),
        },
        Command::Role { mailbox, role, account } => {
            match perform::perform(global, Request::MailboxRole { account, mailbox, role })? {
                Answer::RoleSet(set) => output.value(&set, |set| set.describe() + "\n"),
                other => Err(perform::unexpected(&other)),
            }
        }
    }
}
