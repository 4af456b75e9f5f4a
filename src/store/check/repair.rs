//! The cure: what a check found is made true again from what is left, and from a backup what is lost.
//!
//! Run on a store that nobody serves. Records are believed before counts, contents before rows, and nothing that
//! may be somebody's mail is dropped: what no row lists is filed into a mailbox "Recovered".

use std::ops::ControlFlow;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::rebuild::{self, Rebuilt, Renamed};
use super::report::{Findings, Report};
use super::salvage::Salvage;
use super::source::ContentSource;
use super::{CheckOptions, Depth, Kind, Watch, adopt, keep, mend};
use crate::model::CivilDate;
use crate::store::base::env::{Held, Paths};
use crate::store::base::error::Error;
use crate::store::engine::database::{File, Kind as FileKind};
use crate::store::engine::options::Options;
use crate::store::engine::store::Store;

/// What was done, and what is left.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Repaired {
    /// The index was made anew.
    pub rebuilt: Option<Rebuilt>,
    /// What was mended: each finding is something that was done.
    pub mended: Report,
    /// What a check finds now.
    pub left: Report,
}

/// Mends a store that nobody has open.
///
/// # Errors
/// [`Error::Locked`] if somebody has; of reading and writing. What was done until then stays.
pub fn repair(
    options: Options,
    mut source: Option<&mut dyn ContentSource>,
    watch: &mut Watch<'_>,
) -> Result<Repaired, Error> {
    let paths = Paths { data: options.data.clone() };
    let held = lock(&options, &paths)?;
    let mut done = Repaired::default();
    if is_sound(&options, &paths)? {
        drop(held);
        match Store::open(options.clone()) {
            Ok(store) => {
                mend_all(&store, false, &mut source, watch, &mut done)?;
                store.close()?;
                return Ok(done);
            }
            // A row that every start reads.
            Err(Error::Damaged(_) | Error::DamagedIndex(_)) => {}
            Err(error) => return Err(error),
        }
    } else {
        drop(held);
    }
    let held = lock(&options, &paths)?;
    let rebuilt = rebuild::make(&options, &mut source)?;
    let renamed = Options { disk: Arc::new(Renamed::new(&options)), ..options.clone() };
    let store = Store::open(renamed)?;
    mend_all(&store, !rebuilt.lossless, &mut source, watch, &mut done)?;
    store.close()?;
    let aside = rebuild::switch(&options)?;
    done.rebuilt = Some(Rebuilt { aside, ..rebuilt });
    drop(held);
    Ok(done)
}

fn lock(options: &Options, paths: &Paths) -> Result<Held, Error> {
    options.disk.lock(&paths.lock()).map_err(|error| match error.kind() {
        std::io::ErrorKind::WouldBlock => Error::Locked(error.to_string()),
        _ => Error::io("locking the data folder", error),
    })
}

/// Whether every page of the index is whole, and redb opens it.
fn is_sound(options: &Options, paths: &Paths) -> Result<bool, Error> {
    let disk = options.disk.as_ref();
    // One that was being made anew: the damaged one is still in its place.
    let half = disk.open(&paths.index().with_extension("rebuild"), false).is_ok();
    let file = match disk.open(&paths.index(), false) {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(Error::io("opening index.redb", error)),
    };
    let salvage = Salvage::survey(file)?;
    if !salvage.is_whole() || !salvage.system_is_whole() {
        return Ok(false);
    }
    let opened = File::open(disk, &paths.index(), FileKind::Index, options.index_cache, false);
    let reads = opened.map(Arc::new).and_then(|file| {
        let read = file.sequence();
        file.give_up();
        read
    });
    if half && reads.is_ok() {
        // It was not needed after all: what the index has is newer.
        let _ = disk.unlink(&paths.index().with_extension("rebuild"));
    }
    Ok(reads.is_ok())
}

fn mend_all(
    store: &Store,
    lossy: bool,
    source: &mut Option<&mut dyn ContentSource>,
    watch: &mut Watch<'_>,
    done: &mut Repaired,
) -> Result<(), Error> {
    let mut mended = Findings::default();
    let shallow = CheckOptions { depth: Depth::Index, ..CheckOptions::default() };
    let (report, evidence) = store.examine(&shallow, watch)?;
    let wrong = lossy || !report.is_clean();
    let mut lost_records = lossy;
    if wrong {
        lost_records |= mend::drop_rows(store, &evidence, &mut mended)?;
        mend::household(store, lossy, &mut mended)?;
        mend::hashes(store, &mut mended)?;
    }
    // Looked at again: what the rows that are gone stood for shows only now.
    let (deep, evidence) = store.examine(&CheckOptions::default(), watch)?;
    if wrong || !deep.is_clean() || !deep.findings.is_empty() {
        adopt::contents(store, &evidence, source, &mut mended)?;
        mend::mailboxes(store, lossy, &mut mended)?;
        if lost_records {
            adopt::unlisted(store, &mut mended)?;
        }
        mend::move_out(store, &evidence)?;
        mend::volumes(store, &evidence, &mut mended)?;
    }
    // Only now is everything in it as it should be.
    for _ in 0..evidence.catalogues {
        keep::renew(store)?;
        mended.add(Kind::Catalogue, "a catalogue was written anew");
    }
    store.inner.shared.known.journal_is_mended();
    done.mended = mended.finish(true);
    done.left = store.check(&CheckOptions::default(), &mut |_| ControlFlow::Continue(()))?;
    Ok(())
}

impl std::fmt::Display for Repaired {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if let Some(rebuilt) = &self.rebuilt {
            writeln!(
                f,
                "the index was made anew: {} rows could be read of the damaged one",
                rebuilt.salvaged
            )?;
            if let Some(time) = rebuilt.catalogue_of {
                let (year, month, day) = CivilDate::from_days_since_epoch(time.div_euclid(86_400)).parts();
                let rows = rebuilt.from_catalogue;
                let whose = if rebuilt.of_backup { "the backup's" } else { "the" };
                writeln!(f, "{rows} rows came from {whose} catalogue of {year}-{month:02}-{day:02}")?;
            }
            if !rebuilt.lossless {
                writeln!(f, "clients will load their mailboxes anew")?;
            }
            if let Some(aside) = &rebuilt.aside {
                writeln!(f, "the damaged index is kept as {aside}")?;
            }
        }
        for finding in &self.mended.findings {
            writeln!(f, "mended: {}", finding.what)?;
            finding.messages.iter().try_for_each(|message| writeln!(f, "    {message}"))?;
            if finding.more_messages > 0 {
                writeln!(f, "    and {} more", finding.more_messages)?;
            }
        }
        write!(f, "{}", self.left)
    }
}
