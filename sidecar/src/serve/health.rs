//! Whether this process is alive, and whether it is ready.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::collect::Collector;
use super::keys::Fit;
use crate::database::{SlackDatabase, Writes};
use crate::error::complain;
use crate::spool::Spool;

pub(super) struct Health {
    pub(super) database: SlackDatabase,
    pub(super) collector: Collector,
    pub(super) draining: CancellationToken,
    pub(super) keys: watch::Receiver<Fit>,
    pub(super) spool: Option<Arc<Spool>>,
}

/// For load balancers, which may be anywhere; and with what only those who run this program are to see.
pub(super) fn routers(health: Health) -> (Router, Router) {
    let public = Router::new()
        .route("/healthz", get(healthz))
        .route("/readyz", get(readyz))
        .route("/readyz/hooks", get(readyz_for_hooks));
    let admin = public.clone().route("/metrics", get(metrics));
    let health = Arc::new(health);
    (
        public.with_state(Arc::clone(&health)),
        admin.with_state(health),
    )
}

/// Load balancers rarely wait longer.
const TIMEOUT: Duration = Duration::from_secs(2);

/// The process runs: nothing else is checked, so that problems elsewhere do not get it restarted.
async fn healthz() -> &'static str {
    "ok\n"
}

/// It is ready: the database responds, its extension fits, and no signal has arrived.
async fn readyz(State(health): State<Arc<Health>>) -> Response {
    let look = look(&health).await;
    let is_ready = look.is_ready;
    look.answer(is_ready)
}

/// It can accept webhooks, whether the database responds or not.
async fn readyz_for_hooks(State(health): State<Arc<Health>>) -> Response {
    let look = look(&health).await;
    let has_room = health
        .spool
        .as_ref()
        .is_some_and(|it| it.standing().has_room());
    let is_ready = look.is_ready || (has_room && !health.draining.is_cancelled());
    look.answer(is_ready)
}

/// The state, without the verdict.
struct Look {
    is_ready: bool,
    body: Value,
}

impl Look {
    fn answer(mut self, is_ready: bool) -> Response {
        self.body["ready"] = json!(is_ready);
        let status = match is_ready {
            true => StatusCode::OK,
            false => StatusCode::SERVICE_UNAVAILABLE,
        };
        (status, Json(self.body)).into_response()
    }
}

async fn look(health: &Health) -> Look {
    let condition = timeout(TIMEOUT, health.database.condition()).await;
    let (database, extension) = match &condition {
        Ok(Ok(condition)) => {
            let database = match condition.writes {
                Writes::Standby => "a standby",
                Writes::ReadOnly => "read-only",
                Writes::Accepted => "reachable",
            };
            let extension = match condition.extension.as_str() {
                "" => "missing",
                version if fits(version) => "fits",
                _ => "of another version",
            };
            (database, extension)
        }
        Ok(Err(error)) => {
            complain!(error, "not ready");
            ("out of reach", "unknown")
        }
        Err(_) => ("too slow", "unknown"),
    };
    let is_draining = health.draining.is_cancelled();
    let keys = *health.keys.borrow();
    Look {
        is_ready: database == "reachable"
            && extension == "fits"
            && keys == Fit::Fits
            && !is_draining,
        body: json!({
            "ready": false,
            "database": database,
            "extension": extension,
            "token_keys": keys.words(),
            "spool": health.spool.as_ref().map(|spool| spool.standing().to_json()),
            "draining": is_draining,
        }),
    }
}

/// Functions keep their meaning within a minor version; before 1.0 that is the second number.
fn fits(extension: &str) -> bool {
    let minor = |version: &str| -> Option<(u32, u32)> {
        let mut numbers = version.split('.').map(|number| number.parse().ok());
        Some((numbers.next()??, numbers.next()??))
    };
    minor(extension).is_some_and(|version| minor(env!("CARGO_PKG_VERSION")) == Some(version))
}

/// What is wrong with an extension that does not fit, and what helps. Its version is empty if there is none.
pub(crate) fn misfit(extension: &str) -> Option<String> {
    if extension.is_empty() {
        return Some(
            "the extension is missing: create extension lockstep_slack cascade".to_owned(),
        );
    }
    (!fits(extension)).then(|| {
        format!(
            "the extension is version {extension}, this program {}: alter extension lockstep update, or use the program of that version",
            env!("CARGO_PKG_VERSION")
        )
    })
}

async fn metrics(State(health): State<Arc<Health>>) -> Response {
    let kind = [(CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")];
    (kind, health.collector.text().await).into_response()
}

#[cfg(test)]
mod tests {
    use super::fits;

    #[test]
    fn versions_fit_within_a_minor_one() {
        let own = env!("CARGO_PKG_VERSION");
        let mut numbers = own
            .split('.')
            .map(|number| number.parse::<u32>().unwrap_or_default());
        let (major, minor) = (
            numbers.next().unwrap_or_default(),
            numbers.next().unwrap_or_default(),
        );
        for version in [
            own.to_owned(),
            format!("{major}.{minor}.999"),
            format!("{major}.{minor}"),
        ] {
            assert!(fits(&version), "{version}");
        }
        for version in [
            format!("{major}.{}.0", minor + 1),
            format!("{}.{minor}.0", major + 1),
            String::new(),
            "x".to_owned(),
            "1".to_owned(),
        ] {
            assert!(!fits(&version), "{version}");
        }
    }
}
