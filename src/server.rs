//! Wires the parts together: opens the store, starts listeners, watcher and control socket, and ends them in
//! order.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use async_signal::{Signal, Signals};
use futures_lite::StreamExt;
use smol::{Executor, Timer};

use crate::actions::{self, Context, Running, storage};
use crate::config::Config;
use crate::control;
use crate::credential::Hasher;
use crate::imap::idle::SIGN_OF_LIFE;
use crate::imap::{Imap, Kind, Options, Shutdown};
use crate::import::watch::{WatchOptions, Watcher};
use crate::store::{self, Store};
use crate::tls::{self, Certificates};

/// Threads that run sessions. What takes long is on the blocking pool, so that two are enough.
const THREADS: usize = 2;
/// Sessions have so long to say goodbye.
const GOODBYE: Duration = Duration::from_secs(3);
/// How often small upkeep runs.
const TICK: Duration = Duration::from_secs(5);
/// How often certificates are looked at.
const HOURLY: Duration = Duration::from_secs(3600);
/// How often the store is swept, the first time after this since the start.
const DAILY: Duration = Duration::from_secs(86_400);

/// Why the server cannot run.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Nothing can listen there.
    #[error("cannot listen at {address}: {error}")]
    Listen {
        /// Where.
        address: SocketAddr,
        /// Why.
        error: io::Error,
    },
    /// The data folder.
    #[error("{}: {error}", path.display())]
    Folder {
        /// Which.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// The store.
    #[error(transparent)]
    Store(#[from] store::Error),
    /// The certificates.
    #[error(transparent)]
    Tls(#[from] tls::Error),
    /// Something of the system.
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// Ports that are bound already: before the store is opened, and before rights are given up.
pub struct Listeners {
    imaps: Vec<TcpListener>,
    imap: Vec<TcpListener>,
}

impl Listeners {
    /// Binds what the configuration says.
    ///
    /// # Errors
    /// If something else has a port.
    pub fn bind(config: &Config) -> Result<Self, Error> {
        let all = |addresses: &[SocketAddr]| -> Result<Vec<_>, Error> {
            addresses.iter().map(|address| bind(*address)).collect()
        };
        Ok(Listeners { imaps: all(&config.imaps)?, imap: all(&config.imap)? })
    }

    /// `imaps=[::]:993` and so on.
    fn names(&self) -> Vec<String> {
        let name = |kind: &str, listeners: &[TcpListener]| -> Vec<String> {
            let addresses = listeners.iter().filter_map(|listener| listener.local_addr().ok());
            addresses.map(|address| format!("{kind}={address}")).collect()
        };
        [name("imaps", &self.imaps), name("imap", &self.imap)].concat()
    }
}

/// Where IPv6 is off, `[::]` means IPv4.
fn bind(address: SocketAddr) -> Result<TcpListener, Error> {
    match TcpListener::bind(address) {
        Err(error)
            if address.ip().is_unspecified()
                && address.is_ipv6()
                && matches!(error.kind(), io::ErrorKind::Unsupported | io::ErrorKind::AddrNotAvailable)
                || error.raw_os_error() == Some(rustix::io::Errno::AFNOSUPPORT.raw_os_error()) =>
        {
            tracing::info!(%address, "IPv6 is off: listening on IPv4 only");
            let address = SocketAddr::from((Ipv4Addr::UNSPECIFIED, address.port()));
            TcpListener::bind(address).map_err(|error| Error::Listen { address, error })
        }
        other => other.map_err(|error| Error::Listen { address, error }),
    }
}

/// A running server's parts.
struct Parts {
    context: Context,
    watcher: Arc<Watcher>,
    imap: Imap,
    executor: Arc<Executor<'static>>,
}

/// Opens the store in a data folder that is made if it is missing.
///
/// # Errors
/// If it cannot be made, or another process holds it.
pub fn open_store(data: &Path) -> Result<Store, Error> {
    use std::os::unix::fs::DirBuilderExt;
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(data)
        .map_err(|error| Error::Folder { path: data.to_owned(), error })?;
    let mut options = store::Options::new(data);
    options.live_emails = Some(actions::live_emails);
    Ok(Store::open(options)?)
}

/// Runs a server until SIGTERM or SIGINT. `ready` is called once it takes clients, with the names of its
/// listeners.
///
/// # Errors
/// If it cannot start, or the store cannot be closed.
pub fn run(config: &Config, listeners: Listeners, ready: impl FnOnce(&[String])) -> Result<(), Error> {
    let store = open_store(&config.data)?;
    let names = listeners.names();
    let parts = start(config, store.clone(), names.clone())?;
    let (trigger, shutdown) = Shutdown::new();
    listen(&parts, listeners, &shutdown)?;
    let control = control::server::bind(&config.socket)
        .map_err(|error| Error::Folder { path: config.socket.clone(), error })?;
    let serving = control::server::serve(control, parts.context.clone(), Arc::clone(&parts.executor));
    let control_task = parts.executor.spawn(serving);
    let upkeep = parts.executor.spawn(upkeep(parts.context.clone()));
    let workers = (1..THREADS)
        .map(|n| {
            let (executor, shutdown) = (Arc::clone(&parts.executor), shutdown.clone());
            std::thread::Builder::new()
                .name(format!("sessions-{n}"))
                .spawn(move || smol::block_on(executor.run(shutdown.wait())))
        })
        .collect::<io::Result<Vec<_>>>()?;
    let mut signals = Signals::new([Signal::Term, Signal::Int])?;
    tracing::info!(listeners = names.join(" "), data = %config.data.display(), "ready");
    ready(&names);
    smol::block_on(parts.executor.run(async {
        let signal = signals.next().await;
        tracing::info!(?signal, "shutting down");
        drop(trigger);
        drop((control_task, upkeep));
        let deadline = Instant::now() + GOODBYE;
        while !parts.executor.is_empty() && Instant::now() < deadline {
            Timer::after(Duration::from_millis(20)).await;
        }
    }));
    for worker in workers {
        let _ = worker.join();
    }
    let _ = std::fs::remove_file(&config.socket);
    parts.watcher.stop();
    drop(parts);
    store.close()?;
    tracing::info!("stopped");
    Ok(())
}

fn start(config: &Config, store: Store, listeners: Vec<String>) -> Result<Parts, Error> {
    let certificates = Arc::new(Certificates::open(&store)?);
    certificates.renew_if_needed(now())?;
    let hasher = Arc::new(Hasher::new());
    let executor = Arc::new(Executor::new());
    let acceptor = Arc::clone(&certificates);
    let imap = Imap::new(Options {
        store: store.clone(),
        tls: Arc::new(move || acceptor.acceptor()),
        hasher: Arc::clone(&hasher),
        message_limit: config.message_limit,
        sign_of_life: SIGN_OF_LIFE,
        executor: Arc::clone(&executor),
    });
    let watcher = Arc::new(Watcher::start(store.clone(), WatchOptions::default()));
    let sessions = imap.clone();
    let running = Running {
        watcher: Arc::clone(&watcher),
        sessions: Arc::new(move || sessions.sessions()),
        listeners,
        started: Instant::now(),
    };
    let context = Context { store, hasher, certificates, running: Some(running) };
    Ok(Parts { context, watcher, imap, executor })
}

fn listen(parts: &Parts, listeners: Listeners, shutdown: &Shutdown) -> Result<(), Error> {
    let imaps = listeners.imaps.into_iter().map(|listener| (listener, Kind::Imaps));
    let imap = listeners.imap.into_iter().map(|listener| (listener, Kind::StartTls));
    for (listener, kind) in imaps.chain(imap) {
        let listener = smol::net::TcpListener::from(smol::Async::new(listener)?);
        let (imap, shutdown) = (parts.imap.clone(), shutdown.clone());
        parts.executor.spawn(async move { imap.serve(listener, kind, shutdown).await }).detach();
    }
    Ok(())
}

/// What has to be done now and then.
async fn upkeep(context: Context) {
    let (mut hourly, mut daily) = (Instant::now(), Instant::now());
    loop {
        Timer::after(TICK).await;
        context.hasher.release_if_idle();
        if hourly.elapsed() >= HOURLY {
            hourly = Instant::now();
            let certificates = Arc::clone(&context.certificates);
            match smol::unblock(move || certificates.renew_if_needed(now())).await {
                Ok(true) => tracing::info!("the certificate was renewed"),
                Ok(false) => {}
                Err(error) => tracing::error!(%error, "the certificate could not be renewed"),
            }
        }
        if daily.elapsed() >= DAILY {
            let elapsed = daily.elapsed().as_secs();
            daily = Instant::now();
            let store = context.store.clone();
            if let Err(error) = smol::unblock(move || storage::daily(&store, elapsed)).await {
                tracing::error!(%error, "the daily upkeep of the store failed");
            }
        }
    }
}

/// Seconds since 1970.
fn now() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs() as i64)
}
