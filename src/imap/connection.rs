//! One connection's bytes: the only file that awaits the socket.
//!
//! Output is collected in a buffer that is flushed by size and before every wait. TLS is flushed before
//! anything else is awaited, or the last kilobytes of a large write may stay unsent.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_lock::{Semaphore, SemaphoreGuardArc};
use async_rustls::TlsAcceptor;
use futures_lite::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, FutureExt, future};
use rustix::event::{PollFd, PollFlags, Timespec};
use smol::Timer;
use smol::net::TcpStream;

use crate::imap::fair_turn::give_way;
use crate::imap::idle_timer::IdleTimer;
use crate::protocol::framing::{Event, Framer};

/// Output is sent when it has grown to this.
pub const CHUNK: usize = 64 * 1024;
/// Input is read in pieces of this size; connections that only wait hold no such buffer.
const READ: usize = 16 * 1024;
/// A client that takes nothing for so long is gone.
const WRITE_STALL: Duration = Duration::from_secs(300);
/// A command that holds more than this while it arrives is a large one: a long string, or a set of more than 8,000
/// ranges that neither overlap nor touch, which takes up to 6 MB until it is answered. Any other set is a small
/// one, however long its text is. Few large ones are taken at a time, so that fifty clients with such need no more
/// memory than those few.
const LARGE: usize = 64 * 1024;
/// Large commands at a time: one that stalls must not hold up all others.
const LARGE_AT_A_TIME: usize = 4;
/// Who sends a large command has so long for the rest of it: others may wait for their turn.
const LARGE_PATIENCE: Duration = Duration::from_secs(60);
/// A TLS handshake takes no longer.
const HANDSHAKE: Duration = Duration::from_secs(30);

trait Stream: AsyncRead + AsyncWrite + Send + Sync + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Sync + Unpin> Stream for T {}

/// A client's connection.
pub struct Connection {
    stream: Option<Pin<Box<dyn Stream>>>,
    socket: TcpStream,
    /// What was received, cut into commands.
    pub framer: Framer,
    out: Vec<u8>,
    peer: SocketAddr,
    encrypted: bool,
    timer: IdleTimer,
    turns: Turns,
    /// Held while a large command is read and served.
    turn: Option<SemaphoreGuardArc>,
}

/// Who may send a large command.
#[derive(Clone, Debug)]
pub struct Turns(Arc<Semaphore>);

impl Default for Turns {
    fn default() -> Self {
        Turns(Arc::new(Semaphore::new(LARGE_AT_A_TIME)))
    }
}

/// What a wait for input ended with.
#[derive(Debug)]
pub enum Input<W = Infallible> {
    /// Something was framed.
    Event(Event),
    /// The client closed, or the connection broke.
    Closed,
    /// Nothing came in time.
    TimedOut,
    /// The other thing that was waited for came first.
    Woken(W),
}

impl Connection {
    /// A connection as accepted, without TLS.
    #[must_use]
    pub fn plain(socket: TcpStream, peer: SocketAddr, turns: Turns) -> Self {
        Connection {
            stream: Some(Box::pin(socket.clone())),
            socket,
            framer: Framer::new(),
            out: Vec::new(),
            peer,
            encrypted: false,
            timer: IdleTimer::default(),
            turns,
            turn: None,
        }
    }

    /// Does the TLS handshake, at once (port 993) or after STARTTLS.
    ///
    /// # Errors
    /// Those of the handshake.
    pub async fn start_tls(&mut self, acceptor: TlsAcceptor) -> io::Result<()> {
        self.stream = None;
        let handshake = async { acceptor.accept(self.socket.clone()).await };
        let stream = handshake.or(expire(HANDSHAKE)).await?;
        self.stream = Some(Box::pin(stream));
        self.encrypted = true;
        Ok(())
    }

    /// Whether TLS protects it.
    #[must_use]
    pub fn is_encrypted(&self) -> bool {
        self.encrypted
    }

    /// Where the client is.
    #[must_use]
    pub fn peer(&self) -> SocketAddr {
        self.peer
    }

    /// The output that waits to be sent: append to it.
    pub fn out(&mut self) -> &mut Vec<u8> {
        &mut self.out
    }

    /// Sends what waits if it has grown to a chunk.
    ///
    /// # Errors
    /// If the client is gone.
    pub async fn flush_if_large(&mut self) -> io::Result<()> {
        if self.out.len() >= CHUNK { self.flush().await } else { Ok(()) }
    }

    /// Sends all that waits.
    ///
    /// # Errors
    /// If the client is gone or takes nothing for five minutes.
    pub async fn flush(&mut self) -> io::Result<()> {
        if self.out.is_empty() {
            return Ok(());
        }
        let stream = self.stream.as_mut().ok_or(io::ErrorKind::NotConnected)?;
        for piece in self.out.chunks(CHUNK) {
            stream.write_all(piece).or(expire(WRITE_STALL)).await?;
            // A client that takes all at once is never waited for.
            give_way().await;
        }
        stream.flush().or(expire(WRITE_STALL)).await?;
        self.out.clear();
        // A large answer must not leave a large buffer behind in an idle session.
        self.out.shrink_to(4096);
        Ok(())
    }

    /// The next thing that the client sends; output is flushed first.
    pub async fn next(&mut self, timeout: Duration) -> Input {
        self.next_or(timeout, future::pending()).await
    }

    /// As [`Connection::next`], given up when `wake` ends.
    pub async fn next_or<W>(&mut self, timeout: Duration, wake: impl Future<Output = W>) -> Input<W> {
        let mut wake = std::pin::pin!(wake);
        let mut deadline = Instant::now() + timeout;
        if self.framer.held() <= LARGE {
            // The large command before this has been served.
            self.turn = None;
        }
        loop {
            if let Some(event) = self.framer.next_event() {
                return Input::Event(event);
            }
            if self.flush().await.is_err() {
                return Input::Closed;
            }
            let wants_turn = self.turn.is_none() && self.framer.held() > LARGE;
            if wants_turn {
                deadline = Instant::now() + LARGE_PATIENCE;
            }
            let mut timer = std::mem::take(&mut self.timer);
            let ended = {
                let read = async {
                    if wants_turn {
                        self.turn = Some(self.turns.0.acquire_arc().await);
                    }
                    // More has come: it is looked at, and nothing has ended.
                    self.receive().await.err().map(|_| Input::Closed)
                };
                let woken = async { Some(Input::Woken(wake.as_mut().await)) };
                let late = async { (timer.until(deadline).await, Some(Input::TimedOut)).1 };
                read.or(woken.or(late)).await
            };
            self.timer = timer;
            if let Some(ended) = ended {
                return ended;
            }
        }
    }

    /// Waits for more bytes of a literal that is being streamed; output is flushed first.
    ///
    /// # Errors
    /// If the client is gone, or sends nothing for so long.
    pub async fn fill(&mut self, timeout: Duration) -> io::Result<()> {
        self.flush().await?;
        self.receive().or(expire(timeout)).await
    }

    /// Waits for readable input and gives it to the framer.
    async fn receive(&mut self) -> io::Result<()> {
        let stream = self.stream.as_mut().ok_or(io::ErrorKind::NotConnected)?;
        // A small probe first, so that a session that waits holds no large buffer; what is there then is
        // read with a large one.
        let mut probe = [0_u8; 512];
        let count = stream.read(&mut probe).await?;
        if count == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.framer.push(&probe[..count]);
        if count == probe.len() {
            let mut buffer = vec![0_u8; READ];
            while let Some(result) = future::poll_once(stream.read(&mut buffer)).await {
                let count = result?;
                self.framer.push(&buffer[..count]);
                // An end of the stream is met again at the next call. What is framed is not unbounded.
                if count == 0 || self.framer.buffered() >= READ {
                    break;
                }
            }
        }
        // Nor for one that always has more to say.
        give_way().await;
        Ok(())
    }

    /// Whether the client has hung up, as far as can be seen without reading: whatever takes long asks. What it sent
    /// before, and nobody has read yet, does not hide it.
    #[must_use]
    pub fn has_hung_up(&self) -> bool {
        let gone = PollFlags::RDHUP | PollFlags::HUP | PollFlags::ERR;
        let mut polled = [PollFd::new(&self.socket, PollFlags::RDHUP)];
        match rustix::event::poll(&mut polled, Some(&Timespec { tv_sec: 0, tv_nsec: 0 })) {
            Ok(_) => polled[0].revents().intersects(gone),
            // A signal, or no memory: it is asked again.
            Err(_) => false,
        }
    }

    /// Says goodbye on all levels: without close_notify clients report an unexpected end.
    pub async fn close(&mut self) {
        let _ = self.flush().await;
        if let Some(stream) = self.stream.as_mut() {
            let closing = async { stream.close().await };
            // The peer is often gone already (ENOTCONN).
            if let Err(error) = closing.or(expire(Duration::from_secs(5))).await {
                tracing::debug!(peer = %self.peer, %error, "closing a connection");
            }
        }
    }
}

async fn expire<T>(after: Duration) -> io::Result<T> {
    Timer::after(after).await;
    Err(io::ErrorKind::TimedOut.into())
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::net::{TcpListener, TcpStream as Peer};

    use super::*;

    /// Commands that nobody has read yet do not hide that their client has gone.
    #[test]
    fn who_has_sent_more_and_gone_has_gone() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut peer = Peer::connect(listener.local_addr().unwrap()).unwrap();
        let (socket, address) = listener.accept().unwrap();
        let socket = TcpStream::from(smol::Async::new(socket).unwrap());
        let connection = Connection::plain(socket, address, Turns::default());
        peer.write_all(b"a NOOP\r\nb NOOP\r\n").unwrap();
        assert!(!connection.has_hung_up());
        drop(peer);
        while !connection.has_hung_up() {
            std::thread::yield_now();
        }
    }
}
