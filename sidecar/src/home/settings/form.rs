//! The form that people fill in, and the settings it represents.

use serde_json::{Map, Value, json};

use super::lines::{self, Lines};
use super::mistake::Mistake;
use super::routes::{ALL, ALL_ROUTES, ROUTES};
use super::text::{channels, event_channels, user_groups, words};
use super::{reminders, routes};
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
    /// The version of the routes and reminders that was shown.
    pub(super) version: Option<String>,
    /// Of the routes and reminders, unless the form could not show them.
    pub(super) lines: Vec<Lines>,
}

impl Form {
    /// Confidential events, beside the routes if these are not those that are stored.
    pub(super) fn needs_account(&self, stored: &Value) -> Mistake {
        const WRONG: &str = "Confidential events, or incidents, which may be confidential, would go to a new channel, now or once they are switched on. Leave them out, also of routes, or ask a maintainer with a linked GitLab account.";
        let mut lines = self.lines.iter();
        let changed = lines
            .find(|lines| lines.setting == ROUTES && json!(lines.typed.values) != stored[ROUTES]);
        Mistake::new(changed.map_or(EVENTS_FIELD, |routes| &routes.block), WRONG)
    }

    /// What the database refuses, beside the field that it names; the error itself is logged.
    pub(super) fn refused(&self, refusal: &str) -> Mistake {
        const WRONG: &str = "is too long, or contains characters that are not allowed in a name.";
        const WRONG_TIME: &str =
            "has a time or time zone that does not exist, such as 09:00 MON-FRI Europe/Berlin.";
        const NO_CHANNEL: &str =
            "A line without a channel goes to the channels of merge requests, but they have none.";
        // Its names and values may contain those of other fields.
        let path = refusal.split_once("setting \"").map_or("", |(_, it)| it);
        let path = path.split_once('"').map_or("", |(path, _)| path);
        let named = path.split(['.', '[']).next().unwrap_or_default();
        if let Some(lines) = self.lines.iter().find(|lines| lines.setting == named) {
            let is_time = named == reminders::REMINDERS && !path.ends_with(".channels");
            let text = match lines.typed.line_of(named, path) {
                Some(line) if is_time => format!("Line {line} {WRONG_TIME}"),
                Some(line) => format!("Line {line} {WRONG}"),
                None if is_time => NO_CHANNEL.to_owned(),
                None => format!("This {WRONG}"),
            };
            return Mistake::new(&lines.block, text);
        }
        let fields = [EVENT_CHANNELS, CHANNELS, LABELS, MUTED, USER_GROUPS];
        let field = fields.into_iter().find(|field| *field == named);
        let field = field.unwrap_or(CHANNELS);
        Mistake::new(field, format!("This {WRONG}"))
    }

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
        let all_routes = lines::field(values, ALL_ROUTES);
        let mut shown = [ALL_ROUTES, ROUTES, reminders::REMINDERS].into_iter();
        let version = shown.find_map(|field| lines::field(values, field));
        let version = version.map(|(_, version, _)| version.to_owned());
        if !ticked(INHERITED).is_empty() {
            // Whatever else was filled in.
            return Ok(Self {
                settings: json!(INHERITED),
                events: events.into(),
                version,
                lines: Vec::new(),
            });
        }
        let channels = channels(text(CHANNELS)).unwrap_or_else(|wrong| {
            mistakes.push(Mistake::new(CHANNELS, wrong));
            Vec::new()
        });
        let event_channels = event_channels(text(EVENT_CHANNELS)).unwrap_or_else(|wrong| {
            mistakes.push(Mistake::new(EVENT_CHANNELS, wrong));
            Map::new()
        });
        let user_groups = user_groups(text(USER_GROUPS)).unwrap_or_else(|wrong| {
            mistakes.push(Mistake::new(USER_GROUPS, wrong));
            Map::new()
        });
        let mut lines = Vec::new();
        for kind in [routes::KIND, reminders::KIND] {
            match Lines::read(&kind, values) {
                Some(Ok(read)) => lines.push(read),
                Some(Err(mistake)) => mistakes.push(mistake),
                None => {}
            }
        }
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
        for lines in &lines {
            settings[lines.setting] = json!(lines.typed.values);
        }
        if let Some((_, _, element)) = all_routes {
            settings[ALL_ROUTES] = json!(element["selected_option"]["value"] == ALL);
        }
        settings[CHANGES] = json!(ticked(CHANGES));
        let switched = ticked(SWITCHES);
        for (name, _, is_opposite) in SETTINGS_OF_SWITCHES {
            settings[name] = json!(switched.contains(&name) != is_opposite);
        }
        Ok(Self {
            settings,
            events: events.into(),
            version,
            lines,
        })
    }
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
        assert_eq!((form.version, form.lines), (None, Vec::new()));
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
            mistakes.into_iter().map(|it| it.block).collect::<Vec<_>>()
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

    #[test]
    fn routes_come_with_the_version_that_was_shown() {
        let mut values = values("#a", "");
        values["routes.v1"] = json!({ "routes": { "value": "\n#a push\n#b" } });
        values["all_routes.v1"] =
            json!({ "all_routes": { "selected_option": { "value": "all" } } });
        let form = Form::read(&values);
        let form = form.unwrap_or_else(|mistakes| unreachable!("{mistakes:?}"));
        let routes = json!([{ "channels": ["#a"], "events": ["push"] }, { "channels": ["#b"] }]);
        assert_eq!(form.settings["routes"], routes);
        assert_eq!(form.settings["all_routes"], true);
        assert_eq!(form.version.as_deref(), Some("v1"));
        for (refusal, block, text) in [
            ("setting \"routes[1].labels\" has", "routes.v1", "Line 3 is"),
            ("setting \"routes\" has", "routes.v1", "This is"),
            ("setting \"labels\" has", "labels", "This is"),
            (
                "setting \"event_channels.push\" has",
                "event_channels",
                "This is",
            ),
            ("setting \"labels\" has \"routes[1]", "labels", "This is"),
            (
                "setting \"routes[0].channels\" has \"setting \"routes[1]",
                "routes.v1",
                "Line 2 is",
            ),
            ("something else", "channels", "This is"),
        ] {
            let mistake = form.refused(refusal);
            assert_eq!(mistake.block, block);
            assert!(mistake.text.starts_with(text), "{}", mistake.text);
        }
        values["review_reminders.v1"] = json!({ "review_reminders": { "value": "\n9:00 UTC #a" } });
        let form = Form::read(&values);
        let form = form.unwrap_or_else(|mistakes| unreachable!("{mistakes:?}"));
        assert_eq!(
            form.settings["review_reminders"],
            json!([{ "cron": "0 9 * * *", "time_zone": "UTC", "channels": ["#a"] }])
        );
        let mistake = form.refused("setting \"review_reminders[0]\" has no time");
        assert_eq!(mistake.block, "review_reminders.v1");
        assert!(
            mistake.text.starts_with("Line 2 has a time"),
            "{}",
            mistake.text
        );
        let mistake = form.refused("setting \"review_reminders\" has one");
        assert!(
            mistake.text.starts_with("A line without"),
            "{}",
            mistake.text
        );
        values["routes.v1"]["routes"]["value"] = json!("#a\nb");
        let mistakes = Form::read(&values).err().unwrap_or_default();
        let blocks: Vec<&str> = mistakes.iter().map(|it| it.block.as_str()).collect();
        assert_eq!(blocks, ["routes.v1"]);
        // Who inherits has seen the routes that go.
        values["inherited"] =
            json!({ "inherited": { "selected_options": [{ "value": "inherited" }] } });
        let form = Form::read(&values);
        let version = form.map(|form| (form.settings, form.version));
        assert_eq!(version, Ok((json!("inherited"), Some("v1".to_owned()))));
        // Without routes in the form they stay, and without a choice the first counts.
        values["inherited"] = json!({});
        if let Some(values) = values.as_object_mut() {
            values.remove("routes.v1");
        }
        values["all_routes.v1"] = json!({ "all_routes": { "selected_option": null } });
        let form = Form::read(&values);
        let form = form.unwrap_or_else(|mistakes| unreachable!("{mistakes:?}"));
        assert_eq!(form.settings.get("routes"), None);
        assert_eq!(form.settings["all_routes"], false);
        assert_eq!(form.version.as_deref(), Some("v1"));
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
