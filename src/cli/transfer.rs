//! A connection through which mail passes: to the server, or to a thread of this command that opens the
//! store itself where none runs.

use std::io::BufReader;
use std::os::unix::net::UnixStream;
use std::sync::{Arc, mpsc};
use std::thread::JoinHandle;
use std::time::Instant;

use super::perform::{self, PATIENCE, PAUSE};
use super::{Failure, Global};
use crate::actions::Context;
use crate::config::Config;
use crate::control::message::Request;
use crate::control::{client, transfer};
use crate::credential::Hasher;
use crate::server;
use crate::store::{Error, Store};
use crate::tls::Certificates;

/// A connection, and what has to end before the command does.
pub(super) struct Connection {
    /// What the other end sends; and the way to it.
    pub(super) input: BufReader<UnixStream>,
    serving: Option<Serving>,
}

impl Connection {
    /// Takes what the other end sends, for good.
    pub(super) fn split(self) -> (BufReader<UnixStream>, Ending) {
        (self.input, Ending(self.serving))
    }
}

/// What has to end.
pub(super) struct Ending(Option<Serving>);

impl Ending {
    /// Waits until the store is closed, if this command had opened it.
    pub(super) fn wait(self) -> Result<(), Failure> {
        let Some(serving) = self.0 else { return Ok(()) };
        serving.join().unwrap_or_else(|_| Err(Failure::new("the store's thread failed")))
    }
}

/// Asks for a transfer, wherever.
pub(super) fn open(global: &Global, request: &Request) -> Result<Connection, Failure> {
    let config = global.config()?;
    let since = Instant::now();
    loop {
        if let Some(input) = ask_server(&config, request)? {
            return Ok(Connection { input, serving: None });
        }
        match serve_here(&config)? {
            Here::Serving(stream, serving) => {
                let input = transfer::begin(stream, request).map_err(failed)?;
                return Ok(Connection { input, serving: Some(serving) });
            }
            Here::Locked(_) if since.elapsed() < PATIENCE => std::thread::sleep(PAUSE),
            Here::Locked(holder) => return Err(Failure::new(Error::Locked(holder))),
        }
    }
}

/// `None` if no server runs that has the store.
fn ask_server(config: &Config, request: &Request) -> Result<Option<BufReader<UnixStream>>, Failure> {
    let begun =
        transfer::connect(&config.socket).and_then(|stream| transfer::begin(stream, request)).map(Some);
    match begun {
        Err(client::Error::NotRunning) => Ok(None),
        begun => begun.map_err(failed),
    }
}

fn failed(error: client::Error) -> Failure {
    match error {
        client::Error::Refused(refusal) => Failure::Reason { reason: refusal.reason, advice: refusal.advice },
        error => Failure::new(error),
    }
}

type Serving = JoinHandle<Result<(), Failure>>;

/// What became of the store's side.
enum Here {
    Serving(UnixStream, Serving),
    /// Another process holds the store.
    Locked(String),
}

/// The store's side as a thread. It alone becomes the owner of the data: what this command reads and writes
/// elsewhere, it does as whoever started it.
fn serve_here(config: &Config) -> Result<Here, Failure> {
    let (here, there) = UnixStream::pair()?;
    let (opened, hear) = mpsc::channel();
    let thread = std::thread::Builder::new().name("store-side".to_owned());
    let config = config.clone();
    let serving = thread.spawn(move || {
        let store = perform::prepare(&config, false).and_then(|remembered| {
            match server::open_store(&config.data, remembered) {
                Ok(store) => Ok(Ok(store)),
                Err(server::Error::Store(Error::Locked(holder))) => Ok(Err(holder)),
                Err(error) => Err(error.into()),
            }
        });
        let store = match store {
            Ok(Ok(store)) => store,
            other => {
                let _ = opened.send(other.map(Result::err));
                return Ok(());
            }
        };
        let _ = opened.send(Ok(None));
        serve_store(store, &there)
    })?;
    let locked = hear.recv().unwrap_or_else(|_| Err(Failure::new("the store's thread failed")))?;
    Ok(locked.map_or(Here::Serving(here, serving), Here::Locked))
}

fn serve_store(store: Store, stream: &UnixStream) -> Result<(), Failure> {
    let served = {
        let certificates = Arc::new(Certificates::open(&store).map_err(Failure::new)?);
        let hasher = Arc::new(Hasher::new());
        let context = Context { store: store.clone(), hasher, certificates, running: None };
        transfer::serve_pair(stream, &context)
    };
    store.close()?;
    served.map_err(Failure::new)
}
