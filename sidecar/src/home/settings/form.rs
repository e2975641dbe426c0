//! The form that people fill in, and the settings it represents.

use serde_json::{Map, Value, json};

use crate::database::EVENTS;

/// The fields of the modal; each is a block with one element of the same name.
pub(super) const EVENTS_FIELD: &str = "events";
pub(super) const CHANNELS: &str = "channels";
pub(super) const EVENT_CHANNELS: &str = "event_channels";
pub(super) const BRANCHES: &str = "branches";
pub(super) const LABELS: &str = "labels";
pub(super) const UPDATES: &str = "updates";
pub(super) const MUTED: &str = "muted_authors";
pub(super) const USER_GROUPS: &str = "user_groups";
pub(super) const SWITCHES: &str = "switches";
pub(super) const CHANGES: &str = "changes";
pub(super) const INHERITED: &str = "inherited";

/// The maximum number of channels per event.
const MOST_CHANNELS: usize = 10;
const LONGEST_CHANNEL: usize = 80;

/// The switches: the setting, its label, and whether the label says the opposite.
pub(super) const SETTINGS_OF_SWITCHES: [(&str, &str, bool); 6] = [
    ("only_broken_pipelines", "Only pipelines that failed", false),
    (
        "only_changed_pipelines",
        "Only pipelines whose result differs from the previous one",
        false,
    ),
    (
        "child_pipelines",
        "Also pipelines that another pipeline has started",
        false,
    ),
    (
        "all_labels",
        "Only items with all of the labels, not just one",
        false,
    ),
    (
        "own_actions",
        "Do not notify people of their own actions in direct messages",
        true,
    ),
    ("mentions", "Mention the people that an event is for", false),
];

#[derive(Debug, PartialEq)]
pub(super) struct Form {
    pub(super) settings: Value,
    pub(super) events: Value,
}

/// An error shown next to its field.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Mistake {
    pub(super) block: &'static str,
    pub(super) text: String,
}

/// The field that a database error refers to; the error itself is logged.
pub(super) fn field_of(refusal: &str) -> &'static str {
    let fields = [EVENT_CHANNELS, CHANNELS, LABELS, MUTED, USER_GROUPS];
    let is_named = |field: &&str| refusal.contains(&format!("\"{field}"));
    fields.into_iter().find(is_named).unwrap_or(CHANNELS)
}

impl Form {
    /// Reads `view.state.values`.
    pub(super) fn read(values: &Value) -> Result<Self, Vec<Mistake>> {
        let mut mistakes = Vec::new();
        let text = |field: &str| values[field][field]["value"].as_str().unwrap_or_default();
        let chosen = |field: &str| values[field][field]["selected_option"]["value"].as_str();
        let ticked = |field: &str| -> Vec<&str> {
            let options = values[field][field]["selected_options"].as_array();
            let options = options.map_or(&[][..], Vec::as_slice);
            options
                .iter()
                .filter_map(|it| it["value"].as_str())
                .collect()
        };
        let on = ticked(EVENTS_FIELD);
        let events: Map<String, Value> = EVENTS
            .iter()
            .filter(|event| !event.column.is_empty())
            .map(|event| (event.name.to_owned(), json!(on.contains(&event.name))))
            .collect();
        if !ticked(INHERITED).is_empty() {
            // Whatever else was filled in.
            return Ok(Self {
                settings: json!(INHERITED),
                events: events.into(),
            });
        }
        let channels = channels(text(CHANNELS)).unwrap_or_else(|wrong| {
            mistakes.push(Mistake {
                block: CHANNELS,
                text: wrong,
            });
            Vec::new()
        });
        let event_channels = event_channels(text(EVENT_CHANNELS)).unwrap_or_else(|wrong| {
            mistakes.push(Mistake {
                block: EVENT_CHANNELS,
                text: wrong,
            });
            Map::new()
        });
        let user_groups = user_groups(text(USER_GROUPS)).unwrap_or_else(|wrong| {
            mistakes.push(Mistake {
                block: USER_GROUPS,
                text: wrong,
            });
            Map::new()
        });
        if !mistakes.is_empty() {
            return Err(mistakes);
        }
        let mut settings = json!({
            CHANNELS: channels,
            EVENT_CHANNELS: event_channels,
            LABELS: words(text(LABELS), '~'),
            MUTED: words(text(MUTED), '@'),
            USER_GROUPS: user_groups,
        });
        // Settings that were too long to show stay unchanged.
        if let Some(settings) = settings.as_object_mut() {
            settings.retain(|field, _| !values[field].is_null());
        }
        for field in [BRANCHES, UPDATES] {
            if let Some(value) = chosen(field) {
                settings[field] = json!(value);
            }
        }
        settings[CHANGES] = json!(ticked(CHANGES));
        let switched = ticked(SWITCHES);
        for (name, _, is_opposite) in SETTINGS_OF_SWITCHES {
            settings[name] = json!(switched.contains(&name) != is_opposite);
        }
        Ok(Self {
            settings,
            events: events.into(),
        })
    }
}

/// Names and ids separated by commas, spaces or line ends, without duplicates.
fn channels(text: &str) -> Result<Vec<String>, String> {
    let mut channels: Vec<String> = Vec::new();
    for channel in text.split(|letter: char| letter == ',' || letter.is_whitespace()) {
        let name = channel.strip_prefix('#').unwrap_or(channel);
        if name.is_empty() || channels.iter().any(|other| other == channel) {
            continue;
        }
        let is_plain = |letter: char| !letter.is_control() && !"#@<>&|\"'`".contains(letter);
        if name.chars().count() > LONGEST_CHANNEL || !name.chars().all(is_plain) {
            let shown: String = channel.chars().take(LONGEST_CHANNEL).collect();
            return Err(format!(
                "{shown} is not a channel: write #name, or the id that Slack shows."
            ));
        }
        channels.push(channel.to_owned());
    }
    match channels.len() > MOST_CHANNELS {
        true => Err(format!(
            "There are {}, but at most {MOST_CHANNELS} are allowed.",
            channels.len()
        )),
        false => Ok(channels),
    }
}

/// One line per event: its name, a colon, and its channels. Events without a line no longer have their own channels.
fn event_channels(text: &str) -> Result<Map<String, Value>, String> {
    let mut by_event: Map<String, Value> = EVENTS
        .iter()
        .map(|event| (event.name.to_owned(), Value::Null))
        .collect();
    for line in text.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let Some((event, its)) = line.split_once(':') else {
            return Err(
                "Write an event, a colon and its channels in each line, such as push: #commits"
                    .to_owned(),
            );
        };
        let event = event.trim().to_lowercase();
        let known = EVENTS
            .iter()
            .find(|it| it.name == event || it.words == event);
        let Some(known) = known else {
            let names: Vec<&str> = EVENTS.iter().map(|it| it.name).collect();
            let shown: String = event.chars().take(40).collect();
            return Err(format!(
                "{shown} is not an event. Events are {}.",
                names.join(", ")
            ));
        };
        let its = channels(its)?;
        if its.is_empty() {
            continue;
        }
        let before = by_event.insert(known.name.to_owned(), json!(its));
        if before.is_some_and(|before| !before.is_null()) {
            return Err(format!(
                "There are two lines for {}: write its channels in one line, separated by commas.",
                known.name
            ));
        }
    }
    Ok(by_event)
}

/// One line per group: its path in GitLab, a colon, and the id of its user group in Slack. These replace all before.
fn user_groups(text: &str) -> Result<Map<String, Value>, String> {
    let mut groups = Map::new();
    for line in text.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let parts = line
            .split_once(':')
            .map(|(path, id)| (path.trim(), id.trim()));
        match parts {
            Some((path, id)) if !path.is_empty() && id.starts_with('S') => {
                groups.insert(path.to_owned(), json!(id));
            }
            _ => {
                return Err(
                    "Write the path of a group in GitLab, a colon and the id of a user group in Slack in each line, such as tea/green: S0123456789"
                        .to_owned(),
                );
            }
        }
    }
    Ok(groups)
}

/// The parts between commas, without a leading sign.
fn words(text: &str, sign: char) -> Vec<String> {
    let words = text
        .split([',', '\n'])
        .map(|word| word.trim().trim_start_matches(sign));
    words
        .filter(|word| !word.is_empty())
        .map(str::to_owned)
        .collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::{CHANNELS, EVENT_CHANNELS, Form, channels};
    use crate::database::EVENTS;

    fn values(channels: &str, event_channels: &str) -> Value {
        json!({
            "channels": { "channels": { "value": channels } },
            "event_channels": { "event_channels": { "value": event_channels } },
            "labels": { "labels": { "value": "~bug, help wanted" } },
            "muted_authors": { "muted_authors": { "value": null } },
            "user_groups": { "user_groups": { "value": "tea/green: S1" } },
            "branches": { "branches": { "selected_option": { "value": "protected" } } },
            "changes": { "changes": { "selected_options": [{ "value": "labels" }] } },
            "updates": { "updates": { "selected_option": { "value": "thread" } } },
            "events": { "events": { "selected_options": [{ "value": "push" }, { "value": "note" }] } },
            "switches": { "switches": { "selected_options": [{ "value": "own_actions" }, { "value": "mentions" }] } },
        })
    }

    #[test]
    fn what_is_filled_in_becomes_settings() {
        let form = Form::read(&values(
            "#a, #b\n#a C012",
            "push: #commits\nMerge requests: #review, #b",
        ));
        let form = form.unwrap_or_else(|mistakes| unreachable!("{mistakes:?}"));
        // Events without a line notify the common channels.
        let mut event_channels: Value = EVENTS
            .iter()
            .map(|event| (event.name, Value::Null))
            .collect();
        event_channels["push"] = json!(["#commits"]);
        event_channels["merge_request"] = json!(["#review", "#b"]);
        let settings = json!({
            "channels": ["#a", "#b", "C012"],
            "event_channels": event_channels,
            "labels": ["bug", "help wanted"],
            "muted_authors": [],
            "branches": "protected",
            "updates": "thread",
            "only_broken_pipelines": false,
            "only_changed_pipelines": false,
            "child_pipelines": false,
            "all_labels": false,
            "own_actions": false,
            "mentions": true,
            "changes": ["labels"],
            "user_groups": { "tea/green": "S1" },
        });
        assert_eq!(form.settings, settings);
        assert_eq!(form.events["push"], true);
        assert_eq!(form.events["issue"], false);
        assert_eq!(form.events.as_object().map(serde_json::Map::len), Some(15));
    }

    #[test]
    fn mistakes_are_beside_their_fields() {
        let blocks = |channels: &str, events: &str| {
            let mistakes = Form::read(&values(channels, events))
                .err()
                .unwrap_or_default();
            mistakes.iter().map(|it| it.block).collect::<Vec<_>>()
        };
        assert_eq!(blocks("<!channel>", ""), [CHANNELS]);
        assert_eq!(blocks("#a b#c", ""), [CHANNELS]);
        let eleven: Vec<String> = (0..11).map(|n| format!("#c{n}")).collect();
        assert_eq!(
            blocks(&eleven.join(","), "nothing: #a"),
            [CHANNELS, EVENT_CHANNELS]
        );
        assert_eq!(blocks("", "push #a"), [EVENT_CHANNELS]);
        assert_eq!(blocks("", "push: #a\npushes: #b"), [EVENT_CHANNELS]);
        assert_eq!(blocks(&"x".repeat(81), ""), [CHANNELS]);
        assert!(blocks(&eleven[1..].join(" "), "").is_empty());
    }

    proptest! {
        #[test]
        fn any_text_is_survived(text: String) {
            if let Ok(channels) = channels(&text) {
                prop_assert!(channels.len() <= 10);
                prop_assert!(channels.iter().all(|it| !it.contains(char::is_whitespace)));
            }
            let _ = Form::read(&values(&text, &text));
        }
    }
}
