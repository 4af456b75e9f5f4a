//! ENABLE (RFC 9051 §6.3.1).

use crate::imap::refusal::Refusal;
use crate::imap::session::{Done, Session};
use crate::protocol::command::enable::Enable;
use crate::protocol::response;

/// Enables what is known and says so; anything else is ignored, as the RFC asks. K-9 sends it blindly.
///
/// # Errors
/// None; the signature is the handlers'.
pub async fn run(session: &mut Session, command: &Enable) -> Result<Done, Refusal> {
    let mut now = Vec::new();
    for name in &command.capabilities {
        let enabled = &mut session.enabled;
        match name.to_ascii_uppercase().as_str() {
            "IMAP4REV2" if !std::mem::replace(&mut enabled.rev2, true) => now.push("IMAP4rev2"),
            "UTF8=ACCEPT" if !std::mem::replace(&mut enabled.utf8, true) => now.push("UTF8=ACCEPT"),
            "CONDSTORE" if !std::mem::replace(&mut enabled.condstore, true) => now.push("CONDSTORE"),
            "QRESYNC" if !std::mem::replace(&mut enabled.qresync, true) => {
                // QRESYNC implies CONDSTORE (RFC 7162 §3.2.3).
                if !std::mem::replace(&mut enabled.condstore, true) {
                    now.push("CONDSTORE");
                }
                now.push("QRESYNC");
            }
            _ => {}
        }
    }
    response::enabled(&mut session.writer(), &now);
    Ok(Done::ok("ENABLE completed"))
}
