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
    let (stream, serving) = connect(&config)?;
    match transfer::begin(stream, request) {
        Ok(input) => Ok(Connection { input, serving }),
        Err(client::Error::Refused(refusal)) => {
            Err(Failure::Reason { reason: refusal.reason, advice: refusal.advice })
        }
        Err(error) => Err(Failure::new(error)),
    }
}

type Serving = JoinHandle<Result<(), Failure>>;

fn connect(config: &Config) -> Result<(UnixStream, Option<Serving>), Failure> {
    let since = Instant::now();
    loop {
        match transfer::connect(&config.socket) {
            Ok(stream) => return Ok((stream, None)),
            Err(client::Error::NotRunning) => {}
            Err(error) => return Err(Failure::new(error)),
        }
        match serve_here(config)? {
            Some((stream, serving)) => return Ok((stream, Some(serving))),
            None if since.elapsed() < PATIENCE => std::thread::sleep(PAUSE),
            None => return Err(Failure::new("the store is in use by another process")),
        }
    }
}

/// The store's side as a thread. It alone becomes the owner of the data: what this command reads and writes
/// elsewhere, it does as whoever started it. `None` if another process holds the store.
fn serve_here(config: &Config) -> Result<Option<(UnixStream, Serving)>, Failure> {
    let (here, there) = UnixStream::pair()?;
    let (opened, hear) = mpsc::channel();
    let thread = std::thread::Builder::new().name("store-side".to_owned());
    let config = config.clone();
    let serving = thread.spawn(move || {
        let store = perform::prepare(&config, false).and_then(|remembered| {
            match server::open_store(&config.data, remembered) {
                Ok(store) => Ok(Some(store)),
                Err(server::Error::Store(Error::Locked(_))) => Ok(None),
                Err(error) => Err(error.into()),
            }
        });
        let store = match store {
            Ok(Some(store)) => store,
            other => {
                let _ = opened.send(other.map(|_| false));
                return Ok(());
            }
        };
        let _ = opened.send(Ok(true));
        serve_store(store, &there)
    })?;
    let opened = hear.recv().unwrap_or_else(|_| Err(Failure::new("the store's thread failed")))?;
    Ok(opened.then_some((here, serving)))
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
