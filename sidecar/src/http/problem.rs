//! Responses to invalid requests, as in RFC 9457. They contain nothing from the database.

use std::borrow::Cow;

use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde_json::json;

use crate::error::{Error, complain};

/// For Slack: a retry would get the same response.
const NO_RETRY: HeaderName = HeaderName::from_static("x-slack-no-retry");

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Problem {
    status: StatusCode,
    detail: Cow<'static, str>,
}

impl Problem {
    pub(crate) const fn bad_request(detail: &'static str) -> Self {
        Self::new(StatusCode::BAD_REQUEST, detail)
    }

    pub(crate) const fn new(status: StatusCode, detail: &'static str) -> Self {
        let detail = Cow::Borrowed(detail);
        Self { status, detail }
    }

    /// For a body.
    pub(crate) const fn too_large() -> Self {
        Self::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            "The body is larger than any that is taken.",
        )
    }

    pub(crate) const fn too_slow() -> Self {
        Self::new(
            StatusCode::REQUEST_TIMEOUT,
            "The body did not arrive in time.",
        )
    }

    pub(crate) const fn broken_off() -> Self {
        Self::bad_request("The body did not arrive whole.")
    }

    /// Valid JSON, but not as expected.
    pub(crate) fn unprocessable(detail: impl Into<Cow<'static, str>>) -> Self {
        Self {
            status: StatusCode::UNPROCESSABLE_ENTITY,
            detail: detail.into(),
        }
    }

    pub(super) fn status(&self) -> StatusCode {
        self.status
    }

    pub(super) fn detail(&self) -> &str {
        &self.detail
    }

    pub(crate) fn is_unavailable(&self) -> bool {
        self.status == StatusCode::SERVICE_UNAVAILABLE
    }

    /// The client should retry.
    pub(crate) const fn unavailable() -> Self {
        Self::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "The database does not respond at the moment. Nothing was changed; try again.",
        )
    }
}

/// The database's error is logged, not shown.
impl From<Error> for Problem {
    fn from(error: Error) -> Self {
        complain!(error, "a request failed");
        match error.is_wrong_data() {
            true => Self::unprocessable("There is something in it that the database cannot take."),
            false => Self::unavailable(),
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let body = json!({
            "type": "about:blank",
            "title": self.status.canonical_reason(),
            "status": self.status.as_u16(),
            "detail": self.detail,
        });
        let headers = [
            (
                CONTENT_TYPE,
                HeaderValue::from_static("application/problem+json"),
            ),
            (CACHE_CONTROL, HeaderValue::from_static("no-store")),
        ];
        let mut response = (self.status, headers, body.to_string()).into_response();
        if self.status.is_client_error() {
            response
                .headers_mut()
                .insert(NO_RETRY, HeaderValue::from_static("1"));
        }
        // For those who are shown a page.
        response.extensions_mut().insert(self);
        response
    }
}
