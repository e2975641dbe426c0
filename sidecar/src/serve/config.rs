//! The configuration of the Slack app, checked as a whole, so that all errors are reported at once.

use std::collections::HashSet;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};
use url::Url;

use super::arguments::Serve;
use crate::chatops;
use crate::connection::{Address, HELLO};
use crate::install::Allowed;
use crate::notification::HookSecrets;
use crate::pass_through;
use crate::settings::{Problem, PublicUrl, SHORTEST_PASSWORD, scopes, slack_ids, web_address};
use crate::slack::{Credentials, SigningSecret};
use crate::spool;
use crate::token::TokenKeys;

pub(crate) struct Config {
    pub(crate) listen: SocketAddr,
    pub(crate) admin_listen: SocketAddr,
    pub(crate) public_url: PublicUrl,
    pub(crate) slack_url: Url,
    pub(crate) credentials: Credentials,
    pub(crate) signing_secret: SigningSecret,
    pub(crate) token_keys: Arc<TokenKeys>,
    pub(crate) pass_through: pass_through::Settings,
    /// The scopes that installations request.
    pub(crate) scopes: Vec<&'static str>,
    /// Which workspaces may install the app without a ticket.
    pub(crate) allowed: Allowed,
    pub(crate) hook_secrets: HookSecrets,
    pub(crate) spool: Option<spool::Settings>,
    pub(crate) viewer_password: Option<SecretString>,
    /// The proxy in front provides the client address.
    pub(crate) forwarded_for: bool,
    pub(crate) managers: Arc<HashSet<String>>,
    pub(crate) chatops: Arc<chatops::Settings>,
    pub(crate) address: Address,
    pub(crate) sessions: usize,
    pub(crate) schema: String,
    pub(crate) job_concurrency: usize,
    pub(crate) deliveries: usize,
    /// Messages per minute in one workspace.
    pub(crate) workspace_rate: i32,
    /// Zero for never.
    pub(crate) drift_period: Duration,
    pub(crate) grace: Duration,
    pub(crate) drain_delay: Duration,
}

const SHOWN: &str = "see the app's page \"Basic Information\" at api.slack.com";

impl Config {
    pub(crate) fn new(arguments: &Serve) -> Result<Self, Vec<Problem>> {
        let mut problems = Vec::new();
        let public_url = PublicUrl::new(arguments.public_url.as_deref(), &mut problems);
        let slack_url = web_address(
            "--slack-url (LOCKSTEP_SLACK_URL)",
            &arguments.slack_url,
            "use https://slack.com, except in tests",
            &mut problems,
        );
        let app = &arguments.app;
        let client_id = app.slack_client_id.as_deref().map(str::trim);
        let client_id = client_id.filter(|id| !id.is_empty());
        if client_id.is_none() {
            problems.push(Problem::missing(
                "--slack-client-id (SLACK_CLIENT_ID)",
                SHOWN,
            ));
        }
        let signing_secret = app
            .slack_signing_secret
            .as_ref()
            .and_then(SigningSecret::new);
        if signing_secret.is_none() {
            problems.push(Problem::missing(
                "--slack-signing-secret (SLACK_SIGNING_SECRET)",
                "without it anybody could send requests as Slack; the app's page \"Basic Information\" shows it",
            ));
        }
        let client_secret = app.slack_client_secret.as_ref();
        let client_secret = client_secret.filter(|secret| !is_blank(secret.expose_secret()));
        if client_secret.is_none() {
            problems.push(Problem::missing(
                "--slack-client-secret (SLACK_CLIENT_SECRET)",
                SHOWN,
            ));
        }
        let token_keys = TokenKeys::configured(&arguments.keys, &mut problems);
        let allowed = Allowed::new(&arguments.installers, &mut problems);
        let managers = managers(&arguments.managers, &mut problems);
        let hook_secrets = HookSecrets::configured(&arguments.hooks, &mut problems);
        let pass_through = pass_through::Settings::new(
            &arguments.gitlab,
            public_url.as_ref(),
            arguments.listen,
            &mut problems,
        );
        let chatops = chatops::Settings::new(&arguments.chatops, arguments.pooler, &mut problems);
        let viewer_password = arguments.viewer_password.clone();
        if viewer_password
            .as_ref()
            .is_some_and(|password| password.expose_secret().chars().count() < SHORTEST_PASSWORD)
        {
            problems.push(Problem {
                setting: "--viewer-password (LOCKSTEP_VIEWER_PASSWORD)",
                wrong: "is shorter than 12 characters".to_owned(),
                hint: "it can be guessed over the network: choose a longer one, or none, which hides the workspaces",
            });
        }
        if arguments.listen == arguments.admin_listen && arguments.listen.port() != 0 {
            problems.push(Problem {
                setting: "--admin-listen (LOCKSTEP_ADMIN_LISTEN)",
                wrong: "is the same address as --listen".to_owned(),
                hint: "what is there is not for everyone who reaches the app: choose another port",
            });
        }
        let address = Address::new(arguments.connection.database_url.as_ref());
        let address = address.map_err(|error| {
            problems.push(Problem {
                setting: "--database-url (DATABASE_URL)",
                wrong: error.to_string(),
                hint: "use postgres://user@host/database, or host=... dbname=... user=...",
            });
        });
        let parts = (
            public_url,
            slack_url,
            signing_secret,
            client_id.zip(client_secret),
            token_keys,
            address,
        );
        let (
            Some(public_url),
            Some(slack_url),
            Some(signing_secret),
            Some((client_id, client_secret)),
            Some(token_keys),
            Ok(address),
        ) = parts
        else {
            return Err(problems);
        };
        if !problems.is_empty() {
            return Err(problems);
        }
        Ok(Self {
            listen: arguments.listen,
            admin_listen: arguments.admin_listen,
            public_url,
            slack_url,
            credentials: Credentials {
                id: client_id.to_owned(),
                secret: client_secret.clone(),
            },
            signing_secret,
            token_keys: Arc::new(token_keys),
            pass_through,
            scopes: scopes(arguments.gitlab.gitlab_agent),
            allowed,
            hook_secrets,
            spool: spool::Settings::new(&arguments.spool),
            viewer_password,
            forwarded_for: arguments.forwarded_for,
            managers: Arc::new(managers),
            chatops: Arc::new(chatops),
            address: address.through_pooler(arguments.pooler).within(HELLO),
            sessions: arguments.sessions.into(),
            schema: arguments.schema.clone(),
            job_concurrency: arguments.job_concurrency.into(),
            deliveries: arguments.deliveries.into(),
            workspace_rate: arguments.workspace_rate.try_into().unwrap_or(i32::MAX),
            drift_period: Duration::from_secs(3_600 * u64::from(arguments.drift_period)),
            grace: Duration::from_secs(arguments.grace),
            drain_delay: Duration::from_secs(arguments.drain_delay),
        })
    }
}

/// Ids of users; a name would never match one.
fn managers(list: &[String], problems: &mut Vec<Problem>) -> HashSet<String> {
    let mut wrong = Vec::new();
    let ids = slack_ids(list, ['U', 'W'], &mut wrong);
    problems.extend(wrong.into_iter().map(|id| Problem {
        setting: "--manager (LOCKSTEP_MANAGERS)",
        wrong: format!("has {id:?}, which is no id of a user"),
        hint: "it begins with U or W; in Slack it is in the menu of the user's profile: Copy member ID",
    }));
    ids
}

fn is_blank(text: &str) -> bool {
    text.trim().is_empty()
}
