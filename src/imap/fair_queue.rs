//! Who reads next: a few places for all sessions, first come, first served.
//!
//! Whatever takes long is done in steps, each of which queues anew, so that a session that asks for much waits as
//! often as the others. One place is kept for first steps: what is short never waits behind what is long.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use crate::model::locked;

/// Places that further steps never take.
const KEPT: usize = 1;

/// Which step of a job it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Its first, and often its only one.
    First,
    /// One of those that follow.
    Further,
}

/// The queue.
#[derive(Debug)]
pub struct FairQueue(Arc<Mutex<Line>>);

#[derive(Debug)]
struct Line {
    /// Places in all.
    places: usize,
    /// Those that are taken, and how many of them by further steps.
    taken: usize,
    further: usize,
    waiting: VecDeque<(Step, async_channel::Sender<Place>)>,
}

/// A place, until it is dropped.
#[derive(Debug)]
pub struct Place {
    line: Arc<Mutex<Line>>,
    step: Step,
}

impl FairQueue {
    /// With so many places.
    #[must_use]
    pub fn new(places: usize) -> Self {
        FairQueue(Arc::new(Mutex::new(Line { places, taken: 0, further: 0, waiting: VecDeque::new() })))
    }

    /// Waits for a place. Whoever stops waiting leaves the queue.
    pub async fn enter(&self, step: Step) -> Place {
        let turn = {
            let mut line = locked(&self.0);
            // Nobody waits whom this place would suit: else those would come first.
            if line.suits(step) && !line.waiting.iter().any(|(other, _)| line.suits(*other)) {
                line.take(step);
                return Place { line: Arc::clone(&self.0), step };
            }
            let (sender, turn) = async_channel::bounded(1);
            line.waiting.push_back((step, sender));
            turn
        };
        match turn.recv().await {
            Ok(place) => place,
            // Only a sender that is dropped unused ends in this, and none is.
            Err(_) => std::future::pending().await,
        }
    }
}

impl Line {
    fn suits(&self, step: Step) -> bool {
        self.taken < self.places && (step == Step::First || self.further + KEPT < self.places)
    }

    fn take(&mut self, step: Step) {
        self.taken += 1;
        self.further += usize::from(step == Step::Further);
    }

    /// Gives what is free to those who have waited longest.
    fn next(&mut self) -> Option<(Step, async_channel::Sender<Place>)> {
        let at = self.waiting.iter().position(|(step, _)| self.suits(*step))?;
        let (step, sender) = self.waiting.remove(at)?;
        self.take(step);
        Some((step, sender))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        {
            let mut line = locked(&self.line);
            line.taken -= 1;
            line.further -= usize::from(self.step == Step::Further);
        }
        loop {
            let Some((step, sender)) = locked(&self.line).next() else { return };
            // Whoever waits no more drops the place at once, or when the channel goes, and so gives it on.
            let _ = sender.try_send(Place { line: Arc::clone(&self.line), step });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_lite::future::poll_once;
    use std::pin::pin;

    #[test]
    fn first_come_first_served_and_one_place_kept() {
        smol::block_on(async {
            let queue = FairQueue::new(3);
            let first = queue.enter(Step::Further).await;
            let _second = queue.enter(Step::Further).await;
            let mut third = pin!(queue.enter(Step::Further));
            assert!(poll_once(&mut third).await.is_none(), "the last place is kept");
            let short = queue.enter(Step::First).await;
            let mut waits = pin!(queue.enter(Step::First));
            assert!(poll_once(&mut waits).await.is_none(), "all are taken");
            let mut last = pin!(queue.enter(Step::Further));
            assert!(poll_once(&mut last).await.is_none());
            drop(short);
            let _short = poll_once(&mut waits).await.expect("the kept place is for first steps");
            drop(first);
            let third = poll_once(&mut third).await.expect("who came first");
            assert!(poll_once(&mut last).await.is_none());
            drop(third);
            assert!(poll_once(&mut last).await.is_some());
        });
    }

    #[test]
    fn who_waits_no_more_takes_no_place() {
        smol::block_on(async {
            let queue = FairQueue::new(2);
            let held = queue.enter(Step::Further).await;
            {
                let mut gone = pin!(queue.enter(Step::Further));
                assert!(poll_once(&mut gone).await.is_none());
            }
            {
                // It has its place and never hears of it.
                let mut gone = pin!(queue.enter(Step::Further));
                assert!(poll_once(&mut gone).await.is_none());
                drop(held);
            }
            let _held = poll_once(pin!(queue.enter(Step::Further))).await.expect("the place is free");
            assert_eq!(locked(&queue.0).taken, 1);
            assert!(locked(&queue.0).waiting.is_empty());
        });
    }
}
