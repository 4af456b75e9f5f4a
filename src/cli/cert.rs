//! `postern cert …`

use super::{Failure, Global, output, perform};
use crate::control::message::{Answer, Request};

/// What can be asked of certificates.
#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    /// What the certificate says
    Show,
    /// Make another one for the names and addresses that this machine has now; nobody is disconnected
    Renew,
    /// Print the certificate of this server's own authority (PEM): a device that trusts it trusts the server
    Ca,
}

/// Does it.
pub(super) fn run(global: &Global, command: Command) -> Result<(), Failure> {
    match command {
        Command::Show => show(global, Request::Certificate),
        Command::Renew => show(global, Request::CertificateRenew),
        Command::Ca => match perform::perform(global, Request::CertificateAuthority)? {
            Answer::Pem(pem) => global.output().value(&pem, String::clone),
            other => Err(perform::unexpected(&other)),
        },
    }
}

fn show(global: &Global, request: Request) -> Result<(), Failure> {
    match perform::perform(global, request)? {
        Answer::Certificate(info) => global.output().value(&info, |info| {
            format!(
                "names:       {}\nvalid:       {} to {}\nfingerprint: {}\n",
                info.names.join(", "),
                output::day(info.not_before),
                output::day(info.not_after),
                info.fingerprint
            )
        }),
        other => Err(perform::unexpected(&other)),
    }
}
