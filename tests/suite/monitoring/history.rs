//! What was recorded for plots: each five minutes once, however many record, and what nobody recorded in time as well.

use anyhow::{Context, Result, ensure};
use postgres::Client;
use serde_json::{Value, json};

use super::database::{attached, json_of};
use crate::service_account::number;

fn history(client: &mut Client) -> Result<Value> {
    json_of(client, "select lockstep.status_history()::text")
}

const RECORD: &str = "do $$begin perform lockstep_api.record_history(); end$$";

#[test]
fn messages_are_recorded_by_five_minutes() -> Result<()> {
    let mut client = attached("history_messages")?;
    client.batch_execute(
        "create table at as select date_bin('5 minutes', clock_timestamp(), 'epoch') - interval '2 hours' as since;
         insert into lockstep_internal.slack_delivery (schema, event, integration_id, slack_integration_id, channel, lane, status, created_at, done_at)
           select 'public', g, 1, 1, g, g, 'delivered', since - make_interval(secs => g), since from generate_series(1, 101) g, at;
         insert into lockstep_internal.slack_delivery (schema, event, integration_id, slack_integration_id, channel, lane, status, created_at, done_at)
           select 'public', 1, 1, 1, 1, 1, 'failed', since, since + interval '299 seconds' from at
           union all select 'other', 1, 1, 1, 1, 1, 'failed', since, since from at
           -- The next five minutes.
           union all select 'public', 1, 1, 1, 1, 1, 'failed', since, since + interval '300 seconds' from at;
         insert into lockstep_internal.slack_delivery (schema, event, integration_id, slack_integration_id, channel, lane, created_at)
           values ('public', 1, 1, 1, 1, 1, now() - interval '1000 seconds')",
    )?;
    assert_eq!(history(&mut client)?["deliveries"], json!([]));
    client.batch_execute(RECORD)?;
    // An hour at a time, the oldest first.
    let recorded = "select count(*) from lockstep_internal.delivery_history";
    assert_eq!(number(&mut client, recorded)?, 12);
    let oldest = "select count(*) from lockstep_internal.delivery_history where since < now() - interval '22 hours'";
    assert_eq!(number(&mut client, oldest)?, 12);
    for _ in 1..24 {
        client.batch_execute(RECORD)?;
    }
    let recorded = history(&mut client)?["deliveries"].clone();
    let recorded = recorded.as_array().context("none")?;
    // The day before: it was not recorded, and its deliveries are still there.
    ensure!((286..=288).contains(&recorded.len()), "{}", recorded.len());
    let busy: Vec<&Value> = recorded
        .iter()
        .filter(|it| it["delivered"] != 0 || it["failed"] != 0)
        .collect();
    ensure!(busy.len() == 2, "{busy:?}");
    assert_eq!(
        (&busy[0]["delivered"], &busy[0]["failed"]),
        (&json!(101), &json!(1))
    );
    assert_eq!(
        (&busy[0]["p50_seconds"], &busy[0]["p99_seconds"]),
        (&json!(51), &json!(100))
    );
    assert_eq!(
        (&busy[1]["failed"], &busy[1]["p50_seconds"]),
        (&json!(1), &json!(null))
    );
    let last = recorded.last().context("none")?;
    let oldest = last["oldest_seconds"].as_f64().context("no age")?;
    ensure!((1_000.0..2_000.0).contains(&oldest), "{last}");
    assert_eq!(busy[0]["oldest_seconds"], json!(null));
    // Again, or by another sidecar, changes nothing that is recorded.
    let counts = "select sum(delivered)::bigint from lockstep_internal.delivery_history";
    client
        .batch_execute("delete from lockstep_internal.slack_delivery where status <> 'waiting'")?;
    client.batch_execute(RECORD)?;
    assert_eq!(number(&mut client, counts)?, 101);
    Ok(())
}

/// What it recorded while it was ahead is of no time that was, and must not keep the present from being recorded.
#[test]
fn a_clock_that_was_ahead_stops_nothing() -> Result<()> {
    let mut client = attached("history_clock")?;
    client.batch_execute(
        "insert into lockstep_internal.delivery_history (schema, since, delivered, failed)
           select s.schema, date_bin('5 minutes', clock_timestamp(), 'epoch') + g * interval '5 minutes', 0, 0
             from (values ('public'), ('other')) s (schema), generate_series(-6, 24) g where g = -6 or g > 1",
    )?;
    let shown = |client: &mut Client| -> Result<usize> {
        let all = history(client)?["deliveries"].clone();
        Ok(all.as_array().context("none")?.len())
    };
    // Nobody has recorded anything yet since it was set right.
    assert_eq!(shown(&mut client)?, 1);
    client.batch_execute(RECORD)?;
    // One more if five minutes began in between.
    let now = shown(&mut client)?;
    ensure!((6..=7).contains(&now), "{now}");
    let ahead = "select count(*) from lockstep_internal.delivery_history where since > clock_timestamp() and schema = ";
    assert_eq!(number(&mut client, &format!("{ahead}'public'"))?, 0);
    ensure!(number(&mut client, &format!("{ahead}'other'"))? > 20);
    Ok(())
}

#[test]
fn backfills_are_recorded_while_they_run() -> Result<()> {
    let mut client = attached("history_backfills")?;
    client.batch_execute(
        "insert into projects (id, name, path, namespace_id) values (1, 'One', 'one', 1)",
    )?;
    client.batch_execute("call lockstep.backfill('cache_columns', 'projects')")?;
    client.batch_execute(RECORD)?;
    assert_eq!(history(&mut client)?["backfills"], json!([]));
    client.batch_execute("update lockstep_internal.backfill_run set status = 'running'")?;
    for _ in 0..2 {
        client.batch_execute(RECORD)?;
    }
    let points = history(&mut client)?["backfills"][0]["points"].clone();
    let points = points.as_array().context("no points")?;
    // Two of the same minute are one, unless a minute began in between.
    ensure!((1..3).contains(&points.len()), "{points:?}");
    assert_eq!(points[0]["scanned"], json!(1));
    // As many as a plot can show.
    client.batch_execute(
        "insert into lockstep_internal.backfill_history (run, at, scanned)
           select 1, now() - make_interval(secs => 30 * g), 1 from generate_series(3, 1500) g",
    )?;
    let points = history(&mut client)?["backfills"][0]["points"].clone();
    let shown = points.as_array().map_or(0, Vec::len);
    ensure!((200..=300).contains(&shown), "{shown}");
    Ok(())
}

#[test]
fn the_worst_drift_of_a_day_is_kept() -> Result<()> {
    let mut client = attached("history_drift")?;
    client.batch_execute("insert into projects (id, name, path, namespace_id) select g, g, g, 1 from generate_series(1, 3) g")?;
    let wiki = "public.projects.has_external_wiki";
    let days = |client: &mut Client| -> Result<Value> {
        let drift = history(client)?["drift"].clone();
        let all = drift.as_array().context("none")?;
        let found = all
            .iter()
            .find(|it| it["what"] == wiki)
            .context("no wiki")?;
        let days = found["days"].as_array().context("no days")?.iter();
        Ok(days.map(|it| it["rows"].clone()).collect())
    };
    let count = "do $$begin perform lockstep.drift_report(); end$$";
    client.batch_execute(count)?;
    assert_eq!(days(&mut client)?, json!([0]));
    client.batch_execute(
        "set session_replication_role = replica; update projects set has_external_wiki = true; reset session_replication_role",
    )?;
    client.batch_execute(count)?;
    client.batch_execute("call lockstep.backfill('cache_columns', 'projects')")?;
    // It was corrected on the same day, or on the day before: the worst is shown.
    client.batch_execute(count)?;
    let now = days(&mut client)?;
    ensure!(now == json!([3]) || now == json!([3, 0]), "{now}");
    client.batch_execute(
        "update lockstep_internal.drift_history set day = day - 7, checked_at = checked_at - interval '7 days'",
    )?;
    client.batch_execute(count)?;
    assert_eq!(
        days(&mut client)?
            .as_array()
            .and_then(|it| it.last().cloned()),
        Some(json!(0))
    );
    // It is kept as long as a setting says.
    client.batch_execute(
        "do $$begin perform lockstep.set_retention('drift_history', '2 days'), lockstep.sweep(); end$$",
    )?;
    assert_eq!(days(&mut client)?, json!([0]));
    Ok(())
}
