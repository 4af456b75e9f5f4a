//! What mail programs meet while the store cannot be opened.
//!
//! In the clear they are told why, with BYE before any greeting (RFC 9051 §7.1.5). Under TLS nothing can be said
//! without a certificate, and the one that they know lies in the store: another would have every phone ask its owner
//! whether to trust a stranger. So those connections are closed at once, which phones take for a server that is away,
//! and come back.

use std::sync::Arc;
use std::time::Duration;

use futures_lite::{AsyncWriteExt, FutureExt};
use smol::Timer;
use smol::net::TcpListener;

use crate::imap::Kind;

/// A line takes no longer to be taken.
const PATIENCE: Duration = Duration::from_secs(5);
/// The longest reason: it is a line of a protocol.
const LONGEST: usize = 400;

/// Turns every connection away until it is dropped.
pub async fn turn_away(listener: TcpListener, kind: Kind, why: Arc<dyn Fn() -> String + Send + Sync>) {
    loop {
        match listener.accept().await {
            Ok((mut socket, _)) if kind == Kind::StartTls => {
                let said = async { socket.write_all(bye(&why()).as_bytes()).await };
                let late = async {
                    Timer::after(PATIENCE).await;
                    Ok(())
                };
                // Whoever is gone already does not mind.
                let _ = said.or(late).await;
                let _ = socket.close().await;
            }
            Ok(_) => {}
            Err(error) => {
                tracing::debug!(%error, "accepting a connection failed");
                Timer::after(Duration::from_millis(100)).await;
            }
        }
    }
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
