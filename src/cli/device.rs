//! `postern device …`

use super::{Failure, Global, output, perform};
use crate::control::message::{Answer, Request};

/// What can be done with devices.
#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    /// Make a password for a device; it is shown once
    Add {
        /// What to call it: "Anna's phone"
        name: String,
        /// Whose it is; needed where there are several accounts
        #[arg(long)]
        account: Option<String>,
    },
    /// List devices
    List {
        /// Of this account only
        #[arg(long)]
        account: Option<String>,
    },
    /// Revoke a device's password
    Revoke {
        /// Its number or its name
        device: String,
        /// Whose it is; needed where devices of several accounts have this name
        #[arg(long)]
        account: Option<String>,
    },
}

/// Does it.
pub(super) fn run(global: &Global, command: Command) -> Result<(), Failure> {
    let output = global.output();
    match command {
        Command::Add { name, account } => {
            match perform::perform(global, Request::DeviceAdd { account, name })? {
                Answer::DeviceAdded(added) => output.value(&added, |added| {
                    format!(
                        "user name: {}\npassword:  {}\n(it is not shown again; type it with or without the dashes)\n",
                        added.account, added.password
                    )
                }),
                other => Err(perform::unexpected(&other)),
            }
        }
        Command::List { account } => match perform::perform(global, Request::DeviceList { account })? {
            Answer::Devices(devices) => output.value(&devices, |devices| {
                let rows: Vec<Vec<String>> = devices
                    .iter()
                    .map(|one| {
                        vec![
                            one.id.to_string(),
                            one.account.clone(),
                            one.name.clone(),
                            output::when(one.last_used),
                            one.client.clone(),
                            one.address.clone(),
                        ]
                    })
                    .collect();
                output::table(&["no", "account", "device", "last used", "program", "address"], &rows)
            }),
            other => Err(perform::unexpected(&other)),
        },
        Command::Revoke { device, account } => {
            perform::perform(global, Request::DeviceRevoke { account, device: device.clone() })?;
            output.done(&format!("device {device} revoked"))
        }
    }
}
