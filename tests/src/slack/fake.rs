//! The test's handle: starts the fake, and sets up its contents and faults.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use super::clock::Clock;
use super::fault::Fault;
use super::message::Message;
use super::oauth::Decision;
use super::rate::Rate;
use super::server::{Shared, router};
use super::token::{End, Issued};
use super::world::{App, Channel, Enterprise, Installation, User, Workspace};
use crate::stand_in::Server;

/// A running fake Slack; it stops when this is dropped.
#[derive(Debug)]
pub struct FakeSlack {
    // Before `shared`, so that it stops first.
    server: Server,
    pub(super) shared: Arc<Shared>,
    clock: Clock,
}

impl FakeSlack {
    /// A Slack with one app and nothing else, on a free port.
    pub fn start(app: App) -> Result<Self> {
        Self::start_on(app, 0)
    }

    /// The same on a given port.
    pub fn start_on(app: App, port: u16) -> Result<Self> {
        let shared = Arc::new(Shared::default());
        let clock = Clock::default();
        {
            let mut world = shared.world();
            world.app = app;
            world.clock = clock.clone();
        }
        let server = Server::start("fake-slack", router(Arc::clone(&shared)), port)?;
        shared.world().base_url = format!("http://{}", server.address);
        Ok(Self {
            server,
            shared,
            clock,
        })
    }

    /// The address it listens on.
    pub fn address(&self) -> SocketAddr {
        self.server.address
    }

    /// Replaces `https://slack.com`: methods are at `<base>/api/`, the consent page at `<base>/oauth/v2/authorize`.
    pub fn base_url(&self) -> String {
        format!("http://{}", self.address())
    }

    /// Slack's time. Freeze it before anything that depends on elapsed time.
    pub fn clock(&self) -> &Clock {
        &self.clock
    }

    pub fn app(&self) -> App {
        self.shared.world().app.clone()
    }

    /// Changes how the app is registered.
    pub fn change_app(&self, change: impl FnOnce(&mut App)) {
        change(&mut self.shared.world().app);
    }

    // The contents.

    pub fn create_enterprise(&self, name: &str) -> Enterprise {
        let mut world = self.shared.world();
        let enterprise = Enterprise {
            id: world.id("E"),
            name: name.to_owned(),
        };
        world
            .enterprises
            .insert(enterprise.id.clone(), enterprise.clone());
        enterprise
    }

    /// A standalone workspace.
    pub fn create_workspace(&self, name: &str) -> Workspace {
        self.add_workspace(name, None)
    }

    /// A workspace of an organization.
    pub fn create_workspace_in(&self, enterprise: &str, name: &str) -> Workspace {
        self.add_workspace(name, Some(enterprise.to_owned()))
    }

    fn add_workspace(&self, name: &str, enterprise_id: Option<String>) -> Workspace {
        let mut world = self.shared.world();
        let workspace = Workspace {
            id: world.id("T"),
            name: name.to_owned(),
            domain: name.to_lowercase().replace(' ', "-"),
            enterprise_id,
        };
        world
            .workspaces
            .insert(workspace.id.clone(), workspace.clone());
        workspace
    }

    pub fn create_user(&self, team: &str, name: &str) -> User {
        let mut world = self.shared.world();
        let user = User {
            id: world.id("U"),
            name: name.to_owned(),
            tenant: team.to_owned(),
            is_bot: false,
        };
        world.users.insert(user.id.clone(), user.clone());
        user
    }

    /// A public channel without members.
    pub fn create_channel(&self, team: &str, name: &str) -> Channel {
        self.add_channel(team, name, false)
    }

    pub fn create_private_channel(&self, team: &str, name: &str) -> Channel {
        self.add_channel(team, name, true)
    }

    fn add_channel(&self, team: &str, name: &str, is_private: bool) -> Channel {
        let mut world = self.shared.world();
        let channel = Channel {
            id: world.id("C"),
            name: name.to_owned(),
            team_id: team.to_owned(),
            is_private,
            ..Channel::default()
        };
        world
            .channel_names
            .entry((team.to_owned(), name.to_owned()))
            .or_insert_with(|| channel.id.clone());
        world.channels.insert(channel.id.clone(), channel.clone());
        channel
    }

    /// Adds a user, or the app's bot user, to a channel.
    pub fn join(&self, channel: &str, user: &str) -> Result<()> {
        self.change_channel(channel, |channel| {
            channel.members.insert(user.to_owned());
        })
    }

    pub fn archive(&self, channel: &str) -> Result<()> {
        self.change_channel(channel, |channel| channel.is_archived = true)
    }

    /// Makes a channel read-only for apps, even members.
    pub fn make_read_only(&self, channel: &str) -> Result<()> {
        self.change_channel(channel, |channel| channel.is_read_only = true)
    }

    /// Posts a message as a user; returns its ts.
    pub fn say(&self, channel: &str, user: &str, text: &str) -> String {
        let mut world = self.shared.world();
        let message = Message {
            channel: channel.to_owned(),
            ts: world.ts(),
            only_for: None,
            by: Some(user.to_owned()),
            text: text.to_owned(),
            thread_ts: None,
            sent: Value::Null,
            at: world.now(),
            is_answered: true,
            updates: 0,
        };
        let ts = message.ts.clone();
        world.messages.add(message);
        ts
    }

    /// Deletes a message, whoever posted it.
    pub fn delete_message(&self, channel: &str, ts: &str) -> Result<()> {
        let is_deleted = self.shared.world().messages.delete(channel, ts);
        ensure!(is_deleted, "there is no message {ts} in {channel}");
        Ok(())
    }

    /// How long after posting a message may be changed; forever by default, as in most workspaces.
    pub fn limit_edits(&self, window: Option<Duration>) {
        self.shared.world().edit_window = window;
    }

    fn change_channel(&self, id: &str, change: impl FnOnce(&mut Channel)) -> Result<()> {
        let mut world = self.shared.world();
        let channel = world.channels.get_mut(id);
        change(channel.with_context(|| format!("there is no channel {id}"))?);
        Ok(())
    }

    // The app in a workspace, or in an organization by its id.

    /// Installs the app without the consent page; returns the installation and its token.
    pub fn install(
        &self,
        tenant: &str,
        user: &str,
        scopes: &[&str],
    ) -> Result<(Installation, Issued)> {
        let mut world = self.shared.world();
        let is_known =
            world.workspaces.contains_key(tenant) || world.enterprises.contains_key(tenant);
        ensure!(is_known, "there is no workspace or organization {tenant}");
        let installation = world.install(tenant, user, scopes);
        Ok((installation, world.issue(tenant)))
    }

    /// Revokes all tokens of an installation, as an administrator would; the event is queued for delivery.
    pub fn revoke_tokens(&self, tenant: &str) -> Result<()> {
        let mut world = self.shared.world();
        let installation = world.installations.get(tenant).cloned();
        let installation =
            installation.with_context(|| format!("the app is not installed in {tenant}"))?;
        world.end_tokens(tenant, End::Revoked);
        world.tell_revoked(&installation);
        Ok(())
    }

    /// Uninstalls the app; app_uninstalled and tokens_revoked are queued for delivery, in this order.
    pub fn uninstall(&self, tenant: &str) {
        self.shared.world().uninstall(tenant);
    }

    /// Sets the user's decision on the next consent pages.
    pub fn decide(&self, decision: Decision) {
        self.shared.world().decision = decision;
    }

    /// A code like the consent page's, for an installation started by an administrator: without a state.
    pub fn issue_code(
        &self,
        tenant: &str,
        user: &str,
        scopes: &[&str],
        redirect_uri: &str,
    ) -> String {
        let scopes = scopes.iter().map(|scope| (*scope).to_owned()).collect();
        self.shared.world().code(tenant, user, scopes, redirect_uri)
    }

    /// A trigger like those in commands and interactions: valid for 3 seconds, once.
    pub fn trigger(&self, tenant: &str) -> String {
        self.shared.world().trigger(tenant)
    }

    /// A response URL: valid for 30 minutes, five times.
    pub fn response_url(&self, tenant: &str, channel: &str, user: &str) -> String {
        self.shared.world().response_url(tenant, channel, user)
    }

    /// The envelope of an event for an installation, to be delivered by a `Caller`.
    pub fn event(&self, tenant: &str, event: Value) -> Result<Value> {
        self.event_in(tenant, None, event)
    }

    fn event_in(&self, tenant: &str, workspace: Option<&str>, event: Value) -> Result<Value> {
        let mut world = self.shared.world();
        let installation = world.installations.get(tenant).cloned();
        let installation =
            installation.with_context(|| format!("the app is not installed in {tenant}"))?;
        Ok(world.envelope(&installation, workspace, event))
    }

    /// The event of a user opening the app's Home. For an org-wide installation it comes from the user's workspace.
    pub fn home_opened(&self, tenant: &str, user: &str) -> Result<Value> {
        let (workspace, ts) = {
            let mut world = self.shared.world();
            let found = world.users.get(user).map(|found| found.tenant.clone());
            (found, world.ts())
        };
        let workspace = workspace.with_context(|| format!("there is no user {user}"))?;
        let event = json!({
            "type": "app_home_opened",
            "user": user,
            "channel": format!("D0HOME{user}"),
            "tab": "home",
            "event_ts": ts,
        });
        self.event_in(tenant, Some(&workspace), event)
    }

    /// Takes the queued events, oldest first.
    pub fn take_events(&self) -> Vec<Value> {
        std::mem::take(&mut self.shared.world().events)
    }

    // The faults.

    /// Makes the next `calls` of a method fail, or all until `clear_faults`. `authorize` and `response_url` count as methods.
    pub fn fail(&self, method: &str, fault: Fault, calls: Option<u32>) {
        self.shared.world().faults.add(method, fault, calls);
    }

    /// The same for calls that name this channel, by the name they use.
    pub fn fail_in(&self, method: &str, channel: &str, fault: Fault, calls: Option<u32>) {
        let mut world = self.shared.world();
        world.faults.add_in(method, channel, fault, calls);
    }

    /// Makes calls of a method fail randomly, with a percentage per fault; the same seed gives the same faults to the same calls.
    pub fn fail_by_chance(&self, method: &str, seed: u64, percent: &[(Fault, u64)]) {
        let mut world = self.shared.world();
        world.faults.add_by_chance(method, seed, percent);
    }

    /// How many calls each fault has hit.
    pub fn faults_given(&self) -> BTreeMap<Fault, usize> {
        self.shared.world().faults.given()
    }

    /// Delays every response by this much. The call takes effect immediately.
    pub fn answer_after(&self, delay: Duration) {
        self.shared.world().answer_after = delay;
    }

    pub fn clear_faults(&self) {
        self.shared.world().faults.clear();
    }

    /// Changes a limit, or removes it. "chat.postMessage channel" is the limit per channel.
    pub fn limit(&self, method: &str, rate: Option<Rate>) {
        self.shared.world().limits.change(method, rate);
    }

    /// Removes every limit, for benches.
    pub fn lift_limits(&self) {
        self.shared.world().limits.turn_off();
    }
}
