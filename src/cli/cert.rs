//! `postern cert …`

use super::{Failure, Global, output, perform};
use crate::control::message::{Answer, Request};

/// What can be asked of certificates.
#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    /// What the certificate says
    Show,
    /// Print the certificate of this server's own authority (PEM): a device that trusts it trusts the server
    Ca,
}

/// Does it.
pub(super) fn run(global: &Global, command: Command) -> Result<(), Failure> {
    match command {
        Command::Show => match perform::perform(global, Request::Certificate)? {
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
        },
        Command::Ca => match perform::perform(global, Request::CertificateAuthority)? {
            Answer::Pem(pem) => output::print(&pem),
            other => Err(perform::unexpected(&other)),
        },
    }
}
