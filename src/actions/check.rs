//! `postern check`: whether everything in the store agrees and can be read. While a server runs it checks in the
//! background, one check at a time; what the last one found is kept.

use std::ops::ControlFlow;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::{Context, Failure, Running};
use crate::model::locked;
use crate::store::check::{CheckOptions, Depth, Progress, Report};
use crate::store::{Error, Store, settings, unix_now};

/// Under this name the last result is kept, shortened.
const LAST: &str = "check.last";
/// So many findings of it are kept over a restart, each with so many messages.
const KEPT: (usize, usize) = (20, 5);
/// A light check rests so long between two steps.
const REST: Duration = Duration::from_millis(20);
/// Light checks are done so often, in seconds: weekly.
const WEEK: i64 = 7 * 86_400;
/// As many light checks read all contents once.
const PARTS: u64 = 8;

/// How deep to look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Scope {
    /// Rows and files, and all contents to their end.
    #[default]
    Full,
    /// Rows and files only.
    Quick,
}

impl Scope {
    fn options(self) -> CheckOptions {
        let depth = match self {
            Scope::Full => Depth::Contents,
            Scope::Quick => Depth::Index,
        };
        CheckOptions { depth, ..CheckOptions::default() }
    }
}

/// How far a check is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Going {
    /// What is being looked at.
    pub step: String,
    /// How many of them.
    pub done: u64,
    /// Of how many, where that is known.
    pub total: u64,
}

impl From<Progress> for Going {
    fn from(progress: Progress) -> Self {
        Going { step: progress.step.to_owned(), done: progress.done, total: progress.total }
    }
}

/// What a check found, and when.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Last {
    /// When it ended, in seconds since 1970.
    pub at: i64,
    /// How long it took, in seconds.
    pub seconds: u64,
    /// What it found.
    pub report: Report,
}

/// What is known of checks.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct State {
    /// The one that is going on.
    pub going: Option<Going>,
    /// The last one that came to its end.
    pub last: Option<Last>,
    /// Why the last one did not.
    pub failed: Option<String>,
}

/// The checks of a running server.
#[derive(Debug, Default)]
pub struct Checks {
    state: Mutex<State>,
}

impl Checks {
    fn locked(&self) -> MutexGuard<'_, State> {
        locked(&self.state)
    }

    /// What is known.
    #[must_use]
    pub fn state(&self) -> State {
        self.locked().clone()
    }

    fn begin(&self) -> bool {
        let mut state = self.locked();
        let free = state.going.is_none();
        if free {
            state.going = Some(Going::default());
        }
        free
    }

    fn end(&self, outcome: Result<Last, String>) {
        let mut state = self.locked();
        state.going = None;
        match outcome {
            Ok(last) => (state.last, state.failed) = (Some(last), None),
            Err(why) => state.failed = Some(why),
        }
    }

    /// Runs a check to its end on this thread, unless one is going on.
    fn run(&self, store: &Store, options: &CheckOptions) {
        let started = Instant::now();
        let mut watch = |progress: Progress| {
            self.locked().going = Some(progress.into());
            ControlFlow::Continue(())
        };
        let report = store.check(options, &mut watch).map_err(|error| error.to_string());
        let last = report.map(|report| Last { at: unix_now(), seconds: started.elapsed().as_secs(), report });
        if let Ok(last) = &last {
            tell(&last.report);
            if let Err(error) = keep(store, last) {
                tracing::warn!(%error, "the result of the check could not be kept");
            }
        }
        self.end(last);
    }
}

/// Damage is in the log, too.
fn tell(report: &Report) {
    for finding in report.faults() {
        let messages = finding.messages.len() as u64 + finding.more_messages;
        tracing::error!(kind = ?finding.kind, messages, "{}", finding.what);
    }
}

fn keep(store: &Store, last: &Last) -> Result<(), Error> {
    let mut short = last.clone();
    short.report.more_findings += short.report.findings.len().saturating_sub(KEPT.0) as u64;
    short.report.findings.truncate(KEPT.0);
    for finding in &mut short.report.findings {
        finding.more_messages += finding.messages.len().saturating_sub(KEPT.1) as u64;
        finding.messages.truncate(KEPT.1);
    }
    let json = serde_json::to_vec(&short).map_err(|error| Error::io("keeping a result", error.into()))?;
    store.write(move |tx| settings::put(tx, LAST, &json))
}

/// The last result, shortened, as it was kept.
fn kept(store: &Store) -> Result<Option<Last>, Error> {
    let json = settings::get(&store.snapshot()?, LAST)?;
    // One of another version is as none.
    Ok(json.and_then(|json| serde_json::from_slice(&json).ok()))
}

/// What is known of checks.
pub fn state(context: &Context) -> Result<State, Failure> {
    let mut state = context.running.as_ref().map(|running| running.checks.state()).unwrap_or_default();
    if state.last.is_none() {
        state.last = kept(&context.store)?;
    }
    Ok(state)
}

/// Begins a check in the background of a running server; without one, does it.
///
/// # Errors
/// If one is going on.
pub fn start(context: &Context, scope: Scope) -> Result<State, Failure> {
    let Some(running) = &context.running else {
        let checks = Checks::default();
        checks.begin();
        checks.run(&context.store, &scope.options());
        return Ok(checks.state());
    };
    if !running.checks.begin() {
        return Err(Failure::Invalid("a check is going on already".to_owned()));
    }
    in_background(running, &context.store, scope.options());
    Ok(running.checks.state())
}

/// On a thread of its own; it ends with the process.
fn in_background(running: &Running, store: &Store, options: CheckOptions) {
    let (checks, store) = (Arc::clone(&running.checks), store.clone());
    let spawned =
        std::thread::Builder::new().name("check".to_owned()).spawn(move || checks.run(&store, &options));
    if let Err(error) = spawned {
        running.checks.end(Err(error.to_string()));
    }
}

/// Begins the weekly light check where it is time: the index and the files, and a part of all contents, at leisure.
/// Call it now and then, on a thread that may block. Says whether it was begun.
pub fn weekly(context: &Context) -> Result<bool, Error> {
    let Some(running) = &context.running else { return Ok(false) };
    let (last, now) = (kept(&context.store)?, unix_now());
    let age = last.map_or(i64::MAX, |last| now.saturating_sub(last.at));
    // A clock that went back says nothing.
    if (0..WEEK).contains(&age) || !running.checks.begin() {
        return Ok(false);
    }
    let which = u64::try_from(now / WEEK).unwrap_or(0) % PARTS;
    let depth = Depth::Part { of: PARTS, which };
    in_background(running, &context.store, CheckOptions { depth, pause: REST, ..CheckOptions::default() });
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::accounts;

    #[test]
    fn a_result_is_kept_over_a_restart() {
        let folder = tempfile::tempdir().unwrap();
        {
            let context = Context::in_folder(folder.path());
            context.store.write(|tx| accounts::create(tx, "anna", None)).unwrap();
            assert_eq!(state(&context).unwrap(), State::default());
            let done = start(&context, Scope::Full).unwrap();
            assert!(done.going.is_none() && done.last.is_some_and(|last| last.report.is_clean()));
        }
        let context = Context::in_folder(folder.path());
        let last = state(&context).unwrap().last.unwrap();
        assert!(last.report.complete && last.report.looked.mailboxes >= 1);
    }

    #[test]
    fn there_is_one_check_at_a_time() {
        let checks = Checks::default();
        assert!(checks.begin() && !checks.begin());
        checks.end(Err("no".to_owned()));
        assert_eq!(checks.state().failed.as_deref(), Some("no"));
        assert!(checks.begin());
    }
}
