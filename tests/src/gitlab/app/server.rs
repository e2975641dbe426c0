//! Serves the stand-in over HTTP on loopback, in its own thread.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::Result;
use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use super::answer::Answer;
use super::request;
use super::world::{Fault, Received, World};
use crate::http::Http;
use crate::stand_in::HangUp;

const LARGEST_BODY: usize = 4 << 20;

#[derive(Debug, Default)]
pub(super) struct Shared {
    world: Mutex<World>,
    /// Notified of each request.
    asked: Condvar,
}

impl Shared {
    pub(super) fn world(&self) -> MutexGuard<'_, World> {
        self.world.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn wait(&self, patience: Duration, mut is_met: impl FnMut(&World) -> bool) -> bool {
        let waited = self
            .asked
            .wait_timeout_while(self.world(), patience, |world| !is_met(world));
        let (_world, timeout) = waited.unwrap_or_else(PoisonError::into_inner);
        !timeout.timed_out()
    }
}

/// The routes.
pub(super) fn router(shared: Arc<Shared>) -> Router {
    Router::new().fallback(answer).with_state(shared)
}

async fn answer(State(shared): State<Arc<Shared>>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let Ok(body) = to_bytes(body, LARGEST_BODY).await else {
        return StatusCode::PAYLOAD_TOO_LARGE.into_response();
    };
    let headers = parts.headers.iter().map(|(name, value)| {
        let value = String::from_utf8_lossy(value.as_bytes()).into_owned();
        (name.as_str().to_owned(), value)
    });
    let received = Received {
        path: parts.uri.path().to_owned(),
        headers: headers.collect(),
        body: body.to_vec(),
    };
    let fault = {
        let mut world = shared.world();
        if !world.keeps_nothing {
            world.received.push(received.clone());
        }
        let fault = world.next_fault();
        shared.asked.notify_all();
        fault
    };
    match fault {
        None => {}
        Some(Fault::Slow(time)) => tokio::time::sleep(time).await,
        Some(fault) => return broken(fault),
    }
    let (answer, token) = {
        let mut world = shared.world();
        let answer = request::answer(&mut world, &received);
        let slack = world.slack.as_ref();
        (answer, slack.map(|(_, token)| token.clone()))
    };
    respond(answer, token.unwrap_or_default()).await
}

fn broken(fault: Fault) -> Response {
    let page = |status: u16| {
        let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let kind = [(header::CONTENT_TYPE, "text/html")];
        (status, kind, "<html>not what was asked for").into_response()
    };
    match fault {
        Fault::Status(status) => page(status),
        Fault::Redirect(to) => (StatusCode::FOUND, [(header::LOCATION, to)]).into_response(),
        Fault::Large(bytes) => {
            // Escaping a text of megabytes takes an unoptimised build on a busy machine longer than Slack waits.
            let text = format!(r#"{{"text":"{}"}}"#, "x".repeat(bytes));
            ([(header::CONTENT_TYPE, "application/json")], text).into_response()
        }
        Fault::Reset => {
            let mut response = StatusCode::OK.into_response();
            response.extensions_mut().insert(HangUp);
            response
        }
        Fault::Garbage | Fault::Slow(_) => page(200),
    }
}

/// With headers that a GitLab server adds and Slack ignores.
async fn respond(answer: Answer, token: String) -> Response {
    let Answer {
        status,
        mut body,
        first,
    } = answer;
    if let Some((url, message)) = first {
        let done = tokio::task::spawn_blocking(move || tell(&url, &token, &message)).await;
        if !matches!(done, Ok(Ok(()))) {
            body =
                json!({ "response_type": "ephemeral", "text": format!("Slack failed: {done:?}") });
        }
    }
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let headers = [
        (header::CONTENT_TYPE, "application/json"),
        (header::SET_COOKIE, "_gitlab_session=secret"),
        (header::SERVER, "nginx"),
    ];
    match body {
        Value::Null => (status, Body::empty()).into_response(),
        body => (status, headers, body.to_string()).into_response(),
    }
}

fn tell(url: &str, token: &str, message: &Value) -> Result<()> {
    let bearer = format!("Bearer {token}");
    let http = Http::new(Duration::from_secs(3));
    let reply = http.post_json(url, &[("authorization", &bearer)], message)?;
    let is_refused = reply.json().is_ok_and(|answer| answer["ok"] == false);
    anyhow::ensure!(reply.status == 200 && !is_refused, "{}", reply.text());
    Ok(())
}
