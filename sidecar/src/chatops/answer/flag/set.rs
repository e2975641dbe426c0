//! `feature set` and `feature delete`: the order in which environments are changed.

use std::sync::Arc;

use super::change::{Change, Effect};
use super::check::{check_consistency, check_incidents, check_step, check_still};
use super::report::{preview, report};
use super::requested::wish;
use crate::chatops::arguments::{Delete, Set};
use crate::chatops::environment::{Environment, Name, each};
use crate::chatops::given::Given;
use crate::chatops::guard;
use crate::chatops::outcome::Outcome;
use crate::chatops::page::Answer;

pub(super) async fn set(given: &Given<'_>, set: &Set) -> Result<Answer, Answer> {
    let (effect, wish) = wish(set)?;
    let environments = given.environments(set.environments)?;
    let change = Change {
        flag: set.name.clone(),
        effect,
        wish: Some(wish),
        step_from: set.large_step_from,
        is_held_by_incidents: !set.ignore_production_check,
        is_dry_run: set.dry_run,
    };
    match set.large_step_from {
        Some(from) => {
            if let Err(refusal) = check_still(&environments, &change, from).await
                && !was_done(given, &environments).await
            {
                return Err(refusal);
            }
        }
        None if !set.ignore_large_step_check && !set.dry_run => {
            check_step(given, &environments, &change).await?;
        }
        None => {}
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
        step_from: None,
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
