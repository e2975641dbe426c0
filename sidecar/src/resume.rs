//! Resumes backfills that have lost their workers, as after a restart of the server or a failover: PostgreSQL starts background
//! workers again only after a crash that its postmaster survives. Any number of processes may do this at the same time.

use std::convert::Infallible;
use std::time::{Duration, Instant};

use tokio::time::sleep;
use tracing::{info, warn};

use crate::database::LostBackfills;

/// A run stands still at most this long, and the time that it takes to reach the database.
const LOOK: Duration = Duration::from_secs(5);

/// A failure that is no outage is logged this often: the function may not be called, or the server has no room for workers.
const LOG_EVERY: Duration = Duration::from_secs(300);

pub(crate) async fn keep_resuming(lost: LostBackfills) -> Infallible {
    let mut logged: Option<Instant> = None;
    loop {
        match lost.resume().await {
            Ok(runs) if runs.is_empty() => {}
            Ok(runs) => info!(?runs, "resumed backfills that had lost their workers"),
            Err(error) if error.is_outage() => {}
            Err(error) if logged.is_none_or(|logged| logged.elapsed() >= LOG_EVERY) => {
                warn!(error = %error.report(), "backfills that lose their workers are not resumed now");
                logged = Some(Instant::now());
            }
            Err(_) => {}
        }
        sleep(LOOK).await;
    }
}
