//! GitLab's address may point back to us, by name or through a proxy: requests that we passed on ourselves are refused, because
//! otherwise they would loop until all timeouts expire.

use axum::extract::Request;
use axum::http::header::VIA;
use axum::http::{HeaderMap, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use tracing::error;

use crate::http::Problem;

/// As in RFC 9110, 7.6.3: a proxy names itself, which makes loops detectable.
pub(super) const OWN: &str = "1.1 lockstep-sidecar";

pub(crate) async fn refuse_own(request: Request, next: Next) -> Response {
    if is_own(request.headers()) {
        error!("what was passed on to GitLab came back: --gitlab-url leads to this program");
        return Problem::new(
            StatusCode::LOOP_DETECTED,
            "It was passed on from here: --gitlab-url is not the address of GitLab.",
        )
        .into_response();
    }
    next.run(request).await
}

fn is_own(headers: &HeaderMap) -> bool {
    let values = headers.get_all(VIA).iter();
    let mut hops = values
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','));
    hops.any(|hop| hop.trim() == OWN)
}

#[cfg(test)]
mod tests {
    use axum::http::header::VIA;
    use axum::http::{HeaderMap, HeaderValue};

    use super::is_own;

    #[test]
    fn hops_are_told_apart() {
        let is_own = |values: &[&'static str]| {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append(VIA, HeaderValue::from_static(value));
            }
            is_own(&headers)
        };
        assert!(is_own(&["1.1 lockstep-sidecar"]));
        assert!(is_own(&[
            "1.1 vegur",
            "1.0 a, 1.1 lockstep-sidecar ,1.1 nginx"
        ]));
        assert!(!is_own(&[]));
        assert!(!is_own(&["1.1 google", "1.1 lockstep-sidecar-of-others"]));
    }
}
