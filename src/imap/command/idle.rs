//! IDLE (RFC 9051 §6.3.13), in any state after login: Outlook idles with no mailbox open.

use crate::imap::connection::Input;
use crate::imap::news::{self, Expunges};
use crate::imap::refusal::{Condition, Refusal};
use crate::imap::session::{Done, Session, State};
use crate::protocol::command;
use crate::protocol::framing::Event;
use crate::protocol::response;

/// Tells news as they come until the client says DONE.
///
/// # Errors
/// Of reading news, or when the client goes or says something else.
pub async fn run(session: &mut Session) -> Result<Done, Refusal> {
    response::continuation(&mut session.writer(), "Listening");
    let bell = std::sync::Arc::clone(&session.user()?.bell);
    session.io.framer.expect_line();
    let shutdown = session.shutdown();
    loop {
        // Taken before the look at the store: a change in between rings it.
        let heard = bell.listen();
        let told = Box::pin(news::sync(session, Expunges::Told)).await;
        if matches!(session.state, State::Logout) {
            return Err(Refusal::hangup("the open mailbox is gone, or cannot be told of"));
        }
        match told {
            Err(refusal) if refusal.condition == Condition::Hangup => return Err(refusal),
            // A client that listens does not expect to be refused anything: the next time may do.
            Err(refusal) => tracing::warn!(text = %refusal.text, "news of a mailbox could not be read"),
            Ok(()) => {}
        }
        let interrupt = async { futures_lite::FutureExt::or(heard, shutdown.wait()).await };
        match session.io.next_or(session.shared.timeouts.sign_of_life, interrupt).await {
            Input::Event(Event::Line(line)) if line.trim_ascii().eq_ignore_ascii_case(b"DONE") => {
                return Ok(Done::ok("IDLE completed"));
            }
            // iOS is known to send a tagged command inside IDLE (CLIENTS.md): IDLE is over, and the command is
            // answered as if DONE had come before it, or the client would wait for its reply for ever.
            Input::Event(Event::Line(line)) => {
                if command::parse(&line, session.command_dialect()).is_ok() {
                    session.io.framer.push_back(&line);
                }
                return Err(Refusal::bad("IDLE ends with DONE"));
            }
            Input::Event(_) => return Err(Refusal::bad("IDLE ends with DONE")),
            Input::TimedOut => session.untagged("OK", None, "Postern is here"),
            Input::Interrupted if shutdown.is_triggered() => {
                session.bye(None, "The server is restarting; come back soon");
                return Err(Refusal::hangup("shutdown"));
            }
            Input::Interrupted if bell.dismissed().is_some() => {
                session.bye(None, bell.dismissed().unwrap_or_default());
                return Err(Refusal::hangup("dismissed"));
            }
            Input::Interrupted => {}
            Input::Closed => return Err(Refusal::hangup("closed in IDLE")),
        }
    }
}
