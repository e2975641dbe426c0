//! Interactions, menu options and events for GitLab.

use std::sync::Arc;

use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde_json::json;

use super::state::PassThrough;
use super::trouble::Trouble;
use crate::http::Problem;
use crate::http::path::{EVENTS, INTERACTIONS, OPTIONS};
use crate::slack::{Interaction, Original};

impl PassThrough {
    /// GitLab processes an interaction before it responds. Slow ones are acknowledged: GitLab itself reports the result in the
    /// channel.
    pub(crate) async fn interaction(
        self: &Arc<Self>,
        interaction: &Interaction,
        original: Original,
    ) -> Response {
        let app = Arc::clone(self);
        let asking = async move { app.ask(INTERACTIONS, &original).await };
        match self.in_time(asking, |_, _| async {}).await {
            Some(Ok(answer)) => answer.into_response(),
            Some(Err(trouble)) => refused(interaction, &trouble),
            None => StatusCode::OK.into_response(),
        }
    }

    pub(crate) async fn options(&self, original: &Original) -> Response {
        match self.at_once(OPTIONS, original).await {
            Ok(answer) => answer.into_response(),
            Err(_) => bad_gateway().into_response(),
        }
    }

    /// GitLab queues an event and responds. Slack retries what GitLab has not accepted, and GitLab ignores duplicates.
    pub(crate) async fn event(&self, original: &Original) -> Response {
        match self.at_once(EVENTS, original).await {
            Ok(answer) => answer.into_response(),
            Err(_) => bad_gateway().into_response(),
        }
    }
}

/// A modal stays open with its input, and shows the reason. For other interactions Slack shows that it failed.
fn refused(interaction: &Interaction, trouble: &Trouble) -> Response {
    let field = interaction.view.first_input();
    match field.filter(|_| interaction.kind == "view_submission") {
        Some(field) => {
            let errors = json!({ field: trouble.in_modal() });
            Json(json!({ "response_action": "errors", "errors": errors })).into_response()
        }
        None => bad_gateway().into_response(),
    }
}

fn bad_gateway() -> Problem {
    Problem::new(
        StatusCode::BAD_GATEWAY,
        "It was passed on to GitLab, which gave no good answer.",
    )
}
