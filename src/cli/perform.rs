//! Does a request: over the control socket if a server runs, on the store itself if not.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::{Failure, Global, output, owner, serve};
use crate::actions::Context;
use crate::config::remembered::Remembered;
use crate::config::{Config, LogLevel};
use crate::control::message::{Answer, Request};
use crate::control::{self, client};
use crate::credential::Hasher;
use crate::server;
use crate::store::{self, Error, Store};
use crate::tls::Certificates;

/// A server that starts, or another command, holds the store for a moment: so long it is tried again.
pub(super) const PATIENCE: Duration = Duration::from_secs(5);
/// And so often.
pub(super) const PAUSE: Duration = Duration::from_millis(50);

/// Does it, wherever.
pub(super) fn perform(global: &Global, request: Request) -> Result<Answer, Failure> {
    let config = global.config()?;
    let since = Instant::now();
    let mut direct: Option<Option<Remembered>> = None;
    loop {
        match client::ask(&config.socket, &request) {
            Err(client::Error::NotRunning) => {}
            Err(client::Error::NotServing(trouble)) if global.json => {
                let text =
                    serde_json::json!({ "serving": false, "reason": trouble.what, "help": trouble.help });
                output::print(&format!("{text:#}\n"))?;
                return Err(Failure::new(client::Error::NotServing(trouble)));
            }
            Ok(answer) => return Ok(answer),
            Err(client::Error::Refused(refusal)) => {
                return Err(Failure::Reason { reason: refusal.reason, advice: refusal.advice });
            }
            Err(error) => return Err(Failure::new(error)),
        }
        if direct.is_none() {
            let begins = matches!(request, Request::AccountAdd { .. });
            direct = Some(prepare(&config, begins)?);
        }
        match server::open_store(&config.data, direct.take().flatten()) {
            Err(server::Error::Store(Error::Locked(_))) if since.elapsed() < PATIENCE => {
                std::thread::sleep(PAUSE);
            }
            opened => return directly(opened?, request),
        }
    }
}

/// Becomes the owner of the data folder. A folder without a store is most likely another than was meant.
pub(super) fn prepare(config: &Config, begins: bool) -> Result<Option<Remembered>, Failure> {
    serve::start_log(LogLevel::Warn);
    let remembered = server::remembered(config)?;
    owner::become_owner(&config.data)?;
    if !begins && !store::exists(&config.data) {
        return Err(Failure::new(format!(
            "there is no store in {}: name its folder with --data, or begin one with `postern account add`",
            config.data.display()
        )));
    }
    Ok(remembered)
}

/// As [`prepare`], for a store whose index may be gone.
pub(super) fn prepare_repair(config: &Config) -> Result<Option<Remembered>, Failure> {
    serve::start_log(LogLevel::Warn);
    let remembered = server::remembered(config)?;
    owner::become_owner(&config.data)?;
    if !store::exists(&config.data) && !config.data.join("mail").is_dir() {
        return Err(Failure::new(format!(
            "there is no store in {}: name its folder with --data",
            config.data.display()
        )));
    }
    Ok(remembered)
}

fn directly(store: Store, request: Request) -> Result<Answer, Failure> {
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
