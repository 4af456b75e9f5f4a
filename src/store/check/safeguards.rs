//! What a crash, or a damaged index, is mended with: the journal and the catalogues.

use super::report::Kind;
use super::{Check, Flow, catalogue, go_on, keep};
use crate::store::base::error::Error;
use std::ops::ControlFlow;

/// A checkpoint frees segments while they are looked at: then it is looked again, at most so often.
const LOOKS: usize = 3;

impl Check<'_, '_> {
    pub(super) fn safeguards(&mut self) -> Flow {
        self.part("the journal", Check::journal)?;
        go_on!(Ok(self.told("journal", 1, 1)));
        self.part("the catalogues", Check::catalogues)?;
        Ok(ControlFlow::Continue(()))
    }

    fn journal(&mut self) -> Result<(), Error> {
        let condition = self.store.condition();
        if let Some(what) = condition.journal {
            self.found.add(Kind::Journal, format!("as the store was opened: {what}"));
        }
        if condition.read_only.is_some() {
            // Nothing is written that one could hold it against.
            return Ok(());
        }
        for _ in 0..LOOKS {
            let proof = self.store.command(|engine| Ok(engine.proof()))?;
            let then = proof.checkpointed;
            let found = proof.look()?;
            if found.is_empty() {
                return Ok(());
            }
            if self.store.command(|engine| Ok(engine.proof().checkpointed))? != then {
                continue;
            }
            self.store.command(|engine| engine.do_without_journal())?;
            for what in found {
                let done = "all that had been acknowledged was made durable in the store's files at once";
                self.found.add(Kind::JournalOfNow, format!("{what}; {done}"));
            }
            return Ok(());
        }
        Ok(())
    }

    fn catalogues(&mut self) -> Result<(), Error> {
        let (disk, data) = self.store.place();
        let store = self.store.id();
        for name in keep::NAMES {
            let wrong = match keep::open(&*disk, &data.join(name))? {
                None => continue,
                Some(mut input) => match catalogue::verify(&mut input) {
                    Ok(summary) if summary.head.store == store => continue,
                    Ok(_) => format!("{name} is the catalogue of another store"),
                    Err(Error::Newer(_) | Error::Incompatible(_)) => {
                        format!("{name} was written by a newer version")
                    }
                    Err(Error::Damaged(_)) => format!("{name} is damaged"),
                    Err(error) => return Err(error),
                },
            };
            self.evidence.catalogues += 1;
            self.found.add(Kind::Catalogue, wrong);
        }
        Ok(())
    }
}
