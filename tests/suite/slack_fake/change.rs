//! The fake Slack: updating messages.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use lockstep_tests::slack::App;
use serde_json::json;

use crate::slack_fake::message::{UPDATE, scene, sections};
use crate::slack_fake::{Scene, outcome};

#[test]
fn message_is_changed_by_the_app_that_wrote_it() -> Result<()> {
    let scene = scene()?;
    let fake = &scene.fake;
    let id = &scene.channel.id;
    let other = fake.create_channel(&scene.team.id, "other").id;
    fake.join(&other, &scene.installation.bot_user_id)?;
    let ts = scene.posted(id, &json!({ "text": "old" }))?;
    let by_ada = fake.say(id, &scene.ada.id, "I say");
    let psst = json!({ "channel": id, "user": scene.ada.id, "text": "psst" });
    let unseen = scene.call("chat.postEphemeral", &psst)?;
    let unseen = unseen["message_ts"].as_str().context("no ts")?;
    let gone = scene.posted(id, &json!({ "text": "gone" }))?;
    fake.delete_message(id, &gone)?;
    ensure!(fake.delete_message(id, &gone).is_err(), "gone twice");
    for (channel, ts, expected) in [
        (&**id, &*ts, "ok"),
        (&*other, &*ts, "message_not_found"),
        ("general", &*ts, "channel_not_found"),
        ("C0NOTHING", &*ts, "channel_not_found"),
        (&**id, "1.000001", "message_not_found"),
        (&**id, unseen, "message_not_found"),
        (&**id, &*gone, "message_not_found"),
        (&**id, &*by_ada, "cant_update_message"),
    ] {
        assert_eq!(scene.update(channel, ts)?, expected, "{channel} {ts}");
    }
    let new =
        json!({ "channel": id, "ts": ts, "text": "newer", "blocks": [{ "type": "divider" }] });
    let answer = scene.call(UPDATE, &new)?;
    assert_eq!(
        (&answer["channel"], &answer["ts"], &answer["text"]),
        (&json!(id), &json!(ts), &json!("newer"))
    );
    let message = &fake.messages(id)[0];
    assert_eq!((&*message.text, message.updates), ("newer", 2));
    assert_eq!(message.sent["blocks"], new["blocks"]);
    assert_eq!(message.ts, ts);
    Ok(())
}

#[test]
fn change_keeps_to_the_rules_of_messages() -> Result<()> {
    let scene = scene()?;
    let id = &scene.channel.id;
    let ts = scene.posted(id, &json!({ "text": "old" }))?;
    for (more, expected) in [
        (json!({}), "no_text"),
        (json!({ "text": "a".repeat(40_001) }), "msg_too_long"),
        (
            json!({ "blocks": [{ "type": "header" }] }),
            "invalid_blocks",
        ),
        (json!({ "blocks": sections(5) }), "msg_blocks_too_long"),
        (
            json!({ "attachments": [{ "color": "green", "text": "a" }] }),
            "invalid_attachments",
        ),
    ] {
        let mut arguments = more;
        arguments["channel"] = json!(id);
        arguments["ts"] = json!(ts);
        assert_eq!(scene.outcome(UPDATE, &arguments)?, expected);
    }
    for missing in [json!({ "channel": id, "text": "a" }), json!({ "ts": ts })] {
        assert_eq!(scene.outcome(UPDATE, &missing)?, "invalid_arguments");
    }
    let message = &scene.fake.messages(id)[0];
    assert_eq!((&*message.text, message.updates), ("old", 0));

    let poor = Scene::of(App::default(), &["commands"])?;
    let answer = poor.call(UPDATE, &json!({ "channel": id, "ts": ts, "text": "a" }))?;
    assert_eq!(outcome(&answer), "missing_scope");
    assert_eq!(answer["needed"], json!("chat:write"));
    assert_eq!(answer["provided"], json!("commands"));
    Ok(())
}

#[test]
fn blocks_that_a_change_leaves_out_stay() -> Result<()> {
    let scene = scene()?;
    let id = &scene.channel.id;
    let divider = json!([{ "type": "divider" }]);
    let attachments = json!([{ "color": "good", "blocks": divider }]);
    let ts = scene.posted(
        id,
        &json!({ "blocks": divider, "attachments": attachments }),
    )?;
    assert_eq!(scene.update(id, &ts)?, "ok");
    let sent = scene.fake.messages(id)[0].sent.clone();
    assert_eq!(
        (&sent["text"], &sent["blocks"], &sent["attachments"]),
        (&json!("new"), &divider, &attachments)
    );
    let emptied = json!({ "channel": id, "ts": ts, "text": "newer", "attachments": [] });
    assert_eq!(scene.outcome(UPDATE, &emptied)?, "ok");
    let sent = scene.fake.messages(id)[0].sent.clone();
    assert_eq!(
        (&sent["blocks"], &sent["attachments"]),
        (&divider, &json!([]))
    );
    Ok(())
}

#[test]
fn change_comes_too_late() -> Result<()> {
    let scene = scene()?;
    let id = &scene.channel.id;
    let ts = scene.posted(id, &json!({ "text": "old" }))?;
    scene.fake.clock().advance(Duration::from_secs(600));
    assert_eq!(scene.update(id, &ts)?, "ok");
    scene.fake.limit_edits(Some(Duration::from_secs(601)));
    assert_eq!(scene.update(id, &ts)?, "ok");
    scene.fake.clock().advance(Duration::from_secs(1));
    assert_eq!(scene.update(id, &ts)?, "edit_window_closed");
    scene.fake.limit_edits(None);
    scene.fake.archive(id)?;
    assert_eq!(scene.update(id, &ts)?, "is_inactive");
    Ok(())
}

#[test]
fn fifty_changes_a_minute() -> Result<()> {
    let scene = Scene::new()?;
    let id = &scene.channel.id;
    let ts = scene.posted(id, &json!({ "text": "old" }))?;
    // The limit of one message per second does not apply to updates.
    for _ in 0..50 {
        assert_eq!(scene.update(id, &ts)?, "ok");
    }
    assert_eq!(scene.update(id, &ts)?, "ratelimited");
    Ok(())
}
