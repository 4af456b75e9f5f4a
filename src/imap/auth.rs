//! STARTTLS, AUTHENTICATE and LOGIN (RFC 9051 §6.2).

use std::time::{Duration, Instant};

use base64::Engine;

use crate::credential::{DevicePassword, sasl_plain};
use crate::imap::connection::Input;
use crate::imap::refusal::Refusal;
use crate::imap::session::{Done, Session, State, User};
use crate::model::{AccountId, DeviceId};
use crate::protocol::command::Tag;
use crate::protocol::command::authenticate::Authenticate;
use crate::protocol::command::login::Login;
use crate::protocol::framing::Event;
use crate::protocol::response::{self, code::Code};
use crate::store::accounts::{self, Account};
use crate::store::devices::{self, Device};
use crate::store::revoked::{self, Revoked};
use crate::store::unix_now;

/// A device's last use is written at most so often, in seconds.
const TOUCH: i64 = 3600;
/// Whoever waits for a turn looks so often whether it is needed any more.
const LOOKED_AGAIN: Duration = Duration::from_millis(100);

/// STARTTLS (RFC 9051 §6.2.1). What was sent behind it in the clear could be an attacker's: refused.
///
/// # Errors
/// If TLS runs already, something was pipelined, or the handshake fails.
pub async fn start_tls(session: &mut Session, tag: &Tag) -> Result<Done, Refusal> {
    if session.io.is_encrypted() {
        return Err(Refusal::bad("TLS protects this connection already"));
    }
    if session.io.framer.buffered() > 0 {
        session.tagged(tag, "BAD", None, "Nothing may follow STARTTLS before the handshake");
        session.bye(None, "Bytes were sent behind STARTTLS");
        return Err(Refusal::hangup("bytes behind STARTTLS"));
    }
    session.tagged(tag, "OK", None, "Begin the TLS handshake");
    session.io.flush().await?;
    let acceptor = (session.shared.tls)();
    session.io.start_tls(acceptor).await?;
    // The tagged reply has been sent; nothing may be said before the client speaks again.
    Err(Refusal::answered())
}

/// AUTHENTICATE PLAIN (RFC 9051 §6.2.2, RFC 4616, RFC 4959).
///
/// # Errors
/// Why the client is not logged in.
pub async fn authenticate(session: &mut Session, command: Authenticate) -> Result<Done, Refusal> {
    if !command.mechanism.eq_ignore_ascii_case("PLAIN") {
        return Err(Refusal::no(Code::Cannot, "Only the mechanism PLAIN is offered"));
    }
    privacy(session)?;
    let message = match command.initial {
        Some(message) => message,
        None => challenge(session).await?,
    };
    let plain = sasl_plain::parse(&message)
        .ok_or_else(|| Refusal::bad("This is not what the mechanism PLAIN sends (RFC 4616)"))?;
    // To act for somebody else is nobody's right here (RFC 4616 §2).
    if !plain.authzid.is_empty() && !plain.authzid.eq_ignore_ascii_case(&plain.authcid) {
        return Err(Refusal::no(Code::AuthorizationFailed, "You may only log in as yourself"));
    }
    finish(session, &plain.authcid, plain.password.as_bytes()).await
}

/// LOGIN (RFC 9051 §6.2.3).
///
/// # Errors
/// Why the client is not logged in.
pub async fn login(session: &mut Session, command: Login) -> Result<Done, Refusal> {
    privacy(session)?;
    let name = String::from_utf8_lossy(&command.user).into_owned();
    finish(session, &name, &command.password).await
}

/// No password is taken in the clear (RFC 9051 §6.2.3, LOGINDISABLED).
fn privacy(session: &Session) -> Result<(), Refusal> {
    if session.may_send_password() {
        return Ok(());
    }
    Err(Refusal::no(Code::PrivacyRequired, "Turn on TLS (STARTTLS, or port 993) before sending a password"))
}

/// Sends an empty challenge and decodes the answer.
async fn challenge(session: &mut Session) -> Result<Vec<u8>, Refusal> {
    response::continuation(&mut session.writer(), "");
    session.io.framer.expect_line();
    match session.io.next(session.patience()).await {
        Input::Event(Event::Line(line)) if line == b"*" => Err(Refusal::bad("AUTHENTICATE was given up")),
        Input::Event(Event::Line(line)) => base64::engine::general_purpose::STANDARD
            .decode(line.trim_ascii())
            .map_err(|_| Refusal::bad("The answer is not base64")),
        Input::Event(_) => Err(Refusal::bad("The answer is too long")),
        Input::Closed | Input::TimedOut | Input::Interrupted => {
            Err(Refusal::hangup("no answer to a challenge"))
        }
    }
}

async fn finish(session: &mut Session, name: &str, password: &[u8]) -> Result<Done, Refusal> {
    let peer = session.io.peer();
    let Some((account, device)) = verify(session, name, password).await? else {
        return Err(Refusal::no(Code::AuthenticationFailed, "The name or the password is wrong"));
    };
    let device_id = device.as_ref().map(|device| device.id);
    let seat = session
        .shared
        .seats
        .log_in(peer.ip(), account.id, device_id)
        .map_err(|full| Refusal::no(Code::Limit, full.to_string()))?;
    let noted = match device {
        Some(device) => touch(session, account.id, device).await,
        None => false,
    };
    tracing::info!(peer = %peer, account = %account.name, device = device_id.map(|id| id.0), "logged in");
    let bell = session.shared.hub.join(account.id, device_id);
    still_welcome(session, &account, device_id).await?;
    session.log_in(User { account: account.id, name: account.name, device: device_id, noted, bell, seat });
    Ok(Done::with(Code::Capability(session.capabilities()), "Welcome"))
}

/// Looks once more, now that the session can be dismissed: the account, its password or the device may have
/// gone between the look at them and this.
async fn still_welcome(
    session: &Session,
    account: &Account,
    device: Option<DeviceId>,
) -> Result<(), Refusal> {
    let (id, hash) = (account.id, account.password_hash.clone());
    let read = move |snapshot: &crate::store::Snapshot| {
        Ok::<_, crate::store::Error>(match device {
            Some(device) => devices::get(snapshot, id, device)?.is_some(),
            None => accounts::get(snapshot, id)?.is_some_and(|account| account.password_hash == hash),
        })
    };
    if session.shared.pool.read(read).await? {
        return Ok(());
    }
    Err(Refusal::no(Code::AuthenticationFailed, "The name or the password is wrong"))
}

/// The account, and the device whose password it was. A right device password is never slowed down.
async fn verify(
    session: &Session,
    name: &str,
    password: &[u8],
) -> Result<Option<(Account, Option<Device>)>, Refusal> {
    let key =
        std::str::from_utf8(password).ok().and_then(DevicePassword::parse).map(|password| password.key());
    let wanted = name.to_owned();
    let (account, device, revoked) = session
        .shared
        .pool
        .read(move |snapshot| {
            let account = accounts::by_name(snapshot, &wanted)?;
            let Some(key) = key else { return Ok((account, None, None)) };
            let device = devices::by_key(snapshot, &key)?;
            let revoked = if device.is_none() { revoked::by_key(snapshot, &key)? } else { None };
            Ok::<_, crate::store::Error>((account, device, revoked))
        })
        .await?;
    let account = account.filter(|account| !account.disabled);
    if let (Some(account), Some(device)) = (&account, &device)
        && device.account == account.id
    {
        return Ok(Some((account.clone(), Some(device.clone()))));
    }
    // Nor is the account's own, once it was right: whoever guesses must not slow down its owner's phone. Who
    // guesses learns nothing from the speed: a wrong one keeps its connection's place until the delay is over.
    if account.as_ref().is_some_and(|account| lately_right(session, account, password)) {
        return Ok(account.map(|account| (account, None)));
    }
    let address = session.io.peer().ip();
    let throttle = &session.shared.throttle;
    let attempt = throttle
        .begin(session.shared.started.elapsed(), address, name)
        .map_err(|many| Refusal::no(Code::Unavailable, many.to_string()))?;
    if wait_for_turn(session, account.as_ref(), password, attempt.wait).await {
        throttle.withdrawn(session.shared.started.elapsed(), address, name);
        return Ok(account.map(|account| (account, None)));
    }
    if let Some(revoked) = revoked {
        // A phone that was forgotten tries every few minutes: no hash is spent on it.
        note_revoked(session, &revoked).await;
        return Ok(None);
    }
    if own_password(session, account.as_ref(), password, attempt.is_known).await {
        throttle.succeeded(session.shared.started.elapsed(), address, name);
        return Ok(account.map(|account| (account, None)));
    }
    // A name that nobody has is not logged: people type their password there.
    let account = account.as_ref().map(|account| account.name.as_str());
    tracing::warn!(peer = %address, account, "a wrong name or password");
    Ok(None)
}

/// Waits until the attempt may be made. True as soon as another connection has shown that the password is right: a
/// program opens five at once.
async fn wait_for_turn(
    session: &Session,
    account: Option<&Account>,
    password: &[u8],
    wait: Duration,
) -> bool {
    let until = Instant::now() + wait;
    loop {
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return false;
        }
        smol::Timer::after(left.min(LOOKED_AGAIN)).await;
        if account.is_some_and(|account| lately_right(session, account, password)) {
            return true;
        }
    }
}

/// Whether this password was right for this account not long ago: known without a hash.
fn lately_right(session: &Session, account: &Account, password: &[u8]) -> bool {
    let now = session.shared.started.elapsed();
    let stored = account.password_hash.as_ref();
    stored.is_some_and(|stored| session.shared.recent.knows(now, account.id, stored, password))
}

async fn own_password(session: &Session, account: Option<&Account>, password: &[u8], is_known: bool) -> bool {
    let stored = account.and_then(|account| account.password_hash.clone());
    let hasher = std::sync::Arc::clone(&session.shared.hasher);
    let (typed, hash) = (password.to_vec(), stored.clone());
    // Without an account the same work is done, so that the time tells nothing.
    let right = session
        .shared
        .pool
        .hash(is_known, move || match hash {
            Some(hash) => hasher.verify(&typed, &hash),
            None => hasher.verify_nothing(&typed),
        })
        .await;
    if let (true, Some(account), Some(stored)) = (right, account, &stored) {
        session.shared.recent.note(session.shared.started.elapsed(), account.id, stored, password);
    }
    right
}

/// Notes that a revoked device goes on trying: its owner is told which one it is.
async fn note_revoked(session: &Session, revoked: &Revoked) {
    let now = unix_now();
    tracing::warn!(peer = %session.io.peer().ip(), device = revoked.name, "a device that was revoked tries to log in");
    if !revoked::is_due(revoked.tried, now) {
        return;
    }
    let key = revoked.key_hash;
    if let Err(refusal) = session.shared.pool.write(move |tx| revoked::note_try(tx, &key)).await {
        tracing::debug!(text = %refusal.text, "a revoked device's try could not be written down");
    }
}

/// Notes what a client says of itself after its login, as seldom as its login: several programs of one phone
/// (Mail and its settings) share a device's password, and take turns.
pub async fn introduce(session: &mut Session) {
    let client = session.client.clone();
    let (account, id) = match &mut session.state {
        State::Authenticated(user) | State::Selected(user, _) if !client.is_empty() && user.noted => {
            user.noted = false;
            (user.account, user.device)
        }
        _ => return,
    };
    let Some(id) = id else { return };
    let noted = session.shared.pool.write(move |tx| match devices::get(tx, account, id)? {
        Some(device) if device.client != client => {
            let last = device.last_used.unwrap_or_else(|| tx.now());
            devices::touch(tx, account, id, last, &client, &device.address)
        }
        _ => Ok(()),
    });
    if let Err(refusal) = noted.await {
        tracing::warn!(text = %refusal.text, "a device's program could not be noted");
    }
}

/// Notes a device's use, at most hourly; gives whether it did.
async fn touch(session: &Session, account: AccountId, device: Device) -> bool {
    let now = unix_now();
    let address = session.io.peer().ip().to_canonical().to_string();
    let recent = device.last_used.is_some_and(|last| (last..last.saturating_add(TOUCH)).contains(&now));
    if recent && device.address == address {
        return false;
    }
    let client = if session.client.is_empty() { device.client.clone() } else { session.client.clone() };
    let id: DeviceId = device.id;
    let noted =
        session.shared.pool.write(move |tx| devices::touch(tx, account, id, now, &client, &address)).await;
    if let Err(refusal) = noted {
        tracing::warn!(text = %refusal.text, "a device's last use could not be noted");
    }
    true
}
