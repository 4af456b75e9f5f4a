//! What mail programs meet while the store cannot be opened: BYE with the reason before any greeting (RFC 9051
//! §7.1.5). Under TLS that takes the certificate that they know. Where it cannot be had either they are closed at once,
//! which phones take for a server that is away: another certificate would have each of them ask its owner whether to
//! trust a stranger.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use async_lock::Semaphore;
use async_rustls::TlsAcceptor;
use futures_lite::{AsyncWrite, AsyncWriteExt, FutureExt};
use smol::net::{TcpListener, TcpStream};
use smol::{Executor, Timer};

use crate::imap::Kind;

/// Whoever is turned away has so long for the handshake and the line.
const PATIENCE: Duration = Duration::from_secs(10);
/// Connections at a time; more wait.
const AT_A_TIME: usize = 16;
/// The longest reason: it is a line of a protocol.
const LONGEST: usize = 400;

/// What turns connections away.
#[derive(Clone)]
pub struct Notice {
    /// Says why.
    pub why: Arc<dyn Fn() -> String + Send + Sync>,
    /// With the certificate that mail programs know, if it could be had.
    pub tls: Option<TlsAcceptor>,
    /// Where connections run.
    pub executor: Arc<Executor<'static>>,
}

impl Notice {
    /// Turns every connection away until it is dropped.
    pub async fn serve(self, listener: TcpListener, kind: Kind) {
        let places = Arc::new(Semaphore::new(AT_A_TIME));
        loop {
            let place = places.acquire_arc().await;
            match listener.accept().await {
                Ok((socket, peer)) => {
                    let notice = self.clone();
                    let told = async move {
                        let late = async {
                            Timer::after(PATIENCE).await;
                            Err(io::ErrorKind::TimedOut.into())
                        };
                        if let Err(error) = notice.tell(socket, kind).or(late).await {
                            tracing::debug!(%peer, %error, "a connection could not be told why");
                        }
                        drop(place);
                    };
                    self.executor.spawn(told).detach();
                }
                Err(error) => {
                    tracing::debug!(%error, "accepting a connection failed");
                    Timer::after(Duration::from_millis(100)).await;
                }
            }
        }
    }

    async fn tell(&self, socket: TcpStream, kind: Kind) -> io::Result<()> {
        match (kind, &self.tls) {
            (Kind::StartTls, _) => say(socket, &(self.why)()).await,
            (Kind::Imaps, Some(tls)) => say(tls.accept(socket).await?, &(self.why)()).await,
            (Kind::Imaps, None) => Ok(()),
        }
    }
}

async fn say(mut stream: impl AsyncWrite + Unpin, why: &str) -> io::Result<()> {
    stream.write_all(bye(why).as_bytes()).await?;
    stream.flush().await?;
    stream.close().await
}

fn bye(why: &str) -> String {
    let plain = |c: char| if c.is_ascii() && !c.is_ascii_control() { c } else { '?' };
    let line: String = why.chars().map(plain).take(LONGEST).collect();
    format!("* BYE [UNAVAILABLE] {line}\r\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_is_one_line_of_ascii() {
        assert_eq!(bye("disk\r\nfull: é"), "* BYE [UNAVAILABLE] disk??full: ?\r\n");
        assert_eq!(bye(&"x".repeat(1000)).len(), "* BYE [UNAVAILABLE] \r\n".len() + LONGEST);
    }
}
