//! A channel addressed by name and by id; and an unreadable event.

use anyhow::{Context, Result, ensure};
use lockstep_tests::gitlab::push;
use serde_json::json;

use crate::notification::app::Scene;
use crate::notification::restart::event_of;

/// One project uses a channel's name, another one its id. The events of both are sent in the order in which they happened.
#[test]
fn a_channel_has_one_order_by_all_of_its_names() -> Result<()> {
    const EVENTS: i64 = 10;
    let mut scene = Scene::new("notification_lanes")?;
    let general = scene.channel("general");
    scene.connect("project_id", 2)?;
    scene.set("project_id", 1, &json!({ "channels": "general" }))?;
    scene.set("project_id", 2, &json!({ "channels": general }))?;
    // Slack's responses show that they are the same.
    for project in [1, 2] {
        scene.tell(&push(project, "Boil the water"), 1)?;
        assert_eq!(scene.settled(&general)?.len(), usize::try_from(project)?);
    }
    let lanes = "(select from lockstep_internal.slack_channel where slack_id is not null group by coalesce(same_as, id)) c";
    assert_eq!(scene.count(lanes)?, 1);
    for event in 0..EVENTS {
        // Only one of them at first.
        let project = if event < EVENTS / 2 { 1 } else { 1 + event % 2 };
        scene.tell(&push(project, &format!("event-{event:06}")), 1)?;
    }
    let messages = scene.settled(&general)?;
    let told: Vec<String> = messages[2..].iter().map(event_of).collect::<Result<_>>()?;
    let expected: Vec<String> = (0..EVENTS)
        .map(|event| format!("event-{event:06}"))
        .collect();
    assert_eq!(told, expected);
    Ok(())
}

/// An integration that has a channel by both notifies it once, and reports which.
#[test]
fn a_channel_that_is_named_twice_is_told_once() -> Result<()> {
    let mut scene = Scene::new("notification_named_twice")?;
    let general = scene.channel("general");
    // With and without its #, it is one name.
    scene.set(
        "project_id",
        1,
        &json!({ "channels": ["general", "#general"] }),
    )?;
    scene.tell(&push(1, "Boil the water"), 1)?;
    assert_eq!(scene.settled(&general)?.len(), 1);
    scene.set(
        "project_id",
        1,
        &json!({ "channels": [general, "general"] }),
    )?;
    let answer = scene.stage.client.query_one(
        "select channels from lockstep.publish_event($1::text::jsonb)",
        &[&push(1, "Pour it").to_string()],
    )?;
    assert_eq!(
        answer.get::<_, Vec<String>>(0),
        std::slice::from_ref(&general)
    );
    assert_eq!(scene.settled(&general)?.len(), 2);
    Ok(())
}

/// It fails alone: neither deliveries claimed with it nor those behind it wait.
#[test]
fn event_that_cannot_be_read_is_in_nobodys_way() -> Result<()> {
    let mut scene = Scene::new("notification_unreadable")?;
    let (general, other) = (scene.channel("general"), scene.channel("other"));
    scene.set(
        "project_id",
        1,
        &json!({ "channels": ["#general", "#other"] }),
    )?;
    scene.tell(&push(1, "event-000001"), 2)?;
    scene.settle()?;
    // Written directly, because no function would. First in its channel, and claimed together with the other channel's.
    scene.stage.client.batch_execute(
        r#"with e as (insert into lockstep_internal.event (schema, key, payload) values ('public', 'poison', '{"object_kind": "push", "x": 1e999}') returning id)
           insert into lockstep_internal.slack_delivery (schema, event, integration_id, slack_integration_id, channel, lane)
           select d.schema, e.id, d.integration_id, d.slack_integration_id, d.channel, d.lane
             from e, lockstep_internal.slack_delivery d join lockstep_internal.slack_channel c on c.id = d.channel and c.channel = '#general'"#,
    )?;
    scene.tell(&push(1, "event-000002"), 2)?;
    for channel in [&general, &other] {
        let messages = scene.settled(channel)?;
        let told: Vec<String> = messages.iter().map(event_of).collect::<Result<_>>()?;
        assert_eq!(told, ["event-000001", "event-000002"]);
    }
    assert_eq!(
        scene.count(
            "lockstep_internal.slack_delivery where status = 'failed' and error = 'unreadable_event'"
        )?,
        1
    );
    let status = scene.status()?;
    ensure!(!status.contains("unreadable"), "{status}");
    Ok(())
}

/// The publisher gets the error.
#[test]
fn event_that_cannot_be_read_is_refused() -> Result<()> {
    let mut scene = Scene::new("notification_odd")?;
    scene.channel("general");
    scene.set("project_id", 1, &json!({ "channels": "#general" }))?;
    let long = "9".repeat(400);
    for odd in ["1e999", "[-0.1E+400]", &long, r#""\ud800""#] {
        let text = push(1, "Boil the water").to_string();
        let begin = text.strip_suffix('}').context("not an object")?;
        let text = format!("{begin}, \"odd\": {odd}}}");
        let by_batch = scene.stage.client.query_one(
            "select outcome, detail from lockstep_api.publish_events(array[$1::text::json], array['k'])",
            &[&text],
        )?;
        assert_eq!(by_batch.get::<_, &str>(0), "malformed", "{odd}");
        let refused = scene
            .stage
            .client
            .execute("select lockstep.publish_event($1::text::jsonb)", &[&text]);
        let error = refused.err().with_context(|| odd.to_owned())?;
        let error = error.as_db_error().context("not of the database")?;
        // Half a surrogate pair is not valid jsonb.
        let is_expected = ["22023", "22P02"].contains(&error.code().code());
        ensure!(is_expected, "{odd}: {error}");
        let webhook = &scene.webhook;
        // Only known fields of a webhook are parsed: the rest is skipped, whatever it is, and never stored.
        let reply = webhook.post(&webhook.key(), "Push Hook", text.as_bytes())?;
        assert_eq!(reply.status, 200, "{odd}: {}", reply.text());
    }
    assert_eq!(
        scene.count("lockstep_internal.event where payload::text like '%odd%'")?,
        0
    );
    // Text that only looks like it.
    let fine = push(1, "1e999 [[[ \\ud800 9e9");
    scene.tell(&fine, 1)?;
    Ok(())
}
