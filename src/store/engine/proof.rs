//! Whether the journal, as it lies on the disk now, would bring back what the files do not have yet. It is read beside
//! the writer, which goes on meanwhile.

use std::io;

use crate::store::base::error::Error;
use crate::store::engine::journal::Journal;
use crate::store::engine::segment::{Segment, Title};
use crate::store::engine::writer::Engine;

/// The journal as it is at a moment.
pub(in crate::store) struct Proof {
    journal: Journal,
    /// What the files have.
    pub(in crate::store) checkpointed: u64,
    sequence: u64,
}

impl Engine {
    /// The journal of this moment, to be looked at beside the writer.
    pub(in crate::store) fn proof(&self) -> Proof {
        Proof {
            journal: self.journal.clone(),
            checkpointed: self.checkpointed,
            sequence: self.journal.sequence(),
        }
    }

    /// What only a damaged journal has becomes durable in the files at once, and its segments are what they were.
    ///
    /// # Errors
    /// Of writing.
    pub(in crate::store) fn do_without_journal(&mut self) -> Result<(), Error> {
        self.checkpoint()?;
        let writing = |error| Error::io("writing a segment of the journal", error);
        for segment in &mut self.journal.segments {
            if let Some(title) = segment.title
                && !is_as_known(segment, &title).map_err(writing)?
            {
                segment.entitle(title).map_err(writing)?;
            }
        }
        Ok(())
    }
}

fn is_as_known(segment: &Segment, title: &Title) -> io::Result<bool> {
    Ok(segment.title_on_disk()? == Some(*title) && segment.file.len()? >= segment.known_length)
}

impl Proof {
    /// What is wrong, in words.
    ///
    /// # Errors
    /// Of the disk: then nothing is known.
    pub(in crate::store) fn look(mut self) -> Result<Vec<String>, Error> {
        let reading = |error| Error::io("reading the journal", error);
        let mut found = Vec::new();
        for segment in &self.journal.segments {
            // One without is of postern 0.1.0, or is made ready when its turn comes.
            if let Some(title) = &segment.title
                && !is_as_known(segment, title).map_err(reading)?
            {
                found.push(format!("journal/{:04}.journal is not as it was written", segment.number));
            }
        }
        match self.journal.read_again(self.checkpointed, self.sequence, &mut |_, _| Ok(())) {
            Ok(()) => {}
            Err(Error::Damaged(_)) => found.push(
                "changes of the last minutes, which only the journal holds, could not be read back from it"
                    .to_owned(),
            ),
            Err(error) => return Err(error),
        }
        Ok(found)
    }
}
