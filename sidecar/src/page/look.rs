//! The last known state: however many people view the page, one request queries the database.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::Mutex as AsyncMutex;
use tokio::time::Instant;

use super::report::{DriftReport, Report};

#[derive(Default)]
pub(super) struct Looks {
    pub(super) report: Last<Report>,
    pub(super) drift: LastDrift,
}

/// How old a shown report may be. The page itself asks less often.
const FRESH: Duration = Duration::from_secs(2);

/// A slow report is requested less often, by this factor: the database has other work.
const REST: u32 = 10;
/// But at least this often, or the page would not be live.
const LONGEST: Duration = Duration::from_secs(15);

/// The last result, or that there was none, and until when it is shown.
pub(super) struct Last<T>(AsyncMutex<Option<(Instant, Option<Arc<T>>)>>);

impl<T> Default for Last<T> {
    fn default() -> Self {
        Self(AsyncMutex::new(None))
    }
}

impl<T> Last<T> {
    /// Queries if the last result is too old. Concurrent callers wait for the same result.
    pub(super) async fn get(&self, ask: impl AsyncFnOnce() -> Option<T>) -> Option<Arc<T>> {
        let mut last = self.0.lock().await;
        if let Some((until, answer)) = &*last
            && *until > Instant::now()
        {
            return answer.clone();
        }
        let begun = Instant::now();
        let answer = ask().await.map(Arc::new);
        // Without a result there is no reason to wait: the next one may come at once.
        let fresh = match &answer {
            Some(_) => (begun.elapsed() * REST).clamp(FRESH, LONGEST),
            None => FRESH,
        };
        *last = Some((Instant::now() + fresh, answer.clone()));
        answer
    }
}

/// What is known about drift.
#[derive(Clone, Debug, Default)]
pub(super) struct Drift {
    pub(super) found: Option<DriftReport>,
    /// The last time it could not be checked.
    pub(super) has_failed: bool,
}

#[derive(Default)]
pub(super) struct LastDrift(Mutex<(Option<Instant>, Drift)>);

impl LastDrift {
    /// Whether the last check is this long ago. The caller that gets true has to check.
    pub(super) fn is_due(&self, period: Duration) -> bool {
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let is_due = last.0.is_none_or(|at| at.elapsed() >= period);
        if is_due {
            last.0 = Some(Instant::now());
        }
        is_due
    }

    /// None if it could not be checked.
    pub(super) fn set(&self, found: Option<DriftReport>) {
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        last.1.has_failed = found.is_none();
        if found.is_some() {
            last.1.found = found;
        }
    }

    pub(super) fn get(&self) -> Drift {
        let last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        last.1.clone()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};
    use std::time::Duration;

    use tokio::task::yield_now;
    use tokio::time::{advance, sleep};

    use super::{FRESH, LONGEST, Last, LastDrift};
    use crate::page::report::DriftReport;

    #[tokio::test]
    async fn many_who_look_ask_once() {
        let last = Last::default();
        let asked = AtomicU32::new(0);
        let ask = async || {
            asked.fetch_add(1, Ordering::Relaxed);
            // The other one is checking in the meantime.
            yield_now().await;
            Some(7)
        };
        let (one, other) = tokio::join!(last.get(ask), last.get(ask));
        assert_eq!((one.as_deref(), other.as_deref()), (Some(&7), Some(&7)));
        assert_eq!(asked.load(Ordering::Relaxed), 1);
    }

    /// A database that does not respond is not queried again by each viewer, but soon, however long it took to say nothing.
    #[tokio::test(start_paused = true)]
    async fn no_answer_is_one_as_well() {
        let last: Last<u32> = Last::default();
        let slow = async || {
            sleep(Duration::from_secs(5)).await;
            None
        };
        assert_eq!(last.get(slow).await, None);
        assert_eq!(last.get(async || Some(7)).await, None);
        advance(FRESH).await;
        assert_eq!(last.get(async || Some(7)).await.as_deref(), Some(&7));
    }

    /// A slow one is queried less often, but it is queried.
    #[tokio::test(start_paused = true)]
    async fn slow_answers_are_asked_for_less_often() {
        let last: Last<u32> = Last::default();
        let slow = async || {
            sleep(Duration::from_secs(5)).await;
            Some(7)
        };
        assert_eq!(last.get(slow).await.as_deref(), Some(&7));
        advance(FRESH).await;
        assert_eq!(last.get(async || Some(8)).await.as_deref(), Some(&7));
        advance(LONGEST).await;
        assert_eq!(last.get(async || Some(8)).await.as_deref(), Some(&8));
    }

    #[test]
    fn drift_that_was_found_outlives_a_failure() {
        let last = LastDrift::default();
        let hour = Duration::from_secs(3600);
        assert!(last.is_due(hour) && !last.is_due(hour) && last.is_due(Duration::ZERO));
        assert!(last.get().found.is_none() && !last.get().has_failed);
        last.set(None);
        assert!(last.get().found.is_none() && last.get().has_failed);
        last.set(Some(DriftReport::default()));
        assert!(last.get().found.is_some() && !last.get().has_failed);
        last.set(None);
        assert!(last.get().found.is_some() && last.get().has_failed);
    }
}
