//! The router for tests and the fuzz target: its database refuses connections, and they know the signing secret.

use axum::Router;
use clap::Parser;
use metrics_exporter_prometheus::PrometheusBuilder;

use super::arguments::Serve;
use super::compose::Parts;
use super::config::Config;

pub(crate) const SECRET: &str = "a secret of tests";

/// The token that GitLab sends along.
#[cfg(test)]
pub(crate) const HOOK_TOKEN: &str = "a token of tests";
#[cfg(not(test))]
const HOOK_TOKEN: &str = "a token of tests";

#[derive(Parser)]
struct Line {
    #[command(flatten)]
    serve: Serve,
}

pub(crate) fn router_without_database() -> Router {
    let line = Line::parse_from([
        "lockstep-sidecar",
        "--public-url=https://slack.example",
        "--slack-client-id=1.2",
        "--slack-client-secret=client secret",
        "--slack-signing-secret",
        SECRET,
        "--token-key=0123456789abcdef0123456789abcdef",
        "--viewer-password=password of viewers",
        "--gitlab-token",
        HOOK_TOKEN,
        "--environment=staging=host=/nowhere dbname=none user=nobody",
        "--chatops-user=T1:U1",
        "--database-url=host=/nowhere dbname=none user=nobody",
    ]);
    let config = Config::new(&line.serve).unwrap_or_else(|problems| unreachable!("{problems:?}"));
    let metrics = PrometheusBuilder::new().build_recorder().handle();
    let parts = Parts::new(config, metrics).unwrap_or_else(|error| unreachable!("{error}"));
    parts.public.merge(parts.admin)
}
