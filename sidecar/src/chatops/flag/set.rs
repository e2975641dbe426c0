//! `feature set` and `feature delete`: the checks, the order in which environments are changed, and the notifications afterwards.

use std::sync::Arc;

use serde_json::{Value, json};

use super::change::{Change, Effect, is_on, not_seen, off_in_staging, on_in_production};
use super::said::describe;
use crate::chatops::arguments::{self, Delete, Set};
use crate::chatops::environment::{Environment, Name, each};
use crate::chatops::given::Given;
use crate::chatops::guard;
use crate::chatops::outcome::Outcome;
use crate::chatops::page::Answer;
use crate::chatops::page::plain;
use crate::chatops::settings::COMMAND;
use crate::chatops::told;
use crate::slack::{code, escape, shorten};

pub(super) async fn set(given: &Given<'_>, set: &Set) -> Result<Answer, Answer> {
    let (effect, wish) = wish(set)?;
    let environments = given.environments(set.environments)?;
    let change = Change {
        flag: set.name.clone(),
        effect,
        wish: Some(wish),
        is_held_by_incidents: !set.ignore_production_check,
        is_dry_run: set.dry_run,
    };
    if !set.ignore_large_step_check && !set.dry_run {
        check_step(&environments, &change).await?;
    }
    let is_consistent = !set.ignore_feature_flag_consistency_check;
    carry_out(given, change, environments, is_consistent).await
}

pub(super) async fn delete(given: &Given<'_>, delete: Delete) -> Result<Answer, Answer> {
    let environments = given.environments(delete.environments)?;
    let change = Change {
        flag: delete.name,
        effect: Effect::Deleted,
        wish: None,
        is_held_by_incidents: !delete.ignore_production_check,
        is_dry_run: delete.dry_run,
    };
    let is_consistent = !delete.ignore_feature_flag_consistency_check;
    carry_out(given, change, environments, is_consistent).await
}

async fn carry_out(
    given: &Given<'_>,
    change: Change,
    environments: Vec<Environment>,
    is_consistent: bool,
) -> Result<Answer, Answer> {
    if !change.is_dry_run {
        guard::check_channel(given, &environments)?;
    }
    if let Err(refusal) = check_before(given, &environments, &change, is_consistent).await
        && !was_done(given, &environments).await
    {
        return Err(refusal);
    }
    let change = Arc::new(change);
    let agrees = |name| matches!(name, Name::Staging | Name::Production);
    let (pair, others): (Vec<_>, Vec<_>) = environments.into_iter().partition(|it| agrees(it.name));
    // What a dry run has done in the one is not seen from the other.
    let is_consistent = is_consistent && !(change.is_dry_run && pair.len() > 1);
    // Environments that nothing depends on do not delay the others.
    let (mut outcomes, others) = tokio::join!(
        in_turn(given, pair, &change, is_consistent),
        make(given, &others, &change, is_consistent)
    );
    outcomes.extend(others);
    outcomes.sort_by_key(|(name, _)| *name);
    Ok(match change.is_dry_run {
        true => preview(given, &change.flag, &outcomes),
        false => report(given, &change.flag, outcomes).await,
    })
}

async fn check_before(
    given: &Given<'_>,
    environments: &[Environment],
    change: &Change,
    is_consistent: bool,
) -> Result<(), Answer> {
    if change.is_held_by_incidents {
        check_incidents(environments).await?;
    }
    if is_consistent {
        check_consistency(given, environments, change).await?;
    }
    Ok(())
}

/// Whether an earlier delivery of the command was executed anywhere. Its own effect may be why it would be refused elsewhere.
async fn was_done(given: &Given<'_>, environments: &[Environment]) -> bool {
    let answers = each(environments, |it| {
        let command = given.record(it.name);
        async move { it.database.was_done(&command).await }
    });
    let mut answers = answers.await.into_iter();
    answers.any(|(_, answered)| answered.unwrap_or_default())
}

async fn in_turn(
    given: &Given<'_>,
    environments: Vec<Environment>,
    change: &Arc<Change>,
    is_consistent: bool,
) -> Vec<(Name, Outcome)> {
    let last = change.effect.last();
    let (mut second, first): (Vec<_>, Vec<_>) =
        environments.into_iter().partition(|it| it.name == last);
    let mut outcomes = make(given, &first, change, is_consistent).await;
    if is_consistent && let Some(why) = not_to_follow(change.effect, &outcomes) {
        let left = second.drain(..).map(|it| it.name);
        outcomes.extend(left.map(|name| (name, Outcome::Refused(why.to_owned()))));
    }
    outcomes.extend(make(given, &second, change, is_consistent).await);
    outcomes
}

async fn make(
    given: &Given<'_>,
    environments: &[Environment],
    change: &Arc<Change>,
    is_consistent: bool,
) -> Vec<(Name, Outcome)> {
    each(environments, |it| {
        let command = given.record(it.name);
        let change = Arc::clone(change);
        let other = match it.name {
            Name::Production => Some(Name::Staging),
            Name::Staging => Some(Name::Production),
            _ => None,
        };
        let other = other.filter(|_| is_consistent);
        let other = other.and_then(|other| given.app.environments.get(other).cloned());
        async move { change.make(&it, other.as_ref(), &command).await }
    })
    .await
}

/// The rules that need no database.
fn wish(set: &Set) -> Result<(Effect, Value), Answer> {
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

/// The change itself is refused as well, in its own transaction; but then other environments might already be changed.
async fn check_incidents(environments: &[Environment]) -> Result<(), Answer> {
    let Some(production) = environments.iter().find(|it| it.name == Name::Production) else {
        return Ok(());
    };
    // That it cannot be reached is reported when it is changed.
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

/// A rollout that jumps is most likely a typo.
const LARGE_STEP: f64 = 50.0;

async fn check_step(environments: &[Environment], change: &Change) -> Result<(), Answer> {
    let wish = change.wish.as_ref().unwrap_or(&Value::Null);
    let is_for_all = [
        "projects",
        "groups",
        "namespaces",
        "users",
        "feature_groups",
    ]
    .iter()
    .all(|key| wish[*key].as_array().is_none_or(Vec::is_empty));
    let percentage = wish["percentage"].as_str().and_then(|it| it.parse().ok());
    let wanted: f64 = match (wish["enabled"].as_bool(), percentage) {
        (Some(true), _) if is_for_all => 100.0,
        (_, Some(percentage)) if wish["of"] == "actors" => percentage,
        _ => return Ok(()),
    };
    let Some(production) = environments.iter().find(|it| it.name == Name::Production) else {
        return Ok(());
    };
    // That it cannot be reached is reported when it is changed.
    let Ok(flag) = production.database.feature(&change.flag).await else {
        return Ok(());
    };
    let now = flag["percentage_of_actors"].as_f64().unwrap_or_default();
    // A flag that is turned on without a rollout is meant to be.
    if now <= 0.0 || flag["state"] == "on" || wanted - now <= LARGE_STEP {
        return Ok(());
    }
    Err(Answer::text(format!(
        ":no_entry: Nothing was changed: {} is on for {now} % of the actors in production, and {wanted} % is a large step. Take a smaller \
         one, or pass `--ignore-large-step-check`; `--dry-run` shows what would change.",
        code(&change.flag)
    )))
}

/// What can be checked in advance is refused before anything changes anywhere; the change itself checks again. If both are
/// changed at once, the order ensures agreement.
async fn check_consistency(
    given: &Given<'_>,
    environments: &[Environment],
    change: &Change,
) -> Result<(), Answer> {
    let (changed, other) = match change.effect {
        Effect::On => (Name::Production, Name::Staging),
        Effect::Off | Effect::Deleted => (Name::Staging, Name::Production),
        Effect::Less => return Ok(()),
    };
    let find = |name| environments.iter().find(|it| it.name == name);
    let (Some(changed), None) = (find(changed), find(other)) else {
        return Ok(());
    };
    let Some(other) = given.app.environments.get(other) else {
        return Ok(());
    };
    let refuse = |why: String| {
        Err(Answer::text(format!(
            ":no_entry: Nothing was changed: {why}."
        )))
    };
    let flag = match other.database.feature(&change.flag).await {
        Ok(flag) => flag,
        Err(error) => {
            let _ = Outcome::of_error(other.name, &error);
            return refuse(not_seen(&change.flag, other.name));
        }
    };
    match (change.effect, is_on(&flag)) {
        (Effect::On, false) => refuse(off_in_staging(&change.flag)),
        (Effect::Off, true) => refuse(on_in_production(&change.flag, change.effect)),
        (Effect::Deleted, true) => match changed.database.feature(&change.flag).await {
            // A flag that is on by default stays on when it is deleted.
            Ok(flag) if is_on(&flag) && flag["default_enabled"] != true => {
                refuse(on_in_production(&change.flag, change.effect))
            }
            _ => Ok(()),
        },
        _ => Ok(()),
    }
}

/// Why the environment that depends on another stays unchanged, if the other one could not be changed.
fn not_to_follow(effect: Effect, outcomes: &[(Name, Outcome)]) -> Option<&'static str> {
    let (name, why) = match effect {
        Effect::On => (
            Name::Staging,
            "it depends on staging, which was not changed. `--ignore-feature-flag-consistency-check` changes it anyway",
        ),
        Effect::Off => (
            Name::Production,
            "it depends on production, which was not changed. `--ignore-feature-flag-consistency-check` changes it anyway",
        ),
        // Each checks for itself.
        Effect::Less | Effect::Deleted => return None,
    };
    let (_, outcome) = outcomes.iter().find(|(it, _)| *it == name)?;
    match outcome {
        Outcome::Done(_) | Outcome::Repeated(_) => None,
        _ => Some(why),
    }
}

/// Reports the result to the channel, and a change in production to the group that owns the flag.
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
            outcome => {
                let look = format!("/chatops run feature get {name} --{}", environment.text());
                outcome.trouble(*environment, &look).unwrap_or_default()
            }
        });
        if let Outcome::Done(result) = outcome
            && let Some(line) = still_on(*environment, result)
        {
            answer.say(line);
        }
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

/// What a dry run would have changed.
fn preview(given: &Given<'_>, name: &str, outcomes: &[(Name, Outcome)]) -> Answer {
    let mut answer = Answer::text(told::headline(given));
    answer.say("Nothing was changed. Without `--dry-run` this would change:");
    for (environment, outcome) in outcomes {
        answer.say(match outcome {
            Outcome::Done(result) => {
                format!("• {}: {}", environment.text(), difference(result))
            }
            // It was executed before as a change.
            Outcome::Repeated(_) => format!("• {}: nothing", environment.text()),
            outcome => {
                let look = format!("/chatops run feature get {name} --{}", environment.text());
                outcome.trouble(*environment, &look).unwrap_or_default()
            }
        });
        if let Outcome::Done(result) = outcome
            && let Some(line) = still_on(*environment, result)
        {
            answer.say(line);
        }
    }
    answer
}

/// A percentage may include actors for whom it was turned off.
fn still_on(environment: Name, result: &Value) -> Option<String> {
    let actors = result["still_on"].as_array().into_iter().flatten();
    let actors: Vec<String> = actors.filter_map(Value::as_str).map(plain).collect();
    if actors.is_empty() {
        return None;
    }
    Some(format!(
        ":warning: {}: a percentage includes {}, so it stays on there. `opt-out` instead of `false` turns it off.",
        environment.text(),
        actors.join(", ")
    ))
}

fn difference(result: &Value) -> String {
    let before = describe(&result["before"]);
    let after = describe(&result["after"]);
    let difference = match before == after {
        true => format!("{after}, as before"),
        false => format!("{before} → {after}"),
    };
    // Targets named by id.
    let paths = result["paths"].as_array().into_iter().flatten();
    let paths = paths.filter_map(|it| it[0].as_str().zip(it[1].as_str()));
    let paths: Vec<String> = paths
        .map(|(actor, path)| format!("{} is {}", plain(actor), code(path)))
        .collect();
    match paths.is_empty() {
        true => difference,
        false => format!("{difference} ({})", paths.join(", ")),
    }
}
