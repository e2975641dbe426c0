//! Requests to GitLab: to one of its addresses, with the bytes that Slack sent.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::http::header::{CONTENT_TYPE, USER_AGENT, VIA};
use axum::http::uri::PathAndQuery;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Request, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use http_body_util::Full;
use hyper::body::Bytes;
use serde::de::IgnoredAny;
use serde_json::Value;
use tokio::time::Instant;
use tracing::{Instrument, debug_span};
use url::Url;

use super::loop_guard;
use super::settings::Settings;
use super::trouble::Trouble;
use crate::error::Error;
use crate::http::{HttpClient, pass_trace_on};
use crate::slack::Reply;

/// Slack accepts no larger message.
const LARGEST_ANSWER: usize = 1 << 20;

/// Short, so that there is time for the next address.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);

/// GitLab's servers keep idle connections for at least 20 s.
const IDLE: Duration = Duration::from_secs(10);

/// The headers to pass on. All others belong to the connection, or to proxies between Slack and us.
const HEADERS: [HeaderName; 6] = [
    CONTENT_TYPE,
    USER_AGENT,
    HeaderName::from_static("x-slack-request-timestamp"),
    HeaderName::from_static("x-slack-signature"),
    HeaderName::from_static("x-slack-retry-num"),
    HeaderName::from_static("x-slack-retry-reason"),
];

pub(super) struct Addresses {
    all: Vec<Address>,
    /// The address that was reachable the last time.
    last: AtomicUsize,
    pub(super) patience: Duration,
}

struct Address {
    url: Url,
    /// The same address in the form for requests.
    base: Uri,
    client: HttpClient,
}

/// The part of GitLab's response that is for Slack.
#[derive(Debug)]
pub(super) struct Answer {
    /// GitLab was not asked.
    pub(super) is_own: bool,
    status: StatusCode,
    /// Empty, or JSON.
    body: Bytes,
}

impl Addresses {
    /// None if nothing is configured.
    pub(super) fn new(settings: &Settings) -> Result<Option<Self>, Error> {
        let client = |url: &Url| {
            Ok(Address {
                url: url.clone(),
                base: url.as_str().parse().unwrap_or_default(),
                client: HttpClient::new(url, CONNECT_TIMEOUT, IDLE)?,
            })
        };
        let all: Vec<_> = settings
            .addresses
            .iter()
            .map(client)
            .collect::<Result<_, Error>>()?;
        Ok((!all.is_empty()).then_some(Self {
            all,
            last: AtomicUsize::new(0),
            patience: settings.patience,
        }))
    }

    pub(super) fn urls(&self) -> impl Iterator<Item = &Url> {
        self.all.iter().map(|it| &it.url)
    }

    /// Posts to the address that answered last, and to the others only if nothing was sent: GitLab must not execute a request
    /// twice.
    pub(super) async fn post(
        &self,
        path: &'static str,
        headers: &HeaderMap,
        body: &Bytes,
    ) -> Result<Answer, Trouble> {
        let begun = Instant::now();
        let first = self.last.load(Ordering::Relaxed);
        let mut trouble = Trouble::Slow(self.patience);
        for place in (first..self.all.len()).chain(0..first) {
            let left = self.patience.saturating_sub(begun.elapsed());
            match self.post_to(place, path, headers, body, left).await {
                Err(Trouble::Unreachable(why)) => trouble = Trouble::Unreachable(why),
                answered => {
                    self.last.store(place, Ordering::Relaxed);
                    return answered;
                }
            }
        }
        Err(trouble)
    }

    pub(super) async fn post_to(
        &self,
        place: usize,
        path: &'static str,
        headers: &HeaderMap,
        body: &Bytes,
        left: Duration,
    ) -> Result<Answer, Trouble> {
        let span = debug_span!("gitlab", path);
        let exchanging = self.exchange(place, path, headers, body, left);
        exchanging.instrument(span).await
    }

    async fn exchange(
        &self,
        place: usize,
        path: &'static str,
        headers: &HeaderMap,
        body: &Bytes,
        left: Duration,
    ) -> Result<Answer, Trouble> {
        let Address { base, client, .. } = &self.all[place];
        let mut target = base.clone().into_parts();
        target.path_and_query = Some(PathAndQuery::from_static(path));
        let target = Uri::from_parts(target).unwrap_or_default();
        let mut request = Request::post(target).header(VIA, loop_guard::OWN);
        for name in &HEADERS {
            for value in headers.get_all(name) {
                request = request.header(name, value);
            }
        }
        let mut request = request
            .body(Full::new(body.clone()))
            .map_err(|error| Trouble::Unreachable(error.to_string()))?;
        pass_trace_on(request.headers_mut());
        let answer = client.exchange(request, left, LARGEST_ANSWER).await;
        let answer = answer.map_err(|error| Trouble::of(error, self.patience))?;
        Answer::read(answer.status, answer.body)
    }
}

impl Answer {
    /// A response that GitLab is not needed for.
    pub(super) fn own(reply: &Reply) -> Self {
        Self {
            is_own: true,
            status: StatusCode::OK,
            body: reply.json().to_string().into(),
        }
    }

    fn read(status: StatusCode, body: Bytes) -> Result<Self, Trouble> {
        if status == StatusCode::LOOP_DETECTED {
            return Err(Trouble::Circle);
        }
        if !status.is_success() {
            return Err(Trouble::Status(status.as_u16()));
        }
        let is_json = || serde_json::from_slice::<IgnoredAny>(&body).is_ok();
        match body.trim_ascii().is_empty() || is_json() {
            true => Ok(Self {
                is_own: false,
                status,
                body,
            }),
            false => Err(Trouble::Garbled),
        }
    }

    /// The message for users; None if GitLab has only acknowledged.
    pub(super) fn message(&self) -> Option<Value> {
        let message: Value = serde_json::from_slice(&self.body).ok()?;
        let is_message = message.as_object().is_some_and(|fields| !fields.is_empty());
        is_message.then_some(message)
    }

    pub(super) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }
}

impl IntoResponse for Answer {
    fn into_response(self) -> Response {
        match self.body.is_empty() {
            true => self.status.into_response(),
            false => {
                let kind = [(CONTENT_TYPE, HeaderValue::from_static("application/json"))];
                (self.status, kind, self.body).into_response()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use axum::http::StatusCode;

    use super::{Answer, Trouble};

    #[test]
    fn answers_are_what_slack_takes() {
        for (status, body, expected) in [
            (200, r#"{"text": "a"}"#, Ok(true)),
            (201, r#"{"text": "a"}"#, Ok(true)),
            (200, "{}", Ok(false)),
            (200, "", Ok(false)),
            (204, "", Ok(false)),
            (200, "null", Ok(false)),
            (200, "[]", Ok(false)),
            (200, "<html>", Err(Trouble::Garbled)),
            (200, "{\"text\":", Err(Trouble::Garbled)),
            (302, "", Err(Trouble::Status(302))),
            (
                404,
                r#"{"error": "404 Not Found"}"#,
                Err(Trouble::Status(404)),
            ),
            (508, "", Err(Trouble::Circle)),
        ] {
            let code = StatusCode::from_u16(status).unwrap_or_default();
            let read = Answer::read(code, body.into());
            assert_eq!(
                read.map(|it| it.message().is_some()),
                expected,
                "{status} {body}"
            );
        }
    }
}
