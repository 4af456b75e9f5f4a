//! After files of two moments were found: whole messages that no row of the index names are filed into
//! "Recovered", by the store itself and while it serves.

use std::ops::ControlFlow;
use std::time::Duration;

use super::adopt::know_again;
use super::report::Findings;
use super::{CheckOptions, Depth};
use crate::store::base::error::Error;
use crate::store::base::rows::Rows;
use crate::store::base::settings;
use crate::store::engine::loss::{HOLD_UNTIL, RECOVERED, is_held};
use crate::store::engine::store::Store;

/// A rest after each step: mail goes on meanwhile.
const PAUSE: Duration = Duration::from_millis(2);

/// Whether messages are to be recovered still.
///
/// # Errors
/// Of reading.
fn is_due(rows: &dyn Rows) -> Result<bool, Error> {
    Ok(is_held(rows)? && settings::number(rows, RECOVERED)? != settings::number(rows, HOLD_UNTIL)?)
}

impl Store {
    /// Files what volumes hold and the index does not name, if files of two moments were found at the start and it
    /// was not done since. Says how many messages were found; those of which nobody has a mailbox go to the first
    /// account. It may take minutes; cut short, it begins anew, and files nothing twice.
    ///
    /// # Errors
    /// Of reading and writing.
    pub fn recover_unnamed(&self) -> Result<u64, Error> {
        if !is_due(&self.snapshot()?)? {
            return Ok(0);
        }
        let until = settings::number(&self.snapshot()?, HOLD_UNTIL)?;
        let options = CheckOptions { depth: Depth::Index, pause: PAUSE, ..CheckOptions::default() };
        let mut count = 0;
        loop {
            let (_, evidence) = self.examine(&options, &mut |_| ControlFlow::Continue(()))?;
            let mut done = Findings::default();
            for (volume, content) in &evidence.unnamed {
                know_again(self, *volume, *content, &evidence.missing, &mut done)?;
            }
            count += evidence.unnamed.len() as u64;
            // One look remembers a bounded number.
            if evidence.unnamed.is_empty() {
                break;
            }
        }
        self.write(move |tx| settings::put_number(tx, RECOVERED, until))?;
        if count > 0 {
            tracing::warn!(count, "messages that the index did not name are in the mailbox \"Recovered\"");
        }
        Ok(count)
    }
}
