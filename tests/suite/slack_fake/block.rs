//! The fake Slack: every limit of blocks at its edge.

use anyhow::{Result, ensure};
use lockstep_tests::slack::wrong_in_message;
use serde_json::{Value, json};

pub(crate) fn plain(length: usize) -> Value {
    json!({ "type": "plain_text", "text": "x".repeat(length) })
}

pub(crate) fn mrkdwn(length: usize) -> Value {
    json!({ "type": "mrkdwn", "text": "x".repeat(length) })
}

pub(crate) fn many(item: &Value, number: usize) -> Value {
    Value::Array(vec![item.clone(); number])
}

pub(crate) fn section(extra: &Value) -> Value {
    merged(json!({ "type": "section", "text": mrkdwn(1) }), extra)
}

pub(crate) fn merged(mut object: Value, extra: &Value) -> Value {
    for (name, value) in extra.as_object().into_iter().flatten() {
        object[name] = value.clone();
    }
    object
}

/// A section with an accessory.
fn beside(element: &Value) -> Value {
    section(&json!({ "accessory": element }))
}

fn button(extra: &Value) -> Value {
    merged(json!({ "type": "button", "text": plain(1) }), extra)
}

pub(crate) fn option(text: usize, value: usize) -> Value {
    json!({ "text": plain(text), "value": "v".repeat(value) })
}

fn menu(options: &Value) -> Value {
    json!({ "type": "static_select", "options": options })
}

fn confirm(title: usize, text: usize, button: usize) -> Value {
    json!({ "title": plain(title), "text": plain(text), "confirm": plain(button), "deny": plain(1) })
}

fn numbered(number: usize) -> Value {
    let buttons = (0..number).map(|id| button(&json!({ "action_id": id.to_string() })));
    Value::Array(buttons.collect())
}

/// Each builds a block of a size; the largest valid one, and the finding for one beyond it.
pub(crate) type Limit = (&'static str, usize, fn(usize) -> Value);

pub(crate) const LIMITS: [Limit; 26] = [
    ("section text", 3000, |n| {
        section(&json!({ "text": mrkdwn(n) }))
    }),
    ("section fields", 10, |n| {
        section(&json!({ "fields": many(&mrkdwn(1), n) }))
    }),
    ("section field", 2000, |n| {
        section(&json!({ "fields": [plain(n)] }))
    }),
    ("block_id", 255, |n| {
        section(&json!({ "block_id": "b".repeat(n) }))
    }),
    (
        "header",
        150,
        |n| json!({ "type": "header", "text": plain(n) }),
    ),
    (
        "image url",
        3000,
        |n| json!({ "type": "image", "alt_text": "a", "image_url": "u".repeat(n) }),
    ),
    (
        "image alt",
        2000,
        |n| json!({ "type": "image", "alt_text": "a".repeat(n), "image_url": "u" }),
    ),
    (
        "image title",
        2000,
        |n| json!({ "type": "image", "alt_text": "a", "image_url": "u", "title": plain(n) }),
    ),
    (
        "actions",
        25,
        |n| json!({ "type": "actions", "elements": numbered(n) }),
    ),
    (
        "context",
        10,
        |n| json!({ "type": "context", "elements": many(&mrkdwn(1), n) }),
    ),
    (
        "label",
        2000,
        |n| json!({ "type": "input", "label": plain(n), "element": { "type": "plain_text_input" } }),
    ),
    (
        "hint",
        2000,
        |n| json!({ "type": "input", "label": plain(1), "hint": plain(n), "element": { "type": "plain_text_input" } }),
    ),
    (
        "markdown",
        12_000,
        |n| json!({ "type": "markdown", "text": "m".repeat(n) }),
    ),
    ("button text", 75, |n| {
        beside(&button(&json!({ "text": plain(n) })))
    }),
    ("button url", 3000, |n| {
        beside(&button(&json!({ "url": "u".repeat(n) })))
    }),
    ("button value", 2000, |n| {
        beside(&button(&json!({ "value": "v".repeat(n) })))
    }),
    ("action_id", 255, |n| {
        beside(&button(&json!({ "action_id": "a".repeat(n) })))
    }),
    ("placeholder", 150, |n| {
        beside(&json!({ "type": "external_select", "placeholder": plain(n) }))
    }),
    ("options", 100, |n| beside(&menu(&many(&option(1, 1), n)))),
    ("option text", 75, |n| beside(&menu(&json!([option(n, 1)])))),
    ("option value", 150, |n| {
        beside(&menu(&json!([option(1, n)])))
    }),
    ("overflow", 5, |n| {
        beside(&json!({ "type": "overflow", "options": many(&option(1, 1), n) }))
    }),
    ("checkboxes", 10, |n| {
        beside(&json!({ "type": "checkboxes", "options": many(&option(1, 1), n) }))
    }),
    ("confirm title", 100, |n| {
        beside(&button(&json!({ "confirm": confirm(n, 1, 1) })))
    }),
    ("confirm text", 300, |n| {
        beside(&button(&json!({ "confirm": confirm(1, n, 1) })))
    }),
    ("confirm button", 30, |n| {
        beside(&button(&json!({ "confirm": confirm(1, 1, n) })))
    }),
];

#[test]
fn limits_hold_at_their_edge() -> Result<()> {
    for (name, most, block) in LIMITS {
        let at = |size: usize| wrong_in_message(&json!([block(size)]));
        ensure!(at(most).is_empty(), "{name}: {:?}", at(most));
        ensure!(at(most + 1).len() == 1, "{name}: {:?}", at(most + 1));
        ensure!(!at(0).is_empty(), "{name}: nothing at all is taken");
    }
    Ok(())
}

#[test]
fn blocks_that_are_wrong_in_themselves() -> Result<()> {
    let cases = [
        (json!({ "type": "dividing" }), "unsupported type: dividing"),
        (json!({}), "missing required field: type"),
        (
            json!({ "type": "section" }),
            "missing required field: text or fields",
        ),
        (
            json!({ "type": "header", "text": mrkdwn(1) }),
            "unsupported type: mrkdwn",
        ),
        (
            json!({ "type": "divider", "colour": "red" }),
            "invalid additional property: colour",
        ),
        (
            json!({ "type": "image", "alt_text": "a" }),
            "exactly one of image_url and slack_file",
        ),
        (
            json!({ "type": "actions", "elements": [button(&json!({ "style": "loud" }))] }),
            "must be primary or danger",
        ),
        (
            json!({ "type": "actions", "elements": many(&button(&json!({ "action_id": "a" })), 2) }),
            "action_id `a` already exists",
        ),
        (
            json!({ "type": "actions", "elements": [{ "type": "plain_text_input" }] }),
            "unsupported type: plain_text_input",
        ),
        (
            json!({ "type": "input", "label": plain(1), "element": button(&json!({})) }),
            "unsupported type: button",
        ),
        (
            beside(
                &json!({ "type": "static_select", "options": [option(1, 1)], "initial_option": option(1, 2) }),
            ),
            "initial_option is not one of the options",
        ),
        (
            beside(&json!({ "type": "static_select" })),
            "exactly one of options and option_groups",
        ),
    ];
    for (block, expected) in cases {
        let wrong = wrong_in_message(&json!([block]));
        ensure!(
            wrong.len() == 1 && wrong[0].contains(expected),
            "{expected}: {wrong:?}"
        );
    }
    let twice =
        json!([{ "type": "divider", "block_id": "b" }, { "type": "divider", "block_id": "b" }]);
    let wrong = wrong_in_message(&twice);
    assert_eq!(
        wrong,
        ["[ERROR] block_id `b` already exists [json-pointer:/blocks/1]"]
    );
    Ok(())
}
