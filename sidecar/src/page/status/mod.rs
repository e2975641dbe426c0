//! The status page for permitted viewers: what is wrong, messages, jobs, backfills, drift and flags. A script refreshes the part that
//! changes every few seconds; without scripts the page reloads itself.

mod backfills;
mod drift;
mod flags;
mod gitlab;
mod jobs;
mod messages;
mod moment;
mod part;
mod plot;
mod problem;
mod spool;

use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use maud::{Markup, html};
use serde::Deserialize;
use tokio::time::timeout;

use super::history::History;
use super::landing;
use super::report::Report;
use super::state::App;
use super::viewer::check;
use crate::database::Workspace;
use crate::error::{Error, complain};
use crate::http::path::{STATUS_PART, STATUS_SCRIPT};
use crate::http::{self, Peer};

const TIMEOUT: Duration = Duration::from_secs(5);

/// Checking for drift reads whole tables, so it is done this rarely, and only while somebody views the page.
const DRIFT_PERIOD: Duration = Duration::from_secs(300);
const DRIFT_TIMEOUT: Duration = Duration::from_secs(14);

/// In addition to what all pages may do, this one runs its own script, which queries us.
const POLICY: &str = "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; form-action 'none'; \
                      frame-ancestors 'none'; base-uri 'none'";

pub(super) async fn status(
    State(app): State<Arc<App>>,
    peer: Peer,
    headers: HeaderMap,
) -> Response {
    if let Err(stranger) = check(&app, peer, &headers) {
        return stranger.into_response();
    }
    let (status, title, part) = live(&app).await;
    let body = html! {
        nav { a href="/" { "Home" } }
        h1 { "Status" }
        p #stale.bad role="status" hidden {}
        div #live data-part=(STATUS_PART) { (part) }
        script src=(STATUS_SCRIPT) defer {}
        noscript { meta http-equiv="refresh" content="10"; }
    };
    let policy = [(CONTENT_SECURITY_POLICY, POLICY)];
    (status, policy, http::page(&title, &body)).into_response()
}

/// The part that changes.
pub(super) async fn part(State(app): State<Arc<App>>, peer: Peer, headers: HeaderMap) -> Response {
    if let Err(stranger) = check(&app, peer, &headers) {
        return stranger.into_response();
    }
    let (status, _, part) = live(&app).await;
    (status, part).into_response()
}

pub(super) async fn script() -> Response {
    let headers = [
        (CONTENT_TYPE, "text/javascript; charset=utf-8"),
        (CACHE_CONTROL, "public, max-age=3600"),
    ];
    (headers, include_str!("live.js")).into_response()
}

/// Title and part.
async fn live(app: &Arc<App>) -> (StatusCode, String, Markup) {
    let of_process = html! {
        @if let Some(spool) = app.spool.as_deref() { section #spool { (spool::of(spool.standing())) } }
        @if let Some(pass_through) = app.pass_through.as_deref() { section #gitlab { (gitlab::of(pass_through)) } }
    };
    let (status, title, part) = match app.cache.report.get(|| report(app)).await {
        Some(report) => {
            let (history, workspaces) = tokio::join!(
                app.cache.history.get(|| history(app)),
                app.cache.workspaces.get(|| workspaces(app))
            );
            let has_failed = count_drift(app, &report);
            let (title, part) = part::of(
                &report,
                history.as_deref(),
                workspaces.as_deref().map(Vec::as_slice),
                has_failed,
                &of_process,
            );
            (StatusCode::OK, title, part)
        }
        None => {
            let trouble = html! {
                p.bad { "The database does not respond at the moment. This page keeps trying." }
                div.columns { (of_process) }
            };
            let title = "No database · Status".to_owned();
            (StatusCode::SERVICE_UNAVAILABLE, title, trouble)
        }
    };
    // The script takes the title from here.
    let part = html! { div data-title=(http::title(&title)) { (part) } };
    (status, title, part)
}

async fn report(app: &App) -> Option<Report> {
    let asking = timeout(TIMEOUT, app.for_status.status_report()).await;
    let report = asking.unwrap_or(Err(Error::Silent)).and_then(|report| {
        Report::deserialize(report).map_err(|error| Error::Pool(error.to_string()))
    });
    report
        .inspect_err(|error| complain!(error, "cannot tell the status"))
        .ok()
}

/// The page does without it.
async fn history(app: &App) -> Option<History> {
    let asking = timeout(TIMEOUT, app.for_status.status_history()).await;
    let history = asking.unwrap_or(Err(Error::Silent)).and_then(|history| {
        History::deserialize(history).map_err(|error| Error::Pool(error.to_string()))
    });
    history
        .inspect_err(|error| complain!(error, "cannot tell the history"))
        .ok()
}

/// Their installations.
async fn workspaces(app: &App) -> Option<Vec<Workspace>> {
    let asking = timeout(TIMEOUT, app.for_status.workspaces(landing::MOST)).await;
    asking
        .unwrap_or(Err(Error::Silent))
        .inspect_err(|error| complain!(error, "cannot list workspaces"))
        .ok()
}

/// Counts drifted rows in the background if the last count is too old. Answers whether the last attempt failed.
fn count_drift(app: &Arc<App>, report: &Report) -> bool {
    let age = report
        .drift
        .iter()
        .map(|it| it.age().unwrap_or(Duration::MAX));
    let is_old = age.max().is_none_or(|age| age >= DRIFT_PERIOD);
    if is_old && app.cache.drift.is_due(DRIFT_PERIOD) {
        let app = Arc::clone(app);
        tokio::spawn(async move {
            let counting = timeout(DRIFT_TIMEOUT, app.for_status.count_drift()).await;
            let counted = counting.unwrap_or(Err(Error::Silent));
            app.cache.drift.set_failed(counted.is_err());
            if let Err(error) = counted {
                complain!(error, "cannot look for drift");
            }
        });
    }
    app.cache.drift.has_failed()
}
