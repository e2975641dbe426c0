//! The first page: Add to Slack, and for those who may see it, where the app is installed.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::http::header::{AUTHORIZATION, WWW_AUTHENTICATE};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use maud::{Markup, html};
use ring::digest::{SHA256, digest};
use secrecy::{ExposeSecret, SecretString};
use subtle::ConstantTimeEq;
use tokio::time::timeout;
use tracing::warn;

use super::layout;
use crate::app::App;
use crate::config::SCOPES;
use crate::database::Workspace;
use crate::error::Error;
use crate::serve::{INSTALL, SIGN_IN};

/// More would be no page to read.
const MOST: i32 = 500;

const TIMEOUT: Duration = Duration::from_secs(5);

pub(crate) async fn landing(State(app): State<Arc<App>>, headers: HeaderMap) -> Response {
    let workspaces = match may_see(&app, &headers) {
        false => None,
        true => {
            let listing = timeout(TIMEOUT, app.database.workspaces(MOST)).await;
            Some(listing.unwrap_or(Err(Error::Silent)).inspect_err(|error| {
                warn!(error = %error.report(), "cannot list workspaces");
            }))
        }
    };
    let config = &app.config;
    let body = html! {
        h1 { "GitLab for Slack" }
        p {
            "Channels are told what happens in GitLab projects, and "
            code { "/gitlab" }
            " shows how a project is connected."
        }
        p { a.button href=(INSTALL) { "Add to Slack" } }
        p.faint {
            "It asks for the scopes " (SCOPES.join(", "))
            ". To connect a project, its maintainer opens the link that the project's settings give."
        }
        @match workspaces {
            Some(Ok(workspaces)) => (list(&workspaces)),
            Some(Err(_)) => {
                h2 { "Workspaces" }
                p.bad { "The database does not answer now. Try again in a moment." }
            }
            None => {
                @if config.viewer_password.is_some() {
                    p { a href=(SIGN_IN) { "Show the workspaces that have the app" } }
                }
            }
        }
    };
    layout::page("Add to Slack", &body).into_response()
}

fn list(workspaces: &[Workspace]) -> Markup {
    html! {
        h2 { "Workspaces" }
        @if workspaces.is_empty() {
            p { "The app is installed nowhere as yet." }
        }
        ul.workspaces {
            @for workspace in workspaces {
                li {
                    strong { (workspace.name) @if workspace.is_organization { " (organization)" } }
                    span.faint { (connected(workspace)) } " "
                    @match trouble(workspace) {
                        Some(trouble) => { span.bad { (trouble) ". Install it again." } }
                        None => { span.good { "All rights are there" } }
                    }
                }
            }
        }
    }
}

fn connected(workspace: &Workspace) -> String {
    match (workspace.integrations, workspace.active) {
        (0, _) => "No project is connected.".to_owned(),
        (1, 1) => "1 connected, active.".to_owned(),
        (all, active) => format!("{all} connected, {active} active."),
    }
}

/// What the installation lacks.
fn trouble(workspace: &Workspace) -> Option<String> {
    let missing: Vec<&str> = SCOPES
        .into_iter()
        .filter(|scope| !workspace.scopes.iter().any(|has| has == scope))
        .collect();
    match (&workspace.refresh_error, workspace.has_token) {
        (Some(error), _) => Some(format!("Its token cannot be refreshed: {error}")),
        (None, false) => Some("It has no token".to_owned()),
        (None, true) if missing.is_empty() => None,
        (None, true) => Some(format!("It lacks {}", missing.join(", "))),
    }
}

/// Asks for the password, and then is the first page: not every browser sends a password along when it is led elsewhere.
pub(crate) async fn sign_in(State(app): State<Arc<App>>, headers: HeaderMap) -> Response {
    if app.config.viewer_password.is_none() || may_see(&app, &headers) {
        return landing(State(app), headers).await;
    }
    let challenge = [(
        WWW_AUTHENTICATE,
        "Basic realm=\"workspaces\", charset=\"UTF-8\"",
    )];
    let body = html! {
        h1 { "Who has the app?" }
        p { "Only those who have the password may see that." }
        p { a href="/" { "Back" } }
    };
    let page = layout::page("Sign in", &body);
    (StatusCode::UNAUTHORIZED, challenge, page).into_response()
}

/// Whether the request has the password, with any name.
fn may_see(app: &App, headers: &HeaderMap) -> bool {
    let Some(password) = &app.config.viewer_password else {
        return false;
    };
    let given = headers.get(AUTHORIZATION).and_then(|value| {
        let (scheme, pair) = value.to_str().ok()?.split_once(' ')?;
        let pair = STANDARD.decode(pair.trim()).ok()?;
        let pair = String::from_utf8(pair).ok()?;
        let (_, given) = pair.split_once(':')?;
        scheme
            .eq_ignore_ascii_case("basic")
            .then(|| SecretString::from(given))
    });
    given.is_some_and(|given| are_equal(&given, password))
}

/// In a time that tells neither where they differ nor how long they are.
fn are_equal(one: &SecretString, other: &SecretString) -> bool {
    let digest_of = |secret: &SecretString| digest(&SHA256, secret.expose_secret().as_bytes());
    let (one, other) = (digest_of(one), digest_of(other));
    one.as_ref().ct_eq(other.as_ref()).into()
}
