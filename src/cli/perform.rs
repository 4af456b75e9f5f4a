//! Does a request: over the control socket if a server runs, on the store itself if not.

use std::sync::Arc;

use super::{Failure, Global, owner};
use crate::actions::Context;
use crate::config::Config;
use crate::control::message::{Answer, Request};
use crate::control::{self, client};
use crate::credential::Hasher;
use crate::server;
use crate::tls::Certificates;

/// Does it, wherever.
pub(super) fn perform(global: &Global, request: Request) -> Result<Answer, Failure> {
    let config = global.config()?;
    match client::ask(&config.socket, &request) {
        Ok(answer) => Ok(answer),
        Err(client::Error::NotRunning) => directly(&config, request),
        Err(client::Error::Refused(refusal)) => {
            Err(Failure::Reason { reason: refusal.reason, advice: refusal.advice })
        }
        Err(error) => Err(Failure::new(error)),
    }
}

fn directly(config: &Config, request: Request) -> Result<Answer, Failure> {
    owner::become_owner(&config.data)?;
    let store = server::open_store(&config.data)?;
    let answer = {
        let certificates = Arc::new(Certificates::open(&store).map_err(Failure::new)?);
        let hasher = Arc::new(Hasher::new());
        let context = Context { store: store.clone(), hasher, certificates, running: None };
        control::perform(&context, request)
    };
    store.close()?;
    Ok(answer?)
}

/// An answer of another kind than was asked for: a server of another version.
pub(super) fn unexpected(answer: &Answer) -> Failure {
    Failure::new(format!("the server gave an answer that this version does not know: {answer:?}"))
}
