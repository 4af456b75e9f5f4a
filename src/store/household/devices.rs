//! Devices: each holds one password of its own.

use std::ops::ControlFlow;

use crate::model::{AccountId, DeviceId, DeviceName};
use crate::store::base::codec::{Reader, Writer, all_of, decode_key, pair};
use crate::store::base::error::Error;
use crate::store::base::row::Row;
use crate::store::base::rows::{News, Rows, Transaction};
use crate::store::base::schema::Table;
use crate::store::base::settings::{self, Counter};
use crate::store::household::account_row;
use crate::store::household::revoked;

/// The most devices of an account.
pub const MAX_DEVICES: usize = 1_000;
/// The most that is kept of what a client says of itself, in bytes; names that older versions took are no longer.
pub const MAX_TEXT: usize = 255;
/// The longest SCRAM verifier, in bytes: ours have about 150.
pub const MAX_SCRAM: usize = 4_096;

/// A device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Device {
    /// Its id, never used again.
    pub id: DeviceId,
    /// Whose it is.
    pub account: AccountId,
    /// What its owner calls it.
    pub name: String,
    /// BLAKE3 of its password.
    pub key_hash: [u8; 32],
    /// Its SCRAM verifier, as `credential` encodes it.
    pub scram: Vec<u8>,
    /// When it was added, in seconds since 1970.
    pub created: i64,
    /// When it last logged in.
    pub last_used: Option<i64>,
    /// What it said of itself then (RFC 2971).
    pub client: String,
    /// Where it was then.
    pub address: String,
}

impl Row for Device {
    type Key = (AccountId, DeviceId);
    const TABLE: Table = Table::Credentials;

    fn what((_, id): Self::Key) -> String {
        format!("device {id}")
    }

    fn write(&self, out: Writer) -> Writer {
        out.bytes(self.name.as_bytes())
            .raw(&self.key_hash)
            .bytes(&self.scram)
            .i64(self.created)
            .option(self.last_used, Writer::i64)
            .bytes(self.client.as_bytes())
            .bytes(self.address.as_bytes())
    }

    fn read((account, id): Self::Key, _: u8, reader: &mut Reader<'_>) -> Option<Self> {
        Some(Device {
            id,
            account,
            name: reader.text()?.to_owned(),
            key_hash: reader.array()?,
            scram: reader.bytes()?.to_vec(),
            created: reader.i64()?,
            last_used: reader.option(Reader::i64)?,
            client: reader.text()?.to_owned(),
            address: reader.text()?.to_owned(),
        })
    }
}

impl Device {
    fn save(&self, tx: &mut dyn Transaction) {
        tx.put(Self::TABLE, &pair(self.account.0, self.id.0), &self.to_bytes());
    }
}

/// Whose a device password is.
pub(in crate::store) struct Holder {
    account: AccountId,
    device: DeviceId,
}

impl Row for Holder {
    type Key = ();
    const TABLE: Table = Table::DeviceKeys;

    fn what((): ()) -> String {
        "a device's password".to_owned()
    }

    fn write(&self, out: Writer) -> Writer {
        out.u32(self.account.0).u32(self.device.0)
    }

    fn read((): (), _: u8, reader: &mut Reader<'_>) -> Option<Self> {
        Some(Holder { account: AccountId(reader.u32()?), device: DeviceId(reader.u32()?) })
    }
}

/// Adds a device.
///
/// # Errors
/// [`Error::NotFound`] if there is no such account; [`Error::Refused`] for a name that cannot be one;
/// [`Error::Exists`] if the account has a device of this name, or the password is in use; [`Error::Limit`].
pub fn add(
    tx: &mut dyn Transaction,
    account: AccountId,
    name: &str,
    key_hash: [u8; 32],
    scram: Vec<u8>,
) -> Result<DeviceId, Error> {
    account_row::existing(tx, account)?;
    let name = DeviceName::new(name).map_err(|error| Error::Refused(error.describe()))?;
    check_password(tx, &key_hash, &scram)?;
    let known = list(tx, account)?;
    if known.len() >= MAX_DEVICES {
        return Err(Error::Limit("the account has 1,000 devices already"));
    }
    if known.iter().any(|known| known.name == name.as_str()) {
        return Err(Error::Exists("a device of this name"));
    }
    let id = DeviceId(settings::next_id(tx, Counter::Device)?);
    let device = Device {
        id,
        account,
        name: name.as_str().to_owned(),
        key_hash,
        scram,
        created: tx.now(),
        last_used: None,
        client: String::new(),
        address: String::new(),
    };
    device.save(tx);
    tx.put(Table::DeviceKeys, &key_hash, &Holder { account, device: id }.to_bytes());
    publish(tx, account)?;
    Ok(id)
}

fn check_password(rows: &dyn Rows, key_hash: &[u8; 32], scram: &[u8]) -> Result<(), Error> {
    if scram.len() > MAX_SCRAM {
        return Err(Error::Refused("the SCRAM verifier is too long"));
    }
    match rows.get(Table::DeviceKeys, key_hash)? {
        Some(_) => Err(Error::Exists("a device with this password")),
        None => Ok(()),
    }
}

/// Gives a device another password. The one that it had is remembered as one that was revoked, for the device goes on
/// trying it until somebody types the new one.
///
/// # Errors
/// [`Error::NotFound`]; [`Error::Exists`] if the password is in use.
pub fn renew(
    tx: &mut dyn Transaction,
    account: AccountId,
    id: DeviceId,
    key_hash: [u8; 32],
    scram: Vec<u8>,
) -> Result<(), Error> {
    let mut device = get(tx, account, id)?.ok_or(Error::NotFound("device"))?;
    check_password(tx, &key_hash, &scram)?;
    tx.delete(Table::DeviceKeys, &device.key_hash);
    revoked::remember(tx, account, &device.name, device.key_hash)?;
    (device.key_hash, device.scram) = (key_hash, scram);
    device.save(tx);
    tx.put(Table::DeviceKeys, &key_hash, &Holder { account, device: id }.to_bytes());
    publish(tx, account)
}

fn publish(tx: &mut dyn Transaction, account: AccountId) -> Result<(), Error> {
    let modseq = tx.modseq()?;
    tx.publish(News { account, mailbox: None, modseq });
    Ok(())
}

/// The device that holds a password.
///
/// # Errors
/// Of reading.
pub fn by_key(rows: &dyn Rows, key_hash: &[u8; 32]) -> Result<Option<Device>, Error> {
    let Some(bytes) = rows.get(Table::DeviceKeys, key_hash)? else { return Ok(None) };
    let holder = Holder::from_bytes((), &bytes)?;
    get(rows, holder.account, holder.device)
}

/// A device by its id.
///
/// # Errors
/// Of reading.
pub fn get(rows: &dyn Rows, account: AccountId, id: DeviceId) -> Result<Option<Device>, Error> {
    let bytes = rows.get(Table::Credentials, &pair(account.0, id.0))?;
    bytes.map(|bytes| Device::from_bytes((account, id), &bytes)).transpose()
}

/// An account's devices, in the order in which they were added.
///
/// # Errors
/// Of reading.
pub fn list(rows: &dyn Rows, account: AccountId) -> Result<Vec<Device>, Error> {
    let (low, high) = all_of(account.0);
    let mut devices = Vec::new();
    rows.scan(Table::Credentials, &low, &high, &mut |key, value| {
        let id = decode_key("a device's key", key, |key| key.u32().and(key.u32()))?;
        devices.push(Device::from_bytes((account, DeviceId(id)), value)?);
        Ok(ControlFlow::Continue(()))
    })?;
    Ok(devices)
}

/// Takes a device's password away; who goes on trying it is remembered ([`crate::store::household::revoked`]).
///
/// # Errors
/// [`Error::NotFound`].
pub fn revoke(tx: &mut dyn Transaction, account: AccountId, id: DeviceId) -> Result<(), Error> {
    let device = get(tx, account, id)?.ok_or(Error::NotFound("device"))?;
    tx.delete(Table::DeviceKeys, &device.key_hash);
    tx.delete(Table::Credentials, &pair(account.0, id.0));
    revoked::remember(tx, account, &device.name, device.key_hash)?;
    publish(tx, account)
}

/// Writes down that a device was used; callers do so once an hour at most. Of what a client says of
/// itself the first 255 bytes are kept. Tells nobody.
///
/// # Errors
/// [`Error::NotFound`].
pub fn touch(
    tx: &mut dyn Transaction,
    account: AccountId,
    id: DeviceId,
    now: i64,
    client: &str,
    address: &str,
) -> Result<(), Error> {
    let mut device = get(tx, account, id)?.ok_or(Error::NotFound("device"))?;
    device.last_used = Some(now);
    device.client = shortened(client).to_owned();
    device.address = shortened(address).to_owned();
    device.save(tx);
    Ok(())
}

fn shortened(text: &str) -> &str {
    &text[..text.floor_char_boundary(MAX_TEXT)]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::household::accounts;
    use crate::store::memory::Memory;

    #[test]
    fn a_device_is_found_by_its_password_until_it_is_revoked() {
        let mut memory = Memory::new();
        let account = memory.write(|tx| accounts::create(tx, "anna", None)).unwrap();
        let id = memory.write(|tx| add(tx, account, "phone", [1; 32], vec![9])).unwrap();
        let device = by_key(&memory, &[1; 32]).unwrap().unwrap();
        assert_eq!((device.id, device.account, device.name.as_str()), (id, account, "phone"));
        assert_eq!(list(&memory, account).unwrap(), [device]);
        assert!(by_key(&memory, &[2; 32]).unwrap().is_none());
        let again = memory.write(|tx| add(tx, account, "tablet", [1; 32], vec![]));
        assert!(matches!(again, Err(Error::Exists(_))));
        memory.write(|tx| touch(tx, account, id, 5, &"ü".repeat(200), "::1")).unwrap();
        let device = get(&memory, account, id).unwrap().unwrap();
        assert_eq!((device.last_used, device.client.len()), (Some(5), 254));
        memory.write(|tx| revoke(tx, account, id)).unwrap();
        assert!(by_key(&memory, &[1; 32]).unwrap().is_none());
        assert!(matches!(memory.write(|tx| revoke(tx, account, id)), Err(Error::NotFound(_))));
    }

    #[test]
    fn a_name_is_one_devices_and_another_password_takes_the_place_of_the_first() {
        let mut memory = Memory::new();
        let anna = memory.write(|tx| accounts::create(tx, "anna", None)).unwrap();
        let ben = memory.write(|tx| accounts::create(tx, "ben", None)).unwrap();
        let id = memory.write(|tx| add(tx, anna, "phone", [1; 32], vec![1])).unwrap();
        for name in ["phone", " phone "] {
            let again = memory.write(|tx| add(tx, anna, name, [2; 32], vec![]));
            assert!(matches!(again, Err(Error::Exists("a device of this name"))));
        }
        memory.write(|tx| add(tx, ben, "phone", [3; 32], vec![])).unwrap();
        assert!(matches!(memory.write(|tx| renew(tx, anna, id, [3; 32], vec![])), Err(Error::Exists(_))));
        memory.write(|tx| renew(tx, anna, id, [4; 32], vec![4])).unwrap();
        assert!(by_key(&memory, &[1; 32]).unwrap().is_none());
        let device = by_key(&memory, &[4; 32]).unwrap().unwrap();
        assert_eq!((device.id, device.scram.as_slice(), device.name.as_str()), (id, &[4][..], "phone"));
        assert!(revoked::by_key(&memory, &[1; 32]).unwrap().is_some());
        assert_eq!(list(&memory, anna).unwrap().len(), 1);
        let nobody = memory.write(|tx| renew(tx, ben, id, [5; 32], vec![]));
        assert!(matches!(nobody, Err(Error::NotFound(_))));
    }

    #[test]
    fn what_is_no_device_is_refused() {
        let mut memory = Memory::new();
        let account = memory.write(|tx| accounts::create(tx, "anna", None)).unwrap();
        for name in ["", "a\nb", &"x".repeat(256)] {
            assert!(memory.write(|tx| add(tx, account, name, [1; 32], vec![])).is_err());
        }
        let nobody = memory.write(|tx| add(tx, AccountId(9), "phone", [1; 32], vec![]));
        assert!(matches!(nobody, Err(Error::NotFound(_))));
    }
}
