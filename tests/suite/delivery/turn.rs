//! When a channel has its turn, and what else a claim returns.

use crate::database::cluster;
use crate::delivery::claim::{channels, claim, finish, lapse, numbers, publish, text};
use crate::surface::refusal::refused;
use anyhow::{Context, Result, ensure};
use postgres::Client;

/// Each channel once, however many there are, and wherever each session starts.
#[test]
fn thousands_of_channels_have_their_turn() -> Result<()> {
    let name = "delivery_thousands";
    let mut client = channels(name)?;
    let mut other = cluster()?.connect(name)?;
    client.batch_execute(
        "insert into lockstep_internal.slack_channel (schema, team_id, channel) select 'public', 'A', 'C' || n from generate_series(1, 2600) n;
         select publish(c.id, 1) from lockstep_internal.slack_channel c where c.team_id = 'A' order by c.id",
    )?;
    let mut all = Vec::new();
    let mut sizes = Vec::new();
    loop {
        let one = claim(&mut client, 130)?;
        let two = claim(&mut other, 170)?;
        sizes.extend([one.len(), two.len()]);
        if one.is_empty() && two.is_empty() {
            break;
        }
        all.extend(numbers(&one));
        all.extend(numbers(&two));
    }
    all.sort_unstable();
    let expected: Vec<i64> = (1..=2605).collect();
    assert_eq!(all, expected, "{sizes:?}");
    // Starting in the middle, a session finds the first and the last.
    lapse(&mut client)?;
    let held = claim(&mut client, 10)?;
    assert_eq!(held.len(), 10);
    client.batch_execute("update lockstep_internal.slack_channel set not_before = 'infinity'")?;
    for delivery in [2605, 1, 1300, 6] {
        client.batch_execute(&format!(
            "update lockstep_internal.slack_channel set not_before = '-infinity', leased_until = '-infinity', lease = 1
              where id = (select channel from lockstep_internal.slack_delivery where id = {delivery})"
        ))?;
        assert_eq!(numbers(&claim(&mut client, 10)?), [delivery]);
        client
            .batch_execute("update lockstep_internal.slack_channel set not_before = 'infinity'")?;
    }
    Ok(())
}

#[test]
fn the_wait_is_until_something_can_be_claimed() -> Result<()> {
    let mut client = channels("delivery_wait")?;
    let wait = |client: &mut Client, per_minute: i32| -> Result<Option<f64>> {
        let row = client.query_one("select lockstep_api.delivery_wait($1)", &[&per_minute])?;
        Ok(row.get(0))
    };
    let between = |found: Option<f64>, least: f64, most: f64| -> Result<()> {
        let found = found.context("nothing waits")?;
        ensure!(found > least && found <= most, "{found}");
        Ok(())
    };
    assert_eq!(wait(&mut client, 60)?, None);
    publish(&mut client, 1, 1)?;
    publish(&mut client, 6, 5)?;
    assert_eq!(wait(&mut client, 60)?, Some(0.0));
    client.batch_execute("update lockstep_internal.slack_channel set not_before = clock_timestamp() + make_interval(hours => id::integer)")?;
    between(wait(&mut client, 60)?, 3_000.0, 3_600.0)?;
    client.batch_execute("update lockstep_internal.slack_channel set not_before = 'infinity'")?;
    between(wait(&mut client, 60)?, 86_399.0, 86_400.0)?;
    // The pace of the workspace whose channel is due.
    client.batch_execute(
        "update lockstep_internal.slack_channel set not_before = '-infinity';
         insert into lockstep_internal.slack_team_pace values ('public', 'A', clock_timestamp() + interval '100 seconds'), ('public', 'B', clock_timestamp() + interval '290 seconds')",
    )?;
    between(wait(&mut client, 60)?, 10.0, 100.0 - 5.5)?;
    between(wait(&mut client, 6)?, 10.0, 100.0)?;
    client.batch_execute("update lockstep_internal.slack_channel set not_before = clock_timestamp() + interval '4 hours' where id = 1")?;
    between(wait(&mut client, 6)?, 100.0, 290.0)?;
    client.batch_execute("update lockstep_internal.slack_team_pace set free_at = '-infinity'; update lockstep_internal.slack_channel set not_before = '-infinity'")?;
    // Somebody holds both, for an hour.
    let claimed = claim(&mut client, 10)?;
    between(wait(&mut client, 60)?, 3_000.0, 3_600.0)?;
    finish(&mut client, &claimed[..1], r#""outcome": "delivered""#)?;
    finish(
        &mut client,
        &claimed[1..],
        r#""outcome": "retry", "wait": 100"#,
    )?;
    between(wait(&mut client, 60)?, 10.0, 100.0)?;
    client.batch_execute("update lockstep_internal.slack_channel set schema = 'other'")?;
    assert_eq!(wait(&mut client, 60)?, None);
    Ok(())
}

#[test]
fn settings_tell_what_becomes_of_events_about_one_subject() -> Result<()> {
    let mut client = channels("delivery_subject")?;
    client.batch_execute(
        "update integrations set inherit_from_id = 3 where id = 2; update integrations set inherit_from_id = 2 where id = 4;
         update integrations set inherit_from_id = 1 where id = 1;
         insert into lockstep_internal.slack_notification (schema, integration_id, updates) values ('public', 3, 'update'), ('public', 5, 'thread'), ('other', 1, 'update')",
    )?;
    let merge_request = r#"{"object_kind": "merge_request", "project": {"id": 7}, "object_attributes": {"id": 93, "iid": 1}, "x": "\u0000"}"#;
    let pipeline =
        r#"{"object_kind": "pipeline", "object_attributes": {"id": 31}, "project": {"id": 8}}"#;
    for (channel, integration, payload) in [
        (1, 1, merge_request),
        (2, 2, merge_request),
        (3, 3, pipeline),
        (
            4,
            4,
            r#"{"object_kind": "push", "object_attributes": {"id": 1}}"#,
        ),
        (5, 3, r#"{"object_kind": "pipeline"}"#),
        (6, 5, pipeline),
    ] {
        client.query(
            "select publish($1, $2, $3::text::json)",
            &[&i64::from(channel), &i64::from(integration), &payload],
        )?;
    }
    let subjects = "select string_agg(concat_ws(' ', delivery, updates, subject, ts, slack_channel), ', ' order by delivery)
                      from lockstep_api.claim_deliveries(10, '1 hour', 1000)";
    let first = "1 separate, 2 update merge_request:7:93, 3 update pipeline:8:31, 4 update, 5 update, 6 thread pipeline:8:31";
    assert_eq!(text(&mut client, subjects)?, first);
    client.batch_execute(
        "insert into lockstep_internal.slack_message (channel, subject, ts, slack_channel)
         values (2, 'merge_request:7:93', '1.1', 'C2'), (6, 'pipeline:8:31', '1.2', 'C6'), (6, 'pipeline:8:3', '1.3', 'C6'), (1, 'pipeline:8:31', '1.4', 'C1')",
    )?;
    lapse(&mut client)?;
    assert_eq!(
        text(&mut client, subjects)?,
        "1 separate, 2 update merge_request:7:93 1.1 C2, 3 update pipeline:8:31, 4 update, 5 update, 6 thread pipeline:8:31 1.2 C6"
    );
    Ok(())
}

#[test]
fn arguments_are_checked() -> Result<()> {
    let mut client = channels("delivery_arguments")?;
    publish(&mut client, 1, 1)?;
    for (call, message) in [
        ("claim_deliveries(0, '1 minute', 60)", "most must be"),
        ("claim_deliveries(10001, '1 minute', 60)", "most must be"),
        (
            "claim_deliveries(1, '0.9 seconds', 60)",
            "lease_for must be",
        ),
        ("claim_deliveries(1, '1 day', 60)", "lease_for must be"),
        ("claim_deliveries(1, '1 month', 60)", "lease_for must be"),
        ("claim_deliveries(1, '1 minute', 0)", "per_minute must be"),
        (
            "claim_deliveries(1, '1 minute', 100001)",
            "per_minute must be",
        ),
        ("delivery_wait(0)", "per_minute must be"),
    ] {
        refused(
            &mut client,
            &format!("select lockstep_api.{call}"),
            "22023",
            message,
        )?;
    }
    for call in [
        "claim_deliveries(null, '1 minute', 60)",
        "claim_deliveries(1, null, 60)",
        "claim_deliveries(1, '1 minute', null)",
        "claim_deliveries(1, '1 minute', 60, null)",
        "delivery_wait(null)",
        "delivery_wait(60, null)",
    ] {
        refused(
            &mut client,
            &format!("select lockstep_api.{call}"),
            "22004",
            "must not be null",
        )?;
    }
    refused(
        &mut client,
        "select lockstep_api.claim_deliveries(1, '1 minute', 60, 'nowhere')",
        "3F000",
        "does not exist",
    )?;
    client.batch_execute("create schema elsewhere")?;
    refused(
        &mut client,
        "select lockstep_api.claim_deliveries(1, '1 minute', 60, 'elsewhere')",
        "55000",
        "has no attached Slack integrations",
    )?;
    Ok(())
}
