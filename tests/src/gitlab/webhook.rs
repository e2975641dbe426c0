//! Webhooks as GitLab sends them, with a secret token or a Standard Webhooks signature.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::Result;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use serde_json::Value;
use sha2::Sha256;

use crate::http::{Http, Reply};

/// The sidecar's endpoint.
const PATH: &str = "/gitlab/hooks";

/// How a webhook is authenticated.
#[derive(Clone, Debug)]
enum Proof {
    None,
    Token(String),
    /// As GitLab shows it: `whsec_` and the key in Base64.
    SigningToken(String),
}

/// A project's webhook for an app.
#[derive(Clone, Debug)]
pub struct Webhook {
    url: String,
    http: Http,
    proof: Proof,
    /// How many seconds GitLab's clock is ahead.
    skew: i64,
    /// Whether requests have a header that identifies retries.
    has_key: bool,
    uuid: &'static str,
    next: Arc<AtomicU64>,
}

impl Webhook {
    /// Without authentication, to `http://` and an address.
    pub fn new(base_url: &str, patience: Duration) -> Self {
        Self {
            url: format!("{base_url}{PATH}"),
            http: Http::new(patience),
            proof: Proof::None,
            skew: 0,
            has_key: true,
            uuid: "webhook-of-the-tests",
            next: Arc::default(),
        }
    }

    #[must_use]
    pub fn with_token(mut self, token: &str) -> Self {
        self.proof = Proof::Token(token.to_owned());
        self
    }

    #[must_use]
    pub fn with_signing_token(mut self, token: &str) -> Self {
        self.proof = Proof::SigningToken(token.to_owned());
        self
    }

    /// With a GitLab clock that is wrong by this many seconds.
    #[must_use]
    pub fn with_skew(mut self, seconds: i64) -> Self {
        self.skew = seconds;
        self
    }

    /// Like GitLab before it sent an `Idempotency-Key`.
    #[must_use]
    pub fn without_key(mut self) -> Self {
        self.has_key = false;
        self
    }

    /// Another webhook of the same GitLab.
    #[must_use]
    pub fn with_uuid(mut self, uuid: &'static str) -> Self {
        self.uuid = uuid;
        self
    }

    /// Sends an event for the first time.
    pub fn send(&self, event: &Value) -> Result<Reply> {
        self.send_as(&self.key(), event)
    }

    /// Sends an event under a key, as GitLab does when it retries.
    pub fn send_as(&self, key: &str, event: &Value) -> Result<Reply> {
        Ok(self.post(key, kind_of(event), event.to_string().as_bytes())?)
    }

    /// A new key.
    pub fn key(&self) -> String {
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        let now = now.unwrap_or_default().as_nanos();
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        format!("{now:024x}-{number:06x}")
    }

    /// Sends any bytes.
    pub fn post(&self, key: &str, kind: &str, body: &[u8]) -> Result<Reply, ureq::Error> {
        let headers = self.headers(key, kind, body);
        let headers: Vec<_> = headers
            .iter()
            .map(|(name, value)| (*name, value.as_str()))
            .collect();
        self.http.send("POST", &self.url, &headers, body)
    }

    /// GitLab's headers for a body.
    pub fn headers(&self, key: &str, kind: &str, body: &[u8]) -> Vec<(&'static str, String)> {
        let mut headers = vec![
            ("content-type", "application/json".to_owned()),
            ("user-agent", "GitLab/18.6.0".to_owned()),
            ("x-gitlab-event", kind.to_owned()),
            ("x-gitlab-event-uuid", format!("event-{key}")),
            ("x-gitlab-webhook-uuid", self.uuid.to_owned()),
            ("x-gitlab-instance", "https://gitlab.example.com".to_owned()),
        ];
        if self.has_key {
            headers.push(("idempotency-key", key.to_owned()));
        }
        match &self.proof {
            Proof::None => {}
            Proof::Token(token) => headers.push(("x-gitlab-token", token.clone())),
            Proof::SigningToken(token) => {
                let now = SystemTime::now().duration_since(UNIX_EPOCH);
                let now = i64::try_from(now.unwrap_or_default().as_secs()).unwrap_or_default();
                let timestamp = (now + self.skew).to_string();
                let signature = sign(token, key, &timestamp, body);
                headers.push(("webhook-id", key.to_owned()));
                headers.push(("webhook-timestamp", timestamp));
                headers.push(("webhook-signature", signature));
            }
        }
        headers
    }
}

/// The value of `x-gitlab-event` for an event.
fn kind_of(event: &Value) -> &'static str {
    match event["object_kind"].as_str() {
        Some("push") => "Push Hook",
        Some("tag_push") => "Tag Push Hook",
        Some("issue" | "work_item") => "Issue Hook",
        Some("merge_request") => "Merge Request Hook",
        Some("note") => "Note Hook",
        Some("pipeline") => "Pipeline Hook",
        Some("wiki_page") => "Wiki Page Hook",
        Some("deployment") => "Deployment Hook",
        Some("vulnerability") => "Vulnerability Hook",
        _ => "System Hook",
    }
}

/// Signs a body by the rules of Standard Webhooks: HMAC-SHA256 over `<id>.<timestamp>.<body>` with the bytes of the key, in
/// Base64 after `v1,`. Empty if the token is invalid.
pub fn sign(token: &str, id: &str, timestamp: &str, body: &[u8]) -> String {
    let key = token
        .strip_prefix("whsec_")
        .and_then(|key| STANDARD.decode(key).ok());
    let mac = key.and_then(|key| Hmac::<Sha256>::new_from_slice(&key).ok());
    let Some(mut mac) = mac else {
        return String::new();
    };
    mac.update(format!("{id}.{timestamp}.").as_bytes());
    mac.update(body);
    format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()))
}
