//! GitLab's names for its settings, and ours.

use secrecy::{ExposeSecret, SecretString};
use serde_json::{Map, Value, json};

use crate::database::EVENTS;

const EVENT_CHANNELS: &str = "event_channels";

/// GitLab's other settings.
const SETTINGS: [&str; 6] = [
    "channels",
    "branches",
    "labels",
    "all_labels",
    "only_broken_pipelines",
    "only_changed_pipelines",
];

/// The settings in GitLab's properties of an integration; None if they are not a JSON object.
pub(super) fn settings_of(properties: &SecretString) -> Option<Map<String, Value>> {
    let properties: Map<String, Value> = serde_json::from_str(properties.expose_secret()).ok()?;
    let text = |name: &str| {
        let text = properties.get(name)?.as_str()?.trim();
        (!text.is_empty()).then_some(text)
    };
    let mut settings = Map::new();
    if let Some(channels) = text("channel") {
        settings.insert("channels".to_owned(), json!(channels));
    }
    let channels: Map<String, Value> = EVENTS
        .iter()
        .filter_map(|event| {
            let channels = text(&format!("{}_channel", event.name))?;
            Some((event.name.to_owned(), json!(channels)))
        })
        .collect();
    if !channels.is_empty() {
        settings.insert(EVENT_CHANNELS.to_owned(), channels.into());
    }
    // Before 11.x there was a boolean instead of the choice of branches.
    let branches = text("branches_to_be_notified").or_else(|| {
        Some(match flag(properties.get("notify_only_default_branch")?)? {
            true => "default",
            false => "all",
        })
    });
    if let Some(branches) = branches {
        settings.insert("branches".to_owned(), json!(branches));
    }
    if let Some(labels) = text("labels_to_be_notified") {
        settings.insert("labels".to_owned(), json!(labels));
    }
    if let Some(behavior) = text("labels_to_be_notified_behavior") {
        settings.insert("all_labels".to_owned(), json!(behavior == "match_all"));
    }
    for (theirs, ours) in [
        ("notify_only_broken_pipelines", "only_broken_pipelines"),
        (
            "notify_only_when_pipeline_status_changes",
            "only_changed_pipelines",
        ),
    ] {
        if let Some(value) = properties.get(theirs).and_then(flag) {
            settings.insert(ours.to_owned(), json!(value));
        }
    }
    Some(settings)
}

/// The same settings as a replacement of everything GitLab could have: what it lacks is reset.
pub(super) fn in_place_of_all(settings: Map<String, Value>) -> Map<String, Value> {
    let mut all: Map<String, Value> = SETTINGS
        .iter()
        .map(|name| ((*name).to_owned(), Value::Null))
        .collect();
    let mut by_event: Map<String, Value> = EVENTS
        .iter()
        .filter(|event| !event.column.is_empty())
        .map(|event| (event.name.to_owned(), Value::Null))
        .collect();
    for (name, value) in settings {
        match value {
            Value::Object(channels) => by_event.extend(channels),
            value => {
                all.insert(name, value);
            }
        }
    }
    all.insert(EVENT_CHANNELS.to_owned(), by_event.into());
    all
}

/// Forms and migrations have left more than one way to say yes.
fn flag(value: &Value) -> Option<bool> {
    match value {
        Value::Bool(value) => Some(*value),
        Value::Number(number) => number.as_i64().map(|number| number != 0),
        Value::String(text) => match text.as_str() {
            "1" | "true" | "t" => Some(true),
            "0" | "false" | "f" => Some(false),
            _ => None,
        },
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use secrecy::SecretString;
    use serde_json::{Value, json};

    use super::{in_place_of_all, settings_of};

    fn settings(properties: &Value) -> Option<Value> {
        settings_of(&SecretString::from(properties.to_string())).map(Value::from)
    }

    #[test]
    fn settings_of_the_host_have_names_here() {
        let properties = json!({
            "channel": " #general, #dev ",
            "push_channel": "#push",
            "merge_request_channel": "C0123456789",
            "note_channel": "",
            "branches_to_be_notified": "default_and_protected",
            "notify_only_default_branch": "0",
            "labels_to_be_notified": "~bug, ~\"help wanted\"",
            "labels_to_be_notified_behavior": "match_all",
            "notify_only_broken_pipelines": "0",
            "notify_only_when_pipeline_status_changes": true,
            "webhook": "https://example.com",
        });
        let expected = json!({
            "channels": "#general, #dev",
            "event_channels": { "push": "#push", "merge_request": "C0123456789" },
            "branches": "default_and_protected",
            "labels": "~bug, ~\"help wanted\"",
            "all_labels": true,
            "only_broken_pipelines": false,
            "only_changed_pipelines": true,
        });
        assert_eq!(settings(&properties), Some(expected));
    }

    #[test]
    fn what_the_host_has_not_is_taken_back() {
        let properties = json!({ "channel": "#a", "push_channel": "#push" });
        let settings = settings_of(&SecretString::from(properties.to_string()));
        let all = in_place_of_all(settings.unwrap_or_default());
        assert_eq!(all["channels"], "#a");
        assert_eq!(all["labels"], Value::Null);
        assert_eq!(all.len(), 7);
        assert_eq!(all["event_channels"]["push"], "#push");
        assert_eq!(all["event_channels"]["alert"], Value::Null);
        assert_eq!(
            all["event_channels"].as_object().map(serde_json::Map::len),
            Some(15)
        );
        // Settings that GitLab does not know are not mentioned.
        assert_eq!(all.get("updates"), None);
    }

    #[test]
    fn former_switch_of_branches_is_understood() {
        for (value, branches) in [
            (json!(true), "default"),
            (json!("1"), "default"),
            (json!(0), "all"),
        ] {
            let properties = json!({ "notify_only_default_branch": value });
            assert_eq!(settings(&properties), Some(json!({ "branches": branches })));
        }
    }

    #[test]
    fn what_is_no_setting_is_none() {
        assert_eq!(settings(&json!({})), Some(json!({})));
        assert_eq!(
            settings(&json!({ "channel": null, "labels_to_be_notified": 7 })),
            Some(json!({}))
        );
        assert_eq!(settings(&json!([])), None);
        assert_eq!(settings_of(&SecretString::from("{")), None);
    }
}
