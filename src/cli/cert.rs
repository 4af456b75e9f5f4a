//! `postern cert …`

use std::path::{Path, PathBuf};

use super::{Failure, Global, output, perform};
use crate::actions::certificate::{self, Files, Order};
use crate::control::message::{Answer, Request};

/// What can be asked of certificates.
#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    /// What the certificate says
    Show,
    /// Make another one for the names and addresses that this machine has now; nobody is disconnected
    Renew,
    /// Show a certificate that certbot, Tailscale or Caddy keeps to whoever asks for its names; nobody is disconnected
    ///
    /// The server's own goes on for all other names and addresses. Run as root where only root may read the key: the
    /// server is given what the files have now. With --watch it looks at them itself every minute.
    Install {
        /// The private key (PEM)
        #[arg(long)]
        key: PathBuf,
        /// The chain (PEM), the server's own certificate first; certbot's fullchain.pem
        #[arg(long)]
        chain: PathBuf,
        /// Look at these files every minute, and take what is new in them; the server must be able to read them
        #[arg(long, conflicts_with = "renewal")]
        watch: bool,
        /// Only if one for the same names is installed: for hooks that run at every renewal
        #[arg(long)]
        renewal: bool,
    },
    /// Show the server's own certificate alone again
    Uninstall,
    /// Print the certificate of this server's own authority (PEM): a device that trusts it trusts the server
    Ca,
}

/// Does it.
pub(super) fn run(global: &Global, command: Command) -> Result<(), Failure> {
    match command {
        Command::Show => show(global, Request::Certificate),
        Command::Renew => show(global, Request::CertificateRenew),
        Command::Install { key, chain, watch, renewal } => {
            let files = Files { key: whole(&key)?, chain: whole(&chain)? };
            let (key, chain) = certificate::read(&files).map_err(Failure::new)?;
            let watch = watch.then_some(files);
            show(global, Request::CertificateInstall(Order { key, chain, renewal, watch }))
        }
        Command::Uninstall => show(global, Request::CertificateUninstall),
        Command::Ca => match perform::perform(global, Request::CertificateAuthority)? {
            Answer::Pem(pem) => global.output().value(&pem, String::clone),
            other => Err(perform::unexpected(&other)),
        },
    }
}

fn show(global: &Global, request: Request) -> Result<(), Failure> {
    match perform::perform(global, request)? {
        Answer::Certificate(info) => global.output().value(&info, |info| {
            let valid = |from, to| format!("{} to {}", output::day(from), output::day(to));
            let mut text = format!(
                "names:       {}\nvalid:       {}\nfingerprint: {}\n",
                info.names.join(", "),
                valid(info.not_before, info.not_after),
                info.fingerprint
            );
            if let Some(other) = &info.installed {
                text += &format!(
                    "\ninstalled, shown to whoever asks for its names\nnames:       {}\nvalid:       {}\nfingerprint: {}\n",
                    other.names.join(", "),
                    valid(other.not_before, other.not_after),
                    other.fingerprint
                );
                if let Some(files) = &other.watched {
                    text += &format!("watched:     {}, {}\n", files.key.display(), files.chain.display());
                }
                if let Some(problem) = &other.problem {
                    text += &format!("problem:     {problem}\n");
                }
            }
            text
        }),
        other => Err(perform::unexpected(&other)),
    }
}

/// A path from the root: the server stands in another folder.
fn whole(path: &Path) -> Result<PathBuf, Failure> {
    std::path::absolute(path).map_err(|error| Failure::new(format!("{}: {error}", path.display())))
}
