//! The modal as blocks of Slack's Block Kit.

use serde_json::{Value, json};

use super::form::{
    BRANCHES, CHANGES, CHANNELS, EVENT_CHANNELS, EVENTS_FIELD, INHERITED, LABELS, MUTED,
    SETTINGS_OF_SWITCHES, SWITCHES, UPDATES, USER_GROUPS,
};
use super::lines::block;
use super::reminders::{self, REMINDERS};
use super::routes::{ALL, ALL_ROUTES, FIRST, ROUTES, written};
use crate::database::{EVENTS, Integration};
use crate::home::view::SETTINGS;
use crate::route;
use crate::slack::{LONGEST_TEXT, code, escape, fit_lines, shorten};

const BRANCH_CHOICES: [(&str, &str); 4] = [
    ("all", "All branches"),
    ("default", "The default branch"),
    ("protected", "Protected branches"),
    (
        "default_and_protected",
        "The default branch and protected ones",
    ),
];

const CHANGE_CHOICES: [(&str, &str); 3] = [
    ("assignees", "Assignees"),
    ("labels", "Labels"),
    ("milestone", "Milestone"),
];

const UPDATE_CHOICES: [(&str, &str); 3] = [
    ("separate", "A message for each event"),
    ("update", "One message each, which is updated"),
    ("thread", "One message each, with updates in its thread"),
];

pub(super) fn of(integration: &Integration, settings: &Value) -> Value {
    let alias = escape(&shorten(&integration.alias, 200)).into_owned();
    let is_on = |name: &str| settings[name] == true;
    let hosts = settings["events"].as_array();
    let has = |name: &str| hosts.is_some_and(|events| events.iter().any(|it| it == name));
    let known = || EVENTS.iter().filter(|it| has(it.name));
    let events: Vec<Value> = known().map(|it| option(it.name, it.words)).collect();
    let on: Vec<Value> = known()
        .filter(|it| integration.events.iter().any(|column| column == it.column))
        .map(|it| option(it.name, it.words))
        .collect();
    let is_wanted = |name: &str| {
        let wanted = settings[CHANGES].as_array();
        wanted.is_some_and(|wanted| wanted.iter().any(|it| it == name))
    };
    let changes = CHANGE_CHOICES.map(|(name, words)| option(name, words));
    let wanted = CHANGE_CHOICES.iter().filter(|(name, _)| is_wanted(name));
    let wanted: Vec<Value> = wanted.map(|(name, words)| option(name, words)).collect();
    let switches: Vec<Value> = SETTINGS_OF_SWITCHES
        .iter()
        .map(|(name, words, _)| option(name, words))
        .collect();
    let switched: Vec<Value> = SETTINGS_OF_SWITCHES
        .iter()
        .filter(|(name, _, is_opposite)| is_on(name) != *is_opposite)
        .map(|(name, words, _)| option(name, words))
        .collect();
    let mut about = format!("*{alias}*");
    if settings[INHERITED] == true {
        about += "\nIt inherits the channels and filters of its group or the instance. If you change any, it gets its own copy of all of them.";
    }
    let mut blocks = vec![section(&about)];
    if settings[INHERITED] == false {
        let back = [option(
            INHERITED,
            "Inherit those of its group or the instance",
        )];
        let choice = element("checkboxes", &back, "initial_options", Vec::new());
        blocks.push(input(
            INHERITED,
            "Its own channels and filters",
            None,
            choice,
        ));
    }
    // Slack rejects an empty list of options.
    if !events.is_empty() {
        let choice = element("multi_static_select", &events, "initial_options", on);
        blocks.push(input(EVENTS_FIELD, "Tell of", None, choice));
    }
    blocks.extend([
        text(
            (CHANNELS, "In these channels", "Such as #general, #development. The app must be invited to private channels first."),
            &list(&settings[CHANNELS]),
            false,
        ),
        text(
            (EVENT_CHANNELS, "Events with their own channels", "One per line, such as push: #commits"),
            &lines(&settings[EVENT_CHANNELS]),
            true,
        ),
        input(BRANCHES, "Pushes, pipelines and deployments of", None, choice(&BRANCH_CHOICES, &settings[BRANCHES])),
        text(
            (LABELS, "Only items with a label", "Several separated by commas; empty for everything."),
            &list(&settings[LABELS]),
            false,
        ),
        input(UPDATES, "A pipeline or merge request has", None, choice(&UPDATE_CHOICES, &settings[UPDATES])),
        input(CHANGES, "Also when these change in an issue or merge request", None, element("checkboxes", &changes, "initial_options", wanted)),
        input(SWITCHES, "And", None, element("checkboxes", &switches, "initial_options", switched)),
        text(
            (MUTED, "Ignore these authors", "GitLab user names, separated by commas, for example of bots."),
            &list(&settings[MUTED]),
            false,
        ),
        text(
            (USER_GROUPS, "User groups to mention", "One per line, such as tea/green: S0123456789, for mentions of that group in GitLab."),
            &lines(&settings[USER_GROUPS]),
            true,
        ),
    ]);
    blocks.extend(routes(settings));
    blocks.push(reminders_of(settings));
    json!({
        "type": "modal",
        "callback_id": SETTINGS,
        "private_metadata": integration.id.to_string(),
        "title": plain("Notifications"),
        "submit": plain("Save"),
        "close": plain("Cancel"),
        "blocks": blocks,
    })
}

pub(super) fn section(markup: &str) -> Value {
    json!({ "type": "section", "text": { "type": "mrkdwn", "text": markup } })
}

const ROUTES_CHOICES: [(&str, &str); 2] = [
    (FIRST, "The first of them, and not to the channels above"),
    (ALL, "All of them, and to the channels above"),
];

const ROUTES_HINT: &str = "One per line: channels, then events and conditions, such as #releases push branches=main,release/* or #docs \
    paths=docs/* without_labels=\"work in progress\". All conditions of a line must hold; * stands for anything. A line \
    without events takes all but confidential ones, jobs, releases, milestones, feature flags and emoji: name those. Conditions are \
    branches, labels, without_labels, authors, without_authors, paths, environments and severities; drafts, tags and child_pipelines \
    are true or false.";

/// The routes, and which of those that fit count.
fn routes(settings: &Value) -> [Value; 2] {
    let version = settings["version"].as_str().unwrap_or_default();
    let typed = written(&settings[ROUTES]);
    let typed = typed.filter(|text| is_short(text));
    let mut lines = match typed {
        Some(typed) => text((ROUTES, "Routes", ROUTES_HINT), &typed, true),
        None => section(&too_long(settings)),
    };
    let choice = choice(&ROUTES_CHOICES, &json!(chosen(settings)));
    let mut which = input(
        ALL_ROUTES,
        "An event that fits routes goes to",
        None,
        choice,
    );
    for (field, shown) in [(ROUTES, &mut lines), (ALL_ROUTES, &mut which)] {
        if shown["type"] == "input" {
            shown["block_id"] = json!(block(field, version));
        }
    }
    [lines, which]
}

const REMINDERS_HINT: &str = "One per line: a time, days, a time zone and channels, such as 09:00 MON-FRI Europe/Berlin #review. Without \
    channels it goes to those of merge requests. Instead of time and days there may be a cron expression.";

fn reminders_of(settings: &Value) -> Value {
    let typed = reminders::written(&settings[REMINDERS]).filter(|text| is_short(text));
    let Some(typed) = typed else {
        return section(
            "*Reminders of reviews*: too long for this form, or more than it allows. They stay unchanged; use the database function \
             `set_slack_notifications`.",
        );
    };
    let mut lines = text(
        (REMINDERS, "Reminders of reviews", REMINDERS_HINT),
        &typed,
        true,
    );
    let version = settings["version"].as_str().unwrap_or_default();
    lines["block_id"] = json!(block(REMINDERS, version));
    lines
}

fn chosen(settings: &Value) -> &'static str {
    match settings[ALL_ROUTES] == true {
        true => ALL,
        false => FIRST,
    }
}

/// Routes that the form cannot show, or at least not all of them.
fn too_long(settings: &Value) -> String {
    let routes = settings[ROUTES].as_array().map_or(&[][..], Vec::as_slice);
    let lines = routes.iter().zip(1..).map(|(route, number)| {
        let line = route::written(route).replace(char::is_control, " ");
        format!("\n{number}. {}", code(&shorten(&line, LONGEST_ROUTE)))
    });
    let shown: String = lines.collect();
    let text = format!(
        "*Routes*: too long for this form, or with a name that it cannot show. They stay unchanged; use the database function \
         `set_slack_notifications`.{shown}"
    );
    fit_lines(&text, LONGEST_TEXT)
}

/// The part of a route that is shown where there are too many.
const LONGEST_ROUTE: usize = 200;

/// Replaces the form, where nothing else can show that the settings were saved.
pub(super) fn saved(alias: &str) -> Value {
    let alias = escape(&shorten(alias, 200)).into_owned();
    let words = format!(
        ":white_check_mark: The settings of *{alias}* are saved. The App Home shows them when it is opened again."
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

/// Slack rejects an empty list of initial options.
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

/// The name of an input: field, label and hint.
type Named = (&'static str, &'static str, &'static str);

/// A value that does not fit into the field must not be lost when others are saved: it can only be mentioned.
fn text((field, label, hint): Named, initial: &str, is_multiline: bool) -> Value {
    if !is_short(initial) {
        return section(&format!(
            "*{label}*: too long for this form. It stays unchanged; use the database function `set_slack_notifications`."
        ));
    }
    let mut element = json!({
        "type": "plain_text_input",
        "multiline": is_multiline,
        "max_length": LONGEST_INPUT,
    });
    if !initial.is_empty() {
        element["initial_value"] = json!(initial);
    }
    input(field, label, Some(hint), element)
}

/// Slack's limit for typed text.
pub(super) const LONGEST_INPUT: usize = 3_000;

fn is_short(text: &str) -> bool {
    text.encode_utf16().count() <= LONGEST_INPUT
}

fn list(values: &Value) -> String {
    let values = values.as_array().map_or(&[][..], Vec::as_slice);
    let texts: Vec<&str> = values.iter().filter_map(Value::as_str).collect();
    texts.join(", ")
}

fn lines(by_event: &Value) -> String {
    let lines = by_event.as_object().into_iter().flatten();
    lines
        .map(|(name, value)| match value {
            Value::String(one) => format!("{name}: {one}\n"),
            several => format!("{name}: {}\n", list(several)),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{LONGEST_INPUT, LONGEST_TEXT, lines, list, routes, text};

    const NAMED: (&str, &str, &str) = ("labels", "Labels", "Some");

    #[test]
    fn what_is_too_long_is_not_offered() {
        let fits = "ä".repeat(LONGEST_INPUT);
        let block = text(NAMED, &fits, false);
        assert_eq!(block["element"]["initial_value"], json!(fits));
        assert_eq!(block["block_id"], "labels");
        // Slack counts characters like JavaScript.
        for long in [format!("{fits}ä"), "😀".repeat(LONGEST_INPUT / 2 + 1)] {
            let block = text(NAMED, &long, false);
            assert_eq!(block["type"], "section");
            assert!(!block.to_string().contains('ä') && block.get("block_id").is_none());
        }
    }

    #[test]
    fn routes_are_shown() {
        let settings = json!({ "version": "v1", "all_routes": true, "routes": [
            { "channels": ["#a", "#b"], "branches": ["release/*"], "drafts": false },
            { "channels": ["#c"], "labels": ["help wanted"] },
        ] });
        let [lines, which] = routes(&settings);
        assert_eq!(lines["block_id"], "routes.v1");
        assert_eq!(
            lines["element"]["initial_value"],
            "#a #b branches=release/* drafts=false\n#c labels=\"help wanted\""
        );
        assert_eq!(which["block_id"], "all_routes.v1");
        assert_eq!(which["element"]["initial_option"]["value"], "all");
        let [lines, which] = routes(&json!({ "version": "v2", "routes": [] }));
        assert!(lines["element"].get("initial_value").is_none(), "{lines}");
        assert_eq!(which["element"]["initial_option"]["value"], "first");
    }

    #[test]
    fn routes_that_cannot_be_shown_are_mentioned() {
        // Each & takes five characters.
        let long = json!({ "channels": ["#a"], "labels": vec!["&".repeat(99); 10] });
        let odd = json!({ "channels": ["#<c>"], "labels": ["a\nb"] });
        for (settings, shown) in [
            (vec![long; 50], "\n2. `#a labels=&amp;"),
            (vec![odd], "\n1. `#&lt;c&gt; labels=\"a b\"`"),
        ] {
            let [lines, which] = routes(&json!({ "version": "v1", "routes": settings }));
            assert!(lines.get("block_id").is_none(), "{lines}");
            let text = lines["text"]["text"].as_str().unwrap_or_default();
            assert!(text.contains(shown) && text.len() <= LONGEST_TEXT, "{text}");
            assert_eq!(which["block_id"], "all_routes.v1");
        }
    }

    #[test]
    fn lists_are_as_they_are_typed() {
        assert_eq!(list(&json!(["#a", "#b"])), "#a, #b");
        assert_eq!(lines(&json!({ "push": ["#a", "#b"] })), "push: #a, #b\n");
    }
}
