//! STARTTLS (RFC 9051 §6.2.1).

use crate::imap::client::Client;
use crate::imap::outcome::Done;
use crate::imap::refusal::Stop;
use crate::protocol::command::Tag;

/// Begins TLS. What was sent behind the command in the clear could be an attacker's: refused.
///
/// # Errors
/// If TLS runs already, something was pipelined, or the handshake fails.
pub async fn run(client: &mut Client, tag: &Tag) -> Result<Done, Stop> {
    if client.io.is_encrypted() {
        return Err(Stop::bad("TLS protects this connection already"));
    }
    if client.io.framer.buffered() > 0 {
        client.tagged(tag, "BAD", None, "Nothing may follow STARTTLS before the handshake");
        client.bye(None, "Bytes were sent behind STARTTLS");
        return Ok(Done::Answered);
    }
    client.tagged(tag, "OK", None, "Begin the TLS handshake");
    client.io.flush().await?;
    let acceptor = (client.shared.tls)();
    client.io.start_tls(acceptor).await?;
    // Nothing may be said before the client speaks again.
    Ok(Done::Answered)
}
