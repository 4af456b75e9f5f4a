//! Which generations stay, and what goes with the others: packs that nothing needs any more, and packs of which
//! less than half is needed, whose rest is copied to new ones as it lies there, unopened.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::folder::{Folder, sync_dir};
use super::manifest::{self, Generation, Manifest};
use super::pack::{self, Name, Pack, PackWriter, SIZE};
use super::places::{Found, Places};
use super::{Error, from_hex};

const DAY: i64 = 86_400;
/// 1 January 1970 was a Thursday: weeks begin on Monday.
const MONDAY: i64 = 3;

/// How many generations stay: the newest of each day, week and month.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Keep {
    /// Days.
    pub daily: u32,
    /// Weeks.
    pub weekly: u32,
    /// Months.
    pub monthly: u32,
}

impl Default for Keep {
    fn default() -> Self {
        Keep { daily: 7, weekly: 4, monthly: 12 }
    }
}

/// Those that stay, of a list with the oldest first. The newest always does.
#[must_use]
pub fn select(generations: &[Generation], keep: Keep) -> BTreeSet<String> {
    let day = |time: i64| time.div_euclid(DAY);
    let kinds: [(u32, &dyn Fn(i64) -> i64); 3] = [
        (keep.daily, &day),
        (keep.weekly, &|time| (day(time) + MONDAY).div_euclid(7)),
        (keep.monthly, &|time| month(day(time))),
    ];
    let mut kept: BTreeSet<String> =
        generations.last().map(|newest| newest.name.clone()).into_iter().collect();
    for (count, period) in kinds {
        let mut seen = BTreeSet::new();
        for generation in generations.iter().rev() {
            if seen.len() == count as usize && !seen.contains(&period(generation.time)) {
                break;
            }
            if seen.insert(period(generation.time)) {
                kept.insert(generation.name.clone());
            }
        }
    }
    kept
}

/// The month that a day since 1970 lies in, counted from year 0.
fn month(day: i64) -> i64 {
    let (year, month, _) = crate::model::CivilDate::from_days_since_epoch(day).parts();
    i64::from(year) * 12 + i64::from(month)
}

/// The packs there are, and how long each is.
pub(super) fn packs(folder: &Folder) -> Result<Vec<(Name, u64)>, Error> {
    let mut found = Vec::new();
    for name in folder.names(&folder.packs(), pack::ENDING)? {
        let length = Pack::open(&*folder.disk, &path(folder, &name))?.length();
        found.extend(from_hex(&name).map(|name| (name, length)));
    }
    Ok(found)
}

fn path(folder: &Folder, name: &str) -> std::path::PathBuf {
    folder.packs().join(format!("{name}{}", pack::ENDING))
}

/// Drops generations, and packs; gives how many packs. A generation that cannot be read stops it: nobody knows what
/// it needs.
pub(super) fn apply(folder: &Folder, keep: Keep) -> Result<u64, Error> {
    let all = manifest::list(folder)?;
    let kept = select(&all, keep);
    // First it is known what is needed, then something goes.
    let mut needed: Vec<Name> = Vec::new();
    for generation in all.iter().filter(|generation| kept.contains(&generation.name)) {
        needed = merged(needed, Manifest::open(folder, generation)?.names);
    }
    for generation in all.iter().filter(|generation| !kept.contains(&generation.name)) {
        unlink(folder, &generation.path(folder))?;
    }
    sync_dir(&*folder.disk, &folder.generations())?;
    drop_packs(folder, &needed)
}

fn unlink(folder: &Folder, path: &std::path::Path) -> Result<(), Error> {
    folder.disk.unlink(path).map_err(Error::folder(path))
}

/// Two sorted lists as one.
fn merged(one: Vec<Name>, other: Vec<Name>) -> Vec<Name> {
    if one.is_empty() {
        return other;
    }
    let mut all = one;
    let new: Vec<Name> = other.into_iter().filter(|name| all.binary_search(name).is_err()).collect();
    if !new.is_empty() {
        all.extend(new);
        all.sort_unstable();
    }
    all
}

/// A pack's entries that are needed, and whether they are less than half of it.
struct Sparse {
    pack: u32,
    alive: Vec<(Name, Found)>,
}

fn drop_packs(folder: &Folder, needed: &[Name]) -> Result<u64, Error> {
    let places = Places::load(folder)?;
    let mut by_pack = places.by_pack();
    // Of an entry that lies in two packs, the first is the one that is needed.
    by_pack.retain(|(name, found)| {
        needed.binary_search(name).is_ok()
            && places.all(name).first().is_some_and(|(_, first)| first == found)
    });
    let (mut dead, mut sparse) = (Vec::new(), Vec::new());
    for (number, name) in (0_u32..).zip(places.packs()) {
        let from = by_pack.partition_point(|(_, found)| found.pack < number);
        let to = by_pack.partition_point(|(_, found)| found.pack <= number);
        let alive = by_pack.get(from..to).unwrap_or_default();
        let bytes: u64 = alive.iter().map(|(_, found)| u64::from(found.length)).sum();
        if alive.is_empty() {
            dead.push(name.clone());
        } else if bytes * 2 < Pack::open(&*folder.disk, &path(folder, name))?.length() {
            sparse.push(Sparse { pack: number, alive: alive.to_vec() });
        }
    }
    dead.extend(rewrite(folder, &places, sparse)?);
    for name in &dead {
        unlink(folder, &path(folder, name))?;
    }
    if !dead.is_empty() {
        sync_dir(&*folder.disk, &folder.packs())?;
    }
    Ok(dead.len() as u64)
}

/// Copies what is needed of packs to new ones; gives the names of those that can go.
fn rewrite(folder: &Folder, places: &Places, sparse: Vec<Sparse>) -> Result<Vec<String>, Error> {
    let (mut gone, mut group, mut bytes) = (Vec::new(), Vec::new(), 0);
    for pack in sparse {
        bytes += pack.alive.iter().map(|(_, found)| u64::from(found.length)).sum::<u64>();
        group.push(pack);
        if bytes >= SIZE {
            gone.extend(rewrite_group(folder, places, std::mem::take(&mut group))?);
            bytes = 0;
        }
    }
    // A lone one gains nothing but its own dead bytes: that is what it is done for.
    gone.extend(rewrite_group(folder, places, group)?);
    Ok(gone)
}

fn rewrite_group(folder: &Folder, places: &Places, group: Vec<Sparse>) -> Result<Vec<String>, Error> {
    let (mut gone, mut keys, mut open) = (Vec::new(), Vec::new(), Vec::new());
    for sparse in group {
        let name = places.pack(sparse.pack).to_owned();
        let pack = Pack::open(&*folder.disk, &path(folder, &name))?;
        // One that is damaged stays as it is.
        match pack.keys() {
            Ok(found) => keys.extend(found),
            Err(Error::Damaged { .. }) => continue,
            Err(error) => return Err(error),
        }
        open.push((name, pack, sparse.alive));
    }
    if open.is_empty() {
        return Ok(gone);
    }
    keys.sort();
    keys.dedup();
    let mut writer = PackWriter::create(folder, &keys)?;
    for (name, pack, alive) in open {
        let mut whole = true;
        for (_, found) in alive {
            let entry = pack.entry(found.offset, found.length)?;
            let known = pack::key_of(&entry) == 0 || keys.iter().any(|(id, _)| *id == pack::key_of(&entry));
            if pack::is_whole(&entry) && known {
                writer.add(&entry)?;
            } else {
                whole = false;
            }
        }
        if whole {
            gone.push(name);
        }
    }
    let (new, _) = writer.finish()?;
    gone.retain(|name| *name != new);
    Ok(gone)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn generations(days: impl IntoIterator<Item = i64>) -> Vec<Generation> {
        let generation =
            |(number, day): (u64, i64)| Generation { name: format!("{day}"), number, time: day * DAY + 3600 };
        (1..).zip(days).map(generation).collect()
    }

    #[test]
    fn days_weeks_and_months_stay() {
        // Two years, daily, up to Sunday 31 May 2026.
        let last = 20_604;
        let all = generations(last - 730..=last);
        let kept = select(&all, Keep { daily: 7, weekly: 4, monthly: 12 });
        for day in last - 6..=last {
            assert!(kept.contains(&day.to_string()), "one of the last seven days");
        }
        for week in 0..4 {
            assert!(kept.contains(&(last - 7 * week).to_string()), "a Sunday");
        }
        let months = kept.iter().map(|name| month(name.parse().unwrap())).collect::<BTreeSet<_>>();
        assert_eq!(months.len(), 12);
        assert!(kept.len() <= 7 + 3 + 11, "{kept:?}");
    }

    #[test]
    fn the_newest_stays_whatever_is_asked() {
        let all = generations([1, 2, 3]);
        let kept = select(&all, Keep { daily: 0, weekly: 0, monthly: 0 });
        assert_eq!(kept.into_iter().collect::<Vec<_>>(), ["3"]);
        assert!(select(&[], Keep::default()).is_empty());
    }

    #[test]
    fn of_a_day_the_newest_stays() {
        let mut all = generations([5, 5, 6]);
        all[0].name = "first".to_owned();
        all[1].name = "second".to_owned();
        let kept = select(&all, Keep { daily: 2, weekly: 0, monthly: 0 });
        assert_eq!(kept.into_iter().collect::<Vec<_>>(), ["6", "second"]);
    }
}
