//! Pipelines and merge requests with one message each, which is updated or answered in a thread.

use anyhow::{Context, Result, ensure};
use lockstep_tests::gitlab::{merge_request, pipeline, push};
use lockstep_tests::slack::{Fault, Message};
use serde_json::json;

use crate::notification::app::Scene;

/// A scene whose project 1 notifies #general of pipelines and merge requests in that way.
fn scene(name: &str, updates: &str) -> Result<(Scene, String)> {
    let mut scene = Scene::new(name)?;
    let general = scene.channel("general");
    let settings =
        json!({ "channels": ["#general"], "updates": updates, "only_broken_pipelines": false });
    scene.set("project_id", 1, &settings)?;
    Ok((scene, general))
}

fn says(message: &Message, words: &str) -> bool {
    message.sent.to_string().contains(words)
}

#[test]
fn each_event_has_a_message_of_its_own() -> Result<()> {
    let (mut scene, general) = scene("notification_separate", "separate")?;
    for status in ["failed", "success"] {
        scene.tell(&pipeline(1, 41, status), 1)?;
    }
    let messages = scene.settled(&general)?;
    ensure!(
        messages.len() == 2
            && messages
                .iter()
                .all(|message| message.thread_ts.is_none() && message.updates == 0),
        "{messages:?}"
    );
    assert_eq!(scene.count("lockstep_internal.slack_message")?, 0);
    Ok(())
}

#[test]
fn message_of_a_pipeline_is_changed() -> Result<()> {
    let (mut scene, general) = scene("notification_update", "update")?;
    scene.tell(&pipeline(1, 41, "failed"), 1)?;
    let first = scene.settled(&general)?;
    scene.tell(&pipeline(1, 41, "success"), 1)?;
    scene.tell(&pipeline(1, 42, "failed"), 1)?;
    scene.tell(&merge_request(1, 71, "open"), 1)?;
    scene.tell(&push(1, "Boil the water"), 1)?;
    scene.tell(&merge_request(1, 71, "merge"), 1)?;
    let messages = scene.settled(&general)?;
    // One for pipeline 41, one for 42, one for the merge request, one for the push.
    let updates: Vec<u32> = messages.iter().map(|message| message.updates).collect();
    assert_eq!(updates, [1, 0, 1, 0], "{messages:?}");
    assert_eq!(messages[0].ts, first[0].ts);
    ensure!(
        says(&first[0], "failed") && says(&messages[0], "passed") && !says(&messages[0], "failed"),
        "{:?}",
        messages[0]
    );
    ensure!(says(&messages[1], "42"), "{:?}", messages[1]);
    ensure!(says(&messages[2], "merged"), "{:?}", messages[2]);
    assert_eq!(scene.stage.slack.calls_of("chat.postMessage").len(), 4);
    assert_eq!(scene.stage.slack.calls_of("chat.update").len(), 2);
    Ok(())
}

/// An update that Slack accepted as plain text only is still replaced by the next one.
#[test]
fn message_is_changed_as_a_whole() -> Result<()> {
    let (mut scene, general) = scene("notification_whole", "update")?;
    for status in ["failed", "success", "failed"] {
        // Slack accepts the second one without its blocks.
        if status == "success" {
            let fault = Fault::Error("invalid_blocks");
            scene.stage.slack.fail("chat.update", fault, Some(1));
        }
        scene.tell(&pipeline(1, 41, status), 1)?;
        let message = scene.settled(&general)?.pop().context("no message")?;
        let is_plain = status == "success";
        assert_eq!(message.text.is_empty(), !is_plain, "{message:?}");
        let attachments = message.sent["attachments"].as_array();
        let attachments = attachments.context("no attachments")?;
        assert_eq!(attachments.is_empty(), is_plain, "{message:?}");
        ensure!(message.sent["blocks"].as_array().is_none_or(Vec::is_empty));
    }
    for action in ["open", "merge"] {
        scene.tell(&merge_request(1, 71, action), 1)?;
    }
    let message = scene.settled(&general)?.pop().context("no message")?;
    ensure!(
        message.updates == 1 && message.text.contains("merged"),
        "{message:?}"
    );
    assert_eq!(message.sent["attachments"], json!([]));
    Ok(())
}

/// A webhook may be late. An older event does not overwrite the message, and nobody waits for it.
#[test]
fn message_shows_what_happened_last() -> Result<()> {
    let (mut scene, general) = scene("notification_late", "update")?;
    let merge_request = |action: &str, at: &str| {
        let mut event = merge_request(1, 71, action);
        event["object_attributes"]["updated_at"] = json!(at);
        event
    };
    let pipeline = |status: &str, at: &str| {
        let mut event = pipeline(1, 41, status);
        event["object_attributes"]["finished_at"] = json!(at);
        event
    };
    for event in [
        merge_request("approved", "2026-01-01 10:00:00 UTC"),
        merge_request("merge", "2026-01-01T10:00:05Z"),
        merge_request("open", "2026-01-01 10:00:04 UTC"),
        pipeline("failed", "2026-01-01 10:00:05 UTC"),
        pipeline("success", "2026-01-01 10:00:05 UTC"),
        pipeline("failed", "2026-01-01 11:00:04 +0100"),
        push(1, "Boil the water"),
    ] {
        scene.tell(&event, 1)?;
    }
    let messages = scene.settled(&general)?;
    let updates: Vec<u32> = messages.iter().map(|message| message.updates).collect();
    assert_eq!(updates, [1, 1, 0], "{messages:?}");
    ensure!(says(&messages[0], "merged"), "{:?}", messages[0]);
    ensure!(
        says(&messages[1], "passed") && !says(&messages[1], "failed"),
        "{:?}",
        messages[1]
    );
    let other =
        "lockstep_internal.slack_delivery where status <> 'delivered' or attempts + uncertain > 0";
    assert_eq!(scene.count(other)?, 0);
    Ok(())
}

#[test]
fn later_events_answer_in_the_thread() -> Result<()> {
    let (mut scene, general) = scene("notification_thread", "thread")?;
    scene.tell(&pipeline(1, 41, "failed"), 1)?;
    scene.tell(&merge_request(1, 71, "open"), 1)?;
    scene.tell(&pipeline(1, 41, "success"), 1)?;
    scene.tell(&merge_request(1, 71, "merge"), 1)?;
    scene.tell(&merge_request(1, 72, "open"), 1)?;
    let messages = scene.settled(&general)?;
    assert_eq!(messages.len(), 5);
    let threads: Vec<_> = messages
        .iter()
        .map(|message| message.thread_ts.as_deref())
        .collect();
    let (first, second) = (&*messages[0].ts, &*messages[1].ts);
    assert_eq!(threads, [None, None, Some(first), Some(second), None]);
    assert_eq!(scene.stage.slack.calls_of("chat.update"), []);
    Ok(())
}

#[test]
fn every_channel_has_a_thread_of_its_own() -> Result<()> {
    let (mut scene, general) = scene("notification_threads", "thread")?;
    let other = scene.channel("other");
    scene.set(
        "project_id",
        1,
        &json!({ "channels": ["#general", "#other"] }),
    )?;
    for status in ["failed", "success", "failed"] {
        scene.tell(&pipeline(1, 41, status), 2)?;
    }
    scene.settle()?;
    for channel in [general, other] {
        let messages = scene.stage.slack.messages(&channel);
        assert_eq!(messages.len(), 3);
        let first = Some(messages[0].ts.clone());
        let threads: Vec<_> = messages
            .into_iter()
            .map(|message| message.thread_ts)
            .collect();
        assert_eq!(threads, [None, first.clone(), first]);
    }
    Ok(())
}

/// The message is gone, or Slack no longer allows updating it: a new one is posted, and updated from then on.
#[test]
fn message_that_is_lost_is_written_anew() -> Result<()> {
    for (updates, database) in [
        ("update", "notification_lost"),
        ("thread", "notification_lost_thread"),
    ] {
        let (mut scene, general) = scene(database, updates)?;
        scene.tell(&pipeline(1, 41, "failed"), 1)?;
        let first = scene.settled(&general)?;
        let lost = first.first().context("nothing was said")?.ts.clone();
        scene.stage.slack.delete_message(&general, &lost)?;
        scene.tell(&pipeline(1, 41, "success"), 1)?;
        let second = scene.settled(&general)?;
        ensure!(
            second.len() == 1 && second[0].thread_ts.is_none() && second[0].updates == 0,
            "{updates}: {second:?}\n{}",
            scene.stage.sidecar.log()
        );
        scene.tell(&pipeline(1, 41, "failed"), 1)?;
        let third = scene.settled(&general)?;
        match updates {
            "update" => assert_eq!((third.len(), third[0].updates), (1, 1)),
            _ => assert_eq!(third[1].thread_ts.as_ref(), Some(&third[0].ts)),
        }
        // Slack's refusal does not count as a failure of the delivery.
        let failed = "lockstep_internal.slack_delivery where status <> 'delivered'";
        assert_eq!(scene.count(failed)?, 0, "{updates}");
        assert_eq!(scene.count("lockstep_internal.slack_channel_trouble")?, 0);
    }
    Ok(())
}

#[test]
fn message_that_may_not_be_changed_any_more_is_written_anew() -> Result<()> {
    let (mut scene, general) = scene("notification_window", "update")?;
    scene.tell(&pipeline(1, 41, "failed"), 1)?;
    scene.settle()?;
    scene
        .stage
        .slack
        .limit_edits(Some(std::time::Duration::ZERO));
    scene.tell(&pipeline(1, 41, "success"), 1)?;
    let messages = scene.settled(&general)?;
    ensure!(
        messages.len() == 2 && messages.iter().all(|message| message.updates == 0),
        "{messages:?}\n{}",
        scene.stage.sidecar.log()
    );
    Ok(())
}

/// A channel is archived, and another one gets its name: the old message does not prevent notifications.
#[test]
fn message_in_a_channel_that_is_gone_is_written_anew() -> Result<()> {
    let (mut scene, general) = scene("notification_gone", "update")?;
    scene.tell(&pipeline(1, 41, "failed"), 1)?;
    assert_eq!(scene.settled(&general)?.len(), 1);
    scene
        .stage
        .slack
        .fail("chat.update", Fault::Error("is_archived"), None);
    scene.tell(&pipeline(1, 41, "success"), 1)?;
    let messages = scene.settled(&general)?;
    ensure!(
        messages.len() == 2 && says(&messages[1], "passed"),
        "{messages:?}"
    );
    Ok(())
}
