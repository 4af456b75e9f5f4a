//! The server's end of the control socket.

use std::io;
use std::os::fd::AsFd;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use async_lock::SemaphoreGuardArc;
use futures_lite::io::BufReader;
use futures_lite::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, FutureExt};
use smol::net::unix::{UnixListener, UnixStream};

use super::message::{LONGEST, Refusal, Reply, Request};
use super::{perform, socket, transfer};
use crate::actions::Context;

/// Owner and group may speak to the server.
const MODE: u32 = 0o660;
/// Whoever connects has so long to say what they want.
const PATIENCE: Duration = Duration::from_secs(10);
/// Requests at a time; more wait.
const AT_A_TIME: usize = 8;
/// Imports and exports at a time, which take long; more are refused.
const TRANSFERS: usize = 2;

/// Makes the socket. One that a server left behind is replaced: who holds the store's lock is the only one.
///
/// # Errors
/// If it cannot be made.
pub fn bind(path: &Path) -> io::Result<UnixListener> {
    bind_with(path, MODE)
}

pub(super) fn bind_with(path: &Path, mode: u32) -> io::Result<UnixListener> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let reachable = socket::reach(path)?;
    let listener = UnixListener::bind(&reachable.path)?;
    std::fs::set_permissions(&reachable.path, std::fs::Permissions::from_mode(mode))?;
    Ok(listener)
}

/// Serves requests until it is dropped.
pub async fn serve(listener: UnixListener, context: Context, executor: Arc<smol::Executor<'static>>) {
    let turns = Arc::new(async_lock::Semaphore::new(AT_A_TIME));
    let transfers = Arc::new(async_lock::Semaphore::new(TRANSFERS));
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                let turn = turns.acquire_arc().await;
                let (context, transfers) = (context.clone(), Arc::clone(&transfers));
                let answered = async move {
                    if let Err(error) = answer(stream, context, turn, &transfers).await {
                        tracing::debug!(%error, "a control connection ended");
                    }
                };
                executor.spawn(answered).detach();
            }
            Err(error) => {
                tracing::warn!(%error, "accepting a control connection failed");
                smol::Timer::after(Duration::from_millis(200)).await;
            }
        }
    }
}

async fn answer(
    mut stream: UnixStream,
    context: Context,
    turn: SemaphoreGuardArc,
    transfers: &Arc<async_lock::Semaphore>,
) -> io::Result<()> {
    let line = read_line(&stream).or(too_late()).await?;
    let reply = match serde_json::from_slice::<Request>(&line) {
        Ok(request) if transfer::is_transfer(&request) => match transfers.try_acquire_arc() {
            Some(transfer) => {
                // It goes on for long, and must not hold up the others.
                drop(turn);
                let served = serve_transfer(stream, context, request).await;
                drop(transfer);
                return served;
            }
            None => Reply::Refused(Refusal {
                reason: "two imports or exports are running already: try again when one is done".to_owned(),
                advice: Vec::new(),
            }),
        },
        Ok(request) => {
            smol::unblock(move || match perform(&context, request) {
                Ok(answer) => Reply::Ok(answer),
                Err(failure) => Reply::Refused(Refusal::from(&failure)),
            })
            .await
        }
        Err(error) => Reply::Refused(Refusal {
            reason: format!("this request is not known here; are both of the same version? ({error})"),
            advice: Vec::new(),
        }),
    };
    let mut line = serde_json::to_vec(&reply)?;
    line.push(b'\n');
    stream.write_all(&line).or(too_late()).await?;
    stream.close().await
}

async fn serve_transfer(stream: UnixStream, context: Context, request: Request) -> io::Result<()> {
    let stream = blocking(stream)?;
    smol::unblock(move || transfer::serve(&stream, &context, request)).await
}

/// The same socket for a thread that may block, and out of the reactor's hands.
pub(super) fn blocking(stream: UnixStream) -> io::Result<std::os::unix::net::UnixStream> {
    Ok(std::os::unix::net::UnixStream::from(stream.as_fd().try_clone_to_owned()?))
}

pub(super) async fn read_line(stream: &UnixStream) -> io::Result<Vec<u8>> {
    let mut line = Vec::new();
    BufReader::new(stream.clone().take(LONGEST)).read_until(b'\n', &mut line).await?;
    Ok(line)
}

async fn too_late<T>() -> io::Result<T> {
    smol::Timer::after(PATIENCE).await;
    Err(io::ErrorKind::TimedOut.into())
}
