//! Failed installations: why, and what to do.

use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use maud::html;

use crate::http;
use crate::http::path::INSTALL;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Trouble {
    Denied,
    NoState,
    Used,
    Expired,
    OtherBrowser,
    Ticket,
    AliasTaken,
    UnknownWorkspace,
    TooMany,
    Refused,
    SlackUnavailable,
    Unavailable,
}

impl Trouble {
    /// The label for counting.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Denied => "denied",
            Self::NoState => "no_state",
            Self::Used => "used",
            Self::Expired => "expired",
            Self::OtherBrowser => "other_browser",
            Self::Ticket => "ticket",
            Self::AliasTaken => "alias_taken",
            Self::UnknownWorkspace => "unknown_workspace",
            Self::TooMany => "too_many",
            Self::Refused => "refused",
            Self::SlackUnavailable => "slack_unavailable",
            Self::Unavailable => "unavailable",
        }
    }

    fn words(self) -> (StatusCode, &'static str, &'static str) {
        match self {
            Self::Denied => (
                StatusCode::OK,
                "Nothing was installed",
                "You, or your workspace, did not allow the app. If an administrator has to allow it, ask for that in Slack, then begin anew.",
            ),
            Self::NoState => (
                StatusCode::BAD_REQUEST,
                "Begin here",
                "Slack did not say where this installation began. That is so if it was begun from Slack's own pages: begin it here.",
            ),
            Self::Used => (
                StatusCode::BAD_REQUEST,
                "This installation is over already",
                "Its address can be used once. If the app is not in your workspace, begin anew.",
            ),
            Self::Expired => (
                StatusCode::BAD_REQUEST,
                "That took too long",
                "An installation has to be finished within ten minutes. Begin anew.",
            ),
            Self::OtherBrowser => (
                StatusCode::BAD_REQUEST,
                "Not the browser that this began in",
                "An installation is finished in the browser that it was begun in, with cookies allowed. Begin anew in this one. If you did not begin one, close this page.",
            ),
            Self::Ticket => (
                StatusCode::BAD_REQUEST,
                "This link is not valid any more",
                "A link that connects a project can be used once, for a limited time. Get a new one from the project's settings.",
            ),
            Self::AliasTaken => (
                StatusCode::CONFLICT,
                "The alias is taken",
                "Another project of this workspace has the alias that was chosen. Choose another in the project's settings, and begin anew.",
            ),
            Self::UnknownWorkspace => (
                StatusCode::FORBIDDEN,
                "This workspace does not have the app yet",
                "The first time, begin with the link that connects a project: its maintainer gets one from the project's settings. An administrator of this program can also allow the workspace.",
            ),
            Self::TooMany => (
                StatusCode::TOO_MANY_REQUESTS,
                "Too many at once",
                "More installations begin now than can be taken. Begin anew in a few seconds.",
            ),
            Self::Refused => (
                StatusCode::BAD_GATEWAY,
                "Slack did not give access",
                "Slack refused, or answered what the app cannot use. Begin anew; if it happens again, an administrator finds the cause in the log of this program.",
            ),
            Self::SlackUnavailable => (
                StatusCode::BAD_GATEWAY,
                "Slack does not answer now",
                "Nothing was changed. Begin anew in a moment.",
            ),
            Self::Unavailable => (
                StatusCode::SERVICE_UNAVAILABLE,
                "The database does not answer now",
                "Begin anew in a moment. If Slack has installed the app already, that does no harm.",
            ),
        }
    }
}

impl IntoResponse for Trouble {
    fn into_response(self) -> Response {
        let (status, title, text) = self.words();
        let body = html! {
            h1 { (title) }
            p { (text) }
            @if !matches!(self, Self::Ticket | Self::AliasTaken | Self::UnknownWorkspace) {
                p { "If you came by the link of a project, open that link again, as the button is for no project in particular." }
                p { a.button href=(INSTALL) { "Begin anew" } }
            }
            p { a href="/" { "To the first page" } }
        };
        (status, http::page(title, &body)).into_response()
    }
}
