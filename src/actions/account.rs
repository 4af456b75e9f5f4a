//! Accounts.

use serde::{Deserialize, Serialize};

use super::{Context, Failure};
use crate::credential::Login;
use crate::model::AccountName;
use crate::store::accounts::{self, Account};
use crate::store::{Rows, mailboxes};

/// Shorter passwords are guessed, however slowly.
const SHORTEST_PASSWORD: usize = 8;
/// Longer ones are a mistake; argon2 itself has no such limit.
const LONGEST_PASSWORD: usize = 1_000;

/// An account, as it is shown.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Info {
    /// Its name.
    pub name: String,
    /// When it was made, in seconds since 1970.
    pub created: i64,
    /// Whether it has a password of its own, besides those of its devices.
    pub password: bool,
    /// How many devices it has.
    pub devices: u64,
    /// How many mailboxes.
    pub mailboxes: u64,
    /// How many messages.
    pub messages: u64,
    /// Their bytes.
    pub bytes: u64,
}

/// Makes an account with the usual mailboxes, subscribed.
///
/// # Errors
/// If the name is taken, or the password is too short.
pub fn add(context: &Context, name: &AccountName, password: Option<&str>) -> Result<(), Failure> {
    let hash = password.map(|password| hash(context, password)).transpose()?;
    let name = name.clone();
    context.store.write(move |tx| accounts::create(tx, name.as_str(), hash.as_deref()))?;
    Ok(())
}

/// All accounts, by name.
///
/// # Errors
/// Of reading.
pub fn list(context: &Context) -> Result<Vec<Info>, Failure> {
    let snapshot = context.store.snapshot()?;
    let mut accounts = accounts::list(&snapshot)?;
    accounts.sort_by(|a, b| a.name.cmp(&b.name));
    accounts.iter().map(|account| info(&snapshot, account)).collect()
}

fn info(rows: &dyn Rows, account: &Account) -> Result<Info, Failure> {
    let mailboxes = mailboxes::list(rows, account.id)?;
    Ok(Info {
        name: account.name.clone(),
        created: account.created,
        password: account.password_hash.is_some(),
        devices: crate::store::devices::list(rows, account.id)?.len() as u64,
        mailboxes: mailboxes.len() as u64,
        messages: mailboxes.iter().map(|mailbox| u64::from(mailbox.messages)).sum(),
        bytes: mailboxes.iter().map(|mailbox| mailbox.size).sum(),
    })
}

/// Removes an account with its devices, sources and mail. Its sessions end.
///
/// # Errors
/// If there is none of that name.
pub fn remove(context: &Context, name: &str) -> Result<(), Failure> {
    let id = find(context, name)?.id;
    context.store.write(move |tx| accounts::remove(tx, id))?;
    context.dismiss(id, &|_| true, "This account was removed");
    super::source::reload(context);
    Ok(())
}

/// Gives an account another password. Sessions that logged in with the old one end: who knew it may be why it
/// was changed. Its devices have passwords of their own, and go on.
///
/// # Errors
/// If there is none of that name, or the password is too short.
pub fn set_password(context: &Context, name: &str, password: &str) -> Result<(), Failure> {
    let id = find(context, name)?.id;
    let hash = hash(context, password)?;
    context.store.write(move |tx| accounts::set_password(tx, id, Some(&hash)))?;
    context.dismiss(id, &|login| login == Login::Own, "The password was changed; log in with the new one");
    Ok(())
}

/// The account of this name; without a name the only one that there is.
///
/// # Errors
/// If there is none, or there are several and none is named.
pub fn find_or_only(context: &Context, name: Option<&str>) -> Result<Account, Failure> {
    if let Some(name) = name {
        return find(context, name);
    }
    let mut all = accounts::list(&context.store.snapshot()?)?;
    match (all.pop(), all.is_empty()) {
        (Some(only), true) => Ok(only),
        (None, _) => Err(Failure::Invalid("there is no account yet: postern account add NAME".to_owned())),
        _ => Err(Failure::Invalid("there are several accounts: say which with --account NAME".to_owned())),
    }
}

/// The account of this name.
///
/// # Errors
/// If there is none.
pub fn find(context: &Context, name: &str) -> Result<Account, Failure> {
    accounts::by_name(&context.store.snapshot()?, name)?
        .ok_or_else(|| Failure::Unknown { what: "account", name: name.to_owned() })
}

/// Whether a password can be one.
///
/// # Errors
/// If it is too short or too long.
pub fn check_password(password: &str) -> Result<(), Failure> {
    if password.chars().count() < SHORTEST_PASSWORD {
        return Err(Failure::Invalid(format!("a password needs at least {SHORTEST_PASSWORD} characters")));
    }
    if password.len() > LONGEST_PASSWORD {
        return Err(Failure::Invalid(format!("a password has at most {LONGEST_PASSWORD} bytes")));
    }
    if password.contains('\0') {
        // No program could log in with it (RFC 4616 §2).
        return Err(Failure::Invalid("a password cannot hold a NUL character".to_owned()));
    }
    Ok(())
}

pub(super) fn hash(context: &Context, password: &str) -> Result<String, Failure> {
    check_password(password)?;
    context.hasher.hash(password).map_err(|error| Failure::Invalid(error.to_string()))
}
