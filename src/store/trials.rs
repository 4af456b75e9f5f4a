//! For tests: the store under errors of its disk, at any one of the calls that it makes. What was acknowledged must
//! be there when the disk is well again, and after a restart; meanwhile there are errors, and none of them says that
//! something is empty, gone or damaged.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::model::{AccountId, ContentId, MailboxName};
use crate::store::base::error::Error;
use crate::store::base::fault::Fault;
use crate::store::base::rows::Rows;
use crate::store::base::schema::Table;
use crate::store::base::sim::{Dice, Plan, SimClock, SimDisk, SimRandom, Trouble};
use crate::store::engine::options::Options;
use crate::store::engine::store::Store;

/// Every kind of error that is tried at a call.
pub const TROUBLES: [Trouble; 4] = [
    Trouble::Error(ErrorKind::Other),
    Trouble::Error(ErrorKind::PermissionDenied),
    Trouble::Error(ErrorKind::StorageFull),
    Trouble::Short,
];

/// Operations of a run.
const STEPS: u64 = 40;
/// What pauses between attempts may delay, on a machine that does much else.
const PATIENCE: Duration = Duration::from_secs(60);

/// What a trial saw.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// Changes that were acknowledged.
    pub acknowledged: u64,
    /// Changes that were refused.
    pub refused: u64,
    /// The store read only from some point on.
    pub read_only: bool,
}

/// How many calls a run makes of its disk where nothing fails.
///
/// # Errors
/// If something is wrong all the same.
pub fn calls(seed: u64) -> Result<u64, String> {
    let disk = SimDisk::default();
    let mut run = Run::new(disk.clone(), seed);
    run.steps()?;
    run.store = None;
    Ok(disk.calls())
}

/// One run in which calls fail as planned.
///
/// # Errors
/// What was lost, wrong, or said wrongly.
pub fn trial(plan: Plan, seed: u64) -> Result<Outcome, String> {
    let disk = SimDisk::default();
    disk.fail(plan);
    let mut run = Run::new(disk.clone(), seed);
    run.steps()?;
    run.look(false)?;
    disk.heal();
    if run.store.is_some() {
        run.look(true).map_err(|error| format!("once the disk is well: {error}"))?;
    }
    let read_only = run.store.take().is_some_and(|store| store.condition().read_only.is_some());
    // The power goes, or the process only.
    let after = if plan.call.is_multiple_of(2) { disk.cut(disk.position(), plan.call) } else { disk.copy() };
    run.disk = after;
    run.open();
    run.look(true).map_err(|error| format!("after a restart: {error}"))?;
    run.step(u64::MAX)?;
    let outcome = Outcome { read_only, ..run.outcome };
    match run.store.as_ref().map(|store| store.condition().read_only) {
        Some(None) => Ok(outcome),
        other => Err(format!("after a restart it takes no changes: {other:?}")),
    }
}

struct Run {
    disk: SimDisk,
    seed: u64,
    dice: Dice,
    store: Option<Store>,
    /// Acknowledged rows; one whose last change was refused may be either way.
    rows: BTreeMap<u8, Vec<Option<Vec<u8>>>>,
    /// Acknowledged messages: id, seed, length.
    messages: Vec<(ContentId, u64, usize)>,
    outcome: Outcome,
}

fn live(rows: &dyn Rows, visit: &mut dyn FnMut(ContentId)) -> Result<(), Error> {
    rows.scan(Table::Imported, &[], &[0xff; 9], &mut |key, _| {
        key.try_into().map(u64::from_be_bytes).into_iter().for_each(|id| visit(ContentId(id)));
        Ok(ControlFlow::Continue(()))
    })
}

fn message(seed: u64, length: usize) -> Vec<u8> {
    let mut dice = Dice::new(seed);
    let mut bytes = format!("Subject: {seed}\r\n\r\n").into_bytes();
    while bytes.len() < length {
        bytes.extend_from_slice(format!("{:x}{:x}\r\n", dice.roll(), dice.roll()).as_bytes());
    }
    bytes
}

impl Run {
    fn new(disk: SimDisk, seed: u64) -> Self {
        let (dice, outcome) = (Dice::new(seed), Outcome::default());
        Run { disk, seed, dice, store: None, rows: BTreeMap::new(), messages: Vec::new(), outcome }
    }

    fn open(&mut self) {
        let options = Options {
            disk: Arc::new(self.disk.clone()),
            clock: Arc::new(SimClock::default()),
            random: Arc::new(SimRandom::new(self.seed ^ self.disk.calls())),
            segment_size: 128 << 10,
            volume_size: 30_000,
            open_volumes: 1,
            index_cache: 64 << 10,
            active_cache: 64 << 10,
            volume_cache: 0,
            incoming_memory: 40_000,
            reserve: 0,
            live_emails: Some(live),
            ..Options::new("/data")
        };
        self.store = Store::open(options).ok();
    }

    fn steps(&mut self) -> Result<(), String> {
        self.open();
        for n in 0..STEPS {
            if self.store.is_none() {
                self.open();
            }
            self.step(n)?;
        }
        Ok(())
    }

    fn step(&mut self, n: u64) -> Result<(), String> {
        let Some(store) = self.store.clone() else { return Ok(()) };
        match n % 10 {
            0 | 3 | 5 => {
                let length = 4000 + self.dice.below(9000) as usize;
                self.file(&store, n, length);
            }
            7 => self.file(&store, n, 120_000),
            4 if n % 20 == 14 => drop(store.checkpoint()),
            8 if n % 20 == 18 => drop(store.sweep().and_then(|_| store.reclaim())),
            9 if n % 20 == 19 => self.store = None,
            6 => return self.look(false),
            _ => self.put(&store),
        }
        Ok(())
    }

    fn count<T>(&mut self, done: &Result<T, Error>) {
        let count = if done.is_ok() { &mut self.outcome.acknowledged } else { &mut self.outcome.refused };
        *count += 1;
    }

    fn put(&mut self, store: &Store) {
        let (key, value) = (self.dice.below(12) as u8, self.dice.roll().to_le_bytes().repeat(30));
        let value = (self.dice.below(4) > 0).then_some(value);
        let new = value.clone();
        let done = store.write(move |tx| {
            match &new {
                Some(value) => tx.put(Table::Names, &[key], value),
                None => tx.delete(Table::Names, &[key]),
            }
            Ok(())
        });
        self.count(&done);
        let may = self.rows.entry(key).or_insert_with(|| vec![None]);
        if done.is_ok() {
            may.clear();
        }
        may.push(value);
    }

    fn file(&mut self, store: &Store, n: u64, length: usize) {
        let bytes = message(n, length);
        let done = || -> Result<ContentId, Error> {
            let mut incoming = store.incoming(1 << 20);
            incoming.write(&bytes)?;
            let prepared = incoming.finish()?;
            store.write(move |tx| {
                let email = prepared.file(tx, AccountId(1), &MailboxName::inbox())?;
                tx.put(Table::Imported, &email.0.to_be_bytes(), &[]);
                Ok(email)
            })
        };
        let done = done();
        self.count(&done);
        self.messages.extend(done.ok().map(|email| (email, n, length)));
    }

    /// Everything acknowledged is there, or an error of the disk says why it cannot be had now; with `whole` it
    /// must be there, soon.
    fn look(&mut self, whole: bool) -> Result<(), String> {
        let Some(store) = self.store.clone() else {
            return if whole { Err("it does not open".to_owned()) } else { Ok(()) };
        };
        for (key, may) in &self.rows {
            let read = || store.snapshot().and_then(|snapshot| snapshot.get(Table::Names, &[*key]));
            if let Some(found) = settled(whole, &read).map_err(|error| format!("row {key}: {error}"))?
                && !may.contains(&found)
            {
                return Err(format!("row {key} is not what was acknowledged"));
            }
        }
        for (email, seed, length) in &self.messages {
            let read = || {
                let mut out = Vec::new();
                store.snapshot()?.read(*email, 0..u64::MAX, &mut out).map(|()| out)
            };
            if let Some(found) = settled(whole, &read).map_err(|error| format!("message {email}: {error}"))?
                && found != message(*seed, *length)
            {
                return Err(format!("message {email} has wrong bytes"));
            }
        }
        Ok(())
    }
}

/// What is read, or nothing where an error of the disk is in the way and may be.
fn settled<T>(whole: bool, read: &dyn Fn() -> Result<T, Error>) -> Result<Option<T>, String> {
    let begun = Instant::now();
    loop {
        match read() {
            Ok(found) => return Ok(Some(found)),
            Err(error) if !matches!(error.fault(), Some(Fault::Disk | Fault::Denied | Fault::Full)) => {
                return Err(format!("{error} ({error:?})"));
            }
            Err(_) if !whole => return Ok(None),
            Err(error) if begun.elapsed() > PATIENCE => return Err(format!("not for a minute: {error}")),
            Err(_) => std::thread::sleep(Duration::from_millis(10)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Some of the calls; `tests/reliability` tries all.
    #[test]
    fn whatever_call_fails_nothing_acknowledged_is_lost() {
        let calls = calls(1).unwrap();
        assert!(calls > 500, "{calls}");
        let mut dice = Dice::new(11);
        let (mut refused, mut failed) = (0, Vec::new());
        for n in 0..96 {
            let trouble = TROUBLES[n % 4];
            let plan = Plan { call: dice.below(calls), trouble, lasting: n % 8 > 3, only: None };
            match trial(plan, 1) {
                Ok(outcome) => refused += outcome.refused,
                Err(error) => failed.push(format!("{plan:?}: {error}")),
            }
        }
        assert!(failed.is_empty(), "{}", failed.join("\n"));
        assert!(refused > 0);
    }
}
