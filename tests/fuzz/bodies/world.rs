//! A store in memory with an account and what works on it, for bodies that speak to a server.

use std::sync::Arc;

use postern::actions::{Context, account, device};
use postern::credential::Hasher;
use postern::model::{AccountName, DeviceName};
use postern::store::sim::{SimClock, SimDisk, SimRandom};
use postern::store::{Options, Store};
use postern::tls::Certificates;

/// The account.
pub const NAME: &str = "anna";

pub struct World {
    pub context: Context,
    /// A device's password.
    pub password: String,
    pub executor: Arc<smol::Executor<'static>>,
}

impl World {
    pub fn new(executor: Arc<smol::Executor<'static>>) -> World {
        // The hour is the real one, for links and passwords grow old by it.
        let options = Options {
            disk: Arc::new(SimDisk::default()),
            clock: Arc::new(SimClock(postern::store::unix_now().unsigned_abs().into())),
            random: Arc::new(SimRandom::new(1)),
            segment_size: 1 << 20,
            reserve: 0,
            ..Options::new("/data")
        };
        let store = Store::open(options).unwrap();
        let certificates = Arc::new(Certificates::open(&store).unwrap());
        let context = Context { store, hasher: Arc::new(Hasher::new()), certificates, running: None };
        account::add(&context, &AccountName::new(NAME).unwrap(), None).unwrap();
        let password =
            device::add(&context, Some(NAME), &DeviceName::new("phone").unwrap()).unwrap().password;
        World { context, password, executor }
    }
}

/// An executor that runs on a thread of its own from now on.
pub fn executor() -> Arc<smol::Executor<'static>> {
    let executor = Arc::new(smol::Executor::new());
    let runs = Arc::clone(&executor);
    std::thread::spawn(move || smol::block_on(runs.run(std::future::pending::<()>())));
    executor
}
