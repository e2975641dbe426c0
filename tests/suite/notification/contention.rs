//! Webhooks that arrive while somebody's transaction holds up the events of some projects.

use std::ops::RangeInclusive;
use std::thread;
use std::time::Duration;

use anyhow::{Result, anyhow, ensure};
use lockstep_tests::gitlab::{Webhook, pipeline, push};
use lockstep_tests::http::Reply;
use serde_json::json;

use super::hook::{assert_problem, scene};
use crate::concurrency::PATIENCE;
use crate::database::cluster;
use crate::notification::app::{TOKEN, assert_taken};

/// The sessions that wait for another one's transaction.
const WAITING: &str =
    "pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'";

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
        while scene.count(WAITING)? == 0 && !held.is_finished() {
            thread::sleep(Duration::from_millis(5));
        }
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

/// While someone's transaction delays 5 of 200 projects, the others are notified as usual.
#[test]
fn trouble_of_some_projects_is_theirs_alone() -> Result<()> {
    const LOCKED: RangeInclusive<i64> = 1001..=1005;
    const SENDERS: i64 = 3;
    let name = "notification_aside";
    let (mut scene, _) = scene(name, &[])?;
    scene.stage.client.batch_execute(
        "insert into projects (id, name, path, namespace_id) select n, 'p' || n, 'p' || n, 1 from generate_series(1001, 1200) n",
    )?;
    let mut other = cluster()?.connect(name)?;
    let mut open = other.transaction()?;
    for project in LOCKED {
        scene.connect("project_id", project)?;
        scene.set("project_id", project, &json!({ "channels": ["#general"] }))?;
        open.execute(
            "select from lockstep.publish_event($1::text::jsonb)",
            &[&pipeline(project, 41, "failed").to_string()],
        )?;
    }
    let webhook = Webhook::new(&scene.stage.sidecar.base, PATIENCE).with_token(TOKEN);
    thread::scope(|scope| -> Result<()> {
        let held = LOCKED.map(|project| {
            let webhook = &webhook;
            // GitLab does not send again; here that is how they wait, however long the others take.
            scope.spawn(move || -> Result<Reply> {
                loop {
                    let reply = webhook.send(&pipeline(project, 42, "failed"))?;
                    if reply.status != 503 {
                        return Ok(reply);
                    }
                }
            })
        });
        let held: Vec<_> = held.collect();
        // They share the queues with those, and transactions with each other.
        let others = (0..SENDERS).map(|sender| {
            let webhook = &webhook;
            scope.spawn(move || -> Result<()> {
                for project in (1006..=1200).filter(|project| project % SENDERS == sender) {
                    let reply = webhook.send(&push(project, "Boil the water"))?;
                    ensure!(reply.status == 200, "{project}: {}", reply.text());
                }
                Ok(())
            })
        });
        let broke_off = |_| anyhow!("it broke off");
        let others: Vec<_> = others.collect();
        let others: Vec<Result<()>> = others
            .into_iter()
            .map(|other| other.join().map_err(broke_off)?)
            .collect();
        let has_waited = held.iter().all(|held| !held.is_finished());
        open.rollback()?;
        others.into_iter().collect::<Result<()>>()?;
        ensure!(has_waited, "one of them was accepted");
        for it in held {
            assert_taken(&it.join().map_err(broke_off)??, 1)?;
        }
        Ok(())
    })
}
