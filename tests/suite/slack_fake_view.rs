//! The fake Slack: Home, modals and their triggers, and every limit of blocks at its edge.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use lockstep_tests::slack::{
    Fault, wrong_in_home, wrong_in_message, wrong_in_modal, wrong_in_options,
};
use serde_json::{Value, json};

use crate::slack_fake::{Scene, home};

fn plain(length: usize) -> Value {
    json!({ "type": "plain_text", "text": "x".repeat(length) })
}

fn mrkdwn(length: usize) -> Value {
    json!({ "type": "mrkdwn", "text": "x".repeat(length) })
}

fn many(item: &Value, number: usize) -> Value {
    Value::Array(vec![item.clone(); number])
}

fn section(extra: &Value) -> Value {
    merged(json!({ "type": "section", "text": mrkdwn(1) }), extra)
}

fn merged(mut object: Value, extra: &Value) -> Value {
    for (name, value) in extra.as_object().into_iter().flatten() {
        object[name] = value.clone();
    }
    object
}

/// A section with an element beside its text.
fn beside(element: &Value) -> Value {
    section(&json!({ "accessory": element }))
}

fn button(extra: &Value) -> Value {
    merged(json!({ "type": "button", "text": plain(1) }), extra)
}

fn option(text: usize, value: usize) -> Value {
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

/// Each makes a block of a size; the largest that is right, and what is said one beyond it.
type Limit = (&'static str, usize, fn(usize) -> Value);

const LIMITS: [Limit; 26] = [
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

#[test]
fn surfaces_take_so_many_blocks() {
    let blocks = |number| many(&json!({ "type": "divider" }), number);
    assert_eq!(wrong_in_message(&blocks(50)).len(), 0);
    assert_eq!(wrong_in_message(&blocks(51)).len(), 1);
    let home = |number| json!({ "type": "home", "blocks": blocks(number) });
    assert_eq!(wrong_in_home(&home(100)).len(), 0);
    assert_eq!(wrong_in_home(&home(101)).len(), 1);
}

fn modal(extra: &Value) -> Value {
    let modal = json!({ "type": "modal", "title": plain(24), "blocks": [{ "type": "divider" }] });
    merged(modal, extra)
}

#[test]
fn views_have_their_own_limits() -> Result<()> {
    let input =
        json!({ "type": "input", "label": plain(1), "element": { "type": "plain_text_input" } });
    let right = [
        modal(&json!({})),
        modal(&json!({ "submit": plain(24), "close": plain(24), "blocks": [input] })),
        modal(&json!({ "private_metadata": "m".repeat(3000), "callback_id": "c".repeat(255) })),
    ];
    for view in right {
        assert_eq!(wrong_in_modal(&view), [""; 0]);
    }
    let wrong = [
        (json!({ "title": plain(25) }), "less than 25"),
        (json!({ "submit": plain(25) }), "less than 25"),
        (json!({ "close": plain(25) }), "less than 25"),
        (
            json!({ "private_metadata": "m".repeat(3001) }),
            "less than 3001",
        ),
        (json!({ "callback_id": "c".repeat(256) }), "less than 256"),
        (
            json!({ "blocks": [input] }),
            "missing required field: submit",
        ),
        (json!({ "type": "home" }), "must be a valid view type"),
        // What Slack adds to a view must not be sent back to it.
        (
            json!({ "hash": "1.2" }),
            "invalid additional property: hash",
        ),
        (
            json!({ "blocks": [{ "type": "markdown", "text": "a" }] }),
            "for messages only",
        ),
    ];
    for (extra, expected) in wrong {
        let wrong = wrong_in_modal(&modal(&extra));
        ensure!(
            wrong.len() == 1 && wrong[0].contains(expected),
            "{expected}: {wrong:?}"
        );
    }
    Ok(())
}

#[test]
fn options_offered_are_a_hundred_at_most() {
    assert_eq!(wrong_in_options(&json!({ "options": [] })).len(), 0);
    let options = |number, text| json!({ "options": many(&option(text, 1), number) });
    assert_eq!(wrong_in_options(&options(100, 75)).len(), 0);
    assert_eq!(wrong_in_options(&options(101, 75)).len(), 1);
    assert_eq!(wrong_in_options(&options(1, 76)).len(), 1);
    assert_eq!(wrong_in_options(&json!([])).is_empty(), false);
    let group = json!({ "label": plain(75), "options": [option(1, 1)] });
    assert_eq!(
        wrong_in_options(&json!({ "option_groups": [group] })).len(),
        0
    );
}

#[test]
fn home_is_published_for_a_user() -> Result<()> {
    let scene = Scene::new()?;
    let publish = |extra: &Value| -> Result<Value> {
        let arguments = json!({ "user_id": scene.ada.id, "view": home() });
        scene.call("views.publish", &merged(arguments, extra))
    };
    let answer = publish(&json!({}))?;
    let hash = answer["view"]["hash"].clone();
    assert_eq!(answer["view"]["app_id"], json!(scene.fake.app().id));
    let answer = publish(&json!({ "hash": hash }))?;
    assert_eq!(answer["ok"], json!(true));
    assert_eq!(publish(&json!({ "hash": hash }))?["error"], "hash_conflict");
    assert_eq!(
        publish(&json!({ "user_id": "U0NOTHING" }))?["error"],
        "user_not_found"
    );
    assert_eq!(
        publish(&json!({ "view": modal(&json!({})) }))?["error"],
        "invalid_arguments"
    );
    let text = home().to_string();
    assert_eq!(publish(&json!({ "view": text }))?["ok"], json!(true));
    let large =
        json!({ "type": "home", "blocks": many(&section(&json!({ "text": mrkdwn(3000) })), 90) });
    assert_eq!(
        publish(&json!({ "view": large }))?["error"],
        "view_too_large"
    );
    scene.fake.change_app(|app| app.has_home = false);
    assert_eq!(publish(&json!({}))?["error"], "not_enabled");
    let published = scene.fake.home(&scene.ada.id).context("no home")?;
    assert_eq!((published.publications, published.view), (3, home()));
    Ok(())
}

#[test]
fn trigger_opens_one_modal_within_three_seconds() -> Result<()> {
    let scene = Scene::new()?;
    let open = |trigger: &str| {
        let arguments = json!({ "trigger_id": trigger, "view": modal(&json!({})) });
        scene.outcome("views.open", &arguments)
    };
    let trigger = scene.fake.trigger(&scene.team.id);
    assert_eq!(open(&trigger)?, "ok");
    assert_eq!(open(&trigger)?, "exchanged_trigger_id");
    assert_eq!(open("made up")?, "invalid_trigger_id");
    let late = scene.fake.trigger(&scene.team.id);
    scene.fake.clock().advance(Duration::from_secs(3));
    assert_eq!(open(&late)?, "expired_trigger_id");
    let wrong = scene.fake.trigger(&scene.team.id);
    let arguments = json!({ "trigger_id": wrong, "view": home() });
    assert_eq!(
        scene.outcome("views.open", &arguments)?,
        "invalid_arguments"
    );
    // A view that is refused leaves the trigger as it was; so does a call that never arrived.
    scene.fake.fail("views.open", Fault::ClosedBefore, Some(1));
    ensure!(open(&wrong).is_err(), "answered");
    assert_eq!(open(&wrong)?, "ok");
    Ok(())
}

#[test]
fn modal_is_updated_by_its_id() -> Result<()> {
    let scene = Scene::new()?;
    let trigger = scene.fake.trigger(&scene.team.id);
    let view = modal(&json!({ "external_id": "mine" }));
    let answer = scene.call(
        "views.open",
        &json!({ "trigger_id": trigger, "view": view }),
    )?;
    let (id, hash) = (answer["view"]["id"].clone(), answer["view"]["hash"].clone());
    let changed = modal(&json!({ "callback_id": "second" }));
    let cases = [
        (json!({ "view_id": "V0NOTHING" }), "not_found"),
        (json!({}), "invalid_arguments"),
        (json!({ "view_id": id, "hash": "1.2" }), "hash_conflict"),
        (json!({ "external_id": "mine", "hash": hash }), "ok"),
        (json!({ "view_id": id }), "ok"),
    ];
    for (extra, expected) in cases {
        let arguments = merged(json!({ "view": changed }), &extra);
        assert_eq!(
            scene.outcome("views.update", &arguments)?,
            expected,
            "{extra}"
        );
    }
    // What Slack answered must be stripped of Slack's own fields before it can be sent back.
    let arguments = json!({ "view_id": id, "view": answer["view"] });
    assert_eq!(
        scene.outcome("views.update", &arguments)?,
        "invalid_arguments"
    );
    let modals = scene.fake.modals();
    assert_eq!(modals.len(), 1);
    assert_eq!(modals[0].view["callback_id"], "second");
    Ok(())
}
