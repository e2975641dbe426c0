//! What people see in a browser.

mod guess;
mod landing;
mod layout;
mod status;
mod trouble;
mod viewer;

use axum::extract::Request;
use axum::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS,
};
use axum::http::{HeaderName, HeaderValue};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use maud::{Markup, html};
use url::Url;

pub(crate) use guess::Guesses;
pub(crate) use landing::{landing, sign_in};
pub(crate) use status::{Looks, status, status_part, status_script};
pub(crate) use trouble::Trouble;

use crate::slack::Installed;

/// A page loads nothing but its own style, runs no script unless it says so itself, and is in no frame. Its address, which may hold a code of Slack's, is
/// told to nobody, and nothing of it is kept.
const HEADERS: [(HeaderName, &str); 4] = [
    (
        CONTENT_SECURITY_POLICY,
        "default-src 'none'; style-src 'self'; form-action 'none'; frame-ancestors 'none'; base-uri 'none'",
    ),
    (REFERRER_POLICY, "no-referrer"),
    (X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (CACHE_CONTROL, "no-store"),
];

pub(crate) async fn protect(request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    for (name, value) in HEADERS {
        response
            .headers_mut()
            .entry(name)
            .or_insert(HeaderValue::from_static(value));
    }
    response
}

pub(crate) async fn style() -> Response {
    let headers = [
        (CONTENT_TYPE, "text/css; charset=utf-8"),
        (CACHE_CONTROL, "public, max-age=3600"),
    ];
    (headers, include_str!("style.css")).into_response()
}

/// Before an installation for a project, a group or the instance.
pub(crate) fn confirm(owner: &str, slack: &Url) -> Markup {
    let body = html! {
        h1 { "Connect " (owner) " with Slack" }
        p {
            "What happens in " strong { (owner) } " will be told in channels of the Slack workspace that you choose next. "
            "Go on only if that project is yours, and the workspace as well."
        }
        p { a.button href=(slack) { "Go on to Slack" } }
        p.faint { "If somebody sent you this link without your asking for it, close this page." }
    };
    layout::page("Connect a project", &body)
}

/// After an installation.
pub(crate) fn installed(installed: &Installed) -> Response {
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
    layout::page("Installed", &body).into_response()
}
