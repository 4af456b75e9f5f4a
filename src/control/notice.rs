//! The control socket while the store cannot be opened: whoever asks is told why. Commands other than `status` then
//! do what they do where no server runs, for one of them may be the cure.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use futures_lite::{AsyncWriteExt, FutureExt};
use smol::Timer;
use smol::net::unix::{UnixListener, UnixStream};

use super::message::Reply;
use super::{client, server};
use crate::actions::trouble::Trouble;

/// Whoever connects has so long to say what they want and to hear the answer.
const PATIENCE: Duration = Duration::from_secs(2);

/// Makes the socket, unless a server answers there: that may be the one that holds the store.
///
/// # Errors
/// If it cannot be made; `AddrInUse` if there is one.
pub fn bind(path: &Path) -> io::Result<UnixListener> {
    if !matches!(client::connect(path), Err(client::Error::NotRunning)) {
        return Err(io::ErrorKind::AddrInUse.into());
    }
    server::bind(path)
}

/// Tells everybody `why` until it is dropped.
pub async fn serve(listener: UnixListener, why: Arc<dyn Fn() -> Trouble + Send + Sync>) {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                let late = async {
                    Timer::after(PATIENCE).await;
                    Err(io::ErrorKind::TimedOut.into())
                };
                if let Err(error) = answer(stream, why()).or(late).await {
                    tracing::debug!(%error, "a control connection ended");
                }
            }
            Err(error) => {
                tracing::debug!(%error, "accepting a control connection failed");
                Timer::after(Duration::from_millis(200)).await;
            }
        }
    }
}

async fn answer(mut stream: UnixStream, why: Trouble) -> io::Result<()> {
    // Read first: a connection that is closed with bytes unread is reset, and the answer with it.
    server::read_line(&stream).await?;
    let mut line = serde_json::to_vec(&Reply::NotServing(why))?;
    line.push(b'\n');
    stream.write_all(&line).await?;
    stream.close().await
}
