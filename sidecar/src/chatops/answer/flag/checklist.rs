//! The steps of a flag's rollout, done and remaining.

use serde_json::Value;

use super::change::is_on;
use super::describe::describe;
use crate::chatops::environment::Name;
use crate::chatops::page::plain;
use crate::slack::code;

/// Two months: after that the owner of a rollout is asked about the flag.
pub(super) const STALE_DAYS: i64 = 60;

/// A flag that is on for everybody is cleaned up after a day without a change.
const REST_HOURS: i64 = 24;

pub(super) fn done(is_done: bool, text: &str) -> String {
    match is_done {
        true => format!(":white_check_mark: {text}"),
        false => format!(":white_large_square: {text}"),
    }
}

/// A flag's state in an environment; None if it cannot be read.
pub(super) type Standing = (Name, Option<Value>);

const UNSEEN: &str = "cannot be read at the moment";

fn is_set(value: &Value) -> bool {
    value["flag"]["is_set"].as_bool().unwrap_or_default()
}

/// One line per step. Nothing is shown as done in an environment that cannot be read.
pub(super) fn checklist(name: &str, standings: &[Standing]) -> Vec<String> {
    let mut lines = Vec::new();
    let production = standings.iter().find(|(it, _)| *it == Name::Production);
    let others: Vec<&Standing> = standings
        .iter()
        .filter(|(it, _)| *it != Name::Production)
        .collect();
    match production {
        // Earlier changes belong to an earlier rollout.
        Some((_, Some(value))) if !is_set(value) && !value["history"]["deleted_at"].is_null() => {
            let at = value["history"]["deleted_at"].as_str().unwrap_or_default();
            lines.push(done(true, &format!("deleted in production at {at} UTC")));
        }
        Some((_, Some(value))) => {
            lines.extend(elsewhere(&others));
            lines.extend(in_production(value));
        }
        Some((_, None)) => {
            lines.extend(elsewhere(&others));
            lines.push(done(false, &format!("on in production: that {UNSEEN}")));
        }
        None => lines.extend(elsewhere(&others)),
    }
    lines.push(cleaned_up(name, standings));
    lines.extend(warnings(standings));
    lines
}

fn cleaned_up(name: &str, standings: &[Standing]) -> String {
    let named = |is: fn(&Option<Value>) -> bool| -> Vec<&str> {
        let which = standings.iter().filter(|(_, value)| is(value));
        which.map(|(it, _)| it.text()).collect()
    };
    let still = named(|value| value.as_ref().is_some_and(is_set));
    let unseen = named(|value| value.is_none()).join(", ");
    if still.is_empty() {
        return match unseen.is_empty() {
            true => done(true, "cleaned up: it is not set anywhere"),
            false => done(
                false,
                &format!("cleaned up: whether it is set in {unseen} {UNSEEN}"),
            ),
        };
    }
    let options: Vec<String> = still.iter().map(|it| format!("--{it}")).collect();
    let delete = format!("/chatops run feature delete {name} {}", options.join(" "));
    let unseen = match unseen.is_empty() {
        true => unseen,
        false => format!("; {unseen} {UNSEEN}"),
    };
    done(
        false,
        &format!(
            "cleaned up, once the code no longer uses it: {}{unseen}",
            code(&delete)
        ),
    )
}

fn warnings(standings: &[Standing]) -> Vec<String> {
    let mut lines = Vec::new();
    for (environment, value) in standings {
        let (environment, Some(value)) = (environment.text(), value) else {
            continue;
        };
        let stale = value["stale_rows"].as_u64().unwrap_or_default();
        if stale > 0 {
            lines.push(format!(
                ":warning: {environment}: {stale} stale rows are left of it in feature_gates"
            ));
        }
        let hours = value["history"]["hours_unchanged"].as_i64();
        let days = hours.unwrap_or_default() / 24;
        if days >= STALE_DAYS && is_set(value) {
            lines.push(format!(
                ":warning: {environment}: unchanged for {days} days"
            ));
        }
    }
    lines
}

fn elsewhere(others: &[&Standing]) -> Option<String> {
    if others.is_empty() {
        return None;
    }
    let each = others.iter().map(|(it, value)| match value {
        Some(value) => format!("{}: {}", it.text(), describe(&value["flag"])),
        None => format!("{}: {UNSEEN}", it.text()),
    });
    let each: Vec<String> = each.collect();
    let is_on = |value: &Value| is_on(&value["flag"]);
    let all_on = others
        .iter()
        .all(|(_, value)| value.as_ref().is_some_and(is_on));
    Some(done(
        all_on,
        &format!("on outside production: {}", each.join("; ")),
    ))
}

fn in_production(value: &Value) -> Vec<String> {
    let (flag, history) = (&value["flag"], &value["history"]);
    // Including one that is on by default, and one that is on all of the time.
    let is_full = flag["state"] == "on";
    let percentage = flag["percentage_of_actors"].as_f64().unwrap_or_default();
    let first = history["first_on_at"].as_str();
    let mut lines = vec![
        match first {
            Some(at) => done(
                true,
                &format!("on for some in production, first at {at} UTC"),
            ),
            None => done(is_on(flag), "on for some in production"),
        },
        match is_full {
            true => done(true, "on for a percentage, and then for everybody"),
            false => done(percentage > 0.0, &format!("now {}", describe(flag))),
        },
        match history["fully_on_since"].as_str().filter(|_| is_full) {
            Some(since) => done(
                true,
                &format!("on for everybody in production since {since} UTC"),
            ),
            None if flag["is_set"] != true && is_full => {
                done(true, "on for everybody in production by default")
            }
            None => done(is_full, "on for everybody in production"),
        },
    ];
    let exceptions = flag["opted_out"].as_array().map_or(0, Vec::len);
    if is_full && exceptions > 0 {
        lines.push(format!(":warning: in production it is {}", describe(flag)));
    }
    if let Some(hours) = history["hours_unchanged"].as_i64() {
        if history["changed_at"].is_null() {
            let written = format!(
                "a day without a change: none was recorded, and its rows were last written {} ago",
                age(hours)
            );
            lines.push(done(is_full && hours >= REST_HOURS, &written));
            return lines;
        }
        let who = history["changed_by"].as_str().unwrap_or_default();
        let who = match history["is_changed_in_slack"].as_bool() {
            Some(true) => format!("<@{}>", plain(who)),
            _ => plain(who),
        };
        let last = history["changed_at"].as_str().unwrap_or_default();
        lines.push(match is_full && hours >= REST_HOURS {
            true => done(
                true,
                &format!("a day without a change (the last at {last} UTC, by {who}), so ready to clean up"),
            ),
            false => done(
                false,
                &format!("a day without a change while it is on for everybody; the last was at {last} UTC, by {who}"),
            ),
        });
    }
    lines
}

fn age(hours: i64) -> String {
    match (hours / 24, hours) {
        (0, 1) => "an hour".to_owned(),
        (0, hours) => format!("{hours} hours"),
        (1, _) => "a day".to_owned(),
        (days, _) => format!("{days} days"),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::checklist;
    use crate::chatops::environment::Name;

    fn standing(flag: Value, history: Value, stale: u64) -> Option<Value> {
        let mut whole = json!({
            "state": "off", "is_set": false, "boolean": false, "default_enabled": false, "percentage_of_actors": 0.0,
            "percentage_of_time": 0.0, "actors": [], "opted_out": [], "groups": [],
        });
        for (key, value) in flag.as_object().into_iter().flatten() {
            whole[key] = value.clone();
        }
        whole["is_on_for_anybody"] = json!(whole["state"] == "on");
        Some(json!({ "flag": whole, "history": history, "stale_rows": stale }))
    }

    #[test]
    fn each_step_of_a_rollout_has_its_list() {
        let off = || standing(json!({}), json!({}), 0);
        let on = |hours: i64| {
            standing(
                json!({"state": "on", "is_set": true, "boolean": true}),
                json!({"first_on_at": "A", "fully_on_since": "B", "changed_at": "B", "changed_by": "U1",
                       "is_changed_in_slack": true, "hours_unchanged": hours}),
                0,
            )
        };
        let cases = [
            (
                vec![(Name::Staging, off()), (Name::Production, off())],
                ":white_large_square: on outside production: staging: not set, so off\n\
                 :white_large_square: on for some in production\n\
                 :white_large_square: now not set, so off\n\
                 :white_large_square: on for everybody in production\n\
                 :white_check_mark: cleaned up: it is not set anywhere",
            ),
            (
                vec![(Name::Staging, on(1)), (Name::Production, on(23))],
                ":white_check_mark: on outside production: staging: on\n\
                 :white_check_mark: on for some in production, first at A UTC\n\
                 :white_check_mark: on for a percentage, and then for everybody\n\
                 :white_check_mark: on for everybody in production since B UTC\n\
                 :white_large_square: a day without a change while it is on for everybody; the last was at B UTC, by <@U1>\n\
                 :white_large_square: cleaned up, once the code no longer uses it: `/chatops run feature delete f --staging --production`",
            ),
            (
                vec![(Name::Production, on(24 * 61))],
                ":white_check_mark: on for some in production, first at A UTC\n\
                 :white_check_mark: on for a percentage, and then for everybody\n\
                 :white_check_mark: on for everybody in production since B UTC\n\
                 :white_check_mark: a day without a change (the last at B UTC, by <@U1>), so ready to clean up\n\
                 :white_large_square: cleaned up, once the code no longer uses it: `/chatops run feature delete f --production`\n\
                 :warning: production: unchanged for 61 days",
            ),
            (
                vec![
                    (Name::Staging, standing(json!({}), json!({}), 2)),
                    (
                        Name::Production,
                        standing(json!({}), json!({"deleted_at": "C"}), 0),
                    ),
                ],
                ":white_check_mark: deleted in production at C UTC\n\
                 :white_check_mark: cleaned up: it is not set anywhere\n\
                 :warning: staging: 2 stale rows are left of it in feature_gates",
            ),
            // What cannot be read is not done.
            (
                vec![
                    (Name::Pre, None),
                    (Name::Staging, on(1)),
                    (Name::Production, None),
                ],
                ":white_large_square: on outside production: pre: cannot be read at the moment; staging: on\n\
                 :white_large_square: on in production: that cannot be read at the moment\n\
                 :white_large_square: cleaned up, once the code no longer uses it: `/chatops run feature delete f --staging`; pre, production cannot be read at the moment",
            ),
            (
                vec![(Name::Staging, off()), (Name::Production, None)],
                ":white_large_square: on outside production: staging: not set, so off\n\
                 :white_large_square: on in production: that cannot be read at the moment\n\
                 :white_large_square: cleaned up: whether it is set in production cannot be read at the moment",
            ),
            // On by default with an opt-out; and on since before changes were audited.
            (
                vec![(
                    Name::Production,
                    standing(
                        json!({"state": "on", "default_enabled": true, "opted_out": ["User:1"]}),
                        json!({}),
                        0,
                    ),
                )],
                ":white_check_mark: on for some in production\n\
                 :white_check_mark: on for a percentage, and then for everybody\n\
                 :white_check_mark: on for everybody in production by default\n\
                 :warning: in production it is on by default, but never for User:1\n\
                 :white_check_mark: cleaned up: it is not set anywhere",
            ),
            (
                vec![(
                    Name::Production,
                    standing(
                        json!({"state": "on", "is_set": true, "boolean": true}),
                        json!({"hours_unchanged": 50}),
                        0,
                    ),
                )],
                ":white_check_mark: on for some in production\n\
                 :white_check_mark: on for a percentage, and then for everybody\n\
                 :white_check_mark: on for everybody in production\n\
                 :white_check_mark: a day without a change: none was recorded, and its rows were last written 2 days ago\n\
                 :white_large_square: cleaned up, once the code no longer uses it: `/chatops run feature delete f --production`",
            ),
        ];
        for (standings, expected) in cases {
            assert_eq!(checklist("f", &standings).join("\n"), expected);
        }
    }
}
