//! Slack's time, which a test can stop and move.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// A clock shared by its clones. It follows the system clock until it is frozen or moved.
///
/// Codes, tokens, triggers and rate limits use this clock, so that a test of an hour takes no time, and a test of a per-second
/// limit does not depend on the machine's speed.
#[derive(Clone, Debug, Default)]
pub struct Clock(Arc<Mutex<Reading>>);

#[derive(Debug, Default)]
struct Reading {
    ahead: Duration,
    frozen: Option<SystemTime>,
}

impl Clock {
    /// The current time.
    pub fn now(&self) -> SystemTime {
        self.with(|reading| reading.frozen.unwrap_or_else(SystemTime::now) + reading.ahead)
    }

    /// Seconds since 1970.
    pub fn epoch(&self) -> u64 {
        since_epoch(self.now()).as_secs()
    }

    /// Moves it forward.
    pub fn advance(&self, by: Duration) {
        self.with(|reading| reading.ahead += by);
    }

    /// Stops it; from now on only `advance` moves it.
    pub fn freeze(&self) {
        self.with(|reading| reading.frozen = Some(SystemTime::now()));
    }

    fn with<T>(&self, read: impl FnOnce(&mut Reading) -> T) -> T {
        read(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// How long after 1970 a moment is.
pub(crate) fn since_epoch(moment: SystemTime) -> Duration {
    moment.duration_since(UNIX_EPOCH).unwrap_or_default()
}
