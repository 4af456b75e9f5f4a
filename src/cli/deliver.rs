//! `postern deliver`: one message from stdin, as a mail delivery agent. Its exit codes are those of
//! sysexits.h, which the programs that call it know.

use std::io::BufRead;
use std::panic::catch_unwind;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Instant;

use super::perform::{self, PATIENCE, PAUSE};
use super::{Failure, Global, output};
use crate::actions::Context;
use crate::actions::deliver::Fault;
use crate::control::delivery::{self, Order};
use crate::credential::Hasher;
use crate::server;
use crate::store::{Error, Store};
use crate::tls::Certificates;

/// Its arguments.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// Whose mail it is; needed where there are several accounts
    #[arg(long)]
    account: Option<String>,
    /// The mailbox, which is made if it is not there and the user who calls this is the account's
    /// namesake, root or the server's own; for others the message goes to INBOX then [default: INBOX]
    #[arg(long)]
    mailbox: Option<String>,
}

/// The exit code of whatever may be another way once somebody has looked after it (EX_TEMPFAIL).
pub(super) const LATER: u8 = 75;

/// Does it.
pub(super) fn run(global: &Global, arguments: Arguments) -> ExitCode {
    let order = Order { account: arguments.account, mailbox: arguments.mailbox };
    // A panic's own exit code would be a bounce.
    let delivered = catch_unwind(|| deliver(global, &order))
        .unwrap_or_else(|_| Err(Fault::Later("an error within Postern".to_owned())));
    match delivered {
        Ok(()) => ExitCode::SUCCESS,
        Err(fault) => {
            output::complain(&Failure::new(&fault));
            ExitCode::from(fault.code())
        }
    }
}

fn deliver(global: &Global, order: &Order) -> Result<(), Fault> {
    // Whatever is wrong with this machine, the message must not be lost for it.
    let later = |failure: Failure| Fault::Later(failure.to_string());
    let config = global.config().map_err(later)?;
    let mut stdin = std::io::stdin().lock();
    // Nobody else must wait for the store while this waits for a caller that has nothing to say yet.
    let _ = stdin.fill_buf();
    let since = Instant::now();
    let mut remembered = None;
    loop {
        if delivery::send(&config.delivery_socket(), order, &mut stdin)?.is_some() {
            return Ok(());
        }
        if remembered.is_none() {
            remembered = Some(perform::prepare(&config, false).map_err(later)?);
        }
        match server::open_store(&config.data, remembered.take().flatten()) {
            Ok(store) => return directly(store, order, config.message_limit, &mut stdin),
            Err(server::Error::Store(Error::Locked(_))) if since.elapsed() < PATIENCE => {
                std::thread::sleep(PAUSE);
            }
            Err(error) => return Err(Fault::Later(error.to_string())),
        }
    }
}

fn directly(store: Store, order: &Order, limit: u64, message: &mut dyn std::io::Read) -> Result<(), Fault> {
    let delivered = {
        let certificates = Certificates::open(&store).map_err(|error| Fault::Later(error.to_string()))?;
        let (certificates, hasher) = (Arc::new(certificates), Arc::new(Hasher::new()));
        let context = Context { store: store.clone(), hasher, certificates, running: None };
        delivery::directly(&context, order, limit, message)
    };
    // Durable already: the journal has it.
    if let Err(error) = store.close() {
        tracing::warn!(%error, "the store could not be closed in order");
    }
    delivered
}
