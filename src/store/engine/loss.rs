//! A known loss: what cannot be shown to be whole counts as lost. Ids and modseqs that clients may have seen are
//! not given again: modseqs rise by 2^32 at once, and the mailboxes' UIDs with the first job ([`PENDING`]), so
//! that nothing is given twice under one UIDVALIDITY and no phone has to fetch everything anew.
//!
//! After a mixture of files of two moments nothing unnamed is dropped for [`HELD_FOR`].

use crate::store::base::error::Error;
use crate::store::base::rows::Rows;
use crate::store::base::running;
use crate::store::base::schema::Table;
use crate::store::base::settings;
use crate::store::engine::database::Fact;
use crate::store::engine::lineage::{Lineage, is_later};
use crate::store::engine::mixture::{Findings, rows_naming};
use crate::store::engine::replay::{End, Reached, Replayed};
use crate::store::engine::shared::Shared;

/// Setting: mailboxes are still to be moved past what clients may have seen.
pub(in crate::store) const PENDING: &str = "loss.pending";
/// Setting: until when, by the bin's clock, nothing unnamed is dropped.
pub(in crate::store) const HOLD_UNTIL: &str = "hold.until";
/// Setting: why nothing unnamed is dropped, in words.
pub(in crate::store) const HOLD_WHY: &str = "hold.why";
/// Setting: the hold whose messages were recovered, by the time at which it ends.
pub(in crate::store) const RECOVERED: &str = "hold.recovered";
/// How long nothing unnamed is dropped after files of two moments were found, in seconds: 14 days.
pub(in crate::store) const HELD_FOR: u64 = 14 * 86_400;

/// Ids of contents begin this far above the highest found: a run may have reserved some that it never used.
const EMAIL_LEAP: u64 = 1 << 16;

/// Whether files of two moments were found lately.
///
/// # Errors
/// Of reading.
pub(in crate::store) fn is_held(rows: &dyn Rows) -> Result<bool, Error> {
    Ok(running::clock(rows)? < i64::try_from(settings::number(rows, HOLD_UNTIL)?).unwrap_or(i64::MAX))
}

/// Why nothing unnamed is dropped, if files of two moments were found lately.
///
/// # Errors
/// Of reading.
pub(in crate::store) fn held_for(rows: &dyn Rows) -> Result<Option<String>, Error> {
    if !is_held(rows)? {
        return Ok(None);
    }
    let why = settings::get(rows, HOLD_WHY)?.unwrap_or_default();
    Ok(Some(String::from_utf8_lossy(&why).into_owned()))
}

/// The rows that make a run's clients start above all that they may have seen, and the modseq that is reached.
pub(in crate::store) fn leap_rows(modseq: u64) -> (Vec<Fact>, u64) {
    let modseq = modseq.saturating_add(settings::MODSEQ_LEAP);
    let row = |name: &str, to| (Table::Settings as u8, name.as_bytes().to_vec(), settings::number_value(to));
    (vec![row(settings::MODSEQ, modseq), row(PENDING, 1)], modseq)
}

/// What was lost, or may have been.
#[derive(Debug, Default)]
pub(in crate::store) struct Loss {
    /// Clients may have seen what the store no longer knows.
    is_known: bool,
    /// The journal is damaged, and looked at by nobody again if it is not kept.
    pub(in crate::store) copies_journal: bool,
    /// Files of two moments: nothing unnamed is dropped.
    pub(in crate::store) holds: bool,
    why: String,
}

impl Loss {
    /// What the start has found, said in the log.
    pub(in crate::store) fn of(
        shared: &Shared,
        lineage: &Lineage,
        epochs: &[u64],
        reached: &Reached,
        replayed: &Replayed,
        findings: &Findings,
        missing: bool,
    ) -> Loss {
        let mut mixed = findings.mixed.clone();
        if shared.options.expect_epoch.is_some_and(|epoch| is_later(epochs, epoch)) {
            mixed.push("the data folder is older than the one that ran here last".to_owned());
        }
        let lost = (missing && !reached.clean) || replayed.end == End::Lost;
        let loss = Loss {
            is_known: lost || replayed.end == End::Torn || !mixed.is_empty(),
            copies_journal: !missing && (replayed.end == End::Lost || replayed.overtaken),
            holds: !mixed.is_empty(),
            why: mixed.join("; "),
        };
        loss.say(replayed, lost, lineage);
        if lost {
            shared
                .known
                .journal("the journal was damaged or missing: changes that had been acknowledged are lost");
        }
        if loss.holds {
            shared.known.mixed(&loss.why);
        }
        loss
    }

    fn say(&self, replayed: &Replayed, lost: bool, lineage: &Lineage) {
        let after = replayed.last;
        if lost {
            tracing::error!(
                after,
                "the journal is damaged or missing: acknowledged changes behind this number are lost; what is \
                 left of it is copied aside in journal/"
            );
        } else if replayed.end == End::Torn {
            tracing::warn!(
                after,
                "the journal ends in a torn record: a change that was being written is lost"
            );
        }
        if self.holds {
            let generation = lineage.generation;
            tracing::error!(
                generation,
                why = self.why,
                "files of two moments are in the data folder: all that they hold is kept, and what the index does \
                 not name is not dropped for 14 days; run `postern check --repair`"
            );
        }
    }

    /// The rows that follow from it, for the first checkpoint.
    pub(in crate::store) fn rows(&self, shared: &Shared, findings: &Findings) -> Result<Vec<Fact>, Error> {
        let view = shared.index().view()?;
        let mut rows = Vec::new();
        let mut raise = |name: &str, to: u64| -> Result<(), Error> {
            if settings::number(&view, name)? < to {
                rows.push((Table::Settings as u8, name.as_bytes().to_vec(), settings::number_value(to)));
            }
            Ok(())
        };
        if findings.volume > 0 {
            raise(settings::VOLUME, u64::from(findings.volume) + 1)?;
        }
        if self.is_known {
            raise(settings::EMAIL_ID, findings.content.saturating_add(EMAIL_LEAP))?;
            raise(
                settings::MODSEQ,
                settings::number(&view, settings::MODSEQ)?.saturating_add(settings::MODSEQ_LEAP),
            )?;
            raise(PENDING, 1)?;
        }
        if self.holds {
            raise(HOLD_UNTIL, u64::try_from(running::clock(&view)?).unwrap_or(0).saturating_add(HELD_FOR))?;
            let why = [&[1], self.why.as_bytes()].concat();
            rows.push((Table::Settings as u8, HOLD_WHY.as_bytes().to_vec(), why));
            rows.extend(rows_naming(&findings.unnamed, shared.generation, shared.options.volume_size));
        }
        Ok(rows)
    }
}
