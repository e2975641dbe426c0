//! Webhooks of GitLab: read ([`body`]) and verified ([`secret`]), without what nobody needs, and published with those that
//! come at the same time ([`publisher`]), each once ([`key`]).

mod body;
mod key;
mod options;
mod publisher;
mod secret;
mod settings;

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::{Json, Router};
use lockstep_webhook::{Event, ObjectKind, trim};
use serde_json::{Value, json};
use tokio::time::timeout;
use tracing::{debug, warn};

use crate::database::{Published, SlackDatabase};
use crate::http::path::HOOKS;
use crate::http::{Counter, Problem, count};

use body::ROOM;
pub(crate) use options::Hooks;
pub(crate) use publisher::Publisher;
pub(crate) use secret::HookSecrets;
use secret::Reach;

pub(crate) struct App {
    pub(crate) secrets: HookSecrets,
    pub(crate) database: SlackDatabase,
    /// For what GitLab tells of.
    pub(crate) publisher: Publisher,
}

pub(crate) fn router(app: App) -> Router {
    Router::new()
        .route(HOOKS, post(receive_hook))
        .with_state(Arc::new(app))
}

/// A description may have a million characters, each of which may be written as six.
const LARGEST_BODY: usize = 8 << 20;

/// GitLab waits for ten seconds, and tries again after an error.
const DEADLINE: Duration = Duration::from_secs(8);

const BODY_TIMEOUT: Duration = Duration::from_secs(5);

async fn receive_hook(State(app): State<Arc<App>>, headers: HeaderMap, body: Body) -> Response {
    let received = timeout(DEADLINE, receive(&app, &headers, body)).await;
    let received = received.unwrap_or_else(|_| {
        warn!("a webhook was not answered in time");
        Err(Problem::unavailable())
    });
    received.into_response()
}

async fn receive(app: &App, headers: &HeaderMap, body: Body) -> Result<Json<Value>, Problem> {
    let secrets = &app.secrets;
    // Nobody is to have us keep a body who is not GitLab.
    secrets
        .may_be_verified(headers, SystemTime::now())
        .map_err(refused)?;
    let body = ROOM.read(body, LARGEST_BODY, BODY_TIMEOUT).await?;
    let proof = secrets
        .verify(headers, &body.bytes, SystemTime::now())
        .map_err(refused)?;
    let mut event: Value = serde_json::from_slice(&body.bytes).map_err(|_| {
        count(Counter::HOOKS, "malformed");
        Problem::bad_request("The body is no JSON.")
    })?;
    trim(&mut event);
    let (project, place) = whereabouts(&Event::of(&event));
    if let Reach::Paths(paths) = &proof.reach {
        check_is_within(app, paths, project).await?;
    }
    let key = key::of(headers, &body.bytes, proof.signed_id);
    let published = app.publisher.publish(place, event.to_string(), key);
    let published = published.await.ok_or(Problem::unavailable())?;
    count(Counter::HOOKS, published.name());
    match published {
        Published::Done { deliveries } => Ok(Json(json!({ "deliveries": deliveries }))),
        Published::Duplicate => Ok(Json(json!({ "duplicate": true }))),
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

/// Whether the project of an event is in a group, or is a project, that the secret is of. What happens to a group is told by those alone
/// who may tell of everything.
async fn check_is_within(app: &App, paths: &[&str], project: Option<i64>) -> Result<(), Problem> {
    let its = match project {
        Some(project) => app.database.project_path(project).await?,
        None => None,
    };
    match its.is_some_and(|its| paths.iter().any(|path| is_within(path, &its))) {
        true => Ok(()),
        false => {
            count(Counter::HOOKS, "out_of_reach");
            Err(Problem::new(
                StatusCode::FORBIDDEN,
                "The secret is not one of the event's project.",
            ))
        }
    }
}

/// The project that the database takes an event for one of, and a number for where it happens, as far as it is told.
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

fn is_within(path: &str, project: &str) -> bool {
    let rest = project.strip_prefix(path);
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
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

#[cfg(test)]
mod tests {
    use lockstep_webhook::Event;
    use serde_json::{Value, json};

    use super::{is_within, whereabouts};

    fn project(event: &Value) -> Option<i64> {
        whereabouts(&Event::of(event)).0
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

    #[test]
    fn projects_are_within_their_groups() {
        for project in ["a", "a/b", "a/b/c"] {
            assert!(is_within("a", project), "{project}");
        }
        for project in ["", "ab", "ab/c", "b/a", "A/b"] {
            assert!(!is_within("a", project), "{project}");
        }
        assert!(is_within("a/b", "a/b") && !is_within("a/b", "a/bc"));
    }
}
