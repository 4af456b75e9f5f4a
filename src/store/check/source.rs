//! Where contents come from that the store has lost.

use std::io::{Read, Write};

use crate::model::ContentHash;
use crate::store::base::error::Error;

/// A backup, to whoever mends a store.
pub trait ContentSource {
    /// Writes the content of a hash and length, as it is stored; false if it is not there.
    ///
    /// # Errors
    /// Of reading and writing. What was written then is not used.
    fn content(&mut self, hash: &ContentHash, size: u64, out: &mut dyn Write) -> Result<bool, Error>;

    /// The newest catalogue there, from its beginning, for [`super::catalogue::read`]; `None` if there is none.
    ///
    /// # Errors
    /// Of reading.
    fn catalogue(&mut self) -> Result<Option<Box<dyn Read>>, Error> {
        Ok(None)
    }
}
