//! What is visible of deliveries, and what is swept.

use anyhow::{Context, Result, ensure};

use crate::database::cluster;
use crate::delivery::claim::{channels, claim, finish, publish, text};
use crate::service_account::number;
use crate::surface::refusal::refused;

#[test]
fn channels_are_shown_with_what_waits_for_them() -> Result<()> {
    let mut client = channels("delivery_view")?;
    let view = "select string_agg(concat_ws(' ', team_id, channel, waiting, oldest is not null, delivered_last_hour, failed_last_hour,
                                            held_until is not null, leased_until is not null, last_error, needed), ', ' order by channel)
                  from lockstep.slack_delivery_status";
    assert_eq!(text(&mut client, view)?, "");
    for (channel, integration) in [(1, 1), (1, 1), (2, 1), (3, 2), (6, 5), (6, 6)] {
        publish(&mut client, channel, integration)?;
    }
    let claimed = claim(&mut client, 10)?;
    finish(&mut client, &claimed[..1], r#""outcome": "delivered""#)?;
    finish(
        &mut client,
        &claimed[1..2],
        r#""outcome": "failed", "error": "missing_scope", "needed": "chat:write""#,
    )?;
    finish(
        &mut client,
        &claimed[2..3],
        r#""outcome": "retry", "error": "fatal_error", "wait": 1000"#,
    )?;
    client.batch_execute(
        "update lockstep_internal.slack_channel set not_before = '-infinity' where id <> 3",
    )?;
    assert_eq!(
        text(&mut client, view)?,
        "A #1 1 t 1 0 f f, A #2 0 f 0 1 f f missing_scope chat:write, A #3 1 t 0 0 t f fatal_error, B #6 2 t 0 0 f t"
    );
    let oldest = "select count(*) from lockstep.slack_delivery_status s join lockstep_internal.slack_delivery d on d.created_at = s.oldest where d.id in (2, 4, 5)";
    assert_eq!(number(&mut client, oldest)?, 3);
    // Results older than an hour are no longer shown, but a channel in trouble is.
    client.batch_execute("update lockstep_internal.slack_delivery set done_at = done_at - interval '61 minutes' where done_at is not null")?;
    assert_eq!(
        text(&mut client, view)?,
        "A #1 1 t 0 0 f f, A #2 0 f 0 0 f f missing_scope chat:write, A #3 1 t 0 0 t f fatal_error, B #6 2 t 0 0 f t"
    );
    Ok(())
}

#[test]
fn the_report_has_what_a_status_page_shows() -> Result<()> {
    let name = "delivery_report";
    let mut client = channels(name)?;
    let part = |path: &str| format!("select (lockstep.status_report() #>> '{path}')");
    for (path, empty) in [
        ("{queue}", "[]"),
        ("{deliveries,waiting}", "0"),
        ("{deliveries,channels}", "[]"),
        ("{failures}", "[]"),
        ("{backfills}", "[]"),
        ("{features}", "[]"),
    ] {
        let found = text(&mut client, &part(path))?;
        let is_there = found == empty || ["{queue}", "{features}"].contains(&path);
        ensure!(is_there, "{path}: {found}");
    }
    for (channel, integration) in [(1, 1), (1, 1), (2, 1), (3, 2), (6, 5)] {
        publish(&mut client, channel, integration)?;
    }
    let claimed = claim(&mut client, 10)?;
    finish(
        &mut client,
        &claimed[..2],
        r#""outcome": "failed", "error": "is_archived""#,
    )?;
    finish(&mut client, &claimed[2..3], r#""outcome": "delivered""#)?;
    finish(
        &mut client,
        &claimed[3..],
        r#""outcome": "retry", "wait": 1000"#,
    )?;
    client.batch_execute(
        "select lockstep.enqueue_job('A'); select lockstep.set_feature('f', true)",
    )?;
    client.batch_execute("call lockstep.backfill('cache_columns', 'projects')")?;
    for (path, expected) in [
        ("{queue}", "\"worker\": \"A\""),
        ("{deliveries,waiting}", "2"),
        ("{deliveries,channels_waiting}", "2"),
        ("{deliveries,channels_held}", "1"),
        ("{deliveries,delivered_last_hour}", "1"),
        ("{deliveries,failed_last_hour}", "2"),
        ("{deliveries,channels,0,channel}", "#1"),
        ("{deliveries,channels,1,channel}", "#6"),
        ("{failures,0,error}", "is_archived"),
        ("{failures,0,deliveries}", "2"),
        ("{failures,0,channels}", "2"),
        ("{backfills,0,job}", "cache_columns"),
        ("{backfills,0,status}", "finished"),
        ("{features}", "\"name\": \"f\""),
        ("{cache_columns,0,column}", "has_external_issue_tracker"),
        ("{cache_columns,0,state}", "active"),
    ] {
        let found = text(&mut client, &part(path))?;
        ensure!(found.contains(expected), "{path}: {found}");
    }
    // A member of the sidecar's role sees everybody's runs.
    client.batch_execute(&format!(
        "create role {name}_login login in role lockstep_sidecar"
    ))?;
    let mut config = cluster()?.config(name);
    let mut sidecar = config
        .user(&format!("{name}_login"))
        .connect(postgres::NoTls)
        .context("as the sidecar")?;
    assert_eq!(
        text(&mut sidecar, &part("{backfills,0,job}"))?,
        "cache_columns"
    );
    refused(
        &mut client,
        "select lockstep.status_report(null)",
        "22004",
        "must not be null",
    )?;
    Ok(())
}

#[test]
fn what_is_done_is_swept_after_a_day() -> Result<()> {
    let mut client = channels("delivery_sweep")?;
    // Events 1 to 6; the last has no deliveries.
    for _ in 0..6 {
        publish(&mut client, 1, 1)?;
    }
    client.batch_execute(
        "delete from lockstep_internal.slack_delivery where id = 6;
         update lockstep_internal.slack_delivery set status = 'delivered', done_at = clock_timestamp() - interval '25 hours' where id = 1;
         update lockstep_internal.slack_delivery set status = 'failed', done_at = clock_timestamp() - interval '25 hours' where id = 2;
         update lockstep_internal.slack_delivery set status = 'failed', done_at = clock_timestamp() - interval '23 hours' where id = 3;
         update lockstep_internal.slack_delivery set created_at = '2020-01-01' where id = 4;
         update lockstep_internal.event set received_at = clock_timestamp() - interval '25 hours' where id <> 2;
         insert into lockstep_internal.slack_message (channel, subject, ts, slack_channel, at)
         values (1, 'old', '1', 'C', clock_timestamp() - interval '15 days'), (1, 'new', '1', 'C', clock_timestamp() - interval '13 days')",
    )?;
    // Deliveries 1 and 2, events 1 and 6, and a message; event 2 is too new, the others have deliveries.
    assert_eq!(number(&mut client, "select lockstep.sweep_slack()")?, 5);
    assert_eq!(number(&mut client, "select lockstep.sweep_slack()")?, 0);
    let left = "select concat_ws(' ', (select string_agg(id::text, ',' order by id) from lockstep_internal.slack_delivery),
                                 (select string_agg(id::text, ',' order by id) from lockstep_internal.event), (select string_agg(subject, ',') from lockstep_internal.slack_message))";
    assert_eq!(text(&mut client, left)?, "3,4,5 2,3,4,5 new");
    // More than a batch.
    client.batch_execute(
        "insert into lockstep_internal.event (schema, key, payload, received_at) select 'public', 'k' || n, '{}', clock_timestamp() - interval '2 days' from generate_series(1, 25000) n;
         insert into lockstep_internal.slack_delivery (schema, event, integration_id, slack_integration_id, channel, lane, status, done_at)
           select 'public', e.id, 1, 1, 1, 1, 'delivered', clock_timestamp() - interval '2 days' from lockstep_internal.event e where e.key like 'k%'",
    )?;
    // One batch at a time.
    for left in [20_000, 20_000, 10_000, 0] {
        assert_eq!(number(&mut client, "select lockstep.sweep_slack()")?, left);
    }
    assert_eq!(text(&mut client, left)?, "3,4,5 2,3,4,5 new");
    Ok(())
}
