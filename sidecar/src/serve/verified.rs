//! Lets requests through that Slack has signed, and no others.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use axum::body::{Body, Bytes, to_bytes};
use axum::extract::{Request, State};
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderMap, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http_body_util::LengthLimitError;
use tokio::time::timeout;
use tracing::{debug, warn};

use super::problem::Problem;
use super::{Counter, count, router};
use crate::app::App;
use crate::slack::{Refusal, SigningSecret};

/// A view may have 250 kB, and each byte may be written as three in a form.
const LARGEST_BODY: usize = 1 << 20;

/// An ssl_check is a short form.
const LARGEST_CHECK: usize = 4 << 10;

/// Slack sends its bodies at once.
const BODY_TIMEOUT: Duration = Duration::from_millis(1_500);

/// Slack waits for three seconds.
const DEADLINE: Duration = Duration::from_millis(2_800);

pub(super) async fn verify(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    match timeout(DEADLINE, verified(&app, request, next)).await {
        Ok(answered) => answered.unwrap_or_else(Problem::into_response),
        Err(_) => {
            warn!("no answer in time");
            Problem::unavailable().into_response()
        }
    }
}

async fn verified(app: &App, request: Request, next: Next) -> Result<Response, Problem> {
    let (parts, body) = request.into_parts();
    let headers = &parts.headers;
    if let Err(refusal) = SigningSecret::may_be_signed(headers, SystemTime::now()) {
        let may_be_check = parts.uri.path() == router::COMMANDS && is_form(headers);
        // Nobody is to have us keep a body who is not Slack.
        if may_be_check && is_ssl_check(&read(body, LARGEST_CHECK, BODY_TIMEOUT).await?) {
            return Ok(StatusCode::OK.into_response());
        }
        return Err(refused(refusal));
    }
    let body = read(body, LARGEST_BODY, BODY_TIMEOUT).await?;
    let secret = &app.config.signing_secret;
    secret
        .verify(headers, &body, SystemTime::now())
        .map_err(refused)?;
    Ok(next.run(Request::from_parts(parts, Body::from(body))).await)
}

/// The whole of a body, which is neither larger nor takes longer.
async fn read(body: Body, largest: usize, patience: Duration) -> Result<Bytes, Problem> {
    let reading = timeout(patience, to_bytes(body, largest));
    let read = reading.await.map_err(|_| Problem::too_slow())?;
    read.map_err(|error| {
        let source = std::error::Error::source(&error);
        match source.is_some_and(|source| source.is::<LengthLimitError>()) {
            true => Problem::too_large(),
            false => Problem::broken_off(),
        }
    })
}

/// The reason is for the log: whoever forges is not told how far he came.
fn refused(refusal: Refusal) -> Problem {
    count(Counter::REFUSALS, refusal.reason());
    debug!(reason = refusal.reason(), "refused");
    Problem::new(
        StatusCode::UNAUTHORIZED,
        "The request is not signed by Slack, or its time is off by more than five minutes.",
    )
}

/// Slack asks an address for commands now and then, unsigned, whether its certificate is in order. Nothing is done then.
fn is_ssl_check(body: &[u8]) -> bool {
    let mut values = form_urlencoded::parse(body).filter(|(name, _)| name == "ssl_check");
    values.next().is_some_and(|(_, value)| value == "1") && values.next().is_none()
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
