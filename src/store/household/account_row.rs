//! An account's row, and the reads of it.

use std::ops::ControlFlow;

use crate::model::AccountId;
use crate::store::base::codec::{Reader, Writer, decode_key};
use crate::store::base::error::Error;
use crate::store::base::row::Row;
use crate::store::base::rows::{Rows, Transaction};
use crate::store::base::schema::Table;

/// An account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    /// Its id, never used again.
    pub id: AccountId,
    /// Its name, in lower case.
    pub name: String,
    /// The hash of its password; without one only its devices can log in.
    pub password_hash: Option<String>,
    /// When it was made, in seconds since 1970.
    pub created: i64,
    /// SCRAM salt of its devices, fixed.
    pub salt: [u8; 16],
    /// Whether nobody may log in.
    pub disabled: bool,
}

impl Row for Account {
    type Key = AccountId;
    const TABLE: Table = Table::Accounts;

    fn what(id: AccountId) -> String {
        format!("account {id}")
    }

    fn write(&self, out: Writer) -> Writer {
        out.bytes(self.name.as_bytes())
            .option(self.password_hash.as_deref(), |out, hash| out.bytes(hash.as_bytes()))
            .i64(self.created)
            .raw(&self.salt)
            .u8(u8::from(self.disabled))
    }

    fn read(id: AccountId, _: u8, reader: &mut Reader<'_>) -> Option<Self> {
        Some(Account {
            id,
            name: reader.text()?.to_owned(),
            password_hash: reader.option(Reader::text)?.map(str::to_owned),
            created: reader.i64()?,
            salt: reader.array()?,
            disabled: reader.flag()?,
        })
    }
}

impl Account {
    pub(in crate::store) fn save(&self, tx: &mut dyn Transaction) {
        tx.put(Self::TABLE, &self.id.0.to_be_bytes(), &self.to_bytes());
    }
}

/// An account by its id.
///
/// # Errors
/// Of reading.
pub fn get(rows: &dyn Rows, id: AccountId) -> Result<Option<Account>, Error> {
    let bytes = rows.get(Table::Accounts, &id.0.to_be_bytes())?;
    bytes.map(|bytes| Account::from_bytes(id, &bytes)).transpose()
}

/// An account by its name, in any case.
///
/// # Errors
/// Of reading.
pub fn by_name(rows: &dyn Rows, name: &str) -> Result<Option<Account>, Error> {
    let name = name.to_lowercase();
    Ok(list(rows)?.into_iter().find(|account| account.name == name))
}

/// All accounts, in the order in which they were made.
///
/// # Errors
/// Of reading.
pub fn list(rows: &dyn Rows) -> Result<Vec<Account>, Error> {
    let mut accounts = Vec::new();
    rows.scan(Table::Accounts, &[], &[0xff; 5], &mut |key, value| {
        let id = decode_key("an account's key", key, |key| key.u32())?;
        accounts.push(Account::from_bytes(AccountId(id), value)?);
        Ok(ControlFlow::Continue(()))
    })?;
    Ok(accounts)
}

pub(in crate::store) fn existing(rows: &dyn Rows, id: AccountId) -> Result<Account, Error> {
    get(rows, id)?.ok_or(Error::NotFound("account"))
}
