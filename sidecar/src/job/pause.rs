//! The pause after a call that the queue refused.

use std::time::{Duration, Instant};

const FIRST: Duration = Duration::from_millis(250);
const LONGEST: Duration = Duration::from_secs(5);

/// Grows with each refusal, until a call works.
#[derive(Default)]
pub(super) struct Pause {
    until: Option<Instant>,
    refusals: u32,
}

impl Pause {
    pub(super) fn begin(&mut self, now: Instant) {
        self.until = Some(now + length(self.refusals));
        self.refusals = self.refusals.saturating_add(1);
    }

    /// A call worked.
    pub(super) fn end(&mut self) {
        *self = Self::default();
    }

    /// When it is over, if there is one.
    pub(super) fn until(&self, now: Instant) -> Option<Instant> {
        self.until.filter(|until| *until > now)
    }

    /// How many calls were refused since the last that worked.
    pub(super) fn refusals(&self) -> u32 {
        self.refusals
    }
}

/// After so many refusals.
pub(super) fn length(refusals: u32) -> Duration {
    FIRST.saturating_mul(1 << refusals.min(8)).min(LONGEST)
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::{LONGEST, Pause};

    #[test]
    fn pauses_grow_up_to_a_limit_and_end() {
        let mut pause = Pause::default();
        let now = Instant::now();
        assert_eq!(pause.until(now), None);
        let mut last = Duration::ZERO;
        for refusals in 1..40 {
            pause.begin(now);
            assert_eq!(pause.refusals(), refusals);
            let length = pause.until(now).map_or(Duration::ZERO, |until| until - now);
            assert!(length > last || length == LONGEST, "{refusals} {length:?}");
            last = length;
        }
        assert_eq!(pause.until(now + LONGEST), None);
        pause.end();
        assert_eq!((pause.until(now), pause.refusals()), (None, 0));
    }
}
