//! Slack's Web API, as far as the app calls it: responses ([`answer`]) and errors ([`error`]).

mod answer;
mod error;

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::http::header::{AUTHORIZATION, CONTENT_TYPE};
use axum::http::{HeaderValue, Request, StatusCode, Uri};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http_body_util::Full;
use hyper::body::Bytes;
use secrecy::{ExposeSecret, SecretString};
use serde_json::Value;
use tracing::{Instrument, debug_span};
use url::Url;

pub(crate) use error::CallError;

use crate::error::Error;
use crate::http::{ExchangeError, HttpClient, Timing, count_call, time};
use crate::outage::Outage;

/// How long Slack may take to respond. Slack gives up on us after three seconds; we are more patient with jobs.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);

/// Slack's responses are much smaller.
const LARGEST_ANSWER: usize = 1 << 20;

/// The app's credentials.
#[derive(Clone)]
pub(crate) struct Credentials {
    pub(crate) id: String,
    pub(crate) secret: SecretString,
}

#[derive(Clone)]
pub(crate) struct SlackClient {
    http: HttpClient,
    base: Url,
    outage: Arc<Outage>,
}

impl SlackClient {
    /// `base` is `https://slack.com`, except in tests.
    pub(crate) fn new(base: &Url) -> Result<Self, Error> {
        Ok(Self {
            http: HttpClient::new(base, ANSWER_TIMEOUT / 2, Duration::from_secs(30))?,
            base: base.clone(),
            outage: Arc::default(),
        })
    }

    /// The address of a page or method.
    pub(crate) fn url(&self, path: &str) -> Url {
        let mut url = self.base.clone();
        url.set_path(path);
        url
    }

    /// Calls a method as the app's bot user.
    pub(crate) async fn call(
        &self,
        method: &'static str,
        token: &SecretString,
        arguments: &Value,
    ) -> Result<Value, CallError> {
        let request = Request::post(self.uri(&format!("/api/{method}"))?)
            .header(CONTENT_TYPE, "application/json; charset=utf-8")
            .header(
                AUTHORIZATION,
                secret_value(format!("Bearer {}", token.expose_secret()))?,
            );
        self.send(method, request, arguments.to_string()).await
    }

    /// Calls `oauth.v2.access` as the app itself.
    pub(crate) async fn access(
        &self,
        app: &Credentials,
        form: &[(&str, &str)],
    ) -> Result<Value, CallError> {
        let pair = format!("{}:{}", app.id, app.secret.expose_secret());
        let request = Request::post(self.uri("/api/oauth.v2.access")?)
            .header(CONTENT_TYPE, "application/x-www-form-urlencoded")
            .header(
                AUTHORIZATION,
                secret_value(format!("Basic {}", STANDARD.encode(pair)))?,
            );
        let body = form_urlencoded::Serializer::new(String::new())
            .extend_pairs(form)
            .finish();
        self.send("oauth.v2.access", request, body).await
    }

    /// Whether Slack is reachable. Any well-formed response counts.
    pub(crate) async fn test(&self) -> Result<(), CallError> {
        let request = Request::post(self.uri("/api/api.test")?);
        match self.send("api.test", request, String::new()).await {
            Ok(_) | Err(CallError::Refused { .. }) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Answers a command after its request has ended.
    pub(crate) async fn reply(&self, url: &str, message: &Value) -> Result<(), CallError> {
        let target = Url::parse(url).map_err(|_| CallError::ForeignUrl)?;
        let is_slacks = match self.base.scheme() {
            // Like hooks.slack.com.
            "https" => {
                let host = format!("hooks.{}", self.base.host_str().unwrap_or_default());
                target.scheme() == "https" && target.host_str() == Some(&*host)
            }
            _ => target.origin() == self.base.origin(),
        };
        if !is_slacks {
            return Err(CallError::ForeignUrl);
        }
        let uri = url.parse::<Uri>().map_err(|_| CallError::ForeignUrl)?;
        let request = Request::post(uri).header(CONTENT_TYPE, "application/json; charset=utf-8");
        let begun = Instant::now();
        let span = debug_span!("slack", method = "response_url");
        let answered = self
            .exchange(request, message.to_string())
            .instrument(span)
            .await;
        let taken = answered.and_then(|(status, pause, _)| match status {
            StatusCode::TOO_MANY_REQUESTS => Err(CallError::RateLimited(pause)),
            status if status.is_success() => Ok(()),
            status => Err(CallError::Status(status.as_u16())),
        });
        self.noted("response_url", begun, taken)
    }

    fn uri(&self, path: &str) -> Result<Uri, CallError> {
        self.url(path)
            .as_str()
            .parse()
            .map_err(|_| CallError::ForeignUrl)
    }

    async fn send(
        &self,
        method: &'static str,
        request: axum::http::request::Builder,
        body: String,
    ) -> Result<Value, CallError> {
        let begun = Instant::now();
        let span = debug_span!("slack", method);
        let answered = self.exchange(request, body).instrument(span).await;
        let read = answered.and_then(|(status, pause, body)| answer::read(status, pause, &body));
        self.noted(method, begun, read)
    }

    /// Counts a call, and how long Slack took for it. Whether Slack answers at all is logged once for all calls.
    fn noted<T>(
        &self,
        method: &'static str,
        begun: Instant,
        outcome: Result<T, CallError>,
    ) -> Result<T, CallError> {
        time(Timing::SLACK_CALL, method, begun.elapsed());
        count_call(
            method,
            outcome.as_ref().map_or_else(CallError::name, |_| "ok"),
        );
        match &outcome {
            Err(error) if error.is_outage() => self.outage.failed("Slack", &error.to_string()),
            // Nothing was asked.
            Err(CallError::ForeignUrl) => {}
            _ => self.outage.answered(|| "Slack".to_owned(), begun),
        }
        outcome
    }

    async fn exchange(
        &self,
        request: axum::http::request::Builder,
        body: String,
    ) -> Result<(StatusCode, Duration, Bytes), CallError> {
        let request = request
            .body(Full::new(Bytes::from(body)))
            .map_err(|_| CallError::ForeignUrl)?;
        let answer = self
            .http
            .exchange(request, ANSWER_TIMEOUT, LARGEST_ANSWER)
            .await
            .map_err(|error| match error {
                ExchangeError::Unreachable(why) => CallError::Unreachable(why),
                ExchangeError::Unanswered(why) => CallError::Unanswered(why),
                ExchangeError::TooSlow => CallError::Unanswered("it took too long".to_owned()),
                ExchangeError::TooLarge => CallError::Unanswered("it is too large".to_owned()),
            })?;
        let pause = answer::pause(&answer.headers);
        Ok((answer.status, pause, answer.body))
    }
}

/// A header that is never shown.
fn secret_value(text: String) -> Result<HeaderValue, CallError> {
    let mut value = HeaderValue::try_from(text).map_err(|_| CallError::Refused {
        name: "invalid_auth".to_owned(),
        needed: None,
    })?;
    value.set_sensitive(true);
    Ok(value)
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use tokio::runtime::Builder;
    use url::Url;

    use super::SlackClient;
    use super::error::CallError;
    use crate::error::Error;

    /// An attacker who could redirect replies would make the app call machines that only it can reach.
    #[test]
    fn replies_go_to_slack_alone() -> Result<(), Error> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        for (base, url) in [
            ("https://slack.com", "https://example.com/commands/1"),
            ("https://slack.com", "http://hooks.slack.com/commands/1"),
            ("https://slack.com", "https://hooks.slack.com.example.com/1"),
            (
                "https://slack.com",
                "https://user@example.com/hooks.slack.com",
            ),
            ("https://slack.com", "https://slack.com/commands/1"),
            ("https://slack.com", "file:///etc/passwd"),
            ("https://slack.com", "commands/1"),
            ("http://127.0.0.1:1", "http://127.0.0.1:2/response"),
            ("http://127.0.0.1:1", "https://127.0.0.1:1/response"),
        ] {
            let Ok(base) = Url::parse(base) else {
                unreachable!("{base} is an address");
            };
            let client = SlackClient::new(&base)?;
            let sent = runtime.block_on(client.reply(url, &json!({})));
            assert_eq!(sent, Err(CallError::ForeignUrl), "{base} {url}");
        }
        Ok(())
    }
}
