//! Publishes a valid webhook, or keeps it on disk until it is published.

use std::sync::Arc;

use tokio::time::{Instant, sleep, timeout_at};

use super::publisher::{PAUSE, Unpublished, may_pass};
use super::state::App;
use crate::database::Published;
use crate::error::complain;
use crate::http::{Counter, count};
use crate::spool::{Entry, NotKept};

pub(super) enum Taken {
    Published(Published),
    /// Its secret belongs to other projects.
    OutOfReach,
    /// It is on disk.
    Spooled,
}

/// None if it is neither published nor on disk, as far as is known.
pub(super) async fn take(app: &App, entry: Entry, until: Instant) -> Option<Taken> {
    let mut entry = Arc::new(entry);
    let Some(spool) = &app.spool else {
        let published = publish(app, &mut entry, until).await;
        return published
            .inspect_err(|_| count(Counter::HOOKS, "unavailable"))
            .ok();
    };
    let turn = spool.turn(entry.place);
    let mut is_away = false;
    if !spool.comes_first(entry.place) {
        match timeout_at(until, publish(app, &mut entry, until)).await {
            Ok(Ok(taken)) => return Some(taken),
            Ok(Err(Unpublished::Away)) | Err(_) => is_away = true,
            Ok(Err(_)) => {}
        }
    }
    let reason = match spool.keep(turn, &entry).await {
        Ok(()) => return Some(Taken::Spooled),
        Err(NotKept::Full) => "spool_full",
        Err(NotKept::Failed) => {
            // Nothing is left to replay, which would find out: the next ones need not wait as long.
            if is_away {
                spool.found_away(true);
            }
            "unavailable"
        }
    };
    count(Counter::HOOKS, reason);
    None
}

async fn publish(app: &App, entry: &mut Arc<Entry>, until: Instant) -> Result<Taken, Unpublished> {
    if !is_within_reach(app, entry, until).await? {
        return Ok(Taken::OutOfReach);
    }
    // The project may move before it is published.
    Arc::make_mut(entry).paths = None;
    let submitted = app.publisher.submit(Arc::clone(entry), until, false);
    submitted.answer().await.map(Taken::Published)
}

/// Whether the secret covers the event's project or one of its groups. Group events need a secret that covers everything.
pub(super) async fn is_within_reach(
    app: &App,
    entry: &Entry,
    until: Instant,
) -> Result<bool, Unpublished> {
    let Some(paths) = &entry.paths else {
        return Ok(true);
    };
    let Some(project) = entry.project else {
        return Ok(false);
    };
    loop {
        let error = match app.database.is_project_within(project, paths).await {
            Ok(is_within) => return Ok(is_within),
            Err(error) => error,
        };
        if !may_pass(&error) {
            complain!(error, "cannot look up a project");
            return Err(Unpublished::Held);
        }
        if Instant::now() + PAUSE > until {
            return Err(Unpublished::Away);
        }
        sleep(PAUSE).await;
    }
}
