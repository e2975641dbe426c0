//! Buttons, menus and input fields.

use serde_json::Value;

use super::findings::Findings;
use super::object::{Kind, check_confirm, check_image, check_option, check_style, check_text};

/// Where an element is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    Actions,
    Accessory,
    Input,
}

const SELECT: &[&str] = &["placeholder", "confirm", "focus_on_load"];
const MULTI: &[&str] = &["max_selected_items"];
const STATIC: &[&str] = &[
    "options",
    "option_groups",
    "initial_option",
    "initial_options",
];
const FETCHED: &[&str] = &["min_query_length", "initial_option", "initial_options"];
const PEOPLE: &[&str] = &[
    "initial_user",
    "initial_users",
    "initial_conversation",
    "initial_conversations",
    "default_to_current_conversation",
    "initial_channel",
    "initial_channels",
    "response_url_enabled",
    "filter",
];

/// The fields of each kind of element besides `type` and `action_id`, as lists that are joined.
fn fields_of(kind: &str) -> Option<Vec<&'static str>> {
    let lists: &[&[&str]] = match kind {
        "button" => &[&[
            "text",
            "url",
            "value",
            "style",
            "confirm",
            "accessibility_label",
        ]],
        "static_select" => &[SELECT, STATIC],
        "multi_static_select" => &[SELECT, STATIC, MULTI],
        "external_select" => &[SELECT, FETCHED],
        "multi_external_select" => &[SELECT, FETCHED, MULTI],
        "users_select" | "conversations_select" | "channels_select" => &[SELECT, PEOPLE],
        "multi_users_select" | "multi_conversations_select" | "multi_channels_select" => {
            &[SELECT, PEOPLE, MULTI]
        }
        "overflow" => &[&["options", "confirm"]],
        "checkboxes" => &[&["options", "initial_options", "confirm", "focus_on_load"]],
        "radio_buttons" => &[&["options", "initial_option", "confirm", "focus_on_load"]],
        "plain_text_input" => &[
            SELECT,
            &[
                "multiline",
                "min_length",
                "max_length",
                "initial_value",
                "dispatch_action_config",
            ],
        ],
        "datepicker" => &[SELECT, &["initial_date"]],
        "timepicker" => &[SELECT, &["initial_time", "timezone"]],
        "image" => &[&["image_url", "slack_file", "alt_text"]],
        _ => return None,
    };
    Some(lists.concat())
}

fn is_allowed(kind: &str, place: Place) -> bool {
    match place {
        Place::Actions => {
            !matches!(kind, "image" | "plain_text_input") && !kind.starts_with("multi_")
        }
        Place::Accessory => kind != "plain_text_input",
        Place::Input => !matches!(kind, "button" | "overflow" | "image"),
    }
}

pub(crate) fn check(element: &Value, place: Place, findings: &mut Findings) {
    let Some(kind) = element.get("type").and_then(Value::as_str) else {
        findings.note("missing required field: type");
        return;
    };
    let Some(fields) = fields_of(kind).filter(|_| is_allowed(kind, place)) else {
        findings.note(&format!("unsupported type: {kind}"));
        return;
    };
    if kind == "image" {
        findings.only_fields(element, &["type"], &fields);
        check_image(element, findings);
        return;
    }
    findings.only_fields(element, &["type", "action_id"], &fields);
    findings.optional_text(element, "action_id", 255);
    findings.optional(element, "confirm", check_confirm);
    findings.optional(element, "placeholder", |text, findings| {
        check_text(text, Kind::Plain, 150, findings);
    });
    match kind {
        "button" => check_button(element, findings),
        "static_select" | "multi_static_select" => check_static(element, findings),
        "overflow" => findings.list(element, "options", 1, 5, |option, findings| {
            check_option(option, Kind::Plain, findings);
        }),
        "checkboxes" | "radio_buttons" => {
            findings.list(element, "options", 1, 10, |option, findings| {
                check_option(option, Kind::Any, findings);
            });
            check_initial(element, &options_of(element), findings);
        }
        "plain_text_input" => {
            for name in ["min_length", "max_length"] {
                findings.optional(element, name, |length, findings| {
                    if length.as_u64().is_none_or(|length| length > 3000) {
                        findings.note("must be a number up to 3000");
                    }
                });
            }
            let longest = element.get("max_length").and_then(Value::as_u64);
            let longest = longest.unwrap_or(3000);
            findings.optional(element, "initial_value", |text, findings| {
                // Slack counts characters like JavaScript.
                match text.as_str().map(|text| text.encode_utf16().count() as u64) {
                    None => findings.note("must be a string"),
                    Some(length) if length > longest => {
                        findings.note(&format!("must be less than {} characters", longest + 1));
                    }
                    Some(_) => {}
                }
            });
        }
        _ => {}
    }
}

fn check_button(button: &Value, findings: &mut Findings) {
    findings.required(button, "text", |text, findings| {
        check_text(text, Kind::Plain, 75, findings);
    });
    findings.optional_text(button, "url", 3000);
    findings.optional_text(button, "value", 2000);
    findings.optional_text(button, "accessibility_label", 75);
    check_style(button, findings);
}

fn check_static(menu: &Value, findings: &mut Findings) {
    if menu.get("options").is_none() == menu.get("option_groups").is_none() {
        findings.note("exactly one of options and option_groups must be given");
        return;
    }
    if menu.get("options").is_some() {
        findings.list(menu, "options", 1, 100, |option, findings| {
            check_option(option, Kind::Plain, findings);
        });
    } else {
        findings.list(menu, "option_groups", 1, 100, check_option_group);
    }
    check_initial(menu, &options_of(menu), findings);
}

/// A named part of a menu.
pub(crate) fn check_option_group(group: &Value, findings: &mut Findings) {
    findings.only_fields(group, &["label", "options"], &[]);
    findings.required(group, "label", |text, findings| {
        check_text(text, Kind::Plain, 75, findings);
    });
    findings.list(group, "options", 1, 100, |option, findings| {
        check_option(option, Kind::Plain, findings);
    });
}

/// All options of a menu, including those of its groups.
fn options_of(menu: &Value) -> Vec<&Value> {
    let groups = menu.get("option_groups").and_then(Value::as_array);
    let mut all: Vec<&Value> = Vec::new();
    if let Some(options) = menu.get("options").and_then(Value::as_array) {
        all.extend(options);
    }
    for group in groups.into_iter().flatten() {
        if let Some(options) = group.get("options").and_then(Value::as_array) {
            all.extend(options);
        }
    }
    all
}

/// The initial option must be one of the options.
fn check_initial(menu: &Value, options: &[&Value], findings: &mut Findings) {
    let one = menu.get("initial_option").into_iter();
    let many = menu.get("initial_options").and_then(Value::as_array);
    for chosen in one.chain(many.into_iter().flatten()) {
        if !options.contains(&chosen) {
            findings.note("initial_option is not one of the options");
        }
    }
}
