//! A strict reader of what the server says, over every byte that a test receives: the grammar of RFC 9051 §9 and of
//! the extensions that Postern offers, and what may be said when. It shares no code with the server.
//!
//! Tests speak IMAP through a [`Wire`] and nothing else; `no_way_around` holds that.

mod answer;
mod cursor;
mod fetch;
mod grammar;
mod sent;
pub mod session;

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use session::Session;

/// A connection to the server, both directions of which are judged. A test that reads an answer that is none fails.
#[derive(Debug)]
pub struct Wire<S> {
    stream: S,
    session: Arc<Mutex<Session>>,
}

impl<S> Wire<S> {
    /// Over a connection that stands, and of which nothing was read.
    pub fn over(stream: S) -> Wire<S> {
        Wire { stream, session: Arc::new(Mutex::new(Session::new())) }
    }

    /// Over one that has begun TLS after STARTTLS: there is no second greeting.
    pub fn after_starttls(stream: S) -> Wire<S> {
        Wire { stream, session: Arc::new(Mutex::new(Session::after_starttls())) }
    }

    pub fn stream(&self) -> &S {
        &self.stream
    }

    /// The connection alone: for TLS, which begins anew.
    pub fn into_stream(self) -> S {
        self.stream
    }

    fn session(&self) -> std::sync::MutexGuard<'_, Session> {
        self.session.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Wire<TcpStream> {
    pub fn connect(address: SocketAddr) -> io::Result<Wire<TcpStream>> {
        TcpStream::connect(address).map(Wire::over)
    }

    pub fn try_clone(&self) -> io::Result<Self> {
        Ok(Wire { stream: self.stream.try_clone()?, session: Arc::clone(&self.session) })
    }

    pub fn set_read_timeout(&self, time: Option<Duration>) -> io::Result<()> {
        self.stream.set_read_timeout(time)
    }

    pub fn shutdown(&self, how: Shutdown) -> io::Result<()> {
        self.stream.shutdown(how)
    }
}

impl<S: Read> Read for Wire<S> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let count = self.stream.read(out)?;
        let judged = self.session().receives(&out[..count]);
        if let Err(why) = judged {
            panic!("the server said what it may not: {why}");
        }
        Ok(count)
    }
}

impl<S: Write> Write for Wire<S> {
    /// All of it or an error: what was sent is known before it can be answered.
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.session().sends(bytes);
        self.stream.write_all(bytes)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.stream.flush()
    }
}
