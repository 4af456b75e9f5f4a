//! The IMAP front door: listeners, connections, sessions, and one file a command.
//!
//! Invariants:
//! - OK is sent after the commit is durable, never before.
//! - Nothing is awaited while a lock or a snapshot is held.
//! - Replies come in the order of the commands; a command's news precede its tagged reply.
//! - EXPUNGE and VANISHED are told only where [`news::may_expunge`] says so.

pub mod alarm;
pub mod append;
pub mod auth;
pub mod connection;
pub mod copy;
pub mod enable;
pub mod expunge;
pub mod fair_queue;
pub mod fair_turn;
mod fetch;
pub mod fetch_item;
pub mod fetch_literal;
pub mod fetch_message;
pub mod flags;
pub mod hub;
pub mod id;
pub mod idle;
pub mod list;
pub mod listener;
pub mod mailbox;
pub mod news;
pub mod notice;
pub mod patience;
pub mod pattern;
pub mod pool;
pub mod refusal;
pub mod search;
mod search_facts;
mod search_filter;
mod search_trial;
pub mod seats;
pub mod select;
pub mod session;
pub mod status;
mod steps;
pub mod store;
pub mod view;

use std::sync::Arc;
use std::time::Instant;

use async_rustls::TlsAcceptor;

use crate::credential::{Hasher, RecentLogins, Refusals, Throttle};
use crate::model::{AccountId, DeviceId};
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
    pub patience: Patience,
    /// Where sessions run.
    pub executor: Arc<smol::Executor<'static>>,
}

/// What all sessions share.
pub struct Shared {
    /// The store, on the blocking pool.
    pub pool: pool::Pool,
    /// Who hears of changes.
    pub hub: Arc<hub::Hub>,
    /// How many sessions there may be.
    pub seats: Arc<seats::Seats>,
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
    pub patience: Patience,
    /// The monotonic clock's zero.
    pub started: Instant,
    /// When this run began, in seconds since 1970: what was delivered before is not `\Recent`.
    pub started_unix: i64,
    turns: connection::Turns,
    executor: Arc<smol::Executor<'static>>,
    listener: ListenerId,
}

/// The IMAP server: shared by its listeners.
#[derive(Clone)]
pub struct Imap {
    shared: Arc<Shared>,
}

impl Imap {
    /// A server over a store. It listens to nothing before [`Imap::serve`].
    #[must_use]
    pub fn new(options: Options) -> Self {
        let hub = Arc::new(hub::Hub::default());
        let bell = Arc::clone(&hub);
        let listener = options.store.listen(Box::new(move |news| bell.ring(news)));
        let shared = Shared {
            pool: pool::Pool::new(options.store),
            hub,
            seats: Arc::new(seats::Seats::default()),
            tls: options.tls,
            hasher: options.hasher,
            recent: RecentLogins::new(),
            throttle: Throttle::new(),
            refusals: Arc::default(),
            message_limit: options.message_limit,
            patience: options.patience,
            started: Instant::now(),
            started_unix: crate::store::unix_now(),
            turns: connection::Turns::default(),
            executor: options.executor,
            listener,
        };
        Imap { shared: Arc::new(shared) }
    }

    /// Ends the sessions of an account whose device (none: its own password) `whose` names, with the reason;
    /// gives how many.
    pub fn dismiss(
        &self,
        account: AccountId,
        whose: &dyn Fn(Option<DeviceId>) -> bool,
        why: &'static str,
    ) -> usize {
        self.shared.hub.dismiss(account, whose, why)
    }

    /// How many sessions are logged in.
    #[must_use]
    pub fn sessions(&self) -> u32 {
        self.shared.seats.sessions()
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        self.pool.store().unlisten(self.listener);
    }
}

pub use listener::{Kind, Shutdown};
pub use patience::Patience;
