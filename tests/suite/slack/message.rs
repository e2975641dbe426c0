//! The notification messages in the sidecar's snapshots: Slack's own library and the fake accept each.

use std::fs;

use anyhow::{Context, Result, ensure};
use lockstep_tests::root;
use lockstep_tests::slack::wrong_in_message;
use serde_json::{Value, json};

use crate::slack::sdk;
use crate::slack_fake::Scene;

/// The arguments of `chat.postMessage`, by the names of their samples.
fn messages() -> Result<Vec<(String, Value)>> {
    let directory = root().join("sidecar/src/notification/message/snapshots");
    let mut messages = Vec::new();
    for file in fs::read_dir(&directory)? {
        let path = file?.path();
        let message = fs::read_to_string(&path)?;
        let message = serde_json::from_str(&message).with_context(|| path.display().to_string())?;
        messages.push((path.display().to_string(), message));
    }
    ensure!(messages.len() > 80, "{} messages", messages.len());
    Ok(messages)
}

/// The library's findings for each message.
fn found(messages: &[Value]) -> Result<Vec<Vec<String>>> {
    let inputs = messages.iter();
    let inputs = inputs.map(|message| json!({ "kind": "message", "value": message }));
    sdk::found(&inputs.collect::<Vec<_>>())
}

#[test]
fn messages_are_right_to_the_library() -> Result<()> {
    let (names, messages): (Vec<_>, Vec<_>) = messages()?.into_iter().unzip();
    for (name, found) in names.iter().zip(found(&messages)?) {
        ensure!(found.is_empty(), "{name}: {found:?}");
    }
    Ok(())
}

#[test]
fn wrong_messages_are_found_by_the_library() -> Result<()> {
    let text = |length| json!({ "type": "mrkdwn", "text": "x".repeat(length), "verbatim": true });
    let section = |length| json!({ "type": "section", "text": text(length) });
    let plain = |block: Value| json!({ "channel": "C1", "text": "x", "blocks": [block] });
    let colored = |attachment: Value| json!({ "channel": "C1", "attachments": [attachment] });
    let messages = [
        plain(section(3_000)),
        plain(section(3_001)),
        plain(json!({ "type": "section", "text": text(1), "colour": "red" })),
        plain(json!({ "type": "unknown" })),
        json!({ "channel": "C1", "blocks": [section(1)] }),
        colored(json!({ "color": "good", "fallback": "x", "blocks": [section(1)] })),
        colored(json!({ "color": "good", "blocks": [section(1)] })),
        colored(json!({ "color": "good", "fallback": "x", "blocks": [section(3_001)] })),
        colored(json!({ "color": "good", "fallback": "x", "blocks": [section(1)], "shade": 1 })),
    ];
    let wrong: Vec<_> = found(&messages)?
        .iter()
        .map(|found| !found.is_empty())
        .collect();
    assert_eq!(
        wrong,
        [false, true, true, true, true, false, true, true, true]
    );
    Ok(())
}

#[test]
fn messages_are_posted() -> Result<()> {
    let scene = Scene::new()?;
    scene.fake.lift_limits();
    let messages = messages()?;
    for (name, message) in &messages {
        let in_attachment = message["attachments"][0].get("blocks");
        let blocks = in_attachment.unwrap_or(&message["blocks"]);
        let wrong = wrong_in_message(blocks);
        ensure!(wrong.is_empty(), "{name}: {wrong:?}");
        let mut arguments = message.clone();
        arguments["channel"] = json!(scene.channel.id);
        let outcome = scene.outcome("chat.postMessage", &arguments)?;
        ensure!(outcome == "ok", "{name}: {outcome}");
    }
    let posted = scene.fake.messages(&scene.channel.id);
    assert_eq!(posted.len(), messages.len());
    Ok(())
}
