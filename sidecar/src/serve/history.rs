//! Records what the status page draws. Any number of processes may do so: each minute counts once.

use std::time::Duration;

use tokio::time::sleep;
use tracing::{debug, warn};

use crate::database::SlackDatabase;

const PERIOD: Duration = Duration::from_secs(60);

pub(super) async fn keep_recording(database: SlackDatabase) {
    loop {
        match database.record_history().await {
            Ok(()) => {}
            // Told once for all calls.
            Err(error) if error.is_lost_connection() => {
                debug!(error = %error.report(), "no history is recorded now");
            }
            Err(error) => warn!(error = %error.report(), "no history is recorded"),
        }
        sleep(PERIOD).await;
    }
}
