//! Each request is counted and has an id, which appears in its log lines and its response.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock};
use std::time::Instant;

use axum::extract::{MatchedPath, Request};
use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::middleware::Next;
use axum::response::Response;
use ring::rand::{SecureRandom, SystemRandom};
use tracing::{Instrument, debug, field, info_span, warn};

use super::current::Current;
use super::metrics::{Timing, count_request, time};
use super::trace;

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const LONGEST_ID: usize = 64;

pub(crate) async fn observe(request: Request, next: Next) -> Response {
    let begun = Instant::now();
    let id = id_of(&request);
    let path = request.extensions().get::<MatchedPath>().cloned();
    let route: Arc<str> = path.map_or_else(|| Arc::from("none"), |path| Arc::from(path.as_str()));
    let id_text = id.to_str().unwrap_or_default();
    let span = info_span!("request", id = id_text, trace_id = field::Empty);
    trace::begin(&span, request.headers(), &route);
    let current = Current::new(id.clone(), &request);
    let answering = next.run(request).instrument(span.clone());
    let mut response = current.answer(answering).await;
    let status = response.status();
    let took = begun.elapsed();
    trace::end(&span, status);
    span.in_scope(|| {
        let milliseconds = took.as_secs_f64() * 1e3;
        // An outage of the database or of a peer is logged once for all requests that it fails.
        match status.is_server_error() && status != StatusCode::SERVICE_UNAVAILABLE {
            true => warn!(%route, status = status.as_u16(), milliseconds, "answered"),
            false => debug!(%route, status = status.as_u16(), milliseconds, "answered"),
        }
    });
    count_request(Arc::clone(&route), status);
    time(Timing::REQUEST, route, took);
    response.headers_mut().insert(REQUEST_ID, id);
    response
}

/// The id from a proxy in front, if it has a valid form.
fn id_of(request: &Request) -> HeaderValue {
    let given = request.headers().get(REQUEST_ID);
    let is_plain = |value: &&HeaderValue| {
        let bytes = value.as_bytes();
        (1..=LONGEST_ID).contains(&bytes.len())
            && bytes
                .iter()
                .all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(byte))
    };
    given.filter(is_plain).cloned().unwrap_or_else(new_id)
}

/// A number within this process, after a random one that identifies the process.
fn new_id() -> HeaderValue {
    static PROCESS: LazyLock<u32> = LazyLock::new(|| {
        let mut bytes = [0; 4];
        // Without random numbers the ids of several processes may be equal, which is harmless.
        let _ = SystemRandom::new().fill(&mut bytes);
        u32::from_ne_bytes(bytes)
    });
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    HeaderValue::try_from(format!("{:08x}-{number}", *PROCESS))
        .unwrap_or(HeaderValue::from_static("none"))
}
