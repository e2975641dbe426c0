//! Webhooks that arrive twice, from several sides or at the same time: each event counts once.

use std::thread;

use anyhow::{Context, Result};
use lockstep_tests::gitlab::{Webhook, push};
use serde_json::{Value, json};

use super::hook::{assert_ignored, scene};
use crate::concurrency::PATIENCE;
use crate::notification::app::{TOKEN, assert_taken};
use crate::slack_app::Sidecar;

#[test]
fn event_that_comes_twice_is_told_once() -> Result<()> {
    let (mut scene, general) = scene("notification_twice", &[])?;
    let event = push(1, "Boil the water");
    let with_key = scene.webhook.clone();
    let without_key = scene.webhook.clone().without_key();
    let mut told = 0;
    for webhook in [with_key, without_key] {
        let key = webhook.key();
        assert_taken(&webhook.send_as(&key, &event)?, 1)?;
        for _ in 0..3 {
            let reply = webhook.send_as(&key, &event)?;
            assert_eq!(reply.status, 200);
            assert_eq!(reply.json()?, json!({ "duplicate": true }));
        }
        // Another event may have identical content.
        assert_taken(&webhook.send(&event)?, 1)?;
        told += 2;
    }
    assert_eq!(scene.settled(&general)?.len(), told);
    Ok(())
}

/// GitLab sends an event by a system hook and by the project's webhook.
#[test]
fn event_of_two_webhooks_is_told_once() -> Result<()> {
    let (mut scene, general) = scene("notification_copies", &[])?;
    let event = push(1, "Boil the water");
    let webhooks = ["system", "project"].map(|uuid| scene.webhook.clone().with_uuid(uuid));
    let duplicate = json!({ "duplicate": true });
    for turn in 1..3 {
        let [first, second] = &webhooks;
        assert_taken(&first.send(&event)?, 1)?;
        assert_eq!(second.send(&event)?.json()?, duplicate, "{turn}");
    }
    assert_eq!(scene.settled(&general)?.len(), 2);
    Ok(())
}

#[test]
fn events_without_a_key_differ_by_what_they_say() -> Result<()> {
    let (mut scene, general) = scene("notification_bodies", &[])?;
    let webhook = scene.webhook.clone().without_key();
    let key = webhook.key();
    // Webhooks caused by one action have the same event UUID.
    assert_taken(&webhook.send_as(&key, &push(1, "One cup"))?, 1)?;
    assert_taken(&webhook.send_as(&key, &push(1, "Two cups"))?, 1)?;
    assert_eq!(scene.settled(&general)?.len(), 2);
    Ok(())
}

#[test]
fn event_that_comes_from_everywhere_at_once_is_told_once() -> Result<()> {
    let (mut scene, general) = scene("notification_at_once", &[])?;
    let token = format!("--gitlab-token={TOKEN}");
    let other = Sidecar::start(&scene.stage.url, &scene.stage.slack, &[&token])?;
    other.wait_until_ready()?;
    let other = Webhook::new(&other.base, PATIENCE).with_token(TOKEN);
    let event = push(1, "Boil the water");
    let answers = thread::scope(|scope| -> Result<Vec<Value>> {
        let one = &scene.webhook;
        let senders: Vec<_> = (0..16)
            .map(|number| {
                let webhook = match number % 2 {
                    0 => one,
                    _ => &other,
                };
                let event = &event;
                scope.spawn(move || webhook.send_as("the-same", event)?.json())
            })
            .collect();
        senders
            .into_iter()
            .map(|sender| sender.join().ok().context("it panicked")?)
            .collect()
    })?;
    let first = json!({ "deliveries": 1 });
    let again = json!({ "duplicate": true });
    let firsts = answers.iter().filter(|answer| **answer == first).count();
    let agains = answers.iter().filter(|answer| **answer == again).count();
    assert_eq!((firsts, agains), (1, 15), "{answers:?}");
    assert_eq!(scene.settled(&general)?.len(), 1);
    Ok(())
}

/// A refused event is accepted when it is sent again correctly: its key is not used up.
#[test]
fn key_of_a_refused_event_is_free() -> Result<()> {
    let (mut scene, general) = scene("notification_free_key", &[])?;
    let key = scene.webhook.key();
    assert_ignored(&scene.webhook.send_as(&key, &push(404, "Boil"))?, "project")?;
    scene.stage.client.batch_execute(
        "insert into projects (id, name, path, namespace_id) values (404, 'x', 'x', 1)",
    )?;
    scene.connect("project_id", 404)?;
    scene.set("project_id", 404, &json!({ "channels": ["#general"] }))?;
    assert_taken(&scene.webhook.send_as(&key, &push(404, "Boil"))?, 1)?;
    assert_eq!(scene.settled(&general)?.len(), 1);
    Ok(())
}
