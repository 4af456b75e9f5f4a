//! IDLE (RFC 9051 §6.3.13), in any state after login: Outlook idles with no mailbox open.

use std::sync::Arc;

use crate::imap::client::{LoggedIn, Wake};
use crate::imap::connection::Input;
use crate::imap::news::{self, Expunges};
use crate::imap::outcome::Done;
use crate::imap::refusal::Stop;
use crate::protocol::command;
use crate::protocol::framing::Event;
use crate::protocol::response;

/// Tells news as they come until the client says DONE.
///
/// # Errors
/// Of reading news, or when the client goes or says something else.
pub async fn run(session: &mut LoggedIn<'_>) -> Result<Done, Stop> {
    response::continuation(&mut session.client.writer(), "Listening");
    let bell = Arc::clone(&session.user.bell);
    session.client.io.framer.expect_line();
    loop {
        // Taken before the look at the store: a change in between rings it.
        let heard = bell.listen();
        let told = Box::pin(news::sync(session, Expunges::Told)).await;
        let client = &mut *session.client;
        if client.has_ended() {
            return Err(Stop::hangup("the open mailbox is gone, or cannot be told of"));
        }
        match told {
            Err(stop @ Stop::Hangup(_)) => return Err(stop),
            // A client that listens does not expect to be refused anything: the next time may do.
            Err(error) => tracing::warn!(%error, "news of a mailbox could not be read"),
            Ok(()) => {}
        }
        let silence = client.shared.timeouts.sign_of_life;
        match client.next_or_news(silence, &bell, heard).await {
            Input::Event(Event::Line(line)) if line.trim_ascii().eq_ignore_ascii_case(b"DONE") => {
                return Ok(Done::ok("IDLE completed"));
            }
            // iOS is known to send a tagged command inside IDLE (CLIENTS.md): IDLE is over, and the command is
            // answered as if DONE had come before it, or the client would wait for its reply for ever.
            Input::Event(Event::Line(line)) => {
                if command::parse(&line, client.enabled.command_dialect()).is_ok() {
                    client.io.framer.push_back(&line);
                }
                return Err(Stop::bad("IDLE ends with DONE"));
            }
            Input::Event(_) => return Err(Stop::bad("IDLE ends with DONE")),
            Input::TimedOut => client.untagged("OK", None, "Postern is here"),
            Input::Woken(Wake::News) => {}
            Input::Woken(Wake::End(end)) => {
                client.leave(end);
                return Err(Stop::hangup("ended in IDLE"));
            }
            Input::Closed => return Err(Stop::hangup("closed in IDLE")),
        }
    }
}
