//! HTTPS on smol: hyper does the talking; here are the limits that it does not have.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use async_channel::Receiver;
use async_rustls::TlsAcceptor;
use axum::Router;
use axum::body::{Body, HttpBody};
use axum::extract::Request;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use futures_lite::{AsyncReadExt, AsyncWriteExt, FutureExt};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use smol::Timer;
use smol::net::{TcpListener, TcpStream};
use smol_hyper::rt::{FuturesIo, SmolTimer};
use tower::ServiceExt;

use super::guard::BODY;
use super::patient::Patient;
use super::seats::{Seat, Seats};
use crate::credential::{MINUTE, Refusals};

/// The handshake, and a request's header, take no longer. It also ends connections that only wait.
const HEADER: Duration = Duration::from_secs(30);
/// Whoever connects says something within this.
const FIRST_BYTE: Duration = Duration::from_secs(10);
/// A client that takes nothing for so long is gone.
const WRITE_STALL: Duration = Duration::from_secs(20);
/// A request that is no longer than a form is read and answered within this.
const ANSWER: Duration = Duration::from_secs(300);
/// hyper's read buffer: headers are no longer.
const BUFFER: usize = 32 * 1024;
/// A connection is over after this, whatever it does: an upload of old mail takes long, all else does not.
const LONGEST: Duration = Duration::from_secs(3 * 3600);
/// What is read of a request that came without TLS.
const PLAIN: usize = 4 * 1024;

/// Where a request came from.
#[derive(Clone, Copy, Debug)]
pub(super) struct Peer(pub(super) SocketAddr);

/// What answers on a listener.
#[derive(Clone)]
pub(super) struct Site {
    pub(super) router: Router,
    /// Gives the acceptor with the certificate of the moment.
    pub(super) tls: Arc<dyn Fn() -> TlsAcceptor + Send + Sync>,
    /// Where connections run.
    pub(super) executor: Arc<smol::Executor<'static>>,
}

impl Site {
    /// Accepts connections until `stop` is closed.
    pub(super) async fn serve(&self, listener: TcpListener, stop: Receiver<()>) {
        let (seats, refusals) = (Arc::new(Seats::default()), Arc::new(Refusals::default()));
        loop {
            let accept = async { Some(listener.accept().await) };
            let end = async {
                let _ = stop.recv().await;
                None
            };
            match end.or(accept).await {
                None => return,
                Some(Ok((socket, peer))) => {
                    let _ = socket.set_nodelay(true);
                    match seats.take(peer.ip()) {
                        Ok(seat) => {
                            let connection = connection(self.clone(), socket, peer, stop.clone(), seat);
                            self.executor.spawn(connection).detach();
                        }
                        Err(full) => {
                            let (what, minute) =
                                ("a connection to the admin site was refused", Timer::after(MINUTE));
                            if let Some(rest) = refusals.log(peer.ip(), what, full, minute) {
                                self.executor.spawn(rest).detach();
                            }
                        }
                    }
                }
                Some(Err(error)) => {
                    tracing::warn!(%error, "accepting a connection to the admin site failed");
                    Timer::after(Duration::from_millis(100)).await;
                }
            }
        }
    }
}

async fn connection(site: Site, socket: TcpStream, peer: SocketAddr, stop: Receiver<()>, _seat: Seat) {
    let done = async { talk(site, socket, peer, stop).await };
    if let Err(error) = done.or(expire(LONGEST)).await {
        tracing::debug!(%peer, %error, "a connection to the admin site ended");
    }
}

async fn talk(
    site: Site,
    socket: TcpStream,
    peer: SocketAddr,
    stop: Receiver<()>,
) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let mut first = [0_u8];
    let looked = async { socket.peek(&mut first).await };
    if looked.or(expire(FIRST_BYTE)).await? == 0 {
        return Ok(());
    }
    // TLS begins with 22, HTTP with a letter: someone left out the s of https.
    if first[0].is_ascii_alphabetic() {
        return Ok(send_to_https(socket).or(expire(HEADER)).await?);
    }
    let acceptor = (site.tls)();
    let socket = Patient::new(socket, WRITE_STALL);
    let handshake = async { acceptor.accept(socket).await };
    let stream = handshake.or(expire(HEADER)).await?;
    let service = service_fn(move |request| respond(site.router.clone(), request, peer));
    let connection = http1::Builder::new()
        .timer(SmolTimer::new())
        .header_read_timeout(HEADER)
        .max_buf_size(BUFFER)
        .serve_connection(FuturesIo::new(stream), service);
    let mut connection = pin!(connection);
    let stopped = async {
        let _ = stop.recv().await;
        None
    };
    let ended = stopped.or(async { Some(connection.as_mut().await) }).await;
    match ended {
        Some(ended) => Ok(ended?),
        None => {
            connection.as_mut().graceful_shutdown();
            Ok(connection.await?)
        }
    }
}

async fn respond(
    router: Router,
    request: hyper::Request<Incoming>,
    peer: SocketAddr,
) -> Result<Response, Infallible> {
    let mut request: Request = request.map(Body::new);
    request.extensions_mut().insert(Peer(peer));
    // Old mail that is uploaded takes as long as it takes; nobody may send a form for hours.
    if request.body().size_hint().exact().is_some_and(|size| size > BODY as u64) {
        return router.oneshot(request).await;
    }
    let late = async {
        Timer::after(ANSWER).await;
        Ok(StatusCode::REQUEST_TIMEOUT.into_response())
    };
    router.oneshot(request).or(late).await
}

/// Answers plain HTTP with the same address under https.
async fn send_to_https(mut socket: TcpStream) -> io::Result<()> {
    let mut request = vec![0; PLAIN];
    let count = socket.read(&mut request).await?;
    let text = String::from_utf8_lossy(request.get(..count).unwrap_or_default()).into_owned();
    let host = text.lines().skip(1).find_map(|line| {
        let (name, value) = line.split_once(':')?;
        let plain = |c: char| c.is_ascii_alphanumeric() || ".-:[]".contains(c);
        let value = value.trim();
        (name.eq_ignore_ascii_case("host") && value.chars().all(plain)).then(|| value.to_owned())
    });
    let reply = match host {
        Some(host) => format!("HTTP/1.1 307 Temporary Redirect\r\nLocation: https://{host}/\r\n"),
        None => "HTTP/1.1 400 Bad Request\r\n".to_owned(),
    };
    let text = "Open this address with https:// in front.\n";
    let rest = format!(
        "Content-Type: text/plain\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{text}",
        text.len()
    );
    socket.write_all(format!("{reply}{rest}").as_bytes()).await?;
    socket.close().await
}

async fn expire<T, E: From<io::Error>>(after: Duration) -> Result<T, E> {
    Timer::after(after).await;
    Err(io::Error::from(io::ErrorKind::TimedOut).into())
}
