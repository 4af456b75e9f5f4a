//! An import that runs in the server, for the admin site: one at a time, with its progress, which can be broken
//! off.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Instant;

use super::import::{Info, Intake, Sink, begin};
use super::{Context, Failure, human};
use crate::import::old::old_mail::{self, Progress, Wishes};
use crate::model::locked;

/// What is to be brought in.
#[derive(Clone, Debug)]
pub struct Order {
    /// A file or a folder, as this process sees it.
    pub path: PathBuf,
    /// As people know it: the name of a file that was uploaded.
    pub name: String,
    /// Whose mail it is.
    pub account: String,
    /// The mailbox below which everything goes, if one is wanted.
    pub mailbox: Option<String>,
    /// All of it counts as read.
    pub seen: bool,
    /// A folder that is removed afterwards: the file was uploaded into it.
    pub temporary: Option<PathBuf>,
}

/// How an import stands.
#[derive(Clone, Debug)]
pub struct State {
    /// What is brought in.
    pub name: String,
    /// For whom.
    pub account: String,
    /// How far it is.
    pub progress: Progress,
    /// How long it has run, or ran, in seconds.
    pub seconds: u64,
    /// What it came to, once it has ended: the figures, or why it ended early.
    pub ended: Option<Result<Info, String>>,
}

/// The one import that runs, or ran last.
#[derive(Clone, Default)]
pub struct Imports(Arc<Mutex<Option<Job>>>);

struct Job {
    state: State,
    started: Instant,
    stop: Arc<AtomicBool>,
}

impl Imports {
    /// Starts one.
    ///
    /// # Errors
    /// If one runs already, there is no such account, or no such file.
    pub fn start(&self, context: &Context, order: Order) -> Result<(), Failure> {
        let intake = begin(context, Some(&order.account), order.mailbox.as_deref())?;
        std::fs::metadata(&order.path).map_err(|error| Failure::Invalid(missing(&order.name, &error)))?;
        let stop = Arc::new(AtomicBool::new(false));
        let mut current = self.lock();
        if current.as_ref().is_some_and(|job| job.state.ended.is_none()) {
            return Err(Failure::Invalid("an import runs already: wait for it, or break it off".to_owned()));
        }
        *current = Some(Job {
            state: State {
                name: order.name.clone(),
                account: order.account.clone(),
                progress: Progress::default(),
                seconds: 0,
                ended: None,
            },
            started: Instant::now(),
            stop: Arc::clone(&stop),
        });
        drop(current);
        let imports = self.clone();
        let spawned = std::thread::Builder::new()
            .name("import".to_owned())
            .spawn(move || imports.run(&order, intake, stop));
        if let Err(error) = spawned {
            self.end(Err(error.to_string()));
            return Err(Failure::Invalid(error.to_string()));
        }
        Ok(())
    }

    /// How the last one stands.
    #[must_use]
    pub fn state(&self) -> Option<State> {
        let current = self.lock();
        let job = current.as_ref()?;
        let mut state = job.state.clone();
        if state.ended.is_none() {
            state.seconds = job.started.elapsed().as_secs();
        }
        Some(state)
    }

    /// Whether one runs.
    #[must_use]
    pub fn is_running(&self) -> bool {
        self.lock().as_ref().is_some_and(|job| job.state.ended.is_none())
    }

    /// Breaks it off at once. What was stored stays; the same import again goes on.
    pub fn stop(&self) {
        if let Some(job) = self.lock().as_ref() {
            job.stop.store(true, Ordering::Release);
        }
    }

    fn run(&self, order: &Order, mut sink: Intake, stop: Arc<AtomicBool>) {
        let wishes = Wishes { seen: order.seen, below: order.mailbox.is_some(), stop };
        let paths = [order.path.clone()];
        tracing::info!(what = order.name, account = order.account, "an import began");
        let report = old_mail::read(&paths, wishes, &mut sink, &mut |progress| {
            if let Some(job) = self.lock().as_mut() {
                job.state.progress = progress.clone();
            }
        });
        let outcome = sink.outcome();
        let ended = report.map(|report| Info::new(report, &outcome)).map_err(|stop| {
            format!(
                "{stop}; {} until then. The same import again goes on.",
                human::count(outcome.stored, "message was stored", "messages were stored")
            )
        });
        tracing::info!(what = order.name, stored = outcome.stored, "an import ended");
        if let Some(folder) = &order.temporary
            && let Err(error) = std::fs::remove_dir_all(folder)
        {
            tracing::warn!(folder = %folder.display(), %error, "an uploaded file could not be removed");
        }
        self.end(ended);
    }

    fn end(&self, ended: Result<Info, String>) {
        if let Some(job) = self.lock().as_mut() {
            job.state.seconds = job.started.elapsed().as_secs();
            job.state.ended = Some(ended);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Option<Job>> {
        locked(&self.0)
    }
}

/// Why there is nothing to read, for whoever typed the name.
fn missing(name: &str, error: &std::io::Error) -> String {
    match error.kind() {
        std::io::ErrorKind::NotFound => format!("there is no {name} on this machine"),
        std::io::ErrorKind::PermissionDenied => {
            format!("Postern may not read {name}: it runs as a user of its own")
        }
        _ => format!("{name}: {error}"),
    }
}
