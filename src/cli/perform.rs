//! Does a request: over the control socket if a server runs, on the store itself if not.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::{Failure, Global, output, owner, serve};
use crate::actions::backup::Progress;
use crate::actions::backup_job::Ended;
use crate::actions::{self, Context};
use crate::config::remembered::Remembered;
use crate::config::{Config, LogLevel};
use crate::control::message::{Answer, Request};
use crate::control::{self, client};
use crate::credential::Hasher;
use crate::server;
use crate::store::fault::Fault;
use crate::store::{self, Error, Store};
use crate::tls::{self, Certificates};

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
            opened => return directly(&config, opened, request),
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

fn directly(
    config: &Config,
    opened: Result<Store, server::Error>,
    request: Request,
) -> Result<Answer, Failure> {
    let order = match &request {
        Request::Backup(order) => Some(order.clone()),
        _ => None,
    };
    let done = opened.map_err(Undone::from).and_then(|store| on(store, request));
    match (done, order) {
        (Ok(answer), _) => Ok(answer),
        (Err(Undone::Damaged(error)), Some(order)) => {
            tracing::warn!(%error, "the backup is made of what can still be read");
            let options = server::store_options(&config.data);
            let report = actions::backup::past_damage(&options, &order, &Progress::default())?;
            Ok(Answer::BackupEnded(Box::new(Ended::Made(report))))
        }
        (Err(Undone::Damaged(error)), None) => Err(error.into()),
        (Err(Undone::Failed(failure)), _) => Err(failure),
    }
}

/// Why it was not done on the store itself.
enum Undone {
    /// Of the index, or something in it.
    Damaged(Error),
    Failed(Failure),
}

impl From<Error> for Undone {
    fn from(error: Error) -> Self {
        match error.fault() {
            Some(Fault::File) => Undone::Damaged(error),
            _ => Undone::Failed(error.into()),
        }
    }
}

impl From<server::Error> for Undone {
    fn from(error: server::Error) -> Self {
        match error {
            server::Error::Store(error) => error.into(),
            other => Undone::Failed(other.into()),
        }
    }
}

fn on(store: Store, request: Request) -> Result<Answer, Undone> {
    let certificates = Certificates::open(&store).map_err(|error| match error {
        tls::Error::Store(error) => error.into(),
        other => Undone::Failed(Failure::new(other)),
    });
    let answer = certificates.and_then(|certificates| {
        let (certificates, hasher) = (Arc::new(certificates), Arc::new(Hasher::new()));
        let context = Context { store: store.clone(), hasher, certificates, running: None };
        control::perform(&context, request).map_err(|failure| match failure {
            actions::Failure::Store(error) => error.into(),
            other => Undone::Failed(other.into()),
        })
    });
    match (answer, store.close()) {
        (Ok(_), Err(error)) => Err(error.into()),
        (answer, _) => answer,
    }
}

/// An answer of another kind than was asked for: a server of another version.
pub(super) fn unexpected(answer: &Answer) -> Failure {
    Failure::new(format!("the server gave an answer that this version does not know: {answer:?}"))
}
