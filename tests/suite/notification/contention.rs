//! Webhooks that arrive while somebody's transaction holds up the events of some projects.

use std::thread;

use anyhow::{Result, anyhow, ensure};
use lockstep_tests::gitlab::{Webhook, pipeline, push};
use lockstep_tests::http::Reply;
use serde_json::json;

use super::hook::{assert_problem, scene};
use crate::concurrency::PATIENCE;
use crate::database::cluster;
use crate::notification::app::{TOKEN, assert_taken};

/// A publisher with a long transaction delays dependent events, and no others.
#[test]
fn open_transaction_holds_up_no_other_event() -> Result<()> {
    let name = "notification_open";
    let (mut scene, general) = scene(name, &[])?;
    scene.tell(&push(1, "Boil the water"), 1)?;
    let mut other = cluster()?.connect(name)?;
    let mut open = other.transaction()?;
    open.execute(
        "select from lockstep.publish_event($1::text::jsonb)",
        &[&pipeline(1, 41, "failed").to_string()],
    )?;
    let webhook = Webhook::new(&scene.stage.sidecar.base, PATIENCE).with_token(TOKEN);
    let (held, taken) = thread::scope(|scope| -> Result<(Reply, Reply)> {
        let held = scope.spawn(|| webhook.send(&pipeline(1, 42, "success")));
        // Queued behind the other one.
        scene
            .stage
            .client
            .query_one("select pg_sleep(0.2)::text", &[])?;
        let taken = webhook.send(&push(1, "Brew the tea"))?;
        let held = held.join().map_err(|_| anyhow!("it broke off"))??;
        Ok((held, taken))
    })?;
    assert_problem(&held, 503)?;
    assert_taken(&taken, 1)?;
    open.rollback()?;
    assert_taken(&webhook.send(&pipeline(1, 42, "failed"))?, 1)?;
    assert_eq!(scene.settled(&general)?.len(), 3);
    Ok(())
}

/// While someone's transaction delays a few projects, the others are notified as usual.
#[test]
fn trouble_of_some_projects_is_theirs_alone() -> Result<()> {
    let name = "notification_aside";
    let (mut scene, _) = scene(name, &[])?;
    scene.stage.client.batch_execute(
        "insert into projects (id, name, path, namespace_id) select n, 'p' || n, 'p' || n, 1 from generate_series(1001, 1040) n",
    )?;
    for project in [1001, 1002, 1003, 1004, 1005] {
        scene.connect("project_id", project)?;
        scene.set("project_id", project, &json!({ "channels": ["#general"] }))?;
    }
    let mut other = cluster()?.connect(name)?;
    let mut open = other.transaction()?;
    for project in [1001, 1002, 1003, 1004, 1005] {
        open.execute(
            "select from lockstep.publish_event($1::text::jsonb)",
            &[&pipeline(project, 41, "failed").to_string()],
        )?;
    }
    let webhook = Webhook::new(&scene.stage.sidecar.base, PATIENCE).with_token(TOKEN);
    let held = thread::scope(|scope| -> Result<Vec<u16>> {
        let held: Vec<_> = (1001..=1005)
            .map(|project| {
                let webhook = &webhook;
                scope.spawn(move || webhook.send(&pipeline(project, 42, "success")))
            })
            .collect();
        // Half of them are in the same queue.
        for project in 1006..=1040 {
            let reply = webhook.send(&push(project, "Boil the water"))?;
            ensure!(reply.status == 200, "{project}: {}", reply.text());
        }
        ensure!(
            held.iter().all(|held| !held.is_finished()),
            "they came last"
        );
        let statuses = held.into_iter().map(|held| {
            let reply = held.join().map_err(|_| anyhow!("it broke off"))??;
            Ok(reply.status)
        });
        statuses.collect()
    })?;
    // None of them was accepted.
    assert_eq!(held, [503; 5]);
    open.rollback()?;
    for project in 1001..=1005 {
        assert_taken(&webhook.send(&pipeline(project, 42, "failed"))?, 1)?;
    }
    Ok(())
}
