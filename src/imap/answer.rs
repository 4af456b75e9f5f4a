//! Answers of any length: written in steps, each over a snapshot of its own, and each sent before the next is begun.

use std::time::Instant;

use crate::imap::connection::{CHUNK, Connection};
use crate::imap::fair_queue::Step;
use crate::imap::pool::Pool;
use crate::imap::refusal::Refusal;
use crate::store::{Error, Snapshot, Store, contained};

/// An answer that can be left after any of its responses and gone on with.
pub trait Answer: Send + 'static {
    /// Writes whole responses, about [`CHUNK`], or what can be written until a moment. Whether there is more.
    ///
    /// # Errors
    /// Of reading.
    fn step(&mut self, snapshot: &Snapshot, until: Instant, out: &mut Vec<u8>) -> Result<bool, Error>;
}

/// Writes an answer to its end, and waits for its reader.
///
/// # Errors
/// Those of the store and of the socket. Then the last response that was written is whole all the same.
pub async fn write<A: Answer>(pool: &Pool, io: &mut Connection, mut answer: A) -> Result<A, Refusal> {
    let mut step = Step::First;
    loop {
        let out = std::mem::take(io.out());
        let work = move |store: &Store, until: Instant| {
            let (mut answer, mut out) = (answer, out);
            let begun = out.len();
            let more = contained("an answer could not be written", || {
                answer.step(&store.snapshot()?, until, &mut out)
            });
            if more.is_err() {
                out.truncate(begun);
            }
            (answer, out, more)
        };
        let (back, out, more) = pool.step(step, work).await;
        (answer, step) = (back, Step::Further);
        *io.out() = out;
        if !more? {
            return Ok(answer);
        }
        // Where much is read and little written, no write tells that the client has gone.
        let little = io.out().len() < CHUNK;
        io.flush_if_large().await?;
        if little && io.has_hung_up() {
            return Err(Refusal::hangup("gone during an answer"));
        }
    }
}
