//! AUTHENTICATE PLAIN (RFC 9051 §6.2.2, RFC 4616, RFC 4959).

use base64::Engine;

use crate::credential::sasl_plain;
use crate::imap::client::{Client, User};
use crate::imap::command::login::{finish, privacy};
use crate::imap::connection::Input;
use crate::imap::refusal::Stop;
use crate::protocol::command::authenticate::Authenticate;
use crate::protocol::framing::Event;
use crate::protocol::response::{self, code::Code};

/// Logs in by the mechanism PLAIN.
///
/// # Errors
/// Why the client is not logged in.
pub async fn run(client: &mut Client, command: Authenticate) -> Result<User, Stop> {
    if !command.mechanism.eq_ignore_ascii_case("PLAIN") {
        return Err(Stop::no(Code::Cannot, "Only the mechanism PLAIN is offered"));
    }
    privacy(client)?;
    let message = match command.initial {
        Some(message) => message,
        None => challenge(client).await?,
    };
    let plain = sasl_plain::parse(&message)
        .ok_or_else(|| Stop::bad("This is not what the mechanism PLAIN sends (RFC 4616)"))?;
    // To act for somebody else is nobody's right here (RFC 4616 §2).
    if !plain.authzid.is_empty() && !plain.authzid.eq_ignore_ascii_case(&plain.authcid) {
        return Err(Stop::no(Code::AuthorizationFailed, "You may only log in as yourself"));
    }
    finish(client, &plain.authcid, plain.password.as_bytes()).await
}

/// Sends an empty challenge and decodes the answer.
async fn challenge(client: &mut Client) -> Result<Vec<u8>, Stop> {
    response::continuation(&mut client.writer(), "");
    client.io.framer.expect_line();
    match client.io.next(client.time_to_log_in()).await {
        Input::Event(Event::Line(line)) if line == b"*" => Err(Stop::bad("AUTHENTICATE was given up")),
        Input::Event(Event::Line(line)) => base64::engine::general_purpose::STANDARD
            .decode(line.trim_ascii())
            .map_err(|_| Stop::bad("The answer is not base64")),
        Input::Event(_) => Err(Stop::bad("The answer is too long")),
        Input::Closed | Input::TimedOut => Err(Stop::hangup("no answer to a challenge")),
    }
}
