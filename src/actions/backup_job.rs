//! A backup, or mail brought back, that runs in the server: one at a time, with its progress.

use std::path::PathBuf;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::backup::{self, Info, Order, Report, Wanted};
use super::{Context, Failure};
use crate::backup::merge::Merged;
use crate::backup::run::Progress;
use crate::model::locked;
use crate::store::fault::Fault;

/// How often somebody who waits looks.
const PAUSE: Duration = Duration::from_millis(20);

/// What it came to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Ended {
    /// A backup was made.
    Made(Report),
    /// Mail was brought back.
    Merged(Merged),
    /// Neither, and why.
    Failed(String),
}

/// How it stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct State {
    /// The backup.
    pub folder: PathBuf,
    /// Mail is brought back out of it.
    pub restores: bool,
    /// Contents done,
    pub done: u64,
    /// of so many.
    pub all: u64,
    /// Bytes copied.
    pub bytes: u64,
    /// How long it has run, or ran, in seconds.
    pub seconds: u64,
    /// What it came to, once it has ended.
    pub ended: Option<Ended>,
}

/// What is known of backups, and of the one that runs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Standing {
    /// What is set up, and how the last one went.
    pub info: Info,
    /// The one that runs, or ran last, where a server runs.
    pub state: Option<State>,
}

/// Reads it.
pub fn standing(context: &Context) -> Result<Standing, Failure> {
    let state = context.running.as_ref().and_then(|running| running.backups.state());
    Ok(Standing { info: backup::info(context)?, state })
}

/// The one that runs, or ran last.
#[derive(Clone, Default)]
pub struct Backups(Arc<Mutex<Option<Job>>>);

struct Job {
    folder: PathBuf,
    restores: bool,
    progress: Arc<Progress>,
    started: Instant,
    seconds: u64,
    ended: Option<Ended>,
}

impl Backups {
    /// Begins a backup.
    ///
    /// # Errors
    /// If one runs already, or nothing may be written there.
    pub fn start(&self, context: &Context, order: &Order) -> Result<(), Failure> {
        self.check_free()?;
        let ready = backup::prepare(context, order)?;
        let folder = ready.folder().to_owned();
        self.spawn(folder, false, move |progress| match ready.run(progress) {
            Ok(report) => Ended::Made(report),
            Err(Failure::Store(error)) if error.fault() == Some(Fault::File) => Ended::Failed(format!(
                "{error}. A backup gets past this damage while the server is stopped: stop it and run `postern backup` \
                 before you repair anything"
            )),
            Err(failure) => Ended::Failed(failure.to_string()),
        })
    }

    /// Begins to bring mail back.
    ///
    /// # Errors
    /// If one runs already.
    pub fn bring_back(&self, context: &Context, wanted: Wanted) -> Result<(), Failure> {
        let (context, folder) = (context.clone(), wanted.folder.clone());
        self.spawn(folder, true, move |progress| match backup::bring_back(&context, &wanted, progress) {
            Ok(merged) => Ended::Merged(merged),
            Err(failure) => Ended::Failed(failure.to_string()),
        })
    }

    fn check_free(&self) -> Result<(), Failure> {
        if self.lock().as_ref().is_some_and(|job| job.ended.is_none()) {
            let why = "a backup is being made, or mail brought back, already: wait for it";
            return Err(Failure::Invalid(why.to_owned()));
        }
        Ok(())
    }

    fn spawn(
        &self,
        folder: PathBuf,
        restores: bool,
        work: impl FnOnce(&Progress) -> Ended + Send + 'static,
    ) -> Result<(), Failure> {
        self.check_free()?;
        let progress = Arc::new(Progress::default());
        *self.lock() = Some(Job {
            folder,
            restores,
            progress: Arc::clone(&progress),
            started: Instant::now(),
            seconds: 0,
            ended: None,
        });
        let backups = self.clone();
        let run = move || {
            let ended = work(&progress);
            // Whatever it held of the store is let go of before anybody hears that it has ended.
            backups.end(ended);
        };
        std::thread::Builder::new().name("backup".to_owned()).spawn(run).map(drop).map_err(|error| {
            self.end(Ended::Failed(error.to_string()));
            Failure::Invalid(error.to_string())
        })
    }

    fn end(&self, ended: Ended) {
        if let Some(job) = self.lock().as_mut() {
            job.seconds = job.started.elapsed().as_secs();
            job.ended = Some(ended);
        }
    }

    /// How the last one stands.
    #[must_use]
    pub fn state(&self) -> Option<State> {
        let current = self.lock();
        let job = current.as_ref()?;
        let load = |number: &std::sync::atomic::AtomicU64| number.load(Ordering::Relaxed);
        Some(State {
            folder: job.folder.clone(),
            restores: job.restores,
            done: load(&job.progress.done),
            all: load(&job.progress.all),
            bytes: load(&job.progress.bytes),
            seconds: if job.ended.is_none() { job.started.elapsed().as_secs() } else { job.seconds },
            ended: job.ended.clone(),
        })
    }

    /// Breaks it off at the next content. What was copied is used by the next one.
    pub fn stop(&self) {
        if let Some(job) = self.lock().as_ref() {
            job.progress.stop.store(true, Ordering::Relaxed);
        }
    }

    /// Breaks it off and waits until it has ended, or until then.
    pub fn stop_and_wait(&self, most: Duration) {
        let until = Instant::now() + most;
        self.stop();
        while self.lock().as_ref().is_some_and(|job| job.ended.is_none()) && Instant::now() < until {
            std::thread::sleep(PAUSE);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Option<Job>> {
        locked(&self.0)
    }
}
