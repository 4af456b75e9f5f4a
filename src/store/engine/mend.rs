//! Files whose handle broke are opened again: as of their last durable commit, with what the journal holds for
//! them since. An error of the disk that has passed is forgotten so; what has failed for good in one volume costs
//! that volume its place, and what the journal holds for it goes into another.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use crate::model::locked;
use crate::store::base::error::Error;
use crate::store::base::fault::Fault;
use crate::store::base::schema::Table;
use crate::store::base::settings;
use crate::store::engine::database::{File, Kind};
use crate::store::engine::redo::{FileNumber, Row};
use crate::store::engine::replay::Reached;
use crate::store::engine::shared::{MEND_WAIT, Mends};
use crate::store::engine::volumes::{self, VolumeRow};
use crate::store::engine::writer::{Engine, Queue};

/// Pauses before a file that changes must go to is given up: an error of the disk may pass. They hold up all
/// writers.
const PAUSES: [Duration; 3] = [Duration::ZERO, Duration::from_millis(20), Duration::from_millis(100)];
/// An index on which redb panics is opened anew at most so often: the page that it stumbled over stays damaged, and
/// the others can be read all the same.
const PANICKED: Duration = Duration::from_secs(10);
/// Batches of the journal that a damaged index may refuse, before it is shown without any of them.
const REFUSED: usize = 8;

impl Mends for Queue {
    fn mend(&self) -> Result<(), Error> {
        self.command_within(MEND_WAIT, |engine| engine.mend())
    }

    fn say_damaged(&self, volume: u32) -> Result<(), Error> {
        self.begin_then(move |tx| volumes::set_damaged(tx, volume), |_| {})
    }
}

impl Engine {
    /// Opens again what broke in a reader's hands, or in ours.
    pub(in crate::store) fn mend(&mut self) -> Result<(), Error> {
        let shared = Arc::clone(&self.shared);
        for volume in shared.budget.broken() {
            if shared.budget.is_unwritten(volume) {
                shared.fail(&format!("writing volume {volume} failed"));
            }
            if let Err(error) = self.try_reopen(volume) {
                tracing::warn!(volume, %error, "a volume cannot be opened again yet");
            }
        }
        let index = shared.index();
        if index.is_unwritten() {
            shared.fail("writing index.redb failed");
        }
        if index.is_broken() {
            return self.try_reopen(0);
        }
        if index.is_panicked() && self.mending.panicked.is_none_or(|at| at.elapsed() >= PANICKED) {
            self.mending.panicked = Some(Instant::now());
            return self.try_reopen(0);
        }
        Ok(())
    }

    /// With pauses between, whoever asks.
    fn try_reopen(&mut self, number: FileNumber) -> Result<(), Error> {
        let (backoff, last) = self.mending.failing.entry(number).or_default();
        if let Some(error) = last
            && !backoff.wait(Instant::now()).is_zero()
        {
            return Err(error.clone());
        }
        backoff.failed(Instant::now());
        let done = self.reopen(number, self.applied);
        if let Some((_, last)) = self.mending.failing.get_mut(&number) {
            *last = done.as_ref().err().cloned();
        }
        done
    }

    /// Changes could not be applied to the index: it is opened again and gets them from the journal, which has
    /// them. If that fails too, nothing more is written.
    pub(in crate::store) fn recover_index(&mut self, error: &Error, sequence: u64) -> Result<(), Error> {
        if error.is_unwritten() {
            return Err(self.failed("applying changes", &error.to_string()));
        }
        tracing::warn!(%error, "applying changes failed; the index is opened again");
        let again = self.reopen_patiently(0, sequence);
        again.map_err(|error| self.failed("applying changes", &error.to_string()))
    }

    /// A volume that is full or damaged is not the end: those that were touched are opened again and get the
    /// rows before this batch from the journal, which has them. What a volume cannot take even so goes into
    /// another one.
    pub(in crate::store) fn take_back(
        &mut self,
        file: FileNumber,
        touched: &[FileNumber],
        error: &Error,
    ) -> Error {
        if error.is_unwritten() {
            return self.failed("applying changes", &error.to_string());
        }
        tracing::warn!(volume = file, %error, "a volume cannot take what was put into it; it is opened again");
        let mut lost = Vec::new();
        for volume in touched {
            match self.reopen_patiently(*volume, self.applied) {
                Err(again) if again.is_unwritten() || again.fault() == Some(Fault::Full) => {
                    return self.failed("applying changes", &again.to_string());
                }
                Err(again) => {
                    tracing::error!(volume, error = %again, "a volume cannot be had again");
                    lost.push(*volume);
                }
                Ok(()) => {}
            }
        }
        locked(&self.shared.full).insert(file, 0);
        self.shared.notice(file, error);
        match self.rescue(&lost) {
            Err(failed) => failed,
            Ok(()) if error.fault() == Some(Fault::Full) => self.shared.no_space(0),
            Ok(()) => error.clone(),
        }
    }

    pub(in crate::store) fn reopen_patiently(&mut self, number: FileNumber, upto: u64) -> Result<(), Error> {
        let mut done = Ok(());
        for pause in PAUSES {
            std::thread::sleep(pause);
            done = self.reopen(number, upto);
            match &done {
                Err(error) if !error.is_unwritten() => {}
                _ => break,
            }
        }
        done
    }

    /// Opens a file again as of its last durable commit and applies what the journal has since, up to a number.
    /// Readers see it when it has all of that, and not before.
    fn reopen(&mut self, number: FileNumber, upto: u64) -> Result<(), Error> {
        let mut refused = BTreeSet::new();
        loop {
            let file = self.open_again(number)?;
            let mut at = 0;
            match self.replay_into(&file, number, upto, &refused, &mut at) {
                Ok(()) => {
                    self.show(number, file);
                    return Ok(());
                }
                // Where nothing can be written any more, what can be shown is shown.
                Err(Error::Damaged(what)) if number == 0 && !self.shared.disk.writes() && at > 0 => {
                    tracing::error!(
                        what,
                        number = at,
                        "the index cannot take a change that is in the journal"
                    );
                    self.shared
                        .known
                        .index("changes since the last checkpoint cannot be shown: it is damaged");
                    refused.insert(at);
                    if refused.len() > REFUSED {
                        let file = self.open_again(number)?;
                        self.show(number, file);
                        return Ok(());
                    }
                }
                Err(error) => return Err(error),
            }
        }
    }

    fn open_again(&self, number: FileNumber) -> Result<Arc<File>, Error> {
        let shared = &self.shared;
        if number != 0 {
            return shared.budget.reopen(number);
        }
        let old = shared.index();
        if let Some(damage) = old.damage() {
            shared.known.index(&damage);
        }
        old.give_up();
        let path = shared.paths.index();
        File::open(&shared.disk, &path, Kind::Index, shared.options.index_cache, false).map(Arc::new)
    }

    fn show(&self, number: FileNumber, file: Arc<File>) {
        if number == 0 {
            *self.shared.index.write().unwrap_or_else(PoisonError::into_inner) = file;
        } else {
            self.shared.budget.put_back(number, file);
        }
    }

    /// `at`: the number of the batch that is being applied.
    fn replay_into(
        &mut self,
        file: &Arc<File>,
        number: FileNumber,
        upto: u64,
        refused: &BTreeSet<u64>,
        at: &mut u64,
    ) -> Result<(), Error> {
        let reached = file.sequence()?.max(self.checkpointed);
        if reached < upto {
            self.journal.read_again(reached, upto, &mut |rows, sequence| {
                if sequence <= reached || sequence > upto || refused.contains(&sequence) {
                    return Ok(());
                }
                *at = sequence;
                let rows = rows.iter().filter(|row| row.file == number);
                file.apply(rows.map(Row::change), sequence, false)
            })?;
        }
        let mut saved = self.mending.saved.iter().filter(|row| row.file == number).peekable();
        if saved.peek().is_none() { Ok(()) } else { file.apply(saved.map(Row::change), upto, false) }
    }

    /// What the journal holds for volumes that cannot take it goes into another one, at once and durably.
    fn rescue(&mut self, volumes: &[FileNumber]) -> Result<(), Error> {
        for volume in volumes {
            self.rescue_one(*volume)?;
        }
        if volumes.is_empty() { Ok(()) } else { self.checkpoint() }
    }

    /// At the start, before the journal's epoch begins: of volumes that could not take what was replayed.
    pub(in crate::store) fn save_all(
        &mut self,
        volumes: BTreeSet<FileNumber>,
        reached: &Reached,
        last: u64,
    ) -> Result<(), Error> {
        (self.checkpointed, self.applied) = (reached.sequence, last);
        // What is read again, now or later where nothing can be written, is of the run before.
        let epoch = std::mem::replace(&mut self.journal.epoch, reached.epoch);
        for volume in volumes {
            self.rescue_one(volume)?;
        }
        if self.shared.disk.writes() {
            self.journal.epoch = epoch;
        }
        Ok(())
    }

    pub(in crate::store) fn rescue_one(&mut self, volume: FileNumber) -> Result<(), Error> {
        self.save(volume)
            .map_err(|error| self.failed("saving what a damaged volume could not take", &error.to_string()))
    }

    fn save(&mut self, volume: FileNumber) -> Result<(), Error> {
        let shared = Arc::clone(&self.shared);
        let rows = self.only_in_journal(volume)?;
        let view = shared.index().view()?;
        let mut facts = Vec::new();
        if let Some(row) = volumes::get(&view, volume)? {
            facts.push(volumes::row(volume, &VolumeRow { damaged: true, ..row }));
        }
        if !rows.is_empty() {
            let next = settings::number(&view, settings::VOLUME)?;
            let next = next.max(1 + u64::from(shared.budget.highest()?));
            let number = u32::try_from(next).map_err(|_| Error::Limit("no volume numbers left"))?;
            tracing::error!(volume, into = number, rows = rows.len(), "saving what a volume could not take");
            shared.make_volume(number, self.applied)?;
            let live = rows.iter().map(|row| row.bytes() as u64).sum();
            let row = VolumeRow { generation: shared.generation, live, ..VolumeRow::default() };
            facts.push(volumes::row(number, &row));
            facts.push(setting(settings::VOLUME, next + 1));
            facts.push(setting(&volumes::rest_name(volume), next));
            self.give(number, rows.into_iter().map(|row| Row { file: number, ..row }).collect())?;
            shared.known.set_rest(volume, number);
        }
        self.give(0, facts)?;
        // Not before all of it is elsewhere: until then it must be opened with what the journal has for it.
        shared.budget.forget(volume);
        shared.known.volume_is_said_damaged(volume);
        Ok(())
    }

    /// What the journal holds for a volume since the last checkpoint, as it stands at the end.
    fn only_in_journal(&mut self, volume: FileNumber) -> Result<Vec<Row>, Error> {
        let mut rows: BTreeMap<(u8, Vec<u8>), Row> = BTreeMap::new();
        let (after, upto) = (self.checkpointed, self.applied);
        if after < upto {
            self.journal.read_again(after, upto, &mut |chain, sequence| {
                let own = chain.iter().filter(|row| row.file == volume && sequence <= upto);
                rows.extend(own.map(|row| ((row.table, row.key.clone()), row.clone())));
                Ok(())
            })?;
        }
        Ok(rows.into_values().filter(|row| row.value.is_some()).collect())
    }

    /// Applies rows that are not in the journal; until the next checkpoint they are kept for a file that must be
    /// opened again.
    fn give(&mut self, number: FileNumber, rows: Vec<Row>) -> Result<(), Error> {
        let shared = &self.shared;
        if number == 0 {
            shared.index().apply(rows.iter().map(Row::change), self.applied, false)?;
        } else {
            let file = shared.budget.volume(number)?;
            shared.budget.mark_dirty(number);
            file.apply(rows.iter().map(Row::change), self.applied, false)?;
        }
        self.mending.saved.extend(rows);
        Ok(())
    }
}

fn setting(name: &str, number: u64) -> Row {
    let value = Some(settings::number_value(number));
    Row { file: 0, table: Table::Settings as u8, key: name.as_bytes().to_vec(), value }
}
