//! The path of a request, for the fuzz target.

use std::sync::LazyLock;
use std::time::SystemTime;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::{Request, StatusCode};
use tokio::runtime::{Builder, Runtime};
use tower::ServiceExt;

use crate::http::path::{COMMANDS, EVENTS, INTERACTIONS, OPTIONS};
use crate::serve::{SECRET, router_without_database};
use crate::slack::signed_headers;

static ROUTER: LazyLock<Router> = LazyLock::new(router_without_database);
static RUNTIME: LazyLock<Option<Runtime>> =
    LazyLock::new(|| Builder::new_current_thread().enable_all().build().ok());

/// Sends a body to one of Slack's endpoints, signed or not, as chosen by the first byte. Returns false if the response is one
/// that no request without a database should get.
pub fn is_answered(data: &[u8]) -> bool {
    let Some((first, body)) = data.split_first() else {
        return true;
    };
    let path = [EVENTS, INTERACTIONS, OPTIONS, COMMANDS][usize::from(first & 3)];
    let is_signed = first & 4 == 0;
    let kind = match first & 8 {
        0 => "application/x-www-form-urlencoded",
        _ => "application/json",
    };
    let mut request = Request::post(path).header("content-type", kind);
    if is_signed {
        for (name, value) in signed_headers(SECRET, body, SystemTime::now()) {
            request = request.header(name, value);
        }
    }
    let (Ok(request), Some(runtime)) = (request.body(Body::from(body.to_vec())), &*RUNTIME) else {
        return false;
    };
    runtime.block_on(async {
        let Ok(response) = ROUTER.clone().oneshot(request).await;
        let status = response.status();
        let body = to_bytes(response.into_body(), usize::MAX).await;
        let expected: &[StatusCode] = match is_signed {
            true => &[
                StatusCode::OK,
                StatusCode::BAD_REQUEST,
                StatusCode::SERVICE_UNAVAILABLE,
            ],
            // An ssl_check gets a response.
            false if path == COMMANDS => &[StatusCode::UNAUTHORIZED, StatusCode::OK],
            false => &[StatusCode::UNAUTHORIZED],
        };
        body.is_ok() && expected.contains(&status)
    })
}
