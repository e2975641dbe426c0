//! The pace of a workspace: no minute exceeds the limit, and message updates have a lower limit.

use anyhow::{Result, ensure};
use postgres::Client;

use crate::delivery::claim::{Claim, channels, claim_at, lapse, later, numbers, text};

/// A burst is a tenth of a minute's messages.
fn burst(per_minute: f64) -> f64 {
    (per_minute / 10.0).floor().max(1.0)
}

/// The interval of a message such that no minute exceeds the limit, with a second for messages in flight.
fn interval(per_minute: f64) -> f64 {
    61.0 / (per_minute - burst(per_minute) + 1.0)
}

/// The capacity according to the rules.
fn room(per_minute: f64, ahead: f64) -> i64 {
    let (burst, interval) = (burst(per_minute), interval(per_minute));
    let room = ((burst - 1.0) * interval - ahead.max(0.0)) / interval + 1.0;
    room.max(0.0).floor() as i64
}

#[test]
fn the_pace_of_a_workspace_is_kept() -> Result<()> {
    let mut client = channels("delivery_pace")?;
    client.batch_execute(
        "insert into lockstep_internal.slack_channel (schema, team_id, channel) select 'public', 'A', 'C' || n from generate_series(1, 100) n;
         select publish(c.id, case c.team_id when 'A' then 1 else 5 end) from lockstep_internal.slack_channel c order by c.id",
    )?;
    let ahead = "select coalesce(extract(epoch from max(free_at) - clock_timestamp()), 0)::float8 from lockstep_internal.slack_team_pace where team_id = 'A'";
    let ahead = |client: &mut Client| -> Result<f64> { Ok(client.query_one(ahead, &[])?.get(0)) };
    let of_a = |client: &mut Client, claimed: &[Claim]| -> Result<i64> {
        let query = "select count(*) from lockstep_internal.slack_delivery d where d.id = any ($1) and d.integration_id = 1";
        Ok(client.query_one(query, &[&numbers(claimed)])?.get(0))
    };
    let mut total = 0;
    // First a burst; then as much as the elapsed time allows, for which this test knows a lower and an upper bound.
    for round in 0..5 {
        if round == 3 {
            client.batch_execute(
                "update lockstep_internal.slack_team_pace set free_at = free_at - interval '3.5 seconds'",
            )?;
        }
        let most = ahead(&mut client)?;
        let claimed = claim_at(&mut client, 500, 120)?;
        let admitted = of_a(&mut client, &claimed)?;
        let after = ahead(&mut client)?;
        let least = after - admitted as f64 * interval(120.0);
        ensure!(
            (room(120.0, most)..=room(120.0, least)).contains(&admitted),
            "round {round}: {admitted} of a pace ahead by {most} to {least}"
        );
        if round == 0 {
            assert_eq!(admitted, 12);
            // The other workspace has a pace of its own.
            assert_eq!(claimed.len(), 14);
            ensure!(after <= 7.0 && after > 0.0, "{after}");
        }
        total += admitted;
    }
    ensure!(total >= 18, "{total}");
    // None, while there is no capacity.
    client.batch_execute(
        "update lockstep_internal.slack_team_pace set free_at = clock_timestamp() + interval '4 minutes'",
    )?;
    assert_eq!(claim_at(&mut client, 500, 120)?, []);
    // After a long idle time there is no more than a burst.
    client.batch_execute(
        "update lockstep_internal.slack_team_pace set free_at = clock_timestamp() - interval '1 hour'",
    )?;
    assert_eq!(claim_at(&mut client, 500, 60)?.len(), 6);
    client.batch_execute("update lockstep_internal.slack_team_pace set free_at = '-infinity'")?;
    assert_eq!(claim_at(&mut client, 500, 1)?.len(), 1);
    assert_eq!(claim_at(&mut client, 500, 1)?.len(), 0);
    // A clock that was a day ahead must not silence the workspace for a day.
    client.batch_execute(
        "update lockstep_internal.slack_team_pace set free_at = clock_timestamp() + interval '1 day'",
    )?;
    assert_eq!(claim_at(&mut client, 500, 1)?.len(), 1);
    assert_eq!(claim_at(&mut client, 500, 1)?.len(), 0);
    Ok(())
}

/// Wherever a minute begins, also at the start of a burst: however often claims are made, they never exceed the limit.
#[test]
fn no_minute_has_more_than_its_messages() -> Result<()> {
    let mut client = channels("delivery_minute")?;
    client.batch_execute(
        "insert into lockstep_internal.slack_channel (schema, team_id, channel) select 'public', 'A', 'C' || n from generate_series(1, 100) n;
         select publish(c.id, 1) from lockstep_internal.slack_channel c where c.team_id = 'A' order by c.id",
    )?;
    let ago = "select extract(epoch from clock_timestamp() - $1::timestamptz)::float8";
    for per_minute in [1, 2, 13, 60] {
        client
            .batch_execute("update lockstep_internal.slack_team_pace set free_at = '-infinity'")?;
        lapse(&mut client)?;
        let row = client.query_one("select clock_timestamp()", &[])?;
        let begin: std::time::SystemTime = row.get(0);
        let (mut skipped, mut admitted) = (0.0, 0);
        loop {
            admitted += claim_at(&mut client, 100, per_minute)?.len();
            let passed: f64 = client.query_one(ago, &[&begin])?.get(0);
            // A minute that is mostly skipped.
            if skipped + passed >= 60.0 {
                break;
            }
            ensure!(
                admitted <= usize::try_from(per_minute)?,
                "{admitted} of {per_minute} within {} s",
                skipped + passed
            );
            let skip = (60.0 - skipped - passed).min(0.2);
            skipped += skip;
            client.execute(
                "update lockstep_internal.slack_team_pace set free_at = free_at - $1::float8 * interval '1 second'",
                &[&skip],
            )?;
        }
        ensure!(
            admitted * 10 >= usize::try_from(per_minute)? * 9,
            "no more than {admitted} of {per_minute}"
        );
    }
    Ok(())
}

/// A workspace that has used up its pace does not affect others.
#[test]
fn a_workspace_does_not_wait_for_another() -> Result<()> {
    let mut client = channels("delivery_share")?;
    client.batch_execute(
        "insert into lockstep_internal.slack_channel (schema, team_id, channel) select 'public', 'A', 'C' || n from generate_series(1, 50) n;
         select publish(c.id, case c.team_id when 'A' then 1 else 5 end) from lockstep_internal.slack_channel c order by c.id;
         update lockstep_internal.slack_channel set not_before = '2020-01-01' where team_id = 'B'",
    )?;
    // All of A have been due for longer; one is admitted.
    let claimed = claim_at(&mut client, 3, 6)?;
    let teams = "select string_agg(c.team_id, '' order by c.team_id) from lockstep_internal.slack_channel c where c.lease is not null";
    assert_eq!(text(&mut client, teams)?, "AB");
    assert_eq!(claimed.len(), 2);
    Ok(())
}

/// Slack accepts fewer updates than new messages: updates wait for a pace of their own, and delay nobody else.
#[test]
fn changes_of_messages_have_a_pace_of_their_own() -> Result<()> {
    let mut client = channels("delivery_updates")?;
    client.batch_execute(
        r#"insert into lockstep_internal.slack_notification (schema, integration_id, updates) values ('public', 1, 'update');
           insert into lockstep_internal.slack_channel (schema, team_id, channel) select 'public', 'A', '#c' || n from generate_series(1, 30) n;
           insert into lockstep_internal.slack_message (channel, subject, ts, slack_channel)
             select c.id, 'pipeline:7:31', '1.2', 'C' from lockstep_internal.slack_channel c where c.channel like '#c%' and c.id % 2 = 0;
           select publish(c.id, 1, '{"object_kind": "pipeline", "object_attributes": {"id": 31}, "project": {"id": 7}}')
             from lockstep_internal.slack_channel c where c.channel like '#c%' order by c.id"#,
    )?;
    // A burst of 30 is a tenth of a minute's messages, and of updates one in five.
    let claimed = claim_at(&mut client, 500, 300)?;
    let changes = "select count(*)::text from lockstep_internal.slack_delivery d join lockstep_internal.slack_channel c on c.delivery = d.id
                    where d.id = any ($1) and c.id % 2 = 0";
    let changes = |client: &mut Client, claimed: &[Claim]| -> Result<String> {
        Ok(client.query_one(changes, &[&numbers(claimed)])?.get(0))
    };
    assert_eq!(changes(&mut client, &claimed)?, "5");
    assert_eq!(claimed.len(), 20);
    // Waiting channels are not checked before another update is allowed.
    let held = "select string_agg(distinct (c.not_before > clock_timestamp() + interval '0.2 seconds')::text, ' ')
                  from lockstep_internal.slack_channel c where c.lease is null and c.channel like '#c%'";
    assert_eq!(text(&mut client, held)?, "true");
    later(&mut client)?;
    let more = claim_at(&mut client, 500, 300)?;
    ensure!(more.len() <= 1, "{more:?}");
    client.batch_execute(
        "update lockstep_internal.slack_team_pace set free_at = '-infinity' where method = 'chat.update'",
    )?;
    later(&mut client)?;
    assert_eq!(claim_at(&mut client, 500, 300)?.len(), 5);
    Ok(())
}

/// What a clock wrote that was a day ahead must not silence a channel for a day. What was written in time holds, however long.
#[test]
fn a_clock_that_was_ahead_mutes_no_channel() -> Result<()> {
    let mut client = channels("delivery_clock")?;
    client.batch_execute("select publish(1, 1)")?;
    let wait = "select lockstep_api.delivery_wait(1000)::text";
    let hold = |client: &mut Client, written: &str| {
        client.batch_execute(&format!(
            "update lockstep_internal.slack_channel set paced_at = {written}, not_before = {written} + interval '1 day' where id = 1"
        ))
    };
    hold(&mut client, "clock_timestamp()")?;
    assert_eq!(claim_at(&mut client, 10, 1000)?, []);
    ensure!(text(&mut client, wait)?.parse::<f64>()? > 80_000.0);
    hold(&mut client, "clock_timestamp() + interval '1 day'")?;
    assert_eq!(text(&mut client, wait)?, "0");
    assert_eq!(claim_at(&mut client, 10, 1000)?.len(), 1);
    // From now on the right time counts.
    assert_eq!(claim_at(&mut client, 10, 1000)?, []);
    // A sender that was lost meanwhile.
    client.batch_execute(
        "update lockstep_internal.slack_channel set paced_at = clock_timestamp() + interval '1 day', not_before = '-infinity',
                leased_until = clock_timestamp() + interval '1 day' where id = 1",
    )?;
    assert_eq!(claim_at(&mut client, 10, 1000)?.len(), 1);
    Ok(())
}
