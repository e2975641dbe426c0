//! What a `feature set` asks for: the rules that need no database.

use serde_json::{Value, json};

use super::change::Effect;
use crate::chatops::arguments::{self, Set};
use crate::chatops::page::Answer;
use crate::chatops::settings::COMMAND;
use crate::slack::{code, shorten};

/// The state to set, and how it relates to other environments.
pub(super) fn wish(set: &Set) -> Result<(Effect, Value), Answer> {
    let refuse = |why: &str| Err(Answer::text(format!(":x: {why} Nothing was changed.")));
    if !set.repositories.is_empty() {
        return refuse(
            "A flag cannot be set for a repository, because repositories are not actors. Use `--project`.",
        );
    }
    let lists = [
        ("--project", &set.projects),
        ("--group", &set.groups),
        ("--namespace", &set.namespaces),
        ("--user", &set.users),
        ("--feature-group", &set.feature_groups),
    ];
    if let Some((option, _)) = lists
        .iter()
        .find(|(_, names)| names.iter().any(|name| name.trim().is_empty()))
    {
        return refuse(&format!("`{option}` contains an empty name."));
    }
    if let Some(name) = set.users.iter().find(|name| name.trim().starts_with('@')) {
        return refuse(&format!(
            "{} is not a mention made by Slack, and the user with that name in GitLab may be somebody else. Pick the person from the list \
             that Slack shows, or use the GitLab user name without `@`. If you did pick, the app lacks the setting \"Escape channels, users, \
             and links\" for `{COMMAND}`: its operator can turn it on.",
            code(&shorten(name.trim(), 100))
        ));
    }
    let target = lists.iter().find(|(_, names)| !names.is_empty());
    let share = match (set.actors, set.random) {
        (true, true) => {
            return refuse(
                "A percentage applies to actors or to time: `--actors` and `--random` cannot be combined.",
            );
        }
        (true, false) => Some(("--actors", "actors")),
        (false, true) => Some(("--random", "time")),
        (false, false) => None,
    };
    if let (Some((option, _)), Some((target, _))) = (share, target) {
        return refuse(&format!(
            "A percentage applies to all actors: `{option}` cannot be combined with `{target}`."
        ));
    }
    let (enabled, percentage) = match (set.value, share) {
        (arguments::Value::Percentage(_), None) => {
            return refuse(match target {
                Some(_) => "A percentage cannot be set for a target: use `true` or `false`.",
                None => "A percentage needs `--actors`, which always selects the same ones.",
            });
        }
        (arguments::Value::Enabled(_), Some((option, _))) => {
            return refuse(&format!(
                "`{option}` needs a percentage from 0 to 100, not true or false."
            ));
        }
        (arguments::Value::Percentage(0), Some(_)) => (Some(false), None),
        (arguments::Value::Percentage(100), Some(_)) => (Some(true), None),
        (arguments::Value::Percentage(percentage), Some(_)) => (None, Some(percentage)),
        (arguments::Value::Enabled(enabled), None) => (Some(enabled), None),
        (arguments::Value::OptedOut(_), Some((option, _))) => {
            return refuse(&format!("An opt-out cannot be combined with `{option}`."));
        }
        (arguments::Value::OptedOut(_), None) if !set.feature_groups.is_empty() => {
            return refuse("Only actors can be opted out, not feature groups.");
        }
        (arguments::Value::OptedOut(_), None) if target.is_none() => {
            return refuse(
                "An opt-out needs a target: `--user`, `--project`, `--group` or `--namespace`.",
            );
        }
        (arguments::Value::OptedOut(_), None) => (None, None),
    };
    let opt_out = match set.value {
        arguments::Value::OptedOut(is_opted_out) => Some(is_opted_out),
        _ => None,
    };
    if set.random && !set.ignore_random_deprecation_check {
        return refuse(
            "`--random` is deprecated, because each check is random: use `--actors`, or pass `--ignore-random-deprecation-check`.",
        );
    }
    let effect = match (enabled, target, opt_out) {
        (_, _, Some(true)) => Effect::Less,
        (Some(false), None, _) => Effect::Off,
        (Some(false), Some(_), _) => Effect::Less,
        _ => Effect::On,
    };
    let names = |names: &[String]| -> Vec<String> {
        names.iter().map(|name| name.trim().to_owned()).collect()
    };
    Ok((
        effect,
        json!({
            "enabled": enabled,
            "percentage": percentage.map(|it| it.to_string()),
            "of": share.map(|(_, of)| of),
            "projects": names(&set.projects),
            "groups": names(&set.groups),
            "namespaces": names(&set.namespaces),
            "users": names(&set.users),
            "feature_groups": names(&set.feature_groups),
            "opt_out": opt_out,
        }),
    ))
}
