//! Work in progress while the database is away, while Slack does not respond, and while another publication waits.

use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use lockstep_tests::gitlab::push;
use lockstep_tests::slack::Fault;
use serde_json::json;

use crate::concurrency::PATIENCE;
use crate::database::cluster;
use crate::notification::app::Scene;
use crate::notification::restart::event_of;

/// Whether a session waits for another one.
const BLOCKED: &str = "select exists (select from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock')";

const POST: &str = "chat.postMessage";

/// What was sent in the meantime is reported when the database is back, and not sent again, although its lease has expired.
#[test]
fn what_was_sent_while_the_database_was_away_is_handed_in() -> Result<()> {
    const DATABASE: &str = "notification_away";
    let mut scene = Scene::new(DATABASE)?;
    let names = ["a", "b", "c", "d", "e"];
    let channels = names.map(|name| scene.channel(name));
    scene.set("project_id", 1, &json!({ "channels": names }))?;
    // Long enough for the database to be gone before the first response, and less than the sidecar's timeout.
    let slow = Fault::Slow(Duration::from_secs(6));
    scene.stage.slack.fail(POST, slow, Some(5));
    scene.tell(&push(1, "event-000001"), 5)?;
    ensure!(scene.stage.slack.wait_for_arrivals(POST, 5, PATIENCE));
    let mut elsewhere = cluster()?.connect("postgres")?;
    elsewhere.batch_execute(&format!(
        "alter database {DATABASE} allow_connections false;
         select pg_terminate_backend(pid) from pg_stat_activity
          where datname = '{DATABASE}' and application_name like 'lockstep-sidecar%'"
    ))?;
    let waiting = "lockstep_internal.slack_delivery where status = 'waiting'";
    assert_eq!(scene.count(waiting)?, 5);
    ensure!(scene.stage.slack.wait_for_calls(POST, 5, PATIENCE));
    scene.stage.client.batch_execute(
        "update lockstep_internal.slack_channel set leased_until = clock_timestamp() - interval '1 second', not_before = '-infinity'",
    )?;
    elsewhere.batch_execute(&format!("alter database {DATABASE} allow_connections true"))?;
    scene.settle()?;
    for channel in &channels {
        assert_eq!(scene.stage.slack.messages(channel).len(), 1);
    }
    assert_eq!(scene.stage.slack.calls_of(POST).len(), 5);
    let uncertain = "lockstep_internal.slack_delivery where uncertain > 0";
    assert_eq!(scene.count(uncertain)?, 0);
    Ok(())
}

/// Slack may accept a message without a response: it is sent again, and counted as uncertain.
#[test]
fn a_message_that_is_not_answered_in_time_is_in_doubt() -> Result<()> {
    let mut scene = Scene::new("notification_hang")?;
    let general = scene.channel("general");
    scene.set("project_id", 1, &json!({ "channels": "general" }))?;
    let hang = Fault::Slow(Duration::from_secs(15));
    scene.stage.slack.fail(POST, hang, Some(1));
    scene.tell(&push(1, "event-000001"), 1)?;
    scene.tell(&push(1, "event-000002"), 1)?;
    let messages = scene.settled(&general)?;
    let told: Vec<String> = messages.iter().map(event_of).collect::<Result<_>>()?;
    assert_eq!(told, ["event-000001", "event-000002"]);
    assert_eq!(scene.stage.slack.calls_of(POST).len(), 2);
    let counts = "select string_agg(concat_ws(' ', status, attempts, uncertain), ', ' order by id) from lockstep_internal.slack_delivery";
    let row = scene.stage.client.query_one(counts, &[])?;
    assert_eq!(row.get::<_, &str>(0), "delivered 0 1, delivered 0 0");
    Ok(())
}

/// A publication waits for another one to the same new channel. Later events of its project queue up behind it, those of other projects
/// do not.
#[test]
fn events_of_a_project_are_published_in_the_order_in_which_they_came() -> Result<()> {
    const DATABASE: &str = "notification_turns";
    let mut scene = Scene::new(DATABASE)?;
    let general = scene.channel("general");
    scene.channel("other");
    scene.connect("project_id", 2)?;
    scene.set("project_id", 1, &json!({ "channels": "general" }))?;
    scene.set("project_id", 2, &json!({ "channels": "other" }))?;
    let mut holder = cluster()?.connect(DATABASE)?;
    holder.batch_execute(
        "begin; insert into lockstep_internal.slack_channel (schema, team_id, channel)
         select 'public', s.team_id, '#general' from slack_integrations s limit 1",
    )?;
    let Scene { stage, webhook, .. } = &mut scene;
    let webhook = &*webhook;
    thread::scope(|scope| -> Result<()> {
        let first = scope.spawn(|| webhook.send_as("first", &push(1, "event-000001")));
        stage.wait_for(BLOCKED)?;
        let second = scope.spawn(|| webhook.send_as("second", &push(1, "event-000002")));
        // By now the second one is there as well, or will be.
        for event in 3..13 {
            let reply = webhook.send(&push(2, &format!("event-{event:06}")))?;
            ensure!(reply.status == 200, "{}", reply.text());
        }
        holder.batch_execute("rollback")?;
        for sent in [first, second] {
            let reply = sent.join().ok().context("a sender panicked")??;
            ensure!(reply.status == 200, "{}", reply.text());
        }
        Ok(())
    })?;
    let order = "select string_agg(split_part(e.requests[1], ' ', 2), ' ' order by d.id) from lockstep_internal.event e join lockstep_internal.slack_delivery d on d.event = e.id
                  where e.requests[1] ~ ' (first|second)$'";
    let row = scene.stage.client.query_one(order, &[])?;
    assert_eq!(row.get::<_, &str>(0), "first second");
    scene.stage.slack.lift_limits();
    scene.stage.client.batch_execute("delete from lockstep_internal.slack_delivery d using lockstep_internal.slack_channel c where c.id = d.channel and c.channel = '#other'")?;
    let messages = scene.settled(&general)?;
    let told: Vec<String> = messages.iter().map(event_of).collect::<Result<_>>()?;
    assert_eq!(told, ["event-000001", "event-000002"]);
    Ok(())
}
