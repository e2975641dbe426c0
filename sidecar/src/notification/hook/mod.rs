//! Webhooks of GitLab: verified ([`secret`]), without what nobody needs ([`trim`]), and published with those that come at the same
//! time ([`publisher`]).

mod publisher;
mod secret;
mod trim;

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use axum::body::Body;
use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use ring::digest::{SHA256, digest};
use serde_json::{Value, json};
use tokio::time::timeout;
use tracing::{debug, warn};

use crate::app::App;
use crate::database::Published;
use crate::serve::{Counter, Problem, count, read_body};

pub(crate) use publisher::Publisher;
pub(crate) use secret::HookSecrets;

/// A description may have a million characters, each of which may be written as six.
const LARGEST_BODY: usize = 8 << 20;

/// GitLab waits for ten seconds, and tries again after an error.
const DEADLINE: Duration = Duration::from_secs(8);

const BODY_TIMEOUT: Duration = Duration::from_secs(5);

/// No longer than the database takes.
const LONGEST_ID: usize = 150;

pub(crate) async fn receive_hook(
    State(app): State<Arc<App>>,
    headers: HeaderMap,
    body: Body,
) -> Response {
    let received = timeout(DEADLINE, receive(&app, &headers, body)).await;
    let received = received.unwrap_or_else(|_| {
        warn!("a webhook was not answered in time");
        Err(Problem::unavailable())
    });
    received.unwrap_or_else(Problem::into_response)
}

async fn receive(app: &App, headers: &HeaderMap, body: Body) -> Result<Response, Problem> {
    let secrets = &app.config.hook_secrets;
    // Nobody is to have us keep a body who is not GitLab.
    secrets
        .may_be_verified(headers, SystemTime::now())
        .map_err(refused)?;
    let body = read_body(body, LARGEST_BODY, BODY_TIMEOUT).await?;
    secrets
        .verify(headers, &body, SystemTime::now())
        .map_err(refused)?;
    let mut event: Value = serde_json::from_slice(&body).map_err(|_| {
        count(Counter::HOOKS, "malformed");
        Problem::bad_request("The body is no JSON.")
    })?;
    trim::trim(&mut event);
    let published = app
        .publisher
        .publish(place(&event), event.to_string(), key(headers, &body));
    let published = published.await.ok_or(Problem::unavailable())?;
    count(Counter::HOOKS, published.name());
    match published {
        Published::Done { deliveries } => Ok(answer(&json!({ "deliveries": deliveries }))),
        Published::Duplicate => Ok(answer(&json!({ "duplicate": true }))),
        Published::UnknownKind { kind } => Err(Problem::unprocessable(format!(
            "Nobody is told of events of the object_kind {kind}."
        ))),
        Published::Malformed { field } => Err(Problem::unprocessable(format!(
            "The event's {field} is missing, or of another type than GitLab's."
        ))),
        Published::UnknownProject => Err(Problem::unprocessable(
            "The project or group of the event does not exist here.",
        )),
    }
}

/// The project or the group, as far as a number tells it.
fn place(event: &Value) -> u64 {
    let places = [
        "/project/id",
        "/project_id",
        "/object_attributes/project_id",
        "/mentioned/id",
        "/group/id",
        "/group_id",
    ];
    let mut places = places
        .iter()
        .filter_map(|place| event.pointer(place)?.as_u64());
    places.next().unwrap_or_default()
}

fn answer(value: &Value) -> Response {
    let kind = [(CONTENT_TYPE, HeaderValue::from_static("application/json"))];
    (kind, value.to_string()).into_response()
}

/// The reason is for the log: whoever forges is not told how far he came.
fn refused(refusal: secret::Refusal) -> Problem {
    count(Counter::HOOKS, refusal.reason());
    debug!(reason = refusal.reason(), "refused");
    Problem::new(
        StatusCode::UNAUTHORIZED,
        "The request has neither the secret token nor a valid signature of this webhook.",
    )
}

/// What tells the event from others: the id under which GitLab tries again. Those before 17.4 have none for that, so it is the
/// request as a whole then.
fn key(headers: &HeaderMap, body: &[u8]) -> String {
    let header = |name: &str| {
        let value = headers.get(name)?.to_str().ok()?;
        (1..=LONGEST_ID).contains(&value.len()).then_some(value)
    };
    if let Some(id) = header("idempotency-key").or_else(|| header("webhook-id")) {
        return format!("id {id}");
    }
    let hash = digest(&SHA256, body);
    let digits = hash.as_ref().iter().map(|byte| format!("{byte:02x}"));
    let ids = ["x-gitlab-event-uuid", "x-gitlab-webhook-uuid"].map(|name| {
        let id: String = header(name).unwrap_or_default().chars().take(60).collect();
        id
    });
    format!("body {} {}", ids.join(" "), digits.collect::<String>())
}
