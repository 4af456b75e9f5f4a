//! `postern account …`

use super::{Failure, Global, output, perform, secret};
use crate::control::message::{Answer, Request};

/// What can be done with accounts.
#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    /// Make an account
    Add {
        /// Its name: what is typed as user name
        name: String,
        /// Read its password from a line of stdin rather than from the terminal
        #[arg(long, conflicts_with = "no_password")]
        password_stdin: bool,
        /// Without a password of its own: only its devices can log in
        #[arg(long)]
        no_password: bool,
    },
    /// List all accounts
    List,
    /// Remove an account with all its mail; `undelete` can put its mail back for a while
    Remove {
        /// Its name
        name: String,
        /// Do not ask
        #[arg(long)]
        yes: bool,
    },
    /// Give an account another password; its devices keep theirs
    Password {
        /// Its name
        name: String,
        /// Read it from a line of stdin rather than from the terminal
        #[arg(long)]
        password_stdin: bool,
    },
}

/// Does it.
pub(super) fn run(global: &Global, command: Command) -> Result<(), Failure> {
    let output = global.output();
    match command {
        Command::Add { name, password_stdin, no_password } => {
            let password = if no_password { None } else { Some(secret::new_password(password_stdin)?) };
            perform::perform(global, Request::AccountAdd { name: name.clone(), password })?;
            output.done(&format!("account {name} added"))
        }
        Command::List => match perform::perform(global, Request::AccountList)? {
            Answer::Accounts(accounts) => output.value(&accounts, |accounts| {
                let rows: Vec<Vec<String>> = accounts
                    .iter()
                    .map(|one| {
                        vec![
                            one.name.clone(),
                            one.messages.to_string(),
                            output::bytes(one.bytes),
                            one.devices.to_string(),
                            output::day(one.created),
                        ]
                    })
                    .collect();
                output::table(&["account", "messages", "size", "devices", "since"], &rows)
            }),
            other => Err(perform::unexpected(&other)),
        },
        Command::Remove { name, yes } => {
            if !yes {
                secret::confirm(&format!("This removes the account {name} and all its mail."), &name)?;
            }
            perform::perform(global, Request::AccountRemove { name: name.clone() })?;
            output.done(&format!("account {name} removed"))
        }
        Command::Password { name, password_stdin } => {
            let password = secret::new_password(password_stdin)?;
            perform::perform(global, Request::AccountPassword { name, password })?;
            output.done("password changed")
        }
    }
}
