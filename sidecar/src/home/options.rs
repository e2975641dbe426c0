//! What a menu offers while somebody types.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use serde_json::{Value, json};

use super::state::App;
use super::view::PICKER;
use crate::database::Which;
use crate::http::{Counter, Problem, count};
use crate::slack::{Interaction, Signed, shorten};

/// Slack's limits: options of a menu, and characters of an option.
const MOST: i32 = 100;
const LONGEST: usize = 75;

pub(super) async fn receive(
    State(app): State<Arc<App>>,
    Signed(asked): Signed<Interaction>,
) -> Result<Json<Value>, Problem> {
    let mut options = Vec::new();
    if asked.action_id == PICKER {
        let owner = asked
            .owner()
            .ok_or(Problem::bad_request("It names no workspace."))?;
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
    } else {
        count(Counter::INTERACTIONS, "unknown");
    }
    Ok(Json(json!({ "options": options })))
}
