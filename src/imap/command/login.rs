//! LOGIN (RFC 9051 §6.2.3), and how a name and a password are held against the store.

use std::time::{Duration, Instant};

use crate::credential::{DevicePassword, Login};
use crate::imap::client::{Client, User};
use crate::imap::refusal::Stop;
use crate::model::{AccountId, DeviceId};
use crate::protocol::command::login as command;
use crate::protocol::response::code::Code;
use crate::store::accounts::{self, Account};
use crate::store::devices::{self, Device};
use crate::store::revoked::{self, Revoked};
use crate::store::{Error, Snapshot, unix_now};

/// A device's last use is written at most so often, in seconds.
const TOUCH: i64 = 3600;
/// Whoever waits for a turn looks so often whether it is needed any more.
const LOOKED_AGAIN: Duration = Duration::from_millis(100);

/// LOGIN (RFC 9051 §6.2.3).
///
/// # Errors
/// Why the client is not logged in.
pub async fn run(client: &mut Client, command: command::Login) -> Result<User, Stop> {
    privacy(client)?;
    let name = String::from_utf8_lossy(&command.user).into_owned();
    finish(client, &name, &command.password).await
}

/// No password is taken in the clear (RFC 9051 §6.2.3, LOGINDISABLED).
///
/// # Errors
/// NO [PRIVACYREQUIRED].
pub fn privacy(client: &Client) -> Result<(), Stop> {
    if client.may_send_password() {
        return Ok(());
    }
    Err(Stop::no(Code::PrivacyRequired, "Turn on TLS (STARTTLS, or port 993) before sending a password"))
}

/// Logs in with a name and a password, however they came.
///
/// # Errors
/// Why the client is not logged in.
pub async fn finish(client: &mut Client, name: &str, password: &[u8]) -> Result<User, Stop> {
    let peer = client.io.peer();
    let Some((account, device)) = verify(client, name, password).await? else {
        return Err(wrong());
    };
    let login = device.as_ref().map_or(Login::Own, |device| Login::Device(device.id));
    let seat = client.shared.limits.log_in(peer.ip(), account.id, login);
    let seat = seat.map_err(|full| Stop::no(Code::Limit, full.to_string()))?;
    let noted = match device {
        Some(device) => touch(client, account.id, device).await,
        None => false,
    };
    tracing::info!(peer = %peer, account = %account.name, device = login.device().map(|id| id.0), "logged in");
    let bell = client.shared.bells.join(account.id, login);
    still_welcome(client, &account, login).await?;
    Ok(User { account: account.id, name: account.name, login, noted, bell, seat })
}

/// Says the same of a name that nobody has and of a wrong password.
fn wrong() -> Stop {
    Stop::no(Code::AuthenticationFailed, "The name or the password is wrong")
}

/// Looks once more, now that the session can be dismissed: the account, its password or the device may have
/// gone between the look at them and this.
async fn still_welcome(client: &Client, account: &Account, login: Login) -> Result<(), Stop> {
    let (id, hash) = (account.id, account.password_hash.clone());
    let read = move |snapshot: &Snapshot| {
        Ok::<_, Error>(match login {
            Login::Device(device) => devices::get(snapshot, id, device)?.is_some(),
            Login::Own => accounts::get(snapshot, id)?.is_some_and(|account| account.password_hash == hash),
        })
    };
    if client.shared.pool.read(read).await? { Ok(()) } else { Err(wrong()) }
}

/// The account, and the device whose password it was. A right device password is never slowed down.
async fn verify(
    client: &Client,
    name: &str,
    password: &[u8],
) -> Result<Option<(Account, Option<Device>)>, Stop> {
    let key =
        std::str::from_utf8(password).ok().and_then(DevicePassword::parse).map(|password| password.key());
    let wanted = name.to_owned();
    let (account, device, revoked) = client
        .shared
        .pool
        .read(move |snapshot| {
            let account = accounts::by_name(snapshot, &wanted)?;
            let Some(key) = key else { return Ok((account, None, None)) };
            let device = devices::by_key(snapshot, &key)?;
            let revoked = if device.is_none() { revoked::by_key(snapshot, &key)? } else { None };
            Ok::<_, Error>((account, device, revoked))
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
    if account.as_ref().is_some_and(|account| lately_right(client, account, password)) {
        return Ok(account.map(|account| (account, None)));
    }
    let address = client.io.peer().ip();
    let throttle = &client.shared.throttle;
    let attempt = throttle
        .begin(client.shared.started.elapsed(), address, name)
        .map_err(|many| Stop::no(Code::Unavailable, many.to_string()))?;
    if wait_for_turn(client, account.as_ref(), password, attempt.wait).await {
        throttle.withdrawn(client.shared.started.elapsed(), address, name);
        return Ok(account.map(|account| (account, None)));
    }
    if let Some(revoked) = revoked {
        // A phone that was forgotten tries every few minutes: no hash is spent on it.
        note_revoked(client, &revoked).await;
        return Ok(None);
    }
    if own_password(client, account.as_ref(), password, attempt.is_known).await {
        throttle.succeeded(client.shared.started.elapsed(), address, name);
        return Ok(account.map(|account| (account, None)));
    }
    // A name that nobody has is not logged: people type their password there.
    let account = account.as_ref().map(|account| account.name.as_str());
    tracing::warn!(peer = %address, account, "a wrong name or password");
    Ok(None)
}

/// Waits until the attempt may be made. True as soon as another connection has shown that the password is right: a
/// program opens five at once.
async fn wait_for_turn(client: &Client, account: Option<&Account>, password: &[u8], wait: Duration) -> bool {
    let until = Instant::now() + wait;
    loop {
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return false;
        }
        smol::Timer::after(left.min(LOOKED_AGAIN)).await;
        if account.is_some_and(|account| lately_right(client, account, password)) {
            return true;
        }
    }
}

/// Whether this password was right for this account not long ago: known without a hash.
fn lately_right(client: &Client, account: &Account, password: &[u8]) -> bool {
    let now = client.shared.started.elapsed();
    let stored = account.password_hash.as_ref();
    stored.is_some_and(|stored| client.shared.recent.knows(now, account.id, stored, password))
}

async fn own_password(client: &Client, account: Option<&Account>, password: &[u8], is_known: bool) -> bool {
    let stored = account.and_then(|account| account.password_hash.clone());
    let hasher = std::sync::Arc::clone(&client.shared.hasher);
    let (typed, hash) = (password.to_vec(), stored.clone());
    // Without an account the same work is done, so that the time tells nothing.
    let right = client
        .shared
        .pool
        .hash(is_known, move || match hash {
            Some(hash) => hasher.verify(&typed, &hash),
            None => hasher.verify_nothing(&typed),
        })
        .await;
    if let (true, Some(account), Some(stored)) = (right, account, &stored) {
        client.shared.recent.note(client.shared.started.elapsed(), account.id, stored, password);
    }
    right
}

/// Notes that a revoked device goes on trying: its owner is told which one it is.
async fn note_revoked(client: &Client, revoked: &Revoked) {
    let now = unix_now();
    tracing::warn!(peer = %client.io.peer().ip(), device = revoked.name, "a device that was revoked tries to log in");
    if !revoked::is_due(revoked.tried, now) {
        return;
    }
    let key = revoked.key_hash;
    if let Err(error) = client.shared.pool.write(move |tx| revoked::note_try(tx, &key)).await {
        tracing::debug!(%error, "a revoked device's try could not be written down");
    }
}

/// Notes what a client says of itself after its login, as seldom as its login: several programs of one phone
/// (Mail and its settings) share a device's password, and take turns.
pub async fn introduce(client: &Client, user: &mut User) {
    let Login::Device(id) = user.login else { return };
    if client.program.is_empty() || !std::mem::take(&mut user.noted) {
        return;
    }
    let (account, program) = (user.account, client.program.clone());
    let noted = client.shared.pool.write(move |tx| match devices::get(tx, account, id)? {
        Some(device) if device.client != program => {
            let last = device.last_used.unwrap_or_else(|| tx.now());
            devices::touch(tx, account, id, last, &program, &device.address)
        }
        _ => Ok(()),
    });
    if let Err(error) = noted.await {
        tracing::warn!(%error, "a device's program could not be noted");
    }
}

/// Notes a device's use, at most hourly; gives whether it did.
async fn touch(client: &Client, account: AccountId, device: Device) -> bool {
    let now = unix_now();
    let address = client.io.peer().ip().to_canonical().to_string();
    let recent = device.last_used.is_some_and(|last| (last..last.saturating_add(TOUCH)).contains(&now));
    if recent && device.address == address {
        return false;
    }
    let program = if client.program.is_empty() { device.client.clone() } else { client.program.clone() };
    let id: DeviceId = device.id;
    let noted =
        client.shared.pool.write(move |tx| devices::touch(tx, account, id, now, &program, &address)).await;
    if let Err(error) = noted {
        tracing::warn!(%error, "a device's last use could not be noted");
    }
    true
}
