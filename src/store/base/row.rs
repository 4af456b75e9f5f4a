//! What a type of row is: its table, the version that is written, and how each version is read. A row is never
//! rewritten only because there is a newer version: it becomes one when it is next put.

use crate::store::base::codec::{Reader, Writer, decode_up_to};
use crate::store::base::error::Error;
use crate::store::base::schema::Table;

/// A type of row.
pub(in crate::store) trait Row: Sized {
    /// What its key says of it.
    type Key: Copy;
    /// Where it lies.
    const TABLE: Table;
    /// The version that is written. Every one up to it is read.
    const VERSION: u8 = 1;

    /// What it is called when it cannot be read.
    fn what(key: Self::Key) -> String;

    /// Puts its fields, as the newest version has them, behind the version.
    fn write(&self, out: Writer) -> Writer;

    /// Takes the fields of a version apart; `None` where the bytes do not fit.
    fn read(key: Self::Key, version: u8, reader: &mut Reader<'_>) -> Option<Self>;

    /// As it is stored.
    fn to_bytes(&self) -> Vec<u8> {
        self.write(Writer::of_version(Self::VERSION)).finish()
    }

    /// From what was stored.
    ///
    /// # Errors
    /// [`Error::Newer`] if a newer program wrote it; [`Error::Damaged`] if it cannot be read.
    fn from_bytes(key: Self::Key, bytes: &[u8]) -> Result<Self, Error> {
        decode_up_to(Self::VERSION, &|| Self::what(key), bytes, |version, reader| {
            Self::read(key, version, reader)
        })
    }
}
