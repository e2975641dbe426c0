//! The App Home: the connected projects of this workspace, with switches for permitted users ([`view`]). Jobs publish it
//! ([`worker`]). User actions ([`interaction`], [`options`]) are processed immediately; settings are edited in a modal
//! ([`settings`]). Everything else belongs to GitLab.

mod interaction;
mod options;
mod settings;
mod show;
mod state;
mod view;
mod worker;

use std::sync::Arc;

use axum::Router;
use axum::routing::post;

use crate::http::path::{INTERACTIONS, OPTIONS};

pub(crate) use state::{App, Other};
pub(crate) use worker::HomeWorkers;

pub(crate) fn router(app: Arc<App>) -> Router {
    Router::new()
        .route(INTERACTIONS, post(interaction::receive))
        .route(OPTIONS, post(options::receive))
        .with_state(app)
}
