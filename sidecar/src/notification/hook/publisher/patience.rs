//! How long events in a shared queue wait for someone's transaction, while others wait behind them.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// Transactions of another sidecar take about as long as our own: so many times that is waited, between these limits.
const TIMES: u32 = 3;
const LEAST: Duration = Duration::from_millis(10);
const MOST: Duration = Duration::from_millis(100);

/// Once events have waited in vain, and for some time after that: whoever holds up one project often holds up others.
pub(super) const NO_LONGER: Duration = Duration::from_millis(1);
const SOME_TIME: Duration = Duration::from_secs(1);

pub(super) struct Patience(Mutex<Seen>);

struct Seen {
    /// How long our transactions take at the moment.
    took: Duration,
    /// When events waited in vain.
    waited: Option<Instant>,
}

impl Patience {
    pub(super) fn new() -> Self {
        Self(Mutex::new(Seen {
            took: MOST,
            waited: None,
        }))
    }

    pub(super) fn now(&self) -> Duration {
        let seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match seen.waited {
            Some(waited) if waited.elapsed() < SOME_TIME => NO_LONGER,
            _ => (seen.took * TIMES).clamp(LEAST, MOST),
        }
    }

    /// A transaction was as long as that.
    pub(super) fn succeeded(&self, took: Duration) {
        let mut seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        seen.took = took.max(seen.took * 7 / 8);
    }

    /// Events waited for that long in vain. Short waits are no reason for more of them, or they would never end.
    pub(super) fn failed(&self, patience: Duration) {
        if patience > NO_LONGER {
            let mut seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            seen.waited = Some(Instant::now());
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn it_follows_what_transactions_take() {
        let patience = Patience::new();
        assert_eq!(patience.now(), MOST);
        for _ in 0..100 {
            patience.succeeded(Duration::from_millis(8));
        }
        assert_eq!(patience.now(), Duration::from_millis(24));
        for (took, now) in [(20, 60), (1_000, 100)] {
            patience.succeeded(Duration::from_millis(took));
            assert_eq!(patience.now(), Duration::from_millis(now));
        }
        for _ in 0..100 {
            patience.succeeded(Duration::ZERO);
        }
        assert_eq!(patience.now(), LEAST);
    }

    #[tokio::test(start_paused = true)]
    async fn after_a_wait_in_vain_there_is_none_for_some_time() {
        let patience = Patience::new();
        patience.failed(patience.now());
        assert_eq!(patience.now(), NO_LONGER);
        advance(SOME_TIME / 2).await;
        patience.failed(patience.now());
        advance(SOME_TIME / 2).await;
        assert_eq!(patience.now(), MOST);
    }
}
