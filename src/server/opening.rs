//! Opens the store; and where that cannot be done yet, says so to everybody who asks, until it can or a signal comes.
//! A server that ended instead would be started over and over, until nobody starts it any more.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use async_signal::Signals;
use futures_lite::{FutureExt, StreamExt};
use smol::{Executor, Timer};

use super::supervisor::Supervisor;
use super::{Error, Listeners, open_remembering, signs_of_life};
use crate::actions::trouble::Trouble;
use crate::admin::notice::Notice;
use crate::config::Config;
use crate::config::remembered::Remembered;
use crate::control;
use crate::imap::{Kind, notice};
use crate::model::locked;
use crate::store::{self, Store};
use crate::tls::Substitute;

/// Most commands hold the lock for a moment: nobody needs to be told of that.
const GRACE: Duration = Duration::from_secs(2);
/// Whoever holds it is asked for it so often,
const LOCK: Duration = Duration::from_millis(250);
/// and what passes by itself is tried again after this, then after twice as long,
const SOON: Duration = Duration::from_secs(1);
/// but at least so often.
const LATE: Duration = Duration::from_secs(60);
/// Where somebody must do something, it is looked so often whether anything was done to the files.
const LOOK: Duration = Duration::from_secs(5);
/// For a command that holds the lock for a moment systemd is let wait, as for a long replay; after this it is told
/// that the server is up, since whoever started it (the boot, apt) waits as well.
const UNREADY: Duration = Duration::from_secs(90);

/// What is needed to open it.
pub(super) struct Opening<'a> {
    pub(super) config: &'a Config,
    pub(super) remembered: Option<Remembered>,
    pub(super) supervisor: &'a Supervisor,
    /// Is told, each time it is another, why the server does not serve.
    pub(super) waiting: &'a mut dyn FnMut(&Trouble),
}

impl Opening<'_> {
    /// Opens the store. `None` if a signal came first.
    ///
    /// # Errors
    /// `Locked` if a server that serves holds it, and of listening.
    pub(super) fn run(
        mut self,
        listeners: &Listeners,
        signals: &mut Signals,
    ) -> Result<Option<Store>, Error> {
        let since = Instant::now();
        loop {
            match open_remembering(&self.config.data, self.remembered.as_mut()) {
                Ok(store) => return Ok(Some(store)),
                Err(Error::Store(store::Error::Locked(holder))) if is_served(&self.config.socket) => {
                    return Err(Error::Store(store::Error::Locked(holder)));
                }
                Err(Error::Store(store::Error::Locked(_))) if since.elapsed() < GRACE => {
                    std::thread::sleep(LOCK);
                }
                Err(error) => return self.wait(error, listeners, signals),
            }
        }
    }

    fn wait(
        &mut self,
        error: Error,
        listeners: &Listeners,
        signals: &mut Signals,
    ) -> Result<Option<Store>, Error> {
        let state = State::new(error);
        let executor = Arc::new(Executor::new());
        let (stop, stops) = async_channel::bounded::<()>(1);
        let expected = self.remembered.as_ref().and_then(Remembered::expected);
        let substitute = Substitute::find(&self.config.data, expected)?;
        turn_away(&state, listeners, &executor, &stops, substitute)?;
        match control::notice::bind(&self.config.socket) {
            Ok(listener) => executor.spawn(control::notice::serve(listener, state.why())).detach(),
            // Its folder may be what is missing.
            Err(error) => tracing::debug!(%error, "nobody can be told why over the control socket"),
        }
        executor.spawn(signs_of_life(self.supervisor.clone())).detach();
        let opened = smol::block_on(executor.run(async {
            let signal = async {
                let signal = signals.next().await;
                tracing::info!(?signal, "shutting down");
                Ok(None)
            };
            signal.or(self.until_open(&state)).await
        }));
        drop(stop);
        // The clones of the listeners go with their tasks, before the server listens there.
        drop(executor);
        if !matches!(opened, Ok(Some(_))) {
            let _ = std::fs::remove_file(&self.config.socket);
        }
        opened
    }

    async fn until_open(&mut self, state: &State) -> Result<Option<Store>, Error> {
        let (since, mut pause, mut told) = (Instant::now(), SOON, None);
        let mut files = fingerprint(&self.config.data);
        loop {
            let trouble = state.trouble();
            if told.as_ref() != Some(&trouble) {
                self.tell(&trouble);
                told = Some(trouble.clone());
            }
            if !state.is_locked() || since.elapsed() > UNREADY {
                self.supervisor.ready();
            }
            let next = match (state.is_locked(), trouble.passes) {
                (true, _) => LOCK,
                (false, true) => pause,
                (false, false) => LOOK,
            };
            Timer::after(next).await;
            if !trouble.passes && !state.is_locked() && fingerprint(&self.config.data) == files {
                continue;
            }
            match self.again().await {
                Ok(store) => {
                    tracing::info!("the store can be opened now");
                    return Ok(Some(store));
                }
                Err(error) => state.set(error),
            }
            files = fingerprint(&self.config.data);
            pause = (pause * 2).min(LATE);
        }
    }

    async fn again(&mut self) -> Result<Store, Error> {
        let (data, mut remembered) = (self.config.data.clone(), self.remembered.take());
        let (remembered, opened) = smol::unblock(move || {
            if let Some(remembered) = &mut remembered {
                // It may be what was wrong, and was mended.
                remembered.refresh();
            }
            let opened = open_remembering(&data, remembered.as_mut());
            (remembered, opened)
        })
        .await;
        self.remembered = remembered;
        opened
    }

    /// Once for each reason, for it may last.
    fn tell(&mut self, trouble: &Trouble) {
        if trouble.passes {
            tracing::warn!(reason = trouble.what, help = trouble.help, "no mail is served yet");
        } else {
            tracing::error!(reason = trouble.what, help = trouble.help, "no mail is served");
        }
        self.supervisor.status(&format!("No mail is served: {}", trouble.line()));
        (self.waiting)(trouble);
    }
}

/// Why there is no mail, for all that are asked.
#[derive(Clone)]
struct State(Arc<Mutex<(Trouble, bool)>>);

impl State {
    fn new(error: Error) -> Self {
        State(Arc::new(Mutex::new(described(&error))))
    }

    fn set(&self, error: Error) {
        *locked(&self.0) = described(&error);
    }

    fn trouble(&self) -> Trouble {
        locked(&self.0).0.clone()
    }

    fn is_locked(&self) -> bool {
        locked(&self.0).1
    }

    fn why(&self) -> Arc<dyn Fn() -> Trouble + Send + Sync> {
        let state = self.clone();
        Arc::new(move || state.trouble())
    }
}

fn described(error: &Error) -> (Trouble, bool) {
    match error {
        Error::Store(error) => (Trouble::of(error), matches!(error, store::Error::Locked(_))),
        Error::NotExpected { reason, .. } => {
            let what = error.to_string();
            (Trouble { what, ..Trouble::of(&store::Error::NotExpected(reason.clone())) }, false)
        }
        other => (Trouble::of_the_system(other.to_string()), false),
    }
}

/// Whether the one that holds the store is a server: it will not let go of it.
fn is_served(socket: &Path) -> bool {
    control::client::is_running(socket)
}

fn turn_away(
    state: &State,
    listeners: &Listeners,
    executor: &Arc<Executor<'static>>,
    stops: &async_channel::Receiver<()>,
    substitute: Substitute,
) -> Result<(), Error> {
    let Substitute { http, imap } = substitute;
    let site = Notice::new(state.why(), Arc::new(move || http.clone()), Arc::clone(executor));
    for listener in &listeners.admin {
        let (site, listener, stops) = (site.clone(), clone_of(listener)?, stops.clone());
        executor.spawn(async move { site.serve(listener, stops).await }).detach();
    }
    let imaps = listeners.imaps.iter().map(|listener| (listener, Kind::Imaps));
    let starttls = listeners.imap.iter().map(|listener| (listener, Kind::StartTls));
    let why = state.why();
    let why = Arc::new(move || why().what);
    let notice = notice::Notice { why, tls: imap, executor: Arc::clone(executor) };
    for (listener, kind) in imaps.chain(starttls) {
        executor.spawn(notice.clone().serve(clone_of(listener)?, kind)).detach();
    }
    Ok(())
}

fn clone_of(listener: &std::net::TcpListener) -> io::Result<smol::net::TcpListener> {
    Ok(smol::net::TcpListener::from(smol::Async::new(listener.try_clone()?)?))
}

/// What changes when somebody mends the store, puts a backup in its place, or mounts its disk.
fn fingerprint(data: &Path) -> Vec<Option<(u64, u64, i64, i64)>> {
    use std::os::unix::fs::MetadataExt;
    let paths: [PathBuf; 4] =
        [data.to_owned(), data.join("index.redb"), data.join("journal"), data.join("mail")];
    let facts = |path: &PathBuf| {
        let found = std::fs::metadata(path).ok()?;
        Some((found.ino(), found.len(), found.mtime(), found.mtime_nsec()))
    };
    paths.iter().map(facts).collect()
}
