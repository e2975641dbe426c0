//! Whether this process is alive, and whether it is of use now.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use serde_json::json;
use tokio::time::timeout;
use tracing::warn;

use crate::app::App;

/// Load balancers seldom wait longer.
const TIMEOUT: Duration = Duration::from_secs(2);

/// It runs: nothing else is asked, so that no trouble elsewhere has it restarted.
pub(super) async fn healthz() -> &'static str {
    "ok\n"
}

/// It can do what it is for: the database answers, its extension fits, and no signal has come.
pub(super) async fn readyz(State(app): State<Arc<App>>) -> Response {
    let version = timeout(TIMEOUT, app.database.extension_version()).await;
    let (database, extension) = match &version {
        Ok(Ok(version)) if fits(version) => ("reachable", "fits"),
        Ok(Ok(version)) if version.is_empty() => ("reachable", "missing"),
        Ok(Ok(_)) => ("reachable", "of another version"),
        Ok(Err(error)) => {
            warn!(error = %error.report(), "not ready");
            ("out of reach", "unknown")
        }
        Err(_) => ("too slow", "unknown"),
    };
    let is_draining = app.is_draining();
    let is_ready = extension == "fits" && !is_draining;
    let body = json!({
        "ready": is_ready,
        "database": database,
        "extension": extension,
        "draining": is_draining,
    });
    let status = match is_ready {
        true => StatusCode::OK,
        false => StatusCode::SERVICE_UNAVAILABLE,
    };
    let kind = [(CONTENT_TYPE, "application/json")];
    (status, kind, format!("{body}\n")).into_response()
}

/// Functions keep their meaning within a minor version; before 1.0 that is the second number.
pub(crate) fn fits(extension: &str) -> bool {
    let minor = |version: &str| -> Option<(u32, u32)> {
        let mut numbers = version.split('.').map(|number| number.parse().ok());
        Some((numbers.next()??, numbers.next()??))
    };
    minor(extension).is_some_and(|version| minor(env!("CARGO_PKG_VERSION")) == Some(version))
}

pub(super) async fn metrics(State(app): State<Arc<App>>) -> Response {
    app.metrics.run_upkeep();
    let kind = [(CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")];
    (kind, app.metrics.render()).into_response()
}
