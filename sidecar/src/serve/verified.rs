//! Lets requests through that Slack has signed, and no others.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderMap, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http_body_util::LengthLimitError;
use tokio::time::timeout;
use tracing::debug;

use super::problem::Problem;
use super::{Counter, count, router};
use crate::app::App;

/// A view may have 250 kB, and each byte may be written as three in a form.
const LARGEST_BODY: usize = 1 << 20;

/// Slack waits for three seconds.
const DEADLINE: Duration = Duration::from_millis(2_800);

pub(super) async fn verify(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    match timeout(DEADLINE, verified(&app, request, next)).await {
        Ok(answered) => answered.unwrap_or_else(Problem::into_response),
        Err(_) => Problem::unavailable().into_response(),
    }
}

async fn verified(app: &App, request: Request, next: Next) -> Result<Response, Problem> {
    let (parts, body) = request.into_parts();
    let body = to_bytes(body, LARGEST_BODY).await.map_err(|error| {
        let source = std::error::Error::source(&error);
        match source.is_some_and(|source| source.is::<LengthLimitError>()) {
            true => Problem::new(
                StatusCode::PAYLOAD_TOO_LARGE,
                "The body is larger than any of Slack's.",
            ),
            false => Problem::bad_request("The body did not arrive whole."),
        }
    })?;
    if parts.uri.path() == router::COMMANDS && is_ssl_check(&parts.headers, &body) {
        return Ok(StatusCode::OK.into_response());
    }
    let secret = &app.config.signing_secret;
    if let Err(refusal) = secret.verify(&parts.headers, &body, SystemTime::now()) {
        count(Counter::REFUSALS, refusal.reason());
        debug!(reason = refusal.reason(), "refused");
        // The reason is for the log: whoever forges is not told how far he came.
        return Err(Problem::new(
            StatusCode::UNAUTHORIZED,
            "The request is not signed by Slack, or its time is off by more than five minutes.",
        ));
    }
    Ok(next.run(Request::from_parts(parts, Body::from(body))).await)
}

/// Slack asks an address for commands now and then, unsigned, whether its certificate is in order. Nothing is done then.
/// Looked for as Slack writes it: to decode every command for that would cost more than its signature.
fn is_ssl_check(headers: &HeaderMap, body: &[u8]) -> bool {
    let fields = body.split(|byte| *byte == b'&');
    let mut values = fields.filter_map(|field| field.strip_prefix(b"ssl_check="));
    values.next() == Some(b"1") && values.next().is_none() && is_form(headers)
}

fn is_form(headers: &HeaderMap) -> bool {
    let kind = headers
        .get(CONTENT_TYPE)
        .and_then(|kind| kind.to_str().ok());
    let essence = kind.and_then(|kind| kind.split(';').next());
    essence.is_some_and(|essence| {
        essence
            .trim()
            .eq_ignore_ascii_case("application/x-www-form-urlencoded")
    })
}
