//! Slack's Web API, as far as the app calls it: what an answer says ([`answer`]), and what can go wrong ([`error`]).

mod answer;
mod error;

use std::time::Duration;

use axum::http::header::{AUTHORIZATION, CONTENT_TYPE};
use axum::http::{HeaderValue, Request, StatusCode, Uri};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Bytes;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::connect::proxy::Tunnel;
use hyper_util::client::proxy::matcher::Matcher;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use secrecy::{ExposeSecret, SecretString};
use serde_json::Value;
use tokio::time::timeout;
use url::Url;

pub(crate) use error::CallError;

use super::super::tls;
use crate::error::Error;

/// How long Slack may take for an answer. It gives up on us after three seconds; we are more patient with jobs.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);

/// What Slack answers is smaller by far.
const LARGEST_ANSWER: usize = 1 << 20;

/// What the app proves with that it is the app.
#[derive(Clone)]
pub(crate) struct Credentials {
    pub(crate) id: String,
    pub(crate) secret: SecretString,
}

/// To Slack, or through a proxy that HTTPS_PROXY names, unless NO_PROXY names Slack.
#[derive(Clone)]
enum Way {
    Direct(Client<HttpsConnector<HttpConnector>, Full<Bytes>>),
    Proxied(Client<HttpsConnector<Tunnel<HttpConnector>>, Full<Bytes>>),
}

#[derive(Clone)]
pub(crate) struct SlackClient {
    http: Way,
    base: Url,
}

impl SlackClient {
    /// `base` is `https://slack.com`, but for tests.
    pub(crate) fn new(base: &Url) -> Result<Self, Error> {
        let mut connector = HttpConnector::new();
        connector.enforce_http(false);
        connector.set_nodelay(true);
        connector.set_connect_timeout(Some(ANSWER_TIMEOUT / 2));
        let tls = HttpsConnectorBuilder::new()
            .with_tls_config(tls::verifying()?)
            .https_or_http()
            .enable_http1();
        let mut client = Client::builder(TokioExecutor::new());
        client
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(Duration::from_secs(30));
        let proxy = base.as_str().parse().ok();
        let proxy = proxy.and_then(|base: Uri| Matcher::from_env().intercept(&base));
        let http = match proxy.filter(|_| base.scheme() == "https") {
            None => Way::Direct(client.build(tls.wrap_connector(connector))),
            Some(proxy) => {
                let mut tunnel = Tunnel::new(proxy.uri().clone(), connector);
                if let Some(credentials) = proxy.basic_auth() {
                    tunnel = tunnel.with_auth(credentials.clone());
                }
                Way::Proxied(client.build(tls.wrap_connector(tunnel)))
            }
        };
        Ok(Self {
            http,
            base: base.clone(),
        })
    }

    /// The address of a page or method.
    pub(crate) fn url(&self, path: &str) -> Url {
        let mut url = self.base.clone();
        url.set_path(path);
        url
    }

    /// Calls a method in the name of the app's user.
    pub(crate) async fn call(
        &self,
        method: &str,
        token: &SecretString,
        arguments: &Value,
    ) -> Result<Value, CallError> {
        let request = Request::post(self.uri(&format!("/api/{method}"))?)
            .header(CONTENT_TYPE, "application/json; charset=utf-8")
            .header(
                AUTHORIZATION,
                secret_value(format!("Bearer {}", token.expose_secret()))?,
            );
        self.send(request, arguments.to_string()).await
    }

    /// Calls `oauth.v2.access` in the name of the app itself.
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
        self.send(request, body).await
    }

    /// Whether Slack is there at all. Any answer in its form will do.
    pub(crate) async fn test(&self) -> Result<(), CallError> {
        let request = Request::post(self.uri("/api/api.test")?);
        match self.send(request, String::new()).await {
            Ok(_) | Err(CallError::Refused { .. }) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Answers a command after its request is over.
    pub(crate) async fn reply(&self, url: &str, message: &Value) -> Result<(), CallError> {
        let target = Url::parse(url).map_err(|_| CallError::ForeignUrl)?;
        let is_slacks = match self.base.scheme() {
            // As hooks.slack.com.
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
        let (status, pause, _) = self.exchange(request, message.to_string()).await?;
        match status {
            StatusCode::TOO_MANY_REQUESTS => Err(CallError::RateLimited(pause)),
            status if status.is_success() => Ok(()),
            status => Err(CallError::Status(status.as_u16())),
        }
    }

    fn uri(&self, path: &str) -> Result<Uri, CallError> {
        self.url(path)
            .as_str()
            .parse()
            .map_err(|_| CallError::ForeignUrl)
    }

    async fn send(
        &self,
        request: axum::http::request::Builder,
        body: String,
    ) -> Result<Value, CallError> {
        let (status, pause, body) = self.exchange(request, body).await?;
        answer::read(status, pause, &body)
    }

    async fn exchange(
        &self,
        request: axum::http::request::Builder,
        body: String,
    ) -> Result<(StatusCode, Duration, Bytes), CallError> {
        let request = request
            .body(Full::new(Bytes::from(body)))
            .map_err(|_| CallError::ForeignUrl)?;
        let answering = async {
            let answering = match &self.http {
                Way::Direct(http) => http.request(request),
                Way::Proxied(http) => http.request(request),
            };
            let answer = answering.await.map_err(unanswered)?;
            let status = answer.status();
            let pause = answer::pause(answer.headers());
            let body = Limited::new(answer.into_body(), LARGEST_ANSWER);
            let body = body
                .collect()
                .await
                .map_err(|error| CallError::Unanswered(error.to_string()))?;
            Ok((status, pause, body.to_bytes()))
        };
        timeout(ANSWER_TIMEOUT, answering)
            .await
            .map_err(|_| CallError::Unanswered("it took too long".to_owned()))?
    }
}

/// The innermost cause: the outer ones only say that a request failed.
fn unanswered(error: hyper_util::client::legacy::Error) -> CallError {
    let mut cause: &dyn std::error::Error = &error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    match error.is_connect() {
        true => CallError::Unreachable(cause.to_string()),
        false => CallError::Unanswered(cause.to_string()),
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

    /// Whoever could make the app send a reply elsewhere would make it speak to machines that only it reaches.
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
