//! Retries of what has to be done sooner or later.

use std::time::Duration;

use backon::{ExponentialBuilder, Retryable};

use crate::error::{Error, complain};

const PAUSES: ExponentialBuilder = ExponentialBuilder::new()
    .with_min_delay(Duration::from_millis(250))
    .with_max_delay(Duration::from_secs(5))
    .without_max_times();

/// Tries until it works, however long that takes, and logs why it does not work yet.
pub(crate) async fn until_it_works<T, F>(not_yet: &str, mut attempt: impl FnMut() -> F) -> T
where
    F: Future<Output = Result<T, Error>>,
{
    loop {
        let trying = (&mut attempt).retry(PAUSES);
        let trying = trying.notify(|error, _| complain!(error, "{not_yet}"));
        if let Ok(done) = trying.await {
            return done;
        }
    }
}
