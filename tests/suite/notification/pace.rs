//! A channel that has to wait, or whose result the database refuses, holds up no other.

use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use lockstep_tests::gitlab::push;
use lockstep_tests::slack::Fault;
use serde_json::json;

use super::delivery::POST;
use crate::concurrency::PATIENCE;
use crate::notification::app::Scene;

#[test]
fn channel_that_must_wait_holds_up_no_other() -> Result<()> {
    let mut scene = Scene::new("notification_wait")?;
    let slow = scene.channel("slow");
    let quick = scene.channel("quick");
    scene.set("project_id", 1, &json!({ "channels": ["#slow", "#quick"] }))?;
    scene
        .stage
        .slack
        .fail_in(POST, "#slow", Fault::RateLimited(3600), Some(1));
    for _ in 0..3 {
        scene.tell(&push(1, "Boil the water"), 2)?;
    }
    ensure!(
        scene.stage.slack.wait_for_messages_in(&quick, 3, PATIENCE),
        "{}",
        scene.stage.sidecar.log()
    );
    assert_eq!(scene.calls_for("#slow"), 1);
    assert_eq!(scene.stage.slack.messages(&slow), []);
    let waiting = "select count(*) = 3 and bool_and(d.status = 'waiting' and c.not_before > clock_timestamp() + interval '50 minutes')
                     from lockstep_internal.slack_delivery d join lockstep_internal.slack_channel c on c.id = d.channel where c.channel = '#slow'";
    ensure!(
        scene
            .stage
            .client
            .query_one(waiting, &[])?
            .get::<_, bool>(0),
        "it does not wait: {:?}",
        scene.deliveries("#slow")?
    );
    // The hour is over; nobody is woken up for it.
    scene.stage.client.batch_execute(
        "update lockstep_internal.slack_channel set not_before = clock_timestamp(); notify lockstep_delivery",
    )?;
    let messages = scene.settled(&slow)?;
    assert_eq!(messages.len(), 3);
    Ok(())
}

/// If the database rejects one result, the others are not affected.
#[test]
fn result_that_is_refused_is_in_nobodys_way() -> Result<()> {
    let mut scene = Scene::new("notification_refused")?;
    let general = scene.channel("general");
    scene.set(
        "project_id",
        1,
        &json!({ "channels": ["#none", "#general"] }),
    )?;
    scene.stage.client.batch_execute(
        "alter table lockstep_internal.slack_channel_trouble add constraint none check (channel <> '#none')",
    )?;
    for number in 1..=2_usize {
        scene.tell(&push(1, &format!("Boil the water {number}")), 2)?;
        let begun = Instant::now();
        while scene.stage.slack.messages(&general).len() < number {
            ensure!(begun.elapsed() < PATIENCE, "nothing is sent any more");
            sleep(Duration::from_millis(50));
        }
    }
    scene.stage.wait_for(
        "select count(*) = 2 from lockstep_internal.slack_delivery where status = 'delivered'",
    )?;
    Ok(())
}
