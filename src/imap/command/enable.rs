//! ENABLE (RFC 9051 §6.3.1).

use crate::imap::client::Client;
use crate::imap::outcome::Done;
use crate::protocol::command::enable::Enable;
use crate::protocol::response;

/// Enables what is known and says so, also where it was enabled before: a client that asks again, or that
/// enabled CONDSTORE by using it, must not take silence for a refusal. Anything else is ignored, as the RFC
/// asks. K-9 sends it blindly.
pub fn run(client: &mut Client, command: &Enable) -> Done {
    let mut now = Vec::new();
    for name in &command.capabilities {
        let name = match name.to_ascii_uppercase().as_str() {
            "IMAP4REV2" => {
                client.enabled.rev2 = true;
                "IMAP4rev2"
            }
            "UTF8=ACCEPT" => {
                client.enabled.utf8 = true;
                "UTF8=ACCEPT"
            }
            "CONDSTORE" => {
                client.enabled.condstore = true;
                "CONDSTORE"
            }
            "QRESYNC" => {
                // QRESYNC implies CONDSTORE (RFC 7162 §3.2.3).
                client.enabled.condstore = true;
                client.enabled.qresync = true;
                "QRESYNC"
            }
            _ => continue,
        };
        if !now.contains(&name) {
            now.push(name);
        }
    }
    response::enabled(&mut client.writer(), &now);
    Done::ok("ENABLE completed")
}
