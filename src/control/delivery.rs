//! The delivery socket: takes messages and does nothing else, so that programs which bring mail need no right
//! to anything. Any user of this machine may deliver, as with every Unix mail system.
//!
//! The client sends a line that says for whom, and is answered; then the message as frames; and is answered
//! again once it is durable.

use std::io::{self, BufRead, BufReader, BufWriter, Read, Write};
use std::os::unix::net::UnixStream as BlockingStream;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_lite::FutureExt;
use serde::{Deserialize, Serialize};
use smol::net::unix::{UnixListener, UnixStream};

use super::delivery_turns::Turns;
use super::frame::{self, Kind};
use super::{client, server};
use crate::actions::Context;
use crate::actions::deliver::{self, Delivery, Fault, Terms};
use crate::model::passwd;

/// Who delivers may do nothing else, so that everybody may.
const MODE: u32 = 0o666;
/// Whoever connects has so long to say for whom it is.
const ORDER: Duration = Duration::from_secs(10);
/// Whoever delivers may pause for so long.
const PATIENCE: Duration = Duration::from_secs(60);
/// And may take so long for all of it.
const DEADLINE: Duration = Duration::from_secs(900);
/// Whoever delivers waits so long for an answer, and tries again later: the server may be at work on a slow disk, or on
/// other messages of the same user.
const ANSWER: Duration = Duration::from_secs(600);
/// An order, or a verdict, is shorter.
const LONGEST: u64 = 16 * 1024;

/// For whom a message is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Order {
    /// Whose mail it is.
    pub account: Option<String>,
    /// The mailbox; without it, the inbox.
    pub mailbox: Option<String>,
}

/// What the server says.
#[derive(Debug, Serialize, Deserialize)]
struct Verdict {
    /// By sysexits.h.
    code: u8,
    reason: String,
}

/// Makes the socket.
///
/// # Errors
/// If it cannot be made.
pub fn bind(path: &Path) -> io::Result<UnixListener> {
    server::bind_with(path, MODE)
}

/// Serves deliveries until it is dropped. No message is larger than `limit` bytes.
pub async fn serve(
    listener: UnixListener,
    context: Context,
    limit: u64,
    executor: Arc<smol::Executor<'static>>,
) {
    let turns = Arc::new(Turns::new(rustix::process::geteuid().as_raw()));
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                let (context, turns) = (context.clone(), Arc::clone(&turns));
                let served = async move {
                    if let Err(error) = serve_one(stream, context, limit, &turns).await {
                        tracing::warn!(%error, "a delivery was broken off");
                    }
                };
                executor.spawn(served).detach();
            }
            Err(error) => {
                tracing::warn!(%error, "accepting a delivery failed");
                smol::Timer::after(Duration::from_millis(200)).await;
            }
        }
    }
}

/// Until its turn a delivery holds no thread.
async fn serve_one(stream: UnixStream, context: Context, limit: u64, turns: &Arc<Turns>) -> io::Result<()> {
    let uid = rustix::net::sockopt::socket_peercred(&stream)?.uid.as_raw();
    let Some(place) = turns.connect(uid) else {
        // Whoever sent nothing so far is told so all the same: its first look is for this.
        let fault = Fault::Later("too many deliveries of this user wait already".to_owned());
        tracing::debug!(uid, "a delivery was refused: too many of this user wait");
        return answer(&server::blocking(stream)?, Err(fault));
    };
    let late = async {
        smol::Timer::after(ORDER).await;
        Err(io::ErrorKind::TimedOut.into())
    };
    let order: Order = serde_json::from_slice(&server::read_line(&stream).or(late).await?)?;
    let turn = place.turn().await;
    let is_trusted = turns.is_trusted(uid);
    let stream = server::blocking(stream)?;
    let taken = smol::unblock(move || {
        let may_create = |account: &str| is_trusted || is_users(uid, account);
        let terms = Terms { limit, may_create: &may_create };
        take_one(&stream, &context, &order, &terms)
    });
    let taken = taken.await;
    drop(turn);
    taken
}

/// Whether an account is called as the user of this machine: then it is its owner.
fn is_users(uid: u32, account: &str) -> bool {
    std::fs::read_to_string("/etc/passwd").is_ok_and(|users| passwd::uid_of(account, &users) == Some(uid))
}

fn take_one(stream: &BlockingStream, context: &Context, order: &Order, terms: &Terms<'_>) -> io::Result<()> {
    stream.set_nonblocking(false)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let delivery = deliver::begin(context, order.account.as_deref(), order.mailbox.as_deref(), terms);
    let delivery = match delivery {
        Ok(delivery) => delivery,
        Err(fault) => return answer(stream, Err(fault)),
    };
    answer(stream, Ok(()))?;
    let taken = take(&mut BufReader::new(stream), delivery)?;
    if let Err(fault) = &taken {
        tracing::warn!(%fault, "a delivery was refused");
    }
    answer(stream, taken)
}

/// Takes the message; after a fault the rest of it is read and thrown away.
fn take(input: &mut dyn Read, delivery: Delivery) -> io::Result<Result<(), Fault>> {
    let since = Instant::now();
    let (mut delivery, mut content) = (Ok(delivery), Vec::new());
    while since.elapsed() < DEADLINE {
        match frame::read(input, &mut content)? {
            Some(Kind::Data) => {
                if let Ok(open) = &mut delivery
                    && let Err(fault) = open.write(&content)
                {
                    delivery = Err(fault);
                }
            }
            Some(Kind::End) => return Ok(delivery.and_then(Delivery::finish)),
            // Half a message is none.
            None => return Err(io::ErrorKind::UnexpectedEof.into()),
            Some(_) => return Err(io::ErrorKind::InvalidData.into()),
        }
    }
    Err(io::ErrorKind::TimedOut.into())
}

fn answer(mut stream: &BlockingStream, taken: Result<(), Fault>) -> io::Result<()> {
    let verdict = match taken {
        Ok(()) => Verdict { code: 0, reason: String::new() },
        Err(fault) => Verdict { code: fault.code(), reason: fault.to_string() },
    };
    let mut line = serde_json::to_vec(&verdict)?;
    line.push(b'\n');
    stream.write_all(&line)
}

fn read_line<T: serde::de::DeserializeOwned>(input: &mut impl BufRead) -> io::Result<T> {
    let mut line = Vec::new();
    input.take(LONGEST).read_until(b'\n', &mut line)?;
    Ok(serde_json::from_slice(&line)?)
}

/// Delivers through the socket at `path`. `None` if no server listens there; nothing was read then.
///
/// # Errors
/// Whatever the server says, and [`Fault::Later`] if it cannot be reached or goes away.
pub fn send(path: &Path, order: &Order, message: &mut dyn Read) -> Result<Option<()>, Fault> {
    let stream = match client::connect(path) {
        Ok(stream) => stream,
        Err(client::Error::NotRunning) => return Ok(None),
        Err(error) => return Err(Fault::Later(error.to_string())),
    };
    let later = |error: io::Error| Fault::Later(format!("the server did not answer: {error}"));
    stream
        .set_read_timeout(Some(ANSWER))
        .and_then(|()| stream.set_write_timeout(Some(ANSWER)))
        .map_err(later)?;
    let mut out = BufWriter::new(stream.try_clone().map_err(later)?);
    let mut input = BufReader::new(stream);
    let mut line = serde_json::to_vec(order).map_err(io::Error::from).map_err(later)?;
    line.push(b'\n');
    out.write_all(&line).and_then(|()| out.flush()).map_err(later)?;
    verdict(&mut input)?;
    pass(message, &mut |bytes| frame::write_data(&mut out, bytes).map_err(later))?;
    frame::write(&mut out, Kind::End, b"").and_then(|()| out.flush()).map_err(later)?;
    verdict(&mut input).map(Some)
}

fn verdict(input: &mut impl BufRead) -> Result<(), Fault> {
    let verdict: Verdict =
        read_line(input).map_err(|error| Fault::Later(format!("the server did not answer: {error}")))?;
    if verdict.code == 0 { Ok(()) } else { Err(Fault::of(verdict.code, verdict.reason)) }
}

/// Delivers into a store that this process has opened.
///
/// # Errors
/// Those of the delivery.
pub fn directly(context: &Context, order: &Order, limit: u64, message: &mut dyn Read) -> Result<(), Fault> {
    // Whoever can open the store may do anything with it.
    let terms = Terms { limit, may_create: &|_| true };
    let mut delivery = deliver::begin(context, order.account.as_deref(), order.mailbox.as_deref(), &terms)?;
    pass(message, &mut |bytes| delivery.write(bytes))?;
    delivery.finish()
}

fn pass(message: &mut dyn Read, to: &mut dyn FnMut(&[u8]) -> Result<(), Fault>) -> Result<(), Fault> {
    let mut chunk = vec![0; 64 * 1024];
    loop {
        match message.read(&mut chunk) {
            Ok(0) => return Ok(()),
            Ok(count) => to(chunk.get(..count).unwrap_or_default())?,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(Fault::Later(format!("the message cannot be read: {error}"))),
        }
    }
}
