//! The pages before and after an installation.

use axum::response::{IntoResponse, Response};
use maud::{Markup, html};
use url::Url;

use crate::http;

/// The result of an installation.
pub(super) struct Installed {
    pub(super) team: String,
    pub(super) team_name: String,
    /// What was connected, if anything.
    pub(super) alias: Option<String>,
}

/// Before an installation for a project, a group or the instance.
pub(super) fn confirm(owner: &str, slack: &Url) -> Markup {
    let body = html! {
        h1 { "Connect " (owner) " with Slack" }
        p {
            "What happens in " strong { (owner) } " will be told in channels of the Slack workspace that you choose next. "
            "Go on only if that project is yours, and the workspace as well."
        }
        p { a.button href=(slack) { "Go on to Slack" } }
        p.faint { "If somebody sent you this link without your asking for it, close this page." }
    };
    http::page("Connect a project", &body)
}

/// After an installation.
pub(super) fn installed(installed: &Installed) -> Response {
    let body: Markup = html! {
        h1 { "GitLab is in " (installed.team_name) }
        @match &installed.alias {
            Some(alias) => {
                p { strong { (alias) } " is connected with this workspace. Try it in any channel:" }
                pre { "/gitlab " (alias) " status" }
            }
            None => {
                p { "The app is installed, and the projects that are connected with this workspace have its new rights. Try it in any channel:" }
                pre { "/gitlab status" }
            }
        }
        p { a.button href={ "slack://open?team=" (installed.team) } { "Open Slack" } }
    };
    http::page("Installed", &body).into_response()
}
