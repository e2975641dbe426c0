//! The App Home: what of this workspace is connected, with switches for those who may use them ([`view`]). It is published by jobs ([`worker`]). What people do
//! there ([`interaction`], [`options`]) is taken at once, settings are made in a modal ([`settings`]). What is none of ours is GitLab's.

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

pub(crate) use state::App;
pub(crate) use worker::HomeWorkers;

pub(crate) fn router(app: Arc<App>) -> Router {
    Router::new()
        .route(INTERACTIONS, post(interaction::receive))
        .route(OPTIONS, post(options::receive))
        .with_state(app)
}
