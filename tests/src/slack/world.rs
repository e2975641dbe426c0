//! The contents of the fake Slack: organizations, workspaces, users, channels and the app.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, SystemTime};

use serde_json::{Value, json};

use super::clock::{Clock, since_epoch};
use super::fault::Faults;
use super::message::Messages;
use super::oauth::{Code, Decision};
use super::rate::Limits;
use super::response_url::ResponseUrl;
use super::token::{RefreshToken, Token};
use super::view::{Home, Modal, Trigger};

/// The app as it is registered with Slack.
#[derive(Clone, Debug)]
pub struct App {
    pub id: String,
    pub client_id: String,
    pub client_secret: String,
    pub signing_secret: String,
    /// The deprecated token in the bodies of commands and events.
    pub verification_token: String,
    /// What it says of the tokens that it gives.
    pub token_type: String,
    /// Whether access tokens expire and are renewed with refresh tokens.
    pub rotates_tokens: bool,
    /// How long they live in that case.
    pub token_life: Duration,
    /// Allowed redirect addresses: prefixes. Empty: anything on loopback.
    pub redirect_urls: Vec<String>,
    /// Whether the app has a Home tab.
    pub has_home: bool,
    /// Whether users can exchange messages with it.
    pub has_messages: bool,
}

impl Default for App {
    fn default() -> Self {
        Self {
            id: "A0LOCKSTEP".to_owned(),
            client_id: "1234567890.0987654321".to_owned(),
            client_secret: "client-secret-of-the-fake".to_owned(),
            signing_secret: "signing-secret-of-the-fake".to_owned(),
            verification_token: "verification-token-of-the-fake".to_owned(),
            token_type: "bot".to_owned(),
            rotates_tokens: false,
            token_life: Duration::from_secs(43_200),
            redirect_urls: Vec::new(),
            has_home: true,
            has_messages: true,
        }
    }
}

/// An Enterprise Grid organization.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Enterprise {
    pub id: String,
    pub name: String,
}

/// A workspace, standalone or of an organization.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Workspace {
    pub id: String,
    pub name: String,
    pub domain: String,
    pub enterprise_id: Option<String>,
}

/// A person or a bot user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    pub id: String,
    pub name: String,
    /// The workspace, or the organization for the bot user of an org-wide installation.
    pub tenant: String,
    pub is_bot: bool,
}

/// A channel and its members.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Channel {
    pub id: String,
    pub name: String,
    pub team_id: String,
    pub is_private: bool,
    pub is_archived: bool,
    /// Whether apps may not post, even as members.
    pub is_read_only: bool,
    pub members: BTreeSet<String>,
}

/// The app in a workspace, or in a whole organization.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Installation {
    /// The id of the workspace, or of the organization.
    pub tenant: String,
    pub is_org_wide: bool,
    pub scopes: BTreeSet<String>,
    pub bot_user_id: String,
    pub bot_id: String,
    pub installed_by: String,
}

/// All of Slack's state.
#[derive(Debug, Default)]
pub(crate) struct World {
    pub(crate) app: App,
    /// `http://` and the address that the fake listens on.
    pub(crate) base_url: String,
    pub(crate) clock: Clock,
    pub(crate) enterprises: BTreeMap<String, Enterprise>,
    pub(crate) workspaces: BTreeMap<String, Workspace>,
    pub(crate) users: BTreeMap<String, User>,
    pub(crate) channels: BTreeMap<String, Channel>,
    /// Ids by workspace and name.
    pub(crate) channel_names: BTreeMap<(String, String), String>,
    /// Ids of the conversations of bot users with users.
    pub(crate) directs: BTreeMap<(String, String), String>,
    pub(crate) installations: BTreeMap<String, Installation>,
    pub(crate) tokens: BTreeMap<String, Token>,
    pub(crate) refresh_tokens: BTreeMap<String, RefreshToken>,
    pub(crate) codes: BTreeMap<String, Code>,
    pub(crate) decision: Decision,
    pub(crate) triggers: BTreeMap<String, Trigger>,
    pub(crate) modals: BTreeMap<String, Modal>,
    pub(crate) homes: BTreeMap<String, Home>,
    pub(crate) messages: Messages,
    /// How long after posting a message may be changed; None means forever.
    pub(crate) edit_window: Option<Duration>,
    pub(crate) response_urls: BTreeMap<String, ResponseUrl>,
    /// Queued events for the app, oldest first.
    pub(crate) events: Vec<Value>,
    pub(crate) faults: Faults,
    pub(crate) limits: Limits,
    /// The delay of every response.
    pub(crate) answer_after: Duration,
    /// Whether calls are only counted, and messages stored without everything that was sent.
    pub(crate) only_counts: bool,
    pub(crate) calls: Vec<Call>,
    pub(crate) counts: BTreeMap<String, Count>,
    /// The latest message's ts, in microseconds.
    last_ts: u128,
    issued: u64,
}

/// How often a method was called.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Count {
    /// Calls that have started, finished or not.
    pub(crate) arrived: usize,
    pub(crate) done: usize,
}

/// One call that the app made.
#[derive(Clone, Debug, PartialEq)]
pub struct Call {
    /// `chat.postMessage` and so on, `authorize` for the page of consent, `response_url`.
    pub method: String,
    /// The workspace or organization of the token.
    pub tenant: Option<String>,
    pub arguments: Value,
    pub at: SystemTime,
    /// The HTTP status; None if the connection was closed without a response.
    pub status: Option<u16>,
    /// The error that was answered.
    pub error: Option<String>,
}

impl World {
    /// A new number.
    pub(crate) fn number(&mut self) -> u64 {
        self.issued += 1;
        self.issued
    }

    /// A new id.
    pub(crate) fn id(&mut self, prefix: &str) -> String {
        let number = self.number();
        format!("{prefix}0FAKE{number:05}")
    }

    /// The timestamp of a new message, later than all others.
    pub(crate) fn ts(&mut self) -> String {
        let now = since_epoch(self.now()).as_micros();
        self.last_ts = now.max(self.last_ts + 1);
        format!(
            "{}.{:06}",
            self.last_ts / 1_000_000,
            self.last_ts % 1_000_000
        )
    }

    pub(crate) fn count(&mut self, method: &str) -> &mut Count {
        self.counts.entry(method.to_owned()).or_default()
    }

    pub(crate) fn now(&self) -> SystemTime {
        self.clock.now()
    }

    pub(crate) fn now_epoch(&self) -> u64 {
        since_epoch(self.now()).as_secs()
    }

    /// Whether a workspace or organization is covered by a tenant's token.
    pub(crate) fn covers(&self, tenant: &str, team: &str) -> bool {
        tenant == team
            || self
                .workspaces
                .get(team)
                .is_some_and(|workspace| workspace.enterprise_id.as_deref() == Some(tenant))
    }

    pub(crate) fn team_json(&self, id: &str) -> Value {
        match self.workspaces.get(id) {
            Some(workspace) => json!({ "id": workspace.id, "name": workspace.name }),
            None => Value::Null,
        }
    }

    /// The organization itself, or the workspace's organization.
    pub(crate) fn enterprise_of(&self, tenant: &str) -> Option<&Enterprise> {
        let id = match self.workspaces.get(tenant) {
            Some(workspace) => workspace.enterprise_id.as_deref()?,
            None => tenant,
        };
        self.enterprises.get(id)
    }

    pub(crate) fn enterprise_json(&self, tenant: &str) -> Value {
        match self.enterprise_of(tenant) {
            Some(enterprise) => json!({ "id": enterprise.id, "name": enterprise.name }),
            None => Value::Null,
        }
    }

    /// Installs the app in a workspace or organization, or adds scopes there.
    pub(crate) fn install(&mut self, tenant: &str, user: &str, scopes: &[&str]) -> Installation {
        let bot_number = self.number();
        let installation = self
            .installations
            .entry(tenant.to_owned())
            .or_insert_with(|| Installation {
                tenant: tenant.to_owned(),
                is_org_wide: self.enterprises.contains_key(tenant),
                scopes: BTreeSet::new(),
                bot_user_id: format!("U0BOT{bot_number:06}"),
                bot_id: format!("B0BOT{bot_number:06}"),
                installed_by: user.to_owned(),
            });
        installation
            .scopes
            .extend(scopes.iter().map(|scope| (*scope).to_owned()));
        user.clone_into(&mut installation.installed_by);
        let installation = installation.clone();
        self.users
            .entry(installation.bot_user_id.clone())
            .or_insert_with(|| User {
                id: installation.bot_user_id.clone(),
                name: "lockstep".to_owned(),
                tenant: tenant.to_owned(),
                is_bot: true,
            });
        installation
    }

    /// Uninstalls the app; Slack's events about it wait in `events`.
    pub(crate) fn uninstall(&mut self, tenant: &str) {
        let Some(installation) = self.installations.remove(tenant) else {
            return;
        };
        self.end_tokens(tenant, super::token::End::Inactive);
        for channel in self.channels.values_mut() {
            channel.members.remove(&installation.bot_user_id);
        }
        self.push_event(&installation, json!({ "type": "app_uninstalled" }));
        let tokens = json!({ "oauth": [], "bot": [installation.bot_user_id] });
        self.push_event(
            &installation,
            json!({ "type": "tokens_revoked", "tokens": tokens }),
        );
    }

    /// Wraps a Slack event for the app and queues it for delivery by a test.
    pub(crate) fn push_event(&mut self, installation: &Installation, event: Value) {
        let envelope = self.envelope(installation, None, event);
        self.events.push(envelope);
    }

    /// An event in a workspace, which is the installation's own unless that is org-wide.
    pub(crate) fn envelope(
        &mut self,
        installation: &Installation,
        workspace: Option<&str>,
        event: Value,
    ) -> Value {
        let id = self.id("Ev");
        let tenant = &installation.tenant;
        let enterprise = self.enterprise_of(tenant).map(|found| found.id.clone());
        let installed_in = (!installation.is_org_wide).then(|| tenant.clone());
        let team = workspace.map(str::to_owned).or(installed_in.clone());
        json!({
            "token": self.app.verification_token,
            "team_id": team.clone().or_else(|| enterprise.clone()),
            "enterprise_id": enterprise,
            "context_team_id": team,
            "context_enterprise_id": enterprise,
            "api_app_id": self.app.id,
            "type": "event_callback",
            "event_id": id,
            "event_time": self.now_epoch(),
            "event_context": format!("4-{id}"),
            "is_ext_shared_channel": false,
            "authorizations": [{
                "enterprise_id": enterprise,
                "team_id": installed_in,
                "user_id": installation.bot_user_id,
                "is_bot": true,
                "is_enterprise_install": installation.is_org_wide,
            }],
            "event": event,
        })
    }
}
