//! Serves the fake over HTTP on loopback, in its own thread.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};
use tokio::time::Instant;

use super::answer::{Answer, Refusal};
use super::fault::Fault;
use super::request::Request;
use super::world::{Call, World};
use crate::stand_in::HangUp;

/// The largest request of the Web API.
const BODY: usize = 4_000_000;

/// Shared by the server's thread and the handles.
#[derive(Debug, Default)]
pub(crate) struct Shared {
    world: Mutex<World>,
    /// Notified when a call arrives, and again when it is recorded.
    called: Condvar,
}

impl Shared {
    pub(crate) fn world(&self) -> MutexGuard<'_, World> {
        self.world.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until `is_met`, checking after each call; false after `patience`.
    pub(crate) fn wait(&self, patience: Duration, mut is_met: impl FnMut(&World) -> bool) -> bool {
        let waited = self
            .called
            .wait_timeout_while(self.world(), patience, |world| !is_met(world));
        let (_world, timeout) = waited.unwrap_or_else(PoisonError::into_inner);
        !timeout.timed_out()
    }

    /// Records that a call has started; returns its fault, and how long it takes.
    fn arrive(&self, incoming: &Incoming) -> (Option<Fault>, Duration) {
        let mut world = self.world();
        world.count(&incoming.method).arrived += 1;
        self.called.notify_all();
        let channel = match &incoming.request {
            Ok(request) => request.text("channel"),
            Err(_) => None,
        };
        let fault = world.faults.take(&incoming.method, channel.as_deref());
        (fault, world.answer_after)
    }

    fn record(&self, call: Call) {
        let mut world = self.world();
        world.count(&call.method).done += 1;
        if !world.only_counts {
            world.calls.push(call);
        }
        self.called.notify_all();
    }
}

/// The routes.
pub(crate) fn router(shared: Arc<Shared>) -> Router {
    Router::new().fallback(answer).with_state(shared)
}

/// A call from the app, before it is processed.
struct Incoming {
    /// As in the record.
    method: String,
    path: String,
    body: Vec<u8>,
    request: Result<Request, Refusal>,
}

async fn answer(
    axum::extract::State(shared): axum::extract::State<Arc<Shared>>,
    request: axum::extract::Request,
) -> Response {
    let (parts, body) = request.into_parts();
    let path = parts.uri.path().to_owned();
    let method = match path.as_str() {
        "/oauth/v2/authorize" => "authorize",
        path if path.starts_with("/response/") => "response_url",
        path => match path.strip_prefix("/api/") {
            Some(method) => method,
            None => return StatusCode::NOT_FOUND.into_response(),
        },
    };
    let Ok(body) = to_bytes(body, BODY).await else {
        return StatusCode::PAYLOAD_TOO_LARGE.into_response();
    };
    let query = parts.uri.query().unwrap_or_default();
    let incoming = Incoming {
        method: method.to_owned(),
        request: Request::read(method, query, &parts.headers, &body),
        body: body.to_vec(),
        path,
    };
    let came = Instant::now();
    let (fault, delay) = shared.arrive(&incoming);
    // In its own task: a client that disconnects does not undo what Slack is doing.
    let task = tokio::spawn(async move {
        if let Some(Fault::Slow(time)) = fault {
            tokio::time::sleep(time).await;
        }
        let response = respond(&shared, incoming, fault);
        if !delay.is_zero() {
            tokio::time::sleep_until(came + delay).await;
        }
        response
    });
    match task.await {
        Ok(response) => response,
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

/// Processes the call unless the fault prevents it, and records it.
fn respond(shared: &Shared, incoming: Incoming, fault: Option<Fault>) -> Response {
    let (mut call, answer) = {
        let mut world = shared.world();
        let mut call = Call {
            method: incoming.method.clone(),
            tenant: None,
            arguments: Value::Null,
            at: world.now(),
            status: None,
            error: None,
        };
        let prevented = match fault {
            Some(Fault::Status(status)) => Some(Answer::text(status, "upstream failed")),
            Some(Fault::RateLimited(seconds)) => Some(Answer {
                retry_after: Some(seconds),
                ..Answer::json(429, json!({"ok": false, "error": "ratelimited"}))
            }),
            Some(Fault::Error(error)) => {
                Some(Answer::json(200, json!({"ok": false, "error": error})))
            }
            Some(Fault::ClosedBefore) => Some(Answer::text(0, "")),
            _ => None,
        };
        let answer = handle(&mut world, incoming, &mut call, prevented);
        if matches!(fault, Some(Fault::ClosedAfter | Fault::Garbage)) {
            world.note_untold(&call.method, &answer.body);
        }
        (call, answer)
    };
    if matches!(fault, Some(Fault::ClosedBefore | Fault::ClosedAfter)) {
        shared.record(call);
        let mut response = StatusCode::OK.into_response();
        response.extensions_mut().insert(HangUp);
        return response;
    }
    let answer = match fault {
        Some(Fault::Garbage) => Answer::text(200, "<html>not what was asked for"),
        _ => answer,
    };
    call.status = Some(answer.status);
    call.error = answer
        .body
        .get("error")
        .and_then(Value::as_str)
        .map(str::to_owned);
    shared.record(call);
    into_response(answer)
}

fn handle(
    world: &mut World,
    incoming: Incoming,
    call: &mut Call,
    prevented: Option<Answer>,
) -> Answer {
    if let Some(key) = incoming.path.strip_prefix("/response/") {
        call.tenant = world.response_urls.get(key).map(|url| url.tenant.clone());
        call.arguments = serde_json::from_slice(&incoming.body).unwrap_or_default();
        return prevented.unwrap_or_else(|| world.respond(key, &incoming.body));
    }
    let request = match incoming.request {
        Ok(request) => request,
        Err(refusal) => return prevented.unwrap_or_else(|| Err(refusal).into()),
    };
    call.arguments = world.kept(&request);
    if let Some(prevented) = prevented {
        call.tenant = world.authenticate(&request).ok().map(|found| found.tenant);
        return prevented;
    }
    if incoming.method == "authorize" {
        return match world.authorize(&request) {
            Ok(address) => Answer::text(302, &address),
            Err(answer) => answer,
        };
    }
    let outcome = world.call(&incoming.method, &request);
    call.tenant = outcome.tenant;
    outcome.result.into()
}

fn into_response(answer: Answer) -> Response {
    let status = StatusCode::from_u16(answer.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let (kind, body) = match answer.body {
        Value::String(text) if status == StatusCode::FOUND => {
            return match HeaderValue::from_str(&text) {
                Ok(address) => (status, [(header::LOCATION, address)]).into_response(),
                Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
            };
        }
        Value::String(text) => ("text/html; charset=utf-8", text),
        json => ("application/json; charset=utf-8", json.to_string()),
    };
    let mut response = (status, [(header::CONTENT_TYPE, kind)], Body::from(body)).into_response();
    if let Some(seconds) = answer.retry_after {
        response
            .headers_mut()
            .insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    }
    response
}
