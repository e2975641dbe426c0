//! The effects of failures: troubles of channels, and retries.

use crate::concurrency;
use crate::database::cluster;
use crate::delivery::claim::{channels, claim, finish, lapse, later, numbers, publish, text};
use crate::service_account::number;
use crate::surface::refusal::refused;
use anyhow::{Result, ensure};
use postgres::Client;

#[test]
fn troubles_of_a_channel_end_when_it_is_reached() -> Result<()> {
    let mut client = channels("delivery_trouble")?;
    client.batch_execute(
        r##"select lockstep.set_slack_notifications(1, '{"channels": "#1, #2, #3"}')"##,
    )?;
    for _ in 0..5 {
        publish(&mut client, 1, 1)?;
        publish(&mut client, 2, 1)?;
        publish(&mut client, 3, 2)?;
    }
    let mut step = |said: [&str; 3]| -> Result<String> {
        let claimed = claim(&mut client, 10)?;
        assert_eq!(claimed.len(), 3);
        for (claim, said) in claimed.iter().zip(said) {
            assert_eq!(finish(&mut client, &[*claim], said)?, 1);
        }
        // In channel order again.
        later(&mut client)?;
        text(
            &mut client,
            "select string_agg(concat_ws(' ', t.channel, t.error, t.needed, t.failures, t.since = t.last_at), ', ')
               from lockstep.slack_channel_troubles('A', null, 1) t",
        )
    };
    let (bad, worse, good) = (
        r#""outcome": "failed", "error": "not_in_channel""#,
        r#""outcome": "failed", "error": "missing_scope", "needed": "chat:write""#,
        r#""outcome": "delivered""#,
    );
    // Nothing is known about a channel while deliveries are only being retried.
    assert_eq!(
        step([r#""outcome": "release""#, r#""outcome": "uncertain""#, bad])?,
        ""
    );
    assert!(step([bad, bad, bad])?.starts_with("#1 not_in_channel 1 "));
    assert_eq!(
        step([worse, r#""outcome": "retry", "error": "fatal_error""#, good])?,
        "#1 missing_scope chat:write 2 f, #2 not_in_channel 1 t"
    );
    assert_eq!(step([good, bad, good])?, "#2 not_in_channel 2 f");
    assert_eq!(
        text(
            &mut client,
            "select string_agg(integration_id || channel, ' ') from lockstep_internal.slack_channel_trouble"
        )?,
        "1#2"
    );
    // What is no longer notified is no trouble, though its row is swept later.
    let has_trouble =
        "select has_trouble::text from lockstep_api.list_slack_integrations('A', null, id => 1)";
    assert_eq!(text(&mut client, has_trouble)?, "true");
    client.batch_execute(
        r##"begin; update lockstep_internal.slack_notification set channels = '{#1}' where integration_id = 1"##,
    )?;
    assert_eq!(text(&mut client, has_trouble)?, "false");
    let listed = "select (lockstep.status_report() -> 'troubles')::text";
    assert_eq!(text(&mut client, listed)?, "[]");
    client.batch_execute("rollback")?;
    ensure!(text(&mut client, listed)?.contains(r##""names": ["#2"]"##));
    for (of, sqlstate, message) in [
        ("'B', null, 1", "P0002", "there is no integration 1"),
        ("'A', null, 99", "P0002", "there is no integration 99"),
        ("null, '', 1", "22023", "must be given"),
        ("'A', null, null", "22004", "must not be null"),
    ] {
        let call = format!("select lockstep.slack_channel_troubles({of})");
        refused(&mut client, &call, sqlstate, message)?;
    }
    Ok(())
}

/// Direct messages have no channel that could be in trouble, and what cannot be read is not nothing.
#[test]
fn a_report_leaves_no_failure_out() -> Result<()> {
    let mut client = channels("delivery_unseen_failures")?;
    client.batch_execute(
        r##"select lockstep.set_slack_notifications(1, '{"channels": "#1"}');
            insert into lockstep_internal.slack_channel (schema, team_id, channel) values ('public', 'A', 'U1')"##,
    )?;
    publish(&mut client, 1, 1)?;
    let of_user = number(
        &mut client,
        "select id from lockstep_internal.slack_channel where channel = 'U1'",
    )?;
    publish(&mut client, of_user, 1)?;
    let claimed = claim(&mut client, 10)?;
    assert_eq!(claimed.len(), 2);
    let archived = r#""outcome": "failed", "error": "is_archived""#;
    let no_user = r#""outcome": "failed", "error": "user_not_found""#;
    finish(&mut client, &claimed[..1], archived)?;
    finish(&mut client, &claimed[1..], no_user)?;
    let of_troubles = "select (lockstep.status_report() #> '{troubles,0,names}')::text || jsonb_array_length(lockstep.status_report() -> 'troubles')";
    assert_eq!(text(&mut client, of_troubles)?, r##"["#1"]1"##);
    let of_failures = "select string_agg(concat_ws(' ', f ->> 'error', f ->> 'deliveries', f ->> 'in_no_trouble'), ', ' order by f ->> 'error')
                         from jsonb_array_elements(lockstep.status_report() -> 'failures') f";
    assert_eq!(
        text(&mut client, of_failures)?,
        "is_archived 1 0, user_not_found 1 1"
    );
    // Only those that failed last are looked at, and the report says so.
    let more = "select lockstep.status_report() ->> 'has_more_troubles'";
    assert_eq!(text(&mut client, more)?, "false");
    client.batch_execute(
        "begin;
         insert into lockstep_internal.slack_channel_trouble (schema, integration_id, team_id, channel, error)
           select 'public', 1, 'A', '#of' || n, 'is_archived' from generate_series(1, 1000) n",
    )?;
    assert_eq!(text(&mut client, more)?, "true");
    assert_eq!(
        text(
            &mut client,
            "select (lockstep.status_report() -> 'troubles')::text"
        )?,
        "[]"
    );
    // The table's owner makes reading it fail.
    client.batch_execute("rollback; begin; alter table integrations rename column id to was_id")?;
    assert_eq!(
        text(
            &mut client,
            "select jsonb_typeof(lockstep.status_report() -> 'troubles')"
        )?,
        "null"
    );
    assert_eq!(
        text(&mut client, of_failures)?,
        "is_archived 1 1, user_not_found 1 1"
    );
    client.batch_execute("rollback")?;
    Ok(())
}

#[test]
fn others_are_told_of_what_is_left() -> Result<()> {
    let name = "delivery_notify";
    let mut client = channels(name)?;
    let mut listener = cluster()?.connect(name)?;
    listener.batch_execute("listen lockstep_delivery")?;
    listener.batch_execute("select lockstep_api.delivery_wait(60)")?;
    let mut heard =
        |client: &mut Client| concurrency::heard(&mut listener, client, "lockstep_delivery");
    for channel in [1, 1, 2, 3, 3] {
        publish(&mut client, channel, 1)?;
    }
    let claimed = claim(&mut client, 10)?;
    assert_eq!(heard(&mut client)?, 0);
    finish(&mut client, &claimed[1..2], r#""outcome": "delivered""#)?;
    assert_eq!(heard(&mut client)?, 0, "nothing waits for channel 2");
    finish(
        &mut client,
        &[claimed[0], claimed[2]],
        r#""outcome": "delivered""#,
    )?;
    assert_eq!(heard(&mut client)?, 1);
    later(&mut client)?;
    let claimed = claim(&mut client, 10)?;
    finish(&mut client, &claimed[..1], r#""outcome": "retry""#)?;
    assert_eq!(heard(&mut client)?, 1);
    finish(&mut client, &claimed[..1], r#""outcome": "retry""#)?;
    assert_eq!(heard(&mut client)?, 0, "a result that is not taken");
    finish(&mut client, &claimed[1..], r#""outcome": "failed""#)?;
    assert_eq!(heard(&mut client)?, 0);
    assert_eq!(
        number(&mut client, "select lockstep.retry_deliveries()")?,
        1
    );
    assert_eq!(heard(&mut client)?, 1);
    assert_eq!(
        number(&mut client, "select lockstep.retry_deliveries()")?,
        0
    );
    assert_eq!(heard(&mut client)?, 0);
    Ok(())
}

#[test]
fn what_failed_can_be_tried_again() -> Result<()> {
    let mut client = channels("delivery_again")?;
    for (channel, integration) in [(1, 1), (1, 2), (2, 1), (1, 1)] {
        publish(&mut client, channel, integration)?;
    }
    for _ in 0..3 {
        let claimed = claim(&mut client, 10)?;
        finish(
            &mut client,
            &claimed,
            r#""outcome": "uncertain", "error": "hang_up""#,
        )?;
        later(&mut client)?;
        let claimed = claim(&mut client, 10)?;
        finish(
            &mut client,
            &claimed,
            r#""outcome": "failed", "error": "is_archived", "needed": "x""#,
        )?;
        later(&mut client)?;
    }
    let results = |client: &mut Client| {
        text(
            client,
            "select string_agg(concat_ws(' ', delivery, status, error, needed), ', ' order by delivery)
               from lockstep.delivery_results('{4, 1, null, 99, 3}')",
        )
    };
    assert_eq!(
        results(&mut client)?,
        "1 failed is_archived x, 3 failed is_archived x, 4 failed is_archived x"
    );
    assert_eq!(
        number(&mut client, "select lockstep.retry_deliveries(2)")?,
        1
    );
    client.batch_execute("create schema other")?;
    assert_eq!(
        number(
            &mut client,
            "select lockstep.retry_deliveries(null, 'other')"
        )?,
        0
    );
    let claimed = claim(&mut client, 10)?;
    assert_eq!(numbers(&claimed), [2]);
    // An earlier one is next, but not now.
    assert_eq!(
        number(&mut client, "select lockstep.retry_deliveries()")?,
        3
    );
    assert_eq!(results(&mut client)?, "1 waiting, 3 waiting, 4 waiting");
    // Uncertain attempts stay counted, but are no reason to give up soon.
    let counts = "select string_agg(concat_ws(' ', attempts, uncertain, failures), ', ' order by id) from lockstep_internal.slack_delivery";
    assert_eq!(text(&mut client, counts)?, "0 1 0, 0 1 0, 0 1 0, 0 1 0");
    later(&mut client)?;
    assert_eq!(numbers(&claim(&mut client, 10)?), [3]);
    lapse(&mut client)?;
    let both = claim(&mut client, 10)?;
    assert_eq!(numbers(&both), [1, 3]);
    // The one that was in flight is the one that may have been sent.
    assert_eq!(text(&mut client, counts)?, "0 1 0, 0 2 1, 0 2 1, 0 1 0");
    Ok(())
}
