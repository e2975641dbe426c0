//! What Slack tells without being asked. It tells again if it gets no good answer within three seconds, up to three times, and
//! stops telling an app that fails too often: so an event is acknowledged once it is in the database, or if nobody cares for it.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use axum::body::Bytes;
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};
use tracing::{debug, info, warn};

use super::payload::Envelope;
use crate::app::App;
use crate::database::{NewEvent, Received};
use crate::serve::{Counter, Problem, count};

pub(crate) async fn receive_event(
    State(app): State<Arc<App>>,
    body: Bytes,
) -> Result<Response, Problem> {
    let envelope: Envelope = serde_json::from_slice(&body)
        .map_err(|_| Problem::bad_request("The body is not a JSON object with a type."))?;
    match envelope.kind.as_str() {
        "url_verification" => {
            count(Counter::EVENTS, "url_verification");
            let challenge = envelope
                .challenge
                .ok_or(Problem::bad_request("The challenge is missing."))?;
            Ok(answer(&json!({ "challenge": challenge })))
        }
        "event_callback" => receive(&app, &envelope).await,
        "app_rate_limited" => {
            count(Counter::EVENTS, "app_rate_limited");
            warn!("Slack holds back events, as there are more than 30,000 an hour");
            Ok(acknowledged())
        }
        kind => {
            count(Counter::EVENTS, "unknown");
            debug!(kind, "an unknown kind of event");
            Ok(acknowledged())
        }
    }
}

/// The types of events that are looked at.
const KNOWN: [&str; 3] = ["app_home_opened", "app_uninstalled", "tokens_revoked"];

async fn receive(app: &App, envelope: &Envelope) -> Result<Response, Problem> {
    let event = envelope.event.as_ref().unwrap_or(&Value::Null);
    let kind = event["type"].as_str().unwrap_or_default();
    let Some(kind) = KNOWN.into_iter().find(|known| *known == kind) else {
        count(Counter::EVENTS, "unknown");
        debug!(kind, "an unknown event");
        return Ok(acknowledged());
    };
    count(Counter::EVENTS, kind);
    if kind == "app_home_opened" && event["tab"].as_str().is_some_and(|tab| tab != "home") {
        return Ok(acknowledged());
    }
    let owner = match kind {
        "app_home_opened" => envelope.owner(),
        _ => envelope.ended(),
    };
    let owner = owner.ok_or(Problem::bad_request("The event names no workspace."))?;
    let id = envelope.event_id.as_deref().filter(|id| !id.is_empty());
    let id = id.ok_or(Problem::bad_request("The event has no event_id."))?;
    let user = event["user"].as_str().filter(|user| !user.is_empty());
    let args = match (kind, user) {
        ("app_home_opened", Some(user)) => owner.in_args(json!({ "user_id": user })),
        ("app_home_opened", None) => {
            return Err(Problem::bad_request("The event names no user."));
        }
        _ => json!({ "tokens": event["tokens"] }),
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
    Ok(acknowledged())
}

/// When it happened, by Slack's clock; now, if Slack does not say.
fn moment(seconds: Option<i64>) -> SystemTime {
    let seconds = seconds.and_then(|seconds| u64::try_from(seconds).ok());
    let moment = seconds.and_then(|seconds| UNIX_EPOCH.checked_add(Duration::from_secs(seconds)));
    moment
        .filter(|moment| *moment <= SystemTime::now() + Duration::from_secs(3600))
        .unwrap_or_else(SystemTime::now)
}

fn acknowledged() -> Response {
    answer(&json!({}))
}

fn answer(body: &Value) -> Response {
    let kind = [(CONTENT_TYPE, "application/json")];
    (StatusCode::OK, kind, body.to_string()).into_response()
}
