//! The configuration of chatops.

mod options;

use std::collections::{HashMap, HashSet};

use secrecy::{ExposeSecret, SecretString};

use super::environment::Name;
use crate::connection::Address;
use crate::connection::HELLO;
use crate::settings::Problem;
pub(crate) use options::{COMMAND, Chatops};

#[derive(Default)]
pub(crate) struct Settings {
    pub(crate) environments: Vec<(Name, Address)>,
    pub(crate) production_channels: HashSet<Place>,
    pub(crate) users: HashSet<Place>,
    pub(crate) group: Option<String>,
    /// By the group that owns a flag.
    pub(crate) team_channels: HashMap<String, Place>,
}

/// A user or channel of a workspace: in another one the same id means something else.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Place {
    pub(crate) team: String,
    pub(crate) id: String,
}

impl Place {
    /// `T0123:U0123`, or just the id if the workspace is configured.
    fn parse(text: &str, team: Option<&str>) -> Option<Self> {
        let (team, id) = match text.split_once(':') {
            Some((team, id)) => (team.trim(), id.trim()),
            None => (team?, text),
        };
        (!team.is_empty() && !id.is_empty()).then(|| Self {
            team: team.to_owned(),
            id: id.to_owned(),
        })
    }
}

const ENVIRONMENT: &str = "--environment (LOCKSTEP_ENVIRONMENTS)";
const USER: &str = "--chatops-user (LOCKSTEP_CHATOPS_USERS)";
const PRODUCTION_CHANNEL: &str = "--production-channel (LOCKSTEP_PRODUCTION_CHANNELS)";
const TEAM_CHANNEL: &str = "--team-channel (LOCKSTEP_TEAM_CHANNELS)";

impl Settings {
    pub(crate) fn new(arguments: &Chatops, is_pooled: bool, problems: &mut Vec<Problem>) -> Self {
        let team = arguments.team.as_deref().map(str::trim);
        let team = team.filter(|team| !team.is_empty());
        let settings = Self {
            environments: environments(&arguments.environments, is_pooled, problems),
            production_channels: places(
                PRODUCTION_CHANNEL,
                &arguments.production_channels,
                team,
                problems,
            ),
            users: places(USER, &arguments.users, team, problems),
            group: arguments
                .group
                .as_deref()
                .map(|group| group.trim().trim_matches('/').to_owned())
                .filter(|group| !group.is_empty()),
            team_channels: team_channels(&arguments.team_channels, team, problems),
        };
        if settings.environments.is_empty() {
            return settings;
        }
        if settings.users.is_empty() && settings.group.is_none() {
            problems.push(Problem {
                setting: "--chatops-user (LOCKSTEP_CHATOPS_USERS), --chatops-group (LOCKSTEP_CHATOPS_GROUP)",
                wrong: "are not set".to_owned(),
                hint: "nobody may give commands: name Slack users by their ids, or a GitLab group",
            });
        }
        let has_production = settings
            .environments
            .iter()
            .any(|(name, _)| *name == Name::Production);
        if has_production && settings.production_channels.is_empty() {
            problems.push(Problem {
                setting: PRODUCTION_CHANNEL,
                wrong: "is not set".to_owned(),
                hint: "production is an environment, and can only be changed from this channel: give its id, such as T0123456789:C0123456789",
            });
        }
        settings
    }
}

fn environments(
    texts: &[SecretString],
    is_pooled: bool,
    problems: &mut Vec<Problem>,
) -> Vec<(Name, Address)> {
    let mut environments: Vec<(Name, Address)> = Vec::new();
    let mut wrong = |wrong: String, hint: &'static str| {
        problems.push(Problem {
            setting: ENVIRONMENT,
            wrong,
            hint,
        });
    };
    // Only known names are repeated: the rest may be a password.
    for (place, text) in (1..).zip(texts) {
        let text = text.expose_secret().trim();
        if text.is_empty() {
            continue;
        }
        let named = text.split_once('=').and_then(|(name, url)| {
            let name = Name::named(name.trim())?;
            Some((name, url.trim()))
        });
        let Some((name, url)) = named else {
            wrong(
                format!("number {place} does not begin with the name of an environment and ="),
                "use dev, ops, pre, staging, staging-ref or production, as staging=postgres://user@host/database",
            );
            continue;
        };
        if environments.iter().any(|(other, _)| *other == name) {
            wrong(
                format!("has {} twice", name.text()),
                "an environment is one database: list its hosts in one URL",
            );
            continue;
        }
        match Address::new(Some(&SecretString::from(url))) {
            Ok(address) => {
                let address = address.through_pooler(is_pooled).within(HELLO);
                environments.push((name, address));
            }
            Err(error) => wrong(
                format!("of {}: {error}", name.text()),
                "use postgres://user@host/database, or host=... dbname=... user=...",
            ),
        }
    }
    environments.sort_by_key(|(name, _)| *name);
    environments
}

fn places(
    setting: &'static str,
    texts: &[String],
    team: Option<&str>,
    problems: &mut Vec<Problem>,
) -> HashSet<Place> {
    let mut places = HashSet::new();
    for text in texts.iter().map(|text| text.trim()) {
        if text.is_empty() {
            continue;
        }
        match Place::parse(text, team) {
            Some(place) => {
                places.insert(place);
            }
            None => problems.push(Problem {
                setting,
                wrong: format!("is {text:?}, without a workspace"),
                hint: WORKSPACE,
            }),
        }
    }
    places
}

const WORKSPACE: &str = "ids belong to one workspace: write it as T0123456789:C0123456789, or name the default workspace with --chatops-team";

/// Neither groups nor channels contain a `=`.
fn team_channels(
    texts: &[String],
    team: Option<&str>,
    problems: &mut Vec<Problem>,
) -> HashMap<String, Place> {
    let mut channels = HashMap::new();
    for text in texts.iter().map(|text| text.trim()) {
        if text.is_empty() {
            continue;
        }
        let (group, channel) = text.split_once('=').unwrap_or((text, ""));
        let (group, channel) = (group.trim(), channel.trim());
        let place = Place::parse(channel, team);
        match place {
            Some(place) if !group.is_empty() && !channel.is_empty() => {
                channels.insert(group.to_owned(), place);
            }
            _ if group.is_empty() || channel.is_empty() => problems.push(Problem {
                setting: TEAM_CHANNEL,
                wrong: format!("is {text:?}"),
                hint: "use a group and a channel id, as group::integrations=T0123456789:C0123456789",
            }),
            _ => problems.push(Problem {
                setting: TEAM_CHANNEL,
                wrong: format!("is {text:?}, without a workspace"),
                hint: WORKSPACE,
            }),
        }
    }
    channels
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::{Place, Settings};
    use crate::chatops::environment::Name;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        chatops: super::Chatops,
    }

    fn settings(arguments: &[&str]) -> (Settings, Vec<String>) {
        let line = Line::parse_from(["serve"].iter().chain(arguments));
        let mut problems = Vec::new();
        let settings = Settings::new(&line.chatops, false, &mut problems);
        (settings, problems.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn environments_are_lines() {
        let (settings, problems) = settings(&[
            "--environment=production=host=a,b port=1 dbname=x password=secret\n\nstaging = postgres://u@h/d?sslmode=disable\n",
            "--environment=staging-ref=postgres://u@h/d",
            "--chatops-team=T1",
            "--chatops-user=U1,T2:U1",
            "--production-channel=C1",
            "--team-channel=group::integrations=C2,group::x=T2:C2",
        ]);
        assert_eq!(problems, [""; 0]);
        let names: Vec<Name> = settings
            .environments
            .iter()
            .map(|(name, _)| *name)
            .collect();
        assert_eq!(names, [Name::Staging, Name::StagingRef, Name::Production]);
        assert_eq!(settings.environments[2].1.server(), "a:1, b:1");
        let place = |team: &str, id: &str| Place {
            team: team.to_owned(),
            id: id.to_owned(),
        };
        assert_eq!(
            settings.users,
            [place("T1", "U1"), place("T2", "U1")].into()
        );
        assert_eq!(settings.production_channels, [place("T1", "C1")].into());
        assert_eq!(
            settings.team_channels["group::integrations"],
            place("T1", "C2")
        );
        assert_eq!(settings.team_channels["group::x"], place("T2", "C2"));
    }

    #[test]
    fn what_does_not_do_is_told_without_secrets() {
        let (_, problems) = settings(&[
            "--environment=secret1",
            "--environment=mars=postgres://u:secret2@h/d",
            "--environment=production=nonsense://u:secret3@h",
            "--environment=staging=host=a",
            "--environment=staging=host=b password=secret4",
            "--team-channel=group::x",
        ]);
        let text = problems.join("\n");
        assert_eq!(problems.len(), 6, "{text}");
        assert!(!text.contains("secret"), "{text}");
        for words in [
            "number 1 does not begin with the name",
            "number 2 does not begin with the name",
            "of production: ",
            "has staging twice",
            "is \"group::x\"",
            "nobody may give commands",
        ] {
            assert!(text.contains(words), "{words}: {text}");
        }
        let (_, problems) = settings(&[
            "--environment=staging=host=a",
            "--chatops-user=U1,T1:U2,:U3,T1:",
            "--production-channel=C1",
            "--team-channel=group::x=C2",
        ]);
        assert_eq!(problems.len(), 5, "{problems:?}");
        for (problem, words) in problems.iter().zip([
            "is \"C1\", without a workspace",
            "is \"U1\", without a workspace",
            "is \":U3\", without a workspace",
            "is \"T1:\", without a workspace",
            "is \"group::x=C2\", without a workspace",
        ]) {
            assert!(problem.contains(words), "{problem}");
        }
        let (_, problems) = settings(&["--environment=production=host=a", "--chatops-group=g"]);
        assert_eq!(problems.len(), 1);
        assert!(
            problems[0].contains("production is an environment"),
            "{problems:?}"
        );
    }

    #[test]
    fn without_an_environment_nothing_is_needed() {
        let (settings, problems) = settings(&[]);
        assert_eq!(problems, [""; 0]);
        assert!(settings.environments.is_empty());
    }
}
