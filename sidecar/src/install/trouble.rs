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
    Unstorable,
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
            Self::Unstorable => "unstorable",
        }
    }

    /// The page of the others says all that there is.
    fn is_logged(self) -> bool {
        matches!(
            self,
            Self::AliasTaken
                | Self::UnknownWorkspace
                | Self::Refused
                | Self::SlackUnavailable
                | Self::Unavailable
                | Self::Unstorable
        )
    }

    fn words(self) -> (StatusCode, &'static str, &'static str) {
        match self {
            Self::Denied => (
                StatusCode::OK,
                "Nothing was installed",
                "You or your workspace did not allow the app. If an administrator has to allow it, ask for that in Slack, then start over.",
            ),
            Self::NoState => (
                StatusCode::BAD_REQUEST,
                "Start here",
                "This installation was started from Slack's own pages. Start it here instead.",
            ),
            Self::Used => (
                StatusCode::BAD_REQUEST,
                "This installation has already ended",
                "Its link can only be used once. If the app is not in your workspace, start over.",
            ),
            Self::Expired => (
                StatusCode::BAD_REQUEST,
                "That took too long",
                "An installation must be finished within ten minutes. Start over.",
            ),
            Self::OtherBrowser => (
                StatusCode::BAD_REQUEST,
                "This started in another browser",
                "An installation must be finished in the browser that started it, with cookies allowed. Start over in this one. If you did not start one, close this page.",
            ),
            Self::Ticket => (
                StatusCode::BAD_REQUEST,
                "This link is no longer valid",
                "A link that connects a project can be used once, for a limited time. Ask whoever sent it for a new one.",
            ),
            Self::AliasTaken => (
                StatusCode::CONFLICT,
                "The alias is taken",
                "Another project of this workspace has the chosen alias. Ask whoever sent the link for one with another alias.",
            ),
            Self::UnknownWorkspace => (
                StatusCode::FORBIDDEN,
                "This workspace does not have the app yet",
                "The first time, begin with the link that connects a project: its maintainer gets one from an administrator of GitLab, who can also allow the workspace.",
            ),
            Self::TooMany => (
                StatusCode::TOO_MANY_REQUESTS,
                "Too many at once",
                "Too many installations are being started. Start over in a few seconds.",
            ),
            Self::Refused => (
                StatusCode::BAD_GATEWAY,
                "Slack did not give access",
                "Slack refused, or its response was invalid. Start over; if it happens again, an administrator can find the cause in the log.",
            ),
            Self::SlackUnavailable => (
                StatusCode::BAD_GATEWAY,
                "Slack does not respond at the moment",
                "Nothing was changed. Start over in a moment.",
            ),
            Self::Unavailable => (
                StatusCode::SERVICE_UNAVAILABLE,
                "The database does not respond at the moment",
                "Start over in a moment. If Slack has already installed the app, that does no harm.",
            ),
            Self::Unstorable => (
                StatusCode::INTERNAL_SERVER_ERROR,
                "The database refused it",
                "Nothing could be stored, and starting over is of no use before the cause is gone. An administrator can find it in the log.",
            ),
        }
    }
}

impl IntoResponse for Trouble {
    fn into_response(self) -> Response {
        let (status, title, text) = self.words();
        let body = html! {
            p { (text) }
            @if !matches!(self, Self::Ticket | Self::AliasTaken | Self::UnknownWorkspace | Self::Unstorable) {
                p { "If you came from a project's link, open that link again: this button is not for a particular project." }
                p { a.button href=(INSTALL) { "Start over" } }
            }
        };
        let id = self.is_logged().then(http::shown_id).flatten();
        (status, http::failure(title, &body, id.as_deref())).into_response()
    }
}
