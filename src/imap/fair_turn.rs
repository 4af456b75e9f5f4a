//! How long a session holds the thread that it runs on: a client that always has more to say, and takes every answer
//! at once, would never wait for anything, and two such would hold both threads that serve all.

use std::cell::Cell;
use std::future::Future;
use std::pin::Pin;
use std::time::{Duration, Instant};

use futures_lite::future;

/// So long a turn is, at least. What a usual client asks for takes less, and to give way costs it more than it would
/// give others.
const TURN: Duration = Duration::from_micros(250);

thread_local! {
    /// When the task that runs on this thread was given it.
    static BEGAN: Cell<Option<Instant>> = const { Cell::new(None) };
}

/// Runs a task of which [`give_way`] then knows how long it has the thread. It comes in a box: moved from one future into
/// another it would take its room twice.
pub fn in_turns<T>(mut task: Pin<Box<impl Future<Output = T>>>) -> impl Future<Output = T> {
    std::future::poll_fn(move |context| {
        BEGAN.set(Some(Instant::now()));
        let polled = task.as_mut().poll(context);
        BEGAN.set(None);
        polled
    })
}

/// Lets others have the thread if this task has had it for its turn. Outside [`in_turns`] always.
pub async fn give_way() {
    if BEGAN.get().is_none_or(|began| began.elapsed() >= TURN) {
        future::yield_now().await;
    }
}

#[cfg(test)]
mod tests {
    use std::task::{Context, Poll, Waker};

    use super::*;

    #[test]
    fn who_always_goes_on_gives_way_after_each_turn() {
        let mut rounds = 0_u32;
        let endless = in_turns(Box::pin(async {
            loop {
                rounds += 1;
                give_way().await;
            }
        }));
        let mut endless: Pin<Box<dyn Future<Output = ()>>> = Box::pin(endless);
        let mut context = Context::from_waker(Waker::noop());
        // Each of these ends.
        for _ in 0..3 {
            assert_eq!(endless.as_mut().poll(&mut context), Poll::Pending);
        }
        drop(endless);
        assert!(rounds >= 3, "{rounds}");
    }

    #[test]
    fn nobody_keeps_the_time_of_another() {
        let mut context = Context::from_waker(Waker::noop());
        let mut ended = Box::pin(in_turns(Box::pin(async {})));
        assert_eq!(ended.as_mut().poll(&mut context), Poll::Ready(()));
        // Outside of a turn others come at once.
        assert_eq!(Box::pin(give_way()).as_mut().poll(&mut context), Poll::Pending);
    }
}
