//! GitLab's webhooks: read and verified ([`secret`]), reduced to what is needed, and published together with concurrent ones
//! ([`publisher`]), each once however many webhooks send it ([`key`]),
//! or kept on disk until the database accepts them ([`mod@take`], [`mod@replay`]). GitLab does not
//! retry, and disables a webhook that is refused too often: so everything that is authenticated and well formed is accepted, even if
//! nobody is notified.

mod key;
mod options;
mod publisher;
mod replay;
mod secret;
mod settings;
mod state;
mod take;

use std::collections::BTreeSet;
use std::panic::resume_unwind;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use axum::{Json, Router};
use lockstep_webhook::{Event, ObjectKind, kept};
use serde_json::{Value, json};
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::task::spawn_blocking;
use tokio::time::{Instant, timeout, timeout_at};
use tracing::{debug, info, warn};

use crate::database::Published;
use crate::http::path::HOOKS;
use crate::http::{Counter, FULL, Problem, Read, Room, count};
use crate::spool::Entry;

pub(crate) use options::Hooks;
pub(crate) use publisher::Publisher;
pub(crate) use replay::replay;
pub(crate) use secret::HookSecrets;
use secret::{Proof, Reach};
pub(crate) use state::App;
use take::{Taken, take};

pub(crate) fn router(app: Arc<App>) -> Router {
    Router::new()
        .route(HOOKS, post(receive_hook))
        .with_state(app)
}

/// GitLab sends no larger ones.
const LARGEST_BODY: usize = 25 << 20;

/// Verifying and parsing a larger one takes so long that others would wait.
const LARGE: usize = 256 << 10;

/// Large ones take turns: at the same time they would take the processors from everybody else.
static TURN: Semaphore = Semaphore::const_new(1);

/// Hardly any body exceeds the size that each may have.
static ROOM: Room = Room::new(64 << 10, 32 << 20);

/// GitLab's timeout is ten seconds.
const DEADLINE: Duration = Duration::from_millis(9_500);

/// What is not published by then is given up, so that GitLab gets a response; with a spool earlier, so that there is time to write
/// it to disk.
const PUBLISHED: Duration = Duration::from_secs(9);
const PUBLISHED_OR_KEPT: Duration = Duration::from_secs(8);

const BODY_TIMEOUT: Duration = Duration::from_secs(5);

/// How many kinds of ignored webhooks are logged, each once.
const MOST_KINDS: usize = 100;
const LONGEST_KIND: usize = 60;

async fn receive_hook(
    State(app): State<Arc<App>>,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<Value>, Problem> {
    let received = timeout(DEADLINE, receive(&app, &headers, body)).await;
    received.unwrap_or_else(|_| {
        count(Counter::HOOKS, "unavailable");
        warn!("a webhook was not answered in time");
        Err(UNANSWERED)
    })
}

/// The database has not responded: some of it may have been done.
const UNANSWERED: Problem = Problem::new(
    StatusCode::SERVICE_UNAVAILABLE,
    "The database does not respond at the moment, so the event may have been taken or not. Sent again it counts once.",
);

async fn receive(app: &Arc<App>, headers: &HeaderMap, body: Body) -> Result<Json<Value>, Problem> {
    let patience = match app.spool {
        Some(_) => PUBLISHED_OR_KEPT,
        None => PUBLISHED,
    };
    let until = Instant::now() + patience;
    // Only GitLab may make us keep a body in memory.
    app.secrets
        .may_be_verified(headers, SystemTime::now())
        .map_err(refused)?;
    let body = ROOM.read(body, LARGEST_BODY, BODY_TIMEOUT).await;
    let body = body.inspect_err(|problem| {
        let is_full = problem.is_unavailable();
        count(Counter::HOOKS, if is_full { "full" } else { "unread" });
    })?;
    let read = match body.bytes.len() > LARGE {
        true => read_aside(Arc::clone(app), headers.clone(), body, until).await,
        false => read(app, headers, &body.bytes),
    };
    let (proof, event) = read?;
    let Some(event) = event else {
        count(Counter::HOOKS, "malformed");
        return Err(Problem::bad_request("The body is no JSON."));
    };
    let known = Event::of(&event);
    if known.kind().is_none() {
        let kind = kind_of(&event);
        let why = format!("Nobody is notified of events of the kind {kind:?}.");
        return Ok(ignored("unknown_kind", kind, why));
    }
    let (project, place) = whereabouts(&known);
    let text = event.to_string();
    let identity = key::of(headers, &text, proof.signed_id.as_ref());
    let entry = Entry {
        place,
        project,
        paths: match proof.reach {
            Reach::Everything => None,
            Reach::Paths(paths) => Some(paths),
        },
        key: identity.key,
        request: identity.request,
        event: text,
    };
    let published = match take(app, entry, until).await {
        Some(Taken::Published(published)) => published,
        Some(Taken::Spooled) => {
            count(Counter::HOOKS, "spooled");
            return Ok(Json(json!({ "spooled": true })));
        }
        Some(Taken::OutOfReach) => {
            let why = "The secret is not one of the event's project.".to_owned();
            return Ok(ignored("out_of_reach", "", why));
        }
        None => return Err(UNANSWERED),
    };
    let name = published.name();
    let why = match published {
        Published::Done { deliveries } => {
            count(Counter::HOOKS, name);
            return Ok(Json(json!({ "deliveries": deliveries })));
        }
        Published::Duplicate => {
            count(Counter::HOOKS, name);
            return Ok(Json(json!({ "duplicate": true })));
        }
        Published::UnknownKind { kind } => {
            format!("Nobody is notified of events of the kind {kind:?}.")
        }
        Published::Malformed { field } => {
            format!("The event's {field} is missing, or of another type than GitLab's.")
        }
        Published::UnknownProject => {
            "The project or group of the event does not exist here.".to_owned()
        }
        Published::Unstorable => "There is something in it that no database can keep.".to_owned(),
    };
    Ok(ignored(name, kind_of(&event), why))
}

/// What a body proves, and its event; no event if it is not JSON.
fn read(app: &App, headers: &HeaderMap, body: &[u8]) -> Result<(Proof, Option<Value>), Problem> {
    let verified = app.secrets.verify(headers, body, SystemTime::now());
    let proof = verified.map_err(refused)?;
    Ok((proof, kept(body).ok()))
}

/// The same for a large one, on a thread of its own.
async fn read_aside(
    app: Arc<App>,
    headers: HeaderMap,
    body: Read<'static>,
    until: Instant,
) -> Result<(Proof, Option<Value>), Problem> {
    let turn = turn(until).await?;
    let reading = spawn_blocking(move || {
        let _turn = turn;
        read(&app, &headers, &body.bytes)
    });
    match reading.await {
        Ok(read) => read,
        Err(error) => match error.try_into_panic() {
            // A bug, which is answered as any other.
            Ok(bug) => resume_unwind(bug),
            Err(_) => {
                count(Counter::HOOKS, "unavailable");
                Err(STOPPING)
            }
        },
    }
}

/// The runtime ends before it has begun with it.
const STOPPING: Problem = Problem::new(
    StatusCode::SERVICE_UNAVAILABLE,
    "This server is being stopped. The event was not taken.",
);

/// Whoever has to wait too long gets the true reason: it is not the database.
async fn turn(until: Instant) -> Result<SemaphorePermit<'static>, Problem> {
    match timeout_at(until, TURN.acquire()).await {
        Ok(Ok(turn)) => Ok(turn),
        _ => {
            count(Counter::HOOKS, "full");
            Err(FULL)
        }
    }
}

/// Accepted without any effect; logged once per kind, because there may be many.
fn ignored(outcome: &'static str, kind: &str, why: String) -> Json<Value> {
    static TOLD: Mutex<BTreeSet<(&str, String)>> = Mutex::new(BTreeSet::new());
    count(Counter::HOOKS, outcome);
    let mut told = TOLD.lock().unwrap_or_else(PoisonError::into_inner);
    if told.len() < MOST_KINDS && told.insert((outcome, kind.to_owned())) {
        info!(
            outcome,
            kind, why, "webhooks are ignored; further ones of this kind are not logged"
        );
    }
    Json(json!({ "deliveries": 0, "ignored": why }))
}

/// System hooks have their kind in another field.
fn kind_of(event: &Value) -> &str {
    let kind = event["object_kind"].as_str();
    let kind = kind.or(event["event_name"].as_str()).unwrap_or_default();
    &kind[..kind.floor_char_boundary(LONGEST_KIND)]
}

/// The project that the database will use for an event, and a number for the place where it happened, if known.
fn whereabouts(event: &Event) -> (Option<i64>, u64) {
    let is_of_group = event.kind() == Some(ObjectKind::GroupMention);
    let project = event.project().ok().filter(|_| !is_of_group);
    let places = [
        &event.project.id,
        &event.project_id,
        &event.object_attributes.project_id,
        &event.mentioned.id,
        &event.group.id,
        &event.group_id,
    ];
    let place = places.into_iter().find_map(|id| id.get());
    (project, place.map_or(0, |id| id.unsigned_abs()))
}

/// The reason is only logged: an attacker must not learn which check failed.
fn refused(refusal: secret::Refusal) -> Problem {
    count(Counter::HOOKS, refusal.reason());
    debug!(reason = refusal.reason(), "refused");
    Problem::new(
        StatusCode::UNAUTHORIZED,
        "The request has neither the secret token nor a valid signature of this webhook.",
    )
}

#[cfg(test)]
mod tests {
    use lockstep_webhook::Event;
    use serde_json::{Value, json};
    use tokio::time::Instant;

    use super::{FULL, turn, whereabouts};

    fn project(event: &Value) -> Option<i64> {
        whereabouts(&Event::of(event)).0
    }

    #[tokio::test]
    async fn a_large_one_does_not_wait_for_its_turn_past_its_time() {
        let first = turn(Instant::now()).await;
        assert!(first.is_ok());
        assert_eq!(turn(Instant::now()).await.err(), Some(FULL));
        drop(first);
        assert!(turn(Instant::now()).await.is_ok());
    }

    #[test]
    fn project_is_the_one_that_the_database_takes() {
        let all = json!({ "project": { "id": 1 }, "project_id": 2, "object_attributes": { "project_id": 3 } });
        assert_eq!(project(&all), Some(1));
        let without = json!({ "project": { "id": null }, "project_id": 2, "object_attributes": { "project_id": 3 } });
        assert_eq!(project(&without), Some(2));
        let object = json!({ "object_attributes": { "project_id": 3 } });
        assert_eq!(project(&object), Some(3));
        for none in [
            json!({}),
            json!([]),
            json!({ "project": { "id": "1" }, "project_id": 2 }),
            json!({ "project": { "id": 1.5 }, "project_id": 2 }),
        ] {
            assert_eq!(project(&none), None, "{none}");
        }
    }
}
