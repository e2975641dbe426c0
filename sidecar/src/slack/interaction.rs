//! What people do in the App Home. A switch is set before it is acknowledged, so that clicks count in the order in which they come;
//! to show what became of it is a job.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde_json::Value;
use tokio_postgres::error::SqlState;
use tracing::{debug, info};

use super::home::{Notice, PICKER, SWITCH_OFF, SWITCH_ON, show_later};
use super::payload::{Owner, of_form, owner_of};
use super::settings::{self, SETTINGS};
use crate::app::App;
use crate::serve::{Counter, Problem, count};

const KNOWN: [&str; 4] = [SWITCH_ON, SWITCH_OFF, PICKER, SETTINGS];

pub(crate) async fn receive_interaction(
    State(app): State<Arc<App>>,
    body: Bytes,
) -> Result<Response, Problem> {
    let payload = of_form(&body).ok_or(Problem::bad_request(
        "The form has no field payload with a JSON object.",
    ))?;
    if payload["type"] == "view_submission" && payload["view"]["callback_id"] == SETTINGS {
        count(Counter::INTERACTIONS, "settings_saved");
        return settings::submit(&app, &payload).await;
    }
    let actions = payload["actions"].as_array().map_or(&[][..], Vec::as_slice);
    for action in actions {
        take(&app, &payload, action).await?;
    }
    if actions.is_empty() {
        // A view that was sent or closed, a shortcut: none of them is ours.
        count(Counter::INTERACTIONS, "unknown");
    }
    Ok(StatusCode::OK.into_response())
}

async fn take(app: &App, payload: &Value, action: &Value) -> Result<(), Problem> {
    let id = action["action_id"].as_str().unwrap_or_default();
    let Some(id) = KNOWN.into_iter().find(|known| *known == id) else {
        // A button that is only a link tells of it as well.
        count(Counter::INTERACTIONS, "unknown");
        debug!(action = id, "an unknown action");
        return Ok(());
    };
    count(Counter::INTERACTIONS, id);
    let owner = owner_of(payload).ok_or(Problem::bad_request("It names no workspace."))?;
    let user = payload["user"]["id"].as_str().unwrap_or_default();
    let value = action["value"]
        .as_str()
        .or_else(|| action["selected_option"]["value"].as_str());
    let integration: Option<i64> = value.and_then(|value| value.parse().ok());
    let (false, Some(integration)) = (user.is_empty(), integration) else {
        return Err(Problem::bad_request("It names no user or no project."));
    };
    let notice = match id {
        SWITCH_ON | SWITCH_OFF => {
            Some(switch(app, &owner, user, integration, id == SWITCH_ON).await?)
        }
        SETTINGS => return settings::open(app, &owner, payload, integration).await,
        _ => None,
    };
    // The same click, should it come twice.
    let at = action["action_ts"].as_str().unwrap_or_default();
    let key = format!("{} {user} {id} {integration} {at}", owner.team);
    show_later(app, &owner, user, integration, notice, &key).await?;
    Ok(())
}

async fn switch(
    app: &App,
    owner: &Owner,
    user: &str,
    id: i64,
    is_active: bool,
) -> Result<Notice, Problem> {
    let is_manager = app.config.managers.contains(user);
    let switched = app
        .database
        .set_active(owner.tenant(), id, user, is_active, is_manager)
        .await;
    match switched {
        Ok((alias, changed)) => {
            info!(
                team = owner.team,
                user, alias, is_active, changed, "switched"
            );
            Ok(Notice::Switched { alias, is_active })
        }
        Err(error) if error.has_code(&SqlState::INSUFFICIENT_PRIVILEGE) => {
            info!(team = owner.team, user, id, "may not switch");
            Ok(Notice::NotAllowed)
        }
        Err(error) if error.has_code(&SqlState::NO_DATA_FOUND) => Ok(Notice::Gone),
        Err(error) => Err(error.into()),
    }
}
