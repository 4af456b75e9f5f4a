//! Wires the parts together: opens the store, starts listeners, watcher and control socket, and ends them in
//! order.

mod opening;
pub mod supervisor;

use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_channel::Receiver;
use async_signal::{Signal, Signals};
use futures_lite::StreamExt;
use rustix::net::{self, AddressFamily, SocketFlags, SocketType};
use rustix::process::{Resource, getrlimit, setrlimit};
use smol::{Executor, Timer};

use crate::actions::administrator::{self, SetupLink};
use crate::actions::backup_job::Backups;
use crate::actions::certificate::{self, Looked};
use crate::actions::trouble::Trouble;
use crate::actions::{self, Context, Running, backup, check, damage, forecast, storage};
use crate::admin::{self, Admin};
use crate::config::Config;
use crate::config::remembered::Remembered;
use crate::control;
use crate::credential::Hasher;
use crate::imap::{Imap, Kind, Options, Shutdown, Timeouts};
use crate::import::watch::watcher::{WatchOptions, Watcher};
use crate::store::check::keep::Keeper;
use crate::store::fault::{Fault, fault};
use crate::store::{self, Store, unix_now};
use crate::tls::{self, Certificates};
use supervisor::Supervisor;

/// Threads that run sessions. What takes long is on the blocking pool, so that two are enough.
const THREADS: usize = 2;
/// Sessions have so long to say goodbye: with the last checkpoint the end takes less than three seconds.
const GOODBYE: Duration = Duration::from_secs(2);
/// How often small upkeep runs.
const TICK: Duration = Duration::from_secs(5);
/// How often the host's names and addresses and the certificate's end are looked at: a Pi gets its address,
/// and the time, a little after its services have started.
const EACH_MINUTE: Duration = Duration::from_secs(60);
/// How often the time that the store has been in use is noted.
const HOURLY: Duration = Duration::from_secs(3600);
/// Connections, volumes, inotify and what else is open at a time: the usual soft limit of 1,024 is too little for
/// `imap::session_limits::CONNECTIONS`.
const OPEN_FILES: u64 = 4_096;

/// Why the server cannot run.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Nothing can listen there.
    #[error("cannot listen at {address}: {error}{}", help(*address, error))]
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
    /// The data folder does not hold the store that belongs there.
    #[error("{reason} ({} remembers it: remove its line there if this is meant to be so)", file.display())]
    NotExpected {
        /// What is wrong.
        reason: String,
        /// Where it is remembered.
        file: PathBuf,
    },
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
    admin: Vec<TcpListener>,
}

impl Listeners {
    /// Binds what the configuration says.
    ///
    /// # Errors
    /// If something else has a port; if that is a server on the same data, this is what is said.
    pub fn bind(config: &Config) -> Result<Self, Error> {
        let all = |addresses: &[SocketAddr]| -> Result<Vec<_>, Error> {
            addresses.iter().map(|address| bind(*address)).collect()
        };
        let bound = || {
            Ok(Listeners { imaps: all(&config.imaps)?, imap: all(&config.imap)?, admin: all(&config.admin)? })
        };
        bound().map_err(|error| match store::holder(&config.data) {
            Some(holder) => Error::Store(store::Error::Locked(holder)),
            None => error,
        })
    }

    /// `imaps=[::]:993` and so on.
    fn names(&self) -> Vec<String> {
        let name = |kind: &str, listeners: &[TcpListener]| -> Vec<String> {
            let addresses = listeners.iter().filter_map(|listener| listener.local_addr().ok());
            addresses.map(|address| format!("{kind}={address}")).collect()
        };
        [name("imaps", &self.imaps), name("imap", &self.imap), name("admin", &self.admin)].concat()
    }
}

/// Connections that may wait to be accepted: a house whose phones all come back at once.
const BACKLOG: i32 = 256;

/// Where IPv6 is off, `[::]` means IPv4; else both, whatever the system's default is.
fn bind(address: SocketAddr) -> Result<TcpListener, Error> {
    match listen_at(address) {
        Err(error) if address.is_ipv6() && address.ip().is_unspecified() && is_off(&error) => {
            tracing::info!(%address, "IPv6 is off: listening on IPv4 only");
            let address = SocketAddr::from((Ipv4Addr::UNSPECIFIED, address.port()));
            listen_at(address).map_err(|error| Error::Listen { address, error })
        }
        other => other.map_err(|error| Error::Listen { address, error }),
    }
}

fn listen_at(address: SocketAddr) -> io::Result<TcpListener> {
    let family = if address.is_ipv6() { AddressFamily::INET6 } else { AddressFamily::INET };
    let socket = net::socket_with(family, SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
    if address.is_ipv6() && address.ip().is_unspecified() {
        net::sockopt::set_ipv6_v6only(&socket, false)?;
    }
    // The connections of the run before linger a while, and must not keep this one from starting.
    net::sockopt::set_socket_reuseaddr(&socket, true)?;
    net::bind(&socket, &address)?;
    net::listen(&socket, BACKLOG)?;
    Ok(socket.into())
}

/// Whether this is what a system without IPv6 says.
fn is_off(error: &io::Error) -> bool {
    error.raw_os_error() == Some(rustix::io::Errno::AFNOSUPPORT.raw_os_error())
        || matches!(error.kind(), io::ErrorKind::Unsupported | io::ErrorKind::AddrNotAvailable)
}

/// What to do about it.
fn help(address: SocketAddr, error: &io::Error) -> String {
    let port = address.port();
    match error.kind() {
        io::ErrorKind::AddrInUse => format!(
            "; `ss -ltnp 'sport = :{port}'` shows what listens there: stop it, or choose another port with --imaps, --imap and --admin"
        ),
        io::ErrorKind::PermissionDenied if port < 1024 => {
            "; ports below 1024 are root's: start as root, or choose others with --imaps, --imap and --admin"
                .to_owned()
        }
        io::ErrorKind::AddrNotAvailable => "; this machine does not have that address".to_owned(),
        _ => String::new(),
    }
}

/// What ends a server.
pub struct Ends(Signals);

impl Ends {
    /// From now on these signals end the server rather than the process, one that comes before the server
    /// runs as well.
    ///
    /// # Errors
    /// Of the system.
    pub fn on(signals: &[Signal]) -> io::Result<Self> {
        Signals::new(signals).map(Ends)
    }
}

/// What whoever starts a server has prepared, some of it as root.
pub struct Given {
    /// What is known of the data folder.
    pub remembered: Option<Remembered>,
    /// The ports.
    pub listeners: Listeners,
    /// What ends it.
    pub ends: Ends,
    /// The last lines of the log, for the admin site.
    pub log: admin::log::Recent,
    /// Who is told how it goes.
    pub supervisor: Supervisor,
}

/// A running server's parts.
struct Parts {
    context: Context,
    watcher: Arc<Watcher>,
    imap: Imap,
    admin: Admin,
    executor: Arc<Executor<'static>>,
    backups: Backups,
}

/// What the file beside the configuration remembers of the data folder. Ask before root is given up.
///
/// # Errors
/// If it is there and cannot be read.
pub fn remembered(config: &Config) -> Result<Option<Remembered>, Error> {
    let Some(file) = &config.file else { return Ok(None) };
    let loaded = Remembered::load(file, &config.data);
    loaded.map(Some).map_err(|error| Error::Folder { path: file.with_extension("store"), error })
}

/// Opens the store in a data folder that is made if it is missing, unless a store is `remembered` there.
///
/// # Errors
/// If it cannot be made, is not what was expected there, or another process holds it.
pub fn open_store(data: &Path, mut remembered: Option<Remembered>) -> Result<Store, Error> {
    open_remembering(data, remembered.as_mut())
}

fn open_remembering(data: &Path, remembered: Option<&mut Remembered>) -> Result<Store, Error> {
    use std::os::unix::fs::DirBuilderExt;
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(data)
        .map_err(|error| Error::Folder { path: data.to_owned(), error })?;
    let mut options = store_options(data);
    options.expect = remembered.as_ref().and_then(|remembered| remembered.expected());
    options.expect_epoch = remembered.as_ref().and_then(|remembered| remembered.run());
    let expected = options.expect.is_some();
    let store = Store::open(options).map_err(|error| match (&remembered, error) {
        (Some(remembered), store::Error::NotExpected(reason)) if expected => {
            Error::NotExpected { reason, file: remembered.path().to_owned() }
        }
        (_, error) => Error::Store(error),
    })?;
    if let Some(remembered) = remembered
        && let Err(error) =
            remembered.remember(store.id()).and_then(|()| remembered.remember_run(store.epoch()))
    {
        let file = remembered.path().display();
        tracing::info!(%error, %file, "which store belongs here cannot be remembered");
    }
    Ok(store)
}

/// How a server opens its store.
#[must_use]
pub fn store_options(data: &Path) -> store::Options {
    store::Options { live_emails: Some(actions::live_emails), ..store::Options::new(data) }
}

/// How far a server is.
pub enum Progress<'a> {
    /// It takes clients.
    Ready(Option<&'a SetupLink>),
    /// It waits until it can open its store.
    Waiting(&'a Trouble),
}

/// Runs a server until a signal ends it. `tell` is called with the names of its listeners as it gets on.
///
/// # Errors
/// If it cannot start, or the store cannot be closed. That the store cannot be opened is none: it waits.
pub fn run(
    config: &Config,
    given: Given,
    mut tell: impl FnMut(&[String], Progress<'_>),
) -> Result<(), Error> {
    let Given { remembered, listeners, ends: Ends(mut signals), log, supervisor } = given;
    let patience = supervisor.patience();
    allow_open_files();
    let names = listeners.names();
    let opening = opening::Opening {
        config,
        remembered,
        supervisor: &supervisor,
        waiting: &mut |trouble| tell(&names, Progress::Waiting(trouble)),
    };
    let Some(store) = opening.run(&listeners, &mut signals)? else {
        supervisor.stopping();
        return Ok(());
    };
    let parts = start(config, store.clone(), names.clone(), log)?;
    let (trigger, shutdown) = Shutdown::new();
    let (stop_admin, admin_stops) = async_channel::bounded(1);
    listen(&parts, listeners, &shutdown, &admin_stops)?;
    let control = if_writable(&store, &config.socket, control::server::bind(&config.socket))?;
    let control_task = control.map(|control| {
        let serving = control::server::serve(control, parts.context.clone(), Arc::clone(&parts.executor));
        parts.executor.spawn(serving)
    });
    let deliveries = config.delivery_socket();
    let delivery = if_writable(&store, &deliveries, control::delivery::bind(&deliveries))?;
    let delivery_task = delivery.map(|delivery| {
        let (context, executor) = (parts.context.clone(), Arc::clone(&parts.executor));
        let serving = control::delivery::serve(delivery, context, config.message_limit, executor);
        parts.executor.spawn(serving)
    });
    let upkeep = parts.executor.spawn(upkeep(parts.context.clone()));
    let workers = (1..THREADS)
        .map(|n| {
            let (executor, shutdown) = (Arc::clone(&parts.executor), shutdown.clone());
            std::thread::Builder::new()
                .name(format!("sessions-{n}"))
                .spawn(move || smol::block_on(executor.run(shutdown.wait())))
        })
        .collect::<io::Result<Vec<_>>>()?;
    tracing::info!(listeners = names.join(" "), data = %config.data.display(), "ready");
    tell(&names, Progress::Ready(setup_link(&parts.context).as_ref()));
    drop(patience);
    supervisor.ready();
    supervisor.status("Serving mail");
    let lives = parts.executor.spawn(signs_of_life(supervisor.clone()));
    smol::block_on(parts.executor.run(async {
        let signal = signals.next().await;
        tracing::info!(?signal, "shutting down");
        supervisor.stopping();
        drop((trigger, stop_admin));
        drop((control_task, delivery_task, upkeep, lives));
        let deadline = Instant::now() + GOODBYE;
        while !parts.executor.is_empty() && Instant::now() < deadline {
            Timer::after(Duration::from_millis(20)).await;
        }
    }));
    let patience = supervisor.patience();
    for worker in workers {
        let _ = worker.join();
    }
    let _ = std::fs::remove_file(&config.socket);
    let _ = std::fs::remove_file(&deliveries);
    parts.watcher.stop();
    parts.backups.stop_and_wait(GOODBYE);
    drop(parts);
    store.close()?;
    drop(patience);
    tracing::info!("stopped");
    Ok(())
}

/// A socket that cannot be made where nothing can be written is done without: mail can be read all the same.
fn if_writable<T>(store: &Store, path: &Path, bound: io::Result<T>) -> Result<Option<T>, Error> {
    match bound {
        Err(error) if fault(&error) == Fault::Denied && store.condition().read_only.is_some() => {
            let path = path.display();
            tracing::warn!(%error, %path, "no command reaches this server; --socket names a place for its socket");
            Ok(None)
        }
        other => other.map(Some).map_err(|error| Error::Folder { path: path.to_owned(), error }),
    }
}

/// Raises the soft limit, as far as the hard one lets it.
fn allow_open_files() {
    let mut limit = getrlimit(Resource::Nofile);
    let wanted = limit.maximum.map_or(OPEN_FILES, |maximum| maximum.min(OPEN_FILES));
    if limit.current.is_some_and(|current| current < wanted) {
        limit.current = Some(wanted);
        if let Err(error) = setrlimit(Resource::Nofile, limit) {
            tracing::warn!(%error, "the limit of open files could not be raised");
        }
    }
}

fn start(
    config: &Config,
    store: Store,
    listeners: Vec<String>,
    log: admin::log::Recent,
) -> Result<Parts, Error> {
    let certificates = Arc::new(Certificates::open(&store)?);
    // A store that takes no changes is served with the certificate that it has.
    if let Err(error) = certificates.renew_if_needed(unix_now()) {
        tracing::error!(%error, "the certificate could not be renewed");
    }
    let hasher = Arc::new(Hasher::new());
    let executor = Arc::new(Executor::new());
    let acceptor = Arc::clone(&certificates);
    let imap = Imap::new(Options {
        store: store.clone(),
        tls: Arc::new(move || acceptor.acceptor()),
        hasher: Arc::clone(&hasher),
        message_limit: config.message_limit,
        timeouts: Timeouts::default(),
        executor: Arc::clone(&executor),
    });
    let watcher = Arc::new(Watcher::start(store.clone(), WatchOptions::default()));
    let (sessions, dismissing) = (imap.clone(), imap.clone());
    let backups = Backups::default();
    let running = Running {
        backups: backups.clone(),
        watcher: Arc::clone(&watcher),
        checks: Arc::default(),
        sessions: Arc::new(move || sessions.sessions()),
        dismiss: Arc::new(move |account, whose, why| dismissing.dismiss(account, whose, why)),
        listeners,
        started: Instant::now(),
    };
    let context = Context { store, hasher, certificates, running: Some(running) };
    let acceptor = Arc::clone(&context.certificates);
    let admin = Admin::new(admin::Options {
        context: context.clone(),
        tls: Arc::new(move || acceptor.http_acceptor()),
        executor: Arc::clone(&executor),
        log,
        spool: config.data.clone(),
    });
    Ok(Parts { context, watcher, imap, admin, executor, backups })
}

/// The one-time link, as long as nobody has set the administrator's password.
fn setup_link(context: &Context) -> Option<SetupLink> {
    let made = administrator::is_set_up(context)
        .and_then(|done| if done { Ok(None) } else { administrator::setup_link(context).map(Some) });
    match made {
        Ok(link) => link,
        Err(error) => {
            tracing::error!(%error, "no set-up link could be made");
            None
        }
    }
}

fn listen(
    parts: &Parts,
    listeners: Listeners,
    shutdown: &Shutdown,
    admin_stops: &Receiver<()>,
) -> Result<(), Error> {
    for listener in listeners.admin {
        let listener = smol::net::TcpListener::from(smol::Async::new(listener)?);
        let (admin, stops) = (parts.admin.clone(), admin_stops.clone());
        parts.executor.spawn(async move { admin.serve(listener, stops).await }).detach();
    }
    let imaps = listeners.imaps.into_iter().map(|listener| (listener, Kind::Imaps));
    let imap = listeners.imap.into_iter().map(|listener| (listener, Kind::StartTls));
    for (listener, kind) in imaps.chain(imap) {
        let listener = smol::net::TcpListener::from(smol::Async::new(listener)?);
        let (imap, shutdown) = (parts.imap.clone(), shutdown.clone());
        parts.executor.spawn(async move { imap.serve(listener, kind, shutdown).await }).detach();
    }
    Ok(())
}

/// Tells the supervisor that the executor turns, if it wants to know.
async fn signs_of_life(supervisor: Supervisor) {
    let Some(pause) = supervisor.sign_of_life() else { return };
    loop {
        supervisor.alive();
        Timer::after(pause).await;
    }
}

/// Files what the index does not name into "Recovered", on a thread of its own.
fn recover_unnamed(store: Store) -> smol::Task<()> {
    smol::unblock(move || {
        if let Err(error) = store.recover_unnamed() {
            tracing::error!(%error, "messages that the index does not name could not be recovered");
        }
    })
}

/// What has to be done now and then.
async fn upkeep(context: Context) {
    let (mut looked, mut noted) = (Instant::now(), Instant::now());
    let (mut keeper, mut told) = (Keeper::default(), Vec::new());
    let mut certificate = Looked::default();
    let mut recovery: Option<smol::Task<()>> = None;
    loop {
        tell_problems(&context.store, &mut told);
        Timer::after(TICK).await;
        context.hasher.release_if_idle();
        if looked.elapsed() >= EACH_MINUTE {
            looked = Instant::now();
            let certificates = Arc::clone(&context.certificates);
            match smol::unblock(move || certificates.renew_if_needed(unix_now())).await {
                Ok(true) => tracing::info!("the certificate was renewed"),
                Ok(false) => {}
                Err(error) => tracing::error!(%error, "the certificate could not be renewed"),
            }
            let watching = context.clone();
            certificate = smol::unblock(move || certificate::look(&watching, certificate)).await;
            keeper = keep_catalogue(context.store.clone(), keeper).await;
            back_up_if_due(context.clone()).await;
            // Once, after a mixture, it may take minutes: nothing waits for it.
            if recovery.as_ref().is_none_or(smol::Task::is_finished) {
                recovery = Some(recover_unnamed(context.store.clone()));
            }
            let store = context.store.clone();
            if let Err(error) = smol::unblock(move || forecast::sample(&store, unix_now())).await {
                tracing::debug!(%error, "the day's sample of the store's size");
            }
        }
        if noted.elapsed() >= HOURLY {
            let elapsed = noted.elapsed().as_secs();
            noted = Instant::now();
            let store = context.store.clone();
            if let Err(error) = smol::unblock(move || storage::upkeep(&store, elapsed)).await {
                tracing::error!(%error, "the daily upkeep of the store failed");
            }
            let checked = context.clone();
            if let Err(error) = smol::unblock(move || check::weekly(&checked)).await {
                tracing::error!(%error, "the weekly check of the store could not begin");
            }
        }
    }
}

/// Begins the daily backup, where one is set up and it is time.
async fn back_up_if_due(context: Context) {
    let began = smol::unblock(move || {
        let Some(running) = &context.running else { return Ok(()) };
        let runs = running.backups.state().is_some_and(|job| job.ended.is_none());
        if runs || !backup::is_due(&context, unix_now())? {
            return Ok(());
        }
        running.backups.start(&context, &backup::Order::default())
    });
    if let Err(failure) = began.await {
        tracing::error!(%failure, "the daily backup could not begin");
    }
}

/// Writes what cannot be derived beside the index, where it is time.
async fn keep_catalogue(store: Store, mut keeper: Keeper) -> Keeper {
    smol::unblock(move || {
        match keeper.look(&store) {
            Ok(Some(written)) => tracing::debug!(rows = written.rows, "a catalogue was written"),
            Ok(None) => {}
            Err(error) => tracing::error!(%error, "no catalogue of the store could be written"),
        }
        keeper
    })
    .await
}

/// Each problem of the store in the log when it is first known, for whoever reads no overview. That there is more of
/// the same is not told again.
fn tell_problems(store: &Store, told: &mut Vec<String>) {
    for problem in damage::problems(&store.condition()) {
        let kind: String = problem.what.chars().filter(|c| !c.is_ascii_digit()).collect();
        if !told.contains(&kind) {
            tracing::error!(problem = problem.what, help = problem.help, "something is wrong with the store");
            told.push(kind);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_ipv6_everywhere_means_ipv4_and_nothing_else_does() {
        let off = io::Error::from(rustix::io::Errno::AFNOSUPPORT);
        assert!(is_off(&off) && is_off(&io::Error::from(rustix::io::Errno::ADDRNOTAVAIL)));
        assert!(!is_off(&io::Error::from(rustix::io::Errno::ADDRINUSE)));
        // Documentation addresses: no machine has them, and no other address may be opened in their place.
        for address in ["[2001:db8::1]:0", "192.0.2.1:0"] {
            let error = bind(address.parse().unwrap()).unwrap_err().to_string();
            assert!(error.contains(address), "{error}");
        }
    }

    #[test]
    fn a_port_that_is_taken_says_what_to_do() {
        let taken = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = taken.local_addr().unwrap();
        let error = bind(address).unwrap_err().to_string();
        assert!(
            error.contains(&format!("sport = :{}", address.port())) && error.contains("--imaps"),
            "{error}"
        );
    }
}
