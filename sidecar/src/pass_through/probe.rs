//! Checks in advance whether GitLab accepts what is passed on, with the request that Slack sends when the address for events is
//! set.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use axum::http::HeaderValue;
use axum::http::header::CONTENT_TYPE;
use serde_json::json;
use tracing::{error, info};
use url::Url;

use super::state::PassThrough;
use super::trouble::Trouble;
use crate::http::path::EVENTS;

const PATIENCE: Duration = Duration::from_secs(10);

/// GitLab must return this.
const CHALLENGE: &str = "lockstep-sidecar asks whether this is GitLab";

impl PassThrough {
    /// Each address, and its problem if there is one. A correct response shows that GitLab is there, has the app's signing
    /// secret, and has the right time.
    pub(crate) async fn probe(&self) -> Vec<(&Url, Result<(), Trouble>)> {
        let mut found = Vec::new();
        for (place, url) in self.urls().enumerate() {
            found.push((url, self.probe_one(place).await));
        }
        found
    }

    async fn probe_one(&self, place: usize) -> Result<(), Trouble> {
        let body = json!({ "type": "url_verification", "challenge": CHALLENGE }).to_string();
        let mut headers = self.signing_secret.sign(body.as_bytes(), SystemTime::now());
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        let answer = self
            .gitlab
            .post_to(place, EVENTS, &headers, &body.into(), PATIENCE)
            .await?;
        match answer.json()["challenge"] == CHALLENGE {
            true => Ok(()),
            false => Err(Trouble::Garbled),
        }
    }
}

/// What `serve` logs at startup.
pub(crate) async fn announce(app: Arc<PassThrough>) {
    let mut trouble = None;
    for (url, probed) in app.probe().await {
        match probed {
            Ok(()) => {
                info!(%url, "what is not for this program is passed on to GitLab");
            }
            Err(error) => {
                let hint = error.hint().unwrap_or_default();
                error!(%url, %error, hint, "GitLab does not take what is passed on to it");
                trouble = Some(error);
            }
        }
    }
    if let Some(trouble) = trouble {
        app.standing.note(Some(&trouble));
    }
}
