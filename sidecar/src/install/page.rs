//! The pages before and after an installation.

use axum::response::{IntoResponse, Response};
use maud::{Markup, html};
use url::Url;

use crate::database::TicketOwner;
use crate::http;

/// The result of an installation.
pub(super) struct Installed {
    pub(super) team: String,
    pub(super) team_name: String,
    /// What was connected, if anything.
    pub(super) alias: Option<String>,
    /// The workspace to which it was connected before.
    pub(super) replaced: Option<String>,
}

/// Before an installation for a project, a group or the instance.
pub(super) fn confirm(owner: &TicketOwner, slack: &Url) -> Markup {
    let TicketOwner {
        path: owner,
        workspace,
    } = owner;
    let body = html! {
        h1 { "Connect " (owner) " with Slack" }
        p {
            "Events of " strong { (owner) } " will be posted to channels of the Slack workspace that you choose next. "
            "Continue only if both the project and the workspace are yours."
        }
        @if let Some(workspace) = workspace {
            p {
                strong { (owner) } " is connected to the workspace " strong { (workspace) } " now. "
                "If you choose another one, " (workspace) " is no longer notified."
            }
        }
        p { a.button href=(slack) { "Continue to Slack" } }
        p.faint { "If you did not ask for this link, close this page." }
    };
    http::page("Connect a project", &body)
}

/// After an installation.
pub(super) fn installed(installed: &Installed) -> Response {
    let body: Markup = html! {
        h1 { "GitLab is in " (installed.team_name) }
        @match &installed.alias {
            Some(alias) => {
                p { strong { (alias) } " is connected to this workspace. Try it in any channel:" }
                pre { "/gitlab " (alias) " status" }
                @if let Some(replaced) = &installed.replaced {
                    p { "The workspace " strong { (replaced) } " is no longer notified of it." }
                }
            }
            None => {
                p { "The app is installed, and the projects connected to this workspace have its new scopes. Try it in any channel:" }
                pre { "/gitlab status" }
            }
        }
        p { a.button href={ "slack://open?team=" (installed.team) } { "Open Slack" } }
    };
    http::page("Installed", &body).into_response()
}
