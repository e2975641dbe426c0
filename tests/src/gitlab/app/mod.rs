//! A stand-in for GitLab's own part of the Slack app, on loopback: it verifies requests like GitLab, knows aliases and linked
//! accounts, and responds in GitLab's formats. Its texts are its own.

mod answer;
mod command;
mod incident;
mod request;
mod server;
mod verify;
mod world;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;

use crate::slack::App;
use crate::stand_in::Server;
use server::{Shared, router};

pub use world::{Fault, Received};

/// A running stand-in; it stops when this is dropped.
#[derive(Debug)]
pub struct GitLab {
    // Before `shared`, so that it stops first.
    server: Server,
    shared: Arc<Shared>,
}

impl GitLab {
    /// Starts one with the secrets of that Slack app, on a free port.
    pub fn start(app: App) -> Result<Self> {
        Self::start_on(app, 0)
    }

    pub fn start_on(app: App, port: u16) -> Result<Self> {
        let shared = Arc::new(Shared::default());
        shared.world().app = app;
        let server = Server::start("gitlab", router(Arc::clone(&shared)), port)?;
        shared.world().base_url = format!("http://{}", server.address);
        Ok(Self { server, shared })
    }

    pub fn address(&self) -> SocketAddr {
        self.server.address
    }

    pub fn base_url(&self) -> String {
        format!("http://{}", self.address())
    }

    /// Lets it open modals in Slack and write to response URLs, with that token.
    pub fn reach_slack(&self, base_url: &str, token: &str) {
        self.shared.world().slack = Some((base_url.to_owned(), token.to_owned()));
    }

    /// Changes the secrets in its settings.
    pub fn change_app(&self, change: impl FnOnce(&mut App)) {
        change(&mut self.shared.world().app);
    }

    /// Connects a project to a workspace.
    pub fn connect(&self, team: &str, alias: &str, path: &str) {
        let mut world = self.shared.world();
        world
            .projects
            .insert((team.to_owned(), alias.to_owned()), path.to_owned());
    }

    /// Links a Slack user's account.
    pub fn link(&self, team: &str, user: &str, name: &str) {
        let mut world = self.shared.world();
        world
            .users
            .insert((team.to_owned(), user.to_owned()), name.to_owned());
    }

    /// Makes the next requests fail in turn, or all requests until the next call if `is_for_good`.
    pub fn fail(&self, faults: &[Fault], is_for_good: bool) {
        let mut world = self.shared.world();
        world.faults = faults.iter().cloned().collect();
        world.fails_for_good = is_for_good;
    }

    /// The received requests, oldest first.
    pub fn received(&self) -> Vec<Received> {
        self.shared.world().received.clone()
    }

    pub fn forget(&self) {
        self.shared.world().received.clear();
    }

    /// From now on received requests are not stored; for benches.
    pub fn keep_nothing(&self) {
        self.shared.world().keeps_nothing = true;
    }

    /// The distinct ids of the events that it has queued.
    pub fn events(&self) -> Vec<String> {
        self.shared.world().events.iter().cloned().collect()
    }

    /// Waits until this many requests have arrived; false after `patience`.
    pub fn wait_for_requests(&self, requests: usize, patience: Duration) -> bool {
        self.shared
            .wait(patience, |world| world.received.len() >= requests)
    }
}
