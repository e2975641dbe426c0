//! GitLab's slash commands.

use std::sync::Arc;

use axum::Json;
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};
use url::Url;

use super::address::Answer;
use super::state::{Outcome, PassThrough};
use crate::http::path::COMMANDS;
use crate::slack::{Original, Reply};

const TAKES_LONGER: &str =
    ":hourglass_flowing_sand: GitLab takes longer than usual. Its answer comes here.";

/// The app's page in a GitLab project.
const SETTINGS: [&str; 5] = [
    "-",
    "settings",
    "integrations",
    "gitlab_slack_application",
    "edit",
];

impl PassThrough {
    /// GitLab's response: in time, or through the response URL. Preparing the request may already produce an answer.
    pub(crate) async fn command(
        self: &Arc<Self>,
        response_url: Option<String>,
        preparing: impl Future<Output = Result<Original, Reply>> + Send + 'static,
    ) -> Response {
        match self.given(response_url, preparing).await {
            Some(Ok(answer)) => answer.into_response(),
            Some(Err(trouble)) => trouble.reply().into_response(),
            None => Reply::new(TAKES_LONGER).into_response(),
        }
    }

    /// Our own commands, and those that GitLab lists.
    pub(crate) async fn help(
        self: &Arc<Self>,
        own: &str,
        response_url: Option<String>,
        preparing: impl Future<Output = Result<Original, Reply>> + Send + 'static,
    ) -> Response {
        let given = self.given(response_url, preparing).await;
        let (mut message, more) = match given {
            Some(Ok(answer)) => {
                let is_own = answer.is_own;
                let message = answer.message().unwrap_or_else(|| json!({}));
                let text = message["text"].as_str().unwrap_or_default().to_owned();
                match is_own {
                    true => (message, text),
                    false => (message, format!("*Commands of GitLab*\n{text}")),
                }
            }
            Some(Err(trouble)) => (json!({}), trouble.reply().text().to_owned()),
            None => (json!({}), TAKES_LONGER.to_owned()),
        };
        message["response_type"] = json!("ephemeral");
        message["text"] = json!(format!("{own}\n\n{more}"));
        Json(message).into_response()
    }

    /// The same command with another text, because the typed text lacks what GitLab needs.
    pub(crate) fn with_text(&self, original: Original, text: &str) -> Original {
        original.with_text(text, &self.signing_secret)
    }

    /// GitLab's page where a project's maintainers connect it; None if no project can have that path.
    pub(crate) fn settings_of(&self, path: &str) -> Option<Url> {
        let is_of_path = |letter: char| letter.is_alphanumeric() || "-_./".contains(letter);
        if !path.contains('/') || !path.chars().all(is_of_path) {
            return None;
        }
        let mut url = self.urls().next()?.clone();
        url.path_segments_mut()
            .ok()?
            .pop_if_empty()
            .extend(path.split('/'))
            .extend(SETTINGS);
        Some(url)
    }

    async fn given(
        self: &Arc<Self>,
        response_url: Option<String>,
        preparing: impl Future<Output = Result<Original, Reply>> + Send + 'static,
    ) -> Option<Outcome> {
        let app = Arc::clone(self);
        let asking = async move {
            match preparing.await {
                Ok(original) => app.ask(COMMANDS, &original).await,
                Err(reply) => Ok(Answer::own(&reply)),
            }
        };
        self.in_time(asking, |app, outcome| async move {
            let message: Option<Value> = match outcome {
                Ok(answer) => answer.message(),
                Err(trouble) => Some(trouble.reply().json()),
            };
            if let Some(message) = message {
                app.late.send_one(response_url.as_deref(), &message).await;
            }
        })
        .await
    }
}
