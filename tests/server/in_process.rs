//! An IMAP server in the test's own process, so that what takes minutes can be short.

use std::net::SocketAddr;
use std::sync::Arc;
use std::thread::JoinHandle;

use postern::credential::Hasher;
use postern::imap::{Imap, Kind, Options, Shutdown, Timeouts};
use postern::store::{Store, accounts};

use crate::harness::{Client, PASSWORD};

/// Runs until it is dropped. Its account is alice.
pub struct InProcess {
    pub address: SocketAddr,
    stop: Option<Box<dyn std::any::Any>>,
    thread: Option<JoinHandle<()>>,
    _folder: Option<tempfile::TempDir>,
}

impl InProcess {
    pub fn start(timeouts: Timeouts) -> InProcess {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(postern::store::Options::new(folder.path())).unwrap();
        let hasher = Arc::new(Hasher::new());
        let hash = hasher.hash(PASSWORD).unwrap();
        store.write(move |tx| accounts::create(tx, "alice", Some(&hash))).unwrap();
        let mut server = InProcess::over(store, hasher, timeouts);
        server._folder = Some(folder);
        server
    }

    /// Over a store that has this account already.
    pub fn over(store: Store, hasher: Arc<Hasher>, timeouts: Timeouts) -> InProcess {
        let executor = Arc::new(smol::Executor::new());
        let imap = Imap::new(Options {
            store,
            tls: Arc::new(|| unreachable!("nobody begins TLS here")),
            hasher,
            message_limit: 8 << 20,
            timeouts,
            executor: Arc::clone(&executor),
        });
        let (stop, shutdown) = Shutdown::new();
        let listener = smol::block_on(smol::net::TcpListener::bind("127.0.0.1:0")).unwrap();
        let address = listener.local_addr().unwrap();
        let serving = executor.spawn(async move { imap.serve(listener, Kind::StartTls, shutdown).await });
        let thread = std::thread::spawn(move || smol::block_on(executor.run(serving)));
        InProcess { address, stop: Some(Box::new(stop)), thread: Some(thread), _folder: None }
    }

    /// A connection that has been greeted.
    pub fn connect(&self) -> Client {
        let mut client = Client::open(self.address);
        client.line();
        client
    }
}

impl Drop for InProcess {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let ended = thread.join();
            assert!(ended.is_ok() || std::thread::panicking(), "the server panicked");
        }
    }
}
