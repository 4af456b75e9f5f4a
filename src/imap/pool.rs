//! Store calls on the blocking pool, in bounded numbers: the pool itself would grow to hundreds of threads.

use std::time::{Duration, Instant};

use async_lock::Semaphore;

use crate::imap::fair_queue::{FairQueue, Step};
use crate::store::{Error, Snapshot, Store, Transaction, contained};

/// Reads at a time: each is a step that ends soon, so few threads serve many sessions.
const READS: usize = 4;
/// So long a step of a long read takes, and then others have their turn.
pub const STEP: Duration = Duration::from_millis(5);
/// Writes that wait at a time. They only wait, and all that wait share one sync.
const WRITES: usize = 32;
/// Pieces of large messages at a time: each is compressed and waits for the writer.
const BULK: usize = 2;
/// Password hashes at a time: one takes 19 MiB of argon2's memory.
const HASHES: usize = 1;

/// The gate to the store for all sessions.
#[derive(Debug)]
pub struct Pool {
    store: Store,
    reads: FairQueue,
    writes: Semaphore,
    bulk: Semaphore,
    hashes: Semaphore,
    strangers: Semaphore,
}

impl Pool {
    /// A pool over this store.
    #[must_use]
    pub fn new(store: Store) -> Self {
        Pool {
            store,
            reads: FairQueue::new(READS),
            writes: Semaphore::new(WRITES),
            bulk: Semaphore::new(BULK),
            hashes: Semaphore::new(HASHES),
            strangers: Semaphore::new(HASHES),
        }
    }

    /// The store itself, for what does not block.
    #[must_use]
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// Runs `read` over a snapshot that lives no longer than the call.
    ///
    /// # Errors
    /// Those of the store and of `read`.
    pub async fn read<T, E>(
        &self,
        read: impl FnOnce(&Snapshot) -> Result<T, E> + Send + 'static,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<Error> + Send + 'static,
    {
        self.read_as(Step::First, read).await
    }

    /// As [`Pool::read`], for one of several reads that answer a command.
    ///
    /// # Errors
    /// As [`Pool::read`].
    pub async fn read_as<T, E>(
        &self,
        step: Step,
        read: impl FnOnce(&Snapshot) -> Result<T, E> + Send + 'static,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<Error> + Send + 'static,
    {
        let _place = self.reads.enter(step).await;
        let store = self.store.clone();
        smol::unblock(move || {
            contained("this could not be read", || {
                let snapshot = store.snapshot()?;
                read(&snapshot)
            })
        })
        .await
    }

    /// Runs one step of something long, which takes its snapshot itself, gives everything back that it was given,
    /// whatever happens, and ends soon after the moment that it is told.
    pub async fn step<T: Send + 'static>(
        &self,
        step: Step,
        work: impl FnOnce(&Store, Instant) -> T + Send + 'static,
    ) -> T {
        let _place = self.reads.enter(step).await;
        let store = self.store.clone();
        smol::unblock(move || work(&store, Instant::now() + STEP)).await
    }

    /// Runs `job` on the writer; back when it is durable.
    ///
    /// # Errors
    /// Those of the store and of `job`.
    pub async fn write<T: Send + 'static>(
        &self,
        job: impl FnOnce(&mut dyn Transaction) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        let _permit = self.writes.acquire().await;
        let (sender, answer) = async_channel::bounded(1);
        // The writer wakes the session itself: a thread that waited between them would cost two more
        // switches. A session that is gone wants no answer.
        self.store.begin_then(job, move |outcome| drop(sender.try_send(outcome)))?;
        answer.recv().await.unwrap_or(Err(Error::Closed))
    }

    /// Runs something that takes a write's place, such as the end of an incoming message.
    ///
    /// # Errors
    /// Those of `work`.
    pub async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        let _permit = self.writes.acquire().await;
        smol::unblock(move || contained("this could not be done", work)).await
    }

    /// As [`Pool::blocking`], for a piece of something large.
    ///
    /// # Errors
    /// Those of `work`.
    pub async fn bulk<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        let _permit = self.bulk.acquire().await;
        self.blocking(work).await
    }

    /// Runs a password hash: of strangers one waits at a time, so that those who are known come next however many there
    /// are.
    pub async fn hash<T: Send + 'static>(
        &self,
        is_known: bool,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> T {
        let _first = if is_known { None } else { Some(self.strangers.acquire().await) };
        let _permit = self.hashes.acquire().await;
        smol::unblock(work).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Options;

    #[test]
    fn a_panic_is_an_internal_error_and_costs_nobody_else_anything() {
        let folder = tempfile::tempdir().unwrap();
        let pool = Pool::new(Store::open(Options::new(folder.path())).unwrap());
        let is_internal = |outcome: Result<(), Error>| matches!(outcome, Err(Error::Internal(_)));
        smol::block_on(async {
            for _ in 0..=READS {
                let read = pool.read(|_| -> Result<(), Error> { panic!("a bug in a reader") }).await;
                assert!(is_internal(read));
            }
            for _ in 0..=WRITES {
                let done = pool.blocking(|| -> Result<(), Error> { panic!("a bug in the digester") }).await;
                assert!(is_internal(done));
            }
            let written = pool.write(|_| -> Result<(), Error> { panic!("a bug in a job") }).await;
            assert!(is_internal(written));
            assert!(pool.read(|_| Ok::<_, Error>(())).await.is_ok());
            assert!(pool.write(|_| Ok(())).await.is_ok());
        });
    }
}
