//! Publishes the spool as soon as the database accepts it, in the order of arrival for each place. A webhook that has to wait, or is
//! refused, holds up no other place.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;
use tracing::{debug, error, warn};

use super::publisher::Unpublished;
use super::state::App;
use super::take::is_within_reach;
use crate::http::{Counter, count};
use crate::spool::{Entry, Spool};

/// In one round.
const MOST: usize = 64;
const MOST_BYTES: usize = 8 << 20;

/// Longer than the database waits for a lock.
const PATIENCE: Duration = Duration::from_secs(3);

/// Between tries while the database is away.
const PAUSE: Duration = Duration::from_millis(500);

/// A place that has to wait is tried again after this time.
const HELD: Duration = Duration::from_secs(10);

/// Runs until it is stopped; the rest stays on disk.
pub(crate) async fn replay(app: Arc<App>, stop: CancellationToken) {
    let Some(spool) = app.spool.clone() else {
        return stop.cancelled().await;
    };
    let mut held = HashMap::new();
    let replaying = async {
        loop {
            spool.wait().await;
            if !round(&app, &spool, &mut held).await {
                sleep(PAUSE).await;
            }
        }
    };
    stop.run_until_cancelled(replaying).await;
}

/// Returns false if there is nothing to do right now.
async fn round(app: &App, spool: &Spool, held: &mut HashMap<u64, Instant>) -> bool {
    spool.try_disk().await;
    let was_away = spool.is_away();
    if was_away && !is_there(app).await {
        return false;
    }
    let now = Instant::now();
    held.retain(|_, until| *until > now);
    let waiting: HashSet<u64> = held.keys().copied().collect();
    let batch = spool.oldest(MOST, MOST_BYTES, &waiting).await;
    if batch.is_empty() {
        if was_away {
            spool.found_away(false);
        }
        return false;
    }
    let until = now + PATIENCE;
    let mut done = Vec::new();
    let mut submitted = Vec::new();
    for (number, entry) in batch {
        match is_within_reach(app, &entry, until).await {
            Ok(true) => {
                let its = app.publisher.submit(Arc::clone(&entry), until, true);
                submitted.push((number, entry, its));
            }
            Ok(false) => {
                warn!(
                    number,
                    request = entry.request,
                    project = entry.project,
                    "a webhook of the spool is dropped: its secret does not cover the project"
                );
                count(Counter::REPLAYS, "out_of_reach");
                done.push(number);
            }
            Err(_) => {
                spool.found_away(true);
                break;
            }
        }
    }
    let mut is_away = false;
    for (number, entry, its) in submitted {
        match its.answer().await {
            Ok(published) => {
                count(Counter::REPLAYS, published.name());
                done.push(number);
            }
            Err(Unpublished::Refused) => refused(spool, number, &entry).await,
            Err(Unpublished::Held) => {
                held.insert(entry.place, Instant::now() + HELD);
            }
            Err(Unpublished::Away) => is_away = true,
        }
    }
    spool.found_away(is_away && done.is_empty());
    spool.remove(&done).await;
    !done.is_empty()
}

async fn refused(spool: &Spool, number: u64, entry: &Entry) {
    error!(
        number,
        request = entry.request,
        key = entry.key,
        project = entry.project,
        "the database refuses a webhook of the spool: it is set aside, and tried again after the next start"
    );
    count(Counter::REPLAYS, "set_aside");
    spool.set_aside(number).await;
}

async fn is_there(app: &App) -> bool {
    match app.database.condition().await {
        Ok(condition) => condition.writes.refusal().is_none(),
        Err(error) => {
            debug!(error = %error.report(), "the database is still away");
            false
        }
    }
}
