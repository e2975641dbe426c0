//! What tests, demo and bench share: a private PostgreSQL cluster with the extension, a database shaped like GitLab's,
//! GitLab's webhooks, and a fake Slack.

pub mod account;
pub mod cluster;
pub mod host;
pub mod regress;

mod home;
mod installation;

pub mod browser;
pub mod gitlab;
pub mod http;
pub mod pgbouncer;
pub mod slack;
mod stand_in;
pub mod standby;
pub mod virtual_environment;

use std::path::PathBuf;

/// The root of the workspace.
pub fn root() -> PathBuf {
    let tests = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    tests.parent().map_or(tests.clone(), PathBuf::from)
}

/// Where everything that is built or run here goes.
pub fn target() -> PathBuf {
    root().join("target")
}
