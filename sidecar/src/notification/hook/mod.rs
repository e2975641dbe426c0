//! Webhooks of GitLab: verified ([`secret`]), without what nobody needs ([`trim`]), and published with those that come at the same
//! time ([`publisher`]).

mod publisher;
mod secret;
mod trim;

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use axum::body::Body;
use axum::extract::State;
use axum::http::header::{CONTENT_LENGTH, CONTENT_TYPE};
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
use secret::Proof;

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
    let room = app.hook_room.clone();
    let _room = room.try_acquire_many_owned(size(headers)).map_err(|_| {
        count(Counter::HOOKS, "crowded");
        Problem::unavailable()
    })?;
    let body = read_body(body, LARGEST_BODY, BODY_TIMEOUT).await?;
    let proof = secrets
        .verify(headers, &body, SystemTime::now())
        .map_err(refused)?;
    let mut event: Value = serde_json::from_slice(&body).map_err(|_| {
        count(Counter::HOOKS, "malformed");
        Problem::bad_request("The body is no JSON.")
    })?;
    trim::trim(&mut event);
    let published =
        app.publisher
            .publish(place(&event), event.to_string(), key(proof, headers, &body));
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

/// Kilobytes that all bodies together may have which are being read: whoever only looks like GitLab is not to fill the memory.
pub(crate) const ROOM: usize = 64 << 10;

/// Those that a request says it has, else as many as it may have.
fn size(headers: &HeaderMap) -> u32 {
    let length = headers.get(CONTENT_LENGTH).and_then(|it| it.to_str().ok());
    let length = length
        .and_then(|it| it.parse().ok())
        .unwrap_or(LARGEST_BODY);
    u32::try_from(length.min(LARGEST_BODY).div_ceil(1 << 10)).unwrap_or(u32::MAX)
}

/// What tells the event from others: the id under which GitLab tries again. Those before 17.4 have none for that, so it is the
/// request as a whole then. Of a signed request only what is signed counts, or whoever has got hold of one could send it as many.
fn key(proof: Proof, headers: &HeaderMap, body: &[u8]) -> String {
    let header = |name: &str| {
        let value = headers.get(name)?.to_str().ok()?;
        (1..=LONGEST_ID).contains(&value.len()).then_some(value)
    };
    let id = match proof {
        Proof::Signature => header("webhook-id"),
        Proof::Token => header("idempotency-key").or_else(|| header("webhook-id")),
    };
    if let Some(id) = id {
        return format!("id {id}");
    }
    let ids = match proof {
        Proof::Signature => [""; 2],
        Proof::Token => ["x-gitlab-event-uuid", "x-gitlab-webhook-uuid"],
    };
    let hash = digest(&SHA256, body);
    let digits = hash.as_ref().iter().map(|byte| format!("{byte:02x}"));
    let ids = ids.map(|name| {
        let id: String = header(name).unwrap_or_default().chars().take(60).collect();
        id
    });
    format!("body {} {}", ids.join(" "), digits.collect::<String>())
}
