//! Files of two moments: a copy made while the server ran, an index put back, an older volume.
//!
//! A volume is as it should be if the index says that it was made durable in that run with that number, or if
//! its number lies in what the journal has replayed. Otherwise the files are a mixture. Then nothing that is
//! there is dropped or written over: ids and numbers begin above everything found, and what the index does
//! not name stays where it is, and is named.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::store::base::env::{Disk, Paths};
use crate::store::base::error::Error;
use crate::store::base::schema::{Table, VolumeTable};
use crate::store::engine::database::{Fact, File, Kind, META, View};
use crate::store::engine::lineage::{Lineage, Moment, Stamp, volume_key};
use crate::store::engine::replay::{Reached, Replayed};
use crate::store::engine::shared::Shared;
use crate::store::engine::volumes::{self, VolumeRow};

/// Enough for a look at a few rows, in bytes.
const CACHE: usize = 64 << 10;

/// A volume as it was found.
struct Found {
    named: bool,
    stamp: Stamp,
    /// What the index says of it.
    known: Option<Moment>,
    /// The highest id of a content in it.
    content: u64,
}

/// The volumes as they were found, before anything was replayed into them.
pub(in crate::store) struct Volumes {
    found: BTreeMap<u32, Found>,
    /// The highest number of any file in mail/, those that were set aside included.
    highest: u32,
}

/// What is to be done about what was found.
#[derive(Debug, Default)]
pub(in crate::store) struct Findings {
    /// What does not fit together, in words.
    pub(in crate::store) mixed: Vec<String>,
    /// The highest number that a volume has reached.
    pub(in crate::store) sequence: u64,
    /// The highest id of a content.
    pub(in crate::store) content: u64,
    /// The highest number of a volume.
    pub(in crate::store) volume: u32,
    /// Volumes with content that the index does not name.
    pub(in crate::store) unnamed: Vec<u32>,
}

/// Reads what every volume says of itself.
///
/// # Errors
/// [`Error::NotExpected`] of a volume of another store; of reading the index.
pub(in crate::store) fn look(shared: &Shared, lineage: &Lineage) -> Result<Volumes, Error> {
    let index = shared.index().view()?;
    let names = shared.disk.list(&shared.paths.mail()).map_err(|error| Error::io("listing mail/", error))?;
    let highest = names.iter().filter_map(|name| Paths::number_in(name)).max().unwrap_or(0);
    let files: BTreeSet<u32> = names.iter().filter_map(|name| Paths::volume_number(name)).collect();
    let named: BTreeSet<u32> = volumes::list(&index)?.into_iter().map(|(number, _)| number).collect();
    let mut found = BTreeMap::new();
    for number in files {
        match look_at(shared, number) {
            Ok((stamp, _)) if stamp.is_foreign(lineage) => {
                return Err(Error::NotExpected(format!(
                    "mail/{number:06}.redb belongs to another store than index.redb; put back the files that \
                     belong together, or move it away"
                )));
            }
            Ok((stamp, content)) => {
                let known: Option<Vec<u8>> = index.get(META, &volume_key(number))?;
                let known = known.and_then(|value| Moment::decode(&value));
                found.insert(number, Found { named: named.contains(&number), stamp, known, content });
            }
            Err(error) => tracing::error!(volume = number, %error, "a volume cannot be read"),
        }
    }
    Ok(Volumes { found, highest })
}

/// Whether a volume says that it is of another store.
///
/// # Errors
/// Of reading it.
pub(in crate::store) fn is_of_another_store(shared: &Shared, number: u32) -> Result<bool, Error> {
    Ok(look_at(shared, number)?.0.id.is_some_and(|id| id != shared.id))
}

fn look_at(shared: &Shared, number: u32) -> Result<(Stamp, u64), Error> {
    // redb writes when it opens a file, with a sync: of eighty that only are looked at that is a slow start.
    let path = shared.paths.volume(number);
    let file = Arc::new(File::open(&shared.disk.glance(), &path, Kind::Volume, CACHE, false)?);
    let view = file.view()?;
    let looked = (Stamp::of(&view)?, highest_content(&view)?);
    file.give_up();
    Ok(looked)
}

fn highest_content(view: &View) -> Result<u64, Error> {
    let mut highest = 0;
    for table in VolumeTable::EVERY {
        let mut rows = view.range(table as u8, &[], &[0xff; 13])?;
        if let Some((key, _)) = rows.step(true)? {
            let id = key.get(..8).and_then(|id| id.try_into().ok()).map_or(0, u64::from_be_bytes);
            highest = highest.max(id);
        }
    }
    Ok(highest)
}

impl Volumes {
    /// Compares what was found with what the index has reached and the journal has replayed. `epochs` are the
    /// runs that the index knows of.
    pub(in crate::store) fn judge(&self, reached: &Reached, replayed: &Replayed, epochs: &[u64]) -> Findings {
        let chain = Chain { reached, last: replayed.last, epochs, begun: &replayed.begun };
        let mut findings = Findings { volume: self.highest, ..Findings::default() };
        for (number, found) in &self.found {
            findings.sequence = findings.sequence.max(found.stamp.sequence);
            findings.content = findings.content.max(found.content);
            let fits = if found.named { chain.fits(found) } else { chain.is_past(&found.stamp) };
            if !fits {
                let sequence = found.stamp.sequence;
                findings.mixed.push(format!("mail/{number:06}.redb is of another moment ({sequence})"));
            }
            if !found.named && found.content > 0 {
                findings.unnamed.push(*number);
            }
        }
        if replayed.overtaken {
            findings.mixed.push("the journal holds later changes than index.redb".to_owned());
        }
        findings
    }
}

/// What one store may have come through.
struct Chain<'a> {
    reached: &'a Reached,
    last: u64,
    epochs: &'a [u64],
    /// Where starts were cut short, with the volumes durable and the index not: what they held is replayed again.
    begun: &'a [Moment],
}

impl Chain<'_> {
    fn fits(&self, found: &Found) -> bool {
        let stamp = &found.stamp;
        let Some(epoch) = stamp.epoch else {
            // Made by postern 0.1.0, and not written since.
            return found.known.is_none() && stamp.sequence <= self.last;
        };
        let moment = Moment { epoch, sequence: stamp.sequence };
        found.known == Some(moment) || self.is_within(&moment) || self.was_begun(stamp)
    }

    fn is_within(&self, moment: &Moment) -> bool {
        let replayed = self.reached.sequence..=self.last;
        moment.epoch == self.reached.epoch && replayed.contains(&moment.sequence)
    }

    /// Whether a start came so far with it and was cut short.
    fn was_begun(&self, stamp: &Stamp) -> bool {
        self.begun.iter().any(|begun| Some(begun.epoch) == stamp.epoch && begun.sequence == stamp.sequence)
    }

    /// Whether a volume that is not named may be one that was given up, or never finished.
    fn is_past(&self, stamp: &Stamp) -> bool {
        let of_known_run = stamp.epoch.is_none_or(|epoch| self.epochs.contains(&epoch));
        stamp.sequence <= self.last && of_known_run || self.was_begun(stamp)
    }
}

/// The rows that name the volumes which the index does not know. They count as full: what is in them is not
/// known yet.
pub(in crate::store) fn rows_naming(numbers: &[u32], generation: u64, size: u64) -> Vec<Fact> {
    let row = VolumeRow { generation, live: size, ..VolumeRow::default() }.encode();
    numbers.iter().map(|number| (Table::Volumes as u8, number.to_be_bytes().to_vec(), row.clone())).collect()
}
