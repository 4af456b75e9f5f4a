//! What takes long: done in steps, each over a snapshot of its own and in its turn among those of all sessions. What a
//! step has written is sent before the next is begun, so that an answer of any length waits for its reader; and what
//! nobody waits for any more ends.

use std::time::Instant;

use crate::imap::connection::{CHUNK, Connection};
use crate::imap::fair_queue::Step;
use crate::imap::pool::Pool;
use crate::imap::refusal::Stop;
use crate::store::{Error, Snapshot, Store, contained};

/// Something that can be left after any step and gone on with.
pub trait Job: Send + 'static {
    /// Goes on until a moment, or until about [`CHUNK`] is written. Whether there is more.
    ///
    /// # Errors
    /// Those of the store. It is not gone on with then.
    fn step(&mut self, snapshot: &Snapshot, until: Instant, out: &mut Vec<u8>) -> Result<bool, Error>;

    /// After an error: what a step has written since `begun` is not sent, for nobody knows whether it is whole.
    fn failed(&mut self, begun: usize, out: &mut Vec<u8>) {
        out.truncate(begun);
    }
}

/// Does a job to its end, and gives it back however it ended.
///
/// The outcome is an error if a step failed or the client is gone. What was written before that is whole responses,
/// unless [`Job::failed`] says otherwise.
pub async fn run<J: Job>(
    pool: &Pool,
    io: &mut Connection,
    mut step: Step,
    mut job: J,
) -> (J, Result<(), Stop>) {
    loop {
        let out = std::mem::take(io.out());
        let work = move |store: &Store, until: Instant| {
            let (mut job, mut out) = (job, out);
            let begun = out.len();
            let more = contained("a command could not be gone on with", || {
                job.step(&store.snapshot()?, until, &mut out)
            });
            if more.is_err() {
                job.failed(begun, &mut out);
            }
            (job, out, more)
        };
        let (back, out, more) = pool.step(step, work).await;
        (job, step) = (back, Step::Further);
        *io.out() = out;
        match more {
            Ok(true) => {}
            Ok(false) => return (job, Ok(())),
            Err(error) => return (job, Err(error.into())),
        }
        // Where much is read and little written, no write tells that the client has gone.
        let little = io.out().len() < CHUNK;
        if let Err(error) = io.flush_if_large().await {
            return (job, Err(error.into()));
        }
        if little && io.has_hung_up() {
            return (job, Err(Stop::hangup("gone while it was waited for")));
        }
    }
}
