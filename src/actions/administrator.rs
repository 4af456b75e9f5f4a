//! The administrator: one password for the admin site, set through a one-time link.

use serde::{Deserialize, Serialize};

use super::{Context, Failure, certificate, human};
use crate::credential::DevicePassword;
use crate::store::{Error, Rows, settings};

/// The hash of the password.
const PASSWORD: &str = "admin.password";
/// The key of the code that lets set it, and when that was made.
const CODE: &str = "admin.setup";
/// A code that was not used for so long is not taken any more, in seconds. A clock that goes back does not
/// bring one to life: then its age is negative.
const CODE_LIFE: i64 = 7 * 86_400;

/// A one-time link, as far as the server itself knows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SetupLink {
    /// Links that may work, the likeliest first; none where no server runs.
    pub links: Vec<String>,
    /// The code in them.
    pub code: String,
}

/// Whether a password was ever set.
///
/// # Errors
/// Of reading.
pub fn is_set_up(context: &Context) -> Result<bool, Failure> {
    Ok(settings::get(&context.store.snapshot()?, PASSWORD)?.is_some())
}

/// Makes a link that sets the password, a lost one too. An older link does not work any more.
///
/// # Errors
/// If it cannot be stored.
pub fn setup_link(context: &Context) -> Result<SetupLink, Failure> {
    let code = DevicePassword::generate().map_err(|error| Failure::Invalid(error.to_string()))?;
    let mut value = code.key().to_vec();
    context.store.write(move |tx| {
        value.extend_from_slice(&tx.now().to_le_bytes());
        settings::put(tx, CODE, &value)
    })?;
    Ok(SetupLink { links: links(context, &code.to_string()), code: code.to_string() })
}

/// `https://pi.local:1980/setup?code=…`: by name first, then by address.
fn links(context: &Context, code: &str) -> Vec<String> {
    let Some(running) = &context.running else { return Vec::new() };
    let listener = running.listeners.iter().find_map(|name| name.strip_prefix("admin="));
    let Some(address) = listener.and_then(|name| name.parse::<std::net::SocketAddr>().ok()) else {
        return Vec::new();
    };
    let names =
        if address.ip().is_loopback() { vec!["localhost".to_owned()] } else { certificate::names(context) };
    let port = address.port();
    let host = |name: &String| match name.parse::<std::net::IpAddr>() {
        Ok(std::net::IpAddr::V6(v6)) => format!("[{v6}]"),
        _ => name.clone(),
    };
    names.iter().map(|name| format!("https://{}:{port}/setup?code={code}", host(name))).collect()
}

/// Whether a code is the one that was made last, not used yet and not too old.
///
/// # Errors
/// Of reading.
pub fn is_code_right(context: &Context, code: &str) -> Result<bool, Failure> {
    let snapshot = context.store.snapshot()?;
    Ok(matches_code(&snapshot, code, human::now())?)
}

fn matches_code(rows: &dyn Rows, code: &str, now: i64) -> Result<bool, Error> {
    let Some(code) = DevicePassword::parse(code) else { return Ok(false) };
    let Some(value) = settings::get(rows, CODE)? else { return Ok(false) };
    let (key, made) = value.split_at_checked(32).unwrap_or_default();
    let made = made.try_into().map_or(i64::MAX, i64::from_le_bytes);
    // Keys are hashes of 128 random bits: how long a comparison takes tells nothing.
    Ok(key == code.key() && now.saturating_sub(made) < CODE_LIFE)
}

/// Sets the password; the code is used up.
///
/// # Errors
/// If the code is not right, or the password too short.
pub fn set_up(context: &Context, code: &str, password: &str) -> Result<(), Failure> {
    let hash = super::account::hash(context, password)?;
    let (code, now) = (code.to_owned(), human::now());
    let done = context.store.write(move |tx| {
        if !matches_code(tx, &code, now)? {
            return Ok(false);
        }
        settings::delete(tx, CODE);
        settings::put(tx, PASSWORD, hash.as_bytes())?;
        Ok(true)
    })?;
    if done {
        Ok(())
    } else {
        Err(Failure::Invalid(
            "this code is not right: it was mistyped, used already, or is too old".to_owned(),
        ))
    }
}

/// Whether this is the password.
///
/// # Errors
/// Of reading.
pub fn verify(context: &Context, password: &str) -> Result<bool, Failure> {
    let stored = settings::get(&context.store.snapshot()?, PASSWORD)?;
    let stored = stored.and_then(|hash| String::from_utf8(hash).ok());
    Ok(match stored {
        Some(stored) => context.hasher.verify(password.as_bytes(), &stored),
        None => context.hasher.verify_nothing(password.as_bytes()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_sets_the_password_once() {
        let folder = tempfile::tempdir().unwrap();
        let context = Context::in_folder(folder.path());
        assert!(!is_set_up(&context).unwrap());
        let (old, link) = (setup_link(&context).unwrap(), setup_link(&context).unwrap());
        assert!(!is_code_right(&context, &old.code).unwrap(), "a newer link takes its place");
        assert!(set_up(&context, &old.code, "correct horse").is_err());
        assert!(set_up(&context, &link.code, "short").is_err());
        assert!(
            is_code_right(&context, &link.code).unwrap(),
            "a password that is too short does not use it up"
        );
        set_up(&context, &link.code, "correct horse").unwrap();
        assert!(set_up(&context, &link.code, "another horse").is_err(), "it is used up");
        assert!(verify(&context, "correct horse").unwrap() && !verify(&context, "another horse").unwrap());
        let value =
            [DevicePassword::parse(&link.code).unwrap().key().to_vec(), 1_000_i64.to_le_bytes().to_vec()];
        context.store.write(move |tx| settings::put(tx, CODE, &value.concat())).unwrap();
        let right = |now| matches_code(&context.store.snapshot().unwrap(), &link.code, now).unwrap();
        assert!(right(1_000 + CODE_LIFE - 1) && !right(1_000 + CODE_LIFE), "it lasts a week");
    }
}
