//! The pages for browsers.

mod cache;
mod guess;
mod history;
mod landing;
mod markup;
mod report;
mod state;
mod status;
mod viewer;

use std::sync::Arc;

use axum::Router;
use axum::routing::get;

use crate::http;
use crate::http::path::{SIGN_IN, STATUS, STATUS_PART, STATUS_SCRIPT, STYLE};

pub(crate) use state::App;

pub(crate) fn router(app: App) -> Router {
    Router::new()
        .route("/", get(landing::landing))
        .route(SIGN_IN, get(landing::sign_in))
        .route(STYLE, get(http::style))
        .route(STATUS, get(status::status))
        .route(STATUS_PART, get(status::part))
        .route(STATUS_SCRIPT, get(status::script))
        .with_state(Arc::new(app))
}
