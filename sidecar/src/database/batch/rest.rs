//! After a batch that takes long, questions are asked alone for a while. Then one of them tries whether they may go together again.

use std::time::Duration;

use tokio::time::Instant;

/// For this long after a batch that took long, each question is asked alone.
pub(super) const REST: Duration = Duration::from_secs(1);

/// The same if that happens again and again: each time, those that wait lose time.
pub(super) const LONGEST_REST: Duration = Duration::from_secs(60);

pub(super) struct Rest {
    until: Option<Instant>,
    /// How long the next one is.
    next: Duration,
    probe: Probe,
}

/// The first question after a rest.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Probe {
    Due,
    UnderWay,
    Answered,
}

impl Default for Rest {
    fn default() -> Self {
        Self {
            until: None,
            next: REST,
            probe: Probe::Answered,
        }
    }
}

impl Rest {
    /// Whether a question that arrives now may go together with others.
    pub(super) fn admits(&mut self) -> bool {
        match self.probe {
            Probe::Answered => true,
            Probe::Due if self.until.is_none_or(|until| until <= Instant::now()) => {
                self.probe = Probe::UnderWay;
                true
            }
            Probe::Due | Probe::UnderWay => false,
        }
    }

    /// A batch has ended in time: whether with answers.
    pub(super) fn probed(&mut self, is_answered: bool) {
        if self.probe == Probe::UnderWay {
            self.probe = match is_answered {
                true => Probe::Answered,
                false => Probe::Due,
            };
        }
    }

    /// Returns how long it is from now: twice as long as the last one, unless all was well for a while since. Two batches at the same
    /// time have one.
    pub(super) fn begin(&mut self) -> Duration {
        self.probe = Probe::Due;
        let now = Instant::now();
        if let Some(until) = self.until {
            if until > now {
                return until - now;
            }
            if now - until > LONGEST_REST {
                self.next = REST;
            }
        }
        let rest = self.next;
        self.until = Some(now + rest);
        self.next = (2 * rest).min(LONGEST_REST);
        rest
    }
}
