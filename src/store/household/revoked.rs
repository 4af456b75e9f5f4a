//! Devices that were revoked: remembered by their password's hash, so that one that goes on trying is called by
//! its name.

use crate::model::AccountId;
use crate::store::base::codec::{Reader, Writer, decode};
use crate::store::base::error::Error;
use crate::store::base::rows::{Rows, Transaction};
use crate::store::base::settings;

/// Under this name they are kept.
const REVOKED: &str = "devices.revoked";
/// How many are remembered; then the oldest is forgotten.
const MOST: usize = 64;
/// A try is written down at most so often, in seconds: a phone tries every minute.
const NOTED_EVERY: i64 = 3_600;

/// A device that was revoked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Revoked {
    /// Whose it was.
    pub account: AccountId,
    /// What its owner called it.
    pub name: String,
    /// BLAKE3 of its password.
    pub key_hash: [u8; 32],
    /// When it was revoked, in seconds since 1970.
    pub at: i64,
    /// When it last tried to log in since then, to the hour.
    pub tried: Option<i64>,
}

/// All that are remembered, in the order in which they were revoked.
///
/// # Errors
/// Of reading.
pub fn list(rows: &dyn Rows) -> Result<Vec<Revoked>, Error> {
    let Some(bytes) = settings::get(rows, REVOKED)? else { return Ok(Vec::new()) };
    decode("the list of revoked devices", &bytes, |reader| {
        let count = reader.u32()? as usize;
        (0..count.min(MOST)).map(|_| Revoked::read(reader)).collect()
    })
}

/// The one that had this password.
///
/// # Errors
/// Of reading.
pub fn by_key(rows: &dyn Rows, key_hash: &[u8; 32]) -> Result<Option<Revoked>, Error> {
    Ok(list(rows)?.into_iter().find(|known| known.key_hash == *key_hash))
}

/// Remembers one.
pub(in crate::store) fn remember(
    tx: &mut dyn Transaction,
    account: AccountId,
    name: &str,
    key_hash: [u8; 32],
) -> Result<(), Error> {
    let mut known = list(tx)?;
    if known.len() >= MOST {
        known.remove(0);
    }
    known.push(Revoked { account, name: name.to_owned(), key_hash, at: tx.now(), tried: None });
    save(tx, &known)
}

/// Forgets those of an account that goes.
pub(in crate::store) fn forget(tx: &mut dyn Transaction, account: AccountId) -> Result<(), Error> {
    let mut known = list(tx)?;
    known.retain(|device| device.account != account);
    save(tx, &known)
}

/// Writes down that one tried to log in, at most once an hour.
///
/// # Errors
/// Of reading.
pub fn note_try(tx: &mut dyn Transaction, key_hash: &[u8; 32]) -> Result<(), Error> {
    let (mut known, now) = (list(tx)?, tx.now());
    let found = known.iter_mut().find(|device| device.key_hash == *key_hash);
    match found {
        Some(device) if is_due(device.tried, now) => {
            device.tried = Some(now);
            save(tx, &known)
        }
        _ => Ok(()),
    }
}

/// Whether a try now is to be written down.
#[must_use]
pub fn is_due(tried: Option<i64>, now: i64) -> bool {
    tried.is_none_or(|tried| now.saturating_sub(tried).abs() >= NOTED_EVERY)
}

impl Revoked {
    fn read(reader: &mut Reader<'_>) -> Option<Self> {
        Some(Revoked {
            account: AccountId(reader.u32()?),
            name: reader.text()?.to_owned(),
            key_hash: reader.array()?,
            at: reader.i64()?,
            tried: reader.option(Reader::i64)?,
        })
    }
}

fn save(tx: &mut dyn Transaction, known: &[Revoked]) -> Result<(), Error> {
    let first = Writer::new().u32(known.len() as u32);
    let value = known.iter().fold(first, |out, device| {
        out.u32(device.account.0)
            .bytes(device.name.as_bytes())
            .raw(&device.key_hash)
            .i64(device.at)
            .option(device.tried, Writer::i64)
    });
    settings::put(tx, REVOKED, &value.finish())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::memory::Memory;
    use crate::store::{accounts, devices};

    #[test]
    fn revoked_devices_are_known_by_their_password() {
        let mut memory = Memory::new();
        memory
            .write(|tx| {
                let anna = accounts::create(tx, "anna", None)?;
                for n in 0..=MOST as u8 {
                    let id = devices::add(tx, anna, &format!("phone {n}"), [n; 32], Vec::new())?;
                    devices::revoke(tx, anna, id)?;
                }
                assert_eq!(by_key(tx, &[0; 32])?, None, "the oldest is forgotten");
                let known = by_key(tx, &[7; 32])?.unwrap();
                assert_eq!((known.name.as_str(), known.tried), ("phone 7", None));
                note_try(tx, &[7; 32])?;
                note_try(tx, &[200; 32])?;
                assert_eq!(by_key(tx, &[7; 32])?.unwrap().tried, Some(tx.now()));
                accounts::remove(tx, anna)?;
                assert_eq!(list(tx)?, []);
                Ok(())
            })
            .unwrap();
        assert!(is_due(None, 0) && !is_due(Some(0), 3_599) && is_due(Some(0), 3_600));
    }
}
