//! The manifest for creating the app. Slack publishes a schema; a test checks its limits.

use std::process::ExitCode;

use clap::Args;
use clap::builder::BoolishValueParser;
use serde_json::{Value, json};
use url::Url;

use crate::chatops;
use crate::error::Error;
use crate::http::path::{COMMANDS, EVENTS, INSTALLED, INTERACTIONS, OPTIONS};
use crate::pass_through::gitlab_addresses;
use crate::settings::{PublicUrl, scopes};
use crate::text::say;

/// Print the manifest for creating the Slack app
///
/// At api.slack.com/apps choose "Create New App", "From a manifest", and paste it.
#[derive(Args, Debug)]
pub(crate) struct Manifest {
    /// The address at which Slack and browsers reach `serve`
    #[arg(long, value_name = "URL", env = "LOCKSTEP_PUBLIC_URL")]
    pub(crate) public_url: Option<String>,

    /// The slash command
    #[arg(long, value_name = "COMMAND", default_value = "/gitlab", value_parser = slash_command)]
    pub(crate) command: String,

    /// GitLab's address, if its own commands are passed on to it: its pages may also install the app
    #[arg(
        long = "gitlab-url",
        value_name = "URL",
        env = "LOCKSTEP_GITLAB_URL",
        value_delimiter = ','
    )]
    pub(crate) gitlab_urls: Vec<String>,

    /// Send mentions and direct messages to GitLab's agent
    #[arg(long, env = "LOCKSTEP_GITLAB_AGENT", value_parser = BoolishValueParser::new())]
    pub(crate) gitlab_agent: bool,

    /// Include the slash command /chatops
    #[arg(long)]
    pub(crate) chatops: bool,

    /// Request tokens that expire and are refreshed
    #[arg(long)]
    pub(crate) token_rotation: bool,

    /// Allow the owner of an organization to install it for all its workspaces
    #[arg(long)]
    pub(crate) org_deploy: bool,
}

/// Slack's longest name.
const LONGEST_NAME: usize = 35;

const DESCRIPTION: &str = "Notifies channels of events in GitLab projects";

const LONG_DESCRIPTION: &str = "Connects the projects and groups of a GitLab instance to this workspace: their events are posted to the \
    channels that their maintainers choose, and the slash command shows how each of them is connected.\n\nThe App Home lists the \
    connected projects, and lets their managers switch them off and on.";

const AGENT: &str = "Answers questions on the projects of a GitLab instance, and works on them";

pub(crate) fn print(arguments: &Manifest) -> Result<ExitCode, Error> {
    let mut problems = Vec::new();
    let url = PublicUrl::new(arguments.public_url.as_deref(), &mut problems);
    let gitlab = gitlab_addresses(&arguments.gitlab_urls, &mut problems);
    let Some(url) = url.filter(|_| problems.is_empty()) else {
        return Err(Error::Config(problems));
    };
    say(&format!("{:#}\n", manifest(arguments, &url, &gitlab)));
    Ok(ExitCode::SUCCESS)
}

fn manifest(arguments: &Manifest, public_url: &PublicUrl, gitlab: &[Url]) -> Value {
    let url = |path| public_url.page(path).to_string();
    let with_agent = arguments.gitlab_agent;
    // GitLab's pages start installations that redirect to any of its own pages.
    let redirects = gitlab.iter().map(Url::to_string);
    let redirects: Vec<String> = [url(INSTALLED)].into_iter().chain(redirects).collect();
    let mut manifest = json!({
        "display_information": {
            "name": name(public_url),
            "description": DESCRIPTION,
            "background_color": "#171321",
            "long_description": LONG_DESCRIPTION,
        },
        "features": {
            "app_home": {
                "home_tab_enabled": true,
                "messages_tab_enabled": with_agent,
                "messages_tab_read_only_enabled": !with_agent,
            },
            "bot_user": { "display_name": "GitLab", "always_online": true },
            "slash_commands": slash_commands(arguments, &url(COMMANDS), !gitlab.is_empty()),
        },
        "oauth_config": {
            "redirect_urls": redirects,
            "scopes": { "bot": scopes(with_agent) },
        },
        "settings": {
            "event_subscriptions": {
                "request_url": url(EVENTS),
                "bot_events": events(with_agent),
            },
            "interactivity": {
                "is_enabled": true,
                "request_url": url(INTERACTIONS),
                "message_menu_options_url": url(OPTIONS),
            },
            "org_deploy_enabled": arguments.org_deploy,
            "socket_mode_enabled": false,
            "token_rotation_enabled": arguments.token_rotation,
        },
    });
    if with_agent {
        manifest["features"]["agent_view"] = json!({ "agent_description": AGENT });
    }
    manifest
}

fn events(with_agent: bool) -> Vec<&'static str> {
    let agents: &[&str] = match with_agent {
        true => &["app_mention", "message.im", "message.mpim"],
        false => &[],
    };
    let ours = ["app_home_opened", "app_uninstalled", "tokens_revoked"];
    ours.into_iter().chain(agents.iter().copied()).collect()
}

fn slash_commands(arguments: &Manifest, url: &str, has_gitlabs: bool) -> Vec<Value> {
    let command = |name: &str, description: &str, hint: &str, should_escape: bool| {
        json!({
            "command": name,
            "url": url,
            "description": description,
            "usage_hint": hint,
            "should_escape": should_escape,
        })
    };
    let (description, hint) = match has_gitlabs {
        true => (
            "Issues, deployments and jobs of projects, and how they are connected to this workspace",
            "[project or alias] command, or help",
        ),
        false => (
            "How projects are connected to this workspace",
            "[project or alias] command",
        ),
    };
    let mut commands = vec![command(&arguments.command, description, hint, false)];
    if arguments.chatops {
        commands.push(command(
            chatops::COMMAND,
            "Feature flags, deployments and backfills",
            "run command, or run --help",
            // A mention includes the user id, which is unique. A name may not be.
            true,
        ));
    }
    commands
}

/// Includes the host, so that the apps of several instances can be distinguished.
fn name(public_url: &PublicUrl) -> String {
    let room = LONGEST_NAME - "GitLab ()".len();
    let host: String = public_url.host().chars().take(room).collect();
    format!("GitLab ({host})")
}

/// As Slack accepts it in a manifest.
fn slash_command(text: &str) -> Result<String, String> {
    let is_name = |letter: char| letter.is_alphanumeric() || letter == '-' || letter == '_';
    let length = text.chars().count();
    match text.strip_prefix('/') {
        Some(name) if (2..=32).contains(&length) && name.chars().all(is_name) => {
            Ok(text.to_owned())
        }
        _ => Err("it is a slash and up to 31 letters, digits, - or _".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};
    use url::Url;

    use super::{Manifest, PublicUrl, manifest, slash_command};

    /// The limits of Slack's published schema: the path, and the minimum and maximum of characters or entries.
    const LIMITS: [(&str, usize, usize); 15] = [
        ("/display_information/name", 1, 35),
        ("/display_information/description", 1, 140),
        ("/display_information/long_description", 175, 4000),
        ("/display_information/background_color", 4, 7),
        ("/features/bot_user/display_name", 1, 80),
        ("/features/slash_commands", 0, 50),
        ("/features/slash_commands/0/command", 2, 32),
        ("/features/slash_commands/0/url", 1, 3000),
        ("/features/slash_commands/0/description", 1, 2000),
        ("/features/slash_commands/0/usage_hint", 0, 1000),
        ("/oauth_config/redirect_urls", 0, 1000),
        ("/oauth_config/scopes/bot", 0, 255),
        ("/settings/event_subscriptions/request_url", 1, 3500),
        ("/settings/event_subscriptions/bot_events", 0, 100),
        ("/settings/interactivity/request_url", 1, 3500),
    ];

    #[test]
    fn manifest_is_within_the_limits_of_the_schema() {
        let arguments = Manifest {
            chatops: true,
            public_url: None,
            gitlab_urls: Vec::new(),
            gitlab_agent: true,
            command: "/gitlab".to_owned(),
            token_rotation: true,
            org_deploy: true,
        };
        for host in [
            "a.example",
            &format!("{}.example", "long".repeat(15)),
            "xn--bcher-kva.example",
        ] {
            let url = PublicUrl::new(Some(&format!("https://{host}")), &mut Vec::new());
            let Some(url) = url else {
                unreachable!("{host} is a host");
            };
            let manifest = manifest(&arguments, &url, &[]);
            for (place, least, most) in LIMITS {
                let length = match manifest.pointer(place) {
                    Some(Value::String(text)) => text.chars().count(),
                    Some(Value::Array(entries)) => entries.len(),
                    other => unreachable!("{place} is {other:?}"),
                };
                assert!(
                    (least..=most).contains(&length),
                    "{place} of {host}: {length}"
                );
            }
            let command = &manifest["features"]["slash_commands"][0];
            assert!(
                command["command"]
                    .as_str()
                    .is_some_and(|command| command.starts_with('/'))
            );
            assert_eq!(
                command["url"],
                format!("https://{host}/api/v4/slack/trigger")
            );
            let commands = &manifest["features"]["slash_commands"];
            let escapes = |place: usize| {
                let command = &commands[place];
                (
                    command["command"].as_str(),
                    command["should_escape"].as_bool(),
                )
            };
            assert_eq!(escapes(0), (Some("/gitlab"), Some(false)));
            assert_eq!(escapes(1), (Some("/chatops"), Some(true)));
            let top: Vec<&String> = manifest
                .as_object()
                .into_iter()
                .flat_map(|fields| fields.keys())
                .collect();
            assert_eq!(top.len(), 4, "{top:?}");
        }
    }

    /// The entries of GitLab's own manifest, for its events and pages.
    #[test]
    fn gitlab_finds_what_it_needs() {
        let manifest_of = |gitlab_agent: bool, gitlab: &[&str]| {
            let arguments = Manifest {
                chatops: false,
                public_url: None,
                gitlab_urls: Vec::new(),
                gitlab_agent,
                command: "/gitlab".to_owned(),
                token_rotation: false,
                org_deploy: false,
            };
            let url = PublicUrl::new(Some("https://slack.example"), &mut Vec::new());
            let gitlab: Vec<Url> = gitlab
                .iter()
                .filter_map(|url| Url::parse(url).ok())
                .collect();
            url.map(|url| manifest(&arguments, &url, &gitlab))
        };
        let of_both = manifest_of(true, &["https://gitlab.example", "https://two.example"]);
        let of_both = of_both.unwrap_or_default();
        assert_eq!(
            of_both["oauth_config"]["redirect_urls"],
            json!([
                "https://slack.example/slack/install/callback",
                "https://gitlab.example/",
                "https://two.example/"
            ])
        );
        let has = |list: &Value, entry: &str| {
            list.as_array()
                .is_some_and(|list| list.contains(&json!(entry)))
        };
        let events = &of_both["settings"]["event_subscriptions"]["bot_events"];
        for event in [
            "app_home_opened",
            "app_mention",
            "message.im",
            "message.mpim",
        ] {
            assert!(has(events, event), "{event}");
        }
        let scopes = &of_both["oauth_config"]["scopes"]["bot"];
        for scope in ["commands", "chat:write", "app_mentions:read", "im:history"] {
            assert!(has(scopes, scope), "{scope}");
        }
        assert!(of_both["features"]["agent_view"].is_object());
        assert_eq!(
            of_both["features"]["app_home"]["messages_tab_enabled"],
            true
        );
        assert_eq!(
            of_both["settings"]["interactivity"]["message_menu_options_url"],
            "https://slack.example/api/v4/integrations/slack/options"
        );
        // Nobody is asked for more than is needed.
        let without = manifest_of(false, &["https://gitlab.example"]).unwrap_or_default();
        assert_eq!(
            without["oauth_config"]["scopes"]["bot"],
            json!(["commands", "chat:write", "chat:write.public"])
        );
        assert!(without["features"].get("agent_view").is_none());
    }

    #[test]
    fn slash_commands_are_those_that_slack_takes() {
        for text in ["/gitlab", "/g", "/gitlab-staging", "/grüße"] {
            assert_eq!(slash_command(text), Ok(text.to_owned()));
        }
        for text in [
            "",
            "/",
            "gitlab",
            "/git lab",
            "/git/lab",
            &format!("/{}", "x".repeat(32)),
        ] {
            assert!(slash_command(text).is_err(), "{text}");
        }
    }
}
