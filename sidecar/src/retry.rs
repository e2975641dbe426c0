//! Retries of what has to be done sooner or later.

use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBuilder};
use tokio::time::sleep;

use crate::error::{Error, complain};

const LONGEST: Duration = Duration::from_secs(5);

const PAUSES: ExponentialBuilder = ExponentialBuilder::new()
    .with_min_delay(Duration::from_millis(250))
    .with_max_delay(LONGEST)
    // Several processes that failed at the same time do not all try again at the same time.
    .with_jitter()
    .without_max_times();

/// Tries until it works, however long that takes, and logs why it does not work yet.
pub(crate) async fn until_it_works<T, F>(not_yet: &str, mut attempt: impl FnMut() -> F) -> T
where
    F: Future<Output = Result<T, Error>>,
{
    let mut pauses = PAUSES.build();
    loop {
        match attempt().await {
            Ok(done) => return done,
            Err(error) => complain!(error, "{not_yet}"),
        }
        sleep(pauses.next().unwrap_or(LONGEST)).await;
    }
}
