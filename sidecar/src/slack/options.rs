//! What a menu offers while somebody types.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use serde_json::json;

use super::home::PICKER;
use super::message::shorten;
use super::payload::{of_form, owner_of};
use crate::app::App;
use crate::database::Which;
use crate::serve::{Counter, Problem, count};

/// Slack's limits: options of a menu, and characters of an option.
const MOST: i32 = 100;
const LONGEST: usize = 75;

pub(crate) async fn receive_options_request(
    State(app): State<Arc<App>>,
    body: Bytes,
) -> Result<Response, Problem> {
    let payload = of_form(&body).ok_or(Problem::bad_request(
        "The form has no field payload with a JSON object.",
    ))?;
    let mut options = Vec::new();
    if payload["action_id"] == PICKER {
        let owner = owner_of(&payload).ok_or(Problem::bad_request("It names no workspace."))?;
        let search = payload["value"].as_str().unwrap_or_default();
        let search = search.replace('\0', " ");
        let found = app
            .database
            .integrations(owner.tenant(), Which::Like(search.trim()), MOST)
            .await?;
        options.extend(found.iter().map(|integration| {
            json!({
                "text": { "type": "plain_text", "text": shorten(&integration.alias, LONGEST) },
                "value": integration.id.to_string(),
            })
        }));
        count(Counter::INTERACTIONS, "project_search");
    } else {
        count(Counter::INTERACTIONS, "unknown");
    }
    let kind = [(CONTENT_TYPE, "application/json")];
    Ok((kind, json!({ "options": options }).to_string()).into_response())
}
