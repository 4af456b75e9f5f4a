//! Devices: one password each, shown once.

use serde::{Deserialize, Serialize};

use super::{Context, Failure, account};
use crate::credential::{DevicePassword, Login, scram};
use crate::model::{DeviceId, DeviceName};
use crate::store::Error;
use crate::store::accounts::Account;
use crate::store::devices::{self, Device};

/// A device, as it is shown.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Info {
    /// Its number, for `revoke`.
    pub id: u32,
    /// Whose it is.
    pub account: String,
    /// What its owner calls it.
    pub name: String,
    /// When it was added, in seconds since 1970.
    pub created: i64,
    /// When it last logged in.
    pub last_used: Option<i64>,
    /// What it said of itself then.
    pub client: String,
    /// Where it was then.
    pub address: String,
}

/// A device that was added. The password is shown now and never again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Added {
    /// Its number.
    pub id: u32,
    /// Whose it is: the user name to log in with.
    pub account: String,
    /// Its password.
    pub password: String,
}

/// A device that was revoked and goes on trying to log in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Revoked {
    /// Whose it was.
    pub account: String,
    /// What its owner called it.
    pub name: String,
    /// When it last tried, in seconds since 1970, to the hour.
    pub tried: i64,
}

/// The revoked devices that have tried to log in since.
///
/// # Errors
/// Of reading.
pub fn trying(context: &Context) -> Result<Vec<Revoked>, Failure> {
    let snapshot = context.store.snapshot()?;
    let mut found = Vec::new();
    for device in crate::store::revoked::list(&snapshot)? {
        let account = crate::store::accounts::get(&snapshot, device.account)?;
        if let (Some(account), Some(tried)) = (account, device.tried) {
            found.push(Revoked { account: account.name, name: device.name, tried });
        }
    }
    Ok(found)
}

/// Adds a device with a password of its own.
///
/// # Errors
/// If there is no such account, or it has a device of this name.
pub fn add(context: &Context, account: Option<&str>, name: &DeviceName) -> Result<Added, Failure> {
    let account = account::find_or_only(context, account)?;
    let (text, key, verifier) = password(&account)?;
    let (owner, called) = (account.id, name.clone());
    let id = context.store.write(move |tx| devices::add(tx, owner, called.as_str(), key, verifier))?;
    Ok(Added { id: id.0, account: account.name, password: text })
}

/// Gives a device another password: the one that it had is not taken any more, and its sessions end.
///
/// # Errors
/// If there is no such account or device.
pub fn renew(context: &Context, account: &str, id: u32) -> Result<Added, Failure> {
    let account = account::find(context, account)?;
    let (text, key, verifier) = password(&account)?;
    let (owner, device) = (account.id, DeviceId(id));
    let renewed = context.store.write(move |tx| devices::renew(tx, owner, device, key, verifier));
    renewed.map_err(|error| match error {
        Error::NotFound(_) => Failure::Unknown { what: "device", name: id.to_string() },
        error => error.into(),
    })?;
    let is_its = |login: Login| login == Login::Device(device);
    context.dismiss(owner, &is_its, "This device was given another password");
    Ok(Added { id, account: account.name, password: text })
}

/// A password, its key and its verifier.
fn password(account: &Account) -> Result<(String, [u8; 32], Vec<u8>), Failure> {
    let password = DevicePassword::generate().map_err(|error| Failure::Invalid(error.to_string()))?;
    let text = password.to_string();
    let verifier = scram::verifier(&text, &account.salt);
    Ok((text, password.key(), verifier))
}

/// Devices of one account, or of all.
///
/// # Errors
/// If there is no such account.
pub fn list(context: &Context, account: Option<&str>) -> Result<Vec<Info>, Failure> {
    let snapshot = context.store.snapshot()?;
    let mut found = Vec::new();
    for owner in owners(context, account)? {
        let devices = devices::list(&snapshot, owner.id)?;
        found.extend(devices.into_iter().map(|device| info(&owner.name, device)));
    }
    Ok(found)
}

/// The account that is named, or all.
fn owners(context: &Context, account: Option<&str>) -> Result<Vec<Account>, Failure> {
    match account {
        Some(name) => Ok(vec![account::find(context, name)?]),
        None => Ok(crate::store::accounts::list(&context.store.snapshot()?)?),
    }
}

fn info(account: &str, device: Device) -> Info {
    Info {
        id: device.id.0,
        account: account.to_owned(),
        name: device.name,
        created: device.created,
        last_used: device.last_used,
        client: device.client,
        address: device.address,
    }
}

/// Revokes a device by its number or its name: it cannot log in any more, and its sessions end. A number is
/// one device's over all accounts; a name is its account's.
///
/// # Errors
/// If there is none, or several have that name.
pub fn revoke(context: &Context, account: Option<&str>, device: &str) -> Result<(), Failure> {
    let snapshot = context.store.snapshot()?;
    let mut known = Vec::new();
    for owner in owners(context, account)? {
        known.extend(devices::list(&snapshot, owner.id)?);
    }
    let numbered = known.iter().find(|known| known.id.0.to_string() == device);
    let named: Vec<&Device> = known.iter().filter(|known| known.name == device).collect();
    let found = match (numbered, named.as_slice()) {
        (Some(one), []) => one,
        (None, [one]) => one,
        (None, []) => return Err(Failure::Unknown { what: "device", name: device.to_owned() }),
        // A device may be called by its own number, or by another's.
        (Some(one), [named]) if named.id == one.id => one,
        _ => return Err(Failure::Invalid("several devices are called so: give the number".to_owned())),
    };
    let (account, id) = (found.account, found.id);
    context.store.write(move |tx| devices::revoke(tx, account, id))?;
    context.dismiss(account, &|login| login == Login::Device(id), "This device's password was revoked");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::AccountName;
    use crate::store::accounts;

    #[test]
    fn what_is_kept_of_passwords() {
        let folder = tempfile::tempdir().unwrap();
        let context = Context::in_folder(folder.path());
        account::add(&context, &AccountName::new("anna").unwrap(), Some("correct horse")).unwrap();
        let named = |name| add(&context, None, &DeviceName::new(name).unwrap());
        let (one, two) = (named("phone").unwrap(), named("tablet").unwrap());
        assert!(named("phone").is_err(), "a name is one device's");
        let one = renew(&context, "anna", one.id).unwrap();
        assert!(renew(&context, "anna", 99).is_err());
        assert_ne!(one.password, two.password);
        let snapshot = context.store.snapshot().unwrap();
        let anna = accounts::by_name(&snapshot, "anna").unwrap().unwrap();
        let devices = devices::list(&snapshot, anna.id).unwrap();
        // A verifier for each device from the start, with the account's one salt.
        for (device, added) in devices.iter().zip([&one, &two]) {
            assert_eq!(device.scram, scram::verifier(&added.password, &anna.salt));
            let key = DevicePassword::parse(&added.password).unwrap().key();
            assert_eq!(devices::by_key(&snapshot, &key).unwrap().as_ref(), Some(device));
            assert!(!format!("{device:?}").contains(&added.password));
        }
        // None for the account's own password: it can be guessed, and argon2 is what slows that down.
        assert!(anna.password_hash.unwrap().starts_with("$argon2id$"));
    }
}
