//! ID (RFC 2971).

use crate::imap::client::{Client, User};
use crate::imap::command::login;
use crate::imap::outcome::Done;
use crate::protocol::command::id::Parameters;
use crate::protocol::response;

/// What is kept of a client's name: enough for the device list.
const NAME_KEPT: usize = 120;

/// Notes what the client says of itself, for the device list, and names this server. The version is told to
/// those who have logged in only.
pub async fn run(client: &mut Client, user: Option<&mut User>, parameters: &Parameters) -> Done {
    let value = |key: &str| {
        let found = parameters.iter().find(|(name, _)| name.eq_ignore_ascii_case(key));
        found.and_then(|(_, value)| value.clone()).unwrap_or_default()
    };
    let words = [value("name"), value("version"), value("os"), value("os-version")];
    let name: Vec<String> = words.into_iter().filter(|word| !word.is_empty()).collect();
    client.program = name.join(" ").chars().filter(|c| !c.is_control()).take(NAME_KEPT).collect();
    let version = user.is_some().then_some(env!("CARGO_PKG_VERSION"));
    // Most clients say who they are when they have logged in already.
    if let Some(user) = user {
        login::introduce(client, user).await;
    }
    let mut answer = vec![("name", "Postern")];
    answer.extend(version.map(|version| ("version", version)));
    response::id(&mut client.writer(), &answer);
    Done::ok("ID completed")
}
