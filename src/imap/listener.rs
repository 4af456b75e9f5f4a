//! Accepts connections and starts a session for each.

use std::sync::Arc;
use std::time::Duration;

use futures_lite::FutureExt;
use smol::net::TcpListener;

use crate::credential::{Login, MINUTE};
use crate::imap::connection::Connection;
use crate::imap::fair_turn::in_turns;
use crate::imap::session::Session;
use crate::imap::shared::{Options, Shared};
use crate::imap::shutdown::Shutdown;
use crate::model::AccountId;

/// How a listener's connections begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// TLS at once: port 993.
    Imaps,
    /// In the clear, STARTTLS offered: port 143.
    StartTls,
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
        Imap { shared: Arc::new(Shared::new(options)) }
    }

    /// Ends the sessions of an account whose login `whose` names, with the reason; gives how many.
    pub fn dismiss(&self, account: AccountId, whose: &dyn Fn(Login) -> bool, why: &'static str) -> usize {
        self.shared.bells.dismiss(account, whose, why)
    }

    /// How many sessions are logged in.
    #[must_use]
    pub fn sessions(&self) -> u32 {
        self.shared.limits.sessions()
    }

    /// Accepts connections until `shutdown`.
    pub async fn serve(&self, listener: TcpListener, kind: Kind, shutdown: Shutdown) {
        loop {
            let accept = async { Some(listener.accept().await) };
            let stop = async {
                shutdown.wait().await;
                None
            };
            match stop.or(accept).await {
                None => return,
                Some(Ok((socket, peer))) => {
                    let _ = socket.set_nodelay(true);
                    let connection = Connection::plain(socket, peer, self.shared.turns.clone());
                    let session = begin(Arc::clone(&self.shared), connection, kind, shutdown.clone());
                    let session = in_turns(Box::pin(session));
                    self.shared.executor.spawn(session).detach();
                }
                Some(Err(error)) => {
                    // Out of file descriptors, most likely: sessions that end make room.
                    tracing::warn!(%error, "accepting a connection failed");
                    smol::Timer::after(Duration::from_millis(100)).await;
                }
            }
        }
    }
}

async fn begin(shared: Arc<Shared>, mut connection: Connection, kind: Kind, shutdown: Shutdown) {
    let peer = connection.peer();
    let seat = match shared.limits.connect(peer.ip()) {
        Ok(seat) => seat,
        Err(full) => {
            let minute = smol::Timer::after(MINUTE);
            if let Some(rest) = shared.refusals.log(peer.ip(), "a connection was refused", full, minute) {
                shared.executor.spawn(rest).detach();
            }
            if kind == Kind::StartTls {
                connection.out().extend_from_slice(format!("* BYE [UNAVAILABLE] {full}\r\n").as_bytes());
                connection.close().await;
            }
            return;
        }
    };
    if kind == Kind::Imaps
        && let Err(error) = Box::pin(connection.start_tls((shared.tls)())).await
    {
        tracing::debug!(%peer, %error, "the TLS handshake failed");
        return;
    }
    Session::new(shared, connection, seat, shutdown).run().await;
}
