//! What all sessions share.

use std::sync::Arc;
use std::time::Instant;

use async_rustls::TlsAcceptor;

use crate::credential::{Hasher, RecentLogins, Refusals, Throttle};
use crate::imap::change_bell::ChangeBells;
use crate::imap::connection::Turns;
use crate::imap::pool::Pool;
use crate::imap::session_limits::SessionLimits;
use crate::imap::timeouts::Timeouts;
use crate::store::{ListenerId, Store};

/// What the IMAP server needs to know.
pub struct Options {
    /// The store.
    pub store: Store,
    /// Gives the acceptor with the certificate of the moment.
    pub tls: Arc<dyn Fn() -> TlsAcceptor + Send + Sync>,
    /// Hashes passwords, one at a time.
    pub hasher: Arc<Hasher>,
    /// The largest message that APPEND takes, in bytes.
    pub message_limit: u64,
    /// How long clients are waited for.
    pub timeouts: Timeouts,
    /// Where sessions run.
    pub executor: Arc<smol::Executor<'static>>,
}

/// What all sessions share.
pub struct Shared {
    /// The store, on the blocking pool.
    pub pool: Pool,
    /// Who hears of changes.
    pub bells: Arc<ChangeBells>,
    /// How many sessions there may be.
    pub limits: Arc<SessionLimits>,
    /// Gives the acceptor with the certificate of the moment.
    pub tls: Arc<dyn Fn() -> TlsAcceptor + Send + Sync>,
    /// Hashes passwords.
    pub hasher: Arc<Hasher>,
    /// Logins that lately succeeded.
    pub recent: RecentLogins,
    /// Slows down wrong passwords.
    pub throttle: Throttle,
    /// Connections that were refused lately.
    pub refusals: Arc<Refusals>,
    /// The largest message that APPEND takes, in bytes.
    pub message_limit: u64,
    /// How long clients are waited for.
    pub timeouts: Timeouts,
    /// The monotonic clock's zero.
    pub started: Instant,
    /// When this run began, in seconds since 1970: what was delivered before is not `\Recent`.
    pub started_unix: i64,
    /// Who may send a large command.
    pub turns: Turns,
    /// Where sessions run.
    pub executor: Arc<smol::Executor<'static>>,
    listener: ListenerId,
}

impl Shared {
    /// What the sessions over a store share; it hears of changes from now on.
    #[must_use]
    pub fn new(options: Options) -> Self {
        let bells = Arc::new(ChangeBells::default());
        let rung = Arc::clone(&bells);
        let listener = options.store.listen(Box::new(move |news| rung.ring(news)));
        Shared {
            pool: Pool::new(options.store),
            bells,
            limits: Arc::new(SessionLimits::default()),
            tls: options.tls,
            hasher: options.hasher,
            recent: RecentLogins::new(),
            throttle: Throttle::new(),
            refusals: Arc::default(),
            message_limit: options.message_limit,
            timeouts: options.timeouts,
            started: Instant::now(),
            started_unix: crate::store::unix_now(),
            turns: Turns::default(),
            executor: options.executor,
            listener,
        }
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        self.pool.store().unlisten(self.listener);
    }
}
