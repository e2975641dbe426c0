//! What a change of a flag has done, or would do.

use serde_json::Value;

use super::describe::describe;
use crate::chatops::announce;
use crate::chatops::environment::Name;
use crate::chatops::given::Given;
use crate::chatops::outcome::Outcome;
use crate::chatops::page::{Answer, plain};
use crate::slack::code;

/// Reports the result to the channel, and a change in production to the group that owns the flag.
pub(super) async fn report(
    given: &Given<'_>,
    name: &str,
    outcomes: Vec<(Name, Outcome)>,
) -> Answer {
    if let Some(answer) = announce::repeated(&outcomes) {
        return answer;
    }
    let mut answer = Answer::text(announce::headline(given));
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
            announce::command(given)
        );
        let group = result["after"]["group"].as_str();
        answer.say(announce::team(given, group, &line).await);
    }
    match is_changed {
        true => answer.publish(),
        false => answer,
    }
}

/// What a dry run would have changed.
pub(super) fn preview(given: &Given<'_>, name: &str, outcomes: &[(Name, Outcome)]) -> Answer {
    let mut answer = Answer::text(announce::headline(given));
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

/// A percentage or a group may include actors for whom it was turned off.
fn still_on(environment: Name, result: &Value) -> Option<String> {
    let actors = result["still_on"].as_array().into_iter().flatten();
    let actors: Vec<String> = actors.filter_map(Value::as_str).map(plain).collect();
    if actors.is_empty() {
        return None;
    }
    Some(format!(
        ":warning: {}: a percentage or a group includes {}, so it stays on there. `opt-out` instead of `false` turns it off.",
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
