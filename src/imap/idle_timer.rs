//! A timer that is set anew for each command and hardly ever rings.

use std::time::Instant;

use smol::Timer;

/// A timer whose deadline moves with each command. To set one anew wakes the reactor, which for a small
/// command costs more than the command; so it is left as it is, and set again when it rings too early.
#[derive(Debug)]
pub struct IdleTimer {
    timer: Timer,
    armed: Option<Instant>,
}

impl Default for IdleTimer {
    fn default() -> Self {
        IdleTimer { timer: Timer::never(), armed: None }
    }
}

impl IdleTimer {
    /// Ends at the deadline. Given up and called again by the same task, it costs nothing.
    pub async fn until(&mut self, deadline: Instant) {
        if self.armed.is_none_or(|armed| armed > deadline) {
            self.arm(deadline);
        }
        loop {
            (&mut self.timer).await;
            self.armed = None;
            if Instant::now() >= deadline {
                return;
            }
            self.arm(deadline);
        }
    }

    fn arm(&mut self, at: Instant) {
        self.timer.set_at(at);
        self.armed = Some(at);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use futures_lite::future;

    use super::*;

    #[test]
    fn it_ends_at_the_last_deadline_whatever_came_before() {
        smol::block_on(async {
            let mut timer = IdleTimer::default();
            let begun = Instant::now();
            let after = |millis: u64| begun + Duration::from_millis(millis);
            assert!(future::poll_once(timer.until(after(30))).await.is_none());
            assert!(future::poll_once(timer.until(after(90))).await.is_none());
            timer.until(after(60)).await;
            assert!(begun.elapsed() >= Duration::from_millis(60));
            // Set nearer than it was.
            assert!(future::poll_once(timer.until(after(600_000))).await.is_none());
            timer.until(after(80)).await;
            assert!(
                begun.elapsed() >= Duration::from_millis(80) && begun.elapsed() < Duration::from_secs(60)
            );
            // One that is over rings at once.
            timer.until(begun).await;
        });
    }
}
