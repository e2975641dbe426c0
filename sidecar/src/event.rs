//! Events from Slack. Slack retries up to three times if there is no 2xx response within three seconds, and disables an app that
//! fails too often: so an event is acknowledged once it is in the database, or if nothing handles it.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use axum::extract::{FromRef, State};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::{Json, Router};
use serde_json::json;
use tracing::{debug, info, warn};

use crate::database::{NewEvent, Received, SlackDatabase};
use crate::http::path::EVENTS;
use crate::http::{Counter, Problem, count};
use crate::pass_through::PassThrough;
use crate::slack::{Envelope, Signed, SigningSecret};

pub(crate) struct App {
    pub(crate) database: SlackDatabase,
    pub(crate) signing_secret: SigningSecret,
    pub(crate) pass_through: Option<Arc<PassThrough>>,
}

impl FromRef<Arc<App>> for SigningSecret {
    fn from_ref(app: &Arc<App>) -> Self {
        app.signing_secret.clone()
    }
}

pub(crate) fn router(app: App) -> Router {
    Router::new()
        .route(EVENTS, post(receive))
        .with_state(Arc::new(app))
}

async fn receive(
    State(app): State<Arc<App>>,
    Signed(envelope, original): Signed<Envelope>,
) -> Result<Response, Problem> {
    if let Some(gitlab) = app.pass_through.as_ref().filter(|_| is_gitlabs(&envelope)) {
        count(Counter::EVENTS, "passed_on");
        return Ok(gitlab.event(&original).await);
    }
    match envelope.kind.as_str() {
        "url_verification" => {
            count(Counter::EVENTS, "url_verification");
            let challenge = envelope
                .challenge
                .ok_or(Problem::bad_request("The challenge is missing."))?;
            return Ok(Json(json!({ "challenge": challenge })).into_response());
        }
        "event_callback" => take(&app, &envelope).await?,
        "app_rate_limited" => {
            count(Counter::EVENTS, "app_rate_limited");
            warn!("Slack drops events, because there are more than 30,000 per hour");
        }
        kind => {
            count(Counter::EVENTS, "unknown");
            debug!(kind, "an unknown kind of event");
        }
    }
    Ok(Json(json!({})).into_response())
}

/// The types of events that are handled.
const KNOWN: [&str; 3] = ["app_home_opened", "app_uninstalled", "tokens_revoked"];

/// Whether an event that the app receives is handled by GitLab instead.
fn is_gitlabs(envelope: &Envelope) -> bool {
    envelope.kind == "event_callback" && !KNOWN.contains(&envelope.event.kind.as_str())
}

async fn take(app: &App, envelope: &Envelope) -> Result<(), Problem> {
    let event = &envelope.event;
    let Some(kind) = KNOWN.into_iter().find(|known| *known == event.kind) else {
        count(Counter::EVENTS, "unknown");
        debug!(kind = event.kind, "an unknown event");
        return Ok(());
    };
    count(Counter::EVENTS, kind);
    let is_of_home = kind == "app_home_opened";
    if is_of_home && event.tab.as_deref().is_some_and(|tab| tab != "home") {
        return Ok(());
    }
    let owner = match is_of_home {
        true => envelope.owner(),
        false => envelope.ended(),
    };
    let owner = owner.ok_or(Problem::bad_request("The event names no workspace."))?;
    let id = envelope.event_id.as_deref().filter(|id| !id.is_empty());
    let id = id.ok_or(Problem::bad_request("The event has no event_id."))?;
    if is_of_home && event.user.is_empty() {
        return Err(Problem::bad_request("The event names no user."));
    }
    let args = match is_of_home {
        true => owner.in_args(json!({ "user_id": event.user })),
        false => json!({ "tokens": event.tokens }),
    };
    let received = app
        .database
        .receive_event(NewEvent {
            id,
            kind,
            tenant: owner.tenant(),
            at: moment(envelope.event_time),
            args: &args,
        })
        .await?;
    let outcome = match received {
        Received::Done => "done",
        Received::Queued => "queued",
        Received::Duplicate => "duplicate",
        Received::Ignored => "ignored",
    };
    count(Counter::EVENT_OUTCOMES, outcome);
    info!(event = kind, team = owner.team, outcome, "received");
    Ok(())
}

/// When it happened, by Slack's clock; now, if Slack does not say.
fn moment(seconds: Option<i64>) -> SystemTime {
    let seconds = seconds.and_then(|seconds| u64::try_from(seconds).ok());
    let moment = seconds.and_then(|seconds| UNIX_EPOCH.checked_add(Duration::from_secs(seconds)));
    moment
        .filter(|moment| *moment <= SystemTime::now() + Duration::from_secs(3600))
        .unwrap_or_else(SystemTime::now)
}
