//! When a session is too slow to be shared, and for how long none is shared then.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

/// Longer than any short read.
const PATIENCE: Duration = Duration::from_millis(250);

/// For this long after a failure, no session is shared.
pub(super) const REST: Duration = Duration::from_secs(1);

/// The same if it fails again and again: each failure costs those that wait an attempt.
const LONGEST_REST: Duration = Duration::from_secs(60);

/// When a session answered last. It answers in the order in which it was asked: what is behind others waits for them first.
pub(super) struct Progress(Mutex<Instant>);

impl Progress {
    pub(super) fn new() -> Self {
        Self(Mutex::new(Instant::now()))
    }

    /// Notes an answer to what was asked then; returns how long it took, without the wait for those before it.
    pub(super) fn answered(&self, begun: Instant) -> Duration {
        let mut last = self.last();
        let now = Instant::now();
        let took = now - begun.max(*last);
        *last = now;
        took
    }

    /// Returns once there was no answer for too long. Whoever waits began then.
    pub(super) async fn stalled(&self, begun: Instant) {
        loop {
            let until = begun.max(*self.last()) + PATIENCE;
            if until <= Instant::now() {
                return;
            }
            sleep_until(until).await;
        }
    }

    fn last(&self) -> MutexGuard<'_, Instant> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How long to rest after the next failure.
pub(super) struct Rests(Duration);

impl Default for Rests {
    fn default() -> Self {
        Self(REST)
    }
}

impl Rests {
    /// How long to rest after a session that was shared so long: twice as long as the last time, unless that one did well for a while.
    pub(super) fn after(&mut self, shared: Duration) -> Duration {
        let rest = match shared > LONGEST_REST {
            true => REST,
            false => self.0,
        };
        self.0 = (2 * rest).min(LONGEST_REST);
        rest
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::{Instant, advance, timeout};

    use super::{LONGEST_REST, PATIENCE, Progress, REST, Rests};

    #[tokio::test(start_paused = true)]
    async fn a_session_that_answers_is_not_stalled_however_many_wait() {
        let progress = Progress::new();
        let begun = Instant::now();
        let answering = async {
            for _ in 0..32 {
                advance(PATIENCE / 2).await;
                assert_eq!(progress.answered(begun), PATIENCE / 2);
            }
        };
        let has_stalled = tokio::select! {
            biased;
            () = progress.stalled(begun) => true,
            () = answering => false,
        };
        assert!(!has_stalled);
        let last = Instant::now();
        progress.stalled(begun).await;
        assert!(last.elapsed() >= PATIENCE);
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_asked_of_an_idle_session_has_all_of_its_time() {
        let progress = Progress::new();
        advance(10 * PATIENCE).await;
        let begun = Instant::now();
        let early = timeout(PATIENCE / 2, progress.stalled(begun)).await;
        assert!(early.is_err());
        assert_eq!(progress.answered(begun), PATIENCE / 2);
    }

    #[test]
    fn rests_grow_until_a_session_does_well() {
        let mut rests = Rests::default();
        let seconds = |rest: Duration| rest.as_secs();
        let grown: Vec<_> = (0..8).map(|_| seconds(rests.after(REST))).collect();
        assert_eq!(grown, [1, 2, 4, 8, 16, 32, 60, 60]);
        assert_eq!(rests.after(2 * LONGEST_REST), REST);
        assert_eq!(rests.after(REST), 2 * REST);
    }
}
