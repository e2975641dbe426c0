//! The first page: Add to Slack, and where the app is installed, for permitted viewers.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Response};
use maud::{Markup, html};
use tokio::time::timeout;

use super::markup::marked;
use super::state::App;
use super::viewer::{Stranger, check};
use crate::database::Workspace;
use crate::error::{Error, complain};
use crate::http::path::{INSTALL, SIGN_IN, STATUS};
use crate::http::{self, Peer};
use crate::slack::code;
use crate::text::capitalized;
use crate::trouble::of_installation;

/// More would be unreadable.
pub(super) const MOST: i32 = 500;

const TIMEOUT: Duration = Duration::from_secs(5);

pub(super) async fn landing(
    State(app): State<Arc<App>>,
    peer: Peer,
    headers: HeaderMap,
) -> Response {
    let workspaces = match check(&app, peer, &headers) {
        Err(_) => None,
        Ok(()) => {
            let listing = timeout(TIMEOUT, app.database.workspaces(MOST)).await;
            Some(listing.unwrap_or(Err(Error::Silent)).inspect_err(|error| {
                complain!(error, "cannot list workspaces");
            }))
        }
    };
    let body = html! {
        h1 { "GitLab for Slack" }
        p {
            "Channels are notified of events in GitLab projects, and "
            code { "/gitlab" }
            " shows how a project is connected."
        }
        p { a.button href=(INSTALL) { "Add to Slack" } }
        p.faint {
            "It asks for the scopes " (app.scopes.join(", "))
            ". To connect a project, ask whoever runs GitLab here for its link."
        }
        @match workspaces {
            Some(Ok(workspaces)) => {
                p { a href=(STATUS) { "Status" } " of messages, jobs, backfills and flags" }
                (list(&workspaces))
            }
            Some(Err(_)) => {
                h2 { "Workspaces" }
                p.bad { "The database does not respond at the moment. Try again in a moment." }
            }
            None => {
                @if app.viewer_password.is_some() {
                    p { a href=(SIGN_IN) { "Show the workspaces that have the app" } }
                }
            }
        }
    };
    http::page("Add to Slack", &body).into_response()
}

pub(super) fn list(workspaces: &[Workspace]) -> Markup {
    html! {
        h2 { "Workspaces" }
        @if workspaces.is_empty() {
            p { "The app is not installed in any workspace yet." }
        }
        ul.workspaces {
            @for workspace in workspaces {
                li {
                    strong { (workspace.name) @if workspace.is_organization { " (organization)" } }
                    span.faint { (connected(workspace)) } " "
                    @match trouble(workspace) {
                        Some(trouble) => { span.bad { (marked(&capitalized(&trouble))) ". Install it again." } }
                        None => { span.good { "All scopes are granted" } }
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

/// The installation's problem, if it has one, as Slack's markup.
pub(super) fn trouble(workspace: &Workspace) -> Option<String> {
    let mut lacks = of_installation(workspace.has_token, &workspace.scopes);
    if let Some(error) = &workspace.refresh_error {
        lacks.push(format!("its token cannot be refreshed: {}", code(error)));
    }
    (!lacks.is_empty()).then(|| lacks.join("; "))
}

/// Asks for the password, and then shows the first page: not every browser sends a password after a redirect.
pub(super) async fn sign_in(
    State(app): State<Arc<App>>,
    peer: Peer,
    headers: HeaderMap,
) -> Response {
    match check(&app, peer, &headers) {
        Ok(()) | Err(Stranger::Always) => landing(State(app), peer, headers).await,
        Err(stranger) => stranger.into_response(),
    }
}
