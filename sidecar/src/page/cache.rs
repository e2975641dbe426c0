//! The last known state: however many people view the page, one request queries the database.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::history::History;
use super::report::Report;
use crate::database::Workspace;
use crate::http::Cached;

/// How old a report may be that is shown. The page asks less often.
const FRESH: Duration = Duration::from_secs(2);

/// What was recorded changes once a minute.
const HISTORY_FRESH: Duration = Duration::from_secs(30);

/// One that takes long is asked for no less often than that, or it would be no live page.
const LONGEST: Duration = Duration::from_secs(15);

pub(super) struct Cache {
    pub(super) report: Cached<Report>,
    pub(super) history: Cached<History>,
    pub(super) workspaces: Cached<Vec<Workspace>>,
    pub(super) drift: Counting,
}

impl Default for Cache {
    fn default() -> Self {
        Self {
            report: Cached::new(FRESH, LONGEST),
            history: Cached::new(HISTORY_FRESH, 10 * HISTORY_FRESH),
            workspaces: Cached::new(FRESH, LONGEST),
            drift: Counting::default(),
        }
    }
}

/// Counting drifted rows reads whole tables, so it is done by one request at a time, and seldom.
#[derive(Default)]
pub(super) struct Counting(Mutex<(Option<Instant>, bool)>);

impl Counting {
    /// Whether the last attempt of this process is this long ago. The caller that gets true has to count.
    pub(super) fn is_due(&self, period: Duration) -> bool {
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let is_due = last.0.is_none_or(|at| at.elapsed() >= period);
        if is_due {
            last.0 = Some(Instant::now());
        }
        is_due
    }

    pub(super) fn set_failed(&self, has_failed: bool) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).1 = has_failed;
    }

    /// Whether the last try found nothing out.
    pub(super) fn has_failed(&self) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).1
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::Counting;

    #[test]
    fn one_of_those_who_look_counts() {
        let counting = Counting::default();
        let hour = Duration::from_secs(3600);
        assert!(counting.is_due(hour) && !counting.is_due(hour));
        assert!(counting.is_due(Duration::ZERO));
        assert!(!counting.has_failed());
        counting.set_failed(true);
        assert!(counting.has_failed());
    }
}
