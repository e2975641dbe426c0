//! How many jobs finish in a tenth of a second: this many are claimed in advance. If jobs take long that is none, and waiting
//! jobs remain available to any runner; if they are short, one claim serves many.

use std::time::{Duration, Instant};

const WINDOW: Duration = Duration::from_millis(100);
const MOST: usize = 500;

pub(super) struct Rate {
    since: Instant,
    count: usize,
    last: usize,
}

impl Rate {
    pub(super) fn new() -> Self {
        Self {
            since: Instant::now(),
            count: 0,
            last: 0,
        }
    }

    pub(super) fn count(&mut self) {
        self.count += 1;
    }

    pub(super) fn per_window(&mut self, now: Instant) -> usize {
        let elapsed = now - self.since;
        if elapsed >= WINDOW {
            let share = WINDOW.as_secs_f64() / elapsed.as_secs_f64();
            self.last = (self.count as f64 * share) as usize;
            self.count = 0;
            self.since = now;
        }
        self.last.min(MOST)
    }
}

#[cfg(test)]
mod tests {
    use super::{MOST, Rate, WINDOW};

    #[test]
    fn short_jobs_are_claimed_ahead_and_long_ones_are_not() {
        let mut rate = Rate::new();
        let start = rate.since;
        assert_eq!(rate.per_window(start), 0);
        for _ in 0..200 {
            rate.count();
        }
        // Nothing is known before the first window has passed.
        assert_eq!(rate.per_window(start + WINDOW / 2), 0);
        assert_eq!(rate.per_window(start + WINDOW * 2), 100);
        rate.count();
        assert_eq!(rate.per_window(start + WINDOW * 12), 0);
        for _ in 0..10_000 {
            rate.count();
        }
        assert_eq!(rate.per_window(start + WINDOW * 13), MOST);
    }
}
