//! The one writer: takes all jobs that wait, runs them, makes them durable with one sync, applies them,
//! tells the listeners, answers.

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::model::locked;
use crate::store::base::compression;
use crate::store::base::error::{Error, contained};
use crate::store::base::fault::{Fault, fault};
use crate::store::base::rows::{News, Transaction};
use crate::store::engine::journal::Journal;
use crate::store::engine::mending::Mending;
use crate::store::engine::overlay::{Job, Layer, Placement};
use crate::store::engine::redo::{FileNumber, Row};
use crate::store::engine::shared::Shared;
use crate::store::engine::space::Standing;

/// Jobs that may wait; more make their callers wait, who are on a bounded pool anyway.
const QUEUE: usize = 256;
/// A batch takes no further job once its rows exceed this, so that it stays quick and small in memory.
const BATCH_BYTES: usize = 2 << 20;

/// Work for the writer.
pub(in crate::store) enum Item {
    Job(Box<dyn Work>),
    Command(Box<dyn FnOnce(&mut Engine) + Send>),
}

/// A job whose type of result is forgotten.
pub(in crate::store) trait Work: Send {
    fn run(&mut self, tx: &mut dyn Transaction) -> Result<(), Error>;
    fn answer(self: Box<Self>, outcome: Result<(), Error>);
}

struct Typed<T, F, R> {
    job: Option<F>,
    value: Option<T>,
    reply: R,
}

impl<T, F, R> Work for Typed<T, F, R>
where
    T: Send,
    F: FnOnce(&mut dyn Transaction) -> Result<T, Error> + Send,
    R: FnOnce(Result<T, Error>) + Send,
{
    fn run(&mut self, tx: &mut dyn Transaction) -> Result<(), Error> {
        let job = self.job.take().ok_or(Error::Closed)?;
        self.value = Some(job(tx)?);
        Ok(())
    }

    fn answer(mut self: Box<Self>, outcome: Result<(), Error>) {
        let result = outcome.and_then(|()| self.value.take().ok_or(Error::Closed));
        (self.reply)(result);
    }
}

#[derive(Default)]
struct Waiting {
    items: VecDeque<Item>,
    closed: bool,
}

/// The bounded queue in front of the writer.
#[derive(Default)]
pub(in crate::store) struct Queue {
    waiting: Mutex<Waiting>,
    filled: Condvar,
    drained: Condvar,
}

/// A job that was handed to the writer.
#[derive(Debug)]
#[must_use = "whether it was done is only known once it was waited for"]
pub struct Pending<T>(Receiver<Result<T, Error>>);

impl<T> Pending<T> {
    /// Waits until the job is durable and can be read.
    ///
    /// # Errors
    /// As [`crate::store::Store::write`].
    pub fn wait(self) -> Result<T, Error> {
        self.0.recv().map_err(|_| Error::Closed)?
    }
}

/// Whether a full queue holds its caller up, or the caller bounds what it sends and may not wait.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Room {
    Awaited,
    Taken,
}

impl Queue {
    pub(in crate::store) fn begin<T: Send + 'static>(
        &self,
        job: impl FnOnce(&mut dyn Transaction) -> Result<T, Error> + Send + 'static,
    ) -> Result<Pending<T>, Error> {
        let (sender, answer) = sync_channel(1);
        // A caller that is gone wants no answer.
        let reply = move |result| drop(sender.send(result));
        self.push(Item::Job(Box::new(Typed { job: Some(job), value: None, reply })), Room::Awaited)?;
        Ok(Pending(answer))
    }

    /// As [`Queue::begin`], but never waits; `reply` is called in the writer's thread.
    pub(in crate::store) fn begin_then<T: Send + 'static>(
        &self,
        job: impl FnOnce(&mut dyn Transaction) -> Result<T, Error> + Send + 'static,
        reply: impl FnOnce(Result<T, Error>) + Send + 'static,
    ) -> Result<(), Error> {
        self.push(Item::Job(Box::new(Typed { job: Some(job), value: None, reply })), Room::Taken)
    }

    pub(in crate::store) fn command<T: Send + 'static>(
        &self,
        command: impl FnOnce(&mut Engine) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        let (reply, answer) = sync_channel(1);
        self.push(
            Item::Command(Box::new(move |engine| {
                let _ = reply.send(command(engine));
            })),
            Room::Awaited,
        )?;
        answer.recv().map_err(|_| Error::Closed)?
    }

    /// As [`Queue::command`], for a caller who does not wait longer.
    pub(in crate::store) fn command_within<T: Send + 'static>(
        &self,
        patience: Duration,
        command: impl FnOnce(&mut Engine) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        let (reply, answer) = sync_channel(1);
        let send = Box::new(move |engine: &mut Engine| drop(reply.send(command(engine))));
        self.push(Item::Command(send), Room::Taken)?;
        answer.recv_timeout(patience).map_err(|error| match error {
            RecvTimeoutError::Disconnected => Error::Closed,
            RecvTimeoutError::Timeout => Error::io("waiting for the writer", io::ErrorKind::TimedOut.into()),
        })?
    }

    pub(in crate::store) fn close(&self) {
        locked(&self.waiting).closed = true;
        self.filled.notify_all();
        self.drained.notify_all();
    }

    fn push(&self, item: Item, room: Room) -> Result<(), Error> {
        let mut waiting = locked(&self.waiting);
        while room == Room::Awaited && waiting.items.len() >= QUEUE && !waiting.closed {
            waiting = self.drained.wait(waiting).unwrap_or_else(PoisonError::into_inner);
        }
        if waiting.closed {
            return Err(Error::Closed);
        }
        waiting.items.push_back(item);
        self.filled.notify_one();
        Ok(())
    }

    /// All that waits; empty after `patience`; `None` when it is closed and empty.
    fn take(&self, patience: Duration) -> Option<VecDeque<Item>> {
        let until = Instant::now() + patience;
        let mut waiting = locked(&self.waiting);
        while waiting.items.is_empty() {
            if waiting.closed {
                return None;
            }
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Some(VecDeque::new());
            }
            waiting = self.filled.wait_timeout(waiting, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        let items = std::mem::take(&mut waiting.items);
        self.drained.notify_all();
        Some(items)
    }
}

/// What only the writer's thread touches.
pub(in crate::store) struct Engine {
    pub(in crate::store) shared: Arc<Shared>,
    pub(in crate::store) queue: Arc<Queue>,
    pub(in crate::store) journal: Journal,
    pub(in crate::store) placement: Placement,
    pub(in crate::store) last_modseq: u64,
    /// What all files have been given.
    pub(in crate::store) applied: u64,
    /// What is being opened again.
    pub(in crate::store) mending: Mending,
    /// What the last checkpoint reached.
    pub(in crate::store) checkpointed: u64,
    /// Jobs and bytes since the last checkpoint.
    pub(in crate::store) operations: u64,
    pub(in crate::store) dirty_bytes: u64,
    /// Of these, of rows of the index.
    pub(in crate::store) dirty_index: u64,
}

struct Done {
    work: Box<dyn Work>,
    outcome: Result<(), Error>,
    news: Vec<News>,
}

impl Engine {
    /// Until the queue is closed.
    pub(in crate::store) fn run(mut self) -> Result<(), Error> {
        let patience = self.shared.options.checkpoint_idle;
        let _ = self.shared.writer.set(std::thread::current().id());
        let queue = Arc::clone(&self.queue);
        while let Some(mut items) = queue.take(patience) {
            if items.is_empty() {
                compression::release();
            }
            if items.is_empty() && self.operations > 0 {
                // An idle checkpoint that fails has made the store read-only, and said so.
                let _ = self.checkpoint();
            }
            while let Some(item) = items.pop_front() {
                self.take_on(item, &mut items);
            }
        }
        let closed = self.close();
        self.shared.budget.close_all();
        closed
    }

    /// A panic outside of a job leaves the writer in a state that nobody knows: it lives on to say so to all that
    /// comes, for a queue that nobody empties would hold up every session for good.
    fn take_on(&mut self, item: Item, items: &mut VecDeque<Item>) {
        let done = contained("the writer failed", || {
            match item {
                Item::Command(command) => command(self),
                Item::Job(job) => self.batch(job, items),
            }
            Ok::<(), Error>(())
        });
        if let Err(error) = done {
            self.shared.fail(&error.to_string());
        }
    }

    fn batch(&mut self, first: Box<dyn Work>, items: &mut VecDeque<Item>) {
        let (layer, mut done, modseq, allowance) = match self.run_jobs(first, items) {
            Ok(ran) => ran,
            Err((works, error)) => {
                works.into_iter().for_each(|work| work.answer(Err(error.clone())));
                return;
            }
        };
        let committed = if layer.is_empty() { Ok(()) } else { self.commit(layer, allowance) };
        match committed {
            Ok(()) => self.last_modseq = modseq,
            Err(error) => {
                for job in done.iter_mut().filter(|job| job.outcome.is_ok()) {
                    job.outcome = Err(error.clone());
                }
            }
        }
        let succeeded = done.iter().filter(|job| job.outcome.is_ok()).count() as u64;
        self.operations += succeeded;
        self.shared.counters.jobs.fetch_add(succeeded, Ordering::Relaxed);
        self.tell(&done);
        done.into_iter().for_each(|job| job.work.answer(job.outcome));
        if self.operations >= self.shared.options.checkpoint_ops {
            let _ = self.checkpoint();
        }
    }

    #[allow(clippy::type_complexity)]
    fn run_jobs(
        &mut self,
        first: Box<dyn Work>,
        items: &mut VecDeque<Item>,
    ) -> Result<(Layer, Vec<Done>, u64, u64), (Vec<Box<dyn Work>>, Error)> {
        let shared = Arc::clone(&self.shared);
        let ready = self.mend().and_then(|()| shared.check_writable()).and_then(|()| self.stand());
        let ready = ready.and_then(|standing| Ok((standing, shared.index().view()?)));
        let (standing, base) = match ready {
            Ok(ready) => ready,
            Err(error) => return Err((vec![first], error)),
        };
        let (mut batch, mut done, mut modseq) = (Layer::default(), Vec::new(), self.last_modseq);
        let mut next = Some(first);
        let mut batch_bytes = (0, 0);
        while let Some(mut work) = next.take() {
            let mut job =
                Job::new(&shared, &base, &batch, &mut self.placement, modseq, self.journal.sequence());
            let row_max = self.journal.row_max();
            let outcome = contained("the change was not made", || {
                work.run(&mut job)?;
                job.conclude(row_max)
            });
            let bytes = job.layer.bytes();
            let outcome = outcome.and_then(|()| standing.check(batch_bytes, bytes, job.grows));
            let news = std::mem::take(&mut job.news);
            if outcome.is_ok() {
                modseq = job.modseq.unwrap_or(modseq);
                batch_bytes = (batch_bytes.0 + bytes.0, batch_bytes.1 + bytes.1);
                let layer = std::mem::take(&mut job.layer);
                drop(job);
                batch.absorb(layer);
            }
            done.push(Done { work, outcome, news });
            let room = batch_bytes.0 + batch_bytes.1 < BATCH_BYTES;
            if let Some(Item::Job(work)) = items.pop_front_if(|item| room && matches!(item, Item::Job(_))) {
                next = Some(work);
            }
        }
        Ok((batch, done, modseq, standing.allowance()))
    }

    /// Looks at the disk before a batch.
    fn stand(&mut self) -> Result<Standing, Error> {
        let mut standing = Standing::new(&self.shared, (self.dirty_index, self.dirty_bytes));
        if standing.needs_checkpoint() {
            self.checkpoint()?;
            standing = Standing::new(&self.shared, (0, 0));
        }
        let placement = &mut self.placement;
        (placement.is_tight, placement.may_grow) = (standing.is_tight(), standing.may_grow());
        if !placement.is_tight {
            locked(&self.shared.full).clear();
        }
        Ok(standing)
    }

    fn commit(&mut self, layer: Layer, allowance: u64) -> Result<(), Error> {
        let index_bytes = layer.bytes().0;
        let rows = layer.into_rows();
        let payload: usize = rows.iter().map(Row::bytes).sum();
        if self.journal.is_full_for(payload) {
            self.checkpoint()?;
        }
        if let Err(error) = self.journal.make_room(payload) {
            if fault(&error) == Fault::Full {
                let free = self.shared.disk.free(&self.shared.paths);
                return Err(Error::NoSpace { free, needed: payload as u64 });
            }
            return Err(self.failed("making room in the journal", &error.to_string()));
        }
        self.apply_to_volumes(&rows, allowance)?;
        let sequence = match self.journal.append(&rows) {
            Ok(sequence) => sequence,
            Err(error) => return Err(self.failed("writing the journal", &error.to_string())),
        };
        self.dirty_bytes += payload as u64;
        self.dirty_index += index_bytes as u64;
        self.apply_to_index(&rows, sequence)?;
        let counters = &self.shared.counters;
        counters.batches.fetch_add(1, Ordering::Relaxed);
        counters.sequence.store(sequence, Ordering::Relaxed);
        counters.dirty.store(self.dirty_bytes, Ordering::Relaxed);
        counters.journal_used.store(self.journal.used(), Ordering::Relaxed);
        counters.journal_segments.store(self.journal.segments() as u64, Ordering::Relaxed);
        Ok(())
    }

    /// Volumes come first: whoever sees the index's row finds the content. And before the journal: what a
    /// volume has no room for is refused, and nothing has happened. It is not durable in the volume before
    /// the next checkpoint, and nothing names it before the index does.
    fn apply_to_volumes(&mut self, rows: &[Row], allowance: u64) -> Result<(), Error> {
        let sequence = self.journal.sequence();
        let mut files: BTreeMap<FileNumber, Vec<&Row>> = BTreeMap::new();
        for row in rows.iter().filter(|row| row.file != 0) {
            files.entry(row.file).or_default().push(row);
        }
        let mut touched = Vec::new();
        for (file, rows) in files {
            touched.push(file);
            let mut applied = self.apply_to_volume(file, &rows, sequence, allowance);
            if let Err(error) = &applied
                && error.fault() == Some(Fault::Disk)
                && !error.is_unwritten()
            {
                // It may have passed; those of this batch that went into other volumes are not lost over it.
                tracing::warn!(volume = file, %error, "a volume cannot be read; it is opened again");
                applied = self
                    .reopen_patiently(file, self.applied)
                    .and_then(|()| self.apply_to_volume(file, &rows, sequence, allowance));
            }
            if let Err(error) = applied {
                return Err(self.take_back(file, &touched, &error));
            }
        }
        Ok(())
    }

    fn apply_to_volume(
        &mut self,
        file: FileNumber,
        rows: &[&Row],
        sequence: u64,
        allowance: u64,
    ) -> Result<(), Error> {
        let grows = rows.iter().any(|row| row.value.is_some());
        let rows = rows.iter().map(|row| row.change());
        let volume = self.shared.budget.volume(file)?;
        self.shared.budget.mark_dirty(file);
        if grows {
            volume.apply_within(rows, sequence, allowance)
        } else {
            volume.apply(rows, sequence, false)
        }
    }

    fn apply_to_index(&mut self, rows: &[Row], sequence: u64) -> Result<(), Error> {
        let own = rows.iter().filter(|row| row.file == 0).map(Row::change);
        if let Err(error) = self.shared.index().apply(own, sequence, false) {
            self.recover_index(&error, sequence)?;
        }
        self.applied = sequence;
        Ok(())
    }

    pub(in crate::store) fn failed(&self, what: &str, why: &str) -> Error {
        let why = format!("{what}: {why}");
        self.shared.fail(&why);
        Error::ReadOnly(why)
    }

    fn tell(&self, done: &[Done]) {
        let listeners: Vec<_> = locked(&self.shared.listeners).1.values().cloned().collect();
        for news in done.iter().filter(|job| job.outcome.is_ok()).flat_map(|job| &job.news) {
            for listener in &listeners {
                if catch_unwind(AssertUnwindSafe(|| listener(news))).is_err() {
                    tracing::error!("a listener of the store failed");
                }
            }
        }
    }
}
