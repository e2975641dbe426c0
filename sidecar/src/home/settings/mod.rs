//! The channels and filters of a project, in a modal of the App Home: showing it ([`modal`]), also to who was [overtaken](mod@overtaken), and processing its input
//! ([`form`], [`mistake`], [`text`], and line by line: [`lines`], [`mod@routes`], [`reminders`]).

mod form;
mod lines;
mod mistake;
mod modal;
mod overtaken;
mod reminders;
mod routes;
mod text;

use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};
use tokio_postgres::error::SqlState;
use tracing::{info, warn};

use super::show::show_later;
use super::state::App;
use super::view::Notice;
use crate::database::Which;
use crate::error::complain;
use crate::http::Problem;
use crate::slack::{Interaction, Owner};

use form::{CHANNELS, Form};
use mistake::Mistake;

/// Opens the modal. Slack accepts a click's trigger for three seconds, so this is not a job.
pub(super) async fn open(
    app: &App,
    owner: &Owner,
    interaction: &Interaction,
    integration: i64,
) -> Result<(), Problem> {
    let Ok((view, _)) = view_for(app, owner, &interaction.user.id, integration).await? else {
        return Ok(());
    };
    let tenant = owner.tenant();
    let Some((token, _)) = app.database.bot(tenant).await?.and_then(|bot| {
        let opened = app.token_keys.open(&bot.token);
        opened.ok()
    }) else {
        return Ok(());
    };
    let arguments = json!({
        "trigger_id": interaction.trigger_id,
        "view": view,
    });
    let opened = app.slack.call("views.open", &token, &arguments).await;
    if let Err(error) = opened {
        // The user sees that nothing opens, and clicks again.
        warn!(team = owner.team, %error, "settings did not open");
    }
    Ok(())
}

/// The form with the settings as they are, and their version, for a user who may change them; or why there is none.
async fn view_for(
    app: &App,
    owner: &Owner,
    user: &str,
    integration: i64,
) -> Result<Result<(Value, Option<String>), Notice>, Problem> {
    let tenant = owner.tenant();
    let found = app.database.integrations(tenant, Which::Id(integration), 1);
    let found = found.await?;
    let is_manager = app.managers.contains(user);
    let managed = app.database.managed(tenant, user, &found, is_manager);
    let managed = managed.await?;
    let Some(found) = found.first() else {
        return Ok(Err(Notice::Gone));
    };
    if !managed.contains(&found.id) {
        return Ok(Err(Notice::NotAllowed));
    }
    let settings = app.database.notification_settings(tenant, integration);
    let settings = settings.await?;
    let version = settings["version"].as_str().map(str::to_owned);
    Ok(Ok((modal::of(found, &settings), version)))
}

/// Processes the input; errors are shown next to their fields.
pub(super) async fn submit(app: &App, interaction: &Interaction) -> Result<Response, Problem> {
    let owner = interaction
        .owner()
        .ok_or(Problem::bad_request("The workspace is missing."))?;
    let user = interaction.user.id.as_str();
    let view = &interaction.view;
    let integration = view.private_metadata.parse::<i64>().ok();
    let (false, Some(integration)) = (user.is_empty(), integration) else {
        return Err(Problem::bad_request("The user or project is missing."));
    };
    let form = match Form::read(&view.state.values) {
        Ok(form) => form,
        Err(mistakes) => return Ok(shown(&mistakes)),
    };
    let is_manager = app.managers.contains(user);
    let tenant = owner.tenant();
    let set = app
        .database
        .set_integration_settings(
            tenant,
            integration,
            user,
            is_manager,
            &form.settings,
            &form.events,
            form.version.as_deref(),
        )
        .await;
    let notice = match set {
        Ok(alias) => {
            info!(team = owner.team, user, alias, "settings changed");
            Notice::Changed { alias }
        }
        Err(error) if error.has_code(&SqlState::INSUFFICIENT_PRIVILEGE) => Notice::NotAllowed,
        Err(error) if error.has_code(&SqlState::INVALID_AUTHORIZATION_SPECIFICATION) => {
            let stored = app.database.notification_settings(tenant, integration);
            return Ok(shown(&[form.needs_account(&stored.await?)]));
        }
        Err(error) if error.has_code(&SqlState::NO_DATA_FOUND) => Notice::Gone,
        Err(error) if error.has_code(&SqlState::INVALID_PARAMETER_VALUE) => {
            complain!(error, "settings are refused");
            return Ok(shown(&[form.refused(&error.report())]));
        }
        Err(error) if error.has_code(&SqlState::OBJECT_NOT_IN_PREREQUISITE_STATE) => {
            match view_for(app, &owner, user, integration).await? {
                // Other errors have the same state.
                Ok((_, version)) if version == form.version => return Err(error.into()),
                Ok((view, _)) => {
                    let view = overtaken::again(view, &form.lines);
                    return Ok(updated(&view));
                }
                Err(notice) => notice,
            }
        }
        Err(error) if error.has_code(&SqlState::T_R_SERIALIZATION_FAILURE) => {
            complain!(error, "settings are not saved");
            let text = "Others are changing it at this moment: save it again.";
            return Ok(shown(&[Mistake::new(CHANNELS, text)]));
        }
        Err(error) => return Err(error.into()),
    };
    let key = format!("{} {user} settings {integration} {}", owner.team, view.hash);
    let saved = match &notice {
        Notice::Changed { alias } => Some(alias.clone()),
        _ => None,
    };
    let shown = show_later(app, &owner, user, integration, Some(notice), &key).await;
    match (shown, saved) {
        (Ok(()), _) => Ok(StatusCode::OK.into_response()),
        // An error would suggest that nothing was saved.
        (Err(error), Some(alias)) => {
            complain!(
                error,
                team = owner.team,
                "settings were changed, but the App Home could not show it"
            );
            Ok(updated(&modal::saved(&alias)))
        }
        (Err(error), None) => Err(error.into()),
    }
}

fn updated(view: &Value) -> Response {
    Json(json!({ "response_action": "update", "view": view })).into_response()
}

fn shown(mistakes: &[Mistake]) -> Response {
    let errors: serde_json::Map<String, Value> = mistakes
        .iter()
        .map(|mistake| (mistake.block.clone(), json!(mistake.text)))
        .collect();
    Json(json!({ "response_action": "errors", "errors": errors })).into_response()
}
