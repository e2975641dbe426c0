//! `feature set` and `feature delete`: what is checked before, in which order environments are changed, and what is told after.

use serde_json::{Value, json};

use super::arguments::{self, Environments, Set};
use super::environment::{Environment, Name, each};
use super::flag::describe;
use super::given::Given;
use super::guard;
use super::outcome::Outcome;
use super::page::Answer;
use super::told;
use crate::slack::{code, escape, shorten};

/// What a change does to the flag, as far as environments are to agree on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Effect {
    /// It is on for more than before.
    On,
    /// It is off for everybody.
    Off,
    /// It is off for some.
    Less,
}

const CONSISTENCY: &str = "`--ignore-feature-flag-consistency-check`";

pub(super) async fn set(given: &Given<'_>, set: &Set) -> Result<Answer, Answer> {
    let (effect, wish) = wish(set)?;
    let environments = given.environments(set.environments)?;
    guard::check_channel(given, &environments)?;
    let is_held = !set.ignore_production_check;
    if is_held {
        check_incidents(&environments).await?;
    }
    let is_consistent = !set.ignore_feature_flag_consistency_check;
    if is_consistent {
        check_consistency(given, &environments, &set.name, effect).await?;
    }
    // Where one depends on the other, that one is first.
    let (mut first, mut second): (Vec<_>, Vec<_>) = environments
        .into_iter()
        .partition(|it| it.name != Name::Production);
    if effect == Effect::Off {
        std::mem::swap(&mut first, &mut second);
    }
    let mut outcomes = change(given, &first, &set.name, &wish, is_held).await;
    if is_consistent && let Some(why) = not_to_follow(effect, &outcomes) {
        let depends = |it: &Environment| match effect {
            Effect::Off => it.name == Name::Staging,
            _ => it.name == Name::Production,
        };
        let (left, changed): (Vec<_>, Vec<_>) = second.into_iter().partition(depends);
        second = changed;
        outcomes.extend(
            left.iter()
                .map(|it| (it.name, Outcome::Refused(why.to_owned()))),
        );
    }
    outcomes.extend(change(given, &second, &set.name, &wish, is_held).await);
    outcomes.sort_by_key(|(name, _)| *name);
    Ok(report(given, &set.name, outcomes).await)
}

/// The rules that need no database.
fn wish(set: &Set) -> Result<(Effect, Value), Answer> {
    let refuse = |why: &str| Err(Answer::text(format!(":x: {why} Nothing was changed.")));
    if !set.repositories.is_empty() {
        return refuse(
            "A flag cannot be set for a repository: no actor stands for one. Use `--project`.",
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
        return refuse(&format!("An empty name is among those of `{option}`."));
    }
    let target = lists.iter().find(|(_, names)| !names.is_empty());
    let share = match (set.actors, set.random) {
        (true, true) => {
            return refuse(
                "A percentage is of the actors or of the time: `--actors` and `--random` exclude each other.",
            );
        }
        (true, false) => Some(("--actors", "actors")),
        (false, true) => Some(("--random", "time")),
        (false, false) => None,
    };
    if let (Some((option, _)), Some((target, _))) = (share, target) {
        return refuse(&format!(
            "A percentage is of all: `{option}` cannot be combined with `{target}`."
        ));
    }
    let (enabled, percentage) = match (set.value, share) {
        (arguments::Value::Percentage(_), None) => {
            return refuse(match target {
                Some(_) => "A percentage cannot be set for a target: give `true` or `false`.",
                None => "A percentage needs `--actors`: always the same share of them.",
            });
        }
        (arguments::Value::Enabled(_), Some((option, _))) => {
            return refuse(&format!(
                "`{option}` goes with a percentage from 0 to 100, not with true or false."
            ));
        }
        (arguments::Value::Percentage(0), Some(_)) => (Some(false), None),
        (arguments::Value::Percentage(100), Some(_)) => (Some(true), None),
        (arguments::Value::Percentage(percentage), Some(_)) => (None, Some(percentage)),
        (arguments::Value::Enabled(enabled), None) => (Some(enabled), None),
    };
    if set.random && !set.ignore_random_deprecation_check {
        return refuse(
            "`--random` is deprecated, as each check is answered by chance: use `--actors`, or pass `--ignore-random-deprecation-check`.",
        );
    }
    let effect = match (enabled, target) {
        (Some(false), None) => Effect::Off,
        (Some(false), Some(_)) => Effect::Less,
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
        }),
    ))
}

/// The change itself is refused as well, in one transaction with it; but then others might be changed already.
async fn check_incidents(environments: &[Environment]) -> Result<(), Answer> {
    let Some(production) = environments.iter().find(|it| it.name == Name::Production) else {
        return Ok(());
    };
    // That it cannot be reached is told when it is to be changed.
    let Ok(incidents) = production.database.incidents().await else {
        return Ok(());
    };
    let holds = |it: &&Value| {
        it["severity"]
            .as_i64()
            .is_some_and(|severity| severity <= 2)
    };
    match incidents.as_array().into_iter().flatten().find(holds) {
        None => Ok(()),
        Some(incident) => Err(Answer::text(format!(
            ":no_entry: Incident {} of severity {} is open: {}. Until it is closed no flag is changed in production, and nothing was \
             changed. `--ignore-production-check` does it nevertheless.",
            incident["id"],
            incident["severity"],
            escape(&shorten(
                incident["title"].as_str().unwrap_or_default(),
                300
            ))
        ))),
    }
}

/// On in production only where it is on in staging, off in staging only where it is off in production. If both are changed at once,
/// the order sees to it.
async fn check_consistency(
    given: &Given<'_>,
    environments: &[Environment],
    name: &str,
    effect: Effect,
) -> Result<(), Answer> {
    let (changed, other) = match effect {
        Effect::On => (Name::Production, Name::Staging),
        Effect::Off => (Name::Staging, Name::Production),
        Effect::Less => return Ok(()),
    };
    let has = |name| environments.iter().any(|it| it.name == name);
    if !has(changed) || has(other) {
        return Ok(());
    }
    let Some(other) = given.app.environments.get(other) else {
        return Ok(());
    };
    let flag = match other.database.feature(name).await {
        Ok(flag) => flag,
        Err(error) => {
            let _ = Outcome::of_error(other.name, &error);
            return Err(Answer::text(format!(
                ":no_entry: Whether {} is on in {} cannot be seen now, so nothing was changed. Try again, or pass {CONSISTENCY}.",
                code(name),
                other.name.text()
            )));
        }
    };
    let is_off = flag["state"] == "off";
    match effect {
        Effect::On if is_off => Err(Answer::text(format!(
            ":no_entry: {} is off in staging, so it is not turned on in production, and nothing was changed. Turn it on in staging \
             first, or pass {CONSISTENCY}.",
            code(name)
        ))),
        Effect::Off if !is_off => Err(Answer::text(format!(
            ":no_entry: {} is {} in production, so it is not turned off in staging, and nothing was changed. Turn it off in production \
             first, or pass {CONSISTENCY}.",
            code(name),
            describe(&flag)
        ))),
        _ => Ok(()),
    }
}

/// Why the environment that depends on another is left as it is, if that one could not be changed.
fn not_to_follow(effect: Effect, outcomes: &[(Name, Outcome)]) -> Option<&'static str> {
    let (name, why) = match effect {
        Effect::On => (
            Name::Staging,
            "it follows staging, which was not changed. `--ignore-feature-flag-consistency-check` does it nevertheless",
        ),
        Effect::Off => (
            Name::Production,
            "it follows production, which was not changed. `--ignore-feature-flag-consistency-check` does it nevertheless",
        ),
        Effect::Less => return None,
    };
    let (_, outcome) = outcomes.iter().find(|(it, _)| *it == name)?;
    match outcome {
        Outcome::Done(_) | Outcome::Repeated(_) => None,
        _ => Some(why),
    }
}

async fn change(
    given: &Given<'_>,
    environments: &[Environment],
    name: &str,
    wish: &Value,
    is_held: bool,
) -> Vec<(Name, Outcome)> {
    let answers = each(environments, |it| {
        let command = given.record(it.name);
        let mut wish = wish.clone();
        wish["is_held_by_incidents"] = json!(is_held && it.name == Name::Production);
        let name = name.to_owned();
        async move { it.database.set_feature(&command, &name, &wish).await }
    })
    .await;
    of_changes(answers)
}

fn of_changes(answers: Vec<(Name, Result<Value, crate::error::Error>)>) -> Vec<(Name, Outcome)> {
    let outcome = |(name, answered)| (name, Outcome::of_change(name, answered));
    answers.into_iter().map(outcome).collect()
}

pub(super) async fn delete(
    given: &Given<'_>,
    name: &str,
    ignores_incidents: bool,
    environments: Environments,
) -> Result<Answer, Answer> {
    let environments = given.environments(environments)?;
    guard::check_channel(given, &environments)?;
    if !ignores_incidents {
        check_incidents(&environments).await?;
    }
    let answers = each(&environments, |it| {
        let command = given.record(it.name);
        let name = name.to_owned();
        let is_held = !ignores_incidents && it.name == Name::Production;
        async move { it.database.delete_feature(&command, &name, is_held).await }
    })
    .await;
    Ok(report(given, name, of_changes(answers)).await)
}

/// What became of a change, told to the channel, and of one in production to whoever answers for the flag.
async fn report(given: &Given<'_>, name: &str, outcomes: Vec<(Name, Outcome)>) -> Answer {
    if let Some(answer) = told::repeated(&outcomes) {
        return answer;
    }
    let mut answer = Answer::text(told::headline(given));
    let mut is_changed = false;
    for (environment, outcome) in &outcomes {
        answer.say(match outcome {
            Outcome::Done(result) => {
                is_changed = true;
                format!("• {}: {}", environment.text(), difference(result))
            }
            Outcome::Repeated(result) => {
                format!(
                    "• {}: done before: {}",
                    environment.text(),
                    difference(result)
                )
            }
            outcome => outcome.trouble(*environment).unwrap_or_default(),
        });
    }
    let production = outcomes.iter().find(|(it, _)| *it == Name::Production);
    if let Some((_, Outcome::Done(result))) = production {
        let line = format!(
            "{} in production: {}. By {} in <#{}>: {}",
            code(name),
            difference(result),
            given.user(),
            given.slash.channel,
            told::command(given)
        );
        let group = result["after"]["group"].as_str();
        answer.say(told::team(given, group, &line).await);
    }
    match is_changed {
        true => answer.publish(),
        false => answer,
    }
}

fn difference(result: &Value) -> String {
    let before = describe(&result["before"]);
    let after = describe(&result["after"]);
    match before == after {
        true => format!("{after}, as before"),
        false => format!("{before} → {after}"),
    }
}
