//! The modal as blocks of Slack's Block Kit.

use serde_json::{Value, json};

use super::SETTINGS;
use super::form::{
    BRANCHES, CHANNELS, EVENT_CHANNELS, EVENTS, EVENTS_FIELD, LABELS, MUTED, SETTINGS_OF_SWITCHES,
    SWITCHES, UPDATES,
};
use crate::database::Integration;
use crate::slack::message::{escape, shorten};

const BRANCH_CHOICES: [(&str, &str); 4] = [
    ("all", "All branches"),
    ("default", "The default branch"),
    ("protected", "Protected branches"),
    (
        "default_and_protected",
        "The default branch and protected ones",
    ),
];

const UPDATE_CHOICES: [(&str, &str); 3] = [
    ("separate", "A message for each event"),
    ("update", "One message each, which is updated"),
    ("thread", "One message each, and the rest in its thread"),
];

pub(super) fn of(integration: &Integration, settings: &Value) -> Value {
    let alias = escape(&shorten(&integration.alias, 200)).into_owned();
    let is_on = |name: &str| settings[name] == true;
    let events: Vec<Value> = EVENTS.iter().map(|it| option(it.name, it.words)).collect();
    let on: Vec<Value> = EVENTS
        .iter()
        .filter(|it| integration.events.iter().any(|column| column == it.column))
        .map(|it| option(it.name, it.words))
        .collect();
    let switches: Vec<Value> = SETTINGS_OF_SWITCHES
        .iter()
        .map(|(name, words, _)| option(name, words))
        .collect();
    let switched: Vec<Value> = SETTINGS_OF_SWITCHES
        .iter()
        .filter(|(name, _, is_opposite)| is_on(name) != *is_opposite)
        .map(|(name, words, _)| option(name, words))
        .collect();
    json!({
        "type": "modal",
        "callback_id": SETTINGS,
        "private_metadata": integration.id.to_string(),
        "title": plain("Notifications"),
        "submit": plain("Save"),
        "close": plain("Cancel"),
        "blocks": [
            { "type": "section", "text": { "type": "mrkdwn", "text": format!("*{alias}*") } },
            input(EVENTS_FIELD, "Tell of", None, element("multi_static_select", &events, "initial_options", on)),
            text_input(CHANNELS, "In these channels", Some("Such as #general, #development. Into private channels the app has to be invited first."), &list(&settings["channels"]), false),
            text_input(EVENT_CHANNELS, "Events that have channels of their own", Some("A line for each, such as push: #commits"), &lines(&settings["event_channels"]), true),
            input(BRANCHES, "Pushes, pipelines and deployments of", None, choice(&BRANCH_CHOICES, &settings["branches"])),
            text_input(LABELS, "Only what has a label", Some("Several between commas; empty for everything."), &list(&settings["labels"]), false),
            input(UPDATES, "A pipeline or merge request has", None, choice(&UPDATE_CHOICES, &settings["updates"])),
            input(SWITCHES, "And", None, element("checkboxes", &switches, "initial_options", switched)),
            text_input(MUTED, "Nothing of these authors", Some("User names of GitLab between commas, such as those of bots."), &list(&settings["muted_authors"]), false),
        ],
    })
}

/// In place of the form, where nothing else can show that it is done.
pub(super) fn saved(alias: &str) -> Value {
    let alias = escape(&shorten(alias, 200)).into_owned();
    let words = format!(
        ":white_check_mark: The settings of *{alias}* are saved. The App Home shows them when it is opened anew."
    );
    json!({
        "type": "modal",
        "title": plain("Notifications"),
        "close": plain("Close"),
        "blocks": [{ "type": "section", "text": { "type": "mrkdwn", "text": words } }],
    })
}

fn plain(text: &str) -> Value {
    json!({ "type": "plain_text", "text": text })
}

fn option(value: &str, words: &str) -> Value {
    json!({ "text": plain(words), "value": value })
}

fn input(field: &str, label: &str, hint: Option<&str>, mut element: Value) -> Value {
    element["action_id"] = json!(field);
    let mut block = json!({
        "type": "input",
        "block_id": field,
        "optional": true,
        "label": plain(label),
        "element": element,
    });
    if let Some(hint) = hint {
        block["hint"] = plain(hint);
    }
    block
}

/// Slack takes no empty list of what is chosen at first.
fn element(kind: &str, options: &[Value], initial: &str, chosen: Vec<Value>) -> Value {
    let mut element = json!({ "type": kind, "options": options });
    if !chosen.is_empty() {
        element[initial] = json!(chosen);
    }
    element
}

fn choice(choices: &[(&str, &str)], chosen: &Value) -> Value {
    let options: Vec<Value> = choices
        .iter()
        .map(|(name, words)| option(name, words))
        .collect();
    let first = options.iter().find(|option| option["value"] == *chosen);
    let mut element = json!({ "type": "static_select", "options": options });
    if let Some(first) = first {
        element["initial_option"] = first.clone();
    }
    element
}

/// What is longer than Slack lets be typed is not offered for change: a part of it would be saved as the whole.
fn text_input(
    field: &str,
    label: &str,
    hint: Option<&str>,
    initial: &str,
    is_multiline: bool,
) -> Value {
    if initial.encode_utf16().count() > LONGEST_INPUT {
        let words = format!(
            "*{label}*: more than Slack has room for. It stays as it is; `lockstep.set_slack_notifications` changes it."
        );
        return json!({ "type": "section", "text": { "type": "mrkdwn", "text": words } });
    }
    let mut element = json!({
        "type": "plain_text_input",
        "multiline": is_multiline,
        "max_length": LONGEST_INPUT,
    });
    if !initial.is_empty() {
        element["initial_value"] = json!(initial);
    }
    input(field, label, hint, element)
}

/// Leaves those settings out of what was filled in that were not offered.
pub(super) fn keep_offered(settings: &mut Value, filled_in: &Value) {
    if let Some(settings) = settings.as_object_mut() {
        settings.retain(|name, _| !TEXTS.contains(&&**name) || filled_in.get(name).is_some());
    }
}

/// The settings that are typed; their fields have the same names.
const TEXTS: [&str; 4] = [CHANNELS, EVENT_CHANNELS, LABELS, MUTED];

/// Slack's limit of what can be typed.
const LONGEST_INPUT: usize = 3_000;

fn list(values: &Value) -> String {
    let values = values.as_array().map_or(&[][..], Vec::as_slice);
    let texts: Vec<&str> = values.iter().filter_map(Value::as_str).collect();
    texts.join(", ")
}

fn lines(by_event: &Value) -> String {
    let lines = by_event.as_object().into_iter().flatten();
    lines
        .map(|(event, channels)| format!("{event}: {}\n", list(channels)))
        .collect()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::{LONGEST_INPUT, TEXTS, keep_offered, lines, list, text_input};

    #[test]
    fn what_is_too_long_is_not_offered() {
        let fits = "ä".repeat(LONGEST_INPUT);
        let block = text_input("labels", "Labels", None, &fits, false);
        assert_eq!(block["element"]["initial_value"], json!(fits));
        assert_eq!(block["block_id"], "labels");
        // Slack counts as JavaScript does.
        for long in [format!("{fits}ä"), "😀".repeat(LONGEST_INPUT / 2 + 1)] {
            let block = text_input("labels", "Labels", None, &long, false);
            assert_eq!(block["type"], "section");
            assert!(!block.to_string().contains('ä') && block.get("block_id").is_none());
        }
    }

    #[test]
    fn what_was_not_offered_stays() {
        let filled_in = json!({ "channels": { "channels": { "value": null } }, "labels": {} });
        let mut settings: Value = TEXTS
            .iter()
            .map(|name| ((*name).to_owned(), json!([])))
            .collect();
        settings["branches"] = json!("all");
        keep_offered(&mut settings, &filled_in);
        assert_eq!(
            settings,
            json!({ "channels": [], "labels": [], "branches": "all" })
        );
    }

    #[test]
    fn lists_are_as_they_are_typed() {
        assert_eq!(list(&json!(["#a", "#b"])), "#a, #b");
        assert_eq!(lines(&json!({ "push": ["#a", "#b"] })), "push: #a, #b\n");
    }
}
