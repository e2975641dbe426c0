//! Exchanges Slack's code for tokens, which are encrypted at once.

use std::time::SystemTime;

use secrecy::SecretString;
use serde::Deserialize;
use serde_json::Value;
use tracing::warn;

use super::refresh::life;
use super::revoke::revoke;
use super::state::App;
use super::trouble::Trouble;
use crate::database::Install;
use crate::http::path::INSTALLED;
use crate::slack::CallError;

/// Slack's response. For an org-wide installation `team` is null; with rotation there are more fields for the token.
#[derive(Deserialize)]
struct Access {
    access_token: SecretString,
    token_type: String,
    #[serde(default)]
    scope: String,
    bot_user_id: String,
    app_id: Option<String>,
    team: Option<Named>,
    enterprise: Option<Named>,
    #[serde(default)]
    is_enterprise_install: bool,
    authed_user: User,
    refresh_token: Option<SecretString>,
    expires_in: Option<u64>,
}

#[derive(Clone, Deserialize)]
struct Named {
    id: String,
    name: Option<String>,
}

#[derive(Deserialize)]
struct User {
    id: String,
}

/// Also returns the token itself, to revoke it if the installation is refused.
pub(super) async fn exchange(app: &App, code: &str) -> Result<(Install, SecretString), Trouble> {
    let redirect = app.public_url.page(INSTALLED).to_string();
    let form = [("code", code), ("redirect_uri", &*redirect)];
    let asked = SystemTime::now();
    let answer = app
        .slack
        .access(&app.credentials, &form)
        .await
        .map_err(|error| {
            warn!(%error, "a code was not exchanged");
            match error {
                CallError::Refused { ref name, .. } if name == "invalid_code" => Trouble::Used,
                error if error.is_transient() => Trouble::SlackUnavailable,
                _ => Trouble::Refused,
            }
        })?;
    let granted = granted(app, &answer, asked);
    if granted.is_err() {
        give_back(app, &answer).await;
    }
    granted
}

fn granted(
    app: &App,
    answer: &Value,
    asked: SystemTime,
) -> Result<(Install, SecretString), Trouble> {
    // An unparsable response is not logged: it contains tokens.
    let access = Access::deserialize(answer).map_err(|_| unexpected())?;
    if access.token_type != "bot" {
        return Err(unexpected());
    }
    let owner = match (access.team, &access.enterprise) {
        (Some(team), _) if !access.is_enterprise_install => team,
        (_, Some(enterprise)) => enterprise.clone(),
        _ => return Err(unexpected()),
    };
    let seal = |token: &SecretString| {
        app.token_keys.seal(token).map_err(|error| {
            warn!(%error, "a token was not encrypted");
            Trouble::Unavailable
        })
    };
    let install = Install {
        team_name: owner.name.unwrap_or_else(|| owner.id.clone()),
        team: owner.id,
        user: access.authed_user.id,
        bot_user: access.bot_user_id,
        token: seal(&access.access_token)?,
        scopes: scopes(&access.scope),
        enterprise: access.enterprise.map(|enterprise| enterprise.id),
        app: access.app_id,
        refresh: access.refresh_token.as_ref().map(seal).transpose()?,
        expires_at: access.expires_in.map(|seconds| asked + life(seconds)),
    };
    Ok((install, access.access_token))
}

/// Whatever token there is in a response that cannot be used.
async fn give_back(app: &App, answer: &Value) {
    let id = |owner: &str| answer[owner]["id"].as_str();
    let team = id("team").filter(|_| answer["is_enterprise_install"] != true);
    let owner = team.or_else(|| id("enterprise"));
    if let Some((owner, token)) = owner.zip(answer["access_token"].as_str()) {
        revoke(app, owner, &token.into()).await;
    }
}

fn unexpected() -> Trouble {
    warn!("Slack exchanged a code for something else than a bot's token");
    Trouble::Refused
}

/// A comma-separated list.
fn scopes(text: &str) -> Vec<String> {
    let names = text.split(',').map(str::trim);
    names
        .filter(|name| !name.is_empty())
        .map(str::to_owned)
        .collect()
}
