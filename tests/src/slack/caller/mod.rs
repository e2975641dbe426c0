//! Slack's calls to an app: events, slash commands, interactions.

mod filled;
mod payload;
mod retry;
mod signature;

use std::time::{Duration, SystemTime};

use anyhow::{Context, Result};
use serde_json::{Value, json};

use crate::http::{FORM, Http, Reply, form};

use super::clock::since_epoch;
use super::world::App;

pub use filled::filled_in;
pub use payload::{Origin, block_actions, block_suggestion, view_closed, view_submission};
pub use retry::{Delivery, RetryReason};
pub use signature::sign;

/// How long Slack waits for a response.
const PATIENCE: Duration = Duration::from_secs(3);

/// Slack, calling one app.
#[derive(Clone, Debug)]
pub struct Caller {
    /// `http://` and the app's address.
    base_url: String,
    app: App,
    http: Http,
    /// How many seconds Slack's clock is ahead of the system's, or behind it if negative.
    skew: i64,
}

impl Caller {
    /// Calls an app at `base_url` with its registered secrets.
    pub fn new(base_url: &str, app: App) -> Self {
        Self {
            base_url: base_url.trim_end_matches('/').to_owned(),
            app,
            http: Http::new(PATIENCE),
            skew: 0,
        }
    }

    /// With a longer timeout than Slack's 3 seconds, for busy machines.
    #[must_use]
    pub fn with_patience(mut self, patience: Duration) -> Self {
        self.http = Http::new(patience);
        self
    }

    /// With a clock that is wrong by this many seconds.
    #[must_use]
    pub fn with_skew(mut self, seconds: i64) -> Self {
        self.skew = seconds;
        self
    }

    /// Signs with another secret.
    #[must_use]
    pub fn with_signing_secret(mut self, secret: &str) -> Self {
        secret.clone_into(&mut self.app.signing_secret);
        self
    }

    pub fn app(&self) -> &App {
        &self.app
    }

    pub fn url(&self, path: &str) -> String {
        format!("{}{path}", self.base_url)
    }

    /// The two headers that prove that a body is from Slack.
    pub fn signature_headers(&self, body: &[u8]) -> [(&'static str, String); 2] {
        let now = i64::try_from(since_epoch(SystemTime::now()).as_secs()).unwrap_or_default();
        let timestamp = (now + self.skew).to_string();
        let signature = sign(&self.app.signing_secret, &timestamp, body);
        [
            ("x-slack-request-timestamp", timestamp),
            ("x-slack-signature", signature),
        ]
    }

    /// Posts a body with its signature.
    pub fn post(&self, path: &str, content_type: &str, body: &[u8]) -> Result<Reply> {
        self.try_post(path, content_type, &[], body)
            .with_context(|| format!("POST {path}"))
    }

    fn try_post(
        &self,
        path: &str,
        content_type: &str,
        more: &[(&str, &str)],
        body: &[u8],
    ) -> Result<Reply, ureq::Error> {
        let signature = self.signature_headers(body);
        let mut headers = vec![("content-type", content_type)];
        headers.extend(
            signature
                .iter()
                .map(|(name, value)| (*name, value.as_str())),
        );
        headers.extend(more);
        self.http.send("POST", &self.url(path), &headers, body)
    }

    /// The same through a proxy that adds these headers.
    pub fn post_through(
        &self,
        path: &str,
        content_type: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Result<Reply> {
        self.try_post(path, content_type, headers, body)
            .with_context(|| format!("POST {path}"))
    }

    /// Posts a body without one.
    pub fn post_unsigned(&self, path: &str, content_type: &str, body: &[u8]) -> Result<Reply> {
        let headers = [("content-type", content_type)];
        self.http
            .send("POST", &self.url(path), &headers, body)
            .with_context(|| format!("POST {path}"))
    }

    /// The first delivery of an event.
    pub fn event(&self, path: &str, envelope: &Value) -> Result<Reply> {
        self.post(path, "application/json", envelope.to_string().as_bytes())
    }

    /// Slack's check that an address belongs to the app.
    pub fn url_verification(&self, path: &str, challenge: &str) -> Result<Reply> {
        let body = json!({
            "token": self.app.verification_token,
            "challenge": challenge,
            "type": "url_verification",
        });
        self.event(path, &body)
    }

    /// Slack's check that an address accepts TLS; it is not signed.
    pub fn ssl_check(&self, path: &str) -> Result<Reply> {
        let fields = [("ssl_check", "1"), ("token", &*self.app.verification_token)];
        self.post_unsigned(path, FORM, form(&fields).as_bytes())
    }

    /// A slash command such as `/gitlab` with its text as typed, except for mentions and links, which Slack has already marked
    /// up.
    pub fn command(&self, path: &str, origin: &Origin, command: &str, text: &str) -> Result<Reply> {
        let body = self.command_body(origin, command, text);
        self.post(path, FORM, body.as_bytes())
    }

    /// The form of a slash command.
    pub fn command_body(&self, origin: &Origin, command: &str, text: &str) -> String {
        let fields = origin.command(&self.app, command, &escaped(text));
        let fields: Vec<_> = fields
            .iter()
            .map(|(name, value)| (*name, value.as_str()))
            .collect();
        form(&fields)
    }

    /// An interaction, or a request for options: JSON in one form field.
    pub fn interaction(&self, path: &str, payload: &Value) -> Result<Reply> {
        let body = form(&[("payload", &payload.to_string())]);
        self.post(path, FORM, body.as_bytes())
    }
}

/// Typed text as Slack sends it: three characters escaped, and mark-up unchanged.
fn escaped(text: &str) -> String {
    let typed = |text: &str| {
        text.replace('&', "&amp;")
            .replace('<', "&lt;")
            .replace('>', "&gt;")
    };
    let mut sent = String::new();
    let mut rest = text;
    while let Some((before, from)) = rest.split_once('<') {
        sent.push_str(&typed(before));
        let is_mark = ["@", "#", "!", "http://", "https://", "mailto:"]
            .iter()
            .any(|kind| from.starts_with(kind));
        match from.split_once('>').filter(|_| is_mark) {
            Some((mark, after)) => {
                sent.push_str(&format!("<{mark}>"));
                rest = after;
            }
            None => {
                sent.push_str("&lt;");
                rest = from;
            }
        }
    }
    sent.push_str(&typed(rest));
    sent
}
