//! Direct messages and quiet hours: what waits, until when, and what becomes of it when its reader changes something meanwhile.

use anyhow::{Result, ensure};
use serde_json::json;

use super::person::{by, choose, explained, opened, people, users};
use crate::job::ZONES;
use crate::notification::publish::publish;
use crate::notification::settings::json_of;

/// Quiet hours are those of the person's time zone.
#[test]
fn quiet_hours_have_a_time_zone() -> Result<()> {
    let mut client = people("person_quiet")?;
    for (zone, is_quiet) in [("UTC", false), ("Asia/Tokyo", true)] {
        let hours = json_of(
            &mut client,
            "select jsonb_build_object('from', to_char(t.at - interval '2 hours', 'HH24:MI'), 'until', to_char(t.at + interval '2 hours', 'HH24:MI'))
               from (select now() at time zone 'Asia/Tokyo') t (at)",
        )?;
        let mut quiet = hours;
        quiet["time_zone"] = json!(zone);
        let shown = choose(&mut client, "U3", &json!({"quiet_hours": quiet}))?;
        assert_eq!(shown["quiet_hours"], quiet);
        let expected = if is_quiet {
            "3 quiet_hours"
        } else {
            "3 mentioned"
        };
        assert_eq!(
            explained(&mut client, &opened(6, &[3]))?,
            [expected],
            "{zone}"
        );
    }
    Ok(())
}

/// They end when a recurring job of that time is due: both have the same time zones.
#[test]
fn quiet_hours_go_by_the_clock_of_schedules() -> Result<()> {
    let mut client = people("person_clock")?;
    for zone in ZONES {
        for (until, cron) in [
            ("00:00", "0 0 * * *"),
            ("02:30", "30 2 * * *"),
            ("12:00", "0 12 * * *"),
        ] {
            client.batch_execute("delete from lockstep_internal.slack_delivery")?;
            let quiet = json!({"from": until, "until": until, "time_zone": zone});
            let choice = json!({"direct_messages": true, "quiet_hours": quiet});
            choose(&mut client, "U4", &choice)?;
            publish(&mut client, &opened(6, &[4]))?;
            let agree: bool = client
                .query_one(
                    "select exists (select from lockstep.cron_times($1, $2, d.created_at - interval '1 minute', 2) t
                                     where t between d.not_before - interval '30 seconds' and d.not_before + interval '30 seconds')
                       from lockstep_internal.slack_delivery d join lockstep_internal.slack_channel c on c.id = d.channel where c.channel = 'U4'",
                    &[&cron, &zone],
                )?
                .get(0);
            ensure!(agree, "{until} {zone}");
        }
    }
    Ok(())
}

/// A message to somebody who is not to be disturbed waits, and its channel with it; others do not.
#[test]
fn direct_messages_wait_for_the_end_of_quiet_hours() -> Result<()> {
    let mut client = people("person_wait")?;
    let quiet = json!({"from": "00:00", "until": "00:00", "time_zone": "UTC"});
    choose(
        &mut client,
        "U3",
        &json!({"direct_messages": true, "quiet_hours": quiet}),
    )?;
    choose(&mut client, "U4", &json!({"direct_messages": true}))?;
    publish(&mut client, &opened(6, &[3, 4]))?;
    let claim = "select coalesce(string_agg(channel || ' ' || coalesce(mentions, '-'), ', ' order by channel), '')
                   from lockstep_api.claim_deliveries(10, '1 minute', 1000)";
    let claimed: String = client.query_one(claim, &[])?.get(0);
    assert_eq!(claimed, "#c U4, U4 -");
    let held = "select count(*) from lockstep_internal.slack_channel where channel = 'U3' and not_before > now()";
    assert_eq!(crate::service_account::number(&mut client, held)?, 1);
    // Nobody is to be alarmed by it.
    client.batch_execute("update lockstep_internal.slack_delivery set created_at = now() - interval '2 hours' where not_before > now()")?;
    for age in [
        "select (lockstep.metrics_report() #>> '{deliveries, oldest_seconds}')::float8",
        "select extract(epoch from now() - (lockstep.status_report() #>> '{deliveries, oldest}')::timestamptz)::float8",
        "select extract(epoch from now() - min(oldest))::float8 from lockstep.slack_delivery_status",
    ] {
        let age: f64 = client.query_one(age, &[])?.get(0);
        assert!(age < 3_600.0, "{age}");
    }
    client.batch_execute(
        "update lockstep_internal.slack_delivery set not_before = now() where not_before > now();
         update lockstep_internal.slack_channel set not_before = '-infinity' where channel = 'U3'",
    )?;
    let claimed: String = client.query_one(claim, &[])?.get(0);
    assert_eq!(claimed, "U3 -");
    Ok(())
}

/// Whoever corrects them waits for the new ones.
#[test]
fn changed_quiet_hours_count_for_what_waits() -> Result<()> {
    let mut client = people("person_changed")?;
    let around = "jsonb_build_object('time_zone', 'UTC', 'from', to_char(now() at time zone 'UTC' - interval '2 hours', 'HH24:MI'))";
    let hours = |until: &str| {
        format!(
            "select {around} || jsonb_build_object('until', to_char(now() at time zone 'UTC' + interval '{until}', 'HH24:MI'))"
        )
    };
    for (until, left) in [("3 hours", 3), ("1 hour", 1), ("-1 hour", 0)] {
        client.batch_execute("delete from lockstep_internal.slack_person")?;
        client.batch_execute("delete from lockstep_internal.slack_delivery")?;
        let first = json_of(&mut client, &hours("2 hours"))?;
        choose(
            &mut client,
            "U3",
            &json!({"direct_messages": true, "quiet_hours": first}),
        )?;
        publish(&mut client, &opened(6, &[3]))?;
        let other = json_of(&mut client, &hours(until))?;
        choose(&mut client, "U3", &json!({"quiet_hours": other}))?;
        let waits = "select round(extract(epoch from max(not_before) - now()) / 3600)::bigint from lockstep_internal.slack_delivery";
        assert_eq!(
            crate::service_account::number(&mut client, waits)?,
            left,
            "{until}"
        );
    }
    Ok(())
}

/// A clock that was ahead mutes nobody.
#[test]
fn what_was_written_ahead_of_time_is_not_held() -> Result<()> {
    let mut client = people("person_ahead")?;
    let quiet = json!({"from": "00:00", "until": "00:00", "time_zone": "UTC"});
    choose(
        &mut client,
        "U3",
        &json!({"direct_messages": true, "quiet_hours": quiet}),
    )?;
    publish(&mut client, &opened(6, &[3]))?;
    let claimed = "select count(*) from lockstep_api.claim_deliveries(10, '1 minute', 1000) where channel = 'U3'";
    assert_eq!(crate::service_account::number(&mut client, claimed)?, 0);
    client.batch_execute(
        "update lockstep_internal.slack_delivery set created_at = created_at + interval '2 days', not_before = not_before + interval '2 days'
          where not_before is not null;
         update lockstep_internal.slack_channel set paced_at = now() + interval '2 days', not_before = not_before + interval '2 days' where channel = 'U3'",
    )?;
    assert_eq!(crate::service_account::number(&mut client, claimed)?, 1);
    Ok(())
}

/// What has waited, for whatever reason, is sent if its reader still may see it and still wants it; what waits behind it is not held up.
#[test]
fn access_is_checked_when_a_message_has_its_turn() -> Result<()> {
    let mut client = people("person_access")?;
    let quiet = json!({"from": "00:00", "until": "00:00", "time_zone": "UTC"});
    let over =
        "update lockstep_internal.slack_delivery set not_before = now() where not_before > now()";
    let failed = "update lockstep_internal.slack_delivery set status = 'failed', error = 'fatal_error', done_at = now()";
    for (why, quiet_hours, before, after) in [
        ("quiet hours", quiet, "select 1", over),
        ("its pace", json!(null), "select 1", "select 1"),
        (
            "somebody to retry it",
            json!(null),
            failed,
            "select lockstep.retry_deliveries()",
        ),
    ] {
        let choice = json!({"direct_messages": true, "quiet_hours": quiet_hours});
        for (what, then, expected) in [
            ("nothing", "select 1", "2 waiting"),
            (
                "removed",
                "delete from members where user_id = 4",
                "2 no_access",
            ),
            (
                "a guest",
                "update members set access_level = 10 where user_id = 4",
                "1 no_access, 1 waiting",
            ),
            (
                "blocked",
                "update users set state = 'blocked' where id = 4",
                "2 no_access",
            ),
            (
                "not linked",
                "delete from chat_names where user_id = 4",
                "2 no_access",
            ),
            (
                // While this was published.
                "said no",
                "update lockstep_internal.slack_person set direct_messages = false",
                "2 no_access",
            ),
        ] {
            client.batch_execute(
                "delete from lockstep_internal.slack_delivery; delete from lockstep_internal.event; delete from lockstep_internal.slack_channel;
                 delete from members where user_id = 4; delete from chat_names where user_id = 4; update users set state = 'active' where id = 4;
                 insert into chat_names (user_id, team_id, chat_id) values (4, 'A', 'U4');
                 insert into members (access_level, source_id, source_type, user_id) values (20, 1, 'Project', 4)",
            )?;
            choose(&mut client, "U4", &choice)?;
            publish(&mut client, &opened(6, &[4]))?;
            let issue = json!({"assignees": users(&[4])});
            let issue = by(6, "issue", json!({"action": "open", "author_id": 3}), issue);
            publish(&mut client, &issue)?;
            client.batch_execute(before)?;
            client.batch_execute(then)?;
            client.batch_execute(after)?;
            let claim = "select count(*) from lockstep_api.claim_deliveries(10, '1 minute', 1000)";
            crate::service_account::number(&mut client, claim)?;
            let states = "select string_agg(concat_ws(' ', n, state), ', ' order by state)
                 from (select count(*) as n, coalesce(d.error, d.status) as state
                         from lockstep_internal.slack_delivery d join lockstep_internal.slack_channel c on c.id = d.channel
                        where c.channel = 'U4' group by 2) s";
            let found: String = client.query_one(states, &[])?.get(0);
            assert_eq!(found, expected, "{what}, waits for {why}");
        }
    }
    Ok(())
}

/// Of a project that is gone nobody can read anything; that is no lost access.
#[test]
fn a_direct_message_of_a_deleted_project_is_no_failure() -> Result<()> {
    let mut client = people("person_gone")?;
    choose(&mut client, "U4", &json!({"direct_messages": true}))?;
    publish(&mut client, &opened(6, &[4]))?;
    client.batch_execute(
        "delete from projects where id = 1; select * from lockstep_api.claim_deliveries(10, '1 minute', 1000)",
    )?;
    let errors: String = client
        .query_one(
            "select string_agg(distinct error, ', ') from lockstep_internal.slack_delivery",
            &[],
        )?
        .get(0);
    assert_eq!(errors, "project_gone");
    Ok(())
}

/// Who turns direct messages off gets none that waits, and who ends the quiet hours gets them at once.
#[test]
fn a_choice_is_for_what_waits_as_well() -> Result<()> {
    let mut client = people("person_settled")?;
    let quiet = json!({"direct_messages": true, "quiet_hours": {"from": "00:00", "until": "00:00", "time_zone": "UTC"}});
    for (choice, states, claimed) in [
        (json!({"mentions": false}), "waiting later", ""),
        (json!({"direct_messages": false}), "failed no_access", ""),
        (json!({"quiet_hours": null}), "waiting", "U4"),
    ] {
        client.batch_execute(
            "delete from lockstep_internal.slack_delivery; delete from lockstep_internal.slack_channel; delete from lockstep_internal.slack_person",
        )?;
        choose(&mut client, "U4", &quiet)?;
        publish(&mut client, &opened(6, &[4]))?;
        let claim = "select coalesce(string_agg(channel, ' ' order by channel), '') from lockstep_api.claim_deliveries(10, '1 minute', 1000)";
        // From now on its channel waits.
        let before: String = client.query_one(claim, &[])?.get(0);
        assert_eq!(before, "#c");
        choose(&mut client, "U4", &choice)?;
        let state = "select concat_ws(' ', d.status, d.error, case when d.status = 'waiting' and d.not_before > now() then 'later' end)
                       from lockstep_internal.slack_delivery d join lockstep_internal.slack_channel c on c.id = d.channel where c.channel = 'U4'";
        let found: String = client.query_one(state, &[])?.get(0);
        assert_eq!(found, states, "{choice}");
        let after: String = client.query_one(claim, &[])?.get(0);
        assert_eq!(after, claimed, "{choice}");
    }
    // A hold for another reason stays.
    choose(&mut client, "U4", &quiet)?;
    publish(&mut client, &opened(6, &[4]))?;
    client.batch_execute(
        "update lockstep_internal.slack_channel set not_before = 'infinity' where channel = 'U4'",
    )?;
    choose(&mut client, "U4", &json!({"quiet_hours": null}))?;
    let held = "select count(*) from lockstep_internal.slack_channel where channel = 'U4' and not_before = 'infinity'";
    assert_eq!(crate::service_account::number(&mut client, held)?, 1);
    Ok(())
}
