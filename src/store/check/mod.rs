//! Whether everything in the store agrees with everything else, and can be read.
//!
//! [`Store::check`] walks all of it in steps, each over a snapshot of its own that is let go of soon, so that it
//! holds up nobody while the server runs. `rows` reads every row of the index; `household` and `mailbox` hold
//! small things and mailboxes against each other; `contents` goes through what messages show, and `volumes`
//! through the files that it lies in. `catalogue` keeps what cannot be derived, out of which an index can be made
//! anew.

mod adopt;
pub mod anew;
mod apart;
pub mod catalogue;
mod contents;
mod counters;
mod frames;
mod household;
pub mod keep;
mod mailbox;
mod mend;
mod pages;
mod rebuild;
mod recover;
#[cfg(test)]
mod recover_test;
mod repair;
#[cfg(test)]
mod repair_test;
mod report;
pub(in crate::store) mod rows;
mod safeguards;
#[cfg(test)]
mod safeguards_test;
mod salvage;
mod source;
#[cfg(test)]
mod tests;
mod tolerant;
mod volumes;

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;
use std::time::Duration;

use crate::model::ContentId;
use crate::store::base::error::Error;
use crate::store::base::rows::Rows;
use crate::store::base::schema::Table;
use crate::store::content::snapshot::Snapshot;
use crate::store::engine::store::Store;
use crate::store::mailbox::mailboxes;
pub use apart::open_damaged;
use household::Known;
pub use rebuild::Rebuilt;
pub use repair::{Repaired, repair};
use report::Findings;
pub use report::{Finding, Kind, Looked, Message, Report, Severity};
pub use source::ContentSource;
use tolerant::Tolerant;

/// Rows looked at in one snapshot.
const ROWS: usize = 4_096;

/// Which contents are read to their end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Depth {
    /// None: rows and files only.
    Index,
    /// One part in `of`: as many checks go through all.
    Part {
        /// Parts.
        of: u64,
        /// Which one, below `of`.
        which: u64,
    },
    /// All.
    Contents,
}

/// How a check is done.
#[derive(Clone, Copy, Debug)]
pub struct CheckOptions {
    /// How deep it goes.
    pub depth: Depth,
    /// A rest after each step, for whom it must not be in the way of.
    pub pause: Duration,
    /// Whether the rows are those of mailboxes and a household: tests of the engine put others there.
    pub records: bool,
}

impl Default for CheckOptions {
    fn default() -> Self {
        CheckOptions { depth: Depth::Contents, pause: Duration::ZERO, records: true }
    }
}

/// How far a check is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// What is being looked at.
    pub step: &'static str,
    /// How many of them.
    pub done: u64,
    /// Of how many, where that is known.
    pub total: u64,
}

/// Told how far a check is; it ends early when this breaks.
pub type Watch<'a> = dyn FnMut(Progress) -> ControlFlow<()> + 'a;

impl Store {
    /// Holds everything against everything else. Reads only, but for a journal that cannot be read back: what that holds is
    /// made durable elsewhere at once. While the server runs, too. What cannot be read is
    /// a finding, not an error.
    ///
    /// # Errors
    /// If nothing can be read at all.
    pub fn check(&self, options: &CheckOptions, watch: &mut Watch<'_>) -> Result<Report, Error> {
        self.examine(options, watch).map(|(report, _)| report)
    }

    /// As [`Store::check`], with what a repair needs to know beside what people do.
    pub(in crate::store) fn examine(
        &self,
        options: &CheckOptions,
        watch: &mut Watch<'_>,
    ) -> Result<(Report, Evidence), Error> {
        let mut check = Check {
            store: self,
            options: *options,
            found: Findings::default(),
            watch,
            evidence: Evidence::default(),
            whys: Vec::new(),
            emails: 0,
            stored: BTreeMap::new(),
        };
        let complete = check.run()?.is_continue();
        Ok((check.found.finish(complete), check.evidence))
    }
}

/// All that can be held against each other without contents: for tests over rows in memory.
#[cfg(test)]
pub(in crate::store) fn check_records(rows: &dyn Rows) -> Report {
    let mut found = Findings::default();
    household::check(rows, &mut found).unwrap();
    for known in household::known(rows).unwrap() {
        check_mailbox(rows, &known, &mut found).unwrap();
    }
    found.finish(true)
}

/// So much evidence of a kind is kept.
const EVIDENCE: usize = 200_000;

/// What a repair needs to know.
#[derive(Debug, Default)]
pub(in crate::store) struct Evidence {
    /// Rows of the index that cannot be read.
    pub(in crate::store) rows: Vec<(Table, Vec<u8>)>,
    /// Contents that cannot be read, and why: a place in the check's list of reasons.
    pub(in crate::store) damaged: BTreeMap<ContentId, usize>,
    /// Contents that messages name and no row knows.
    pub(in crate::store) missing: BTreeSet<ContentId>,
    /// Whole messages that no row names: volume and content.
    pub(in crate::store) unnamed: Vec<(u32, ContentId)>,
    /// Volumes that cannot be read, or hold contents that cannot be.
    pub(in crate::store) volumes: BTreeSet<u32>,
    /// Volumes that are not there.
    pub(in crate::store) missing_volumes: BTreeSet<u32>,
    /// Catalogues that are of no use.
    pub(in crate::store) catalogues: usize,
}

/// A check that is going on.
struct Check<'a, 'b> {
    store: &'a Store,
    options: CheckOptions,
    found: Findings,
    watch: &'a mut Watch<'b>,
    evidence: Evidence,
    whys: Vec<(Kind, String)>,
    /// How many contents there are.
    emails: u64,
    /// Bytes of contents that are named, by volume.
    stored: BTreeMap<u32, u64>,
}

/// What ends early.
type Flow = Result<ControlFlow<()>, Error>;

macro_rules! go_on {
    ($flow:expr) => {
        if $flow?.is_break() {
            return Ok(ControlFlow::Break(()));
        }
    };
}
use go_on;

impl Check<'_, '_> {
    fn run(&mut self) -> Flow {
        go_on!(self.rows());
        if self.options.records {
            self.part("the household", |check| {
                let snapshot = check.store.snapshot()?;
                household::check(&Tolerant(&snapshot), &mut check.found)
            })?;
            go_on!(self.mailboxes());
        }
        go_on!(self.contents());
        go_on!(self.volumes());
        go_on!(self.safeguards());
        if self.options.records {
            go_on!(self.name_damaged());
        }
        Ok(ControlFlow::Continue(()))
    }

    /// Between two steps.
    fn told(&mut self, step: &'static str, done: u64, total: u64) -> ControlFlow<()> {
        if !self.options.pause.is_zero() {
            std::thread::sleep(self.options.pause);
        }
        (self.watch)(Progress { step, done, total })
    }

    /// A part that cannot be read is a finding.
    fn part(&mut self, what: &str, look: impl FnOnce(&mut Self) -> Result<(), Error>) -> Result<(), Error> {
        match look(self) {
            Err(Error::Damaged(why)) => {
                self.found.add(Kind::Table, format!("{what} could not be checked: {why} is damaged"));
                Ok(())
            }
            Err(Error::Newer(which)) => {
                self.found.add(
                    Kind::Newer,
                    format!("{what} could not be checked: {which} was written by a newer version"),
                );
                Ok(())
            }
            Err(Error::Io { what: doing, error }) => {
                self.found.add(Kind::Disk, format!("{what} could not be checked: {doing}: {error}"));
                Ok(())
            }
            other => other,
        }
    }

    fn rows(&mut self) -> Flow {
        for (n, table) in Table::EVERY.into_iter().enumerate() {
            let mut low = Some(Vec::new());
            while let Some(from) = low.take() {
                self.part(&format!("the table {}", table.name()), |check| {
                    let snapshot = check.store.snapshot()?;
                    low = check.some_rows(&snapshot, table, &from)?;
                    Ok(())
                })?;
                if self.told("rows", n as u64, Table::EVERY.len() as u64).is_break() {
                    return Ok(ControlFlow::Break(()));
                }
            }
        }
        Ok(ControlFlow::Continue(()))
    }

    /// Some rows of a table, and where to go on.
    fn some_rows(
        &mut self,
        snapshot: &Snapshot,
        table: Table,
        from: &[u8],
    ) -> Result<Option<Vec<u8>>, Error> {
        // No key is longer than a name of a file, and none of so many bytes 255 is one.
        let mut rows = snapshot.index().range(table as u8, from, &[0xff; 64])?;
        for _ in 0..ROWS {
            let Some((key, value)) = rows.step_over(false)? else { return Ok(None) };
            self.found.looked().rows += 1;
            self.emails += u64::from(table == Table::Emails);
            let sound = match value {
                Some(value) => !self.options.records || rows::decodes(table, &key, &value),
                None => false,
            };
            if !sound {
                if self.evidence.rows.len() < EVIDENCE {
                    self.evidence.rows.push((table, key.clone()));
                }
                let what = household::describe(&Tolerant(snapshot), table, &key);
                self.found.add(Kind::Row, format!("{what}: its row in {} cannot be read", table.name()));
            }
        }
        let last = rows.step_over(false)?;
        Ok(last.map(|(key, _)| key))
    }

    fn mailboxes(&mut self) -> Flow {
        let known = self.known()?;
        for (n, one) in known.iter().enumerate() {
            self.part(&one.label(), |check| {
                let snapshot = check.store.snapshot()?;
                check_mailbox(&Tolerant(&snapshot), one, &mut check.found)
            })?;
            let mut low = Some(0);
            while let Some(from) = low.take() {
                self.part(&one.label(), |check| {
                    low = check.named_contents(one, from)?;
                    Ok(())
                })?;
                if self.told("mailboxes", n as u64, known.len() as u64).is_break() {
                    return Ok(ControlFlow::Break(()));
                }
            }
        }
        self.part("the bin", Check::named_in_bin)?;
        Ok(ControlFlow::Continue(()))
    }

    fn known(&mut self) -> Result<Vec<Known>, Error> {
        let mut known = Vec::new();
        self.part("the list of mailboxes", |check| {
            let snapshot = check.store.snapshot()?;
            known = household::known(&Tolerant(&snapshot))?;
            Ok(())
        })?;
        Ok(known)
    }
}

/// A mailbox that is listed, or that waits in the bin. One that is gone since it was listed is no fault.
fn check_mailbox(rows: &dyn Rows, known: &Known, found: &mut Findings) -> Result<(), Error> {
    let Some((messages, size)) = known.deleted else {
        return match mailboxes::get(rows, known.account, known.mailbox)? {
            Some(mailbox) => mailbox::check(rows, &mailbox, &known.label(), found),
            None => Ok(()),
        };
    };
    let tally = mailbox::tally(rows, known.mailbox, &known.label(), found)?;
    // The bin lets go of a mailbox in slices, the oldest records first.
    if tally.messages > messages || tally.size > size {
        let (label, real) = (known.label(), (tally.messages, tally.size));
        found.add(
            Kind::Counts,
            format!("{label}: the bin says {messages} messages of {size} bytes, there are {real:?}"),
        );
    }
    Ok(())
}
