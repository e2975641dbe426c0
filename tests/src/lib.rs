//! Shared by tests, demo and bench: a private PostgreSQL cluster with the extension, several under Patroni, a GitLab-shaped database,
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
pub mod patroni;
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

/// The directory for everything that is built or run here.
pub fn target() -> PathBuf {
    root().join("target")
}
