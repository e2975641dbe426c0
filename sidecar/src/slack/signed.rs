//! Requests that Slack has signed, and no others: the raw bytes are verified, then parsed.

use std::time::{Duration, SystemTime};

use axum::body::Bytes;
use axum::extract::{FromRef, FromRequest, Request};
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use tracing::debug;

use super::payload::{Envelope, Interaction, SlashCommand};
use super::signature::{Refusal, SigningSecret};
use crate::http::{Counter, Problem, Room, count};

/// A view may have 250 kB, and a form may encode each byte as three.
const LARGEST_BODY: usize = 1 << 20;

/// An ssl_check is a short form.
const LARGEST_CHECK: usize = 4 << 10;

/// Unverified bodies have a limited amount of memory, however many arrive.
static ROOM: Room = Room::new(16 << 10, 16 << 20);

/// Slack sends its bodies without delay.
const BODY_TIMEOUT: Duration = Duration::from_millis(1_500);

/// A verified request, parsed and in its original form.
pub(crate) struct Signed<T>(pub(crate) T, pub(crate) Original);

/// The headers and bytes that Slack has signed.
pub(crate) struct Original {
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Original {
    /// The same command with another text; the rest of the form is unchanged. It is signed again, because some receivers verify
    /// the signature and others the token in the form.
    pub(crate) fn with_text(mut self, text: &str, secret: &SigningSecret) -> Self {
        self.body = with_text(&self.body, text).into();
        secret.sign_again(&mut self.headers, &self.body);
        self
    }
}

fn with_text(form: &[u8], text: &str) -> Vec<u8> {
    let others = form
        .split(|byte| *byte == b'&')
        .filter(|field| !field.is_empty() && !field.starts_with(b"text=") && *field != b"text");
    let mut changed = others.collect::<Vec<_>>().join(&b'&');
    if !changed.is_empty() {
        changed.push(b'&');
    }
    let field = form_urlencoded::Serializer::new(String::new())
        .append_pair("text", text)
        .finish();
    changed.extend_from_slice(field.as_bytes());
    changed
}

/// How a body is parsed.
pub(crate) trait Payload: Sized {
    /// Slack occasionally sends unsigned requests to this address, to check its certificate.
    const IS_CHECKED: bool = false;

    fn read(body: &[u8]) -> Result<Self, Problem>;

    /// Whether it does something, so that the same request must not run twice. Events have ids instead, by which they count once.
    fn runs_once(&self) -> bool {
        false
    }
}

impl Payload for Envelope {
    fn read(body: &[u8]) -> Result<Self, Problem> {
        serde_json::from_slice(body)
            .map_err(|_| Problem::bad_request("The body is not a JSON object with a type."))
    }
}

impl Payload for Interaction {
    fn read(body: &[u8]) -> Result<Self, Problem> {
        Self::of_form(body).ok_or(Problem::bad_request(
            "The form has no field payload with a JSON object.",
        ))
    }

    /// Suggestions change nothing, and the same text may be typed twice in a second.
    fn runs_once(&self) -> bool {
        self.kind != "block_suggestion"
    }
}

impl Payload for SlashCommand {
    const IS_CHECKED: bool = true;

    fn read(body: &[u8]) -> Result<Self, Problem> {
        Self::of_form(body).ok_or(Problem::bad_request(
            "The form lacks team_id, user_id or command.",
        ))
    }

    fn runs_once(&self) -> bool {
        true
    }
}

/// A response without calling the handler.
pub(crate) enum Answered {
    /// Nothing to do.
    SslCheck,
    /// It ran before, and is acknowledged.
    Replayed,
    Problem(Problem),
}

impl From<Problem> for Answered {
    fn from(problem: Problem) -> Self {
        Self::Problem(problem)
    }
}

impl IntoResponse for Answered {
    fn into_response(self) -> Response {
        match self {
            Self::SslCheck | Self::Replayed => StatusCode::OK.into_response(),
            Self::Problem(problem) => problem.into_response(),
        }
    }
}

impl<T, S> FromRequest<S> for Signed<T>
where
    T: Payload,
    S: Send + Sync,
    SigningSecret: FromRef<S>,
{
    type Rejection = Answered;

    async fn from_request(request: Request, state: &S) -> Result<Self, Answered> {
        let (parts, body) = request.into_parts();
        let headers = parts.headers;
        if let Err(refusal) = SigningSecret::may_be_signed(&headers, SystemTime::now()) {
            // Only Slack may make us keep a body in memory.
            if T::IS_CHECKED
                && is_form(&headers)
                && is_ssl_check(&ROOM.read(body, LARGEST_CHECK, BODY_TIMEOUT).await?.bytes)
            {
                return Err(Answered::SslCheck);
            }
            return Err(refused(refusal).into());
        }
        let body = ROOM.read(body, LARGEST_BODY, BODY_TIMEOUT).await?;
        let (secret, now) = (SigningSecret::from_ref(state), SystemTime::now());
        secret.verify(&headers, &body.bytes, now).map_err(refused)?;
        if T::IS_CHECKED && is_form(&headers) && is_ssl_check(&body.bytes) {
            return Err(Answered::SslCheck);
        }
        let payload = T::read(&body.bytes)?;
        if payload.runs_once() && !secret.is_first(&headers, now) {
            count(Counter::REFUSALS, "replayed");
            debug!("a request was sent again");
            return Err(Answered::Replayed);
        }
        let body = Bytes::from(body.bytes);
        Ok(Self(payload, Original { headers, body }))
    }
}

/// The reason is only logged: an attacker must not learn which check failed.
fn refused(refusal: Refusal) -> Problem {
    count(Counter::REFUSALS, refusal.reason());
    debug!(reason = refusal.reason(), "refused");
    Problem::new(
        StatusCode::UNAUTHORIZED,
        "The request is not signed by Slack, or its time is off by more than five minutes.",
    )
}

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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{Payload, SlashCommand, with_text};

    #[test]
    fn other_fields_stay_as_they_are() {
        let changed = with_text(b"token=a%2bb&text=x+y&text=z&user_name=%e4&", "group/a b");
        assert_eq!(changed, b"token=a%2bb&user_name=%e4&text=group%2Fa+b");
        assert_eq!(with_text(b"", "a"), b"text=a");
        assert_eq!(with_text(b"text", "a"), b"text=a");
        assert_eq!(
            with_text(b"texts=1&mytext=2", "a"),
            b"texts=1&mytext=2&text=a"
        );
    }

    proptest! {
        #[test]
        fn text_is_what_is_read_back(before in "[a-z&=%+]{0,30}", text in "[^\u{0}]{0,30}") {
            let form = format!("{before}&team_id=T1&user_id=U1&command=/gitlab&text={before}");
            let read = SlashCommand::read(&with_text(form.as_bytes(), &text));
            prop_assert_eq!(read.ok().map(|slash| slash.text), Some(text));
        }
    }
}
