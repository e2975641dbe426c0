//! After all of it: what was acknowledged is there, once, on every server.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Write, stderr};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use lockstep_tests::patroni::Patroni;
use lockstep_tests::slack::FakeSlack;
use postgres::Client;

use crate::backfill::{progress, times, wait_until};
use crate::concurrency::assert_in_lockstep;
use crate::notification::restart::event_of;
use crate::patroni::load::{Load, PATIENCE, title};
use crate::patroni::scene::{DATABASE, ROWS, Scene};
use crate::service_account::number;

pub(crate) fn assert_kept(patroni: &Patroni, scene: &mut Scene, load: &Load) -> Result<()> {
    let mut client = patroni.connect(DATABASE)?;
    settle(&mut client)?;
    assert_in_lockstep(&mut client)?;
    assert_written(&mut client, load)?;
    assert_done(&mut client, load)?;
    assert_told(&mut client, &scene.slack, &scene.channels, load)?;
    assert_counted(&mut client, scene.run)?;
    assert_everywhere(patroni, &mut client)?;
    writeln!(
        stderr(),
        "patroni: {} writes, {} jobs of a sidecar, {} of a runner in SQL and {} events were acknowledged; none is lost",
        load.written.all()?.len(),
        load.enqueued.all()?.len(),
        load.completed.all()?.len(),
        load.published.all()?.len(),
    )?;
    Ok(())
}

/// Waits until the sidecars have done everything.
fn settle(client: &mut Client) -> Result<()> {
    let left = "select (select count(*) from lockstep_internal.job where worker <> 'Counter')
                       + (select count(*) from lockstep_internal.slack_delivery where status = 'waiting')";
    let begun = Instant::now();
    while number(client, left)? > 0 {
        // A job that failed with its connection would be retried after a quarter of a minute.
        client.batch_execute(
            "update lockstep_internal.job set run_at = now() where status = 'scheduled' and worker <> 'Counter'",
        )?;
        if begun.elapsed() > PATIENCE {
            let left = "select string_agg(j::text, e'\\n') from lockstep_internal.job j";
            let left: Option<String> = client.query_one(left, &[])?.get(0);
            bail!("jobs or messages are left: {left:?}");
        }
        sleep(Duration::from_millis(100));
    }
    Ok(())
}

fn assert_written(client: &mut Client, load: &Load) -> Result<()> {
    let rows = client.query("select writer, number from acknowledged", &[])?;
    let there: BTreeSet<(i32, i64)> = rows.iter().map(|row| (row.get(0), row.get(1))).collect();
    ensure!(there.len() == rows.len(), "a write is there twice");
    let written = load.written.all()?;
    let lost: Vec<_> = written.difference(&there).collect();
    ensure!(lost.is_empty(), "lost writes: {lost:?}");
    Ok(())
}

fn numbers(client: &mut Client, query: &str) -> Result<BTreeSet<i64>> {
    let rows = client.query(query, &[])?;
    Ok(rows.iter().map(|row| row.get(0)).collect())
}

/// A sidecar may do a job again only if its connection failed, or its lease ended, before it could say that it was done.
fn assert_done(client: &mut Client, load: &Load) -> Result<()> {
    let done = numbers(client, "select job from done")?;
    let enqueued = load.enqueued.all()?;
    let lost: Vec<_> = enqueued.difference(&done).collect();
    ensure!(lost.is_empty(), "lost jobs: {lost:?}");
    let twice = numbers(
        client,
        "select job from done group by job having count(*) > 1",
    )?;
    let again = numbers(client, "select job from again")?;
    let unexplained: Vec<_> = twice.difference(&again).collect();
    ensure!(
        unexplained.is_empty(),
        "done twice without a reason: {unexplained:?}"
    );
    Ok(())
}

/// Each event in its channel, in order, and again only where nobody could know that Slack had taken it.
fn assert_told(
    client: &mut Client,
    slack: &FakeSlack,
    channels: &[String],
    load: &Load,
) -> Result<()> {
    let query = "select e.payload -> 'commits' -> 0 ->> 'title', d.uncertain, d.status
                   from lockstep_internal.slack_delivery d join lockstep_internal.event e on e.id = d.event";
    let rows = client.query(query, &[])?;
    let mut uncertain: BTreeMap<String, usize> = BTreeMap::new();
    for row in &rows {
        let (event, doubts, status): (String, i32, String) = (row.get(0), row.get(1), row.get(2));
        ensure!(status == "delivered", "{event} is {status}");
        let known = uncertain.insert(event.clone(), usize::try_from(doubts)?);
        ensure!(known.is_none(), "{event} is there twice");
    }
    let mut told: BTreeSet<String> = BTreeSet::new();
    for channel in channels {
        let mut of_channel: BTreeMap<String, usize> = BTreeMap::new();
        let mut last = String::new();
        for message in slack.messages(channel) {
            let event = event_of(&message)?;
            let count = of_channel.entry(event.clone()).or_default();
            *count += 1;
            ensure!(
                *count > 1 || event > last,
                "{event} comes after {last} in {channel}"
            );
            last = last.max(event);
        }
        for (event, count) in &of_channel {
            let doubts = uncertain.get(event).context("a message without an event")?;
            ensure!(
                *count <= doubts + 1,
                "{event} came {count} times, and {doubts} times in doubt"
            );
        }
        told.extend(of_channel.into_keys());
    }
    for (project, number) in load.published.all()? {
        let event = title(project, number);
        ensure!(told.contains(&event), "{event} is lost");
    }
    Ok(())
}

/// Each row once, whoever did it.
fn assert_counted(client: &mut Client, run: i64) -> Result<()> {
    let settings =
        r#"{"pause_ms": 0, "sub_batch_size": 1000, "max_sub_batch_size": 10000, "target_ms": 100}"#;
    client.batch_execute(&format!(
        "select lockstep.alter_backfill({run}, '{settings}')"
    ))?;
    wait_until(client, run, "status <> 'running'")?;
    let status = progress(client, run, "array[status, scanned::text, set_aside::text]")?;
    ensure!(status == format!("{{finished,{ROWS},0}}"), "{status}");
    assert_eq!(times(client, "counted")?, BTreeMap::from([(1, ROWS)]));
    Ok(())
}

/// The replicas have the same, the one that was lost among them.
fn assert_everywhere(patroni: &Patroni, leader: &mut Client) -> Result<()> {
    patroni.wait_until_whole()?;
    let row = leader.query_one("select pg_current_wal_insert_lsn()::text", &[])?;
    let goal: String = row.get(0);
    let all = "select concat_ws(' ', (select count(*) from acknowledged), (select count(*) from done), (select sum(n) from counted))";
    let expected: String = leader.query_one(all, &[])?.get(0);
    for node in 0..patroni.nodes().len() {
        let mut client = patroni.connect_to(node, DATABASE)?;
        let reached =
            "select not pg_is_in_recovery() or pg_last_wal_replay_lsn() >= $1::text::pg_lsn";
        let begun = Instant::now();
        while !client.query_one(reached, &[&goal])?.get::<_, bool>(0) {
            ensure!(
                begun.elapsed() < PATIENCE,
                "a replica does not reach {goal}"
            );
            sleep(Duration::from_millis(10));
        }
        let found: String = client.query_one(all, &[])?.get(0);
        ensure!(found == expected, "{found}, the leader has {expected}");
    }
    Ok(())
}
