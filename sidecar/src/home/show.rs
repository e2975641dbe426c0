//! Publishes the App Home with the connected projects.

use std::collections::HashMap;
use std::time::{Duration, SystemTime};

use serde_json::json;
use tokio::time::sleep;
use tracing::{info, warn};

use super::state::App;
use super::view::{self, Notice};
use crate::database::Which;
use crate::error::Error;
use crate::job::Failure;
use crate::slack::{CallError, Owner};

/// Publishes the App Home of a user who has used it.
pub(super) const INTERACTION: &str = "Slack::InteractionWorker";

/// A job waits this long for its turn; the queue's own pauses are longer.
const PATIENCE: Duration = Duration::from_secs(10);

/// Enqueues a job that publishes a user's App Home; the same key counts once.
pub(super) async fn show_later(
    app: &App,
    owner: &Owner,
    user: &str,
    picked: i64,
    notice: Option<Notice>,
    key: &str,
) -> Result<(), Error> {
    let args = owner.in_args(json!({
        "user_id": user,
        "picked": picked,
        "notice": notice,
    }));
    app.database.enqueue(INTERACTION, &args, Some(key)).await?;
    Ok(())
}

/// Publishes a user's App Home. `picked` is shown first; `notice` reports the last action.
pub(super) async fn publish(
    app: &App,
    owner: &Owner,
    user: &str,
    picked: Option<i64>,
    notice: Option<Notice>,
) -> Result<(), Failure> {
    let tenant = owner.tenant();
    let Some(bot) = app.for_jobs.bot(tenant).await? else {
        info!(team = owner.team, "no token, so no App Home");
        return Ok(());
    };
    let is_expired = bot.expires_at.is_some_and(|at| at <= SystemTime::now());
    if is_expired {
        return Err(Failure::Slack(
            "the token has expired; a new one is asked for".to_owned(),
        ));
    }
    let (token, _) = app
        .token_keys
        .open(&bot.token)
        .map_err(|error| Failure::Slack(error.to_string()))?;
    let integrations = app
        .for_jobs
        .integrations(tenant, Which::All, view::MOST + 1)
        .await?;
    let integrations = match picked {
        None => integrations,
        Some(id) => view::with_first(app, tenant, integrations, id).await?,
    };
    let is_manager = app.managers.contains(user);
    let managed = app
        .for_jobs
        .managed(tenant, user, &integrations, is_manager)
        .await?;
    let mut troubles = HashMap::new();
    // As a command says of one of them.
    for it in integrations.iter().filter(|it| it.has_trouble) {
        let of_it = app.for_jobs.channel_troubles(tenant, it.id).await?;
        troubles.insert(it.id, of_it);
    }
    let subscriptions = app
        .for_jobs
        .subscriptions(tenant, view::MOST_SUBSCRIPTIONS + 1)
        .await?;
    let view = view::of(
        app,
        &managed,
        &troubles,
        &integrations,
        &subscriptions,
        notice,
    );
    let arguments = json!({ "user_id": user, "view": view });
    let mut published = app.slack.call("views.publish", &token, &arguments).await;
    if let Err(CallError::RateLimited(pause)) = published
        && pause <= PATIENCE
    {
        sleep(pause).await;
        published = app.slack.call("views.publish", &token, &arguments).await;
    }
    match published {
        Ok(_) => Ok(()),
        // Retrying is pointless; the pages and the status say that the app must be installed again.
        Err(error) if error.is_lost_installation() => {
            warn!(team = bot.team, %error, "the installation is no longer valid");
            Ok(())
        }
        Err(error) => Err(error.into()),
    }
}
