//! Records what the status page draws. Any number of processes may do so: each minute counts once.

use std::time::Duration;

use tokio::time::sleep;
use tracing::{debug, warn};

use crate::database::SlackDatabase;
use crate::error::Error;

const PERIOD: Duration = Duration::from_secs(60);

/// What is refused will be refused again, most likely. A day can be made up for.
const AFTER_FAILURE: Duration = Duration::from_secs(3_600);

/// An hour of messages is counted in less.
pub(super) const LONGEST: Duration = Duration::from_secs(300);

pub(super) async fn keep_recording(database: SlackDatabase) {
    loop {
        let pause = match database.record_history().await {
            Ok(()) => PERIOD,
            Err(error) if error.is_outage() && !matches!(error, Error::Silent) => {
                debug!(error = %error.report(), "no history is recorded now");
                PERIOD
            }
            Err(error) => {
                warn!(error = %error.report(), "no history is recorded");
                AFTER_FAILURE
            }
        };
        sleep(pause).await;
    }
}
