//! The fake Slack: messages in threads, to users, with attachments, and where they are refused.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use lockstep_tests::slack::Rate;
use serde_json::{Value, json};

use crate::slack_fake::{Scene, outcome};

pub(crate) const POST: &str = "chat.postMessage";
pub(crate) const UPDATE: &str = "chat.update";

/// A scene without the limit per channel and with Slack's time running.
pub(crate) fn scene() -> Result<Scene> {
    let scene = Scene::new()?;
    scene.fake.lift_limits();
    Ok(scene)
}

impl Scene {
    pub(crate) fn post(&self, channel: &str, more: &Value) -> Result<Value> {
        let mut arguments = more.clone();
        arguments["channel"] = json!(channel);
        self.call(POST, &arguments)
    }

    pub(crate) fn posted(&self, channel: &str, more: &Value) -> Result<String> {
        let answer = self.post(channel, more)?;
        let ts = answer["ts"].as_str();
        Ok(ts.with_context(|| answer.to_string())?.to_owned())
    }

    pub(crate) fn update(&self, channel: &str, ts: &str) -> Result<String> {
        self.outcome(
            UPDATE,
            &json!({ "channel": channel, "ts": ts, "text": "new" }),
        )
    }
}

#[test]
fn answer_tells_the_message() -> Result<()> {
    let scene = scene()?;
    let answer = scene.post("#general", &json!({ "text": "hello" }))?;
    let id = &scene.channel.id;
    assert_eq!(answer["channel"], json!(id));
    assert_eq!(answer["message"]["text"], json!("hello"));
    assert_eq!(answer["message"]["ts"], answer["ts"]);
    let bot = json!(scene.installation.bot_user_id);
    assert_eq!(answer["message"]["user"], bot);
    let metadata = json!({ "event_type": "told", "event_payload": { "delivery": 7 } });
    scene.posted(id, &json!({ "text": "more", "metadata": metadata }))?;
    let messages = scene.fake.messages(id);
    assert_eq!(messages[1].sent["metadata"], metadata);
    ensure!(
        messages
            .iter()
            .all(|message| message.is_answered && message.updates == 0),
        "{messages:?}"
    );
    Ok(())
}

#[test]
fn each_ts_is_later_than_the_one_before() -> Result<()> {
    let scene = scene()?;
    let mut last = String::new();
    // Slack's time is frozen.
    for _ in 0..20 {
        let ts = scene.posted(&scene.channel.id, &json!({ "text": "a" }))?;
        ensure!(ts > last, "{ts} after {last}");
        last = ts;
    }
    scene.fake.clock().advance(Duration::from_secs(1));
    let ts = scene.posted(&scene.channel.id, &json!({ "text": "a" }))?;
    ensure!(ts > last, "{ts} after {last}");
    let (seconds, micros) = ts.split_once('.').context("no point")?;
    ensure!(
        seconds.len() == 10 && micros.len() == 6,
        "{ts} is not like Slack's"
    );
    Ok(())
}

#[test]
fn threads_begin_at_a_message_of_the_channel() -> Result<()> {
    let scene = scene()?;
    let fake = &scene.fake;
    let id = &scene.channel.id;
    let other = fake.create_channel(&scene.team.id, "other").id;
    fake.join(&other, &scene.installation.bot_user_id)?;
    let first = scene.posted(id, &json!({ "text": "first" }))?;
    let by_ada = fake.say(id, &scene.ada.id, "I say");
    let psst = json!({ "channel": id, "user": scene.ada.id, "text": "psst" });
    let unseen = scene.call("chat.postEphemeral", &psst)?;
    let unseen = unseen["message_ts"].as_str().context("no ts")?;
    let in_thread = |ts: &str| json!({ "text": "reply", "thread_ts": ts });
    let reply = scene.post(id, &in_thread(&first))?;
    assert_eq!(reply["message"]["thread_ts"], json!(first));
    let reply = reply["ts"].as_str().context("no ts")?.to_owned();
    let gone = scene.posted(id, &json!({ "text": "gone" }))?;
    fake.delete_message(id, &gone)?;
    for (channel, ts, expected) in [
        (id, &*first, "ok"),
        (id, &*by_ada, "ok"),
        (&other, &*first, "thread_not_found"),
        (id, "1.000001", "thread_not_found"),
        (id, &*gone, "thread_not_found"),
        (id, &*reply, "cannot_reply_to_message"),
        (id, unseen, "cannot_reply_to_message"),
    ] {
        assert_eq!(
            outcome(&scene.post(channel, &in_thread(ts))?),
            expected,
            "{ts}"
        );
    }
    let messages = fake.messages(id);
    let replies = messages
        .iter()
        .filter(|message| message.thread_ts.is_some());
    assert_eq!(replies.count(), 3);
    Ok(())
}

#[test]
fn user_is_written_to_by_id() -> Result<()> {
    let scene = scene()?;
    let fake = &scene.fake;
    let foreign = fake.create_workspace("Foreign").id;
    let eve = fake.create_user(&foreign, "eve").id;
    let hello = json!({ "text": "hello" });
    let answer = scene.post(&scene.ada.id, &hello)?;
    let direct = answer["channel"].as_str().context("no channel")?.to_owned();
    ensure!(direct.starts_with('D'), "{direct}");
    let known = fake.direct(&scene.ada.id).map(|channel| channel.id);
    assert_eq!(known.as_ref(), Some(&direct));
    for (channel, expected) in [
        (&*scene.ada.id, "ok"),
        (&*direct, "ok"),
        ("U0NOTHING", "channel_not_found"),
        (&*eve, "channel_not_found"),
        (&*scene.installation.bot_user_id, "cannot_dm_bot"),
    ] {
        assert_eq!(
            outcome(&scene.post(channel, &hello)?),
            expected,
            "{channel}"
        );
    }
    assert_eq!(fake.messages(&direct).len(), 3);
    assert_eq!(fake.direct(&eve), None);
    // Its messages can only be updated by the conversation's id.
    let ts = &fake.messages(&direct)[0].ts;
    assert_eq!(scene.update(&scene.ada.id, ts)?, "channel_not_found");
    assert_eq!(scene.update(&direct, ts)?, "ok");

    fake.change_app(|app| app.has_messages = false);
    for channel in [&direct, &scene.ada.id] {
        assert_eq!(
            outcome(&scene.post(channel, &hello)?),
            "messages_tab_disabled"
        );
    }
    assert_eq!(outcome(&scene.post("general", &hello)?), "ok");
    Ok(())
}

#[test]
fn one_message_a_second_to_each_user() -> Result<()> {
    let scene = Scene::new()?;
    let hello = json!({ "text": "hello" });
    let direct = scene.post(&scene.ada.id, &hello)?;
    let direct = direct["channel"].as_str().context("no channel")?;
    assert_eq!(outcome(&scene.post(direct, &hello)?), "ratelimited");
    scene.fake.clock().advance(Duration::from_millis(999));
    let arguments = json!({ "channel": direct, "text": "hello" });
    let reply = scene.reply(POST, &arguments)?;
    assert_eq!(
        (reply.status, reply.header("retry-after")),
        (429, Some("1"))
    );
    // A refused message does not count.
    scene.fake.clock().advance(Duration::from_millis(1));
    assert_eq!(outcome(&scene.post(direct, &hello)?), "ok");
    Ok(())
}

#[test]
fn workspace_takes_several_hundred_a_minute() -> Result<()> {
    let scene = Scene::new()?;
    scene.fake.limit("chat.postMessage channel", None);
    scene.fake.limit(POST, Some(Rate::per_minute(5)));
    let hello = json!({ "text": "hello" });
    let other = scene.fake.create_channel(&scene.team.id, "other").id;
    scene.fake.join(&other, &scene.installation.bot_user_id)?;
    for number in 0..5 {
        let channel = [&other, &scene.channel.id][number % 2];
        assert_eq!(outcome(&scene.post(channel, &hello)?), "ok");
    }
    assert_eq!(outcome(&scene.post(&other, &hello)?), "ratelimited");
    scene.fake.clock().advance(Duration::from_secs(60));
    assert_eq!(outcome(&scene.post(&other, &hello)?), "ok");
    Ok(())
}

#[test]
fn places_that_are_closed() -> Result<()> {
    let scene = scene()?;
    let fake = &scene.fake;
    let team = &scene.team.id;
    let bot = &scene.installation.bot_user_id;
    let read_only = fake.create_channel(team, "news").id;
    fake.join(&read_only, bot)?;
    fake.make_read_only(&read_only)?;
    let secret = fake.create_private_channel(team, "secret").id;
    let joined = fake.create_private_channel(team, "joined").id;
    fake.join(&joined, bot)?;
    fake.install(team, &scene.ada.id, &["chat:write.public"])?;
    let hello = json!({ "text": "hello" });
    for (channel, expected) in [
        (&*read_only, "restricted_action_read_only_channel"),
        (&*joined, "ok"),
        ("#joined", "ok"),
        // Slack does not reveal that a private channel exists, and no scope opens it.
        (&*secret, "channel_not_found"),
        ("#secret", "channel_not_found"),
        ("##general", "channel_not_found"),
        ("General", "channel_not_found"),
    ] {
        assert_eq!(
            outcome(&scene.post(channel, &hello)?),
            expected,
            "{channel}"
        );
    }
    Ok(())
}

/// Sections of 3,000 characters each, with their containers.
pub(crate) fn sections(number: usize) -> Value {
    let section =
        json!({ "type": "section", "text": { "type": "mrkdwn", "text": "x".repeat(3000) } });
    Value::Array(vec![section; number])
}

#[test]
fn attachments_keep_to_the_rules() -> Result<()> {
    let scene = scene()?;
    let divider = json!([{ "type": "divider" }]);
    let with_color = |color: &Value| json!([{ "color": color, "blocks": divider }]);
    let many: Vec<Value> = vec![json!({ "text": "a" }); 100];
    let cases = [
        (json!([{ "color": "#36A64F", "blocks": divider }]), "ok"),
        (json!([{ "blocks": divider, "fallback": "a" }]), "ok"),
        (json!([{ "color": "good", "text": "a" }]), "ok"),
        (json!([{ "color": "danger", "title": "a" }]), "ok"),
        (with_color(&json!("36a64f")), "ok"),
        (with_color(&json!("#36A64")), "invalid_attachments"),
        (with_color(&json!("#36A64G")), "invalid_attachments"),
        (with_color(&json!("green")), "invalid_attachments"),
        (with_color(&json!(7)), "invalid_attachments"),
        (json!([{ "color": "good" }]), "no_text"),
        (json!([{ "text": "" }]), "no_text"),
        (json!([{}]), "no_text"),
        (json!({}), "invalid_attachments"),
        (json!("[{"), "invalid_attachments"),
        (
            json!([{ "text": "a", "blocks": divider }]),
            "invalid_attachments",
        ),
        (
            json!([{ "blocks": [{ "type": "header" }] }]),
            "invalid_blocks",
        ),
        (json!([{ "blocks": "[]" }]), "invalid_blocks_format"),
        (json!([{ "blocks": vec![divider[0].clone(); 50] }]), "ok"),
        (
            json!([{ "blocks": vec![divider[0].clone(); 51] }]),
            "invalid_blocks",
        ),
        (json!(many), "ok"),
        (
            json!(
                [many, vec![json!({ "text": "a" })]]
                    .map(|list| list)
                    .concat()
            ),
            "too_many_attachments",
        ),
        (json!([{ "blocks": sections(4) }]), "ok"),
        (
            json!([{ "blocks": sections(5) }]),
            "attachment_payload_limit_exceeded",
        ),
    ];
    for (attachments, expected) in cases {
        let shown: String = attachments.to_string().chars().take(80).collect();
        let answer = scene.post(&scene.channel.id, &json!({ "attachments": attachments }))?;
        assert_eq!(outcome(&answer), expected, "{shown}");
    }
    Ok(())
}

#[test]
fn messages_are_no_longer_than_slack_takes() -> Result<()> {
    let scene = scene()?;
    let metadata = |length: usize| json!({ "text": "a", "metadata": { "event_type": "told", "event_payload": { "a": "x".repeat(length) } } });
    let divider = json!({ "type": "divider" });
    let cases = [
        (json!({ "blocks": sections(4) }), "ok"),
        (json!({ "blocks": sections(5) }), "msg_blocks_too_long"),
        (json!({ "blocks": vec![divider.clone(); 50] }), "ok"),
        (
            json!({ "blocks": vec![divider.clone(); 51] }),
            "invalid_blocks",
        ),
        (json!({ "markdown_text": "*a*" }), "ok"),
        (
            json!({ "markdown_text": "*a*", "text": "a" }),
            "markdown_text_conflict",
        ),
        (
            json!({ "markdown_text": "*a*", "blocks": [divider] }),
            "markdown_text_conflict",
        ),
        (metadata(15_000), "ok"),
        (metadata(16_000), "metadata_too_large"),
        (
            json!({ "text": "a", "metadata": { "event_type": "told" } }),
            "invalid_metadata_format",
        ),
        (
            json!({ "text": "a", "metadata": { "event_payload": {} } }),
            "invalid_metadata_format",
        ),
    ];
    for (arguments, expected) in cases {
        let shown: String = arguments.to_string().chars().take(80).collect();
        let answer = scene.post(&scene.channel.id, &arguments)?;
        assert_eq!(outcome(&answer), expected, "{shown}");
    }
    Ok(())
}
