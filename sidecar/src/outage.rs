//! An outage of a peer is logged at its start, once a minute, and at its end: not for each call that fails, of which there
//! may be thousands.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use tracing::{info, warn};

const PERIOD: Duration = Duration::from_secs(60);

#[derive(Debug, Default)]
pub(crate) struct Outage {
    /// Whether there is one, so that those who get their answer need no lock.
    is_on: AtomicBool,
    since: Mutex<Option<Since>>,
}

#[derive(Clone, Copy, Debug)]
struct Since {
    begun: Instant,
    told: Instant,
    /// Whoever asked before has got an old answer.
    last: Instant,
    failures: u64,
}

/// What is to be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum News {
    Begun,
    GoesOn { failures: u64, seconds: u64 },
    Nothing,
}

impl Outage {
    /// A call got no answer.
    pub(crate) fn failed(&self, peer: &str, error: &str) {
        let now = Instant::now();
        match self.note(now) {
            News::Begun => warn!(
                peer,
                error, "no answer; failures are logged once a minute until it is back"
            ),
            News::GoesOn { failures, seconds } => {
                warn!(peer, error, failures, seconds, "still no answer");
            }
            News::Nothing => {}
        }
    }

    /// A call that began then got its answer.
    pub(crate) fn answered(&self, peer: impl FnOnce() -> String, begun: Instant) {
        if !self.is_on.load(Ordering::Relaxed) {
            return;
        }
        if let Some(since) = self.end(begun) {
            let seconds = since.begun.elapsed().as_secs();
            info!(
                peer = peer(),
                failures = since.failures,
                seconds,
                "answers again"
            );
        }
    }

    fn note(&self, now: Instant) -> News {
        let mut since = self.since.lock().unwrap_or_else(PoisonError::into_inner);
        self.is_on.store(true, Ordering::Relaxed);
        let Some(since) = since.as_mut() else {
            *since = Some(Since {
                begun: now,
                told: now,
                last: now,
                failures: 1,
            });
            return News::Begun;
        };
        since.failures += 1;
        since.last = now;
        if now.saturating_duration_since(since.told) < PERIOD {
            return News::Nothing;
        }
        since.told = now;
        News::GoesOn {
            failures: since.failures,
            seconds: now.saturating_duration_since(since.begun).as_secs(),
        }
    }

    fn end(&self, begun: Instant) -> Option<Since> {
        let mut since = self.since.lock().unwrap_or_else(PoisonError::into_inner);
        let ended = since.take_if(|since| begun >= since.last);
        if ended.is_some() {
            self.is_on.store(false, Ordering::Relaxed);
        }
        ended
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::{News, Outage, PERIOD};

    #[test]
    fn an_outage_is_told_of_at_its_start_once_a_minute_and_at_its_end() {
        let outage = Outage::default();
        let start = Instant::now();
        let at = |seconds: u64| start + Duration::from_secs(seconds);
        assert!(outage.end(at(0)).is_none());
        assert_eq!(outage.note(at(0)), News::Begun);
        for second in 1..60 {
            assert_eq!(outage.note(at(second)), News::Nothing);
        }
        assert_eq!(
            outage.note(start + PERIOD),
            News::GoesOn {
                failures: 61,
                seconds: 60
            }
        );
        assert_eq!(outage.note(at(61)), News::Nothing);
        // An answer to what was asked before the last failure says nothing of now.
        assert!(outage.end(at(60)).is_none());
        assert_eq!(outage.end(at(62)).map(|it| it.failures), Some(62));
        assert!(outage.end(at(63)).is_none());
        assert_eq!(outage.note(at(64)), News::Begun);
    }
}
