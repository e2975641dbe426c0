//! What is checked before a flag is changed anywhere. Each change checks again, in its own transaction.

use serde_json::Value;

use super::change::{Change, Effect, is_on, not_seen, off_in_staging, on_in_production};
use super::describe::describe;
use crate::chatops::environment::{Environment, Name};
use crate::chatops::given::Given;
use crate::chatops::outcome::Outcome;
use crate::chatops::page::Answer;
use crate::slack::{Button, code, escape, shorten};

/// The change itself is refused as well, in its own transaction; but then other environments might already be changed.
pub(super) async fn check_incidents(environments: &[Environment]) -> Result<(), Answer> {
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

/// The button below the refusal; its value is the text of the command that takes the step.
pub(crate) const LARGE_STEP_BUTTON: &str = "chatops_large_step";

/// A rollout that jumps is most likely a typo.
const LARGE_STEP: f64 = 50.0;

pub(super) async fn check_step(
    given: &Given<'_>,
    environments: &[Environment],
    change: &Change,
) -> Result<(), Answer> {
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
    let refusal = Answer::text(format!(
        ":no_entry: Nothing was changed: {} is on for {now} % of the actors in production, and {wanted} % is a large step. Take a smaller \
         one, or pass `--ignore-large-step-check`; `--dry-run` shows what would change.",
        code(&change.flag)
    ));
    Err(refusal.with_button(Button {
        action: LARGE_STEP_BUTTON,
        label: "Take the large step",
        question: format!(
            "{} from {now} % to {wanted} % of the actors in production?",
            change.flag
        ),
        // The click is for this step alone.
        value: format!("{} --large-step-from={now}", given.slash.text.trim()),
    }))
}

/// A large step was confirmed from a percentage. The change checks this again, in its own transaction; but then other environments
/// might already be changed.
pub(super) async fn check_still(
    environments: &[Environment],
    change: &Change,
    from: f64,
) -> Result<(), Answer> {
    let Some(production) = environments.iter().find(|it| it.name == Name::Production) else {
        return Ok(());
    };
    // That it cannot be reached is reported when it is changed.
    let Ok(flag) = production.database.feature(&change.flag).await else {
        return Ok(());
    };
    let now = flag["percentage_of_actors"].as_f64().unwrap_or_default();
    if now == from && flag["state"] != "on" {
        return Ok(());
    }
    Err(Answer::text(format!(
        ":no_entry: Nothing was changed: {} was on for {from} % of the actors in production when this step was asked about, and is now {}. \
         Give the command again.",
        code(&change.flag),
        describe(&flag)
    )))
}

/// What can be checked in advance is refused before anything changes anywhere; the change itself checks again. If both are
/// changed at once, the order ensures agreement.
pub(super) async fn check_consistency(
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
