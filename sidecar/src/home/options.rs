//! The options of a menu while somebody types.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use super::state::App;
use super::view::PICKER;
use crate::database::Which;
use crate::http::{Counter, Problem, count};
use crate::slack::{Interaction, Signed, shorten};

/// Slack's limits: options per menu, and characters per option.
const MOST: i32 = 100;
const LONGEST: usize = 75;

pub(super) async fn receive(
    State(app): State<Arc<App>>,
    Signed(asked, original): Signed<Interaction>,
) -> Result<Response, Problem> {
    let mut options: Vec<Value> = Vec::new();
    if asked.action_id == PICKER {
        let owner = asked
            .owner()
            .ok_or(Problem::bad_request("The workspace is missing."))?;
        let search = asked.value.replace('\0', " ");
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
    } else if let Some(gitlab) = &app.pass_through {
        count(Counter::INTERACTIONS, "passed_on");
        return Ok(gitlab.options(&original).await);
    } else {
        count(Counter::INTERACTIONS, "unknown");
    }
    Ok(Json(json!({ "options": options })).into_response())
}
