//! The channels and filters of a project, in a modal of the App Home: what it shows ([`view`]), and what is made of what
//! was filled in ([`form`]).

mod form;
mod view;

use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};
use tokio_postgres::error::SqlState;
use tracing::{info, warn};

use super::home::{Notice, show_later};
use super::payload::{Owner, owner_of};
use crate::app::App;
use crate::database::{Integration, Which};
use crate::serve::{Counter, Problem, count};

pub(crate) use form::EVENTS;
use form::{Form, Mistake};

/// What the button that opens it is called, and the modal itself.
pub(super) const SETTINGS: &str = "notification_settings";

/// Opens the modal. Slack takes the trigger of a click for three seconds, so this is no job.
pub(super) async fn open(
    app: &App,
    owner: &Owner,
    payload: &Value,
    integration: i64,
) -> Result<(), Problem> {
    let tenant = owner.tenant();
    let found = app.database.integrations(tenant, Which::Id(integration), 1);
    let found = found.await?;
    let user = payload["user"]["id"].as_str().unwrap_or_default();
    let may_change = |it: &Integration| it.user == user || app.config.managers.contains(user);
    let Some(found) = found.first().filter(|it| may_change(it)) else {
        return Ok(());
    };
    let settings = app.database.notification_settings(tenant, integration);
    let settings = settings.await?;
    let Some((token, _)) = app.database.bot(tenant).await?.and_then(|bot| {
        let opened = app.config.token_keys.open(&bot.token);
        opened.ok()
    }) else {
        return Ok(());
    };
    let arguments = json!({
        "trigger_id": payload["trigger_id"],
        "view": view::of(found, &settings),
    });
    let opened = app.slack.call("views.open", &token, &arguments).await;
    count(
        Counter::CALLS,
        match &opened {
            Ok(_) => "ok",
            Err(error) if error.is_transient() => "transient",
            Err(_) => "refused",
        },
    );
    if let Err(error) = opened {
        // Whoever clicked sees that nothing opens, and clicks again.
        warn!(team = owner.team, %error, "settings did not open");
    }
    Ok(())
}

/// Takes what was filled in; mistakes are shown beside their fields.
pub(super) async fn submit(app: &App, payload: &Value) -> Result<Response, Problem> {
    let owner = owner_of(payload).ok_or(Problem::bad_request("It names no workspace."))?;
    let user = payload["user"]["id"].as_str().unwrap_or_default();
    let view = &payload["view"];
    let integration = view["private_metadata"]
        .as_str()
        .and_then(|text| text.parse::<i64>().ok());
    let (false, Some(integration)) = (user.is_empty(), integration) else {
        return Err(Problem::bad_request("It names no user or no project."));
    };
    let filled_in = &view["state"]["values"];
    let form = match Form::read(filled_in) {
        Ok(form) => form,
        Err(mistakes) => return Ok(shown(&mistakes)),
    };
    let is_manager = app.config.managers.contains(user);
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
        )
        .await;
    let notice = match set {
        Ok(alias) => {
            info!(team = owner.team, user, alias, "settings changed");
            Notice::Changed { alias }
        }
        Err(error) if error.has_code(&SqlState::INSUFFICIENT_PRIVILEGE) => Notice::NotAllowed,
        Err(error) if error.has_code(&SqlState::NO_DATA_FOUND) => Notice::Gone,
        Err(error) if error.has_code(&SqlState::INVALID_PARAMETER_VALUE) => {
            warn!(error = %error.report(), "settings are refused");
            return Ok(shown(&[Mistake {
                block: form::field_of(&error.report()),
                text: "This does not do: there is too much of it, or it has signs that names have not."
                    .to_owned(),
            }]));
        }
        Err(error) => return Err(error.into()),
    };
    let key = format!(
        "{} {user} settings {integration} {}",
        owner.team, view["hash"]
    );
    let saved = match &notice {
        Notice::Changed { alias } => Some(alias.clone()),
        _ => None,
    };
    let shown = show_later(app, &owner, user, integration, Some(notice), &key).await;
    match (shown, saved) {
        (Ok(()), _) => Ok(StatusCode::OK.into_response()),
        // An error would say that nothing is saved.
        (Err(error), Some(alias)) => {
            warn!(team = owner.team, error = %error.report(), "settings are changed, and the App Home does not show it");
            Ok(answer(
                &json!({ "response_action": "update", "view": view::saved(&alias) }),
            ))
        }
        (Err(error), None) => Err(error.into()),
    }
}

fn shown(mistakes: &[Mistake]) -> Response {
    let errors: serde_json::Map<String, Value> = mistakes
        .iter()
        .map(|mistake| (mistake.block.to_owned(), json!(mistake.text)))
        .collect();
    answer(&json!({ "response_action": "errors", "errors": errors }))
}

fn answer(answer: &Value) -> Response {
    let kind = [(axum::http::header::CONTENT_TYPE, "application/json")];
    (kind, answer.to_string()).into_response()
}
