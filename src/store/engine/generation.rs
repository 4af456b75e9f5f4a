//! A new generation, made by its owner: of a store that was put back with its whole machine, which nothing on
//! it can know.

use crate::store::base::error::Error;
use crate::store::engine::checkpoint;
use crate::store::engine::database::{Change, META};
use crate::store::engine::lineage::{META_ANCESTORS, META_GENERATION, encode_numbers};
use crate::store::engine::loss::leap_rows;
use crate::store::engine::writer::Engine;

impl Engine {
    /// The store goes on as another: files of the generation before belong to it still, those that the lost
    /// future has written do not.
    ///
    /// # Errors
    /// Of writing.
    pub(in crate::store) fn begin_generation(&mut self) -> Result<(), Error> {
        let generation = self.shared.options.random_number()?;
        let mut lineage = self.journal.lineage().clone();
        lineage.ancestors.push(std::mem::replace(&mut lineage.generation, generation));
        let (mut rows, modseq) = leap_rows(self.last_modseq);
        rows.push((META, META_GENERATION.to_vec(), generation.to_le_bytes().to_vec()));
        rows.push((META, META_ANCESTORS.to_vec(), encode_numbers(&lineage.ancestors)));
        let changes: Vec<Change<'_>> = checkpoint::changes(&rows);
        self.checkpoint_with(&changes)?;
        self.last_modseq = modseq;
        self.journal.set_lineage(lineage);
        Ok(())
    }
}
