//! Counts the rows that differ if the last count is old, so that the count that everybody sees is at most about a day old.

use std::time::Duration;

use tokio::time::sleep;
use tracing::{debug, info, warn};

use crate::database::{Drift, SlackDatabase};
use crate::error::Error;

/// Whether it is time is asked this often.
const LOOK: Duration = Duration::from_secs(60);

/// What failed will fail again, most likely, and may have read whole tables.
const AFTER_FAILURE: Duration = Duration::from_secs(3_600);

/// Millions of rows are read in less.
pub(super) const LONGEST: Duration = Duration::from_secs(1_800);

/// `period` of all processes together: who counts first counts for all.
pub(super) async fn keep_counting(database: SlackDatabase, period: Duration) {
    let mut pause = LOOK;
    loop {
        sleep(pause).await;
        pause = match count_if_due(&database, period).await {
            Ok(()) => LOOK,
            Err(error) if error.is_lost_connection() && !matches!(error, Error::Silent) => {
                debug!(error = %error.report(), "rows that differ are not counted yet");
                LOOK
            }
            Err(error) => {
                warn!(error = %error.report(), "rows that differ cannot be counted");
                AFTER_FAILURE
            }
        };
    }
}

async fn count_if_due(database: &SlackDatabase, period: Duration) -> Result<(), Error> {
    if !is_due(&database.drift().await?, period) {
        return Ok(());
    }
    database.count_drift().await?;
    let counted = database.drift().await?;
    for it in counted.iter().filter(|it| it.rows > Some(0)) {
        warn!(
            what = it.what,
            rows = it.rows,
            more = it.is_more,
            "rows differ"
        );
    }
    info!(of = counted.len(), "counted rows that differ");
    Ok(())
}

/// What cannot be counted at all is not to have the rest counted again and again: the youngest count says when it was tried.
fn is_due(checks: &[Drift], period: Duration) -> bool {
    let youngest = checks.iter().filter_map(|it| it.age).min();
    !checks.is_empty() && youngest.is_none_or(|age| age >= period)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::is_due;
    use crate::database::Drift;

    const DAY: Duration = Duration::from_secs(86_400);

    #[test]
    fn rows_are_counted_when_nobody_has_for_long() {
        let counted = |age: Option<Duration>| Drift {
            what: "x".to_owned(),
            rows: age.map(|_| 0),
            is_more: false,
            age,
        };
        assert!(!is_due(&[], DAY));
        assert!(is_due(&[counted(None)], DAY));
        assert!(is_due(&[counted(Some(DAY)), counted(None)], DAY));
        assert!(!is_due(&[counted(Some(DAY / 2)), counted(None)], DAY));
    }
}
