//! Which path is whose.

use std::sync::Arc;

use axum::Router;
use axum::http::StatusCode;
use axum::middleware::{from_fn, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};

use super::problem::Problem;
use super::{health, heard, observe, verified};
use crate::app::App;
use crate::{notification, page, slack};

/// The paths that the manifest of the host's Slack app names.
pub(crate) const EVENTS: &str = "/api/v4/integrations/slack/events";
pub(crate) const INTERACTIONS: &str = "/api/v4/integrations/slack/interactions";
pub(crate) const OPTIONS: &str = "/api/v4/integrations/slack/options";
pub(crate) const COMMANDS: &str = "/api/v4/slack/trigger";

/// GitLab's webhooks.
pub(crate) const HOOKS: &str = "/gitlab/hooks";

pub(crate) const INSTALL: &str = "/slack/install";
pub(crate) const INSTALLED: &str = "/slack/install/callback";
pub(crate) const SIGN_IN: &str = "/sign-in";
pub(crate) const STYLE: &str = "/style.css";
pub(crate) const STATUS: &str = "/status";
pub(crate) const STATUS_PART: &str = "/status/part";
pub(crate) const STATUS_SCRIPT: &str = "/status.js";

/// What Slack and browsers reach.
pub(super) fn public(app: &Arc<App>) -> Router {
    let from_slack = Router::new()
        .route(EVENTS, post(slack::receive_event))
        .route(INTERACTIONS, post(slack::receive_interaction))
        .route(OPTIONS, post(slack::receive_options_request))
        .route(COMMANDS, post(slack::receive_command))
        .layer(from_fn_with_state(Arc::clone(app), verified::verify));
    let from_gitlab = Router::new().route(HOOKS, post(notification::receive_hook));
    let pages = Router::new()
        .route("/", get(page::landing))
        .route(SIGN_IN, get(page::sign_in))
        .route(INSTALL, get(slack::begin_install))
        .route(INSTALLED, get(slack::finish_install))
        .route(STYLE, get(page::style))
        .route(STATUS, get(page::status))
        .route(STATUS_PART, get(page::status_part))
        .route(STATUS_SCRIPT, get(page::status_script))
        .layer(from_fn(page::protect));
    from_slack
        .merge(from_gitlab)
        .merge(pages)
        .method_not_allowed_fallback(method_not_allowed)
        .fallback(not_found)
        .layer(from_fn(heard::hear))
        .layer(from_fn(observe::observe))
        .with_state(Arc::clone(app))
}

/// What load balancers and Prometheus reach.
pub(super) fn admin(app: &Arc<App>) -> Router {
    Router::new()
        .route("/healthz", get(health::healthz))
        .route("/readyz", get(health::readyz))
        .route("/metrics", get(health::metrics))
        .with_state(Arc::clone(app))
}

async fn not_found() -> Response {
    Problem::new(StatusCode::NOT_FOUND, "There is nothing at this address.").into_response()
}

async fn method_not_allowed() -> Response {
    Problem::new(
        StatusCode::METHOD_NOT_ALLOWED,
        "This address takes another method.",
    )
    .into_response()
}
