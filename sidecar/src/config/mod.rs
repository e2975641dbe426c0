//! The configuration of the Slack app, checked as a whole: whoever sets it up is told of all that is wrong at once.

mod hook;

use std::collections::HashSet;
use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};
use url::{Host, Url};

use crate::chatops;
use crate::command_line::{Serve, TokenKeyArguments};
use crate::connection::Address;
use crate::notification::HookSecrets;
use crate::slack::{SigningSecret, TokenKeys};

/// Scopes that the app asks for: for commands, and to write to channels with and without being in them.
pub(crate) const SCOPES: [&str; 3] = ["commands", "chat:write", "chat:write.public"];

pub(crate) struct Config {
    pub(crate) listen: SocketAddr,
    pub(crate) admin_listen: Option<SocketAddr>,
    pub(crate) public_url: Url,
    pub(crate) slack_url: Url,
    pub(crate) client_id: String,
    pub(crate) client_secret: SecretString,
    pub(crate) signing_secret: SigningSecret,
    pub(crate) token_keys: TokenKeys,
    pub(crate) hook_secrets: HookSecrets,
    pub(crate) viewer_password: Option<SecretString>,
    /// The proxy in front says where requests come from.
    pub(crate) forwarded_for: bool,
    pub(crate) managers: HashSet<String>,
    pub(crate) chatops: chatops::Settings,
    pub(crate) address: Address,
    pub(crate) sessions: usize,
    pub(crate) schema: String,
    pub(crate) job_concurrency: usize,
    pub(crate) deliveries: usize,
    /// Messages a minute in one workspace.
    pub(crate) workspace_rate: i32,
    pub(crate) grace: Duration,
    pub(crate) drain_delay: Duration,
}

/// A setting that does not do, and what would.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Problem {
    /// Flag and variable.
    pub(crate) setting: &'static str,
    pub(crate) wrong: String,
    pub(crate) hint: &'static str,
}

impl fmt::Display for Problem {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            setting,
            wrong,
            hint,
        } = self;
        write!(formatter, "{setting} {wrong}: {hint}")
    }
}

/// How long a host of the database may take to say hello, before the next one is asked: Slack waits for three seconds in all.
pub(crate) const HELLO: Duration = Duration::from_millis(1_500);

/// A viewer's password that is shorter can be guessed.
const SHORTEST_PASSWORD: usize = 12;

impl Config {
    pub(crate) fn new(arguments: &Serve) -> Result<Self, Vec<Problem>> {
        let mut problems = Vec::new();
        let public_url = public_url(arguments.public_url.as_deref(), &mut problems);
        let slack_url = slack_url(&arguments.slack_url, &mut problems);
        let app = &arguments.app;
        if app
            .slack_client_id
            .as_deref()
            .unwrap_or_default()
            .trim()
            .is_empty()
        {
            problems.push(missing(
                CLIENT_ID,
                "the page \"Basic Information\" of the app at api.slack.com shows it",
            ));
        }
        let signing_secret = app
            .slack_signing_secret
            .as_ref()
            .and_then(SigningSecret::new);
        if signing_secret.is_none() {
            problems.push(missing(SIGNING_SECRET, "without it anybody could send requests as Slack; the page \"Basic Information\" of the app shows it"));
        }
        let client_secret = app.slack_client_secret.clone();
        if client_secret
            .as_ref()
            .is_none_or(|secret| secret.expose_secret().trim().is_empty())
        {
            problems.push(missing(
                CLIENT_SECRET,
                "the page \"Basic Information\" of the app at api.slack.com shows it",
            ));
        }
        let token_keys = token_keys(&arguments.keys, &mut problems);
        let hook_secrets = hook::secrets(&arguments.hooks, &mut problems);
        let chatops = chatops::Settings::new(&arguments.chatops, arguments.pooler, &mut problems);
        let viewer_password = arguments.viewer_password.clone();
        if viewer_password
            .as_ref()
            .is_some_and(|password| password.expose_secret().chars().count() < SHORTEST_PASSWORD)
        {
            problems.push(Problem {
                setting: "--viewer-password (LOCKSTEP_VIEWER_PASSWORD)",
                wrong: "is shorter than 12 characters".to_owned(),
                hint: "it is guessed over the network: choose a long one, or none, and nobody sees the workspaces",
            });
        }
        let address = match Address::new(arguments.connection.database_url.as_ref()) {
            Ok(address) => Some(address.through_pooler(arguments.pooler).within(HELLO)),
            Err(error) => {
                problems.push(Problem {
                    setting: "--database-url (DATABASE_URL)",
                    wrong: error.to_string(),
                    hint: "it is postgres://user@host/database, or host=... dbname=... user=...",
                });
                None
            }
        };
        let parts = (
            public_url,
            slack_url,
            signing_secret,
            client_secret,
            token_keys,
            address,
        );
        let (
            Some(public_url),
            Some(slack_url),
            Some(signing_secret),
            Some(client_secret),
            Some(token_keys),
            Some(address),
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
            client_id: app.slack_client_id.clone().unwrap_or_default(),
            client_secret,
            signing_secret,
            token_keys,
            hook_secrets,
            viewer_password,
            forwarded_for: arguments.forwarded_for,
            managers: arguments.managers.iter().cloned().collect(),
            chatops,
            address,
            sessions: arguments.sessions.into(),
            schema: arguments.schema.clone(),
            job_concurrency: arguments.job_concurrency.into(),
            deliveries: arguments.deliveries.into(),
            workspace_rate: arguments.workspace_rate.try_into().unwrap_or(i32::MAX),
            grace: Duration::from_secs(arguments.grace),
            drain_delay: Duration::from_secs(arguments.drain_delay),
        })
    }

    /// The address of a page of ours, as Slack and browsers reach it.
    pub(crate) fn page(&self, path: &str) -> Url {
        page(&self.public_url, path)
    }
}

/// A path at the public address.
pub(crate) fn page(public_url: &Url, path: &str) -> Url {
    let mut url = public_url.clone();
    url.set_path(path);
    url
}

const CLIENT_ID: &str = "--slack-client-id (SLACK_CLIENT_ID)";
const CLIENT_SECRET: &str = "--slack-client-secret (SLACK_CLIENT_SECRET)";
const SIGNING_SECRET: &str = "--slack-signing-secret (SLACK_SIGNING_SECRET)";
const PUBLIC_URL: &str = "--public-url (LOCKSTEP_PUBLIC_URL)";

fn missing(setting: &'static str, hint: &'static str) -> Problem {
    Problem {
        setting,
        wrong: "is not set, or blank".to_owned(),
        hint,
    }
}

/// Slack sends secrets to this address, and browsers keep the cookie of an installation for it.
pub(crate) fn public_url(text: Option<&str>, problems: &mut Vec<Problem>) -> Option<Url> {
    let hint = "the address under which Slack and browsers reach this program, such as https://slack.gitlab.example";
    let Some(text) = text.filter(|text| !text.trim().is_empty()) else {
        problems.push(missing(PUBLIC_URL, hint));
        return None;
    };
    match web_address(text) {
        Ok(url) => Some(url),
        Err(wrong) => {
            problems.push(Problem {
                setting: PUBLIC_URL,
                wrong,
                hint,
            });
            None
        }
    }
}

fn slack_url(text: &str, problems: &mut Vec<Problem>) -> Option<Url> {
    match web_address(text) {
        Ok(url) => Some(url),
        Err(wrong) => {
            problems.push(Problem {
                setting: "--slack-url (LOCKSTEP_SLACK_URL)",
                wrong,
                hint: "it is https://slack.com, but for tests",
            });
            None
        }
    }
}

/// An https address, or an http one of this machine, and nothing more.
fn web_address(text: &str) -> Result<Url, String> {
    let url = Url::parse(text.trim()).map_err(|error| format!("is no address: {error}"))?;
    let is_local = match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    };
    if url.scheme() != "https" && !(url.scheme() == "http" && is_local) {
        return Err(
            "does not begin with https://, which only an address of this machine may lack"
                .to_owned(),
        );
    }
    let has_user = !url.username().is_empty() || url.password().is_some();
    let has_more = url.path() != "/" || url.query().is_some() || url.fragment().is_some();
    match has_user || has_more {
        true => Err("has more than a host and a port".to_owned()),
        false => Ok(url),
    }
}

pub(crate) fn token_keys(
    arguments: &TokenKeyArguments,
    problems: &mut Vec<Problem>,
) -> Option<TokenKeys> {
    let hint = "the host's db_key_base, or 32 random characters of your own: its first 32 bytes are the key";
    let Some(current) = &arguments.token_key else {
        problems.push(missing("--token-key (LOCKSTEP_TOKEN_KEY)", hint));
        return None;
    };
    // An empty variable is no key.
    let previous = arguments.previous_token_keys.iter();
    let previous: Vec<SecretString> = previous
        .filter(|key| !key.expose_secret().is_empty())
        .cloned()
        .collect();
    match TokenKeys::new(current, &previous) {
        Ok(keys) => Some(keys),
        Err(error) => {
            problems.push(Problem {
                setting: "--token-key (LOCKSTEP_TOKEN_KEY), --previous-token-key",
                wrong: error.to_string(),
                hint,
            });
            None
        }
    }
}
