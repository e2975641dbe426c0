//! User actions in the App Home. A switch is set before it is acknowledged, so that clicks count in their order; showing the
//! result is a job.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use tokio_postgres::error::SqlState;
use tracing::{debug, info};

use super::settings;
use super::show::show_later;
use super::state::{App, Other};
use super::view::{Notice, PICKER, SETTINGS, SWITCH_OFF, SWITCH_ON};
use crate::http::{Counter, Problem, count};
use crate::late;
use crate::slack::{Action, Interaction, Owner, Signed, SlashCommand};

const KNOWN: [&str; 4] = [SWITCH_ON, SWITCH_OFF, PICKER, SETTINGS];

pub(super) async fn receive(
    State(app): State<Arc<App>>,
    Signed(interaction, original): Signed<Interaction>,
) -> Result<Response, Problem> {
    if let Some((other, action)) = of_others(&app, &interaction) {
        count(Counter::INTERACTIONS, other.action);
        return answer(&app, other, &interaction, action);
    }
    if let Some(gitlab) = app.pass_through.as_ref().filter(|_| !is_ours(&interaction)) {
        count(Counter::INTERACTIONS, "passed_on");
        return Ok(gitlab.interaction(&interaction, original).await);
    }
    if interaction.kind == "view_submission" && interaction.view.callback_id == SETTINGS {
        count(Counter::INTERACTIONS, "settings_saved");
        return settings::submit(&app, &interaction).await;
    }
    for action in &interaction.actions {
        take(&app, &interaction, action).await?;
    }
    if interaction.actions.is_empty() {
        // A submitted or closed view, or a shortcut: none of them is ours.
        count(Counter::INTERACTIONS, "unknown");
    }
    Ok(StatusCode::OK.into_response())
}

/// A click on a button that another room answers.
fn of_others<'a>(app: &'a App, interaction: &'a Interaction) -> Option<(&'a Other, &'a Action)> {
    let mut actions = interaction.actions.iter();
    actions.find_map(|action| {
        let other = app.others.iter().find(|it| it.action == action.action_id)?;
        Some((other, action))
    })
}

/// As if the user had given the command that is the value of the button.
fn answer(
    app: &App,
    other: &Other,
    interaction: &Interaction,
    action: &Action,
) -> Result<Response, Problem> {
    let owner = interaction
        .owner()
        .ok_or(Problem::bad_request("The workspace is missing."))?;
    let user = interaction.user.id.clone();
    let (false, Some(text)) = (user.is_empty(), action.value()) else {
        return Err(Problem::bad_request("The user or value is missing."));
    };
    let url = interaction.response_url.clone();
    let command = SlashCommand {
        owner,
        user,
        user_name: interaction.user.username.clone(),
        channel: interaction.channel.id.clone(),
        channel_name: String::new(),
        command: other.command.to_owned(),
        text: text.to_owned(),
        response_url: url.clone(),
        trigger: Some(interaction.trigger_id.clone()),
    };
    late::in_place(&app.late, url, (other.answer)(command));
    Ok(StatusCode::OK.into_response())
}

fn is_ours(interaction: &Interaction) -> bool {
    let is_known = |action: &Action| KNOWN.contains(&action.action_id.as_str());
    interaction.view.callback_id == SETTINGS || interaction.actions.iter().any(is_known)
}

async fn take(app: &App, interaction: &Interaction, action: &Action) -> Result<(), Problem> {
    let Some(id) = KNOWN.into_iter().find(|known| *known == action.action_id) else {
        // Slack also reports clicks on buttons that are only links.
        count(Counter::INTERACTIONS, "unknown");
        debug!(action = action.action_id, "an unknown action");
        return Ok(());
    };
    count(Counter::INTERACTIONS, id);
    let owner = interaction
        .owner()
        .ok_or(Problem::bad_request("The workspace is missing."))?;
    let user = interaction.user.id.as_str();
    let integration: Option<i64> = action.value().and_then(|value| value.parse().ok());
    let (false, Some(integration)) = (user.is_empty(), integration) else {
        return Err(Problem::bad_request("The user or project is missing."));
    };
    let notice = match id {
        SWITCH_ON | SWITCH_OFF => {
            Some(switch(app, &owner, user, integration, id == SWITCH_ON).await?)
        }
        SETTINGS => return settings::open(app, &owner, interaction, integration).await,
        _ => None,
    };
    // Identifies the same click if it arrives twice.
    let key = format!(
        "{} {user} {id} {integration} {}",
        owner.team, action.action_ts
    );
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
    let is_manager = app.managers.contains(user);
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
