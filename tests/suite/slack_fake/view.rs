//! The fake Slack: Home, modals and their triggers.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use lockstep_tests::slack::{
    Fault, wrong_in_home, wrong_in_message, wrong_in_modal, wrong_in_options,
};
use serde_json::{Value, json};

use crate::slack_fake::block::{many, merged, mrkdwn, option, plain, section};
use crate::slack_fake::{Scene, home};

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
        // Slack's own fields of a view must not be sent back.
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
    assert!(!wrong_in_options(&json!([])).is_empty());
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
    // A refused view does not use up the trigger; nor does a call that never arrived.
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
    let trigger = scene.fake.trigger(&scene.team.id);
    let again = json!({ "trigger_id": trigger, "view": view });
    assert_eq!(
        scene.outcome("views.open", &again)?,
        "duplicate_external_id"
    );
    let changed = modal(&json!({ "callback_id": "second", "external_id": "mine" }));
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
    // Slack's own fields must be removed from a response before it can be sent back.
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
