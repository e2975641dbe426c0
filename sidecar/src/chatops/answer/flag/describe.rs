//! The state of flags, in words.

use serde_json::Value;

use crate::chatops::page::{Answer, plain};
use crate::slack::code;

/// The number of actors named per flag.
const MOST_ACTORS: usize = 10;

/// The flags of one environment, one per line.
pub(super) fn say_list(answer: &mut Answer, environment: &str, list: &Value) {
    let flags = list["features"].as_array().map_or(&[][..], Vec::as_slice);
    let total = list["total"].as_u64().unwrap_or_default();
    answer.say(match total {
        0 => format!("*{environment}*: no flag"),
        1 => format!("*{environment}*: 1 flag"),
        _ => format!("*{environment}*: {total} flags"),
    });
    for flag in flags {
        let name = flag["name"].as_str().unwrap_or_default();
        answer.say(format!("• {}: {}", code(name), describe(flag)));
    }
    let left = total.saturating_sub(u64::try_from(flags.len()).unwrap_or_default());
    if left > 0 {
        answer.say(format!("… and {left} more; `--match` finds some of them"));
    }
}

pub(super) fn kind(flag: &Value) -> String {
    let known = ["type", "group"]
        .iter()
        .filter_map(|key| flag[*key].as_str());
    let known: Vec<&str> = known.collect();
    match known.is_empty() {
        true => String::new(),
        false => format!(" ({})", plain(&known.join(", "))),
    }
}

/// Which actors a flag is on for.
pub(super) fn describe(flag: &Value) -> String {
    let is = |key: &str| flag[key].as_bool().unwrap_or_default();
    let state = match (is("is_set"), is("boolean")) {
        (_, true) => "on".to_owned(),
        (false, false) if is("default_enabled") => "on by default".to_owned(),
        (false, false) if flag["state"] == "off" => "not set, so off".to_owned(),
        _ => partly(flag),
    };
    let opted_out = texts(&flag["opted_out"]);
    match opted_out.is_empty() {
        true => state,
        false => format!("{state}, but never for {}", some(&opted_out)),
    }
}

fn partly(flag: &Value) -> String {
    let mut parts = Vec::new();
    for (key, of) in [
        ("percentage_of_actors", "the actors"),
        ("percentage_of_time", "the time"),
    ] {
        let percentage = flag[key].as_f64().unwrap_or_default();
        if percentage > 0.0 {
            parts.push(format!("{percentage} % of {of}"));
        }
    }
    let actors = texts(&flag["actors"]);
    if !actors.is_empty() {
        parts.push(some(&actors));
    }
    let groups = texts(&flag["groups"]);
    if !groups.is_empty() {
        let word = if groups.len() == 1 { "group" } else { "groups" };
        parts.push(format!("the feature {word} {}", some(&groups)));
    }
    if flag["has_expression"] == true {
        parts.push("those whom its expression selects, which is not known here".to_owned());
    }
    match parts.is_empty() {
        true => "off".to_owned(),
        false => format!("on for {}", parts.join(", ")),
    }
}

fn texts(value: &Value) -> Vec<&str> {
    let values = value.as_array().into_iter().flatten();
    values.filter_map(Value::as_str).collect()
}

fn some(names: &[&str]) -> String {
    let shown: Vec<String> = names
        .iter()
        .take(MOST_ACTORS)
        .map(|name| plain(name))
        .collect();
    let shown = shown.join(", ");
    match names.len().saturating_sub(MOST_ACTORS) {
        0 => shown,
        left => format!("{shown} and {left} more"),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::{describe, say_list};
    use crate::chatops::page::Answer;

    fn flag(more: Value) -> Value {
        let mut flag = json!({
            "name": "f", "state": "conditional", "is_set": true, "boolean": false, "default_enabled": false,
            "percentage_of_actors": 0.0, "percentage_of_time": 0.0, "actors": [], "opted_out": [], "groups": [],
        });
        for (key, value) in more.as_object().into_iter().flatten() {
            flag[key] = value.clone();
        }
        flag
    }

    #[test]
    fn flags_are_told_apart() {
        let eleven: Vec<String> = (1..=11).map(|id| format!("User:{id}")).collect();
        for (more, expected) in [
            (json!({"boolean": true, "state": "on"}), "on"),
            (
                json!({"is_set": false, "default_enabled": true, "state": "on"}),
                "on by default",
            ),
            (json!({"is_set": false, "state": "off"}), "not set, so off"),
            (json!({"state": "off"}), "off"),
            (
                json!({"percentage_of_actors": 25.0}),
                "on for 25 % of the actors",
            ),
            (
                json!({"percentage_of_actors": 0.5, "percentage_of_time": 3.0}),
                "on for 0.5 % of the actors, 3 % of the time",
            ),
            (
                json!({"actors": ["Group:1", "User:2"]}),
                "on for Group:1, User:2",
            ),
            (json!({"groups": ["team"]}), "on for the feature group team"),
            (
                json!({"has_expression": true}),
                "on for those whom its expression selects, which is not known here",
            ),
            (
                json!({"has_expression": true, "actors": ["User:2"]}),
                "on for User:2, those whom its expression selects, which is not known here",
            ),
            (
                json!({"groups": ["a<b", "c"]}),
                "on for the feature groups a&lt;b, c",
            ),
            (
                json!({"boolean": true, "opted_out": ["User:2"]}),
                "on, but never for User:2",
            ),
            (
                json!({"actors": eleven}),
                "on for User:1, User:2, User:3, User:4, User:5, User:6, User:7, User:8, User:9, User:10 and 1 more",
            ),
        ] {
            assert_eq!(describe(&flag(more.clone())), expected, "{more}");
        }
    }

    #[test]
    fn lists_tell_what_they_leave_out() {
        let mut answer = Answer::default();
        say_list(
            &mut answer,
            "dev",
            &json!({"total": 3, "features": [flag(json!({}))]}),
        );
        let pages = answer.pages();
        assert_eq!(
            pages[0].text(),
            "*dev*: 3 flags\n• `f`: off\n… and 2 more; `--match` finds some of them"
        );
    }
}
