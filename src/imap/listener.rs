//! Accepts connections and starts a session for each.

use std::sync::Arc;
use std::time::Duration;

use async_channel::{Receiver, Sender};
use futures_lite::FutureExt;
use smol::net::TcpListener;

use crate::credential::MINUTE;
use crate::imap::connection::Connection;
use crate::imap::fair_turn::in_turns;
use crate::imap::session::Session;
use crate::imap::{Imap, Shared};

/// How a listener's connections begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// TLS at once: port 993.
    Imaps,
    /// In the clear, STARTTLS offered: port 143.
    StartTls,
}

/// Tells every listener and session that the server ends. Clones wait for the same end.
#[derive(Clone, Debug)]
pub struct Shutdown {
    /// Closed when the server ends; nothing is ever sent.
    signal: Receiver<()>,
}

impl Shutdown {
    /// The signal, and what triggers it when it is dropped.
    #[must_use]
    pub fn new() -> (Sender<()>, Shutdown) {
        let (trigger, signal) = async_channel::bounded(1);
        (trigger, Shutdown { signal })
    }

    /// Ends when the server does.
    pub async fn wait(&self) {
        let _ = self.signal.recv().await;
    }

    /// Whether the server is ending.
    #[must_use]
    pub fn is_triggered(&self) -> bool {
        self.signal.is_closed()
    }
}

impl Imap {
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
    let seat = match shared.seats.connect(peer.ip()) {
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
