//! The router as tests and the fuzz target have it: its database refuses connections, and they know the signing secret.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use axum::Router;
use clap::Parser;
use metrics_exporter_prometheus::PrometheusBuilder;
use ring::hmac;

use super::router::{admin, public};
use crate::app::App;
use crate::command_line::{Arguments, Command};
use crate::config::Config;

pub(crate) const SECRET: &str = "a secret of tests";

/// What GitLab sends along.
#[cfg(test)]
pub(crate) const HOOK_TOKEN: &str = "a token of tests";
#[cfg(not(test))]
const HOOK_TOKEN: &str = "a token of tests";

pub(crate) fn router_without_database() -> Router {
    let arguments = Arguments::parse_from([
        "lockstep-sidecar",
        "serve",
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
    let Command::Serve(serve) = &arguments.command else {
        unreachable!("the command line says serve");
    };
    let config = Config::new(serve).unwrap_or_else(|problems| unreachable!("{problems:?}"));
    let metrics = PrometheusBuilder::new().build_recorder().handle();
    let app = App::new(config, metrics).unwrap_or_else(|error| unreachable!("{error}"));
    let app = Arc::new(app);
    public(&app).merge(admin(&app))
}

/// Headers as Slack would send them with a body.
pub(crate) fn signed_headers(secret: &str, body: &[u8], at: SystemTime) -> [(String, String); 2] {
    let at = at.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
    let tag = hmac::sign(&key, &[format!("v0:{at}:").as_bytes(), body].concat());
    let digits = tag.as_ref().iter().map(|byte| format!("{byte:02x}"));
    [
        ("x-slack-request-timestamp".to_owned(), at.to_string()),
        (
            "x-slack-signature".to_owned(),
            format!("v0={}", digits.collect::<String>()),
        ),
    ]
}
