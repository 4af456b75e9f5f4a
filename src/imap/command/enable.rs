//! ENABLE (RFC 9051 §6.3.1).

use crate::imap::refusal::Refusal;
use crate::imap::session::{Done, Session};
use crate::protocol::command::enable::Enable;
use crate::protocol::response;

/// Enables what is known and says so, also where it was enabled before: a client that asks again, or that
/// enabled CONDSTORE by using it, must not take silence for a refusal. Anything else is ignored, as the RFC
/// asks. K-9 sends it blindly.
///
/// # Errors
/// None; the signature is the handlers'.
pub async fn run(session: &mut Session, command: &Enable) -> Result<Done, Refusal> {
    let mut now = Vec::new();
    for name in &command.capabilities {
        let name = match name.to_ascii_uppercase().as_str() {
            "IMAP4REV2" => {
                session.enabled.rev2 = true;
                "IMAP4rev2"
            }
            "UTF8=ACCEPT" => {
                session.enabled.utf8 = true;
                "UTF8=ACCEPT"
            }
            "CONDSTORE" => {
                session.enabled.condstore = true;
                "CONDSTORE"
            }
            "QRESYNC" => {
                // QRESYNC implies CONDSTORE (RFC 7162 §3.2.3).
                session.enabled.condstore = true;
                session.enabled.qresync = true;
                "QRESYNC"
            }
            _ => continue,
        };
        if !now.contains(&name) {
            now.push(name);
        }
    }
    response::enabled(&mut session.writer(), &now);
    Ok(Done::ok("ENABLE completed"))
}
