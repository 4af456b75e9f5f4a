//! Certificates by name.

use std::ops::ControlFlow;

use crate::store::base::codec::{Reader, Writer};
use crate::store::base::error::Error;
use crate::store::base::row::Row;
use crate::store::base::rows::{Rows, Transaction};
use crate::store::base::schema::Table;

/// The longest name, in bytes.
pub const MAX_NAME: usize = 255;

/// A certificate with its key.
#[derive(Clone, PartialEq, Eq)]
pub struct Certificate {
    /// The chain, in PEM, the server's own first.
    pub chain: String,
    /// The private key, in PEM.
    pub key: String,
}

/// Shows no key.
impl std::fmt::Debug for Certificate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Certificate").field("chain", &self.chain).finish_non_exhaustive()
    }
}

impl Row for Certificate {
    type Key = ();
    const TABLE: Table = Table::Certificates;

    fn what((): ()) -> String {
        "a certificate".to_owned()
    }

    fn write(&self, out: Writer) -> Writer {
        out.bytes(self.chain.as_bytes()).bytes(self.key.as_bytes())
    }

    fn read((): (), _: u8, reader: &mut Reader<'_>) -> Option<Self> {
        Some(Certificate { chain: reader.text()?.to_owned(), key: reader.text()?.to_owned() })
    }
}

/// The certificate of a name.
///
/// # Errors
/// Of reading.
pub fn get(rows: &dyn Rows, name: &str) -> Result<Option<Certificate>, Error> {
    let bytes = rows.get(Table::Certificates, name.as_bytes())?;
    bytes.map(|bytes| of_row(&bytes)).transpose()
}

/// A certificate out of its row, as a catalogue has it.
///
/// # Errors
/// `Damaged`.
pub fn of_row(bytes: &[u8]) -> Result<Certificate, Error> {
    Certificate::from_bytes((), bytes)
}

/// Keeps a certificate under a name.
///
/// # Errors
/// [`Error::Refused`] for a name that is empty or too long.
pub fn put(tx: &mut dyn Transaction, name: &str, certificate: &Certificate) -> Result<(), Error> {
    if name.is_empty() || name.len() > MAX_NAME {
        return Err(Error::Refused("a certificate's name has 1 to 255 bytes"));
    }
    tx.put(Table::Certificates, name.as_bytes(), &certificate.to_bytes());
    Ok(())
}

/// Removes a certificate; one that is not there is no error.
pub fn delete(tx: &mut dyn Transaction, name: &str) {
    tx.delete(Table::Certificates, name.as_bytes());
}

/// The names that have one, sorted.
///
/// # Errors
/// Of reading.
pub fn list(rows: &dyn Rows) -> Result<Vec<String>, Error> {
    let mut names = Vec::new();
    rows.scan(Table::Certificates, &[], &[0xff], &mut |key, _| {
        let name = std::str::from_utf8(key);
        names.push(name.map_err(|_| Error::Damaged("a certificate's name".to_owned()))?.to_owned());
        Ok(ControlFlow::Continue(()))
    })?;
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::memory::Memory;

    #[test]
    fn certificates_are_kept_by_name() {
        let mut memory = Memory::new();
        let certificate = Certificate { chain: "chain".to_owned(), key: "secret".to_owned() };
        memory.write(|tx| put(tx, "mail.example", &certificate)).unwrap();
        assert_eq!(get(&memory, "mail.example").unwrap(), Some(certificate.clone()));
        assert_eq!(list(&memory).unwrap(), ["mail.example"]);
        assert!(!format!("{certificate:?}").contains("secret"));
        assert!(memory.write(|tx| put(tx, "", &certificate)).is_err());
        memory
            .write(|tx| {
                delete(tx, "mail.example");
                Ok(())
            })
            .unwrap();
        assert_eq!(get(&memory, "mail.example").unwrap(), None);
    }
}
